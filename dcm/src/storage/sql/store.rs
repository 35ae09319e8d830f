//! The store over a SQL database: loads what a batch must see, writes what it decided.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::driver::{Driver, TransactError};
use super::rows::{FromRow, IntoCells, Placed, RecordedAt};
use super::value::{Row, Statement, Value};
use crate::error::{Error, Result};
use crate::id::EventId;
use crate::model::{Blocking, Compaction, Message, Project, Request, Session, Subscription, Subtask, Task};
use crate::routing::ScoreChange;
use crate::storage::state::{Changes, Footprint, KnownAction, RowChanges, State, Tally};
use crate::storage::{AgeLimits, AnyOutcome, Batch, BoxFuture, CommitStore, RetentionReport};
use crate::time::Timestamp;

/// A [`crate::storage::Storage`] over a SQL database.
#[derive(Debug)]
pub(crate) struct SqlStore<D> {
    pub(super) driver: D,
    max_retries: u32,
}

impl<D: Driver> SqlStore<D> {
    /// A store that tries a transaction that had no effect again, at most `max_retries` times.
    pub(crate) fn new(driver: D, max_retries: u32) -> Self {
        Self { driver, max_retries }
    }
}

fn texts<'a>(items: impl IntoIterator<Item = &'a String>) -> Value {
    Value::Texts(items.into_iter().cloned().collect())
}

fn uuids<Id: Copy>(items: &BTreeSet<Id>, uuid: fn(Id) -> uuid::Uuid) -> Value {
    if items.is_empty() { Value::Null } else { Value::Uuids(items.iter().map(|id| uuid(*id)).collect()) }
}

/// A list parameter; absent when there is nothing in it, so that the query's line is left out.
fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> Value {
    match texts(items) {
        Value::Texts(items) if items.is_empty() => Value::Null,
        value => value,
    }
}

fn firsts(pairs: &BTreeSet<(String, String)>) -> Value {
    list(pairs.iter().map(|(first, _)| first).collect::<BTreeSet<_>>())
}

fn seconds(pairs: &BTreeSet<(String, String)>) -> Value {
    list(pairs.iter().map(|(_, second)| second).collect::<BTreeSet<_>>())
}

/// The names of the locks of a batch, besides those of the sessions that its rows belong to.
fn lock_names(footprint: &Footprint) -> Vec<String> {
    let mut names = BTreeSet::new();
    names.extend(footprint.projects.iter().map(|id| format!("project:{id}")));
    names.extend(footprint.project_paths.iter().map(|path| format!("path:{path}")));
    let sessions =
        footprint.sessions.iter().chain(&footprint.newest_requests).chain(&footprint.session_requests);
    names.extend(sessions.chain(&footprint.action_sessions).map(|id| format!("session:{id}")));
    names.extend(footprint.request_keys.iter().map(|(session, _)| format!("session:{session}")));
    names.extend(footprint.message_reads.iter().map(|(_, agent)| format!("inbox:{agent}")));
    names.extend(
        footprint.subscription_pairs.iter().map(|(agent, topic)| format!("subscription:{agent}:{topic}")),
    );
    names.extend(footprint.subscriptions.iter().map(|id| format!("subscription:{id}")));
    names.extend(footprint.blocking_pairs.iter().map(|(by, agent)| format!("blocking:{by}:{agent}")));
    names.extend(footprint.blockings.iter().map(|id| format!("blocking:{id}")));
    names.extend(footprint.idempotency_keys.iter().map(|key| format!("key:{key}")));
    names.extend(footprint.actions.iter().map(|id| format!("action:{id}")));
    names.into_iter().collect()
}

/// What is loaded, in the order of [`load`]'s statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Locks,
    Projects,
    Sessions,
    Requests,
    Tasks,
    Subtasks,
    Actions,
    ActionCounts,
    Messages,
    MessageReads,
    KnownAgents,
    Subscriptions,
    Blockings,
    Compactions,
    Remembered,
}

