//! Answers, and failures on their way to become answers.

use bytes::Bytes;
use dcm::{Error, ErrorKind};
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::Value;

/// What hyper writes.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Where the status says more than the kind of the error can.
    pub(crate) status: Option<StatusCode>,
    /// The methods that a path has.
    pub(crate) allow: Option<HeaderValue>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, status: None, allow: None }
    }
}

impl Failure {
    /// A failure with a status that no kind of error has.
    pub(crate) fn with_status(status: StatusCode, error: Error) -> Self {
        Self { error, status: Some(status), allow: None }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
            .or_else(|| StatusCode::from_u16(self.error.kind().status()).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer that the caller gets; what only the log may see is not in it.
    pub(crate) fn reply(&self, request_id: &HeaderValue) -> Reply {
        let status = self.status();
        let mut body = match self.error.kind() {
            // Whatever the message says: nothing of the inside leaves.
            ErrorKind::Internal => Error::internal("").to_body(),
            _ => self.error.to_body(),
        };
        if status.is_server_error()
            && let (Value::Object(members), Ok(id)) = (&mut body, request_id.to_str())
        {
            members.insert("request_id".to_owned(), id.into());
        }
        let mut reply = json(status, body.to_string());
        let headers = reply.headers_mut();
        if let Some(seconds) = self.error.retry_after_seconds() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = &self.allow {
            headers.insert(ALLOW, allow.clone());
        }
        if self.error.kind() == ErrorKind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"dcm\""));
        }
        reply
    }
}

/// A JSON answer; an empty body stays empty.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let body = body.into();
    if status == StatusCode::NO_CONTENT { empty(status) } else { with_type(status, "application/json", body) }
}

/// An answer of any media type.
pub(crate) fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}
