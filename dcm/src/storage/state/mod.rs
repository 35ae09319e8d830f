//! What a batch of commands may look at and change: loaded by a store, worked on by pure rules, written back.

mod changes;
mod footprint;
mod outcome;
mod removal;
mod table;
mod touched;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

pub use changes::{ActionAnswer, Changes, NewEvent, Remembered};
pub use footprint::Footprint;
pub use table::{RowChanges, Table};

use super::brief::{FailureChange, OpenFailure};
use crate::id::{
    ActionId, AgentContextId, BlockingId, CompactionId, EventId, IdSource, MessageId, ProjectId, RequestId,
    SubscriptionId, SubtaskId, TaskId,
};
use crate::json::JsonObject;
use crate::model::{
    Action, AgentContext, Blocking, Compaction, HookState, Message, Project, Receipt, Request, RequestStatus,
    Session, Subscription, Subtask, SubtaskStatus, Task, TaskStatus,
};
use crate::time::Timestamp;

/// How the children of a task or request stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Children.
    pub total: i64,
    /// Those that are not finished.
    pub open: i64,
    /// Those that failed.
    pub failed: i64,
    /// The highest wave number among them; tasks of a request only.
    pub max_wave: Option<i32>,
}

impl Tally {
    /// Counts one more child (`sign` 1) or one less (`sign` -1).
    fn count(&mut self, open: bool, failed: bool, sign: i64) {
        self.total += sign;
        self.open += if open { sign } else { 0 };
        self.failed += if failed { sign } else { 0 };
    }
}

/// An action that is stored already: as much of it as rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAction {
    /// Its id.
    pub id: ActionId,
    /// The session it was made in.
    pub session_id: Option<String>,
    /// The client's own id of the call.
    pub tool_use_id: Option<String>,
    /// The piece of work it was part of.
    pub subtask_id: Option<SubtaskId>,
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// Whether its outcome is not known yet, see [`Action::is_unanswered`].
    pub unanswered: bool,
}

/// A stored tool call that succeeded: as much of it as says what it tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterSuccess {
    /// The session it was made in.
    pub session_id: String,
    /// The tool.
    pub tool_name: String,
    /// What went in; its beginning.
    pub input: Option<String>,
    /// The files it touched.
    pub file_paths: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The loaded rows and what the rules have made of them so far.
