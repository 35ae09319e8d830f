//! `/api/blocking` and `/api/unblock`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{NAME, input, text};
use crate::id::BlockingId;
use crate::model::Blocking;
use crate::time::Timestamp;

input! {
    /// `POST /api/blocking`
    Block {
        /// Who blocks.
        blocked_by: String [NAME],
        /// Who is blocked.
        blocked_agent: String [NAME],
        /// Why; left out, an earlier reason is dropped.
        reason: Option<String> [text(0, 500)],
    }
}

input! {
    /// `GET /api/blocking/check`
    BlockingCheck {
        /// Who might block.
        blocker: String [NAME] => "Missing required query params: blocker and blocked",
        /// Who might be blocked.
        blocked: String [NAME] => "Missing required query params: blocker and blocked",
    }
}

input! {
    /// `GET /api/blocking/{agent_id}`
    BlockingGet {
        /// The agent.
        agent_id: String [NAME],
    }
}

input! {
    /// `DELETE /api/blocking/{id}`
    BlockingDelete {
        /// The blocking.
        id: BlockingId,
    }
}

input! {
    /// `POST /api/unblock`
    Unblock {
        /// Who blocks.
        blocked_by: String [NAME],
        /// Who is blocked.
        blocked_agent: String [NAME],
    }
}

/// Answer to [`Block`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blocked {
    /// Always true.
    pub success: bool,
    /// The blocking as it is now.
    pub blocking: Blocking,
}

/// Answer to [`BlockingCheck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockingChecked {
    /// Who might block.
    pub blocker: String,
    /// Who might be blocked.
    pub blocked: String,
    /// Whether it is so.
    pub is_blocked: bool,
}

/// Answer to [`BlockingGet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlockingState {
    /// The agent.
    pub agent_id: String,
    /// Whether anybody blocks it.
    pub is_blocked: bool,
    /// Who blocks it, the latest first.
    pub blocked_by: Vec<BlockedBy>,
    /// Whether it blocks anybody.
    pub is_blocking: bool,
    /// Whom it blocks, the latest first.
    pub blocking: Vec<BlockingAgent>,
    /// Both in numbers.
    pub summary: BlockingSummary,
}

/// Who blocks the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlockedBy {
    /// The blocking.
    pub id: BlockingId,
    /// Who blocks.
    pub by_agent: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Whom the agent blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlockingAgent {
    /// The blocking.
    pub id: BlockingId,
    /// Who is blocked.
    pub agent: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// An agent's blockings in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockingSummary {
    /// How many block it.
    pub blocked_by_count: usize,
    /// How many it blocks.
    pub blocking_count: usize,
}

/// Answer to [`BlockingDelete`] and [`Unblock`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unblocked {
    /// Always true.
    pub success: bool,
    /// What was removed.
    pub unblocked: RemovedBlocking,
}

/// A blocking that was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedBlocking {
    /// Its id.
    pub id: BlockingId,
    /// Who blocked.
    pub blocked_by: String,
    /// Who was blocked.
    pub blocked_agent: String,
    /// Why.
    pub reason: Option<String>,
}
