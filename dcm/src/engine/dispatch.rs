//! Which of the commands that wait are committed together, and when the next batch begins.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::feed::Feed;
use crate::id::IdSource;
use crate::storage::{AnyOutcome, Batch, CommitListener, Storage, Submitted};
use crate::time::Clock;

/// Commands in one commit: enough to share its cost, few enough to keep it short.
const BATCH: usize = 256;
/// So many must wait for a batch that begins beside another: smaller ones cost more than they gain, as whoever comes
/// second waits for the first one's way to the disk and then for its own.
pub(super) const BESIDE: usize = 16;
/// A batch that is not decided after this time waits for a lock that somebody else holds; others need not wait for it.
const PATIENCE: Duration = Duration::from_millis(50);

/// A command that waits, and whoever waits for its outcome.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) command: Submitted,
    /// Commands with the same name here are never in two batches at once, and keep their order: those of a session would
    /// only wait for each other's lock, others must come in the order in which they were given.
    pub(super) order: Option<String>,
    pub(super) reply: oneshot::Sender<Result<AnyOutcome>>,
}

/// What a batch is committed with.
#[derive(Clone)]
pub(super) struct Committer {
    pub(super) store: Arc<dyn Storage>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: IdSource,
    pub(super) feed: Feed,
}

/// Takes what waits and commits it, in batches.
///
/// A store that can commit several batches side by side gets the next one when the one before it is decided: while that
/// one is on its way to the disk, the next is read and decided. All commands wait in one queue, so batches are as large
/// as they can be; each costs PostgreSQL and this program as much as some twenty commands.
pub(super) struct Dispatcher {
    waiting: mpsc::Receiver<Job>,
    /// What was taken from the queue and waits for a batch, in order.
    held: VecDeque<Job>,
    committer: Committer,
    lanes: usize,
    commits: JoinSet<()>,
    /// What the batches under way keep in order.
    under_way: HashMap<Id, Vec<String>>,
    /// The batch that is not decided yet, and until when the next one waits for that.
    deciding: Option<Deciding>,
}

struct Deciding {
    batch: Id,
    decided: Arc<Notify>,
    until: Instant,
}

impl Dispatcher {
    pub(super) fn new(waiting: mpsc::Receiver<Job>, committer: Committer) -> Self {
        let lanes = committer.store.write_lanes().max(1);
        Self {
            waiting,
            held: VecDeque::new(),
            committer,
            lanes,
            commits: JoinSet::new(),
            under_way: HashMap::new(),
            deciding: None,
        }
    }

    /// Commits until nobody can put anything into the queue and everything in it is committed.
    pub(super) async fn run(mut self) {
        let mut fresh = Vec::with_capacity(BATCH);
        let mut open = true;
        loop {
            self.begin_what_may();
            if !open && self.held.is_empty() && self.commits.is_empty() {
                return;
            }
            let room = if self.has_lane() { BATCH.saturating_sub(self.held.len()) } else { 0 };
            tokio::select! {
                biased;
                Some(ended) = self.commits.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    self.under_way.remove(&id);
                    self.deciding.take_if(|deciding| deciding.batch == id);
                }
                () = decided(self.deciding.as_ref()) => self.deciding = None,
                count = self.waiting.recv_many(&mut fresh, room), if open && room > 0 => {
                    open = count > 0;
                    self.held.extend(fresh.drain(..));
                }
            }
        }
    }

    /// Whether another batch could begin.
    fn has_lane(&self) -> bool {
        self.deciding.is_none() && self.commits.len() < self.lanes
    }

    fn begin_what_may(&mut self) {
        while self.has_lane() && (self.commits.is_empty() || self.held.len() >= BESIDE) {
            while self.held.len() < BATCH
                && let Ok(job) = self.waiting.try_recv()
            {
                self.held.push_back(job);
            }
            let jobs = self.take();
            if jobs.is_empty() {
                return;
            }
            self.begin(jobs);
        }
    }

    /// The commands that may be committed together now, in order.
    fn take(&mut self) -> Vec<Job> {
        let busy: HashSet<&String> = self.under_way.values().flatten().collect();
        let mut taken: Vec<Job> = Vec::with_capacity(self.held.len().min(BATCH));
        let mut left = VecDeque::new();
        while taken.len() < BATCH
            && let Some(job) = self.held.pop_front()
        {
            let alone = job.command.alone();
            if job.order.as_ref().is_some_and(|order| busy.contains(order)) {
                left.push_back(job);
            } else if alone && !taken.is_empty() {
                self.held.push_front(job);
                break;
            } else {
                taken.push(job);
                if alone {
                    break;
                }
            }
        }
        left.append(&mut self.held);
        self.held = left;
        taken
    }

    fn begin(&mut self, jobs: Vec<Job>) {
        let orders = jobs.iter().filter_map(|job| job.order.clone()).collect();
        let decided = Arc::new(Notify::new());
        let commit = commit_together(jobs, self.committer.clone(), Arc::clone(&decided));
        let batch = self.commits.spawn(commit).id();
        self.under_way.insert(batch, orders);
        self.deciding = Some(Deciding { batch, decided, until: Instant::now() + PATIENCE });
    }
}

/// Waits until the batch is decided or that takes too long; for ever where there is none.
async fn decided(deciding: Option<&Deciding>) {
    match deciding {
        // Out of time is as good as decided.
        Some(deciding) => drop(tokio::time::timeout_at(deciding.until, deciding.decided.notified()).await),
        None => std::future::pending().await,
    }
}

/// Commits one batch and answers everybody who waits for it.
async fn commit_together(jobs: Vec<Job>, committer: Committer, decided: Arc<Notify>) {
    let Committer { store, clock, ids, feed } = committer;
    let (commands, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.command, job.reply)).unzip();
    let told = Arc::new(AtomicBool::new(false));
    let tell = {
        let (told, listener) = (Arc::clone(&told), feed.listener());
        CommitListener::new(move |events| {
            told.store(true, Ordering::Relaxed);
            listener.committed(events);
        })
    };
    let batch = Batch::new(commands, clock.now(), ids).with_listener(tell).telling_when_decided(decided);
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