#[derive(Debug)]
pub struct State {
    /// The time of the batch.
    pub now: Timestamp,
    /// Where new ids come from.
    pub ids: IdSource,
    /// Projects.
    pub projects: Table<ProjectId, Project>,
    /// Sessions.
    pub sessions: Table<String, Session>,
    /// Requests.
    pub requests: Table<RequestId, Request>,
    /// How the tasks of each loaded request stand.
    pub request_tallies: Table<RequestId, Tally>,
    /// Tasks.
    pub tasks: Table<TaskId, Task>,
    /// How the subtasks of each loaded task stand.
    pub task_tallies: Table<TaskId, Tally>,
    /// Subtasks.
    pub subtasks: Table<SubtaskId, Subtask>,
    /// Stored actions that were asked for.
    pub known_actions: Table<ActionId, KnownAction>,
    /// Successful calls of the sessions in [`Footprint::later_successes`].
    pub later_successes: Vec<LaterSuccess>,
    /// When the newest action was made that retention removed, of each session in [`Footprint::action_keys`].
    pub removed_actions: HashMap<String, Timestamp>,
    /// How many stored actions the sessions in [`Footprint::action_sessions`] have.
    pub action_counts: HashMap<String, i64>,
    /// Messages.
    pub messages: Table<MessageId, Message>,
    /// Reading marks.
    pub message_reads: Table<(MessageId, String), Timestamp>,
    /// Which of the names in [`Footprint::agents`] are known. A store may say so for some seconds after it was true.
    pub known_agents: BTreeSet<String>,
    /// Agents at work whose type is one of the names in [`Footprint::agents`]: type, agent, project.
    pub open_agents: Vec<(String, String, Option<ProjectId>)>,
    /// Subscriptions.
    pub subscriptions: Table<SubscriptionId, Subscription>,
    /// Blockings.
    pub blockings: Table<BlockingId, Blocking>,
    /// Compactions.
    pub compactions: Table<CompactionId, Compaction>,
    /// What is remembered of sessions between the events of their hooks.
    pub hooks: Table<String, HookState>,
    /// How many stored actions the subtasks in [`Footprint::subtask_actions`] have.
    pub subtask_action_counts: HashMap<SubtaskId, i64>,
    /// Those of [`Footprint::stuck_subtasks`] that run and were not heard of.
    pub stuck_subtasks: BTreeSet<SubtaskId>,
    /// Messages among [`State::messages`] that the agents in [`Footprint::mail`] may not have read.
    pub mail: BTreeSet<MessageId>,
    /// Which of the agents in [`Footprint::senders`] ever wrote.
    pub known_senders: BTreeSet<String>,
    /// Receipts.
    pub receipts: Table<(MessageId, String), Receipt>,
    /// Contexts of agents; written without being loaded.
    pub agent_contexts: Table<AgentContextId, AgentContext>,
    /// Kept outcomes.
    pub remembered: Table<String, Remembered>,
    answers: Table<ActionId, ActionAnswer>,
    new_actions: Table<ActionId, Action>,
    removed_action_sessions: Table<String, ()>,
    failures: Table<(String, String), FailureChange>,
    /// When what is tried last succeeded, by session and subject; made of `later_successes` when it is first asked for.
    mended: Option<HashMap<(String, String), Timestamp>>,
    events: Vec<NewEvent>,
    kept_events: usize,
    project_paths: HashMap<String, ProjectId>,
    session_places: HashMap<String, touched::Place>,
    request_keys: HashMap<(String, String), RequestId>,
    subtask_keys: HashMap<(String, String), SubtaskId>,
    action_keys: HashMap<(String, String), ActionId>,
}

fn id_of<K: Hash + Eq, V: Copy>(index: &HashMap<K, V>, key: &K) -> Option<V> {
    index.get(key).copied()
}

impl State {
    /// An empty state for a batch that is decided at `now`.
    #[must_use]
    pub fn new(now: Timestamp, ids: IdSource) -> Self {
        Self {
            now,
            ids,
            projects: Table::default(),
            sessions: Table::default(),
            requests: Table::default(),
            request_tallies: Table::default(),
            tasks: Table::default(),
            task_tallies: Table::default(),
            subtasks: Table::default(),
            known_actions: Table::default(),
            later_successes: Vec::new(),
            mended: None,
            removed_actions: HashMap::new(),
            action_counts: HashMap::new(),
            messages: Table::default(),
            message_reads: Table::default(),
            known_agents: BTreeSet::new(),
            open_agents: Vec::new(),
            subscriptions: Table::default(),
            blockings: Table::default(),
            compactions: Table::default(),
            hooks: Table::default(),
            subtask_action_counts: HashMap::new(),
            stuck_subtasks: BTreeSet::new(),
            mail: BTreeSet::new(),
            known_senders: BTreeSet::new(),
            receipts: Table::default(),
            agent_contexts: Table::default(),
            remembered: Table::default(),
            answers: Table::default(),
            new_actions: Table::default(),
            removed_action_sessions: Table::default(),
            failures: Table::default(),
            events: Vec::new(),
            kept_events: 0,
            project_paths: HashMap::new(),
            session_places: HashMap::new(),
            request_keys: HashMap::new(),
            subtask_keys: HashMap::new(),
            action_keys: HashMap::new(),
        }
    }

    /// Takes a stored project.
    pub fn load_project(&mut self, project: Project) {
        self.project_paths.insert(project.path.clone(), project.id);
        self.projects.load(project.id, project);
    }

