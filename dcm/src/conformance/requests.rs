//! `/api/requests`

use serde_json::json;

use super::expect::{invalid, invalid_with, must, not_found, same_order};
use super::fixture::{Fixture, request_now};
use super::inputs::{self, object};
use crate::api::Api;
use crate::api::requests::{RequestCreate, RequestDelete, RequestGet, RequestList, RequestUpdate};
use crate::api::subtasks::SubtaskGet;
use crate::api::tasks::{TaskCreate, TaskGet};
use crate::id::RequestId;
use crate::model::{PromptType, RequestStatus, SubtaskStatus};

/// A request is active, untyped and without metadata unless it is said otherwise.
pub async fn create_has_plain_defaults(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "defaults").await;
    let session = fixture.name("session");
    let saved = must(api.execute(inputs::request(project.id, &session)).await, "creating a request");
    assert!(saved.success, "a creation says success");
    let request = saved.request;
    assert_eq!(request.project_id, Some(project.id), "the project that was given");
    assert_eq!((&request.session_id, &*request.prompt), (&session, "Please do it"), "what was given");
    assert_eq!((request.prompt_type, request.status), (None, RequestStatus::Active), "the defaults");
    assert_eq!(request.completed_at, None, "an active request has not ended");
    assert_eq!(request.metadata, object(json!({})), "metadata is an empty object unless given");
    assert_eq!(request_now(api, request.id).await, request, "what is read is what was answered");
}

/// Every given field is stored as it was given.
pub async fn create_keeps_every_field(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "fields").await;
    for &prompt_type in PromptType::ALL {
        let prompt = format!("naïve ☃ \"{prompt_type}\"\r\n🦀 \\u0000 stays text");
        let input = RequestCreate {
            prompt: prompt.clone(),
            prompt_type: Some(prompt_type),
            metadata: Some(object(json!({"source": {"kind": "hook"}}))),
            ..inputs::request(project.id, &fixture.name("session"))
        };
        let request = must(api.execute(input).await, "creating a request with every field").request;
        let stored = request_now(api, request.id).await;
        assert_eq!((&stored.prompt, stored.prompt_type), (&prompt, Some(prompt_type)), "prompt and type");
        assert_eq!(stored.metadata, object(json!({"source": {"kind": "hook"}})), "metadata");
    }
    for &status in RequestStatus::ALL {
        let input =
            RequestCreate { status: Some(status), ..inputs::request(project.id, &fixture.name("session")) };
        let request = must(api.execute(input).await, "creating a request in a status").request;
        assert_eq!(request_now(api, request.id).await.status, status, "the status that was given");
    }
}

/// A prompt may be long; nothing of it is lost.
pub async fn long_prompts_are_kept_whole(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "long").await;
    let prompt = "Überlange Aufgabe 🦀 ".repeat(10_000);
    let input =
        RequestCreate { prompt: prompt.clone(), ..inputs::request(project.id, &fixture.name("session")) };
    let request = must(api.execute(input).await, "creating a request with a long prompt").request;
    assert!(request_now(api, request.id).await.prompt == prompt, "a prompt of 240,000 bytes is kept whole");
}

/// A request needs its project.
pub async fn unknown_project_is_404(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.unknown();
    let result = api.execute(inputs::request(project, &fixture.name("session"))).await;
    not_found(result, &format!("Project not found: {project}"));
}

