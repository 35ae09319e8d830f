//! `/api/projects`

use futures_util::future::join_all;
use serde_json::json;

use super::expect::{invalid, must, not_found, place, same_order};
use super::fixture::{Fixture, project_now, record, session_now};
use super::inputs::{self, object};
use crate::api::Api;
use crate::api::actions::{ActionList, ActionRecord};
use crate::api::messages::MessageSend;
use crate::api::projects::{ProjectByPath, ProjectDelete, ProjectGet, ProjectList, ProjectUpsert};
use crate::api::requests::RequestGet;
use crate::api::sessions::SessionCreate;
use crate::api::subtasks::SubtaskGet;
use crate::api::tasks::TaskGet;
use crate::model::SubtaskStatus;

/// A second upsert of a path keeps the id, keeps the name when none is given and merges the metadata.
pub async fn upsert_keeps_what_is_not_given(api: &impl Api) {
    let fixture = Fixture::new();
    let path = fixture.path("upsert");
    let first = ProjectUpsert {
        name: Some("First".to_owned()),
        metadata: Some(object(json!({"a": {"x": 1}, "b": 2}))),
        ..inputs::project(&path)
    };
    let first = must(api.execute(first).await, "the first upsert");
    assert!(first.success, "an upsert says success");
    assert_eq!(first.project.path, path, "the path is kept as it was given");
    assert_eq!(first.project.name.as_deref(), Some("First"), "the name is kept as it was given");

    let second =
        ProjectUpsert { metadata: Some(object(json!({"a": {"y": 1}, "c": null}))), ..inputs::project(&path) };
    let second = must(api.execute(second).await, "the second upsert").project;
    assert_eq!(second.id, first.project.id, "the path decides which project it is");
    assert_eq!(second.name.as_deref(), Some("First"), "a name that is not given is kept");
    assert_eq!(
        second.metadata,
        object(json!({"a": {"y": 1}, "b": 2, "c": null})),
        "metadata is merged shallowly and new keys win"
    );
    assert_eq!(second.created_at, first.project.created_at, "an upsert does not move created_at");
    assert!(second.updated_at >= first.project.updated_at, "an upsert moves updated_at");

    let third = ProjectUpsert { name: Some("Third".to_owned()), ..inputs::project(&path) };
    let third = must(api.execute(third).await, "the third upsert").project;
    assert_eq!(third.name.as_deref(), Some("Third"), "a name that is given replaces the old one");
    assert_eq!(third.metadata, second.metadata, "metadata that is not given stays");
    assert_eq!(project_now(api, third.id).await.project.metadata, second.metadata, "the stored metadata");
}

/// Without name and metadata a project has a null name and an empty object.
pub async fn upsert_has_plain_defaults(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "plain").await;
    assert_eq!(project.name, None, "no name was given");
    assert_eq!(project.metadata, object(json!({})), "metadata is an empty object unless given");
}

/// Metadata comes back as the object that was sent.
pub async fn metadata_survives_unchanged(api: &impl Api) {
    let fixture = Fixture::new();
    let metadata = object(json!({
        "text": "naïve ☃ \"quoted\" \\ 🦀\n\t",
        "numbers": [0, -1, 2.5, 9_007_199_254_740_991_i64],
        "nested": {"list": [[], {}, null, true, false], "": "empty key"},
    }));
    let input = ProjectUpsert { metadata: Some(metadata.clone()), ..inputs::project(&fixture.path("json")) };
    let project = must(api.execute(input).await, "an upsert with rich metadata").project;
    assert_eq!(project.metadata, metadata, "the answer holds the object that was sent");
    assert_eq!(project_now(api, project.id).await.project.metadata, metadata, "so does the stored project");
}

