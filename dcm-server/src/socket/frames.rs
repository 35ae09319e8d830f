//! What is said on a connection, as JSON.

use dcm::delivery::Delivery;
use dcm::{Error, ErrorKind, Position, Timestamp};
use serde_json::{Map, Value, json};

/// What a client says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Auth(Claims),
    Subscribe { channel: String, after: Option<Position> },
    Unsubscribe { channel: String },
    Publish { channel: String, event: String, data: Value, idempotency_key: Option<String> },
    Ping,
    Pong,
    AckEvent(String),
    AckPosition(Position),
}

/// Who a client says it is, and how it wants to get events.
#[derive(Debug, PartialEq)]
pub(super) struct Claims {
    pub(super) token: Option<String>,
    pub(super) agent_id: Option<String>,
    pub(super) session_id: Option<String>,
    /// An event on several channels comes once.
    pub(super) dedupe: bool,
    /// It will acknowledge events, from the first on.
    pub(super) acknowledges: bool,
}

/// A frame that cannot be understood: the code, the text, and what is wrong.
#[derive(Debug, PartialEq)]
pub(super) struct Misunderstood {
    code: &'static str,
    text: String,
    detail: Option<String>,
}

/// The longest id that is sent back.
const LONGEST_ID: usize = 1024;

fn unparsable(detail: impl Into<String>) -> Misunderstood {
    Misunderstood {
        code: "PARSE_ERROR",
        text: "Failed to parse message".to_owned(),
        detail: Some(detail.into()),
    }
}

/// The members of a frame.
struct Members(Map<String, Value>);

impl Members {
    /// A text; JSON null is nothing.
    fn text(&mut self, name: &str) -> Result<Option<String>, Misunderstood> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(unparsable(format!("{name} must be a text"))),
        }
    }

    fn needed(&mut self, name: &str) -> Result<String, Misunderstood> {
        self.text(name)?.ok_or_else(|| unparsable(format!("{name} is missing")))
    }

    fn flag(&mut self, name: &str) -> Result<bool, Misunderstood> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(unparsable(format!("{name} must be true or false"))),
        }
    }

    fn position(&mut self, name: &str) -> Result<Option<Position>, Misunderstood> {
        let text = self.text(name)?;
        text.map(|text| text.parse().map_err(|right| unparsable(format!("{name} {right}")))).transpose()
    }
}

/// Reads a frame: the id that its answer is to carry, and what it says.
pub(super) fn read(message: &[u8]) -> (Option<Value>, Result<Said, Misunderstood>) {
    let members = match serde_json::from_slice(message) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return (None, Err(unparsable("a message is a JSON object"))),
        Err(_) => return (None, Err(unparsable("this is not JSON, or it nests too deeply"))),
    };
    let mut members = Members(members);
    let id = match members.0.remove("id") {
        None | Some(Value::Null | Value::Bool(false)) => None,
        Some(Value::String(id)) if id.is_empty() => None,
        Some(Value::Number(id)) if id.as_f64() == Some(0.0) => None,
        Some(id @ (Value::String(_) | Value::Number(_) | Value::Bool(true)))
            if id.as_str().is_none_or(|id| id.len() <= LONGEST_ID) =>
        {
            Some(id)
        }
        Some(_) => return (None, Err(unparsable("id must be a short text or a number"))),
    };
    (id, said(members))
}

fn said(mut members: Members) -> Result<Said, Misunderstood> {
    let kind = members.text("type")?;
    Ok(match kind.as_deref() {
        Some("auth") => Said::Auth(Claims {
            token: members.text("token")?,
            agent_id: members.text("agent_id")?,
            session_id: members.text("session_id")?,
            dedupe: members.flag("dedupe")?,
            acknowledges: members.flag("acknowledges")?,
        }),
        Some("subscribe") => {
            Said::Subscribe { channel: members.needed("channel")?, after: members.position("after")? }
        }
        Some("unsubscribe") => Said::Unsubscribe { channel: members.needed("channel")? },
        Some("publish") => Said::Publish {
            channel: members.needed("channel")?,
            event: members.needed("event")?,
            data: members.0.remove("data").unwrap_or_default(),
            idempotency_key: members.text("idempotency_key")?,
        },
        Some("ping") => Said::Ping,
        Some("pong") => Said::Pong,
        Some("ack") => match (members.position("position")?, members.text("message_id")?) {
            (Some(position), _) => Said::AckPosition(position),
            (None, Some(id)) => Said::AckEvent(id),
            (None, None) => return Err(unparsable("message_id or position is missing")),
        },
        other => {
            let shown: String = other.unwrap_or("undefined").chars().take(100).collect();
            return Err(Misunderstood {
                code: "UNKNOWN_MESSAGE_TYPE",
                text: format!("Unknown message type: {shown}"),
                detail: None,
            });
        }
    })
}

