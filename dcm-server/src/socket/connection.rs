//! The life of one connection: one task that reads, writes and delivers.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::time::Duration;

use dcm::delivery::Subscriber;
use dcm::feed::GLOBAL;
use dcm::{
    Clock, Dcm, Error, ErrorKind, IdempotencyKey, NotIdentified, Position, Publication, Published,
    SystemClock, Timestamp,
};
use fastwebsockets::{Frame, OpCode, Payload};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, Stream, StreamExt};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Accepted;
use super::frames::{self, Claims, Said};
use super::pace::{ACKS_PER_FRAME, Beat, Rate};
use super::reader::{Incoming, Rewound, incoming};
use crate::config::Limits;
use crate::line::Line;
use crate::serve::stopped;

/// When so much waits to be written, nothing more is taken from the log.
const ENOUGH: usize = 32 << 10;
/// Answers may wait beside it; when they are this much more, nothing is read until some are written. What is read counts
/// as life, and acknowledgements make room, so catching up must not keep it from being read.
const ANSWERS: usize = 64 << 10;
/// A buffer that has grown beyond it is given back when there is nothing to write.
const SMALL: usize = 1 << 10;
/// Publications of one connection that are under way at once.
const PUBLISHING: usize = 256;
/// The bytes of their frames; JSON takes several times as much in memory.
const PUBLISHING_BYTES: usize = 2 << 20;
/// So many frames are carried out one after the other before anything is written or delivered.
const TOGETHER: usize = 32;
/// How long the store may take for what a connection waits for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the answer to a publication waits for its event to go out first.
const HELD: Duration = Duration::from_secs(1);
/// How long the other side may take to close, once it was told.
const GOODBYE: Duration = Duration::from_secs(2);

type Publishing = FuturesOrdered<BoxFuture<'static, Publish>>;

/// A publication that has come to its end.
struct Publish {
    id: Option<Value>,
    /// Of the frame.
    bytes: usize,
    published: Result<Published, Error>,
}

/// The answer to a publication.
struct Held {
    /// Up to here the log goes out before it.
    position: Position,
    /// But it waits no longer than this: what other nodes committed before may have to be read from a store that is away.
    until: Instant,
    answer: Vec<u8>,
}

/// How a frame was carried out.
#[derive(PartialEq)]
enum Heard {
    AtOnce,
    /// It may have waited for the store.
    WithTheStore,
}

