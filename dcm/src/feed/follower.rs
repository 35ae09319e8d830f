//! Reading the log from any place to its end and on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::window::Taken;
use super::{Feed, gap};
use crate::error::Result;
use crate::feed::entry::Entry;
use crate::position::Position;
use crate::storage::{BoxFuture, GapReason, LogPage};

/// How many events are taken at a time.
const CHUNK: usize = 128;
/// How many events are read from the store at a time.
const PAGE: u32 = 256;
/// How long to wait before a store that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Events that a reader has missed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Where the reader stood.
    pub missed: Position,
    /// It goes on after this.
    pub continues: Position,
}

/// What comes next in the log.
#[derive(Debug, Clone)]
pub enum Step {
    /// An event.
    Event(Arc<Entry>),
    /// Something is missing before the next event.
    Gap(Gap),
}

/// A place in the log that moves.
#[derive(Debug)]
pub(crate) struct Cursor {
    at: Position,
    ready: VecDeque<Arc<Entry>>,
    reading: Option<Reading>,
}

/// A page that is being read. Whoever waits for it may give up and come back.
// Nobody else has it; the lock only makes it something that threads may share.
struct Reading(Mutex<BoxFuture<'static, Result<LogPage>>>);

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

/// Which events are read from the store.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// All.
    All,
    /// Those of one of these channels.
    Of(Vec<String>),
    /// Those that are called one of these.
    Named(&'static [&'static str]),
}

impl Wanted {
    /// The events of `channels`; all where none is given.
    pub(crate) fn of(channels: Vec<String>) -> Self {
        if channels.is_empty() { Self::All } else { Self::Of(channels) }
    }
}

impl Reading {
    fn begin(feed: &Feed, after: i64, wanted: Wanted) -> Self {
        let store = Arc::clone(&feed.inner.store);
        Self(Mutex::new(Box::pin(async move {
            match wanted {
                Wanted::All => store.log_page(after, Vec::new(), PAGE).await,
                Wanted::Of(channels) => store.log_page(after, channels, PAGE).await,
                Wanted::Named(names) => store.log_page_named(after, names, PAGE).await,
            }
        })))
    }

    async fn page(&mut self) -> Result<LogPage> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().await
    }
}

/// What a [`Cursor`] found.
#[derive(Debug)]
pub(crate) enum Found {
    /// The next event.
    Event(Arc<Entry>),
    /// Nothing yet.
    Nothing,
    /// The store must be asked: [`Cursor::refill`].
    Elsewhere,
}

impl Cursor {
    /// A cursor after `at`.
    pub(crate) fn new(at: Position) -> Self {
        Self { at, ready: VecDeque::new(), reading: None }
    }

