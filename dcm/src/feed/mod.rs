//! The event log, followed: one task reads it in the order of positions and everybody shares what it read.
//!
//! A [`Feed`] is a handle to it. What this process commits is handed over by the writer with its positions; what other
//! processes commit is read from the store, woken by it. Readers take the newest events from memory; who is further
//! behind reads from the store, so nobody waits for anybody and a slow reader costs no memory.

mod entry;
mod follow;
mod follower;
#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
mod window;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Notify, mpsc, watch};

pub use entry::{ChannelMask, Entry, GLOBAL};
pub(crate) use follower::{Cursor, Found, Wanted};
pub use follower::{Follower, Gap, Step};

use crate::error::{Error, Result};
use crate::position::Position;
use crate::storage::{CommitListener, CommittedEvents, GapReason, LogHead, Storage};
use window::{Taken, Window};

/// Commits that wait to be fanned out; what does not fit is read from the store.
const HANDED_OVER: usize = 1024;

/// A handle to the event log; cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Storage>,
    // Held for copying a few pointers, never across an await.
    window: RwLock<Window>,
    head: watch::Sender<Position>,
    /// The newest position that this process has committed.
    committed: watch::Sender<Position>,
    handed: mpsc::Sender<CommittedEvents>,
    /// Somebody may have committed something: look into the log.
    wake: Notify,
    /// Whether that waits because nobody listens.
    unheard: AtomicBool,
    closed: AtomicBool,
    /// How many of those who are told of news do without it: they only learn from the log.
    learners: AtomicUsize,
}

impl Inner {
    /// How many wait for news. Somebody may come at any moment, and two numbers are read one after the other: whoever
    /// passes over events for it asks while it holds the window, which [`Feed::changes`] waits for.
    fn listeners(&self) -> usize {
        self.head.receiver_count().saturating_sub(self.learners.load(Ordering::SeqCst))
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("head", &*self.head.borrow()).finish_non_exhaustive()
    }
}

/// A piece of the log, as [`Feed::page`] answers it.
#[derive(Debug)]
pub struct Page {
    /// The events.
    pub entries: Vec<Arc<Entry>>,
    /// Where to go on reading.
    pub next: Position,
    /// The end of the log.
    pub head: Position,
    /// What was missed for good before these events.
    pub gap: Option<Gap>,
}

impl Feed {
    /// A feed that begins at the end of the store's log, and what its task needs.
    pub(crate) async fn open(store: Arc<dyn Storage>) -> Result<(Self, mpsc::Receiver<CommittedEvents>)> {
        let head = store.log_head().await?.position();
        let (handed, waiting) = mpsc::channel(HANDED_OVER);
        let inner = Inner {
            store,
            window: RwLock::new(Window::new(head)),
            head: watch::Sender::new(head),
            committed: watch::Sender::new(head),
            handed,
            wake: Notify::new(),
            unheard: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            learners: AtomicUsize::new(0),
        };
        Ok((Self { inner: Arc::new(inner) }, waiting))
    }

    /// Follows the log until `stopped`.
    pub(crate) async fn run(
        self,
        waiting: mpsc::Receiver<CommittedEvents>,
        mut stopped: watch::Receiver<bool>,
    ) {
        tokio::select! {
            () = follow::follow(&self.inner, waiting) => {}
            () = follow::listen(&self.inner) => {}
            _ = stopped.changed() => {}
        }
        self.inner.closed.store(true, Ordering::SeqCst);
        // Whoever waits for the next event is told that none comes.
        self.inner.head.send_modify(|_| {});
    }

    /// Whether the engine was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// Tells the feed what this process commits.
    pub(crate) fn listener(&self) -> CommitListener {
        let inner = Arc::downgrade(&self.inner);
        CommitListener::new(move |events: CommittedEvents| {
            let Some(inner) = inner.upgrade() else { return };
            let count = i64::try_from(events.events.len()).unwrap_or(i64::MAX);
            let last = Position::new(events.epoch, events.first_seq + count - 1);
            inner.committed.send_if_modified(|known| {
                let later = last > *known;
                *known = last.max(*known);
                later
            });
            // The store has it too; the feed finds it there.
            if inner.handed.try_send(events).is_err() {
                inner.wake.notify_one();
            }
        })
    }

    /// Has the feed look into the log.
    pub(crate) fn nudge(&self) {
        self.inner.wake.notify_one();
    }

    /// The last position that was fanned out.
    #[must_use]
    pub fn head(&self) -> Position {
        *self.inner.head.borrow()
    }

    /// The newest position that this process has committed, or found when it started.
    #[must_use]
    pub fn committed(&self) -> Position {
        *self.inner.committed.borrow()
    }

