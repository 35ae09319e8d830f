//! The channels of one listener, and how far it has got on each.

use super::Subscriber;
use crate::delivery::rights::Channel;
use crate::feed::{ChannelMask, Entry, GLOBAL};
use crate::position::Position;
use crate::storage::{ChannelChange, HolderChange};
use crate::time::Timestamp;

/// How often what changed is handed on to be written.
const SAVE_MS: i64 = 250;
/// How often that is done for channels on which nothing was sent: their place moves with everybody's events, and nothing
/// comes again when it is an old one.
const SAVE_ALL_MS: i64 = 30_000;

/// A channel that somebody listens to.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: String,
    /// Events up to here were sent before, or are not wanted.
    pub(super) from: i64,
    /// Events up to here may have been sent on an earlier connection.
    pub(super) again_until: i64,
    /// Whether how far it got is kept.
    pub(super) kept: bool,
    /// What was last handed on to be written.
    pub(super) saved: Position,
    /// The last event that was handed out on it.
    pub(super) sent: i64,
    /// Whether what was written is further on than what the agent has got.
    pub(super) rewinds: bool,
}

/// The channels to read from the store; none means all.
pub(super) fn wanted(subscriptions: &[Subscription]) -> Vec<String> {
    if subscriptions.iter().any(|one| one.channel == GLOBAL) {
        return Vec::new();
    }
    let mut names: Vec<String> = subscriptions.iter().map(|one| one.channel.clone()).collect();
    if names.is_empty() {
        // Nothing belongs to it.
        names.push(String::new());
    }
    names
}

impl Subscriber {
    /// The channels on which this listener gets an event.
    pub(super) fn mask_of(&self, entry: &Entry, anywhere: bool) -> ChannelMask {
        let seq = entry.position.seq;
        self.subscriptions
            .iter()
            .filter(|one| anywhere || seq > one.from)
            .fold(0, |mask, one| mask | entry.bit_of(&one.channel))
    }

    pub(super) fn listens_to(&self, name: &str) -> bool {
        self.subscriptions.iter().any(|one| one.channel == name)
    }

    /// Whether the subscription, and how far the agent gets on it, is kept. Of numbers it is the subscription alone.
    pub(super) fn may_keep(&self, kind: Channel<'_>) -> bool {
        (kind.is_kept() || kind == Channel::Metrics) && self.identity.agent_id.is_some()
    }

    /// Joins a channel from now on.
    pub(super) fn join_new(&mut self, name: &str, kept: bool) {
        // What this process has committed before belongs to before, fanned out or not.
        let now = self.hub.feed.head().max(self.hub.feed.committed());
        self.join(name, now, 0, kept);
    }

    /// Joins a channel after `from`. What the others have got already they do not get again.
    pub(super) fn join(&mut self, name: &str, from: Position, again_until: i64, kept: bool) {
        let at = self.cursor.position();
        let begins = if from == Position::START { Position::new(at.epoch, 0) } else { from };
        if begins.seq < at.seq || begins.epoch != at.epoch {
            for one in &mut self.subscriptions {
                one.from = one.from.max(at.seq);
            }
            // Whether the place is of this epoch's log was looked at before.
            self.cursor.seek(Position::new(at.epoch, begins.seq.min(at.seq)));
            // It goes back because it is asked to, not because it was too slow.
            self.live = false;
        } else {
            // What was read ahead was read for the others.
            self.cursor.forget_pages();
        }
        self.hub.join(name, &self.id, &self.mailbox);
        let from = begins.seq;
        let saved = Position::new(at.epoch, from);
        let channel = name.to_owned();
        let rewinds = false;
        self.subscriptions.push(Subscription { channel, from, again_until, kept, saved, sent: 0, rewinds });
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Subscription> {
        let place = self.subscriptions.iter().position(|one| one.channel == name)?;
        self.hub.part(name, &self.id);
        self.count(|outstanding| outstanding.forget(name));
        Some(self.subscriptions.swap_remove(place))
    }

    /// Gives up what belonged to the agent before.
    pub(super) fn part_all_kept(&mut self) {
        self.say_goodbye();
        self.release();
        let names: Vec<String> =
            self.subscriptions.iter().filter(|one| one.kept).map(|one| one.channel.clone()).collect();
        for name in names {
            self.remove(&name);
        }
        self.acknowledges = false;
        self.count(|_| {});
    }

    /// How far the agent has got on a channel.
    pub(super) fn delivered(&self, one: &Subscription) -> Position {
        // Of a channel that was joined further on, or that waits while another is caught up with, everything before
        // was handed out.
        if self.acknowledges {
            // All that was handed out and is not acknowledged is outstanding.
            let at = self.cursor.position();
            let seq = self.outstanding.contiguous(&one.channel, at.seq.max(one.from));
            return Position::new(at.epoch, seq);
        }
        Position::new(self.confirmed.epoch, self.confirmed.seq.max(one.from))
    }

    pub(super) fn change(&self, one: &Subscription, holder: HolderChange, create: bool) -> ChannelChange {
        ChannelChange {
            delivered: self.delivered(one),
            sent_seq: self.cursor.position().seq,
            acknowledges: self.acknowledges,
            holder,
            create,
        }
    }

    pub(super) fn note(&self, one: &Subscription, change: ChannelChange) {
        if let Some(agent) = &self.identity.agent_id {
            self.hub.cursors.note((agent.clone(), one.channel.clone()), Some(change));
        }
    }

    /// This connection has all kept channels now.
    pub(super) fn hold(&mut self) {
        for one in self.subscriptions.iter().filter(|one| one.kept) {
            let mut change = self.change(one, HolderChange::Take(self.id.to_string()), true);
            if !one.rewinds {
                change.delivered = one.saved;
            }
            self.note(one, change);
        }
    }

    pub(super) fn release(&mut self) {
        for one in self.subscriptions.iter().filter(|one| one.kept) {
            self.note(one, self.change(one, HolderChange::Release(self.id.to_string()), false));
        }
    }

    pub(super) fn save_if_it_is_time(&mut self, now: Timestamp) {
        if !self.dirty || now.millis_since(self.saved_at).unsigned_abs() < SAVE_MS.unsigned_abs() {
            return;
        }
        self.saved_at = now;
        self.dirty = false;
        let all = now.millis_since(self.all_saved_at).unsigned_abs() >= SAVE_ALL_MS.unsigned_abs();
        if all {
            self.all_saved_at = now;
        }
        let mut moved = Vec::new();
        for (place, one) in self.subscriptions.iter().enumerate() {
            if !(one.kept && (all || one.rewinds || one.sent > one.saved.seq)) {
                continue;
            }
            let change = self.change(one, HolderChange::Keep, false);
            if one.rewinds || change.delivered > one.saved {
                moved.push((place, change.delivered));
                self.note(one, change);
            }
        }
        for (place, saved) in moved {
            let one = &mut self.subscriptions[place];
            (one.saved, one.rewinds) = (saved, false);
        }
    }
}