fn text(frame: &Value) -> Vec<u8> {
    frame.to_string().into_bytes()
}

pub(super) fn connected(client_id: &str, head: Position, now: Timestamp) -> Vec<u8> {
    text(&json!({
        "type": "connected", "client_id": client_id, "position": head, "timestamp": now.as_millis(),
    }))
}

pub(super) fn pong(now: Timestamp) -> Vec<u8> {
    text(&json!({"type": "pong", "timestamp": now.as_millis()}))
}

pub(super) fn ping(now: Timestamp) -> Vec<u8> {
    text(&json!({"type": "ping", "timestamp": now.as_millis()}))
}

/// The answer to a frame with an id; `more` are members of the kind of frame.
pub(super) fn ack(id: &Value, more: &[(&str, Value)], now: Timestamp) -> Vec<u8> {
    let mut frame = json!({"type": "ack", "id": id, "success": true, "timestamp": now.as_millis()});
    for (name, value) in more {
        frame[*name] = value.clone();
    }
    text(&frame)
}

/// The refusal of a frame: an ack where it had an id, an error where not.
pub(super) fn refusal(id: Option<&Value>, error: &Error, now: Timestamp) -> Vec<u8> {
    let (words, code) = (in_words(error), code_of(error.kind()));
    let now = now.as_millis();
    text(&match id {
        Some(id) => {
            json!({"type": "ack", "id": id, "success": false, "error": words, "code": code, "timestamp": now})
        }
        None => json!({"type": "error", "error": words, "code": code, "timestamp": now}),
    })
}

pub(super) fn error(code: &str, words: &str, now: Timestamp) -> Vec<u8> {
    text(&json!({"type": "error", "error": words, "code": code, "timestamp": now.as_millis()}))
}

pub(super) fn misunderstood(what: &Misunderstood, id: Option<&Value>, now: Timestamp) -> Vec<u8> {
    let mut frame =
        json!({"type": "error", "error": what.text, "code": what.code, "timestamp": now.as_millis()});
    if let Some(detail) = &what.detail {
        frame["detail"] = detail.as_str().into();
    }
    if let Some(id) = id {
        frame["id"] = id.clone();
    }
    text(&frame)
}

/// What a caller may read: the complaint about the one field that is wrong, or the message.
fn in_words(error: &Error) -> String {
    if error.kind() == ErrorKind::Internal {
        return "Internal error".to_owned();
    }
    let complaints = error.details().into_iter().flat_map(|details| details.iter());
    let mut complaints =
        complaints.flat_map(|(field, texts)| texts.iter().map(move |text| (field.as_str(), text.as_str())));
    match complaints.next() {
        // These say what they are about.
        Some(("channel" | "event", text)) => text.to_owned(),
        Some((field, text)) => format!("{field} {text}"),
        None => error.message().to_owned(),
    }
}

fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "INVALID",
        ErrorKind::Forbidden | ErrorKind::Unauthorized => "FORBIDDEN",
        ErrorKind::KeyReused => "KEY_REUSED",
        ErrorKind::Unavailable => "UNAVAILABLE",
        _ => "ERROR",
    }
}

