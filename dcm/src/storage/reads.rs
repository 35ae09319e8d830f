//! The reading half of a store.

use super::BoxFuture;
use super::brief::{BriefQuery, BriefRows};
use crate::api::actions::{ActionSummary, HourCount};
use crate::api::compact::CompactionEntry;
use crate::api::context::{
    ContextAction, ContextBlocking, ContextMessage, ContextProject, ContextSession, ContextTask,
};
use crate::api::hierarchy::{ActiveAgent, SubtaskNode};
use crate::api::sessions::{SessionOverview, SessionsOfProject};
use crate::api::system::MessageCounts;
use crate::error::Result;
use crate::id::{MessageId, ProjectId, RequestId, SubtaskId, TaskId};
use crate::model::{
    AgentContext, Blocking, Compaction, HookState, Message, Project, ProjectStats, Receipt, Request, Session,
    Subscription, Subtask, Task,
};
use crate::time::Timestamp;

/// A slice of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many at most.
    pub limit: u32,
    /// How many to skip.
    pub offset: u32,
}

/// Which requests; what is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// Of this project.
    pub project_id: Option<ProjectId>,
    /// Of this session.
    pub session_id: Option<String>,
    /// That stand so.
    pub status: Option<String>,
}

/// Which subtasks; what is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubtaskFilter {
    /// Of this task; then in the order of creation, else newest first.
    pub task_id: Option<TaskId>,
    /// That stand so.
    pub status: Option<String>,
    /// Of this kind of agent.
    pub agent_type: Option<String>,
    /// Of this agent.
    pub agent_id: Option<String>,
}

/// Which actions; what is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionFilter {
    /// Of this kind of tool.
    pub tool_type: Option<String>,
    /// Of this tool.
    pub tool_name: Option<String>,
    /// Of this session.
    pub session_id: Option<String>,
    /// Of this subtask.
    pub subtask_id: Option<SubtaskId>,
}

/// Which contexts of agents; what is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentContextFilter {
    /// Of this project.
    pub project_id: Option<ProjectId>,
    /// Of this session.
    pub session_id: Option<String>,
    /// Of this agent.
    pub agent_id: Option<String>,
    /// Of this kind of agent.
    pub agent_type: Option<String>,
}

/// Contexts of agents in numbers: by status, and by kind.
pub type AgentContextCounts = (Vec<(String, i64)>, Vec<(String, i64)>);

/// Which sessions; what is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActiveFilter {
    /// Of this project.
    pub project_id: Option<ProjectId>,
    /// Only those that have not ended.
    pub active_only: bool,
}

/// A message, and how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptRows {
    /// The message.
    pub message: Message,
    /// A line for everybody who was told of it or has read it.
    pub receipts: Vec<Receipt>,
}

/// Which messages an agent sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxQuery {
    /// Whose mail; absent for a monitor that sees everybody's.
    pub agent_id: Option<String>,
    /// The reader, whose reading marks count.
    pub reader: String,
    /// Written later than this.
    pub since: Option<Timestamp>,
    /// About this.
    pub topic: Option<String>,
    /// Whether messages to everybody count.
    pub include_broadcasts: bool,
    /// How many at most.
    pub limit: u32,
    /// Messages that have not expired at this instant.
    pub now: Timestamp,
}

/// An agent's mail.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRows {
    /// The messages, by priority (highest first), then oldest first; with whether the reader has read each.
    pub messages: Vec<(Message, bool)>,
    /// How many unread messages there are for the agent, whatever topic and age.
    pub unread: i64,
}

/// A project's tree, flat.
#[derive(Debug, Clone, PartialEq)]
pub struct HierarchyRows {
    /// The project.
    pub project: Project,
    /// It in numbers.
    pub stats: Option<ProjectStats>,
    /// Its requests, newest first.
    pub requests: Vec<Request>,
    /// Their tasks, by wave, then by creation.
    pub tasks: Vec<Task>,
    /// Their subtasks, in any order.
    pub subtasks: Vec<SubtaskNode>,
}

/// Whose context is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextQuery {
    /// The agent.
    pub agent_id: String,
    /// The session it is scoped to.
    pub session_id: String,
    /// The project, if the caller names one.
    pub project_id: Option<ProjectId>,
    /// Whether unread messages are wanted.
    pub messages: bool,
    /// Whether blockings are wanted.
    pub blocking: bool,
    /// How many recent actions are wanted.
    pub history_limit: u32,
    /// Messages that have not expired at this instant.
    pub now: Timestamp,
}

