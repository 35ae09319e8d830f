use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TaskStatus;
use crate::id::{RequestId, TaskId};
use crate::time::Timestamp;

/// One wave of subtasks that run side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The request it belongs to.
    pub request_id: RequestId,
    /// What people call it.
    pub name: Option<String>,
    /// Its place in the order of waves, from 0.
    pub wave_number: i32,
    /// Where it stands.
    pub status: TaskStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}
