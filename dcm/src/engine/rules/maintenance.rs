use serde_json::json;

use super::messages::message_channels;
use super::roll_up::set_subtask_status;
use super::sessions::emit_session;
use super::subtasks::change_subtask;
use crate::error::Result;
use crate::json::JsonObject;
use crate::model::SubtaskStatus;
use crate::storage::{Command, Footprint, State};
use crate::time::Timestamp;

/// Removes messages past their time, at most `limit`; answers how many.
#[derive(Debug)]
pub(crate) struct ExpireMessages {
    pub(crate) before: Timestamp,
    pub(crate) limit: u32,
}

impl Command for ExpireMessages {
    type Outcome = usize;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.expired_messages = Some((self.before, self.limit));
    }

    fn decide(&self, state: &mut State) -> Result<usize> {
        let found = std::mem::take(&mut state.found.expired_messages);
        let mut expired = 0;
        for id in found {
            let Some(message) = state.messages.remove(&id) else { continue };
            let data = json!({"id": id, "from": message.from_agent, "to": message.to_agent, "topic": message.topic});
            state.emit("message.expired", message_channels(&message), data.clone(), data);
            expired += 1;
        }
        Ok(expired)
    }
}

/// Ends open sessions that began before `began_before` and were last seen before `seen_before`, at most `limit`; they
/// end when they were last seen. Answers how many.
#[derive(Debug)]
pub(crate) struct CloseIdleSessions {
    pub(crate) began_before: Timestamp,
    pub(crate) seen_before: Timestamp,
    pub(crate) limit: u32,
}

impl Command for CloseIdleSessions {
    type Outcome = usize;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.idle_sessions = Some((self.began_before, self.seen_before, self.limit));
    }

    fn decide(&self, state: &mut State) -> Result<usize> {
        let found = std::mem::take(&mut state.found.idle_sessions);
        let mut closed = 0;
        for id in found {
            // Something may have happened in it between the search and the lock.
            let idle = state.sessions.get(&id).is_some_and(|session| {
                session.ended_at.is_none() && session.last_seen_at.unwrap_or(session.started_at) < self.seen_before
            });
            if !idle {
                continue;
            }
            state.sessions.update(&id, |session| {
                session.ended_at = Some(session.last_seen_at.unwrap_or(session.started_at));
            });
            emit_session(state, "session.ended", &id);
            closed += 1;
        }
        Ok(closed)
    }
}

/// Fails running subtasks in which nothing happened since `before`, at most `limit`; answers how many.
#[derive(Debug)]
pub(crate) struct FailStuckSubtasks {
    pub(crate) before: Timestamp,
    pub(crate) limit: u32,
}

impl Command for FailStuckSubtasks {
    type Outcome = usize;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.stuck_subtasks = Some((self.before, self.limit));
    }

    fn decide(&self, state: &mut State) -> Result<usize> {
        let found = std::mem::take(&mut state.found.stuck_subtasks);
        let now = state.now;
        let mut failed = 0;
        for id in found {
            let Some(mut subtask) = state.subtasks.get(&id).cloned() else { continue };
            if subtask.status != SubtaskStatus::Running {
                continue;
            }
            let reason = JsonObject::from_value(json!({"error": "no activity", "failed_by": "dcm"}));
            subtask.result = Some(subtask.result.unwrap_or_default().merged_with(&reason));
            set_subtask_status(&mut subtask, SubtaskStatus::Failed, now);
            change_subtask(state, None, &subtask, SubtaskStatus::Running, now);
            failed += 1;
        }
        Ok(failed)
    }
}
