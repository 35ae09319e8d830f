//! The jobs that keep a store small and true: expired mail, idle sessions, stuck subtasks, retention.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::config::EngineConfig;
use super::delivering::Notice;
use super::learning::Learning;
use super::rules::{CloseIdleSessions, ExpireMessages, FailStuckSubtasks, Notify};
use super::writer::Writer;
use crate::api::system::LastCleanup;
use crate::error::{Error, Result};
use crate::id::EventId;
use crate::storage::{AgeLimits, Storage};
use crate::time::{Clock, Timestamp};

/// Rows of a kind that one commit cleans: short enough not to hold up others.
const LIMIT: u32 = 500;
/// Commits of a kind in one run; what is left waits for the next.
const ROUNDS: usize = 200;
/// Outcomes are kept for a repeated call so long (DESIGN 3.5).
const OUTCOMES_MS: i64 = 86_400_000;
/// How long giving back the lease may hold up the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
/// The lease of the cleaning jobs: one node of a cluster has it at a time.
const LEASE: &str = "maintenance";

/// The setting that holds what the jobs last did, on whichever node that was.
const LAST: &str = "last_cleanup";

/// The cleaning jobs.
#[derive(Debug)]
pub(super) struct Maintenance {
    node_id: EventId,
    holder: String,
    learning: Arc<Learning>,
}

impl Maintenance {
    /// Jobs of the node called `node`.
    pub(super) fn new(node: EventId, learning: Arc<Learning>) -> Self {
        Self { node_id: node, holder: node.to_string(), learning }
    }

