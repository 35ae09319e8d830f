//! Removals that meet other writers: each wins or loses whole, as if they came one after the other.

use futures_util::future::{join, join_all, join3};

use super::expect::{must, same_order};
use super::fixture::Fixture;
use super::inputs::{self, observed};
use super::races::winners;
use super::scene::Scene;
use crate::api::Api;
use crate::api::actions::{ActionDeleteBySession, ActionList, ActionRecord};
use crate::api::projects::ProjectDelete;
use crate::api::requests::{RequestDelete, RequestList};
use crate::api::tasks::TaskList;
use crate::error::ErrorKind;

/// A project that is removed while work is created in it: every caller gets a true answer, nothing is left behind.
pub async fn a_removal_wins_or_loses_whole(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let session = fixture.name("late");
    let removals = join_all((0..5).map(|_| api.execute(ProjectDelete { id: tree.project.id })));
    let requests = join_all((0..20).map(|_| api.execute(inputs::request(tree.project.id, &session))));
    let tasks = join_all((0..20).map(|_| api.execute(inputs::task(tree.request.id))));
    let (removals, requests, tasks) = join3(removals, requests, tasks).await;
    assert_eq!(winners(removals, ErrorKind::NotFound), 1, "exactly one removal succeeds");
    winners(requests, ErrorKind::NotFound);
    winners(tasks, ErrorKind::NotFound);
    let list = RequestList { session_id: Some(session), ..inputs::requests() };
    assert_eq!(must(api.execute(list).await, "listing requests").count, 0, "no request outlives its project");
    let list = TaskList { request_id: Some(tree.request.id), ..inputs::tasks() };
    assert_eq!(must(api.execute(list).await, "listing tasks").count, 0, "no task outlives its request");
}

/// Removals of a session's actions that meet recordings in it: every action is either removed, and counted by one
/// removal, or still there.
pub async fn removed_actions_are_counted_once(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("session");
    let record = || {
        let action = ActionRecord { session_id: Some(session.clone()), ..inputs::action("Bash") };
        api.execute(action)
    };
    let remove = || api.execute(ActionDeleteBySession { session_id: session.clone() });
    // In turn, so that removals stand between recordings that wait together.
    let rounds = join_all((0..20).map(|_| join3(record(), remove(), record()))).await;
    let mut removed = 0;
    for (first, removal, second) in rounds {
        must(first, "recording an action while others are removed");
        must(second, "recording an action while others are removed");
        removed += must(removal, "removing the actions of a session").deleted_count;
    }
    let list = ActionList { session_id: Some(session.clone()), ..inputs::actions() };
    let left = must(api.execute(list).await, "listing actions").total;
    assert_eq!(removed + left, 40, "{removed} of forty actions were removed and {left} are left");
}

/// A request that is removed while its prompt is observed once more: both are there in the end, or neither.
pub async fn what_is_observed_again_comes_back_whole(api: &impl Api) {
    for _ in 0..10 {
        let scene = Scene::new();
        let script =
            vec![observed::prompt("p1", scene.at(1), "First"), observed::tool("u1", scene.at(2), None)];
        scene.send(api, script.clone()).await;
        let request = scene.requests(api).await[0].request.id;
        // Others keep the store busy, so that the two wait together.
        let others = join_all((0..10).map(|_| api.execute(inputs::action("Bash"))));
        let remove = api.execute(RequestDelete { id: request });
        let again = api.execute(scene.input(script));
        let (others, (removed, ingested)) = join(others, join(remove, again)).await;
        for other in others {
            must(other, "recording an action of another session");
        }
        must(removed, "removing a request");
        must(ingested, "ingesting a prompt once more");
        let requests = scene.requests(api).await.len();
        let actions: Vec<_> = scene.actions(api).await.iter().map(|action| action.created_at).collect();
        let expected = if requests == 1 { vec![scene.at(2)] } else { Vec::new() };
        same_order(&actions, &expected, "the actions of a prompt that is there, or not");
    }
}
