//! `/api/tasks`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hierarchy::SubtaskNode;
use super::input::{COUNTER, NAME, NAME_OR_EMPTY, input};
use crate::id::{RequestId, TaskId};
use crate::model::{Task, TaskStatus};

input! {
    /// `POST /api/tasks`
    TaskCreate {
        /// The request it belongs to; must exist.
        request_id: RequestId,
        /// What people call it; `Wave <n>` unless given.
        name: Option<String> [NAME_OR_EMPTY],
        /// Its place in the order of waves; the next free one unless given.
        wave_number: Option<i32> [COUNTER],
        /// Where it stands; `pending` unless given.
        status: Option<TaskStatus>,
    }
}

input! {
    /// `GET /api/tasks`
    TaskList {
        /// Only those of this request.
        request_id: Option<RequestId>,
        /// Only those that stand so; an unknown word matches nothing.
        status: Option<String>,
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

input! {
    /// `GET /api/tasks/{id}`
    TaskGet {
        /// The task.
        id: TaskId,
    }
}

input! {
    /// `PATCH /api/tasks/{id}`
    TaskUpdate {
        /// The task.
        id: TaskId,
        /// Where it stands now.
        status: Option<TaskStatus>,
        /// What people call it now.
        name: Option<String> [NAME],
    }
}

input! {
    /// `DELETE /api/tasks/{id}`
    TaskDelete {
        /// The task.
        id: TaskId,
    }
}

/// Answer to [`TaskCreate`] and [`TaskUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskSaved {
    /// Always true.
    pub success: bool,
    /// The task as it is now.
    pub task: Task,
}

/// Answer to [`TaskList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// How many are in this answer.
    pub count: usize,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

/// Answer to [`TaskGet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDetail {
    /// The task.
    pub task: TaskWithSubtasks,
}

/// A task with its subtasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskWithSubtasks {
    /// The task itself.
    #[serde(flatten)]
    pub task: Task,
    /// Its subtasks, in the order of their creation.
    pub subtasks: Vec<SubtaskNode>,
}
