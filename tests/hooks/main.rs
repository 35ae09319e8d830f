//! Events of real hooks, over real HTTP, on both stores: what they become, alone and together with the transcript.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hook_replay;

use std::path::Path;

use dcm_suite::calls::Calls;
use dcm_suite::on_both_stores;
use dcm_suite::server::{Server, Store};
use hook_replay::{events, reconcile, replay, rows, transcript};
use proptest::prelude::*;
use serde_json::{Value, json};

const TWO_AGENTS: &str = "two-subagents";
const COMPACTED: &str = "compact-and-continue";

on_both_stores!(
    two_sub_agents,
    a_compaction,
    a_repeat_changes_nothing,
    every_third_event_is_lost,
    a_transcript_completes_what_hooks_missed,
    whole_sessions_as_hook_events,
    a_message_is_in_the_answer_to_the_very_next_tool_event,
    what_was_not_seen_is_told_again,
    briefs,
    a_brief_after_a_compaction,
    reports_reach_the_parent,
    unknown_events_are_kept,
    codex,
    bad_events,
);

async fn two_sub_agents(store: Store) {
    let server = Server::start(store).await;
    replay(&server.calls(), &events(TWO_AGENTS)).await;
    let rows = rows(&server);
    let [session] = &rows.sessions[..] else { panic!("one session: {rows:#?}") };
    assert!(session.ended);
    assert_eq!((session.tools, session.succeeded, session.failed), (15, 14, 1));
    let [request] = &rows.requests[..] else { panic!("one request: {rows:#?}") };
    assert_eq!(request.prompt, "MAIN_JOB Add a login endpoint and its tests");
    assert_eq!(request.status, "completed");
    assert_eq!(rows.actions.len(), 15);
    assert_eq!(rows.actions.iter().filter(|action| action.exit_code == 1).count(), 1);

    let agents: Vec<_> = rows.subtasks.iter().filter(|one| one.key.starts_with("agent:")).collect();
    let said = Some("Finished: login endpoint added, tests still red.".to_owned());
    for (kind, description) in [("Explore", "Explore auth code"), ("general-purpose", "Write token tests")] {
        let agent = agents.iter().find(|agent| agent.agent_type.as_deref() == Some(kind)).unwrap();
        assert_eq!((&*agent.status, &agent.result), ("completed", &said), "{kind}");
        assert_eq!(agent.description.as_deref(), Some(description));
        assert_eq!(rows.actions.iter().filter(|action| action.owner == agent.key).count(), 2, "{kind}");
    }
    assert_eq!(agents.len(), 2);
    let entries: Vec<_> = rows.subtasks.iter().filter(|one| one.key.starts_with("task:")).collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&*entries[0].status, entries[0].description.as_deref()),
        ("completed", Some("Add login endpoint"))
    );
    // With the main agent.
    assert_eq!(rows.subtasks.len(), 4);
    let main = rows.subtasks.iter().find(|one| one.key.starts_with("main:")).unwrap();
    assert_eq!((&*main.status, &main.result), ("completed", &said));
    assert!(rows.compactions.is_empty());
    let project = server.calls().get("/api/projects/by-path?path=/home/dev/shop").await;
    assert_eq!(project["project"]["path"], "/home/dev/shop");
}

