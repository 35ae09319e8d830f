//! An event as an agent's client tells it.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::upload::Todo;

/// What has to be known of an event to pass it on; the server reads the rest.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) moment: Moment,
    /// The transcript that tells what hooks missed.
    pub(super) todo: Option<Todo>,
    /// In one line.
    pub(super) body: Box<RawValue>,
    agent: Option<&'static str>,
}

/// Where in a session's life an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A tool call or the like: there are many, and the transcript has them too.
    Passing,
    /// It frames the session.
    Framing,
    /// It frames the session, and the transcript is compared with what the server has.
    Milestone,
    /// Nobody waits long for what is done now.
    SessionEnd,
}

/// Fields may be missing or of any type: clients change.
#[derive(Deserialize)]
struct Fields {
    hook_event_name: Option<Value>,
    session_id: Option<Value>,
    transcript_path: Option<Value>,
    turn_id: Option<Value>,
    model: Option<Value>,
}

impl Event {
    /// `None` when it is no JSON object.
    pub(super) fn read(text: &str, agent: Option<&str>) -> Option<Self> {
        let text = text.trim().trim_start_matches('\u{feff}');
        let fields: Fields = serde_json::from_str(text).ok()?;
        let word = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        let codex = match agent {
            Some(name) => name.eq_ignore_ascii_case("codex"),
            // Claude Code sends neither with the other.
            None => fields.turn_id.is_some() && fields.model.is_some(),
        };
        let moment = match word(&fields.hook_event_name).as_deref() {
            Some("SessionStart" | "Stop" | "SubagentStop") => Moment::Milestone,
            Some("SessionEnd") => Moment::SessionEnd,
            Some(
                "UserPromptSubmit" | "SubagentStart" | "StopFailure" | "PreCompact" | "PostCompact"
                | "TaskCreated" | "TaskCompleted",
            ) => Moment::Framing,
            _ => Moment::Passing,
        };
        let todo = match (word(&fields.session_id), word(&fields.transcript_path)) {
            // Other clients write transcripts of another kind.
            (Some(session_id), Some(transcript)) if !codex => {
                Some(Todo { session_id, transcript: transcript.into(), over: moment == Moment::SessionEnd })
            }
            _ => None,
        };
        // Line breaks stand between tokens only: within texts they are escaped.
        let line =
            if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text.to_owned() };
        Some(Self { moment, todo, body: RawValue::from_string(line).ok()?, agent: codex.then_some("codex") })
    }

    /// Path and query.
    pub(super) fn target(&self) -> String {
        match self.agent {
            Some(agent) => format!("/hooks/claude?agent={agent}"),
            None => "/hooks/claude".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_of_an_event() {
        let text = "\u{feff}{\n \"hook_event_name\":\"Stop\",\"session_id\":\"s\",\r\n\"transcript_path\":\"/t.jsonl\",\"new\":[\"a\\nb\"]}\n";
        let event = Event::read(text, None).unwrap();
        assert_eq!((event.moment, &*event.target()), (Moment::Milestone, "/hooks/claude"));
        assert_eq!(event.todo.unwrap().session_id, "s");
        assert!(!event.body.get().contains('\n') && event.body.get().contains("a\\nb"));

        let event =
            Event::read(r#"{"hook_event_name":7,"session_id":null,"transcript_path":{}}"#, None).unwrap();
        assert!(event.moment == Moment::Passing && event.todo.is_none());
        for broken in ["", "{", "[]", "7", r#"{"a":1} x"#, r#"{"hook_event_name":"Stop","#] {
            assert!(Event::read(broken, None).is_none(), "{broken}");
        }
    }

    #[test]
    fn codex_is_told_by_what_only_it_sends() {
        let text =
            r#"{"hook_event_name":"Stop","session_id":"s","transcript_path":"/t","turn_id":"1","model":"m"}"#;
        let event = Event::read(text, None).unwrap();
        assert_eq!(event.target(), "/hooks/claude?agent=codex");
        assert!(event.todo.is_none(), "its transcripts are of another kind");
        assert_eq!(Event::read(text, Some("claude")).unwrap().target(), "/hooks/claude");
        assert_eq!(Event::read("{}", Some("Codex")).unwrap().target(), "/hooks/claude?agent=codex");
    }
}
