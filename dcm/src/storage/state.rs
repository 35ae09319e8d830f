//! What a batch of commands may look at and change: loaded by a store, worked on by pure rules, written back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

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

/// What a batch of commands needs to see before it can be decided.
///
/// A store loads the rows that are named here and what they hang on: a subtask brings its task, a task its request,
/// each of them with its [`Tally`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Projects by id.
    pub projects: BTreeSet<ProjectId>,
    /// Projects by path, to be changed: nobody else decides on them at the same time.
    pub project_paths: BTreeSet<String>,
    /// Projects by path, to be found, or made when there is none: of two that are made at once a store refuses one,
    /// whose batch is then decided again.
    pub found_paths: BTreeSet<String>,
    /// Sessions by id.
    pub sessions: BTreeSet<String>,
    /// Requests by id.
    pub requests: BTreeSet<RequestId>,
    /// Requests by session and external key.
    pub request_keys: BTreeSet<(String, String)>,
    /// Sessions whose newest request at (or before) the instant is needed, and all later ones.
    pub newest_requests: BTreeMap<String, Timestamp>,
    /// Sessions all of whose requests are needed.
    pub session_requests: BTreeSet<String>,
    /// Tasks by id.
    pub tasks: BTreeSet<TaskId>,
    /// Whether the tasks of the requests that are found by key are needed too.
    pub tasks_of_keyed_requests: bool,
    /// Subtasks by id.
    pub subtasks: BTreeSet<SubtaskId>,
    /// Subtasks by session and external key.
    pub subtask_keys: BTreeSet<(String, String)>,
    /// Actions by id.
    pub actions: BTreeSet<ActionId>,
    /// Actions by session and tool use id.
    pub action_keys: BTreeSet<(String, String)>,
    /// Sessions whose actions are counted.
    pub action_sessions: BTreeSet<String>,
    /// Messages by id.
    pub messages: BTreeSet<MessageId>,
    /// Reading marks by message and agent.
    pub message_reads: BTreeSet<(MessageId, String)>,
    /// Names of which must be known whether anything was ever heard of them, and which agents of that type are at work.
    pub agents: BTreeSet<String>,
    /// Subscriptions by id.
    pub subscriptions: BTreeSet<SubscriptionId>,
    /// Subscriptions by agent and topic.
    pub subscription_pairs: BTreeSet<(String, String)>,
    /// Blockings by id.
    pub blockings: BTreeSet<BlockingId>,
    /// Blockings by blocker and blocked.
    pub blocking_pairs: BTreeSet<(String, String)>,
    /// Sessions all of whose compactions are needed.
    pub session_compactions: BTreeSet<String>,
    /// Sessions of which must be known what their hooks told, and what waits for them.
    pub hook_states: BTreeSet<String>,
    /// Subtasks whose actions are counted.
    pub subtask_actions: BTreeSet<SubtaskId>,
    /// Agents whose unread mail is needed, with the receipts of what they were told and have not seen.
    pub mail: BTreeSet<String>,
    /// Kinds of agents whose mail is needed too.
    pub mail_kinds: BTreeSet<String>,
    /// Agents of which must be known whether they ever wrote.
    pub senders: BTreeSet<String>,
    /// Receipts by message and agent.
    pub receipts: BTreeSet<(MessageId, String)>,
    /// Idempotency keys.
    pub idempotency_keys: BTreeSet<String>,
    /// Commands of the same sequence are committed in the order in which they were given; no lock, nothing to load.
    pub sequence: Option<String>,
}

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
    /// Whether neither its output nor its duration is known.
    pub unanswered: bool,
}

/// The outcome of an action that was recorded before it was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionAnswer {
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// What came out.
    pub output: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
}

/// An outcome that is kept for a repeated call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Hash of the call.
    pub fingerprint: String,
    /// Its outcome, as JSON.
    pub outcome: String,
}

/// An event on its way into the log.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its id, the same on every channel.
    pub id: EventId,
    /// Its name, such as `task.created`.
    pub name: &'static str,
    /// When it happened.
    pub at: Timestamp,
    /// The channels it belongs to besides `global`, without duplicates.
    pub channels: Vec<String>,
    /// What its own channels say.
    pub data: JsonObject,
    /// What `global` says: ids, types and statuses only.
    pub summary: JsonObject,
}

