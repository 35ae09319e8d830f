//! `/api/ingest`: what becomes of a session that is observed from its begin to its end.

use super::compact::status;
use super::expect::{invalid, must, not_found, same_order};
use super::fixture::session_now;
use super::inputs::{self, observed};
use super::scene::{Scene, of_agent};
use crate::api::Api;
use crate::api::ingest::{Ingest, IngestCounts, MAX_OBSERVATIONS, Observation};
use crate::api::projects::ProjectByPath;
use crate::api::routing::RoutingSuggest;
use crate::api::sessions::{SessionGet, SessionUpdate};
use crate::model::{PromptType, RequestStatus, SubtaskStatus, TaskStatus};

/// A session becomes a project, a session, a request with wave 0, one subtask per agent and one action per tool call.
pub async fn a_session_becomes_a_tree(api: &impl Api) {
    let scene = Scene::new();
    let agent = scene.fixture.name("agent");
    let answer = scene.send(api, scene.script(&agent)).await;
    let expected = IngestCounts { requests: 1, subtasks: 2, actions: 3, compactions: 0 };
    assert_eq!(answer.created, expected, "what was not known before");
    assert_eq!(answer.project_id, Some(scene.project(api).await), "the project of the path");

    let requests = scene.requests(api).await;
    let [request] = &requests[..] else { panic!("one prompt is one request, not {}", requests.len()) };
    assert_eq!(request.request.prompt, "Fix the failing build ☃", "the prompt");
    assert_eq!(request.request.prompt_type, Some(PromptType::Debug), "its type, as given");
    assert_eq!(
        (&request.request.session_id, request.request.created_at),
        (&scene.session, scene.at(1)),
        "its origin"
    );
    assert_eq!(request.request.status, RequestStatus::Completed, "every child ended, none of them failed");
    assert!(request.request.completed_at.is_some(), "so the request has ended");
    let [task] = &request.tasks[..] else { panic!("one prompt is one task") };
    assert_eq!((task.task.wave_number, task.task.status), (0, TaskStatus::Completed), "wave 0 has ended");
    assert_eq!(task.subtasks.len(), 2, "the main agent and its sub-agent");

    let main = of_agent(request, &scene.session);
    assert_eq!(
        (main.status, main.completed_at),
        (SubtaskStatus::Completed, Some(scene.at(7))),
        "the main agent's end"
    );
    let sub = of_agent(request, &agent);
    assert_eq!(
        (sub.agent_type.as_deref(), sub.description.as_deref()),
        (Some("explorer"), Some("Look around")),
        "who"
    );
    assert_eq!(
        (sub.status, sub.completed_at),
        (SubtaskStatus::Completed, Some(scene.at(5))),
        "the sub-agent's end"
    );
    assert_eq!(sub.started_at, Some(scene.at(3)), "the sub-agent's begin");
    let result = sub.result.as_ref().map(|result| result.as_str().to_owned()).unwrap_or_default();
    assert!(result.contains("found it"), "what the sub-agent said last is its result, got `{result}`");

    let owners: Vec<_> =
        scene.actions(api).await.iter().map(|one| (one.created_at, one.exit_code, one.subtask_id)).collect();
    let expected =
        [(scene.at(2), 0, Some(main.id)), (scene.at(4), 0, Some(sub.id)), (scene.at(6), 1, Some(main.id))];
    same_order(&owners, &expected, "actions at their time, under the agent that called the tool");

    let session = session_now(api, &scene.session).await.session;
    assert_eq!((session.started_at, session.ended_at), (scene.at(0), Some(scene.at(8))), "begin and end");
    let counters = (session.total_tools_used, session.total_success, session.total_errors);
    assert_eq!(counters, (3, 2, 1), "the session's counters");
    assert_eq!(session.project_id, answer.project_id, "the session's project");
}

