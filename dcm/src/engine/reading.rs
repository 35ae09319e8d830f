//! Operations that read.

use std::collections::BTreeMap;

use super::rules::MarkRead;
use super::{Dcm, Run};
use crate::api::actions::{ActionHourly, ActionList, ActionPage, HourlyReport};
use crate::api::agent_contexts::{AgentContextList, AgentContextPage, AgentContextReport, AgentContextStats};
use crate::api::blocking::{
    BlockedBy, BlockingAgent, BlockingCheck, BlockingChecked, BlockingGet, BlockingState, BlockingSummary,
};
use crate::api::compact::{CompactSnapshot, SnapshotAnswer};
use crate::api::context::{
    Brief, BriefChoice, BriefFormat, CompactState, CompactStatus, ContextAnswer, ContextCounts, ContextData,
    ContextGenerate, ContextGenerated, ContextGet, ContextSource, GeneratedBrief,
};
use crate::api::hierarchy::{
    ActiveAgentList, ActiveAgents, Hierarchy, HierarchyCounts, HierarchyGet, ProjectNode, RequestNode,
    TaskNode,
};
use crate::api::messages::{
    Inbox, MessageInbox, MessageList, MessagePage, MessageView, Receipts, ReceiptsGet,
};
use crate::api::projects::{
    ProjectByPath, ProjectDetail, ProjectFound, ProjectGet, ProjectList, ProjectPage, ProjectWithRequests,
};
use crate::api::requests::{RequestDetail, RequestGet, RequestList, RequestPage, RequestWithTasks};
use crate::api::routing::{RoutingReport, RoutingStats, RoutingSuggest, Suggestions};
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
use crate::context::{self, BriefOptions};
use crate::error::{Error, Result};
use crate::model::{Blocking, Receipt};
use crate::routing::{Question, Scorer};
use crate::storage::{
    ActionFilter, ActiveFilter, AgentContextFilter, BriefQuery, ContextQuery, ContextRows, InboxQuery, Page,
    RequestFilter, SubtaskFilter,
};

/// The agent id under which the dashboard looks at everybody's mail.
const MONITOR: &str = "all";
/// The largest `limit` (DESIGN 10).
const MAX_LIMIT: u32 = 1000;

