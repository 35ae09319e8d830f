//! What agents are told in the answers to their events: messages, briefs, reports of sub-agents.

use dcm_suite::on_both_stores;
use dcm_suite::server::{Server, Store};
use serde_json::{Value, json};

use super::hook_replay::rows;
use super::sending::{hook, receipt, send, text_of, tool};

on_both_stores!(
    a_message_is_in_the_answer_to_the_very_next_tool_event,
    what_was_not_seen_is_told_again,
    what_another_event_told_is_not_told_again,
    a_session_whose_begin_came_late_is_briefed,
    sub_agents_are_told_their_names,
    the_limit_counts_as_clients_do,
    briefs,
    a_brief_after_a_compaction,
    reports_reach_the_parent,
);

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

async fn what_another_event_told_is_not_told_again(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    hook(&api, &tool("s-1", "u-1")).await;
    let early = api.get("/api/sessions/s-1").await["started_at"].as_str().unwrap().to_owned();
    let message = send(&api, Some("s-1"), "stop that").await;
    // An event that happened before came to nobody's ears; the next one carried the message.
    assert!(text_of(&hook(&api, &tool("s-1", "u-3")).await).contains("stop that"));
    assert_eq!(api.post(&format!("/hooks/claude?at={early}"), &tool("s-1", "u-2")).await, Value::Null);
    assert_eq!(receipt(&api, &message, "s-1").await["state"], "injected", "that answer arrived");
    assert_eq!(hook(&api, &tool("s-1", "u-4")).await, Value::Null);
    let told = receipt(&api, &message, "s-1").await;
    assert_eq!((&told["state"], &told["times_injected"]), (&json!("seen"), &json!(1)));
}

async fn a_session_whose_begin_came_late_is_briefed(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let prompt = json!({"session_id": "s-1", "hook_event_name": "UserPromptSubmit", "prompt_id": "p-1", "prompt": "Mend the parser"});
    hook(&api, &prompt).await;
    let at = api.get("/api/sessions/s-1").await["started_at"].as_str().unwrap().to_owned();
    let start =
        json!({"session_id": "s-1", "hook_event_name": "SessionStart", "source": "compact", "cwd": "/srv/x"});
    let late = format!("/hooks/claude?at={at}");
    assert_eq!(api.post(&late, &start).await, Value::Null);
    assert!(text_of(&hook(&api, &tool("s-1", "u-1")).await).contains("Mend the parser"));
    assert_eq!(api.post(&late, &start).await, Value::Null);
    assert_eq!(hook(&api, &tool("s-1", "u-2")).await, Value::Null, "it was given since");
}

/// A shell knows its session only, so a sub-agent would read the mail of the main agent and sign as that.
async fn sub_agents_are_told_their_names(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let begin = json!({"session_id": "s-1", "hook_event_name": "SubagentStart", "prompt_id": "p-1", "agent_id": "a-1",
        "agent_type": "Explore", "cwd": "/srv/x"});
    let brief = text_of(&hook(&api, &begin).await);
    assert!(brief.contains("`dcm inbox a-1`") && brief.contains("`dcm send TO TEXT --from a-1`"), "{brief}");
    for agent in ["a-1", "s-1"] {
        send(&api, Some(agent), "look in src").await;
    }
    let mut of_agent = tool("s-1", "u-1");
    (of_agent["agent_id"], of_agent["agent_type"]) = (json!("a-1"), json!("Explore"));
    let told = text_of(&hook(&api, &of_agent).await);
    assert!(told.contains("`dcm inbox a-1`") && told.contains("--from a-1`"), "{told}");
    let told = text_of(&hook(&api, &tool("s-1", "u-2")).await);
    assert!(told.contains("`dcm inbox`") && !told.contains("--from"), "{told}");
}

/// Clients count UTF-16 units, of which some characters have two.
async fn the_limit_counts_as_clients_do(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let units = |text: &str| text.encode_utf16().count();
    hook(&api, &tool("s-1", "u-1")).await;
    for _ in 0..8 {
        send(&api, Some("s-1"), &"🦀".repeat(2_500)).await;
    }
    let told = text_of(&hook(&api, &tool("s-1", "u-2")).await);
    assert!(units(&told) <= 9_500 && units(&told) > 6_000, "{} units", units(&told));
    assert!(told.contains("[…1000 more characters in the inbox]") && !told.contains('\u{fffd}'), "{told}");
    let start =
        json!({"session_id": "s-1", "hook_event_name": "SessionStart", "source": "clear", "cwd": "/srv/x"});
    let told = text_of(&hook(&api, &start).await);
    assert!(units(&told) <= 9_500 && told.contains('🦀'), "{} units", units(&told));
}

async fn briefs(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let start = |source: &str| json!({"session_id": "s-1", "hook_event_name": "SessionStart", "source": source, "cwd": "/srv/x", "model": "m"});
    let begin = hook(&api, &start("startup")).await;
    assert_eq!(begin["hookSpecificOutput"]["hookEventName"], "SessionStart");
    assert!(text_of(&begin).contains("`s-1`") && text_of(&begin).contains("# Orchestrator brief"), "{begin}");
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
    assert!(text.contains("# Developer brief"), "{text}");
    // An agent whose begin nobody told is briefed at its first tool call, once.
    let mut unannounced = tool("s-1", "u-2");
    (unannounced["agent_id"], unannounced["agent_type"]) = (json!("a-2"), json!("Plan"));
    assert!(text_of(&hook(&api, &unannounced).await).contains("`a-2`"));
    unannounced["tool_use_id"] = json!("u-3");
    assert_eq!(hook(&api, &unannounced).await, Value::Null);

    let begin = json!({"session_id": "s-1", "hook_event_name": "SubagentStart", "agent_id": "a-3", "agent_type": "security-auditor"});
    let text = text_of(&hook(&api, &begin).await);
    assert!(text.contains("# Validator brief"), "{text}");

    // A session that was started as an agent of a kind: each of its events says so, and its brief is that kind's.
    let as_reviewer = |mut event: Value| {
        (event["session_id"], event["agent_type"]) = (json!("s-2"), json!("security-reviewer"));
        event
    };
    let text = text_of(&hook(&api, &as_reviewer(start("startup"))).await);
    assert!(text.contains("This agent is `s-2`") && text.contains("# Validator brief"), "{text}");
    let detail = api.get("/api/sessions/s-2").await;
    let kept = json!({"source": "startup", "model": "m", "agent_type": "security-reviewer"});
    assert_eq!(detail["metadata"]["SessionStart"], kept, "{detail}");
    send(&api, Some("security-reviewer"), "look at the keys").await;
    assert!(text_of(&hook(&api, &as_reviewer(tool("s-2", "u-4"))).await).contains("look at the keys"));

    let detail = api.get("/api/sessions/s-1").await;
    assert_eq!(detail["injected"]["briefs"], 7, "{detail}");
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
