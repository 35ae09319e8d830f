//! The load: one process that publishes and subscribes. It knows as little of the protocol as it can, so that it costs
//! as little as it can, and nothing of DCM.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a client is to do.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Load {
    /// The port of the sockets.
    #[arg(long)]
    pub(crate) port: u16,
    /// The port where events are published, if it is another: that of another node.
    #[arg(long)]
    pub(crate) publish_at: Option<u16>,
    #[arg(long)]
    pub(crate) subscribers: usize,
    /// How many events each subscriber gets.
    #[arg(long)]
    pub(crate) events: u64,
    /// Events in a second; as many as can be without.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// How many of the subscribers do not read.
    #[arg(long, default_value_t = 0)]
    pub(crate) stalled: usize,
    #[arg(long, default_value = "topics/bench")]
    pub(crate) channel: String,
}

impl Default for Load {
    fn default() -> Self {
        let channel = "topics/bench".to_owned();
        Self { port: 0, publish_at: None, subscribers: 1, events: 1, rate: None, stalled: 0, channel }
    }
}

/// Published and not yet heard by everybody, at most.
const IN_FLIGHT: u64 = 1024;
/// So many that none sends more frames than a server takes from one connection: 5,000 in a second, and 10,000 at once.
const PUBLISHERS: u16 = 16;
/// After so long without anything new, what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the load and says what came of it, as one line of JSON.
pub(crate) async fn run(load: Load) {
    let received = Arc::new(AtomicU64::new(0));
    let flood = load.channel.ends_with("flood");
    // The flood begins with the first subscription.
    let (mut began, mut cpu) = (Instant::now(), cpu_centiseconds());
    let mut subscribers = JoinSet::new();
    let mut stalled = Vec::new();
    for number in 0..load.subscribers {
        let mut stream = connect(load.port).await.expect("a connection");
        let text = json!({"type": "subscribe", "id": "s", "channel": load.channel}).to_string();
        stream.write_all(&frame(&text)).await.expect("a subscription");
        let mut subscriber = Subscriber { stream, buffer: Vec::new(), at: 0 };
        if !flood {
            // `global` has nothing to do with it.
            let text = json!({"type": "unsubscribe", "id": "u", "channel": "global"}).to_string();
            subscriber.stream.write_all(&frame(&text)).await.expect("a connection");
            subscriber.until(br#""id":"u""#).await.expect("an answer");
        }
        if number < load.stalled {
            stalled.push(subscriber);
        } else {
            subscribers.spawn(subscriber.take(load.events, Arc::clone(&received)));
        }
    }
    let reading = (load.subscribers - load.stalled) as u64;
    if !flood {
        (began, cpu) = (Instant::now(), cpu_centiseconds());
    }
    let mut publishers = JoinSet::new();
    for number in (0..PUBLISHERS).filter(|_| !flood) {
        publishers.spawn(publish(load.clone(), number, reading, Arc::clone(&received)));
    }
    let (mut latencies, mut ended) = (Vec::new(), began);
    while let Some(part) = subscribers.join_next().await {
        let (part, last) = part.expect("a subscriber");
        latencies.extend(part);
        ended = ended.max(last);
    }
    publishers.abort_all();
    let cpu = cpu_centiseconds() - cpu;
    let count = latencies.len() as u64;
    latencies.sort_unstable();
    let at = |percent: usize| {
        latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
    };
    let micros = u64::try_from(ended.duration_since(began).as_micros()).expect("a short time");
    let said = json!({"received": count, "lost": reading * load.events - count, "micros": micros,
        "p50": at(50), "p99": at(99), "cpu": cpu});
    crate::say(&said.to_string());
    drop(stalled);
}

/// The processor time of this process so far, in the unit that Linux tells it in.
fn cpu_centiseconds() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // utime and stime.
    [11, 12].iter().map(|&index| fields[index].parse::<u64>().expect("ticks")).sum()
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_micros()).expect("a clock before the year 500000")
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut byte = [0];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await? == 0 {
            return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
        }
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// Reads a connection to its end; whether it was closed with code 1001.
async fn told_to_leave(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    while stream.read_buf(&mut rest).await.is_ok_and(|count| count > 0) {
        if rest.windows(4).any(|part| part[0] == 0x88 && part[2..] == 1001_u16.to_be_bytes()) {
            // A masked close of our own, with the same code.
            let _ = stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await;
            return true;
        }
    }
    false
}