    /// Waits until everything up to `position` was fanned out in this process.
    ///
    /// # Errors
    ///
    /// When the engine is closed before.
    pub async fn reached(&self, position: Position) -> Result<()> {
        let mut head = self.inner.head.subscribe();
        // In a later epoch positions may begin anew below it; that log will not come to it.
        let is_there = |head: &Position| head.epoch > position.epoch || *head >= position;
        let seen = head.wait_for(|head| is_there(head) || self.is_closed()).await;
        match seen {
            Ok(head) if is_there(&head) => Ok(()),
            _ => Err(Error::unavailable("the event feed has ended")),
        }
    }

    /// Waits until everything that this process has committed so far was fanned out.
    ///
    /// # Errors
    ///
    /// When the engine is closed before.
    pub async fn caught_up(&self) -> Result<()> {
        let committed = self.committed();
        self.reached(committed).await
    }

    /// Everything after `after`, or from now on; what is behind comes first, then what is new, without a hole between.
    #[must_use]
    pub fn follow(&self, after: Option<Position>) -> Follower {
        Follower::new(self.clone(), after, None)
    }

    /// The same for one who must only not miss events that are called one of `names`; others may be passed over.
    pub(crate) fn follow_named(&self, after: Position, names: &'static [&'static str]) -> Follower {
        Follower::new(self.clone(), Some(after), Some(names))
    }

    /// At most `limit` events after `after` that belong to `channel`, or all of them.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn page(&self, after: Position, channel: Option<&str>, limit: u32) -> Result<Page> {
        let channels: Vec<String> =
            channel.filter(|name| *name != GLOBAL).map(str::to_owned).into_iter().collect();
        let store = &self.inner.store;
        let mut page = store.log_page(after.seq, channels.clone(), limit).await?;
        let missed = page.head.gap_after(after);
        let mut from = after.seq.max(page.head.first_seq - 1);
        if let Some((_, position)) = missed
            && position.seq < after.seq
        {
            from = position.seq;
            page = store.log_page(from, channels.clone(), limit).await?;
        } else if let Some((_, position)) = missed {
            from = position.seq;
            page.events.retain(|event| event.seq > from);
        }
        // The store may have looked at a part of the log only.
        while page.events.len() < limit as usize && page.looked_to < page.head.seq {
            let rest = limit - u32::try_from(page.events.len()).unwrap_or(limit);
            let more = store.log_page(page.looked_to, channels.clone(), rest).await?;
            if more.head.epoch != page.head.epoch || more.looked_to <= page.looked_to {
                break;
            }
            page.events.extend(more.events);
            (page.head, page.looked_to) = (more.head, more.looked_to);
        }
        let epoch = page.head.epoch;
        let next = page.looked_to.max(from);
        let entries = page.events.into_iter().map(|event| Arc::new(Entry::logged(epoch, event)));
        Ok(Page {
            entries: entries.collect(),
            next: Position::new(epoch, next),
            head: page.head.position(),
            gap: missed.map(|(reason, continues)| Gap { reason, missed: after, continues }),
        })
    }

    fn take(&self, position: Position, limit: usize, out: &mut VecDeque<Arc<Entry>>) -> Taken {
        self.inner.window.read().unwrap_or_else(PoisonError::into_inner).take(position, limit, out)
    }

    /// Where the log begins: after it comes the first event that is still kept.
    pub(crate) async fn beginning(&self) -> Result<Position> {
        let head = self.inner.store.log_head().await?;
        Ok(Position::new(head.epoch, head.first_seq - 1))
    }

    /// Whether a reader may go on from `position`, and else from where; the store is asked when memory cannot say.
    pub(crate) async fn gap_after(&self, position: Position) -> Result<Option<Gap>> {
        if self.inner.window.read().unwrap_or_else(PoisonError::into_inner).knows(position) {
            return Ok(None);
        }
        let head = self.inner.store.log_head().await?;
        Ok(gap(&head, position))
    }

    /// Changes when something was fanned out.
    pub(crate) fn changes(&self) -> watch::Receiver<Position> {
        let changes = {
            // Not while a log that nobody listens to is passed over: the head that is read next is that of the window.
            let _window = self.inner.window.read().unwrap_or_else(PoisonError::into_inner);
            self.inner.head.subscribe()
        };
        // What nobody was in a hurry for is waited for now.
        if self.inner.unheard.swap(false, Ordering::SeqCst) {
            self.nudge();
        }
        changes
    }
}

fn gap(head: &LogHead, missed: Position) -> Option<Gap> {
    head.gap_after(missed).map(|(reason, continues): (GapReason, Position)| Gap { reason, missed, continues })
}
