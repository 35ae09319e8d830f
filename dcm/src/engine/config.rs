use std::path::PathBuf;
use std::sync::Arc;

use crate::context::{Estimate, TokenCounter};

/// How the engine behaves; every duration in milliseconds.
#[derive(Clone)]
pub struct EngineConfig {
    /// How long a message is delivered when its sender does not say.
    pub message_ttl_ms: i64,
    /// How often a write that is known not to have been committed is tried again.
    pub max_db_retries: u32,
    /// Connections to PostgreSQL, or reading threads of the embedded store.
    pub max_connections: usize,
    /// Whether nodes on one PostgreSQL tell each other with NOTIFY that they have committed. Behind a transaction pooler
    /// they cannot; then each looks into the log ten times a second.
    pub notify: bool,
    /// Whether an agent is believed who it is without a token: on this machine, in development.
    pub tokenless: bool,
    /// How often the numbers of the channel `metrics` are computed while somebody listens.
    pub metrics_interval_ms: u64,
    /// Secrets of WebSocket tokens: the first signs, all are accepted. Empty: one is generated and kept with the data.
    pub token_secrets: Vec<String>,
    /// The user's home directory, where `.claude` lies.
    pub home_dir: Option<PathBuf>,
    /// How often the cleaning jobs run.
    pub cleanup_interval_ms: u64,
    /// A session is closed as orphaned at the earliest so long after it began.
    pub session_min_age_ms: i64,
    /// A session is closed as orphaned when nothing happened in it for so long.
    pub session_idle_ms: i64,
    /// A running subtask is failed when nothing happened in it for so long.
    pub subtask_stuck_ms: i64,
    /// Events are kept so long after they were recorded.
    pub event_retention_ms: i64,
    /// At most so many events are kept.
    pub event_retention_rows: Option<i64>,
    /// Actions are kept so long after they were recorded.
    pub action_retention_ms: i64,
    /// At most so many actions are kept.
    pub action_retention_rows: Option<i64>,
    /// What the budgets of briefs are counted with.
    pub token_counter: Arc<dyn TokenCounter>,
}

const DAY_MS: i64 = 86_400_000;

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            message_ttl_ms: 3_600_000,
            max_db_retries: 3,
            max_connections: 10,
            notify: true,
            tokenless: true,
            metrics_interval_ms: 5000,
            token_secrets: Vec::new(),
            home_dir: std::env::home_dir(),
            cleanup_interval_ms: 60_000,
            session_min_age_ms: 1_800_000,
            session_idle_ms: 600_000,
            subtask_stuck_ms: 7_200_000,
            event_retention_ms: 7 * DAY_MS,
            event_retention_rows: None,
            action_retention_ms: 90 * DAY_MS,
            action_retention_rows: None,
            token_counter: Arc::new(Estimate),
        }
    }
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("message_ttl_ms", &self.message_ttl_ms)
            .field("max_db_retries", &self.max_db_retries)
            .field("max_connections", &self.max_connections)
            .field("token_secrets", &format_args!("[{} secrets]", self.token_secrets.len()))
            .field("cleanup_interval_ms", &self.cleanup_interval_ms)
            .finish_non_exhaustive()
    }
}
