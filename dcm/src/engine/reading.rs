//! Operations that read what is recorded.

use super::maintenance::last_cleanup;
use super::rules::MarkRead;
use super::{Dcm, Run};
use crate::api::actions::{ActionHourly, ActionList, ActionPage, HourlyReport};
use crate::api::blocking::{
    BlockedBy, BlockingAgent, BlockingCheck, BlockingChecked, BlockingGet, BlockingState, BlockingSummary,
};
use crate::api::hierarchy::{
    ActiveAgentList, ActiveAgents, Hierarchy, HierarchyCounts, HierarchyGet, ProjectNode, RequestNode,
    SubtaskNode, TaskNode,
};
use crate::api::messages::{
    Inbox, MessageInbox, MessageList, MessagePage, MessageView, Receipts, ReceiptsGet,
};
use crate::api::projects::{
    ProjectByPath, ProjectDetail, ProjectFound, ProjectGet, ProjectList, ProjectPage, ProjectWithRequests,
};
use crate::api::requests::{RequestDetail, RequestGet, RequestList, RequestPage, RequestWithTasks};
use crate::api::sessions::{
    RequestSummary, SessionDetail, SessionGet, SessionList, SessionPage, SessionReport, SessionStats,
};
use crate::api::subscriptions::{
    AgentSubscriptions, SubscriptionList, SubscriptionPage, SubscriptionsOfAgent,
};
use crate::api::subtasks::{
    SubtaskDetail, SubtaskGet, SubtaskList, SubtaskPage, SubtaskView, SubtaskWithActions,
};
use crate::api::system::{
    CleanupReport, CleanupStats, Health, HealthReport, Stats, StatsReport, ToolsSummary, ToolsSummaryReport,
};
use crate::api::tasks::{TaskDetail, TaskGet, TaskList, TaskPage, TaskWithSubtasks};
use crate::error::{Error, Result};
use crate::model::{Blocking, Receipt};
use crate::storage::{
    ActionFilter, ActiveFilter, HierarchyRows, InboxQuery, Page, RequestFilter, SubtaskFilter,
};
use std::collections::BTreeMap;

/// The agent id under which the dashboard looks at everybody's mail.
const MONITOR: &str = "all";
/// The largest `limit` (DESIGN 10).
const MAX_LIMIT: u32 = 1000;

pub(super) fn page(limit: Option<u32>, offset: Option<u32>, default: u32) -> Page {
    Page { limit: limit.unwrap_or(default).min(MAX_LIMIT), offset: offset.unwrap_or(0) }
}

fn all_of_one_parent() -> Page {
    Page { limit: u32::MAX, offset: 0 }
}

impl Run<Health> for Dcm {
    async fn run(&self, _: Health) -> Result<HealthReport> {
        let database = self.shared.health.check().await;
        let features = [
            ("phase1", "database"),
            ("phase2", "routing"),
            ("phase3", "hierarchy"),
            ("phase4", "pubsub"),
            ("phase5", "context"),
            ("phase6", "sessions"),
            ("phase7", "tools-summary"),
            ("phase8", "websocket-auth"),
        ];
        Ok(HealthReport {
            status: if database.healthy { "healthy" } else { "unhealthy" }.to_owned(),
            timestamp: self.now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            database,
            features: BTreeMap::from(features.map(|(phase, name)| (phase.to_owned(), name.to_owned()))),
        })
    }
}

impl Run<Stats> for Dcm {
    async fn run(&self, _: Stats) -> Result<StatsReport> {
        let [project_count, request_count, action_count, message_count] = self.store().counts().await?;
        Ok(StatsReport { project_count, request_count, action_count, message_count, timestamp: self.now() })
    }
}

impl Run<ToolsSummary> for Dcm {
    async fn run(&self, _: ToolsSummary) -> Result<ToolsSummaryReport> {
        Ok(self.shared.tools.summary(self.now()).await)
    }
}

