//! Listening and speaking: connections in this process, or on behalf of others.

use super::Dcm;
use super::rules::{Notify, Publish};
use crate::delivery::{Channel, DeliveryStats, Identity, Subscriber, channel, is_fleeting, publishable};
use crate::engine::Published;
use crate::error::{Error, ErrorKind, Result};
use crate::json::JsonObject;

/// Why somebody is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotIdentified {
    /// The token is not genuine, or has expired.
    BadToken,
    /// A name alone is not believed here.
    TokenNeeded,
    /// Neither a token nor a name was given.
    Nothing,
    /// The name of the agent or of its session is none: it is too long, or holds NUL.
    BadName,
}

/// How many characters the names of agents and of sessions have at most, as in every other operation.
const LONGEST_NAME: usize = 255;

/// What somebody says on a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// Where.
    pub channel: String,
    /// The name of the event.
    pub event: String,
    /// What it says: any JSON.
    pub data: serde_json::Value,
}

/// What the service says of itself, as `system.info` or `system.error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A node serves from now on.
    Started,
    /// A node is about to end; its clients do well to connect to another.
    Stopping,
    /// The store answers a node again, after it did not.
    StoreRecovered,
    /// The log began a new epoch: a backup was restored.
    EpochRaised,
    /// A cleaning job failed; it is tried again at the next interval.
    CleaningFailed,
}

impl Notice {
    /// Its name, the `status` of the event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::StoreRecovered => "store_recovered",
            Self::EpochRaised => "epoch_raised",
            Self::CleaningFailed => "cleaning_failed",
        }
    }

    /// The name of the event that carries it.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Self::CleaningFailed => "system.error",
            _ => "system.info",
        }
    }
}

impl Dcm {
    /// Says something of this process to whoever listens to `global`, on every node. It is in the log when this
    /// returns.
    ///
    /// # Errors
    ///
    /// When the store does not answer.
    pub async fn notify(&self, notice: Notice) -> Result<()> {
        self.commit_aside(Notify { notice, node_id: self.shared.node_id }).await
    }

    /// A new listener; it is in `global`, from now on.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::new(std::sync::Arc::clone(&self.shared.hub))
    }

    /// Whom a token proves, or a name where names are believed.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn identify(
        &self,
        token: Option<&str>,
        agent_id: Option<&str>,
        session_id: Option<&str>,
    ) -> Result<Identity, NotIdentified> {
        let known = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let is_name = |text: &str| text.chars().count() <= LONGEST_NAME && !text.contains('\0');
        if ![agent_id, session_id].into_iter().flatten().all(is_name) {
            return Err(NotIdentified::BadName);
        }
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            let mut identity: Identity = self.verify_token(token).ok_or(NotIdentified::BadToken)?.into();
            // A token without a session proves none; one's own word is believed where names are.
            if identity.session_id.is_none() && self.config().tokenless {
                identity.session_id = known(session_id);
            }
            return Ok(identity);
        }
        match known(agent_id) {
            None => Err(NotIdentified::Nothing),
            Some(_) if !self.config().tokenless => Err(NotIdentified::TokenNeeded),
            agent_id => Ok(Identity { agent_id, session_id: known(session_id), proven: false }),
        }
    }

    /// Says something on a channel. It is in the log, and durable, when this returns; only `metric.update` and
    /// `agent.heartbeat` are not kept, and reach who listens to this process now. What one `client` says keeps its
    /// order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when there is no such channel or event, [`ErrorKind::Forbidden`] when `who` may not.
    pub async fn publish(&self, who: &Identity, client: &str, said: Publication) -> Result<Published> {
        let kind = channel(&said.channel)?;
        let name = publishable(&said.event).ok_or_else(|| {
            let shown: String = said.event.chars().take(100).collect();
            Error::invalid_field("Validation failed", "event", format!("Invalid event type: {shown}"))
        })?;
        who.may_say(kind, self.config().tokenless)?;
        let data = match &said.data {
            serde_json::Value::Null => JsonObject::empty(),
            value => JsonObject::any(value)
                .map_err(|complaint| Error::invalid_field("Validation failed", "data", complaint))?,
        };
        if is_fleeting(name) {
            self.shared.hub.send_fleeting(name, &said.channel, data);
            return Ok(Published { id: None });
        }
        debug_assert!(!matches!(kind, Channel::Global | Channel::Metrics), "nobody may say anything there");
        let publish = Publish { client: client.to_owned(), name, channel: said.channel, data };
        self.commit(publish).await
    }

    /// Who is connected to this process, in numbers.
    #[must_use]
    pub fn delivery_stats(&self) -> DeliveryStats {
        self.shared.hub.stats()
    }
}

impl NotIdentified {
    /// The error for callers of other kinds.
    #[must_use]
    pub fn into_error(self) -> Error {
        let message = match self {
            Self::BadToken => "Invalid or expired token",
            Self::TokenNeeded => "Token required in production mode",
            Self::Nothing => "Missing token or agent_id",
            Self::BadName => "agent_id and session_id must have 1 to 255 characters, and no NUL",
        };
        Error::new(ErrorKind::Forbidden, message)
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use futures_util::FutureExt;

    use crate::delivery::METRICS;
    use crate::{Dcm, EngineConfig};

    #[tokio::test]
    async fn numbers_are_wanted_while_somebody_listens_to_them() {
        let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
        let are_wanted = || dcm.shared.hub.numbers_are_wanted().now_or_never().is_some();
        assert!(!are_wanted());
        let mut listener = dcm.subscriber();
        assert!(!are_wanted(), "he listens to everything else");
        for _ in 0..2 {
            listener.subscribe(METRICS, None).await.unwrap();
            assert!(are_wanted());
            listener.unsubscribe(METRICS).await.unwrap();
            assert!(!are_wanted());
        }
        listener.subscribe(METRICS, None).await.unwrap();
        assert!(are_wanted());
        drop(listener);
        assert!(!are_wanted());
        dcm.close().await;
    }
}
