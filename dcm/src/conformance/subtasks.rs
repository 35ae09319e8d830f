//! `/api/subtasks`

use serde_json::json;

use super::expect::{invalid, invalid_with, must, not_found, place, same_order};
use super::fixture::{Fixture, record, set_subtask, subtask_now};
use super::inputs::{self, object};
use crate::api::Api;
use crate::api::actions::{ActionList, ActionRecord};
use crate::api::subtasks::{SubtaskCreate, SubtaskDelete, SubtaskGet, SubtaskList, SubtaskUpdate};
use crate::model::SubtaskStatus;

const UNKNOWN_BLOCKER: &str = "One or more blocking subtask IDs not found";

/// A subtask is pending, unassigned and waits for nothing unless it is said otherwise.
pub async fn create_has_plain_defaults(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let saved = must(api.execute(inputs::subtask(tree.task.id)).await, "creating a subtask");
    assert!(saved.success, "a creation says success");
    assert_eq!(saved.subtask.task_id, tree.task.id, "task_id is the task");
    let subtask = saved.subtask.subtask;
    assert_eq!(subtask.task_list_id, tree.task.id, "task_list_id is the task too");
    assert_eq!(subtask.description.as_deref(), Some("A piece of work"), "what was given");
    assert_eq!(subtask.status, SubtaskStatus::Pending, "pending unless given");
    assert_eq!(subtask.blocked_by, Some(vec![]), "it waits for nothing: an empty list");
    assert_eq!((subtask.started_at, subtask.completed_at), (None, None), "it neither began nor ended");
    assert_eq!((&subtask.context_snapshot, &subtask.result), (&None, &None), "nothing is known of it");
    let stored = subtask_now(api, subtask.id).await;
    assert_eq!(stored.subtask.subtask, subtask, "what is read is what was answered");
    assert!(stored.actions.is_empty(), "it has no action yet");
}

/// Every given field is stored as it was given; one that is created running has started.
pub async fn create_keeps_every_field(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let blocker = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await;
    assert!(blocker.started_at.is_some(), "a subtask that is created running has started");
    for &status in SubtaskStatus::ALL {
        let input = SubtaskCreate {
            description: format!("Tue {status} ☃"),
            agent_type: Some("backend-laravel".to_owned()),
            agent_id: Some(fixture.name("agent")),
            status: Some(status),
            blocked_by: Some(vec![blocker.id, blocker.id]),
            context_snapshot: Some(object(json!({"files": ["a", "b"], "n": {"deep": null}}))),
            ..inputs::subtask(tree.task.id)
        };
        let id =
            must(api.execute(input.clone()).await, "creating a subtask with every field").subtask.subtask.id;
        let stored = subtask_now(api, id).await.subtask.subtask;
        assert_eq!(stored.description, Some(input.description), "description");
        assert_eq!((stored.agent_type, stored.agent_id), (input.agent_type, input.agent_id), "the agent");
        assert_eq!(stored.status, status, "the status that was given");
        assert_eq!(stored.context_snapshot, input.context_snapshot, "the snapshot is an object");
        let blockers = stored.blocked_by.unwrap_or_default();
        assert!(
            !blockers.is_empty() && blockers.iter().all(|one| *one == blocker.id),
            "naming a blocker twice is no error, got {blockers:?}"
        );
    }
}

/// Parents and blockers must exist.
pub async fn unknown_parents_and_blockers_are_refused(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let task = fixture.unknown();
    not_found(api.execute(inputs::subtask(task)).await, &format!("Task not found: {task}"));

    let known = fixture.subtask(api, tree.task.id, SubtaskStatus::Pending).await.id;
    let blocked_by = Some(vec![known, fixture.unknown()]);
    let input = SubtaskCreate { blocked_by: blocked_by.clone(), ..inputs::subtask(tree.task.id) };
    invalid_with(api.execute(input).await, UNKNOWN_BLOCKER);
    let change = SubtaskUpdate { blocked_by, ..inputs::subtask_change(known) };
    invalid_with(api.execute(change).await, UNKNOWN_BLOCKER);
    let list = SubtaskList { task_id: Some(tree.task.id), ..inputs::subtasks() };
    assert_eq!(must(api.execute(list).await, "listing").count, 1, "nothing of it was stored");
}