impl Run<CleanupStats> for Dcm {
    async fn run(&self, _: CleanupStats) -> Result<CleanupReport> {
        let now = self.now();
        let messages = self.store().message_counts(now).await?;
        let last_cleanup = last_cleanup(self.store()).await?;
        Ok(CleanupReport { last_cleanup, messages, timestamp: now })
    }
}

impl Run<ProjectList> for Dcm {
    async fn run(&self, operation: ProjectList) -> Result<ProjectPage> {
        let page = page(operation.limit, operation.offset, 100);
        let (projects, total) = self.store().project_page(page).await?;
        Ok(ProjectPage { count: projects.len(), projects, total, limit: page.limit, offset: page.offset })
    }
}

impl Run<ProjectByPath> for Dcm {
    async fn run(&self, operation: ProjectByPath) -> Result<ProjectFound> {
        let path = super::rules::canonical_path(&operation.path).to_owned();
        let project = self.store().project_at(path).await?.ok_or_else(|| Error::not_found("Project"))?;
        Ok(ProjectFound { project })
    }
}

impl Run<ProjectGet> for Dcm {
    async fn run(&self, operation: ProjectGet) -> Result<ProjectDetail> {
        let store = self.store();
        let project = store.project(operation.id).await?.ok_or_else(|| Error::not_found("Project"))?;
        let filter = RequestFilter { project_id: Some(operation.id), ..RequestFilter::default() };
        let requests = store.request_page(filter, Page { limit: 50, offset: 0 }).await?;
        let stats = store.project_stats(operation.id).await?;
        Ok(ProjectDetail { project: ProjectWithRequests { project, requests, stats } })
    }
}

impl Run<HierarchyGet> for Dcm {
    async fn run(&self, operation: HierarchyGet) -> Result<Hierarchy> {
        let rows =
            self.store().hierarchy(operation.project_id).await?.ok_or_else(|| Error::not_found("Project"))?;
        Ok(tree(rows))
    }
}

/// The tree of rows that come flat: subtasks in any order, the rest already in its own.
fn tree(rows: HierarchyRows) -> Hierarchy {
    let counts = HierarchyCounts {
        requests: rows.requests.len(),
        tasks: rows.tasks.len(),
        subtasks: rows.subtasks.len(),
    };
    let mut subtasks = BTreeMap::<_, Vec<_>>::new();
    for subtask in rows.subtasks {
        subtasks.entry(subtask.task_list_id).or_default().push(subtask);
    }
    let mut tasks = BTreeMap::<_, Vec<_>>::new();
    for task in rows.tasks {
        let mut of_task: Vec<SubtaskNode> = subtasks.remove(&task.id).unwrap_or_default();
        of_task.sort_by_key(|subtask| (subtask.created_at, subtask.id));
        let node = TaskNode { subtasks: of_task, task };
        tasks.entry(node.task.request_id).or_default().push(node);
    }
    let requests = rows
        .requests
        .into_iter()
        .map(|request| RequestNode { tasks: tasks.remove(&request.id).unwrap_or_default(), request })
        .collect();
    Hierarchy { hierarchy: ProjectNode { project: rows.project, requests }, stats: rows.stats, counts }
}

impl Run<ActiveAgents> for Dcm {
    async fn run(&self, _: ActiveAgents) -> Result<ActiveAgentList> {
        let active_agents = self.store().active_agents().await?;
        Ok(ActiveAgentList { count: active_agents.len(), active_agents })
    }
}

impl Run<RequestList> for Dcm {
    async fn run(&self, operation: RequestList) -> Result<RequestPage> {
        let page = page(operation.limit, operation.offset, 100);
        let filter = RequestFilter {
            project_id: operation.project_id,
            session_id: operation.session_id,
            status: operation.status,
        };
        let requests = self.store().request_page(filter, page).await?;
        Ok(RequestPage { count: requests.len(), requests, limit: page.limit, offset: page.offset })
    }
}

