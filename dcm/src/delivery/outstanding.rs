//! What was sent on one connection and is not acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::feed::{ChannelMask, Entry};
use crate::id::EventId;
use crate::time::Timestamp;

/// After so many milliseconds without an acknowledgement an event is sent again.
const PATIENCE_MS: i64 = 5000;
/// So often an event is sent on one connection; then it is kept for the next.
const SENDS: u32 = 3;
/// So many events are at hand to be sent again on the same connection.
const FOLLOWED: usize = 1024;
/// Of so many more it is known that they wait; what is not acknowledged of them comes again on the next connection.
/// Beyond these, events are sent all the same, but only an acknowledgement of a position covers them.
const KNOWN: usize = 64 * 1024;
/// Of what is sent to a client that has not acknowledged anything yet so much is followed: it may begin to.
const LATEST: usize = 128;

/// One event that waits for its acknowledgement.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) entry: Arc<Entry>,
    pub(super) mask: ChannelMask,
    pub(super) sends: u32,
    /// Whether it may have been sent on an earlier connection.
    pub(super) again: bool,
    at: Timestamp,
}

/// What was sent and is not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    events: BTreeMap<i64, Sent>,
    seqs: HashMap<EventId, i64>,
    /// Events that wait and are not at hand.
    known: BTreeMap<i64, EventId>,
    /// From here on events were sent that are not followed.
    unfollowed: Option<i64>,
}

impl Outstanding {
    pub(super) fn len(&self) -> usize {
        self.events.len() + self.known.len()
    }

    /// Makes room for one more of the latest events.
    pub(super) fn keep_the_latest(&mut self) {
        while self.events.len() >= LATEST
            && let Some((_, gone)) = self.events.pop_first()
        {
            self.seqs.remove(&gone.entry.id);
        }
    }

    /// From `now` on acknowledgements are waited for.
    pub(super) fn begin(&mut self, now: Timestamp) {
        for event in self.events.values_mut() {
            event.at = now;
        }
    }

    /// Notes that an event was sent for the first time on this connection.
    pub(super) fn sent(&mut self, entry: &Arc<Entry>, mask: ChannelMask, again: bool, now: Timestamp) {
        let seq = entry.position.seq;
        if self.events.len() >= FOLLOWED && !self.events.contains_key(&seq) {
            if self.known.len() < KNOWN {
                self.seqs.insert(entry.id, seq);
                self.known.insert(seq, entry.id);
            } else {
                self.unfollowed.get_or_insert(seq);
            }
            return;
        }
        self.seqs.insert(entry.id, seq);
        self.events.insert(seq, Sent { entry: Arc::clone(entry), mask, sends: 1, again, at: now });
    }

    /// One event is acknowledged, on all its channels.
    pub(super) fn acknowledge(&mut self, id: EventId) {
        if let Some(seq) = self.seqs.remove(&id) {
            self.events.remove(&seq);
            self.known.remove(&seq);
        }
    }

    /// Everything up to `seq` is acknowledged; `sent` is the last that was sent.
    pub(super) fn acknowledge_up_to(&mut self, seq: i64, sent: i64) {
        let later = self.events.split_off(&(seq.saturating_add(1)));
        for gone in std::mem::replace(&mut self.events, later).into_values() {
            self.seqs.remove(&gone.entry.id);
        }
        let later = self.known.split_off(&(seq.saturating_add(1)));
        for gone in std::mem::replace(&mut self.known, later).into_values() {
            self.seqs.remove(&gone);
        }
        if self.unfollowed.is_some_and(|from| from <= seq) {
            self.unfollowed = (seq < sent).then_some(seq + 1);
        }
    }

    /// Forgets what came after `seq`.
    pub(super) fn lose_after(&mut self, seq: i64) {
        for gone in self.events.split_off(&seq.saturating_add(1)).into_values() {
            self.seqs.remove(&gone.entry.id);
        }
        for gone in self.known.split_off(&seq.saturating_add(1)).into_values() {
            self.seqs.remove(&gone);
        }
        self.unfollowed = self.unfollowed.filter(|from| *from <= seq);
    }

    /// The last place up to which everything on a channel is acknowledged, when `sent` was the last that was sent.
    pub(super) fn contiguous(&self, channel: &str, sent: i64) -> i64 {
        let first = self.events.values().find(|event| event.entry.bit_of(channel) & event.mask != 0);
        let first = first.map(|event| event.entry.position.seq);
        // Of what is only known nobody remembers the channels.
        let known = self.known.first_key_value().map(|(seq, _)| *seq);
        [first, known, self.unfollowed].into_iter().flatten().min().map_or(sent, |seq| seq - 1)
    }

    /// Forgets `channel`; an event that is on no other needs no acknowledgement any more.
    pub(super) fn forget(&mut self, channel: &str) {
        let seqs = &mut self.seqs;
        self.events.retain(|_, event| {
            event.mask &= !event.entry.bit_of(channel);
            // `global` alone is not acknowledged.
            let stays = event.mask & !1 != 0;
            if !stays {
                seqs.remove(&event.entry.id);
            }
            stays
        });
    }

    /// The events that are to be sent again at `now`, noted as sent.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Sent> {
        let mut due = Vec::new();
        for event in self.events.values_mut() {
            if event.sends < SENDS && now.millis_since(event.at) >= PATIENCE_MS {
                event.sends += 1;
                event.at = now;
                due.push(event.clone());
            }
        }
        due
    }

    /// Whether any event will be sent again.
    pub(super) fn waits(&self) -> bool {
        self.events.values().any(|event| event.sends < SENDS)
    }
}
