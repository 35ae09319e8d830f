//! `/api/agent-contexts`, and what is saved before a compaction.

use serde_json::json;

use super::compact::status;
use super::expect::must;
use super::fixture::{Fixture, record};
use super::inputs::{self, object, restore};
use crate::api::Api;
use crate::api::actions::ActionRecord;
use crate::api::agent_contexts::{AgentContextList, AgentContextStats};
use crate::api::compact::{CompactSave, CompactSnapshot, Entries, SnapshotAnswer};
use crate::api::context::CompactRestore;
use crate::api::subtasks::{SubtaskCreate, SubtaskUpdate};
use crate::model::SubtaskStatus;

fn of_session(session: &str) -> AgentContextList {
    AgentContextList {
        project_id: None,
        session_id: Some(session.to_owned()),
        agent_id: None,
        agent_type: None,
        limit: None,
        offset: None,
    }
}

/// A piece of work gives its agent a context when it begins and when it ends; agents without a name are told apart.
pub async fn work_leaves_a_context(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let (agent, session) = (fixture.name("bot"), &tree.session_id);
    let begin = |agent: Option<&str>, text: &str| SubtaskCreate {
        description: text.to_owned(),
        agent_id: agent.map(str::to_owned),
        agent_type: Some("explorer".to_owned()),
        status: Some(SubtaskStatus::Running),
        ..inputs::subtask(tree.task.id)
    };
    let known: Vec<_> = must(api.execute(of_session(session)).await, "listing contexts").contexts;
    let own = must(api.execute(begin(Some(&agent), "Look around")).await, "creating work").subtask.subtask.id;
    for _ in 0..2 {
        must(api.execute(begin(None, "Look elsewhere")).await, "creating work of nobody in particular");
    }
    let page = must(api.execute(of_session(session)).await, "listing contexts");
    assert_eq!(page.count, known.len() + 3, "one for each agent: {page:?}");
    assert_eq!(page.total, i64::try_from(page.count).unwrap_or(0), "and all of them are here");

    let action =
        ActionRecord { subtask_id: Some(own), session_id: Some(session.clone()), ..inputs::action("Grep") };
    record(api, action).await;
    let end = SubtaskUpdate {
        status: Some(SubtaskStatus::Completed),
        result: Some(object(json!({"message": "Found it"}))),
        ..inputs::subtask_change(own)
    };
    must(api.execute(end).await, "ending the work");
    let of_agent = AgentContextList { agent_id: Some(agent.clone()), ..of_session(session) };
    let page = must(api.execute(of_agent).await, "listing the agent's contexts");
    let [context] = &page.contexts[..] else { panic!("an agent has one context in a session: {page:?}") };
    assert_eq!(context.status, Some(SubtaskStatus::Completed), "it stands as its work stands");
    assert_eq!(context.tools_used, ["Grep"], "the tools it used");
    assert_eq!(
        (context.agent_type.as_str(), context.project_id),
        ("explorer", Some(tree.project.id)),
        "who it is"
    );
    let progress = context.progress_summary.as_deref().unwrap_or("");
    assert!(progress.contains("Look around") && progress.contains("Found it"), "what came of it: {progress}");
    assert!(context.completed_at.is_some() && context.started_at.is_some(), "from when to when");

    let stats = must(api.execute(AgentContextStats {}).await, "contexts in numbers");
    assert!(stats.total >= 3 && stats.by_status.get("completed") >= Some(&1), "they are counted: {stats:?}");
}

async fn snapshot(api: &impl Api, session: &str) -> SnapshotAnswer {
    let input = CompactSnapshot { session_id: session.to_owned(), agent_id: None };
    must(api.execute(input).await, "reading what was saved")
}

fn save(session: &str) -> CompactSave {
    CompactSave {
        session_id: session.to_owned(),
        agent_id: None,
        trigger: Some("auto".to_owned()),
        context_summary: None,
        active_tasks: None,
        modified_files: None,
        key_decisions: None,
        agent_states: None,
        wave_state: None,
    }
}