async fn a_compaction(store: Store) {
    let server = Server::start(store).await;
    replay(&server.calls(), &events(COMPACTED)).await;
    let first = rows(&server);
    assert_eq!((first.sessions.len(), first.requests.len(), first.actions.len()), (1, 1, 5), "{first:#?}");
    assert!(first.sessions[0].ended);
    assert_eq!(first.actions.iter().filter(|action| action.exit_code == 1).count(), 1);
    // The run that wrote the summary is no subtask.
    let keys: Vec<_> = first.subtasks.iter().map(|one| (&*one.key, &*one.status)).collect();
    let main = "main:0d10bea1-c44d-4472-8fe7-3d2effe77a64";
    assert_eq!(keys, [("agent:a4829a2f29cc5f43b", "completed"), (main, "completed")]);
    assert_eq!(first.actions.iter().filter(|action| action.owner == keys[0].0).count(), 1);
    let [compaction] = &first.compactions[..] else { panic!("one compaction: {first:#?}") };
    assert_eq!(
        (compaction.trigger.as_deref(), compaction.summary.as_deref()),
        (Some("manual"), Some("All done."))
    );
    // What was open before the context was lost was kept, once.
    let saved = server.calls().get("/api/compact/snapshot/adbd5f3a-7150-44a0-bdcb-2856dd5dd362").await;
    assert_eq!(
        (&saved["exists"], &saved["history"][1]["trigger"]),
        (&json!(true), &json!("manual")),
        "{saved}"
    );
    assert_eq!(server.number("select count(*) from compactions where external_key like 'save:%'"), 1);

    reconcile(&server.calls(), &transcript("adbd5f3a-7150-44a0-bdcb-2856dd5dd362")).await;
    let all = rows(&server);
    assert_eq!((all.sessions.len(), all.actions.len(), all.compactions.len()), (1, 10, 1), "{all:#?}");
    assert_eq!(all.actions.iter().filter(|action| action.exit_code == 1).count(), 2);
    let agents: Vec<_> = all.subtasks.iter().filter(|one| one.key.starts_with("agent:")).collect();
    assert_eq!(agents.len(), 2);
    for agent in agents {
        assert_eq!(agent.status, "completed");
        assert_eq!(all.actions.iter().filter(|action| action.owner == agent.key).count(), 1);
    }
}

async fn a_repeat_changes_nothing(store: Store) {
    let server = Server::start(store).await;
    for name in [TWO_AGENTS, COMPACTED] {
        replay(&server.calls(), &events(name)).await;
    }
    let once = rows(&server);
    for name in [COMPACTED, TWO_AGENTS, TWO_AGENTS] {
        replay(&server.calls(), &events(name)).await;
    }
    assert_eq!(rows(&server), once);
}

/// What hooks and the transcript say together, whatever was lost of the hooks.
async fn every_third_event_is_lost(store: Store) {
    for (name, session) in [
        (TWO_AGENTS, "1e3243ca-f29b-4b96-a23c-626644b1ffe5"),
        (COMPACTED, "adbd5f3a-7150-44a0-bdcb-2856dd5dd362"),
    ] {
        let imported = Server::start(store).await;
        reconcile(&imported.calls(), &transcript(session)).await;
        let expected = rows(&imported).without_end();
        drop(imported);
        for lost in 0..4 {
            let server = Server::start(store).await;
            let mut kept = events(name);
            let mut number = 0;
            kept.retain(|_| {
                number += 1;
                number % 3 != lost
            });
            replay(&server.calls(), &kept).await;
            reconcile(&server.calls(), &transcript(session)).await;
            assert_eq!(rows(&server).without_end(), expected, "{name}, lost {lost}");
            // A late event, and the transcript once more.
            replay(&server.calls(), &events(name)).await;
            reconcile(&server.calls(), &transcript(session)).await;
            assert_eq!(rows(&server).without_end(), expected, "{name}, lost {lost}, then all");
            assert!(rows(&server).sessions[0].ended);
        }
    }
}

async fn a_transcript_completes_what_hooks_missed(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let session = "1e3243ca-f29b-4b96-a23c-626644b1ffe5";
    // The hooks of one sub-agent come under an id that nobody announced, and half of them are lost.
    let mut events = events(TWO_AGENTS);
    for event in &mut events {
        if event["agent_id"] == "a252bfe950b3cf9e3" {
            event["agent_id"] = json!("a-phantom");
            event.as_object_mut().unwrap().remove("agent_type");
        }
    }
    events.retain(|event| event["hook_event_name"] != "SubagentStart");
    replay(&api, &events).await;
    assert!(rows(&server).subtasks.iter().any(|one| one.key == "agent:a-phantom"));

    let report = reconcile(&api, &transcript(session)).await;
    assert_eq!(report["created"]["actions"], 0, "{report}");
    assert_eq!(report["corrected"]["actions"], 2, "both calls of the phantom: {report}");
    let after = rows(&server);
    assert!(!after.subtasks.iter().any(|one| one.key == "agent:a-phantom"), "{after:#?}");
    let of = |key: &str| after.actions.iter().filter(|action| action.owner == key).count();
    assert_eq!((of("agent:a252bfe950b3cf9e3"), of("agent:af3aa2c4f10792d3f")), (2, 2));

    let again = reconcile(&api, &transcript(session)).await;
    assert_eq!((&again["updated"], &again["created"]["actions"]), (&json!(0), &json!(0)), "{again}");
    assert_eq!(rows(&server), after);
}