    /// Takes a stored request.
    pub fn load_request(&mut self, request: Request) {
        if let Some(key) = &request.external_key {
            self.request_keys.insert((request.session_id.clone(), key.clone()), request.id);
        }
        self.requests.load(request.id, request);
    }

    /// Takes a stored subtask of `session_id`.
    pub fn load_subtask(&mut self, session_id: Option<&str>, subtask: Subtask) {
        if let (Some(session), Some(key)) = (session_id, &subtask.external_key) {
            self.subtask_keys.insert((session.to_owned(), key.clone()), subtask.id);
        }
        self.subtasks.load(subtask.id, subtask);
    }

    /// Takes a stored action.
    pub fn load_action(&mut self, action: KnownAction) {
        if let (Some(session), Some(key)) = (&action.session_id, &action.tool_use_id) {
            self.action_keys.insert((session.clone(), key.clone()), action.id);
        }
        self.known_actions.load(action.id, action);
    }

    /// The project at `path`.
    #[must_use]
    pub fn project_at(&self, path: &str) -> Option<&Project> {
        id_of(&self.project_paths, &path.to_owned()).and_then(|id| self.projects.get(&id))
    }

    /// The request of `session` that ingest knows as `key`.
    #[must_use]
    pub fn request_keyed(&self, session: &str, key: &str) -> Option<&Request> {
        let id = id_of(&self.request_keys, &(session.to_owned(), key.to_owned()))?;
        self.requests.get(&id)
    }

    /// The subtask of `session` that ingest knows as `key`.
    #[must_use]
    pub fn subtask_keyed(&self, session: &str, key: &str) -> Option<&Subtask> {
        let id = id_of(&self.subtask_keys, &(session.to_owned(), key.to_owned()))?;
        self.subtasks.get(&id)
    }

    /// The action of `session` whose call the client knows as `key`.
    #[must_use]
    pub fn action_keyed(&self, session: &str, key: &str) -> Option<&KnownAction> {
        let id = id_of(&self.action_keys, &(session.to_owned(), key.to_owned()))?;
        self.known_actions.get(&id)
    }

    /// Writes a project.
    pub fn put_project(&mut self, project: Project) {
        self.project_paths.insert(project.path.clone(), project.id);
        self.projects.put(project.id, project);
    }

    /// Writes a request.
    pub fn put_request(&mut self, request: Request) {
        if let Some(key) = &request.external_key {
            self.request_keys.insert((request.session_id.clone(), key.clone()), request.id);
        }
        self.requests.put(request.id, request);
    }

    /// Writes a task and counts it at its request.
    pub fn put_task(&mut self, task: Task) {
        let before = self.tasks.get(&task.id).map(|old| old.status);
        let mut tally = self.request_tallies.get(&task.request_id).copied().unwrap_or_default();
        if let Some(status) = before {
            tally.count(!status.is_final(), status == TaskStatus::Failed, -1);
        }
        tally.count(!task.status.is_final(), task.status == TaskStatus::Failed, 1);
        tally.max_wave = tally.max_wave.max(Some(task.wave_number));
        self.request_tallies.put(task.request_id, tally);
        if before.is_none() {
            self.task_tallies.put(task.id, Tally::default());
        }
        self.tasks.put(task.id, task);
    }

    /// Writes a subtask of `session` and counts it at its task.
    pub fn put_subtask(&mut self, session: Option<&str>, subtask: Subtask) {
        let before = self.subtasks.get(&subtask.id).map(|old| old.status);
        let mut tally = self.task_tallies.get(&subtask.task_list_id).copied().unwrap_or_default();
        if let Some(status) = before {
            tally.count(!status.is_final(), status == SubtaskStatus::Failed, -1);
        }
        tally.count(!subtask.status.is_final(), subtask.status == SubtaskStatus::Failed, 1);
        self.task_tallies.put(subtask.task_list_id, tally);
        if let (Some(session), Some(key)) = (session, &subtask.external_key) {
            self.subtask_keys.insert((session.to_owned(), key.clone()), subtask.id);
        }
        self.subtasks.put(subtask.id, subtask);
    }

