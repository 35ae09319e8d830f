//! What a listener remembers from one connection to the next.

use std::collections::{BTreeMap, VecDeque};

use dcm::{Position, Result};

use super::acks::{Acks, Handled, Seen, Verdict};
use super::driver::Publication;
use super::item::{Event, Item};

/// What outlives a connection.
#[derive(Default)]
pub(super) struct State {
    /// What waits to be taken by the owner.
    pub(super) pending: VecDeque<Result<Item>>,
    pub(super) seen: Seen,
    pub(super) acks: Acks,
    pub(super) frames_sent: u64,
    /// What was published when the connection was lost, so that nobody knows whether it was done.
    pub(super) unanswered: Vec<Publication>,
    /// Whether there was a complete connection since the last attempts were counted.
    pub(super) connected: bool,
    /// Refused tokens in a row.
    pub(super) refused_tokens: usize,
}

impl State {
    pub(super) fn note(&mut self, handled: Handled) {
        self.seen.acknowledged(&handled.id);
        self.acks.add(handled);
    }

    /// Puts an event in line for the owner, unless it was there already.
    pub(super) fn hand_out(
        &mut self,
        mut event: Event,
        channels: &mut BTreeMap<String, Option<Position>>,
        keeps_place: fn(&str) -> bool,
    ) {
        if !channels.contains_key("global") {
            // From the moment between the connection and the end of the subscription.
            event.channels.retain(|channel| channel != "global");
            if event.channels.is_empty() {
                return;
            }
        }
        if event.position.is_none() {
            // Not in the log, so never repeated.
            self.pending.push_back(Ok(Item::Event(event)));
            return;
        }
        match self.seen.look(&event) {
            Verdict::New => {
                for channel in event.channels.iter().filter(|channel| !keeps_place(channel)) {
                    if let Some(after) = channels.get_mut(channel) {
                        *after = (*after).max(event.position);
                    }
                }
                self.pending.push_back(Ok(Item::Event(event)));
            }
            Verdict::Pending => {}
            Verdict::Acknowledged => self.acks.add(Handled { id: event.id, through: None }),
        }
    }
}