/// What is saved is kept with its history, is no compaction itself, and comes back with the next brief.
pub async fn what_is_saved_comes_back(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let (session, word) = (&tree.session_id, fixture.word());
    let nothing = snapshot(api, session).await;
    assert!(!nothing.exists && nothing.snapshot.is_none() && nothing.history.is_empty(), "nothing was saved");

    let edit = ActionRecord {
        file_paths: Some(vec![format!("/src/{word}.rs")]),
        session_id: Some(session.clone()),
        ..inputs::action("Edit")
    };
    record(api, edit).await;
    let first = must(api.execute(save(session)).await, "saving").snapshot;
    let input = CompactSave {
        context_summary: Some("We came far".to_owned()),
        key_decisions: Some(Entries(vec![json!(format!("Use {word}"))])),
        ..save(session)
    };
    let second = must(api.execute(input).await, "saving again").snapshot;
    let saved = snapshot(api, session).await;
    assert_eq!((saved.exists, saved.saved_at), (true, Some(second.saved_at)), "the newest counts");
    assert_eq!(saved.summary.as_deref(), Some("We came far"), "its summary");
    assert_eq!(saved.modified_files, [format!("/src/{word}.rs")], "the files are those that were recorded");
    let history: Vec<_> = saved.history.iter().map(|entry| (entry.id, entry.is_snapshot)).collect();
    assert_eq!(history, [(second.id, true), (first.id, true)], "the history is kept");
    assert!(!status(api, session).await.compacted, "saving is no compaction");

    let input = CompactRestore { max_tokens: Some(600), ..restore(session, &fixture.name("bot")) };
    let brief = must(api.execute(input).await, "restoring").brief;
    assert!(brief.contains(&format!("Use {word}")), "what was decided comes back: {brief}");
    assert!(brief.contains(&format!("{word}.rs")), "so does what was changed: {brief}");
    assert!(status(api, session).await.compacted, "now it was compacted");
    assert_eq!(snapshot(api, session).await.history.len(), 3, "the compaction is in the history");
}

/// Whoever saves once more, as a hook does just before the compaction, does not take back what was said before of the same
/// context; after the compaction it is over.
pub async fn a_later_save_keeps_what_was_said(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let (session, word) = (&tree.session_id, fixture.word());
    let file = format!("/src/{word}.rs");
    let said = CompactSave {
        key_decisions: Some(Entries(vec![json!(format!("Use {word}"))])),
        active_tasks: Some(Entries(vec![json!(format!("Port {word}"))])),
        modified_files: Some(vec![file.clone()]),
        wave_state: Some(object(json!({"wave": 2}))),
        ..save(session)
    };
    must(api.execute(said).await, "saving");
    must(api.execute(save(session)).await, "saving without a word");
    let kept = snapshot(api, session).await;
    let snapshot_of = |answer: &SnapshotAnswer| answer.snapshot.as_ref().map(crate::JsonObject::to_map);
    let kept = snapshot_of(&kept).unwrap_or_default();
    assert_eq!(kept.get("key_decisions"), Some(&json!([format!("Use {word}")])), "{kept:?}");
    assert_eq!(kept.get("wave_state"), Some(&json!({"wave": 2})), "{kept:?}");
    assert_eq!(kept.get("modified_files"), Some(&json!([file])), "{kept:?}");
    assert_eq!(kept["active_tasks"][0], json!(format!("Port {word}")), "{kept:?}");

    let other = CompactSave { key_decisions: Some(Entries(vec![json!("Another")])), ..save(session) };
    must(api.execute(other).await, "saving other decisions");
    let kept = snapshot_of(&snapshot(api, session).await).unwrap_or_default();
    assert_eq!(kept.get("key_decisions"), Some(&json!(["Another"])), "what is said now counts: {kept:?}");
    let input = CompactRestore { max_tokens: Some(600), ..restore(session, &fixture.name("bot")) };
    must(api.execute(input).await, "restoring");
    must(api.execute(save(session)).await, "saving after the compaction");
    let kept = snapshot_of(&snapshot(api, session).await).unwrap_or_default();
    assert_eq!(kept.get("key_decisions"), Some(&json!([])), "that context is over: {kept:?}");
}
