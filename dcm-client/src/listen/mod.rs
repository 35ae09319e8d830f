//! Events as they happen: a stream that reconnects, goes on where it was, and acknowledges.
//!
//! ```no_run
//! # async fn example(client: dcm_client::Client) -> dcm::Result<()> {
//! use dcm_client::listen::Item;
//!
//! let mut listener = client.listen().agent("back").channel("topics/builds").open().await?;
//! while let Some(item) = listener.next().await {
//!     match item? {
//!         Item::Event(event) => assert!(!event.name.is_empty()),
//!         Item::Gap(gap) => assert!(gap.channel.is_some(), "events were lost: {}", gap.reason),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **At least once.** Who listens as an [agent](ListenBuilder::agent) has a place in the log on the server, which moves
//! on when events are acknowledged: what was not is sent again, to this program or to the next one of the same agent,
//! marked [`redelivered`](Event::redelivered). An event is acknowledged when the next one is asked for, because then it
//! was handled; [`ListenBuilder::manual`] leaves it to you. One listener gives out an event once (it remembers the last
//! 8192).
//!
//! **Without an agent** there is no place on the server: keep the [position](Event::position) of the last event, and
//! begin [after it](ListenBuilder::channel_after) next time.
//!
//! **Reading slowly** is allowed: the server then sends what was missed from its log.

mod acks;
mod driver;
mod frame;
mod item;
mod socket;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dcm::api::system::AuthToken;
use dcm::{Error, ErrorKind, Position, Result};
use futures_core::Stream;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

pub use item::{Event, Gap, GapReason, Item};

use crate::Client;
use crate::client::Inner;
use acks::Handled;
use driver::{Command, Driver, Identity, Publication};
use state::State;

/// How many items may wait for the owner of a listener.
const BUFFER: usize = 256;

impl Client {
    /// Listens to events; see [`listen`](crate::listen).
    #[must_use]
    pub fn listen(&self) -> ListenBuilder {
        ListenBuilder {
            client: self.clone(),
            url: None,
            identity: Identity::Anonymous,
            channels: BTreeMap::new(),
            manual: false,
            reconnects: None,
        }
    }
}

/// What to listen to, and as whom.
#[derive(Clone)]
pub struct ListenBuilder {
    client: Client,
    url: Option<String>,
    identity: Identity,
    channels: BTreeMap<String, Option<Position>>,
    manual: bool,
    reconnects: Option<usize>,
}

impl ListenBuilder {
    /// Listens as an agent: to `agents/{agent_id}` and to whatever it subscribed to before. Every connection gets a
    /// token of its own from the server.
    #[must_use]
    pub fn agent(mut self, agent_id: impl Into<String>) -> Self {
        let session_id = match self.identity {
            Identity::Agent(AuthToken { session_id, .. }) => session_id,
            Identity::Anonymous | Identity::Token(_) => None,
        };
        self.identity = Identity::Agent(AuthToken { agent_id: agent_id.into(), session_id });
        self
    }

    /// Listens as an agent of a session: to `sessions/{session_id}` as well.
    #[must_use]
    pub fn agent_in_session(mut self, agent_id: impl Into<String>, session_id: impl Into<String>) -> Self {
        let (agent_id, session_id) = (agent_id.into(), Some(session_id.into()));
        self.identity = Identity::Agent(AuthToken { agent_id, session_id });
        self
    }

