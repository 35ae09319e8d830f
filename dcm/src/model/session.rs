use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ProjectId;
use crate::time::Timestamp;

/// One run of an agent client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The client's own id of it.
    pub id: String,
    /// The project it runs in.
    pub project_id: Option<ProjectId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Tool calls.
    pub total_tools_used: i32,
    /// Tool calls that succeeded.
    pub total_success: i32,
    /// Tool calls that failed.
    pub total_errors: i32,
    /// Whether DCM made it because something referred to it; the first explicit creation then succeeds.
    #[serde(skip)]
    pub created_automatically: bool,
    /// When something last happened in it, by the recorded time.
    #[serde(skip)]
    pub last_seen_at: Option<Timestamp>,
    /// Whether its end is no more than that nothing was heard of it for long.
    #[serde(skip)]
    pub ended_by_cleanup: bool,
}
