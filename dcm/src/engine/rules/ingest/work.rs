//! Requests, their wave 0, and the subtasks in it.

use serde_json::json;

use super::{Kind, Novelty, Observer, UNPROMPTED, entry_key, main_key, near};
use crate::engine::rules::roll_up::{emit_request, set_subtask_status};
use crate::engine::rules::subtasks::{change_subtask, create_subtask};
use crate::engine::rules::tasks::create_task;
use crate::hooks::UNSURE;
use crate::id::TaskId;
use crate::json::JsonObject;
use crate::model::{PromptType, Request, RequestStatus, Subtask, SubtaskStatus, TaskStatus};
use crate::observe::{TEXT_LIMIT, cut_text, first_line, prompt_type_of};
use crate::time::Timestamp;

/// The prompt of a request that something refers to but that was not observed itself.
const UNKNOWN_PROMPT: &str = "(the prompt was not recorded)";
/// The agent type of a session's main agent.
const MAIN_AGENT: &str = "main";

/// What a new subtask holds besides what all have.
pub(super) struct NewSubtask<'a> {
    pub(super) key: String,
    pub(super) agent_id: Option<String>,
    pub(super) agent_type: Option<String>,
    pub(super) description: Option<String>,
    pub(super) metadata: Option<&'a JsonObject>,
}

impl Observer<'_> {
    pub(super) fn prompt(
        &mut self,
        key: &str,
        at: Timestamp,
        text: &str,
        prompt_type: Option<PromptType>,
        metadata: Option<&JsonObject>,
    ) -> Novelty {
        let prompt_type = prompt_type.unwrap_or_else(|| prompt_type_of(text));
        if let Some(known) = self.state.request_keyed(self.session, key).cloned() {
            return self.prompt_known(known, at, text, prompt_type, metadata);
        }
        if let Some(same) = self.same_prompt(key, at, text) {
            if key.starts_with(UNSURE) {
                return Novelty::Known;
            }
            self.rekey_request(same, key);
            return Novelty::Updated(Kind::Request);
        }
        self.create_request(key, at, text, Some(prompt_type), metadata.cloned());
        Novelty::Created
    }

    /// A request of the same words and time, where one of the two observers had no id for it.
    fn same_prompt(&self, key: &str, at: Timestamp, text: &str) -> Option<Request> {
        let unsure = key.starts_with(UNSURE);
        let same = |request: &&Request| {
            request.session_id == self.session
                && request.external_key.as_deref().is_some_and(|other| unsure || other.starts_with(UNSURE))
                && request.prompt == text
                && near(request.created_at, at)
        };
        self.state.requests.iter().find(same).cloned()
    }

    /// Gives a request, and its main agent's subtask, the key that the client has for it.
    fn rekey_request(&mut self, mut request: Request, key: &str) {
        let old = request.external_key.replace(key.to_owned()).unwrap_or_default();
        let main = self.state.subtask_keyed(self.session, &main_key(&old)).cloned();
        self.state.put_request(request);
        if let Some(mut main) = main {
            main.external_key = Some(main_key(key));
            self.state.put_subtask(Some(self.session), main);
        }
    }

    fn prompt_known(
        &mut self,
        mut request: Request,
        at: Timestamp,
        text: &str,
        prompt_type: PromptType,
        metadata: Option<&JsonObject>,
    ) -> Novelty {
        let before = request.clone();
        if request.prompt == UNKNOWN_PROMPT {
            text.clone_into(&mut request.prompt);
            request.prompt_type = Some(prompt_type);
            request.created_at = request.created_at.min(at);
            self.describe_main(&before, text, at);
        }
        if let Some(metadata) = metadata {
            request.metadata = request.metadata.merged_with(metadata);
        }
        if request == before {
            return Novelty::Known;
        }
        emit_request(self.state, "request.updated", &request);
        self.state.put_request(request);
        Novelty::Updated(Kind::Request)
    }

    /// The prompt of a request was not known when its main agent's subtask was made.
    fn describe_main(&mut self, request: &Request, text: &str, at: Timestamp) {
        let key = main_key(request.external_key.as_deref().unwrap_or_default());
        let Some(known) = self.state.subtask_keyed(self.session, &key).cloned() else { return };
        let mut main = known.clone();
        main.description = Some(first_line(text));
        main.created_at = main.created_at.min(at);
        main.started_at = main.started_at.map(|started| started.min(at));
        change_subtask(self.state, Some(self.session), &main, known.status, at);
    }

    /// A new request with its wave 0 and the main agent's subtask.
    fn create_request(
        &mut self,
        key: &str,
        at: Timestamp,
        text: &str,
        prompt_type: Option<PromptType>,
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
    pub(super) fn request_for(&mut self, prompt_key: Option<&str>, at: Timestamp) -> Request {
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
    pub(super) fn wave_zero(&mut self, request: &Request, at: Timestamp) -> TaskId {
        let of_request = |task: &&crate::model::Task| task.request_id == request.id && task.wave_number == 0;
        if let Some(task) = self.state.tasks.iter().find(of_request) {
            return task.id;
        }
        create_task(self.state, request.id, 0, None, TaskStatus::Running, at).id
    }

    pub(super) fn create_row(
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
    pub(super) fn main_subtask(&mut self, request: &Request, at: Timestamp) -> Subtask {
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

    pub(super) fn entry_created(
        &mut self,
        task: &str,
        at: Timestamp,
        prompt_key: Option<&str>,
        subject: &str,
        agent: Option<&str>,
    ) -> Novelty {
        let Some(known) = self.state.subtask_keyed(self.session, &entry_key(task)).cloned() else {
            self.create_entry(task, at, prompt_key, subject, agent);
            return Novelty::Created;
        };
        // An entry that was first seen when it was completed has its id for a subject.
        if known.description.as_deref() != Some(task) || subject == task {
            return Novelty::Known;
        }
        let mut entry = known.clone();
        entry.description = Some(subject.to_owned());
        entry.agent_id = entry.agent_id.or_else(|| agent.map(str::to_owned));
        entry.created_at = entry.created_at.min(at);
        change_subtask(self.state, Some(self.session), &entry, known.status, at);
        Novelty::Updated(Kind::Subtask)
    }

    fn create_entry(
        &mut self,
        task: &str,
        at: Timestamp,
        prompt_key: Option<&str>,
        subject: &str,
        agent: Option<&str>,
    ) -> Subtask {
        let request = self.request_for(prompt_key, at);
        let row = NewSubtask {
            key: entry_key(task),
            agent_id: agent.map(str::to_owned),
            agent_type: None,
            description: Some(subject.to_owned()),
            metadata: None,
        };
        self.create_row(&request, at, SubtaskStatus::Pending, row)
    }

    pub(super) fn entry_completed(&mut self, task: &str, at: Timestamp, prompt_key: Option<&str>) -> Novelty {
        let known = self.state.subtask_keyed(self.session, &entry_key(task)).cloned();
        match known {
            // Its tool and its event both say so, and the transcript once more.
            Some(entry) if entry.status == SubtaskStatus::Completed => Novelty::Known,
            Some(entry) => self.end_subtask(entry, at, None, false),
            None => {
                let entry = self.create_entry(task, at, prompt_key, task, None);
                self.end_subtask(entry, at, None, false);
                Novelty::Created
            }
        }
    }

    /// Ends a subtask, or takes what is newer of one that has ended already.
    pub(super) fn end_subtask(
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
        Novelty::Updated(Kind::Subtask)
    }
}
