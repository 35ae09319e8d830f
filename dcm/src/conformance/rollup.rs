//! How the end of a child ends its parent: subtask to task, task to request.

use super::expect::must;
use super::fixture::{Fixture, Tree, request_now, set_subtask, task_now};
use super::inputs;
use crate::api::Api;
use crate::api::requests::RequestUpdate;
use crate::api::tasks::TaskUpdate;
use crate::id::{RequestId, TaskId};
use crate::model::{RequestStatus, SubtaskStatus, Task, TaskStatus};

async fn set_task(api: &impl Api, id: TaskId, status: TaskStatus) -> Task {
    let change = TaskUpdate { status: Some(status), ..inputs::task_change(id) };
    must(api.execute(change).await, "changing the status of a task").task
}

async fn set_request(api: &impl Api, id: RequestId, status: RequestStatus) {
    let change = RequestUpdate { status: Some(status), ..inputs::request_change(id) };
    must(api.execute(change).await, "changing the status of a request");
}

/// Asserts how task and request of a tree stand, and that `completed_at` agrees.
async fn expect(api: &impl Api, tree: &Tree, task: TaskStatus, request: RequestStatus, when: &str) {
    let now = task_now(api, tree.task.id).await;
    assert_eq!(now.status, task, "the task {when}");
    assert_eq!(now.completed_at.is_some(), task.is_final(), "completed_at of the task {when}");
    let now = request_now(api, tree.request.id).await;
    assert_eq!(now.status, request, "the request {when}");
    assert_eq!(now.completed_at.is_some(), request.is_final(), "completed_at of the request {when}");
}

/// Asserts that neither task nor request of a tree has ended.
async fn expect_open(api: &impl Api, tree: &Tree, when: &str) {
    let task = task_now(api, tree.task.id).await;
    assert!(!task.status.is_final(), "the task is open {when}, but it is {}", task.status);
    assert_eq!(task.completed_at, None, "an open task has no completed_at {when}");
    let request = request_now(api, tree.request.id).await;
    assert_eq!(request.status, RequestStatus::Active, "the request is open {when}");
    assert_eq!(request.completed_at, None, "an open request has no completed_at {when}");
}

/// A parent completes when its last open child ends, on both levels.
pub async fn the_last_child_completes_its_parents(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let a = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let b = fixture.subtask(api, tree.task.id, SubtaskStatus::Pending).await.id;
    set_subtask(api, a, SubtaskStatus::Completed).await;
    expect_open(api, &tree, "while a subtask is pending").await;
    set_subtask(api, b, SubtaskStatus::Paused).await;
    expect_open(api, &tree, "while a subtask is paused").await;
    set_subtask(api, b, SubtaskStatus::Blocked).await;
    expect_open(api, &tree, "while a subtask is blocked").await;
    set_subtask(api, b, SubtaskStatus::Completed).await;
    expect(api, &tree, TaskStatus::Completed, RequestStatus::Completed, "when its last subtask ended").await;
}

/// A request waits for all of its tasks.
pub async fn a_request_waits_for_every_task(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let second = fixture.task(api, tree.request.id).await;
    let a = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let b = fixture.subtask(api, second.id, SubtaskStatus::Running).await.id;
    set_subtask(api, a, SubtaskStatus::Completed).await;
    let when = "when one of two tasks ended";
    expect(api, &tree, TaskStatus::Completed, RequestStatus::Active, when).await;
    set_subtask(api, b, SubtaskStatus::Completed).await;
    let when = "when both tasks ended";
    expect(api, &tree, TaskStatus::Completed, RequestStatus::Completed, when).await;
    assert_eq!(task_now(api, second.id).await.status, TaskStatus::Completed, "the other task {when}");
}

/// A failed child makes its parents fail, but only when the last one ends.
pub async fn a_failed_child_fails_its_parents(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let a = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let b = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    set_subtask(api, a, SubtaskStatus::Failed).await;
    expect_open(api, &tree, "while another subtask runs").await;
    set_subtask(api, b, SubtaskStatus::Completed).await;
    expect(api, &tree, TaskStatus::Failed, RequestStatus::Failed, "when one of its subtasks had failed")
        .await;
}