    /// Listens as whoever this token was made for, where the client may not ask for tokens itself.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.identity = Identity::Token(token.into());
        self
    }

    /// A channel: from the agent's place in the log, or, where there is none, from now on.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channels.insert(channel.into(), None);
        self
    }

    /// A channel, from the first event after `position`.
    #[must_use]
    pub fn channel_after(mut self, channel: impl Into<String>, position: Position) -> Self {
        self.channels.insert(channel.into(), Some(position));
        self
    }

    /// Leaves acknowledging to [`Handle::acknowledge`] and [`Handle::acknowledge_through`].
    #[must_use]
    pub fn manual(mut self) -> Self {
        self.manual = true;
        self
    }

    /// Where the socket is, such as `ws://127.0.0.1:3849`, if not at `/ws` of the client's URL.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// How many attempts in a row may fail before a lost connection is given up; without end unless given.
    #[must_use]
    pub fn reconnects(mut self, attempts: usize) -> Self {
        self.reconnects = Some(attempts);
        self
    }

    /// Connects, with as many attempts as a call of the client has, and says who listens.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] when there is no server, [`ErrorKind::Unauthorized`] when the token or key is refused,
    /// [`ErrorKind::Invalid`] when the URL is none. A channel that is refused is the first item of the listener.
    pub async fn open(self) -> Result<Listener> {
        let url = match &self.url {
            Some(url) => http_url(url)?,
            None => format!("{}/ws", self.client.url()),
        };
        let (item_sender, items) = mpsc::channel(BUFFER);
        let (command_sender, commands) = mpsc::channel(16);
        let (handled_sender, handled) = mpsc::unbounded_channel();
        let (stop_sender, stop) = watch::channel(false);
        let (ready_sender, ready) = oneshot::channel();
        let handle = Handle {
            commands: command_sender,
            handled: handled_sender,
            patience: self.client.0.timeout,
            client: Arc::clone(&self.client.0),
            anonymous: matches!(self.identity, Identity::Anonymous),
        };
        let driver = Driver {
            client: self.client,
            url,
            identity: self.identity,
            channels: self.channels,
            reconnects: self.reconnects,
            items: item_sender,
            commands,
            handled,
            stop,
            ready: Some(ready_sender),
            state: State::default(),
        };
        let listener = Listener {
            items,
            handle,
            given: None,
            manual: self.manual,
            stop: stop_sender,
            driver: tokio::spawn(driver.run()),
        };
        match ready.await {
            Ok(Ok(())) => Ok(listener),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::internal("the listener ended before it began")),
        }
    }
}

/// A stream of what happens: it ends only after an error that trying again cannot mend, which is its last item.
///
/// Dropping it ends the connection; [`Listener::close`] also waits until the last acknowledgement is said.
pub struct Listener {
    items: mpsc::Receiver<Result<Item>>,
    handle: Handle,
    /// What was given out last and is handled when the next is asked for.
    given: Option<Handled>,
    manual: bool,
    stop: watch::Sender<bool>,
    driver: JoinHandle<()>,
}

impl Listener {
    /// The next item; the one before it counts as handled. None when the stream has ended.
    pub async fn next(&mut self) -> Option<Result<Item>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The next event, past everything that is no loss: a gap is an error here.
    ///
    /// # Errors
    ///
    /// What ended the stream, or [`ErrorKind::NotFound`] for a gap, after which it goes on.
    pub async fn next_event(&mut self) -> Result<Option<Event>> {
        loop {
            match self.next().await.transpose()? {
                None => return Ok(None),
                Some(Item::Event(event)) => return Ok(Some(event)),
                Some(Item::Gap(gap)) => {
                    let text = format!("events are missing here ({})", gap.reason);
                    return Err(Error::new(ErrorKind::NotFound, text));
                }
                Some(_) => {}
            }
        }
    }

    /// For publishing, acknowledging and changing subscriptions, also from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends it: the last event that was given out counts as handled, acknowledgements are said, the connection is
    /// closed.
    pub async fn close(mut self) {
        self.settle();
        self.stop.send_replace(true);
        self.items.close();
        // A driver that panicked has ended as well.
        let _ = (&mut self.driver).await;
    }

    fn settle(&mut self) {
        if let Some(handled) = self.given.take() {
            // Without a driver there is nobody to tell.
            let _ = self.handle.handled.send(handled);
        }
    }
}

impl Stream for Listener {
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.settle();
        let item = std::task::ready!(this.items.poll_recv(context));
        if let Some(Ok(Item::Event(event))) = &item
            && !this.manual
            && !this.handle.anonymous
            && event.position.is_some()
        {
            this.given = Some(Handled { id: event.id.clone(), through: event.position });
        }
        Poll::Ready(item)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("manual", &self.manual).finish_non_exhaustive()
    }
}

