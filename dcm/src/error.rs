//! One error type, closed kinds, and the single table from kind to HTTP status.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// The result of every DCM call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a closed set that callers can match on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input is not what the operation takes.
    Invalid,
    /// A key or token is missing or wrong.
    Unauthorized,
    /// The caller is known but may not do this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The route exists, but not with this method.
    MethodNotAllowed,
    /// It exists already.
    Conflict,
    /// The body is larger than the limit.
    TooLarge,
    /// The idempotency key was used before with another body.
    KeyReused,
    /// Too many requests from this caller.
    RateLimited,
    /// DCM itself failed; the details are in the log.
    Internal,
    /// The store is away or the queue is full; the same call may succeed later.
    Unavailable,
}

impl ErrorKind {
    /// Every kind with its HTTP status: the one place that maps between the two.
    const STATUS: [(Self, u16); 11] = [
        (Self::Invalid, 400),
        (Self::Unauthorized, 401),
        (Self::Forbidden, 403),
        (Self::NotFound, 404),
        (Self::MethodNotAllowed, 405),
        (Self::Conflict, 409),
        (Self::TooLarge, 413),
        (Self::KeyReused, 422),
        (Self::RateLimited, 429),
        (Self::Internal, 500),
        (Self::Unavailable, 503),
    ];

    /// The HTTP status of this kind.
    #[must_use]
    pub fn status(self) -> u16 {
        Self::STATUS.iter().find(|(kind, _)| *kind == self).map_or(500, |(_, status)| *status)
    }

    /// The kind that an HTTP status stands for; statuses that DCM does not send are mapped by their class.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match Self::STATUS.iter().find(|(_, known)| *known == status) {
            Some((kind, _)) => *kind,
            None if (400..500).contains(&status) => Self::Invalid,
            None if (502..=504).contains(&status) => Self::Unavailable,
            None => Self::Internal,
        }
    }
}

/// Complaints about fields, by field name, in alphabetical order.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

/// A failed DCM call.
///
/// The text of [`fmt::Display`] is for the caller and never holds SQL, paths or secrets. What the log needs beyond
/// it is in [`Error::log_detail`] and in the source.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    details: Option<FieldErrors>,
    extra: Map<String, Value>,
    log_detail: Option<String>,
    retry_after_seconds: Option<u32>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` whose `message` the caller may read.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            details: None,
            extra: Map::new(),
            log_detail: None,
            retry_after_seconds: None,
            source: None,
        }))
    }

    /// Bad input, as a whole.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Bad input in one field.
    #[must_use]
    pub fn invalid_field(message: impl Into<String>, field: &str, complaint: impl Into<String>) -> Self {
        Self::invalid(message).with_details(FieldErrors::from([(field.to_owned(), vec![complaint.into()])]))
    }

    /// `what` ("Task", "Project") does not exist.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} not found"))
    }

    /// DCM failed; `detail` goes to the log, never to the caller.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Internal, "internal error");
        error.0.log_detail = Some(detail.into());
        error
    }

    /// The store is away; `detail` goes to the log.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let mut error =
            Self::new(ErrorKind::Unavailable, "the store is not available right now, try again shortly");
        error.0.log_detail = Some(detail.into());
        error.with_retry_after(1)
    }

    /// Adds complaints by field.
    #[must_use]
    pub fn with_details(mut self, details: FieldErrors) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Adds one more member to the error body (`{"error": …, "id": …}`).
    #[must_use]
    pub fn with_extra(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Tells the caller after how many seconds to try again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// Chains the error that caused this one; it is for the log.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The complaints by field, if the input was at fault.
    #[must_use]
    pub fn details(&self) -> Option<&FieldErrors> {
        self.0.details.as_ref()
    }

    /// What only the log may see.
    #[must_use]
    pub fn log_detail(&self) -> Option<&str> {
        self.0.log_detail.as_deref()
    }

    /// After how many seconds the caller may try again, where that is known.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.0.retry_after_seconds
    }

    /// The body that the wire carries: `{"error": …, "details"?: {field: […]}, …}`.
    #[must_use]
    pub fn to_body(&self) -> Value {
        let mut body = Map::new();
        body.insert("error".to_owned(), Value::String(self.0.message.clone()));
        if let Some(details) = &self.0.details {
            body.insert("details".to_owned(), serde_json::json!(details));
        }
        body.extend(self.0.extra.clone());
        Value::Object(body)
    }

    /// Rebuilds the error that a status and body of the wire stand for; the inverse of [`Error::to_body`].
    #[must_use]
    pub fn from_body(status: u16, body: &Value) -> Self {
        let message = body.get("error").and_then(Value::as_str);
        let mut error = Self::new(
            ErrorKind::from_status(status),
            message.map_or_else(|| format!("the server answered with status {status}"), str::to_owned),
        );
        error.0.details =
            body.get("details").and_then(|details| serde_json::from_value(details.clone()).ok());
        if let Some(members) = body.as_object() {
            error.0.extra = members
                .iter()
                .filter(|(name, _)| *name != "error" && *name != "details")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
        }
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (field, complaints) in self.0.details.iter().flatten() {
            write!(f, "; {field} {}", complaints.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("details", &self.0.details)
            .field("log_detail", &self.0.log_detail)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_statuses_are_one_to_one() {
        for (kind, status) in ErrorKind::STATUS {
            assert_eq!(ErrorKind::from_status(status), kind);
            assert_eq!(kind.status(), status);
        }
        assert_eq!(ErrorKind::from_status(418), ErrorKind::Invalid);
        assert_eq!(ErrorKind::from_status(502), ErrorKind::Unavailable);
    }

    #[test]
    fn the_body_round_trips_and_hides_the_log_detail() {
        let error = Error::new(ErrorKind::Conflict, "Session already exists").with_extra("id", "s-1");
        assert_eq!(error.to_body(), serde_json::json!({"error": "Session already exists", "id": "s-1"}));
        let back = Error::from_body(409, &error.to_body());
        assert_eq!(back.kind(), ErrorKind::Conflict);
        assert_eq!(back.to_body(), error.to_body());

        let internal = Error::internal("relation \"tasks\" does not exist");
        assert!(!internal.to_body().to_string().contains("relation"));
        assert!(!internal.to_string().contains("relation"));
    }
}
