//! `/api/context` and `/api/compact`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{NAME, NAME_OR_EMPTY, Rule, input, int, text};
use crate::id::{ActionId, BlockingId, BriefId, MessageId, ProjectId, RequestId, SubtaskId};
use crate::json::JsonObject;
use crate::model::{RequestStatus, SubtaskStatus, ToolType};
use crate::time::Timestamp;

/// The budget of a brief in tokens.
const BUDGET: Rule = int(100, 8000);
const HISTORY: Rule = int(1, 50);

crate::model::wire_enum! {
    /// How `GET /api/context/{agent_id}` answers.
    BriefFormat {
        /// A compiled text.
        Brief = "brief",
        /// The data it would be compiled from.
        Raw = "raw",
    }
}

input! {
    /// `GET /api/context/{agent_id}`
    ContextGet {
        /// The agent that is to be briefed.
        agent_id: String [NAME],
        /// Its session; the latest active one of the agent unless given.
        session_id: Option<String> [NAME],
        /// What kind of agent it is; guessed from its id unless given.
        agent_type: Option<String> [NAME],
        /// `brief` (unless given) or `raw`.
        format: Option<BriefFormat>,
        /// The budget of the brief in tokens, 100 to 8000; 2000 unless given.
        max_tokens: Option<i32> [BUDGET],
        /// Whether recent actions are included; yes unless given.
        include_history: Option<bool>,
        /// Whether unread messages are included; yes unless given.
        include_messages: Option<bool>,
        /// Whether blockings are included; yes unless given.
        include_blocking: Option<bool>,
        /// How many recent actions, 1 to 50; 10 unless given.
        history_limit: Option<i32> [HISTORY],
        /// Whether the answer says of everything that could stand in the brief why it does or does not.
        explain: Option<bool>,
    }
}

input! {
    /// `POST /api/context/generate`
    ContextGenerate {
        /// The agent that is to be briefed.
        agent_id: String [NAME] => "Missing required field: agent_id",
        /// Its session.
        session_id: String [NAME] => "Missing required field: session_id",
        /// What kind of agent it is; guessed from its id unless given.
        agent_type: Option<String> [NAME_OR_EMPTY],
        /// The budget of the brief in tokens, 100 to 8000; 2000 unless given.
        max_tokens: Option<i32> [BUDGET],
        /// Whether recent actions are included; yes unless given.
        include_history: Option<bool>,
        /// Whether unread messages are included; yes unless given.
        include_messages: Option<bool>,
        /// Whether blockings are included; yes unless given.
        include_blocking: Option<bool>,
        /// How many recent actions, 1 to 50; 10 unless given.
        history_limit: Option<i32> [HISTORY],
        /// The project; that of the session unless given.
        project_id: Option<ProjectId>,
        /// Whether the answer says of everything that could stand in the brief why it does or does not.
        explain: Option<bool>,
    }
}

input! {
    /// `POST /api/compact/restore`
    CompactRestore {
        /// The session whose context was compacted.
        session_id: String [NAME],
        /// The agent that is to be briefed.
        agent_id: String [NAME],
        /// What kind of agent it is; `developer` unless given.
        agent_type: Option<String> [NAME],
        /// The summary that replaced the context; it is part of the budget.
        compact_summary: Option<String> [text(0, 8 << 20)],
        /// The budget of the brief in tokens, 100 to 8000; 2000 unless given.
        max_tokens: Option<i32> [BUDGET],
        /// Whether the answer says of everything that could stand in the brief why it does or does not.
        explain: Option<bool>,
    }
}

input! {
    /// `GET /api/compact/status/{session_id}`
    CompactStatus {
        /// The session.
        session_id: String [NAME],
    }
}

/// Where a line of a brief comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextSource {
    /// `task`, `message`, `blocking`, `history`, `session`, `project`, `file`, `failure`, `summary`, `snapshot` or
    /// `agent_context`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of the row; of a file, its path.
    pub id: String,
    /// Between 0 and 1.
    pub relevance: f64,
    /// One line for people.
    pub summary: String,
    /// The line of the brief that comes from it, the first is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// Why something is in a brief, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BriefChoice {
    /// The section it belongs to.
    pub section: String,
    /// The type of its source, see [`ContextSource::kind`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of its source.
    pub id: String,
    /// The line.
    pub text: String,
    /// What it is worth to readers of this kind.
    pub worth: f64,
    /// What it costs.
    pub tokens: i64,
    /// Whether it is in the brief.
    pub included: bool,
    /// Why.
    pub reason: String,
}

/// A compiled brief.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Brief {
    /// Its id.
    pub id: BriefId,
    /// The text, in Markdown.
    pub content: String,
    /// How many tokens it is estimated to cost.
    pub token_count: i64,
    /// Whether something had to be left out, or said in fewer words, to keep the budget.
    pub truncated: bool,
    /// When it was compiled.
    pub generated_at: Timestamp,
}

