use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SubtaskStatus;
use crate::id::{SubtaskId, TaskId};
use crate::json::JsonObject;
use crate::time::Timestamp;

/// One piece of work of one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subtask {
    /// Its id.
    pub id: SubtaskId,
    /// The wave it belongs to.
    pub task_list_id: TaskId,
    /// What kind of agent does it.
    pub agent_type: Option<String>,
    /// Which agent does it.
    pub agent_id: Option<String>,
    /// What is to be done.
    pub description: Option<String>,
    /// Where it stands.
    pub status: SubtaskStatus,
    /// The subtasks it waits for.
    pub blocked_by: Option<Vec<SubtaskId>>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// What the agent knew when it was created.
    pub context_snapshot: Option<JsonObject>,
    /// What came out of it.
    pub result: Option<JsonObject>,
    /// The key under which ingest knows it, unique within the session.
    #[serde(skip)]
    pub external_key: Option<String>,
}
