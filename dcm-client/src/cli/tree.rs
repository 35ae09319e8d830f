//! `dcm tree` and `dcm suggest`: what was done, and what to do it with.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use dcm::ProjectId;
use dcm::api::hierarchy::{Hierarchy, HierarchyGet};
use dcm::api::projects::ProjectByPath;
use dcm::api::routing::{RoutingSuggest, Suggestions};

use super::agents::answered;
use super::paint::{FAINT, Painted, STRONG, first_line, of_status, plain};
use super::{Outcome, complain, complain_of};
use crate::Client;

/// The most characters of a prompt or a description on one line.
const LINE: usize = 100;

/// Arguments of `dcm tree`.
#[derive(Debug, Args)]
pub(super) struct Tree {
    /// The project's folder or id [default: this folder]
    project: Option<String>,
    /// How many requests at most, the newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    requests: usize,
}

impl Tree {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let named = self.project.unwrap_or_else(|| ".".to_owned());
        let project_id = if let Ok(id) = named.parse::<ProjectId>() {
            id
        } else {
            let Some(path) = absolute(&named) else {
                complain(&format!("{named:?} is no folder that the server could know"));
                return Outcome::Usage;
            };
            match client.project_by_path(ProjectByPath { path }).await {
                Ok(found) => found.project.id,
                Err(error) => return complain_of(client, &error),
            }
        };
        let answer = client.hierarchy_get(HierarchyGet { project_id }).await;
        answered(client, as_json, answer, |tree| tree_text(tree, self.requests))
    }
}

/// The folder as clients name it; one that is not on this machine is taken as it is.
fn absolute(path: &str) -> Option<String> {
    let path = PathBuf::from(path);
    let path = path.canonicalize().or_else(|_| std::path::absolute(path)).ok()?;
    path.into_os_string().into_string().ok()
}

fn tree_text(tree: &Hierarchy, most: usize) -> String {
    let project = &tree.hierarchy.project;
    let name = plain(project.name.as_deref().unwrap_or(&project.path));
    let mut text = format!("{}  {}\n", Painted(STRONG, name), Painted(FAINT, plain(&project.path)));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} requests, {} tasks, {} subtasks",
        tree.counts.requests, tree.counts.tasks, tree.counts.subtasks
    );
    for request in tree.hierarchy.requests.iter().take(most) {
        let row = &request.request;
        let status = row.status.as_str();
        let when = Painted(FAINT, row.created_at);
        let _ = writeln!(
            text,
            "\n{} {}  {when}",
            Painted(of_status(status), format!("[{status}]")),
            first_line(&row.prompt, LINE)
        );
        for task in &request.tasks {
            let (row, status) = (&task.task, task.task.status.as_str());
            let name =
                row.name.as_deref().map_or_else(String::new, |name| format!("  {}", first_line(name, LINE)));
            let status = Painted(of_status(status), format!("[{status}]"));
            let _ = writeln!(text, "  wave {} {status}{name}", row.wave_number);
            for subtask in &task.subtasks {
                let status = subtask.status.as_str();
                let who =
                    plain(subtask.agent_type.as_deref().or(subtask.agent_id.as_deref()).unwrap_or("task"));
                let what = first_line(subtask.description.as_deref().unwrap_or_default(), LINE);
                let _ = writeln!(
                    text,
                    "    {} {who}  {}",
                    Painted(of_status(status), format!("[{status}]")),
                    Painted(FAINT, what)
                );
            }
        }
    }
    let more = tree.hierarchy.requests.len().saturating_sub(most);
    if more > 0 {
        let _ = writeln!(text, "\n… and {more} earlier requests (--requests)");
    }
    text
}

/// Arguments of `dcm suggest`.
#[derive(Debug, Args)]
pub(super) struct Suggest {
    /// What is to be done
    #[arg(required = true)]
    words: Vec<String>,
    /// How many tools at most
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only tools of this kind, such as `skill`
    #[arg(long = "type", value_name = "TYPE")]
    tool_type: Option<String>,
}

impl Suggest {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let suggest = RoutingSuggest {
            keywords: None,
            prompt: Some(self.words.join(" ")),
            limit: self.limit,
            min_score: None,
            tool_type: self.tool_type,
            exclude_types: None,
        };
        let answer = client.routing_suggest(suggest).await;
        answered(client, as_json, answer, suggestions_text)
    }
}

fn suggestions_text(answer: &Suggestions) -> String {
    if answer.suggestions.is_empty() {
        return "nothing served these words before".to_owned();
    }
    let width = answer.suggestions.iter().map(|one| one.tool_name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for one in &answer.suggestions {
        let name = plain(&one.tool_name);
        let padding = " ".repeat(width.saturating_sub(name.chars().count()));
        let why: Vec<&str> = one.why.iter().map(|share| &*share.word).collect();
        // Uses are counted for each word as it was written; forms of a word and pairs of words speak for a tool as well.
        let uses = if one.usage_count > 0 {
            format!("{:>4} uses, {:>3} % of them well", one.usage_count, one.success_rate)
        } else {
            "by related words".to_owned()
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}{padding}  {:<8} {:>3.0} %  {uses:<29}  {}",
            Painted(STRONG, name),
            one.tool_type.as_str(),
            one.confidence * 100.0,
            Painted(FAINT, plain(&why.join(" ")))
        );
    }
    if answer.abstained {
        text.push_str("none of them is certain enough to rely on\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tool_that_only_related_words_speak_for_is_not_said_to_have_failed() {
        let one = |name: &str, uses: i64| {
            json!({"tool_name": name, "tool_type": "builtin", "score": 0.0, "usage_count": uses, "success_rate": 67,
                "keyword_matches": [], "confidence": 0.5, "why": [{"word": "run", "share": 1.0}]})
        };
        let answer: Suggestions = serde_json::from_value(json!({
            "keywords": ["run"], "suggestions": [one("Bash", 36), one("Glob", 0)], "count": 2, "compat_output": "",
            "abstained": false, "abstains_below": 0.3,
        }))
        .unwrap();
        let text = suggestions_text(&answer);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("  36 uses,  67 % of them well"), "{text}");
        assert!(lines[1].contains("by related words") && !lines[1].contains("uses"), "{text}");
    }
}
