//! The reference: whatever is published is passed on to everybody, from memory, and that is all. Bytes are shared and
//! writes are batched, as in the service.

use std::io;
use std::sync::Arc;

use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, after_handshake_split,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

/// What may wait for one subscriber.
const QUEUE: usize = 16 * 1024;
/// As much as goes out in one write.
const WRITE: usize = 64 * 1024;
/// Who subscribes to this gets as many events as can be written, to see how many the client can take.
const FLOOD: &str = "topics/flood";

type Bytes = Arc<[u8]>;

/// Serves until it is killed; says its port on standard output.
pub(crate) async fn run() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    crate::say(&listener.local_addr().expect("bound").port().to_string());
    let (events, _) = broadcast::channel(QUEUE);
    while let Ok((stream, _)) = listener.accept().await {
        // Whoever goes away is not missed.
        tokio::spawn(serve(stream, events.clone()));
    }
}

/// A frame of the server, as it goes over the wire.
fn encoded(value: &Value) -> Bytes {
    let mut bytes = Vec::new();
    let text = value.to_string().into_bytes();
    Frame::new(true, OpCode::Text, None, Payload::Owned(text)).write(&mut bytes);
    bytes.into()
}

async fn serve(mut stream: TcpStream, events: broadcast::Sender<Bytes>) -> Result<(), WebSocketError> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(switch).await?;
    let (read, write) = stream.into_split();
    // The library writes one frame at a time, so only its reading half is used.
    let (read, _) = after_handshake_split(read, tokio::io::sink(), Role::Server);
    let mut read = FragmentCollectorRead::new(read);
    let (answers, waiting) = mpsc::unbounded_channel::<Bytes>();
    let (join, joined) = mpsc::channel(1);
    tokio::spawn(write_all(write, waiting, joined));
    loop {
        let ignore = &mut |_: Frame<'_>| std::future::ready(Ok::<(), io::Error>(()));
        let frame = read.read_frame(ignore).await?;
        if frame.opcode == OpCode::Close {
            return Ok(());
        }
        let said: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        match said["type"].as_str() {
            Some("publish") => {
                let event = json!({"type": "event", "id": said["id"], "channel": said["channel"],
                    "event": said["event"], "data": said["data"], "timestamp": 0, "position": "1-1"});
                // Perhaps nobody listens.
                let _ = events.send(encoded(&event));
            }
            Some("subscribe") if said["channel"] == FLOOD => {
                let event = json!({"type": "event", "id": "0", "channel": FLOOD, "event": "system.info",
                    "data": {"at": 0, "text": "x".repeat(100)}, "timestamp": 0, "position": "1-1"});
                let _ = join.send(Source::Flood(encoded(&event))).await;
            }
            Some("subscribe") => {
                let _ = join.send(Source::Events(events.subscribe())).await;
            }
            _ => {}
        }
        if said["id"].is_string() {
            let _ = answers.send(encoded(&json!({"type": "ack", "id": said["id"], "success": true})));
        }
    }
}

enum Source {
    Nothing,
    Events(broadcast::Receiver<Bytes>),
    Flood(Bytes),
}

async fn write_all(
    mut write: OwnedWriteHalf,
    mut answers: mpsc::UnboundedReceiver<Bytes>,
    mut joined: mpsc::Receiver<Source>,
) -> io::Result<()> {
    let mut source = Source::Nothing;
    let mut out = Vec::with_capacity(WRITE);
    loop {
        tokio::select! {
            answer = answers.recv() => match answer {
                Some(answer) => out.extend_from_slice(&answer),
                None => return Ok(()),
            },
            Some(new) = joined.recv() => source = new,
            event = next(&mut source) => out.extend_from_slice(&event),
        }
        while out.len() < WRITE {
            match &mut source {
                Source::Events(events) => match events.try_recv() {
                    Ok(event) => out.extend_from_slice(&event),
                    Err(_) => break,
                },
                Source::Flood(event) => out.extend_from_slice(event),
                Source::Nothing => break,
            }
        }
        write.write_all(&out).await?;
        out.clear();
    }
}

async fn next(source: &mut Source) -> Bytes {
    loop {
        match source {
            Source::Nothing => std::future::pending().await,
            Source::Flood(event) => return Arc::clone(event),
            Source::Events(events) => match events.recv().await {
                Ok(event) => return event,
                // It is lost; the client counts.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => *source = Source::Nothing,
            },
        }
    }
}