/// Answer to [`ContextGet`]: a brief, raw data, or the message that there is no session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ContextAnswer {
    /// `format=brief`.
    Brief {
        /// The agent.
        agent_id: String,
        /// Its session.
        session_id: String,
        /// What kind of agent it is taken for.
        agent_type: String,
        /// The brief.
        brief: Brief,
        /// Where it comes from.
        sources: Vec<ContextSource>,
        /// Why each candidate is in the brief or not; only when `explain` was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        explanation: Option<Vec<BriefChoice>>,
    },
    /// `format=raw`.
    Raw {
        /// The agent.
        agent_id: String,
        /// Its session.
        session_id: String,
        /// What kind of agent it is taken for.
        agent_type: String,
        /// The data.
        data: ContextData,
        /// How many rows of each kind.
        counts: ContextCounts,
    },
    /// The agent has no session.
    NoSession {
        /// The agent.
        agent_id: String,
        /// Always null.
        context: Option<()>,
        /// `No active session found for this agent`
        message: String,
    },
}

/// What a brief is compiled from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ContextData {
    /// The agent's open subtasks.
    pub tasks: Vec<ContextTask>,
    /// Its unread messages.
    pub messages: Vec<ContextMessage>,
    /// Who blocks it.
    pub blockings: Vec<ContextBlocking>,
    /// Its newest actions.
    pub history: Vec<ContextAction>,
    /// The newest request of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<ContextSession>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ContextProject>,
}

/// How many rows of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContextCounts {
    /// Subtasks.
    pub tasks: usize,
    /// Messages.
    pub messages: usize,
    /// Blockings.
    pub blockings: usize,
    /// Actions.
    pub history: usize,
}

/// A subtask of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextTask {
    /// The subtask.
    pub id: SubtaskId,
    /// What is to be done.
    pub description: Option<String>,
    /// Where it stands.
    pub status: SubtaskStatus,
    /// What kind of agent does it.
    pub agent_type: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// The subtasks it waits for.
    pub blocked_by: Option<Vec<SubtaskId>>,
    /// The name of its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
    /// The wave of its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave_number: Option<i32>,
}

/// A message to the agent that it has not read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextMessage {
    /// The message.
    pub id: MessageId,
    /// Who wrote it.
    pub from_agent: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// What it says.
    pub content: JsonObject,
    /// From 0 to 10.
    pub priority: i32,
    /// When it was written.
    pub created_at: Timestamp,
    /// Whether it is for everybody.
    pub is_broadcast: bool,
}

/// Who blocks the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextBlocking {
    /// The blocking.
    pub id: BlockingId,
    /// Who blocks.
    pub blocked_by_agent: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

/// An action of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextAction {
    /// The action.
    pub id: ActionId,
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
    /// The files it touched.
    pub file_paths: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The newest request of the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextSession {
    /// The request.
    pub id: RequestId,
    /// The session.
    pub session_id: String,
    /// Where the request stands.
    pub status: RequestStatus,
    /// When it was given.
    pub created_at: Timestamp,
    /// What the user wrote.
    pub prompt: String,
}

/// The project of the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextProject {
    /// The project.
    pub id: ProjectId,
    /// What people call it.
    pub name: Option<String>,
    /// Its path.
    pub path: String,
}

/// Answer to [`ContextGenerate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextGenerated {
    /// Always true.
    pub success: bool,
    /// The brief.
    pub brief: GeneratedBrief,
    /// Where it comes from.
    pub sources: Vec<ContextSource>,
    /// Why each candidate is in the brief or not; only when `explain` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Vec<BriefChoice>>,
}

/// A brief and whom it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratedBrief {
    /// Its id.
    pub id: BriefId,
    /// The agent.
    pub agent_id: String,
    /// What kind of agent it is taken for.
    pub agent_type: String,
    /// Its session.
    pub session_id: String,
    /// The text, in Markdown.
    pub content: String,
    /// How many tokens it is estimated to cost.
    pub token_count: i64,
    /// Whether something had to be left out, or said in fewer words, to keep the budget.
    pub truncated: bool,
    /// When it was compiled.
    pub generated_at: Timestamp,
}

/// Answer to [`CompactRestore`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompactRestored {
    /// Always true.
    pub success: bool,
    /// The text, in Markdown.
    pub brief: String,
    /// Where it comes from.
    pub sources: Vec<ContextSource>,
    /// Whether the session is known, and so was marked as compacted.
    pub session_compacted: bool,
    /// When it was compiled.
    pub restored_at: Timestamp,
    /// Why each candidate is in the brief or not; only when `explain` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Vec<BriefChoice>>,
}

/// Answer to [`CompactStatus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CompactState {
    /// The session has at least one request.
    Known {
        /// The session.
        session_id: String,
        /// Always true.
        exists: bool,
        /// Whether its context was compacted.
        compacted: bool,
        /// When.
        compacted_at: Option<Timestamp>,
        /// The summary that replaced the context.
        compact_summary: Option<String>,
        /// The agent that was briefed then.
        compact_agent: Option<String>,
    },
    /// Nothing is known of the session.
    Unknown {
        /// The session.
        session_id: String,
        /// Always false.
        exists: bool,
        /// Always false.
        compacted: bool,
    },
}