/// A failure that was mended is no failure.
pub async fn a_mended_failure_is_forgotten(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    set_subtask(api, subtask, SubtaskStatus::Failed).await;
    expect(api, &tree, TaskStatus::Failed, RequestStatus::Failed, "when its only subtask failed").await;
    set_subtask(api, subtask, SubtaskStatus::Running).await;
    set_subtask(api, subtask, SubtaskStatus::Completed).await;
    let when = "when the subtask was tried again and completed";
    expect(api, &tree, TaskStatus::Completed, RequestStatus::Completed, when).await;
}

/// Tasks without subtasks end by themselves and end their request.
pub async fn a_task_without_subtasks_ends_its_request(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let second = fixture.task(api, tree.request.id).await;
    set_task(api, tree.task.id, TaskStatus::Failed).await;
    let when = "when one of two tasks failed";
    expect(api, &tree, TaskStatus::Failed, RequestStatus::Active, when).await;
    set_task(api, second.id, TaskStatus::Completed).await;
    let when = "when the other task completed";
    expect(api, &tree, TaskStatus::Failed, RequestStatus::Failed, when).await;
}

/// A status that is set by hand stays until a child changes, and no longer.
pub async fn an_explicit_status_wins_until_a_child_changes(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    set_task(api, tree.task.id, TaskStatus::Completed).await;
    let now = task_now(api, tree.task.id).await;
    assert_eq!(now.status, TaskStatus::Completed, "a task may be completed by hand while a subtask runs");

    set_subtask(api, subtask, SubtaskStatus::Completed).await;
    expect(api, &tree, TaskStatus::Completed, RequestStatus::Completed, "when everything ended").await;
    set_task(api, tree.task.id, TaskStatus::Failed).await;
    assert_eq!(task_now(api, tree.task.id).await.status, TaskStatus::Failed, "a task may be failed by hand");
    set_request(api, tree.request.id, RequestStatus::Failed).await;
    assert_eq!(request_now(api, tree.request.id).await.status, RequestStatus::Failed, "and a request too");

    set_subtask(api, subtask, SubtaskStatus::Running).await;
    set_subtask(api, subtask, SubtaskStatus::Completed).await;
    let when = "when its subtask changed after the status was set by hand";
    expect(api, &tree, TaskStatus::Completed, RequestStatus::Completed, when).await;
}

/// A new child opens its parents again, on both levels.
pub async fn a_new_child_reopens_its_parents(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    for end in [SubtaskStatus::Completed, SubtaskStatus::Failed] {
        set_subtask(api, subtask, end).await;
        let now = task_now(api, tree.task.id).await;
        assert!(now.status.is_final(), "the task ended when its subtask was {end}");
        let another = fixture.subtask(api, tree.task.id, SubtaskStatus::Pending).await.id;
        expect_open(api, &tree, "when a new subtask was created").await;
        set_subtask(api, another, SubtaskStatus::Completed).await;
        assert!(task_now(api, tree.task.id).await.status.is_final(), "it ends again with the new subtask");
    }

    set_request(api, tree.request.id, RequestStatus::Completed).await;
    let task = fixture.task(api, tree.request.id).await;
    let request = request_now(api, tree.request.id).await;
    assert_eq!(request.status, RequestStatus::Active, "a new task opens its request again");
    assert_eq!(request.completed_at, None, "a request that is open again has not ended");
    assert_eq!(task.status, TaskStatus::Pending, "the new task is pending");
}

/// New work does not open a cancelled request again.
pub async fn a_cancelled_request_stays_cancelled(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    set_request(api, tree.request.id, RequestStatus::Cancelled).await;
    let cancelled = request_now(api, tree.request.id).await;
    let task = fixture.task(api, tree.request.id).await;
    fixture.subtask(api, task.id, SubtaskStatus::Running).await;
    fixture.subtask(api, tree.task.id, SubtaskStatus::Pending).await;
    let now = request_now(api, tree.request.id).await;
    assert_eq!(now.status, RequestStatus::Cancelled, "new work does not open a cancelled request");
    assert_eq!(now.completed_at, cancelled.completed_at, "nor does it move its end");
}
