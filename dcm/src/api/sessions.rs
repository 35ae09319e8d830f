//! `/api/sessions`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::input::{COUNTER, NAME, input};
use crate::id::{ProjectId, RequestId};
use crate::model::{Injected, PromptType, RequestStatus, Session};
use crate::time::Timestamp;

input! {
    /// `POST /api/sessions`
    SessionCreate {
        /// The client's own id of it.
        id: String [NAME],
        /// The project it runs in; must exist.
        project_id: Option<ProjectId>,
        /// When it began; now unless given.
        started_at: Option<Timestamp>,
        /// When it ended.
        ended_at: Option<Timestamp>,
        /// Tool calls so far.
        total_tools_used: Option<i32> [COUNTER],
        /// Those that succeeded.
        total_success: Option<i32> [COUNTER],
        /// Those that failed.
        total_errors: Option<i32> [COUNTER],
    }
}

input! {
    /// `GET /api/sessions`
    SessionList {
        /// Only those of this project.
        project_id: Option<ProjectId>,
        /// `true`: only those that have not ended.
        active_only: Option<String>,
        /// How many at most; 50 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

input! {
    /// `GET /api/sessions/stats`
    SessionStats {}
}

input! {
    /// `GET /api/sessions/{id}`
    SessionGet {
        /// The session.
        id: String [NAME],
    }
}

input! {
    /// `PATCH /api/sessions/{id}`
    SessionUpdate {
        /// The session.
        id: String [NAME],
        /// When it ended.
        ended_at: Option<Timestamp>,
        /// Tool calls, replacing the number that is there.
        total_tools_used: Option<i32> [COUNTER],
        /// Those that succeeded, replacing the number that is there.
        total_success: Option<i32> [COUNTER],
        /// Those that failed, replacing the number that is there.
        total_errors: Option<i32> [COUNTER],
    }
}

input! {
    /// `DELETE /api/sessions/{id}`
    SessionDelete {
        /// The session.
        id: String [NAME],
    }
}

/// Answer to [`SessionList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// How many match the filters.
    pub total: i64,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

/// Answer to [`SessionStats`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionReport {
    /// Over all sessions.
    pub overview: SessionOverview,
    /// The ten projects with the most sessions.
    pub by_project: Vec<SessionsOfProject>,
    /// The time of the answer.
    pub timestamp: Timestamp,
}

/// All sessions in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionOverview {
    /// Sessions.
    pub total_sessions: i64,
    /// Those that have not ended.
    pub active_sessions: i64,
    /// Tool calls.
    pub total_tools: i64,
    /// Those that succeeded.
    pub total_success: i64,
    /// Those that failed.
    pub total_errors: i64,
    /// Mean number of tool calls.
    pub avg_tools_per_session: f64,
    /// When the first began.
    pub oldest_session: Option<Timestamp>,
    /// When the last began.
    pub newest_session: Option<Timestamp>,
}

/// The sessions of one project in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsOfProject {
    /// Its name; absent for sessions without a project.
    pub project_name: Option<String>,
    /// Its path.
    pub project_path: Option<String>,
    /// Sessions.
    pub session_count: i64,
    /// Tool calls.
    pub total_tools: i64,
}

/// Answer to [`SessionGet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionDetail {
    /// The session itself.
    #[serde(flatten)]
    pub session: Session,
    /// Its newest 20 requests, newest first.
    pub requests: Vec<RequestSummary>,
    /// What DCM told its agents through their hooks, and what that cost them.
    #[serde(default)]
    pub injected: Injected,
    /// What hooks told of it that has no place of its own, by event.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// A request in a session's list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestSummary {
    /// Its id.
    pub id: RequestId,
    /// What the user wrote.
    pub prompt: String,
    /// What it asks for.
    pub prompt_type: Option<PromptType>,
    /// Where it stands.
    pub status: RequestStatus,
    /// When it was given.
    pub created_at: Timestamp,
}
