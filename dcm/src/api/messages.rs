//! `/api/messages`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::input::{FieldValue, NAME, NAME_OR_EMPTY, Rule, complaint, input, int};
use crate::id::{MessageId, ProjectId};
use crate::json::{JsonObject, check_text};
use crate::model::{Message, Receipt, Topic};
use crate::time::Timestamp;

/// The lifetime of a message in seconds: one second to one day.
const TTL: Rule = int(1, 86_400);
const PRIORITY: Rule = int(0, 10);

input! {
    /// `POST /api/messages`
    MessageSend {
        /// Who writes.
        from_agent: String [NAME],
        /// Whom it is for; everybody when left out.
        to_agent: Option<String> [NAME_OR_EMPTY],
        /// What it is about.
        topic: Topic,
        /// What it says: an object, or a text that becomes `{"message": <text>}`.
        content: MessageContent,
        /// From 0 to 10; 0 unless given.
        priority: Option<i32> [PRIORITY],
        /// How long it is delivered, in seconds; the server's `MESSAGE_TTL_MS` unless given.
        ttl_seconds: Option<i32> [TTL],
        /// The project it concerns; must exist.
        project_id: Option<ProjectId>,
    }
}

input! {
    /// `GET /api/messages`
    MessageList {
        /// Only those about this.
        topic: Option<String>,
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

input! {
    /// `GET /api/messages/{agent_id}`
    MessageInbox {
        /// Whose messages.
        agent_id: String [NAME],
        /// Only those written later.
        since: Option<Timestamp>,
        /// Only those about this.
        topic: Option<String>,
        /// Whether messages to everybody are included; yes unless given.
        include_broadcasts: Option<bool>,
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32> [int(1, u32::MAX as i64)],
    }
}

input! {
    /// `GET /api/receipts/{message_id}`
    ReceiptsGet {
        /// The message.
        message_id: MessageId,
    }
}

input! {
    /// `POST /api/receipts`
    ReceiptAcknowledge {
        /// The message.
        message_id: MessageId,
        /// The agent that has taken note of it.
        agent_id: String [NAME],
    }
}

/// Answer to [`ReceiptsGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipts {
    /// The message.
    pub message_id: MessageId,
    /// Whom it is for; everybody when absent.
    pub to_agent: Option<String>,
    /// How far it has come: a line for its recipient, and for everybody else who was told or has read it.
    pub receipts: Vec<Receipt>,
}

/// What a message says, as it was sent: an object or a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageContent(pub JsonObject);

impl FieldValue for MessageContent {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        let text = raw.get();
        if text.starts_with('{') {
            return JsonObject::parse(text).map(Self);
        }
        if !text.starts_with('"') {
            return Err("must be an object or a text".to_owned());
        }
        let message: String = serde_json::from_str(text).map_err(|error| complaint(&error))?;
        Self::from_text(&message)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        check_text(text)?;
        Ok(Self(JsonObject::from_value(serde_json::json!({"message": text}))))
    }

    fn empty_text_is_absent() -> bool {
        false
    }
}

impl JsonSchema for MessageContent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MessageContent".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [{"type": "object", "additionalProperties": true}, {"type": "string"}]})
    }
}

/// Answer to [`MessageSend`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSent {
    /// Always true.
    pub success: bool,
    /// What was sent.
    pub message: SentMessage,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SentMessage {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub from_agent: String,
    /// Whom it is for.
    pub to_agent: Option<String>,
    /// What it is about.
    pub topic: String,
    /// From 0 to 10.
    pub priority: i32,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it stops being delivered.
    pub expires_at: Option<Timestamp>,
    /// Whether it is for everybody.
    pub is_broadcast: bool,
    /// Whether anything is known of the recipient, or was a few seconds ago; absent for messages to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_recipient: Option<bool>,
}

/// Answer to [`MessageList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<MessageView>,
    /// How many are in this answer.
    pub count: usize,
    /// How many match.
    pub total: i64,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

/// Answer to [`MessageInbox`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inbox {
    /// Whose messages.
    pub agent_id: String,
    /// The messages.
    pub messages: Vec<MessageView>,
    /// How many are in this answer.
    pub count: usize,
    /// How many are still unread after this answer.
    pub unread_remaining: i64,
}

/// A message as a reader sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageView {
    /// Its id.
    pub id: MessageId,
    /// Who wrote it.
    pub from_agent: Option<String>,
    /// Whom it is for.
    pub to_agent: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// What it says.
    pub content: JsonObject,
    /// From 0 to 10.
    pub priority: i32,
    /// Whether it is for everybody.
    pub is_broadcast: bool,
    /// Whether the reader had read it before this call.
    pub already_read: bool,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it stops being delivered.
    pub expires_at: Option<Timestamp>,
}

impl MessageView {
    /// The view of a reader who has (or has not) read it before.
    #[must_use]
    pub fn new(message: Message, already_read: bool) -> Self {
        Self {
            is_broadcast: message.is_broadcast(),
            id: message.id,
            from_agent: message.from_agent,
            to_agent: message.to_agent,
            topic: message.topic,
            content: message.content,
            priority: message.priority,
            already_read,
            created_at: message.created_at,
            expires_at: message.expires_at,
        }
    }
}
