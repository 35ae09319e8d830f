//! `POST /hooks/claude` and `/api/receipts`: what hooks tell, and what agents are told.

use serde_json::{Map, Value, json};

use super::expect::{invalid, must, not_found};
use super::fixture::session_now;
use super::inputs::{self, observed};
use super::scene::{Scene, of_agent};
use crate::api::Api;
use crate::api::compact::CompactSnapshot;
use crate::api::hooks::{HookAnswer, HookReport};
use crate::api::messages::{MessageSend, ReceiptAcknowledge, ReceiptsGet};
use crate::id::MessageId;
use crate::model::{ReceiptState, RequestStatus, SubtaskStatus};

fn event(scene: &Scene, name: &str, members: Value) -> HookReport {
    let mut fields: Map<String, Value> =
        Map::from_iter([("cwd".to_owned(), json!(scene.path)), ("prompt_id".to_owned(), json!("p1"))]);
    if let Value::Object(members) = members {
        fields.extend(members);
    }
    HookReport {
        at: None,
        agent: None,
        session_id: scene.session.clone(),
        hook_event_name: name.to_owned(),
        fields,
    }
}

fn tool(scene: &Scene, id: &str) -> HookReport {
    let members = json!({"tool_name": "Bash", "tool_use_id": id, "tool_input": {"command": "ls"},
        "tool_response": {"stdout": "a", "stderr": ""}, "duration_ms": 3});
    event(scene, "PostToolUse", members)
}

async fn tell(api: &impl Api, event: HookReport) -> HookAnswer {
    must(api.execute(event).await, "telling a hook's event")
}

fn text_of(answer: &HookAnswer) -> &str {
    answer.0.as_ref().map_or("", |output| &output.hook_specific_output.additional_context)
}

/// A session's events become its tree: the prompt, the agents, the tool calls with their outcome, the results.
pub async fn events_become_a_tree(api: &impl Api) {
    let scene = Scene::new();
    let agent = scene.fixture.name("agent");
    let sub = json!({"agent_id": agent, "agent_type": "Explore"});
    let launch = json!({"tool_name": "Agent", "tool_use_id": "u1",
        "tool_input": {"subagent_type": "Explore", "description": "Look around"}});
    tell(api, event(&scene, "UserPromptSubmit", json!({"prompt": "Fix it ☃"}))).await;
    tell(api, event(&scene, "PreToolUse", launch)).await;
    tell(api, event(&scene, "SubagentStart", sub)).await;
    let mut inside = tool(&scene, "u2");
    inside.fields.insert("agent_id".to_owned(), json!(agent));
    tell(api, inside).await;
    let failed =
        json!({"tool_name": "Bash", "tool_use_id": "u3", "tool_input": {}, "error": "Exit code 3\nno"});
    tell(api, event(&scene, "PostToolUseFailure", failed)).await;
    let stop = json!({"agent_id": agent, "agent_type": "Explore", "last_assistant_message": "found it"});
    tell(api, event(&scene, "SubagentStop", stop)).await;
    tell(api, event(&scene, "Stop", json!({"last_assistant_message": "done"}))).await;
    tell(api, event(&scene, "SessionEnd", json!({"reason": "other"}))).await;

    let requests = scene.requests(api).await;
    let [request] = &requests[..] else { panic!("one prompt is one request, not {}", requests.len()) };
    assert_eq!(request.request.prompt, "Fix it ☃", "the prompt");
    assert_eq!(request.request.status, RequestStatus::Completed, "every agent ended");
    let sub = of_agent(request, &agent);
    assert_eq!(sub.description.as_deref(), Some("Look around"), "what the launching call said");
    assert_eq!((sub.agent_type.as_deref(), sub.status), (Some("Explore"), SubtaskStatus::Completed), "who");
    let result = sub.result.as_ref().and_then(|result| result.get("message"));
    assert_eq!(result, Some(json!("found it")), "its last message is its result");
    let main = of_agent(request, &scene.session);
    let owners: Vec<_> = scene.actions(api).await.iter().map(|one| (one.exit_code, one.subtask_id)).collect();
    assert_eq!(owners.len(), 2, "two tool calls");
    assert!(owners.contains(&(0, Some(sub.id))) && owners.contains(&(1, Some(main.id))), "got {owners:?}");
    assert!(session_now(api, &scene.session).await.session.ended_at.is_some(), "the session has ended");
}

