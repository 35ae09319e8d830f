//! Tool calls.

use serde_json::{Value, json};

use super::agents::Said;
use super::{Kind, Novelty, Observer, agent_key};
use crate::api::ingest::Observation;
use crate::engine::rules::actions::{Teaching, record_action, stored_text};
use crate::engine::rules::failures::{Attempt, note_outcome};
use crate::json::JsonObject;
use crate::model::{Action, Subtask};
use crate::observe::tool_type_of;
use crate::redact::redact;
use crate::storage::{ActionAnswer, KnownAction, session_channel};
use crate::time::Timestamp;

impl Observer<'_> {
    /// The subtask of the agent that made a call.
    fn owner(&mut self, agent: Option<&str>, prompt_key: Option<&str>, at: Timestamp) -> Subtask {
        let Some(agent) = agent else {
            let request = self.request_for(prompt_key, at);
            return self.main_subtask(&request, at);
        };
        let known = self.state.subtask_keyed(self.session, &agent_key(agent)).cloned();
        known.unwrap_or_else(|| self.create_agent(agent, at, prompt_key, Said::default()))
    }

    pub(super) fn tool_used(&mut self, observation: &Observation) -> Novelty {
        let Observation::ToolUsed {
            tool_use_id,
            at,
            agent_id,
            prompt_key,
            tool_name,
            tool_type,
            input,
            output,
            exit_code,
            duration_ms,
            file_paths,
            metadata,
        } = observation
        else {
            return Novelty::Known;
        };
        if matches!(&**tool_name, "Agent" | "Task") && *exit_code != 0 {
            self.forget_launch(tool_use_id);
        }
        if let Some(known) = self.state.action_keyed(self.session, tool_use_id).cloned() {
            return self.tool_known(&known, observation);
        }
        // It was recorded once, and retention has removed it.
        if self.state.removed_actions.get(self.session).is_some_and(|newest| at <= newest) {
            return Novelty::Known;
        }
        let owner = self.owner(agent_id.as_deref(), prompt_key.as_deref(), *at);
        // A hook tells how long a call took, by its own clock; no call comes before what it was made for.
        let at = if self.by_hook { (*at).max(owner.created_at) } else { *at };
        let metadata =
            metadata.as_ref().map(|metadata| JsonObject::from_stored(redact(metadata.as_str()).into_owned()));
        let action = Action {
            id: self.state.ids.next(),
            subtask_id: Some(owner.id),
            session_id: Some(self.session.to_owned()),
            tool_use_id: Some(tool_use_id.clone()),
            tool_name: tool_name.clone(),
            tool_type: tool_type.unwrap_or_else(|| tool_type_of(tool_name)),
            input: stored_text(input.as_deref()),
            output: stored_answer(output.as_deref(), *duration_ms),
            file_paths: file_paths.clone(),
            exit_code: *exit_code,
            duration_ms: *duration_ms,
            created_at: at,
            metadata: metadata.unwrap_or_default(),
        };
        // What came of a call that is not answered yet is learned when it is.
        let unanswered = action.is_unanswered();
        let teaching = if unanswered { Teaching::default() } else { Teaching::of(action.input.as_deref()) };
        let attempt = Attempt::of(&action.tool_name, action.input.as_deref(), &action.file_paths);
        record_action(self.state, action, &attempt, &teaching);
        self.created.actions += 1;
        Novelty::Created
    }

    /// A call that is recorded already: its owner or its outcome may not have been known then.
    fn tool_known(&mut self, known: &KnownAction, observation: &Observation) -> Novelty {
        let Observation::ToolUsed { at, agent_id, prompt_key, output, exit_code, duration_ms, .. } =
            observation
        else {
            return Novelty::Known;
        };
        // Only an observation that says whose call it was may correct the owner, and no hook may: hooks of sub-agents
        // do come under ids that were never announced.
        let mut moved = false;
        if !self.by_hook && (agent_id.is_some() || prompt_key.is_some()) {
            let owner = self.owner(agent_id.as_deref(), prompt_key.as_deref(), *at);
            moved = known.subtask_id != Some(owner.id);
            if moved {
                self.state.own_action(known.id, Some(owner.id));
                self.abandoned.extend(known.subtask_id);
            }
        }
        // A transcript that is read while the tool works shows a call without an outcome.
        let has_answer = output.is_some() || duration_ms.is_some() || *exit_code != 0;
        let answered = known.unanswered && has_answer;
        if !moved && !answered {
            return Novelty::Known;
        }
        let mut data = json!({
            "id": known.id,
            "exit_code": if answered { *exit_code } else { known.exit_code },
            "session_id": self.session,
            "subtask_id": self.state.known_actions.get(&known.id).and_then(|action| action.subtask_id),
        });
        let summary = data.clone();
        if answered {
            self.tool_answered(known, observation, &mut data);
        }
        self.state.emit("action.updated", session_channel(Some(self.session)), data, summary);
        Novelty::Updated(Kind::Action)
    }

    /// Takes the outcome of a call that was recorded without one; what it teaches is added to its event.
    fn tool_answered(&mut self, known: &KnownAction, observation: &Observation, event: &mut Value) {
        let Observation::ToolUsed {
            at,
            tool_name,
            tool_type,
            input,
            output,
            exit_code,
            duration_ms,
            file_paths,
            ..
        } = observation
        else {
            return;
        };
        let output = stored_answer(output.as_deref(), *duration_ms);
        let answer =
            ActionAnswer { exit_code: *exit_code, output: output.clone(), duration_ms: *duration_ms };
        self.state.answer_action(known.id, answer);
        if *exit_code != 0 {
            self.state.sessions.update(&self.session.to_owned(), |session| {
                // Somebody may have set these counts to anything.
                session.total_errors = session.total_errors.saturating_add(1);
                session.total_success = session.total_success.saturating_sub(1).max(0);
            });
        }
        let action = Action {
            id: known.id,
            subtask_id: known.subtask_id,
            session_id: known.session_id.clone(),
            tool_use_id: known.tool_use_id.clone(),
            tool_name: tool_name.clone(),
            tool_type: tool_type.unwrap_or_else(|| tool_type_of(tool_name)),
            input: stored_text(input.as_deref()),
            output,
            file_paths: file_paths.clone(),
            exit_code: *exit_code,
            duration_ms: *duration_ms,
            created_at: *at,
            metadata: JsonObject::default(),
        };
        let attempt = Attempt::of(&action.tool_name, action.input.as_deref(), &action.file_paths);
        note_outcome(self.state, &action, &attempt);
        Teaching::of(action.input.as_deref()).tell(&action, self.state.now, event);
    }
}

/// What is stored of an answer: an empty one is kept where nothing else says that there was one.
fn stored_answer(output: Option<&str>, duration_ms: Option<i32>) -> Option<String> {
    stored_text(output).or_else(|| output.filter(|_| duration_ms.is_none()).map(|_| String::new()))
}
