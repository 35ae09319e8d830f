//! `/api/hierarchy` and `/api/active-sessions`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::input;
use crate::id::{ProjectId, RequestId, SubtaskId, TaskId};
use crate::json::JsonObject;
use crate::model::{Project, ProjectStats, Request, Subtask, SubtaskStatus, Task};
use crate::time::Timestamp;

input! {
    /// `GET /api/hierarchy/{project_id}`
    HierarchyGet {
        /// The project.
        project_id: ProjectId,
    }
}

input! {
    /// `GET /api/active-sessions`
    ActiveAgents {}
}

/// Answer to [`HierarchyGet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hierarchy {
    /// The project with everything below it, down to subtasks.
    pub hierarchy: ProjectNode,
    /// The project in numbers.
    pub stats: Option<ProjectStats>,
    /// How many nodes of each kind are in this answer.
    pub counts: HierarchyCounts,
}

/// A project in the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectNode {
    /// The project itself.
    #[serde(flatten)]
    pub project: Project,
    /// Its requests, newest first.
    pub requests: Vec<RequestNode>,
}

/// A request in the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestNode {
    /// The request itself.
    #[serde(flatten)]
    pub request: Request,
    /// Its tasks, by wave.
    pub tasks: Vec<TaskNode>,
}

/// A task in the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskNode {
    /// The task itself.
    #[serde(flatten)]
    pub task: Task,
    /// Its subtasks, in the order of their creation.
    pub subtasks: Vec<SubtaskNode>,
}

/// A subtask in the tree: all of it but the context snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskNode {
    /// Its id.
    pub id: SubtaskId,
    /// The task it belongs to.
    pub task_list_id: TaskId,
    /// The same as `task_list_id`.
    pub task_id: TaskId,
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
    /// What came out of it.
    pub result: Option<JsonObject>,
}

impl From<Subtask> for SubtaskNode {
    fn from(subtask: Subtask) -> Self {
        Self {
            id: subtask.id,
            task_list_id: subtask.task_list_id,
            task_id: subtask.task_list_id,
            agent_type: subtask.agent_type,
            agent_id: subtask.agent_id,
            description: subtask.description,
            status: subtask.status,
            blocked_by: subtask.blocked_by,
            created_at: subtask.created_at,
            started_at: subtask.started_at,
            completed_at: subtask.completed_at,
            result: subtask.result,
        }
    }
}

/// How many nodes of each kind a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HierarchyCounts {
    /// Requests.
    pub requests: usize,
    /// Tasks.
    pub tasks: usize,
    /// Subtasks.
    pub subtasks: usize,
}

/// Answer to [`ActiveAgents`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActiveAgentList {
    /// Subtasks that are running, paused or blocked, the latest started first.
    pub active_agents: Vec<ActiveAgent>,
    /// How many.
    pub count: usize,
}

/// A subtask that is running, paused or blocked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActiveAgent {
    /// The project.
    pub project_id: Option<ProjectId>,
    /// Its name.
    pub project_name: Option<String>,
    /// Its path.
    pub project_path: Option<String>,
    /// The session.
    pub session_id: String,
    /// The request.
    pub request_id: RequestId,
    /// The subtask.
    pub subtask_id: SubtaskId,
    /// What kind of agent does it.
    pub agent_type: Option<String>,
    /// Which agent does it.
    pub agent_id: Option<String>,
    /// Where it stands.
    pub status: SubtaskStatus,
    /// What is to be done.
    pub current_task: Option<String>,
    /// The same as `current_task`.
    pub description: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// Its tool calls so far.
    pub actions_count: i64,
}
