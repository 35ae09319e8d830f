//! Who is connected to this process, and what is sent to them without being kept.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::cursors::Cursors;
use crate::engine::EngineConfig;
use crate::feed::{Entry, Feed};
use crate::id::IdSource;
use crate::time::Clock;

/// How many events that are not kept wait for a connection; the oldest go, nobody needs an old number.
const MAILBOX: usize = 64;
/// How many bytes of them, roughly; of a larger one only the newest waits.
const MAILBOX_BYTES: usize = 256 << 10;

/// What waits for one connection beside the log.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    // Held for a few instructions, never across an await.
    waiting: Mutex<VecDeque<Arc<Entry>>>,
    pub(super) filled: Notify,
}

impl Mailbox {
    fn put(&self, entry: &Arc<Entry>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(Arc::clone(entry));
        let mut bytes: usize = waiting.iter().map(|entry| entry.weight()).sum();
        // The newest stays, whatever its size.
        while waiting.len() > MAILBOX || (bytes > MAILBOX_BYTES && waiting.len() > 1) {
            bytes -= waiting.pop_front().map_or(0, |gone| gone.weight());
        }
        drop(waiting);
        self.filled.notify_one();
    }

    pub(super) fn take(&self) -> Option<Arc<Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Those who listen to a channel, by the name of their connection.
type Listeners = HashMap<Arc<str>, Arc<Mailbox>>;

/// Everybody who is connected to this process.
pub(crate) struct Hub {
    pub(super) feed: Feed,
    pub(super) cursors: Cursors,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: IdSource,
    pub(super) tokenless: bool,
    pub(super) metrics_every_ms: u64,
    /// By channel.
    channels: Mutex<HashMap<String, Listeners>>,
    clients: AtomicUsize,
    pub(super) unacknowledged: AtomicUsize,
    /// Somebody listens to the numbers now.
    pub(super) metrics_wanted: Notify,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("clients", &self.clients).finish_non_exhaustive()
    }
}

/// Who is connected, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryStats {
    /// Connections.
    pub clients: usize,
    /// Channels that somebody listens to, each with how many do.
    pub channels: BTreeMap<String, usize>,
    /// Events that were sent and wait for their acknowledgement.
    pub unacknowledged: usize,
}

impl Hub {
    pub(super) fn new(
        feed: Feed,
        cursors: Cursors,
        clock: Arc<dyn Clock>,
        ids: IdSource,
        config: &EngineConfig,
    ) -> Self {
        Self {
            feed,
            cursors,
            clock,
            ids,
            tokenless: config.tokenless,
            metrics_every_ms: config.metrics_interval_ms,
            channels: Mutex::default(),
            clients: AtomicUsize::new(0),
            unacknowledged: AtomicUsize::new(0),
            metrics_wanted: Notify::new(),
        }
    }

    pub(super) fn enter(&self) {
        self.clients.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn join(&self, channel: &str, client: &Arc<str>, mailbox: &Arc<Mailbox>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = match channels.get_mut(channel) {
            Some(listeners) => listeners,
            None => channels.entry(channel.to_owned()).or_default(),
        };
        listeners.insert(Arc::clone(client), Arc::clone(mailbox));
        drop(channels);
        if channel == super::METRICS {
            self.metrics_wanted.notify_one();
        }
    }

    pub(super) fn part(&self, channel: &str, client: &Arc<str>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listeners) = channels.get_mut(channel) {
            listeners.remove(client);
            if listeners.is_empty() {
                channels.remove(channel);
            }
        }
    }

    /// Whether anybody here listens to `channel`.
    pub(super) fn has_listeners(&self, channel: &str) -> bool {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).contains_key(channel)
    }

    /// Sends an event that is not kept to those who are here now.
    pub(super) fn send(&self, channel: &str, entry: Entry) {
        let entry = Arc::new(entry);
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        for mailbox in channels.get(channel).into_iter().flat_map(HashMap::values) {
            mailbox.put(&entry);
        }
    }

    pub(crate) fn stats(&self) -> DeliveryStats {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        DeliveryStats {
            clients: self.clients.load(Ordering::Relaxed),
            channels: channels.iter().map(|(name, listeners)| (name.clone(), listeners.len())).collect(),
            unacknowledged: self.unacknowledged.load(Ordering::Relaxed),
        }
    }
}
