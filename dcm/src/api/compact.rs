//! `/api/compact`: what is saved before a compaction. Restoring and status are in [`context`](super::context).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::input::{FieldValue, NAME, PATH, Rule, complaint, input, text};
use crate::id::CompactionId;
use crate::json::JsonObject;
use crate::time::Timestamp;

/// A list of texts or objects.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entries(pub Vec<Value>);

impl JsonSchema for Entries {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Entries".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "array", "maxItems": 1000, "items": {"type": ["string", "object"]}})
    }
}

impl FieldValue for Entries {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        let items: Vec<Value> = serde_json::from_str(raw.get()).map_err(|error| complaint(&error))?;
        // An object has the rules for what a store can hold.
        JsonObject::parse(&format!("{{\"entries\":{}}}", raw.get()))?;
        if items.iter().any(|item| !matches!(item, Value::String(_) | Value::Object(_))) {
            return Err("must be a list of texts or objects".to_owned());
        }
        Ok(Self(items))
    }

    fn from_text(_: &str) -> Result<Self, String> {
        Err("must be a list in a JSON body".to_owned())
    }

    fn check(&self, _: &Rule) -> Result<(), String> {
        if self.0.len() > 1000 { Err("must have at most 1000 entries".to_owned()) } else { Ok(()) }
    }
}

input! {
    /// `POST /api/compact/save`
    CompactSave {
        /// The session whose context is about to be compacted; need not be known.
        session_id: String [NAME],
        /// The agent whose context it is; the session's main agent unless given.
        agent_id: Option<String> [NAME],
        /// Who asked for the compaction: `auto`, `manual`, `proactive`, …
        trigger: Option<String> [NAME],
        /// What happened so far, in words.
        context_summary: Option<String> [text(0, 1 << 20)],
        /// What is being worked at; the session's open work unless given.
        active_tasks: Option<Entries>,
        /// Files that were changed; those that were recorded as changed unless given.
        modified_files: Option<Vec<String>> [PATH],
        /// What was decided, and why.
        key_decisions: Option<Entries>,
        /// How each agent stands.
        agent_states: Option<Entries>,
        /// How the waves stand.
        wave_state: Option<JsonObject>,
    }
}

/// Answer to [`CompactSave`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompactSaved {
    /// Always true.
    pub success: bool,
    /// What was saved.
    pub snapshot: SavedSnapshot,
}

/// A snapshot, without what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SavedSnapshot {
    /// Its id.
    pub id: CompactionId,
    /// The session.
    pub session_id: String,
    /// Who asked for the compaction.
    pub trigger: Option<String>,
    /// When it was saved.
    pub saved_at: Timestamp,
}

input! {
    /// `GET /api/compact/snapshot/{session_id}`
    CompactSnapshot {
        /// The session.
        session_id: String [NAME],
        /// The agent whose snapshot is wanted: a sub-agent's, or the session's id for the main agent's alone. Unless
        /// given, the main agent's, or another's where that has none.
        agent_id: Option<String> [NAME],
    }
}

/// Answer to [`CompactSnapshot`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotAnswer {
    /// The session.
    pub session_id: String,
    /// Whether anything was saved.
    pub exists: bool,
    /// The newest snapshot: every field that was saved.
    pub snapshot: Option<JsonObject>,
    /// Its summary.
    pub summary: Option<String>,
    /// The files it names as changed.
    pub modified_files: Vec<String>,
    /// When it was saved.
    pub saved_at: Option<Timestamp>,
    /// Every snapshot and compaction of the session, newest first, at most 50.
    pub history: Vec<CompactionEntry>,
}

/// One snapshot or compaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CompactionEntry {
    /// Its id.
    pub id: CompactionId,
    /// Who asked for it.
    pub trigger: Option<String>,
    /// Whether it is a snapshot that was saved before a compaction.
    pub is_snapshot: bool,
    /// Whether it has a summary.
    pub has_summary: bool,
    /// When.
    pub created_at: Timestamp,
    /// The agent whose context it was; absent for the session's main agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}
