//! The `dcm` command as a process of its own, against a server that writes down what it is sent.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::dcm::{User, json as report, text};
use crate::support::{Answer, Asked, Server, url_of_nobody};

const TRANSCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/transcripts");

/// Runs `dcm` with nothing of this process's settings.
fn dcm(url: &str, arguments: &[&str]) -> Output {
    User::new("").variable("CONTEXT_MANAGER_URL", url).run(arguments)
}

fn health() -> Answer {
    let body = json!({"status": "healthy", "timestamp": "2026-01-01T00:00:00.000Z", "version": "1",
        "database": {"healthy": true, "latencyMs": 0}, "features": {}});
    Answer::Json(200, body)
}

fn observations<'a>(asked: &'a Asked, kind: &str) -> Vec<&'a Value> {
    let all = asked.body["observations"].as_array().unwrap();
    all.iter().filter(|one| one["type"] == kind).collect()
}

/// Takes everything as new.
fn take(asked: &Asked) -> Answer {
    if asked.target == "/health" {
        return health();
    }
    assert_eq!((&*asked.method, &*asked.target), ("POST", "/api/ingest"));
    let count = |kind: &str| observations(asked, kind).len();
    Answer::Json(
        200,
        json!({"success": true, "session_id": asked.body["session_id"], "project_id": null, "created": {
            "requests": count("prompt"), "subtasks": count("agent_started"), "actions": count("tool_used"),
            "compactions": count("compacted")}, "updated": 0, "known": 0}),
    )
}

fn write(folder: &Path, name: &str, lines: &[&str]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

const PROMPT: &str = r#"{"type":"user","uuid":"u1","sessionId":"s1","cwd":"/p","timestamp":"2026-01-01T00:00:00.000Z","message":{"content":"go"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_real_sessions() {
    let server = Server::answering(take).await;
    let output = dcm(&server.url, &["import", TRANSCRIPTS, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "no progress bar where there is no terminal: {output:?}");
    let report = report(&output);
    for (name, count) in [
        ("sessions", 5),
        ("requests", 8),
        ("actions", 408),
        ("actions_in_agents", 21),
        ("failed_actions", 24),
        ("agents", 3),
        ("compactions", 2),
        ("broken", 0),
    ] {
        assert_eq!(report[name], count, "{name}: {report}");
    }
    assert_eq!(report["created"]["actions"], 408);
    assert_eq!((&report["failures"], &report["unknown_types"]), (&json!([]), &json!({})));

    let batches: Vec<Asked> = server.asked().into_iter().filter(|asked| asked.target != "/health").collect();
    let mut latest: Vec<(String, String)> = Vec::new();
    for batch in &batches {
        assert!(batch.key.is_some());
        assert_eq!(batch.body["source"], "import");
        assert!(batch.body["project_path"].as_str().unwrap().starts_with('/'));
        let all = batch.body["observations"].as_array().unwrap();
        assert!(!all.is_empty() && all.len() <= 500);
        for one in all {
            latest.push((batch.body["session_id"].to_string(), one["at"].as_str().unwrap().to_owned()));
        }
    }
    assert!(latest.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_refuses_does_not_stop_the_others() {
    let refused = "55604662-cf2a-4331-851a-ec234028f8ca";
    let server = Server::answering(move |asked| {
        if asked.body["session_id"] == refused {
            let details = json!({"observations": ["no"]});
            return Answer::Json(400, json!({"error": "Validation failed", "details": details}));
        }
        take(asked)
    })
    .await;
    let output = dcm(&server.url, &["import", TRANSCRIPTS]);
    assert_eq!(output.status.code(), Some(1));
    let text = text(&output.stdout);
    assert!(text.starts_with("Imported 4 sessions into http://127.0.0.1:"), "{text}");
    assert!(text.contains("short.jsonl: the server answers: Validation failed; observations no"), "{text}");
    assert!(text.contains("  actions          406  (406 new), 22 failed, 21 in sub-agents\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_transcript_and_what_is_broken_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "s1.jsonl", &[PROMPT, "{\"type\":", r#"{"type":"from-the-future"}"#]);
    let stranger = write(folder.path(), "notes.jsonl", &[r#"{"a":1}"#]);
    let server = Server::answering(take).await;
    let output = dcm(&server.url, &["import", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = text(&output.stdout);
    assert!(
        text.contains(&format!("Lines that are no JSON, skipped (1):\n  {}:2: EOF", good.display())),
        "{text}"
    );
    assert!(text.contains("  from-the-future: 1 line\n"), "{text}");
    assert!(text.contains(&format!("Skipped:\n  {}: holds no entries", stranger.display())), "{text}");

    // Named on the command line it is a mistake that somebody should hear of.
    let missing = folder.path().join("missing.jsonl");
    let output =
        dcm(&server.url, &["import", "--json", stranger.to_str().unwrap(), missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report(&output)["failures"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_no_key_no_sense() {
    let url = url_of_nobody().await;
    for arguments in [&["import", TRANSCRIPTS][..], &["status"]] {
        let output = dcm(&url, arguments);
        assert_eq!(output.status.code(), Some(3));
        let complaint = text(&output.stderr);
        assert!(
            complaint.contains(&url) && complaint.contains("dcm-server") && complaint.contains("DCM_URL")
        );
    }

    let server = Server::answering(|asked| match &*asked.target {
        "/health" => health(),
        _ => Answer::Json(401, json!({"error": "Missing API key"})),
    })
    .await;
    let output = dcm(&server.url, &["import", TRANSCRIPTS]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--api-key"), "{output:?}");
    assert_eq!(server.asked().len(), 2, "the first refusal is enough");

    for arguments in [&["import", "--no-such-flag"][..], &["status", "--url", "nonsense"], &[]] {
        let output = dcm(&server.url, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_ends_the_import() {
    let server = Server::answering(|asked| match &*asked.target {
        "/health" => health(),
        _ => Answer::HangUp,
    })
    .await;
    let output = dcm(&server.url, &["import", &format!("{TRANSCRIPTS}/short.jsonl"), "--json"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("run it again"), "{output:?}");
    assert_eq!(report(&output)["sessions"], 0);
    let keys: Vec<_> = server.asked().into_iter().filter_map(|asked| asked.key).collect();
    assert!(keys.len() == 4 && keys.iter().all(|key| key == &keys[0]), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_for_people_and_as_json() {
    let server = Server::answering(|asked| match &*asked.target {
        "/health" => health(),
        _ => Answer::Json(
            200,
            json!({"projectCount": 1, "requestCount": 2, "actionCount": 3, "messageCount": 4,
                "timestamp": "2026-01-01T00:00:00.000Z"}),
        ),
    })
    .await;
    let output = dcm(&server.url, &["status", "--api-key", "k3y"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    assert!(printed.contains("is healthy (DCM 1)") && printed.contains("actions   3"), "{printed}");
    assert_eq!(server.asked()[1].authorization.as_deref(), Some("Bearer k3y"));
    let output = dcm(&server.url, &["status", "--json"]);
    assert_eq!(report(&output)["stats"]["actionCount"], 3);
}