/// Filters combine; with a task the order is that of creation.
pub async fn filters_combine(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let other = fixture.task(api, tree.request.id).await;
    let (x, y) = (fixture.name("x"), fixture.name("y"));
    let (kind, kind2) = (fixture.name("kind"), fixture.name("other-kind"));
    let mut ids = Vec::new();
    for (task, agent, agent_type, status) in [
        (tree.task.id, &x, &kind, SubtaskStatus::Running),
        (tree.task.id, &y, &kind, SubtaskStatus::Pending),
        (tree.task.id, &x, &kind2, SubtaskStatus::Running),
        (other.id, &x, &kind, SubtaskStatus::Running),
    ] {
        let input = SubtaskCreate {
            agent_id: Some(agent.clone()),
            agent_type: Some(agent_type.clone()),
            status: Some(status),
            ..inputs::subtask(task)
        };
        ids.push(must(api.execute(input).await, "creating a subtask").subtask.subtask.id);
    }
    let all = inputs::subtasks;
    let running = || Some("running".to_owned());
    for (input, expected, what) in [
        (SubtaskList { task_id: Some(tree.task.id), ..all() }, vec![0, 1, 2], "of a task, by creation"),
        (SubtaskList { agent_type: Some(kind.clone()), ..all() }, vec![3, 1, 0], "of a type, newest first"),
        (SubtaskList { agent_id: Some(x.clone()), ..all() }, vec![3, 2, 0], "of an agent, newest first"),
        (
            SubtaskList { agent_type: Some(kind.clone()), status: running(), ..all() },
            vec![3, 0],
            "type and status",
        ),
        (
            SubtaskList { agent_type: Some(kind.clone()), agent_id: Some(y.clone()), ..all() },
            vec![1],
            "type and agent",
        ),
        (
            SubtaskList { task_id: Some(tree.task.id), agent_id: Some(x), status: running(), ..all() },
            vec![0, 2],
            "task, agent and status",
        ),
        (SubtaskList { agent_id: Some(y), status: running(), ..all() }, vec![], "agent and another status"),
        (
            SubtaskList { task_id: Some(tree.task.id), status: Some("zzz".to_owned()), ..all() },
            vec![],
            "an unknown status",
        ),
        (
            SubtaskList { task_id: Some(tree.task.id), limit: Some(1), offset: Some(1), ..all() },
            vec![1],
            "one, after the first",
        ),
        (SubtaskList { task_id: Some(tree.task.id), limit: Some(0), ..all() }, vec![], "limit 0"),
    ] {
        let page = must(api.execute(input).await, what);
        let found: Vec<_> = page.subtasks.iter().map(|view| view.subtask.id).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| ids[index]).collect();
        same_order(&found, &expected, &format!("subtasks: {what}"));
        assert_eq!(page.count, found.len(), "count is the number of entries ({what})");
        assert!(
            page.subtasks.iter().all(|view| view.task_id == view.subtask.task_list_id),
            "both names agree"
        );
    }
    let page = must(api.execute(SubtaskList { limit: Some(9999), ..all() }).await, "a huge limit");
    assert_eq!(page.limit, 1000, "the limit is clamped to 1000");
    let listed: Vec<_> = page.subtasks.iter().map(|view| view.subtask.id).collect();
    let (newer, older) = (place(&listed, &ids[3], "the newest"), place(&listed, &ids[0], "the oldest"));
    assert!(newer < older, "without a task the newest comes first");
}

