//! Sub-agents: launched, started, stopped, in whatever order that is heard of.

use serde_json::{Value, json};

use super::work::NewSubtask;
use super::{Kind, Novelty, Observer, agent_key};
use crate::api::ingest::Observation;
use crate::engine::rules::roll_up::task_child_changed;
use crate::engine::rules::subtasks::change_subtask;
use crate::json::JsonObject;
use crate::model::{Launch, Subtask, SubtaskStatus};
use crate::observe::{TEXT_LIMIT, cut_text};
use crate::time::Timestamp;

/// The most launches that wait for their agents; those of agents that were never seen fall out at the end.
const MAX_LAUNCHES: usize = 32;
/// The member of a subtask's snapshot that names the launching call.
const CALL: &str = "tool_use_id";
/// The member that says that this is only the likeliest call.
const GUESSED: &str = "guessed";

/// What is said of an agent when it starts.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'a> {
    pub(super) agent_type: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    pub(super) metadata: Option<&'a JsonObject>,
}

fn non_empty(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn call_of(snapshot: Option<&JsonObject>) -> Option<String> {
    match snapshot?.get(CALL)? {
        Value::String(call) => Some(call),
        _ => None,
    }
}

fn is_guessed(snapshot: Option<&JsonObject>) -> bool {
    snapshot.is_some_and(|snapshot| snapshot.get(GUESSED) == Some(Value::Bool(true)))
}

/// What is remembered of the call that an agent is taken to be launched by.
fn guess(launch: &Launch) -> JsonObject {
    let mut snapshot = json!({CALL: launch.tool_use_id, GUESSED: true});
    if let Some(parent) = &launch.parent {
        snapshot["parent_agent_id"] = json!(parent);
    }
    JsonObject::from_value(snapshot)
}

impl Observer<'_> {
    pub(super) fn create_agent(
        &mut self,
        agent: &str,
        at: Timestamp,
        prompt_key: Option<&str>,
        said: Said<'_>,
    ) -> Subtask {
        let request = self.request_for(prompt_key, at);
        let row = NewSubtask {
            key: agent_key(agent),
            agent_id: Some(agent.to_owned()),
            agent_type: non_empty(said.agent_type),
            description: non_empty(said.description),
            metadata: said.metadata,
        };
        self.create_row(&request, at, SubtaskStatus::Running, row)
    }

    pub(super) fn agent_launched(&mut self, observation: &Observation) -> Novelty {
        let Observation::AgentLaunched { tool_use_id, at, agent_id, prompt_key, agent_type, description } =
            observation
        else {
            return Novelty::Known;
        };
        let mut hooks = self.hooks();
        let waits = hooks.launches.iter().any(|launch| launch.tool_use_id == *tool_use_id);
        let bound =
            |subtask: &Subtask| call_of(subtask.context_snapshot.as_ref()).as_ref() == Some(tool_use_id);
        // A call that has ended, or whose agent is known, is told again or late.
        if waits
            || self.state.action_keyed(self.session, tool_use_id).is_some()
            || self.state.subtasks.iter().any(bound)
        {
            return Novelty::Known;
        }
        let launch = Launch {
            tool_use_id: tool_use_id.clone(),
            parent: agent_id.clone(),
            prompt_key: prompt_key.clone(),
            agent_type: non_empty(agent_type.as_deref()),
            description: non_empty(description.as_deref()),
        };
        let request = prompt_key.as_deref().and_then(|key| self.state.request_keyed(self.session, key));
        let request = request.map(|request| request.id);
        let undescribed = |subtask: &&Subtask| {
            let of_request = || self.state.tasks.get(&subtask.task_list_id).map(|task| task.request_id);
            subtask.external_key.as_deref().is_some_and(|key| key.starts_with("agent:"))
                && subtask.agent_type.is_some()
                && subtask.agent_type == launch.agent_type
                && subtask.description.is_none()
                && subtask.context_snapshot.is_none()
                && request.is_some()
                && of_request() == request
        };
        let early = self.state.subtasks.iter().filter(undescribed).min_by_key(|one| (one.created_at, one.id));
        if let Some(known) = early.cloned() {
            let mut subtask = known.clone();
            subtask.description.clone_from(&launch.description);
            subtask.context_snapshot = Some(guess(&launch));
            change_subtask(self.state, Some(self.session), &subtask, known.status, *at);
            return Novelty::Updated(Kind::Subtask);
        }
        hooks.launches.push(launch);
        let surplus = hooks.launches.len().saturating_sub(MAX_LAUNCHES);
        hooks.launches.drain(..surplus);
        self.keep_hooks(hooks);
        Novelty::Updated(Kind::Session)
    }

    /// The launch that waits longest for an agent of this type and prompt.
    fn take_launch(&mut self, agent_type: Option<&str>, prompt_key: Option<&str>) -> Option<Launch> {
        let mut hooks = self.hooks();
        let fits = |launch: &Launch| {
            agent_type.is_some_and(|kind| !kind.is_empty() && launch.agent_type.as_deref() == Some(kind))
                && (prompt_key.is_none() || launch.prompt_key.as_deref() == prompt_key)
        };
        let place = hooks.launches.iter().position(fits)?;
        let launch = hooks.launches.remove(place);
        self.keep_hooks(hooks);
        Some(launch)
    }

    /// The agent of this call is known, or the call has failed: nobody waits for it any more.
    pub(super) fn forget_launch(&mut self, tool_use_id: &str) {
        let mut hooks = self.hooks();
        let count = hooks.launches.len();
        hooks.launches.retain(|launch| launch.tool_use_id != tool_use_id);
        if hooks.launches.len() != count {
            self.keep_hooks(hooks);
        }
    }

    pub(super) fn agent_started(
        &mut self,
        agent: &str,
        at: Timestamp,
        prompt_key: Option<&str>,
        said: Said<'_>,
    ) -> Novelty {
        let call = call_of(said.metadata);
        if let Some(call) = &call {
            self.forget_launch(call);
        }
        let known = self.state.subtask_keyed(self.session, &agent_key(agent)).cloned();
        let has_call = known.as_ref().is_some_and(|known| known.context_snapshot.is_some());
        let launch =
            if call.is_none() && !has_call { self.take_launch(said.agent_type, prompt_key) } else { None };
        let guessed = launch.as_ref().map(guess);
        let said = Said {
            description: said.description.or_else(|| launch.as_ref()?.description.as_deref()),
            metadata: said.metadata.or(guessed.as_ref()),
            ..said
        };
        let Some(known) = known else {
            self.create_agent(agent, at, prompt_key, said);
            return Novelty::Created;
        };
        let moved = self.moved_agent(&known, prompt_key, at);
        // It may have been seen first by what it did.
        let mut subtask = moved.clone().unwrap_or_else(|| known.clone());
        subtask.agent_type = subtask.agent_type.or_else(|| non_empty(said.agent_type));
        // Who knows the launching call knows better than who guessed it.
        if call.is_some() && is_guessed(subtask.context_snapshot.as_ref()) {
            subtask.description = non_empty(said.description).or(subtask.description);
            subtask.context_snapshot = said.metadata.cloned();
        }
        subtask.description = subtask.description.or_else(|| non_empty(said.description));
        subtask.context_snapshot = subtask.context_snapshot.or_else(|| said.metadata.cloned());
        subtask.created_at = subtask.created_at.min(at);
        subtask.started_at = subtask.started_at.map(|started| started.min(at));
        if subtask == known {
            return Novelty::Known;
        }
        change_subtask(self.state, Some(self.session), &subtask, known.status, at);
        Novelty::Updated(Kind::Subtask)
    }

    /// Who reads the transcript knows for which prompt an agent works; a hook may have told of another.
    fn moved_agent(&mut self, known: &Subtask, prompt_key: Option<&str>, at: Timestamp) -> Option<Subtask> {
        let request = self.state.request_keyed(self.session, prompt_key.filter(|_| !self.by_hook)?)?.clone();
        let task = self.wave_zero(&request, at);
        if known.task_list_id == task {
            return None;
        }
        self.state.move_subtask(known.id, task);
        let runs = known.status == SubtaskStatus::Running;
        task_child_changed(self.state, known.task_list_id, false, at);
        task_child_changed(self.state, task, runs, at);
        self.state.subtasks.get(&known.id).cloned()
    }

    pub(super) fn agent_stopped(&mut self, observation: &Observation) -> Novelty {
        let Observation::AgentStopped {
            agent_id,
            at,
            prompt_key,
            agent_type,
            result,
            failed,
            reported,
            only_if_known,
        } = observation
        else {
            return Novelty::Known;
        };
        let known = self.state.subtask_keyed(self.session, &agent_key(agent_id)).cloned();
        if known.is_none() && *only_if_known {
            return Novelty::Known;
        }
        let is_new = known.is_none();
        let mut subtask =
            known.unwrap_or_else(|| self.create_agent(agent_id, *at, prompt_key.as_deref(), Said::default()));
        if subtask.agent_type.is_none() {
            subtask.agent_type = non_empty(agent_type.as_deref());
        }
        let over = *reported && subtask.status.is_final();
        let ended = if over {
            self.complete_result(subtask, *at, result.as_deref())
        } else {
            self.end_subtask(subtask, *at, result.as_deref(), *failed)
        };
        if is_new { Novelty::Created } else { ended }
    }

    /// Takes a result where none is known.
    fn complete_result(&mut self, mut subtask: Subtask, at: Timestamp, result: Option<&str>) -> Novelty {
        let (None, Some(result)) = (&subtask.result, result) else { return Novelty::Known };
        subtask.result = Some(JsonObject::from_value(json!({"message": cut_text(result, TEXT_LIMIT)})));
        change_subtask(self.state, Some(self.session), &subtask, subtask.status, at);
        Novelty::Updated(Kind::Subtask)
    }
}
