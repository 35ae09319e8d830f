//! Keeps a listener connected: makes the connection, says who it is and what it wants to hear, hands on what comes,
//! acknowledges what was handled, and begins again when the connection is lost.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use dcm::api::system::AuthToken;
use dcm::{Error, ErrorKind, Position, Result};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::acks::Handled;
use super::frame::{self, Frame};
use super::item::Item;
use super::socket::{Incoming, Socket, lost};
use super::state::State;
use crate::Client;

/// How often the server hears that we are alive; it gives up after a minute of silence.
const PING_EVERY: Duration = Duration::from_secs(20);
/// After so long without a word, not even a ping, the server is gone: it pings every 30 seconds.
const SILENCE: Duration = Duration::from_secs(75);
/// Acknowledgements wait so long for others, or until they are this many.
const ACK_DELAY: Duration = Duration::from_millis(50);
const ACK_BATCH: usize = 256;

/// Who listens.
#[derive(Clone)]
pub(super) enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// An agent, for whom every connection gets a token of its own.
    Agent(AuthToken),
    /// Whoever the token was made for.
    Token(String),
}

/// What the owner of a listener asks for.
pub(super) enum Command {
    Subscribe { channel: String, after: Option<Position>, reply: oneshot::Sender<Result<()>> },
    Unsubscribe { channel: String, reply: oneshot::Sender<Result<()>> },
    Publish(Publication),
}

/// An event on its way to the server.
pub(super) struct Publication {
    /// Makes all attempts one.
    pub(super) key: String,
    pub(super) channel: String,
    pub(super) event: String,
    pub(super) data: Value,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

pub(super) struct Driver {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) identity: Identity,
    /// What is listened to, and after which position.
    pub(super) channels: BTreeMap<String, Option<Position>>,
    /// How many attempts in a row may fail once there was a connection.
    pub(super) reconnects: Option<usize>,
    pub(super) items: mpsc::Sender<Result<Item>>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) handled: mpsc::UnboundedReceiver<Handled>,
    /// True, or gone, when the listener is to end.
    pub(super) stop: watch::Receiver<bool>,
    /// Told of the first connection, or why there is none.
    pub(super) ready: Option<oneshot::Sender<Result<()>>>,
    pub(super) state: State,
}

/// How a connection ended.
enum Ended {
    /// As the owner wished.
    Stopped,
    /// It may be made again.
    Lost(Error),
    /// It would end in the same way again.
    Failed(Error),
}

/// A request of ours that the server has not answered.
enum Waiting {
    Auth,
    /// One of those that the connection begins with.
    First(String),
    Subscribe {
        channel: String,
        after: Option<Position>,
        reply: oneshot::Sender<Result<()>>,
    },
    Unsubscribe(oneshot::Sender<Result<()>>),
    Publish(Publication),
    Nobody,
}

/// One connection.
struct Session {
    socket: Socket,
    waiting: HashMap<String, Waiting>,
    /// Whether the server knows whose acknowledgements it gets.
    introduced: bool,
    /// Whether everything that a connection begins with was answered.
    complete: bool,
    quiet_until: Instant,
    ping_at: Instant,
    flush_at: Instant,
    complete_until: Instant,
}

impl Driver {
    pub(super) async fn run(mut self) {
        let mut delays = self.delays(Some(self.client.0.backoff.retries));
        loop {
            let ended = self.connection().await;
            let error = match ended {
                Ended::Stopped => return,
                Ended::Failed(error) => return self.fail(error).await,
                Ended::Lost(error) => error,
            };
            if std::mem::take(&mut self.state.connected) {
                delays = self.delays(self.reconnects);
            }
            let asked = Duration::from_secs(error.retry_after_seconds().unwrap_or(0).into());
            let Some(delay) = delays.next() else { return self.fail(error).await };
            if self.ready.is_none() {
                self.state.pending.push_back(Ok(Item::Disconnected(error)));
            }
            if !self.wait(delay.max(asked)).await {
                return;
            }
        }
    }

    fn delays(&self, limit: Option<usize>) -> backon::ExponentialBackoff {
        let backoff = self.client.0.backoff;
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(backoff.first)
            .with_max_delay(backoff.longest);
        match limit {
            Some(limit) => delays.with_max_times(limit),
            None => delays.without_max_times(),
        }
        .build()
    }

