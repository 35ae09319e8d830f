//! `/api/hierarchy` and `/api/active-sessions`

use serde_json::json;

use super::expect::{must, not_found, place, same_order};
use super::fixture::{Fixture, hierarchy_now, record};
use super::inputs::{self, object, observed};
use super::scene::Scene;
use crate::api::Api;
use crate::api::actions::ActionRecord;
use crate::api::hierarchy::{ActiveAgents, HierarchyCounts, HierarchyGet};
use crate::api::requests::RequestCreate;
use crate::api::subtasks::{SubtaskCreate, SubtaskUpdate};
use crate::api::tasks::TaskCreate;
use crate::model::{PromptType, SubtaskStatus, TaskStatus};

/// The tree holds every node in its order and with its fields.
pub async fn the_whole_tree_in_order(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "tree").await;
    let session = fixture.name("session");
    let mut requests = Vec::new();
    for n in 0..2 {
        let input = RequestCreate {
            prompt: format!("Prompt {n}"),
            prompt_type: Some(PromptType::Debug),
            metadata: Some(object(json!({"n": n}))),
            ..inputs::request(project.id, &session)
        };
        let request = must(api.execute(input).await, "creating a request").request;
        let mut tasks = Vec::new();
        for wave in [2, 0] {
            let input = TaskCreate { wave_number: Some(wave), ..inputs::task(request.id) };
            let task = must(api.execute(input).await, "creating a task").task;
            let first = fixture.subtask(api, task.id, SubtaskStatus::Running).await;
            let second = SubtaskCreate {
                agent_type: Some("developer".to_owned()),
                agent_id: Some(fixture.name("agent")),
                blocked_by: Some(vec![first.id]),
                context_snapshot: Some(object(json!({"secret": fixture.name("snapshot")}))),
                ..inputs::subtask(task.id)
            };
            let second = must(api.execute(second).await, "creating a subtask").subtask.subtask;
            tasks.insert(0, (task.id, vec![first.id, second.id]));
        }
        requests.insert(0, (request.id, tasks));
    }
    let tree = hierarchy_now(api, project.id).await;
    assert_eq!(tree.hierarchy.project.id, project.id, "the project at the root");
    let nodes = &tree.hierarchy.requests;
    let found: Vec<_> = nodes
        .iter()
        .map(|request| {
            let tasks = request.tasks.iter();
            let subtasks =
                |task: &crate::api::hierarchy::TaskNode| task.subtasks.iter().map(|one| one.id).collect();
            (
                request.request.id,
                tasks.map(|task| (task.task.id, subtasks(task))).collect::<Vec<(_, Vec<_>)>>(),
            )
        })
        .collect();
    same_order(&found, &requests, "requests newest first, tasks by wave, subtasks by creation");
    assert_eq!(
        tree.counts,
        HierarchyCounts { requests: 2, tasks: 4, subtasks: 8 },
        "how many nodes there are"
    );

    let newest = &nodes[0].request;
    assert_eq!(
        (&*newest.prompt, newest.prompt_type),
        ("Prompt 1", Some(PromptType::Debug)),
        "the request's fields"
    );
    assert_eq!(
        (&newest.session_id, &newest.metadata),
        (&session, &object(json!({"n": 1}))),
        "the request's fields"
    );
    let subtask = &nodes[0].tasks[0].subtasks[1];
    assert_eq!(subtask.task_id, subtask.task_list_id, "both names of the task agree");
    assert_eq!(subtask.blocked_by, Some(vec![nodes[0].tasks[0].subtasks[0].id]), "the subtask's blockers");
    assert_eq!(subtask.agent_id, Some(fixture.name("agent")), "the subtask's agent");
}

/// Subtasks stand in the order of their creation, also when they are told of in another one.
pub async fn subtasks_by_creation_not_by_arrival(api: &impl Api) {
    let scene = Scene::new();
    let agents = [1, 2, 3].map(|n| scene.fixture.name(&format!("agent-{n}")));
    let [first, second, third] = &agents;
    let prompt = observed::prompt("p-1", scene.at(0), "Look around");
    scene.send(api, vec![prompt, observed::agent_started(third, scene.at(9))]).await;
    scene.send(api, vec![observed::agent_started(first, scene.at(3))]).await;
    scene.send(api, vec![observed::agent_started(second, scene.at(6))]).await;
    let requests = scene.requests(api).await;
    let [request] = &requests[..] else { panic!("one prompt is one request, not {}", requests.len()) };
    let found = request.tasks.iter().flat_map(|task| &task.subtasks);
    let found: Vec<_> =
        found.filter_map(|subtask| subtask.agent_id.clone()).filter(|agent| agents.contains(agent)).collect();
    same_order(&found, &agents, "subtasks by creation, not by arrival");
}