/// Trailing slashes do not make another project; the root stays `/`.
pub async fn trailing_slashes_are_stripped(api: &impl Api) {
    let fixture = Fixture::new();
    let path = fixture.path("slashes");
    let plain = must(api.execute(inputs::project(&path)).await, "an upsert").project;
    let slashed =
        must(api.execute(inputs::project(&format!("{path}//"))).await, "an upsert with slashes").project;
    assert_eq!((slashed.id, slashed.path), (plain.id, path.clone()), "trailing slashes are stripped");
    let found = must(api.execute(ProjectByPath { path: format!("{path}/") }).await, "by path with a slash");
    assert_eq!(found.project.id, plain.id, "a look-up strips them too");

    let root = must(api.execute(inputs::project("/")).await, "an upsert of the root").project;
    assert_eq!(root.path, "/", "the root keeps its slash");
    let found = must(api.execute(ProjectByPath { path: "/".to_owned() }).await, "the root by path");
    assert_eq!(found.project.id, root.id, "the root is found by its slash");
}

/// Paths are text: spaces, percent signs and other scripts find the same project again.
pub async fn paths_are_taken_literally(api: &impl Api) {
    let fixture = Fixture::new();
    let path = fixture.path("a b/100%25 & ü?x=1#é");
    let project = must(api.execute(inputs::project(&path)).await, "an upsert of a difficult path").project;
    let found = must(api.execute(ProjectByPath { path: path.clone() }).await, "a difficult path").project;
    assert_eq!((found.id, found.path), (project.id, path), "a difficult path is found again");
}

/// The list shows the latest touched first and how many there are.
pub async fn list_is_latest_touched_first(api: &impl Api) {
    let fixture = Fixture::new();
    let [a, b, c] = [
        fixture.project(api, "a").await.id,
        fixture.project(api, "b").await.id,
        fixture.project(api, "c").await.id,
    ];
    let again = fixture.project(api, "a").await.id;
    assert_eq!(again, a, "the same path");
    let page = must(api.execute(inputs::projects()).await, "listing projects");
    assert_eq!(page.count, page.projects.len(), "count is the number of entries");
    assert!(page.total >= 3, "total counts every project");
    assert_eq!((page.limit, page.offset), (1000, 0), "the answer names the limit and offset it applied");
    let ids: Vec<_> = page.projects.iter().map(|project| project.id).collect();
    let order: Vec<_> = [a, c, b].iter().map(|id| place(&ids, id, "the newest projects")).collect();
    assert!(
        order.is_sorted(),
        "the latest touched project comes first, got places {order:?} for touched, newest, older"
    );
}

/// `limit` defaults to 100, is clamped to 1000, and 0 is an empty list.
pub async fn list_limits(api: &impl Api) {
    let fixture = Fixture::new();
    fixture.project(api, "one").await;
    let page = must(api.execute(ProjectList { limit: None, offset: None }).await, "listing without a limit");
    assert_eq!((page.limit, page.offset), (100, 0), "the defaults");
    assert!(page.count <= 100, "no more than the limit");
    let page = must(api.execute(ProjectList { limit: Some(0), offset: None }).await, "listing with limit 0");
    assert_eq!((page.count, page.projects.len(), page.limit), (0, 0, 0), "limit 0 is an empty list");
    assert!(page.total >= 1, "the total does not depend on the limit");
    let page = must(api.execute(ProjectList { limit: Some(5000), offset: None }).await, "a huge limit");
    assert_eq!(page.limit, 1000, "the limit is clamped to 1000");
    let beyond = ProjectList { limit: Some(10), offset: Some(u32::MAX) };
    let page = must(api.execute(beyond).await, "an offset beyond the end");
    assert!(page.projects.is_empty(), "beyond the end there is nothing");
}

