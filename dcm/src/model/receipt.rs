use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wire_enum;
use crate::id::MessageId;
use crate::time::Timestamp;

wire_enum! {
    /// How far a message has come on its way to an agent.
    ReceiptState {
        /// It waits for the agent's next event.
        Queued = "queued",
        /// It was in the answer to an event of the agent.
        Injected = "injected",
        /// The agent went on after it was told, or read its inbox.
        Seen = "seen",
        /// The agent said that it took note.
        Acknowledged = "acknowledged",
    }
}

impl Receipt {
    /// The receipt of a message that waits.
    #[must_use]
    pub fn queued(message_id: MessageId, agent_id: &str) -> Self {
        Self {
            message_id,
            agent_id: agent_id.to_owned(),
            state: ReceiptState::Queued,
            injected_at: None,
            times_injected: 0,
            seen_at: None,
            acknowledged_at: None,
        }
    }

    /// This receipt with the state that its times come to.
    #[must_use]
    pub fn settled(self) -> Self {
        Self { state: ReceiptState::of(self.injected_at, self.seen_at, self.acknowledged_at), ..self }
    }
}

impl ReceiptState {
    /// The state that the times of a receipt come to.
    #[must_use]
    pub fn of(
        injected_at: Option<Timestamp>,
        seen_at: Option<Timestamp>,
        acknowledged_at: Option<Timestamp>,
    ) -> Self {
        match (injected_at, seen_at, acknowledged_at) {
            (_, _, Some(_)) => Self::Acknowledged,
            (_, Some(_), None) => Self::Seen,
            (Some(_), None, None) => Self::Injected,
            (None, None, None) => Self::Queued,
        }
    }
}

/// How far a message has come on its way to one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The message.
    pub message_id: MessageId,
    /// The agent.
    pub agent_id: String,
    /// How far it has come.
    pub state: ReceiptState,
    /// When it was last told to the agent.
    pub injected_at: Option<Timestamp>,
    /// How often it was told: more than once when the agent never went on after it.
    pub times_injected: i32,
    /// When the agent was first known to have read it.
    pub seen_at: Option<Timestamp>,
    /// When the agent took note.
    pub acknowledged_at: Option<Timestamp>,
}