/// Real sessions, turned into the events that hooks would have told, with a server that is killed in between.
async fn whole_sessions_as_hook_events(store: Store) {
    for file in ["258c7280-ae70-4798-800f-63464d01a85d", "subagent"] {
        let parsed =
            hook_replay::parsed(&Path::new(hook_replay::DATA).join(format!("transcripts/{file}.jsonl")));
        let imported = Server::start(store).await;
        reconcile(&imported.calls(), &parsed).await;
        let expected = rows(&imported).without_end();
        drop(imported);

        let mut server = Server::start(store).await;
        let events = hook_replay::as_events(&parsed);
        let third = events.len() / 3;
        replay(&server.calls(), &events[..third]).await;
        server.kill();
        // What is told now is lost.
        server.restart().await;
        replay(&server.calls(), &events[2 * third..]).await;
        reconcile(&server.calls(), &parsed).await;
        assert_eq!(rows(&server).without_end(), expected, "{file}");
    }
}

fn tool(session: &str, id: &str) -> Value {
    json!({"session_id": session, "hook_event_name": "PostToolUse", "prompt_id": "p-1", "tool_name": "Bash",
        "tool_input": {"command": "ls"}, "tool_response": {"stdout": "a", "stderr": ""}, "tool_use_id": id,
        "cwd": "/srv/x"})
}

fn text_of(answer: &Value) -> String {
    answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap_or_default().to_owned()
}

async fn send(api: &Calls, to: Option<&str>, text: &str) -> String {
    let mut message = json!({"from_agent": "tester", "topic": "context.response", "content": text});
    if let Some(to) = to {
        message["to_agent"] = json!(to);
    }
    api.post("/api/messages", &message).await["message"]["id"].as_str().unwrap().to_owned()
}

async fn receipt(api: &Calls, message: &str, agent: &str) -> Value {
    let receipts = api.get(&format!("/api/receipts/{message}")).await;
    let receipts = receipts["receipts"].as_array().unwrap();
    receipts.iter().find(|receipt| receipt["agent_id"] == agent).cloned().unwrap_or_default()
}

async fn hook(api: &Calls, event: &Value) -> Value {
    api.post("/hooks/claude", event).await
}

