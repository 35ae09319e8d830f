use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::MessageId;
use crate::time::Timestamp;

/// What is remembered of a session between the events of its hooks: what waits to be told, and what has been.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HookState {
    /// Launching tool calls whose sub-agents have not been seen yet, oldest first.
    pub launches: Vec<Launch>,
    /// The briefs of the agents that were given one, or are to be given one.
    pub briefs: BTreeMap<String, BriefState>,
    /// The last answer of each agent that held messages.
    pub carried: BTreeMap<String, Carried>,
    /// A compaction of the main agent's context that was announced and has not been reported yet.
    pub compacting: Option<Compacting>,
    /// The same of sub-agents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compacting_agents: BTreeMap<String, Compacting>,
    /// What hooks told that has no place of its own, by event.
    pub notes: Map<String, Value>,
    /// What was told to the session's agents so far.
    pub injected: Injected,
}

/// A tool call that launches a sub-agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The call.
    pub tool_use_id: String,
    /// The sub-agent that made it; the main agent unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The prompt it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_key: Option<String>,
    /// The type of the sub-agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    /// What it is to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The messages that an answer held.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Carried {
    /// The event that was answered, by its [fingerprint](crate::hooks::Noticed::fingerprint).
    pub event: String,
    /// The messages.
    pub messages: Vec<MessageId>,
}

/// How an agent stands with its brief.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BriefState {
    /// Whether it is to be given one at its next event.
    pub due: bool,
    /// When it was last given one.
    pub given_at: Option<Timestamp>,
    /// The event in whose answer it was, by its [fingerprint](crate::hooks::Noticed::fingerprint).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Whether it was seen at work since.
    #[serde(default)]
    pub seen: bool,
    /// What that brief cost, in tokens.
    #[serde(default)]
    pub tokens: i64,
}

/// A compaction that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacting {
    /// Since when.
    pub at: Timestamp,
    /// Who asked for it: `manual` or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// What the user wished the summary to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// What DCM told the agents of a session through their hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Injected {
    /// What it cost them, in tokens (estimated).
    pub tokens: i64,
    /// Briefs.
    pub briefs: i64,
    /// Messages.
    pub messages: i64,
}
