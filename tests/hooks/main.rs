//! Events of real hooks, over real HTTP, on both stores: what they become, alone and together with the transcript.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../hook_replay/mod.rs"]
mod hook_replay;
mod order;
mod sending;
mod told;

use std::path::Path;

use dcm_suite::on_both_stores;
use dcm_suite::server::{Server, Store};
use hook_replay::{events, reconcile, replay, rows, transcript};
use sending::{hook, send, tool};
use serde_json::{Value, json};

const TWO_AGENTS: &str = "two-subagents";
const COMPACTED: &str = "compact-and-continue";

on_both_stores!(
    two_sub_agents,
    a_compaction,
    a_repeat_changes_nothing,
    every_third_event_is_lost,
    a_transcript_completes_what_hooks_missed,
    an_end_under_a_fresh_id_is_that_of_the_transcript,
    whole_sessions_as_hook_events,
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

async fn an_end_under_a_fresh_id_is_that_of_the_transcript(store: Store) {
    let imported = Server::start(store).await;
    replay(&imported.calls(), &events(TWO_AGENTS)).await;
    let expected = rows(&imported);
    drop(imported);
    let server = Server::start(store).await;
    let mut events = events(TWO_AGENTS);
    for (number, event) in events.iter_mut().enumerate() {
        if event["hook_event_name"] == "SubagentStop" {
            event["agent_id"] = json!(format!("a-fresh-{number}"));
        }
    }
    replay(&server.calls(), &events).await;
    assert_eq!(rows(&server), expected);

    // Of agents that were never heard of it is the first that is told, under the id that their transcripts have.
    let server = Server::start(store).await;
    events.retain(|event| event["hook_event_name"] == "SubagentStop");
    replay(&server.calls(), &events).await;
    let subtasks = rows(&server).subtasks;
    let keys: Vec<_> = subtasks.iter().map(|one| &*one.key).filter(|key| key.starts_with("agent:")).collect();
    assert_eq!(keys, ["agent:a252bfe950b3cf9e3", "agent:af3aa2c4f10792d3f"]);
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