impl Run<RequestGet> for Dcm {
    async fn run(&self, operation: RequestGet) -> Result<RequestDetail> {
        let request = self.store().request(operation.id).await?.ok_or_else(|| Error::not_found("Request"))?;
        let tasks = self.store().task_page(Some(operation.id), None, all_of_one_parent()).await?;
        Ok(RequestDetail { request: RequestWithTasks { request, tasks } })
    }
}

impl Run<TaskList> for Dcm {
    async fn run(&self, operation: TaskList) -> Result<TaskPage> {
        let page = page(operation.limit, operation.offset, 100);
        let tasks = self.store().task_page(operation.request_id, operation.status, page).await?;
        Ok(TaskPage { count: tasks.len(), tasks, limit: page.limit, offset: page.offset })
    }
}

impl Run<TaskGet> for Dcm {
    async fn run(&self, operation: TaskGet) -> Result<TaskDetail> {
        let task = self.store().task(operation.id).await?.ok_or_else(|| Error::not_found("Task"))?;
        let filter = SubtaskFilter { task_id: Some(operation.id), ..SubtaskFilter::default() };
        let subtasks = self.store().subtask_page(filter, all_of_one_parent()).await?;
        Ok(TaskDetail {
            task: TaskWithSubtasks { task, subtasks: subtasks.into_iter().map(Into::into).collect() },
        })
    }
}

impl Run<SubtaskList> for Dcm {
    async fn run(&self, operation: SubtaskList) -> Result<SubtaskPage> {
        let page = page(operation.limit, operation.offset, 100);
        let filter = SubtaskFilter {
            task_id: operation.task_id,
            status: operation.status,
            agent_type: operation.agent_type,
            agent_id: operation.agent_id,
        };
        let subtasks = self.store().subtask_page(filter, page).await?;
        let subtasks: Vec<SubtaskView> = subtasks.into_iter().map(Into::into).collect();
        Ok(SubtaskPage { count: subtasks.len(), subtasks, limit: page.limit, offset: page.offset })
    }
}

impl Run<SubtaskGet> for Dcm {
    async fn run(&self, operation: SubtaskGet) -> Result<SubtaskDetail> {
        let subtask = self.store().subtask(operation.id).await?.ok_or_else(|| Error::not_found("Subtask"))?;
        let actions = self.store().actions_of_subtask(operation.id).await?;
        Ok(SubtaskDetail { subtask: SubtaskWithActions { subtask: subtask.into(), actions } })
    }
}

impl Run<ActionList> for Dcm {
    async fn run(&self, operation: ActionList) -> Result<ActionPage> {
        let page = page(operation.limit, operation.offset, 100);
        let filter = ActionFilter {
            tool_type: operation.tool_type,
            tool_name: operation.tool_name,
            session_id: operation.session_id,
            subtask_id: operation.subtask_id,
        };
        let (actions, total) = self.store().action_page(filter, page).await?;
        Ok(ActionPage { count: actions.len(), actions, total, limit: page.limit, offset: page.offset })
    }
}

impl Run<ActionHourly> for Dcm {
    async fn run(&self, _: ActionHourly) -> Result<HourlyReport> {
        let data = self.store().hourly_actions(self.now().plus_millis(-86_400_000)).await?;
        Ok(HourlyReport { data, period: "24h".to_owned() })
    }
}

impl Run<SessionList> for Dcm {
    async fn run(&self, operation: SessionList) -> Result<SessionPage> {
        let page = page(operation.limit, operation.offset, 50);
        let filter = ActiveFilter {
            project_id: operation.project_id,
            active_only: operation.active_only.as_deref() == Some("true"),
        };
        let (sessions, total) = self.store().session_page(filter, page).await?;
        Ok(SessionPage { sessions, total, limit: page.limit, offset: page.offset })
    }
}

impl Run<SessionStats> for Dcm {
    async fn run(&self, _: SessionStats) -> Result<SessionReport> {
        let (overview, by_project) = self.store().session_report().await?;
        Ok(SessionReport { overview, by_project, timestamp: self.now() })
    }
}

