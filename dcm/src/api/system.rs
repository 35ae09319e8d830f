//! The service itself: health, counts, cleaning, tokens.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{NAME, input};
use crate::time::Timestamp;

input! {
    /// `GET /health`
    Health {}
}

input! {
    /// `GET /stats`
    Stats {}
}

input! {
    /// `GET /stats/tools-summary`
    ToolsSummary {}
}

input! {
    /// `GET /api/cleanup/stats`
    CleanupStats {}
}

input! {
    /// `POST /api/auth/token`
    AuthToken {
        /// The agent that will use the token.
        agent_id: String [NAME] => "Missing agent_id",
        /// The session it belongs to.
        session_id: Option<String> [NAME],
    }
}

/// Answer to [`Health`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReport {
    /// `healthy` or `unhealthy`.
    pub status: String,
    /// The time of the answer.
    pub timestamp: Timestamp,
    /// The version of the service.
    pub version: String,
    /// How the store answered.
    pub database: DatabaseHealth,
    /// What the service can do, for clients that ask.
    pub features: BTreeMap<String, String>,
}

/// How the store answered a trivial question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseHealth {
    /// Whether it answered.
    pub healthy: bool,
    /// How long it took, in milliseconds.
    #[serde(rename = "latencyMs")]
    pub latency_ms: i64,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Answer to [`Stats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsReport {
    /// Projects.
    pub project_count: i64,
    /// Requests.
    pub request_count: i64,
    /// Actions.
    pub action_count: i64,
    /// Messages, the expired ones included.
    pub message_count: i64,
    /// The time of the answer.
    pub timestamp: Timestamp,
}

/// Answer to [`ToolsSummary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolsSummaryReport {
    /// Directories in `skills/` that hold a `SKILL.md`.
    pub skills: i64,
    /// `*.md` files below `commands/`.
    pub commands: i64,
    /// `*.yaml` files in `skills/workflow/templates/`.
    pub workflows: i64,
    /// Entries of `plugins/installed_plugins.json`.
    pub plugins: i64,
    /// When they were counted.
    pub cached_at: Timestamp,
    /// Whether the counts come from an earlier call (they are kept for 5 minutes).
    pub from_cache: bool,
}

/// Answer to [`CleanupStats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CleanupReport {
    /// What the cleaning jobs last did, on whichever node of the store; absent before the first run.
    pub last_cleanup: Option<LastCleanup>,
    /// The messages that are stored.
    pub messages: MessageCounts,
    /// The time of the answer.
    pub timestamp: Timestamp,
}

/// What the cleaning jobs last did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastCleanup {
    /// Expired messages that were removed.
    pub deleted_messages: i64,
    /// When the run ended.
    pub deleted_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// Sessions that were closed because nothing happened in them.
    pub closed_sessions: i64,
    /// Subtasks that were failed because nothing happened in them.
    pub failed_subtasks: i64,
    /// Actions beyond the retention limits.
    pub deleted_actions: i64,
    /// Events beyond the retention limits.
    pub deleted_events: i64,
    /// Idempotency keys older than 24 hours.
    pub deleted_idempotency_keys: i64,
}

/// Messages by state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageCounts {
    /// All of them.
    pub total: i64,
    /// Those past their time that were not removed yet.
    pub expired: i64,
    /// Those that nobody has read.
    pub unread: i64,
    /// By topic, the most frequent first.
    #[serde(rename = "byTopic")]
    pub by_topic: serde_json::Map<String, serde_json::Value>,
}

/// Answer to [`AuthToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthTokenIssued {
    /// `base64url(payload).hex(HMAC-SHA256)`.
    pub token: String,
    /// Seconds until it expires.
    pub expires_in: i64,
}