/// The numbers count each row once, however many children it has.
pub async fn numbers_count_each_row_once(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    fixture.request(api, tree.project.id, &tree.session_id).await;
    for _ in 0..3 {
        let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
        for (exit_code, duration_ms) in [(0, Some(10)), (2, Some(20)), (0, None)] {
            let exit_code = Some(exit_code);
            let subtask_id = Some(subtask);
            record(api, ActionRecord { exit_code, duration_ms, subtask_id, ..inputs::action("Bash") }).await;
        }
    }
    let answer = hierarchy_now(api, tree.project.id).await;
    assert_eq!(answer.counts, HierarchyCounts { requests: 2, tasks: 1, subtasks: 3 }, "the nodes");
    let Some(stats) = answer.stats else { panic!("a project with requests has numbers") };
    assert_eq!(
        (stats.total_requests, stats.total_subtasks, stats.total_actions, stats.successful_actions),
        (2, 3, 9, 6),
        "every row is counted once"
    );
    assert!((stats.avg_duration_ms - 15.0).abs() < 0.01, "the mean duration, got {}", stats.avg_duration_ms);
}

/// A project without requests is a tree without branches; an unknown one is a 404.
pub async fn empty_and_unknown_projects(api: &impl Api) {
    let fixture = Fixture::new();
    let project = fixture.project(api, "empty").await;
    let tree = hierarchy_now(api, project.id).await;
    assert!(tree.hierarchy.requests.is_empty(), "no request was given");
    assert_eq!(tree.counts, HierarchyCounts { requests: 0, tasks: 0, subtasks: 0 }, "nothing to count");
    if let Some(stats) = tree.stats {
        assert_eq!((stats.total_requests, stats.total_actions), (0, 0), "nothing happened in it");
        assert_eq!(stats.last_activity, None, "nothing happened in it");
    }
    not_found(api.execute(HierarchyGet { project_id: fixture.unknown() }).await, "Project not found");
}

/// Results and the end of a subtask show in the tree.
pub async fn results_show_in_the_tree(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let result = Some(object(json!({"said": "done"})));
    let change = SubtaskUpdate {
        status: Some(SubtaskStatus::Completed),
        result: result.clone(),
        ..inputs::subtask_change(subtask)
    };
    must(api.execute(change).await, "completing a subtask");
    let answer = hierarchy_now(api, tree.project.id).await;
    let task = &answer.hierarchy.requests[0].tasks[0];
    assert_eq!(task.task.status, TaskStatus::Completed, "the task rolled up");
    let node = &task.subtasks[0];
    assert_eq!((node.status, &node.result), (SubtaskStatus::Completed, &result), "status and result");
    assert!(node.completed_at.is_some() && node.started_at.is_some(), "begin and end");
}

/// Active agents are the subtasks that run, pause or are blocked, each with where it belongs.
pub async fn active_agents_are_open_subtasks(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let mut ids = Vec::new();
    for &status in SubtaskStatus::ALL {
        let input = SubtaskCreate {
            agent_type: Some("developer".to_owned()),
            agent_id: Some(fixture.name("agent")),
            status: Some(status),
            ..inputs::subtask(tree.task.id)
        };
        ids.push((status, must(api.execute(input).await, "creating a subtask").subtask.subtask.id));
    }
    let twin = SubtaskCreate {
        agent_type: Some("developer".to_owned()),
        agent_id: Some(fixture.name("agent")),
        status: Some(SubtaskStatus::Running),
        ..inputs::subtask(tree.task.id)
    };
    let twin = must(api.execute(twin).await, "creating the same subtask again").subtask.subtask.id;
    for _ in 0..2 {
        record(api, ActionRecord { subtask_id: Some(twin), ..inputs::action("Bash") }).await;
    }

    let list = must(api.execute(ActiveAgents {}).await, "listing active agents");
    assert_eq!(list.count, list.active_agents.len(), "count is the number of entries");
    let open = [SubtaskStatus::Running, SubtaskStatus::Paused, SubtaskStatus::Blocked];
    assert!(
        list.active_agents.iter().all(|agent| open.contains(&agent.status)),
        "only open subtasks are listed"
    );
    let listed: Vec<_> = list.active_agents.iter().map(|agent| agent.subtask_id).collect();
    for (status, id) in ids {
        assert_eq!(
            listed.contains(&id),
            open.contains(&status),
            "whether a subtask that is {status} is listed"
        );
    }
    let agent = &list.active_agents[place(&listed, &twin, "two like subtasks are two entries")];
    assert_eq!(agent.project_id, Some(tree.project.id), "its project");
    assert_eq!(agent.project_path.as_ref(), Some(&tree.project.path), "its project's path");
    assert_eq!(
        (&agent.session_id, agent.request_id),
        (&tree.session_id, tree.request.id),
        "session and request"
    );
    assert_eq!(agent.agent_id, Some(fixture.name("agent")), "its agent");
    assert_eq!(agent.current_task.as_deref(), Some("A piece of work"), "what it does");
    assert_eq!(agent.description, agent.current_task, "both names of what it does");
    assert!(agent.started_at.is_some(), "since when it runs");
    assert_eq!(agent.actions_count, 2, "how many actions it has");
}