/// Why a connection ends.
pub(super) enum End {
    /// We close, with a code and a reason.
    Close(u16, &'static str),
    /// The other side has closed, and hears the same.
    Closed(Option<u16>),
    /// Nobody is there any more.
    Gone,
}

struct Connection {
    dcm: Dcm,
    limits: Limits,
    subscriber: Subscriber,
    agent_id: Option<String>,
    session_id: Option<String>,
    locked: bool,
    /// One frame for all channels of an event.
    dedupe: bool,
    /// Knows what a resync is.
    informed: bool,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// How long `out` was when it was last written to its end: the next time it may become as long.
    usual: usize,
    publishing: Publishing,
    publishing_bytes: usize,
    /// Answers to publications that wait until their events have gone out.
    held: VecDeque<Held>,
    rate: Rate,
}

/// Serves a connection from its upgrade to its end.
pub(crate) async fn serve(accepted: Accepted) {
    let Accepted { upgrade, dcm, limits, agent_id, session_id, locked, mut stop } = accepted;
    let Ok(socket) = upgrade.await else { return };
    // Hyper's buffers go with it; what it has read already comes along.
    let Ok(parts) = socket.into_inner().into_inner().downcast::<TokioIo<Line>>() else {
        tracing::error!("an upgraded connection is no TCP connection");
        return;
    };
    let head = parts.read_buf;
    let (read, mut write) = parts.io.into_inner().into_stream().into_split();
    let mut frames: Pin<Box<dyn Stream<Item = Incoming> + Send>> =
        Box::pin(incoming(Rewound::new(&head, read)));
    drop(head);
    let mut connection = Connection {
        subscriber: dcm.subscriber(),
        rate: Rate::new(limits.frames_per_second),
        dcm,
        limits,
        agent_id,
        session_id,
        locked,
        dedupe: false,
        informed: false,
        out: Vec::new(),
        written: 0,
        usual: 0,
        publishing: FuturesOrdered::new(),
        publishing_bytes: 0,
        held: VecDeque::new(),
    };
    let end = connection.run(&mut frames, &mut write, &mut stop).await;
    connection.end(end, frames, write).await;
}

fn now() -> Timestamp {
    SystemClock.now()
}

impl Connection {
    async fn run(
        &mut self,
        frames: &mut (dyn Stream<Item = Incoming> + Send + Unpin),
        write: &mut OwnedWriteHalf,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        if self.locked {
            // Leaving it before anything was delivered asks nothing of the store.
            let _ = self.subscriber.unsubscribe(GLOBAL).await;
        }
        let hello = frames::connected(self.subscriber.id(), self.dcm.feed().head(), now());
        self.push(&hello);
        let mut beat = Beat::new(&self.limits, self.locked);
        let mut timer = pin!(sleep_until(beat.next));
        loop {
            self.fill();
            // What the other side takes at once needs no waiting for.
            if !self.out.is_empty()
                && let Ok(length @ 1..) = write.try_write(&self.out[self.written..])
            {
                self.advance(length);
                self.fill();
            }
            let idle = self.out.is_empty();
            if idle {
                if self.out.capacity() > SMALL {
                    self.out = Vec::new();
                }
                self.subscriber.confirm();
            }
            let released = self.held.front().map(|held| held.until);
            let due = released.into_iter().fold(beat.due(self.subscriber.needs_tick()), Instant::min);
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            let room = self.unwritten() < ENOUGH;
            let listens = self.listens();
            // In any order: a client that takes all it gets must be heard as well.
            tokio::select! {
                written = write.write(&self.out[self.written..]), if !idle => match written {
                    Ok(length @ 1..) => self.advance(length),
                    _ => return End::Gone,
                },
                () = stopped(stop) => return End::Close(1001, "the server is going away"),
                () = timer.as_mut() => match self.beat(&mut beat) {
                    Ok(()) => {}
                    Err(end) => return end,
                },
                Some(publish) = self.publishing.next(), if !self.publishing.is_empty() => {
                    self.answer_publication(publish);
                    // What was committed together is answered together.
                    while let Some(Some(publish)) = self.publishing.next().now_or_never() {
                        self.answer_publication(publish);
                    }
                }
                ready = self.subscriber.ready(), if room => if !ready {
                    return End::Close(1001, "the server is going away");
                },
                came = frames.next(), if listens => {
                    beat.seen = Instant::now();
                    // A frame may wait for a store that hangs; the end of the server does not wait for it.
                    let heard = tokio::select! {
                        heard = self.hear_all(came, frames) => heard,
                        () = stopped(stop) => Err(End::Close(1001, "the server is going away")),
                    };
                    if let Err(end) = heard {
                        return end;
                    }
                    if !self.locked {
                        beat.unlock_by = None;
                    }
                }
            }
        }
    }

    fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    /// Whether there is room for what the next frame may bring.
    fn listens(&self) -> bool {
        self.unwritten() < ENOUGH + ANSWERS
            && self.publishing.len() + self.held.len() < PUBLISHING
            && self.publishing_bytes < PUBLISHING_BYTES
    }