async fn a_message_is_in_the_answer_to_the_very_next_tool_event(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    assert_eq!(hook(&api, &tool("s-1", "u-1")).await, Value::Null, "nothing waits");
    let message = send(&api, Some("s-1"), "the port is 8080").await;
    assert_eq!(receipt(&api, &message, "s-1").await["state"], "queued");

    let answer = hook(&api, &tool("s-1", "u-2")).await;
    assert_eq!(answer["hookSpecificOutput"]["hookEventName"], "PostToolUse");
    assert!(text_of(&answer).contains("tester") && text_of(&answer).contains("the port is 8080"), "{answer}");
    assert!(text_of(&answer).contains(&message));
    let told = receipt(&api, &message, "s-1").await;
    assert_eq!((&told["state"], &told["times_injected"]), (&json!("injected"), &json!(1)));

    assert_eq!(hook(&api, &tool("s-1", "u-3")).await, Value::Null, "told once");
    assert_eq!(receipt(&api, &message, "s-1").await["state"], "seen");
    let inbox = api.get("/api/messages/s-1").await;
    assert_eq!(
        (&inbox["count"], &inbox["messages"][0]["already_read"]),
        (&json!(1), &json!(true)),
        "{inbox}"
    );
    let acknowledged = json!({"message_id": message, "agent_id": "s-1"});
    assert_eq!(api.post("/api/receipts", &acknowledged).await["state"], "acknowledged");
    assert_eq!(receipt(&api, &message, "s-1").await["state"], "acknowledged");

    // To a sub-agent: its own next event, nobody else's.
    let mut of_agent = tool("s-1", "u-4");
    (of_agent["agent_id"], of_agent["agent_type"]) = (json!("a-1"), json!("Explore"));
    hook(&api, &of_agent).await;
    send(&api, Some("a-1"), "look in src").await;
    assert_eq!(hook(&api, &tool("s-1", "u-5")).await, Value::Null, "not for the main agent");
    of_agent["tool_use_id"] = json!("u-6");
    (of_agent["hook_event_name"], of_agent["error"]) = (json!("PostToolUseFailure"), json!("Exit code 2"));
    let answer = hook(&api, &of_agent).await;
    assert_eq!(answer["hookSpecificOutput"]["hookEventName"], "PostToolUseFailure");
    assert!(text_of(&answer).contains("look in src"), "{answer}");

    // To all, and before a prompt.
    send(&api, None, "lunch").await;
    let prompt = json!({"session_id": "s-1", "hook_event_name": "UserPromptSubmit", "prompt_id": "p-2", "prompt": "go on"});
    assert!(text_of(&hook(&api, &prompt).await).contains("lunch"));
    // The most urgent first, and no more than fits.
    for number in 0..10 {
        send(&api, Some("s-1"), &format!("{number}{}", "x".repeat(2_500))).await;
    }
    let answer = text_of(&hook(&api, &tool("s-1", "u-7")).await);
    assert!(
        answer.chars().count() <= 9_500 && answer.contains("0xxx") && !answer.contains("9xxx"),
        "{answer}"
    );
    let mut all = String::new();
    for number in 8..14 {
        all += &text_of(&hook(&api, &tool("s-1", &format!("u-{number}"))).await);
    }
    assert!((3..10).all(|number| all.contains(&format!("{number}xxx"))), "the others follow");
    let detail = api.get("/api/sessions/s-1").await;
    assert!(detail["injected"]["tokens"].as_i64().unwrap() > 6_000, "{detail}");
    assert_eq!(detail["injected"]["messages"], 13, "{detail}");
}

async fn what_was_not_seen_is_told_again(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    hook(&api, &tool("s-1", "u-1")).await;
    let message = send(&api, Some("s-1"), "stop that").await;
    let before = hook(&api, &tool("s-1", "u-2")).await;
    assert!(text_of(&before).contains("stop that"));
    // The session was killed there, and is resumed.
    let start =
        json!({"session_id": "s-1", "hook_event_name": "SessionStart", "source": "resume", "cwd": "/srv/x"});
    assert!(text_of(&hook(&api, &start).await).contains("stop that"), "with the brief");
    let told = receipt(&api, &message, "s-1").await;
    assert_eq!((&told["state"], &told["times_injected"]), (&json!("injected"), &json!(2)));
    assert_eq!(hook(&api, &tool("s-1", "u-3")).await, Value::Null);
    assert_eq!(receipt(&api, &message, "s-1").await["state"], "seen");

    // The answer to an event came too late: the client tells the event again from its spool.
    let message = send(&api, Some("s-1"), "the second").await;
    let noted = dcm::Timestamp::parse(told["injected_at"].as_str().unwrap()).unwrap();
    assert!(text_of(&hook(&api, &tool("s-1", "u-4")).await).contains("the second"));
    let late = format!("/hooks/claude?at={noted}");
    assert_eq!(api.post(&late, &tool("s-1", "u-4")).await, Value::Null, "nobody waits for that");
    assert_eq!(receipt(&api, &message, "s-1").await["state"], "queued");
    assert!(text_of(&hook(&api, &tool("s-1", "u-5")).await).contains("the second"));
}

