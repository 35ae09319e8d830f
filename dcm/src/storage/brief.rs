//! What a brief is compiled from, and what is kept for it while work is recorded.

use crate::api::context::{ContextMessage, ContextProject};
use crate::id::{ActionId, AgentContextId, BlockingId, CompactionId, ProjectId, RequestId, SubtaskId};
use crate::json::JsonObject;
use crate::model::{RequestStatus, SubtaskStatus};
use crate::time::Timestamp;

/// Whose brief is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BriefQuery {
    /// The agent.
    pub agent_id: String,
    /// What kind of agent it is, as the caller says: work that waits for one of its kind is its own, too.
    pub agent_type: Option<String>,
    /// What kind of agent it is where neither the caller nor the session's records say so.
    pub assumed_type: String,
    /// The session it is scoped to.
    pub session_id: String,
    /// The project, if the caller names one; else that of the session.
    pub project_id: Option<ProjectId>,
    /// How many pieces of work of one state are wanted, and messages; other lists are in proportion.
    pub lines: u32,
    /// How many of the newest tool calls are wanted.
    pub steps: u32,
    /// Messages that have not expired at this instant.
    pub now: Timestamp,
}

impl BriefQuery {
    /// How many prompts are wanted.
    #[must_use]
    pub fn prompts(&self) -> u32 {
        (self.lines / 2).max(5)
    }

    /// How many contexts of other sessions are wanted.
    #[must_use]
    pub fn contexts(&self) -> u32 {
        (self.lines / 8).max(5)
    }

    /// How many open failures are wanted.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.lines.max(40)
    }

    /// How many rows of files are wanted: one for each set of files and tool.
    #[must_use]
    pub fn files(&self) -> u32 {
        self.lines.saturating_mul(2).max(150)
    }

    /// How many of the newest calls that touched files are looked at.
    #[must_use]
    pub fn file_calls(&self) -> u32 {
        self.files().saturating_mul(4)
    }
}

/// A list of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BriefList {
    /// [`BriefRows::prompts`]
    Prompts,
    /// [`BriefRows::work`]
    Work,
    /// [`BriefRows::messages`]
    Messages,
    /// [`BriefRows::blockings`]
    Blockings,
    /// [`BriefRows::files`]
    Files,
    /// [`BriefRows::failures`]
    Failures,
    /// [`BriefRows::contexts`]
    Contexts,
}

/// Candidates for a brief, of one session and its project. Every list is bounded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BriefRows {
    /// What kind of agent it is: as the caller says, else as the session's records say, else as was assumed.
    pub agent_type: String,
    /// The lists that hold less than the store.
    pub cut: Vec<BriefList>,
    /// The project.
    pub project: Option<ContextProject>,
    /// The newest prompts of the session, newest first.
    pub prompts: Vec<BriefPrompt>,
    /// Pieces of work of the session: those of the agent, what is open, and what ended last; oldest first.
    pub work: Vec<BriefWork>,
    /// What the open ones among them wait for, whatever became of it.
    pub blockers: Vec<BriefBlocker>,
    /// Unread messages to the agent, the most urgent first.
    pub messages: Vec<ContextMessage>,
    /// Who blocks the agent, whom it blocks, and who blocks agents with open work in the session; newest first.
    pub blockings: Vec<BriefBlocking>,
    /// Files that were touched by successful tool calls, the last touched first.
    pub files: Vec<BriefFile>,
    /// Tool calls that failed when they were last made, newest first.
    pub failures: Vec<BriefFailure>,
    /// The newest tool calls, newest first.
    pub steps: Vec<BriefStep>,
    /// The newest summary of a compaction.
    pub summary: Option<BriefSummary>,
    /// What was saved last before a compaction.
    pub snapshot: Option<BriefSnapshot>,
    /// What the agent did in other sessions of the project, newest first.
    pub contexts: Vec<BriefContext>,
}

/// A prompt of the user.
#[derive(Debug, Clone, PartialEq)]
pub struct BriefPrompt {
    /// The request.
    pub id: RequestId,
    /// What the user wrote; its beginning, when it is very long.
    pub text: String,
    /// Whether that is all of it.
    pub whole: bool,
    /// What the user added while the agent was at work.
    pub added: Vec<String>,
    /// Where the request stands.
    pub status: RequestStatus,
    /// When it was given.
    pub created_at: Timestamp,
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct BriefWork {
    /// The subtask.
    pub id: SubtaskId,
    /// What is to be done.
    pub description: Option<String>,
    /// Where it stands.
    pub status: SubtaskStatus,
    /// What kind of agent does it.
    pub agent_type: Option<String>,
    /// Which agent does it.
    pub agent_id: Option<String>,
    /// The name of its task.
    pub task_name: Option<String>,
    /// The wave of its task.
    pub wave_number: Option<i32>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// The subtasks it waits for.
    pub blocked_by: Vec<SubtaskId>,
    /// What came out of it.
    pub result: Option<JsonObject>,
}

/// A piece of work that another one waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BriefBlocker {
    /// The subtask.
    pub id: SubtaskId,
    /// What is to be done; its beginning.
    pub description: Option<String>,
    /// Where it stands.
    pub status: SubtaskStatus,
}

