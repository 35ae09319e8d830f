//! Settings of many kinds, installed into and cleaned again.

use serde_json::{Value, json};

use super::edit::{Unusable, read, with_entries, without_entries};
use super::entries::{Key, Wanted, all_entries, is_own};
use crate::DEFAULT_URL;

fn wanted(commands_only: bool) -> Wanted {
    Wanted {
        program: "/usr/local/bin/dcm".to_owned(),
        url: DEFAULT_URL.to_owned(),
        key: Key::None,
        commands_only,
    }
}

const OTHERS: &str = r#"{
  "model": "opus",
  "hooks": {
    "PostToolUse": [
      { "matcher": "Edit|Write", "hooks": [ { "type": "command", "command": "prettier --write", "timeout": 30 } ] }
    ],
    "Stop": [],
    "Custom": "a text"
  },
  "unknown": {"x": [1, 2.50, "\u00e4"]}
}
"#;

/// Ten kinds of settings.
fn fixtures() -> Vec<(&'static str, String)> {
    vec![
        ("empty", String::new()),
        ("blank", " \n\n".to_owned()),
        ("nothing", "{}".to_owned()),
        ("others' hooks and unknown keys", OTHERS.to_owned()),
        ("CRLF", OTHERS.replace('\n', "\r\n")),
        ("tabs", OTHERS.replace("  ", "\t")),
        ("one line", r#"{"env":{"A":"1"},"hooks":{"PreToolUse":[{"hooks":[{"type":"command","command":"x"}]}]}}"#.to_owned()),
        ("byte order mark", format!("\u{feff}{OTHERS}")),
        ("empty hooks", "{\n    \"hooks\": {},\n    \"a\": null\n}".to_owned()),
        (
            "unusual spacing",
            "\n\n  { \"hooks\" :{\"SessionStart\"\n:[{\"matcher\":\"startup\",\"hooks\":[]} ] ,\n\n\"Stop\":[ ]} }  \n".to_owned(),
        ),
    ]
}

#[test]
fn in_and_out_again() {
    for (name, text) in fixtures() {
        let original = read(&text).unwrap();
        for commands_only in [false, true] {
            let installed = with_entries(&text, wanted(commands_only).entries()).unwrap().unwrap();
            let value = read(&installed).unwrap_or_else(|error| panic!("{name}: {error:?}\n{installed}"));
            let own = all_entries(&value).into_iter().filter(|entry| is_own(&entry.handler)).count();
            assert_eq!(own, 14, "{name}");
            // Others' entries are what they were, and so is everything else.
            let others = |value: &Value| {
                all_entries(value).into_iter().filter(|entry| !is_own(&entry.handler)).collect::<Vec<_>>()
            };
            assert_eq!(others(&value), others(&original), "{name}");
            for (key, before) in original.as_object().unwrap().iter().filter(|(key, _)| *key != "hooks") {
                assert_eq!(&value[key], before, "{name}");
            }
            assert_eq!(with_entries(&installed, wanted(commands_only).entries()), Ok(None), "{name}: again");

            let cleaned = without_entries(&installed, &original).unwrap().unwrap();
            assert_eq!(read(&cleaned).unwrap(), original, "{name}:\n{cleaned}");
            assert_eq!(without_entries(&cleaned, &original), Ok(None));
        }
        // Of one kind and then of the other: none is left behind, none is doubled.
        let http = with_entries(&text, wanted(false).entries()).unwrap().unwrap();
        let commands = with_entries(&http, wanted(true).entries()).unwrap().unwrap();
        let value = read(&commands).unwrap();
        let own = all_entries(&value).into_iter().filter(|entry| is_own(&entry.handler));
        assert!(own.count() == 14 && !commands.contains("X-DCM-Hook"), "{name}");
    }
}

#[test]
fn the_text_around_stays() {
    let installed = with_entries(OTHERS, wanted(false).entries()).unwrap().unwrap();
    assert!(installed.starts_with("{\n  \"model\": \"opus\",\n  \"hooks\": {\n    \"PostToolUse\": [\n      { \"matcher\": \"Edit|Write\","), "{installed}");
    assert!(installed.contains("\"unknown\": {\"x\": [1, 2.50, \"\\u00e4\"]}\n}\n"), "{installed}");
    let crlf = with_entries(&OTHERS.replace('\n', "\r\n"), wanted(false).entries()).unwrap().unwrap();
    assert_eq!(crlf.matches('\n').count(), crlf.matches("\r\n").count(), "{crlf}");
    let cleaned = without_entries(&installed, &read(OTHERS).unwrap()).unwrap().unwrap();
    assert!(cleaned.contains("{ \"matcher\": \"Edit|Write\", \"hooks\": [ { \"type\""), "{cleaned}");
}

#[test]
fn entries_of_ours_among_others_go_alone() {
    let mixed = json!({"hooks": {"Stop": [{"hooks": [
        {"type": "command", "command": "notify"},
        {"type": "command", "command": "/old/place/dcm hook", "timeout": 2000},
        {"type": "command", "command": "log"}
    ]}]}})
    .to_string();
    let cleaned = without_entries(&mixed, &Value::Null).unwrap().unwrap();
    let expected = json!({"hooks": {"Stop": [{"hooks": [
        {"type": "command", "command": "notify"}, {"type": "command", "command": "log"}]}]}});
    assert_eq!(read(&cleaned).unwrap(), expected);
}

#[test]
fn what_cannot_be_edited_is_refused() {
    let refused = |text: &str| with_entries(text, wanted(false).entries()).unwrap_err();
    let error = refused("{\n  \"a\": 1,\n  \"b\": ]\n}");
    assert!(error.0.starts_with("line 3, column 8: "), "{error:?}");
    let error = refused("{\n  // a remark\n  \"a\": 1\n}");
    assert!(error.0.starts_with("line 2, column 3: "), "{error:?}");
    assert!(refused("{\"a\": 1,}").0.starts_with("line 1, column "));
    assert_eq!(refused("[]"), Unusable("it must hold a JSON object".to_owned()));
    assert!(refused("{\"hooks\": []}").0.contains("\"hooks\" must be an object"));
    assert!(refused("{\"hooks\": {\"Stop\": {}}}").0.contains("\"Stop\" must be a list"));
}
