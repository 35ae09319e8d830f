//! One line of a transcript: mended where no store could hold it, then read leniently.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::observe::mend;
use crate::time::Timestamp;

/// What a line turned out to be.
pub(super) enum Line {
    /// Nothing but blanks.
    Blank,
    /// An entry that this parser reads.
    Entry(Entry),
    /// An entry of a kind that is known and holds nothing to observe.
    Ignored,
    /// An entry of a kind that is not known.
    Unknown(String),
    /// No JSON object, for this reason.
    Broken(String),
}

/// Kinds of entries that hold nothing to observe: bookkeeping of the client's own screen, undo and resume.
const IGNORED: [&str; 16] = [
    "agent-color",
    "agent-name",
    "agent-setting",
    "ai-title",
    "content-replacement",
    "custom-title",
    "file-history-snapshot",
    "last-prompt",
    "mode",
    "permission-mode",
    "pr-link",
    "summary",
    "tag",
    "task-summary",
    "worktree-state",
    "attribution-snapshot",
];

/// Only the kind, so that the many lines that say nothing need not be built in memory.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// Reads one line.
pub(super) fn read(line: &str) -> Line {
    let line = mend(line.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\0' | '\u{feff}')));
    if line.is_empty() {
        return Line::Blank;
    }
    let kind = match serde_json::from_str::<Head<'_>>(&line) {
        Ok(head) => head.kind,
        // A value without a kind is JSON all the same; only what is no JSON at all is broken.
        Err(_) if serde_json::from_str::<IgnoredAny>(&line).is_ok() => {
            return Line::Unknown("(no type)".to_owned());
        }
        Err(error) => return Line::Broken(error.to_string()),
    };
    let worth_reading = match &*kind {
        "user" | "assistant" | "system" | "attachment" | "queue-operation" => true,
        // By far the most frequent lines; only these few of them say something.
        "progress" => line.contains("agent_progress"),
        other if IGNORED.contains(&other) => false,
        other => return Line::Unknown(cut_key(other)),
    };
    if !worth_reading {
        return Line::Ignored;
    }
    match serde_json::from_str(&line) {
        Ok(Value::Object(members)) => Line::Entry(Entry { kind: kind.into_owned(), members }),
        Ok(_) => Line::Unknown("(no type)".to_owned()),
        Err(error) => Line::Broken(error.to_string()),
    }
}

/// `text` as a key: at most 255 bytes, which is what ingest and every index take.
pub(crate) fn cut_key(text: &str) -> String {
    let end = (0..=text.len().min(255)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..end].to_owned()
}

/// The members of one entry; whatever is missing or of another type is absent.
pub(super) struct Entry {
    /// Its `type`.
    pub(super) kind: String,
    members: Map<String, Value>,
}

impl Entry {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// A member that is a text and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text_of(self.get(name))
    }

    /// A member that is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    /// When it was written.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.text("timestamp").and_then(Timestamp::parse)
    }

    /// A member of `message`.
    pub(super) fn message(&self, name: &str) -> Option<&Value> {
        self.get("message").and_then(|message| message.get(name))
    }

    /// The blocks of its message; a plain text is one block.
    pub(super) fn blocks(&self) -> Cow<'_, [Value]> {
        match self.message("content") {
            Some(Value::Array(blocks)) => Cow::Borrowed(blocks),
            Some(Value::String(text)) => Cow::Owned(vec![serde_json::json!({"type": "text", "text": text})]),
            _ => Cow::Borrowed(&[]),
        }
    }
}

/// A value that is a text and not empty.
pub(crate) fn text_of(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The member `name` of `value` as a text; numbers are written out.
pub(crate) fn word(value: &Value, name: &str) -> Option<String> {
    match value.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(cut_key(text)),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// The text of a tool's result or of a queued message: plain, or blocks joined by line ends. What is no text is named.
pub(crate) fn joined_text(content: Option<&Value>) -> Option<String> {
    match content? {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => {
            let parts: Vec<Cow<'_, str>> = blocks
                .iter()
                .filter_map(|block| match block.get("type").and_then(Value::as_str) {
                    Some("text") => block.get("text").and_then(Value::as_str).map(Cow::Borrowed),
                    Some(kind) => Some(Cow::Owned(format!("[{}]", cut_key(kind)))),
                    None => block.as_str().map(Cow::Borrowed),
                })
                .collect();
            Some(parts.join("\n"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mending_touches_nothing_but_what_no_store_can_hold() {
        for (line, expected) in [
            (r#"{"a":"x\u0000y"}"#, r#"{"a":"xy"}"#),
            ("{\"a\":\"x\0y\"}", r#"{"a":"xy"}"#),
            // An escaped backslash before `u0000` is no escape of NUL.
            (r#"{"a":"x\\u0000y\u0000"}"#, r#"{"a":"x\\u0000y"}"#),
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (r#"{"a":"\ud83dx"}"#, "{\"a\":\"\u{fffd}x\"}"),
            (r#"{"a":"\uDE00\\\uD800"}"#, "{\"a\":\"\u{fffd}\\\\\u{fffd}\"}"),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, "{\"a\":\"\u{fffd}\\ud83d\\ude00\"}"),
        ] {
            assert_eq!(mend(line), expected);
            assert!(serde_json::from_str::<Value>(&mend(line)).is_ok(), "{line}");
        }
        assert!(matches!(mend(r#"{"a":"\n\\"}"#), Cow::Borrowed(_)));
        assert_eq!(mend("\\\0\\u12"), "\\\\u12");
    }

    #[test]
    fn kinds_of_lines() {
        assert!(matches!(read(" \0\0 \r"), Line::Blank));
        assert!(matches!(read(r#"{"type":"summary"}"#), Line::Ignored));
        assert!(matches!(read(r#"{"type":"progress","data":{"type":"hook_progress"}}"#), Line::Ignored));
        assert!(
            matches!(read(r#"{"type":"from-the-future"}"#), Line::Unknown(kind) if kind == "from-the-future")
        );
        assert!(matches!(read(r#"{"type":7}"#), Line::Unknown(kind) if kind == "(no type)"));
        assert!(matches!(read("[1]"), Line::Unknown(_)));
        assert!(matches!(read(r#"{"type":"user""#), Line::Broken(reason) if reason.contains("EOF")));
        assert!(matches!(read("\u{feff}{\"type\":\"user\"}"), Line::Entry(entry) if entry.kind == "user"));
    }
}