    /// Gives a subtask to another task and counts it there.
    pub fn move_subtask(&mut self, id: SubtaskId, task: TaskId) {
        let Some(mut subtask) = self.subtasks.get(&id).cloned() else { return };
        let (open, failed) = (!subtask.status.is_final(), subtask.status == SubtaskStatus::Failed);
        for (task, sign) in [(subtask.task_list_id, -1), (task, 1)] {
            let mut tally = self.task_tallies.get(&task).copied().unwrap_or_default();
            tally.count(open, failed, sign);
            self.task_tallies.put(task, tally);
        }
        subtask.task_list_id = task;
        self.subtasks.put(id, subtask);
    }

    /// Inserts an action.
    pub fn insert_action(&mut self, action: Action) {
        if let (Some(session), Some(key)) = (&action.session_id, &action.tool_use_id) {
            self.action_keys.insert((session.clone(), key.clone()), action.id);
        }
        let known = KnownAction {
            id: action.id,
            session_id: action.session_id.clone(),
            tool_use_id: action.tool_use_id.clone(),
            subtask_id: action.subtask_id,
            exit_code: action.exit_code,
            unanswered: action.is_unanswered(),
        };
        // The row itself is what is written.
        self.known_actions.put_unwritten(action.id, known);
        self.new_actions.put(action.id, action);
    }

    /// Gives an action to another subtask.
    pub fn own_action(&mut self, id: ActionId, subtask: Option<SubtaskId>) {
        if self.new_actions.get(&id).is_some() {
            self.new_actions.update(&id, |action| action.subtask_id = subtask);
        }
        self.known_actions.update(&id, |action| action.subtask_id = subtask);
    }

    /// Gives an action the outcome that was not known when it was recorded.
    pub fn answer_action(&mut self, id: ActionId, answer: ActionAnswer) {
        let exit_code = answer.exit_code;
        if self.new_actions.get(&id).is_some() {
            self.new_actions.update(&id, |action| {
                action.exit_code = answer.exit_code;
                action.output = answer.output;
                action.duration_ms = answer.duration_ms;
            });
        } else {
            self.answers.put(id, answer);
        }
        self.known_actions.update(&id, |action| {
            action.exit_code = exit_code;
            action.unanswered = false;
        });
    }

    /// Whether a subtask in [`Footprint::subtask_actions`] has actions.
    #[must_use]
    pub fn has_actions(&self, id: SubtaskId) -> bool {
        self.subtask_action_counts.get(&id).is_some_and(|count| *count > 0)
            || self.known_actions.iter().any(|action| action.subtask_id == Some(id))
    }

    /// Writes a new message.
    pub fn post_message(&mut self, message: Message) {
        self.mail.insert(message.id);
        self.known_senders.extend(message.from_agent.clone());
        self.messages.put(message.id, message);
    }

    /// Removes an action.
    pub fn remove_action(&mut self, id: ActionId) -> Option<KnownAction> {
        self.new_actions.remove(&id);
        self.answers.remove(&id);
        self.known_actions.remove(&id)
    }

    /// Removes every action of `session` and answers how many there were.
    pub fn remove_actions_of(&mut self, session: &str) -> i64 {
        self.removed_action_sessions.put(session.to_owned(), ());
        self.action_counts.get(session).copied().unwrap_or(0)
    }

