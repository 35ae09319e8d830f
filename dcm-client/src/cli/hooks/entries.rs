//! The entries in a client's settings that are DCM's own: what they should be, and which they are.

use std::borrow::Cow;
use std::path::Path;

use jsonc_parser::cst::CstInputValue as Input;
use serde_json::{Map, Value};

use super::super::place::Server;
use crate::DEFAULT_URL;

/// Where events are posted.
const PATH: &str = "/hooks/claude";
/// The header that tells our http handlers from those that others have at the same path.
const MARK: &str = "X-DCM-Hook";
/// The variable that a key is taken from.
pub(crate) const KEY_VARIABLE: &str = "DCM_API_KEY";

/// The events that are told, the matcher of each, and whether a command tells them even where http hooks are used:
/// a command can look at the transcript, and the first of them takes no http hook at all.
pub(crate) const EVENTS: [(&str, Option<&str>, bool); 14] = [
    ("SessionStart", None, true),
    ("UserPromptSubmit", None, false),
    ("PreToolUse", Some("Agent|Task"), false),
    ("PostToolUse", Some("*"), false),
    ("PostToolUseFailure", Some("*"), false),
    ("SubagentStart", None, false),
    ("SubagentStop", None, true),
    ("TaskCreated", None, false),
    ("TaskCompleted", None, false),
    ("PreCompact", None, false),
    ("PostCompact", None, false),
    ("Stop", None, true),
    ("StopFailure", None, false),
    ("SessionEnd", None, true),
];

/// After how many seconds the client gives a hook up; `dcm hook` itself ends long before.
const TIMEOUT: u32 = 5;
/// All hooks of the end of a session share 1.5 seconds.
const TIMEOUT_AT_END: u32 = 1;

/// How the key gets into an http hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    None,
    /// The client takes it from its environment.
    Variable,
    /// It stands in the settings.
    Literal(String),
}

/// What is to be installed.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The program as a shell finds it.
    pub(super) program: String,
    pub(super) url: String,
    pub(super) key: Key,
    /// Commands for every event.
    pub(super) commands_only: bool,
}

/// One entry: a handler of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) event: String,
    pub(super) matcher: Option<String>,
    pub(super) handler: Value,
}

/// One entry that is to be.
#[derive(Debug)]
pub(super) struct NewEntry {
    pub(super) event: &'static str,
    pub(super) matcher: Option<&'static str>,
    pub(super) handler: Input,
}

impl NewEntry {
    /// As it would be read.
    pub(super) fn as_entry(&self) -> Entry {
        Entry {
            event: self.event.to_owned(),
            matcher: self.matcher.map(str::to_owned),
            handler: to_value(&self.handler),
        }
    }

    /// The group that holds it alone.
    pub(super) fn group(self) -> Input {
        let matcher = self.matcher.map(|matcher| ("matcher".to_owned(), Input::from(matcher)));
        let hooks = ("hooks".to_owned(), Input::Array(vec![self.handler]));
        Input::Object(matcher.into_iter().chain([hooks]).collect())
    }
}

impl Wanted {
    /// The entries that make it.
    pub(super) fn entries(&self) -> Vec<NewEntry> {
        EVENTS
            .into_iter()
            .map(|(event, matcher, command)| NewEntry {
                event,
                matcher,
                handler: if command || self.commands_only { self.command(event) } else { self.http() },
            })
            .collect()
    }

    fn command(&self, event: &str) -> Input {
        // A word that a shell cannot be given (it holds a NUL) is no path of a program.
        let quoted = |word: &str| shlex::try_quote(word).map_or_else(|_| word.to_owned(), Cow::into_owned);
        let mut line = format!("{} hook", quoted(&self.program));
        if self.url != DEFAULT_URL {
            line = format!("{line} --url {}", quoted(&self.url));
        }
        let timeout = if event == "SessionEnd" { TIMEOUT_AT_END } else { TIMEOUT };
        object([
            ("type", Input::from("command")),
            ("command", Input::from(line)),
            ("timeout", Input::from(timeout)),
        ])
    }

    fn http(&self) -> Input {
        let mut headers = vec![(MARK.to_owned(), Input::from("1"))];
        let mut fields =
            vec![("type", Input::from("http")), ("url", Input::from(format!("{}{PATH}", self.url)))];
        let key = match &self.key {
            Key::None => None,
            Key::Variable => Some(format!("Bearer ${KEY_VARIABLE}")),
            Key::Literal(key) => Some(format!("Bearer {key}")),
        };
        headers.extend(key.map(|key| ("Authorization".to_owned(), Input::from(key))));
        fields.push(("headers", Input::Object(headers)));
        if self.key == Key::Variable {
            fields.push(("allowedEnvVars", Input::Array(vec![Input::from(KEY_VARIABLE)])));
        }
        fields.push(("timeout", Input::from(TIMEOUT)));
        object(fields)
    }
}

