//! `/api/sessions`

use serde_json::json;

use super::expect::{invalid, invalid_with, must, not_found, refused, same_order, unknown_reference};
use super::fixture::{Fixture, record, request_now, session_now};
use super::inputs;
use crate::api::Api;
use crate::api::actions::ActionRecord;
use crate::api::requests::RequestCreate;
use crate::api::sessions::{
    SessionCreate, SessionDelete, SessionGet, SessionList, SessionStats, SessionUpdate,
};
use crate::error::ErrorKind;
use crate::model::{PromptType, SubtaskStatus};

/// A session has no project, no end and no counts unless it is said otherwise.
pub async fn create_has_plain_defaults(api: &impl Api) {
    let fixture = Fixture::new();
    let id = fixture.name("a/b c%20ü");
    let session = must(api.execute(inputs::session(&id)).await, "creating a session");
    assert_eq!((&session.id, session.project_id, session.ended_at), (&id, None, None), "the defaults");
    assert_eq!(
        (session.total_tools_used, session.total_success, session.total_errors),
        (0, 0, 0),
        "nothing was counted yet"
    );
    let stored = session_now(api, &id).await;
    assert_eq!(
        (stored.session.id, stored.session.started_at),
        (id, session.started_at),
        "it is found by its id"
    );
    assert!(stored.requests.is_empty(), "no request was given in it");
}

/// Every given field is stored as it was given.
pub async fn create_keeps_every_field(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "sessions").await.id;
    let started_at = Fixture::recently();
    let input = SessionCreate {
        id: fixture.name("full"),
        project_id: Some(project),
        started_at: Some(started_at),
        ended_at: Some(started_at.plus_millis(1234)),
        total_tools_used: Some(30),
        total_success: Some(20),
        total_errors: Some(i32::MAX),
    };
    must(api.execute(input.clone()).await, "creating a session with every field");
    let stored = session_now(api, &input.id).await.session;
    assert_eq!(stored.project_id, input.project_id, "the project");
    assert_eq!(
        (Some(stored.started_at), stored.ended_at),
        (input.started_at, input.ended_at),
        "begin and end"
    );
    assert_eq!(
        (stored.total_tools_used, stored.total_success, stored.total_errors),
        (30, 20, i32::MAX),
        "the counters"
    );
}

/// A second creation is a 409 that names the session, and changes nothing.
pub async fn duplicates_are_a_conflict(api: &impl Api) {
    let fixture = Fixture::new();
    let id = fixture.name("twice");
    must(api.execute(inputs::session(&id)).await, "creating a session");
    let again = SessionCreate { total_tools_used: Some(99), ..inputs::session(&id) };
    let error = refused(api.execute(again).await, ErrorKind::Conflict, "creating it again");
    assert_eq!(error.message(), "Session already exists", "the message of the 409");
    assert_eq!(error.to_body()["id"], json!(id), "the body of the 409 names the session");
    assert_eq!(session_now(api, &id).await.session.total_tools_used, 0, "the session is as it was");
}

/// A session that DCM made because an action named it can be created once.
pub async fn automatic_sessions_can_be_created_once(api: &impl Api) {
    let fixture = Fixture::new();
    let (id, project) = (fixture.name("automatic"), fixture.project(api, "late").await.id);
    record(api, ActionRecord { session_id: Some(id.clone()), ..inputs::action("Bash") }).await;
    let input = || SessionCreate { project_id: Some(project), ..inputs::session(&id) };
    let session = must(api.execute(input()).await, "creating a session that an action had named");
    assert_eq!((session.id, session.project_id), (id.clone(), Some(project)), "what was given is taken");
    let error = refused(api.execute(input()).await, ErrorKind::Conflict, "creating it once more");
    assert_eq!(error.to_body()["id"], json!(id), "the body of the 409 names the session");
    assert_eq!(session_now(api, &id).await.session.project_id, Some(project), "the session is stored");
}

/// An action that names only its subtask is one of the session that the subtask belongs to, and counts there.
pub async fn actions_of_subtasks_count_in_their_session(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "counted").await.id;
    let id = fixture.name("counted");
    must(api.execute(inputs::session(&id)).await, "creating a session");
    let request = fixture.request(api, project, &id).await;
    let task = fixture.task(api, request.id).await;
    let subtask = fixture.subtask(api, task.id, SubtaskStatus::Running).await;
    for exit_code in [0, 1, 0] {
        let action = ActionRecord {
            subtask_id: Some(subtask.id),
            exit_code: Some(exit_code),
            ..inputs::action("Bash")
        };
        record(api, action).await;
    }
    let session = session_now(api, &id).await.session;
    let counted = (session.total_tools_used, session.total_success, session.total_errors);
    assert_eq!(counted, (3, 2, 1), "every action that is listed under the session counts in it");
}

