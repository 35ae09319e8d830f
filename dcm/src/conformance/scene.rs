//! A session under observation, for the cases of ingest.

use super::expect::must;
use super::fixture::{Fixture, hierarchy_now, session_now, subtask_now};
use super::inputs::{self, observed};
use crate::api::Api;
use crate::api::actions::{ActionList, ActionSummary};
use crate::api::hierarchy::{RequestNode, SubtaskNode};
use crate::api::ingest::{Ingest, Ingested, Observation};
use crate::api::projects::ProjectByPath;
use crate::id::ProjectId;
use crate::model::PromptType;
use crate::time::Timestamp;

/// One session under observation.
pub(super) struct Scene {
    pub(super) fixture: Fixture,
    pub(super) session: String,
    pub(super) path: String,
    begin: Timestamp,
}

impl Scene {
    pub(super) fn new() -> Self {
        let fixture = Fixture::new();
        let (session, path) = (fixture.name("session"), fixture.path("observed"));
        Self { fixture, session, path, begin: Fixture::recently() }
    }

    /// The instant `n` milliseconds after the session began.
    pub(super) fn at(&self, n: i64) -> Timestamp {
        self.begin.plus_millis(n)
    }

    pub(super) fn input(&self, observations: Vec<Observation>) -> Ingest {
        inputs::ingest(&self.session, &self.path, observations)
    }

    pub(super) async fn send(&self, api: &impl Api, observations: Vec<Observation>) -> Ingested {
        let answer = must(api.execute(self.input(observations)).await, "ingesting observations");
        assert!(answer.success, "ingesting says success");
        assert_eq!(answer.session_id, self.session, "the session that was observed");
        answer
    }

    /// The project of the session's path.
    pub(super) async fn project(&self, api: &impl Api) -> ProjectId {
        let input = ProjectByPath { path: self.path.clone() };
        must(api.execute(input).await, "the project of an observed session").project.id
    }

    /// The requests of the session's project, oldest first.
    pub(super) async fn requests(&self, api: &impl Api) -> Vec<RequestNode> {
        let mut requests = hierarchy_now(api, self.project(api).await).await.hierarchy.requests;
        requests.reverse();
        requests
    }

    /// The actions of the session, oldest first.
    pub(super) async fn actions(&self, api: &impl Api) -> Vec<ActionSummary> {
        let list =
            ActionList { session_id: Some(self.session.clone()), limit: Some(1000), ..inputs::actions() };
        let mut actions = must(api.execute(list).await, "the actions of an observed session").actions;
        actions.reverse();
        actions
    }

    /// What a session with one prompt, one sub-agent and a failure looks like from outside.
    pub(super) fn script(&self, agent: &str) -> Vec<Observation> {
        vec![
            Observation::SessionStarted { at: self.at(0), reason: Some("startup".to_owned()) },
            Observation::Prompt {
                key: "p1".to_owned(),
                at: self.at(1),
                text: "Fix the failing build ☃".to_owned(),
                prompt_type: Some(PromptType::Debug),
                metadata: None,
            },
            observed::tool("u1", self.at(2), None),
            observed::agent_started(agent, self.at(3)),
            observed::tool("u2", self.at(4), Some(agent)),
            observed::agent_stopped(agent, self.at(5), "found it"),
            observed::failed_tool("u3", self.at(6)),
            observed::turn_ended(Some("p1"), self.at(7)),
            Observation::SessionEnded { at: self.at(8), reason: None },
        ]
    }

    /// The tree without ids and times, line by line; the main agent is called `main`.
    pub(super) async fn shape(&self, api: &impl Api) -> Vec<String> {
        let mut shape = Vec::new();
        for request in self.requests(api).await {
            shape.push(format!("{} {:?}", request.request.prompt, request.request.status));
            for task in &request.tasks {
                shape.push(format!("  wave {} {:?}", task.task.wave_number, task.task.status));
                let mut subtasks: Vec<_> =
                    task.subtasks.iter().map(|subtask| self.subtask_shape(subtask)).collect();
                subtasks.sort_unstable();
                shape.append(&mut subtasks);
            }
        }
        let mut actions = Vec::new();
        for action in self.actions(api).await {
            let owner = match action.subtask_id {
                Some(id) => subtask_now(api, id).await.subtask.subtask.agent_id,
                None => None,
            };
            let owner = owner.map(|agent| self.anonymous(&agent));
            actions.push(format!("{} {} {owner:?}", action.tool_name, action.exit_code));
        }
        actions.sort_unstable();
        shape.append(&mut actions);
        let session = session_now(api, &self.session).await.session;
        let counters = [session.total_tools_used, session.total_success, session.total_errors];
        shape.push(format!("{counters:?} ended {}", session.ended_at.is_some()));
        shape
    }

    fn subtask_shape(&self, subtask: &SubtaskNode) -> String {
        let agent = subtask.agent_id.as_deref().map(|agent| self.anonymous(agent));
        let kind = subtask
            .agent_id
            .as_ref()
            .filter(|agent| **agent != self.session)
            .and(subtask.agent_type.as_ref());
        format!("    {agent:?} {kind:?} {:?} result {:?}", subtask.status, subtask.result)
    }

    fn anonymous(&self, agent: &str) -> String {
        if agent == self.session { "main".to_owned() } else { agent.to_owned() }
    }
}

/// The subtask of `agent` among those of the first task of `request`.
pub(super) fn of_agent<'a>(request: &'a RequestNode, agent: &str) -> &'a SubtaskNode {
    let mut found = request
        .tasks
        .iter()
        .flat_map(|task| &task.subtasks)
        .filter(|one| one.agent_id.as_deref() == Some(agent));
    let Some(subtask) = found.next() else { panic!("{agent} has no subtask in {request:?}") };
    assert!(found.next().is_none(), "{agent} has one subtask only");
    subtask
}