/// When a sub-agent's context is compacted, that agent is briefed anew, with its own summary; nothing of the main agent's is
/// replaced.
pub async fn a_sub_agents_compaction_is_its_own(api: &impl Api) {
    let scene = Scene::new();
    let (agent, word) = (scene.fixture.name("agent"), scene.fixture.word());
    let of = |agent: Option<&str>, mut report: HookReport| {
        if let Some(agent) = agent {
            report.fields.insert("agent_id".to_owned(), json!(agent));
            report.fields.insert("agent_type".to_owned(), json!("Explore"));
        }
        report
    };
    let compact = |agent: Option<&str>, summary: &str| {
        let summary = json!({"trigger": "auto", "compact_summary": summary});
        [
            of(agent, event(&scene, "PreCompact", json!({"trigger": "auto"}))),
            of(agent, event(&scene, "PostCompact", summary)),
        ]
    };
    tell(api, event(&scene, "UserPromptSubmit", json!({"prompt": "Fix it"}))).await;
    for report in compact(None, &format!("The main {word} story")) {
        tell(api, report).await;
    }
    let main = tell(api, tool(&scene, "u1")).await;
    assert!(text_of(&main).contains(&format!("The main {word} story")), "{}", text_of(&main));
    tell(api, of(Some(&agent), event(&scene, "SubagentStart", json!({})))).await;
    tell(api, of(Some(&agent), tool(&scene, "u2"))).await;
    for report in compact(Some(&agent), &format!("Its {word} story")) {
        tell(api, report).await;
    }

    // Others at the same time, as sub-agents that work side by side.
    let other = scene.fixture.name("other");
    tell(api, of(Some(&other), event(&scene, "SubagentStart", json!({})))).await;
    tell(api, of(Some(&other), tool(&scene, "u6"))).await;
    let third = scene.fixture.name("third");
    tell(api, of(Some(&third), event(&scene, "SubagentStart", json!({})))).await;
    tell(api, of(Some(&third), tool(&scene, "u7"))).await;
    let [before_other, after_other] = compact(Some(&other), &format!("Another {word} story"));
    let [before_third, after_third] = compact(Some(&third), &format!("A third {word} story"));
    for report in [before_other, before_third, after_third, after_other] {
        tell(api, report).await;
    }
    for (agent, story) in [(&other, "Another"), (&third, "A third")] {
        let told = tell(api, of(Some(agent), tool(&scene, &format!("after-{agent}")))).await;
        assert!(text_of(&told).contains(&format!("{story} {word} story")), "{agent}: {}", text_of(&told));
    }

    assert_eq!(text_of(&tell(api, tool(&scene, "u3")).await), "", "the main agent has lost nothing");
    let told = tell(api, of(Some(&agent), tool(&scene, "u4"))).await;
    let told = text_of(&told);
    assert!(told.contains(&format!("Its {word} story")) && !told.contains("The main"), "{told}");
    assert_eq!(text_of(&tell(api, of(Some(&agent), tool(&scene, "u5"))).await), "", "it is told once");

    let status = super::compact::status(api, &scene.session).await;
    assert_eq!(status.summary, Some(format!("The main {word} story")), "the session's own is the newest");
    let saved =
        |agent: &str| CompactSnapshot { session_id: scene.session.clone(), agent_id: Some(agent.to_owned()) };
    let of_main = must(api.execute(saved(&scene.session)).await, "reading what was saved");
    let of_agent = must(api.execute(saved(&agent)).await, "reading what was saved");
    assert!(of_main.exists && of_agent.exists && of_main.saved_at < of_agent.saved_at, "each has its own");
}

/// What hooks told and what the transcript tells are the same rows; an owner that hooks had wrong is corrected.
pub async fn a_transcript_agrees_with_hooks(api: &impl Api) {
    let scene = Scene::new();
    let (agent, phantom) = (scene.fixture.name("agent"), scene.fixture.name("phantom"));
    tell(api, event(&scene, "UserPromptSubmit", json!({"prompt": "Fix it"}))).await;
    let mut astray = tool(&scene, "u1");
    astray.fields.insert("agent_id".to_owned(), json!(phantom));
    tell(api, astray.clone()).await;
    let call_of = |id: &str, agent: Option<&str>| {
        let mut one = observed::tool(id, scene.at(3), agent);
        if let crate::api::ingest::Observation::ToolUsed { prompt_key, .. } = &mut one {
            *prompt_key = Some("p1".to_owned());
        }
        one
    };
    let transcript = vec![
        observed::prompt("p1", scene.at(1), "Fix it"),
        observed::agent_started(&agent, scene.at(2)),
        call_of("u1", Some(&agent)),
        call_of("u2", None),
    ];
    let report = scene.send(api, transcript.clone()).await;
    assert_eq!((report.created.actions, report.created.requests), (1, 0), "what hooks missed");
    assert_eq!(report.corrected.actions, 1, "whose call it was");
    tell(api, astray).await;
    let report = scene.send(api, transcript).await;
    assert_eq!((report.updated, report.created.actions), (0, 0), "nothing more");
    let requests = scene.requests(api).await;
    let [request] = &requests[..] else { panic!("one prompt is one request, not {}", requests.len()) };
    let subtasks: Vec<_> = request.tasks.iter().flat_map(|task| &task.subtasks).collect();
    assert!(subtasks.iter().all(|one| one.agent_id.as_deref() != Some(&phantom)), "nobody was called that");
    let owner = of_agent(request, &agent).id;
    let calls = scene.actions(api).await;
    assert_eq!(calls.iter().filter(|call| call.subtask_id == Some(owner)).count(), 1, "the agent's call");
}

