//! The reading half of the store: one named query each, the rows made into the model.

use super::brief::{brief_rows, brief_statement};
use super::driver::Driver;
use super::read_rows::MailRow;
use super::rows::{FromRow, all, first};
use super::store::SqlStore;
use super::value::{Row, Statement};
use crate::api::actions::{ActionSummary, HourCount};
use crate::api::compact::CompactionEntry;
use crate::api::hierarchy::ActiveAgent;
use crate::api::sessions::{SessionOverview, SessionsOfProject};
use crate::api::system::MessageCounts;
use crate::error::{Error, Result};
use crate::id::{MessageId, ProjectId, RequestId, SubtaskId, TaskId};
use crate::model::{
    AgentContext, Blocking, Compaction, HookState, Message, Project, ProjectStats, Request, Session,
    Subscription, Subtask, Task,
};
use crate::storage::{
    ActionFilter, ActiveFilter, AgentContextCounts, AgentContextFilter, BoxFuture, BriefQuery, BriefRows,
    ContextQuery, ContextRows, HierarchyRows, InboxQuery, InboxRows, Metrics, Page, ReadStore, ReceiptRows,
    RequestFilter, SubtaskFilter,
};
use crate::time::Timestamp;

/// The answers of a call with several statements, taken in their order.
struct Answers(std::vec::IntoIter<Vec<Row>>);

impl Answers {
    fn next(&mut self) -> Result<Vec<Row>> {
        self.0.next().ok_or_else(|| Error::internal("a query has no answer"))
    }

    fn one(&mut self) -> Result<Row> {
        self.next()?
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal("a query that always has a row has none"))
    }
}

impl<D: Driver> SqlStore<D> {
    async fn query(&self, statement: Statement) -> Result<Vec<Row>> {
        Answers(self.driver.read(vec![statement]).await?.into_iter()).next()
    }

    async fn queries(&self, statements: Vec<Statement>) -> Result<Answers> {
        Ok(Answers(self.driver.read(statements).await?.into_iter()))
    }

    async fn one<T: FromRow>(&self, statement: Statement) -> Result<Option<T>> {
        first(self.query(statement).await?)
    }

    async fn list<T: FromRow>(&self, statement: Statement) -> Result<Vec<T>> {
        all(self.query(statement).await?)
    }

    /// A page and how many rows match.
    async fn page_of<T: FromRow>(&self, rows: Statement, count: Statement) -> Result<(Vec<T>, i64)> {
        let mut answers = self.queries(vec![rows, count]).await?;
        Ok((all(answers.next()?)?, answers.one()?.int(0)?))
    }
}

fn paged(statement: Statement, page: Page) -> Statement {
    statement.with("limit", page.limit).with("offset", page.offset)
}

/// A flag as an optional parameter: what it says does not matter, only whether it is there.
fn flag(on: bool) -> Option<&'static str> {
    on.then_some("yes")
}

fn filtered(query: &'static str, filter: &ActionFilter) -> Statement {
    Statement::new(query)
        .with("tool_type", filter.tool_type.clone())
        .with("tool_name", filter.tool_name.clone())
        .with("session_id", filter.session_id.clone())
        .with("subtask_id", filter.subtask_id)
}

fn sessions(query: &'static str, filter: &ActiveFilter) -> Statement {
    Statement::new(query).with("project_id", filter.project_id).with("active_only", flag(filter.active_only))
}

impl<D: Driver> ReadStore for SqlStore<D> {
    fn metrics(&self, now: Timestamp) -> BoxFuture<'_, Result<Metrics>> {
        const MINUTE: i64 = 60_000;
        let numbers = Statement::new("metrics")
            .with("seen", now.plus_millis(-15 * MINUTE))
            .with("hour", now.plus_millis(-60 * MINUTE))
            .with("minutes", now.plus_millis(-5 * MINUTE));
        Box::pin(async move {
            let numbers = self.one(numbers).await?;
            numbers.ok_or_else(|| Error::internal("the numbers have no row"))
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.driver.ping())
    }