/// What a delivery is on the wire; with `joint` an event is one frame whatever the number of its channels. A resync is
/// only for those who know what it is.
pub(super) fn delivery(
    delivery: &Delivery,
    joint: bool,
    informed: bool,
    now: Timestamp,
    mut push: impl FnMut(&[u8]),
) {
    match delivery {
        Delivery::Event { entry, mask, attempt } => {
            let mut frame = |frame: &[u8]| match attempt {
                0 | 1 => push(frame),
                _ => push(&again(frame, *attempt)),
            };
            if joint {
                frame(&entry.joint_frame(*mask));
                return;
            }
            let mut rest = *mask;
            while rest != 0 {
                frame(entry.frame(rest.trailing_zeros()));
                rest &= rest - 1;
            }
        }
        Delivery::Gap(gap) => push(&text(&json!({
            "type": "gap",
            "reason": gap.reason.as_str(),
            "missed": gap.missed,
            "continues": gap.continues,
            "timestamp": now.as_millis(),
        }))),
        Delivery::Resync(position) if informed => push(&text(&json!({
            "type": "resync", "position": position, "timestamp": now.as_millis(),
        }))),
        Delivery::Resync(_) => {}
    }
}

/// The same frame with the mark that it may have come before.
fn again(frame: &[u8], attempt: u32) -> Vec<u8> {
    let mut marked = frame.strip_suffix(b"}").unwrap_or(frame).to_vec();
    marked.extend_from_slice(format!(",\"redelivered\":true,\"attempt\":{attempt}}}").as_bytes());
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_by(text: &str) -> Result<Said, String> {
        read(text.as_bytes()).1.map_err(|what| format!("{}: {}", what.code, what.detail.unwrap_or(what.text)))
    }

    #[test]
    fn what_cannot_be_understood_is_explained() {
        let deep = format!("{{\"type\":\"ping\",\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (message, complaint) in [
            ("", "PARSE_ERROR: this is not JSON"),
            ("null", "PARSE_ERROR: a message is a JSON object"),
            ("[1]", "PARSE_ERROR: a message is a JSON object"),
            (&deep, "PARSE_ERROR: this is not JSON, or it nests too deeply"),
            ("{}", "UNKNOWN_MESSAGE_TYPE: Unknown message type: undefined"),
            (r#"{"type":"x"}"#, "UNKNOWN_MESSAGE_TYPE: Unknown message type: x"),
            (r#"{"type":7}"#, "PARSE_ERROR: type must be a text"),
            (r#"{"type":"ping","id":{}}"#, "PARSE_ERROR: id must be"),
            (r#"{"type":"subscribe"}"#, "PARSE_ERROR: channel is missing"),
            (r#"{"type":"subscribe","channel":7}"#, "PARSE_ERROR: channel must be a text"),
            (
                r#"{"type":"subscribe","channel":"global","after":"x"}"#,
                "PARSE_ERROR: after must be a position",
            ),
            (r#"{"type":"publish","channel":"topics/t"}"#, "PARSE_ERROR: event is missing"),
            (r#"{"type":"ack"}"#, "PARSE_ERROR: message_id or position is missing"),
            (r#"{"type":"auth","dedupe":"yes"}"#, "PARSE_ERROR: dedupe must be true or false"),
        ] {
            let found = said_by(message).unwrap_err();
            assert!(found.starts_with(complaint), "{}: {found}", &message[..message.len().min(60)]);
        }
    }

    #[test]
    fn ids_that_want_an_answer() {
        let id = |text: &str| read(text.as_bytes()).0;
        assert_eq!(id(r#"{"id":"a","type":"ping"}"#), Some("a".into()));
        assert_eq!(id(r#"{"id":7,"type":"ping"}"#), Some(7.into()));
        for none in [r#"{"type":"ping"}"#, r#"{"id":"","type":"ping"}"#, r#"{"id":0}"#, r#"{"id":null}"#] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn a_frame_that_comes_again_says_so() {
        let frame = again(br#"{"type":"event","id":"x"}"#, 3);
        let frame: Value = serde_json::from_slice(&frame).unwrap();
        assert_eq!(frame, json!({"type": "event", "id": "x", "redelivered": true, "attempt": 3}));
    }

    #[test]
    fn nothing_of_the_inside_is_told() {
        let frame = refusal(None, &Error::internal("select secret"), Timestamp::from_millis(0));
        let frame: Value = serde_json::from_slice(&frame).unwrap();
        assert_eq!((&frame["error"], &frame["code"]), (&"Internal error".into(), &"ERROR".into()));
    }
}