    /// Cleans at once and then at every interval, until `stopped`.
    pub(super) async fn run(
        self: Arc<Self>,
        store: Arc<dyn Storage>,
        writer: Writer,
        clock: Arc<dyn Clock>,
        config: EngineConfig,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut interval = tokio::time::interval(Duration::from_millis(config.cleanup_interval_ms.max(10)));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                _ = stopped.changed() => break,
            }
            tokio::select! {
                outcome = self.clean(&*store, &writer, &*clock, &config) => {
                    if let Err(error) = outcome {
                        tracing::warn!(?error, "cleaning failed, it is tried again at the next interval");
                    }
                }
                _ = stopped.changed() => break,
            }
        }
        // The next node, or this one after a restart, need not wait for the lease to run out.
        let now = clock.now();
        if let Ok(Err(error)) =
            tokio::time::timeout(RELEASE_TIMEOUT, store.lease(LEASE, &self.holder, now, now)).await
        {
            tracing::debug!(?error, "the cleaning lease runs out by itself");
        }
    }

    async fn clean(
        &self,
        store: &dyn Storage,
        writer: &Writer,
        clock: &dyn Clock,
        config: &EngineConfig,
    ) -> Result<()> {
        let began = clock.now();
        // Twice the interval: a node that dies is replaced at the next but one run.
        let lease_ms =
            i64::try_from(config.cleanup_interval_ms).unwrap_or(i64::MAX / 4).saturating_mul(2).max(10_000);
        if !store.lease(LEASE, &self.holder, began, began.plus_millis(lease_ms)).await? {
            return Ok(());
        }
        let mut done = LastCleanup {
            deleted_messages: 0,
            deleted_at: began,
            duration_ms: 0,
            closed_sessions: 0,
            failed_subtasks: 0,
            deleted_actions: 0,
            deleted_events: 0,
            deleted_idempotency_keys: 0,
        };
        // Each job for itself: one that fails does not keep the others from their work.
        let outcomes = [
            ("expired messages", self.expire_messages(store, writer, began, &mut done).await),
            ("stuck subtasks", self.fail_stuck_subtasks(store, writer, config, began, &mut done).await),
            ("idle sessions", self.close_idle_sessions(store, writer, config, began, &mut done).await),
            ("retention", self.retain(store, config, began, &mut done).await),
        ];
        let mut failed = false;
        for (job, outcome) in outcomes {
            if let Err(error) = outcome {
                tracing::warn!(?error, job, "a cleaning job failed, it is tried again at the next interval");
                failed = true;
            }
        }
        if failed {
            let notice = Notify { notice: Notice::CleaningFailed, node_id: self.node_id };
            writer.commit(notice, None).await?;
        }
        let ended = clock.now();
        done.deleted_at = ended;
        done.duration_ms = ended.millis_since(began);
        let report = serde_json::to_string(&done)
            .map_err(|error| Error::internal("a report of cleaning cannot be kept").with_source(error))?;
        store.keep_setting(LAST, &report).await
    }

    async fn expire_messages(
        &self,
        store: &dyn Storage,
        writer: &Writer,
        began: Timestamp,
        done: &mut LastCleanup,
    ) -> Result<()> {
        for _ in 0..ROUNDS {
            let messages = store.expired_messages(began, LIMIT).await?;
            if messages.is_empty() {
                break;
            }
            let expired = writer.commit(ExpireMessages { messages, before: began }, None).await?;
            done.deleted_messages += count(expired);
        }
        Ok(())
    }

    async fn fail_stuck_subtasks(
        &self,
        store: &dyn Storage,
        writer: &Writer,
        config: &EngineConfig,
        began: Timestamp,
        done: &mut LastCleanup,
    ) -> Result<()> {
        let heard_before = began.plus_millis(-config.subtask_stuck_ms);
        for _ in 0..ROUNDS {
            let subtasks = store.stuck_subtasks(heard_before, LIMIT).await?;
            if subtasks.is_empty() {
                break;
            }
            let failed = writer.commit(FailStuckSubtasks { subtasks, heard_before }, None).await?;
            done.failed_subtasks += count(failed);
        }
        Ok(())
    }

    async fn close_idle_sessions(
        &self,
        store: &dyn Storage,
        writer: &Writer,
        config: &EngineConfig,
        began: Timestamp,
        done: &mut LastCleanup,
    ) -> Result<()> {
        let seen_before = began.plus_millis(-config.session_idle_ms);
        let started_before = began.plus_millis(-config.session_min_age_ms);
        for _ in 0..ROUNDS {
            let sessions = store.idle_sessions(started_before, seen_before, LIMIT).await?;
            if sessions.is_empty() {
                break;
            }
            let closed = writer.commit(CloseIdleSessions { sessions, seen_before }, None).await?;
            done.closed_sessions += count(closed);
        }
        Ok(())
    }

    async fn retain(
        &self,
        store: &dyn Storage,
        config: &EngineConfig,
        now: Timestamp,
        done: &mut LastCleanup,
    ) -> Result<()> {
        let limits = AgeLimits {
            events_before: now.plus_millis(-config.event_retention_ms),
            event_rows: config.event_retention_rows,
            actions_before: now.plus_millis(-config.action_retention_ms),
            action_rows: config.action_retention_rows,
            outcomes_before: now.plus_millis(-OUTCOMES_MS),
            batch: LIMIT,
        };
        // The log is kept as far as what it teaches is not written.
        self.learning.write_out().await;
        for _ in 0..ROUNDS {
            let went = store.retain(limits.clone()).await?;
            done.deleted_events += went.events;
            done.deleted_actions += went.actions;
            done.deleted_idempotency_keys += went.outcomes;
            if went.events.max(went.actions).max(went.outcomes) < i64::from(LIMIT) {
                break;
            }
        }
        Ok(())
    }
}

/// What the last run did, on whichever node it was.
pub(super) async fn last_cleanup(store: &dyn Storage) -> Result<Option<LastCleanup>> {
    let report = store.known_setting(LAST.to_owned()).await?;
    // One that another version wrote in another way is as good as none.
    Ok(report.and_then(|report| serde_json::from_str(&report).ok()))
}

fn count(done: usize) -> i64 {
    i64::try_from(done).unwrap_or(i64::MAX)
}
