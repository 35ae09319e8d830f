use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SubtaskStatus;
use crate::id::{AgentContextId, ProjectId, SubtaskId};
use crate::json::JsonObject;
use crate::time::Timestamp;

/// How an agent stands in a session: what it is at, or how it left its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentContext {
    /// Its id; the same for the same agent in the same session.
    pub id: AgentContextId,
    /// The project.
    pub project_id: Option<ProjectId>,
    /// The session; absent only in data that an older system left behind.
    pub session_id: Option<String>,
    /// The latest piece of work of the agent.
    pub subtask_id: Option<SubtaskId>,
    /// The agent; its kind, when it has no name.
    pub agent_id: String,
    /// What kind of agent it is.
    pub agent_type: String,
    /// Where its work stands.
    pub status: Option<SubtaskStatus>,
    /// Its task and result.
    pub role_context: JsonObject,
    /// Skills that it had loaded, as far as a client says.
    pub skills_to_restore: Vec<String>,
    /// The tools that it used for that work.
    pub tools_used: Vec<String>,
    /// One line for people.
    pub progress_summary: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When this was last brought up to date.
    pub last_updated: Timestamp,
}
