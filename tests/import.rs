//! `dcm import` of real transcripts into a real server, on both stores.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod snapshot;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dcm_suite::calls::Calls;
use dcm_suite::command::{Dcm, Finished};
use dcm_suite::gate::{Gate, Moment};
use dcm_suite::on_both_stores;
use dcm_suite::ports::free_port;
use dcm_suite::server::{Options, Server, Store};
use serde_json::{Value, json};
use snapshot::{Kept, contents, settled};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// What a transcript holds, as the people who recorded it counted.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    session: &'static str,
    project: &'static str,
    actions: usize,
    failed: usize,
    /// The actions of each sub-agent, by its type.
    in_agents: &'static [(&'static str, usize)],
    compacted: bool,
}

const SESSIONS: [Expected; 5] = [
    Expected {
        session: "258c7280-ae70-4798-800f-63464d01a85d",
        project: "/home/USER/projects/spotter-worktrees/spotter-gqc",
        actions: 188,
        failed: 7,
        in_agents: &[("claude-code-guide", 2)],
        compacted: true,
    },
    Expected {
        session: "8463c716-a2ea-4c14-9efa-87158ebd9f20",
        project: "/home/USER/projects/spotter-worktrees/spotter-fum",
        actions: 196,
        failed: 15,
        in_agents: &[("Explore", 19)],
        compacted: true,
    },
    Expected {
        session: "55604662-cf2a-4331-851a-ec234028f8ca",
        project: "/home/dev/projects/spotter",
        actions: 2,
        failed: 2,
        in_agents: &[],
        compacted: false,
    },
    Expected {
        session: "491e126e-1e71-469c-ade2-fcc8af567c74",
        project: "/home/dev/projects/spotter",
        actions: 16,
        failed: 0,
        in_agents: &[("Plan", 0)],
        compacted: false,
    },
    Expected {
        session: "d6e0bada-1959-4eec-a9d2-0bfade768d8f",
        project: "/home/dev/projects/spotter",
        actions: 6,
        failed: 0,
        in_agents: &[],
        compacted: false,
    },
];

fn transcripts() -> PathBuf {
    Path::new(DATA).join("transcripts")
}

fn import(url: &str, paths: &[&Path]) -> Dcm {
    let arguments = ["import", "--json"].map(Path::new);
    Dcm::new(arguments.iter().chain(paths)).variable("DCM_URL", url)
}

/// Imports, and reads the summary.
async fn imported(server: &Server, paths: &[&Path]) -> Value {
    summary(&import(&server.api(), paths).run().await.success())
}

