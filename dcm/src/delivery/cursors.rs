//! What agents listen to and how far they have got, written behind their backs: many acknowledgements, one commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::engine::rules::Announce;
use crate::engine::writer::Writer;
use crate::error::{Error, Result};
use crate::storage::{ChannelChange, ChannelChanges, ChannelKey, ChannelRow, HolderChange, LogHead, Storage};
use crate::time::Clock;

/// How long acknowledgements wait for others to share their commit.
const SHARE: Duration = Duration::from_millis(250);
/// Orders that are carried out together.
const ORDERS: usize = 256;

/// What an agent listened to before, and the end of the log when that was read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) channels: Vec<ChannelRow>,
    pub(super) head: LogHead,
}

enum Order {
    /// Write what waits, then read what is known of an agent.
    Load(String, oneshot::Sender<Result<Known>>),
    /// Write what waits.
    Flush(oneshot::Sender<Result<()>>),
    /// Say that an agent came or went.
    Announce(Announce),
}

/// Where changes are left. Cheap to clone.
#[derive(Clone)]
pub(super) struct Cursors {
    waiting: Arc<Mutex<ChannelChanges>>,
    changed: Arc<Notify>,
    orders: mpsc::UnboundedSender<Order>,
}

/// The other end of [`Cursors`].
pub(crate) struct CursorOrders(mpsc::UnboundedReceiver<Order>);

impl Cursors {
    pub(super) fn new() -> (Self, CursorOrders) {
        let (orders, received) = mpsc::unbounded_channel();
        let cursors = Self { waiting: Arc::default(), changed: Arc::default(), orders };
        (cursors, CursorOrders(received))
    }