impl Run<SessionGet> for Dcm {
    async fn run(&self, operation: SessionGet) -> Result<SessionDetail> {
        let session =
            self.store().session(operation.id.clone()).await?.ok_or_else(|| Error::not_found("Session"))?;
        let filter = RequestFilter { session_id: Some(operation.id), ..RequestFilter::default() };
        let requests = self.store().request_page(filter, Page { limit: 20, offset: 0 }).await?;
        let requests = requests
            .into_iter()
            .map(|request| RequestSummary {
                id: request.id,
                prompt: request.prompt,
                prompt_type: request.prompt_type,
                status: request.status,
                created_at: request.created_at,
            })
            .collect();
        let hooks = self.store().hook_state(session.id.clone()).await?.unwrap_or_default();
        Ok(SessionDetail { session, requests, injected: hooks.injected, metadata: hooks.notes })
    }
}

impl Run<MessageList> for Dcm {
    async fn run(&self, operation: MessageList) -> Result<MessagePage> {
        let page = page(operation.limit, operation.offset, 100);
        let (messages, total) = self.store().message_page(operation.topic, self.now(), page).await?;
        let messages: Vec<MessageView> =
            messages.into_iter().map(|message| MessageView::new(message, false)).collect();
        Ok(MessagePage { count: messages.len(), messages, total, limit: page.limit, offset: page.offset })
    }
}

impl Run<MessageInbox> for Dcm {
    async fn run(&self, operation: MessageInbox) -> Result<Inbox> {
        let monitor = operation.agent_id == MONITOR;
        let query = InboxQuery {
            agent_id: (!monitor).then(|| operation.agent_id.clone()),
            reader: operation.agent_id.clone(),
            since: operation.since,
            topic: operation.topic,
            include_broadcasts: operation.include_broadcasts.unwrap_or(true),
            limit: operation.limit.unwrap_or(100).min(MAX_LIMIT),
            now: self.now(),
        };
        let rows = self.store().inbox(query).await?;
        let mut unread = rows.unread;
        let unseen: Vec<_> =
            rows.messages.iter().filter(|(_, read)| !read).map(|(message, _)| message.id).collect();
        if !monitor && !self.looks_only && !unseen.is_empty() {
            unread -= i64::try_from(unseen.len()).unwrap_or(i64::MAX);
            self.commit_aside(MarkRead { agent_id: operation.agent_id.clone(), messages: unseen }).await?;
        }
        let messages: Vec<MessageView> =
            rows.messages.into_iter().map(|(message, read)| MessageView::new(message, read)).collect();
        let (agent_id, count) = (operation.agent_id, messages.len());
        Ok(Inbox { agent_id, messages, count, unread_remaining: unread.max(0) })
    }
}

impl Run<ReceiptsGet> for Dcm {
    async fn run(&self, operation: ReceiptsGet) -> Result<Receipts> {
        let id = operation.message_id;
        let found = self.store().receipts(id).await?.ok_or_else(|| Error::not_found("Message"))?;
        let (message, mut receipts) = (found.message, found.receipts);
        if let Some(agent) = &message.to_agent
            && !receipts.iter().any(|receipt| receipt.agent_id == *agent)
        {
            receipts.insert(0, Receipt::queued(id, agent));
        }
        Ok(Receipts { message_id: id, to_agent: message.to_agent, receipts })
    }
}

impl Run<SubscriptionList> for Dcm {
    async fn run(&self, operation: SubscriptionList) -> Result<SubscriptionPage> {
        let subscriptions = self.store().subscriptions(operation.agent_id, operation.topic).await?;
        Ok(SubscriptionPage { count: subscriptions.len(), subscriptions })
    }
}

