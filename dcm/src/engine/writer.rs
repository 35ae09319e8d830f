//! The one way to write: commands wait in bounded queues and are committed in groups.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::crowd::Crowd;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Feed;
use crate::id::IdSource;
use crate::storage::{
    AnyOutcome, Batch, Command, CommitListener, Footprint, IdempotencyKey, Storage, Submitted,
};
use crate::time::Clock;

/// Commands that may wait; beyond it callers are told to come back.
const QUEUE: usize = 4096;
/// With so many in the first queue the others are used, too: its batch may be waiting for something.
const BACKLOG: usize = 64;
/// Commands in one commit: enough to share its cost, few enough to keep it short.
const BATCH: usize = 256;

struct Job {
    command: Submitted,
    reply: oneshot::Sender<Result<AnyOutcome>>,
}

/// A handle to the queues; cheap to clone.
///
/// A store that can commit several batches side by side has a queue, and a task that commits, for each; the others are
/// used only while there is [much to write](Crowd). Then commands of one session go the same way: on two ways they would
/// only wait for each other's lock. What must keep an order among itself always does.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    lanes: Vec<mpsc::Sender<Job>>,
    next: Arc<AtomicUsize>,
    crowd: Arc<Crowd>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

impl Writer {
    /// Starts the tasks that commit. They end when every [`Writer`] is dropped, after committing what waits.
    pub(crate) fn start(
        store: &Arc<dyn Storage>,
        clock: &Arc<dyn Clock>,
        ids: &IdSource,
        feed: &Feed,
    ) -> (Self, JoinSet<()>) {
        let mut tasks = JoinSet::new();
        let crowd = Arc::new(Crowd::default());
        let lanes = (0..store.write_lanes().max(1))
            .map(|_| {
                let (queue, waiting) = mpsc::channel(QUEUE);
                let (store, clock, crowd) = (Arc::clone(store), Arc::clone(clock), Arc::clone(&crowd));
                tasks.spawn(commit_what_waits(waiting, store, clock, ids.clone(), feed.clone(), crowd));
                queue
            })
            .collect();
        (Self { lanes, next: Arc::default(), crowd }, tasks)
    }

    /// The queue for a command: by what it keeps an order with or by its session where it has one, else in turn.
    fn lane(&self, command: &impl Command) -> &mpsc::Sender<Job> {
        let lanes = self.lanes.len();
        if lanes == 1 {
            return &self.lanes[0];
        }
        let mut footprint = Footprint::default();
        command.footprint(&mut footprint);
        let waiting = self.lanes[0].max_capacity() - self.lanes[0].capacity();
        if footprint.sequence.is_none() && !self.crowd.is_crowded() && waiting < BACKLOG {
            return &self.lanes[0];
        }
        let place = footprint.sessions.first().or(footprint.sequence.as_ref()).map_or_else(
            || self.next.fetch_add(1, Ordering::Relaxed),
            |session| {
                let mut hasher = DefaultHasher::new();
                session.hash(&mut hasher);
                usize::try_from(hasher.finish() >> 32).unwrap_or(0)
            },
        );
        &self.lanes[place % lanes]
    }

    /// Commits a command and answers its outcome.
    pub(crate) async fn commit<C: Command>(
        &self,
        command: C,
        key: Option<IdempotencyKey>,
    ) -> Result<C::Outcome> {
        let (reply, outcome) = oneshot::channel();
        self.lane(&command).try_send(Job { command: Submitted::new(command, key), reply }).map_err(
            |error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    Error::new(ErrorKind::Unavailable, "too many writes are waiting, try again shortly")
                        .with_retry_after(1)
                }
                mpsc::error::TrySendError::Closed(_) => Error::unavailable("the writer has ended"),
            },
        )?;
        let outcome =
            outcome.await.map_err(|_| Error::unavailable("the writer ended before it answered"))??;
        outcome
            .downcast::<C::Outcome>()
            .map(|outcome| *outcome)
            .map_err(|_| Error::internal("an outcome has another type than its command's"))
    }
}

/// Commits what waits in one queue, in groups, until nobody can put anything into it.
async fn commit_what_waits(
    mut waiting: mpsc::Receiver<Job>,
    store: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    ids: IdSource,
    feed: Feed,
    crowd: Arc<Crowd>,
) {
    let mut jobs = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut jobs, BATCH).await > 0 {
        crowd.note(jobs.len());
        let mut rest = jobs.drain(..).peekable();
        while let Some(first) = rest.next() {
            let alone = first.command.alone();
            let mut group = vec![first];
            while let Some(next) = rest.next_if(|next| !alone && !next.command.alone()) {
                group.push(next);
            }
            commit_together(group, &*store, &*clock, &ids, &feed).await;
        }
    }
}

/// Commits one batch and answers everybody who waits for it.
async fn commit_together(
    jobs: Vec<Job>,
    store: &dyn Storage,
    clock: &dyn Clock,
    ids: &IdSource,
    feed: &Feed,
) {
    let (commands, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.command, job.reply)).unzip();
    let told = Arc::new(AtomicBool::new(false));
    let tell = {
        let (told, listener) = (Arc::clone(&told), feed.listener());
        CommitListener::new(move |events| {
            told.store(true, Ordering::Relaxed);
            listener.committed(events);
        })
    };
    let batch = Batch::new(commands, clock.now(), ids.clone()).with_listener(tell);
    match store.commit(batch).await {
        Ok(outcomes) => {
            // A store that does not tell, or that had to look whether the commit happened.
            if !told.load(Ordering::Relaxed) {
                feed.nudge();
            }
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                // A caller that went away does not need the answer.
                let _ = reply.send(outcome);
            }
        }
        Err(error) => {
            tracing::error!(?error, commands = replies.len(), "a batch was not committed");
            for reply in replies {
                let _ = reply.send(Err(copy(&error)));
            }
        }
    }
}

