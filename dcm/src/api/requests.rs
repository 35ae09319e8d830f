//! `/api/requests`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{LONG, NAME, input};
use crate::id::{ProjectId, RequestId};
use crate::json::JsonObject;
use crate::model::{PromptType, Request, RequestStatus, Task};

input! {
    /// `POST /api/requests`
    RequestCreate {
        /// The project it is given in; must exist.
        project_id: ProjectId,
        /// The session it is given in; need not exist.
        session_id: String [NAME],
        /// What the user wrote.
        prompt: String [LONG],
        /// What it asks for.
        prompt_type: Option<PromptType>,
        /// Where it stands; `active` unless given.
        status: Option<RequestStatus>,
        /// Anything else.
        metadata: Option<JsonObject>,
    }
}

input! {
    /// `GET /api/requests`
    RequestList {
        /// Only those of this project.
        project_id: Option<ProjectId>,
        /// Only those of this session.
        session_id: Option<String>,
        /// Only those that stand so; an unknown word matches nothing.
        status: Option<String>,
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

input! {
    /// `GET /api/requests/{id}`
    RequestGet {
        /// The request.
        id: RequestId,
    }
}

input! {
    /// `PATCH /api/requests/{id}`
    RequestUpdate {
        /// The request.
        id: RequestId,
        /// Where it stands now.
        status: Option<RequestStatus>,
        /// Merged into what is there (new keys win).
        metadata: Option<JsonObject>,
    }
}

input! {
    /// `DELETE /api/requests/{id}`
    RequestDelete {
        /// The request.
        id: RequestId,
    }
}

/// Answer to [`RequestCreate`] and [`RequestUpdate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestSaved {
    /// Always true.
    pub success: bool,
    /// The request as it is now.
    pub request: Request,
}

/// Answer to [`RequestList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestPage {
    /// The requests.
    pub requests: Vec<Request>,
    /// How many are in this answer.
    pub count: usize,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

/// Answer to [`RequestGet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestDetail {
    /// The request.
    pub request: RequestWithTasks,
}

/// A request with its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestWithTasks {
    /// The request itself.
    #[serde(flatten)]
    pub request: Request,
    /// Its tasks, by wave.
    pub tasks: Vec<Task>,
}