/// A project that is named must exist.
pub async fn unknown_project_is_refused(api: &impl Api) {
    let fixture = Fixture::new();
    let (id, project) = (fixture.name("lost"), fixture.unknown());
    let input = SessionCreate { project_id: Some(project), ..inputs::session(&id) };
    unknown_reference(api.execute(input).await, "project");
    not_found(api.execute(SessionGet { id }).await, "Session not found");
}

/// Filters combine, the total honours all of them, the latest begun comes first.
pub async fn list_filters_and_counts(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "list").await.id;
    let begin = Fixture::recently();
    let names: Vec<_> = (0..4).map(|n| fixture.name(&format!("s{n}"))).collect();
    for (name, seconds, ended) in [(0, 0, false), (1, 3, true), (2, 2, false), (3, 1, true)] {
        let input = SessionCreate {
            project_id: Some(project),
            started_at: Some(begin.plus_millis(seconds * 1000)),
            ended_at: ended.then(|| begin.plus_millis(9000)),
            ..inputs::session(&names[name])
        };
        must(api.execute(input).await, "creating a session");
    }
    let list = |active_only: Option<&str>, limit, offset| SessionList {
        project_id: Some(project),
        active_only: active_only.map(str::to_owned),
        limit,
        offset,
    };
    for (input, expected, total) in [
        (list(None, None, None), vec![1, 2, 3, 0], 4),
        (list(Some("true"), None, None), vec![2, 0], 2),
        (list(Some("false"), None, None), vec![1, 2, 3, 0], 4),
        (list(None, Some(2), Some(1)), vec![2, 3], 4),
        (list(Some("true"), Some(1), Some(1)), vec![0], 2),
        (list(None, Some(0), None), vec![], 4),
    ] {
        let what = format!("{input:?}");
        let page = must(api.execute(input).await, &what);
        let found: Vec<_> = page.sessions.iter().map(|session| &session.id).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| &names[index]).collect();
        same_order(&found, &expected, &what);
        assert_eq!(page.total, total, "the total of {what}");
    }
    let page = must(api.execute(list(None, None, None)).await, "listing without a limit");
    assert_eq!((page.limit, page.offset), (50, 0), "the defaults");
    let page = must(api.execute(list(None, Some(1001), None)).await, "a huge limit");
    assert_eq!(page.limit, 1000, "the limit is clamped to 1000");
    let page = must(api.execute(SessionList { limit: Some(1), ..inputs::sessions() }).await, "all sessions");
    assert!(page.total >= 4 && page.sessions.len() == 1, "without filters every session counts");
}

/// The detail holds the newest twenty requests, newest first.
pub async fn detail_holds_newest_requests(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "detail").await.id;
    let id = fixture.name("session");
    must(api.execute(inputs::session(&id)).await, "creating a session");
    let mut expected = Vec::new();
    for n in 0..22 {
        let input = RequestCreate {
            prompt: format!("Prompt {n}"),
            prompt_type: Some(PromptType::Review),
            ..inputs::request(project, &id)
        };
        expected.insert(0, must(api.execute(input).await, "creating a request").request.id);
    }
    expected.truncate(20);
    let detail = session_now(api, &id).await;
    let found: Vec<_> = detail.requests.iter().map(|request| request.id).collect();
    same_order(&found, &expected, "the newest twenty requests");
    let newest = &detail.requests[0];
    assert_eq!(
        (&*newest.prompt, newest.prompt_type),
        ("Prompt 21", Some(PromptType::Review)),
        "what they hold"
    );
}

/// A change replaces counters and end, and leaves the rest.
pub async fn update_replaces_counters(api: &impl Api) {
    let fixture = Fixture::new();
    let id = fixture.name("update");
    let created = SessionCreate {
        total_tools_used: Some(10),
        total_success: Some(8),
        total_errors: Some(2),
        ..inputs::session(&id)
    };
    let created = must(api.execute(created).await, "creating a session");
    let change =
        SessionUpdate { total_tools_used: Some(4), total_success: Some(0), ..inputs::session_change(&id) };
    let session = must(api.execute(change).await, "changing counters");
    assert_eq!(
        (session.total_tools_used, session.total_success, session.total_errors),
        (4, 0, 2),
        "counters are replaced, not added; what is not given stays"
    );
    assert_eq!((session.ended_at, session.started_at), (None, created.started_at), "its times stay");
    let ended_at = Some(Fixture::recently().plus_millis(20_000));
    let change = SessionUpdate { ended_at, ..inputs::session_change(&id) };
    let session = must(api.execute(change).await, "ending it");
    assert_eq!((session.ended_at, session.total_tools_used), (ended_at, 4), "the end alone changes");
    assert_eq!(session_now(api, &id).await.session.ended_at, ended_at, "and is stored");
}

