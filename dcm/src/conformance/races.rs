//! Decisions that many callers ask for at once: each is made as if they came one after the other.

use futures_util::future::join_all;
use serde_json::json;

use super::expect::{close, must, same_order};
use super::fixture::{Fixture, project_now, request_now, session_now, task_now};
use super::inputs::{self, object};
use super::scene::{Scene, of_agent};
use crate::api::Api;
use crate::api::actions::{ActionList, ActionRecord};
use crate::api::blocking::{Block, BlockingGet};
use crate::api::ingest::IngestCounts;
use crate::api::projects::ProjectUpsert;
use crate::api::requests::{RequestGet, RequestUpdate};
use crate::api::routing::RoutingSuggest;
use crate::api::subscriptions::{Subscribe, SubscriptionsOfAgent};
use crate::api::subtasks::SubtaskUpdate;
use crate::error::{ErrorKind, Result};
use crate::model::{RequestStatus, SubtaskStatus, TaskStatus, Topic};

/// How many callers there are.
const MANY: usize = 50;

/// How many calls succeeded; every other one failed in the given way.
pub(super) fn winners<T: std::fmt::Debug>(results: Vec<Result<T>>, otherwise: ErrorKind) -> usize {
    let mut won = 0;
    for result in results {
        match result {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error.kind(), otherwise, "who does not win is told why: `{error}`"),
        }
    }
    won
}

/// Fifty tasks that are created at once have the waves 0 to 49.
pub async fn waves_are_unique(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "waves").await;
    let request = fixture.request(api, project.id, &fixture.name("session")).await;
    let results = join_all((0..MANY).map(|_| api.execute(inputs::task(request.id)))).await;
    let mut waves: Vec<i32> = Vec::new();
    for result in results {
        let task = must(result, "creating one task of fifty").task;
        assert_eq!(task.name, Some(format!("Wave {}", task.wave_number)), "a task is called by its wave");
        waves.push(task.wave_number);
    }
    waves.sort_unstable();
    same_order(&waves, &(0..50).collect::<Vec<_>>(), "the waves of fifty tasks that were created at once");
    let detail = must(api.execute(RequestGet { id: request.id }).await, "reading the request").request;
    let stored: Vec<_> = detail.tasks.iter().map(|task| task.wave_number).collect();
    same_order(&stored, &waves, "the stored waves");
}