/// One row of a [`Table`].
#[derive(Debug, Clone)]
struct Entry<R> {
    row: Option<R>,
    stored: bool,
    changed: bool,
}

/// Rows of one kind with what became of them.
#[derive(Debug)]
pub struct Table<K, R> {
    entries: BTreeMap<K, Entry<R>>,
    undo: Vec<(K, Option<Entry<R>>)>,
}

impl<K, R> Default for Table<K, R> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Clone, R: Clone> Table<K, R> {
    /// Takes a row that a store holds.
    pub fn load(&mut self, key: K, row: R) {
        self.entries.insert(key, Entry { row: Some(row), stored: true, changed: false });
    }

    /// The row called `key`, if it exists at this point of the batch.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&R> {
        self.entries.get(key).and_then(|entry| entry.row.as_ref())
    }

    /// Every row that exists at this point of the batch.
    pub fn iter(&self) -> impl Iterator<Item = &R> {
        self.entries.values().filter_map(|entry| entry.row.as_ref())
    }

    /// Writes a row.
    pub fn put(&mut self, key: K, row: R) {
        let before = self.entries.get(&key).cloned();
        let stored = before.as_ref().is_some_and(|entry| entry.stored);
        self.undo.push((key.clone(), before));
        self.entries.insert(key, Entry { row: Some(row), stored, changed: true });
    }

    /// Changes the row called `key`, if it exists.
    pub fn update(&mut self, key: &K, change: impl FnOnce(&mut R)) {
        if let Some(mut row) = self.get(key).cloned() {
            change(&mut row);
            self.put(key.clone(), row);
        }
    }

    /// Removes the row called `key` and answers it.
    pub fn remove(&mut self, key: &K) -> Option<R> {
        let before = self.entries.get(key)?.clone();
        let row = before.row.clone()?;
        let stored = before.stored;
        self.undo.push((key.clone(), Some(before)));
        self.entries.insert(key.clone(), Entry { row: None, stored, changed: true });
        Some(row)
    }

    /// Forgets a row that goes with its parent: the store's own cascade removes it.
    fn forget(&mut self, key: &K) {
        if let Some(before) = self.entries.get(key).cloned() {
            self.undo.push((key.clone(), Some(before)));
            self.entries.insert(key.clone(), Entry { row: None, stored: false, changed: false });
        }
    }

    fn forget_where(&mut self, matches: impl Fn(&R) -> bool) -> Vec<K> {
        let keys: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.row.as_ref().is_some_and(&matches))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &keys {
            self.forget(key);
        }
        keys
    }

    fn keep(&mut self) {
        self.undo.clear();
    }

    fn undo(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(entry) => self.entries.insert(key, entry),
                None => self.entries.remove(&key),
            };
        }
    }

    /// The rows to write and the keys to remove.
    fn into_changes(self) -> RowChanges<K, R> {
        let mut changes = RowChanges { written: Vec::new(), removed: Vec::new() };
        for (key, entry) in self.entries {
            match entry {
                Entry { row: Some(row), changed: true, .. } => changes.written.push(row),
                Entry { row: None, changed: true, stored: true } => changes.removed.push(key),
                _ => {}
            }
        }
        changes
    }
}

/// What a batch does to one table.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChanges<K, R> {
    /// Rows to insert, or to replace where the id exists.
    pub written: Vec<R>,
    /// Ids to remove, with everything below them.
    pub removed: Vec<K>,
}