impl Run<SubscriptionsOfAgent> for Dcm {
    async fn run(&self, operation: SubscriptionsOfAgent) -> Result<AgentSubscriptions> {
        let mut subscriptions = self.store().subscriptions(Some(operation.agent_id.clone()), None).await?;
        subscriptions.sort_by(|a, b| a.topic.cmp(&b.topic));
        let topics: Vec<String> = subscriptions.iter().map(|one| one.topic.clone()).collect();
        Ok(AgentSubscriptions {
            agent_id: operation.agent_id,
            count: subscriptions.len(),
            subscriptions,
            topics,
        })
    }
}

impl Run<BlockingCheck> for Dcm {
    async fn run(&self, operation: BlockingCheck) -> Result<BlockingChecked> {
        let blockings = self.store().blockings_of(operation.blocked.clone()).await?;
        let is_blocked = blockings
            .iter()
            .any(|one| one.blocked_by == operation.blocker && one.blocked_agent == operation.blocked);
        Ok(BlockingChecked { blocker: operation.blocker, blocked: operation.blocked, is_blocked })
    }
}

impl Run<BlockingGet> for Dcm {
    async fn run(&self, operation: BlockingGet) -> Result<BlockingState> {
        let agent = operation.agent_id;
        let rows = self.store().blockings_of(agent.clone()).await?;
        let (blocked_by, blocking): (Vec<Blocking>, Vec<Blocking>) =
            rows.into_iter().partition(|one| one.blocked_agent == agent);
        let blocked_by: Vec<BlockedBy> = blocked_by
            .into_iter()
            .map(|one| BlockedBy {
                id: one.id,
                by_agent: one.blocked_by,
                reason: one.reason,
                since: one.created_at,
            })
            .collect();
        let blocking: Vec<BlockingAgent> = blocking
            .into_iter()
            .map(|one| BlockingAgent {
                id: one.id,
                agent: one.blocked_agent,
                reason: one.reason,
                since: one.created_at,
            })
            .collect();
        Ok(BlockingState {
            agent_id: agent,
            is_blocked: !blocked_by.is_empty(),
            is_blocking: !blocking.is_empty(),
            summary: BlockingSummary { blocked_by_count: blocked_by.len(), blocking_count: blocking.len() },
            blocked_by,
            blocking,
        })
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::EngineConfig;
    use crate::api::Execute;
    use crate::api::ingest::{Ingest, Observation};
    use crate::time::{Clock, SystemClock};

    #[tokio::test]
    async fn a_store_may_give_subtasks_in_any_order() {
        let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
        let at = SystemClock.now();
        let (key, text) = ("p1".to_owned(), "Work".to_owned());
        let mut observations = vec![Observation::Prompt { key, at, text, prompt_type: None, metadata: None }];
        // The second and the third begin at the same time: then ids decide.
        for (agent, after) in [("a", 1), ("b", 2), ("c", 2), ("d", 3)] {
            observations.push(Observation::AgentStarted {
                agent_id: agent.to_owned(),
                at: at.plus_millis(after),
                prompt_key: None,
                agent_type: None,
                description: None,
                metadata: None,
            });
        }
        let session_id = "session".to_owned();
        let project_path = Some("/srv/project".to_owned());
        let ingest = Ingest { session_id, project_path, source: None, observations };
        let project = dcm.execute(ingest).await.unwrap().project_id.unwrap();

        let mut rows = dcm.store().hierarchy(project).await.unwrap().unwrap();
        rows.subtasks.sort_by_key(|subtask| (subtask.created_at, subtask.id));
        let agents: Vec<_> = rows.subtasks.iter().map(|subtask| subtask.agent_id.clone()).collect();
        assert_eq!(agents.len(), 5, "the main agent and four more");
        for turn in 0..agents.len() {
            let mut rows = rows.clone();
            rows.subtasks.reverse();
            rows.subtasks.rotate_left(turn);
            let tree = tree(rows);
            let subtasks = &tree.hierarchy.requests[0].tasks[0].subtasks;
            let found: Vec<_> = subtasks.iter().map(|subtask| subtask.agent_id.clone()).collect();
            assert_eq!(found, agents);
        }
        dcm.close().await;
    }
}
