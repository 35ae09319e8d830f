//! The frames of the socket, to and fro.

use dcm::{Error, ErrorKind, Position, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::item::{Event, Gap, GapReason};

/// A frame of the server.
#[derive(Debug)]
pub(super) enum Frame {
    /// The first one.
    Connected,
    /// The answer to the frame of ours with this id.
    Answer {
        id: String,
        outcome: dcm::Result<Option<Position>>,
    },
    /// Wants a pong.
    Ping,
    Event(Event),
    Gap(Gap),
    Resync,
    /// About something that we sent; `id` says what, where the server knows.
    Error {
        id: Option<String>,
        code: String,
        text: String,
    },
    /// Nothing that concerns us: a pong, or a type of a later version.
    Other,
}

/// Every member of every frame; those of one kind are picked from it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Members {
    r#type: Option<String>,
    id: Option<String>,
    channel: Option<String>,
    channels: Option<Vec<String>>,
    event: Option<String>,
    data: Value,
    timestamp: i64,
    position: Option<Position>,
    missed: Option<Position>,
    continues: Option<Position>,
    redelivered: bool,
    attempt: Option<u32>,
    success: bool,
    error: Option<String>,
    code: Option<Value>,
    reason: Option<String>,
}

impl Frame {
    /// Reads a frame; a text that is none is an error of the server, told as such.
    pub(super) fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let members: Members = serde_json::from_slice(text)?;
        let position = members.position;
        Ok(match members.r#type.as_deref() {
            Some("connected") => Self::Connected,
            Some("ping") => Self::Ping,
            Some("resync") => Self::Resync,
            Some("ack") => match (members.id, members.success) {
                (Some(id), true) => Self::Answer { id, outcome: Ok(position) },
                (Some(id), false) => {
                    let kind = kind_of(members.code.as_ref().and_then(Value::as_str));
                    let text = members.error.unwrap_or_else(|| "refused".to_owned());
                    Self::Answer { id, outcome: Err(Error::new(kind, text)) }
                }
                (None, _) => Self::Other,
            },
            Some("gap") => Self::Gap(Gap {
                reason: GapReason::new(members.reason.unwrap_or_default()),
                channel: members.channel,
                missed: members.missed,
                continues: members.continues,
            }),
            Some("error") => Self::Error {
                id: members.id,
                code: match members.code {
                    Some(Value::String(code)) => code,
                    Some(code) => code.to_string(),
                    None => String::new(),
                },
                text: members.error.unwrap_or_default(),
            },
            Some("event") => match (members.id, members.event) {
                (Some(id), Some(name)) => Self::Event(Event {
                    id,
                    name,
                    channels: members.channels.unwrap_or_else(|| members.channel.into_iter().collect()),
                    data: members.data,
                    timestamp: Timestamp::from_millis(members.timestamp),
                    position,
                    redelivered: members.redelivered,
                    attempt: members.attempt.unwrap_or(1),
                }),
                _ => Self::Other,
            },
            _ => Self::Other,
        })
    }
}

/// What the code of a refusal says.
fn kind_of(code: Option<&str>) -> ErrorKind {
    match code {
        Some("INVALID") => ErrorKind::Invalid,
        Some("KEY_REUSED") => ErrorKind::KeyReused,
        Some("UNAVAILABLE") => ErrorKind::Unavailable,
        Some("ERROR") => ErrorKind::Internal,
        _ => ErrorKind::Forbidden,
    }
}

/// `{"type":"auth", …}`
pub(super) fn auth(id: &str, token: &str) -> String {
    json!({"type": "auth", "id": id, "token": token, "dedupe": true, "acknowledges": true}).to_string()
}

/// `{"type":"subscribe", …}`
pub(super) fn subscribe(id: &str, channel: &str, after: Option<Position>) -> String {
    let mut frame = json!({"type": "subscribe", "id": id, "channel": channel});
    if let Some(after) = after {
        frame["after"] = after.to_string().into();
    }
    frame.to_string()
}

/// `{"type":"unsubscribe", …}`
pub(super) fn unsubscribe(id: &str, channel: &str) -> String {
    json!({"type": "unsubscribe", "id": id, "channel": channel}).to_string()
}