/// Sending everything again changes nothing and says so.
pub async fn a_repeat_changes_nothing(api: &impl Api) {
    let scene = Scene::new();
    let (agent, word) = (scene.fixture.name("agent"), scene.fixture.word());
    let mut script = scene.script(&agent);
    let mut taught = observed::tool("taught", scene.at(2), None);
    if let Observation::ToolUsed { input, .. } = &mut taught {
        *input = Some(word.clone());
    }
    script.insert(3, taught);
    script.insert(7, observed::compacted("c1", scene.at(6), "so far, so good"));
    scene.send(api, script.clone()).await;
    let uses = async || {
        let input = RoutingSuggest { min_score: Some(0.0), ..inputs::suggest(&word) };
        let found = must(api.execute(input).await, "asking for suggestions").suggestions;
        found.iter().map(|one| one.usage_count).sum::<i64>()
    };
    let before = (scene.requests(api).await, scene.actions(api).await, scene.shape(api).await, uses().await);
    assert!(before.3 <= 1, "one tool call teaches a word once");
    for _ in 0..2 {
        let count = script.len();
        let answer = scene.send(api, script.clone()).await;
        assert_eq!(answer.created, IngestCounts::default(), "nothing new");
        assert_eq!((answer.updated, answer.known), (0, count), "everything was known and changed nothing");
    }
    let after = (scene.requests(api).await, scene.actions(api).await, scene.shape(api).await, uses().await);
    assert!(after.0 == before.0, "the tree is the same, got {:?} after {:?}", after.0, before.0);
    assert_eq!(after.1, before.1, "the actions are the same");
    assert_eq!(after.2, before.2, "the session is the same");
    assert_eq!(after.3, before.3, "the scorer learned nothing twice");
}

/// Without a prompt key, an observation is about the prompt that was the newest when it happened: a repeat leaves
/// later prompts alone.
pub async fn a_repeat_leaves_later_prompts_alone(api: &impl Api) {
    let scene = Scene::new();
    let script = vec![
        observed::prompt("p1", scene.at(1), "First"),
        observed::tool("u1", scene.at(2), None),
        observed::turn_ended(None, scene.at(3)),
        observed::prompt("p2", scene.at(4), "Second"),
        observed::tool("u2", scene.at(5), None),
    ];
    scene.send(api, script.clone()).await;
    let before = (scene.requests(api).await, scene.actions(api).await);
    let statuses: Vec<_> = before.0.iter().map(|request| request.request.status).collect();
    same_order(
        &statuses,
        &[RequestStatus::Completed, RequestStatus::Active],
        "the first turn ended, not the second",
    );
    for part in [&script[..], &script[..3], &script[2..3]] {
        let answer = scene.send(api, part.to_vec()).await;
        assert_eq!(
            (answer.created, answer.updated),
            (IngestCounts::default(), 0),
            "a repeat changes nothing"
        );
        assert_eq!(answer.known, part.len(), "everything was known");
    }
    let after = (scene.requests(api).await, scene.actions(api).await);
    assert!(after.0 == before.0, "the tree is the same, got {:?} after {:?}", after.0, before.0);
    assert_eq!(after.1, before.1, "the actions are the same");
}

/// A session that was resumed is open, and the repeat of its earlier end does not close it.
pub async fn a_resumed_session_stays_open(api: &impl Api) {
    let scene = Scene::new();
    let started = |n| Observation::SessionStarted { at: scene.at(n), reason: None };
    let script = [
        started(0),
        observed::prompt("p1", scene.at(1), "First"),
        observed::turn_ended(Some("p1"), scene.at(2)),
        Observation::SessionEnded { at: scene.at(3), reason: None },
        started(4),
        observed::prompt("p2", scene.at(5), "Second"),
    ];
    scene.send(api, script[..4].to_vec()).await;
    let ended_at = session_now(api, &scene.session).await.session.ended_at;
    assert_eq!(ended_at, Some(scene.at(3)), "the session ended");
    scene.send(api, script[4..].to_vec()).await;
    for part in [&script[..], &script[..4], &script[3..4]] {
        let session = session_now(api, &scene.session).await.session;
        assert_eq!((session.started_at, session.ended_at), (scene.at(0), None), "a resumed session is open");
        let answer = scene.send(api, part.to_vec()).await;
        assert_eq!(
            (answer.updated, answer.known),
            (0, part.len()),
            "a repeat changes nothing, got {answer:?}"
        );
    }
    let session = session_now(api, &scene.session).await.session;
    assert_eq!(session.ended_at, None, "the repeat of its earlier end does not close it");
}