/// Filters combine: only what meets all of them is listed.
pub async fn filters_combine(api: &impl Api) {
    let fixture = Fixture::new();
    let (p, q) = (fixture.project(api, "p").await.id, fixture.project(api, "q").await.id);
    let (s, t) = (fixture.name("s"), fixture.name("t"));
    let mut ids: Vec<RequestId> = Vec::new();
    for (project, session, status) in [
        (p, &s, RequestStatus::Active),
        (p, &s, RequestStatus::Failed),
        (p, &t, RequestStatus::Failed),
        (q, &s, RequestStatus::Failed),
    ] {
        let input = RequestCreate { status: Some(status), ..inputs::request(project, session) };
        ids.push(must(api.execute(input).await, "creating a request").request.id);
    }
    let failed = || Some("failed".to_owned());
    let cases = [
        (RequestList { project_id: Some(p), ..inputs::requests() }, vec![2, 1, 0], "by project"),
        (RequestList { session_id: Some(s.clone()), ..inputs::requests() }, vec![3, 1, 0], "by session"),
        (
            RequestList { project_id: Some(p), status: failed(), ..inputs::requests() },
            vec![2, 1],
            "project and status",
        ),
        (
            RequestList { session_id: Some(s.clone()), status: failed(), ..inputs::requests() },
            vec![3, 1],
            "session and status",
        ),
        (
            RequestList {
                project_id: Some(p),
                session_id: Some(s.clone()),
                status: failed(),
                ..inputs::requests()
            },
            vec![1],
            "all three",
        ),
        (
            RequestList { project_id: Some(p), status: Some("zzz".to_owned()), ..inputs::requests() },
            vec![],
            "an unknown status matches nothing",
        ),
        (
            RequestList { project_id: Some(fixture.unknown()), ..inputs::requests() },
            vec![],
            "an unknown project matches nothing",
        ),
    ];
    for (filter, expected, what) in cases {
        let page = must(api.execute(filter).await, what);
        let found: Vec<_> = page.requests.iter().map(|request| request.id).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| ids[index]).collect();
        same_order(&found, &expected, &format!("requests {what}, newest first"));
        assert_eq!(page.count, found.len(), "count is the number of entries ({what})");
    }
}

/// Pages are cut from the newest on.
pub async fn list_pages(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "pages").await.id;
    let session = fixture.name("session");
    let mut ids: Vec<RequestId> = Vec::new();
    for _ in 0..5 {
        ids.insert(0, fixture.request(api, project, &session).await.id);
    }
    let page = |limit, offset| RequestList {
        session_id: Some(session.clone()),
        limit,
        offset,
        ..inputs::requests()
    };
    for (limit, offset, expected) in [
        (None, None, &ids[..]),
        (Some(2), None, &ids[..2]),
        (Some(2), Some(1), &ids[1..3]),
        (Some(10), Some(4), &ids[4..]),
        (Some(10), Some(5), &[]),
        (Some(0), None, &[]),
    ] {
        let answer = must(api.execute(page(limit, offset)).await, "listing requests by page");
        let found: Vec<_> = answer.requests.iter().map(|request| request.id).collect();
        same_order(&found, expected, &format!("limit {limit:?}, offset {offset:?}"));
        assert_eq!(
            (answer.limit, answer.offset),
            (limit.unwrap_or(100), offset.unwrap_or(0)),
            "the limit and offset that were applied"
        );
    }
    let answer = must(api.execute(page(Some(100_000), None)).await, "a huge limit");
    assert_eq!((answer.limit, answer.count), (1000, 5), "the limit is clamped to 1000");
}

/// The detail holds the tasks by wave, then by creation.
pub async fn detail_holds_tasks_by_wave(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "detail").await;
    let request = fixture.request(api, project.id, &fixture.name("session")).await;
    let mut created = Vec::new();
    for wave in [3, 1, 2, 1] {
        let input = TaskCreate { wave_number: Some(wave), ..inputs::task(request.id) };
        created.push(must(api.execute(input).await, "creating a task").task.id);
    }
    let detail = must(api.execute(RequestGet { id: request.id }).await, "reading a request").request;
    let found: Vec<_> = detail.tasks.iter().map(|task| task.id).collect();
    let expected = [created[1], created[3], created[2], created[0]];
    same_order(&found, &expected, "tasks by wave, equal waves by creation");
    assert!(detail.tasks.iter().all(|task| task.request_id == request.id), "only its own tasks");
}

