//! What was handed out, and what of it is acknowledged.

use std::collections::{HashMap, VecDeque};

use dcm::Position;

use super::frame;
use super::item::Event;

/// How many events are remembered after they were handed out.
const REMEMBERED: usize = 8192;

/// Acknowledgements that wait to be sent together.
#[derive(Debug, Default)]
pub(super) struct Acks {
    through: Option<Position>,
    /// The highest that was ever acknowledged.
    highest: Option<Position>,
    single: Vec<String>,
    count: usize,
}

/// An event that was handled.
#[derive(Debug)]
pub(super) struct Handled {
    pub(super) id: String,
    /// Its position, when all that were given out before it are handled as well.
    pub(super) through: Option<Position>,
}

impl Acks {
    pub(super) fn add(&mut self, handled: Handled) {
        self.count += 1;
        match handled.through {
            // One that came late, from a channel that was subscribed later, says nothing of its neighbours.
            Some(position) if self.highest.is_none_or(|highest| position > highest) => {
                (self.through, self.highest) = (Some(position), Some(position));
            }
            _ => self.single.push(handled.id),
        }
    }

    /// How many acknowledgements wait.
    pub(super) fn waiting(&self) -> usize {
        self.count
    }

    /// The frames that say all of them; they wait no longer.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.count = 0;
        let single = self.single.drain(..).map(|id| frame::ack_one(&id));
        single.chain(self.through.take().map(frame::ack_through)).collect()
    }
}

/// The latest events that were handed out, so that none is handed out twice by one listener.
#[derive(Debug, Default)]
pub(super) struct Seen {
    events: HashMap<String, Known>,
    order: VecDeque<String>,
}

#[derive(Debug)]
struct Known {
    channels: Vec<String>,
    acknowledged: bool,
}

/// What is to be done with an event that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Hand it out.
    New,
    /// It was handed out and is being handled.
    Pending,
    /// It was acknowledged, which the server has not heard.
    Acknowledged,
}

impl Seen {
    /// Looks at an event that arrived and remembers it.
    pub(super) fn look(&mut self, event: &Event) -> Verdict {
        if let Some(known) = self.events.get_mut(&event.id) {
            let before = known.channels.len();
            for channel in &event.channels {
                if !known.channels.contains(channel) {
                    known.channels.push(channel.clone());
                }
            }
            // On another channel it tells something else, `global` for example less than the others.
            return match (known.channels.len() > before, known.acknowledged) {
                (true, _) => Verdict::New,
                (false, false) => Verdict::Pending,
                (false, true) => Verdict::Acknowledged,
            };
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.events.remove(&oldest);
        }
        self.order.push_back(event.id.clone());
        self.events.insert(event.id.clone(), Known { channels: event.channels.clone(), acknowledged: false });
        Verdict::New
    }

    /// Remembers that an event was acknowledged.
    pub(super) fn acknowledged(&mut self, id: &str) {
        if let Some(known) = self.events.get_mut(id) {
            known.acknowledged = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use dcm::Timestamp;
    use serde_json::Value;

    use super::*;

    fn event(id: &str, channels: &[&str]) -> Event {
        Event {
            id: id.to_owned(),
            name: "system.info".to_owned(),
            channels: channels.iter().map(|&channel| channel.to_owned()).collect(),
            data: Value::Null,
            timestamp: Timestamp::from_millis(0),
            position: None,
            redelivered: false,
            attempt: 1,
        }
    }

    #[test]
    fn acknowledgements_are_said_together() {
        let handled = |seq| Handled { id: format!("e-{seq}"), through: Some(Position::new(1, seq)) };
        let mut acks = Acks::default();
        for seq in 1..=100 {
            acks.add(handled(seq));
        }
        acks.add(Handled { id: "e".to_owned(), through: None });
        assert_eq!(acks.waiting(), 101);
        assert_eq!(
            acks.take(),
            [r#"{"message_id":"e","type":"ack"}"#, r#"{"position":"1-100","type":"ack"}"#]
        );
        acks.add(handled(70));
        acks.add(handled(101));
        assert_eq!(
            acks.take(),
            [r#"{"message_id":"e-70","type":"ack"}"#, r#"{"position":"1-101","type":"ack"}"#]
        );
        assert!(acks.take().is_empty() && acks.waiting() == 0);
    }

    #[test]
    fn an_event_is_new_once_for_each_channel() {
        let mut seen = Seen::default();
        assert_eq!(seen.look(&event("a", &["global"])), Verdict::New);
        assert_eq!(seen.look(&event("a", &["global"])), Verdict::Pending);
        assert_eq!(seen.look(&event("a", &["global", "agents/x"])), Verdict::New);
        seen.acknowledged("a");
        assert_eq!(seen.look(&event("a", &["agents/x"])), Verdict::Acknowledged);
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::default();
        for number in 0..REMEMBERED * 2 {
            seen.look(&event(&number.to_string(), &["global"]));
        }
        assert_eq!((seen.events.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
    }
}