/// Pieces, each sent twice, make the same tree as the whole.
pub async fn pieces_make_the_whole(api: &impl Api) {
    let (whole, pieces) = (Scene::new(), Scene::new());
    let agent = whole.fixture.name("agent");
    whole.send(api, whole.script(&agent)).await;
    let mut created = IngestCounts::default();
    for observation in pieces.script(&agent) {
        for round in 0..2 {
            let answer = pieces.send(api, vec![observation.clone()]).await;
            assert!(
                round == 0 || answer.known == 1,
                "the repeat of {observation:?} is known, got {answer:?}"
            );
            created.requests += answer.created.requests;
            created.subtasks += answer.created.subtasks;
            created.actions += answer.created.actions;
        }
    }
    let expected = IngestCounts { requests: 1, subtasks: 2, actions: 3, compactions: 0 };
    assert_eq!(created, expected, "each row was created once");
    assert_eq!(pieces.shape(api).await, whole.shape(api).await, "the same tree, whatever the pieces");
}

/// An interrupted import is completed by sending all of it.
pub async fn a_repeat_completes_what_was_cut_off(api: &impl Api) {
    let (whole, cut) = (Scene::new(), Scene::new());
    let agent = whole.fixture.name("agent");
    whole.send(api, whole.script(&agent)).await;
    let script = cut.script(&agent);
    cut.send(api, script[..5].to_vec()).await;
    let answer = cut.send(api, script).await;
    let expected = IngestCounts { requests: 0, subtasks: 0, actions: 1, compactions: 0 };
    assert_eq!(answer.created, expected, "only what was cut off is new");
    assert_eq!(answer.known, 5, "what had arrived is known");
    assert_eq!(cut.shape(api).await, whole.shape(api).await, "the same tree in the end");
}

/// A call whose outcome is told later is counted by it, and no count falls below nothing, whatever it was set to.
pub async fn late_outcomes_count_down_to_nothing(api: &impl Api) {
    let scene = Scene::new();
    let mut pending = observed::tool("u1", scene.at(1), None);
    if let Observation::ToolUsed { output, duration_ms, .. } = &mut pending {
        (*output, *duration_ms) = (None, None);
    }
    scene.send(api, vec![pending]).await;
    let counts = SessionUpdate {
        total_tools_used: Some(0),
        total_success: Some(0),
        total_errors: Some(i32::MAX),
        ..inputs::session_change(&scene.session)
    };
    must(api.execute(counts).await, "setting the counts of a session");
    scene.send(api, vec![observed::failed_tool("u1", scene.at(1))]).await;
    let session = session_now(api, &scene.session).await.session;
    let counted = (session.total_tools_used, session.total_success, session.total_errors);
    assert_eq!(counted, (0, 0, i32::MAX), "a count has a lowest and a highest value");
}

/// A prompt is open until the turn ends, and its type is guessed when it is not given.
pub async fn a_prompt_is_open_until_the_turn_ends(api: &impl Api) {
    let scene = Scene::new();
    scene.send(api, vec![observed::prompt("p1", scene.at(1), "Fix the bug in the parser")]).await;
    let request = &scene.requests(api).await[0];
    assert_eq!(request.request.status, RequestStatus::Active, "the prompt is being worked on");
    let main = of_agent(request, &scene.session);
    assert_eq!((main.status, main.completed_at), (SubtaskStatus::Running, None), "the main agent is at work");
    assert!(main.started_at.is_some(), "and has started");
    scene.send(api, vec![observed::turn_ended(None, scene.at(2))]).await;
    let request = &scene.requests(api).await[0];
    assert_eq!(request.request.status, RequestStatus::Completed, "the turn of the newest prompt ended");
}

/// A request waits for its sub-agents, even when the main agent's turn is over.
pub async fn a_request_waits_for_its_agents(api: &impl Api) {
    let scene = Scene::new();
    let agent = scene.fixture.name("agent");
    let started = vec![
        observed::prompt("p1", scene.at(1), "Go"),
        observed::agent_started(&agent, scene.at(2)),
        observed::turn_ended(Some("p1"), scene.at(3)),
    ];
    scene.send(api, started).await;
    let request = &scene.requests(api).await[0];
    assert_eq!(of_agent(request, &scene.session).status, SubtaskStatus::Completed, "the main agent is done");
    assert_eq!(of_agent(request, &agent).status, SubtaskStatus::Running, "its sub-agent is not");
    assert_eq!(request.request.status, RequestStatus::Active, "so the request is open");
    scene.send(api, vec![observed::agent_stopped(&agent, scene.at(4), "done")]).await;
    let request = &scene.requests(api).await[0];
    assert_eq!(request.request.status, RequestStatus::Completed, "the last child ended");
}

