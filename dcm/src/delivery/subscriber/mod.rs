//! One listener: what it listens to, where it stands, what it has not acknowledged.

mod subscriptions;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use subscriptions::{Subscription, wanted};

use super::hub::{Hub, Mailbox};
use super::outstanding::Outstanding;
use super::rights::{Channel, Identity, channel};
use crate::engine::rules::Announce;
use crate::error::{Error, Result};
use crate::feed::{ChannelMask, Cursor, Entry, Found, GLOBAL, Gap, Wanted};
use crate::id::{EventId, MessageId};
use crate::position::Position;
use crate::time::Timestamp;

/// How often to look whether something must be sent again.
const TICK_MS: u64 = 1000;
/// How long to wait before a store that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// So many channels one listener may have.
const CHANNELS: usize = 1000;

/// What comes next for a listener.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// An event.
    Event {
        /// The event.
        entry: Arc<Entry>,
        /// On which of its channels this listener gets it.
        mask: ChannelMask,
        /// The how manieth time it is sent, as far as is known; more than one means that it may have come before.
        attempt: u32,
    },
    /// Events are missing for good.
    Gap(Gap),
    /// The listener was too slow for what is in memory; it goes on after this place, from the log. Nothing is missing.
    Resync(Position),
}

/// A listener in this process, or the one at the other end of a connection to it.
///
/// It is in `global` from the beginning. After [`Subscriber::authenticate`] it also has the channels that its agent
/// listened to before, each from where the agent had got: what came meanwhile is delivered first, then what is new, in
/// the order of the log and without a hole.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Debug)]
pub struct Subscriber {
    hub: Arc<Hub>,
    id: Arc<str>,
    identity: Identity,
    /// Whether the agent acknowledges what it gets; then what is not acknowledged is sent again.
    acknowledges: bool,
    announced: bool,
    subscriptions: Vec<Subscription>,
    mailbox: Arc<Mailbox>,
    cursor: Cursor,
    changes: watch::Receiver<Position>,
    /// What comes before everything else: gaps, and what is sent again.
    first: VecDeque<Delivery>,
    outstanding: Outstanding,
    /// Everything up to here was passed on by whoever carries it.
    confirmed: Position,
    /// How many of the outstanding events the hub counts.
    counted: usize,
    /// Whether it had reached the end of the log.
    live: bool,
    /// Whether what came last was not in the log, so that the log is looked at first now.
    log_is_next: bool,
    behind: bool,
    dirty: bool,
    saved_at: Timestamp,
    /// When the places of channels on which nothing was sent were handed on.
    all_saved_at: Timestamp,
    ticked_at: Timestamp,
}

