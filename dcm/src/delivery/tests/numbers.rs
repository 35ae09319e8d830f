//! What the numbers of the channel `metrics` mean.

use super::*;
use crate::Clock;
use crate::api::actions::ActionRecord;
use crate::api::projects::ProjectUpsert;
use crate::api::requests::RequestCreate;
use crate::api::sessions::SessionUpdate;
use crate::api::subtasks::{SubtaskCreate, SubtaskUpdate};
use crate::api::tasks::TaskCreate;
use crate::model::{SubtaskStatus, ToolType};
use crate::storage::Metrics;

const MINUTE_MS: i64 = 60_000;

async fn acts(dcm: &Dcm, session: &str) {
    let action = ActionRecord {
        tool_name: "Read".to_owned(),
        tool_type: ToolType::Builtin,
        input: None,
        output: None,
        exit_code: None,
        duration_ms: None,
        file_paths: None,
        subtask_id: None,
        session_id: Some(session.to_owned()),
        project_path: Some("/p".to_owned()),
    };
    dcm.action_record(action).await.unwrap();
}

/// Active is where something happened lately and that has not ended; work counts while it runs, and for an hour after.
pub(crate) async fn the_numbers_mean_what_they_say(world: &World) {
    let dcm = world.open().await;
    for session in ["quiet", "ended"] {
        acts(&dcm, session).await;
    }
    world.clock.advance_millis(20 * MINUTE_MS);
    for session in ["busy", "ended"] {
        acts(&dcm, session).await;
    }
    let ended = SessionUpdate {
        id: "ended".to_owned(),
        ended_at: Some(world.clock.now()),
        total_tools_used: None,
        total_success: None,
        total_errors: None,
    };
    dcm.session_update(ended).await.unwrap();
    let project = dcm
        .project_upsert(ProjectUpsert { path: "/p".to_owned(), name: None, metadata: None })
        .await
        .unwrap()
        .project
        .id;
    let request = RequestCreate {
        project_id: project,
        session_id: "busy".to_owned(),
        prompt: "Build it".to_owned(),
        prompt_type: None,
        status: None,
        metadata: None,
    };
    let request_id = dcm.request_create(request).await.unwrap().request.id;
    let mut subtasks = Vec::new();
    for agent in ["a", "b", "b"] {
        let task = TaskCreate { request_id, name: None, wave_number: None, status: None };
        let task_id = dcm.task_create(task).await.unwrap().task.id;
        let subtask = SubtaskCreate {
            task_id,
            description: "A part".to_owned(),
            agent_type: None,
            agent_id: Some(agent.to_owned()),
            status: None,
            blocked_by: None,
            context_snapshot: None,
        };
        subtasks.push(dcm.subtask_create(subtask).await.unwrap().subtask.subtask.id);
    }
    let becomes = async |subtask, status| {
        let update = SubtaskUpdate {
            id: subtask,
            status: Some(status),
            result: None,
            agent_id: None,
            blocked_by: None,
        };
        dcm.subtask_update(update).await.unwrap();
    };
    becomes(subtasks[0], SubtaskStatus::Running).await;
    becomes(subtasks[1], SubtaskStatus::Running).await;
    world.clock.advance_millis(2_000);
    becomes(subtasks[1], SubtaskStatus::Completed).await;
    let numbers = dcm.store().metrics(world.clock.now()).await.unwrap();
    let expected = Metrics {
        active_sessions: 1,
        active_agents: 1,
        pending_tasks: 1,
        running_tasks: 1,
        completed_tasks_last_hour: 1,
        messages_last_hour: 0,
        ..numbers
    };
    assert_eq!(numbers, expected);
    assert!((numbers.avg_task_duration_ms - 2000.0).abs() < 1.0, "{numbers:?}");
    assert!(numbers.actions_per_minute > 0.0, "{numbers:?}");
    world.clock.advance_millis(61 * MINUTE_MS);
    let later = dcm.store().metrics(world.clock.now()).await.unwrap();
    assert_eq!((later.active_sessions, later.active_agents, later.completed_tasks_last_hour), (0, 0, 0));
    assert!(later.actions_per_minute.abs() < f64::EPSILON, "{later:?}");
    dcm.close().await;
}
