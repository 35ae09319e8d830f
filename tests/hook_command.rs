//! `dcm hook` with real events against a real server: the rows are those of http hooks, also when the server is away for
//! a while.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest of it")]
mod hook_replay;

use std::path::Path;

use dcm_suite::command::Dcm;
use dcm_suite::gate::{Gate, Moment};
use dcm_suite::on_both_stores;
use dcm_suite::server::{Server, Store};
use hook_replay::{DATA, Rows, as_events, events, parsed, replay, rows};
use serde_json::{Value, json};
use tempfile::TempDir;

on_both_stores!(
    recorded_events,
    a_server_that_is_away_for_a_while_and_command_hooks,
    a_server_that_is_away_for_a_while_and_http_hooks,
    an_answer_that_came_too_late_is_given_again,
    the_doctor_is_content,
);

/// A machine on which hooks run.
struct Machine {
    home: TempDir,
    url: String,
}

impl Machine {
    fn of(server: &Server) -> Self {
        Self { home: tempfile::tempdir().unwrap(), url: server.api() }
    }

    fn dcm(&self, arguments: &[&str]) -> Dcm {
        Dcm::new(arguments).home(self.home.path()).variable("DCM_URL", &self.url)
    }

    /// Tells an event, and answers what the agent would be told.
    async fn hook(&self, event: &Value) -> Option<Value> {
        let mut event = event.clone();
        // Ours, not the client's: a command hook happens now.
        event.as_object_mut().unwrap().remove("at");
        let hook = self.dcm(&["hook", "--deadline-ms", "60000"]).input(&event.to_string()).run().await;
        assert!(hook.status.success() && hook.stderr.is_empty(), "{hook:?}");
        (!hook.stdout.is_empty()).then(|| serde_json::from_str(&hook.stdout).unwrap())
    }

    async fn hooks(&self, events: &[Value]) {
        for event in events {
            self.hook(event).await;
        }
    }
}

async fn recorded_events(store: Store) {
    for name in ["two-subagents", "compact-and-continue"] {
        let over_http = Server::start(store).await;
        replay(&over_http.calls(), &events(name)).await;
        let expected = rows(&over_http);
        drop(over_http);

        let server = Server::start(store).await;
        let machine = Machine::of(&server);
        // The end of a session is told by whatever command comes next.
        for time in ["once", "again"] {
            machine.hooks(&events(name)).await;
            let _ = machine.dcm(&["status"]).run().await.success();
            assert_eq!(rows(&server), expected, "{name}, {time}");
        }
    }
}

const SESSION: &str = "8463c716-a2ea-4c14-9efa-87158ebd9f20";

fn transcript() -> String {
    format!("{DATA}/transcripts/{SESSION}.jsonl")
}

/// What an import of the session comes to.
async fn imported(store: Store) -> Rows {
    let server = Server::start(store).await;
    let machine = Machine::of(&server);
    let _ = machine.dcm(&["import", &transcript()]).run().await.success();
    rows(&server).without_end()
}

fn end_of_session() -> Value {
    json!({"session_id": SESSION, "hook_event_name": "SessionEnd", "reason": "other", "transcript_path": transcript()})
}

async fn a_server_that_is_away_for_a_while_and_command_hooks(store: Store) {
    let expected = imported(store).await;
    let mut server = Server::start(store).await;
    let machine = Machine::of(&server);
    let told = as_events(&parsed(Path::new(&transcript())));
    let third = told.len() / 3;
    machine.hooks(&told[..third]).await;
    server.kill();
    machine.hooks(&told[third..2 * third]).await;
    server.restart().await;
    machine.hooks(&told[2 * third..]).await;
    machine.hook(&end_of_session()).await;
    let _ = machine.dcm(&["status"]).run().await.success();
    let session = server.calls().get(&format!("/api/sessions/{SESSION}")).await;
    assert!(session["ended_at"].is_string(), "{session}");
    assert_eq!(rows(&server).without_end(), expected);
    let again = machine.dcm(&["reconcile", "--transcript", &transcript(), "--json"]).run().await.success();
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["missed"]["actions"], &again["missed_tools"]), (&json!(0), &json!({})), "{again}");
}