/// One change applies status, result, agent and blockers alike.
pub async fn update_applies_every_field(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let blocker = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let id = fixture.subtask(api, tree.task.id, SubtaskStatus::Pending).await.id;
    for (n, &status) in SubtaskStatus::ALL.iter().enumerate() {
        let change = SubtaskUpdate {
            status: Some(status),
            result: Some(object(json!({"round": n}))),
            agent_id: Some(fixture.name(&format!("agent-{n}"))),
            blocked_by: Some(if n % 2 == 0 { vec![blocker] } else { vec![] }),
            ..inputs::subtask_change(id)
        };
        let saved = must(api.execute(change.clone()).await, "changing every field");
        assert!(saved.success, "a change says success");
        let subtask = saved.subtask.subtask;
        assert_eq!(subtask.status, status, "the status is applied");
        assert_eq!(subtask.result, change.result, "the result is applied with status {status}");
        assert_eq!(subtask.agent_id, change.agent_id, "the agent is applied with status {status}");
        assert_eq!(subtask.blocked_by, change.blocked_by, "the blockers are applied with status {status}");
        assert_eq!(subtask.completed_at.is_some(), status.is_final(), "{status}: it has ended or not");
        assert_eq!(subtask_now(api, id).await.subtask.subtask, subtask, "what is read is what was answered");
    }
}

/// A field that is not given stays: ending a subtask does not erase its result.
pub async fn update_keeps_what_is_not_given(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let input = SubtaskCreate {
        agent_id: Some(fixture.name("agent")),
        status: Some(SubtaskStatus::Running),
        ..inputs::subtask(tree.task.id)
    };
    let id = must(api.execute(input).await, "creating a subtask").subtask.subtask.id;
    let result = Some(object(json!({"files": ["a.rs"]})));
    let change = SubtaskUpdate { result: result.clone(), ..inputs::subtask_change(id) };
    let subtask = must(api.execute(change).await, "giving a result").subtask.subtask;
    assert_eq!(
        (subtask.status, &subtask.result),
        (SubtaskStatus::Running, &result),
        "the result alone changes"
    );
    for status in [SubtaskStatus::Completed, SubtaskStatus::Running, SubtaskStatus::Failed] {
        let subtask = set_subtask(api, id, status).await;
        assert_eq!(subtask.result, result, "the result stays when the subtask becomes {status}");
        assert_eq!(subtask.agent_id, Some(fixture.name("agent")), "so does the agent");
    }
    let newer = SubtaskUpdate { result: Some(object(json!({"other": 1}))), ..inputs::subtask_change(id) };
    let subtask = must(api.execute(newer).await, "giving another result").subtask.subtask;
    assert_eq!(subtask.result, Some(object(json!({"other": 1}))), "a new result replaces the old one");
}

/// `started_at` is the first start; `completed_at` goes when the subtask is opened again.
pub async fn times_follow_the_status(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let id = fixture.subtask(api, tree.task.id, SubtaskStatus::Pending).await.id;
    let running = set_subtask(api, id, SubtaskStatus::Running).await;
    assert!(running.started_at.is_some(), "a running subtask has started");
    let done = set_subtask(api, id, SubtaskStatus::Completed).await;
    assert_eq!(done.started_at, running.started_at, "its end does not move its start");
    assert!(done.completed_at >= done.started_at, "it ended after it had started");
    for open in
        [SubtaskStatus::Pending, SubtaskStatus::Paused, SubtaskStatus::Blocked, SubtaskStatus::Running]
    {
        let reopened = set_subtask(api, id, open).await;
        assert_eq!(reopened.completed_at, None, "a subtask that is {open} has not ended");
        assert_eq!(reopened.started_at, running.started_at, "it started when it first ran");
        let failed = set_subtask(api, id, SubtaskStatus::Failed).await;
        assert!(failed.completed_at.is_some(), "a failed subtask has ended");
    }
}