async fn briefs(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let start = |source: &str| json!({"session_id": "s-1", "hook_event_name": "SessionStart", "source": source, "cwd": "/srv/x", "model": "m"});
    let begin = hook(&api, &start("startup")).await;
    assert_eq!(begin["hookSpecificOutput"]["hookEventName"], "SessionStart");
    assert!(text_of(&begin).contains("`s-1`"), "{begin}");
    let prompt = json!({"session_id": "s-1", "hook_event_name": "UserPromptSubmit", "prompt_id": "p-1", "prompt": "Mend the parser"});
    assert_eq!(hook(&api, &prompt).await, Value::Null);
    for source in ["resume", "clear", "compact"] {
        let text = text_of(&hook(&api, &start(source)).await);
        assert!(text.contains("Mend the parser") && text.chars().count() <= 9_500, "{source}: {text}");
    }
    let launch = json!({"session_id": "s-1", "hook_event_name": "PreToolUse", "prompt_id": "p-1", "tool_name": "Agent",
        "tool_use_id": "u-1", "tool_input": {"description": "Read the grammar", "subagent_type": "Explore", "prompt": "…"}});
    assert_eq!(hook(&api, &launch).await, Value::Null);
    let begin = json!({"session_id": "s-1", "hook_event_name": "SubagentStart", "prompt_id": "p-1", "agent_id": "a-1", "agent_type": "Explore"});
    let text = text_of(&hook(&api, &begin).await);
    assert!(text.contains("`a-1`, launched by `s-1`") && text.contains("Read the grammar"), "{text}");
    // An agent whose begin nobody told is briefed at its first tool call, once.
    let mut unannounced = tool("s-1", "u-2");
    (unannounced["agent_id"], unannounced["agent_type"]) = (json!("a-2"), json!("Plan"));
    assert!(text_of(&hook(&api, &unannounced).await).contains("`a-2`"));
    unannounced["tool_use_id"] = json!("u-3");
    assert_eq!(hook(&api, &unannounced).await, Value::Null);

    let detail = api.get("/api/sessions/s-1").await;
    assert_eq!(detail["injected"]["briefs"], 6, "{detail}");
    assert!(detail["injected"]["tokens"].as_i64().unwrap() > 100, "{detail}");
    assert_eq!(detail["metadata"]["SessionStart"], json!({"source": "compact", "model": "m"}), "{detail}");
}

