//! From observations to the tree (DESIGN 7).
//!
//! A prompt is a request with one task, wave 0, that holds the main agent's subtask (open from prompt to end of turn)
//! and those of its sub-agents and of the client's own task list. Every row has a key within the session, so an
//! observation that comes again finds its row.

mod agents;
mod compactions;
mod tools;
mod work;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::projects::{canonical_path, ensure_project};
use super::sessions::{emit_session, ensure_session, reopen, touch_session};
use super::subtasks::delete_subtask;
use crate::api::ingest::{HOOK_SOURCE, Ingest, IngestCounts, Ingested, Observation};
use crate::error::Result;
use crate::id::{ProjectId, SubtaskId};
use crate::json::JsonObject;
use crate::model::{HookState, Session};
use crate::redact::redact;
use crate::storage::{Command, Footprint, State};
use crate::time::Timestamp;

/// The key of the request that holds what was observed before any prompt.
const UNPROMPTED: &str = "unprompted";
/// How far apart two observers may put one thing that has no id, in milliseconds: ten minutes.
const SAME_TIME_MS: i64 = 600_000;
/// The most events whose notes are kept for a session.
const MAX_NOTES: usize = 50;

fn main_key(prompt: &str) -> String {
    format!("main:{prompt}")
}

pub(super) fn agent_key(agent: &str) -> String {
    format!("agent:{agent}")
}

fn entry_key(task: &str) -> String {
    format!("task:{task}")
}

/// Whether two times are near enough to be of one thing.
fn near(one: Timestamp, other: Timestamp) -> bool {
    one.millis_since(other).abs() <= SAME_TIME_MS
}

/// What ingest comes to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Observed {
    /// What the caller is told.
    pub(crate) ingested: Ingested,
    /// Subtasks that lost a tool call to its true owner.
    pub(crate) abandoned: Vec<SubtaskId>,
}

/// Takes observations.
#[derive(Debug, Clone)]
pub(crate) struct Observe(pub(crate) Ingest);

impl Command for Observe {
    type Outcome = Observed;

    fn footprint(&self, footprint: &mut Footprint) {
        let session = &self.0.session_id;
        let keyed = |key: String| (session.clone(), key);
        footprint.sessions.insert(session.clone());
        footprint.hook_states.insert(session.clone());
        if let Some(first) = self.0.observations.iter().map(Observation::at).min() {
            let earliest = footprint.newest_requests.entry(session.clone()).or_insert(first);
            *earliest = first.min(*earliest);
        }
        footprint.request_keys.insert(keyed(UNPROMPTED.to_owned()));
        footprint.subtask_keys.insert(keyed(main_key(UNPROMPTED)));
        footprint.tasks_of_keyed_requests = true;
        footprint
            .found_paths
            .extend(self.0.project_path.as_deref().map(|path| canonical_path(path).to_owned()));
        for observation in &self.0.observations {
            let (prompt, agent) = match observation {
                Observation::Prompt { key, .. } => (Some(key), None),
                Observation::TurnEnded { prompt_key, .. } => (prompt_key.as_ref(), None),
                Observation::AgentLaunched { tool_use_id, prompt_key, .. } => {
                    footprint.action_keys.insert(keyed(tool_use_id.clone()));
                    (prompt_key.as_ref(), None)
                }
                Observation::AgentStarted { agent_id, prompt_key, .. }
                | Observation::AgentStopped { agent_id, prompt_key, .. } => {
                    (prompt_key.as_ref(), Some(agent_id))
                }
                Observation::ToolUsed { tool_use_id, prompt_key, agent_id, at, exit_code, .. } => {
                    footprint.action_keys.insert(keyed(tool_use_id.clone()));
                    if *exit_code != 0 {
                        let since = footprint.later_successes.entry(session.clone()).or_insert(*at);
                        *since = (*since).min(*at);
                    }
                    (prompt_key.as_ref(), agent_id.as_ref())
                }
                Observation::TaskCreated { task_id, prompt_key, .. }
                | Observation::TaskCompleted { task_id, prompt_key, .. } => {
                    footprint.subtask_keys.insert(keyed(entry_key(task_id)));
                    (prompt_key.as_ref(), None)
                }
                Observation::Compacted { .. } => {
                    footprint.session_compactions.insert(session.clone());
                    footprint.session_requests.insert(session.clone());
                    (None, None)
                }
                Observation::SessionStarted { .. }
                | Observation::SessionEnded { .. }
                | Observation::CompactionStarted { .. }
                | Observation::Noted { .. } => (None, None),
            };
            if let Some(prompt) = prompt {
                footprint.request_keys.insert(keyed(prompt.clone()));
                footprint.subtask_keys.insert(keyed(main_key(prompt)));
            }
            if let Some(agent) = agent {
                footprint.subtask_keys.insert(keyed(agent_key(agent)));
            }
        }
    }

