//! What the outcomes of observed tool calls mean for briefs and suggestions, in whatever order they are told.

use super::expect::must;
use super::fixture::session_now;
use super::inputs::{self, observed};
use super::scene::Scene;
use crate::api::Api;
use crate::api::context::ContextAnswer;
use crate::api::ingest::Observation;
use crate::api::routing::RoutingSuggest;
use crate::time::Timestamp;

/// A call of the shell, with what it answered.
fn shell(id: &str, at: Timestamp, command: &str, answer: Option<(i32, &str)>) -> Observation {
    let mut call = observed::tool(id, at, None);
    if let Observation::ToolUsed { input, output, exit_code, duration_ms, .. } = &mut call {
        *input = Some(format!("{{\"command\":\"{command}\",\"description\":\"As call {id}\"}}"));
        *output = answer.map(|(_, output)| output.to_owned());
        *exit_code = answer.map_or(0, |(exit_code, _)| exit_code);
        *duration_ms = answer.map(|_| 5);
    }
    call
}

/// What the brief of the session's main agent names as failed.
async fn failed_last(api: &impl Api, scene: &Scene) -> Vec<String> {
    let input = inputs::context(&scene.session, Some(&scene.session));
    let ContextAnswer::Brief { brief, sources, .. } = must(api.execute(input).await, "asking for a brief")
    else {
        panic!("a session that is given has a brief")
    };
    let lines: Vec<&str> = brief.content.lines().collect();
    let of_failures = sources.iter().filter(|source| source.kind == "failure");
    let places = of_failures.filter_map(|source| usize::try_from(source.line? - 1).ok());
    places.filter_map(|place| lines.get(place)).map(|line| (*line).to_owned()).collect()
}

/// A failure that is told after a later success of the same is not open, whatever else succeeded since.
pub async fn a_failure_that_is_told_late_is_mended_already(api: &impl Api) {
    let scene = Scene::new();
    let failed = |n: i64, command| shell(&format!("u{n}"), scene.at(n), command, Some((1, "error: no")));
    scene.send(api, vec![observed::prompt("p1", scene.at(1), "Test it")]).await;
    scene.send(api, vec![shell("u9", scene.at(9), "cargo test", Some((0, "ok")))]).await;
    scene.send(api, vec![failed(5, "cargo test"), failed(6, "cargo doc")]).await;
    let open = failed_last(api, &scene).await;
    assert!(open.len() == 1 && open[0].contains("cargo doc"), "what succeeded since is not open: {open:?}");
    scene.send(api, vec![failed(12, "cargo test")]).await;
    let open = failed_last(api, &scene).await;
    assert_eq!(open.len(), 2, "what failed after its success is open: {open:?}");
    scene.send(api, vec![shell("u8", scene.at(8), "cargo test", Some((0, "")))]).await;
    assert_eq!(failed_last(api, &scene).await.len(), 2, "an earlier success mends nothing");
}

/// A call without an answer mends nothing and teaches nothing; with its answer, it does both as any other, once.
pub async fn a_call_without_an_answer_proves_nothing(api: &impl Api) {
    let scene = Scene::new();
    let word = scene.fixture.word();
    let uses = async || {
        let input = RoutingSuggest { min_score: Some(0.0), ..inputs::suggest(&word) };
        let found = must(api.execute(input).await, "asking for suggestions").suggestions;
        found.iter().map(|one| one.usage_count).sum::<i64>()
    };
    let call = |id: &str, n, answer| shell(id, scene.at(n), &format!("make {word}"), answer);
    let prompt = observed::prompt("p1", scene.at(1), "Make it");
    scene.send(api, vec![prompt, call("u2", 2, Some((2, "error: no rule")))]).await;
    let before = uses().await;
    scene.send(api, vec![call("u5", 5, None)]).await;
    assert_eq!(failed_last(api, &scene).await.len(), 1, "nobody knows whether it succeeded");
    assert_eq!(uses().await, before, "there is nothing to learn yet");

    for (round, updated) in [(1, 1), (2, 0)] {
        let answer = scene.send(api, vec![call("u5", 5, Some((0, "")))]).await;
        assert_eq!(answer.updated, updated, "the answer is news once, in round {round}");
        assert!(failed_last(api, &scene).await.is_empty(), "it succeeded");
        assert_eq!(uses().await, before + 1, "that is learned once, in round {round}");
    }

    scene.send(api, vec![call("u6", 6, None), call("u7", 7, None)]).await;
    assert!(failed_last(api, &scene).await.is_empty(), "nobody knows whether they failed");
    scene.send(api, vec![call("u7", 7, Some((2, "error: no rule")))]).await;
    assert_eq!(failed_last(api, &scene).await.len(), 1, "the answer is a failure");
    scene.send(api, vec![call("u8", 8, Some((0, "made")))]).await;
    scene.send(api, vec![call("u6", 6, Some((2, "error: no rule")))]).await;
    assert!(failed_last(api, &scene).await.is_empty(), "a failure that is answered late is mended already");
    let session = session_now(api, &scene.session).await.session;
    let counters = (session.total_tools_used, session.total_success, session.total_errors);
    assert_eq!(counters, (5, 2, 3), "the session's counters");
}
