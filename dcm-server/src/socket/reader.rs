//! Reading frames: whole messages out of fragments, and what breaks the protocol.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use fastwebsockets::{OpCode, Role, WebSocketError, WebSocketRead, after_handshake_split};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::io::{AsyncRead, ReadBuf};

/// The largest message.
pub(super) const MAX_MESSAGE: usize = 1 << 20;
/// The largest payload of a control frame (RFC 6455 5.5).
const MAX_CONTROL: usize = 125;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A whole message.
    Message(Vec<u8>),
    /// Wants a pong with the same payload.
    Ping(Vec<u8>),
    /// Only shows that somebody is there.
    Pong,
    /// A part of a message, which comes when the last one is there.
    Fragment,
    /// The other side closes, with this code where it says one.
    Close(Option<u16>),
    /// The protocol was broken: the code and reason to close with.
    Broken(u16, &'static str),
    /// The connection is gone.
    Gone,
}

/// What was read together with the request, then the connection.
pub(super) struct Rewound<R> {
    head: Bytes,
    rest: R,
}

impl<R> Rewound<R> {
    /// Copies `head`: a slice, even an empty one, would keep the whole buffer of the request for the connection's life.
    pub(super) fn new(head: &[u8], rest: R) -> Self {
        Self { head: Bytes::copy_from_slice(head), rest }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Rewound<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.rest).poll_read(cx, buffer);
        }
        let length = self.head.len().min(buffer.remaining());
        buffer.put_slice(&self.head[..length]);
        self.head.advance(length);
        if self.head.is_empty() {
            self.head = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

struct Reading<R> {
    frames: WebSocketRead<R>,
    /// The fragments of a message so far, and whether it is text.
    fragments: Option<(bool, Vec<u8>)>,
    ended: bool,
}

/// Everything that comes in, in order; it ends after the first thing that ends the connection.
///
/// A read that is given up half-way would lose what it has read: here it is kept between calls.
pub(super) fn incoming<R: AsyncRead + Unpin>(connection: R) -> impl Stream<Item = Incoming> {
    let (mut frames, _) = after_handshake_split(connection, tokio::io::sink(), Role::Server);
    frames.set_auto_close(false);
    frames.set_auto_pong(false);
    // The limit of the library is the first length that is too large.
    frames.set_max_message_size(MAX_MESSAGE + 1);
    let reading = Reading { frames, fragments: None, ended: false };
    unfold(reading, |mut reading| async move {
        if reading.ended {
            return None;
        }
        let incoming = reading.next().await;
        reading.ended = matches!(incoming, Incoming::Close(_) | Incoming::Broken(..) | Incoming::Gone);
        Some((incoming, reading))
    })
}

impl<R: AsyncRead + Unpin> Reading<R> {
    async fn next(&mut self) -> Incoming {
        // Nothing has to be sent: that is done by hand.
        let read = self.frames.read_frame::<_, Infallible>(&mut |_| ready(Ok(()))).await;
        let (fin, opcode, masked, payload) = match read {
            Ok(mut frame) => {
                // The only way to learn whether it was masked: the head as it would be written.
                let mut head = [0; 16];
                frame.fmt_head(&mut head);
                (frame.fin, frame.opcode, head[1] & 0x80 != 0, Vec::from(frame.payload))
            }
            Err(error) => return broken(&error),
        };
        if !masked {
            return Incoming::Broken(1002, "frames must be masked");
        }
        match opcode {
            OpCode::Ping | OpCode::Pong | OpCode::Close if payload.len() > MAX_CONTROL => {
                Incoming::Broken(1002, "a control frame is too long")
            }
            OpCode::Ping => Incoming::Ping(payload),
            OpCode::Pong => Incoming::Pong,
            OpCode::Close => close(&payload),
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                self.collect(fin, opcode, payload).unwrap_or(Incoming::Fragment)
            }
        }
    }

    /// Puts fragments together; nothing while the message is not complete.
    fn collect(&mut self, fin: bool, opcode: OpCode, payload: Vec<u8>) -> Option<Incoming> {
        let (is_text, message) = match (opcode, self.fragments.take()) {
            (OpCode::Continuation, Some((is_text, mut message))) => {
                message.extend_from_slice(&payload);
                (is_text, message)
            }
            (OpCode::Text, None) => (true, payload),
            (OpCode::Binary, None) => (false, payload),
            (OpCode::Continuation, None) => {
                return Some(Incoming::Broken(1002, "nothing is to be continued"));
            }
            _ => return Some(Incoming::Broken(1002, "a message began inside another")),
        };
        if message.len() > MAX_MESSAGE {
            return Some(TOO_LARGE);
        }
        if !fin {
            self.fragments = Some((is_text, message));
            return None;
        }
        if is_text && std::str::from_utf8(&message).is_err() {
            return Some(NOT_UTF8);
        }
        Some(Incoming::Message(message))
    }
}

const TOO_LARGE: Incoming = Incoming::Broken(1009, "messages have at most 1048576 bytes");
const NOT_UTF8: Incoming = Incoming::Broken(1007, "text must be UTF-8");

fn close(payload: &[u8]) -> Incoming {
    match payload {
        [] => Incoming::Close(None),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            match (allowed, std::str::from_utf8(reason)) {
                (true, Ok(_)) => Incoming::Close(Some(code)),
                (true, Err(_)) => NOT_UTF8,
                (false, _) => Incoming::Broken(1002, "there is no such close code"),
            }
        }
        [_] => Incoming::Broken(1002, "half a close code"),
    }
}

fn broken(error: &WebSocketError) -> Incoming {
    match error {
        WebSocketError::FrameTooLarge => TOO_LARGE,
        WebSocketError::InvalidUTF8 => NOT_UTF8,
        WebSocketError::ReservedBitsNotZero => Incoming::Broken(1002, "reserved bits must be zero"),
        WebSocketError::ControlFrameFragmented => {
            Incoming::Broken(1002, "control frames cannot be fragmented")
        }
        WebSocketError::PingFrameTooLarge => Incoming::Broken(1002, "a control frame is too long"),
        WebSocketError::InvalidValue => Incoming::Broken(1002, "there is no such kind of frame"),
        WebSocketError::InvalidCloseFrame | WebSocketError::InvalidCloseCode => {
            Incoming::Broken(1002, "there is no such close code")
        }
        WebSocketError::InvalidFragment | WebSocketError::InvalidContinuationFrame => {
            Incoming::Broken(1002, "fragments are out of order")
        }
        _ => Incoming::Gone,
    }
}
