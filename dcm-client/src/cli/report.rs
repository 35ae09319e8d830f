//! What an import came to, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use dcm::api::ingest::{IngestCounts, Ingested};
use dcm::transcript::Stats;
use serde::Serialize;

/// The most lines of one kind that are printed for people; JSON has them all.
const MOST_LINES: usize = 20;

/// What an import came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// The server.
    url: String,
    /// Sessions that are now on the server as a whole.
    sessions: u64,
    /// Prompts, tool calls and so on, as the transcripts of those sessions hold them.
    requests: u64,
    actions: u64,
    actions_in_agents: u64,
    failed_actions: u64,
    agents: u64,
    tasks: u64,
    compactions: u64,
    /// Rows that the server did not have.
    created: IngestCounts,
    /// Observations that changed something the server had.
    updated: usize,
    /// Observations that the server had already.
    known: usize,
    /// Lines of kinds that this version does not know.
    unknown_types: BTreeMap<String, u64>,
    /// How many lines are no JSON.
    broken: u64,
    /// The first hundred of each session.
    broken_lines: Vec<Broken>,
    /// Files in folders that are no transcripts.
    pub(super) skipped: Vec<File>,
    /// Files that could not be imported, or not as a whole.
    pub(super) failures: Vec<File>,
}

/// A line that is no JSON.
#[derive(Debug, Serialize)]
struct Broken {
    file: String,
    line: u64,
    reason: String,
}

/// A file and what is to be said of it.
#[derive(Debug, Serialize)]
pub(super) struct File {
    file: String,
    reason: String,
}

impl File {
    pub(super) fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self { file: path.display().to_string(), reason: reason.into() }
    }
}

impl Report {
    /// Nothing yet, for the server at `url`.
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), ..Self::default() }
    }

    /// Takes what the server answered to one batch.
    pub(super) fn sent(&mut self, answer: &Ingested) {
        self.created.requests += answer.created.requests;
        self.created.subtasks += answer.created.subtasks;
        self.created.actions += answer.created.actions;
        self.created.compactions += answer.created.compactions;
        self.updated += answer.updated;
        self.known += answer.known;
    }

    /// Takes what the files of one session held that is not for the server. `file_of` tells the file of an agent.
    pub(super) fn read(&mut self, stats: &Stats, file_of: impl Fn(Option<&str>) -> String) {
        for (kind, lines) in &stats.unknown_types {
            *self.unknown_types.entry(kind.clone()).or_default() += lines;
        }
        self.broken += stats.broken;
        self.broken_lines.extend(stats.broken_lines.iter().map(|broken| Broken {
            file: file_of(broken.agent_id.as_deref()),
            line: broken.line,
            reason: broken.reason.clone(),
        }));
    }

    /// Takes the numbers of a session that is now on the server as a whole.
    pub(super) fn imported(&mut self, stats: &Stats) {
        self.sessions += 1;
        self.requests += stats.requests;
        self.actions += stats.actions;
        self.actions_in_agents += stats.actions_in_agents;
        self.failed_actions += stats.failed;
        self.agents += stats.agents;
        self.tasks += stats.tasks;
        self.compactions += stats.compactions;
    }

    /// The report for people.
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("Imported {} into {}\n", counted(self.sessions, "session"), self.url);
        let mut row = |what: &str, count: u64, rest: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {what:<12}{count:>8}{rest}");
        };
        let new = |count: usize| format!("  ({count} new)");
        row("requests", self.requests, new(self.created.requests));
        row(
            "actions",
            self.actions,
            format!(
                "{}, {} failed, {} in sub-agents",
                new(self.created.actions),
                self.failed_actions,
                self.actions_in_agents
            ),
        );
        row("sub-agents", self.agents, String::new());
        row("tasks", self.tasks, String::new());
        row("compactions", self.compactions, new(self.created.compactions));
        let _ = writeln!(text, "  known already: {}, updated: {}", self.known, self.updated);
        list(
            &mut text,
            "Unknown kinds of lines, skipped",
            self.unknown_types.iter().map(|(kind, lines)| format!("{kind}: {}", counted(*lines, "line"))),
        );
        let title = format!("Lines that are no JSON, skipped ({})", self.broken);
        list(
            &mut text,
            &title,
            self.broken_lines.iter().map(|one| format!("{}:{}: {}", one.file, one.line, one.reason)),
        );
        let files = |files: &'_ [File]| {
            files.iter().map(|one| format!("{}: {}", one.file, one.reason)).collect::<Vec<_>>()
        };
        list(&mut text, "Skipped", files(&self.skipped).into_iter());
        list(&mut text, "Failed", files(&self.failures).into_iter());
        text
    }
}

fn list(text: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    let more = lines.len().saturating_sub(MOST_LINES);
    if lines.len() > 0 {
        let _ = writeln!(text, "{title}:");
    }
    for line in lines.take(MOST_LINES) {
        let _ = writeln!(text, "  {line}");
    }
    if more > 0 {
        let _ = writeln!(text, "  … and {more} more");
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
