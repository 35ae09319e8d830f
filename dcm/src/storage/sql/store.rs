//! The store over a SQL database: loads what a batch must see, writes what it decided.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::announce::{Announcements, Turn};
use super::driver::{Driver, TransactError};
use super::flush::{alone, flush};
use super::heard_of::HeardOf;
use super::load::{Load, expect_nobody_at_work, fill, list, load};
use super::value::{Row, Statement, Value};
use crate::error::{Error, Result};
use crate::id::{ActionId, EventId};
use crate::storage::{
    AgeLimits, AnyOutcome, Batch, BoxFuture, CommitListener, CommitStore, CommittedEvents, NewEvent,
    RetentionReport,
};
use crate::time::Timestamp;

/// A [`crate::storage::Storage`] over a SQL database.
#[derive(Debug)]
pub(crate) struct SqlStore<D> {
    pub(super) driver: D,
    max_retries: u32,
    /// What other nodes are told, where there may be some.
    pub(super) announcements: Option<Arc<Announcements>>,
    heard_of: Arc<HeardOf>,
}

impl<D: Driver> SqlStore<D> {
    /// A store that tries a transaction that had no effect again, at most `max_retries` times.
    pub(crate) fn new(driver: D, max_retries: u32) -> Self {
        Self { driver, max_retries, announcements: None, heard_of: Arc::default() }
    }

    /// Tells other nodes when there is something new in the log; `node` is what this one is called.
    #[cfg(feature = "postgres")]
    pub(crate) fn notifying(mut self, node: String) -> Self {
        self.announcements = Some(Arc::new(Announcements::new(node)));
        self
    }
}

/// What is told to the callers of a batch.
type Outcomes = Vec<Result<AnyOutcome>>;

/// What a batch was decided to be, and the first of its events, by which it is found in the log.
struct Decided {
    outcomes: Outcomes,
    mark: Option<(EventId, Timestamp)>,
    /// The events, where somebody wants to hear of them.
    events: Vec<NewEvent>,
    /// Whether it tells other nodes.
    turn: Option<Turn>,
}

/// How long to wait before other nodes are told again, when that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a lost COMMIT is looked for; with the growing pauses, about ten seconds.
const LOOKS: u32 = 9;

