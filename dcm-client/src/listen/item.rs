//! What a listener hears.

use std::fmt;

use dcm::{Error, Position, Result, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One thing that a [`Listener`](crate::listen::Listener) hears.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item {
    /// Something happened.
    Event(Event),
    /// Events are missing before the next one, and will not come any more.
    Gap(Gap),
    /// This client was too slow for the live events; what it missed comes from the log now, so that nothing is lost.
    Resync,
    /// The connection is there, and so are all subscriptions: at the beginning and after every [`Item::Disconnected`].
    Connected,
    /// The connection was lost; it is made again, and nothing that can be replayed is missed.
    Disconnected(Error),
    /// The server did not like something that this client sent, and says no more exactly what.
    Complaint(Error),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Its id, the same on every channel and in every delivery.
    pub id: String,
    /// What happened, such as `task.completed`.
    pub name: String,
    /// Those of the subscribed channels that it belongs to.
    pub channels: Vec<String>,
    /// What is told of it; null when there is nothing to tell.
    pub data: Value,
    /// When.
    pub timestamp: Timestamp,
    /// Its place in the log; none when it is not kept there (`metric.update`, `agent.heartbeat`).
    pub position: Option<Position>,
    /// Whether it was sent to this agent before, so that it may have been handled already.
    pub redelivered: bool,
    /// The how manieth time it is sent, from 1.
    pub attempt: u32,
}

impl Event {
    /// [`Event::data`] as a type of yours.
    ///
    /// # Errors
    ///
    /// [`dcm::ErrorKind::Invalid`] when it has another shape.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.data.clone())
            .map_err(|error| Error::invalid(format!("{} {}: {error}", self.name, self.id)).with_source(error))
    }
}

/// A hole in what a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The channel that has the hole; none when all of them may have it.
    pub channel: Option<String>,
    /// The last place before it.
    pub missed: Option<Position>,
    /// Where it goes on: after this.
    pub continues: Option<Position>,
}

/// Why events are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// They were removed because of their age or number before this client came back.
    Retention,
    /// The store was restored, or a standby took over that had not received the last events; what this client knows of
    /// them did not happen as far as the store is concerned.
    Epoch,
    /// Something that this version does not know.
    Other(String),
}

impl GapReason {
    pub(crate) fn new(text: String) -> Self {
        match text.as_str() {
            "retention" => Self::Retention,
            "epoch" => Self::Epoch,
            _ => Self::Other(text),
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retention => "retention",
            Self::Epoch => "epoch",
            Self::Other(text) => text,
        })
    }
}