/// A change needs a field; an empty agent id is none, an empty list of blockers is one.
pub async fn update_needs_a_field(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let blocker = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let input = SubtaskCreate { blocked_by: Some(vec![blocker]), ..inputs::subtask(tree.task.id) };
    let id = must(api.execute(input).await, "creating a blocked subtask").subtask.subtask.id;
    invalid_with(api.execute(inputs::subtask_change(id)).await, "No update fields provided");
    let empty = SubtaskUpdate { agent_id: Some(String::new()), ..inputs::subtask_change(id) };
    invalid_with(api.execute(empty).await, "No update fields provided");
    let unblock = SubtaskUpdate { blocked_by: Some(vec![]), ..inputs::subtask_change(id) };
    let subtask = must(api.execute(unblock).await, "clearing the blockers").subtask.subtask;
    assert_eq!(subtask.blocked_by, Some(vec![]), "an empty list clears the blockers");
}

/// The detail holds the actions in the order in which they were made.
pub async fn detail_holds_actions_in_order(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let mut expected = Vec::new();
    for exit_code in [0, 1, 0] {
        let input = ActionRecord {
            exit_code: Some(exit_code),
            subtask_id: Some(subtask),
            session_id: Some(tree.session_id.clone()),
            ..inputs::action("Bash")
        };
        expected.push(record(api, input).await.id);
    }
    let detail = subtask_now(api, subtask).await;
    let found: Vec<_> = detail.actions.iter().map(|action| action.id).collect();
    same_order(&found, &expected, "actions in the order in which they were made");
    let outcome: Vec<_> = detail.actions.iter().map(|action| (action.exit_code, action.success)).collect();
    same_order(&outcome, &[(0, true), (1, false), (0, true)], "exit code 0 is success");
    assert!(detail.actions.iter().all(|action| action.subtask_id == Some(subtask)), "only its own actions");
}

/// Removing a subtask removes its actions and leaves its siblings.
pub async fn delete_removes_its_actions(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let [gone, kept] = [
        fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id,
        fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id,
    ];
    for subtask in [gone, kept] {
        let session_id = Some(tree.session_id.clone());
        record(api, ActionRecord { subtask_id: Some(subtask), session_id, ..inputs::action("Bash") }).await;
    }
    must(api.execute(SubtaskDelete { id: gone }).await, "deleting a subtask");
    not_found(api.execute(SubtaskGet { id: gone }).await, "Subtask not found");
    not_found(api.execute(SubtaskDelete { id: gone }).await, "Subtask not found");
    let list = ActionList { session_id: Some(tree.session_id), ..inputs::actions() };
    let page = must(api.execute(list).await, "listing actions");
    let owners: Vec<_> = page.actions.iter().map(|action| action.subtask_id).collect();
    same_order(&owners, &[Some(kept)], "the actions of the sibling stay, its own go");
}

/// What does not exist is a 404 that says so.
pub async fn unknown_subtasks_are_404(api: &impl Api) {
    let fixture = Fixture::new();
    not_found(api.execute(SubtaskGet { id: fixture.unknown() }).await, "Subtask not found");
    not_found(api.execute(SubtaskDelete { id: fixture.unknown() }).await, "Subtask not found");
    let change =
        SubtaskUpdate { status: Some(SubtaskStatus::Running), ..inputs::subtask_change(fixture.unknown()) };
    not_found(api.execute(change).await, "Subtask not found");
}

/// Empty, overlong and unstorable texts are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let blank = || inputs::subtask(tree.task.id);
    let error =
        invalid(api.execute(SubtaskCreate { description: String::new(), ..blank() }).await, "description");
    assert_eq!(error.message(), "Validation failed: Invalid description", "the summary names the field");
    invalid(api.execute(SubtaskCreate { description: "a\0b".to_owned(), ..blank() }).await, "description");
    invalid(api.execute(SubtaskCreate { agent_id: Some("a".repeat(256)), ..blank() }).await, "agent_id");
    invalid(api.execute(SubtaskCreate { agent_type: Some("t".repeat(256)), ..blank() }).await, "agent_type");
    let list = SubtaskList { task_id: Some(tree.task.id), ..inputs::subtasks() };
    assert_eq!(must(api.execute(list).await, "listing").count, 0, "nothing of it was stored");
}
