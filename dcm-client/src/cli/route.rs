//! `dcm route`: how good the scorer is, measured on texts whose tool is known.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use dcm::Timestamp;
use dcm::model::ToolType;
use dcm::routing::{Evaluation, Lesson, Question, Scorer};
use serde::Serialize;

use super::{Outcome, complain};

/// Measure routing without a server
#[derive(Debug, Args)]
pub(super) struct Route {
    #[command(subcommand)]
    command: RouteCommand,
}

#[derive(Debug, Subcommand)]
enum RouteCommand {
    /// Learn from one file, answer another, and report how often that was right
    ///
    /// Both are text files with a line for each query: the query, a tabulator, the tool that serves it. A first line
    /// `query<TAB>tool` is a heading. Everything is learned once and in order, as by a server that records one action
    /// after the other.
    Eval(Eval),
}

#[derive(Debug, Args)]
struct Eval {
    /// What to learn from
    #[arg(value_name = "TRAIN.tsv")]
    train: PathBuf,
    /// What to answer
    #[arg(value_name = "TEST.tsv")]
    test: PathBuf,
    /// Ask by `keywords` instead of `prompt`: only tools that were used with one of the words are answered
    #[arg(long)]
    keywords: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    lessons: usize,
    tools: usize,
    pairs: usize,
    feature_pairs: usize,
    queries: u32,
    hit_at_1: f64,
    hit_at_3: f64,
    hit_at_5: f64,
    calibration_error: f64,
    abstained: f64,
    right_unless_abstained: f64,
    median_lesson_us: f64,
    median_answer_us: f64,
    calibration: Vec<Class>,
}

#[derive(Debug, Serialize)]
struct Class {
    answers: u32,
    said: f64,
    right: f64,
}

impl Route {
    pub(super) fn run(&self, json: bool) -> Outcome {
        let RouteCommand::Eval(eval) = &self.command;
        let report = match eval.run() {
            Ok(report) => report,
            Err(problem) => {
                complain(&problem);
                return Outcome::Failed;
            }
        };
        let mut out = io::stdout().lock();
        let printed = if json {
            serde_json::to_string_pretty(&report).map_err(Into::into).and_then(|text| writeln!(out, "{text}"))
        } else {
            report.print(&mut out)
        };
        // A closed pipe has read enough.
        if printed.is_ok() { Outcome::Well } else { Outcome::Failed }
    }
}

impl Eval {
    fn run(&self) -> Result<Report, String> {
        let (train, test) = (read(&self.train)?, read(&self.test)?);
        let mut scorer = Scorer::default();
        // All at one time: nothing has become old.
        let at = Timestamp::from_millis(0);
        let mut lessons = Vec::with_capacity(train.len());
        for (query, tool) in &train {
            lessons.push(timed(|| scorer.learn(&Lesson::used(query, tool, ToolType::Mcp, true, at))).1);
        }
        let mut evaluation = Evaluation::default();
        let mut answers = Vec::with_capacity(test.len());
        for (query, tool) in &test {
            let ask = if self.keywords { Question::keywords } else { Question::prompt };
            let (answer, time) = timed(|| scorer.suggest(&ask(query)));
            answers.push(time);
            evaluation.add(&answer, tool);
        }
        let [hit_at_1, hit_at_3, hit_at_5] = evaluation.hits();
        Ok(Report {
            lessons: train.len(),
            tools: scorer.tools(),
            pairs: scorer.pairs(),
            feature_pairs: scorer.feature_pairs(),
            queries: evaluation.answers(),
            hit_at_1,
            hit_at_3,
            hit_at_5,
            calibration_error: evaluation.calibration_error(),
            abstained: evaluation.abstained(),
            right_unless_abstained: evaluation.right_unless_abstained(),
            median_lesson_us: median_us(lessons),
            median_answer_us: median_us(answers),
            calibration: evaluation
                .classes()
                .map(|(answers, said, right)| Class { answers, said, right })
                .collect(),
        })
    }
}

impl Report {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "learned  {} lessons, {} tools, {} pairs of word and tool, {} of feature and tool; {:.1} us each",
            self.lessons, self.tools, self.pairs, self.feature_pairs, self.median_lesson_us
        )?;
        writeln!(out, "answered {} queries; {:.1} us each", self.queries, self.median_answer_us)?;
        writeln!(
            out,
            "hit@1 {:.4}   hit@3 {:.4}   hit@5 {:.4}",
            self.hit_at_1, self.hit_at_3, self.hit_at_5
        )?;
        writeln!(out, "expected calibration error {:.4}", self.calibration_error)?;
        writeln!(
            out,
            "abstained {:.1} %; of the others {:.1} % right",
            self.abstained * 100.0,
            self.right_unless_abstained * 100.0
        )?;
        writeln!(out, "said   was right   answers")?;
        for class in &self.calibration {
            writeln!(out, "{:.3}  {:.3}       {}", class.said, class.right, class.answers)?;
        }
        Ok(())
    }
}

/// The pairs of query and tool of a file.
fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let pairs = parse(&text).map_err(|problem| format!("{}: {problem}", path.display()))?;
    if pairs.is_empty() { Err(format!("{}: it holds no query", path.display())) } else { Ok(pairs) }
}

fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || (number == 0 && line.trim() == "query\ttool") {
            continue;
        }
        let (query, tool) = line
            .rsplit_once('\t')
            .filter(|(_, tool)| !tool.trim().is_empty())
            .ok_or_else(|| format!("line {}: must be a query, a tabulator and a tool", number + 1))?;
        pairs.push((query.trim().to_owned(), tool.trim().to_owned()));
    }
    Ok(pairs)
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_lines_of_query_and_tool() {
        let pairs = parse("query\ttool\nfind a paper\tarxiv\n\nwith\ttab\tforecast\n").unwrap();
        assert_eq!(
            pairs,
            [
                ("find a paper".to_owned(), "arxiv".to_owned()),
                ("with\ttab".to_owned(), "forecast".to_owned())
            ]
        );
        assert!(parse("no tool here").unwrap_err().contains("line 1"));
        assert!(parse("a\tb\nempty\t \n").unwrap_err().contains("line 2"));
    }

    #[test]
    fn what_was_learned_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.tsv");
        std::fs::write(&path, "query\ttool\nfind research papers\tarxiv\nweather of tomorrow\tforecast\n")
            .unwrap();
        let report = Eval { train: path.clone(), test: path, keywords: false }.run().unwrap();
        assert_eq!((report.lessons, report.tools, report.queries), (2, 2, 2));
        assert!((report.hit_at_1 - 1.0).abs() < f64::EPSILON, "{report:?}");
        let missing = folder.path().join("missing.tsv");
        let problem = Eval { train: missing.clone(), test: missing, keywords: false }.run().unwrap_err();
        assert!(problem.contains("missing.tsv"), "{problem}");
    }
}
