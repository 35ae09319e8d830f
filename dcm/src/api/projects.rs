//! `/api/projects`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{NAME_OR_EMPTY, PATH, input};
use crate::id::ProjectId;
use crate::json::JsonObject;
use crate::model::{Project, ProjectStats, Request};

input! {
    /// `POST /api/projects`
    ProjectUpsert {
        /// The absolute path of its directory; trailing slashes are dropped, `/` stays.
        path: String [PATH],
        /// What people call it; kept when left out.
        name: Option<String> [NAME_OR_EMPTY],
        /// Merged into what is there (new keys win).
        metadata: Option<JsonObject>,
    }
}

input! {
    /// `GET /api/projects`
    ProjectList {
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

input! {
    /// `GET /api/projects/by-path`
    ProjectByPath {
        /// The path, with or without trailing slashes.
        path: String [PATH] => "Missing query parameter: path",
    }
}

input! {
    /// `GET /api/projects/{id}`
    ProjectGet {
        /// The project.
        id: ProjectId,
    }
}

input! {
    /// `DELETE /api/projects/{id}`
    ProjectDelete {
        /// The project.
        id: ProjectId,
    }
}

/// Answer to [`ProjectUpsert`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectUpserted {
    /// Always true.
    pub success: bool,
    /// The project as it is now.
    pub project: Project,
}

/// Answer to [`ProjectList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectPage {
    /// The projects.
    pub projects: Vec<Project>,
    /// How many are in this answer.
    pub count: usize,
    /// How many there are.
    pub total: i64,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

/// Answer to [`ProjectByPath`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectFound {
    /// The project.
    pub project: Project,
}

/// Answer to [`ProjectGet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectDetail {
    /// The project.
    pub project: ProjectWithRequests,
}

/// A project with its newest requests and its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectWithRequests {
    /// The project itself.
    #[serde(flatten)]
    pub project: Project,
    /// The newest 50 requests, newest first.
    pub requests: Vec<Request>,
    /// The project in numbers.
    pub stats: Option<ProjectStats>,
}
