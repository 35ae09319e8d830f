use serde_json::{Map, Value, json};

use super::*;
use crate::api::hooks::HookReport;
use crate::api::ingest::Observation;
use crate::api::wire::{from_request, to_request};
use crate::json::JsonObject;
use crate::time::Timestamp;

const NOW: i64 = 1_770_458_400_000;

fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}

#[expect(clippy::needless_pass_by_value, reason = "a `json!` literal is handed over")]
fn report(name: &str, members: Value) -> HookReport {
    let mut fields: Map<String, Value> = members.as_object().unwrap().clone();
    for (common, value) in
        [("prompt_id", json!("p")), ("cwd", json!("/srv/x")), ("permission_mode", json!("plan"))]
    {
        fields.entry(common).or_insert(value);
    }
    HookReport { at: None, agent: None, session_id: "s".to_owned(), hook_event_name: name.to_owned(), fields }
}

fn observed(name: &str, members: Value) -> Vec<Observation> {
    notice(&report(name, members), now()).observations
}

fn as_json(observations: &[Observation]) -> Value {
    serde_json::to_value(observations).unwrap()
}

#[test]
fn each_event_says_what_it_says() {
    let at = "2026-02-07T10:00:00.000Z";
    let of_agent = json!({"agent_id": "a", "agent_type": "Explore"});
    let with = |mut one: Value, more: Value| {
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    for (name, members, expected) in [
        (
            "SessionEnd",
            json!({"reason": "clear"}),
            json!([{"type": "session_ended", "at": at, "reason": "clear"}]),
        ),
        (
            "SessionStart",
            json!({"source": "resume", "model": "m"}),
            json!([{"type": "session_started", "at": at, "reason": "resume"},
                {"type": "noted", "at": at, "event": "SessionStart", "metadata": {"source": "resume", "model": "m"}}]),
        ),
        (
            "UserPromptSubmit",
            json!({"prompt": "Go"}),
            json!([{"type": "prompt", "key": "p", "at": at, "text": "Go"}]),
        ),
        ("UserPromptSubmit", json!({"prompt": "<system-reminder>x</system-reminder>"}), json!([])),
        (
            "UserPromptSubmit",
            json!({"prompt": "<task-notification><task-id>a</task-id><status>failed</status><result>no</result></task-notification>"}),
            json!([{"type": "agent_stopped", "agent_id": "a", "at": at, "result": "no", "failed": true,
                "reported": true, "only_if_known": true}]),
        ),
        (
            "PreToolUse",
            json!({"tool_name": "Task", "tool_use_id": "u", "tool_input": {"subagent_type": "Plan", "description": "d"}}),
            json!([{"type": "agent_launched", "tool_use_id": "u", "at": at, "prompt_key": "p", "agent_type": "Plan",
                "description": "d"}]),
        ),
        ("PreToolUse", json!({"tool_name": "Bash", "tool_use_id": "u", "tool_input": {}}), json!([])),
        (
            "SubagentStart",
            of_agent.clone(),
            json!([{"type": "agent_started", "agent_id": "a", "at": at, "prompt_key": "p", "agent_type": "Explore"}]),
        ),
        (
            "SubagentStop",
            with(of_agent.clone(), json!({"last_assistant_message": "found"})),
            json!([{"type": "agent_stopped", "agent_id": "a", "at": at, "prompt_key": "p", "agent_type": "Explore", "result": "found",
                "failed": false}]),
        ),
        (
            "SubagentStop",
            json!({"agent_id": "a", "agent_type": "", "last_assistant_message": "the summary"}),
            json!([{"type": "agent_stopped", "agent_id": "a", "at": at, "prompt_key": "p", "result": "the summary", "failed": false,
                "only_if_known": true}]),
        ),
        (
            "Stop",
            json!({"last_assistant_message": "done", "background_tasks": []}),
            json!([{"type": "turn_ended", "prompt_key": "p", "at": at, "result": "done", "failed": false}]),
        ),
        (
            "StopFailure",
            json!({"error": "overloaded"}),
            json!([{"type": "turn_ended", "prompt_key": "p", "at": at, "result": "overloaded", "failed": true}]),
        ),
        (
            "TaskCreated",
            json!({"task_id": 7, "task_subject": "Add it"}),
            json!([{"type": "task_created", "task_id": "7", "at": at, "subject": "Add it", "prompt_key": "p"}]),
        ),
        (
            "TaskCompleted",
            json!({"task_id": "7"}),
            json!([{"type": "task_completed", "task_id": "7", "at": at, "prompt_key": "p"}]),
        ),
        (
            "PreCompact",
            json!({"trigger": "auto", "custom_instructions": null}),
            json!([{"type": "compaction_started", "at": at, "trigger": "auto"}]),
        ),
        ("PostToolBatch", json!({"tool_calls": []}), json!([])),
        ("MessageDisplay", json!({"delta": "x", "index": 1}), json!([])),
        (
            "Telepathy",
            json!({"thought": 1, "prompt": "kept"}),
            json!([{"type": "noted", "at": at, "event": "Telepathy", "metadata": {"thought": 1, "prompt": "kept"}}]),
        ),
    ] {
        assert_eq!(as_json(&observed(name, members.clone())), expected, "{name} {members}");
    }
}

#[test]
fn tool_calls_have_their_outcome_their_owner_and_their_begin() {
    let members = json!({"tool_name": "Bash", "tool_use_id": "u", "tool_input": {"command": "ls"}, "duration_ms": 50,
        "tool_response": {"stdout": "a", "stderr": "b"}, "agent_id": "a", "agent_type": "Plan", "mood": "fine"});
    let expected = json!([{"type": "tool_used", "tool_use_id": "u", "at": "2026-02-07T09:59:59.950Z", "agent_id": "a",
        "prompt_key": "p", "tool_name": "Bash", "input": "{\"command\":\"ls\"}", "output": "a\nb", "exit_code": 0,
        "duration_ms": 50, "metadata": {"mood": "fine"}}]);
    assert_eq!(as_json(&observed("PostToolUse", members)), expected);
    let failed = json!({"tool_name": "Read", "tool_use_id": "u", "tool_input": {"file_path": "/a"},
        "error": "Exit code 7\nno", "is_interrupt": true});
    let expected = json!([{"type": "tool_used", "tool_use_id": "u", "at": "2026-02-07T10:00:00.000Z",
        "prompt_key": "p", "tool_name": "Read", "input": "{\"file_path\":\"/a\"}", "output": "Exit code 7\nno",
        "exit_code": 1, "file_paths": ["/a"], "metadata": {"exit_code": 7, "is_interrupt": true}}]);
    assert_eq!(as_json(&observed("PostToolUseFailure", failed)), expected);
}

#[test]
fn the_launching_tool_says_which_agent_it_launched() {
    let members = |status: &str| {
        json!({"tool_name": "Agent", "tool_use_id": "u", "tool_input": {"subagent_type": "Plan", "description": "d"},
            "tool_response": {"agentId": "a", "status": status, "content": [{"type": "text", "text": "found"}]}})
    };
    let kinds = |status: &str| -> Vec<String> {
        let observations = as_json(&observed("PostToolUse", members(status)));
        observations.as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("completed"), ["tool_used", "agent_started", "agent_stopped"]);
    assert_eq!(kinds("async_launched"), ["tool_used", "agent_started"]);
    let noticed = notice(&report("PostToolUse", members("completed")), now());
    assert_eq!(
        (noticed.returned.as_deref(), noticed.stopped.as_deref(), &*noticed.agent_id),
        (Some("a"), None, "s")
    );
    let Observation::AgentStarted { metadata, .. } = &noticed.observations[1] else { panic!("{noticed:?}") };
    assert_eq!(metadata.as_ref().map(JsonObject::as_str), Some(r#"{"tool_use_id":"u"}"#));
}

#[test]
fn who_is_told_something_and_when() {
    let speaks = |name: &str, at: Option<Timestamp>, agent| {
        notice(&HookReport { at, agent, ..report(name, json!({"tool_name": "Bash"})) }, now()).speaks
    };
    for (name, expected) in [
        ("SessionStart", Speaks::Brief),
        ("SubagentStart", Speaks::Brief),
        ("PreToolUse", Speaks::Messages),
        ("PostToolUse", Speaks::Messages),
        ("PostToolUseFailure", Speaks::Messages),
        ("PostToolBatch", Speaks::Messages),
        ("UserPromptSubmit", Speaks::Messages),
        ("Stop", Speaks::Nothing),
        ("SubagentStop", Speaks::Nothing),
        ("PreCompact", Speaks::Nothing),
        ("PostCompact", Speaks::Nothing),
        ("SessionEnd", Speaks::Nothing),
        ("Notification", Speaks::Nothing),
        ("Telepathy", Speaks::Nothing),
    ] {
        assert_eq!(speaks(name, None, None), expected, "{name}");
        assert_eq!(speaks(name, Some(now()), None), Speaks::Nothing, "{name}, told later");
    }
    // Codex refuses what it does not know.
    assert_eq!(speaks("PostToolBatch", None, Some(AgentClient::Codex)), Speaks::Nothing);
    assert_eq!(speaks("PostToolUse", None, Some(AgentClient::Codex)), Speaks::Messages);
}

#[test]
fn clients_are_told_apart_by_what_they_send() {
    let key = |members: Value| match observed("UserPromptSubmit", members).remove(0) {
        Observation::Prompt { key, .. } => key,
        other => panic!("{other:?}"),
    };
    let mut codex = report("UserPromptSubmit", json!({"prompt": "Go", "turn_id": "t", "model": "m"}));
    codex.fields.remove("prompt_id");
    let Observation::Prompt { key: turn, .. } = &notice(&codex, now()).observations[0] else {
        panic!("no prompt")
    };
    assert_eq!(turn, "t");
    assert_eq!(key(json!({"prompt": "Go", "turn_id": "t"})), "p");
    // A client that has no id for a prompt: the same words at the same time are one prompt.
    let mut old = report("UserPromptSubmit", json!({"prompt": "Go"}));
    old.fields.remove("prompt_id");
    let unsure = |report: &HookReport, at: i64| match notice(report, Timestamp::from_millis(at))
        .observations
        .remove(0)
    {
        Observation::Prompt { key, .. } => key,
        other => panic!("{other:?}"),
    };
    assert!(unsure(&old, NOW).starts_with(UNSURE));
    assert_eq!(unsure(&old, NOW), unsure(&old, NOW + 1_000));
    assert_ne!(unsure(&old, NOW), unsure(&old, NOW + 3_600_000));
}

#[test]
fn an_output_is_what_the_schema_knows_and_fits() {
    let output = HookOutput::context("PostToolUse", "hello");
    assert_eq!(
        serde_json::to_value(&output).unwrap(),
        json!({"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": "hello"}})
    );
    let long = HookOutput::context("PostToolUse", &"é😀".repeat(9_000));
    // Clients count UTF-16 units, and no character is cut in two.
    let units = long.hook_specific_output.additional_context.encode_utf16().count();
    assert_eq!(units, MAX_CONTEXT - 1);
}

#[test]
fn notes_are_bounded() {
    let long = "x".repeat(100_000);
    let Observation::Noted { metadata, .. } = &observed("Telepathy", json!({"a": long, "b": [long]}))[0]
    else {
        panic!("no note")
    };
    assert!(metadata.as_str().len() < 9_000, "{}", metadata.as_str().len());
    let many: Map<String, Value> =
        (0..500).map(|number| (format!("m{number}"), json!("x".repeat(100)))).collect();
    let Observation::Noted { metadata, .. } = &observed("Telepathy", Value::Object(many))[0] else {
        panic!("no note")
    };
    assert_eq!(metadata.as_str(), r#"{"cut":true}"#);
}

#[test]
fn an_event_travels_whole_and_the_rest_in_the_query() {
    let mut report = report("PostToolUse", json!({"at": "theirs", "agent": {"x": 1}}));
    (report.at, report.agent) = (Some(now()), Some(AgentClient::Codex));
    // Members of the event that are called like the two parameters are the event's.
    report.fields.remove("at");
    report.fields.remove("agent");
    let request = to_request(&report).unwrap();
    assert_eq!(request.path_and_query, "/hooks/claude?agent=codex&at=2026-02-07T10%3A00%3A00.000Z");
    let query = vec![
        ("agent".to_owned(), "codex".to_owned()),
        ("at".to_owned(), "2026-02-07T10:00:00.000Z".to_owned()),
        ("session_id".to_owned(), "another".to_owned()),
    ];
    let back: HookReport = from_request(Vec::new(), query, request.body.unwrap().as_bytes()).unwrap();
    assert_eq!(back, report);
    let body = br#"{"session_id":"s","hook_event_name":"Stop","at":"theirs","agent":{"x":1}}"#;
    let read: HookReport = from_request(Vec::new(), Vec::new(), body).unwrap();
    assert_eq!((read.at, read.agent, &read.fields["at"]), (None, None, &json!("theirs")));
}