async fn a_brief_after_a_compaction(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let event = |name: &str, more: Value| {
        let mut event =
            json!({"session_id": "s-1", "hook_event_name": name, "prompt_id": "p-1", "cwd": "/srv/x"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    hook(&api, &event("UserPromptSubmit", json!({"prompt": "Mend the parser"}))).await;
    let compact = [
        event("PreCompact", json!({"trigger": "auto", "custom_instructions": "keep the plan"})),
        event("PostCompact", json!({"trigger": "auto", "compact_summary": "The plan."})),
    ];
    // The event that takes the brief never comes: the next one that can does.
    for one in &compact {
        assert_eq!(hook(&api, one).await, Value::Null);
    }
    assert!(text_of(&hook(&api, &tool("s-1", "u-1")).await).contains("Mend the parser"));
    assert_eq!(hook(&api, &tool("s-1", "u-2")).await, Value::Null, "once");

    // It comes in time, before the summary does: then that was it.
    let start = event("SessionStart", json!({"source": "compact"}));
    let second = event("PostCompact", json!({"trigger": "auto", "compact_summary": "The second plan."}));
    hook(&api, &compact[0]).await;
    assert!(text_of(&hook(&api, &start).await).contains("Mend the parser"));
    assert_eq!(hook(&api, &second).await, Value::Null);
    assert_eq!(hook(&api, &tool("s-1", "u-3")).await, Value::Null, "it was given");

    // It comes, but its answer does not arrive, so it comes again from the spool.
    let third = event("PostCompact", json!({"trigger": "auto", "compact_summary": "The third plan."}));
    hook(&api, &compact[0]).await;
    let before = api.get("/api/compact/status/s-1").await["compacted_at"].as_str().unwrap().to_owned();
    hook(&api, &start).await;
    hook(&api, &third).await;
    assert_eq!(api.post(&format!("/hooks/claude?at={before}"), &start).await, Value::Null);
    assert!(text_of(&hook(&api, &tool("s-1", "u-4")).await).contains("Mend the parser"), "given again");
    assert_eq!(rows(&server).compactions.len(), 3);
    // Before each of them, what was open was kept.
    let saved = api.get("/api/compact/snapshot/s-1").await;
    assert_eq!(saved["snapshot"]["active_tasks"][0]["text"], "Mend the parser", "{saved}");
    assert_eq!(server.number("select count(*) from compactions where external_key like 'save:%'"), 3);
    assert_eq!(api.get("/api/compact/status/s-1").await["compact_summary"], "The third plan.");
}

async fn reports_reach_the_parent(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let of_agent = |agent: &str, name: &str, more: Value| {
        let mut event = json!({"session_id": "s-1", "hook_event_name": name, "prompt_id": "p-1", "agent_id": agent,
            "agent_type": "Explore", "cwd": "/srv/x"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    // In the background: the report is posted.
    hook(&api, &of_agent("a-1", "SubagentStart", json!({}))).await;
    hook(&api, &of_agent("a-1", "SubagentStop", json!({"last_assistant_message": "It is in lexer.rs"})))
        .await;
    let answer = hook(&api, &tool("s-1", "u-1")).await;
    assert!(text_of(&answer).contains("It is in lexer.rs") && text_of(&answer).contains("a-1"), "{answer}");
    hook(&api, &of_agent("a-1", "SubagentStop", json!({"last_assistant_message": "It is in lexer.rs"})))
        .await;
    assert_eq!(hook(&api, &tool("s-1", "u-2")).await, Value::Null, "posted once");

    // One that wrote itself needs no report.
    hook(&api, &of_agent("a-2", "SubagentStart", json!({}))).await;
    let own = json!({"from_agent": "a-2", "to_agent": "s-1", "topic": "task.completed", "content": "done, see NOTES"});
    api.post("/api/messages", &own).await;
    hook(&api, &of_agent("a-2", "SubagentStop", json!({"last_assistant_message": "Bye"}))).await;
    let answer = text_of(&hook(&api, &tool("s-1", "u-3")).await);
    assert!(answer.contains("see NOTES") && !answer.contains("Bye"), "{answer}");

    // The client hands the result over itself: it need not be told twice.
    hook(&api, &of_agent("a-3", "SubagentStart", json!({}))).await;
    hook(&api, &of_agent("a-3", "SubagentStop", json!({"last_assistant_message": "Three."}))).await;
    let returned = json!({"session_id": "s-1", "hook_event_name": "PostToolUse", "prompt_id": "p-1",
        "tool_name": "Agent", "tool_use_id": "u-4", "tool_input": {"description": "Count", "subagent_type": "Explore"},
        "tool_response": {"status": "completed", "agentId": "a-3", "content": [{"type": "text", "text": "Three."}]}});
    assert_eq!(hook(&api, &returned).await, Value::Null);
    assert_eq!(hook(&api, &tool("s-1", "u-5")).await, Value::Null);
}

async fn unknown_events_are_kept(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let event = json!({"session_id": "s-1", "hook_event_name": "Telepathy", "thought": {"deep": [1, 2]}, "cwd": "/srv/x"});
    assert_eq!(hook(&api, &event).await, Value::Null);
    let mut known = tool("s-1", "u-1");
    known["mood"] = json!("fine");
    hook(&api, &known).await;
    let stop = json!({"session_id": "s-1", "hook_event_name": "Stop", "prompt_id": "p-1", "colour": "blue"});
    hook(&api, &stop).await;
    let detail = api.get("/api/sessions/s-1").await;
    assert_eq!(
        detail["metadata"],
        json!({"Telepathy": {"thought": {"deep": [1, 2]}}, "Stop": {"colour": "blue"}}),
        "{detail}"
    );
    let kept = server.rows("select metadata from actions where tool_use_id = 'u-1'");
    let kept: Value = serde_json::from_str(kept[0][0].as_ref().unwrap()).unwrap();
    assert_eq!(kept, json!({"mood": "fine"}));
}

async fn codex(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let event = |name: &str, more: Value| {
        let mut event = json!({"session_id": "c-1", "hook_event_name": name, "turn_id": "t-1", "model": "gpt",
            "cwd": "/srv/x", "permission_mode": "default", "transcript_path": null});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let events = [
        event("SessionStart", json!({"source": "startup"})),
        event("UserPromptSubmit", json!({"prompt": "Add a test"})),
        event(
            "PostToolUse",
            json!({"tool_name": "Bash", "tool_use_id": "u-1", "tool_input": {"command": "make"},
            "tool_response": "{\"output\":\"no\",\"metadata\":{\"exit_code\":2}}"}),
        ),
        event(
            "PostToolUse",
            json!({"tool_name": "apply_patch", "tool_use_id": "u-2",
            "tool_input": {"command": "*** Begin Patch\n*** Update File: src/a.rs\n@@\n*** End Patch"},
            "tool_response": "Done"}),
        ),
        event("Stop", json!({"stop_hook_active": false, "last_assistant_message": "Added."})),
    ];
    for one in &events {
        api.post("/hooks/claude?agent=codex", one).await;
        hook(&api, one).await;
    }
    let rows = rows(&server);
    assert_eq!((rows.requests.len(), rows.actions.len(), rows.subtasks.len()), (1, 2, 1), "{rows:#?}");
    assert_eq!((rows.sessions[0].succeeded, rows.sessions[0].failed), (1, 1));
    assert_eq!((&*rows.requests[0].status, &*rows.requests[0].key), ("completed", "t-1"));
    let actions = api.get("/api/actions?session_id=c-1&tool_name=apply_patch").await;
    assert_eq!(actions["actions"][0]["file_paths"], json!(["src/a.rs"]));
    send(&api, Some("c-1"), "hello").await;
    let answer = api
        .post(
            "/hooks/claude?agent=codex",
            &event(
                "PostToolUse",
                json!({"tool_name": "Bash",
        "tool_use_id": "u-3", "tool_input": {}, "tool_response": "ok"}),
            ),
        )
        .await;
    let members: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(members, ["hookSpecificOutput"]);
    let members: Vec<_> = answer["hookSpecificOutput"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["additionalContext", "hookEventName"]);
}

async fn bad_events(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    for (body, field) in [
        (json!({"hook_event_name": "Stop"}), "session_id"),
        (json!({"session_id": "s"}), "hook_event_name"),
        (json!({"session_id": "", "hook_event_name": "Stop"}), "session_id"),
        (json!({"session_id": 7, "hook_event_name": "Stop"}), "session_id"),
    ] {
        let answer = api.call(reqwest::Method::POST, "/hooks/claude", Some(&body)).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["details"].get(field).is_some(), "{answer:?}");
    }
    for query in ["at=yesterday", "agent=emacs"] {
        let path = format!("/hooks/claude?{query}");
        let answer = api.call(reqwest::Method::POST, &path, Some(&tool("s", "u"))).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["details"].get(query.split('=').next().unwrap()).is_some(), "{answer:?}");
    }
    // What no store can hold is mended, not refused: nobody would send it again.
    let odd = r#"{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"Bash","tool_use_id":"u\u0000",
        "tool_input":{"command":"\ud800"},"tool_response":{"stdout":"a\u0000b"},"prompt_id":"p"}"#;
    let answer = server.http().post(format!("{}/hooks/claude", server.api())).body(odd).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(rows(&server).actions.len(), 1);
}

// --- Any order --------------------------------------------------------------------------------------------------------

/// The tree of a session in process, without ids and times, in an order of its own.
async fn tree(dcm: &dcm::Dcm, session: &str) -> (Vec<String>, Vec<String>) {
    let project = dcm::api::projects::ProjectByPath { path: "/home/dev/shop".to_owned() };
    let project_id = dcm.project_by_path(project).await.unwrap().project.id;
    let tree = dcm.hierarchy_get(dcm::api::hierarchy::HierarchyGet { project_id }).await.unwrap().hierarchy;
    let mut owners = std::collections::BTreeMap::new();
    let mut subtasks = Vec::new();
    for request in &tree.requests {
        for one in request.tasks.iter().flat_map(|task| &task.subtasks) {
            let said = one.result.as_ref().map(dcm::JsonObject::as_str);
            let (agent, kind) = (one.agent_id.as_deref(), one.agent_type.as_deref());
            let about = one.description.as_deref();
            let status = request.request.status;
            subtasks.push(format!(
                "{} {status}: {agent:?} {kind:?} {about:?} {:?} {said:?}",
                request.request.prompt, one.status
            ));
            owners.insert(one.id, format!("{agent:?} {about:?}"));
        }
    }
    let list = dcm::api::actions::ActionList {
        session_id: Some(session.to_owned()),
        limit: Some(1000),
        offset: None,
        tool_name: None,
        tool_type: None,
        subtask_id: None,
    };
    let actions = dcm.action_list(list).await.unwrap().actions;
    let owner =
        |action: &dcm::api::actions::ActionSummary| action.subtask_id.and_then(|id| owners.get(&id).cloned());
    let mut actions: Vec<String> =
        actions.iter().map(|one| format!("{} {} {:?}", one.tool_name, one.exit_code, owner(one))).collect();
    subtasks.sort();
    actions.sort();
    (subtasks, actions)
}

async fn in_process(
    events: &[Value],
    transcript: Option<&dcm::transcript::Parsed>,
) -> (Vec<String>, Vec<String>) {
    let dcm = dcm::Dcm::open_in_memory(dcm::EngineConfig::default()).await.unwrap();
    for event in events {
        let report: dcm::api::hooks::HookReport = serde_json::from_value(event.clone()).unwrap();
        dcm.hook(report).await.unwrap();
    }
    let session = events.first().map_or("", |event| event["session_id"].as_str().unwrap()).to_owned();
    if let Some(parsed) = transcript {
        let ingest = dcm::api::ingest::Ingest {
            session_id: parsed.session_id.clone().unwrap(),
            project_path: parsed.project_path.clone(),
            source: Some("reconcile".to_owned()),
            observations: parsed.observations.clone(),
        };
        dcm.ingest(ingest).await.unwrap();
    }
    let rows = tree(&dcm, &session).await;
    dcm.close().await;
    rows
}

/// Merges the events of the three agents in another order: each agent's own order stays, a sub-agent starts after the
/// call that launches it, and that call ends after the sub-agent.
fn interleaved(events: &[Value], choices: &[u8]) -> Vec<Value> {
    let agents = ["", "af3aa2c4f10792d3f", "a252bfe950b3cf9e3"];
    let of = |agent: &str| -> std::collections::VecDeque<Value> {
        events.iter().filter(|event| event["agent_id"].as_str().unwrap_or("") == agent).cloned().collect()
    };
    let mut queues = agents.map(of);
    let mut order = Vec::new();
    let mut choices = choices.iter().copied().cycle();
    let mut launched = 0;
    while queues.iter().any(|queue| !queue.is_empty()) {
        let mut place = usize::from(choices.next().unwrap_or(0)) % 3;
        let may = |place: usize| {
            let Some(event) = queues[place].front() else { return false };
            let returned = event["tool_response"]["agentId"].as_str();
            let waits =
                agents.iter().zip(&queues).any(|(id, queue)| returned == Some(id) && !queue.is_empty());
            if place == 0 { !waits } else { launched == 2 }
        };
        while !may(place) {
            place = (place + 1) % 3;
        }
        let event = queues[place].pop_front().unwrap();
        launched += usize::from(event["hook_event_name"] == "PreToolUse" && event["tool_name"] == "Agent");
        order.push(event);
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn parallel_agents_in_any_order(choices in proptest::collection::vec(any::<u8>(), 40)) {
        let events = events(TWO_AGENTS);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let expected = runtime.block_on(in_process(&events, None));
        let order = interleaved(&events, &choices);
        prop_assert_eq!(order.len(), events.len());
        prop_assert_eq!(runtime.block_on(in_process(&order, None)), expected);
    }

    #[test]
    fn any_loss_is_made_good_by_the_transcript(
        choices in proptest::collection::vec(any::<u8>(), 40),
        lost in proptest::collection::vec(proptest::bool::weighted(0.4), 42),
    ) {
        let events = events(TWO_AGENTS);
        let parsed = transcript("1e3243ca-f29b-4b96-a23c-626644b1ffe5");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let expected = runtime.block_on(in_process(&events, Some(&parsed)));
        let mut order = interleaved(&events, &choices);
        let mut lost = lost.into_iter().cycle();
        // The first event is told always, so that there is a session to ask for.
        let first = order.remove(0);
        order.retain(|_| !lost.next().unwrap_or(false));
        order.insert(0, first);
        prop_assert_eq!(runtime.block_on(in_process(&order, Some(&parsed))), expected);
    }
}