impl Subscriber {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        let id: MessageId = hub.ids.next();
        let id: Arc<str> = format!("ws_{}", id.as_uuid().simple()).into();
        let changes = hub.feed.changes();
        let head = hub.feed.head();
        let now = hub.clock.now();
        hub.enter();
        let mut subscriber = Self {
            id,
            identity: Identity::default(),
            acknowledges: false,
            announced: false,
            subscriptions: Vec::new(),
            mailbox: Arc::default(),
            cursor: Cursor::new(head),
            changes,
            first: VecDeque::new(),
            outstanding: Outstanding::default(),
            confirmed: head,
            counted: 0,
            live: true,
            log_is_next: false,
            behind: false,
            dirty: false,
            saved_at: now,
            all_saved_at: now,
            ticked_at: now,
            hub,
        };
        subscriber.join_new(GLOBAL, false);
        subscriber
    }

    /// The name of this connection.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who listens.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Everything up to here was looked at.
    #[must_use]
    pub fn position(&self) -> Position {
        self.cursor.position()
    }

    /// Whether it has come to the end of the log, and gets what is new as it happens.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The channels it listens to.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.iter().map(|one| &*one.channel)
    }

    /// Says who listens. An agent's own channel, that of its session, and all that it listened to before are joined;
    /// `acknowledges` says that it will acknowledge what it gets from the first event on.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn authenticate(&mut self, identity: Identity, acknowledges: bool) -> Result<()> {
        let Some(agent) = identity.agent_id.clone() else {
            return Err(Error::invalid("an agent id is needed"));
        };
        if self.identity.agent_id.is_some() && self.identity != identity {
            self.part_all_kept();
        }
        // After what this connection had for the agent is written: it goes on from there.
        let known = self.hub.cursors.load(&agent).await?;
        self.identity = identity;
        if acknowledges || known.channels.iter().any(|row| row.acknowledges) {
            self.begin_to_acknowledge();
        }
        let own = format!("agents/{agent}");
        let session = self.identity.session_id.as_ref().map(|id| format!("sessions/{id}"));
        for name in [Some(own), session].into_iter().flatten() {
            if !self.listens_to(&name) && !known.channels.iter().any(|row| row.channel == name) {
                let kept = Channel::parse(&name).is_some_and(|kind| self.may_keep(kind));
                self.join_new(&name, kept);
            }
        }
        for row in known.channels {
            let allowed = channel(&row.channel)
                .and_then(|kind| self.identity.may_hear(kind, self.hub.tokenless).map(|()| kind));
            let Ok(kind) = allowed else { continue };
            let mut from = row.delivered;
            if kind.is_kept()
                && let Some((reason, continues)) = known.head.gap_after(from)
            {
                self.tell_of(Gap { reason, missed: from, continues });
                from = continues;
            }
            if !kind.is_kept() {
                from = self.hub.feed.head();
            }
            // A connection that nobody closed may have sent anything up to the end of the log.
            let again_until = if row.holder.is_some() { known.head.seq } else { row.sent_seq };
            if !self.listens_to(&row.channel) {
                self.join(&row.channel, from, again_until, true);
            }
        }
        self.hold();
        self.hub.cursors.flush().await
    }

    /// Tells everybody that the agent is connected; once it has been told itself.
    pub fn announce(&mut self) {
        if let Some(agent_id) = self.identity.agent_id.clone() {
            self.announced = true;
            self.say(agent_id, "agent.connected");
        }
    }

    /// Tells everybody that the agent has gone, if they were told that it came.
    fn say_goodbye(&mut self) {
        if std::mem::take(&mut self.announced)
            && let Some(agent_id) = self.identity.agent_id.clone()
        {
            self.say(agent_id, "agent.disconnected");
        }
    }

    fn say(&self, agent_id: String, name: &'static str) {
        self.hub.cursors.announce(Announce {
            name,
            agent_id,
            client_id: self.id.to_string(),
            session_id: self.identity.session_id.clone(),
        });
    }

    /// Listens to a channel: from where its agent had got, from `after` where that is given, else from now on. It comes
    /// back after the next connection of the agent, until it is unsubscribed. The answer of an agent's subscription is
    /// durable.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Invalid`] when there is no such channel, [`crate::ErrorKind::Forbidden`] when it is another
    /// one's.
    pub async fn subscribe(&mut self, name: &str, after: Option<Position>) -> Result<()> {
        let kind = channel(name)?;
        self.identity.may_hear(kind, self.hub.tokenless)?;
        let kept = self.may_keep(kind);
        if self.subscriptions.len() >= CHANNELS && !self.listens_to(name) {
            return Err(Error::invalid(format!("one connection listens to {CHANNELS} channels at most")));
        }
        if let Some(after) = after.filter(|_| kind != Channel::Metrics) {
            let from = if after == Position::START {
                // Who asks for everything gets everything there is.
                self.hub.feed.beginning().await?
            } else {
                let gap = self.hub.feed.gap_after(after).await?;
                if let Some(gap) = gap {
                    self.tell_of(gap);
                }
                gap.map_or(after, |gap| gap.continues)
            };
            self.remove(name);
            self.join(name, from, 0, kept);
        } else if !self.listens_to(name) {
            self.join_new(name, kept);
        } else {
            return Ok(());
        }
        if kept {
            self.hold();
            self.hub.cursors.flush().await?;
        }
        Ok(())
    }

    /// Listens to a channel no more, now and after the next connection.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn unsubscribe(&mut self, name: &str) -> Result<()> {
        let Some(removed) = self.remove(name) else { return Ok(()) };
        let Some(agent) = self.identity.agent_id.clone() else { return Ok(()) };
        if !removed.kept {
            return Ok(());
        }
        self.hub.cursors.note((agent, removed.channel), None);
        self.hub.cursors.flush().await
    }

    /// One event has come through, on all its channels.
    pub fn acknowledge(&mut self, id: EventId) {
        self.begin_to_acknowledge();
        self.count(|outstanding| outstanding.acknowledge(id));
    }

    /// Everything up to `position` has come through.
    pub fn acknowledge_up_to(&mut self, position: Position) {
        self.begin_to_acknowledge();
        let sent = self.cursor.position();
        if position.epoch == sent.epoch {
            self.count(|outstanding| outstanding.acknowledge_up_to(position.seq, sent.seq));
        }
    }

    fn begin_to_acknowledge(&mut self) {
        self.dirty = true;
        // Only what is kept for an agent is waited for.
        if self.acknowledges || self.identity.agent_id.is_none() {
            return;
        }
        self.acknowledges = true;
        // What was sent before the first acknowledgement counted as received, and waits for its own now.
        for one in self.subscriptions.iter_mut().filter(|one| one.kept) {
            one.rewinds = true;
        }
        let now = self.hub.clock.now();
        self.count(|outstanding| outstanding.begin(now));
    }

    /// What was handed out so far has been passed on, as far as that can be known.
    pub fn confirm(&mut self) {
        let at = self.cursor.position();
        if self.confirmed != at {
            self.confirmed = at;
            self.dirty |= self.identity.agent_id.is_some();
        }
        if self.needs_tick() {
            let now = self.hub.clock.now();
            self.save_if_it_is_time(now);
            if now.millis_since(self.ticked_at).unsigned_abs() >= TICK_MS {
                self.send_again(now);
            }
        }
    }

    /// What comes next, if it can be had at once.
    pub fn try_next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(first) = self.first.pop_front() {
                return Some(first);
            }
            // What others change is looked at once for all events that are at hand: all listeners share it.
            if !self.cursor.has_next() {
                self.changes.borrow_and_update();
                // One of these at a time: whoever is slow must get what is in the log all the same.
                if !std::mem::take(&mut self.log_is_next)
                    && let Some(fleeting) = self.fleeting()
                {
                    self.log_is_next = true;
                    return Some(fleeting);
                }
            }
            match self.cursor.next(&self.hub.feed) {
                Found::Event(entry) => {
                    let mask = self.mask_of(&entry, false);
                    if mask != 0 {
                        return Some(self.deliver(entry, mask));
                    }
                }
                Found::Nothing => {
                    self.live = true;
                    return self.fleeting();
                }
                Found::Elsewhere => {
                    self.behind = true;
                    if std::mem::take(&mut self.live) {
                        return Some(Delivery::Resync(self.cursor.position()));
                    }
                    return None;
                }
            }
        }
    }

    /// The next event that is not in the log.
    fn fleeting(&mut self) -> Option<Delivery> {
        loop {
            let entry = self.mailbox.take()?;
            let mask = self.mask_of(&entry, true);
            if mask != 0 {
                return Some(Delivery::Event { entry, mask, attempt: 1 });
            }
        }
    }

    /// Waits until [`Subscriber::try_next`] may have something; false when the engine was closed. Nothing is lost when
    /// the future is dropped: the next one goes on waiting for the same page of the log.
    pub async fn ready(&mut self) -> bool {
        loop {
            if !self.first.is_empty() {
                return true;
            }
            if self.behind {
                let Self { cursor, hub, subscriptions, .. } = &mut *self;
                match cursor.refill(&hub.feed, || Wanted::of(wanted(subscriptions))).await {
                    Ok(None) => {}
                    Ok(Some(gap)) => self.missed(gap),
                    Err(error) => {
                        if self.hub.feed.is_closed() {
                            return false;
                        }
                        tracing::warn!(?error, "the event log cannot be read, it is tried again");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                }
                self.behind = false;
                return true;
            }
            if self.hub.feed.is_closed() {
                return false;
            }
            let ticks = self.needs_tick();
            tokio::select! {
                changed = self.changes.changed() => return changed.is_ok(),
                () = self.mailbox.filled.notified() => return true,
                () = tokio::time::sleep(Duration::from_millis(TICK_MS)), if ticks => self.tick(),
            }
        }
    }

    /// What comes next; waits for it. `None` when the engine was closed. Asking for the next one says that the one
    /// before has come through, where the listener does not acknowledge.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            self.confirm();
            if let Some(delivery) = self.try_next() {
                return Some(delivery);
            }
            if !self.ready().await {
                return None;
            }
        }
    }

    /// Looks at the clock: what was not acknowledged in time is sent again. [`Subscriber::next`] does it by itself.
    pub fn tick(&mut self) {
        let now = self.hub.clock.now();
        self.send_again(now);
        self.save_if_it_is_time(now);
    }

    fn send_again(&mut self, now: Timestamp) {
        self.ticked_at = now;
        if !self.acknowledges {
            return;
        }
        for event in self.outstanding.due(now) {
            let attempt = event.sends + u32::from(event.again);
            self.first.push_back(Delivery::Event { entry: event.entry, mask: event.mask, attempt });
        }
    }

    /// Whether the clock must be looked at.
    #[must_use]
    pub fn needs_tick(&self) -> bool {
        self.dirty || (self.acknowledges && self.outstanding.waits())
    }

    /// The log does not go on where it was read.
    fn missed(&mut self, gap: Gap) {
        let seq = gap.continues.seq;
        for one in &mut self.subscriptions {
            one.from = one.from.min(seq);
            one.again_until = one.again_until.min(seq);
        }
        // What was sent of the lost end is in no log any more.
        self.count(|outstanding| outstanding.lose_after(seq));
        self.tell_of(gap);
    }

    fn tell_of(&mut self, gap: Gap) {
        let told = |known: &Delivery| matches!(known, Delivery::Gap(told) if told.reason == gap.reason && told.continues == gap.continues);
        if !self.first.iter().any(told) {
            self.first.push_back(Delivery::Gap(gap));
        }
    }

    fn deliver(&mut self, entry: Arc<Entry>, mask: ChannelMask) -> Delivery {
        let seq = entry.position.seq;
        let (mut tracked, mut again) = (false, false);
        for one in &mut self.subscriptions {
            if one.kept && entry.bit_of(&one.channel) & mask != 0 {
                (tracked, one.sent) = (true, seq);
                again |= seq <= one.again_until;
            }
        }
        if tracked {
            let (now, acknowledges) = (self.hub.clock.now(), self.acknowledges);
            self.count(|outstanding| {
                if !acknowledges {
                    outstanding.keep_the_latest();
                }
                outstanding.sent(&entry, mask, again, now);
            });
        }
        Delivery::Event { entry, mask, attempt: 1 + u32::from(again) }
    }

    fn count(&mut self, change: impl FnOnce(&mut Outstanding)) {
        change(&mut self.outstanding);
        // Nobody waits for the acknowledgements of a client that never sends any.
        let after = if self.acknowledges { self.outstanding.len() } else { 0 };
        let before = std::mem::replace(&mut self.counted, after);
        if after >= before {
            self.hub.unacknowledged.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.hub.unacknowledged.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.release();
        for one in std::mem::take(&mut self.subscriptions) {
            self.hub.part(&one.channel, &self.id);
        }
        self.hub.unacknowledged.fetch_sub(self.counted, Ordering::Relaxed);
        self.hub.leave();
        self.say_goodbye();
    }
}