    /// Ends with an error that the owner gets last.
    async fn fail(mut self, error: Error) {
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more: then nobody is interested.
            let _ = ready.send(Err(error));
            return;
        }
        self.state.pending.push_back(Err(error));
        while let Some(item) = self.state.pending.pop_front() {
            tokio::select! {
                sent = self.items.send(item) => if sent.is_err() { return },
                () = stopped(&mut self.stop) => return,
            }
        }
    }

    /// Waits until it is time for the next attempt; false when the listener is to end.
    async fn wait(&mut self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        loop {
            tokio::select! {
                permit = self.items.reserve(), if !self.state.pending.is_empty() => match permit {
                    Ok(permit) => if let Some(item) = self.state.pending.pop_front() { permit.send(item) },
                    Err(_) => return false,
                },
                () = sleep_until(until) => return true,
                () = self.items.closed() => return false,
                () = stopped(&mut self.stop) => return false,
            }
        }
    }

    /// One connection from its beginning to its end.
    async fn connection(&mut self) -> Ended {
        let mut stop = self.stop.clone();
        let items = self.items.clone();
        let begun = tokio::select! {
            begun = self.begin() => begun,
            () = items.closed() => return Ended::Stopped,
            () = stopped(&mut stop) => return Ended::Stopped,
        };
        let mut session = match begun {
            Ok(session) => session,
            Err(ended) => return ended,
        };
        let ended = match self.attend(&mut session).await {
            Ok(()) => {
                // Before it is said who we are, nobody would know whose acknowledgements these are.
                let said = if session.introduced { self.flush(&mut session).await } else { Ok(()) };
                if said.is_ok() {
                    session.socket.close().await;
                }
                return Ended::Stopped;
            }
            Err(ended) => ended,
        };
        for (_, waiting) in session.waiting.drain() {
            match waiting {
                Waiting::Publish(publication) => self.state.unanswered.push(publication),
                Waiting::Subscribe { reply, .. } | Waiting::Unsubscribe(reply) => {
                    let unknown =
                        "the connection was lost before the server answered: it may or may not have done it";
                    // Nobody waits any more: then nobody is interested.
                    let _ = reply.send(Err(Error::new(ErrorKind::Unavailable, unknown)));
                }
                Waiting::Auth | Waiting::First(_) | Waiting::Nobody => {}
            }
        }
        ended
    }

    /// Connects and says who we are and what we want to hear.
    async fn begin(&mut self) -> Result<Session, Ended> {
        let token = match &self.identity {
            Identity::Anonymous => None,
            Identity::Token(token) => Some(token.clone()),
            Identity::Agent(agent) => {
                let issued = self.client.auth_token(agent.clone()).await;
                Some(issued.map_err(|error| lost_or_failed(error, false))?.token)
            }
        };
        let socket = Socket::connect(&self.client, &self.url)
            .await
            .map_err(|failure| lost_or_failed(failure.error, failure.transient))?;
        let now = Instant::now();
        let mut session = Session {
            socket,
            waiting: HashMap::new(),
            introduced: token.is_none(),
            complete: false,
            quiet_until: now + SILENCE,
            ping_at: now + PING_EVERY,
            flush_at: now,
            complete_until: now + self.client.0.timeout,
        };
        if let Some(token) = token {
            let id = self.next_id();
            self.send(&mut session, &frame::auth(&id, &token)).await?;
            session.waiting.insert(id, Waiting::Auth);
        } else {
            self.subscribe_all(&mut session).await?;
        }
        Ok(session)
    }

    async fn subscribe_all(&mut self, session: &mut Session) -> Result<(), Ended> {
        for (channel, after) in self.channels.clone() {
            let id = self.next_id();
            self.send(session, &frame::subscribe(&id, &channel, after)).await?;
            session.waiting.insert(id, Waiting::First(channel));
        }
        if !self.channels.contains_key("global") {
            // Every connection begins with it.
            let id = self.next_id();
            self.send(session, &frame::unsubscribe(&id, "global")).await?;
            session.waiting.insert(id, Waiting::Nobody);
        }
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more: then the listener is dropped, which is noticed soon.
            let _ = ready.send(Ok(()));
        }
        Ok(())
    }

    /// Hands on what comes and says what is to be said; `Ok` when the owner wishes the end.
    async fn attend(&mut self, session: &mut Session) -> Result<(), Ended> {
        let items = self.items.clone();
        loop {
            // An owner that waits for an answer cannot take items meanwhile: then they may pile up.
            let read = self.state.pending.is_empty() || !session.waiting.is_empty();
            let waiting_acks = self.state.acks.waiting();
            tokio::select! {
                permit = items.reserve(), if !self.state.pending.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(item) = self.state.pending.pop_front() {
                            permit.send(item);
                        }
                        if self.state.pending.is_empty() {
                            session.quiet_until = Instant::now() + SILENCE;
                        }
                    }
                    Err(_) => return Ok(()),
                },
                incoming = session.socket.receive(), if read => self.take(session, incoming).await?,
                Some(handled) = self.handled.recv() => {
                    if self.state.acks.waiting() == 0 {
                        session.flush_at = Instant::now() + ACK_DELAY;
                    }
                    self.state.note(handled);
                    if self.state.acks.waiting() >= ACK_BATCH && session.introduced {
                        self.flush(session).await?;
                    }
                },
                Some(command) = self.commands.recv() => self.carry_out(session, command).await?,
                () = sleep_until(session.flush_at), if waiting_acks > 0 && session.introduced => {
                    self.flush(session).await?;
                },
                () = sleep_until(session.ping_at) => {
                    session.ping_at = Instant::now() + PING_EVERY;
                    self.send(session, frame::PING).await?;
                },
                () = sleep_until(session.quiet_until), if read => {
                    return Err(Ended::Lost(lost("the server has fallen silent")));
                },
                () = sleep_until(session.complete_until), if read && !session.complete => {
                    return Err(Ended::Lost(lost("the server does not answer")));
                },
                () = items.closed() => return Ok(()),
                () = stopped(&mut self.stop) => return Ok(()),
            }
        }
    }

    async fn take(&mut self, session: &mut Session, incoming: Incoming) -> Result<(), Ended> {
        session.quiet_until = Instant::now() + SILENCE;
        let text = match incoming {
            Incoming::Text(text) => text,
            Incoming::Ping(payload) => {
                return session.socket.pong(&payload).await.map_err(Ended::Lost);
            }
            Incoming::Lost(error) => return Err(Ended::Lost(error)),
        };
        let frame = Frame::read(&text).map_err(|error| {
            Ended::Lost(lost("the server sent something that is no frame").with_source(error))
        })?;
        match frame {
            Frame::Event(event) => {
                let keeps = self.keeps_place();
                self.state.hand_out(event, &mut self.channels, keeps);
            }
            Frame::Ping => self.send(session, frame::PONG).await?,
            Frame::Gap(gap) => {
                // What was the place to go on from is none any more.
                let keeps = self.keeps_place();
                for (channel, after) in &mut self.channels {
                    if !keeps(channel) && gap.channel.as_ref().is_none_or(|gone| gone == channel) {
                        *after = gap.continues.or(*after);
                    }
                }
                self.state.pending.push_back(Ok(Item::Gap(gap)));
            }
            Frame::Resync => self.state.pending.push_back(Ok(Item::Resync)),
            Frame::Answer { id, outcome } => self.answered(session, &id, outcome).await?,
            Frame::Error { id, code, text } => self.complained(session, id, &code, text).await?,
            Frame::Connected | Frame::Other => {}
        }
        if !session.complete && !session.waiting.values().any(Waiting::holds_up) {
            session.complete = true;
            for publication in std::mem::take(&mut self.state.unanswered) {
                self.carry_out(session, Command::Publish(publication)).await?;
            }
            self.state.connected = true;
            self.state.refused_tokens = 0;
            self.state.pending.push_back(Ok(Item::Connected));
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        session: &mut Session,
        id: &str,
        outcome: Result<Option<Position>>,
    ) -> Result<(), Ended> {
        match (session.waiting.remove(id), outcome) {
            (Some(Waiting::Auth), Ok(_)) => {
                session.introduced = true;
                self.subscribe_all(session).await?;
            }
            (Some(Waiting::First(channel)), Ok(position)) => self.begins_at(&channel, position),
            (Some(Waiting::Auth | Waiting::First(_)), Err(error)) if is_passing(&error) => {
                return Err(Ended::Lost(error));
            }
            (Some(Waiting::Auth), Err(error)) => return Err(self.token_refused(error.message())),
            (Some(Waiting::First(channel)), Err(error)) => {
                let text = format!("{channel}: {}", error.message());
                return Err(Ended::Failed(Error::new(error.kind(), text).with_extra("channel", channel)));
            }
            (Some(Waiting::Subscribe { channel, after, reply }), outcome) => {
                // A dropped reply is not missed by anybody.
                let _ = reply.send(outcome.map(|position| {
                    self.channels.insert(channel.clone(), after);
                    self.begins_at(&channel, position);
                }));
            }
            (Some(Waiting::Unsubscribe(reply)), outcome) => {
                let _ = reply.send(outcome.map(drop));
            }
            (Some(Waiting::Publish(publication)), outcome) => {
                let _ = publication.reply.send(outcome.map(drop));
            }
            (Some(Waiting::Nobody) | None, _) => {}
        }
        Ok(())
    }

    /// Remembers where a channel that has no position yet begins, unless the server does.
    fn begins_at(&mut self, channel: &str, position: Option<Position>) {
        let kept = self.keeps_place()(channel);
        if let Some(after) = self.channels.get_mut(channel) {
            *after = if kept { None } else { after.or(position) };
        }
    }

    /// Which channels have a place on the server. That place is behind what was handed out, by what is not acknowledged
    /// yet; going on from there, not from what was handed out, is what makes sure that nothing is lost when this
    /// program dies.
    fn keeps_place(&self) -> fn(&str) -> bool {
        match self.identity {
            Identity::Anonymous => |_| false,
            Identity::Agent(_) | Identity::Token(_) => |channel| !matches!(channel, "global" | "metrics"),
        }
    }

    async fn complained(
        &mut self,
        session: &mut Session,
        id: Option<String>,
        code: &str,
        text: String,
    ) -> Result<(), Ended> {
        if let Some(id) = id
            && session.waiting.contains_key(&id)
        {
            return self.answered(session, &id, Err(Error::invalid(text))).await;
        }
        if matches!(code, "4001" | "4002" | "4003") {
            if session.complete
                && let Identity::Agent(agent) = &self.identity
            {
                // It has expired; another one is free.
                let issued = self.client.auth_token(agent.clone()).await;
                let token = issued.map_err(|error| lost_or_failed(error, false))?.token;
                let id = self.next_id();
                self.send(session, &frame::auth(&id, &token)).await?;
                session.waiting.insert(id, Waiting::Nobody);
                return Ok(());
            }
            return Err(self.token_refused(&text));
        }
        let error = Error::invalid(text).with_extra("code", code);
        self.state.pending.push_back(Ok(Item::Complaint(error)));
        Ok(())
    }

    /// A token that was minted a moment ago may meet a server with a new secret: that is worth one more.
    fn token_refused(&mut self, text: &str) -> Ended {
        let error = Error::new(ErrorKind::Unauthorized, text);
        self.state.refused_tokens += 1;
        if matches!(self.identity, Identity::Agent(_)) && self.state.refused_tokens < 2 {
            return Ended::Lost(error);
        }
        Ended::Failed(error)
    }

    async fn carry_out(&mut self, session: &mut Session, command: Command) -> Result<(), Ended> {
        let id = self.next_id();
        let (text, waiting) = match command {
            Command::Subscribe { channel, after, reply } => {
                (frame::subscribe(&id, &channel, after), Waiting::Subscribe { channel, after, reply })
            }
            Command::Unsubscribe { channel, reply } => {
                self.channels.remove(&channel);
                (frame::unsubscribe(&id, &channel), Waiting::Unsubscribe(reply))
            }
            // Whoever published has given up waiting for a connection: it must not happen behind his back.
            Command::Publish(publication) if publication.reply.is_closed() => return Ok(()),
            Command::Publish(publication) => {
                let Publication { key, channel, event, data, .. } = &publication;
                (frame::publish(&id, key, channel, event, data), Waiting::Publish(publication))
            }
        };
        session.waiting.insert(id, waiting);
        self.send(session, &text).await
    }

    fn collect_handled(&mut self) {
        while let Ok(handled) = self.handled.try_recv() {
            self.state.note(handled);
        }
    }

    async fn flush(&mut self, session: &mut Session) -> Result<(), Ended> {
        self.collect_handled();
        for text in self.state.acks.take() {
            self.send(session, &text).await?;
        }
        Ok(())
    }

    async fn send(&self, session: &mut Session, text: &str) -> Result<(), Ended> {
        session.socket.send(text).await.map_err(Ended::Lost)
    }

    fn next_id(&mut self) -> String {
        self.state.frames_sent += 1;
        self.state.frames_sent.to_string()
    }
}

impl Waiting {
    /// Whether the connection is not complete without the answer.
    fn holds_up(&self) -> bool {
        matches!(self, Self::Auth | Self::First(_))
    }
}

/// Whether it is worth another attempt.
fn lost_or_failed(error: Error, transient: bool) -> Ended {
    if transient || is_passing(&error) { Ended::Lost(error) } else { Ended::Failed(error) }
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RateLimited | ErrorKind::Internal)
}

/// Waits until the listener is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // It is gone with the listener.
    let _ = stop.wait_for(|stop| *stop).await;
}