/// The queries for `footprint`; only those that have something to look for.
fn load(footprint: &Footprint, locks: bool) -> Vec<(Load, Statement)> {
    use crate::id::{
        ActionId, BlockingId, MessageId, ProjectId, RequestId, SubscriptionId, SubtaskId, TaskId,
    };
    let f = footprint;
    let projects = uuids(&f.projects, ProjectId::as_uuid);
    let requests = uuids(&f.requests, RequestId::as_uuid);
    let tasks = uuids(&f.tasks, TaskId::as_uuid);
    let subtasks = uuids(&f.subtasks, SubtaskId::as_uuid);
    let newest = list(&f.newest_requests);
    let mut loads = Vec::new();
    let mut add = |kind, wanted: bool, statement: Statement| {
        if wanted {
            loads.push((kind, statement));
        }
    };
    if locks {
        let names = lock_names(f);
        let tree = !(f.requests.is_empty() && f.tasks.is_empty() && f.subtasks.is_empty());
        let statement = Statement::new("lock_keys")
            .with("names", names.clone())
            .with("requests", requests.clone())
            .with("tasks", tasks.clone())
            .with("subtasks", subtasks.clone())
            .with("projects", projects.clone());
        add(Load::Locks, tree || !names.is_empty(), statement);
    }
    add(
        Load::Projects,
        !(f.projects.is_empty() && f.project_paths.is_empty()),
        Statement::new("load_projects").with("projects", projects).with("paths", list(&f.project_paths)),
    );
    add(
        Load::Sessions,
        !f.sessions.is_empty(),
        Statement::new("load_sessions").with("sessions", list(&f.sessions)),
    );
    let keyed = !f.request_keys.is_empty();
    let by_subtask_key = !f.subtask_keys.is_empty();
    let by_tree =
        !f.tasks.is_empty() || !f.subtasks.is_empty() || by_subtask_key || !f.newest_requests.is_empty();
    add(
        Load::Requests,
        by_tree || keyed || !f.requests.is_empty() || !f.session_requests.is_empty(),
        Statement::new("load_requests")
            .with("requests", requests)
            .with("tasks", tasks.clone())
            .with("subtasks", subtasks.clone())
            .with("request_key_sessions", firsts(&f.request_keys))
            .with("request_keys", seconds(&f.request_keys))
            .with("subtask_keys", seconds(&f.subtask_keys))
            .with("newest", newest.clone())
            .with("session_requests", list(&f.session_requests)),
    );
    let keyed_tasks = f.tasks_of_keyed_requests && keyed;
    let request_keys = if keyed_tasks { seconds(&f.request_keys) } else { Value::Null };
    add(
        Load::Tasks,
        by_tree || keyed_tasks,
        Statement::new("load_tasks")
            .with("tasks", tasks)
            .with("subtasks", subtasks.clone())
            .with("subtask_keys", seconds(&f.subtask_keys))
            .with("request_key_sessions", firsts(&f.request_keys))
            .with("request_keys", request_keys)
            .with("newest", newest.clone()),
    );
    add(
        Load::Subtasks,
        !f.subtasks.is_empty() || by_subtask_key || !f.newest_requests.is_empty(),
        Statement::new("load_subtasks")
            .with("subtasks", subtasks)
            .with("subtask_keys", seconds(&f.subtask_keys))
            .with("newest", newest),
    );
    add(
        Load::Actions,
        !(f.actions.is_empty() && f.action_keys.is_empty()),
        Statement::new("load_actions")
            .with("actions", uuids(&f.actions, ActionId::as_uuid))
            .with("action_key_sessions", firsts(&f.action_keys))
            .with("action_keys", seconds(&f.action_keys)),
    );
    add(
        Load::ActionCounts,
        !f.action_sessions.is_empty(),
        Statement::new("load_action_counts").with("action_sessions", list(&f.action_sessions)),
    );
    add(
        Load::Messages,
        !f.messages.is_empty(),
        Statement::new("load_messages").with("messages", uuids(&f.messages, MessageId::as_uuid)),
    );
    let read_messages: BTreeSet<MessageId> = f.message_reads.iter().map(|(id, _)| *id).collect();
    let readers: BTreeSet<&String> = f.message_reads.iter().map(|(_, agent)| agent).collect();
    add(
        Load::MessageReads,
        !f.message_reads.is_empty(),
        Statement::new("load_message_reads")
            .with("messages", uuids(&read_messages, MessageId::as_uuid))
            .with("agents", texts(readers)),
    );
    add(
        Load::KnownAgents,
        !f.agents.is_empty(),
        Statement::new("load_known_agents").with("agents", texts(&f.agents)),
    );
    add(
        Load::Subscriptions,
        !(f.subscriptions.is_empty() && f.subscription_pairs.is_empty()),
        Statement::new("load_subscriptions")
            .with("subscriptions", uuids(&f.subscriptions, SubscriptionId::as_uuid))
            .with("agents", firsts(&f.subscription_pairs))
            .with("topics", seconds(&f.subscription_pairs)),
    );
    add(
        Load::Blockings,
        !(f.blockings.is_empty() && f.blocking_pairs.is_empty()),
        Statement::new("load_blockings")
            .with("blockings", uuids(&f.blockings, BlockingId::as_uuid))
            .with("blockers", firsts(&f.blocking_pairs))
            .with("blocked", seconds(&f.blocking_pairs)),
    );
    add(
        Load::Compactions,
        !f.compaction_keys.is_empty(),
        Statement::new("load_compactions")
            .with("sessions", firsts(&f.compaction_keys))
            .with("keys", seconds(&f.compaction_keys)),
    );
    add(
        Load::Remembered,
        !f.idempotency_keys.is_empty(),
        Statement::new("load_idempotency").with("keys", list(&f.idempotency_keys)),
    );
    loads
}