    /// Everything up to here was handed out.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// Whether the next event is at hand, without a look at what is new.
    pub(crate) fn has_next(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Moves to another place.
    pub(crate) fn seek(&mut self, at: Position) {
        self.at = at;
        self.forget_pages();
    }

    /// Drops what was read and not handed out: it may lack events of channels that are wanted from now on.
    pub(crate) fn forget_pages(&mut self) {
        self.ready.clear();
        self.reading = None;
    }

    /// The next event, if it can be had without waiting.
    pub(crate) fn next(&mut self, feed: &Feed) -> Found {
        if self.ready.is_empty() {
            match feed.take(self.at, CHUNK, &mut self.ready) {
                Taken::Some => self.reading = None,
                Taken::Nothing => {
                    self.ready = VecDeque::new();
                    return Found::Nothing;
                }
                Taken::Elsewhere => return Found::Elsewhere,
            }
        }
        match self.ready.pop_front() {
            Some(entry) => {
                self.at = entry.position;
                Found::Event(entry)
            }
            None => Found::Nothing,
        }
    }

    /// Reads on from the store, at least the events that are `wanted`. When it is dropped while it waits, the next
    /// call goes on waiting for the same page; [`Cursor::forget_pages`] when others are wanted.
    pub(crate) async fn refill(
        &mut self,
        feed: &Feed,
        wanted: impl FnOnce() -> Wanted,
    ) -> Result<Option<Gap>> {
        let after = self.at.seq;
        let reading = self.reading.get_or_insert_with(|| Reading::begin(feed, after, wanted()));
        let page = reading.page().await;
        self.reading = None;
        let page = page?;
        if let Some(gap) = gap(&page.head, self.at) {
            self.seek(gap.continues);
            return Ok(Some(gap));
        }
        let epoch = page.head.epoch;
        self.ready = page.events.into_iter().map(|event| Arc::new(Entry::logged(epoch, event))).collect();
        if self.ready.is_empty() {
            let stood = self.at;
            self.at = Position::new(epoch, page.looked_to.max(self.at.seq));
            if self.at == stood {
                // The store knows no more than the reader: the feed is behind both, and is told.
                feed.nudge();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(None)
    }
}

/// Reads the log in order, from any place to its end and on. It keeps its own pace: whoever falls behind reads from
/// the store until it has caught up.
#[derive(Debug)]
pub struct Follower {
    feed: Feed,
    cursor: Cursor,
    changes: watch::Receiver<Position>,
    /// What the events are called that must not be missed, where not all must.
    names: Option<&'static [&'static str]>,
}

impl Follower {
    pub(super) fn new(feed: Feed, after: Option<Position>, names: Option<&'static [&'static str]>) -> Self {
        let changes = feed.changes();
        // Counted afterwards, and taken off the count before.
        if names.is_some() {
            feed.inner.learners.fetch_add(1, Ordering::SeqCst);
        }
        let cursor = Cursor::new(after.unwrap_or_else(|| feed.head()));
        Self { feed, cursor, changes, names }
    }

    /// Everything up to here was handed out; going on from it later misses nothing.
    #[must_use]
    pub fn position(&self) -> Position {
        self.cursor.position()
    }

    /// What comes next, if it can be had at once.
    pub fn try_next(&mut self) -> Option<Step> {
        match self.cursor.next(&self.feed) {
            Found::Event(entry) => Some(Step::Event(entry)),
            Found::Nothing | Found::Elsewhere => None,
        }
    }

    /// What comes next; waits for it. `None` when the engine was closed. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.advance().await? {
                return Some(step);
            }
        }
    }

    /// Whether it has read further than the feed, which whoever reads from the store for certain names may do.
    fn is_ahead(&self) -> bool {
        let (head, at) = (self.feed.head(), self.position());
        self.names.is_some() && at.epoch == head.epoch && at.seq > head.seq
    }

    /// The same, but also comes back without a step when it has moved: past events that nobody here wants.
    pub(crate) async fn advance(&mut self) -> Option<Option<Step>> {
        let stood = self.position();
        loop {
            self.changes.borrow_and_update();
            match self.cursor.next(&self.feed) {
                Found::Event(entry) => return Some(Some(Step::Event(entry))),
                Found::Nothing | Found::Elsewhere if self.feed.is_closed() => return None,
                Found::Nothing => self.changes.changed().await.ok()?,
                // The store knows more than the feed, which is told and in no hurry while nobody listens.
                Found::Elsewhere if self.is_ahead() => {
                    self.feed.nudge();
                    self.changes.changed().await.ok()?;
                }
                Found::Elsewhere => match self.cursor.refill(&self.feed, || wanted(self.names)).await {
                    Ok(None) if !self.cursor.has_next() && self.position() != stood => return Some(None),
                    Ok(None) => {}
                    Ok(Some(gap)) => return Some(Some(Step::Gap(gap))),
                    Err(error) => {
                        if self.feed.is_closed() {
                            return None;
                        }
                        tracing::warn!(?error, "the event log cannot be read, it is tried again");
                        tokio::select! {
                            () = tokio::time::sleep(PAUSE) => {}
                            changed = self.changes.changed() => changed.ok()?,
                        }
                    }
                },
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.names.is_some() {
            self.feed.inner.learners.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn wanted(names: Option<&'static [&'static str]>) -> Wanted {
    names.map_or(Wanted::All, Wanted::Named)
}
