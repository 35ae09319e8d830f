//! `/api/events`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{FieldValue, NAME, Rule, input, text};
use crate::id::EventId;
use crate::json::JsonObject;
use crate::position::Position;
use crate::time::Timestamp;

/// A channel: its kind, and the name of an agent, session or topic.
const CHANNEL: Rule = text(1, 300);
/// A WebSocket token is two ids and some digits.
const TOKEN: Rule = text(1, 4096);

input! {
    /// `GET /api/events`
    EventList {
        /// Only what came after this, as an earlier answer or an event has it; from the beginning unless given.
        after: Option<Position>,
        /// `global` unless given, or `agents/{id}`, `sessions/{id}`, `topics/{topic}`.
        channel: Option<String> [CHANNEL],
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// Who asks, for the channel of an agent or session.
        agent_id: Option<String> [NAME],
        /// The session of who asks.
        session_id: Option<String> [NAME],
        /// A WebSocket token that says both, where a name alone is not believed.
        token: Option<String> [TOKEN],
    }
}

impl FieldValue for Position {
    fn from_json(raw: &serde_json::value::RawValue) -> Result<Self, String> {
        let text: String =
            serde_json::from_str(raw.get()).map_err(|error| super::input::complaint(&error))?;
        Self::from_text(&text)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }
}

/// Answer to [`EventList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventPage {
    /// The events, in the order of their positions.
    pub events: Vec<EventView>,
    /// How many.
    pub count: usize,
    /// Where to go on: the `after` of the next call.
    pub next: Position,
    /// The end of the log.
    pub head: Position,
    /// What was missed for good before these events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<GapView>,
}

/// An event, as one channel carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Its id, the same on every channel.
    pub id: EventId,
    /// Its place in the log.
    pub position: Position,
    /// The channel.
    pub channel: String,
    /// Its name, such as `task.created`.
    pub event: String,
    /// What it says.
    pub data: JsonObject,
    /// When it happened.
    pub created_at: Timestamp,
}

/// Events that are missing for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GapView {
    /// `retention`: they are older than what is kept. `epoch`: the log was restored, or a standby took over.
    pub reason: String,
    /// The reader stood here.
    pub missed: Position,
    /// It goes on after this.
    pub continues: Position,
}
