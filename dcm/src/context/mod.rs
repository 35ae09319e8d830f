//! Briefs: what an agent should know now, in Markdown, within a budget of tokens (CONTRACT E, as corrected by M).

mod family;
mod sections;

use crate::api::context::{ContextSource, ContextTask};
use crate::id::ProjectId;
use crate::model::SubtaskStatus;
use crate::storage::ContextRows;
use crate::time::Timestamp;

pub use family::{Family, infer_agent_type};

/// The budget of a brief unless the caller gives one, in tokens.
const DEFAULT_BUDGET: i32 = 2000;

/// What a brief is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct BriefOptions {
    /// Whom it is for.
    pub agent_id: String,
    /// The session it is scoped to.
    pub session_id: String,
    /// What kind of agent that is; guessed from the id when absent.
    pub agent_type: Option<String>,
    /// The budget in tokens, 100 to 8000.
    pub max_tokens: Option<i32>,
    /// How many recent actions are looked at.
    pub history_limit: Option<i32>,
    /// Whether recent actions are included.
    pub include_history: bool,
    /// Whether unread messages are included.
    pub include_messages: bool,
    /// Whether blockings are included.
    pub include_blocking: bool,
    /// The project, when the caller names one.
    pub project_id: Option<ProjectId>,
    /// The summary of an earlier context; part of the budget.
    pub summary: Option<String>,
}

impl BriefOptions {
    /// Everything included, with the default budget.
    #[must_use]
    pub fn new(agent_id: String, session_id: String) -> Self {
        Self {
            agent_id,
            session_id,
            agent_type: None,
            max_tokens: None,
            history_limit: None,
            include_history: true,
            include_messages: true,
            include_blocking: true,
            project_id: None,
            summary: None,
        }
    }

    /// The given agent type, or the one that the id suggests.
    #[must_use]
    pub fn agent_type(&self) -> String {
        self.agent_type.clone().unwrap_or_else(|| infer_agent_type(&self.agent_id).to_owned())
    }
}

/// A compiled text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The text.
    pub content: String,
    /// Its estimated cost.
    pub token_count: i64,
    /// Whether something was left out.
    pub truncated: bool,
}

/// The estimated cost of a text: a quarter of its UTF-16 length, rounded up (CONTRACT E.4).
#[must_use]
pub fn estimate_tokens(text: &str) -> i64 {
    i64::try_from(text.encode_utf16().count().div_ceil(4)).unwrap_or(i64::MAX)
}

/// Compiles a brief that costs at most `options.max_tokens`.
#[must_use]
pub fn compile(options: &BriefOptions, agent_type: &str, rows: &ContextRows, now: Timestamp) -> Compiled {
    let family = Family::of(agent_type);
    let lines = sections::render(options, agent_type, family, rows, now);
    let budget = usize::try_from(options.max_tokens.unwrap_or(DEFAULT_BUDGET)).unwrap_or(0).saturating_mul(4);
    let (content, truncated) = fit(lines, budget);
    Compiled { token_count: estimate_tokens(&content), content, truncated }
}

const NOTICE: &str = "\n\n---\n*Shortened to fit the token budget.*";

/// Keeps whole lines, in order, while they fit into `budget` UTF-16 units, the notice included. A heading whose
/// section has no line left goes too.
fn fit(lines: Vec<String>, budget: usize) -> (String, bool) {
    let width = |line: &str| line.encode_utf16().count() + 1;
    let whole: usize = lines.iter().map(|line| width(line)).sum();
    if whole <= budget {
        return (lines.join("\n"), false);
    }
    let room = budget.saturating_sub(width(NOTICE));
    let mut used = 0;
    let mut kept: Vec<String> = Vec::new();
    for line in lines {
        // A line that is too long leaves room for shorter ones after it.
        if used + width(&line) <= room {
            used += width(&line);
            kept.push(line);
        }
    }
    let mut solid: Vec<String> = Vec::new();
    for (index, line) in kept.iter().enumerate() {
        let rest = kept[index + 1..].iter().find(|line| !line.is_empty());
        let empty_section = line.starts_with("## ") && rest.is_none_or(|next| next.starts_with("## "));
        if !empty_section {
            solid.push(line.clone());
        }
    }
    let mut content = solid.join("\n");
    content.truncate(content.trim_end().len());
    content.push_str(NOTICE);
    (content, true)
}

/// Where a brief comes from, in the order of CONTRACT E.2.
#[must_use]
pub fn sources(rows: &ContextRows) -> Vec<ContextSource> {
    let source = |kind: &str, id: String, relevance: f64, summary: String| ContextSource {
        kind: kind.to_owned(),
        id,
        relevance,
        summary,
    };
    let mut sources = Vec::new();
    for task in &rows.tasks {
        let relevance = if task.status == SubtaskStatus::Running { 1.0 } else { 0.8 };
        let summary = format!("Task: {}", first_chars(description(task), 50));
        sources.push(source("task", task.id.to_string(), relevance, summary));
    }
    for message in &rows.messages {
        let relevance = if message.priority >= 5 { 1.0 } else { 0.6 };
        let summary = format!("Message from {}", message.from_agent.as_deref().unwrap_or("system"));
        sources.push(source("message", message.id.to_string(), relevance, summary));
    }
    for blocking in &rows.blockings {
        let summary = format!("Blocked by {}", blocking.blocked_by_agent);
        sources.push(source("blocking", blocking.id.to_string(), 0.9, summary));
    }
    if !rows.history.is_empty() {
        let summary = format!("{} recent actions", rows.history.len());
        sources.push(source("history", "actions".to_owned(), 0.7, summary));
    }
    if let Some(session) = &rows.session {
        sources.push(source(
            "session",
            session.id.to_string(),
            0.8,
            format!("Session {}", session.session_id),
        ));
    }
    if let Some(project) = &rows.project {
        let summary = format!("Project {}", project.name.as_deref().unwrap_or(&project.path));
        sources.push(source("project", project.id.to_string(), 0.7, summary));
    }
    sources
}

fn description(task: &ContextTask) -> &str {
    task.description.as_deref().unwrap_or("(no description)")
}

fn first_chars(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_costs_more_than_its_budget(
            lines in proptest::collection::vec("(## )?[a-zé😀 ]{0,120}", 0..60),
            budget in 100usize..3000,
        ) {
            let (content, truncated) = fit(lines.clone(), budget * 4);
            prop_assert!(estimate_tokens(&content) <= i64::try_from(budget).unwrap());
            prop_assert!(truncated || content == lines.join("\n"));
        }
    }
}