/// Connections that do nothing but be there.
pub(crate) struct Idle(Vec<TcpStream>);

impl Idle {
    /// Opens so many more.
    pub(crate) async fn open(&mut self, port: u16, count: usize) {
        for _ in 0..count {
            self.0.push(connect(port).await.expect("a connection"));
        }
    }

    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// Waits until all have ended; how many were told with code 1001.
    pub(crate) async fn told(self) -> usize {
        let mut leaving = JoinSet::new();
        for stream in self.0 {
            leaving.spawn(told_to_leave(stream));
        }
        leaving.join_all().await.into_iter().filter(|told| *told).count()
    }
}

/// A masked frame; the mask is all zeros, so masking costs nothing.
fn frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match u16::try_from(text.len()).expect("a short frame") {
        length @ ..126 => bytes.push(0x80 | u8::try_from(length).expect("below 126")),
        length => {
            bytes.push(0xfe);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(text.as_bytes());
    bytes
}

struct Subscriber {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Up to here the buffer was looked at.
    at: usize,
}

impl Subscriber {
    /// The payload of the next frame.
    async fn next(&mut self) -> io::Result<&[u8]> {
        loop {
            if let Some((start, end)) = self.complete() {
                self.at = end;
                return Ok(&self.buffer[start..end]);
            }
            self.buffer.drain(..std::mem::take(&mut self.at));
            self.buffer.reserve(64 * 1024);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn complete(&self) -> Option<(usize, usize)> {
        let rest = &self.buffer[self.at..];
        let (head, length) = match *rest.get(1)? & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?)).ok()?),
            length => (2, usize::from(length)),
        };
        let start = self.at + head;
        (self.buffer.len() >= start + length).then_some((start, start + length))
    }

    async fn until(&mut self, part: &[u8]) -> io::Result<()> {
        while find(self.next().await?, part).is_none() {}
        Ok(())
    }

    /// Takes `events` events, or what there is of them; how long each was under way, in microseconds.
    async fn take(mut self, events: u64, received: Arc<AtomicU64>) -> (Vec<u32>, Instant) {
        let mut latencies = Vec::new();
        let mut last = Instant::now();
        while (latencies.len() as u64) < events {
            let Ok(Ok(payload)) = timeout(PATIENCE, self.next()).await else { break };
            let Some(at) = find(payload, br#""at":"#) else { continue };
            let digits = payload[at + 5..].iter().take_while(|byte| byte.is_ascii_digit());
            let sent = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
            latencies.push(u32::try_from(micros().saturating_sub(sent)).unwrap_or(u32::MAX));
            received.fetch_add(1, Ordering::Relaxed);
            last = Instant::now();
        }
        (latencies, last)
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Publishes every event whose number is its own modulo [`PUBLISHERS`], not too far ahead of the subscribers.
async fn publish(load: Load, own: u16, subscribers: u64, received: Arc<AtomicU64>) {
    let stream = connect(load.publish_at.unwrap_or(load.port)).await.expect("a connection");
    let (mut read, mut write) = stream.into_split();
    // Answers are not looked at: what counts is what arrives at the subscribers.
    let reading = tokio::spawn(async move {
        let mut sink = vec![0; 64 * 1024];
        while read.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    });
    let text = "x".repeat(100);
    let began = Instant::now();
    for number in (u64::from(own)..load.events).step_by(usize::from(PUBLISHERS)) {
        match load.rate {
            Some(rate) => {
                let due = began + Duration::from_micros(number * 1_000_000 / rate);
                tokio::time::sleep_until(due.into()).await;
            }
            None => {
                while number > received.load(Ordering::Relaxed) / subscribers + IN_FLIGHT {
                    tokio::time::sleep(Duration::from_micros(500)).await;
                }
            }
        }
        let data: Value = json!({"at": micros(), "text": text});
        let said = json!({"type": "publish", "id": number.to_string(), "channel": load.channel,
            "event": "system.info", "data": data});
        write.write_all(&frame(&said.to_string())).await.expect("a connection");
    }
    // The connection stays until the end.
    let _ = reading.await;
}
