use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ProjectId;
use crate::json::JsonObject;
use crate::time::Timestamp;

/// A directory that agents work in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Its absolute path, without trailing slashes; unique.
    pub path: String,
    /// What people call it.
    pub name: Option<String>,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// When it was last upserted.
    pub updated_at: Timestamp,
    /// Anything else; merged on every upsert.
    pub metadata: JsonObject,
}

/// What happened in a project, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectStats {
    /// The project.
    pub project_id: ProjectId,
    /// Its name.
    pub project_name: Option<String>,
    /// Its path.
    pub path: String,
    /// User prompts.
    pub total_requests: i64,
    /// Pieces of work.
    pub total_subtasks: i64,
    /// Tool calls below those.
    pub total_actions: i64,
    /// Tool calls with exit code 0.
    pub successful_actions: i64,
    /// Mean duration of the tool calls that have one, in milliseconds; 0 when none has.
    pub avg_duration_ms: f64,
    /// When the newest tool call was recorded.
    pub last_activity: Option<Timestamp>,
}
