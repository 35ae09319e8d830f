//! What a case works on: names and paths that nothing else uses, and small trees.

use std::sync::Arc;

use uuid::Uuid;

use super::expect::must;
use super::inputs;
use crate::api::actions::ActionRecord;
use crate::api::hierarchy::HierarchyGet;
use crate::api::projects::ProjectGet;
use crate::api::requests::RequestGet;
use crate::api::sessions::{SessionDetail, SessionGet};
use crate::api::subtasks::{SubtaskGet, SubtaskWithActions};
use crate::api::tasks::TaskGet;
use crate::api::{Api, hierarchy};
use crate::id::{IdSource, ProjectId, RequestId, SubtaskId, TaskId};
use crate::model::{Project, Request, Subtask, SubtaskStatus, Task};
use crate::time::{Clock, SystemClock, Timestamp};

/// Unique names for one case, and the steps that many cases begin with.
pub(super) struct Fixture {
    ids: IdSource,
    tag: String,
}

/// A project with one request and one task.
pub(super) struct Tree {
    pub(super) project: Project,
    pub(super) session_id: String,
    pub(super) request: Request,
    pub(super) task: Task,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let ids = IdSource::new(Arc::new(SystemClock));
        let tag = letters(ids.next());
        Self { ids, tag }
    }

    /// A name for `role` that no other case has. Nothing in it but `role` means anything to DCM.
    pub(super) fn name(&self, role: &str) -> String {
        format!("{}-{role}", self.tag)
    }

    /// A word that was never seen before: letters only, no vowels, 20 characters.
    pub(super) fn word(&self) -> String {
        letters(self.ids.next())
    }

    /// A project path that no other case has.
    pub(super) fn path(&self, leaf: &str) -> String {
        format!("/conformance/{}/{leaf}", self.tag)
    }

    /// An id that nothing has.
    pub(super) fn unknown<Id: From<Uuid>>(&self) -> Id {
        self.ids.next()
    }

    /// An instant of some seconds ago, in whole milliseconds, as the wire carries them.
    pub(super) fn recently() -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis()).plus_millis(-10_000)
    }

    pub(super) async fn project(&self, api: &impl Api, leaf: &str) -> Project {
        must(api.execute(inputs::project(&self.path(leaf))).await, "creating a project").project
    }

    pub(super) async fn request(&self, api: &impl Api, project: ProjectId, session_id: &str) -> Request {
        must(api.execute(inputs::request(project, session_id)).await, "creating a request").request
    }

    pub(super) async fn task(&self, api: &impl Api, request: RequestId) -> Task {
        must(api.execute(inputs::task(request)).await, "creating a task").task
    }

    pub(super) async fn subtask(&self, api: &impl Api, task: TaskId, status: SubtaskStatus) -> Subtask {
        let input = crate::api::subtasks::SubtaskCreate { status: Some(status), ..inputs::subtask(task) };
        must(api.execute(input).await, "creating a subtask").subtask.subtask
    }

    /// A project, a request in a session of its own, and the first task.
    pub(super) async fn tree(&self, api: &impl Api) -> Tree {
        let project = self.project(api, "tree").await;
        let session_id = self.name("tree-session");
        let request = self.request(api, project.id, &session_id).await;
        let task = self.task(api, request.id).await;
        Tree { project, session_id, request, task }
    }
}

/// 80 bits of a fresh id as consonants: a word to every tokenizer, and no stem of anything.
fn letters(id: Uuid) -> String {
    const ALPHABET: [char; 16] =
        ['b', 'c', 'f', 'h', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 't', 'v', 'w', 'x', 'z'];
    let half = |byte: u8| ALPHABET[usize::from(byte & 15)];
    id.as_bytes()[6..].iter().flat_map(|&byte| [half(byte >> 4), half(byte)]).collect()
}

/// The project as it is now.
pub(super) async fn project_now(api: &impl Api, id: ProjectId) -> crate::api::projects::ProjectWithRequests {
    must(api.execute(ProjectGet { id }).await, "reading a project").project
}

/// The request as it is now.
pub(super) async fn request_now(api: &impl Api, id: RequestId) -> Request {
    must(api.execute(RequestGet { id }).await, "reading a request").request.request
}

/// The task as it is now.
pub(super) async fn task_now(api: &impl Api, id: TaskId) -> Task {
    must(api.execute(TaskGet { id }).await, "reading a task").task.task
}

/// The subtask as it is now, with its actions.
pub(super) async fn subtask_now(api: &impl Api, id: SubtaskId) -> SubtaskWithActions {
    must(api.execute(SubtaskGet { id }).await, "reading a subtask").subtask
}

/// The session as it is now.
pub(super) async fn session_now(api: &impl Api, id: &str) -> SessionDetail {
    must(api.execute(SessionGet { id: id.to_owned() }).await, "reading a session")
}

/// The tree of a project as it is now.
pub(super) async fn hierarchy_now(api: &impl Api, project_id: ProjectId) -> hierarchy::Hierarchy {
    must(api.execute(HierarchyGet { project_id }).await, "reading a hierarchy")
}

/// Changes the status of a subtask.
pub(super) async fn set_subtask(api: &impl Api, id: SubtaskId, status: SubtaskStatus) -> Subtask {
    let input = crate::api::subtasks::SubtaskUpdate { status: Some(status), ..inputs::subtask_change(id) };
    must(api.execute(input).await, "changing the status of a subtask").subtask.subtask
}

/// Records an action.
pub(super) async fn record(api: &impl Api, action: ActionRecord) -> crate::api::actions::RecordedAction {
    must(api.execute(action).await, "recording an action").action
}