fn tally(row: &mut Row, from: usize) -> Result<Tally> {
    Ok(Tally { total: row.int(from)?, open: row.int(from + 1)?, failed: row.int(from + 2)?, max_wave: None })
}

/// Puts the rows of one query into the state.
fn fill(state: &mut State, kind: Load, rows: Vec<Row>) -> Result<()> {
    for mut row in rows {
        let row = &mut row;
        match kind {
            Load::Locks => {}
            Load::Projects => state.load_project(Project::from_row(row)?),
            Load::Sessions => {
                let session = Session::from_row(row)?;
                state.sessions.load(session.id.clone(), session);
            }
            Load::Requests => {
                let request = Request::from_row(row)?;
                let mut tally = tally(row, 10)?;
                tally.max_wave = row.opt_int32(13)?;
                state.request_tallies.load(request.id, tally);
                state.load_request(request);
            }
            Load::Tasks => {
                let task = Task::from_row(row)?;
                state.task_tallies.load(task.id, tally(row, 7)?);
                state.tasks.load(task.id, task);
            }
            Load::Subtasks => {
                let subtask = Subtask::from_row(row)?;
                let session = row.opt_text(13)?;
                state.load_subtask(session.as_deref(), subtask);
            }
            Load::Actions => state.load_action(KnownAction::from_row(row)?),
            Load::ActionCounts => {
                state.action_counts.insert(row.text(0)?, row.int(1)?);
            }
            Load::Messages => {
                let message = Message::from_row(row)?;
                state.messages.load(message.id, message);
            }
            Load::MessageReads => {
                let mark = (row.id(0)?, row.text(1)?);
                state.message_reads.load(mark, row.time(2)?);
            }
            Load::KnownAgents => {
                state.known_agents.insert(row.text(0)?);
            }
            Load::Subscriptions => {
                let subscription = Subscription::from_row(row)?;
                state.subscriptions.load(subscription.id, subscription);
            }
            Load::Blockings => {
                let blocking = Blocking::from_row(row)?;
                state.blockings.load(blocking.id, blocking);
            }
            Load::Compactions => {
                let compaction = Compaction::from_row(row)?;
                state.compactions.load(compaction.id, compaction);
            }
            Load::Remembered => {
                let key = row.text(0)?;
                let remembered =
                    crate::storage::Remembered { fingerprint: row.text(1)?, outcome: row.text(2)? };
                state.remembered.load(key, remembered);
            }
        }
    }
    Ok(())
}

fn removed<K: Copy>(
    statements: &mut Vec<Statement>,
    query: &'static str,
    ids: &[K],
    uuid: fn(K) -> uuid::Uuid,
) {
    if !ids.is_empty() {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| uuid(*id)).collect();
        statements.push(Statement::new(query).with("ids", ids));
    }
}

fn written<R: IntoCells>(statements: &mut Vec<Statement>, query: &'static str, rows: Vec<R>) {
    if !rows.is_empty() {
        let rows = rows.into_iter().map(IntoCells::into_cells).collect();
        statements.push(Statement::bulk(query, R::COLUMNS, rows));
    }
}