    /// Notes that what `subject` stands for failed in `session`, unless a stored call of the same succeeded since;
    /// `subjects_of` says what such a call stands for.
    pub fn note_failure<Subjects: IntoIterator<Item = String>>(
        &mut self,
        session: &str,
        subject: String,
        failure: OpenFailure,
        subjects_of: impl Fn(&LaterSuccess) -> Subjects,
    ) {
        let successes = &self.later_successes;
        let mended = self.mended.get_or_insert_with(|| {
            let mut mended = HashMap::new();
            for success in successes {
                for subject in subjects_of(success) {
                    let last =
                        mended.entry((success.session_id.clone(), subject)).or_insert(success.created_at);
                    *last = success.created_at.max(*last);
                }
            }
            mended
        });
        let key = (session.to_owned(), subject);
        if mended.get(&key).is_some_and(|mended| *mended >= failure.failed_at) {
            return;
        }
        let earlier = self.failures.get(&key).cloned().unwrap_or_default();
        self.failures.put(key, earlier.failed(failure));
    }

    /// Notes that what `subject` stands for succeeded in `session`, so an earlier failure of it is mended.
    pub fn note_success(&mut self, session: &str, subject: String, at: Timestamp) {
        let key = (session.to_owned(), subject);
        let earlier = self.failures.get(&key).cloned().unwrap_or_default();
        self.failures.put(key, earlier.mended(at));
    }

    /// Says that something happened; `channels` are those besides `global`.
    pub fn emit(
        &mut self,
        name: &'static str,
        channels: impl IntoIterator<Item = String>,
        data: serde_json::Value,
        summary: serde_json::Value,
    ) {
        self.emit_raw(name, channels, JsonObject::from_value(data), JsonObject::from_value(summary));
    }

    /// The same for what is handed on as it came; answers the id of the event.
    pub fn emit_raw(
        &mut self,
        name: &'static str,
        channels: impl IntoIterator<Item = String>,
        data: JsonObject,
        summary: JsonObject,
    ) -> EventId {
        let id = self.ids.next();
        let mut unique: Vec<String> = Vec::new();
        for channel in channels {
            if !unique.contains(&channel) {
                unique.push(channel);
            }
        }
        self.events.push(NewEvent { id, name, at: self.now, channels: unique, data, summary });
        id
    }

    /// Where a subtask's session is known, its id.
    #[must_use]
    pub fn session_of_task(&self, task: TaskId) -> Option<&str> {
        Some(&self.request_of_task(task)?.session_id)
    }

    /// The request that a task is of, if it is loaded or new.
    #[must_use]
    pub fn request_of_task(&self, task: TaskId) -> Option<&Request> {
        self.requests.get(&self.tasks.get(&task)?.request_id)
    }

    /// The newest request of `session` at the instant `at`, else the first one after it, among those that are loaded
    /// or new.
    #[must_use]
    pub fn request_at(&self, session: &str, at: Timestamp) -> Option<&Request> {
        let of_session = || self.requests.iter().filter(|request| request.session_id == session);
        let before = of_session().filter(|request| request.created_at <= at);
        before
            .max_by_key(|request| (request.created_at, request.id))
            .or_else(|| of_session().min_by_key(|request| (request.created_at, request.id)))
    }

    /// Every request of `session` that is loaded or new.
    #[must_use]
    pub fn requests_of(&self, session: &str) -> Vec<RequestId> {
        self.requests
            .iter()
            .filter(|request| request.session_id == session)
            .map(|request| request.id)
            .collect()
    }
}

/// The channels of an agent: by its id and by its type.
pub(crate) fn agent_channels(id: Option<&str>, kind: Option<&str>) -> impl Iterator<Item = String> {
    [id, kind]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .map(|name| format!("agents/{name}"))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The channel of a session.
pub(crate) fn session_channel(id: Option<&str>) -> Option<String> {
    id.filter(|id| !id.is_empty()).map(|id| format!("sessions/{id}"))
}

/// Whether a request's status lets new work open it again.
pub(crate) fn reopens(status: RequestStatus) -> bool {
    matches!(status, RequestStatus::Completed | RequestStatus::Failed)
}