/// The same failure for another caller; the source was logged once.
fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message());
    match error.retry_after_seconds() {
        Some(seconds) => copy.with_retry_after(seconds),
        None => copy,
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::storage::{AgeLimits, BoxFuture, CommitStore, RetentionReport, State, StoreParts};
    use crate::time::{SystemClock, Timestamp};
    use crate::{Dcm, EngineConfig};

    /// A store whose commits wait until they may go on.
    struct Gated {
        inner: Arc<dyn CommitStore>,
        begun: Semaphore,
        gate: Semaphore,
        lanes: usize,
    }

    impl CommitStore for Gated {
        fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Result<AnyOutcome>>>> {
            Box::pin(async move {
                self.begun.add_permits(1);
                drop(self.gate.acquire().await);
                self.inner.commit(batch).await
            })
        }

        fn write_lanes(&self) -> usize {
            self.lanes
        }

        fn retain(&self, limits: AgeLimits) -> BoxFuture<'_, Result<RetentionReport>> {
            self.inner.retain(limits)
        }

        fn lease<'a>(
            &'a self,
            name: &'a str,
            holder: &'a str,
            now: Timestamp,
            expires_at: Timestamp,
        ) -> BoxFuture<'a, Result<bool>> {
            self.inner.lease(name, holder, now, expires_at)
        }

        fn setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<String>> {
            self.inner.setting(name, value)
        }

        fn keep_setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
            self.inner.keep_setting(name, value)
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            self.inner.close()
        }
    }

    /// Answers what it was given.
    struct Echo(usize);

    impl Command for Echo {
        type Outcome = usize;

        fn footprint(&self, _: &mut Footprint) {}

        fn decide(&self, _: &mut State) -> Result<usize> {
            Ok(self.0)
        }
    }

    /// A writer whose store commits as many batches side by side, and none before it may.
    async fn gated(lanes: usize) -> (Arc<Gated>, Arc<dyn Storage>, Writer, JoinSet<()>) {
        let parts = StoreParts::of(Dcm::memory_store(&EngineConfig::default()).await.unwrap());
        let (begun, gate) = (Semaphore::new(0), Semaphore::new(0));
        let gated = Arc::new(Gated { inner: Arc::clone(&parts.commits), begun, gate, lanes });
        let store: Arc<dyn Storage> = Arc::new(StoreParts { commits: Arc::clone(&gated) as _, ..parts });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = IdSource::new(Arc::clone(&clock));
        let (feed, _handed) = Feed::open(Arc::clone(&store)).await.unwrap();
        let (writer, tasks) = Writer::start(&store, &clock, &ids, &feed);
        (gated, store, writer, tasks)
    }

    #[tokio::test]
    async fn a_second_lane_is_used_when_much_waits_for_the_first() {
        let (gated, store, writer, mut tasks) = gated(2).await;
        let mut waiting = Vec::new();
        let mut submit = |count: usize| {
            for number in 0..count {
                let writer = writer.clone();
                let mut one = Box::pin(async move { writer.commit(Echo(number), None).await });
                assert!(one.as_mut().now_or_never().is_none());
                waiting.push((number, one));
            }
        };
        submit(1);
        gated.begun.acquire().await.unwrap().forget();
        submit(BACKLOG);
        // The other task has had every chance to begin.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gated.begun.available_permits(), 0, "all of it waits for the batch that is under way");
        submit(2);
        let other = tokio::time::timeout(std::time::Duration::from_secs(20), gated.begun.acquire()).await;
        other.expect("the second lane has begun a batch").unwrap().forget();
        gated.gate.add_permits(QUEUE);
        for (number, one) in waiting {
            assert_eq!(one.await.unwrap(), number);
        }
        drop(writer);
        while tasks.join_next().await.is_some() {}
        store.close().await;
    }

    #[tokio::test]
    async fn what_does_not_fit_the_queue_is_refused_and_the_rest_is_committed() {
        let (gated, store, writer, mut tasks) = gated(1).await;

        let submit = |number| {
            let writer = writer.clone();
            let mut waiting = Box::pin(async move { writer.commit(Echo(number), None).await });
            let at_once = waiting.as_mut().now_or_never();
            (waiting, at_once)
        };
        // One is under way, so the queue behind it fills.
        let first = submit(0);
        gated.begun.acquire().await.unwrap().forget();
        let mut accepted = vec![first];
        accepted.extend((1..=QUEUE).map(submit));
        assert!(accepted.iter().all(|(_, at_once)| at_once.is_none()), "there is room for them");
        let Some(Err(refusal)) = submit(QUEUE + 1).1 else { panic!("there is no room for one more") };
        assert_eq!((refusal.kind(), refusal.retry_after_seconds()), (ErrorKind::Unavailable, Some(1)));

        gated.gate.add_permits(QUEUE);
        for (number, (waiting, _)) in accepted.into_iter().enumerate() {
            assert_eq!(waiting.await.unwrap(), number, "who was let in is answered");
        }
        let (waiting, _) = submit(7);
        assert_eq!(waiting.await.unwrap(), 7, "there is room again");
        drop(writer);
        while tasks.join_next().await.is_some() {}
        store.close().await;
    }
}
