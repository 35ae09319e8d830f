use serde_json::json;

use super::unknown_parent;
use crate::api::NoContent;
use crate::api::sessions::{SessionCreate, SessionDelete, SessionUpdate};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ProjectId, TaskId};
use crate::model::Session;
use crate::storage::{Command, Footprint, State, session_channel};
use crate::time::Timestamp;

pub(super) fn emit_session(state: &mut State, name: &'static str, id: &str) {
    let data = json!({"id": id, "session_id": id});
    state.emit(name, session_channel(Some(id)), data.clone(), data);
}

/// Makes the session when there is none, and gives it the project when it has none.
pub(super) fn ensure_session(state: &mut State, id: &str, project: Option<ProjectId>, at: Timestamp) {
    if let Some(session) = state.sessions.get(&id.to_owned()) {
        if session.project_id.is_none() && project.is_some() {
            state.sessions.update(&id.to_owned(), |session| session.project_id = project);
            emit_session(state, "session.updated", id);
        }
        return;
    }
    let session = Session {
        id: id.to_owned(),
        project_id: project,
        started_at: at,
        ended_at: None,
        total_tools_used: 0,
        total_success: 0,
        total_errors: 0,
        created_automatically: true,
        last_seen_at: Some(at),
        ended_by_cleanup: false,
    };
    state.sessions.put(id.to_owned(), session);
    emit_session(state, "session.created", id);
}

/// Notes that something happened in a session; `succeeded` when it was a tool call.
pub(super) fn touch_session(state: &mut State, id: &str, at: Timestamp, succeeded: Option<bool>) {
    let Some(session) = state.sessions.get(&id.to_owned()) else { return };
    // A session that goes on after its end was not at its end.
    let goes_on = session.ended_at.is_some_and(|ended| at > ended);
    if succeeded.is_none() && !goes_on && session.last_seen_at >= Some(at) {
        return;
    }
    state.sessions.update(&id.to_owned(), |session| {
        session.last_seen_at = session.last_seen_at.max(Some(at));
        if goes_on {
            reopen(session);
        }
        match succeeded {
            Some(true) => session.total_success = session.total_success.saturating_add(1),
            Some(false) => session.total_errors = session.total_errors.saturating_add(1),
            None => return,
        }
        session.total_tools_used = session.total_tools_used.saturating_add(1);
    });
    if goes_on {
        emit_session(state, "session.updated", id);
    }
}

/// Notes that somebody works in a session now, though no tool was called: something below it was made or changed.
///
/// An end that somebody set stands, because work is also put in order afterwards; one that was only guessed from silence
/// does not.
pub(super) fn note_work(state: &mut State, id: &str) {
    let Some(session) = state.sessions.get(&id.to_owned()) else { return };
    let (at, goes_on) = (state.now, session.ended_by_cleanup);
    if !goes_on && session.last_seen_at >= Some(at) {
        return;
    }
    state.sessions.update(&id.to_owned(), |session| {
        session.last_seen_at = session.last_seen_at.max(Some(at));
        if goes_on {
            reopen(session);
        }
    });
    if goes_on {
        emit_session(state, "session.updated", id);
    }
}

/// [`note_work`] for the session that a task belongs to.
pub(super) fn note_work_on_task(state: &mut State, task: TaskId) {
    if let Some(session) = state.session_of_task(task).map(str::to_owned) {
        note_work(state, &session);
    }
}

/// Takes back the end of a session.
pub(super) fn reopen(session: &mut Session) {
    session.ended_at = None;
    session.ended_by_cleanup = false;
}

impl Command for SessionCreate {
    type Outcome = Session;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sessions.insert(self.id.clone());
        footprint.projects.extend(self.project_id);
    }

    fn decide(&self, state: &mut State) -> Result<Session> {
        let known = state.sessions.get(&self.id).cloned();
        if known.as_ref().is_some_and(|session| !session.created_automatically) {
            return Err(
                Error::new(ErrorKind::Conflict, "Session already exists").with_extra("id", self.id.clone())
            );
        }
        if let Some(id) = self.project_id
            && state.projects.get(&id).is_none()
        {
            return Err(unknown_parent("Project", id));
        }
        // What was counted before the client said hello is kept unless the client knows better.
        let known_or = |read: fn(&Session) -> i32| known.as_ref().map_or(0, read);
        let session = Session {
            id: self.id.clone(),
            project_id: self.project_id.or_else(|| known.as_ref().and_then(|session| session.project_id)),
            started_at: self
                .started_at
                .or_else(|| known.as_ref().map(|session| session.started_at))
                .unwrap_or(state.now),
            // That nothing was heard of it for long is over now.
            ended_at: self.ended_at.or_else(|| {
                known
                    .as_ref()
                    .filter(|session| !session.ended_by_cleanup)
                    .and_then(|session| session.ended_at)
            }),
            total_tools_used: self
                .total_tools_used
                .unwrap_or_else(|| known_or(|session| session.total_tools_used)),
            total_success: self.total_success.unwrap_or_else(|| known_or(|session| session.total_success)),
            total_errors: self.total_errors.unwrap_or_else(|| known_or(|session| session.total_errors)),
            created_automatically: false,
            last_seen_at: known.as_ref().and_then(|session| session.last_seen_at).max(Some(state.now)),
            ended_by_cleanup: false,
        };
        state.sessions.put(self.id.clone(), session.clone());
        let event = if known.is_some() { "session.updated" } else { "session.created" };
        emit_session(state, event, &self.id);
        Ok(session)
    }
}

impl Command for SessionUpdate {
    type Outcome = Session;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sessions.insert(self.id.clone());
    }

    fn decide(&self, state: &mut State) -> Result<Session> {
        let mut session = state.sessions.get(&self.id).ok_or_else(|| Error::not_found("Session"))?.clone();
        let counters = [self.total_tools_used, self.total_success, self.total_errors];
        if self.ended_at.is_none() && counters.iter().all(Option::is_none) {
            return Err(Error::invalid("No fields to update"));
        }
        if self.ended_at.is_some() {
            session.ended_at = self.ended_at;
            session.ended_by_cleanup = false;
        } else {
            // Whoever counts its calls is at work in it.
            session.last_seen_at = session.last_seen_at.max(Some(state.now));
            if session.ended_by_cleanup {
                reopen(&mut session);
            }
        }
        session.total_tools_used = self.total_tools_used.unwrap_or(session.total_tools_used);
        session.total_success = self.total_success.unwrap_or(session.total_success);
        session.total_errors = self.total_errors.unwrap_or(session.total_errors);
        state.sessions.put(self.id.clone(), session.clone());
        let event = if self.ended_at.is_some() { "session.ended" } else { "session.updated" };
        emit_session(state, event, &self.id);
        Ok(session)
    }
}

impl Command for SessionDelete {
    type Outcome = NoContent;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sessions.insert(self.id.clone());
    }

    fn decide(&self, state: &mut State) -> Result<NoContent> {
        state.sessions.remove(&self.id).ok_or_else(|| Error::not_found("Session"))?;
        emit_session(state, "session.deleted", &self.id);
        Ok(NoContent)
    }
}
