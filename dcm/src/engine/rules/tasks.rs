use serde_json::json;

use super::roll_up::{emit_task, request_child_changed, set_task_status, task_event};
use super::sessions::note_work_on_task;
use super::{nothing_to_update, unknown_parent};
use crate::api::NoContent;
use crate::api::tasks::{TaskCreate, TaskDelete, TaskSaved, TaskUpdate};
use crate::error::{Error, ErrorKind, Result};
use crate::id::RequestId;
use crate::model::{Task, TaskStatus};
use crate::storage::{Command, Footprint, State, session_channel};
use crate::time::Timestamp;

/// The wave after the highest that `request` has.
fn next_wave(state: &State, request: RequestId) -> Result<i32> {
    let highest = state.request_tallies.get(&request).and_then(|tally| tally.max_wave);
    let next = highest.map_or(Some(0), |wave| wave.checked_add(1));
    next.ok_or_else(|| {
        Error::new(
            ErrorKind::Conflict,
            format!("No wave comes after wave {} of this request; give a wave_number", i32::MAX),
        )
    })
}

/// A new task of `request`, written and announced.
pub(super) fn create_task(
    state: &mut State,
    request: RequestId,
    wave: i32,
    name: Option<String>,
    status: TaskStatus,
    at: Timestamp,
) -> Task {
    let mut task = Task {
        id: state.ids.next(),
        request_id: request,
        name: Some(name.unwrap_or_else(|| format!("Wave {wave}"))),
        wave_number: wave,
        status: TaskStatus::Pending,
        created_at: at,
        completed_at: None,
    };
    set_task_status(&mut task, status, at);
    emit_task(state, "task.created", &task);
    state.put_task(task.clone());
    request_child_changed(state, request, at);
    task
}

impl Command for TaskCreate {
    type Outcome = TaskSaved;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.requests.insert(self.request_id);
    }

    fn decide(&self, state: &mut State) -> Result<TaskSaved> {
        if state.requests.get(&self.request_id).is_none() {
            return Err(unknown_parent("Request", self.request_id));
        }
        let wave = match self.wave_number {
            Some(wave) => wave,
            None => next_wave(state, self.request_id)?,
        };
        let status = self.status.unwrap_or(TaskStatus::Pending);
        let now = state.now;
        let task = create_task(state, self.request_id, wave, self.name.clone(), status, now);
        note_work_on_task(state, task.id);
        Ok(TaskSaved { success: true, task })
    }
}

impl Command for TaskUpdate {
    type Outcome = TaskSaved;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.tasks.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<TaskSaved> {
        if self.status.is_none() && self.name.is_none() {
            return Err(nothing_to_update());
        }
        let mut task = state.tasks.get(&self.id).ok_or_else(|| Error::not_found("Task"))?.clone();
        if let Some(name) = &self.name {
            task.name = Some(name.clone());
        }
        let before = task.status;
        if let Some(status) = self.status {
            set_task_status(&mut task, status, state.now);
        }
        let changed = task.status != before;
        emit_task(state, task_event(&task, changed), &task);
        state.put_task(task.clone());
        note_work_on_task(state, task.id);
        if changed {
            let now = state.now;
            request_child_changed(state, task.request_id, now);
        }
        Ok(TaskSaved { success: true, task })
    }
}

impl Command for TaskDelete {
    type Outcome = NoContent;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.tasks.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<NoContent> {
        let task = state.remove_task(self.id).ok_or_else(|| Error::not_found("Task"))?;
        let session = state.requests.get(&task.request_id).map(|request| request.session_id.clone());
        let data = json!({"id": task.id, "request_id": task.request_id, "wave_number": task.wave_number});
        state.emit("task.deleted", session_channel(session.as_deref()), data.clone(), data);
        let now = state.now;
        request_child_changed(state, task.request_id, now);
        Ok(NoContent)
    }

    fn alone(&self) -> bool {
        true
    }
}