fn scores(statements: &mut Vec<Statement>, scores: Vec<((String, String), ScoreChange)>, now: Timestamp) {
    let (mut learned, mut adjusted) = (Vec::new(), Vec::new());
    for ((keyword, tool), change) in scores {
        match (change.new_score, change.tool_type) {
            (Some(new_score), Some(tool_type)) => learned.push(vec![
                keyword.into(),
                tool.into(),
                tool_type.into(),
                new_score.into(),
                change.delta.into(),
                change.low.into(),
                change.high.into(),
                change.usage.into(),
                change.success.into(),
                now.into(),
            ]),
            _ => adjusted.push(vec![
                keyword.into(),
                tool.into(),
                change.delta.into(),
                change.low.into(),
                change.high.into(),
                now.into(),
            ]),
        }
    }
    if !learned.is_empty() {
        let columns = &[
            "keyword",
            "tool_name",
            "tool_type",
            "new_score",
            "delta",
            "low",
            "high",
            "usage",
            "success",
            "last_used",
        ];
        statements.push(Statement::bulk("learn_scores", columns, learned));
    }
    if !adjusted.is_empty() {
        let columns = &["keyword", "tool_name", "delta", "low", "high", "last_used"];
        statements.push(Statement::bulk("adjust_scores", columns, adjusted));
    }
}

/// The statements that write `changes`: what goes first, then parents before children, then scores, and the log last.
fn flush(changes: Changes) -> Vec<Statement> {
    use crate::id::{
        ActionId, BlockingId, MessageId, ProjectId, RequestId, SubscriptionId, SubtaskId, TaskId,
    };
    let mut s = Vec::new();
    let now = changes.now;
    removed(&mut s, "delete_actions", &changes.removed_actions, ActionId::as_uuid);
    if !changes.removed_action_sessions.is_empty() {
        s.push(Statement::new("delete_actions_of_sessions").with("ids", changes.removed_action_sessions));
    }
    removed(&mut s, "delete_messages", &changes.messages.removed, MessageId::as_uuid);
    removed(&mut s, "delete_subscriptions", &changes.subscriptions.removed, SubscriptionId::as_uuid);
    removed(&mut s, "delete_blockings", &changes.blockings.removed, BlockingId::as_uuid);
    removed(&mut s, "delete_subtasks", &changes.subtasks.removed, SubtaskId::as_uuid);
    removed(&mut s, "delete_tasks", &changes.tasks.removed, TaskId::as_uuid);
    removed(&mut s, "delete_requests", &changes.requests.removed, RequestId::as_uuid);
    if !changes.sessions.removed.is_empty() {
        s.push(Statement::new("delete_sessions").with("ids", changes.sessions.removed.clone()));
    }
    removed(&mut s, "delete_projects", &changes.projects.removed, ProjectId::as_uuid);
    fn rows<K, R>(changes: RowChanges<K, R>) -> Vec<R> {
        changes.written
    }
    written(&mut s, "write_projects", rows(changes.projects));
    written(&mut s, "write_sessions", rows(changes.sessions));
    written(&mut s, "write_requests", rows(changes.requests));
    written(&mut s, "write_tasks", rows(changes.tasks));
    written(&mut s, "write_subtasks", rows(changes.subtasks));
    if !changes.action_owners.is_empty() {
        let owners =
            changes.action_owners.into_iter().map(|(id, owner)| vec![id.into(), owner.into()]).collect();
        s.push(Statement::bulk("own_actions", &["id", "subtask_id"], owners));
    }
    let actions = changes.actions.into_iter().map(|action| RecordedAt(action, now)).collect();
    written(&mut s, "insert_actions", actions);
    written(&mut s, "insert_messages", rows(changes.messages));
    if !changes.message_reads.is_empty() {
        let marks =
            changes.message_reads.into_iter().map(|(id, agent, at)| vec![id.into(), agent.into(), at.into()]);
        s.push(Statement::bulk(
            "insert_message_reads",
            &["message_id", "agent_id", "read_at"],
            marks.collect(),
        ));
    }
    written(&mut s, "write_subscriptions", rows(changes.subscriptions));
    written(&mut s, "write_blockings", rows(changes.blockings));
    written(&mut s, "write_compactions", rows(changes.compactions));
    scores(&mut s, changes.scores, now);
    if !changes.idempotency.is_empty() {
        let kept = changes
            .idempotency
            .into_iter()
            .map(|(key, kept)| vec![key.into(), kept.fingerprint.into(), kept.outcome.into(), now.into()]);
        let columns = &["idempotency_key", "fingerprint", "outcome", "created_at"];
        s.push(Statement::bulk("insert_idempotency", columns, kept.collect()));
    }
    if !changes.events.is_empty() {
        let count = i64::try_from(changes.events.len()).unwrap_or(i64::MAX);
        s.push(Statement::new("advance_log").with("count", count));
        let placed =
            changes.events.into_iter().zip(1 - count..).map(|(event, place)| Placed(event, place)).collect();
        written(&mut s, "insert_events", placed);
    }
    s
}

