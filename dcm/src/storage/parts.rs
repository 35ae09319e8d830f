//! A store made of parts of several.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{
    ActionFilter, ActiveFilter, AgeLimits, AgentContextCounts, AgentContextFilter, AnyOutcome, Batch,
    BoxFuture, BriefQuery, BriefRows, ChannelChanges, ChannelRow, CommitStore, ContextQuery, ContextRows,
    HierarchyRows, InboxQuery, InboxRows, Learned, LessonStore, LogHead, LogPage, LogStore, Metrics,
    NewLessons, Page, ReadStore, ReceiptRows, RequestFilter, RetentionReport, Storage, SubtaskFilter,
};
use crate::api::actions::{ActionSummary, HourCount};
use crate::api::compact::CompactionEntry;
use crate::api::hierarchy::ActiveAgent;
use crate::api::sessions::{SessionOverview, SessionsOfProject};
use crate::api::system::MessageCounts;
use crate::error::Result;
use crate::id::{MessageId, ProjectId, RequestId, SubtaskId, TaskId};
use crate::model::{
    AgentContext, Blocking, Compaction, HookState, Message, Project, ProjectStats, Request, Session,
    Subscription, Subtask, Task,
};
use crate::position::Position;
use crate::time::Timestamp;

/// A store made of parts: replace the one that is to do something else, and leave the others to a store that is whole.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # async fn example(mine: std::sync::Arc<dyn dcm::storage::CommitStore>) -> dcm::Result<()> {
/// use dcm::storage::StoreParts;
/// let config = dcm::EngineConfig::default();
/// let whole = dcm::Dcm::sqlite_store("dcm.db".as_ref(), &config).await?;
/// let store = StoreParts { commits: mine, ..StoreParts::of(whole) };
/// let dcm = dcm::Dcm::with_store(std::sync::Arc::new(store), config).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "stores need not be printable")]
pub struct StoreParts {
    /// What is read.
    pub reads: Arc<dyn ReadStore>,
    /// How batches are committed, and what is cleaned.
    pub commits: Arc<dyn CommitStore>,
    /// The event log.
    pub log: Arc<dyn LogStore>,
    /// What the scorer learned.
    pub lessons: Arc<dyn LessonStore>,
}

impl StoreParts {
    /// All parts of one store.
    #[must_use]
    pub fn of(store: Arc<dyn Storage>) -> Self {
        Self {
            reads: Arc::clone(&store) as _,
            commits: Arc::clone(&store) as _,
            log: Arc::clone(&store) as _,
            lessons: store,
        }
    }
}

macro_rules! hand_on {
    ($part:ident: $($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {$(
        fn $name(&self $(, $argument: $kind)*) -> BoxFuture<'_, Result<$answer>> {
            self.$part.$name($($argument),*)
        }
    )+};
}

impl ReadStore for StoreParts {
    hand_on! {
        reads:
        ping() -> ();
        counts() -> [i64; 4];
        known_setting(name: String) -> Option<String>;
        metrics(now: Timestamp) -> Metrics;
        message_counts(now: Timestamp) -> MessageCounts;
        project(id: ProjectId) -> Option<Project>;
        project_at(path: String) -> Option<Project>;
        project_page(page: Page) -> (Vec<Project>, i64);
        project_stats(id: ProjectId) -> Option<ProjectStats>;
        hierarchy(id: ProjectId) -> Option<HierarchyRows>;
        active_agents() -> Vec<ActiveAgent>;
        request(id: RequestId) -> Option<Request>;
        request_page(filter: RequestFilter, page: Page) -> Vec<Request>;
        task(id: TaskId) -> Option<Task>;
        task_page(request: Option<RequestId>, status: Option<String>, page: Page) -> Vec<Task>;
        subtask(id: SubtaskId) -> Option<Subtask>;
        subtask_page(filter: SubtaskFilter, page: Page) -> Vec<Subtask>;
        actions_of_subtask(id: SubtaskId) -> Vec<ActionSummary>;
        action_page(filter: ActionFilter, page: Page) -> (Vec<ActionSummary>, i64);
        hourly_actions(since: Timestamp) -> Vec<HourCount>;
        session(id: String) -> Option<Session>;
        hook_state(session_id: String) -> Option<HookState>;
        receipts(id: MessageId) -> Option<ReceiptRows>;
        session_page(filter: ActiveFilter, page: Page) -> (Vec<Session>, i64);
        session_report() -> (SessionOverview, Vec<SessionsOfProject>);
        inbox(query: InboxQuery) -> InboxRows;
        message_page(topic: Option<String>, now: Timestamp, page: Page) -> (Vec<Message>, i64);
        subscriptions(agent_id: Option<String>, topic: Option<String>) -> Vec<Subscription>;
        blockings_of(agent: String) -> Vec<Blocking>;
        expired_messages(before: Timestamp, limit: u32) -> Vec<MessageId>;
        idle_sessions(began: Timestamp, seen: Timestamp, limit: u32) -> Vec<String>;
        stuck_subtasks(before: Timestamp, limit: u32) -> Vec<SubtaskId>;
        session_of_agent(agent: String) -> Option<String>;
        newest_snapshot(session: String, agent: Option<String>) -> Option<Compaction>;
        compaction_history(session: String) -> Vec<CompactionEntry>;
        agent_contexts(filter: AgentContextFilter, page: Page) -> (Vec<AgentContext>, i64);
        agent_context_counts() -> AgentContextCounts;
        newest_compaction(session: String) -> Option<Compaction>;
        context(query: ContextQuery) -> ContextRows;
        brief(query: BriefQuery) -> BriefRows;
    }
}

impl CommitStore for StoreParts {
    hand_on! {
        commits:
        commit(batch: Batch) -> Vec<Result<AnyOutcome>>;
        retain(limits: AgeLimits) -> RetentionReport;
    }

    fn write_lanes(&self) -> usize {
        self.commits.write_lanes()
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        self.commits.lease(name, holder, now, expires_at)
    }

    fn setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<String>> {
        self.commits.setting(name, value)
    }

    fn keep_setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
        self.commits.keep_setting(name, value)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.commits.close()
    }
}

impl LogStore for StoreParts {
    hand_on! {
        log:
        log_head() -> LogHead;
        log_page(after: i64, channels: Vec<String>, limit: u32) -> LogPage;
        log_page_named(after: i64, names: &'static [&'static str], limit: u32) -> LogPage;
        raise_epoch(epoch: i64) -> ();
        agent_channels(agent: String) -> Vec<ChannelRow>;
        save_agent_channels(changes: ChannelChanges, now: Timestamp) -> ();
    }

    fn watch_log<'a>(&'a self, wake: &'a Notify) -> BoxFuture<'a, Result<()>> {
        self.log.watch_log(wake)
    }

    fn poll_ms(&self) -> u64 {
        self.log.poll_ms()
    }
}

impl LessonStore for StoreParts {
    hand_on! {
        lessons:
        learned(scores: u32) -> Learned;
        keep_lessons(news: NewLessons) -> Position;
    }
}
