use serde::{Deserialize, Serialize};
use serde_json::json;

use super::unknown_parent;
use crate::api::messages::{MessageSend, MessageSent, SentMessage};
use crate::error::Result;
use crate::id::{MessageId, ProjectId};
use crate::json::JsonObject;
use crate::model::Message;
use crate::storage::{Command, Footprint, State, agent_channels};
use crate::time::Timestamp;

/// [`MessageSend`] with the lifetime that applies when the caller gives none.
#[derive(Debug)]
pub(crate) struct SendMessage {
    pub(crate) operation: MessageSend,
    pub(crate) default_ttl_ms: i64,
}

fn topic_channel(topic: Option<&str>) -> Option<String> {
    topic.map(|topic| format!("topics/{topic}"))
}

/// The channels of a message besides `global`.
pub(super) fn message_channels(message: &Message) -> impl Iterator<Item = String> {
    agent_channels(message.to_agent.as_deref(), None).chain(topic_channel(message.topic.as_deref()))
}

/// Says that there is a new message.
pub(super) fn announce_message(state: &mut State, message: &Message) {
    let members = |priority| Announced {
        from: message.from_agent.as_deref(),
        id: message.id,
        priority,
        to: message.to_agent.as_deref(),
        topic: message.topic.as_deref(),
    };
    let data = JsonObject::from_members(&members(Some(message.priority)));
    let summary = JsonObject::from_members(&members(None));
    // Mail to a type reaches the agents of that type that are at work in the project.
    let is_meant = |(kind, _, project): &&(String, String, Option<ProjectId>)| {
        Some(kind) == message.to_agent.as_ref()
            && (message.project_id.is_none() || message.project_id == *project)
    };
    let at_work: Vec<String> =
        state.open_agents.iter().filter(is_meant).map(|(_, agent, _)| format!("agents/{agent}")).collect();
    state.emit_raw("message.new", message_channels(message).chain(at_work), data, summary);
}

/// What is said of a new message; in the order of its members, as everywhere.
#[derive(Serialize)]
struct Announced<'a> {
    from: Option<&'a str>,
    id: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    to: Option<&'a str>,
    topic: Option<&'a str>,
}

impl Command for SendMessage {
    type Outcome = MessageSent;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.projects.extend(self.operation.project_id);
        footprint.agents.extend(self.operation.to_agent.clone());
    }

    fn decide(&self, state: &mut State) -> Result<MessageSent> {
        let operation = &self.operation;
        if let Some(id) = operation.project_id
            && state.projects.get(&id).is_none()
        {
            return Err(unknown_parent("Project", id));
        }
        let lifetime = operation.ttl_seconds.map_or(self.default_ttl_ms, |seconds| i64::from(seconds) * 1000);
        let message = Message {
            id: state.ids.next(),
            project_id: operation.project_id,
            from_agent: Some(operation.from_agent.clone()),
            to_agent: operation.to_agent.clone(),
            topic: Some(operation.topic.as_str().to_owned()),
            content: operation.content.0.clone(),
            priority: operation.priority.unwrap_or(0),
            created_at: state.now,
            expires_at: Some(state.now.plus_millis(lifetime)),
        };
        announce_message(state, &message);
        let known_recipient = message.to_agent.as_ref().map(|agent| state.known_agents.contains(agent));
        let sent = SentMessage {
            id: message.id,
            from_agent: operation.from_agent.clone(),
            to_agent: message.to_agent.clone(),
            topic: operation.topic.as_str().to_owned(),
            priority: message.priority,
            created_at: message.created_at,
            expires_at: message.expires_at,
            is_broadcast: message.is_broadcast(),
            known_recipient,
        };
        state.known_agents.insert(operation.from_agent.clone());
        state.post_message(message);
        Ok(MessageSent { success: true, message: sent })
    }
}

/// Marks messages as read by an agent; those that were marked before are left alone.
#[derive(Debug)]
pub(crate) struct MarkRead {
    pub(crate) agent_id: String,
    pub(crate) messages: Vec<MessageId>,
}

/// Which of the messages were not marked before.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Marked {
    /// When.
    pub(crate) at: Timestamp,
    /// Which.
    pub(crate) messages: Vec<MessageId>,
}

impl Command for MarkRead {
    type Outcome = Marked;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.messages.extend(self.messages.iter().copied());
        footprint.message_reads.extend(self.messages.iter().map(|id| (*id, self.agent_id.clone())));
    }

    fn decide(&self, state: &mut State) -> Result<Marked> {
        let now = state.now;
        let mut marked = Vec::new();
        for id in &self.messages {
            // A message may have expired, or another reader of the same name may have come first.
            if state.messages.get(id).is_some() && mark_read(state, *id, &self.agent_id, now) {
                marked.push(*id);
            }
        }
        Ok(Marked { at: now, messages: marked })
    }
}

/// The channels of what an agent does with a message: the reader and the writer both hear of it.
pub(super) fn receipt_channels(state: &State, id: MessageId, agent: &str) -> Vec<String> {
    let message = state.messages.get(&id);
    agent_channels(Some(agent), None)
        .chain(agent_channels(message.and_then(|message| message.from_agent.as_deref()), None))
        .chain(topic_channel(message.and_then(|message| message.topic.as_deref())))
        .collect()
}

/// Marks a message as read by an agent; false when it was marked before.
pub(super) fn mark_read(state: &mut State, id: MessageId, agent: &str, at: Timestamp) -> bool {
    let mark = (id, agent.to_owned());
    if state.message_reads.get(&mark).is_some() {
        return false;
    }
    state.message_reads.put(mark, at);
    let from = state.messages.get(&id).and_then(|message| message.from_agent.clone());
    let data = json!({"id": id, "agent_id": agent, "from": from, "read_at": at});
    let summary = json!({"id": id, "agent_id": agent});
    let channels = receipt_channels(state, id, agent);
    state.emit("message.read", channels, data, summary);
    true
}
