//! `/api/tasks`

use super::expect::{invalid, invalid_with, must, not_found, place, refused, same_order};
use super::fixture::{Fixture, task_now};
use super::inputs;
use crate::api::Api;
use crate::api::subtasks::{SubtaskCreate, SubtaskGet};
use crate::api::tasks::{TaskCreate, TaskDelete, TaskGet, TaskList, TaskUpdate};
use crate::error::ErrorKind;
use crate::model::{SubtaskStatus, TaskStatus};

/// The first task is wave 0, the next one the highest plus one; explicit numbers may repeat.
pub async fn waves_count_up(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "waves").await;
    let request = fixture.request(api, project.id, &fixture.name("session")).await;
    for (given, expected) in
        [(None, 0), (None, 1), (None, 2), (Some(7), 7), (None, 8), (Some(7), 7), (Some(1), 1), (None, 9)]
    {
        let input = TaskCreate { wave_number: given, ..inputs::task(request.id) };
        let saved = must(api.execute(input).await, "creating a task");
        assert!(saved.success, "a creation says success");
        assert_eq!(saved.task.wave_number, expected, "the wave of a task that was created with {given:?}");
        assert_eq!(
            saved.task.name,
            Some(format!("Wave {expected}")),
            "a task without a name is called by its wave"
        );
    }
    let other = fixture.request(api, project.id, &fixture.name("session")).await;
    assert_eq!(fixture.task(api, other.id).await.wave_number, 0, "every request counts for itself");
}

/// After the highest wave that there can be no wave is given, rather than one twice.
pub async fn the_last_wave_has_none_after_it(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "last-wave").await;
    let request = fixture.request(api, project.id, &fixture.name("session")).await;
    let last = TaskCreate { wave_number: Some(i32::MAX), ..inputs::task(request.id) };
    must(api.execute(last.clone()).await, "creating a task in the last wave");
    let next = api.execute(inputs::task(request.id)).await;
    let error = refused(next, ErrorKind::Conflict, "a wave after the last");
    assert!(error.message().contains("wave_number"), "the error says what to give: `{error}`");
    must(api.execute(last).await, "an explicit wave may be given twice");
    let first = TaskCreate { wave_number: Some(0), ..inputs::task(request.id) };
    must(api.execute(first).await, "and any other wave");
}

/// A task is pending unless it is said otherwise, and is stored as it was answered.
pub async fn create_keeps_every_field(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    assert_eq!((tree.task.status, tree.task.completed_at), (TaskStatus::Pending, None), "the defaults");
    assert_eq!(tree.task.request_id, tree.request.id, "the request that was given");
    assert_eq!(task_now(api, tree.task.id).await, tree.task, "what is read is what was answered");
    for &status in TaskStatus::ALL {
        let name = format!("Welle {status} ☃");
        let input =
            TaskCreate { name: Some(name.clone()), status: Some(status), ..inputs::task(tree.request.id) };
        let id = must(api.execute(input).await, "creating a task in a status").task.id;
        let stored = task_now(api, id).await;
        assert_eq!((stored.name, stored.status), (Some(name), status), "what was given");
    }
}

/// Tasks of one request come by wave, filters combine, unknown words match nothing.
pub async fn list_by_request_and_status(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "list").await;
    let request = fixture.request(api, project.id, &fixture.name("session")).await;
    let mut ids = Vec::new();
    for (wave, status) in [(2, TaskStatus::Running), (0, TaskStatus::Pending), (1, TaskStatus::Running)] {
        let input = TaskCreate { wave_number: Some(wave), status: Some(status), ..inputs::task(request.id) };
        ids.push(must(api.execute(input).await, "creating a task").task.id);
    }
    let list = |status: Option<&str>, limit, offset| TaskList {
        request_id: Some(request.id),
        status: status.map(str::to_owned),
        limit,
        offset,
    };
    for (input, expected, what) in [
        (list(None, None, None), vec![ids[1], ids[2], ids[0]], "all, by wave"),
        (list(Some("running"), None, None), vec![ids[2], ids[0]], "running, by wave"),
        (list(Some("zzz"), None, None), vec![], "an unknown status"),
        (list(None, Some(1), Some(1)), vec![ids[2]], "one, after the first"),
        (list(None, Some(0), None), vec![], "limit 0"),
    ] {
        let page = must(api.execute(input).await, what);
        let found: Vec<_> = page.tasks.iter().map(|task| task.id).collect();
        same_order(&found, &expected, what);
        assert_eq!(page.count, found.len(), "count is the number of entries ({what})");
    }
    let page = must(api.execute(list(None, Some(9999), None)).await, "a huge limit");
    assert_eq!((page.limit, page.offset), (1000, 0), "the limit is clamped to 1000");
}

/// Without a request, tasks come newest first.
pub async fn list_is_newest_first_without_request(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let second = TaskCreate { wave_number: Some(0), ..inputs::task(tree.request.id) };
    let second = must(api.execute(second).await, "creating a task").task;
    let page = must(api.execute(TaskList { limit: Some(1000), ..inputs::tasks() }).await, "listing tasks");
    let ids: Vec<_> = page.tasks.iter().map(|task| task.id).collect();
    let (newer, older) =
        (place(&ids, &second.id, "the newer task"), place(&ids, &tree.task.id, "the older task"));
    assert!(newer < older, "the newest task comes first");
}