    fn decide(&self, state: &mut State) -> Result<Observed> {
        let first = self.0.observations.iter().map(Observation::at).min().unwrap_or(state.now);
        let by_hook = self.0.source.as_deref() == Some(HOOK_SOURCE);
        // A hook tells where its agent is at the moment, which may be below the directory that the session began in.
        let known = state.sessions.get(&self.0.session_id).and_then(|session| session.project_id);
        let project = match (known, &self.0.project_path) {
            (Some(project), _) if by_hook => Some(project),
            (_, Some(path)) => Some(ensure_project(state, path).id),
            (_, None) => None,
        };
        ensure_session(state, &self.0.session_id, project, first);
        let mut ingest = Observer {
            project: project.or(known),
            session: &self.0.session_id,
            by_hook,
            state,
            created: IngestCounts::default(),
            corrected: IngestCounts::default(),
            updated: 0,
            known: 0,
            abandoned: Vec::new(),
        };
        for observation in &self.0.observations {
            match ingest.observe(observation) {
                Novelty::Created => {}
                Novelty::Updated(kind) => {
                    ingest.updated += 1;
                    match kind {
                        Kind::Request => ingest.corrected.requests += 1,
                        Kind::Subtask => ingest.corrected.subtasks += 1,
                        Kind::Action => ingest.corrected.actions += 1,
                        Kind::Compaction => ingest.corrected.compactions += 1,
                        Kind::Session => {}
                    }
                }
                Novelty::Known => ingest.known += 1,
            }
        }
        let mut abandoned = ingest.abandoned;
        abandoned.sort_unstable();
        abandoned.dedup();
        let ingested = Ingested {
            success: true,
            session_id: self.0.session_id.clone(),
            project_id: ingest.project,
            created: ingest.created,
            corrected: ingest.corrected,
            updated: ingest.updated,
            known: ingest.known,
        };
        Ok(Observed { ingested, abandoned })
    }
}

/// What is counted of what changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Session,
    Request,
    Subtask,
    Action,
    Compaction,
}

/// What an observation did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Novelty {
    /// Something was not known before; it is counted by kind.
    Created,
    /// Something that was known changed.
    Updated(Kind),
    /// Nothing changed.
    Known,
}

struct Observer<'a> {
    state: &'a mut State,
    session: &'a str,
    by_hook: bool,
    project: Option<ProjectId>,
    created: IngestCounts,
    corrected: IngestCounts,
    updated: usize,
    known: usize,
    abandoned: Vec<SubtaskId>,
}