fn summary(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// A server whose cleaning jobs have had their say before there was anything to clean: sessions that are months old
/// stay as they were recorded while the test looks at them.
async fn start(store: Store) -> Server {
    let server = Options::on(store).variable("DCM_CLEANUP_INTERVAL_MS", "3600000").start().await;
    snapshot::first_cleaning(&server.calls()).await;
    server
}

/// The agent type and the id of every subtask in a tree.
fn owners(tree: &Value) -> BTreeMap<String, String> {
    let subtasks = tree["requests"].as_array().unwrap().iter().flat_map(|request| {
        request["tasks"].as_array().unwrap().iter().flat_map(|task| task["subtasks"].as_array().unwrap())
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    subtasks.map(|subtask| (text(&subtask["id"]), text(&subtask["agent_type"]))).collect()
}

async fn check_session(api: &Calls, expected: &Expected) {
    let session = expected.session;
    let page = api.get(&format!("/api/actions?session_id={session}&limit=1000")).await;
    assert_eq!(page["total"], expected.actions, "actions of {session}");
    let actions = page["actions"].as_array().unwrap();
    assert_eq!(actions.len(), expected.actions);
    let failed = actions.iter().filter(|action| action["exit_code"] == 1).count();
    assert_eq!(failed, expected.failed, "failed actions of {session}");
    assert!(actions.iter().all(|action| action["exit_code"] == 0 || action["exit_code"] == 1));

    let row = api.get(&format!("/api/sessions/{session}")).await;
    let counters =
        ["total_tools_used", "total_success", "total_errors"].map(|name| row[name].as_u64().unwrap());
    let (all, bad) = (expected.actions as u64, expected.failed as u64);
    assert_eq!(counters, [all, all - bad, bad], "counters of {session}");

    let project = api.get(&format!("/api/projects/by-path?path={}", expected.project)).await;
    assert_eq!(row["project_id"], project["project"]["id"], "the project of {session}");
    let tree = api.get(&format!("/api/hierarchy/{}", row["project_id"].as_str().unwrap())).await;
    let mut tree = tree["hierarchy"].clone();
    tree["requests"].as_array_mut().unwrap().retain(|request| request["session_id"] == session);
    for request in tree["requests"].as_array().unwrap() {
        let tasks = request["tasks"].as_array().unwrap();
        assert_eq!(tasks.len(), 1, "one wave per prompt: {request}");
        assert_eq!(tasks[0]["wave_number"], 0);
        let mains = tasks[0]["subtasks"].as_array().unwrap().iter().filter(|one| one["agent_id"] == session);
        assert_eq!(mains.count(), 1, "one main agent per prompt: {request}");
    }
    let owners = owners(&tree);
    let mut by_type: BTreeMap<&str, usize> = owners
        .values()
        .filter(|kind| *kind != "main" && !kind.is_empty())
        .map(|kind| (kind.as_str(), 0))
        .collect();
    for action in actions {
        let owner = action["subtask_id"].as_str().unwrap_or_else(|| panic!("nobody owns {action}"));
        let kind = owners.get(owner).unwrap_or_else(|| panic!("the owner of {action} is in another session"));
        if kind != "main" {
            *by_type.get_mut(kind.as_str()).unwrap() += 1;
        }
    }
    assert_eq!(by_type, expected.in_agents.iter().copied().collect(), "sub-agents of {session}");

    let status = api.get(&format!("/api/compact/status/{session}")).await;
    assert_eq!(
        (&status["exists"], &status["compacted"]),
        (&json!(true), &json!(expected.compacted)),
        "{status}"
    );
    if expected.compacted {
        let said = status["compact_summary"].as_str().unwrap();
        assert!(said.len() > 1000, "the summary that replaced the context: {said}");
        assert!(status["compacted_at"].as_str().unwrap().starts_with("2026-02-11T"), "{status}");
    }
}

on_both_stores!(
    the_counts_are_those_of_the_recording,
    a_second_import_adds_nothing,
    a_server_killed_half_way,
    an_import_killed_half_way,
    what_cannot_be_read_is_told_and_the_rest_is_imported,
    sessions_with_two_agents_and_with_a_compaction,
);

async fn the_counts_are_those_of_the_recording(store: Store) {
    let server = start(store).await;
    let api = server.calls();
    let report = imported(&server, &[&transcripts()]).await;
    let expected = json!({
        "url": server.api(), "sessions": 5, "requests": 8, "actions": 408, "actions_in_agents": 21,
        "failed_actions": 24, "agents": 3, "tasks": 0, "compactions": 2, "updated": report["updated"], "known": report["known"],
        "created": {"requests": 8, "subtasks": 11, "actions": 408, "compactions": 2},
        "unknown_types": {}, "broken": 0, "broken_lines": [], "skipped": [], "failures": [],
    });
    assert_eq!(report, expected);

    for session in &SESSIONS {
        check_session(&api, session).await;
    }
    let stats = api.get("/stats").await;
    let counts =
        ["projectCount", "requestCount", "actionCount", "messageCount"].map(|name| stats[name].clone());
    assert_eq!(counts, [3, 8, 408, 0].map(Value::from));
    assert_eq!(api.get("/api/sessions").await["total"], 5);
    assert_eq!(server.number("select count(*) from compactions"), 2);
    // The wave of a prompt, as a task; the agents of the prompts, as subtasks.
    assert_eq!(api.get("/api/tasks?limit=1000").await["count"], 8);
    assert_eq!(api.get("/api/subtasks?limit=1000").await["count"], 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_hold_the_same() {
    let mut held = Vec::new();
    for store in [Store::Embedded, Store::Postgres] {
        let server = start(store).await;
        imported(&server, &[&transcripts()]).await;
        // What was recorded has the times of the recording, so they are compared as well.
        held.push(contents(&server.calls(), Kept::RecordedTimes).await);
    }
    assert_eq!(held[0]["trees"].as_array().unwrap().len(), 3);
    snapshot::same(&held[0], &held[1]);
}

async fn a_second_import_adds_nothing(store: Store) {
    let server = start(store).await;
    let api = server.calls();
    let first = imported(&server, &[&transcripts()]).await;
    let before = contents(&api, Kept::Everything).await;
    let events = server.number("select seq from event_log_head");
    assert!(events > 408, "the import is in the log: {events}");

    // Once as a folder again, once file by file in another order.
    let mut files: Vec<PathBuf> =
        fs::read_dir(transcripts()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files.reverse();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    for paths in [&[&*transcripts()][..], &files] {
        let again = imported(&server, paths).await;
        let created = json!({"requests": 0, "subtasks": 0, "actions": 0, "compactions": 0});
        assert_eq!((&again["created"], &again["updated"]), (&created, &json!(0)), "{again}");
        for name in [
            "sessions",
            "requests",
            "actions",
            "actions_in_agents",
            "failed_actions",
            "agents",
            "compactions",
        ] {
            assert_eq!(again[name], first[name], "{name}");
        }
        snapshot::same(&before, &contents(&api, Kept::Everything).await);
        assert_eq!(server.number("select seq from event_log_head"), events, "what is known is no event");
    }
}

/// A server whose cleaning jobs run all the time, so that what they close is closed whenever one looks.
fn cleaning(store: Store) -> Options {
    Options::on(store).variable("DCM_CLEANUP_INTERVAL_MS", "100")
}

/// What an import that nobody disturbs comes to.
async fn undisturbed(store: Store) -> Value {
    let server = cleaning(store).start().await;
    imported(&server, &[&transcripts()]).await;
    settled(&server.calls()).await;
    contents(&server.calls(), Kept::NoTimes).await
}

/// Repeats the import without disturbance, and compares.
async fn repeated(server: &Server, expected: &Value, moment: Moment) {
    let report = imported(server, &[&transcripts()]).await;
    assert_eq!((&report["sessions"], &report["actions"]), (&json!(5), &json!(408)), "{moment:?}: {report}");
    assert!(report["created"]["actions"].as_u64().unwrap() < 408, "{moment:?}: nothing was there: {report}");
    settled(&server.calls()).await;
    snapshot::same(expected, &contents(&server.calls(), Kept::NoTimes).await);
}

/// The batch at which something is killed: one session before it is whole, others are to come.
const HALF_WAY: usize = 2;

async fn a_server_killed_half_way(store: Store) {
    let expected = undisturbed(store).await;
    for moment in [Moment::HalfSent, Moment::Sent, Moment::Answered] {
        let mut server = cleaning(store).start().await;
        let gate = Gate::open(&server, "POST /api/ingest ", HALF_WAY, moment).await;
        let import = import(&gate.url(), &[&transcripts()]).start();
        gate.reached().await;
        server.kill();
        let Finished { status, stdout, stderr } = import.wait().await;
        assert_eq!(status.code(), Some(3), "{moment:?}: {stderr}");
        assert!(stderr.contains(&gate.url()) && stderr.contains("run it again"), "{moment:?}: {stderr}");
        assert_eq!(summary(&stdout)["sessions"], 1, "{moment:?}: {stdout}");

        server.restart().await;
        repeated(&server, &expected, moment).await;
    }
}

async fn an_import_killed_half_way(store: Store) {
    let expected = undisturbed(store).await;
    for moment in [Moment::HalfSent, Moment::Sent, Moment::Answered] {
        let server = cleaning(store).start().await;
        let gate = Gate::open(&server, "POST /api/ingest ", HALF_WAY, moment).await;
        let killed = import(&gate.url(), &[&transcripts()]).start().kill_when(gate.reached()).await;
        assert_eq!(killed.status.code(), None, "{killed:?}");
        repeated(&server, &expected, moment).await;
    }
}

async fn what_cannot_be_read_is_told_and_the_rest_is_imported(store: Store) {
    let server = start(store).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("55604662-cf2a-4331-851a-ec234028f8ca.jsonl");
    let original = fs::read_to_string(transcripts().join("short.jsonl")).unwrap();
    let mut lines: Vec<&str> = original.lines().collect();
    lines.insert(3, "{\"type\":\"user\",\"uuid\":");
    lines.insert(7, r#"{"type":"telepathy","uuid":"t-1"}"#);
    lines.insert(9, r#"{"type":"telepathy","uuid":"t-2"}"#);
    fs::write(&file, lines.join("\n")).unwrap();
    fs::write(folder.path().join("notes.jsonl"), "{\"no\":\"transcript\"}\n").unwrap();

    let text =
        Dcm::new(["import".as_ref(), folder.path()]).variable("DCM_URL", server.api()).run().await.success();
    assert!(text.starts_with(&format!("Imported 1 session into {}\n", server.api())), "{text}");
    assert!(text.contains(&format!("{}:4: ", file.display())), "file and line of the broken line: {text}");
    assert!(text.contains("telepathy: 2 lines"), "{text}");
    assert!(text.contains("notes.jsonl"), "{text}");
    check_session(&server.calls(), &SESSIONS[2]).await;

    let report = imported(&server, &[folder.path()]).await;
    assert_eq!(
        (&report["broken"], &report["unknown_types"]),
        (&json!(1), &json!({"telepathy": 2, "(no type)": 1})),
        "{report}"
    );
    let broken = report["broken_lines"].as_array().unwrap();
    assert_eq!(broken.len(), 1);
    assert_eq!((&broken[0]["file"], &broken[0]["line"]), (&json!(file), &json!(4)));
    assert_eq!(report["skipped"].as_array().unwrap().len(), 1);
}

async fn sessions_with_two_agents_and_with_a_compaction(store: Store) {
    let server = start(store).await;
    let api = server.calls();
    let folder = Path::new(DATA).join("hook-payloads/transcripts");
    let report = imported(&server, &[&folder]).await;
    assert_eq!((&report["sessions"], &report["failures"]), (&json!(2), &json!([])), "{report}");
    assert_eq!((&report["actions"], &report["agents"], &report["tasks"]), (&json!(25), &json!(4), &json!(1)));

    let project = api.get("/api/projects/by-path?path=/home/dev/shop").await;
    let project = project["project"]["id"].as_str().unwrap().to_owned();
    let tree = api.get(&format!("/api/hierarchy/{project}")).await;
    let of = |session: &str| {
        let mut tree = tree["hierarchy"].clone();
        tree["requests"].as_array_mut().unwrap().retain(|request| request["session_id"] == session);
        tree
    };

    let first = of("1e3243ca-f29b-4b96-a23c-626644b1ffe5");
    let [request] = &first["requests"].as_array().unwrap()[..] else { panic!("one prompt: {first}") };
    let agents = sub_agents(&api, "1e3243ca-f29b-4b96-a23c-626644b1ffe5", request, 15, 1).await;
    assert_eq!(agents.keys().collect::<Vec<_>>(), ["Explore", "general-purpose"]);
    for (kind, (actions, subtask)) in &agents {
        assert_eq!((*actions, &subtask["status"]), (2, &json!("completed")), "{kind}");
        let said = subtask["result"]["message"].as_str().unwrap();
        assert!(!said.is_empty(), "the last message of {kind} is its result");
    }
    let entries = request["tasks"][0]["subtasks"].as_array().unwrap().iter();
    let entries: Vec<_> = entries.filter(|subtask| subtask["agent_type"].is_null()).collect();
    assert_eq!(entries.len(), 1, "one entry of the task list: {entries:?}");
    assert_eq!(entries[0]["status"], "completed");

    let second = of("adbd5f3a-7150-44a0-bdcb-2856dd5dd362");
    let mut seen = 0;
    for request in second["requests"].as_array().unwrap() {
        let subtasks = request["tasks"][0]["subtasks"].as_array().unwrap();
        for subtask in subtasks.iter().filter(|subtask| subtask["agent_type"] != "main") {
            assert_eq!(subtask["status"], "completed", "{subtask}");
            let detail = api.get(&format!("/api/subtasks/{}", subtask["id"].as_str().unwrap())).await;
            assert_eq!(detail["subtask"]["actions"].as_array().unwrap().len(), 1, "{detail}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2, "two sub-agents, and none for the agent that wrote the summary");
    let page = api.get("/api/actions?session_id=adbd5f3a-7150-44a0-bdcb-2856dd5dd362").await;
    assert_eq!(page["total"], 10);
    let failed = page["actions"].as_array().unwrap().iter().filter(|action| action["exit_code"] == 1);
    assert_eq!(failed.count(), 2);
    let status = api.get("/api/compact/status/adbd5f3a-7150-44a0-bdcb-2856dd5dd362").await;
    assert_eq!(status["compacted"], true);
    assert!(!status["compact_summary"].as_str().unwrap().is_empty());
}

/// The sub-agents of a session with one prompt, with how many actions each has.
async fn sub_agents(
    api: &Calls,
    session: &str,
    request: &Value,
    actions: usize,
    failed: usize,
) -> BTreeMap<String, (usize, Value)> {
    let page = api.get(&format!("/api/actions?session_id={session}&limit=1000")).await;
    let rows = page["actions"].as_array().unwrap();
    assert_eq!((rows.len(), &page["total"]), (actions, &json!(actions)));
    assert_eq!(rows.iter().filter(|action| action["exit_code"] == 1).count(), failed);
    let subtasks = request["tasks"][0]["subtasks"].as_array().unwrap().iter();
    let agents = subtasks.filter(|one| one["agent_type"].as_str().is_some_and(|kind| kind != "main"));
    let count = |subtask: &Value| rows.iter().filter(|action| action["subtask_id"] == subtask["id"]).count();
    agents.map(|one| (one["agent_type"].as_str().unwrap().to_owned(), (count(one), one.clone()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let finished = import(&url, &[&transcripts()]).run().await;
    assert_eq!(finished.status.code(), Some(3));
    assert!(finished.stderr.contains(&url), "{}", finished.stderr);
    assert!(finished.stdout.is_empty(), "there is nothing to sum up: {}", finished.stdout);
}
