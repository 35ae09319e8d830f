//! One WebSocket connection: the upgrade goes through the same HTTP client as the operations, so that TLS, proxy and key
//! are the same.

use std::convert::Infallible;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dcm::{Error, ErrorKind};
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocket, WebSocketError, WebSocketWrite, handshake,
};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{StatusCode, Upgraded};
use serde_json::Value;
use sha1::{Digest, Sha1};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Client;
use crate::retry::{Failure, is_transient};

/// What RFC 6455 appends to the key.
const ACCEPT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest message that is read; a server's largest event is far smaller.
const MAX_MESSAGE: usize = 64 << 20;
/// Frames that were read and wait to be looked at; beyond it the server has to wait.
const READ_AHEAD: usize = 64;
/// How long the server may take nothing of what is sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const NORMAL: u16 = 1000;

/// What came in.
#[derive(Debug)]
pub(super) enum Incoming {
    Text(Vec<u8>),
    Ping(Vec<u8>),
    Lost(Error),
}

pub(super) struct Socket {
    incoming: mpsc::Receiver<Incoming>,
    outgoing: WebSocketWrite<WriteHalf<Upgraded>>,
    reader: JoinHandle<()>,
}

impl Socket {
    /// Connects to `url`, which is `http` or `https` like that of the operations.
    pub(super) async fn connect(client: &Client, url: &str) -> Result<Self, Failure> {
        let key = handshake::generate_key();
        let request = client
            .0
            .http
            .get(url)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = request.send().await.map_err(|error| client.unreachable(error))?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let body = response.bytes().await.unwrap_or_default();
            return Err(refusal(status.as_u16(), &body));
        }
        let accept = BASE64.encode(Sha1::new().chain_update(&key).chain_update(ACCEPT).finalize());
        if response.headers().get(SEC_WEBSOCKET_ACCEPT).map(reqwest::header::HeaderValue::as_bytes)
            != Some(accept.as_bytes())
        {
            return Err(Error::internal("the answer to the upgrade is not a WebSocket server's").into());
        }
        let stream = response.upgrade().await.map_err(|error| client.unreachable(error))?;
        Ok(Self::over(stream))
    }

    fn over(stream: Upgraded) -> Self {
        let mut socket = WebSocket::after_handshake(stream, Role::Client);
        // The reader does not write: pings and the end are told to whoever owns the connection.
        socket.set_auto_pong(false);
        socket.set_auto_close(false);
        socket.set_max_message_size(MAX_MESSAGE);
        let (read, outgoing) = socket.split(tokio::io::split);
        let (sender, incoming) = mpsc::channel(READ_AHEAD);
        let read = FragmentCollectorRead::new(read);
        Self { incoming, outgoing, reader: tokio::spawn(read_all(read, sender)) }
    }

    /// The next thing that comes in; the last one is [`Incoming::Lost`]. May be given up and asked again.
    pub(super) async fn receive(&mut self) -> Incoming {
        let none = || Incoming::Lost(lost("the connection has ended"));
        self.incoming.recv().await.unwrap_or_else(none)
    }

    pub(super) async fn send(&mut self, text: &str) -> Result<(), Error> {
        self.write(Frame::text(Payload::Borrowed(text.as_bytes()))).await
    }

    pub(super) async fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.write(Frame::pong(Payload::Borrowed(payload))).await
    }

    /// Says goodbye and waits until the server has heard it.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            self.write(Frame::close(NORMAL, b"")).await?;
            while !matches!(self.receive().await, Incoming::Lost(_)) {}
            Ok::<(), Error>(())
        };
        // It is over either way.
        let _ = timeout(Duration::from_secs(5), goodbye).await;
    }

    async fn write(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        // The library wants to mask a payload in place; ours is borrowed, so it copies it.
        match timeout(WRITE_TIMEOUT, self.outgoing.write_frame(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(&error.to_string()).with_source(error)),
            Err(_) => Err(lost("the server takes nothing any more")),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads until the end. In a task of its own, because a read that is given up half-way loses what it has read.
async fn read_all(mut read: FragmentCollectorRead<ReadHalf<Upgraded>>, sender: mpsc::Sender<Incoming>) {
    loop {
        let frame = read.read_frame::<_, Infallible>(&mut |_| std::future::ready(Ok(()))).await;
        let incoming = match frame {
            Ok(frame) => match frame.opcode {
                OpCode::Text | OpCode::Binary => Incoming::Text(frame.payload.to_vec()),
                OpCode::Ping => Incoming::Ping(frame.payload.to_vec()),
                OpCode::Close => Incoming::Lost(closed(&frame.payload)),
                OpCode::Pong | OpCode::Continuation => continue,
            },
            Err(error) => Incoming::Lost(ended(error)),
        };
        let last = matches!(incoming, Incoming::Lost(_));
        if sender.send(incoming).await.is_err() || last {
            return;
        }
    }
}

/// A connection that is no more; another one may do better.
pub(super) fn lost(how: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the connection to the server was lost: {how}"))
}

fn closed(payload: &[u8]) -> Error {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let reason = String::from_utf8_lossy(reason);
            lost(format!("closed with code {code} {reason}").trim_end()).with_extra("code", code)
        }
        _ => lost("closed"),
    }
}

fn ended(error: WebSocketError) -> Error {
    lost(&error.to_string()).with_source(error)
}

/// The server answered the upgrade with something else.
fn refusal(status: u16, body: &[u8]) -> Failure {
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = if (200..300).contains(&status) || status == 404 {
        Error::new(ErrorKind::NotFound, "there is no WebSocket at this URL")
    } else {
        Error::from_body(status, &body)
    };
    Failure { error, transient: is_transient(status), unsent: false }
}