fn object(fields: impl IntoIterator<Item = (&'static str, Input)>) -> Input {
    Input::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn to_value(input: &Input) -> Value {
    match input {
        Input::Null => Value::Null,
        Input::Bool(value) => Value::Bool(*value),
        Input::Number(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        Input::String(text) => Value::String(text.clone()),
        Input::Array(list) => list.iter().map(to_value).collect(),
        Input::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), to_value(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// What a command entry of ours runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnCommand {
    pub(crate) program: String,
    pub(crate) url: Option<String>,
}

/// The parts of a command entry, when it is ours: some `dcm hook`.
pub(crate) fn own_command(handler: &Value) -> Option<OwnCommand> {
    let line = handler.get("command")?.as_str()?;
    // With arguments of their own the command is a path, spaces and all.
    let words = match handler.get("args").and_then(Value::as_array) {
        Some(arguments) => {
            let arguments = arguments.iter().filter_map(|word| word.as_str().map(str::to_owned));
            std::iter::once(line.to_owned()).chain(arguments).collect()
        }
        None => shlex::split(line)?,
    };
    let [program, what, rest @ ..] = &words[..] else { return None };
    let name = Path::new(program).file_name()?.to_str()?;
    if !matches!(name, "dcm" | "dcm.exe") || what != "hook" {
        return None;
    }
    let mut rest = rest.iter();
    let url = rest.find_map(|word| match word.strip_prefix("--url=") {
        Some(url) => Some(Some(url.to_owned())),
        None => (word == "--url").then_some(None),
    });
    let url = match url {
        Some(None) => rest.next().cloned(),
        given => given.flatten(),
    };
    Some(OwnCommand { program: program.clone(), url })
}

/// The server of an http entry, when it is ours.
pub(crate) fn own_http(handler: &Value) -> Option<&str> {
    let marked = handler.get("headers")?.as_object()?.keys().any(|name| name.eq_ignore_ascii_case(MARK));
    server_of_http(handler).filter(|_| marked)
}

/// The server that an http entry posts to, if it looks like one of DCM's, whoever made the entry.
pub(crate) fn server_of_http(handler: &Value) -> Option<&str> {
    let is_http = handler.get("type").and_then(Value::as_str) == Some("http");
    handler.get("url")?.as_str()?.strip_suffix(PATH).filter(|_| is_http)
}

pub(super) fn is_own(handler: &Value) -> bool {
    own_http(handler).is_some() || own_command(handler).is_some()
}

/// Every entry of the settings, ours and others'. What has another shape than documented holds none.
pub(super) fn all_entries(settings: &Value) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (event, groups) in settings.get("hooks").and_then(Value::as_object).into_iter().flatten() {
        for group in groups.as_array().into_iter().flatten() {
            for handler in group.get("hooks").and_then(Value::as_array).into_iter().flatten() {
                entries.push(Entry {
                    event: event.clone(),
                    matcher: group.get("matcher").and_then(Value::as_str).map(str::to_owned),
                    handler: handler.clone(),
                });
            }
        }
    }
    entries
}

/// What the entries of ours in these settings speak to, to know whose they are.
pub(super) fn server_of(entry: &Entry) -> Option<Server> {
    let url = match own_command(&entry.handler) {
        Some(command) => command.url.unwrap_or_else(|| DEFAULT_URL.to_owned()),
        None => own_http(&entry.handler)?.to_owned(),
    };
    Some(Server { url, api_key: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            program: "/opt/my tools/dcm".to_owned(),
            url: DEFAULT_URL.to_owned(),
            key: Key::None,
            commands_only: false,
        }
    }

    #[test]
    fn own_entries_are_known_again() {
        for wanted in [
            wanted(),
            Wanted { commands_only: true, url: "https://h.example/dcm".to_owned(), ..wanted() },
            Wanted { key: Key::Literal("secret".to_owned()), ..wanted() },
            Wanted { key: Key::Variable, ..wanted() },
        ] {
            for entry in wanted.entries() {
                let entry = entry.as_entry();
                assert!(is_own(&entry.handler), "{entry:?}");
                assert_eq!(server_of(&entry).unwrap().url, wanted.url);
            }
        }
    }

    #[test]
    fn others_are_left_to_them() {
        for handler in [
            json!({"type": "command", "command": "/usr/bin/dcm status"}),
            json!({"type": "command", "command": "/usr/bin/dcm-hook"}),
            json!({"type": "command", "command": "echo dcm hook"}),
            json!({"type": "command", "command": "bash -c 'dcm hook'"}),
            json!({"type": "command", "command": "unclosed 'quote"}),
            json!({"type": "http", "url": "http://127.0.0.1:9000/hooks/claude"}),
            json!({"type": "http", "url": "http://127.0.0.1:3847/hooks", "headers": {"X-DCM-Hook": "1"}}),
            json!("dcm hook"),
        ] {
            assert!(!is_own(&handler), "{handler}");
        }
        let exec = json!({"type": "command", "command": "/a b/dcm", "args": ["hook", "--url=http://h:1"]});
        let expected = OwnCommand { program: "/a b/dcm".to_owned(), url: Some("http://h:1".to_owned()) };
        assert_eq!(own_command(&exec), Some(expected));
    }

    #[test]
    fn what_is_registered() {
        let entries: Vec<Entry> = wanted().entries().iter().map(NewEntry::as_entry).collect();
        let of = |event: &str| entries.iter().find(|entry| entry.event == event).unwrap();
        assert_eq!(
            of("SessionStart").handler,
            json!({"type": "command", "command": "'/opt/my tools/dcm' hook", "timeout": 5})
        );
        assert_eq!(
            of("PostToolUse"),
            &Entry {
                event: "PostToolUse".to_owned(),
                matcher: Some("*".to_owned()),
                handler: json!({"type": "http", "url": "http://127.0.0.1:3847/hooks/claude",
                    "headers": {"X-DCM-Hook": "1"}, "timeout": 5}),
            }
        );
        let commands: Vec<&str> = entries
            .iter()
            .filter(|entry| own_command(&entry.handler).is_some())
            .map(|entry| &*entry.event)
            .collect();
        assert_eq!(commands, ["SessionStart", "SubagentStop", "Stop", "SessionEnd"]);
        let keyed = Wanted { key: Key::Variable, ..wanted() };
        let post = keyed.entries().into_iter().find(|entry| entry.event == "PostToolUse").unwrap().as_entry();
        assert_eq!(post.handler["headers"]["Authorization"], "Bearer $DCM_API_KEY");
        assert_eq!(post.handler["allowedEnvVars"], json!(["DCM_API_KEY"]));
    }
}
