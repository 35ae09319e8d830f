use serde_json::json;

use super::agent_contexts::note_agent;
use super::roll_up::{emit_subtask, set_subtask_status, subtask_event, task_child_changed};
use super::sessions::note_work_on_task;
use super::{nothing_to_update, unknown_parent};
use crate::api::NoContent;
use crate::api::subtasks::{SubtaskCreate, SubtaskDelete, SubtaskSaved, SubtaskUpdate};
use crate::error::{Error, Result};
use crate::id::SubtaskId;
use crate::model::{Subtask, SubtaskStatus};
use crate::storage::{Command, Footprint, State, agent_channels, session_channel};
use crate::time::Timestamp;

/// Refuses blockers that do not exist; naming one twice is harmless.
fn check_blockers(state: &State, blockers: Option<&Vec<SubtaskId>>) -> Result<()> {
    let known = blockers.into_iter().flatten().all(|id| state.subtasks.get(id).is_some());
    if known {
        return Ok(());
    }
    Err(Error::invalid_field(
        "One or more blocking subtask IDs not found",
        "blocked_by",
        "must hold ids of existing subtasks",
    ))
}

/// Writes a new subtask, announces it and rolls its state up.
pub(super) fn create_subtask(state: &mut State, session: Option<&str>, subtask: &Subtask, at: Timestamp) {
    emit_subtask(state, "subtask.created", subtask);
    state.put_subtask(session, subtask.clone());
    note_agent(state, session, subtask, at);
    task_child_changed(state, subtask.task_list_id, subtask.status == SubtaskStatus::Running, at);
}

/// Writes a changed subtask, announces it and, when its status changed, rolls its state up.
pub(super) fn change_subtask(
    state: &mut State,
    session: Option<&str>,
    subtask: &Subtask,
    before: SubtaskStatus,
    at: Timestamp,
) {
    let changed = subtask.status != before;
    emit_subtask(state, subtask_event(subtask, changed), subtask);
    state.put_subtask(session, subtask.clone());
    note_agent(state, session, subtask, at);
    if changed {
        task_child_changed(state, subtask.task_list_id, subtask.status == SubtaskStatus::Running, at);
    }
}

impl Command for SubtaskCreate {
    type Outcome = SubtaskSaved;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.tasks.insert(self.task_id);
        footprint.subtasks.extend(self.blocked_by.iter().flatten());
    }

    fn decide(&self, state: &mut State) -> Result<SubtaskSaved> {
        if state.tasks.get(&self.task_id).is_none() {
            return Err(unknown_parent("Task", self.task_id));
        }
        check_blockers(state, self.blocked_by.as_ref())?;
        let mut subtask = Subtask {
            id: state.ids.next(),
            task_list_id: self.task_id,
            agent_type: self.agent_type.clone(),
            agent_id: self.agent_id.clone(),
            description: Some(self.description.clone()),
            status: SubtaskStatus::Pending,
            blocked_by: Some(self.blocked_by.clone().unwrap_or_default()),
            created_at: state.now,
            started_at: None,
            completed_at: None,
            context_snapshot: self.context_snapshot.clone(),
            result: None,
            external_key: None,
        };
        let now = state.now;
        set_subtask_status(&mut subtask, self.status.unwrap_or(SubtaskStatus::Pending), now);
        create_subtask(state, None, &subtask, now);
        note_work_on_task(state, self.task_id);
        Ok(SubtaskSaved { success: true, subtask: subtask.into() })
    }
}

impl Command for SubtaskUpdate {
    type Outcome = SubtaskSaved;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subtasks.insert(self.id);
        footprint.subtasks.extend(self.blocked_by.iter().flatten());
    }

    fn decide(&self, state: &mut State) -> Result<SubtaskSaved> {
        let agent_id = self.agent_id.as_deref().filter(|id| !id.is_empty());
        if self.status.is_none() && self.result.is_none() && agent_id.is_none() && self.blocked_by.is_none() {
            return Err(nothing_to_update());
        }
        let mut subtask = state.subtasks.get(&self.id).ok_or_else(|| Error::not_found("Subtask"))?.clone();
        check_blockers(state, self.blocked_by.as_ref())?;
        if let Some(result) = &self.result {
            subtask.result = Some(result.clone());
        }
        if let Some(agent_id) = agent_id {
            subtask.agent_id = Some(agent_id.to_owned());
        }
        if let Some(blockers) = &self.blocked_by {
            subtask.blocked_by = Some(blockers.clone());
        }
        let before = subtask.status;
        let now = state.now;
        if let Some(status) = self.status {
            set_subtask_status(&mut subtask, status, now);
        }
        change_subtask(state, None, &subtask, before, now);
        note_work_on_task(state, subtask.task_list_id);
        Ok(SubtaskSaved { success: true, subtask: subtask.into() })
    }
}

impl Command for SubtaskDelete {
    type Outcome = NoContent;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subtasks.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<NoContent> {
        delete_subtask(state, self.id)?;
        Ok(NoContent)
    }

    fn alone(&self) -> bool {
        true
    }
}

/// Removes a subtask with its actions, announces that and rolls the state of the others up.
pub(super) fn delete_subtask(state: &mut State, id: SubtaskId) -> Result<()> {
    let subtask = state.remove_subtask(id).ok_or_else(|| Error::not_found("Subtask"))?;
    let session = state.session_of_task(subtask.task_list_id).map(str::to_owned);
    let data =
        json!({"id": subtask.id, "task_list_id": subtask.task_list_id, "agent_type": subtask.agent_type});
    let channels = agent_channels(subtask.agent_id.as_deref(), subtask.agent_type.as_deref())
        .chain(session_channel(session.as_deref()));
    state.emit("subtask.deleted", channels, data.clone(), data);
    let now = state.now;
    task_child_changed(state, subtask.task_list_id, false, now);
    Ok(())
}