/// A turn or an agent that ends with an error fails its request.
pub async fn failures_fail_the_request(api: &impl Api) {
    let (turn, agent) = (Scene::new(), Scene::new());
    let failed = Observation::TurnEnded {
        prompt_key: Some("p1".to_owned()),
        at: turn.at(2),
        result: Some("API error".to_owned()),
        failed: true,
    };
    turn.send(api, vec![observed::prompt("p1", turn.at(1), "Go"), failed]).await;
    let request = &turn.requests(api).await[0];
    assert_eq!(of_agent(request, &turn.session).status, SubtaskStatus::Failed, "the main agent failed");
    assert_eq!(request.request.status, RequestStatus::Failed, "so the request failed");

    let name = agent.fixture.name("agent");
    let failed = Observation::AgentStopped {
        agent_id: name.clone(),
        at: agent.at(3),
        prompt_key: None,
        agent_type: None,
        result: None,
        failed: true,
        reported: false,
        only_if_known: false,
    };
    let observations = vec![
        observed::prompt("p1", agent.at(1), "Go"),
        observed::agent_started(&name, agent.at(2)),
        failed,
        observed::turn_ended(Some("p1"), agent.at(4)),
    ];
    agent.send(api, observations).await;
    let request = &agent.requests(api).await[0];
    assert_eq!(of_agent(request, &name).status, SubtaskStatus::Failed, "the sub-agent failed");
    assert_eq!(request.request.status, RequestStatus::Failed, "so the request failed");
}

/// An agent that was never seen to start is recorded all the same, once.
pub async fn unseen_agents_are_recorded(api: &impl Api) {
    let scene = Scene::new();
    let (late, working) = (scene.fixture.name("late"), scene.fixture.name("working"));
    let observations = vec![
        observed::prompt("p1", scene.at(1), "Go"),
        observed::tool("u1", scene.at(2), Some(&working)),
        observed::agent_stopped(&late, scene.at(3), "was here"),
    ];
    let answer = scene.send(api, observations).await;
    let expected = IngestCounts { requests: 1, subtasks: 3, actions: 1, compactions: 0 };
    assert_eq!(answer.created, expected, "the main agent and both unseen ones");
    let request = &scene.requests(api).await[0];
    let stopped = of_agent(request, &late);
    assert_eq!(stopped.status, SubtaskStatus::Completed, "an agent that stopped is done");
    assert!(stopped.result.is_some(), "and its result is kept");
    let found = of_agent(request, &working);
    assert_eq!(found.status, SubtaskStatus::Running, "an agent that uses tools is at work");
    assert_eq!(scene.actions(api).await[0].subtask_id, Some(found.id), "its action is its own");
    let answer = scene.send(api, vec![observed::agent_started(&working, scene.at(1))]).await;
    assert_eq!(answer.created, IngestCounts::default(), "its start makes no second subtask");
    assert_eq!(of_agent(&scene.requests(api).await[0], &working).id, found.id, "it is the same subtask");
}

/// A tool call that is seen before any prompt gets a request of its own.
pub async fn a_tool_before_its_prompt_is_kept(api: &impl Api) {
    let scene = Scene::new();
    let tool = observed::tool("u1", scene.at(2), None);
    let answer = scene.send(api, vec![tool.clone()]).await;
    assert_eq!(
        (answer.created.requests, answer.created.actions),
        (1, 1),
        "an implicit request and the action"
    );
    let actions = scene.actions(api).await;
    assert_eq!(actions.len(), 1, "the action is recorded");
    let request = &scene.requests(api).await[0];
    assert_eq!(actions[0].subtask_id, Some(of_agent(request, &scene.session).id), "it is the main agent's");
    let prompt = observed::prompt("p1", scene.at(1), "What was asked");
    scene.send(api, vec![prompt.clone()]).await;
    let prompts = scene.requests(api).await;
    let asked = prompts.iter().filter(|one| one.request.prompt == "What was asked").count();
    assert_eq!(asked, 1, "the prompt is a request when it arrives");
    let answer = scene.send(api, vec![tool, prompt]).await;
    assert_eq!((answer.created, answer.known), (IngestCounts::default(), 2), "a repeat changes nothing");
    assert_eq!(scene.actions(api).await.len(), 1, "the action is there once");
}

