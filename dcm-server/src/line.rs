//! A connection's bytes. What hyper answers by itself, to a head that is no HTTP, gets the body of all other errors.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// How long, and how much, a client that was refused may go on sending. A connection that is closed before would be
/// reset, and the client would not read why.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST: usize = 8 << 20;

/// A stream on which refusals say why.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    refusal: Option<Box<Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    answer: &'static [u8],
    read: usize,
    end: Pin<Box<Sleep>>,
}

macro_rules! answer {
    ($status:literal, $length:literal, $message:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\nconnection: close\r\ncontent-type: application/json\r\n",
            "x-content-type-options: nosniff\r\ncontent-length: ",
            $length,
            "\r\n\r\n{\"error\":\"",
            $message,
            "\"}"
        )
    };
}

const BROKEN: &str = answer!(
    "400 Bad Request",
    "101",
    "The request is no valid HTTP/1.1: its first line or a header cannot be read, see RFC 9112"
);
const LONG_PATH: &str = answer!("414 URI Too Long", "53", "The URL is too long: at most 65,534 bytes");
const LARGE_HEAD: &str = answer!(
    "431 Request Header Fields Too Large",
    "74",
    "The headers are too large: at most 100 lines and 64 KiB in all"
);

/// What to say instead of `written`, if that is hyper's own refusal: a head alone, without any type.
fn refusal(written: &[u8]) -> Option<&'static str> {
    let rest = written.strip_prefix(b"HTTP/1.1 4")?;
    let holds = |part: &[u8]| rest.windows(part.len()).any(|window| window == part);
    if !rest.ends_with(b"\r\n\r\n") || !holds(b"content-length: 0\r\n") || holds(b"content-type:") {
        return None;
    }
    match rest.get(..2)? {
        b"00" => Some(BROKEN),
        b"14" => Some(LONG_PATH),
        b"31" => Some(LARGE_HEAD),
        _ => None,
    }
}

impl Line {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, refusal: None }
    }

    /// The stream below.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Takes `written` as written if it is a refusal.
    fn replace(&mut self, written: &[u8]) -> bool {
        let Some(answer) = refusal(written) else { return false };
        let end = Box::pin(tokio::time::sleep(PATIENCE));
        self.refusal = Some(Box::new(Refusal { answer: answer.as_bytes(), read: 0, end }));
        true
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(refusal) = &mut self.refusal {
            while !refusal.answer.is_empty() {
                let written = ready!(pin!(&mut self.stream).poll_write(cx, refusal.answer))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                refusal.answer = &refusal.answer[written..];
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hears a client out that was refused.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(refusal) = &mut self.refusal else { return Poll::Ready(()) };
        let mut space = [0; 4096];
        while refusal.read < MOST && refusal.end.as_mut().poll(cx).is_pending() {
            let mut rest = ReadBuf::new(&mut space);
            if ready!(pin!(&mut self.stream).poll_read(cx, &mut rest)).is_err() || rest.filled().is_empty() {
                break;
            }
            refusal.read += rest.filled().len();
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.replace(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        pin!(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices
            && self.replace(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        pin!(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        pin!(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(cx))?;
        ready!(pin!(&mut self.stream).poll_shutdown(cx))?;
        self.poll_drain(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_without_words_is_replaced_and_lengths_are_right() {
        for (status, answer) in [("400 Bad Request", BROKEN), ("414 x", LONG_PATH), ("431 x", LARGE_HEAD)] {
            let bare = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(refusal(bare.as_bytes()), Some(answer));
            assert_eq!(refusal(answer.as_bytes()), None);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head} {}", body.len());
            assert!(serde_json::from_str::<serde_json::Value>(body).unwrap()["error"].is_string());
        }
        for other in [
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n",
            "",
            "HTTP/1.1 4",
        ] {
            assert_eq!(refusal(other.as_bytes()), None, "{other}");
        }
    }
}
