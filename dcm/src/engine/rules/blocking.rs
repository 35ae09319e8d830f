use serde_json::json;

use crate::api::blocking::{Block, Blocked, BlockingDelete, RemovedBlocking, Unblock, Unblocked};
use crate::error::{Error, Result};
use crate::id::BlockingId;
use crate::model::Blocking;
use crate::storage::{Command, Footprint, State, agent_channels};

fn find<'a>(state: &'a State, by: &str, agent: &str) -> Option<&'a Blocking> {
    state.blockings.iter().find(|one| one.blocked_by == by && one.blocked_agent == agent)
}

fn no_such_record() -> Error {
    Error::not_found("Blocking record")
}

fn remove(state: &mut State, id: BlockingId) -> Result<Unblocked> {
    let removed = state.blockings.remove(&id).ok_or_else(no_such_record)?;
    let data = json!({"by": removed.blocked_by, "agent_id": removed.blocked_agent});
    state.emit("agent.unblocked", agent_channels(Some(&removed.blocked_agent), None), data.clone(), data);
    let unblocked = RemovedBlocking {
        id,
        blocked_by: removed.blocked_by,
        blocked_agent: removed.blocked_agent,
        reason: removed.reason,
    };
    Ok(Unblocked { success: true, unblocked })
}

impl Command for Block {
    type Outcome = Blocked;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.blocking_pairs.insert((self.blocked_by.clone(), self.blocked_agent.clone()));
    }

    fn decide(&self, state: &mut State) -> Result<Blocked> {
        if self.blocked_by == self.blocked_agent {
            return Err(Error::invalid("An agent cannot block itself"));
        }
        let known = find(state, &self.blocked_by, &self.blocked_agent).cloned();
        let blocking = Blocking {
            id: known.as_ref().map_or_else(|| state.ids.next(), |known| known.id),
            blocked_by: self.blocked_by.clone(),
            blocked_agent: self.blocked_agent.clone(),
            reason: self.reason.clone(),
            created_at: known.map_or(state.now, |known| known.created_at),
        };
        state.blockings.put(blocking.id, blocking.clone());
        let summary = json!({"by": blocking.blocked_by, "agent_id": blocking.blocked_agent});
        let mut data = summary.clone();
        data["reason"] = json!(blocking.reason);
        state.emit("agent.blocked", agent_channels(Some(&blocking.blocked_agent), None), data, summary);
        Ok(Blocked { success: true, blocking })
    }
}

impl Command for BlockingDelete {
    type Outcome = Unblocked;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.blockings.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<Unblocked> {
        remove(state, self.id)
    }
}

impl Command for Unblock {
    type Outcome = Unblocked;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.blocking_pairs.insert((self.blocked_by.clone(), self.blocked_agent.clone()));
    }

    fn decide(&self, state: &mut State) -> Result<Unblocked> {
        let id = find(state, &self.blocked_by, &self.blocked_agent).map(|one| one.id);
        remove(state, id.ok_or_else(no_such_record)?)
    }
}
