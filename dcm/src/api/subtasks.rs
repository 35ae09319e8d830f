//! `/api/subtasks`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::actions::ActionSummary;
use super::input::{LONG, NAME_OR_EMPTY, input};
use crate::id::{SubtaskId, TaskId};
use crate::json::JsonObject;
use crate::model::{Subtask, SubtaskStatus};

input! {
    /// `POST /api/subtasks`
    SubtaskCreate {
        /// The task it belongs to; must exist.
        task_id: TaskId,
        /// What is to be done.
        description: String [LONG],
        /// What kind of agent does it.
        agent_type: Option<String> [NAME_OR_EMPTY],
        /// Which agent does it.
        agent_id: Option<String> [NAME_OR_EMPTY],
        /// Where it stands; `pending` unless given.
        status: Option<SubtaskStatus>,
        /// The subtasks it waits for; each must exist.
        blocked_by: Option<Vec<SubtaskId>>,
        /// What the agent knows at the start.
        context_snapshot: Option<JsonObject>,
    }
}

input! {
    /// `GET /api/subtasks`
    SubtaskList {
        /// Only those of this task.
        task_id: Option<TaskId>,
        /// Only those that stand so; an unknown word matches nothing.
        status: Option<String>,
        /// Only those of this kind of agent.
        agent_type: Option<String>,
        /// Only those of this agent.
        agent_id: Option<String>,
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

input! {
    /// `GET /api/subtasks/{id}`
    SubtaskGet {
        /// The subtask.
        id: SubtaskId,
    }
}

input! {
    /// `PATCH /api/subtasks/{id}`
    SubtaskUpdate {
        /// The subtask.
        id: SubtaskId,
        /// Where it stands now.
        status: Option<SubtaskStatus>,
        /// What came out of it.
        result: Option<JsonObject>,
        /// Which agent does it now.
        agent_id: Option<String> [NAME_OR_EMPTY],
        /// The subtasks it waits for now; each must exist.
        blocked_by: Option<Vec<SubtaskId>>,
    }
}

input! {
    /// `DELETE /api/subtasks/{id}`
    SubtaskDelete {
        /// The subtask.
        id: SubtaskId,
    }
}

/// Answer to [`SubtaskCreate`] and [`SubtaskUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskSaved {
    /// Always true.
    pub success: bool,
    /// The subtask as it is now.
    pub subtask: SubtaskView,
}

/// A subtask with `task_id`, the other name of `task_list_id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskView {
    /// The subtask itself.
    #[serde(flatten)]
    pub subtask: Subtask,
    /// The same as `task_list_id`.
    pub task_id: TaskId,
}

impl From<Subtask> for SubtaskView {
    fn from(subtask: Subtask) -> Self {
        Self { task_id: subtask.task_list_id, subtask }
    }
}

/// Answer to [`SubtaskList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskPage {
    /// The subtasks.
    pub subtasks: Vec<SubtaskView>,
    /// How many are in this answer.
    pub count: usize,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

/// Answer to [`SubtaskGet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskDetail {
    /// The subtask.
    pub subtask: SubtaskWithActions,
}

/// A subtask with its actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskWithActions {
    /// The subtask itself.
    #[serde(flatten)]
    pub subtask: SubtaskView,
    /// Its actions, in the order in which they were made.
    pub actions: Vec<ActionSummary>,
}
