//! Sessions of which hardly anything has changed.

use std::collections::BTreeSet;

use super::State;
use crate::id::ProjectId;
use crate::model::Session;
use crate::time::Timestamp;

/// Where a session belongs, and from when to when it lasted: what it is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    project: Option<ProjectId>,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
}

impl Place {
    fn of(session: &Session) -> Self {
        Self { project: session.project_id, started_at: session.started_at, ended_at: session.ended_at }
    }
}

impl State {
    /// Takes a stored session.
    pub fn load_session(&mut self, session: Session) {
        self.session_places.insert(session.id.clone(), Place::of(&session));
        self.sessions.load(session.id.clone(), session);
    }

    /// The sessions that were stored and are found by the same as before, see
    /// [`Changes::touched_sessions`](super::Changes::touched_sessions).
    pub(super) fn touched_sessions(&self) -> BTreeSet<String> {
        let is_touched = |session: &&Session| {
            self.session_places.get(&session.id).is_some_and(|place| *place == Place::of(session))
        };
        self.sessions.changed().filter(is_touched).map(|session| session.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::IdSource;
    use crate::time::{Clock, SystemClock};

    fn session(id: &str, now: Timestamp) -> Session {
        Session {
            id: id.to_owned(),
            project_id: None,
            started_at: now,
            ended_at: None,
            total_tools_used: 0,
            total_success: 0,
            total_errors: 0,
            created_automatically: true,
            last_seen_at: None,
            ended_by_cleanup: false,
        }
    }

    #[test]
    fn sessions_that_are_found_by_something_else_are_written_whole() {
        let now = SystemClock.now();
        let mut state = State::new(now, IdSource::new(Arc::new(SystemClock)));
        for id in ["counted", "ended", "unchanged"] {
            state.load_session(session(id, now));
        }
        let counted = Session { total_tools_used: 1, last_seen_at: Some(now), ..session("counted", now) };
        let ended = Session { ended_at: Some(now), ..session("ended", now) };
        for changed in [counted, ended, session("new", now)] {
            state.sessions.put(changed.id.clone(), changed);
        }
        state.keep();
        let changes = state.into_changes();
        let written: Vec<&str> = changes.sessions.written.iter().map(|session| &*session.id).collect();
        assert_eq!(written, ["counted", "ended", "new"]);
        assert_eq!(changes.touched_sessions, BTreeSet::from(["counted".to_owned()]));
    }
}
