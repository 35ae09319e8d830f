//! Operations over HTTP.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dcm::api::wire::{WireRequest, from_response, to_request};
use dcm::api::{Execute, Method, Operation};
use dcm::{Error, ErrorKind, IdSource, Result};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use uuid::Uuid;

use crate::builder::ClientBuilder;
use crate::retry::{Backoff, Failure, is_repeatable, is_transient};

/// A connection to a DCM server; cheap to clone, all clones share their connections.
///
/// It has one method for each operation of the service, named as in the OpenAPI document. Errors are those of the
/// service, by [kind](dcm::ErrorKind); a server that cannot be reached is [`ErrorKind::Unavailable`], which
/// [`is_unreachable`] tells from a server that says so itself.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) keys: IdSource,
}

impl Client {
    /// A client for the server at `url`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when that is no URL of a server.
    pub fn new(url: impl Into<String>) -> Result<Self> {
        Self::builder().url(url).build()
    }

    /// A client with settings.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The server's URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.base
    }

    async fn call<O: Operation>(&self, operation: O) -> Result<O::Output> {
        let request = to_request(&operation)?;
        // One key for the call, not for the attempt: that is what makes the attempts one call.
        let key = (O::META.method == Method::POST).then(|| self.0.keys.next::<Uuid>().to_string());
        // Whether an earlier attempt may have been carried out although nobody said so.
        let may_be_done = AtomicBool::new(false);
        let attempt = || async {
            let outcome = self.attempt::<O>(&request, key.as_deref()).await;
            match outcome {
                // What was to be removed is gone; that it was there is for the earlier attempt to know.
                Err(failure)
                    if may_be_done.load(Ordering::Relaxed)
                        && O::META.method == Method::DELETE
                        && O::META.success == 204
                        && failure.error.kind() == ErrorKind::NotFound =>
                {
                    from_response::<O>(O::META.success, b"").map_err(Failure::from)
                }
                Err(failure) => {
                    if !failure.unsent && failure.error.kind() == ErrorKind::Unavailable {
                        may_be_done.store(true, Ordering::Relaxed);
                    }
                    Err(failure)
                }
                done => done,
            }
        };
        self.0.backoff.run(is_repeatable(O::META.method), attempt).await
    }

    async fn attempt<O: Operation>(
        &self,
        request: &WireRequest,
        key: Option<&str>,
    ) -> Result<O::Output, Failure> {
        let url = format!("{}{}", self.0.base, request.path_and_query);
        let mut http = match O::META.method {
            Method::GET => self.0.http.get(url),
            Method::POST => self.0.http.post(url),
            Method::PATCH => self.0.http.patch(url),
            Method::DELETE => self.0.http.delete(url),
        };
        if let Some(body) = &request.body {
            http = http.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        if let Some(key) = key {
            http = http.header("idempotency-key", key);
        }
        let response = http.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = response.bytes().await.map_err(|error| self.unreachable(error))?;
        from_response::<O>(status, &body).map_err(|error| Failure {
            error: match retry_after {
                Some(seconds) => error.with_retry_after(seconds),
                None => error,
            },
            transient: is_transient(status),
            unsent: false,
        })
    }

    /// The server gave no answer, or not all of it.
    pub(crate) fn unreachable(&self, error: reqwest::Error) -> Failure {
        // reqwest's own words repeat the URL; the innermost cause says what happened.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let message = if error.is_timeout() {
            format!("no answer from {} in time", self.0.base)
        } else {
            format!("cannot reach {}: {cause}", self.0.base)
        };
        let (transient, unsent) = (!error.is_builder(), error.is_connect());
        let error = Error::new(ErrorKind::Unavailable, message).with_source(error);
        Failure { error, transient, unsent }
    }
}

/// Whether `error` means that there was no server to answer, or none that answered in time.
#[must_use]
pub fn is_unreachable(error: &Error) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<reqwest::Error>)
}

impl<O: Operation> Execute<O> for Client {
    fn execute(&self, operation: O) -> impl Future<Output = Result<O::Output>> + Send {
        self.call(operation)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.0.base).finish_non_exhaustive()
    }
}

macro_rules! methods {
    ($(#[doc = $doc:literal] $method:ident $path:literal $id:ident($operation:ty) -> $output:ty = $success:literal, $tag:literal, $style:ident, $access:ident;)+) => {
        impl Client {
            $(
                #[doc = $doc]
                #[doc = ""]
                #[doc = concat!("`", stringify!($method), " ", $path, "`")]
                pub async fn $id(&self, operation: $operation) -> Result<$output> {
                    self.call(operation).await
                }
            )+
        }
    };
}

dcm::for_each_operation!(methods);
