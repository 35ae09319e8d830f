//! `dcm hook`: what reaches the server, what waits for it, and that nobody is disturbed.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::dcm::{User, text};
use crate::support::{Answer, Asked, Server, url_of_nobody};

fn event(number: usize) -> String {
    json!({"hook_event_name": "PostToolUse", "session_id": "s1", "tool_use_id": format!("t{number}")})
        .to_string()
}

fn quiet(output: &Output) {
    let silent = output.stdout.is_empty() && output.stderr.is_empty();
    assert!(output.status.code() == Some(0) && silent, "{output:?}");
}

/// Takes everything.
fn take(asked: &Asked) -> Answer {
    match &*asked.target {
        "/health" => Answer::Json(
            200,
            json!({"status": "healthy", "timestamp": "2026-01-01T00:00:00.000Z", "version": "1",
                "database": {"healthy": true, "latencyMs": 0}, "features": {}}),
        ),
        "/stats" => Answer::Json(
            200,
            json!({"projectCount": 0, "requestCount": 0, "actionCount": 0, "messageCount": 0,
                "timestamp": "2026-01-01T00:00:00.000Z"}),
        ),
        _ => Answer::Json(204, Value::Null),
    }
}

fn tool_use_ids(asked: &[Asked]) -> Vec<&str> {
    asked.iter().filter_map(|asked| asked.body["tool_use_id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_passed_on_and_nothing_else() {
    let context = json!({"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": "ä"}});
    let server = Server::start([
        Answer::Json(200, context.clone()),
        Answer::Json(204, Value::Null),
        Answer::Json(200, json!("no object")),
        Answer::Json(200, json!(null)),
    ])
    .await;
    let user = User::new(&server.url).variable("DCM_API_KEY", "k3y");
    let output = user.hook(&event(0));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), format!("{context}\n"));
    for number in 1..4 {
        quiet(&user.hook(&event(number)));
    }
    let asked = server.asked();
    assert_eq!((&*asked[0].method, &*asked[0].target), ("POST", "/hooks/claude"));
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer k3y"));
    assert_eq!(asked[0].body, serde_json::from_str::<Value>(&event(0)).unwrap());
    assert!(asked.iter().all(|asked| asked.key.is_none()), "an event of now is told once");
    assert!(user.spool().is_none(), "nothing waits, nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_nobodys_business() {
    let server = Server::start([]).await;
    let user = User::new(&server.url);
    for input in ["", "  \n", "{\"hook_event_name\":", "[]", "plain text", "{} {}"] {
        quiet(&user.hook(input));
    }
    quiet(&user.run(&["hook"]));
    quiet(&user.run(&["hook", "--no-such-flag", "nonsense"]));
    quiet(&User::new("nonsense").hook(&event(0)));
    assert!(user.spool().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_a_server_that_is_away_and_are_told_once_in_order() {
    let url = url_of_nobody().await;
    let user = User::new(&url);
    for number in 0..5 {
        quiet(&user.hook(&event(number)));
    }
    let queue = std::fs::read_to_string(user.spool().unwrap().join("queue")).unwrap();
    let keys: Vec<Value> =
        queue.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone()).collect();
    assert_eq!(keys.len(), 5);

    let context = json!({"systemMessage": "for the last"});
    let answer = context.clone();
    let server = Server::at(&url, move |asked| match asked.body["tool_use_id"].as_str() {
        Some("t5") => Answer::Json(200, answer.clone()),
        Some("t0") => Answer::Json(200, json!({"systemMessage": "for nobody any more"})),
        _ => take(asked),
    })
    .await;
    quiet(&user.run(&["hook"]));
    assert!(server.asked().is_empty());
    let output = user.hook(&event(5));
    assert_eq!(text(&output.stdout), format!("{context}\n"), "its own answer, not another's");
    let asked = server.asked();
    assert_eq!(tool_use_ids(&asked), ["t0", "t1", "t2", "t3", "t4", "t5"]);
    // With a time, nobody waits for the answer; that is another call than the one that may have arrived, and always the
    // same. Its own event happens now.
    let told: Vec<Value> = asked[..5].iter().map(|asked| json!(asked.key)).collect();
    let late: Vec<Value> = keys.iter().map(|key| json!(format!("{}-late", key.as_str().unwrap()))).collect();
    assert_eq!(told, late);
    assert!(asked[..5].iter().all(|asked| asked.target.starts_with("/hooks/claude?at=20")), "{asked:?}");
    assert_eq!(asked[5].target, "/hooks/claude");
    quiet(&user.hook(&event(6)));
    assert_eq!(server.asked().len(), 7);
    assert_eq!(server.asked()[6].target, "/hooks/claude");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_one_server_is_not_told_to_another() {
    let server = Server::answering(take).await;
    let user = User::new(&url_of_nobody().await);
    quiet(&user.hook(&event(0)));
    assert_eq!(user.run(&["status", "--url", &server.url]).status.code(), Some(0));
    assert!(tool_use_ids(&server.asked()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_costs_the_deadline_once() {
    let server = Server::answering(|_| Answer::Silence).await;
    let user = User::new(&server.url);
    for number in 0..3 {
        quiet(&user.hook_with(&["hook", "--deadline-ms", "2000"], &event(number)));
    }
    // The first found out; the others left it alone.
    assert_eq!(tool_use_ids(&server.asked()), ["t0"]);
    let queue = std::fs::read_to_string(user.spool().unwrap().join("queue")).unwrap();
    assert_eq!(queue.lines().count(), 3);
    let first: Value = serde_json::from_str(queue.lines().next().unwrap()).unwrap();
    assert_eq!(first["body"]["tool_use_id"], "t0", "the server may have taken it, and hears of it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_command_tells_what_waits() {
    let server = Server::answering(|asked| match asked.authorization {
        Some(_) => take(asked),
        None => Answer::Json(401, json!({"error": "Missing API key"})),
    })
    .await;
    let user = User::new(&server.url);
    quiet(&user.hook(&event(0)));
    quiet(&user.hook(&event(1)));
    let seen = server.asked().len();
    assert_eq!(user.run(&["status", "--api-key", "k"]).status.code(), Some(0));
    let asked = server.asked();
    assert_eq!(tool_use_ids(&asked[seen..]), ["t0", "t1"]);
    let seen = asked.len();
    assert_eq!(user.run(&["status", "--api-key", "k"]).status.code(), Some(0));
    assert_eq!(tool_use_ids(&server.asked()[seen..]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_does_not_hold_up_the_rest() {
    let failures = AtomicUsize::new(0);
    let server = Server::answering(move |asked| match asked.body["tool_use_id"].as_str() {
        Some("t0") => Answer::Json(400, json!({"error": "no"})),
        // It fails over this one for ever.
        Some("t1") => {
            failures.fetch_add(1, Ordering::Relaxed);
            Answer::Json(500, json!({"error": "Internal error"}))
        }
        _ => take(asked),
    })
    .await;
    let user = User::new(&server.url);
    for number in 0..8 {
        quiet(&user.hook(&event(number)));
    }
    let asked = server.asked();
    let told = tool_use_ids(&asked);
    assert_eq!(told.iter().filter(|id| **id == "t0").count(), 1);
    assert_eq!(told.iter().filter(|id| **id == "t1").count(), 6, "once at first, then five times");
    assert_eq!(
        told.iter().filter(|id| !matches!(**id, "t0" | "t1")).copied().collect::<Vec<_>>(),
        ["t2", "t3", "t4", "t5", "t6", "t7"]
    );
    let refused = std::fs::read_to_string(user.spool().unwrap().join("refused")).unwrap();
    assert_eq!(refused.lines().count(), 2, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_hooks_lose_nothing() {
    let url = url_of_nobody().await;
    let user = User::new(&url);
    let hooks: Vec<_> =
        (0..12).map(|number| user.start(&["hook", "--deadline-ms", "60000"], &event(number))).collect();
    for hook in hooks {
        quiet(&hook.wait_with_output().unwrap());
    }
    let server = Server::at(&url, take).await;
    // And they tell it in parallel, too.
    let hooks: Vec<_> =
        (12..20).map(|number| user.start(&["hook", "--deadline-ms", "60000"], &event(number))).collect();
    for hook in hooks {
        quiet(&hook.wait_with_output().unwrap());
    }
    user.run(&["status"]);
    let asked = server.asked();
    let mut told = tool_use_ids(&asked);
    told.sort_unstable();
    let mut expected: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_of_the_older_hook() {
    let server = Server::answering(take).await;
    let user = User::new(&server.url)
        .variable("CLAUDE_TOOL_NAME", "Test")
        .variable("CLAUDE_TOOL_TYPE", "builtin")
        .variable("CLAUDE_TOOL_INPUT", &"x".repeat(20_000));
    quiet(&user.run(&["hook", "track-usage"]));
    let asked = server.asked();
    assert_eq!(asked[0].target, "/api/actions");
    assert_eq!(
        (&asked[0].body["tool_name"], &asked[0].body["tool_type"]),
        (&json!("Test"), &json!("builtin"))
    );
    assert!(asked[0].body["input"].as_str().unwrap().len() <= 10_240);
    // An event says more than variables do.
    quiet(&user.hook_with(&["hook", "track-usage", "--deadline-ms", "60000"], &event(1)));
    assert_eq!(server.asked()[1].target, "/hooks/claude");
}

const TRANSCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/transcripts");

fn milestone(name: &str, transcript: &Path) -> String {
    json!({"hook_event_name": name, "session_id": "d6e0bada-1959-4eec-a9d2-0bfade768d8f",
        "transcript_path": transcript})
    .to_string()
}

fn observed(asked: &[Asked]) -> Vec<Value> {
    let batches = asked.iter().filter(|asked| asked.target == "/api/ingest");
    batches.flat_map(|asked| asked.body["observations"].as_array().unwrap().clone()).collect()
}

/// The beginning of a real transcript, and how to let it grow.
fn growing(user: &User, lines: usize) -> (PathBuf, Vec<String>) {
    let whole = std::fs::read_to_string(format!("{TRANSCRIPTS}/tool_heavy.jsonl")).unwrap();
    let all: Vec<String> = whole.lines().map(|line| format!("{line}\n")).collect();
    let path = user.home().join("d6e0bada-1959-4eec-a9d2-0bfade768d8f.jsonl");
    std::fs::write(&path, all[..lines].concat()).unwrap();
    (path, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn milestones_tell_what_the_transcript_has_and_was_not_told_before() {
    let server = Server::answering(take).await;
    let user = User::new(&server.url);
    let (path, all) = growing(&user, 8);
    quiet(&user.hook(&milestone("Stop", &path)));
    let first = observed(&server.asked());
    assert!(!first.is_empty());
    // Nothing new, nothing said; a tool call does not look at it at all.
    quiet(&user.hook(&milestone("SubagentStop", &path)));
    assert_eq!(observed(&server.asked()), first);
    std::fs::write(&path, all.concat()).unwrap();
    quiet(&user.hook(&milestone("PostToolUse", &path)));
    assert_eq!(observed(&server.asked()), first);
    quiet(&user.hook(&milestone("Stop", &path)));
    let told = observed(&server.asked());
    let (before, after) = told.split_at(first.len());
    assert!(!after.is_empty() && after.iter().all(|one| !before.contains(one)));
    let calls = told.iter().filter(|one| one["type"] == "tool_used").count();
    assert_eq!(calls, 6);
    // A transcript that is not there is not there.
    quiet(&user.hook(&milestone("SessionStart", Path::new("/nowhere/x.jsonl"))));
    assert_eq!(observed(&server.asked()), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_leaves_its_transcript_to_the_next_command() {
    let server = Server::answering(take).await;
    let user = User::new(&server.url);
    let (path, _) = growing(&user, usize::from(u8::MAX).min(20));
    quiet(&user.hook(&milestone("SessionEnd", &path)));
    assert_eq!(server.asked(), [], "its time is everybody's");
    user.run(&["status"]);
    assert_eq!(server.asked()[0].body["hook_event_name"], "SessionEnd");
    let told = observed(&server.asked());
    assert!(!told.is_empty());
    user.run(&["status"]);
    assert_eq!(observed(&server.asked()), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_cannot_be_kept_is_told_at_once() {
    let server = Server::answering(take).await;
    let user = User::new(&server.url);
    let data = user.home().join(".local/share");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("dcm"), "no folder").unwrap();
    quiet(&user.hook(&milestone("SessionEnd", Path::new("/nowhere/x.jsonl"))));
    assert_eq!(server.asked()[0].body["hook_event_name"], "SessionEnd");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_that_the_server_fails_over_is_sent_again_and_then_set_aside() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let server = Server::answering(move |asked| match &*asked.target {
        "/api/ingest" if failing.load(Ordering::SeqCst) => Answer::Json(500, json!({"error": "no"})),
        _ => take(asked),
    })
    .await;
    let ingests =
        |server: &Server| server.asked().iter().filter(|asked| asked.target == "/api/ingest").count();
    let user = User::new(&server.url);
    let (path, _) = growing(&user, 8);
    quiet(&user.hook(&milestone("Stop", &path)));
    assert_eq!(ingests(&server), 1);
    // It was the server's fault, and is mended.
    fails.store(false, Ordering::SeqCst);
    user.run(&["status"]);
    assert_eq!(ingests(&server), 2);
    let told = observed(&server.asked());
    assert_eq!(told[..told.len() / 2], told[told.len() / 2..], "the same once more");
    user.run(&["status"]);
    assert_eq!(ingests(&server), 2);

    // It is due to this transcript: after five times it is set aside, where the doctor looks.
    fails.store(true, Ordering::SeqCst);
    let user = User::new(&server.url);
    let (path, _) = growing(&user, 8);
    quiet(&user.hook(&milestone("Stop", &path)));
    for _ in 0..6 {
        user.run(&["status"]);
    }
    assert_eq!(ingests(&server), 2 + 5);
    let refused = std::fs::read_to_string(user.spool().unwrap().join("refused")).unwrap();
    let refused: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!((&refused["status"], &refused["target"]), (&json!(500), &json!("/api/ingest")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_ends_although_nobody_closes_its_input() {
    let server = Server::answering(take).await;
    let user = User::new(&server.url);
    let mut command = tokio::process::Command::from(user.command(&["hook", "--deadline-ms", "300"]));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut hook = command.spawn().unwrap();
    // Somebody holds the other end, and says half of what there is to say.
    let mut input = hook.stdin.take().unwrap();
    input.write_all(b"{\"hook_event_name\":").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), hook.wait_with_output()).await;
    quiet(&ended.expect("a hook must not wait for ever").unwrap());
    drop(input);
    assert!(server.asked().is_empty() && user.spool().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_ends_although_the_server_never_answers() {
    // It takes connections, and that is all.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let user = User::new(&format!("http://{}", listener.local_addr().unwrap()));
    let mut command = tokio::process::Command::from(user.command(&["hook", "--deadline-ms", "300"]));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut hook = command.spawn().unwrap();
    hook.stdin.take().unwrap().write_all(event(0).as_bytes()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), hook.wait_with_output()).await;
    quiet(&ended.expect("a hook must not wait for ever").unwrap());
    drop(listener);
}