/// Everything a batch does, for a store to write in one transaction: first what is removed, then what is written
/// (parents before children), and last the events with their positions.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Changes {
    /// Projects. Removing one removes its requests and messages, and leaves its sessions without a project.
    pub projects: RowChanges<ProjectId, Project>,
    /// Sessions.
    pub sessions: RowChanges<String, Session>,
    /// Requests.
    pub requests: RowChanges<RequestId, Request>,
    /// Tasks.
    pub tasks: RowChanges<TaskId, Task>,
    /// Subtasks.
    pub subtasks: RowChanges<SubtaskId, Subtask>,
    /// The sessions of the written subtasks.
    pub subtask_sessions: BTreeMap<SubtaskId, String>,
    /// Tool calls that failed, and those that no longer do: by session and subject, in key order. They follow the
    /// actions.
    pub failures: Vec<((String, String), FailureChange)>,
    /// Actions to insert, by recorded time of the batch.
    pub actions: Vec<Action>,
    /// Actions that belong to another subtask than was thought.
    pub action_owners: Vec<(ActionId, Option<SubtaskId>)>,
    /// Outcomes of actions that were recorded without one.
    pub action_answers: Vec<(ActionId, ActionAnswer)>,
    /// Actions to remove.
    pub removed_actions: Vec<ActionId>,
    /// Sessions all of whose actions are to be removed.
    pub removed_action_sessions: Vec<String>,
    /// Messages.
    pub messages: RowChanges<MessageId, Message>,
    /// Reading marks to insert.
    pub message_reads: Vec<(MessageId, String, Timestamp)>,
    /// Subscriptions.
    pub subscriptions: RowChanges<SubscriptionId, Subscription>,
    /// Blockings.
    pub blockings: RowChanges<BlockingId, Blocking>,
    /// Compactions.
    pub compactions: RowChanges<CompactionId, Compaction>,
    /// What is remembered of sessions between the events of their hooks.
    pub hooks: Vec<(String, HookState)>,
    /// Receipts.
    pub receipts: Vec<Receipt>,
    /// Contexts of agents to insert, or to replace where the id exists and is not younger. They follow the actions.
    pub agent_contexts: Vec<AgentContext>,
    /// Outcomes to keep: key, fingerprint, outcome as JSON.
    pub idempotency: Vec<(String, Remembered)>,
    /// Events, in the order of their positions.
    pub events: Vec<NewEvent>,
    /// The time of the batch.
    pub now: Timestamp,
}