/// A change without any field is a 400, but one of an unknown session is a 404 first.
pub async fn update_needs_a_session_and_a_field(api: &impl Api) {
    let fixture = Fixture::new();
    let id = fixture.name("known");
    not_found(api.execute(inputs::session_change(&id)).await, "Session not found");
    must(api.execute(inputs::session(&id)).await, "creating a session");
    invalid_with(api.execute(inputs::session_change(&id)).await, "No fields to update");
    let unknown = fixture.name("unknown");
    let change = SessionUpdate { total_errors: Some(1), ..inputs::session_change(&unknown) };
    not_found(api.execute(change).await, "Session not found");
    not_found(api.execute(SessionGet { id: unknown }).await, "Session not found");
}

/// Removing a session leaves its requests.
pub async fn delete_leaves_requests(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let id = fixture.name("gone");
    must(api.execute(inputs::session(&id)).await, "creating a session");
    let request = fixture.request(api, tree.project.id, &id).await;
    must(api.execute(SessionDelete { id: id.clone() }).await, "deleting a session");
    not_found(api.execute(SessionGet { id: id.clone() }).await, "Session not found");
    not_found(api.execute(SessionDelete { id: id.clone() }).await, "Session not found");
    assert_eq!(request_now(api, request.id).await.session_id, id, "its request stays");
}

/// The numbers are numbers, and the projects with the most sessions come first.
pub async fn stats_are_consistent(api: &impl Api) {
    let fixture = Fixture::new();
    let input = SessionCreate {
        total_tools_used: Some(5),
        total_success: Some(3),
        total_errors: Some(2),
        ..inputs::session(&fixture.name("counted"))
    };
    must(api.execute(input).await, "creating a session");
    let report = must(api.execute(SessionStats {}).await, "sessions in numbers");
    let all = &report.overview;
    assert!(all.total_sessions >= 1 && all.active_sessions >= 1, "the open session is counted: {all:?}");
    assert!(all.active_sessions <= all.total_sessions, "an active session is a session: {all:?}");
    assert!(
        all.total_tools >= 5 && all.total_success >= 3 && all.total_errors >= 2,
        "counters are summed: {all:?}"
    );
    assert!(all.avg_tools_per_session > 0.0, "the mean number of tools: {all:?}");
    assert!(
        all.oldest_session.is_some() && all.oldest_session <= all.newest_session,
        "oldest and newest: {all:?}"
    );
    let projects = &report.by_project;
    assert!((1..=10).contains(&projects.len()), "at most ten projects");
    assert!(projects.is_sorted_by(|a, b| a.session_count >= b.session_count), "most sessions first");
}

/// Empty, overlong and negative values are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let id = fixture.name("bad");
    let error = invalid(api.execute(inputs::session("")).await, "id");
    assert_eq!(error.message(), "Validation failed", "the summary of a bad session");
    invalid(api.execute(inputs::session(&"s".repeat(256))).await, "id");
    invalid(api.execute(inputs::session(&format!("{id}\0"))).await, "id");
    let negative = || SessionCreate { total_tools_used: Some(-1), ..inputs::session(&id) };
    invalid(api.execute(negative()).await, "total_tools_used");
    invalid(
        api.execute(SessionCreate { total_success: Some(-1), ..inputs::session(&id) }).await,
        "total_success",
    );
    let two = SessionCreate { total_errors: Some(i32::MIN), ..negative() };
    let error = invalid(api.execute(two).await, "total_errors");
    assert!(
        error.details().is_some_and(|details| details.contains_key("total_tools_used")),
        "every bad field is named at once: `{error}`"
    );
    not_found(api.execute(SessionGet { id: id.clone() }).await, "Session not found");
    must(api.execute(inputs::session(&id)).await, "creating a session");
    let change = SessionUpdate { total_errors: Some(-5), ..inputs::session_change(&id) };
    invalid(api.execute(change).await, "total_errors");
}
