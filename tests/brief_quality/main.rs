//! What a brief is worth: real sessions are recorded up to a point, a brief is asked for, and it is looked at whether it
//! names what the session touched, and needed, afterwards.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod record;

use std::collections::BTreeSet;

use dcm::Dcm;
use dcm::api::context::CompactRestored;
use dcm::api::ingest::Observation;
use record::{By, Session, record};
use serde_json::json;

/// The two sessions with a compaction, and the files that were known before it and touched again after.
const COMPACTED: [(&str, &[&str]); 2] = [
    (
        "258c7280-ae70-4798-800f-63464d01a85d",
        &[
            "test/spotter_web/live/project_review_live_test.exs",
            "lib/spotter_web/router.ex",
            "lib/spotter/transcripts/annotation.ex",
            "lib/spotter_web/live/project_review_live.ex",
        ],
    ),
    (
        "8463c716-a2ea-4c14-9efa-87158ebd9f20",
        &[
            "assets/build.js",
            "test/spotter/services/transcript_renderer_test.exs",
            "lib/spotter_web/live/session_live.ex",
            "assets/package.json",
            "lib/spotter/services/transcript_renderer.ex",
            "config/dev.exs",
        ],
    ),
];

async fn restore(dcm: &Dcm, session: &str, agent: &str, budget: i32) -> CompactRestored {
    let input = json!({"session_id": session, "agent_id": agent, "max_tokens": budget, "explain": true});
    let restored = dcm.compact_restore(record::input(&input)).await.unwrap();
    assert_cost(&restored.brief, budget);
    restored
}

fn assert_cost(brief: &str, budget: i32) {
    let budget = usize::try_from(budget).unwrap();
    let cost = tiktoken_rs::o200k_base_singleton().encode_ordinary(brief).len();
    assert!(cost <= budget, "{cost} tokens in a budget of {budget}:\n{brief}");
    assert!(brief.encode_utf16().count().div_ceil(4) <= budget, "by the length, too");
}

/// Which of the session's agents are known at its end, with the first words of what they said last.
fn agents(seen: &[Observation]) -> Vec<(String, Option<String>)> {
    let mut agents = Vec::new();
    for observation in seen {
        match observation {
            Observation::AgentStarted { agent_id, agent_type, .. } => {
                agents.push((agent_id.clone(), agent_type.clone(), None));
            }
            Observation::AgentStopped { agent_id, result, .. } => {
                for agent in agents.iter_mut().filter(|agent| agent.0 == *agent_id) {
                    agent.2.clone_from(result);
                }
            }
            _ => {}
        }
    }
    let first_words = |text: String| text.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
    agents.into_iter().filter_map(|(_, kind, result)| Some((kind?, result.map(first_words)))).collect()
}

/// The commands whose last run failed.
fn broken_commands(seen: &[Observation]) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    for observation in seen {
        let Observation::ToolUsed { tool_name, input, output, exit_code, .. } = observation else { continue };
        let input: serde_json::Value =
            serde_json::from_str(input.as_deref().unwrap_or("{}")).unwrap_or_default();
        let Some(command) = input["command"].as_str().filter(|_| tool_name == "Bash") else { continue };
        let command = command.split_whitespace().collect::<Vec<_>>().join(" ");
        let refused = output.as_deref().is_some_and(|output| output.starts_with("The user doesn't want to"));
        if *exit_code == 0 {
            // A chain that succeeds has carried out each of its steps.
            for step in command.split(" && ").chain([&*command]) {
                broken.remove(step);
            }
        } else if !refused {
            broken.insert(command);
        }
    }
    broken
}

/// Files of Read, Edit and Write by the main agent.
fn files(seen: &[Observation]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for observation in seen {
        if let Observation::ToolUsed { agent_id: None, tool_name, file_paths, .. } = observation
            && matches!(tool_name.as_str(), "Read" | "Edit" | "Write")
        {
            files.extend(file_paths.iter().cloned());
        }
    }
    files
}

fn check_needs(session: &Session, brief: &str, budget: i32, by: By) {
    let prompt = session.newest_prompt();
    let first_line: String = prompt.lines().next().unwrap().to_owned();
    let quoted = if first_line.len() <= 160 { first_line } else { first_line.chars().take(60).collect() };
    assert!(brief.contains(&quoted), "{by:?}, {budget}: the newest prompt is quoted:\n{brief}");
    if budget < 1000 {
        return;
    }
    for (kind, result) in agents(&session.seen) {
        assert!(brief.contains(&kind), "{by:?}, {budget}: the agent {kind} is named:\n{brief}");
        let result = result.unwrap_or_default();
        assert!(brief.contains(&result), "{by:?}, {budget}: what {kind} said ({result}) is there:\n{brief}");
    }
    for command in broken_commands(&session.seen) {
        let named: String = command.chars().take(60).collect();
        assert!(brief.contains(&named), "{by:?}, {budget}: {command} failed last:\n{brief}");
    }
}

#[tokio::test]
async fn what_was_touched_after_a_compaction_is_in_the_brief_at_it() {
    for by in [By::Rest, By::Ingest] {
        let mut named = Vec::new();
        for (id, wanted) in COMPACTED {
            let session = Session::until_compaction(id);
            let (dcm, agent) = record(&session, by).await;
            for budget in [100, 250, 500, 1000, 2000, 4000, 8000] {
                let brief = restore(&dcm, id, &agent, budget).await.brief;
                check_needs(&session, &brief, budget, by);
                let found = wanted.iter().filter(|file| brief.contains(*file)).count();
                named.push((budget, found));
            }
            dcm.close().await;
        }
        for (budget, least) in [(500, 7), (1000, 9), (2000, 10)] {
            let found: usize = named.iter().filter(|(at, _)| *at == budget).map(|(_, found)| found).sum();
            assert!(found >= least, "{by:?}: {found} of 10 files at {budget} tokens");
        }
    }
}

/// The same at other points of all the sessions: nothing is tuned to the two compactions.
#[tokio::test]
async fn any_point_of_a_session_may_be_its_compaction() {
    let (mut known, mut named) = (0, [0; 3]);
    for id in record::sessions() {
        for percent in [30, 45, 60, 75, 90] {
            let session = Session::until(&id, percent);
            let before = files(&session.seen);
            let wanted: Vec<String> =
                files(&session.after).into_iter().filter(|file| before.contains(file)).collect();
            let (dcm, agent) = record(&session, By::Ingest).await;
            known += wanted.len();
            for (place, budget) in [500, 1000, 2000].into_iter().enumerate() {
                let brief = restore(&dcm, &session.id, &agent, budget).await.brief;
                check_needs(&session, &brief, budget, By::Ingest);
                let root = session.project.clone() + "/";
                let found = wanted.iter().filter(|file| brief.contains(file.trim_start_matches(&root)));
                named[place] += found.count();
            }
            dcm.close().await;
        }
    }
    let shares = named.map(|named| named * 100 / known);
    assert!(known > 20, "there is something to find: {known}");
    assert!(shares[0] >= 80 && shares[1] >= 95 && shares[2] >= 98, "{shares:?} % of {known}");
}
