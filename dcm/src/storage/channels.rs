//! How far each agent has got on each channel it listens to.

use std::collections::BTreeMap;

use crate::position::Position;

/// One agent and one channel.
pub type ChannelKey = (String, String);

/// How far an agent has got on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRow {
    /// The channel.
    pub channel: String,
    /// Everything up to here is delivered.
    pub delivered: Position,
    /// Up to here it was sent, acknowledged or not.
    pub sent_seq: i64,
    /// Whether the agent acknowledges what it gets.
    pub acknowledges: bool,
    /// The connection that has it; one that nobody closed is of a process that died.
    pub holder: Option<String>,
}

/// What becomes of a channel's holder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HolderChange {
    /// Nothing.
    #[default]
    Keep,
    /// This connection has it now.
    Take(String),
    /// This connection ends; if another has it meanwhile, that one keeps it.
    Release(String),
}

/// How far an agent got: a later position wins over an earlier one, whoever writes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelChange {
    /// Everything up to here is delivered.
    pub delivered: Position,
    /// Up to here it was sent.
    pub sent_seq: i64,
    /// Whether the agent acknowledges what it gets.
    pub acknowledges: bool,
    /// Who has it.
    pub holder: HolderChange,
    /// Whether the channel is made when the agent does not listen to it yet.
    pub create: bool,
}

/// What is to be written, in the order of the keys; `None` means that the agent listens no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelChanges(pub BTreeMap<ChannelKey, Option<ChannelChange>>);
