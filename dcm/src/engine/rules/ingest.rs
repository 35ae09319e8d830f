//! From observations to the tree (DESIGN 7).
//!
//! A prompt is a request with one task, wave 0, that holds the main agent's subtask (open from prompt to end of turn)
//! and those of its sub-agents and of the client's own task list. Every row has a key within the session, so an
//! observation that comes again finds its row.

use serde_json::json;

use super::actions::{record_action, stored_text};
use super::compact::mark_requests;
use super::projects::{canonical_path, ensure_project};
use super::roll_up::{emit_request, set_subtask_status};
use super::sessions::{emit_session, ensure_session, touch_session};
use super::subtasks::{change_subtask, create_subtask};
use super::tasks::create_task;
use crate::api::ingest::{Ingest, IngestCounts, Ingested, Observation};
use crate::error::Result;
use crate::id::{ProjectId, TaskId};
use crate::json::JsonObject;
use crate::model::{Action, Compaction, Request, RequestStatus, Session, Subtask, SubtaskStatus, TaskStatus};
use crate::observe::{TEXT_LIMIT, cut_text, prompt_type_of, tool_type_of};
use crate::storage::{Command, Footprint, State};
use crate::time::Timestamp;

/// The key of the request that holds what was observed before any prompt.
const UNPROMPTED: &str = "unprompted";
/// The prompt of a request that something refers to but that was not observed itself.
const UNKNOWN_PROMPT: &str = "(the prompt was not recorded)";
/// The agent type of a session's main agent.
const MAIN_AGENT: &str = "main";

fn main_key(prompt: &str) -> String {
    format!("main:{prompt}")
}

fn agent_key(agent: &str) -> String {
    format!("agent:{agent}")
}

fn entry_key(task: &str) -> String {
    format!("task:{task}")
}

impl Command for Ingest {
    type Outcome = Ingested;