    /// Carries out what came, and what is there already behind it.
    async fn hear_all(
        &mut self,
        first: Option<Incoming>,
        frames: &mut (dyn Stream<Item = Incoming> + Send + Unpin),
    ) -> Result<(), End> {
        let mut came = first;
        for left in (0..TOGETHER).rev() {
            match came {
                Some(Incoming::Message(message)) => {
                    // What waits for the store is not waited for twice before anybody else is looked at.
                    if Box::pin(self.hear(&message)).await? == Heard::WithTheStore {
                        break;
                    }
                }
                Some(Incoming::Ping(payload)) => {
                    self.push_frame(OpCode::Pong, &payload);
                    self.rate.take(ACKS_PER_FRAME)?;
                }
                Some(Incoming::Pong | Incoming::Fragment) => self.rate.take(ACKS_PER_FRAME)?,
                Some(Incoming::Close(code)) => return Err(End::Closed(code)),
                Some(Incoming::Broken(code, reason)) => return Err(End::Close(code, reason)),
                Some(Incoming::Gone) | None => return Err(End::Gone),
            }
            // What is taken must be carried out.
            if left == 0 || !self.listens() {
                break;
            }
            match frames.next().now_or_never() {
                Some(next) => came = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes from the log what there is room for.
    fn fill(&mut self) {
        let mut at = None;
        while self.unwritten() < ENOUGH {
            let Some(delivery) = self.subscriber.try_next() else { break };
            let at = *at.get_or_insert_with(now);
            let (joint, informed) = (self.dedupe, self.informed);
            let out = &mut self.out;
            if out.capacity() == 0 {
                out.reserve(self.usual);
            }
            frames::delivery(&delivery, joint, informed, at, |frame| write_frame(out, OpCode::Text, frame));
        }
        self.release();
    }

    /// Answers the publications that were passed in the log. Whoever catches up with it has a long way to them, and is
    /// not kept waiting.
    fn release(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let (reached, is_live, at) = (self.subscriber.position(), self.subscriber.is_live(), Instant::now());
        let is_due = |held: &Held| held.position <= reached || !is_live || held.until <= at;
        while self.held.front().is_some_and(is_due) {
            let Some(Held { answer, .. }) = self.held.pop_front() else { break };
            self.push(&answer);
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.push_frame(OpCode::Text, text);
    }

    fn push_frame(&mut self, opcode: OpCode, payload: &[u8]) {
        write_frame(&mut self.out, opcode, payload);
    }

    fn advance(&mut self, length: usize) {
        self.written += length;
        if self.written >= self.out.len() {
            self.written = 0;
            self.usual = self.out.len().min(ENOUGH + SMALL);
            self.out.clear();
        } else if self.written >= ENOUGH {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    fn beat(&mut self, beat: &mut Beat) -> Result<(), End> {
        let at = Instant::now();
        if beat.unlock_by.is_some_and(|by| at >= by) {
            return Err(End::Close(4401, "Authentication required"));
        }
        if at.duration_since(beat.seen) >= beat.patience {
            return Err(End::Close(4000, "Ping timeout"));
        }
        if at >= beat.next {
            beat.next = at + beat.every;
            // Who takes nothing does not get more to take.
            if self.unwritten() < ENOUGH {
                self.push(&frames::ping(now()));
            }
        }
        beat.ticked = at;
        self.subscriber.tick();
        Ok(())
    }

    /// Carries out what a frame says. An error ends the connection.
    async fn hear(&mut self, message: &[u8]) -> Result<Heard, End> {
        let (id, said) = frames::read(message);
        let is_ack = matches!(said, Ok(Said::AckEvent(_) | Said::AckPosition(_)));
        if self.rate.take(if is_ack { 1 } else { ACKS_PER_FRAME }).is_err() {
            let words = format!("Too many messages: {} per second", self.limits.frames_per_second);
            self.push(&frames::error("RATE_LIMITED", &words, now()));
            return Err(End::Close(1008, "Too many messages"));
        }
        let said = match said {
            Ok(said) => said,
            Err(what) => {
                self.push(&frames::misunderstood(&what, id.as_ref(), now()));
                return Ok(Heard::AtOnce);
            }
        };
        let heard = match said {
            Said::Auth(_) | Said::Subscribe { .. } | Said::Unsubscribe { .. } => Heard::WithTheStore,
            _ => Heard::AtOnce,
        };
        match said {
            Said::Ping => self.push(&frames::pong(now())),
            Said::Pong => {}
            // One that is no id of ours acknowledges nothing.
            Said::AckEvent(event) => {
                if let Ok(event) = event.parse() {
                    self.subscriber.acknowledge(event);
                }
            }
            Said::AckPosition(position) => self.subscriber.acknowledge_up_to(position),
            Said::Auth(claims) => self.authenticate(id, claims).await,
            _ if self.locked => {
                let error = Error::new(ErrorKind::Unauthorized, "Authentication required");
                self.push(&frames::refusal(id.as_ref(), &error, now()));
            }
            Said::Subscribe { channel, after } => {
                self.informed |= after.is_some();
                let subscribed = in_time(self.subscriber.subscribe(&channel, after)).await;
                let position = serde_json::to_value(self.subscriber.position()).unwrap_or_default();
                self.answer(id.as_ref(), subscribed, &[("channel", channel.into()), ("position", position)]);
            }
            Said::Unsubscribe { channel } => {
                let unsubscribed = in_time(self.subscriber.unsubscribe(&channel)).await;
                self.answer(id.as_ref(), unsubscribed, &[]);
            }
            Said::Publish { channel, event, data, idempotency_key } => {
                self.publish(id, Publication { channel, event, data }, idempotency_key, message.len());
            }
        }
        Ok(heard)
    }

    async fn authenticate(&mut self, id: Option<Value>, claims: Claims) {
        let Claims { token, agent_id, session_id, dedupe, acknowledges } = claims;
        // What the frame leaves out, the URL says.
        let agent_id = agent_id.or_else(|| self.agent_id.clone());
        let session_id = session_id.or_else(|| self.session_id.clone());
        let identity = self.dcm.identify(token.as_deref(), agent_id.as_deref(), session_id.as_deref());
        let refused = match identity {
            // A name is believed on this machine; behind keys it takes a token.
            Ok(identity) if self.locked && !identity.proven => NotIdentified::TokenNeeded,
            Ok(identity) => {
                self.dedupe |= dedupe;
                self.informed |= dedupe;
                let mut done = in_time(self.subscriber.authenticate(identity, acknowledges)).await;
                if done.is_ok() && self.locked {
                    done = in_time(self.subscriber.subscribe(GLOBAL, None)).await;
                }
                let announce = done.is_ok();
                // After a failure the client tries again.
                self.locked &= !announce;
                let position = serde_json::to_value(self.subscriber.position()).unwrap_or_default();
                self.answer(id.as_ref(), done, &[("position", position)]);
                if announce {
                    self.subscriber.announce();
                }
                return;
            }
            Err(refused) => refused,
        };
        let code = match refused {
            NotIdentified::BadToken => "4001",
            NotIdentified::TokenNeeded => "4002",
            NotIdentified::Nothing | NotIdentified::BadName => "4003",
        };
        let error = refused.into_error();
        self.push(&frames::error(code, error.message(), now()));
    }

    fn publish(&mut self, id: Option<Value>, said: Publication, key: Option<String>, bytes: usize) {
        let mut dcm = self.dcm.clone();
        if let Some(key) = key {
            if !(1..=255).contains(&key.len())
                || !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
            {
                let complaint = "must have 1 to 255 printable ASCII characters";
                let error = Error::invalid_field("Validation failed", "idempotency_key", complaint);
                self.push(&frames::refusal(id.as_ref(), &error, now()));
                return;
            }
            dcm = dcm.with_idempotency_key(IdempotencyKey { key, fingerprint: fingerprint(&said) });
        }
        let who = self.subscriber.identity().clone();
        let client = self.subscriber.id().to_owned();
        self.publishing_bytes += bytes;
        self.publishing.push_back(Box::pin(async move {
            let published = in_time(dcm.publish(&who, &client, said)).await;
            Publish { id, bytes, published }
        }));
    }

    fn answer_publication(&mut self, publish: Publish) {
        let Publish { id, bytes, published } = publish;
        self.publishing_bytes = self.publishing_bytes.saturating_sub(bytes);
        let answer = match published {
            Ok(Published { id: event, .. }) => id.map(|id| {
                let event = event.map(|event| ("event_id", event.to_string().into()));
                frames::ack(&id, event.as_slice(), now())
            }),
            Err(error) => Some(self.refusal(id.as_ref(), &error)),
        };
        // The event comes first (CONTRACT C.6), and answers come in the order of what they answer.
        if let Some(answer) = answer {
            let (position, until) = (self.dcm.feed().committed(), Instant::now() + HELD);
            self.held.push_back(Held { position, until, answer });
        }
    }

    fn answer(&mut self, id: Option<&Value>, outcome: Result<(), Error>, more: &[(&str, Value)]) {
        match (outcome, id) {
            (Ok(()), Some(id)) => self.push(&frames::ack(id, more, now())),
            (Ok(()), None) => {}
            (Err(error), id) => {
                let refusal = self.refusal(id, &error);
                self.push(&refusal);
            }
        }
    }

    /// What the client hears of a failure, which is logged when it is none of the client's.
    fn refusal(&self, id: Option<&Value>, error: &Error) -> Vec<u8> {
        if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Unavailable) {
            tracing::error!(?error, client = self.subscriber.id(), "a message was not carried out");
        }
        frames::refusal(id, error, now())
    }

    /// Writes what is left, says goodbye, and waits a moment for the other side to do the same.
    async fn end(
        mut self,
        end: End,
        mut frames: Pin<Box<dyn Stream<Item = Incoming> + Send>>,
        mut write: OwnedWriteHalf,
    ) {
        // What is known to be done is said.
        for Held { answer, .. } in std::mem::take(&mut self.held) {
            self.push(&answer);
        }
        let heard = match end {
            End::Gone => return,
            End::Closed(code) => {
                let payload = code.map(|code| code.to_be_bytes().to_vec()).unwrap_or_default();
                self.push_frame(OpCode::Close, &payload);
                true
            }
            End::Close(code, reason) => {
                let mut payload = code.to_be_bytes().to_vec();
                payload.extend_from_slice(reason.as_bytes());
                self.push_frame(OpCode::Close, &payload);
                false
            }
        };
        let goodbye = async {
            write.write_all(&self.out[self.written..]).await?;
            write.shutdown().await?;
            while !heard && frames.next().await.is_some() {}
            std::io::Result::Ok(())
        };
        // It is over either way.
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

/// Appends a frame as a server writes it.
fn write_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let mut head = [0; 16];
    let mut frame = Frame::new(true, opcode, None, Payload::Borrowed(payload));
    let length = frame.fmt_head(&mut head);
    out.reserve(length + payload.len());
    out.extend_from_slice(&head[..length]);
    out.extend_from_slice(payload);
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(Error::unavailable("The store does not answer; whether it was done is not known"))
    })
}

/// What a publication says, so that a key is not used for another one.
fn fingerprint(said: &Publication) -> String {
    let mut hash = Sha256::new();
    for part in [said.channel.as_str(), &said.event, &said.data.to_string()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
}