    fn counts(&self) -> BoxFuture<'_, Result<[i64; 4]>> {
        Box::pin(async move {
            let mut row = self.queries(vec![Statement::new("counts")]).await?.one()?;
            Ok([row.int(0)?, row.int(1)?, row.int(2)?, row.int(3)?])
        })
    }

    fn known_setting(&self, name: String) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async move {
            let found = self.queries(vec![Statement::new("get_setting").with("name", name)]).await?.next()?;
            found.into_iter().next().map(|mut row| row.text(0)).transpose()
        })
    }

    fn message_counts(&self, now: Timestamp) -> BoxFuture<'_, Result<MessageCounts>> {
        Box::pin(async move {
            let counts = Statement::new("message_counts").with("now", now);
            let mut answers = self.queries(vec![counts, Statement::new("message_topics")]).await?;
            let mut row = answers.one()?;
            let mut by_topic = serde_json::Map::new();
            for mut row in answers.next()? {
                by_topic.insert(row.text(0)?, row.int(1)?.into());
            }
            Ok(MessageCounts {
                total: row.int(0)?,
                expired: row.opt_int(1)?.unwrap_or(0),
                unread: row.opt_int(2)?.unwrap_or(0),
                by_topic,
            })
        })
    }

    fn project(&self, id: ProjectId) -> BoxFuture<'_, Result<Option<Project>>> {
        Box::pin(self.one(Statement::new("project_get").with("id", id)))
    }

    fn project_at(&self, path: String) -> BoxFuture<'_, Result<Option<Project>>> {
        Box::pin(self.one(Statement::new("project_by_path").with("path", path)))
    }

    fn project_page(&self, page: Page) -> BoxFuture<'_, Result<(Vec<Project>, i64)>> {
        Box::pin(self.page_of(paged(Statement::new("project_page"), page), Statement::new("project_count")))
    }

    fn project_stats(&self, id: ProjectId) -> BoxFuture<'_, Result<Option<ProjectStats>>> {
        Box::pin(self.one(Statement::new("project_stats").with("id", id)))
    }

    fn hierarchy(&self, id: ProjectId) -> BoxFuture<'_, Result<Option<HierarchyRows>>> {
        Box::pin(async move {
            let queries = [
                "project_get",
                "project_stats",
                "hierarchy_requests",
                "hierarchy_tasks",
                "hierarchy_subtasks",
            ];
            let statements = queries.map(|query| Statement::new(query).with("id", id));
            let mut answers = self.queries(statements.to_vec()).await?;
            let Some(project) = first(answers.next()?)? else { return Ok(None) };
            Ok(Some(HierarchyRows {
                project,
                stats: first(answers.next()?)?,
                requests: all(answers.next()?)?,
                tasks: all(answers.next()?)?,
                subtasks: all(answers.next()?)?,
            }))
        })
    }

    fn active_agents(&self) -> BoxFuture<'_, Result<Vec<ActiveAgent>>> {
        Box::pin(self.list(Statement::new("active_agents")))
    }

    fn request(&self, id: RequestId) -> BoxFuture<'_, Result<Option<Request>>> {
        Box::pin(self.one(Statement::new("request_get").with("id", id)))
    }

    fn request_page(&self, filter: RequestFilter, page: Page) -> BoxFuture<'_, Result<Vec<Request>>> {
        let statement = Statement::new("request_page")
            .with("project_id", filter.project_id)
            .with("session_id", filter.session_id)
            .with("status", filter.status);
        Box::pin(self.list(paged(statement, page)))
    }

    fn task(&self, id: TaskId) -> BoxFuture<'_, Result<Option<Task>>> {
        Box::pin(self.one(Statement::new("task_get").with("id", id)))
    }

    fn task_page(
        &self,
        request: Option<RequestId>,
        status: Option<String>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<Task>>> {
        let statement = match request {
            Some(request) => Statement::new("task_page_of_request").with("request_id", request),
            None => Statement::new("task_page"),
        };
        Box::pin(self.list(paged(statement.with("status", status), page)))
    }

    fn subtask(&self, id: SubtaskId) -> BoxFuture<'_, Result<Option<Subtask>>> {
        Box::pin(self.one(Statement::new("subtask_get").with("id", id)))
    }

    fn subtask_page(&self, filter: SubtaskFilter, page: Page) -> BoxFuture<'_, Result<Vec<Subtask>>> {
        let statement = match filter.task_id {
            Some(task) => Statement::new("subtask_page_of_task").with("task_id", task),
            None => Statement::new("subtask_page"),
        };
        let statement = statement
            .with("status", filter.status)
            .with("agent_type", filter.agent_type)
            .with("agent_id", filter.agent_id);
        Box::pin(self.list(paged(statement, page)))
    }

    fn actions_of_subtask(&self, id: SubtaskId) -> BoxFuture<'_, Result<Vec<ActionSummary>>> {
        Box::pin(self.list(Statement::new("actions_of_subtask").with("id", id)))
    }

    fn action_page(
        &self,
        filter: ActionFilter,
        page: Page,
    ) -> BoxFuture<'_, Result<(Vec<ActionSummary>, i64)>> {
        let rows = paged(filtered("action_page", &filter), page);
        Box::pin(self.page_of(rows, filtered("action_page_count", &filter)))
    }

    fn hourly_actions(&self, since: Timestamp) -> BoxFuture<'_, Result<Vec<HourCount>>> {
        Box::pin(self.list(Statement::new("hourly_actions").with("since", since)))
    }

    fn session(&self, id: String) -> BoxFuture<'_, Result<Option<Session>>> {
        Box::pin(self.one(Statement::new("session_get").with("id", id)))
    }

    fn hook_state(&self, session_id: String) -> BoxFuture<'_, Result<Option<HookState>>> {
        Box::pin(async move {
            let statement = Statement::new("hook_state").with("session_id", session_id);
            let rows = self.queries(vec![statement]).await?.next()?;
            let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
            Ok(serde_json::from_str(row.json(0)?.as_str()).ok())
        })
    }

    fn receipts(&self, id: MessageId) -> BoxFuture<'_, Result<Option<ReceiptRows>>> {
        Box::pin(async move {
            let statements = ["message_get", "receipts_of"].map(|query| Statement::new(query).with("id", id));
            let mut answers = self.queries(statements.to_vec()).await?;
            let Some(message) = first(answers.next()?)? else { return Ok(None) };
            Ok(Some(ReceiptRows { message, receipts: all(answers.next()?)? }))
        })
    }

    fn session_page(&self, filter: ActiveFilter, page: Page) -> BoxFuture<'_, Result<(Vec<Session>, i64)>> {
        let rows = paged(sessions("session_page", &filter), page);
        Box::pin(self.page_of(rows, sessions("session_page_count", &filter)))
    }

    fn session_report(&self) -> BoxFuture<'_, Result<(SessionOverview, Vec<SessionsOfProject>)>> {
        Box::pin(async move {
            let statements = vec![Statement::new("session_overview"), Statement::new("session_projects")];
            let mut answers = self.queries(statements).await?;
            let mut row = answers.one()?;
            let overview = SessionOverview {
                total_sessions: row.int(0)?,
                active_sessions: row.opt_int(1)?.unwrap_or(0),
                total_tools: row.opt_int(2)?.unwrap_or(0),
                total_success: row.opt_int(3)?.unwrap_or(0),
                total_errors: row.opt_int(4)?.unwrap_or(0),
                avg_tools_per_session: row.float(5)?,
                oldest_session: row.opt_time(6)?,
                newest_session: row.opt_time(7)?,
            };
            Ok((overview, all(answers.next()?)?))
        })
    }

    fn inbox(&self, query: InboxQuery) -> BoxFuture<'_, Result<InboxRows>> {
        Box::pin(async move {
            let broadcasts = flag(query.include_broadcasts);
            let asks_for_part = query.agent_id.is_none() || query.since.is_some() || query.topic.is_some();
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            let mail = Statement::new("inbox")
                .with("agent_id", query.agent_id.clone())
                .with("reader", query.reader.clone())
                .with("since", query.since)
                .with("topic", query.topic)
                .with("broadcasts", broadcasts)
                .with("now", query.now)
                // One more, to see whether there are more.
                .with("limit", i64::from(query.limit) + 1);
            let unread = Statement::new("inbox_unread")
                .with("agent_id", query.agent_id)
                .with("reader", query.reader)
                .with("broadcasts", broadcasts)
                .with("now", query.now);
            let mut messages: Vec<(Message, bool)> = self
                .list::<MailRow>(mail)
                .await?
                .into_iter()
                .map(|MailRow(mail, read)| (mail, read))
                .collect();
            // Whoever sees all of their mail sees how much of it is unread; anybody else has to ask.
            let unread = if asks_for_part || messages.len() > limit {
                messages.truncate(limit);
                self.queries(vec![unread]).await?.one()?.int(0)?
            } else {
                i64::try_from(messages.iter().filter(|(_, read)| !read).count()).unwrap_or(i64::MAX)
            };
            Ok(InboxRows { messages, unread })
        })
    }

    fn message_page(
        &self,
        topic: Option<String>,
        now: Timestamp,
        page: Page,
    ) -> BoxFuture<'_, Result<(Vec<Message>, i64)>> {
        let of_topic = |query| Statement::new(query).with("now", now).with("topic", topic.clone());
        Box::pin(self.page_of(paged(of_topic("message_page"), page), of_topic("message_page_count")))
    }

    fn subscriptions(
        &self,
        agent_id: Option<String>,
        topic: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<Subscription>>> {
        Box::pin(
            self.list(Statement::new("subscription_list").with("agent_id", agent_id).with("topic", topic)),
        )
    }

    fn blockings_of(&self, agent: String) -> BoxFuture<'_, Result<Vec<Blocking>>> {
        Box::pin(self.list(Statement::new("blockings_of").with("agent", agent)))
    }

    fn expired_messages(&self, before: Timestamp, limit: u32) -> BoxFuture<'_, Result<Vec<MessageId>>> {
        Box::pin(async move {
            let find = Statement::new("find_expired_messages").with("before", before).with("limit", limit);
            self.query(find).await?.into_iter().map(|mut row| row.id(0)).collect()
        })
    }

    fn idle_sessions(
        &self,
        began: Timestamp,
        seen: Timestamp,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async move {
            let find =
                Statement::new("find_idle_sessions").with("began_before", began).with("seen_before", seen);
            self.query(find.with("limit", limit)).await?.into_iter().map(|mut row| row.text(0)).collect()
        })
    }

    fn stuck_subtasks(&self, before: Timestamp, limit: u32) -> BoxFuture<'_, Result<Vec<SubtaskId>>> {
        Box::pin(async move {
            let find = Statement::new("find_stuck_subtasks").with("before", before).with("limit", limit);
            self.query(find).await?.into_iter().map(|mut row| row.id(0)).collect()
        })
    }

    fn session_of_agent(&self, agent: String) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async move {
            let rows = self.query(Statement::new("session_of_agent").with("agent", agent)).await?;
            rows.into_iter().next().map(|mut row| row.text(0)).transpose()
        })
    }

    fn newest_snapshot(
        &self,
        session: String,
        agent: Option<String>,
    ) -> BoxFuture<'_, Result<Option<Compaction>>> {
        let newest = Statement::new("newest_snapshot").with("session_id", session).with("agent_id", agent);
        Box::pin(self.one(newest))
    }

    fn compaction_history(&self, session: String) -> BoxFuture<'_, Result<Vec<CompactionEntry>>> {
        Box::pin(self.list(Statement::new("compaction_history").with("session_id", session)))
    }

    fn agent_contexts(
        &self,
        filter: AgentContextFilter,
        page: Page,
    ) -> BoxFuture<'_, Result<(Vec<AgentContext>, i64)>> {
        let filtered = |query| {
            Statement::new(query)
                .with("project_id", filter.project_id)
                .with("session_id", filter.session_id.clone())
                .with("agent_id", filter.agent_id.clone())
                .with("agent_type", filter.agent_type.clone())
        };
        Box::pin(self.page_of(paged(filtered("agent_context_page"), page), filtered("agent_context_count")))
    }

    fn agent_context_counts(&self) -> BoxFuture<'_, Result<AgentContextCounts>> {
        Box::pin(async move {
            let queries = ["agent_context_statuses", "agent_context_types"];
            let mut answers = self.queries(queries.map(Statement::new).to_vec()).await?;
            let counts = |rows: Vec<Row>| {
                rows.into_iter().map(|mut row| Ok((row.text(0)?, row.int(1)?))).collect::<Result<Vec<_>>>()
            };
            Ok((counts(answers.next()?)?, counts(answers.next()?)?))
        })
    }

    fn newest_compaction(&self, session: String) -> BoxFuture<'_, Result<Option<Compaction>>> {
        Box::pin(self.one(Statement::new("newest_compaction").with("session_id", session)))
    }

    fn brief(&self, query: BriefQuery) -> BoxFuture<'_, Result<BriefRows>> {
        Box::pin(async move { brief_rows(self.query(brief_statement(query.clone())).await?, &query) })
    }

    fn context(&self, query: ContextQuery) -> BoxFuture<'_, Result<ContextRows>> {
        Box::pin(async move {
            let of_agent = |name| {
                Statement::new(name)
                    .with("agent", query.agent_id.clone())
                    .with("session_id", query.session_id.clone())
            };
            let project = match query.project_id {
                Some(id) => Statement::new("context_project").with("id", id),
                None => {
                    Statement::new("context_project_of_session").with("session_id", query.session_id.clone())
                }
            };
            let mut statements = vec![
                of_agent("context_kind"),
                of_agent("context_tasks"),
                Statement::new("context_session").with("session_id", query.session_id.clone()),
                project,
            ];
            if query.messages {
                let messages = of_agent("context_messages").with("now", query.now);
                statements.push(messages.with("project_id", query.project_id));
            }
            if query.blocking {
                statements.push(of_agent("context_blockings").with("project_id", query.project_id));
            }
            if query.history_limit > 0 {
                statements.push(of_agent("context_history").with("limit", query.history_limit));
            }
            let mut answers = self.queries(statements).await?;
            let kinds = answers.next()?.into_iter().next().map(|mut row| row.text(0));
            Ok(ContextRows {
                agent_type: kinds.transpose()?,
                tasks: all(answers.next()?)?,
                session: first(answers.next()?)?,
                project: first(answers.next()?)?,
                messages: if query.messages { all(answers.next()?)? } else { Vec::new() },
                blockings: if query.blocking { all(answers.next()?)? } else { Vec::new() },
                history: if query.history_limit > 0 { all(answers.next()?)? } else { Vec::new() },
            })
        })
    }
}