/// The raw data of a context.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContextRows {
    /// What kind of agent it is, by its newest work in the session.
    pub agent_type: Option<String>,
    /// Open subtasks of the session whose agent id or type is the agent, by urgency; at most 20.
    pub tasks: Vec<ContextTask>,
    /// Unread messages to the agent, the most urgent first; at most 20.
    pub messages: Vec<ContextMessage>,
    /// Who blocks the agent.
    pub blockings: Vec<ContextBlocking>,
    /// The newest actions of the agent in the session.
    pub history: Vec<ContextAction>,
    /// The newest request of the session.
    pub session: Option<ContextSession>,
    /// The project of the session.
    pub project: Option<ContextProject>,
}

/// What may be kept, by age and by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgeLimits {
    /// Events recorded before this go.
    pub events_before: Timestamp,
    /// At most so many events are kept.
    pub event_rows: Option<i64>,
    /// Actions recorded before this go.
    pub actions_before: Timestamp,
    /// At most so many actions are kept.
    pub action_rows: Option<i64>,
    /// Kept outcomes from before this go.
    pub outcomes_before: Timestamp,
    /// How many rows of each kind at most in one call.
    pub batch: u32,
}

/// The numbers of the channel `metrics`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// Open sessions in which something happened within the last 15 minutes.
    pub active_sessions: i64,
    /// Agents with running work in such sessions.
    pub active_agents: i64,
    /// Tasks that have not begun.
    pub pending_tasks: i64,
    /// Tasks that are under way.
    pub running_tasks: i64,
    /// Tasks that were completed within the last hour.
    pub completed_tasks_last_hour: i64,
    /// Messages of the last hour.
    pub messages_last_hour: i64,
    /// Actions of the last five minutes, per minute.
    pub actions_per_minute: f64,
    /// How long completed tasks took on average.
    pub avg_task_duration_ms: f64,
}

/// How many rows went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Events.
    pub events: i64,
    /// Actions.
    pub actions: i64,
    /// Kept outcomes.
    pub outcomes: i64,
}

/// Projects, requests, tasks, subtasks, actions, sessions, messages and the rest, as they were last committed.
///
/// A lookup of something that does not exist answers `None`; what that means is decided one layer up.
pub trait ReadStore: Send + Sync {
    /// Asks the store a trivial question.
    fn ping(&self) -> BoxFuture<'_, Result<()>>;
    /// How many projects, requests, actions and messages there are.
    fn counts(&self) -> BoxFuture<'_, Result<[i64; 4]>>;
    /// The setting called `name`, if there is one.
    fn known_setting(&self, name: String) -> BoxFuture<'_, Result<Option<String>>>;
    /// The numbers of the channel `metrics` at `now`.
    fn metrics(&self, now: Timestamp) -> BoxFuture<'_, Result<Metrics>>;
    /// Messages by state at `now`.
    fn message_counts(&self, now: Timestamp) -> BoxFuture<'_, Result<MessageCounts>>;

    /// One project.
    fn project(&self, id: ProjectId) -> BoxFuture<'_, Result<Option<Project>>>;
    /// The project at `path`.
    fn project_at(&self, path: String) -> BoxFuture<'_, Result<Option<Project>>>;
    /// Projects, the latest touched first, and how many there are.
    fn project_page(&self, page: Page) -> BoxFuture<'_, Result<(Vec<Project>, i64)>>;
    /// One project in numbers.
    fn project_stats(&self, id: ProjectId) -> BoxFuture<'_, Result<Option<ProjectStats>>>;
    /// A project's tree.
    fn hierarchy(&self, id: ProjectId) -> BoxFuture<'_, Result<Option<HierarchyRows>>>;
    /// Subtasks that are running, paused or blocked, the latest started first, those that never started before all.
    fn active_agents(&self) -> BoxFuture<'_, Result<Vec<ActiveAgent>>>;

    /// One request.
    fn request(&self, id: RequestId) -> BoxFuture<'_, Result<Option<Request>>>;
    /// Requests, newest first.
    fn request_page(&self, filter: RequestFilter, page: Page) -> BoxFuture<'_, Result<Vec<Request>>>;