    fn footprint(&self, footprint: &mut Footprint) {
        let session = &self.session_id;
        let keyed = |key: String| (session.clone(), key);
        footprint.sessions.insert(session.clone());
        if let Some(first) = self.observations.iter().map(Observation::at).min() {
            let earliest = footprint.newest_requests.entry(session.clone()).or_insert(first);
            *earliest = first.min(*earliest);
        }
        footprint.request_keys.insert(keyed(UNPROMPTED.to_owned()));
        footprint.subtask_keys.insert(keyed(main_key(UNPROMPTED)));
        footprint.tasks_of_keyed_requests = true;
        footprint
            .found_paths
            .extend(self.project_path.as_deref().map(|path| canonical_path(path).to_owned()));
        for observation in &self.observations {
            let (prompt, agent) = match observation {
                Observation::Prompt { key, .. } => (Some(key), None),
                Observation::TurnEnded { prompt_key, .. } => (prompt_key.as_ref(), None),
                Observation::AgentStarted { agent_id, prompt_key, .. } => {
                    (prompt_key.as_ref(), Some(agent_id))
                }
                Observation::AgentStopped { agent_id, .. } => (None, Some(agent_id)),
                Observation::ToolUsed { tool_use_id, prompt_key, agent_id, .. } => {
                    footprint.action_keys.insert(keyed(tool_use_id.clone()));
                    (prompt_key.as_ref(), agent_id.as_ref())
                }
                Observation::TaskCreated { task_id, .. } | Observation::TaskCompleted { task_id, .. } => {
                    footprint.subtask_keys.insert(keyed(entry_key(task_id)));
                    (None, None)
                }
                Observation::Compacted { key, .. } => {
                    footprint.compaction_keys.insert(keyed(key.clone()));
                    footprint.session_requests.insert(session.clone());
                    (None, None)
                }
                Observation::SessionStarted { .. } | Observation::SessionEnded { .. } => (None, None),
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

    fn decide(&self, state: &mut State) -> Result<Ingested> {
        let first = self.observations.iter().map(Observation::at).min().unwrap_or(state.now);
        let project = self.project_path.as_deref().map(|path| ensure_project(state, path).id);
        ensure_session(state, &self.session_id, project, first);
        let mut ingest = Observer {
            project: project
                .or_else(|| state.sessions.get(&self.session_id).and_then(|session| session.project_id)),
            session: &self.session_id,
            state,
            created: IngestCounts::default(),
            updated: 0,
            known: 0,
        };
        for observation in &self.observations {
            match ingest.observe(observation) {
                Novelty::Created => {}
                Novelty::Updated => ingest.updated += 1,
                Novelty::Known => ingest.known += 1,
            }
        }
        Ok(Ingested {
            success: true,
            session_id: self.session_id.clone(),
            project_id: ingest.project,
            created: ingest.created,
            updated: ingest.updated,
            known: ingest.known,
        })
    }
}

/// What an observation did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Novelty {
    /// Something was not known before; it is counted by kind.
    Created,
    /// Something that was known changed.
    Updated,
    /// Nothing changed.
    Known,
}

fn updated_if(changed: bool) -> Novelty {
    if changed { Novelty::Updated } else { Novelty::Known }
}

struct Observer<'a> {
    state: &'a mut State,
    session: &'a str,
    project: Option<ProjectId>,
    created: IngestCounts,
    updated: usize,
    known: usize,
}

impl Observer<'_> {
    fn observe(&mut self, observation: &Observation) -> Novelty {
        match observation {
            Observation::SessionStarted { at, .. } => self.session_started(*at),
            Observation::SessionEnded { at, .. } => self.session_ended(*at),
            Observation::Prompt { key, at, text, prompt_type, metadata } => {
                touch_session(self.state, self.session, *at, None);
                let prompt_type = prompt_type.unwrap_or_else(|| prompt_type_of(text));
                if let Some(known) = self.state.request_keyed(self.session, key).cloned() {
                    return self.prompt_known(known, text, prompt_type, metadata.as_ref());
                }
                self.create_request(key, *at, text, Some(prompt_type), metadata.clone());
                Novelty::Created
            }
            Observation::TurnEnded { prompt_key, at, result, failed } => {
                touch_session(self.state, self.session, *at, None);
                let request = self.request_for(prompt_key.as_deref(), *at);
                let subtask = self.main_subtask(&request, *at);
                self.end_subtask(subtask, *at, result.as_deref(), *failed)
            }
            Observation::AgentStarted { agent_id, at, prompt_key, agent_type, description, metadata } => {
                touch_session(self.state, self.session, *at, None);
                self.agent_started(
                    agent_id,
                    *at,
                    prompt_key.as_deref(),
                    agent_type.as_deref(),
                    description.as_deref(),
                    metadata.as_ref(),
                )
            }
            Observation::AgentStopped { agent_id, at, agent_type, result, failed } => {
                touch_session(self.state, self.session, *at, None);
                let known = self.state.subtask_keyed(self.session, &agent_key(agent_id)).cloned();
                let is_new = known.is_none();
                let mut subtask =
                    known.unwrap_or_else(|| self.create_agent(agent_id, *at, None, None, None, None));
                if subtask.agent_type.is_none() {
                    subtask.agent_type = non_empty(agent_type.as_deref());
                }
                let ended = self.end_subtask(subtask, *at, result.as_deref(), *failed);
                if is_new { Novelty::Created } else { ended }
            }
            Observation::ToolUsed { .. } => self.tool_used(observation),
            Observation::TaskCreated { task_id, at, subject, agent_id } => {
                touch_session(self.state, self.session, *at, None);
                if self.state.subtask_keyed(self.session, &entry_key(task_id)).is_some() {
                    return Novelty::Known;
                }
                self.create_entry(task_id, *at, subject, agent_id.as_deref());
                Novelty::Created
            }
            Observation::TaskCompleted { task_id, at } => {
                touch_session(self.state, self.session, *at, None);
                let known = self.state.subtask_keyed(self.session, &entry_key(task_id)).cloned();
                let is_new = known.is_none();
                let subtask = known.unwrap_or_else(|| self.create_entry(task_id, *at, task_id, None));
                let ended = self.end_subtask(subtask, *at, None, false);
                if is_new { Novelty::Created } else { ended }
            }
            Observation::Compacted { key, at, trigger, summary, metadata } => {
                self.compacted(key, *at, trigger.as_deref(), summary.as_deref(), metadata.as_ref())
            }
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
                session.ended_at = None;
            }
        });
        emit_session(self.state, "session.updated", &id);
        Novelty::Updated
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
            session.last_seen_at = session.last_seen_at.max(Some(at));
        });
        emit_session(self.state, "session.ended", &id);
        Novelty::Updated
    }

    fn prompt_known(
        &mut self,
        mut request: Request,
        text: &str,
        prompt_type: crate::model::PromptType,
        metadata: Option<&JsonObject>,
    ) -> Novelty {
        let before = request.clone();
        if request.prompt == UNKNOWN_PROMPT {
            text.clone_into(&mut request.prompt);
            request.prompt_type = Some(prompt_type);
        }
        if let Some(metadata) = metadata {
            request.metadata = request.metadata.merged_with(metadata);
        }
        if request == before {
            return Novelty::Known;
        }
        emit_request(self.state, "request.updated", &request);
        self.state.put_request(request);
        Novelty::Updated
    }

    /// A new request with its wave 0 and the main agent's subtask.
    fn create_request(
        &mut self,
        key: &str,
        at: Timestamp,
        text: &str,
        prompt_type: Option<crate::model::PromptType>,
        metadata: Option<JsonObject>,
    ) -> Request {
        let request = Request {
            id: self.state.ids.next(),
            project_id: self.project,
            session_id: self.session.to_owned(),
            prompt: text.to_owned(),
            prompt_type,
            status: RequestStatus::Active,
            created_at: at,
            completed_at: None,
            metadata: metadata.unwrap_or_default(),
            external_key: Some(key.to_owned()),
        };
        emit_request(self.state, "request.created", &request);
        self.state.put_request(request.clone());
        self.created.requests += 1;
        self.main_subtask(&request, at);
        request
    }

    /// The request that an observation belongs to; made when it was not observed itself.
    fn request_for(&mut self, prompt_key: Option<&str>, at: Timestamp) -> Request {
        let known = match prompt_key {
            Some(key) => self.state.request_keyed(self.session, key),
            None => self.state.request_at(self.session, at),
        };
        match known.cloned() {
            Some(request) => request,
            None => self.create_request(prompt_key.unwrap_or(UNPROMPTED), at, UNKNOWN_PROMPT, None, None),
        }
    }

    /// Wave 0 of a request.
    fn wave_zero(&mut self, request: &Request, at: Timestamp) -> TaskId {
        let of_request = |task: &&crate::model::Task| task.request_id == request.id && task.wave_number == 0;
        if let Some(task) = self.state.tasks.iter().find(of_request) {
            return task.id;
        }
        create_task(self.state, request.id, 0, None, TaskStatus::Running, at).id
    }

    fn create_row(
        &mut self,
        request: &Request,
        at: Timestamp,
        status: SubtaskStatus,
        row: NewSubtask<'_>,
    ) -> Subtask {
        let task = self.wave_zero(request, at);
        let mut subtask = Subtask {
            id: self.state.ids.next(),
            task_list_id: task,
            agent_type: row.agent_type,
            agent_id: row.agent_id,
            description: row.description,
            status: SubtaskStatus::Pending,
            blocked_by: Some(Vec::new()),
            created_at: at,
            started_at: None,
            completed_at: None,
            context_snapshot: row.metadata.cloned(),
            result: None,
            external_key: Some(row.key),
        };
        set_subtask_status(&mut subtask, status, at);
        create_subtask(self.state, Some(self.session), &subtask, at);
        self.created.subtasks += 1;
        subtask
    }

    /// The main agent's subtask of a request.
    fn main_subtask(&mut self, request: &Request, at: Timestamp) -> Subtask {
        // A request that came over REST has no key; its id serves.
        let key = main_key(request.external_key.as_deref().unwrap_or(&request.id.to_string()));
        if let Some(subtask) = self.state.subtask_keyed(self.session, &key) {
            return subtask.clone();
        }
        let row = NewSubtask {
            key,
            agent_id: Some(self.session.to_owned()),
            agent_type: Some(MAIN_AGENT.to_owned()),
            description: Some(first_line(&request.prompt)),
            metadata: None,
        };
        self.create_row(request, at, SubtaskStatus::Running, row)
    }

    fn create_agent(
        &mut self,
        agent: &str,
        at: Timestamp,
        prompt_key: Option<&str>,
        agent_type: Option<&str>,
        description: Option<&str>,
        metadata: Option<&JsonObject>,
    ) -> Subtask {
        let request = self.request_for(prompt_key, at);
        let row = NewSubtask {
            key: agent_key(agent),
            agent_id: Some(agent.to_owned()),
            agent_type: non_empty(agent_type),
            description: non_empty(description),
            metadata,
        };
        self.create_row(&request, at, SubtaskStatus::Running, row)
    }

    fn create_entry(&mut self, task: &str, at: Timestamp, subject: &str, agent: Option<&str>) -> Subtask {
        let request = self.request_for(None, at);
        let row = NewSubtask {
            key: entry_key(task),
            agent_id: agent.map(str::to_owned),
            agent_type: None,
            description: Some(subject.to_owned()),
            metadata: None,
        };
        self.create_row(&request, at, SubtaskStatus::Pending, row)
    }

    fn agent_started(
        &mut self,
        agent: &str,
        at: Timestamp,
        prompt_key: Option<&str>,
        agent_type: Option<&str>,
        description: Option<&str>,
        metadata: Option<&JsonObject>,
    ) -> Novelty {
        let Some(known) = self.state.subtask_keyed(self.session, &agent_key(agent)).cloned() else {
            self.create_agent(agent, at, prompt_key, agent_type, description, metadata);
            return Novelty::Created;
        };
        // It may have been seen first by what it did.
        let mut subtask = known.clone();
        subtask.agent_type = subtask.agent_type.or_else(|| non_empty(agent_type));
        subtask.description = subtask.description.or_else(|| non_empty(description));
        subtask.context_snapshot = subtask.context_snapshot.or_else(|| metadata.cloned());
        subtask.created_at = subtask.created_at.min(at);
        subtask.started_at = subtask.started_at.map(|started| started.min(at));
        if subtask == known {
            return Novelty::Known;
        }
        change_subtask(self.state, Some(self.session), &subtask, known.status, at);
        Novelty::Updated
    }

    /// Ends a subtask, or takes what is newer of one that has ended already.
    fn end_subtask(
        &mut self,
        mut subtask: Subtask,
        at: Timestamp,
        result: Option<&str>,
        failed: bool,
    ) -> Novelty {
        let before = self.state.subtasks.get(&subtask.id).cloned();
        let reaped = subtask.result.as_ref().is_some_and(|result| result.get("failed_by").is_some());
        let over = subtask.completed_at.is_some_and(|ended| ended >= at) && subtask.status.is_final();
        if !over || reaped {
            let status = if failed { SubtaskStatus::Failed } else { SubtaskStatus::Completed };
            set_subtask_status(&mut subtask, status, at);
            subtask.completed_at = Some(at);
            if reaped {
                subtask.result = None;
            }
            if let Some(result) = result {
                subtask.result =
                    Some(JsonObject::from_value(json!({"message": cut_text(result, TEXT_LIMIT)})));
            }
        } else if let (None, Some(result)) = (&subtask.result, result) {
            subtask.result = Some(JsonObject::from_value(json!({"message": cut_text(result, TEXT_LIMIT)})));
        }
        if before.as_ref() == Some(&subtask) {
            return Novelty::Known;
        }
        let status = before.map_or(SubtaskStatus::Pending, |before| before.status);
        change_subtask(self.state, Some(self.session), &subtask, status, at);
        Novelty::Updated
    }

    fn tool_used(&mut self, observation: &Observation) -> Novelty {
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
        } = observation
        else {
            return Novelty::Known;
        };
        let owner = if let Some(agent) = agent_id {
            let known = self.state.subtask_keyed(self.session, &agent_key(agent)).cloned();
            known.unwrap_or_else(|| self.create_agent(agent, *at, prompt_key.as_deref(), None, None, None))
        } else {
            let request = self.request_for(prompt_key.as_deref(), *at);
            self.main_subtask(&request, *at)
        };
        if let Some(known) = self.state.action_keyed(self.session, tool_use_id) {
            // Only an observation that says whose call it was may correct the owner.
            let says_owner = agent_id.is_some() || prompt_key.is_some();
            let (id, wrong) = (known.id, says_owner && known.subtask_id != Some(owner.id));
            if wrong {
                self.state.own_action(id, Some(owner.id));
            }
            return updated_if(wrong);
        }
        let action = Action {
            id: self.state.ids.next(),
            subtask_id: Some(owner.id),
            session_id: Some(self.session.to_owned()),
            tool_use_id: Some(tool_use_id.clone()),
            tool_name: tool_name.clone(),
            tool_type: tool_type.unwrap_or_else(|| tool_type_of(tool_name)),
            input: stored_text(input.as_deref()),
            output: stored_text(output.as_deref()),
            file_paths: file_paths.clone(),
            exit_code: *exit_code,
            duration_ms: *duration_ms,
            created_at: *at,
            metadata: JsonObject::default(),
        };
        record_action(self.state, action, true);
        self.created.actions += 1;
        Novelty::Created
    }

    fn compacted(
        &mut self,
        key: &str,
        at: Timestamp,
        trigger: Option<&str>,
        summary: Option<&str>,
        metadata: Option<&JsonObject>,
    ) -> Novelty {
        touch_session(self.state, self.session, at, None);
        let of_key = |one: &&Compaction| one.session_id == self.session && one.external_key == key;
        let known = self.state.compactions.iter().find(of_key).cloned();
        let compaction = Compaction {
            id: known.as_ref().map_or_else(|| self.state.ids.next(), |known| known.id),
            session_id: self.session.to_owned(),
            external_key: key.to_owned(),
            trigger: trigger
                .map(str::to_owned)
                .or_else(|| known.as_ref().and_then(|known| known.trigger.clone())),
            summary: summary
                .map(str::to_owned)
                .or_else(|| known.as_ref().and_then(|known| known.summary.clone())),
            snapshot: known.as_ref().and_then(|known| known.snapshot.clone()),
            metadata: known
                .as_ref()
                .map_or_else(
                    || JsonObject::from_value(json!({"agent_id": self.session})),
                    |known| known.metadata.clone(),
                )
                .merged_with(&metadata.cloned().unwrap_or_default()),
            created_at: known.as_ref().map_or(at, |known| known.created_at),
        };
        if known.as_ref() == Some(&compaction) {
            return Novelty::Known;
        }
        mark_requests(self.state, self.session, at, compaction.summary.as_deref(), Some(self.session));
        self.state.compactions.put(compaction.id, compaction);
        emit_session(self.state, "session.updated", self.session);
        if known.is_some() {
            return Novelty::Updated;
        }
        self.created.compactions += 1;
        Novelty::Created
    }
}

/// What a new subtask holds besides what all have.
struct NewSubtask<'a> {
    key: String,
    agent_id: Option<String>,
    agent_type: Option<String>,
    description: Option<String>,
    metadata: Option<&'a JsonObject>,
}

fn non_empty(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The first line of a prompt, at most 200 characters: what its main agent is at.
fn first_line(prompt: &str) -> String {
    prompt.trim_start().lines().next().unwrap_or_default().chars().take(200).collect()
}
