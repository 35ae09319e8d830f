//! What DCM asks of a store's event log.

use std::sync::Arc;

use tokio::sync::Notify;

use super::state::NewEvent;
use super::{BoxFuture, ChannelChanges, ChannelRow};
use crate::error::Result;
use crate::id::EventId;
use crate::json::JsonObject;
use crate::position::Position;
use crate::time::Timestamp;

/// Where the log begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// The epoch in which positions are given out now.
    pub epoch: i64,
    /// The last position that was given out.
    pub seq: i64,
    /// The first position that is still kept.
    pub first_seq: i64,
    /// The epochs after the first that is known, each with the first position that was given out in it, in order.
    pub epochs: Vec<(i64, i64)>,
}

impl LogHead {
    /// The last position that was given out.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::new(self.epoch, self.seq)
    }

    /// What a reader who stands at `position` has missed for good, and where it goes on.
    #[must_use]
    pub fn gap_after(&self, position: Position) -> Option<(GapReason, Position)> {
        let at = |seq: i64| Position::new(self.epoch, seq);
        if position == Position::START {
            // Who asks for everything gets everything there is.
            return None;
        }
        if position.epoch > self.epoch {
            return Some((GapReason::Epoch, at(self.seq)));
        }
        if position.epoch < self.epoch {
            // Of what was read in that epoch, all below the first later one is the same in this log.
            let later = self.epochs.iter().filter(|(epoch, _)| *epoch > position.epoch);
            match later.map(|(_, first)| *first).min() {
                Some(first) if position.seq < first => {}
                Some(first) => return Some((GapReason::Epoch, at(first.max(self.first_seq) - 1))),
                None => return Some((GapReason::Epoch, at(self.seq))),
            }
        } else if position.seq > self.seq {
            return Some((GapReason::Epoch, at(self.seq)));
        }
        (position.seq < self.first_seq - 1).then(|| (GapReason::Retention, at(self.first_seq - 1)))
    }
}

/// Why a reader of the log has missed something for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// It was away for longer than events are kept.
    Retention,
    /// What it read last is not in the log any more: a standby was promoted, or a backup restored.
    Epoch,
}

impl GapReason {
    /// The word of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Epoch => "epoch",
        }
    }
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedEvent {
    /// Its place.
    pub seq: i64,
    /// Its id, the same on every channel.
    pub id: EventId,
    /// Its name, such as `task.created`.
    pub name: String,
    /// When it happened.
    pub at: Timestamp,
    /// The channels it belongs to besides `global`.
    pub channels: Vec<String>,
    /// What its own channels say.
    pub data: JsonObject,
    /// What `global` says.
    pub summary: JsonObject,
}

/// A piece of the log, and its head at the same moment.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// Where the log begins and ends.
    pub head: LogHead,
    /// The events, in their order.
    pub events: Vec<LoggedEvent>,
    /// Everything up to here was looked at: there are no other events of these channels before it. A store may look
    /// at a part of the log only, so that no call takes long; the next call goes on after it.
    pub looked_to: i64,
}

/// The events of one commit, with their places.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedEvents {
    /// The epoch they were written in.
    pub epoch: i64,
    /// The place of the first; the others follow without a hole.
    pub first_seq: i64,
    /// The events.
    pub events: Vec<NewEvent>,
}

/// Who is told what was committed, as soon as it was and before the callers are answered.
#[derive(Clone)]
pub struct CommitListener(Arc<dyn Fn(CommittedEvents) + Send + Sync>);

impl CommitListener {
    /// Wraps a function that must not wait.
    pub fn new(listener: impl Fn(CommittedEvents) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells it.
    pub(crate) fn committed(&self, events: CommittedEvents) {
        (self.0)(events);
    }
}

impl std::fmt::Debug for CommitListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommitListener")
    }
}

/// The event log of a store, and how far each agent has got in it.
pub trait LogStore: Send + Sync {
    /// Where the log begins and ends.
    fn log_head(&self) -> BoxFuture<'_, Result<LogHead>>;

    /// At most `limit` events after position `after`, those of one of `channels` where any are given, and the head of
    /// the log in the same snapshot.
    fn log_page(&self, after: i64, channels: Vec<String>, limit: u32) -> BoxFuture<'_, Result<LogPage>>;

    /// The same for events that are called one of `names`; those in between need not be looked at. The default looks at
    /// everything.
    fn log_page_named(
        &self,
        after: i64,
        names: &'static [&'static str],
        limit: u32,
    ) -> BoxFuture<'_, Result<LogPage>> {
        Box::pin(async move {
            let mut page = self.log_page(after, Vec::new(), limit).await?;
            page.events.retain(|event| names.contains(&&*event.name));
            Ok(page)
        })
    }

    /// Calls `wake` once it listens, and whenever somebody outside this process may have committed events. Ends only
    /// with an error, or when the store is closed. The default is for a store that one process alone writes.
    fn watch_log<'a>(&'a self, wake: &'a Notify) -> BoxFuture<'a, Result<()>> {
        let _ = wake;
        Box::pin(std::future::pending())
    }

    /// How often to look into the log although nothing was heard, in milliseconds.
    fn poll_ms(&self) -> u64 {
        1000
    }

    /// Begins a new epoch, if `epoch` is the present one: what was read so far may not be in this log.
    fn raise_epoch(&self, epoch: i64) -> BoxFuture<'_, Result<()>>;

    /// The channels that `agent` listens to, and how far it has got.
    fn agent_channels(&self, agent: String) -> BoxFuture<'_, Result<Vec<ChannelRow>>>;

    /// Writes what changed, in one transaction.
    fn save_agent_channels(&self, changes: ChannelChanges, now: Timestamp) -> BoxFuture<'_, Result<()>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_an_earlier_epoch_is_true_up_to_its_end() {
        let head = LogHead { epoch: 4, seq: 100, first_seq: 11, epochs: vec![(2, 41), (3, 31), (4, 81)] };
        let gap = |epoch, seq| head.gap_after(Position::new(epoch, seq));
        assert_eq!(gap(4, 100), None);
        assert_eq!(gap(4, 101), Some((GapReason::Epoch, Position::new(4, 100))));
        assert_eq!(gap(5, 1), Some((GapReason::Epoch, Position::new(4, 100))));
        assert_eq!(gap(3, 80), None);
        assert_eq!(gap(3, 81), Some((GapReason::Epoch, Position::new(4, 80))));
        // Epoch 2 went on from 41, but epoch 3 began anew at 31.
        assert_eq!(gap(1, 30), None);
        assert_eq!(gap(1, 40), Some((GapReason::Epoch, Position::new(4, 30))));
        assert_eq!(gap(4, 10), None);
        assert_eq!(gap(1, 9), Some((GapReason::Retention, Position::new(4, 10))));
        assert_eq!(head.gap_after(Position::START), None);
        let unknown = LogHead { epochs: Vec::new(), ..head };
        assert_eq!(unknown.gap_after(Position::new(1, 20)), Some((GapReason::Epoch, Position::new(4, 100))));
    }
}