/// Upserts of one path at once are one project with the metadata of all.
pub async fn project_upserts_merge(api: &impl Api) {
    let fixture = Fixture::new();
    let path = fixture.path("merged");
    let upserts = (0..MANY).map(|n| ProjectUpsert {
        metadata: Some(object(json!({(format!("key{n}")): n}))),
        ..inputs::project(&path)
    });
    let results = join_all(upserts.map(|input| api.execute(input))).await;
    let mut ids: Vec<_> =
        results.into_iter().map(|result| must(result, "one upsert of fifty").project.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one path is one project");
    let expected = (0..MANY).map(|n| (format!("key{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    let stored = project_now(api, ids[0]).await.project.metadata;
    assert_eq!(stored.to_map(), expected, "no caller's metadata is lost");
}

/// Changes of one request's metadata at once are all kept.
pub async fn request_changes_merge(api: &impl Api) {
    let fixture = Fixture::new();
    let request = fixture.tree(api).await.request.id;
    let changes = (0..MANY).map(|n| RequestUpdate {
        metadata: Some(object(json!({(format!("key{n}")): n}))),
        ..inputs::request_change(request)
    });
    for result in join_all(changes.map(|input| api.execute(input))).await {
        must(result, "one change of fifty");
    }
    let expected = (0..MANY).map(|n| (format!("key{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    assert_eq!(request_now(api, request).await.metadata.to_map(), expected, "no caller's metadata is lost");
}

/// Of many creations of one session exactly one succeeds, whether or not it was made automatically before.
pub async fn one_session_creation_wins(api: &impl Api) {
    let fixture = Fixture::new();
    let (fresh, automatic) = (fixture.name("fresh"), fixture.name("automatic"));
    let action = ActionRecord { session_id: Some(automatic.clone()), ..inputs::action("Bash") };
    must(api.execute(action).await, "recording an action");
    for id in [&fresh, &automatic] {
        let results = join_all((0..20).map(|_| api.execute(inputs::session(id)))).await;
        assert_eq!(winners(results, ErrorKind::Conflict), 1, "exactly one creation of {id} succeeds");
    }
}

/// Fifty actions at once are counted fifty times, by the session and by the scorer.
pub async fn counters_and_scores_are_exact(api: &impl Api) {
    let fixture = Fixture::new();
    let (session, tool, word) = (fixture.name("session"), fixture.name("Tool"), fixture.word());
    let (path, other) = (fixture.path("counted"), fixture.word());
    let actions = (0..MANY).map(|n| ActionRecord {
        // Both orders of the two words, so that a store that locks row by row would meet itself.
        input: Some(if n % 2 == 0 { format!("{word} {other}") } else { format!("{other} {word}") }),
        exit_code: Some(i32::from(n % 5 == 0)),
        session_id: Some(session.clone()),
        project_path: Some(path.clone()),
        ..inputs::action(&tool)
    });
    for result in join_all(actions.map(|input| api.execute(input))).await {
        must(result, "recording one action of fifty");
    }
    let found = session_now(api, &session).await.session;
    let counters = (found.total_tools_used, found.total_success, found.total_errors);
    assert_eq!(counters, (50, 40, 10), "the session counts every action once");
    let list = ActionList { session_id: Some(session), ..inputs::actions() };
    assert_eq!(must(api.execute(list).await, "listing actions").total, 50, "every action is stored once");
    for word in [&word, &other] {
        let input = RoutingSuggest { min_score: Some(0.0), ..inputs::suggest(word) };
        let found = must(api.execute(input).await, "asking for suggestions").suggestions;
        let [suggestion] = &found[..] else { panic!("one tool was used with the word, got {found:?}") };
        assert_eq!(
            (suggestion.usage_count, suggestion.success_rate),
            (50, 80),
            "the scorer counts every use once"
        );
        // From 1.0 by 40 times +0.1 and 10 times -0.05, less the one lesson that created the row: 4.4 or 4.55.
        assert!(
            (4.399..=4.551).contains(&suggestion.score),
            "no lesson is lost, the score is {}",
            suggestion.score
        );
    }
}

/// Feedback that arrives at once is added up.
pub async fn feedback_adds_up(api: &impl Api) {
    let fixture = Fixture::new();
    let (tool, word) = (fixture.name("Tool"), fixture.word());
    let action = ActionRecord { input: Some(word.clone()), ..inputs::action(&tool) };
    must(api.execute(action).await, "recording an action");
    let feedback = || inputs::feedback(&tool, &[&word], Some(true));
    for result in join_all((0..10).map(|_| api.execute(feedback()))).await {
        must(result, "giving feedback");
    }
    let found = must(api.execute(inputs::suggest(&word)).await, "asking for suggestions").suggestions;
    close(found[0].score, 3.0, "the score after ten feedbacks at once");
}

/// Siblings that end together end their task and request, exactly once and with the right outcome.
pub async fn siblings_that_end_together_roll_up(api: &impl Api) {
    for failing in [None, Some(7)] {
        let fixture = Fixture::new();
        let tree = fixture.tree(api).await;
        let second = fixture.task(api, tree.request.id).await;
        let mut subtasks = Vec::new();
        for n in 0..20 {
            let task = if n % 2 == 0 { tree.task.id } else { second.id };
            subtasks.push(fixture.subtask(api, task, SubtaskStatus::Running).await.id);
        }
        let ends = subtasks.iter().enumerate().map(|(n, &id)| {
            let failed = failing == Some(n);
            let status = Some(if failed { SubtaskStatus::Failed } else { SubtaskStatus::Completed });
            SubtaskUpdate { status, ..inputs::subtask_change(id) }
        });
        for result in join_all(ends.map(|input| api.execute(input))).await {
            must(result, "ending one subtask of twenty");
        }
        assert_eq!(
            task_now(api, tree.task.id).await.status,
            TaskStatus::Completed,
            "the task without a failure"
        );
        let (task, request) = match failing {
            None => (TaskStatus::Completed, RequestStatus::Completed),
            Some(_) => (TaskStatus::Failed, RequestStatus::Failed),
        };
        assert_eq!(task_now(api, second.id).await.status, task, "the other task, with {failing:?} failing");
        let now = request_now(api, tree.request.id).await;
        assert_eq!(now.status, request, "the request, with {failing:?} failing");
        assert!(now.completed_at.is_some(), "the request has ended");
    }
}

/// A parent that is left by one child and joined by another at once is open in the end.
pub async fn a_new_child_is_never_overlooked(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    for _ in 0..10 {
        let old = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
        let end = SubtaskUpdate { status: Some(SubtaskStatus::Completed), ..inputs::subtask_change(old) };
        let (ended, created) =
            futures_util::future::join(api.execute(end), api.execute(inputs::subtask(tree.task.id))).await;
        must(ended, "ending a subtask");
        let new = must(created, "creating a subtask").subtask.subtask.id;
        let task = task_now(api, tree.task.id).await;
        assert!(!task.status.is_final(), "a task with an open subtask is open, not {}", task.status);
        let request = request_now(api, tree.request.id).await;
        assert_eq!(request.status, RequestStatus::Active, "and so is its request");
        let end = SubtaskUpdate { status: Some(SubtaskStatus::Completed), ..inputs::subtask_change(new) };
        must(api.execute(end).await, "ending the new subtask");
        assert!(task_now(api, tree.task.id).await.status.is_final(), "then the task ends");
    }
}

/// Upserts of one blocking and of one subscription at once are one row each.
pub async fn upserts_are_one_row(api: &impl Api) {
    let fixture = Fixture::new();
    let (a, b) = (fixture.name("a"), fixture.name("b"));
    let blocks = (0..20).map(|n| Block { reason: Some(format!("reason {n}")), ..inputs::blocking(&a, &b) });
    let results = join_all(blocks.map(|input| api.execute(input))).await;
    let mut ids: Vec<_> = results.into_iter().map(|result| must(result, "blocking").blocking.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "every caller is told the same blocking");
    let state = must(api.execute(BlockingGet { agent_id: b }).await, "how b is blocked");
    assert_eq!(state.summary.blocked_by_count, 1, "there is one blocking");

    let subscribes = (0..20).map(|n| Subscribe {
        callback_url: Some(format!("https://example.com/{n}")),
        ..inputs::subscription(&a, Topic::TaskCreated)
    });
    let results = join_all(subscribes.map(|input| api.execute(input))).await;
    let mut ids: Vec<_> =
        results.into_iter().map(|result| must(result, "subscribing").subscription.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "every caller is told the same subscription");
    let found = must(api.execute(SubscriptionsOfAgent { agent_id: a }).await, "the subscriptions of a");
    assert_eq!(found.count, 1, "there is one subscription");
}

/// Two readers of one inbox at once: each message is new to one of them at least, and read afterwards.
pub async fn two_readers_lose_no_message(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    for result in join_all((0..20).map(|_| api.execute(inputs::direct(&from, &to)))).await {
        must(result, "sending a message");
    }
    let read = || api.execute(inputs::own_inbox(&to));
    let (one, two) = futures_util::future::join(read(), read()).await;
    let (one, two) = (must(one, "the first reader"), must(two, "the second reader"));
    assert_eq!((one.count, two.count), (20, 20), "both see every message");
    for (first, second) in one.messages.iter().zip(&two.messages) {
        assert_eq!(first.id, second.id, "in the same order");
        assert!(!first.already_read || !second.already_read, "a message is new to one of them at least");
    }
    let after = must(read().await, "a third reader");
    assert!(after.messages.iter().all(|message| message.already_read), "afterwards every message is read");
    assert_eq!((after.count, after.unread_remaining), (20, 0), "and none is left");
}

/// The same observations, sent many times at once, are one set of rows.
pub async fn one_batch_ten_times_is_one_set_of_rows(api: &impl Api) {
    let scene = Scene::new();
    let agent = scene.fixture.name("agent");
    let results = join_all((0..10).map(|_| api.execute(scene.input(scene.script(&agent))))).await;
    let mut created = IngestCounts::default();
    for result in results {
        let answer = must(result, "ingesting one batch of ten");
        created.requests += answer.created.requests;
        created.subtasks += answer.created.subtasks;
        created.actions += answer.created.actions;
    }
    let expected = IngestCounts { requests: 1, subtasks: 2, actions: 3, compactions: 0 };
    assert_eq!(created, expected, "each row was created by one of the ten");
    let requests = scene.requests(api).await;
    let [request] = &requests[..] else { panic!("one prompt is one request, not {}", requests.len()) };
    assert_eq!(request.tasks.len(), 1, "one task");
    assert_eq!(request.tasks[0].subtasks.len(), 2, "two subtasks");
    assert_eq!(of_agent(request, &agent).status, SubtaskStatus::Completed, "the sub-agent is done");
    assert_eq!(request.request.status, RequestStatus::Completed, "the request is done");
    assert_eq!(scene.actions(api).await.len(), 3, "three actions");
    let session = session_now(api, &scene.session).await.session;
    let counters = (session.total_tools_used, session.total_success, session.total_errors);
    assert_eq!(counters, (3, 2, 1), "the counters count each action once");
}