impl Observer<'_> {
    fn observe(&mut self, observation: &Observation) -> Novelty {
        if !matches!(
            observation,
            Observation::SessionStarted { .. }
                | Observation::SessionEnded { .. }
                | Observation::ToolUsed { .. }
        ) {
            touch_session(self.state, self.session, observation.at(), None);
        }
        match observation {
            Observation::SessionStarted { at, .. } => self.session_started(*at),
            Observation::SessionEnded { at, .. } => self.session_ended(*at),
            Observation::Prompt { key, at, text, prompt_type, metadata } => {
                self.prompt(key, *at, text, *prompt_type, metadata.as_ref())
            }
            Observation::TurnEnded { prompt_key, at, result, failed } => {
                let request = self.request_for(prompt_key.as_deref(), *at);
                let subtask = self.main_subtask(&request, *at);
                self.end_subtask(subtask, *at, result.as_deref(), *failed)
            }
            Observation::AgentLaunched { .. } => self.agent_launched(observation),
            Observation::AgentStarted { agent_id, at, prompt_key, agent_type, description, metadata } => self
                .agent_started(
                    agent_id,
                    *at,
                    prompt_key.as_deref(),
                    agents::Said {
                        agent_type: agent_type.as_deref(),
                        description: description.as_deref(),
                        metadata: metadata.as_ref(),
                    },
                ),
            Observation::AgentStopped { .. } => self.agent_stopped(observation),
            Observation::ToolUsed { .. } => self.tool_used(observation),
            Observation::TaskCreated { task_id, at, subject, prompt_key, agent_id } => {
                self.entry_created(task_id, *at, prompt_key.as_deref(), subject, agent_id.as_deref())
            }
            Observation::TaskCompleted { task_id, at, prompt_key } => {
                self.entry_completed(task_id, *at, prompt_key.as_deref())
            }
            Observation::CompactionStarted { .. } => self.compaction_started(observation),
            Observation::Compacted { .. } => self.compacted(observation),
            Observation::Noted { event, metadata, .. } => self.noted(event, metadata),
        }
    }

    fn session_started(&mut self, at: Timestamp) -> Novelty {
        let id = self.session.to_owned();
        let Some(session) = self.state.sessions.get(&id).cloned() else { return Novelty::Known };
        let reopened = session.ended_at.is_some_and(|ended| at > ended);
        let earlier = at < session.started_at;
        if !reopened && !earlier {
            return Novelty::Known;
        }
        self.state.sessions.update(&id, |session| {
            session.started_at = session.started_at.min(at);
            session.last_seen_at = session.last_seen_at.max(Some(at));
            if reopened {
                reopen(session);
            }
        });
        emit_session(self.state, "session.updated", &id);
        Novelty::Updated(Kind::Session)
    }

    fn session_ended(&mut self, at: Timestamp) -> Novelty {
        let id = self.session.to_owned();
        // An end that lies before what was seen later was not the end: the session was resumed.
        let over = |session: &Session| session.ended_at >= Some(at) || session.last_seen_at > Some(at);
        if self.state.sessions.get(&id).is_some_and(over) {
            return Novelty::Known;
        }
        self.state.sessions.update(&id, |session| {
            session.ended_at = Some(at);
            session.ended_by_cleanup = false;
            session.last_seen_at = session.last_seen_at.max(Some(at));
        });
        emit_session(self.state, "session.ended", &id);
        Novelty::Updated(Kind::Session)
    }

    /// What hooks told of the session so far.
    fn hooks(&self) -> HookState {
        self.state.hooks.get(&self.session.to_owned()).cloned().unwrap_or_default()
    }

    fn keep_hooks(&mut self, hooks: HookState) {
        self.state.hooks.put(self.session.to_owned(), hooks);
    }

    fn noted(&mut self, event: &str, metadata: &JsonObject) -> Novelty {
        let mut hooks = self.hooks();
        let note = serde_json::from_str(&redact(metadata.as_str())).unwrap_or(Value::Null);
        let full = hooks.notes.len() >= MAX_NOTES && !hooks.notes.contains_key(event);
        if full || hooks.notes.get(event) == Some(&note) {
            return Novelty::Known;
        }
        hooks.notes.insert(event.to_owned(), note);
        self.keep_hooks(hooks);
        Novelty::Updated(Kind::Session)
    }
}

/// Removes subtasks that were made for agents that never were: nobody announced them, and the tool calls that made
/// them known belong to others.
#[derive(Debug)]
pub(crate) struct DropPhantoms {
    pub(crate) subtasks: Vec<SubtaskId>,
}

impl Command for DropPhantoms {
    type Outcome = usize;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subtasks.extend(self.subtasks.iter().copied());
        footprint.subtask_actions.extend(self.subtasks.iter().copied());
    }

    fn decide(&self, state: &mut State) -> Result<usize> {
        let mut dropped = 0;
        for id in &self.subtasks {
            let Some(subtask) = state.subtasks.get(id) else { continue };
            let is_agent = subtask.external_key.as_deref().is_some_and(|key| key.starts_with("agent:"));
            let announced = subtask.agent_type.is_some()
                || subtask.description.is_some()
                || subtask.context_snapshot.is_some();
            if is_agent && !announced && !state.has_actions(*id) {
                delete_subtask(state, *id)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}
