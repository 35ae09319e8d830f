//! How each agent of a session stands: kept while its work is created and ends.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::id::AgentContextId;
use crate::json::JsonObject;
use crate::model::{AgentContext, Subtask};
use crate::storage::State;
use crate::time::Timestamp;

/// The most characters of a task, and of a result, that an agent's context repeats.
const TEXT_LIMIT: usize = 2000;

/// The id of the context of an agent in a session; the same again for the same agent.
fn id_of(session: &str, agent: &str) -> AgentContextId {
    let digest = Sha256::new().chain_update(session).chain_update([0]).chain_update(agent).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
}

fn shortened(text: &str, width: usize) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(width).collect()
}

fn result_words(result: &JsonObject) -> String {
    let told = ["message", "summary", "result", "output", "error"];
    let words = told.iter().find_map(|name| result.get(name)?.as_str().map(str::to_owned));
    shortened(&words.unwrap_or_else(|| result.as_str().to_owned()), TEXT_LIMIT)
}

/// Brings the context of the agent that does `subtask` up to date. Work of nobody in particular has none.
pub(super) fn note_agent(state: &mut State, session: Option<&str>, subtask: &Subtask, at: Timestamp) {
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let (agent, kind) = (given(&subtask.agent_id), given(&subtask.agent_type));
    let Some(name) = agent.clone().or_else(|| kind.clone()) else { return };
    let request =
        state.tasks.get(&subtask.task_list_id).and_then(|task| state.requests.get(&task.request_id));
    let project = request.and_then(|request| request.project_id);
    let session = session.map(str::to_owned).or_else(|| request.map(|request| request.session_id.clone()));
    let Some(session) = session else { return };
    // Two that share a kind and have no names are two agents all the same.
    let key = agent.unwrap_or_else(|| format!("subtask:{}", subtask.id));
    let task = subtask.description.as_deref().map(|text| shortened(text, TEXT_LIMIT)).unwrap_or_default();
    let result = subtask.result.as_ref().map(result_words);
    let progress = match &result {
        Some(result) if !result.is_empty() => format!("{task} ({}): {result}", subtask.status),
        _ => format!("{task} ({})", subtask.status),
    };
    let context = AgentContext {
        id: id_of(&session, &key),
        project_id: project,
        session_id: Some(session),
        subtask_id: Some(subtask.id),
        agent_id: name,
        agent_type: kind.unwrap_or_else(|| "agent".to_owned()),
        status: Some(subtask.status),
        role_context: JsonObject::from_value(json!({"task": task, "result": result})),
        skills_to_restore: Vec::new(),
        tools_used: Vec::new(),
        progress_summary: Some(progress),
        started_at: subtask.started_at,
        completed_at: subtask.completed_at,
        last_updated: at,
    };
    state.agent_contexts.put(context.id, context);
}