/// `{"type":"publish", …}`
///
/// With the same `key` it is done once, however often it is sent.
pub(super) fn publish(id: &str, key: &str, channel: &str, event: &str, data: &Value) -> String {
    let mut frame = Map::new();
    frame.insert("type".to_owned(), "publish".into());
    frame.insert("id".to_owned(), id.into());
    frame.insert("idempotency_key".to_owned(), key.into());
    frame.insert("channel".to_owned(), channel.into());
    frame.insert("event".to_owned(), event.into());
    if !data.is_null() {
        frame.insert("data".to_owned(), data.clone());
    }
    Value::Object(frame).to_string()
}

/// `{"type":"ack", …}` for one event.
pub(super) fn ack_one(event: &str) -> String {
    json!({"type": "ack", "message_id": event}).to_string()
}

/// `{"type":"ack", …}` for every event up to a position.
pub(super) fn ack_through(position: Position) -> String {
    json!({"type": "ack", "position": position}).to_string()
}

/// `{"type":"ping"}`
pub(super) const PING: &str = r#"{"type":"ping"}"#;
/// `{"type":"pong"}`
pub(super) const PONG: &str = r#"{"type":"pong"}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_one_or_several_channels() {
        let one = r#"{"type":"event","id":"e-1","channel":"global","event":"task.created","data":{"id":1},
            "timestamp":1770458400123,"position":"1-7"}"#;
        let Ok(Frame::Event(event)) = Frame::read(one.as_bytes()) else { panic!("no event") };
        assert_eq!((event.id.as_str(), event.name.as_str()), ("e-1", "task.created"));
        assert_eq!(event.channels, ["global"]);
        assert_eq!(event.timestamp.to_string(), "2026-02-07T10:00:00.123Z");
        assert_eq!((event.position, event.redelivered, event.attempt), (Some(Position::new(1, 7)), false, 1));

        let more = r#"{"type":"event","id":"e-2","channels":["global","agents/a"],"event":"metric.update",
            "timestamp":0,"redelivered":true,"attempt":3}"#;
        let Ok(Frame::Event(event)) = Frame::read(more.as_bytes()) else { panic!("no event") };
        assert_eq!(event.channels, ["global", "agents/a"]);
        assert_eq!(
            (event.data, event.position, event.redelivered, event.attempt),
            (Value::Null, None, true, 3)
        );
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        for text in [r#"{"type":"news"}"#, "{}", r#"{"type":"ack","success":true}"#, r#"{"type":"event"}"#] {
            assert!(matches!(Frame::read(text.as_bytes()), Ok(Frame::Other)), "{text}");
        }
        for text in ["", "[", "7", r#"{"type":7}"#, r#"{"position":"x"}"#] {
            assert!(Frame::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn answers_errors_and_gaps() {
        let answer = Frame::read(br#"{"type":"ack","id":"1","success":false,"error":"no"}"#).unwrap();
        assert!(matches!(answer, Frame::Answer { outcome: Err(error), .. } if error.message() == "no"));
        let error = Frame::read(br#"{"type":"error","error":"bad token","code":"4001"}"#).unwrap();
        assert!(
            matches!(error, Frame::Error { id: None, code, text } if code == "4001" && text == "bad token")
        );
        let gap = Frame::read(
            br#"{"type":"gap","reason":"epoch","channel":"global","missed":"1-9","continues":"2-1"}"#,
        )
        .unwrap();
        let Frame::Gap(gap) = gap else { panic!("no gap") };
        assert_eq!((gap.reason, gap.channel.as_deref()), (GapReason::Epoch, Some("global")));
        assert_eq!((gap.missed, gap.continues), (Some(Position::new(1, 9)), Some(Position::new(2, 1))));
    }

    #[test]
    fn what_is_sent() {
        assert_eq!(
            serde_json::from_str::<Value>(&subscribe("1", "topics/\"x\"", Some(Position::new(1, 2))))
                .unwrap(),
            json!({"type": "subscribe", "id": "1", "channel": "topics/\"x\"", "after": "1-2"})
        );
        assert_eq!(
            serde_json::from_str::<Value>(&publish("2", "k", "global", "system.info", &Value::Null)).unwrap(),
            json!({"type": "publish", "id": "2", "idempotency_key": "k", "channel": "global", "event": "system.info"})
        );
    }
}