/// A change applies every given field, merges metadata and keeps `completed_at` true.
pub async fn update_applies_every_field(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "update").await;
    let input = RequestCreate {
        metadata: Some(object(json!({"keep": 1, "replace": {"old": true}}))),
        ..inputs::request(project.id, &fixture.name("session"))
    };
    let id = must(api.execute(input).await, "creating a request").request.id;
    for status in [RequestStatus::Completed, RequestStatus::Failed, RequestStatus::Cancelled] {
        let change = RequestUpdate {
            status: Some(status),
            metadata: Some(object(json!({"replace": {"new": status.as_str()}}))),
            ..inputs::request_change(id)
        };
        let saved = must(api.execute(change).await, "changing status and metadata");
        assert!(saved.success, "a change says success");
        assert_eq!(saved.request.status, status, "the new status");
        assert!(saved.request.completed_at.is_some(), "a request that is {status} has ended");
        assert_eq!(
            saved.request.metadata,
            object(json!({"keep": 1, "replace": {"new": status.as_str()}})),
            "metadata is merged shallowly"
        );
        assert_eq!(request_now(api, id).await, saved.request, "what is read is what was answered");

        let reopen = RequestUpdate { status: Some(RequestStatus::Active), ..inputs::request_change(id) };
        let request = must(api.execute(reopen).await, "opening it again").request;
        assert_eq!(
            (request.status, request.completed_at),
            (RequestStatus::Active, None),
            "a request that is opened again has not ended"
        );
    }
    let only_metadata =
        RequestUpdate { metadata: Some(object(json!({"more": 2}))), ..inputs::request_change(id) };
    let request = must(api.execute(only_metadata).await, "changing only the metadata").request;
    assert_eq!(request.status, RequestStatus::Active, "the status stays");
    assert_eq!(request.metadata.get("more"), Some(json!(2)), "the metadata is merged");
}

/// A change without any field is a 400; one of an unknown request a 404.
pub async fn update_needs_a_field_and_a_request(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "nothing").await;
    let request = fixture.request(api, project.id, &fixture.name("session")).await;
    invalid_with(api.execute(inputs::request_change(request.id)).await, "No update fields provided");
    let change =
        RequestUpdate { status: Some(RequestStatus::Completed), ..inputs::request_change(fixture.unknown()) };
    not_found(api.execute(change).await, "Request not found");
    not_found(api.execute(RequestGet { id: fixture.unknown() }).await, "Request not found");
    not_found(api.execute(RequestDelete { id: fixture.unknown() }).await, "Request not found");
}

/// Removing a request removes everything below it and nothing beside it.
pub async fn delete_cascades(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let sibling = fixture.request(api, tree.project.id, &tree.session_id).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Pending).await;
    must(api.execute(RequestDelete { id: tree.request.id }).await, "deleting a request");
    not_found(api.execute(RequestGet { id: tree.request.id }).await, "Request not found");
    not_found(api.execute(TaskGet { id: tree.task.id }).await, "Task not found");
    not_found(api.execute(SubtaskGet { id: subtask.id }).await, "Subtask not found");
    assert_eq!(request_now(api, sibling.id).await.id, sibling.id, "its sibling stays");
    not_found(api.execute(RequestDelete { id: tree.request.id }).await, "Request not found");
}

/// Empty, overlong and unstorable texts are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "bad").await.id;
    let session = fixture.name("session");
    let error = invalid(api.execute(inputs::request(project, "")).await, "session_id");
    assert_eq!(error.message(), "Validation failed: Invalid session_id", "the summary names the field");
    invalid(api.execute(inputs::request(project, &"s".repeat(256))).await, "session_id");
    let prompt =
        |prompt: &str| RequestCreate { prompt: prompt.to_owned(), ..inputs::request(project, &session) };
    invalid(api.execute(prompt("")).await, "prompt");
    invalid(api.execute(prompt("a\0b")).await, "prompt");
    let list = RequestList { session_id: Some(session.clone()), ..inputs::requests() };
    assert_eq!(must(api.execute(list).await, "listing").count, 0, "nothing of it was stored");
    must(api.execute(inputs::request(project, &"é".repeat(255))).await, "255 characters are not too many");
}