    /// One task.
    fn task(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Task>>>;
    /// Tasks; by wave when `request` is given, else newest first.
    fn task_page(
        &self,
        request: Option<RequestId>,
        status: Option<String>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<Task>>>;

    /// One subtask.
    fn subtask(&self, id: SubtaskId) -> BoxFuture<'_, Result<Option<Subtask>>>;
    /// Subtasks.
    fn subtask_page(&self, filter: SubtaskFilter, page: Page) -> BoxFuture<'_, Result<Vec<Subtask>>>;

    /// Actions of a subtask, oldest first.
    fn actions_of_subtask(&self, id: SubtaskId) -> BoxFuture<'_, Result<Vec<ActionSummary>>>;
    /// Actions, newest first, and how many match.
    fn action_page(
        &self,
        filter: ActionFilter,
        page: Page,
    ) -> BoxFuture<'_, Result<(Vec<ActionSummary>, i64)>>;
    /// Actions since `since` by hour (UTC), in order, without empty hours.
    fn hourly_actions(&self, since: Timestamp) -> BoxFuture<'_, Result<Vec<HourCount>>>;

    /// One session.
    fn session(&self, id: String) -> BoxFuture<'_, Result<Option<Session>>>;
    /// What is remembered of a session between the events of its hooks.
    fn hook_state(&self, session_id: String) -> BoxFuture<'_, Result<Option<HookState>>>;
    /// A message, and how far it has come with those who were told of it or have read it.
    fn receipts(&self, id: MessageId) -> BoxFuture<'_, Result<Option<ReceiptRows>>>;
    /// Sessions, newest first, and how many match.
    fn session_page(&self, filter: ActiveFilter, page: Page) -> BoxFuture<'_, Result<(Vec<Session>, i64)>>;
    /// Sessions in numbers.
    fn session_report(&self) -> BoxFuture<'_, Result<(SessionOverview, Vec<SessionsOfProject>)>>;

    /// An agent's mail.
    fn inbox(&self, query: InboxQuery) -> BoxFuture<'_, Result<InboxRows>>;
    /// Unexpired messages, newest first, and how many match.
    fn message_page(
        &self,
        topic: Option<String>,
        now: Timestamp,
        page: Page,
    ) -> BoxFuture<'_, Result<(Vec<Message>, i64)>>;

    /// Subscriptions, newest first, at most 1000; what is absent does not filter.
    fn subscriptions(
        &self,
        agent_id: Option<String>,
        topic: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<Subscription>>>;
    /// Blockings in which `agent` blocks or is blocked, the latest first.
    fn blockings_of(&self, agent: String) -> BoxFuture<'_, Result<Vec<Blocking>>>;

    /// At most `limit` messages that expired before `before`.
    fn expired_messages(&self, before: Timestamp, limit: u32) -> BoxFuture<'_, Result<Vec<MessageId>>>;
    /// At most `limit` open sessions that began before `began` and in which nothing was seen since `seen`.
    fn idle_sessions(
        &self,
        began: Timestamp,
        seen: Timestamp,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<String>>>;
    /// At most `limit` running subtasks in which, and in whose session, nothing happened since `before`.
    fn stuck_subtasks(&self, before: Timestamp, limit: u32) -> BoxFuture<'_, Result<Vec<SubtaskId>>>;

    /// The session in which `agent` has the latest open subtask.
    fn session_of_agent(&self, agent: String) -> BoxFuture<'_, Result<Option<String>>>;
    /// What was saved last before a compaction of a session: of `agent`, where an empty one means the session's main
    /// agent; else of the main agent if there is any, or of any other.
    fn newest_snapshot(
        &self,
        session: String,
        agent: Option<String>,
    ) -> BoxFuture<'_, Result<Option<Compaction>>>;
    /// The snapshots and compactions of a session, newest first, at most 50.
    fn compaction_history(&self, session: String) -> BoxFuture<'_, Result<Vec<CompactionEntry>>>;
    /// Contexts of agents, the latest touched first, and how many match.
    fn agent_contexts(
        &self,
        filter: AgentContextFilter,
        page: Page,
    ) -> BoxFuture<'_, Result<(Vec<AgentContext>, i64)>>;
    /// How many contexts of agents there are by status, and by the fifty most frequent kinds.
    fn agent_context_counts(&self) -> BoxFuture<'_, Result<AgentContextCounts>>;
    /// The newest compaction of a session.
    fn newest_compaction(&self, session: String) -> BoxFuture<'_, Result<Option<Compaction>>>;
    /// The raw data of a context.
    fn context(&self, query: ContextQuery) -> BoxFuture<'_, Result<ContextRows>>;
    /// What a brief is compiled from: bounded, however much there is.
    fn brief(&self, query: BriefQuery) -> BoxFuture<'_, Result<BriefRows>>;
}