/// A tool call belongs to the prompt it names, else to the newest.
pub async fn tools_belong_to_their_prompt(api: &impl Api) {
    let scene = Scene::new();
    let observations = vec![
        observed::prompt("p1", scene.at(1), "First"),
        observed::tool("u1", scene.at(2), None),
        observed::prompt("p2", scene.at(3), "Second"),
        observed::tool("u2", scene.at(4), None),
        observed::tool_for("u3", scene.at(5), "p1"),
    ];
    scene.send(api, observations).await;
    let requests = scene.requests(api).await;
    let [first, second] = &requests[..] else { panic!("two prompts are two requests") };
    let (first, second) = (of_agent(first, &scene.session).id, of_agent(second, &scene.session).id);
    let owners: Vec<_> = scene.actions(api).await.iter().map(|action| action.subtask_id).collect();
    same_order(&owners, &[Some(first), Some(second), Some(first)], "each action under its prompt");
    let ends =
        vec![observed::turn_ended(Some("p2"), scene.at(6)), observed::turn_ended(Some("p1"), scene.at(7))];
    scene.send(api, ends).await;
    for request in scene.requests(api).await {
        assert_eq!(request.request.status, RequestStatus::Completed, "each turn ends its own prompt");
    }
}

/// Keys are unique within a session only.
pub async fn keys_belong_to_their_session(api: &impl Api) {
    let (one, two) = (Scene::new(), Scene::new());
    let agent = one.fixture.name("agent");
    for scene in [&one, &two] {
        let answer = scene.send(api, scene.script(&agent)).await;
        let expected = IngestCounts { requests: 1, subtasks: 2, actions: 3, compactions: 0 };
        assert_eq!(answer.created, expected, "the same keys in another session are other rows");
    }
    for scene in [&one, &two] {
        assert_eq!(scene.actions(api).await.len(), 3, "each session has its own actions");
        assert_eq!(
            session_now(api, &scene.session).await.session.total_tools_used,
            3,
            "and its own counters"
        );
    }
}

/// Entries of the client's own task list are subtasks.
pub async fn task_list_entries_are_subtasks(api: &impl Api) {
    let scene = Scene::new();
    let subject = scene.fixture.name("Write the tests");
    let created = Observation::TaskCreated {
        task_id: "7".to_owned(),
        at: scene.at(2),
        subject: subject.clone(),
        prompt_key: None,
        agent_id: None,
    };
    let prompt = observed::prompt("p1", scene.at(1), "Go");
    let answer = scene.send(api, vec![prompt, created.clone()]).await;
    assert_eq!(answer.created.subtasks, 2, "the main agent's subtask and the entry");
    let entry = async || {
        let requests = scene.requests(api).await;
        let subtasks = requests.iter().flat_map(|request| &request.tasks).flat_map(|task| &task.subtasks);
        let found: Vec<_> =
            subtasks.filter(|one| one.description.as_ref() == Some(&subject)).cloned().collect();
        let [entry] = &found[..] else { panic!("one entry is one subtask, not {}", found.len()) };
        entry.clone()
    };
    assert!(!entry().await.status.is_final(), "an entry is open until it is completed");
    let completed = Observation::TaskCompleted { task_id: "7".to_owned(), at: scene.at(3), prompt_key: None };
    scene.send(api, vec![completed.clone()]).await;
    assert_eq!(entry().await.status, SubtaskStatus::Completed, "a completed entry is done");
    let answer = scene.send(api, vec![created, completed]).await;
    assert_eq!((answer.created, answer.known), (IngestCounts::default(), 2), "a repeat changes nothing");
}

/// Two compactions that came soon after each other, and say something else, are two, whoever told of them.
pub async fn compactions_soon_after_each_other_are_two(api: &impl Api) {
    let scene = Scene::new();
    scene.send(api, vec![observed::prompt("p1", scene.at(1), "Go")]).await;
    let answer = scene.send(api, vec![observed::compacted("c1", scene.at(2), "The first story")]).await;
    assert_eq!(answer.created.compactions, 1, "it is new");
    let of_hook = observed::compacted("hook:1", scene.at(3), "The second story");
    let answer = scene.send(api, vec![of_hook.clone()]).await;
    assert_eq!(answer.created.compactions, 1, "so is the other");
    assert_eq!(status(api, &scene.session).await.summary.as_deref(), Some("The second story"), "the newest");
    let of_transcript = observed::compacted("c2", scene.at(3), "The second story");
    let answer = scene.send(api, vec![of_transcript, of_hook]).await;
    assert_eq!(answer.created.compactions, 0, "the same told by others is the same");

    // A key is one compaction's, whoever's it is said to be, and nothing else of the batch is lost.
    let mut of_agent = observed::compacted("c2", scene.at(3), "The second story");
    if let Observation::Compacted { agent_id, .. } = &mut of_agent {
        *agent_id = Some(scene.fixture.name("agent"));
    }
    let answer = scene.send(api, vec![observed::prompt("p2", scene.at(4), "On"), of_agent]).await;
    assert_eq!((answer.created.requests, answer.created.compactions), (1, 0), "{answer:?}");

    // Short summaries may be alike by chance.
    let early = observed::compacted("hook:2", scene.at(-7_200_000), "story");
    let answer = scene.send(api, vec![early]).await;
    assert_eq!(answer.created.compactions, 1, "hours before that was another one");
}

