use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{BlockingId, MessageId, ProjectId, SubscriptionId};
use crate::json::JsonObject;
use crate::time::Timestamp;

/// A message from one agent to another, or to all.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The project it concerns.
    pub project_id: Option<ProjectId>,
    /// Who wrote it.
    pub from_agent: Option<String>,
    /// Whom it is for; nobody in particular when absent (a broadcast).
    pub to_agent: Option<String>,
    /// What it is about. One of [`super::Topic`] for messages of agents; DCM's own notices use others.
    pub topic: Option<String>,
    /// What it says.
    pub content: JsonObject,
    /// From 0 to 10.
    pub priority: i32,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it stops being delivered.
    pub expires_at: Option<Timestamp>,
}

impl Message {
    /// Whether it is for everybody.
    #[must_use]
    pub fn is_broadcast(&self) -> bool {
        self.to_agent.is_none()
    }
}

/// An agent's wish to hear of a topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Who wishes to hear.
    pub agent_id: String,
    /// Of what.
    pub topic: String,
    /// Kept for clients that send one; DCM never calls it.
    pub callback_url: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last renewed.
    pub updated_at: Timestamp,
}

/// One agent blocks another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blocking {
    /// Its id.
    pub id: BlockingId,
    /// Who blocks.
    pub blocked_by: String,
    /// Who is blocked.
    pub blocked_agent: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}