impl fmt::Debug for ListenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenBuilder")
            .field("client", &self.client)
            .field("url", &self.url)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// The speaking side of a [`Listener`]; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    handled: mpsc::UnboundedSender<Handled>,
    patience: Duration,
    client: Arc<Inner>,
    anonymous: bool,
}

impl Handle {
    /// Publishes an event. When this returns, the event is in the log.
    ///
    /// While the connection is away it waits for the next one, as long as a call of the client may take. It is published
    /// once, also when the connection is lost before the server has answered.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Forbidden`] or [`ErrorKind::Invalid`] when the server refuses it, with its reason;
    /// [`ErrorKind::Unavailable`] when there was no answer in time: then it may or may not be in the log.
    pub async fn publish(
        &self,
        channel: impl Into<String>,
        event: impl Into<String>,
        data: impl Serialize,
    ) -> Result<()> {
        let data = serde_json::to_value(data)
            .map_err(|error| Error::invalid_field("Invalid data", "data", error.to_string()))?;
        let (key, channel, event) =
            (self.client.keys.next::<Uuid>().to_string(), channel.into(), event.into());
        self.ask(|reply| Command::Publish(Publication { key, channel, event, data, reply })).await
    }

    /// Listens to one more channel, from the agent's place in the log or from now on, or from after a position.
    ///
    /// # Errors
    ///
    /// As [`Handle::publish`].
    pub async fn subscribe(&self, channel: impl Into<String>, after: Option<Position>) -> Result<()> {
        let channel = channel.into();
        self.ask(|reply| Command::Subscribe { channel, after, reply }).await
    }

    /// Listens to a channel no longer, also when the agent comes back.
    ///
    /// # Errors
    ///
    /// As [`Handle::publish`].
    pub async fn unsubscribe(&self, channel: impl Into<String>) -> Result<()> {
        let channel = channel.into();
        self.ask(|reply| Command::Unsubscribe { channel, reply }).await
    }

    /// Acknowledges this event alone, where [`ListenBuilder::manual`] was asked for.
    pub fn acknowledge(&self, event: &Event) {
        self.say(event, None);
    }

    /// Acknowledges this event and all that came before it, where [`ListenBuilder::manual`] was asked for.
    pub fn acknowledge_through(&self, event: &Event) {
        self.say(event, event.position);
    }

    fn say(&self, event: &Event, through: Option<Position>) {
        if !self.anonymous && event.position.is_some() {
            // After the end of the listener the event is sent again to the next one, which is what was promised.
            let _ = self.handled.send(Handled { id: event.id.clone(), through });
        }
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) -> Result<()> {
        let over = || Error::new(ErrorKind::Unavailable, "the listener has ended");
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.commands.send(command(reply)).await.map_err(|_| over())?;
            answer.await.map_err(|_| over())?
        };
        let late = |_| Error::new(ErrorKind::Unavailable, "the server gave no answer in time");
        timeout(self.patience, asked).await.map_err(late)?
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The URL of a socket as the HTTP client takes it.
fn http_url(url: &str) -> Result<String> {
    let rest =
        url.trim().strip_prefix("ws").filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
    let Some(rest) = rest else {
        return Err(Error::invalid_field(
            format!("Invalid URL {url:?}"),
            "url",
            "must be a URL such as ws://127.0.0.1:3849",
        ));
    };
    crate::builder::checked_url(&format!("http{rest}")).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_sockets() {
        assert_eq!(http_url("ws://127.0.0.1:3849").unwrap(), "http://127.0.0.1:3849/");
        assert_eq!(http_url("wss://dcm.example/ws").unwrap(), "https://dcm.example/ws");
        for url in ["http://127.0.0.1", "127.0.0.1:3849", "wsx://a", "ws://", "ws://a?b=c", ""] {
            assert_eq!(http_url(url).unwrap_err().kind(), ErrorKind::Invalid, "{url}");
        }
    }
}
