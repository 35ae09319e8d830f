use serde_json::json;

use super::messages::message_channels;
use super::roll_up::set_subtask_status;
use super::sessions::emit_session;
use super::subtasks::change_subtask;
use crate::error::Result;
use crate::id::{MessageId, SubtaskId};
use crate::json::JsonObject;
use crate::model::SubtaskStatus;
use crate::storage::{Command, Footprint, State};
use crate::time::Timestamp;

/// Removes those of the messages that expired before `before`; answers how many.
#[derive(Debug)]
pub(crate) struct ExpireMessages {
    pub(crate) messages: Vec<MessageId>,
    pub(crate) before: Timestamp,
}

impl Command for ExpireMessages {
    type Outcome = usize;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.messages.extend(self.messages.iter().copied());
    }

    fn decide(&self, state: &mut State) -> Result<usize> {
        let mut expired = 0;
        for id in &self.messages {
            let old = state.messages.get(id).is_some_and(|message| message.expires_at < Some(self.before));
            let Some(message) = old.then(|| state.messages.remove(id)).flatten() else { continue };
            let data =
                json!({"id": id, "from": message.from_agent, "to": message.to_agent, "topic": message.topic});
            state.emit("message.expired", message_channels(&message), data.clone(), data);
            expired += 1;
        }
        Ok(expired)
    }
}

/// Ends those of the sessions that are open and were last seen before `seen_before`; they end when they were last seen.
/// Answers how many.
#[derive(Debug)]
pub(crate) struct CloseIdleSessions {
    pub(crate) sessions: Vec<String>,
    pub(crate) seen_before: Timestamp,
}

impl Command for CloseIdleSessions {
    type Outcome = usize;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sessions.extend(self.sessions.iter().cloned());
    }

    fn decide(&self, state: &mut State) -> Result<usize> {
        let mut closed = 0;
        for id in &self.sessions {
            // Something may have happened in it between the search and the lock.
            let idle = state.sessions.get(id).is_some_and(|session| {
                session.ended_at.is_none()
                    && session.last_seen_at.unwrap_or(session.started_at) < self.seen_before
            });
            if !idle {
                continue;
            }
            state.sessions.update(id, |session| {
                session.ended_at = Some(session.last_seen_at.unwrap_or(session.started_at));
                session.ended_by_cleanup = true;
            });
            emit_session(state, "session.ended", id);
            closed += 1;
        }
        Ok(closed)
    }
}

/// Fails those of the subtasks of which nothing was heard since `heard_before`; answers how many.
#[derive(Debug)]
pub(crate) struct FailStuckSubtasks {
    pub(crate) subtasks: Vec<SubtaskId>,
    pub(crate) heard_before: Timestamp,
}

impl Command for FailStuckSubtasks {
    type Outcome = usize;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subtasks.extend(self.subtasks.iter().copied());
        footprint.stuck_subtasks.extend(self.subtasks.iter().map(|id| (*id, self.heard_before)));
    }

    // What was heard of a subtask in the same batch would not be seen.
    fn alone(&self) -> bool {
        true
    }

    fn decide(&self, state: &mut State) -> Result<usize> {
        let now = state.now;
        let mut failed = 0;
        for id in &self.subtasks {
            // Something may have been heard of it between the search and the lock.
            if !state.stuck_subtasks.contains(id) {
                continue;
            }
            let Some(mut subtask) = state.subtasks.get(id).cloned() else { continue };
            let reason = JsonObject::from_value(json!({"error": "no activity", "failed_by": "dcm"}));
            subtask.result = Some(subtask.result.unwrap_or_default().merged_with(&reason));
            set_subtask_status(&mut subtask, SubtaskStatus::Failed, now);
            change_subtask(state, None, &subtask, SubtaskStatus::Running, now);
            failed += 1;
        }
        Ok(failed)
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::api::Execute;
    use crate::api::ingest::{Ingest, Observation};
    use crate::api::subtasks::SubtaskList;
    use crate::time::{Clock, SystemClock};
    use crate::{Dcm, EngineConfig};

    #[tokio::test]
    async fn what_was_heard_of_since_the_search_is_not_stuck() {
        let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
        let at = SystemClock.now().plus_millis(-10_000);
        let key = "p1".to_owned();
        let prompt =
            Observation::Prompt { key, at, text: "Work".to_owned(), prompt_type: None, metadata: None };
        let session_id = "session".to_owned();
        let project_path = Some("/srv/project".to_owned());
        let ingest = Ingest { session_id, project_path, source: None, observations: vec![prompt] };
        dcm.execute(ingest).await.unwrap();
        let list: SubtaskList = serde_json::from_value(json!({})).unwrap();
        let subtasks = dcm.execute(list).await.unwrap().subtasks;
        let subtasks: Vec<_> = subtasks.iter().map(|view| view.subtask.id).collect();
        assert_eq!(subtasks.len(), 1, "the main agent works on the prompt");

        let fail = |heard_before| FailStuckSubtasks { subtasks: subtasks.clone(), heard_before };
        let found_since = dcm.commit_aside(fail(at.plus_millis(-1))).await.unwrap();
        assert_eq!(found_since, 0, "it was heard of since");
        assert_eq!(dcm.commit_aside(fail(SystemClock.now().plus_millis(1))).await.unwrap(), 1);
        assert_eq!(
            dcm.commit_aside(fail(SystemClock.now().plus_millis(1))).await.unwrap(),
            0,
            "it has ended"
        );
        dcm.close().await;
    }
}