    /// Notes how far an agent got; `None` when it listens no more.
    pub(super) fn note(&self, key: ChannelKey, change: Option<ChannelChange>) {
        merge(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner), key, change);
        self.changed.notify_one();
    }

    /// What is known of an agent, after all that was noted before.
    pub(super) async fn load(&self, agent: &str) -> Result<Known> {
        let (reply, known) = oneshot::channel();
        self.order(Order::Load(agent.to_owned(), reply))?;
        known.await.map_err(|_| ended())?
    }

    /// Returns when all that was noted before is durable.
    pub(super) async fn flush(&self) -> Result<()> {
        let (reply, flushed) = oneshot::channel();
        self.order(Order::Flush(reply))?;
        flushed.await.map_err(|_| ended())?
    }

    /// Has it said in the log that an agent came or went.
    pub(super) fn announce(&self, announce: Announce) {
        // When the engine is closed there is nobody to hear it.
        let _ = self.order(Order::Announce(announce));
    }

    fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).map_err(|_| ended())
    }

    fn take(&self) -> ChannelChanges {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes what waits. When that fails it waits on; what came meanwhile is newer.
    async fn write(&self, store: &dyn Storage, clock: &dyn Clock) -> Result<()> {
        let changes = self.take();
        if changes.0.is_empty() {
            return Ok(());
        }
        let saved = store.save_agent_channels(changes.clone(), clock.now()).await;
        if saved.is_err() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = std::mem::replace(&mut *waiting, changes);
            for (key, change) in newer.0 {
                merge(&mut waiting, key, change);
            }
        }
        saved
    }

    /// Writes and answers until `stopped`, and then what is left.
    pub(crate) async fn run(
        self,
        mut orders: CursorOrders,
        store: Arc<dyn Storage>,
        writer: Writer,
        clock: Arc<dyn Clock>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut write_at: Option<Instant> = None;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                _ = orders.0.recv_many(&mut batch, ORDERS) => {
                    self.carry_out(&mut batch, &*store, &writer, &*clock).await;
                }
                () = self.changed.notified(), if write_at.is_none() => write_at = Some(Instant::now() + SHARE),
                () = sleep_until(write_at), if write_at.is_some() => {
                    write_at = None;
                    if let Err(error) = self.write(&*store, &*clock).await {
                        tracing::warn!(?error, "how far agents have got cannot be written, it is tried again");
                        write_at = Some(Instant::now() + SHARE * 4);
                    }
                }
                _ = stopped.changed() => break,
            }
        }
        orders.0.close();
        while let Ok(order) = orders.0.try_recv() {
            batch.push(order);
        }
        self.carry_out(&mut batch, &*store, &writer, &*clock).await;
        if let Err(error) = self.write(&*store, &*clock).await {
            tracing::warn!(?error, "how far agents have got was not written: they get the rest again");
        }
    }

    async fn carry_out(
        &self,
        batch: &mut Vec<Order>,
        store: &dyn Storage,
        writer: &Writer,
        clock: &dyn Clock,
    ) {
        let (mut loads, mut announcements) = (Vec::new(), Vec::new());
        let mut flushes = Vec::new();
        for order in batch.drain(..) {
            match order {
                Order::Load(agent, reply) => loads.push((agent, reply)),
                Order::Flush(reply) => flushes.push(reply),
                Order::Announce(announce) => announcements.push(announce),
            }
        }
        if !(loads.is_empty() && flushes.is_empty()) {
            let written = self.write(store, clock).await;
            for reply in flushes {
                // Whoever asked and went away needs no answer; so below.
                let _ = reply.send(copy(&written));
            }
            for (agent, reply) in loads {
                let known = match copy(&written) {
                    Ok(()) => load(store, agent).await,
                    Err(error) => Err(error),
                };
                let _ = reply.send(known);
            }
        }
        // They go into one queue and share their commit.
        let said = join_all(announcements.into_iter().map(|announce| writer.commit(announce, None))).await;
        if let Some(Err(error)) = said.into_iter().find(Result::is_err) {
            tracing::warn!(?error, "that an agent came or went was not recorded");
        }
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn load(store: &dyn Storage, agent: String) -> Result<Known> {
    let channels = store.agent_channels(agent).await?;
    // After the channels: no position that was read is beyond it.
    Ok(Known { channels, head: store.log_head().await? })
}

fn copy(written: &Result<()>) -> Result<()> {
    match written {
        Ok(()) => Ok(()),
        Err(error) => Err(Error::new(error.kind(), error.message())),
    }
}

fn ended() -> Error {
    Error::unavailable("the engine is closed")
}

fn merge(waiting: &mut ChannelChanges, key: ChannelKey, change: Option<ChannelChange>) {
    let Some(mut change) = change else {
        waiting.0.insert(key, None);
        return;
    };
    match waiting.0.get_mut(&key) {
        // It listens no more, so there is nothing to move.
        Some(None) if !change.create => {}
        Some(Some(known)) => {
            // Who begins to acknowledge has got only what it has acknowledged.
            let rewinds = change.acknowledges && !known.acknowledges;
            if known.delivered > change.delivered && !rewinds {
                change.delivered = known.delivered;
            }
            if known.delivered.epoch == change.delivered.epoch {
                change.sent_seq = change.sent_seq.max(known.sent_seq);
            }
            change.acknowledges |= known.acknowledges;
            change.create |= known.create;
            if change.holder == HolderChange::Keep {
                change.holder = std::mem::take(&mut known.holder);
            }
            *known = change;
        }
        Some(None) | None => {
            waiting.0.insert(key, Some(change));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    fn change(seq: i64, holder: HolderChange, create: bool) -> ChannelChange {
        ChannelChange { delivered: Position::new(1, seq), sent_seq: seq, acknowledges: false, holder, create }
    }

    #[test]
    fn who_begins_to_acknowledge_has_got_less_than_what_was_written() {
        let key = || ("a".to_owned(), "agents/a".to_owned());
        let mut waiting = ChannelChanges::default();
        merge(&mut waiting, key(), Some(change(9, HolderChange::Keep, false)));
        let first = ChannelChange { acknowledges: true, ..change(4, HolderChange::Keep, false) };
        merge(&mut waiting, key(), Some(first.clone()));
        assert_eq!(waiting.0[&key()], Some(ChannelChange { sent_seq: 9, ..first }));
        merge(&mut waiting, key(), Some(change(3, HolderChange::Keep, false)));
        assert_eq!(waiting.0[&key()].as_ref().unwrap().delivered.seq, 4, "only the first time");
    }

    #[test]
    fn changes_of_one_channel_become_one() {
        let key = || ("a".to_owned(), "agents/a".to_owned());
        let mut waiting = ChannelChanges::default();
        merge(&mut waiting, key(), Some(change(5, HolderChange::Take("c".to_owned()), true)));
        merge(&mut waiting, key(), Some(change(3, HolderChange::Keep, false)));
        assert_eq!(waiting.0[&key()], Some(change(5, HolderChange::Take("c".to_owned()), true)));
        merge(&mut waiting, key(), Some(change(9, HolderChange::Release("c".to_owned()), false)));
        assert_eq!(waiting.0[&key()], Some(change(9, HolderChange::Release("c".to_owned()), true)));
        merge(&mut waiting, key(), None);
        merge(&mut waiting, key(), Some(change(10, HolderChange::Keep, false)));
        assert_eq!(waiting.0[&key()], None, "who listens no more is not made to listen by a late word");
        merge(&mut waiting, key(), Some(change(11, HolderChange::Keep, true)));
        assert_eq!(waiting.0[&key()], Some(change(11, HolderChange::Keep, true)));
    }
}
