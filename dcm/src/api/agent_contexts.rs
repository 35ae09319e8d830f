//! `/api/agent-contexts`: how each agent stands, and how it left its work.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{NAME, input};
use crate::id::ProjectId;
use crate::model::AgentContext;
use crate::time::Timestamp;

input! {
    /// `GET /api/agent-contexts`
    AgentContextList {
        /// Only those of this project.
        project_id: Option<ProjectId>,
        /// Only those of this session.
        session_id: Option<String> [NAME],
        /// Only those of this agent.
        agent_id: Option<String> [NAME],
        /// Only those of this kind of agent.
        agent_type: Option<String> [NAME],
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

/// Answer to [`AgentContextList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentContextPage {
    /// The contexts, the latest touched first.
    pub contexts: Vec<AgentContext>,
    /// How many are here.
    pub count: usize,
    /// How many match.
    pub total: i64,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

input! {
    /// `GET /api/agent-contexts/stats`
    AgentContextStats {}
}

/// Answer to [`AgentContextStats`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentContextReport {
    /// How many contexts there are.
    pub total: i64,
    /// By status; `unknown` for those that an older system left behind.
    pub by_status: BTreeMap<String, i64>,
    /// By kind of agent, the fifty most frequent.
    pub by_type: BTreeMap<String, i64>,
    /// When.
    pub timestamp: Timestamp,
}
