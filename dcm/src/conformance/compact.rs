//! `/api/compact`

use serde_json::json;

use super::context::{check_sources, tokens};
use super::expect::{invalid, must};
use super::fixture::{Fixture, request_now};
use super::inputs::{self, context, object, restore};
use crate::api::Api;
use crate::api::context::{
    BriefFormat, CompactRestore, CompactRestored, CompactState, CompactStatus, ContextAnswer, ContextGet,
};
use crate::api::requests::RequestCreate;
use crate::api::subtasks::SubtaskCreate;
use crate::model::SubtaskStatus;
use crate::time::Timestamp;

/// What is known of a session's compaction.
#[derive(Debug, PartialEq)]
pub(super) struct Known {
    pub(super) exists: bool,
    pub(super) compacted: bool,
    pub(super) at: Option<Timestamp>,
    pub(super) summary: Option<String>,
    pub(super) agent: Option<String>,
}

/// The status of a session, whichever of its two shapes the answer has.
pub(super) async fn status(api: &impl Api, session: &str) -> Known {
    let input = CompactStatus { session_id: session.to_owned() };
    let (id, known) = match must(api.execute(input).await, "the status of a compaction") {
        CompactState::Known {
            session_id,
            exists,
            compacted,
            compacted_at,
            compact_summary,
            compact_agent,
        } => {
            let (at, summary, agent) = (compacted_at, compact_summary, compact_agent);
            (session_id, Known { exists, compacted, at, summary, agent })
        }
        CompactState::Unknown { session_id, exists, compacted } => {
            (session_id, Known { exists, compacted, at: None, summary: None, agent: None })
        }
    };
    assert_eq!(id, session, "whose status");
    known
}

async fn restored(api: &impl Api, input: CompactRestore) -> CompactRestored {
    let budget = i64::from(input.max_tokens.unwrap_or(2000));
    let answer = must(api.execute(input).await, "restoring a context");
    assert!(answer.success, "restoring says success");
    assert!(!answer.brief.trim().is_empty(), "a brief says something");
    let cost = tokens(&answer.brief);
    assert!(cost <= budget, "a restored brief of {cost} tokens, summary included, does not fit {budget}");
    check_sources(&answer.sources);
    answer
}

/// Restoring marks the session as compacted; the status tells when, by whom and with which summary.
pub async fn restore_marks_the_session(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let (agent, session, word) = (fixture.name("bot"), &tree.session_id, fixture.word());
    let second = RequestCreate {
        metadata: Some(object(json!({"kept": true}))),
        ..inputs::request(tree.project.id, session)
    };
    let second = must(api.execute(second).await, "creating a request").request;
    let before = status(api, session).await;
    assert_eq!(
        (before.exists, before.compacted, before.at),
        (true, false, None),
        "a session that was not compacted"
    );

    let summary = format!("We decided {word} ☃");
    let input = CompactRestore { compact_summary: Some(summary.clone()), ..restore(session, &agent) };
    let answer = restored(api, input).await;
    assert!(answer.session_compacted, "a session with requests is marked");
    assert!(answer.brief.contains(&word), "the summary is part of the brief");
    let after = status(api, session).await;
    assert!(after.exists && after.compacted && after.at.is_some(), "the status says so: {after:?}");
    assert_eq!((after.summary, after.agent), (Some(summary), Some(agent.clone())), "with summary and agent");
    for id in [tree.request.id, second.id] {
        let metadata = request_now(api, id).await.metadata;
        assert_eq!(
            metadata.get("compact_agent"),
            Some(json!(agent)),
            "every request of the session is marked"
        );
    }
    let metadata = request_now(api, second.id).await.metadata;
    assert_eq!(metadata.get("kept"), Some(json!(true)), "and keeps its own metadata");

    let answer = restored(api, restore(session, &agent)).await;
    assert!(answer.session_compacted, "a session can be compacted again");
    assert_eq!(status(api, session).await.summary, None, "the status is that of the latest restore");
}

/// A session that is not known is not marked, but a brief is given all the same.
pub async fn unknown_sessions_are_not_marked(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("unknown");
    let expected = Known { exists: false, compacted: false, at: None, summary: None, agent: None };
    assert_eq!(status(api, &session).await, expected, "nothing is known of it");
    let answer = restored(api, restore(&session, &fixture.name("bot"))).await;
    assert!(!answer.session_compacted, "there is nothing to mark");
    assert_eq!(status(api, &session).await, expected, "nothing is known of it still");
}

/// The summary counts into the budget.
pub async fn the_summary_is_part_of_the_budget(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let agent = fixture.name("bot");
    let word = fixture.word();
    let subtask = SubtaskCreate {
        description: format!("Build {word}"),
        agent_id: Some(agent.clone()),
        status: Some(SubtaskStatus::Running),
        ..inputs::subtask(tree.task.id)
    };
    must(api.execute(subtask).await, "creating a subtask");
    let huge = "Entscheidung 🦀 und noch eine.\n## Überschrift\n".repeat(3000);
    for max_tokens in [100, 250, 1000, 8000] {
        for summary in [&huge, "short", ""] {
            let input = CompactRestore {
                compact_summary: Some(summary.to_owned()),
                max_tokens: Some(max_tokens),
                ..restore(&tree.session_id, &agent)
            };
            let answer = restored(api, input).await;
            assert!(
                max_tokens < 1000 || answer.brief.contains(&word),
                "a summary does not displace the current task"
            );
        }
    }
}

/// DCM's own notice of a restore does not show in the next brief.
pub async fn notices_do_not_show_in_briefs(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let agent = fixture.name("bot");
    restored(api, restore(&tree.session_id, &agent)).await;
    let input = ContextGet { format: Some(BriefFormat::Raw), ..context(&agent, Some(&tree.session_id)) };
    let ContextAnswer::Raw { data, .. } = must(api.execute(input).await, "asking for raw data") else {
        panic!("format=raw answers data")
    };
    let notice = data.messages.iter().find(|message| message.topic.as_deref() == Some("context.generated"));
    assert!(notice.is_none(), "a notice of DCM is no message to act on: {notice:?}");
}

/// Missing names and budgets out of range are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let (session, agent) = (fixture.name("s"), fixture.name("bot"));
    let error = invalid(api.execute(restore("", &agent)).await, "session_id");
    assert_eq!(error.message(), "Validation failed", "the summary is exactly this");
    invalid(api.execute(restore(&session, "")).await, "agent_id");
    for max_tokens in [Some(99), Some(8001)] {
        let input = CompactRestore { max_tokens, ..restore(&session, &agent) };
        invalid(api.execute(input).await, "max_tokens");
    }
    invalid(api.execute(CompactStatus { session_id: "s".repeat(256) }).await, "session_id");
}