/// The detail holds the newest 50 requests, newest first, and the project's numbers.
pub async fn detail_holds_newest_requests_and_numbers(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "detail").await;
    let session = fixture.name("detail-session");
    join_all((0..51).map(|_| fixture.request(api, project.id, &session))).await;
    let older = fixture.request(api, project.id, &session).await;
    let newest = fixture.request(api, project.id, &session).await;
    let task = fixture.task(api, newest.id).await;
    let busy = fixture.subtask(api, task.id, SubtaskStatus::Running).await;
    fixture.subtask(api, task.id, SubtaskStatus::Pending).await;
    for (exit_code, duration_ms) in [(0, Some(100)), (1, Some(300)), (0, None)] {
        let action = inputs::action("Bash");
        let exit_code = Some(exit_code);
        record(api, ActionRecord { exit_code, duration_ms, subtask_id: Some(busy.id), ..action }).await;
    }

    let detail = project_now(api, project.id).await;
    assert_eq!(detail.project.id, project.id, "the project itself");
    assert_eq!(detail.requests.len(), 50, "at most 50 requests");
    let first: Vec<_> = detail.requests.iter().take(2).map(|request| request.id).collect();
    same_order(&first, &[newest.id, older.id], "requests come newest first");
    let Some(stats) = detail.stats else { panic!("a project with requests has numbers") };
    assert_eq!((stats.project_id, &stats.path), (project.id, &project.path), "the numbers name the project");
    assert_eq!(
        (stats.total_requests, stats.total_subtasks, stats.total_actions, stats.successful_actions),
        (53, 2, 3, 2),
        "requests, subtasks, actions and successes are each counted once"
    );
    assert!(
        (stats.avg_duration_ms - 200.0).abs() < 0.01,
        "the mean of 100 and 300, got {}",
        stats.avg_duration_ms
    );
    assert!(stats.last_activity.is_some(), "the newest action is the last activity");
}

/// Removing a project removes everything below it and leaves its sessions, without a project.
pub async fn delete_cascades_and_frees_sessions(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let (project, session) = (tree.project.id, fixture.name("kept"));
    let created = SessionCreate { project_id: Some(project), ..inputs::session(&session) };
    must(api.execute(created).await, "a session in the project");
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await;
    let action = inputs::action("Bash");
    record(api, ActionRecord { subtask_id: Some(subtask.id), session_id: Some(session.clone()), ..action })
        .await;
    let reader = fixture.name("reader");
    let letter =
        MessageSend { project_id: Some(project), ..inputs::direct(&fixture.name("writer"), &reader) };
    must(api.execute(letter).await, "a message about the project");

    must(api.execute(ProjectDelete { id: project }).await, "deleting the project");
    not_found(api.execute(ProjectGet { id: project }).await, "Project not found");
    not_found(api.execute(ProjectByPath { path: tree.project.path }).await, "Project not found");
    not_found(api.execute(RequestGet { id: tree.request.id }).await, "Request not found");
    not_found(api.execute(TaskGet { id: tree.task.id }).await, "Task not found");
    not_found(api.execute(SubtaskGet { id: subtask.id }).await, "Subtask not found");
    let list = ActionList { session_id: Some(session.clone()), ..inputs::actions() };
    assert_eq!(must(api.execute(list).await, "listing actions").total, 0, "actions of its subtasks go too");
    let inbox = must(api.execute(inputs::own_inbox(&reader)).await, "reading the inbox");
    assert_eq!(inbox.count, 0, "messages about the project go too");
    let kept = session_now(api, &session).await.session;
    assert_eq!(kept.project_id, None, "its sessions stay, without a project");
    assert_eq!(kept.total_tools_used, 1, "and keep their counters");
    not_found(api.execute(ProjectDelete { id: project }).await, "Project not found");
}

/// What does not exist is a 404 that says so.
pub async fn unknown_projects_are_404(api: &impl Api) {
    let fixture = Fixture::new();
    not_found(api.execute(ProjectGet { id: fixture.unknown() }).await, "Project not found");
    not_found(api.execute(ProjectDelete { id: fixture.unknown() }).await, "Project not found");
    not_found(api.execute(ProjectByPath { path: fixture.path("nowhere") }).await, "Project not found");
}

/// Bad paths and names are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let error = invalid(api.execute(inputs::project("")).await, "path");
    assert_eq!(error.message(), "Validation failed", "the summary of a bad project");
    let long = format!("{}/{}", fixture.path("long"), "x".repeat(2048));
    invalid(api.execute(inputs::project(&long)).await, "path");
    invalid(api.execute(inputs::project(&format!("{}\0", fixture.path("nul")))).await, "path");
    let named = ProjectUpsert { name: Some("n".repeat(256)), ..inputs::project(&fixture.path("named")) };
    invalid(api.execute(named).await, "name");
    not_found(api.execute(ProjectByPath { path: fixture.path("named") }).await, "Project not found");

    let error = invalid(api.execute(ProjectByPath { path: String::new() }).await, "path");
    assert_eq!(error.message(), "Missing query parameter: path", "the summary of a missing path");
}
