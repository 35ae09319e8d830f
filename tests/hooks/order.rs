//! Events in any order, with any loss: what is recorded is the same.

use proptest::prelude::*;
use serde_json::Value;

use super::TWO_AGENTS;
use super::hook_replay::{events, transcript};

/// The tree of a session in process, without ids and times, in an order of its own.
async fn tree(dcm: &dcm::Dcm, session: &str) -> (Vec<String>, Vec<String>) {
    let project = dcm::api::projects::ProjectByPath { path: "/home/dev/shop".to_owned() };
    let project_id = dcm.project_by_path(project).await.unwrap().project.id;
    let tree = dcm.hierarchy_get(dcm::api::hierarchy::HierarchyGet { project_id }).await.unwrap().hierarchy;
    let mut owners = std::collections::BTreeMap::new();
    let mut subtasks = Vec::new();
    for request in &tree.requests {
        for one in request.tasks.iter().flat_map(|task| &task.subtasks) {
            let said = one.result.as_ref().map(dcm::JsonObject::as_str);
            let (agent, kind) = (one.agent_id.as_deref(), one.agent_type.as_deref());
            let about = one.description.as_deref();
            let status = request.request.status;
            subtasks.push(format!(
                "{} {status}: {agent:?} {kind:?} {about:?} {:?} {said:?}",
                request.request.prompt, one.status
            ));
            owners.insert(one.id, format!("{agent:?} {about:?}"));
        }
    }
    let list = dcm::api::actions::ActionList {
        session_id: Some(session.to_owned()),
        limit: Some(1000),
        offset: None,
        tool_name: None,
        tool_type: None,
        subtask_id: None,
    };
    let actions = dcm.action_list(list).await.unwrap().actions;
    let owner =
        |action: &dcm::api::actions::ActionSummary| action.subtask_id.and_then(|id| owners.get(&id).cloned());
    let mut actions: Vec<String> =
        actions.iter().map(|one| format!("{} {} {:?}", one.tool_name, one.exit_code, owner(one))).collect();
    subtasks.sort();
    actions.sort();
    (subtasks, actions)
}

async fn in_process(
    events: &[Value],
    transcript: Option<&dcm::transcript::Parsed>,
) -> (Vec<String>, Vec<String>) {
    let dcm = dcm::Dcm::open_in_memory(dcm::EngineConfig::default()).await.unwrap();
    for event in events {
        let report: dcm::api::hooks::HookReport = serde_json::from_value(event.clone()).unwrap();
        dcm.hook(report).await.unwrap();
    }
    let session = events.first().map_or("", |event| event["session_id"].as_str().unwrap()).to_owned();
    if let Some(parsed) = transcript {
        let ingest = dcm::api::ingest::Ingest {
            session_id: parsed.session_id.clone().unwrap(),
            project_path: parsed.project_path.clone(),
            source: Some("reconcile".to_owned()),
            observations: parsed.observations.clone(),
        };
        dcm.ingest(ingest).await.unwrap();
    }
    let rows = tree(&dcm, &session).await;
    dcm.close().await;
    rows
}

/// Merges the events of the three agents in another order: each agent's own order stays, a sub-agent starts after the
/// call that launches it, and that call ends after the sub-agent.
fn interleaved(events: &[Value], choices: &[u8]) -> Vec<Value> {
    let agents = ["", "af3aa2c4f10792d3f", "a252bfe950b3cf9e3"];
    let of = |agent: &str| -> std::collections::VecDeque<Value> {
        events.iter().filter(|event| event["agent_id"].as_str().unwrap_or("") == agent).cloned().collect()
    };
    let mut queues = agents.map(of);
    let mut order = Vec::new();
    let mut choices = choices.iter().copied().cycle();
    let mut launched = 0;
    while queues.iter().any(|queue| !queue.is_empty()) {
        let mut place = usize::from(choices.next().unwrap_or(0)) % 3;
        let may = |place: usize| {
            let Some(event) = queues[place].front() else { return false };
            let returned = event["tool_response"]["agentId"].as_str();
            let waits =
                agents.iter().zip(&queues).any(|(id, queue)| returned == Some(id) && !queue.is_empty());
            if place == 0 { !waits } else { launched == 2 }
        };
        while !may(place) {
            place = (place + 1) % 3;
        }
        let event = queues[place].pop_front().unwrap();
        launched += usize::from(event["hook_event_name"] == "PreToolUse" && event["tool_name"] == "Agent");
        order.push(event);
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn parallel_agents_in_any_order(choices in proptest::collection::vec(any::<u8>(), 40)) {
        let events = events(TWO_AGENTS);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let expected = runtime.block_on(in_process(&events, None));
        let order = interleaved(&events, &choices);
        prop_assert_eq!(order.len(), events.len());
        prop_assert_eq!(runtime.block_on(in_process(&order, None)), expected);
    }

    #[test]
    fn any_loss_is_made_good_by_the_transcript(
        choices in proptest::collection::vec(any::<u8>(), 40),
        lost in proptest::collection::vec(proptest::bool::weighted(0.4), 42),
    ) {
        let events = events(TWO_AGENTS);
        let parsed = transcript("1e3243ca-f29b-4b96-a23c-626644b1ffe5");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let expected = runtime.block_on(in_process(&events, Some(&parsed)));
        let mut order = interleaved(&events, &choices);
        let mut lost = lost.into_iter().cycle();
        // The first event is told always, so that there is a session to ask for.
        let first = order.remove(0);
        order.retain(|_| !lost.next().unwrap_or(false));
        order.insert(0, first);
        prop_assert_eq!(runtime.block_on(in_process(&order, Some(&parsed))), expected);
    }
}