async fn a_server_that_is_away_for_a_while_and_http_hooks(store: Store) {
    let expected = imported(store).await;
    let mut server = Server::start(store).await;
    let machine = Machine::of(&server);
    let told = as_events(&parsed(Path::new(&transcript())));
    let third = told.len() / 3;
    replay(&server.calls(), &told[..third]).await;
    server.kill();
    // What http hooks tell now is lost. A command hook keeps its event, and the note that the transcript has more.
    let mut stop = json!({"session_id": SESSION, "hook_event_name": "Stop", "transcript_path": transcript()});
    machine.hook(&stop).await;
    server.restart().await;
    replay(&server.calls(), &told[2 * third..]).await;
    stop["stop_hook_active"] = json!(false);
    machine.hook(&stop).await;
    machine.hook(&end_of_session()).await;
    let _ = machine.dcm(&["status"]).run().await.success();
    assert_eq!(rows(&server).without_end(), expected);
}

/// An event is carried out, but its hook has ended before the answer comes.
async fn an_answer_that_came_too_late_is_given_again(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let late = async |event: &Value| {
        let gate = Gate::open(&server, "POST /hooks/claude", 1, Moment::Answered).await;
        let machine = Machine { home: tempfile::tempdir().unwrap(), url: gate.url() };
        // Long enough for the server to be done: the gate tells when it was.
        let hook = machine.dcm(&["hook", "--deadline-ms", "5000"]).input(&event.to_string()).start();
        gate.reached().await;
        let hook = hook.wait().await;
        assert!(hook.status.success() && hook.stdout.is_empty() && hook.stderr.is_empty(), "{hook:?}");
        (gate, machine)
    };
    let tool = |id: &str| {
        json!({"session_id": "s-1", "hook_event_name": "PostToolUse", "prompt_id": "p-1", "tool_name": "Bash",
            "tool_input": {"command": "ls"}, "tool_response": {"stdout": "a"}, "tool_use_id": id, "cwd": "/srv/x"})
    };
    let context = |answer: Option<Value>| {
        answer.map(|answer| answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap().to_owned())
    };
    let prompt = json!({"session_id": "s-1", "hook_event_name": "UserPromptSubmit", "prompt_id": "p-1",
        "prompt": "Mend the parser", "cwd": "/srv/x"});
    api.post("/hooks/claude", &prompt).await;

    // A message.
    let message = json!({"from_agent": "tester", "to_agent": "s-1", "topic": "context.response", "content": "stop that"});
    let message = api.post("/api/messages", &message).await["message"]["id"].as_str().unwrap().to_owned();
    let receipt = async || api.get(&format!("/api/receipts/{message}")).await["receipts"][0].clone();
    let (gate, machine) = late(&tool("u-1")).await;
    assert_eq!(receipt().await["state"], "injected");
    let _ = machine.dcm(&["status"]).run().await.success();
    assert_eq!(receipt().await["state"], "queued", "it is known that nobody read it");
    let again = context(machine.hook(&tool("u-2")).await).unwrap();
    assert!(again.contains("stop that"), "{again}");
    assert_eq!(receipt().await["times_injected"], 2);
    assert_eq!(machine.hook(&tool("u-3")).await, None, "once");
    assert_eq!(receipt().await["state"], "seen");
    drop(gate);

    // A brief; here events of another kind of hook go on meanwhile.
    let start =
        json!({"session_id": "s-1", "hook_event_name": "SessionStart", "source": "compact", "cwd": "/srv/x"});
    let (gate, machine) = late(&start).await;
    assert_eq!(api.post("/hooks/claude", &tool("u-4")).await, Value::Null);
    let _ = machine.dcm(&["status"]).run().await.success();
    let brief = context(machine.hook(&tool("u-5")).await).unwrap();
    assert!(brief.contains("Mend the parser"), "{brief}");
    assert_eq!(machine.hook(&tool("u-6")).await, None, "once");
    assert_eq!(server.number("select count(*) from actions"), 6);
    drop(gate);
}

async fn the_doctor_is_content(store: Store) {
    let server = Server::start(store).await;
    let machine = Machine::of(&server);
    for way in [&["hooks", "install"][..], &["hooks", "install", "--command"]] {
        let _ = machine.dcm(way).run().await.success();
        let report = machine.dcm(&["doctor", "--json"]).run().await;
        let report: Value = serde_json::from_str(&report.success()).unwrap();
        let probe = report["findings"].as_array().unwrap().iter().find(|finding| finding["about"] == "probe");
        assert_eq!(probe.unwrap()["level"], "well", "{report}");
    }
    for table in ["sessions", "projects", "requests", "actions"] {
        assert_eq!(
            server.number(&format!("select count(*) from {table}")),
            0,
            "the probe left {table} behind"
        );
    }
}
