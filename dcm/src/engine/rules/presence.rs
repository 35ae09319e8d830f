//! What clients say of themselves, and to each other, over connections.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::engine::Notice;
use crate::error::Result;
use crate::id::EventId;
use crate::json::JsonObject;
use crate::storage::{Command, Footprint, State};

/// An agent came or went.
#[derive(Debug)]
pub(crate) struct Announce {
    pub(crate) name: &'static str,
    pub(crate) agent_id: String,
    pub(crate) client_id: String,
    pub(crate) session_id: Option<String>,
}

impl Command for Announce {
    type Outcome = ();

    fn footprint(&self, footprint: &mut Footprint) {
        // One does not go before it came.
        footprint.sequence = Some(self.client_id.clone());
    }

    fn decide(&self, state: &mut State) -> Result<()> {
        let mut data = json!({"agent_id": self.agent_id, "client_id": self.client_id});
        if let Some(session) = &self.session_id {
            data["session_id"] = json!(session);
        }
        state.emit(self.name, None, data.clone(), data);
        Ok(())
    }
}

/// The service says something of itself, to whoever listens to `global`.
#[derive(Debug)]
pub(crate) struct Notify {
    pub(crate) notice: Notice,
    pub(crate) node_id: EventId,
}

impl Command for Notify {
    type Outcome = ();

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sequence = Some(self.node_id.to_string());
    }

    fn decide(&self, state: &mut State) -> Result<()> {
        let data = json!({
            "status": self.notice.as_str(), "node_id": self.node_id, "version": env!("CARGO_PKG_VERSION")
        });
        state.emit(self.notice.event(), None, data.clone(), data);
        Ok(())
    }
}

/// Something that a client says on a channel.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) client: String,
    pub(crate) name: &'static str,
    pub(crate) channel: String,
    pub(crate) data: JsonObject,
}

/// What was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The id of the event; none for what is not kept.
    pub id: Option<EventId>,
}

/// What of a client's data `global` may carry: ids, types and statuses.
const IN_SUMMARY: [&str; 18] = [
    "id",
    "project_id",
    "session_id",
    "request_id",
    "task_list_id",
    "task_id",
    "subtask_id",
    "message_id",
    "agent_id",
    "agent_type",
    "tool_name",
    "tool_type",
    "exit_code",
    "status",
    "wave_number",
    "from",
    "to",
    "topic",
];

/// Ids are not longer.
const LONGEST: usize = 255;

fn summary(data: &JsonObject) -> JsonObject {
    let short = |value: &Value| match value {
        Value::String(text) => text.len() <= LONGEST,
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    };
    let known = |(name, value): &(String, Value)| IN_SUMMARY.contains(&&**name) && short(value);
    JsonObject::from_map(&data.to_map().into_iter().filter(known).collect::<Map<_, _>>())
}

impl Command for Publish {
    type Outcome = Published;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sequence = Some(self.client.clone());
    }

    fn decide(&self, state: &mut State) -> Result<Published> {
        let summary = summary(&self.data);
        let id = state.emit_raw(self.name, vec![self.channel.clone()], self.data.clone(), summary);
        Ok(Published { id: Some(id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_hears_ids_and_no_content() {
        let data = json!({
            "id": "x", "status": "done", "exit_code": 3, "text": "secret", "path": "/srv",
            "agent_id": {"deep": "secret"}, "topic": "y".repeat(300), "from": ["secret"]
        });
        let expected = json!({"id": "x", "status": "done", "exit_code": 3});
        assert_eq!(Value::Object(summary(&JsonObject::from_value(data)).to_map()), expected);
    }
}
