//! What the scorer learned outlives the process, whether it ended or was ended.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use dcm::api::{Operation, wire};
use dcm::{Dcm, EngineConfig};
use dcm_suite::postgres::Database;
use serde_json::{Value, json};

fn input<O: Operation>(fields: &Value) -> O {
    let query = fields.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string()));
    let query: Vec<_> = query.map(|(name, value)| (name, value.trim_matches('"').to_owned())).collect();
    let body = fields.to_string();
    if O::META.method == dcm::api::Method::GET {
        wire::from_request(Vec::new(), query, b"").unwrap()
    } else {
        wire::from_request(Vec::new(), Vec::new(), body.as_bytes()).unwrap()
    }
}

async fn open(path: &Path) -> Dcm {
    Dcm::open_sqlite(path, EngineConfig::default()).await.unwrap()
}

/// The store as it lies on the disk while somebody works with it: what a crash leaves.
fn copy(path: &Path, folder: &Path) -> PathBuf {
    let target = folder.join("crashed.db");
    for end in ["", "-wal"] {
        let from = format!("{}{end}", path.display());
        std::fs::copy(from, format!("{}{end}", target.display())).unwrap();
    }
    target
}

#[tokio::test]
async fn lessons_and_scores_survive_an_end_and_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dcm.db");
    let dcm = open(&path).await;
    for (said, tool) in
        [("deploy the shop to staging", "deployer"), ("find papers about black holes", "library")]
    {
        let action = json!({"tool_name": tool, "tool_type": "mcp", "input": said, "session_id": "s-1"});
        dcm.action_record(input(&action)).await.unwrap();
    }
    let feedback = json!({"tool_name": "deployer", "keywords": ["staging"], "chosen": true});
    dcm.routing_feedback(input(&feedback)).await.unwrap();
    let stats = dcm.routing_stats(input(&json!({}))).await.unwrap();
    assert_eq!(stats.totals.unique_tools, 2);
    let before = dcm.routing_suggest(input(&json!({"keywords": "staging"}))).await.unwrap();
    assert_eq!(before.suggestions[0].usage_count, 1);
    assert!((before.suggestions[0].score - 1.2).abs() < 1e-9, "{before:?}");

    let crashed = copy(&path, folder.path());
    dcm.close().await;
    for path in [path, crashed] {
        let dcm = open(&path).await;
        assert_eq!(dcm.routing_stats(input(&json!({}))).await.unwrap(), stats, "{}", path.display());
        let scores = dcm.routing_suggest(input(&json!({"keywords": "staging"}))).await.unwrap();
        assert_eq!(scores.suggestions, before.suggestions, "{}", path.display());
        let prompt = json!({"prompt": "a paper on holes, please"});
        let found = dcm.routing_suggest(input(&prompt)).await.unwrap();
        assert_eq!(found.suggestions[0].tool_name, "library", "evidence of words: {}", path.display());
        dcm.close().await;
    }
    // A second start after that has nothing more to learn, and nothing is learned twice.
    let again = open(&folder.path().join("crashed.db")).await;
    assert_eq!(again.routing_stats(input(&json!({}))).await.unwrap(), stats);
    again.close().await;
}

/// Equal tools come in the same order, whichever was used first and whether the scorer was made again since.
#[tokio::test]
async fn ties_are_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dcm.db");
    let dcm = open(&path).await;
    let early = json!({"tool_name": "alpha", "keywords": ["staging"], "chosen": false});
    dcm.routing_feedback(input(&early)).await.unwrap();
    for tool in ["zeta", "alpha", "mid", "omega", "beta"] {
        for said in ["deploy the shop to staging", "rollback of staging"] {
            let action = json!({"tool_name": tool, "tool_type": "mcp", "input": said});
            dcm.action_record(input(&action)).await.unwrap();
        }
    }
    let asked = async |dcm: &Dcm| {
        let by_words = dcm.routing_suggest(input(&json!({"keywords": "deploy,staging"}))).await.unwrap();
        let by_prompt = dcm.routing_suggest(input(&json!({"prompt": "deploy to staging"}))).await.unwrap();
        (by_words, by_prompt, dcm.routing_stats(input(&json!({}))).await.unwrap())
    };
    let before = asked(&dcm).await;
    let names: Vec<&str> = before.1.suggestions.iter().map(|one| &*one.tool_name).collect();
    assert_eq!(names, ["alpha", "beta", "mid", "omega", "zeta"]);
    dcm.close().await;
    let dcm = open(&path).await;
    assert_eq!(asked(&dcm).await, before);
    dcm.close().await;
}

/// What a node says, once it has learned all that was recorded before this call.
async fn learned(dcm: &Dcm) -> (Value, Value) {
    // A call without words teaches nothing, but a node answers only when it has learned what lies before its own writes.
    let action = json!({"tool_name": "Silent", "tool_type": "builtin"});
    dcm.action_record(input(&action)).await.unwrap();
    let stats = dcm.routing_stats(input(&json!({}))).await.unwrap();
    let suggested = dcm.routing_suggest(input(&json!({"prompt": "deploy staging rollback"}))).await.unwrap();
    assert!(!suggested.suggestions.is_empty());
    (serde_json::to_value(stats).unwrap(), serde_json::to_value(suggested).unwrap())
}

/// Three nodes record at once; each learns all of it in the order of the log, and it is written once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_learn_at_once_know_the_same() {
    const EACH: usize = 60;
    let database = Database::create();
    let node = async || Dcm::connect_postgres(database.url(), EngineConfig::default()).await.unwrap();
    let nodes = [node().await, node().await, node().await];
    let recording = nodes.iter().enumerate().map(|(number, dcm)| async move {
        for round in 0..EACH {
            let said = if round % 3 == number { "deploy the shop to staging" } else { "staging: rollback now" };
            let tool = ["deployer", "operator"][(round + number) % 2];
            let action = json!({"tool_name": tool, "tool_type": "mcp", "input": said, "exit_code": i32::from(round % 5 == 0)});
            dcm.action_record(input(&action)).await.unwrap();
            // Most of the log teaches nothing.
            let message = json!({"from_agent": tool, "topic": "workflow.progress", "content": {"round": round}});
            dcm.message_send(input(&message)).await.unwrap();
            if round % 10 == 0 {
                let feedback = json!({"tool_name": tool, "keywords": ["staging"], "chosen": number != 2});
                dcm.routing_feedback(input(&feedback)).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(recording).await;
    let first = learned(&nodes[0]).await;
    let uses: i64 = first.1["suggestions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["usage_count"].as_i64().unwrap())
        .max()
        .unwrap();
    assert_eq!(first.0["totals"]["unique_tools"], 2, "{first:?}");
    assert!(uses >= i64::try_from(EACH).unwrap(), "{first:?}");
    for dcm in &nodes[1..] {
        assert_eq!(learned(dcm).await, first, "every node knows the same");
    }
    for dcm in &nodes {
        dcm.close().await;
    }
    // What was written is what was known, each lesson once.
    let later = node().await;
    assert_eq!(learned(&later).await, first, "and so does one that starts later");
    let lessons = 3 * (EACH + EACH / 10);
    assert_eq!(database.rows("select count(*) from routing_lessons")[0][0], Some(lessons.to_string()));
    later.close().await;
}
