//! One event of the log as all readers share it, and its texts for the wire.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::id::EventId;
use crate::json::JsonObject;
use crate::position::Position;
use crate::storage::{LoggedEvent, NewEvent};
use crate::time::Timestamp;

/// The channel that carries every event, reduced to ids, types and statuses.
pub const GLOBAL: &str = "global";

/// One event of the log. It is made once and shared by everybody who reads it.
#[derive(Debug)]
pub struct Entry {
    /// Its place; events that are not kept in the log have the place they were sent at.
    pub position: Position,
    /// Its id, the same on every channel.
    pub id: EventId,
    /// Its name, such as `task.created`.
    pub name: Cow<'static, str>,
    /// When it happened.
    pub at: Timestamp,
    /// The channels it belongs to besides `global`.
    pub channels: Vec<String>,
    /// What its own channels say.
    pub data: JsonObject,
    /// What `global` says: ids, types and statuses, never content.
    pub summary: JsonObject,
    /// Whether it is in the log. Metrics and heartbeats are not: nobody needs an old one.
    pub logged: bool,
    texts: Texts,
}

/// The channels of an event on which a reader gets it: bit 0 is `global`, bit n + 1 is `channels[n]`.
pub type ChannelMask = u32;

/// How many channels of an event a mask can say.
const MASKED: usize = 31;

/// A frame of several channels, shared by all who get it.
type Text = Arc<[u8]>;

/// A frame of one channel, once somebody gets it.
type Single = OnceLock<Box<[u8]>>;

#[derive(Debug, Default)]
struct Texts {
    /// By bit of the mask, what one channel gets.
    single: OnceLock<Box<[Single]>>,
    /// What readers get who want one text for all their channels. There are as many kinds of readers as there are
    /// different masks: few.
    joint: Mutex<Vec<(ChannelMask, Text)>>,
}

impl Entry {
    /// An event that the store read.
    pub(crate) fn logged(epoch: i64, event: LoggedEvent) -> Self {
        let LoggedEvent { seq, id, name, at, channels, data, summary } = event;
        Self {
            position: Position::new(epoch, seq),
            id,
            name: Cow::Owned(name),
            at,
            channels,
            data,
            summary,
            logged: true,
            texts: Texts::default(),
        }
    }

    /// An event that this process has just committed, or sends without keeping it.
    pub(crate) fn new(position: Position, event: NewEvent, logged: bool) -> Self {
        let NewEvent { id, name, at, channels, data, summary } = event;
        let name = Cow::Borrowed(name);
        Self { position, id, name, at, channels, data, summary, logged, texts: Texts::default() }
    }

    /// The bit of `channel` in a mask; 0 when the event does not belong to it.
    #[must_use]
    pub fn bit_of(&self, channel: &str) -> ChannelMask {
        if channel == GLOBAL && self.logged {
            return 1;
        }
        let place = self.channels.iter().take(MASKED).position(|own| own == channel);
        place.map_or(0, |place| 1 << (place + 1))
    }

    /// The channel that a bit stands for.
    #[must_use]
    pub fn channel_of(&self, bit: u32) -> &str {
        match bit.checked_sub(1) {
            None => GLOBAL,
            Some(place) => self.channels.get(place as usize).map_or(GLOBAL, String::as_str),
        }
    }

    /// The channels that a mask names.
    pub fn channels_of(&self, mask: ChannelMask) -> impl Iterator<Item = &str> {
        (0..32).filter(move |bit| mask & (1 << bit) != 0).map(|bit| self.channel_of(bit))
    }

    /// What a reader on these channels may see: the summary on `global` alone, else everything.
    #[must_use]
    pub fn payload(&self, mask: ChannelMask) -> &JsonObject {
        if mask & !1 == 0 { &self.summary } else { &self.data }
    }

    /// The frame of one channel; that of `global` for a bit that the event does not have.
    #[must_use]
    pub fn frame(&self, bit: u32) -> &[u8] {
        let single = self.texts.single.get_or_init(|| {
            let channels = self.channels.len().min(MASKED) + 1;
            (0..channels).map(|_| OnceLock::new()).collect()
        });
        let (bit, text) = match single.get(bit as usize) {
            Some(text) => (bit, text),
            None => (0, &single[0]),
        };
        text.get_or_init(|| self.write(1 << bit, false).into())
    }

    /// The one frame of all channels of `mask`.
    #[must_use]
    pub fn joint_frame(&self, mask: ChannelMask) -> Arc<[u8]> {
        let mut joint = self.texts.joint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = joint.iter().find(|(known, _)| *known == mask) {
            return Arc::clone(text);
        }
        let text: Text = self.write(mask, true).into();
        joint.push((mask, Arc::clone(&text)));
        text
    }

    fn write(&self, mask: ChannelMask, joint: bool) -> Vec<u8> {
        let payload = self.payload(mask).as_str();
        let mut text = String::with_capacity(payload.len() + 256);
        // Writing to a String cannot fail; names and channels are quoted by the JSON writer.
        let quoted = |name: &str| serde_json::to_string(name).unwrap_or_default();
        let _ = write!(text, "{{\"type\":\"event\",\"id\":\"{}\"", self.id);
        if joint {
            let names: Vec<&str> = self.channels_of(mask).collect();
            let _ = write!(text, ",\"channels\":{}", serde_json::to_string(&names).unwrap_or_default());
        } else {
            let name = self.channels_of(mask).next().unwrap_or(GLOBAL);
            let _ = write!(text, ",\"channel\":{}", quoted(name));
        }
        let at = self.at.as_millis();
        let _ = write!(text, ",\"event\":{},\"data\":{payload},\"timestamp\":{at}", quoted(&self.name));
        if self.logged {
            let _ = write!(text, ",\"position\":\"{}\"", self.position);
        }
        text.push('}');
        text.into_bytes()
    }

    /// How much memory it takes, roughly.
    pub(crate) fn weight(&self) -> usize {
        let channels: usize = self.channels.iter().map(|channel| channel.len() + 24).sum();
        // The texts of one or two channels are counted in.
        512 + channels + 2 * (self.data.as_str().len() + self.summary.as_str().len())
    }
}
