//! Reading a request's body within its bounds.

use std::time::Duration;

use bytes::Bytes;
use dcm::{Error, ErrorKind};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, EXPECT};
use hyper::{HeaderMap, StatusCode};

use crate::reply::Failure;

/// How much of a body that is not wanted is still read: closing a connection with unread bytes in it resets it, and a
/// caller who writes first and reads then would never see the answer.
const DRAINED_BYTES: usize = 64 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(5);

/// A body is read as it is: what is compressed would only be no JSON.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Failure> {
    let other = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if other.is_none() {
        return Ok(());
    }
    let message = "Content-Encoding must be identity, or absent: bodies are not decompressed";
    Err(Failure::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, Error::invalid(message)))
}

/// Reads the body, at most `limit` bytes of it and at most for `patience`.
pub(crate) async fn read(body: &mut Incoming, limit: usize, patience: Duration) -> Result<Bytes, Failure> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let read = tokio::time::timeout(patience, Limited::new(&mut *body, limit).collect()).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(too_large(limit))
        }
        Ok(Err(error)) => Err(Error::invalid("The body ended too early, or its chunks cannot be read")
            .with_source(error)
            .into()),
        Err(_) => {
            let message = format!("The body did not arrive within {} s", patience.as_secs());
            Err(Failure::with_status(StatusCode::REQUEST_TIMEOUT, Error::invalid(message)))
        }
    }
}

/// Reads what is left of the body of a request that was refused.
pub(crate) async fn discard(headers: &HeaderMap, body: &mut Incoming, failure: &Failure) {
    // A caller who waits for "100 Continue" has sent nothing yet, and one who was too slow will not hurry now.
    if !headers.contains_key(EXPECT) && failure.status() != StatusCode::REQUEST_TIMEOUT {
        drain(body).await;
    }
}

fn too_large(limit: usize) -> Failure {
    let message = format!("The body is larger than the limit of {limit} bytes ({} MiB)", limit >> 20);
    Error::new(ErrorKind::TooLarge, message).into()
}

/// Reads on and throws away, within bounds.
async fn drain(body: &mut Incoming) {
    if body.is_end_stream() {
        return;
    }
    let mut left = DRAINED_BYTES;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether all of it came makes no difference to the answer.
    let _ = tokio::time::timeout(DRAINED_FOR, reading).await;
}
