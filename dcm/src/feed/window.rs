//! The newest events, in memory, for all who read the end of the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::entry::Entry;
use crate::position::Position;

/// At most so many events are held.
const ENTRIES: usize = 16_384;
/// At most so many bytes of events are held, roughly.
const BYTES: usize = 16 << 20;

/// The newest events without a hole.
#[derive(Debug)]
pub(super) struct Window {
    head: Position,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

/// What stands after a position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// So many events were taken.
    Some,
    /// Nothing yet.
    Nothing,
    /// It is not in memory: the store must be asked.
    Elsewhere,
}

impl Window {
    /// A window that begins after `head`.
    pub(super) fn new(head: Position) -> Self {
        Self { head, entries: VecDeque::new(), bytes: 0 }
    }

    /// The place of the last event.
    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// Adds the next event.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        self.head = entry.position;
        self.bytes += entry.weight();
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES || (self.bytes > BYTES && self.entries.len() > 1) {
            if let Some(old) = self.entries.pop_front() {
                self.bytes -= old.weight();
            }
        }
    }

    /// Whether the place of a reader can be vouched for without the store.
    pub(super) fn knows(&self, position: Position) -> bool {
        let oldest = self.head.seq - i64::try_from(self.entries.len()).unwrap_or(0);
        position.epoch == self.head.epoch && (oldest..=self.head.seq).contains(&position.seq)
    }

    /// Appends at most `limit` events after `position` to `out`.
    pub(super) fn take(&self, position: Position, limit: usize, out: &mut VecDeque<Arc<Entry>>) -> Taken {
        if position == self.head {
            return Taken::Nothing;
        }
        if !self.knows(position) {
            return Taken::Elsewhere;
        }
        let missing = usize::try_from(self.head.seq - position.seq).unwrap_or(0);
        let from = self.entries.len() - missing;
        out.extend(self.entries.iter().skip(from).take(limit).cloned());
        Taken::Some
    }
}
