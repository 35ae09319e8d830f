//! Who may hear and say what.

use crate::engine::TokenClaims;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::GLOBAL;

/// The channel of the numbers that are computed while somebody listens.
pub const METRICS: &str = "metrics";
/// The longest name of a channel, in bytes: the longest name of an agent in its longest form, with its kind.
const LONGEST: usize = 1100;

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The agent.
    pub agent_id: Option<String>,
    /// Its session.
    pub session_id: Option<String>,
    /// Whether a token proved it.
    pub proven: bool,
}

impl From<TokenClaims> for Identity {
    fn from(claims: TokenClaims) -> Self {
        Self { agent_id: Some(claims.agent_id), session_id: claims.session_id, proven: true }
    }
}

/// What a channel is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Everything, reduced to ids, types and statuses.
    Global,
    /// Numbers, every few seconds.
    Metrics,
    /// An agent, by id or type.
    Agent(&'a str),
    /// A session.
    Session(&'a str),
    /// A topic of messages, or of what clients publish.
    Topic(&'a str),
}

impl<'a> Channel<'a> {
    /// Reads the name of a channel.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        if name.len() > LONGEST || name.contains('\0') {
            return None;
        }
        match name {
            GLOBAL => return Some(Self::Global),
            METRICS => return Some(Self::Metrics),
            _ => {}
        }
        let (kind, id) = name.split_once('/')?;
        match (kind, id) {
            ("topics", topic) => Some(Self::Topic(topic)),
            (_, "") => None,
            ("agents", id) => Some(Self::Agent(id)),
            ("sessions", id) => Some(Self::Session(id)),
            _ => None,
        }
    }

    /// Whether what an agent has got of it is kept, and sent again after its next connection.
    #[must_use]
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Agent(_) | Self::Session(_) | Self::Topic(_))
    }
}

/// Reads the name of a channel, or says what is wrong with it.
///
/// # Errors
///
/// [`ErrorKind::Invalid`].
pub fn channel(name: &str) -> Result<Channel<'_>> {
    Channel::parse(name).ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        Error::invalid_field("Validation failed", "channel", format!("Invalid channel format: {shown}"))
    })
}

fn forbidden(message: &str) -> Error {
    Error::new(ErrorKind::Forbidden, message)
}

impl Identity {
    /// Whether a name is believed without a token (`tokenless`), or a token proved it.
    fn is_believed(&self, tokenless: bool) -> bool {
        self.proven || (tokenless && self.agent_id.is_some())
    }

    /// Whether this one may hear `channel`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`], in words that may be shown.
    pub fn may_hear(&self, channel: Channel<'_>, tokenless: bool) -> Result<()> {
        let own = match channel {
            Channel::Global | Channel::Metrics | Channel::Topic(_) => return Ok(()),
            Channel::Agent(id) => self.agent_id.as_deref() == Some(id),
            Channel::Session(id) => self.session_id.as_deref() == Some(id),
        };
        let believed = self.proven || tokenless;
        match channel {
            _ if own && believed => Ok(()),
            Channel::Agent(_) => Err(forbidden("Not authorized to subscribe to this agent channel")),
            _ => Err(forbidden("Not authorized to subscribe to this session channel")),
        }
    }

    /// Whether this one may say something on `channel`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`], in words that may be shown.
    pub fn may_say(&self, channel: Channel<'_>, tokenless: bool) -> Result<()> {
        if !tokenless && !self.proven {
            return Err(forbidden("Publishing needs a token"));
        }
        let allowed = match channel {
            Channel::Topic(_) => true,
            Channel::Agent(_) => self.is_believed(tokenless),
            Channel::Session(id) => self.is_believed(tokenless) && self.session_id.as_deref() == Some(id),
            // What is said there is what happened, and numbers.
            Channel::Global | Channel::Metrics => false,
        };
        if allowed { Ok(()) } else { Err(forbidden("Not authorized to publish to this channel")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(agent: Option<&str>, proven: bool) -> Identity {
        Identity { agent_id: agent.map(str::to_owned), session_id: agent.map(|_| "s".to_owned()), proven }
    }

    #[test]
    fn names_of_channels() {
        assert_eq!(Channel::parse("agents/a/b"), Some(Channel::Agent("a/b")));
        assert_eq!(Channel::parse("topics/"), Some(Channel::Topic("")));
        let long = format!("topics/{}", "x".repeat(100_000));
        for bad in ["", "agents/", "sessions/", "agents", "Global", "other/x", "global/", &long, "topics/\0"]
        {
            assert_eq!(Channel::parse(bad), None, "{}", &bad[..bad.len().min(20)]);
        }
        let error = channel(&long).unwrap_err();
        assert!(error.to_body().to_string().len() < 400, "what was sent is not sent back whole");
    }

    #[test]
    fn who_may_hear_what() {
        for (who, channel, tokenless, allowed) in [
            (identity(None, false), Channel::Global, false, true),
            (identity(None, false), Channel::Topic("t"), false, true),
            (identity(None, false), Channel::Agent("a"), true, false),
            (identity(None, false), Channel::Session("s"), true, false),
            (identity(Some("a"), false), Channel::Agent("a"), true, true),
            (identity(Some("a"), false), Channel::Agent("a"), false, false),
            (identity(Some("a"), false), Channel::Agent("b"), true, false),
            (identity(Some("a"), true), Channel::Agent("a"), false, true),
            (identity(Some("a"), true), Channel::Agent("b"), false, false),
            (identity(Some("a"), true), Channel::Session("s"), false, true),
            (identity(Some("a"), true), Channel::Session("other"), false, false),
        ] {
            assert_eq!(who.may_hear(channel, tokenless).is_ok(), allowed, "{who:?} {channel:?} {tokenless}");
        }
    }

    #[test]
    fn who_may_say_what() {
        for (who, channel, tokenless, allowed) in [
            (identity(None, false), Channel::Topic("t"), true, true),
            (identity(None, false), Channel::Topic("t"), false, false),
            (identity(None, false), Channel::Agent("a"), true, false),
            (identity(Some("a"), false), Channel::Agent("b"), true, true),
            (identity(Some("a"), false), Channel::Agent("a"), false, false),
            (identity(Some("a"), true), Channel::Agent("b"), false, true),
            (identity(Some("a"), true), Channel::Session("s"), false, true),
            (identity(Some("a"), true), Channel::Session("other"), false, false),
            (identity(Some("a"), true), Channel::Global, true, false),
            (identity(Some("a"), true), Channel::Metrics, true, false),
        ] {
            assert_eq!(who.may_say(channel, tokenless).is_ok(), allowed, "{who:?} {channel:?} {tokenless}");
        }
    }
}
