//! How far a message has come on its way to an agent: queued, injected, seen, acknowledged.

use serde_json::json;

use super::messages::{mark_read, receipt_channels};
use crate::api::messages::ReceiptAcknowledge;
use crate::error::{Error, Result};
use crate::id::MessageId;
use crate::model::Receipt;
use crate::storage::{Command, Footprint, State};
use crate::time::Timestamp;

/// Writes a receipt, and says so.
pub(super) fn put_receipt(state: &mut State, receipt: Receipt) -> Receipt {
    let receipt = receipt.settled();
    let data = json!({"id": receipt.message_id, "agent_id": receipt.agent_id, "receipt": receipt.state});
    let channels = receipt_channels(state, receipt.message_id, &receipt.agent_id);
    state.emit("message.updated", channels, data.clone(), data);
    state.receipts.put((receipt.message_id, receipt.agent_id.clone()), receipt.clone());
    receipt
}

/// The receipt of a message for an agent; that of one that waits when there is none.
pub(super) fn receipt_of(state: &State, id: MessageId, agent: &str) -> Receipt {
    let known = state.receipts.get(&(id, agent.to_owned())).cloned();
    known.unwrap_or_else(|| Receipt::queued(id, agent))
}

/// The agent has seen a message.
pub(super) fn see(state: &mut State, id: MessageId, agent: &str, at: Timestamp) {
    let receipt = receipt_of(state, id, agent);
    if receipt.seen_at.is_none() {
        put_receipt(state, Receipt { seen_at: Some(at), ..receipt });
    }
    mark_read(state, id, agent, at);
}

impl Command for ReceiptAcknowledge {
    type Outcome = Receipt;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.messages.insert(self.message_id);
        footprint.message_reads.insert((self.message_id, self.agent_id.clone()));
        footprint.receipts.insert((self.message_id, self.agent_id.clone()));
    }

    fn decide(&self, state: &mut State) -> Result<Receipt> {
        if state.messages.get(&self.message_id).is_none() {
            return Err(Error::not_found("Message"));
        }
        let receipt = receipt_of(state, self.message_id, &self.agent_id);
        if receipt.acknowledged_at.is_some() {
            return Ok(receipt.settled());
        }
        let now = state.now;
        let seen_at = receipt.seen_at.or(Some(now));
        let receipt = put_receipt(state, Receipt { seen_at, acknowledged_at: Some(now), ..receipt });
        mark_read(state, self.message_id, &self.agent_id, now);
        Ok(receipt)
    }
}