/// That one agent blocks another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BriefBlocking {
    /// The blocking.
    pub id: BlockingId,
    /// Who blocks.
    pub blocked_by: String,
    /// Who is blocked.
    pub blocked_agent: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

/// Files that one tool touched together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BriefFile {
    /// The files; mostly one.
    pub paths: Vec<String>,
    /// The tool.
    pub tool_name: String,
    /// How often.
    pub times: i64,
    /// When it did so last.
    pub last_at: Timestamp,
}

/// A tool call that failed when it was last made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFailure {
    /// The call.
    pub action_id: ActionId,
    /// The tool.
    pub tool_name: String,
    /// What was tried: a command, a path.
    pub attempt: String,
    /// What the tool said.
    pub detail: Option<String>,
    /// Not 0.
    pub exit_code: i32,
    /// How often in a row.
    pub times: i32,
    /// When it failed last.
    pub failed_at: Timestamp,
}

/// An open failure, with whose it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BriefFailure {
    /// What failed.
    pub failure: OpenFailure,
    /// The agent that made the call, where that is known.
    pub agent_id: Option<String>,
}

/// What a batch does to the open failure of one thing that is tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureChange {
    /// First: a failure that is not younger than this is mended.
    pub mended_at: Option<Timestamp>,
    /// Then: it failed.
    pub failed: Option<OpenFailure>,
}

impl FailureChange {
    pub(crate) fn failed(mut self, failure: OpenFailure) -> Self {
        if self.mended_at.is_some_and(|mended| mended >= failure.failed_at) {
            return self;
        }
        let times = self.failed.as_ref().map_or(0, |earlier| earlier.times);
        let newest = match self.failed.take() {
            Some(earlier) if earlier.failed_at > failure.failed_at => earlier,
            _ => failure,
        };
        self.failed = Some(OpenFailure { times: times.saturating_add(1), ..newest });
        self
    }

    pub(crate) fn mended(mut self, at: Timestamp) -> Self {
        self.mended_at = self.mended_at.max(Some(at));
        self.failed = self.failed.filter(|failure| failure.failed_at > at);
        self
    }

    pub(crate) fn only_if(mut self, keeps: impl Fn(ActionId) -> bool) -> Self {
        self.failed = self.failed.filter(|failure| keeps(failure.action_id));
        self
    }
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BriefStep {
    /// The call.
    pub id: ActionId,
    /// The agent that made it, where that is known.
    pub agent_id: Option<String>,
    /// The tool.
    pub tool_name: String,
    /// What went in; its beginning.
    pub input: Option<String>,
    /// The files it touched.
    pub paths: Vec<String>,
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a compaction kept of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct BriefSummary {
    /// The compaction.
    pub id: CompactionId,
    /// What was summed up; its beginning, when it is very long.
    pub text: String,
    /// When.
    pub created_at: Timestamp,
}

/// What was saved before a compaction.
#[derive(Debug, Clone, PartialEq)]
pub struct BriefSnapshot {
    /// The row that keeps it.
    pub id: CompactionId,
    /// What was saved.
    pub saved: JsonObject,
    /// When.
    pub created_at: Timestamp,
}

/// How an agent left its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BriefContext {
    /// The context.
    pub id: AgentContextId,
    /// What it was at, and what came of it.
    pub progress: String,
    /// When.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(at: i64) -> OpenFailure {
        OpenFailure {
            action_id: uuid::Uuid::from_u128(u128::try_from(at).unwrap()).into(),
            tool_name: "Bash".to_owned(),
            attempt: "make".to_owned(),
            detail: None,
            exit_code: 2,
            times: 1,
            failed_at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn a_success_mends_what_failed_before_it_only() {
        let twice = FailureChange::default().failed(failure(1)).failed(failure(2));
        assert_eq!(twice.failed.as_ref().map(|one| (one.times, one.failed_at.as_millis())), Some((2, 2)));
        let mended = twice.mended(Timestamp::from_millis(3));
        assert_eq!((mended.failed.is_some(), mended.mended_at), (false, Some(Timestamp::from_millis(3))));
        assert_eq!(mended.clone().failed(failure(2)), mended, "an older failure comes late");
        let again = mended.failed(failure(4));
        assert_eq!(again.failed.map(|one| one.times), Some(1), "the count begins anew");
    }
}
