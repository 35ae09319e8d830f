//! Which of the commands that wait are committed together, and when the next batch begins.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
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
pub(super) const BESIDE: usize = 24;
/// A batch that is not decided after this time waits for a lock that somebody else holds; others need not wait for it.
const PATIENCE: Duration = Duration::from_millis(50);
/// So many may be taken from the queue while what they keep an order with is under way, and others overtake them.
const HELD: usize = 4096;

/// A command that waits, and whoever waits for its outcome.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) command: Submitted,
    pub(super) order: Option<Order>,
    pub(super) reply: oneshot::Sender<Result<AnyOutcome>>,
}

/// What a command keeps an order with. Commands with the same name are never in two batches at once, and keep their
/// order: those of a session would only wait for each other's lock, others must come in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Order {
    name: String,
    /// The lane it goes to while there is much to write; then each lane has names of its own.
    lane: usize,
}

impl Order {
    pub(super) fn of(name: String, lanes: usize) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let lane = usize::try_from(hasher.finish() >> 32).unwrap_or(0) % lanes.max(1);
        Self { name, lane }
    }

    pub(super) fn is_of_lane(&self, lane: usize) -> bool {
        self.lane == lane
    }
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
    /// Which lane each batch under way has, and what it keeps in order.
    under_way: HashMap<Id, (usize, Vec<Order>)>,
    /// What all batches under way keep in order.
    busy: HashSet<Order>,
    /// The lane whose turn it is.
    next_lane: usize,
    /// The batch that is not decided yet, and until when the next one waits for that.
    deciding: Option<Deciding>,
    /// The batch that was not decided in time, until it ends: it may take long, so nobody waits to share a batch.
    stuck: Option<Id>,
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
            busy: HashSet::new(),
            next_lane: 0,
            deciding: None,
            stuck: None,
        }
    }

    /// Commits until nobody can put anything into the queue and everything in it is committed.
    pub(super) async fn run(mut self) {
        let mut fresh = Vec::with_capacity(BATCH);
        let mut open = true;
        loop {
            if self.has_lane() && (self.commits.is_empty() || self.held.len() >= BESIDE) {
                // All that waits, so that batches are large.
                self.waiting.recv_many(&mut fresh, BATCH).now_or_never();
                self.held.extend(fresh.drain(..));
            }
            self.begin_what_may();
            if !open && self.held.is_empty() && self.commits.is_empty() {
                return;
            }
            let wanted = open && self.has_lane() && self.held.len() < HELD;
            tokio::select! {
                biased;
                Some(ended) = self.commits.join_next_with_id() => {
                    self.end(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
                in_time = decided(self.deciding.as_ref()) => {
                    let batch = self.deciding.take().map(|deciding| deciding.batch);
                    self.stuck = if in_time { self.stuck } else { batch };
                }
                count = self.waiting.recv_many(&mut fresh, BATCH), if wanted => {
                    open = count > 0;
                    self.held.extend(fresh.drain(..));
                }
            }
        }
    }

    /// A batch has ended, however.
    fn end(&mut self, batch: Id) {
        for order in self.under_way.remove(&batch).into_iter().flat_map(|(_, orders)| orders) {
            self.busy.remove(&order);
        }
        self.deciding.take_if(|deciding| deciding.batch == batch);
        self.stuck.take_if(|stuck| *stuck == batch);
    }

    /// Whether another batch could begin.
    fn has_lane(&self) -> bool {
        self.deciding.is_none() && self.commits.len() < self.lanes
    }

    fn begin_what_may(&mut self) {
        while self.has_lane()
            && (0..self.lanes).any(|step| self.begin_in((self.next_lane + step) % self.lanes))
        {}
    }

    /// Begins a batch in a lane, if that is free and there is enough for it.
    fn begin_in(&mut self, lane: usize) -> bool {
        if self.under_way.values().any(|(taken, _)| *taken == lane) {
            return false;
        }
        let count = |everything| self.held.iter().filter(|job| self.may_take(job, lane, everything)).count();
        let (all, own) = (count(true), count(false));
        let alone = self.commits.is_empty();
        // Of much, each lane takes its own, and leaves something for the others.
        let everything = self.stuck.is_some() || alone && (own < BESIDE || all - own < BESIDE);
        let enough = if alone || self.stuck.is_some() { 1 } else { BESIDE };
        if (if everything { all } else { own }) < enough {
            return false;
        }
        let jobs = self.take(lane, everything);
        self.begin(jobs, lane);
        true
    }

    fn may_take(&self, job: &Job, lane: usize, everything: bool) -> bool {
        job.order
            .as_ref()
            .is_none_or(|order| (everything || order.is_of_lane(lane)) && !self.busy.contains(order))
    }

    /// The commands that the lane may commit together now, in order.
    fn take(&mut self, lane: usize, everything: bool) -> Vec<Job> {
        let mut taken: Vec<Job> = Vec::with_capacity(self.held.len().min(BATCH));
        let mut left = VecDeque::new();
        while taken.len() < BATCH
            && let Some(job) = self.held.pop_front()
        {
            let alone = job.command.alone();
            if !self.may_take(&job, lane, everything) {
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

    fn begin(&mut self, jobs: Vec<Job>, lane: usize) {
        let orders: Vec<Order> = jobs.iter().filter_map(|job| job.order.clone()).collect();
        self.busy.extend(orders.iter().cloned());
        let decided = Arc::new(Notify::new());
        let commit = commit_together(jobs, self.committer.clone(), Arc::clone(&decided));
        let batch = self.commits.spawn(commit).id();
        self.under_way.insert(batch, (lane, orders));
        self.next_lane = (lane + 1) % self.lanes;
        self.deciding = Some(Deciding { batch, decided, until: Instant::now() + PATIENCE });
    }
}

/// Waits until the batch is decided, and says whether it was in time; for ever where there is none.
async fn decided(deciding: Option<&Deciding>) -> bool {
    match deciding {
        Some(deciding) => tokio::time::timeout_at(deciding.until, deciding.decided.notified()).await.is_ok(),
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