/// What is told to the callers of a batch.
type Outcomes = Vec<Result<AnyOutcome>>;

/// What a batch was decided to be, and the first of its events, by which it is found in the log.
struct Decided {
    outcomes: Outcomes,
    mark: Option<(EventId, Timestamp)>,
}

/// How often a lost COMMIT is looked for; with the growing pauses, about ten seconds.
const LOOKS: u32 = 9;

impl<D: Driver> SqlStore<D> {
    /// Runs a batch once. When the fate of its COMMIT is not known, its events tell: they are in the log or not.
    async fn transact(&self, batch: &Batch) -> Result<Outcomes, TransactError> {
        let (kinds, statements): (Vec<Load>, Vec<Statement>) =
            load(&batch.footprint(), D::NEEDS_LOCKS).into_iter().unzip();
        let batch = batch.clone();
        let decided: Arc<Mutex<Option<Decided>>> = Arc::default();
        let kept = Arc::clone(&decided);
        let decide = move |answers: Vec<Vec<Row>>| {
            let mut state = batch.state();
            for (kind, rows) in kinds.into_iter().zip(answers) {
                fill(&mut state, kind, rows)?;
            }
            let decision = batch.decide(state);
            let mark = decision.changes.events.first().map(|event| (event.id, event.at));
            let statements = if decision.changes.is_empty() { Vec::new() } else { flush(decision.changes) };
            *kept.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Decided { outcomes: decision.outcomes, mark });
            Ok(((), statements))
        };
        let outcome = self.driver.transact(statements, decide).await;
        let decided = decided.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, decided) {
            (Ok(_), Some(decided)) => Ok(decided.outcomes),
            (Ok(_), None) => Err(TransactError::Failed(Error::internal("a transaction decided nothing"))),
            (Err(TransactError::CommitUnknown(error)), Some(Decided { outcomes, mark: Some(mark) })) => {
                self.look_for(mark, outcomes, error).await
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Answers truly for a batch whose COMMIT was under way when the connection was lost: under the lock of the log's
    /// head, which that transaction held, its first event is there or will never be.
    async fn look_for(
        &self,
        (event, at): (EventId, Timestamp),
        outcomes: Outcomes,
        cause: Error,
    ) -> Result<Outcomes, TransactError> {
        tracing::warn!(?cause, "the connection was lost while committing, looking whether it happened");
        for attempt in 0..LOOKS {
            tokio::time::sleep(Duration::from_millis(50 << attempt.min(5))).await;
            let look = vec![
                Statement::new("lock_log_head"),
                Statement::new("event_exists").with("id", event).with("at", at),
            ];
            let found = self
                .driver
                .transact(look, |answers| {
                    Ok((answers.last().is_some_and(|rows| !rows.is_empty()), Vec::new()))
                })
                .await;
            match found {
                Ok((true, _)) => return Ok(outcomes),
                Ok((false, _)) => return Err(TransactError::Retryable(cause)),
                Err(error) => tracing::warn!(?error, attempt, "the store does not answer yet"),
            }
        }
        Err(TransactError::CommitUnknown(cause))
    }

    /// Tries again what had no effect, with a growing pause.
    async fn transact_with_retries(&self, batch: &Batch) -> Result<Outcomes, TransactError> {
        let mut attempt = 0;
        loop {
            match self.transact(batch).await {
                Err(TransactError::Retryable(error)) if attempt < self.max_retries => {
                    attempt += 1;
                    tracing::warn!(?error, attempt, "a transaction had no effect and is tried again");
                    tokio::time::sleep(Duration::from_millis(20 << attempt.min(6))).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn commit_batch(&self, batch: Batch) -> Result<Vec<Result<AnyOutcome>>> {
        match self.transact_with_retries(&batch).await {
            Ok(outcomes) => Ok(outcomes),
            // One command is at fault; alone, the others succeed. A refusal may also be a race with another node,
            // which the second look sees.
            Err(TransactError::Refused(error)) => {
                tracing::warn!(
                    ?error,
                    commands = batch.len(),
                    "the store refused a batch, its commands go one by one"
                );
                let mut outcomes = Vec::with_capacity(batch.len());
                for one in batch.split() {
                    match self.transact_with_retries(&one).await {
                        Ok(mut outcome) => outcomes.append(&mut outcome),
                        Err(error) => outcomes.push(Err(into_error(error))),
                    }
                }
                Ok(outcomes)
            }
            Err(error) => Err(into_error(error)),
        }
    }

    async fn retain_rows(&self, limits: AgeLimits) -> Result<RetentionReport> {
        let batch = i64::from(limits.batch);
        let mut counts = vec![
            Statement::new("expired_events_end")
                .with("before", limits.events_before)
                .with("limit", limits.batch),
            Statement::new("count_events"),
        ];
        if limits.action_rows.is_some() {
            counts.push(Statement::new("count_actions"));
        }
        let mut answers = self.driver.read(counts).await?.into_iter();
        let mut next = || answers.next().and_then(|rows| rows.into_iter().next());
        let mut last = next().map_or(Ok(0), |mut row| row.int(0))?;
        if let Some(mut row) = next() {
            let (count, newest) = (row.int(0)?, row.int(1)?);
            if let Some(most) = limits.event_rows {
                // Positions are dense, so the surplus is the oldest `count - most`.
                let surplus = (count - most).clamp(0, batch);
                last = last.max(if surplus > 0 { newest - count + surplus } else { 0 });
            }
        }
        let surplus = match (limits.action_rows, next()) {
            (Some(most), Some(mut row)) => (row.int(0)? - most).clamp(0, batch),
            _ => 0,
        };
        let mut statements = Vec::new();
        if last > 0 {
            statements.push(Statement::new("move_first_seq").with("last", last));
            statements.push(Statement::new("delete_events").with("last", last));
        }
        statements.push(
            Statement::new("delete_old_actions")
                .with("before", limits.actions_before)
                .with("limit", limits.batch),
        );
        if surplus > 0 {
            statements.push(Statement::new("delete_surplus_actions").with("surplus", surplus));
        }
        statements.push(
            Statement::new("delete_old_outcomes")
                .with("before", limits.outcomes_before)
                .with("limit", limits.batch),
        );
        let names: Vec<&'static str> = statements.iter().map(|statement| statement.query).collect();
        let (_, affected) =
            self.driver.transact(Vec::new(), move |_| Ok(((), statements))).await.map_err(into_error)?;
        let mut report = RetentionReport::default();
        for (name, rows) in names.into_iter().zip(affected) {
            let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            match name {
                "delete_events" => report.events += count,
                "delete_old_actions" | "delete_surplus_actions" => report.actions += count,
                "delete_old_outcomes" => report.outcomes += count,
                _ => {}
            }
        }
        Ok(report)
    }
}

fn into_error(error: TransactError) -> Error {
    match error {
        TransactError::Retryable(error)
        | TransactError::Refused(error)
        | TransactError::Failed(error)
        | TransactError::CommitUnknown(error) => error,
    }
}

impl<D: Driver> CommitStore for SqlStore<D> {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Result<AnyOutcome>>>> {
        Box::pin(self.commit_batch(batch))
    }

    fn retain(&self, limits: AgeLimits) -> BoxFuture<'_, Result<RetentionReport>> {
        Box::pin(self.retain_rows(limits))
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let take = Statement::new("take_lease")
                .with("name", name)
                .with("holder", holder)
                .with("expires_at", expires_at)
                .with("now", now);
            let (_, rows) =
                self.driver.transact(Vec::new(), move |_| Ok(((), vec![take]))).await.map_err(into_error)?;
            Ok(rows.first().is_some_and(|rows| !rows.is_empty()))
        })
    }

    fn setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let make = Statement::new("make_setting").with("name", name).with("value", value);
            let get = Statement::new("get_setting").with("name", name);
            let (_, rows) = self
                .driver
                .transact(Vec::new(), move |_| Ok(((), vec![make, get])))
                .await
                .map_err(into_error)?;
            let mut rows = rows.into_iter().next_back().unwrap_or_default();
            rows.first_mut().map_or_else(|| Err(Error::internal("a setting was not kept")), |row| row.text(0))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.driver.close())
    }
}