/// A compaction is recorded and shows in the compact status.
pub async fn compactions_show_in_the_status(api: &impl Api) {
    let scene = Scene::new();
    scene.send(api, vec![observed::prompt("p1", scene.at(1), "Go")]).await;
    let before = status(api, &scene.session).await;
    assert_eq!((before.exists, before.compacted), (true, false), "not compacted yet");
    let first = observed::compacted("c1", scene.at(2), "Everything ☃ so far");
    let answer = scene.send(api, vec![first.clone()]).await;
    assert_eq!(answer.created.compactions, 1, "a compaction is new");
    let after = status(api, &scene.session).await;
    assert!(after.exists && after.compacted && after.at.is_some(), "the status says so: {after:?}");
    assert_eq!(after.summary.as_deref(), Some("Everything ☃ so far"), "with the summary");
    let second = observed::compacted("c2", scene.at(3), "And more");
    let answer = scene.send(api, vec![first, second]).await;
    assert_eq!((answer.created.compactions, answer.known), (1, 1), "another key is another compaction");
    assert_eq!(status(api, &scene.session).await.summary.as_deref(), Some("And more"), "the latest counts");
}

/// The project is found by its path, and stays known when a later call does not name it.
pub async fn the_project_stays_known(api: &impl Api) {
    let scene = Scene::new();
    let slashed = inputs::ingest(
        &scene.session,
        &format!("{}/", scene.path),
        vec![observed::prompt("p1", scene.at(1), "Go")],
    );
    let first = must(api.execute(slashed).await, "ingesting with a trailing slash");
    assert_eq!(first.project_id, Some(scene.project(api).await), "a trailing slash makes no other project");
    let bare = Ingest {
        project_path: None,
        source: None,
        ..scene.input(vec![observed::prompt("p2", scene.at(2), "Go on")])
    };
    let second = must(api.execute(bare).await, "ingesting without a path");
    assert_eq!(second.project_id, first.project_id, "the session knows its project");
    assert_eq!(scene.requests(api).await.len(), 2, "both prompts are in it");
}

/// Keys that no index can hold, texts that no store can hold and endless lists are refused whole.
pub async fn bad_observations_are_refused_whole(api: &impl Api) {
    let scene = Scene::new();
    let long = "k".repeat(256);
    let good = || observed::prompt("p1", scene.at(1), "Go");
    for bad in [
        observed::tool(&long, scene.at(2), None),
        observed::tool("", scene.at(2), None),
        observed::tool("u1", scene.at(2), Some(&long)),
        observed::tool_for("u1", scene.at(2), &long),
        observed::prompt(&long, scene.at(2), "text"),
        observed::prompt("p2", scene.at(2), "a\0b"),
        observed::agent_started(&long, scene.at(2)),
        observed::agent_stopped("", scene.at(2), "result"),
        observed::compacted(&long, scene.at(2), "summary"),
    ] {
        let error = invalid(api.execute(scene.input(vec![good(), bad])).await, "observations");
        assert!(error.to_string().contains("[1]"), "the error says which observation it is: `{error}`");
    }
    let endless = (0..=MAX_OBSERVATIONS).map(|_| good()).collect();
    invalid(api.execute(scene.input(endless)).await, "observations");
    invalid(
        api.execute(Ingest { session_id: String::new(), ..scene.input(vec![good()]) }).await,
        "session_id",
    );
    let error = invalid(api.execute(inputs::ingest(&scene.session, "", vec![good()])).await, "project_path");
    assert_eq!(error.message(), "Validation failed: Invalid project_path", "the summary names the field");
    not_found(api.execute(SessionGet { id: scene.session.clone() }).await, "Session not found");
    let by_path = api.execute(ProjectByPath { path: scene.path.clone() }).await;
    not_found(by_path, "Project not found");
}
