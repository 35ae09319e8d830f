//! Reading the log from any place to its end and on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::window::Taken;
use super::{Feed, gap};
use crate::error::Result;
use crate::feed::entry::Entry;
use crate::position::Position;
use crate::storage::GapReason;

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
        Self { at, ready: VecDeque::new() }
    }

    /// Everything up to here was handed out.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// Moves to another place.
    pub(crate) fn seek(&mut self, at: Position) {
        self.at = at;
        self.ready.clear();
    }

    /// The next event, if it can be had without waiting.
    pub(crate) fn next(&mut self, feed: &Feed) -> Found {
        if self.ready.is_empty() {
            match feed.take(self.at, CHUNK, &mut self.ready) {
                Taken::Some => {}
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

    /// Reads on from the store: only events of `channels` where any are given. Safe to drop while it waits.
    pub(crate) async fn refill(&mut self, feed: &Feed, channels: &[String]) -> Result<Option<Gap>> {
        let page = feed.inner.store.log_page(self.at.seq, channels.to_vec(), PAGE).await?;
        if let Some(gap) = gap(&page.head, self.at) {
            self.seek(gap.continues);
            return Ok(Some(gap));
        }
        let epoch = page.head.epoch;
        let full = page.events.len() >= PAGE as usize;
        // Between the last event that was read and the end of the log there is none of these channels.
        let end = if full { None } else { Some(page.head.seq) };
        self.ready = page.events.into_iter().map(|event| Arc::new(Entry::logged(epoch, event))).collect();
        if self.ready.is_empty() {
            let stood = self.at;
            self.at = Position::new(epoch, end.unwrap_or(self.at.seq).max(self.at.seq));
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
}

impl Follower {
    pub(super) fn new(feed: Feed, after: Option<Position>) -> Self {
        let changes = feed.changes();
        let cursor = Cursor::new(after.unwrap_or_else(|| feed.head()));
        Self { feed, cursor, changes }
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
            self.changes.borrow_and_update();
            match self.cursor.next(&self.feed) {
                Found::Event(entry) => return Some(Step::Event(entry)),
                Found::Nothing if self.feed.is_closed() => return None,
                Found::Nothing => self.changes.changed().await.ok()?,
                Found::Elsewhere => match self.cursor.refill(&self.feed, &[]).await {
                    Ok(None) => {}
                    Ok(Some(gap)) => return Some(Step::Gap(gap)),
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
