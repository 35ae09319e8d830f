//! How the state of children becomes the state of their parent (DESIGN 7.5).
//!
//! A parent completes when its last open child ends, and fails if a child failed. A child that is created or opened
//! again opens its parent again, unless that was cancelled. What a caller sets explicitly stands until the next change
//! of a child.

use serde_json::json;

use crate::id::{RequestId, TaskId};
use crate::model::{Request, RequestStatus, Subtask, SubtaskStatus, Task, TaskStatus};
use crate::storage::{State, Tally, agent_channels, reopens, session_channel};
use crate::time::Timestamp;

/// Says what became of a task.
pub(super) fn emit_task(state: &mut State, name: &'static str, task: &Task) {
    let data = json!({
        "id": task.id,
        "request_id": task.request_id,
        "wave_number": task.wave_number,
        "status": task.status,
    });
    let session = state.requests.get(&task.request_id).map(|request| request.session_id.clone());
    state.emit(name, session_channel(session.as_deref()), data.clone(), data);
}

/// Says what became of a request.
pub(super) fn emit_request(state: &mut State, name: &'static str, request: &Request) {
    let data = json!({
        "id": request.id,
        "project_id": request.project_id,
        "session_id": request.session_id,
        "prompt_type": request.prompt_type,
        "status": request.status,
    });
    state.emit(name, session_channel(Some(&request.session_id)), data.clone(), data);
}

/// Says what became of a subtask.
pub(super) fn emit_subtask(state: &mut State, name: &'static str, subtask: &Subtask) {
    let summary = json!({
        "id": subtask.id,
        "task_list_id": subtask.task_list_id,
        "agent_type": subtask.agent_type,
        "agent_id": subtask.agent_id,
        "status": subtask.status,
    });
    let mut data = summary.clone();
    data["description"] = json!(subtask.description);
    let session = state.session_of_task(subtask.task_list_id).map(str::to_owned);
    let channels = agent_channels(subtask.agent_id.as_deref(), subtask.agent_type.as_deref())
        .chain(session_channel(session.as_deref()));
    state.emit(name, channels, data, summary);
}

/// The event of a task that was changed; `status` says whether its status was.
pub(super) fn task_event(task: &Task, status: bool) -> &'static str {
    match task.status {
        TaskStatus::Completed if status => "task.completed",
        TaskStatus::Failed if status => "task.failed",
        _ => "task.updated",
    }
}

/// The event of a subtask that was changed; `status` says whether its status was.
pub(super) fn subtask_event(subtask: &Subtask, status: bool) -> &'static str {
    match subtask.status {
        SubtaskStatus::Completed if status => "subtask.completed",
        SubtaskStatus::Failed if status => "subtask.failed",
        _ => "subtask.updated",
    }
}

/// The event of a request that was changed; `status` says whether its status was.
pub(super) fn request_event(request: &Request, status: bool) -> &'static str {
    match request.status {
        RequestStatus::Completed if status => "request.completed",
        RequestStatus::Failed if status => "request.failed",
        _ => "request.updated",
    }
}

/// Gives a subtask a status and the times that go with it.
pub(super) fn set_subtask_status(subtask: &mut Subtask, status: SubtaskStatus, at: Timestamp) {
    if status == SubtaskStatus::Running && subtask.started_at.is_none() {
        subtask.started_at = Some(at);
    }
    subtask.completed_at = match (status.is_final(), subtask.completed_at) {
        (false, _) => None,
        (true, Some(before)) if subtask.status == status => Some(before),
        (true, _) => Some(at),
    };
    subtask.status = status;
}

/// Gives a task a status and the time that goes with it.
pub(super) fn set_task_status(task: &mut Task, status: TaskStatus, at: Timestamp) {
    task.completed_at = match (status.is_final(), task.completed_at) {
        (false, _) => None,
        (true, Some(before)) if task.status == status => Some(before),
        (true, _) => Some(at),
    };
    task.status = status;
}

/// Gives a request a status and the time that goes with it.
pub(super) fn set_request_status(request: &mut Request, status: RequestStatus, at: Timestamp) {
    request.completed_at = match (status.is_final(), request.completed_at) {
        (false, _) => None,
        (true, Some(before)) if request.status == status => Some(before),
        (true, _) => Some(at),
    };
    request.status = status;
}

/// After a subtask of `task` was created, ended, opened again or removed.
pub(super) fn task_child_changed(state: &mut State, id: TaskId, child_runs: bool, at: Timestamp) {
    let (Some(task), Some(tally)) = (state.tasks.get(&id), state.task_tallies.get(&id)) else { return };
    let status = match *tally {
        Tally { total: 0, .. } => return,
        Tally { open: 0, failed: 0, .. } => TaskStatus::Completed,
        Tally { open: 0, .. } => TaskStatus::Failed,
        _ if task.status.is_final() || (child_runs && task.status == TaskStatus::Pending) => {
            TaskStatus::Running
        }
        _ => return,
    };
    if status == task.status {
        return;
    }
    let mut task = task.clone();
    set_task_status(&mut task, status, at);
    let request = task.request_id;
    emit_task(state, task_event(&task, true), &task);
    state.put_task(task);
    request_child_changed(state, request, at);
}

/// After a task of `request` was created, ended, opened again or removed.
pub(super) fn request_child_changed(state: &mut State, id: RequestId, at: Timestamp) {
    let (Some(request), Some(tally)) = (state.requests.get(&id), state.request_tallies.get(&id)) else {
        return;
    };
    let status = match *tally {
        Tally { total: 0, .. } => return,
        _ if request.status == RequestStatus::Cancelled => return,
        Tally { open: 0, failed: 0, .. } => RequestStatus::Completed,
        Tally { open: 0, .. } => RequestStatus::Failed,
        _ if reopens(request.status) => RequestStatus::Active,
        _ => return,
    };
    if status == request.status {
        return;
    }
    let mut request = request.clone();
    set_request_status(&mut request, status, at);
    emit_request(state, request_event(&request, true), &request);
    state.put_request(request);
}