fn page(limit: Option<u32>, offset: Option<u32>, default: u32) -> Page {
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
        Ok(CleanupReport { last_cleanup: self.shared.maintenance.last(), messages, timestamp: now })
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
            let node = TaskNode { subtasks: subtasks.remove(&task.id).unwrap_or_default(), task };
            tasks.entry(node.task.request_id).or_default().push(node);
        }
        let requests = rows
            .requests
            .into_iter()
            .map(|request| RequestNode { tasks: tasks.remove(&request.id).unwrap_or_default(), request })
            .collect();
        Ok(Hierarchy {
            hierarchy: ProjectNode { project: rows.project, requests },
            stats: rows.stats,
            counts,
        })
    }
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
        if !monitor && !unseen.is_empty() {
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

impl Run<RoutingSuggest> for Dcm {
    async fn run(&self, operation: RoutingSuggest) -> Result<Suggestions> {
        let question = question(operation)?;
        self.shared.learning.ask(|scorer| scorer.suggest(&question)).await
    }
}

/// What the scorer is asked; either words or a prompt.
fn question(operation: RoutingSuggest) -> Result<Question> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let asked = match (given(operation.keywords), given(operation.prompt)) {
        (None, None) => {
            return Err(Error::invalid_field(
                "Missing required query parameter: keywords",
                "keywords",
                "is required, unless prompt is given",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid_field(
                "keywords and prompt exclude each other",
                "prompt",
                "must not be given together with keywords",
            ));
        }
        (Some(keywords), None) => Question::keywords(&keywords),
        (None, Some(prompt)) => Question::prompt(&prompt),
    };
    if asked.keywords.is_empty() && asked.min_score.is_some() {
        return Err(Error::invalid("No valid keywords provided"));
    }
    Ok(Question {
        limit: operation.limit.unwrap_or(10).min(50) as usize,
        min_score: operation.min_score.or(asked.min_score),
        tool_type: operation.tool_type,
        exclude_types: operation
            .exclude_types
            .iter()
            .flat_map(|kinds| kinds.split(','))
            .map(|kind| kind.trim().to_owned())
            .filter(|kind| !kind.is_empty())
            .collect(),
        ..asked
    })
}

impl Run<RoutingStats> for Dcm {
    async fn run(&self, _: RoutingStats) -> Result<RoutingReport> {
        self.shared.learning.ask(Scorer::report).await
    }
}

/// A brief with all that is known of it.
pub(super) struct CompiledBrief {
    pub(super) brief: Brief,
    pub(super) sources: Vec<ContextSource>,
    pub(super) explanation: Option<Vec<BriefChoice>>,
    /// The agent type it was compiled for.
    pub(super) agent_type: String,
}

impl Dcm {
    /// The raw data of a context.
    async fn context_rows(&self, options: &BriefOptions) -> Result<ContextRows> {
        let history = u32::try_from(options.history_limit.unwrap_or(10)).unwrap_or(10);
        self.store()
            .context(ContextQuery {
                agent_id: options.agent_id.clone(),
                session_id: options.session_id.clone(),
                project_id: options.project_id,
                messages: options.include_messages,
                blocking: options.include_blocking,
                history_limit: if options.include_history { history } else { 0 },
                now: self.now(),
            })
            .await
    }

    /// A brief, where it comes from, and the agent type it was compiled for: what
    /// [`context_get`](Dcm::context_get) answers with, for callers in process.
    ///
    /// # Errors
    ///
    /// When the store is away.
    pub async fn brief(&self, options: BriefOptions) -> Result<(Brief, Vec<ContextSource>, String)> {
        let compiled = self.compiled(options).await?;
        Ok((compiled.brief, compiled.sources, compiled.agent_type))
    }

    /// A brief with all that is known of it.
    pub(super) async fn compiled(&self, options: BriefOptions) -> Result<CompiledBrief> {
        let now = self.now();
        let steps = u32::try_from(options.history_limit.unwrap_or(10)).unwrap_or(10);
        let query = BriefQuery {
            agent_id: options.agent_id.clone(),
            session_id: options.session_id.clone(),
            project_id: options.project_id,
            steps: if options.include_history { steps } else { 0 },
            now,
        };
        let rows = self.store().brief(query).await?;
        let agent_type = options.agent_type();
        let compiled = context::compile(&options, &agent_type, &rows, now, &*self.config().token_counter);
        let brief = Brief {
            id: self.shared.ids.next(),
            content: compiled.content,
            token_count: compiled.token_count,
            truncated: compiled.truncated,
            generated_at: now,
        };
        let explanation = options.explain.then_some(compiled.choices);
        Ok(CompiledBrief { brief, sources: compiled.sources, explanation, agent_type })
    }

    pub(super) async fn generate_context(&self, operation: ContextGenerate) -> Result<ContextGenerated> {
        let options = BriefOptions {
            agent_type: operation.agent_type.filter(|kind| !kind.is_empty()),
            max_tokens: operation.max_tokens,
            history_limit: operation.history_limit,
            include_history: operation.include_history.unwrap_or(true),
            include_messages: operation.include_messages.unwrap_or(true),
            include_blocking: operation.include_blocking.unwrap_or(true),
            project_id: operation.project_id,
            explain: operation.explain.unwrap_or(false),
            ..BriefOptions::new(operation.agent_id.clone(), operation.session_id.clone())
        };
        let CompiledBrief { brief, sources, explanation, agent_type } = self.compiled(options).await?;
        let brief = GeneratedBrief {
            id: brief.id,
            agent_id: operation.agent_id,
            agent_type,
            session_id: operation.session_id,
            content: brief.content,
            token_count: brief.token_count,
            truncated: brief.truncated,
            generated_at: brief.generated_at,
        };
        Ok(ContextGenerated { success: true, brief, sources, explanation })
    }
}

impl Run<ContextGet> for Dcm {
    async fn run(&self, operation: ContextGet) -> Result<ContextAnswer> {
        let agent_id = operation.agent_id;
        let session = match operation.session_id {
            Some(session) => Some(session),
            None => self.store().session_of_agent(agent_id.clone()).await?,
        };
        let Some(session_id) = session else {
            let message = "No active session found for this agent".to_owned();
            return Ok(ContextAnswer::NoSession { agent_id, context: None, message });
        };
        let options = BriefOptions {
            agent_type: operation.agent_type,
            max_tokens: operation.max_tokens,
            history_limit: operation.history_limit,
            include_history: operation.include_history.unwrap_or(true),
            include_messages: operation.include_messages.unwrap_or(true),
            include_blocking: operation.include_blocking.unwrap_or(true),
            explain: operation.explain.unwrap_or(false),
            ..BriefOptions::new(agent_id.clone(), session_id.clone())
        };
        if operation.format == Some(BriefFormat::Raw) {
            let rows = self.context_rows(&options).await?;
            let counts = ContextCounts {
                tasks: rows.tasks.len(),
                messages: rows.messages.len(),
                blockings: rows.blockings.len(),
                history: rows.history.len(),
            };
            let data = ContextData {
                tasks: rows.tasks,
                messages: rows.messages,
                blockings: rows.blockings,
                history: rows.history,
                session: rows.session,
                project: rows.project,
            };
            return Ok(ContextAnswer::Raw {
                agent_id,
                session_id,
                agent_type: options.agent_type(),
                data,
                counts,
            });
        }
        let CompiledBrief { brief, sources, explanation, agent_type } = self.compiled(options).await?;
        Ok(ContextAnswer::Brief { agent_id, session_id, agent_type, brief, sources, explanation })
    }
}

impl Run<CompactSnapshot> for Dcm {
    async fn run(&self, operation: CompactSnapshot) -> Result<SnapshotAnswer> {
        let session_id = operation.session_id;
        let saved = self.store().newest_snapshot(session_id.clone()).await?;
        let history = self.store().compaction_history(session_id.clone()).await?;
        let snapshot = saved.as_ref().and_then(|saved| saved.snapshot.clone());
        let files = snapshot.as_ref().and_then(|snapshot| snapshot.get("modified_files"));
        Ok(SnapshotAnswer {
            session_id,
            exists: saved.is_some(),
            modified_files: files.and_then(|files| serde_json::from_value(files).ok()).unwrap_or_default(),
            saved_at: saved.as_ref().map(|saved| saved.created_at),
            summary: saved.and_then(|saved| saved.summary),
            snapshot,
            history,
        })
    }
}

impl Run<AgentContextList> for Dcm {
    async fn run(&self, operation: AgentContextList) -> Result<AgentContextPage> {
        let page = page(operation.limit, operation.offset, 100);
        let filter = AgentContextFilter {
            project_id: operation.project_id,
            session_id: operation.session_id,
            agent_id: operation.agent_id,
            agent_type: operation.agent_type,
        };
        let (contexts, total) = self.store().agent_contexts(filter, page).await?;
        Ok(AgentContextPage {
            count: contexts.len(),
            contexts,
            total,
            limit: page.limit,
            offset: page.offset,
        })
    }
}

impl Run<AgentContextStats> for Dcm {
    async fn run(&self, _: AgentContextStats) -> Result<AgentContextReport> {
        let (by_status, by_type) = self.store().agent_context_counts().await?;
        Ok(AgentContextReport {
            total: by_status.iter().map(|(_, count)| count).sum(),
            by_status: by_status.into_iter().collect(),
            by_type: by_type.into_iter().collect(),
            timestamp: self.now(),
        })
    }
}

impl Run<CompactStatus> for Dcm {
    async fn run(&self, operation: CompactStatus) -> Result<CompactState> {
        let session_id = operation.session_id;
        let filter = RequestFilter { session_id: Some(session_id.clone()), ..RequestFilter::default() };
        if self.store().request_page(filter, Page { limit: 1, offset: 0 }).await?.is_empty() {
            return Ok(CompactState::Unknown { session_id, exists: false, compacted: false });
        }
        let compaction = self.store().newest_compaction(session_id.clone()).await?;
        let agent = compaction.as_ref().and_then(|one| one.metadata.get("agent_id"));
        Ok(CompactState::Known {
            session_id,
            exists: true,
            compacted: compaction.is_some(),
            compacted_at: compaction.as_ref().map(|one| one.created_at),
            compact_summary: compaction.and_then(|one| one.summary),
            compact_agent: agent.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned),
        })
    }
}