async fn state_of(api: &impl Api, message: MessageId, agent: &str) -> Option<ReceiptState> {
    let receipts = must(api.execute(ReceiptsGet { message_id: message }).await, "the receipts of a message");
    receipts.receipts.into_iter().find(|receipt| receipt.agent_id == agent).map(|receipt| receipt.state)
}

/// A message waits, is told with the agent's next event, was seen when the agent goes on, and can be acknowledged.
pub async fn a_message_is_told_once(api: &impl Api) {
    let scene = Scene::new();
    let agent = scene.session.clone();
    tell(api, tool(&scene, "u1")).await;
    let message = MessageSend { priority: Some(10), ..inputs::direct("somebody", &agent) };
    let id = must(api.execute(message).await, "sending a message").message.id;
    assert_eq!(state_of(api, id, &agent).await, Some(ReceiptState::Queued), "it waits");
    let answer = tell(api, tool(&scene, "u2")).await;
    assert!(text_of(&answer).contains(&id.to_string()), "it is in the next answer, got {answer:?}");
    let name = answer.0.as_ref().map(|output| &*output.hook_specific_output.hook_event_name);
    assert_eq!(name, Some("PostToolUse"), "the answer names the event");
    assert_eq!(state_of(api, id, &agent).await, Some(ReceiptState::Injected), "it was told");
    // What others send to everybody may come at any time.
    let answer = tell(api, tool(&scene, "u3")).await;
    assert!(!text_of(&answer).contains(&id.to_string()), "it is told once, got {answer:?}");
    assert_eq!(state_of(api, id, &agent).await, Some(ReceiptState::Seen), "the agent went on");
    for _ in 0..2 {
        let note = ReceiptAcknowledge { message_id: id, agent_id: agent.clone() };
        let receipt = must(api.execute(note).await, "acknowledging a message");
        assert_eq!(receipt.state, ReceiptState::Acknowledged, "it was acknowledged");
    }
}

/// An agent that begins is briefed, and what that costs it is counted.
pub async fn what_is_told_is_counted(api: &impl Api) {
    let scene = Scene::new();
    let answer = tell(api, event(&scene, "SessionStart", json!({"source": "startup", "model": "m"}))).await;
    let text = text_of(&answer);
    assert!(text.contains(&scene.session), "a brief says who it is for, got {text:?}");
    assert!(text.chars().count() <= 9_500, "a brief fits what clients take");
    let detail = session_now(api, &scene.session).await;
    assert_eq!(detail.injected.briefs, 1, "one brief");
    assert!(detail.injected.tokens > 0, "its cost");
    assert_eq!(
        detail.metadata.get("SessionStart"),
        Some(&json!({"source": "startup", "model": "m"})),
        "the rest"
    );
}

/// A message that never was has no receipts.
pub async fn unknown_messages_have_no_receipts(api: &impl Api) {
    let message_id: MessageId = Scene::new().fixture.unknown();
    not_found(api.execute(ReceiptsGet { message_id }).await, "Message not found");
    not_found(
        api.execute(ReceiptAcknowledge { message_id, agent_id: "a".to_owned() }).await,
        "Message not found",
    );
}

/// Only the session and the name of an event are needed.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let scene = Scene::new();
    let nameless = HookReport { hook_event_name: String::new(), ..tool(&scene, "u1") };
    invalid(api.execute(nameless).await, "hook_event_name");
    let stray = HookReport { session_id: "x".repeat(256), ..tool(&scene, "u1") };
    invalid(api.execute(stray).await, "session_id");
    let message_id: MessageId = scene.fixture.unknown();
    invalid(api.execute(ReceiptAcknowledge { message_id, agent_id: String::new() }).await, "agent_id");
}