/// The detail holds the subtasks in the order of their creation.
pub async fn detail_holds_subtasks_in_order(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let mut expected = Vec::new();
    for n in 0..4 {
        let input = SubtaskCreate {
            description: format!("Step {n}"),
            agent_type: Some("developer".to_owned()),
            agent_id: Some(fixture.name("agent")),
            ..inputs::subtask(tree.task.id)
        };
        expected.push(must(api.execute(input).await, "creating a subtask").subtask.subtask.id);
    }
    let detail = must(api.execute(TaskGet { id: tree.task.id }).await, "reading a task").task;
    assert_eq!(detail.task.id, tree.task.id, "the task itself");
    let found: Vec<_> = detail.subtasks.iter().map(|subtask| subtask.id).collect();
    same_order(&found, &expected, "subtasks in the order of their creation");
    let first = &detail.subtasks[0];
    assert_eq!((first.task_list_id, first.task_id), (tree.task.id, tree.task.id), "both names of the task");
    assert_eq!(first.description.as_deref(), Some("Step 0"), "what is to be done");
    assert_eq!(first.agent_id, Some(fixture.name("agent")), "which agent does it");
}

/// A change applies every given field and keeps `completed_at` true.
pub async fn update_applies_every_field(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let id = tree.task.id;
    for &status in TaskStatus::ALL {
        let name = format!("Now {status}");
        let change = TaskUpdate { status: Some(status), name: Some(name.clone()), ..inputs::task_change(id) };
        let task = must(api.execute(change).await, "changing status and name").task;
        assert_eq!((task.status, task.name.as_ref()), (status, Some(&name)), "both fields are applied");
        assert_eq!(
            task.completed_at.is_some(),
            status.is_final(),
            "a task that is {status} has ended or not"
        );
        assert_eq!(task_now(api, id).await, task, "what is read is what was answered");
    }
    let change = TaskUpdate { status: Some(TaskStatus::Completed), ..inputs::task_change(id) };
    let done = must(api.execute(change).await, "completing it").task;
    let rename = TaskUpdate { name: Some("Renamed".to_owned()), ..inputs::task_change(id) };
    let renamed = must(api.execute(rename).await, "renaming it").task;
    assert_eq!(renamed.status, TaskStatus::Completed, "a new name does not change the status");
    assert_eq!(renamed.completed_at, done.completed_at, "nor the time it ended");
    let reopen = TaskUpdate { status: Some(TaskStatus::Running), ..inputs::task_change(id) };
    assert_eq!(
        must(api.execute(reopen).await, "opening it").task.completed_at,
        None,
        "an open task has not ended"
    );
}

/// What does not exist is a 404 that says so; a change without any field is a 400.
pub async fn unknown_tasks_are_404(api: &impl Api) {
    let fixture = Fixture::new();
    let request = fixture.unknown();
    not_found(api.execute(inputs::task(request)).await, &format!("Request not found: {request}"));
    not_found(api.execute(TaskGet { id: fixture.unknown() }).await, "Task not found");
    not_found(api.execute(TaskDelete { id: fixture.unknown() }).await, "Task not found");
    let change = TaskUpdate { status: Some(TaskStatus::Running), ..inputs::task_change(fixture.unknown()) };
    not_found(api.execute(change).await, "Task not found");
    let tree = fixture.tree(api).await;
    invalid_with(api.execute(inputs::task_change(tree.task.id)).await, "No update fields provided");
}

/// Removing a task removes its subtasks and leaves its siblings.
pub async fn delete_cascades(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let sibling = fixture.task(api, tree.request.id).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await;
    must(api.execute(TaskDelete { id: tree.task.id }).await, "deleting a task");
    not_found(api.execute(TaskGet { id: tree.task.id }).await, "Task not found");
    not_found(api.execute(SubtaskGet { id: subtask.id }).await, "Subtask not found");
    assert_eq!(task_now(api, sibling.id).await.id, sibling.id, "its sibling stays");
    not_found(api.execute(TaskDelete { id: tree.task.id }).await, "Task not found");
}

/// Negative waves and overlong names are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let wave = TaskCreate { wave_number: Some(-1), ..inputs::task(tree.request.id) };
    let error = invalid(api.execute(wave).await, "wave_number");
    assert_eq!(error.message(), "Validation failed: Invalid wave_number", "the summary names the field");
    let name = TaskCreate { name: Some("n".repeat(256)), ..inputs::task(tree.request.id) };
    invalid(api.execute(name).await, "name");
    let name = TaskCreate { name: Some("a\0b".to_owned()), ..inputs::task(tree.request.id) };
    invalid(api.execute(name).await, "name");
    let empty = TaskUpdate { name: Some(String::new()), ..inputs::task_change(tree.task.id) };
    invalid(api.execute(empty).await, "name");
    assert_eq!(task_now(api, tree.task.id).await, tree.task, "nothing of it was applied");
}
