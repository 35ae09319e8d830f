//! Briefs: what an agent should know now, in Markdown, within a budget of tokens.
//!
//! A brief is compiled, not concatenated. [Candidates](crate::storage::BriefRows) come from the store: the user's newest
//! words, the agent's work and that of others, who blocks whom, what failed and was not mended, what sub-agents
//! returned, files in play, messages, what a compaction kept. Each becomes a line in one to three forms, from short to
//! full, with a worth that its family's template and its own score decide. The newest words of the user come first;
//! then each section gets its share of the budget, then lines compete by worth for each token, and what room is left
//! unfolds short forms and lengthens the quote. No line is cut in the middle of a word that has an end, none is said
//! twice, each names its source. The same rows at the same instant give the same bytes. No model is called.

mod calls;
mod candidates;
mod family;
mod files;
mod pack;
mod quote;
#[cfg(test)]
mod sessions;
mod summary;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

use crate::api::context::{BriefChoice, ContextSource};
use crate::id::ProjectId;
use crate::storage::{BriefList, BriefRows};
use crate::time::Timestamp;
use candidates::Candidates;
use quote::Request;

pub use family::{Family, infer_agent_type};
#[cfg(feature = "tokens")]
pub use tokens::O200k;
pub use tokens::{Estimate, TokenCounter};

/// The budget of a brief unless the caller gives one, in tokens.
const DEFAULT_BUDGET: i32 = 2000;

/// What a brief is to be.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of the caller for itself")]
#[derive(Debug, Clone, PartialEq)]
pub struct BriefOptions {
    /// Whom it is for.
    pub agent_id: String,
    /// The session it is scoped to.
    pub session_id: String,
    /// What kind of agent that is; when absent, as the session's records say.
    pub agent_type: Option<String>,
    /// What kind of agent it is taken for where neither is known; guessed from the id when absent.
    pub assumed_type: Option<String>,
    /// The budget in tokens, 100 to 8000.
    pub max_tokens: Option<i32>,
    /// How many recent actions are looked at.
    pub history_limit: Option<i32>,
    /// Whether files, failures and recent actions are included.
    pub include_history: bool,
    /// Whether unread messages are included.
    pub include_messages: bool,
    /// Whether blockings are included.
    pub include_blocking: bool,
    /// The project, when the caller names one.
    pub project_id: Option<ProjectId>,
    /// The summary of an earlier context; part of the budget.
    pub summary: Option<String>,
    /// Whether to say of each candidate why it is in or out.
    pub explain: bool,
}

impl BriefOptions {
    /// Everything included, with the default budget.
    #[must_use]
    pub fn new(agent_id: String, session_id: String) -> Self {
        Self {
            agent_id,
            session_id,
            agent_type: None,
            assumed_type: None,
            max_tokens: None,
            history_limit: None,
            include_history: true,
            include_messages: true,
            include_blocking: true,
            project_id: None,
            summary: None,
            explain: false,
        }
    }

    /// The kind of agent that it is taken for where neither the caller nor the session's records say.
    #[must_use]
    pub(crate) fn assumed_type(&self) -> String {
        self.assumed_type.clone().unwrap_or_else(|| infer_agent_type(&self.agent_id).to_owned())
    }

    fn budget(&self) -> i32 {
        self.max_tokens.unwrap_or(DEFAULT_BUDGET)
    }

    /// How many lines of one kind are read at most: one for every thirty tokens, which fills the budget where
    /// there are no others.
    pub(crate) fn lines(&self) -> u32 {
        u32::try_from(self.budget()).unwrap_or(0).div_ceil(30).max(20)
    }

    /// Whether nothing that could be said is missing from `rows`.
    fn has_all(&self, rows: &BriefRows) -> bool {
        rows.cut.iter().all(|list| match list {
            BriefList::Messages => !self.include_messages,
            BriefList::Blockings => !self.include_blocking,
            BriefList::Files | BriefList::Failures => !self.include_history,
            BriefList::Prompts | BriefList::Work | BriefList::Contexts => false,
        })
    }
}

/// A compiled text.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The text.
    pub content: String,
    /// What it costs, as the counter says; never more than the budget.
    pub token_count: i64,
    /// Whether something was left out.
    pub truncated: bool,
    /// Where its lines come from, each with the number of its line.
    pub sources: Vec<ContextSource>,
    /// Why each candidate is in or out; only when that was asked for.
    pub choices: Vec<BriefChoice>,
}

/// The estimated cost of a text in tokens, by the fast [`Estimate`].
#[must_use]
pub fn estimate_tokens(text: &str) -> i64 {
    i64::try_from(Estimate.count(text)).unwrap_or(i64::MAX)
}

/// Compiles a brief that costs at most `options.max_tokens`, as `counter` counts, for an agent of the kind that `rows`
/// say.
#[must_use]
pub fn compile(
    options: &BriefOptions,
    rows: &BriefRows,
    now: Timestamp,
    counter: &dyn TokenCounter,
) -> Compiled {
    let template = template::template(Family::of(&rows.agent_type));
    let budget = usize::try_from(options.budget()).unwrap_or(0);
    let candidates = Candidates {
        lines: candidates::collect(options, rows, now),
        all: options.has_all(rows),
        notes: candidates::notes(options, rows, now),
    };
    let packed = pack::pack(template, &request(rows), &candidates, budget, counter, options.explain);
    Compiled {
        token_count: i64::try_from(counter.count(&packed.content)).unwrap_or(i64::MAX),
        content: packed.content,
        truncated: packed.truncated,
        sources: packed.sources,
        choices: packed.choices,
    }
}

/// The newest words of the user: what was added while the agent was at work, then the prompt itself.
fn request(rows: &BriefRows) -> Request {
    // Nothing is left out of what nobody said.
    let Some(prompt) = rows.prompts.first() else { return Request { whole: true, ..Request::default() } };
    let added = prompt.added.iter().rev().flat_map(|text| text.lines());
    let source = ContextSource {
        kind: "session".to_owned(),
        id: prompt.id.to_string(),
        relevance: 1.0,
        summary: format!("Request: {}", text::cut(&prompt.text, 50)),
        line: None,
    };
    let lines = added.chain(prompt.text.lines()).map(str::to_owned).collect();
    Request { lines, whole: prompt.whole, source: Some(source) }
}

/// What is open in a session, for a snapshot.
pub(crate) fn open_work(rows: &BriefRows) -> Vec<serde_json::Value> {
    let open = rows.work.iter().filter(|work| !work.status.is_final());
    open.map(|work| {
        serde_json::json!({
            "id": work.id,
            "text": text::cut(work.description.as_deref().unwrap_or(""), 300),
            "status": work.status,
            "agent_id": work.agent_id,
        })
    })
    .collect()
}

/// Whether a task of a snapshot is one that the store named itself ([`open_work`]), as it stood then.
pub(crate) fn is_of_the_store(task: &serde_json::Value) -> bool {
    const MEMBERS: [&str; 4] = ["agent_id", "id", "status", "text"];
    task.as_object().is_some_and(|task| {
        task.len() == MEMBERS.len() && MEMBERS.iter().all(|name| task.contains_key(*name))
    })
}

/// The files that were changed in a session, the most relevant first, for a snapshot.
pub(crate) fn changed_files(rows: &BriefRows) -> Vec<String> {
    let project = rows.project.as_ref().map(|project| project.path.as_str());
    let files = files::rank(&rows.files, &[], project, None);
    files.ranked.into_iter().filter(|file| file.changes > 0).map(|file| file.path).collect()
}