impl<D: Driver> SqlStore<D> {
    /// Runs a batch once. When the fate of its COMMIT is not known, its events tell: they are in the log or not.
    ///
    /// If it `may_expect`, a batch that would only look for agents at work is decided as if there were none, where there
    /// were none a moment ago, and its transaction looks whether that is so.
    async fn transact(&self, batch: &Batch, may_expect: bool) -> Result<Outcomes, TransactError> {
        let attempt = number_of(batch.attempt());
        let (footprint, heard_of) = (batch.footprint(), Arc::clone(&self.heard_of));
        let trusted = heard_of.among(&footprint.agents, batch.now());
        let mut loads = load(&footprint, &trusted, batch.now(), D::NEEDS_LOCKS);
        let mut nobody_at_work = BTreeSet::new();
        if may_expect
            && D::SENT_AT_ONCE
            && matches!(&loads[..], [(Load::OpenAgents, _)])
            && heard_of.none_at_work(&footprint.agents)
        {
            loads.clear();
            nobody_at_work.clone_from(&footprint.agents);
        }
        let is_sent_at_once = D::SENT_AT_ONCE && loads.is_empty();
        let (kinds, statements): (Vec<Load>, Vec<Statement>) = loads.into_iter().unzip();
        let looked_for_work = kinds.contains(&Load::OpenAgents);
        let listener = batch.listener().cloned();
        let tell = listener.is_some();
        let announcements = self.announcements.clone();
        let batch = batch.clone();
        let decided: Arc<Mutex<Option<Decided>>> = Arc::default();
        let kept = Arc::clone(&decided);
        let decide = move |answers: Vec<Vec<Row>>| {
            let mut state = batch.state();
            for (kind, rows) in kinds.into_iter().zip(answers) {
                fill(&mut state, kind, rows)?;
            }
            heard_of.note(&state.known_agents, batch.now());
            if looked_for_work {
                heard_of.note_work(&footprint.agents, state.open_agents.iter().map(|(kind, _, _)| kind));
            }
            state.known_agents.extend(trusted);
            let decision = batch.decide(state);
            let mark = decision.changes.events.first().map(|event| (event.id, event.at));
            let events = if tell { decision.changes.events.clone() } else { Vec::new() };
            let told = announcements.filter(|_| mark.is_some());
            let turn = told.as_ref().map(|told| told.turn());
            let told = told.filter(|_| turn.is_some_and(|turn| turn.tells));
            let mut statements = if decision.changes.is_empty() {
                Vec::new()
            } else {
                flush(decision.changes, attempt, D::EVENTS_IN_ONE)
            };
            if is_sent_at_once && !statements.is_empty() {
                statements = at_once(statements, &nobody_at_work, told.as_deref());
            } else {
                statements.extend(told.as_deref().map(wake));
            }
            *kept.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Decided { outcomes: decision.outcomes, mark, events, turn });
            Ok(((), statements))
        };
        let outcome = self.driver.transact(statements, decide).await;
        let decided = decided.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(told), Some(turn)) = (&self.announcements, decided.as_ref().and_then(|it| it.turn)) {
            told.ended(turn, outcome.is_ok());
        }
        match (outcome, decided) {
            (Ok(((), answers)), Some(decided)) => {
                if let Some(listener) = listener.filter(|_| !decided.events.is_empty()) {
                    tell_what_was_committed(&listener, answers, decided.events);
                }
                Ok(decided.outcomes)
            }
            (Ok(_), None) => Err(TransactError::Failed(Error::internal("a transaction decided nothing"))),
            (Err(TransactError::CommitUnknown(error)), Some(Decided { outcomes, mark: Some(mark), .. })) => {
                self.look_for(attempt, mark, outcomes, error).await
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Answers truly for a batch whose COMMIT was under way when the connection was lost.
    async fn look_for(
        &self,
        attempt: i64,
        mark: (EventId, Timestamp),
        outcomes: Outcomes,
        cause: Error,
    ) -> Result<Outcomes, TransactError> {
        tracing::warn!(?cause, "what became of a COMMIT is not known, looking whether it happened");
        for look in 0..LOOKS {
            tokio::time::sleep(Duration::from_millis(50 << look.min(5))).await;
            match self.has_happened(attempt, mark).await {
                Ok(true) => return Ok(outcomes),
                Ok(false) => return Err(TransactError::Retryable(cause)),
                Err(error) => tracing::warn!(?error, look, "the store does not answer yet"),
            }
        }
        Err(TransactError::CommitUnknown(cause))
    }

    /// Whether the attempt that writes this event has happened; if not, it never will.
    ///
    /// The database may not have noticed that its connection was lost, and be at work on the batch still, or may not even
    /// have begun it. Behind the head of the log nobody writes to the log; if the event is not there then, the attempt is
    /// noted beside the head as given up. All of that is sent at once: everybody waits for the head.
    async fn has_happened(&self, attempt: i64, (event, at): (EventId, Timestamp)) -> Result<bool> {
        let seen =
            vec![Statement::new("log_head"), Statement::new("event_exists").with("id", event).with("at", at)];
        let mut seen = self.driver.read(seen).await?;
        let is_there = seen.pop().is_some_and(|rows| !rows.is_empty());
        if is_there || !D::NEEDS_LOCKS {
            return Ok(is_there);
        }
        let end =
            seen.pop().and_then(|rows| rows.into_iter().next()).map_or(Ok(0), |mut head| head.int(0))?;
        let give_up = Statement::new("give_up_attempt").with("attempt", attempt);
        let give_up = vec![Statement::new("lock_log_head"), give_up.with("seq", end).with("id", event)];
        let ((), answers) =
            self.driver.transact(Vec::new(), move |_| Ok(((), give_up))).await.map_err(into_error)?;
        let noted = answers.last().ok_or_else(|| Error::internal("giving up an attempt answered nothing"))?;
        Ok(noted.is_empty())
    }

    /// Tells other nodes by itself what no commit has told.
    async fn tell(&self, told: &Announcements, turn: Turn) -> Result<()> {
        let wake = vec![wake(told)];
        let outcome = self.driver.transact(Vec::new(), move |_| Ok(((), wake))).await;
        told.ended(turn, outcome.is_ok());
        outcome.map(drop).map_err(into_error)
    }

    /// Tells other nodes of everything that no commit has told, again and again.
    pub(super) async fn tell_others(&self, told: &Announcements) -> Infallible {
        loop {
            let turn = told.untold().await;
            if let Err(error) = self.tell(told, turn).await {
                tracing::debug!(?error, "other nodes could not be told of what is new, it is tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Tries again what had no effect, with a growing pause.
    async fn transact_with_retries(&self, batch: &Batch) -> Result<Outcomes, TransactError> {
        let (mut attempt, mut may_expect) = (0, true);
        loop {
            match self.transact(batch, may_expect).await {
                Err(TransactError::Unexpected(_)) if may_expect => may_expect = false,
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
        ];
        // Counting reads a whole table, so only where a number was set.
        if limits.event_rows.is_some() {
            counts.push(Statement::new("count_events"));
        }
        counts.insert(0, Statement::new("routing_watermark"));
        let mut answers = self.driver.read(counts).await?.into_iter();
        let mut next = || answers.next().and_then(|rows| rows.into_iter().next());
        // What the scorer has not learned for good is still needed.
        let learned = next().map_or(Ok(0), |mut row| row.int(1))?;
        let mut last = next().map_or(Ok(0), |mut row| row.int(0))?;
        if let Some(most) = limits.event_rows
            && let Some(mut row) = next()
        {
            let (count, newest) = (row.int(0)?, row.int(1)?);
            // Positions are dense, so the surplus is the oldest `count - most`.
            let surplus = (count - most).clamp(0, batch);
            last = last.max(if surplus > 0 { newest - count + surplus } else { 0 });
        }
        let last = last.min(learned);
        let mut actions = vec![
            Statement::new("find_old_actions")
                .with("before", limits.actions_before)
                .with("limit", limits.batch),
        ];
        if let Some(most) = limits.action_rows {
            let surplus = Statement::new("find_surplus_actions").with("most", most);
            actions.push(surplus.with("limit", limits.batch));
        }
        let mut others = vec![
            Statement::new("delete_old_outcomes")
                .with("before", limits.outcomes_before)
                .with("limit", limits.batch),
        ];
        // Last, as in every commit: who holds the head of the log waits for nobody.
        if last > 0 {
            others.push(Statement::new("move_first_seq").with("last", last));
            others.push(Statement::new("delete_events").with("last", last));
        }
        let remove = move |found: Vec<Vec<Row>>| {
            let (gone, mut statements) = removal(found)?;
            statements.extend(others);
            let names: Vec<&'static str> = statements.iter().map(|statement| statement.query).collect();
            Ok(((gone, names), statements))
        };
        let ((actions, names), affected) = self.driver.transact(actions, remove).await.map_err(into_error)?;
        let mut report = RetentionReport { actions, ..RetentionReport::default() };
        for (name, rows) in names.into_iter().zip(affected) {
            let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            match name {
                "delete_events" => report.events += count,
                "delete_old_outcomes" => report.outcomes += count,
                _ => {}
            }
        }
        Ok(report)
    }
}

/// The number of an attempt.
fn number_of(attempt: EventId) -> i64 {
    let (high, low) = attempt.as_uuid().as_u64_pair();
    (high ^ low).cast_signed()
}

/// `writes` and what they expect, as one statement where that can be.
fn at_once(
    writes: Vec<Statement>,
    nobody_at_work: &BTreeSet<String>,
    told: Option<&Announcements>,
) -> Vec<Statement> {
    match alone(writes) {
        Ok(only) => {
            let node = told.map(|told| told.node().to_owned());
            vec![only.with("agents", list(nobody_at_work)).with("node", node)]
        }
        Err(writes) => {
            let expectation = expect_nobody_at_work(nobody_at_work);
            expectation.into_iter().chain(writes).chain(told.map(wake)).collect()
        }
    }
}

/// The statement by which other nodes are told.
fn wake(told: &Announcements) -> Statement {
    Statement::new("wake_others").with("node", told.node().to_owned())
}

/// How many actions go, and the statements that remove them and mark in each session how far it was emptied.
fn removal(found: Vec<Vec<Row>>) -> Result<(i64, Vec<Statement>)> {
    let mut ids: BTreeSet<ActionId> = BTreeSet::new();
    let mut newest: BTreeMap<String, Timestamp> = BTreeMap::new();
    for mut row in found.into_iter().flatten() {
        ids.insert(row.id(0)?);
        if let Some(session) = row.opt_text(1)? {
            let at = row.time(2)?;
            let mark = newest.entry(session).or_insert(at);
            *mark = at.max(*mark);
        }
    }
    let gone = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let mut statements = Vec::new();
    if !ids.is_empty() {
        let ids = Value::Uuids(ids.into_iter().map(ActionId::as_uuid).collect());
        statements.push(Statement::new("delete_actions").with("ids", ids));
    }
    if !newest.is_empty() {
        let marks = newest.into_iter().map(|(session, at)| vec![session.into(), at.into()]).collect();
        statements.push(Statement::bulk("mark_removed_actions", &["session_id", "newest"], marks));
    }
    Ok((gone, statements))
}

/// Where the events stand is what advancing the log has answered.
fn tell_what_was_committed(listener: &CommitListener, answers: Vec<Vec<Row>>, events: Vec<NewEvent>) {
    let advanced =
        answers.into_iter().flatten().find(|row| matches!(row.query, "advance_log" | "insert_events"));
    let Some(mut row) = advanced else { return };
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    if let (Ok(last), Ok(epoch)) = (row.int(0), row.int(1)) {
        listener.committed(CommittedEvents { epoch, first_seq: last - count + 1, events });
    }
}

pub(super) fn into_error(error: TransactError) -> Error {
    match error {
        TransactError::Retryable(error)
        | TransactError::Refused(error)
        | TransactError::Unexpected(error)
        | TransactError::Failed(error)
        | TransactError::CommitUnknown(error)
        | TransactError::NeverBegun(error) => error,
    }
}

impl<D: Driver> CommitStore for SqlStore<D> {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Result<AnyOutcome>>>> {
        Box::pin(self.commit_batch(batch))
    }

    fn write_lanes(&self) -> usize {
        // While one batch is on its way to the disk, another can be read and decided. A third would wait for the head of
        // the log as well, and leave less for each.
        if D::NEEDS_LOCKS { 2 } else { 1 }
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
            let ((), rows) =
                self.driver.transact(Vec::new(), move |_| Ok(((), vec![take]))).await.map_err(into_error)?;
            Ok(rows.first().is_some_and(|rows| !rows.is_empty()))
        })
    }

    fn setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let make = Statement::new("make_setting").with("name", name).with("value", value);
            let get = Statement::new("get_setting").with("name", name);
            let ((), rows) = self
                .driver
                .transact(Vec::new(), move |_| Ok(((), vec![make, get])))
                .await
                .map_err(into_error)?;
            let mut rows = rows.into_iter().next_back().unwrap_or_default();
            rows.first_mut().map_or_else(|| Err(Error::internal("a setting was not kept")), |row| row.text(0))
        })
    }

    fn keep_setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let keep = Statement::new("keep_setting").with("name", name).with("value", value);
            self.driver.transact(Vec::new(), move |_| Ok(((), vec![keep]))).await.map_err(into_error)?;
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let Some(told) = &self.announcements
                && let Some(turn) = told.last()
                && let Err(error) = self.tell(told, turn).await
            {
                tracing::debug!(?error, "other nodes will find the last events when they look by themselves");
            }
            self.driver.close().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::number_of;
    use crate::id::IdSource;
    use crate::time::SystemClock;

    #[test]
    fn numbers_of_attempts_differ() {
        let ids = IdSource::new(std::sync::Arc::new(SystemClock));
        let numbers: BTreeSet<i64> = (0..10_000).map(|_| number_of(ids.next())).collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
