//! The `dcm` command against a real server: what people and agents type, and what they read.

use std::path::Path;

use dcm_suite::command::{Dcm, Finished};
use dcm_suite::server::{Server, Store};
use serde_json::{Value, json};

const SESSION: &str = "258c7280-ae70-4798-800f-63464d01a85d";
const TRANSCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/transcripts");

fn dcm(server: &Server, arguments: &[&str]) -> Dcm {
    Dcm::new(arguments).variable("DCM_URL", server.api())
}

async fn text(server: &Server, arguments: &[&str]) -> String {
    let text = dcm(server, arguments).run().await.success();
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal: {text}");
    text
}

async fn report(server: &Server, arguments: &[&str]) -> Value {
    parsed(&dcm(server, arguments).run().await.success())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn refused(finished: &Finished, code: i32, words: &str) {
    assert!(finished.status.code() == Some(code) && finished.stderr.contains(words), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_write_to_each_other_and_wait_for_each_other() {
    let server = Server::start(Store::Embedded).await;
    let sent =
        text(&server, &["send", "back", "the", "tests", "pass", "--from", "front", "--priority", "5"]).await;
    assert!(sent.starts_with("sent to back: ") && sent.contains("nobody of that name"), "{sent}");
    let object = report(&server, &["send", "all", "{\"a\": 1}", "--from", "front", "--json"]).await;
    assert_eq!(object["message"]["is_broadcast"], true);
    // A session's main agent goes by the session's id.
    let own =
        dcm(&server, &["send", "back", "\u{1b}[31mred", "--json"]).variable("CLAUDE_CODE_SESSION_ID", "s-1");
    assert_eq!(parsed(&own.run().await.success())["message"]["from_agent"], "s-1");

    let inbox = text(&server, &["inbox", "back"]).await;
    for expected in ["* front workflow.progress", "    the tests pass\n", "    {\"a\":1}", "\u{fffd}[31mred"]
    {
        assert!(inbox.contains(expected), "{expected}: {inbox}");
    }
    let again = report(&server, &["inbox", "back", "--json"]).await;
    assert!(again["messages"].as_array().unwrap().iter().all(|message| message["already_read"] == true));
    assert!(text(&server, &["inbox", "s-2", "--no-broadcasts"]).await.contains("no messages for s-2"));

    assert_eq!(
        text(&server, &["block", "back", "--by", "front", "--reason", "x"]).await,
        "back is blocked by front\n"
    );
    let state = server.calls().get("/api/blocking/back").await;
    assert_eq!(state["blocked_by"][0]["by_agent"], "front");
    let freed = text(&server, &["unblock", "back", "--by", "front"]).await;
    assert_eq!(freed, "back is no longer blocked by front\n");
    refused(&dcm(&server, &["unblock", "back", "--by", "front"]).run().await, 1, "answers");
    refused(&dcm(&server, &["send", "back", "hello"]).run().await, 2, "name the agent");
    refused(
        &dcm(&server, &["send", "back", "x", "--from", "a", "--topic", "gossip"]).run().await,
        2,
        "topic",
    );

    let token = text(&server, &["token", "back"]).await;
    assert_eq!(token.trim().split('.').count(), 2, "{token}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_all_or_for_a_kind_stays_in_its_project() {
    let server = Server::start(Store::Embedded).await;
    let api = server.calls();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut number = 0;
    // What the agents of this kind are told by their next tool calls, in the one project and the other.
    let mut told = async || {
        let mut told: Vec<Vec<&str>> = Vec::new();
        for (session, folder) in [("s-1", &one), ("s-2", &two)] {
            number += 1;
            let event = json!({"session_id": session, "hook_event_name": "PostToolUse", "tool_name": "Bash",
                "tool_use_id": format!("u-{number}"), "tool_input": {}, "tool_response": {}, "agent_type": "reviewer",
                "cwd": folder.path().canonicalize().unwrap()});
            let answer = api.post("/hooks/claude", &event).await;
            let text = answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap_or_default();
            told.push(
                ["lunch", "look", "bye", "stop"].into_iter().filter(|word| text.contains(word)).collect(),
            );
        }
        told
    };
    let nothing: Vec<Vec<&str>> = vec![vec![], vec![]];
    assert_eq!(told().await, nothing);

    // The session's project counts, then that of the folder, from wherever in it.
    let send = async |words: &[&str], session: &str, folder: &Path| {
        let arguments = [&["send"][..], words, &["--from", "me"]].concat();
        dcm(&server, &arguments)
            .variable("CLAUDE_CODE_SESSION_ID", session)
            .home(folder)
            .run()
            .await
            .success()
    };
    let said = send(&["all", "lunch"], "s-1", two.path()).await;
    assert!(said.starts_with("sent to everybody in this project: "), "{said}");
    assert_eq!(told().await, [vec!["lunch"], vec![]]);
    let below = two.path().join("src/deep");
    std::fs::create_dir_all(&below).unwrap();
    let _ = send(&["reviewer", "look"], "", &below).await;
    assert_eq!(told().await, [vec![], vec!["look"]]);
    let said = send(&["all", "bye", "--everywhere"], "s-1", one.path()).await;
    assert!(said.starts_with("sent to everybody in every project: "), "{said}");
    assert_eq!(told().await, [["bye"], ["bye"]]);
    // An agent is found wherever it is.
    let _ = send(&["s-2", "stop"], "s-1", one.path()).await;
    assert_eq!(told().await, [vec![], vec!["stop"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_and_what_to_do_it_with() {
    let server = Server::start(Store::Embedded).await;
    text(&server, &["import", TRANSCRIPTS]).await;
    let project = "/home/USER/projects/spotter-worktrees/spotter-gqc";
    let tree = text(&server, &["tree", project]).await;
    assert!(tree.starts_with("spotter-gqc  /home/USER"), "{tree}");
    for expected in ["[completed]", "  wave 0 ", "claude-code-guide"] {
        assert!(tree.contains(expected), "{expected}: {tree}");
    }
    let found = report(&server, &["tree", project, "--json"]).await;
    let id = found["hierarchy"]["id"].as_str().unwrap().to_owned();
    assert_eq!(report(&server, &["tree", &id, "--json"]).await, found);
    let newest = text(&server, &["tree", &id, "--requests", "1"]).await;
    assert!(newest.contains("earlier requests") && newest.lines().count() < tree.lines().count());
    refused(&dcm(&server, &["tree", "/no/such/project"]).run().await, 1, "answers");

    let suggestions = report(&server, &["suggest", "edit", "router", "--limit", "3", "--json"]).await;
    assert!(!suggestions["suggestions"].as_array().unwrap().is_empty(), "{suggestions}");
    let table = text(&server, &["suggest", "edit", "router", "--limit", "3"]).await;
    assert!(table.contains(suggestions["suggestions"][0]["tool_name"].as_str().unwrap()), "{table}");
    let nothing = text(&server, &["suggest", "qqqqq"]).await;
    assert_eq!(nothing, "nothing served these words before\n");

    let brief = text(&server, &["brief", SESSION, "--session", SESSION, "--max-tokens", "500"]).await;
    assert!(brief.len() > 40, "{brief}");
    let arguments = ["brief", SESSION, "--session", SESSION, "--explain", "--tokens", "500"];
    let explained = text(&server, &arguments).await;
    assert!(explained.starts_with(&brief), "the brief comes first: {explained}");
    let table = &explained[brief.len()..];
    assert!(table.contains("of 500 tokens"), "{table}");
    for expected in ["in  100.00", "request ", "out ", "worth more for its tokens"] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    assert!(report(&server, &["brief", "nobody", "--json"]).await["message"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hooks_missed_is_told_and_mended() {
    let server = Server::start(Store::Embedded).await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".claude/projects/-home-x");
    std::fs::create_dir_all(&folder).unwrap();
    let whole = std::fs::read_to_string(Path::new(TRANSCRIPTS).join(format!("{SESSION}.jsonl"))).unwrap();
    let transcript = folder.join(format!("{SESSION}.jsonl"));
    let half: Vec<&str> = whole.lines().take(whole.lines().count() / 2).collect();
    std::fs::write(&transcript, half.join("\n")).unwrap();
    let at_home = |arguments: &[&str]| dcm(&server, arguments).home(home.path());
    let _ = at_home(&["import"]).run().await.success();
    std::fs::write(&transcript, &whole).unwrap();

    let first = parsed(&at_home(&["reconcile", SESSION, "--json"]).run().await.success());
    let missed = first["missed"]["actions"].as_u64().unwrap();
    assert!(missed > 10 && missed < 186, "{first}");
    let by_tool: u64 =
        first["missed_tools"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(by_tool, missed);
    // Inside an agent's shell the session is known.
    let again = at_home(&["reconcile"]).variable("CLAUDE_CODE_SESSION_ID", SESSION).run().await.success();
    assert!(again.contains("actions          186       0 missed"), "{again}");
    refused(&at_home(&["reconcile", "nobody"]).run().await, 2, "there is no transcript");
    refused(&at_home(&["reconcile", "../x"]).run().await, 2, "there is no transcript");
    refused(&at_home(&["reconcile"]).run().await, 2, "name the session");
    refused(&at_home(&["reconcile", "--transcript", "/nowhere"]).run().await, 1, "/nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_seen_as_they_happen_and_from_where_one_was() {
    let server = Server::start(Store::Embedded).await;
    let home = tempfile::tempdir().unwrap();
    let as_me = |count| dcm(&server, &["watch", "--as", "me", "--json", "-n", count]).home(home.path());
    let running = as_me("1").start();
    // Until the first watch is there, nobody knows its name.
    let post = |path: String| {
        let calls = server.calls();
        async move { calls.post("/api/projects", &json!({"path": path})).await }
    };
    let mut number = 0;
    let mut ended = Box::pin(running.wait());
    let finished = loop {
        tokio::select! {
            finished = &mut ended => break finished,
            _ = post(format!("/p/{number}")) => number += 1,
        }
    };
    let first = parsed(&finished.success());
    assert_eq!(first["event"], "project.created");
    // From there on everything comes, in order, to whoever goes by that name, also from the channel that everybody hears.
    let mut last = Vec::new();
    for number in 0..3 {
        last.push(post(format!("/p/last/{number}")).await["project"]["id"].clone());
    }
    let mut seen = vec![first["data"]["id"].clone()];
    while seen.last() != last.last() {
        let next = parsed(&as_me("1").run().await.success());
        assert!(!seen.contains(&next["data"]["id"]), "not twice: {next}");
        seen.push(next["data"]["id"].clone());
    }
    assert!(seen.ends_with(&last), "{seen:?} {last:?}");
    let position = first["position"].as_str().unwrap();
    // The agent's coming and going may lie between.
    let lines = dcm(&server, &["watch", "--after", position, "--json", "-n", "3"]).run().await.success();
    let events: Vec<_> = lines.lines().map(parsed).collect();
    assert_eq!(events.len(), 3, "{lines}");
    assert!(events.iter().any(|event| event["event"] == "project.created"), "{lines}");
    assert!(events.iter().all(|event| event["id"] != first["id"]), "{lines}");
    let lines = text(&server, &["watch", "--after", position, "-n", "3"]).await;
    assert!(lines.contains("project.created"), "{lines}");
    refused(&dcm(&server, &["watch", "--after", "nonsense"]).run().await, 2, "--after");
}

#[tokio::test]
async fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Dcm::new(["completions", shell]).run().await.success();
        for command in ["hooks", "inbox", "reconcile", "suggest", "doctor"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    refused(&Dcm::new(["completions", "abacus"]).run().await, 2, "possible values");
}
