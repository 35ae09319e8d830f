use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PromptType, RequestStatus};
use crate::id::{CompactionId, ProjectId, RequestId};
use crate::json::JsonObject;
use crate::time::Timestamp;

/// One user prompt and all that follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// The project it was given in; absent only in data that an older system left behind.
    pub project_id: Option<ProjectId>,
    /// The session it was given in.
    pub session_id: String,
    /// What the user wrote.
    pub prompt: String,
    /// What it asks for.
    pub prompt_type: Option<PromptType>,
    /// Where it stands.
    pub status: RequestStatus,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Anything else; merged on every update.
    pub metadata: JsonObject,
    /// The key under which ingest knows it, unique within the session.
    #[serde(skip)]
    pub external_key: Option<String>,
}

/// One compaction of a session's context window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compaction {
    /// Its id.
    pub id: CompactionId,
    /// The session whose context was compacted.
    pub session_id: String,
    /// The agent whose context that was; the session's main agent when absent.
    pub agent_id: Option<String>,
    /// The key under which ingest knows it, unique within the session.
    pub external_key: String,
    /// Who asked for it: `manual`, `auto`, or another word of the client.
    pub trigger: Option<String>,
    /// The summary that replaced the context.
    pub summary: Option<String>,
    /// What was saved before it; then it stands for the saving, not for a compaction.
    pub snapshot: Option<JsonObject>,
    /// What else is known of it.
    pub metadata: JsonObject,
    /// When it happened.
    pub created_at: Timestamp,
}

impl Compaction {
    /// The agent of a session under whose name its compactions are kept; none for the main agent, which is called by the
    /// session's id or not at all.
    pub(crate) fn kept_for(session: &str, agent: Option<&str>) -> Option<String> {
        agent.filter(|agent| !agent.is_empty() && *agent != session).map(str::to_owned)
    }
}