impl Changes {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        fn none<K, R>(changes: &RowChanges<K, R>) -> bool {
            changes.written.is_empty() && changes.removed.is_empty()
        }
        none(&self.projects)
            && none(&self.sessions)
            && none(&self.requests)
            && none(&self.tasks)
            && none(&self.subtasks)
            && none(&self.messages)
            && none(&self.subscriptions)
            && none(&self.blockings)
            && none(&self.compactions)
            && self.actions.is_empty()
            && self.action_owners.is_empty()
            && self.action_answers.is_empty()
            && self.hooks.is_empty()
            && self.receipts.is_empty()
            && self.removed_actions.is_empty()
            && self.removed_action_sessions.is_empty()
            && self.message_reads.is_empty()
            && self.failures.is_empty()
            && self.agent_contexts.is_empty()
            && self.idempotency.is_empty()
            && self.events.is_empty()
    }
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
    /// How many stored actions the sessions in [`Footprint::action_sessions`] have.
    pub action_counts: HashMap<String, i64>,
    /// Messages.
    pub messages: Table<MessageId, Message>,
    /// Reading marks.
    pub message_reads: Table<(MessageId, String), Timestamp>,
    /// Which of the names in [`Footprint::agents`] were ever heard of.
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
    events: Vec<NewEvent>,
    kept_events: usize,
    project_paths: HashMap<String, ProjectId>,
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
        if let Some(count) =
            action.session_id.as_ref().and_then(|session| self.action_counts.get_mut(session))
        {
            *count += 1;
        }
        let known = KnownAction {
            id: action.id,
            session_id: action.session_id.clone(),
            tool_use_id: action.tool_use_id.clone(),
            subtask_id: action.subtask_id,
            exit_code: action.exit_code,
            unanswered: action.output.is_none() && action.duration_ms.is_none(),
        };
        // Marked as unchanged: the row itself is what is written.
        self.known_actions.undo.push((action.id, None));
        self.known_actions
            .entries
            .insert(action.id, Entry { row: Some(known), stored: false, changed: false });
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
        let of_session = |action: &KnownAction| action.session_id.as_deref() == Some(session);
        for id in self.known_actions.forget_where(of_session) {
            self.new_actions.forget(&id);
        }
        self.removed_action_sessions.put(session.to_owned(), ());
        self.action_counts.insert(session.to_owned(), 0).unwrap_or(0)
    }

    /// Notes that what `subject` stands for failed in `session`.
    pub fn note_failure(&mut self, session: &str, subject: String, failure: OpenFailure) {
        let key = (session.to_owned(), subject);
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
        let mut unique: Vec<String> = Vec::new();
        for channel in channels {
            if !unique.contains(&channel) {
                unique.push(channel);
            }
        }
        self.emit_raw(name, unique, JsonObject::from_value(data), JsonObject::from_value(summary));
    }

    /// The same for what is handed on as it came; answers the id of the event.
    pub fn emit_raw(
        &mut self,
        name: &'static str,
        channels: Vec<String>,
        data: JsonObject,
        summary: JsonObject,
    ) -> EventId {
        let id = self.ids.next();
        self.events.push(NewEvent { id, name, at: self.now, channels, data, summary });
        id
    }

    /// Removes a project with everything below it.
    pub fn remove_project(&mut self, id: ProjectId) -> Option<Project> {
        let project = self.projects.remove(&id)?;
        for request in self.requests.forget_where(|request| request.project_id == Some(id)) {
            self.forget_tasks_of(request);
        }
        self.messages.forget_where(|message| message.project_id == Some(id));
        let sessions: Vec<String> = self
            .sessions
            .iter()
            .filter(|session| session.project_id == Some(id))
            .map(|session| session.id.clone())
            .collect();
        for session in sessions {
            self.sessions.update(&session, |session| session.project_id = None);
        }
        Some(project)
    }

    /// Removes a request with everything below it.
    pub fn remove_request(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        self.forget_tasks_of(id);
        Some(request)
    }

    /// Removes a task with everything below it.
    pub fn remove_task(&mut self, id: TaskId) -> Option<Task> {
        let task = self.tasks.remove(&id)?;
        if let Some(mut tally) = self.request_tallies.get(&task.request_id).copied() {
            tally.count(!task.status.is_final(), task.status == TaskStatus::Failed, -1);
            self.request_tallies.put(task.request_id, tally);
        }
        self.forget_subtasks_of(id);
        Some(task)
    }

    /// Removes a subtask with its actions.
    pub fn remove_subtask(&mut self, id: SubtaskId) -> Option<Subtask> {
        let subtask = self.subtasks.remove(&id)?;
        if let Some(mut tally) = self.task_tallies.get(&subtask.task_list_id).copied() {
            tally.count(!subtask.status.is_final(), subtask.status == SubtaskStatus::Failed, -1);
            self.task_tallies.put(subtask.task_list_id, tally);
        }
        self.forget_actions_of(id);
        Some(subtask)
    }

    fn forget_tasks_of(&mut self, request: RequestId) {
        for task in self.tasks.forget_where(|task| task.request_id == request) {
            self.forget_subtasks_of(task);
        }
    }

    fn forget_subtasks_of(&mut self, task: TaskId) {
        for subtask in self.subtasks.forget_where(|subtask| subtask.task_list_id == task) {
            self.forget_actions_of(subtask);
        }
    }

    fn forget_actions_of(&mut self, subtask: SubtaskId) {
        for id in self.known_actions.forget_where(|action| action.subtask_id == Some(subtask)) {
            self.new_actions.forget(&id);
        }
    }

    /// Where a subtask's session is known, its id.
    #[must_use]
    pub fn session_of_task(&self, task: TaskId) -> Option<&str> {
        let request = self.requests.get(&self.tasks.get(&task)?.request_id)?;
        Some(&request.session_id)
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

    fn each_table(&mut self, mut visit: impl FnMut(&mut dyn Undoable)) {
        visit(&mut self.projects);
        visit(&mut self.sessions);
        visit(&mut self.requests);
        visit(&mut self.request_tallies);
        visit(&mut self.tasks);
        visit(&mut self.task_tallies);
        visit(&mut self.subtasks);
        visit(&mut self.known_actions);
        visit(&mut self.messages);
        visit(&mut self.message_reads);
        visit(&mut self.subscriptions);
        visit(&mut self.blockings);
        visit(&mut self.compactions);
        visit(&mut self.hooks);
        visit(&mut self.receipts);
        visit(&mut self.agent_contexts);
        visit(&mut self.remembered);
        visit(&mut self.answers);
        visit(&mut self.new_actions);
        visit(&mut self.removed_action_sessions);
        visit(&mut self.failures);
    }

    /// Keeps what was done since the last call: the command succeeded.
    pub(crate) fn keep(&mut self) {
        self.each_table(|table| table.keep());
        self.kept_events = self.events.len();
    }

    /// Takes back what was done since the last [`State::keep`]: the command failed.
    pub(crate) fn undo(&mut self) {
        self.each_table(|table| table.undo());
        self.events.truncate(self.kept_events);
    }

    /// What a store is to write.
    pub(crate) fn into_changes(self) -> Changes {
        let known_actions = self.known_actions.into_changes();
        let new_actions = self.new_actions.into_changes().written;
        let inserted: BTreeSet<ActionId> = new_actions.iter().map(|action| action.id).collect();
        let session_of = |subtask: &Subtask| {
            let request = self.tasks.get(&subtask.task_list_id).map(|task| task.request_id)?;
            Some((subtask.id, self.requests.get(&request)?.session_id.clone()))
        };
        let subtask_sessions = self.subtasks.iter().filter_map(session_of).collect();
        let failures = self
            .failures
            .into_pairs()
            .into_iter()
            .map(|(key, change)| (key, change.only_if(|action| inserted.contains(&action))));
        let failures = failures.collect();
        let mut agent_contexts = self.agent_contexts.into_changes().written;
        // Work that went in the same batch takes them along.
        agent_contexts
            .retain(|context| context.subtask_id.is_none_or(|subtask| self.subtasks.get(&subtask).is_some()));
        Changes {
            agent_contexts,
            subtask_sessions,
            failures,
            projects: self.projects.into_changes(),
            sessions: self.sessions.into_changes(),
            requests: self.requests.into_changes(),
            tasks: self.tasks.into_changes(),
            subtasks: self.subtasks.into_changes(),
            action_owners: known_actions
                .written
                .iter()
                .filter(|action| !inserted.contains(&action.id))
                .map(|action| (action.id, action.subtask_id))
                .collect(),
            action_answers: self.answers.into_pairs(),
            actions: new_actions,
            removed_actions: known_actions.removed,
            removed_action_sessions: self.removed_action_sessions.into_changes_keys(),
            messages: self.messages.into_changes(),
            message_reads: self
                .message_reads
                .entries
                .into_iter()
                .filter(|(_, entry)| entry.changed)
                .filter_map(|((message, agent), entry)| entry.row.map(|at| (message, agent, at)))
                .collect(),
            subscriptions: self.subscriptions.into_changes(),
            blockings: self.blockings.into_changes(),
            compactions: self.compactions.into_changes(),
            hooks: self.hooks.into_pairs(),
            receipts: self.receipts.into_pairs().into_iter().map(|(_, receipt)| receipt).collect(),
            idempotency: self.remembered.into_pairs(),
            events: self.events,
            now: self.now,
        }
    }
}

impl<K: Ord + Clone, R: Clone> Table<K, R> {
    /// The written rows with their keys, in key order.
    fn into_pairs(self) -> Vec<(K, R)> {
        self.entries
            .into_iter()
            .filter(|(_, entry)| entry.changed)
            .filter_map(|(key, entry)| entry.row.map(|row| (key, row)))
            .collect()
    }

    fn into_changes_keys(self) -> Vec<K> {
        self.into_pairs().into_iter().map(|(key, _)| key).collect()
    }
}

/// The half of [`Table`] that does not depend on its types.
trait Undoable {
    fn keep(&mut self);
    fn undo(&mut self);
}

impl<K: Ord + Clone, R: Clone> Undoable for Table<K, R> {
    fn keep(&mut self) {
        Self::keep(self);
    }

    fn undo(&mut self) {
        Self::undo(self);
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
