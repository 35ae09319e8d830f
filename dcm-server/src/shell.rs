//! What happens around every request: identity, checks, bounds, errors, panics.

use std::any::Any;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dcm::api::{Access, OperationMeta};
use dcm::{Dcm, Error, ErrorKind, IdempotencyKey};
use futures_util::FutureExt;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ALLOW,
    CACHE_CONTROL, CONTENT_LENGTH, HeaderName, HeaderValue, ORIGIN, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, StatusCode};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tracing::Instrument;

use crate::body;
use crate::config::{Limits, ServerConfig};
use crate::flight::Flights;
use crate::guard::Guard;
use crate::limit::PerMinute;
use crate::raw;
use crate::reply::{Failure, Reply, empty};
use crate::router::{Found, Handler, Input, Router, Target, allow, path_fields, query_fields};
use crate::serve::Role;
use crate::socket::{self, Offer, Slot};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Everything that the connections of one listener share.
#[derive(Debug)]
pub(crate) struct Shell {
    dcm: Dcm,
    router: Router,
    guard: Guard,
    limits: Limits,
    tokens: PerMinute,
    bound: SocketAddr,
    ids: RequestIds,
    flights: Flights,
    /// True when connections are to end.
    stop: watch::Receiver<bool>,
}

impl Shell {
    /// The shell of one listener; a configuration that cannot be is an error in words.
    pub(crate) fn new(
        role: Role,
        dcm: Dcm,
        config: &ServerConfig,
        bound: SocketAddr,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let mut router = Router::new();
        if role != Role::Ws {
            router.add_operations(&config.limits)?;
        }
        raw::add_routes(&mut router, role)?;
        Ok(Self {
            dcm,
            router,
            guard: Guard::new(config, bound)?,
            limits: config.limits.clone(),
            tokens: PerMinute::new(config.limits.tokens_per_minute),
            bound,
            ids: RequestIds::new(),
            flights: Flights::default(),
            stop,
        })
    }

    pub(crate) fn dcm(&self) -> &Dcm {
        &self.dcm
    }

    pub(crate) fn port(&self) -> u16 {
        self.bound.port()
    }

    #[cfg(test)]
    pub(crate) fn router_mut(&mut self) -> &mut Router {
        &mut self.router
    }

    /// Answers one request that came in on the address `local`, whatever it is.
    ///
    /// When it asks for a WebSocket and gets one, the connection is left in `slot`.
    pub(crate) async fn handle(
        self: Arc<Self>,
        local: IpAddr,
        mut request: Request<Incoming>,
        slot: Slot,
    ) -> Reply {
        let mut offer = socket::offer(&mut request);
        let (parts, mut body) = request.into_parts();
        let id = self.ids.next(&parts.headers);
        let mut cross_origin = None;
        // Disabled unless somebody wants that much in the log; then the engine's lines carry the id too.
        let span = tracing::debug_span!("request", id = id.to_str().unwrap_or_default());
        let answer = self.answer(&parts, &mut body, local, &mut cross_origin, (&mut offer, &slot));
        let answer = AssertUnwindSafe(answer.instrument(span));
        let answer = match answer.catch_unwind().await {
            Ok(answer) => answer,
            Err(panic) => Err(Error::internal(format!("panic: {}", panic_text(&*panic))).into()),
        };
        let mut reply = match answer {
            Ok(reply) => reply,
            Err(failure) => {
                log(&id, &parts, &failure);
                body::discard(&parts.headers, &mut body, &failure).await;
                failure.reply(&id)
            }
        };
        if parts.method == Method::HEAD {
            let length = reply.body().size_hint().exact().unwrap_or(0);
            reply.headers_mut().insert(CONTENT_LENGTH, length.into());
            *reply.body_mut() = Full::new(Bytes::new());
        }
        finish(reply.headers_mut(), id, cross_origin);
        reply
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        local: IpAddr,
        cross_origin: &mut Option<HeaderValue>,
        (offer, slot): (&mut Option<Result<Offer, Error>>, &Slot),
    ) -> Result<Reply, Failure> {
        self.guard.check_host(parts, local)?;
        let path = parts.uri.path();
        let found = self.router.find(&parts.method, path);
        let is_page = matches!(&found, Found::Route(route, _) if matches!(route.target, Target::Page(_)));
        *cross_origin = self.guard.check_origin(&parts.headers, is_page)?;
        if parts.method == Method::OPTIONS {
            return self.options(parts, cross_origin.is_some());
        }
        if !matches!(&found, Found::Route(route, _) if route.access == Access::Open) {
            self.guard.check_key(&parts.headers)?;
        }
        let (route, params) = match found {
            Found::Route(route, params) => (route, params),
            Found::OtherMethods(methods) => {
                let message = format!(
                    "Method {} is not allowed here, only {methods}",
                    shortened(parts.method.as_str())
                );
                let error = Error::new(ErrorKind::MethodNotAllowed, message);
                return Err(Failure { error, status: None, allow: allow(&methods) });
            }
            Found::Nothing => {
                let message = format!("Not found: {} {}", shortened(parts.method.as_str()), shortened(path));
                return Err(Error::new(ErrorKind::NotFound, message).into());
            }
        };
        match route.target {
            Target::Raw(reply) | Target::Page(reply) => Ok(reply(self)),
            Target::SocketHealth => Ok(raw::socket_health(self).await),
            Target::Socket(reply) => match offer.take() {
                None => Ok(reply(self)),
                Some(offer) => {
                    // A browser cannot present a key, and shows a token later; a wrong one is refused at once.
                    let locked = self.guard.lacks_key(&parts.headers);
                    if !locked {
                        self.guard.check_key(&parts.headers)?;
                    }
                    let (dcm, limits, stop) = (self.dcm.clone(), self.limits.clone(), self.stop.clone());
                    Ok(offer?.accept(slot, dcm, limits, parts.uri.query(), locked, stop)?)
                }
            },
            Target::Operation { meta, handler, body_limit } => {
                let query = match parts.uri.query() {
                    Some(query) if !meta.method.has_body() || !meta.query.is_empty() => query_fields(query)?,
                    _ => Vec::new(),
                };
                let mut input = Input { path: path_fields(&params)?, query, body: Bytes::new() };
                if meta.method.has_body() {
                    body::check_encoding(&parts.headers)?;
                    input.body = body::read(body, body_limit, self.limits.body_timeout).await?;
                }
                self.carry_out(parts, meta, handler, input).await
            }
        }
    }

    async fn carry_out(
        &self,
        parts: &Parts,
        meta: &OperationMeta,
        handler: Handler,
        input: Input,
    ) -> Result<Reply, Failure> {
        if meta.id == "auth_token" {
            self.tokens.admit(Instant::now())?;
        }
        let dcm = match idempotency_key(parts, &input.body)? {
            Some(key) => self.dcm.with_idempotency_key(key),
            // Who asks for the head of an answer does not get to read it.
            None if parts.method == Method::HEAD => self.dcm.looking_only(),
            None => self.dcm.clone(),
        };
        let answer = async {
            let asked = parts.uri.path_and_query().filter(|_| meta.method == dcm::api::Method::GET);
            match asked {
                Some(asked) if parts.method == Method::HEAD => {
                    self.flights.share(&format!("HEAD {asked}"), handler(dcm, input)).await
                }
                Some(asked) => self.flights.share(asked.as_str(), handler(dcm, input)).await,
                None => handler(dcm, input).await,
            }
        };
        match tokio::time::timeout(self.limits.request_timeout, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(too_slow(self.limits.request_timeout).into()),
        }
    }

    /// Answers OPTIONS: what a page may send, or what methods a path has.
    fn options(&self, parts: &Parts, cross_origin: bool) -> Result<Reply, Failure> {
        let mut reply = empty(StatusCode::NO_CONTENT);
        let headers = reply.headers_mut();
        if parts.headers.contains_key(ORIGIN) && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            if cross_origin {
                let methods = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE");
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
                let sent =
                    HeaderValue::from_static("authorization, content-type, idempotency-key, x-request-id");
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, sent);
                headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            }
            return Ok(reply);
        }
        let path = parts.uri.path();
        match self.router.methods_of(path) {
            Some(methods) => {
                if let Some(methods) = allow(&methods) {
                    headers.insert(ALLOW, methods);
                }
                Ok(reply)
            }
            None => Err(Error::new(ErrorKind::NotFound, format!("Not found: {}", shortened(path))).into()),
        }
    }
}

/// The `Idempotency-Key` of a POST, bound to what is asked.
fn idempotency_key(parts: &Parts, body: &Bytes) -> Result<Option<IdempotencyKey>, Error> {
    if parts.method != Method::POST {
        return Ok(None);
    }
    let mut keys = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let invalid = |complaint| Error::invalid_field("Validation failed", "Idempotency-Key", complaint);
    if keys.next().is_some() {
        return Err(invalid("must be given once"));
    }
    let printable =
        |key: &&str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let Some(key) = key.to_str().ok().filter(printable) else {
        return Err(invalid("must have 1 to 255 printable ASCII characters"));
    };
    let mut hash = Sha256::new();
    // Each part ends in a character that it cannot hold itself.
    hash.update(parts.method.as_str());
    hash.update(" ");
    hash.update(parts.uri.path());
    hash.update("?");
    hash.update(parts.uri.query().unwrap_or_default());
    hash.update("\n");
    hash.update(body);
    let mut fingerprint = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(fingerprint, "{byte:02x}");
    }
    Ok(Some(IdempotencyKey { key: key.to_owned(), fingerprint }))
}

fn too_slow(patience: Duration) -> Error {
    let message = format!(
        "The request was given up after {} s; whether it was carried out is not known, an Idempotency-Key makes it safe to repeat",
        patience.as_secs()
    );
    Error::new(ErrorKind::Unavailable, message).with_retry_after(1)
}

/// The headers that every answer has.
fn finish(headers: &mut HeaderMap, id: HeaderValue, cross_origin: Option<HeaderValue>) {
    headers.insert(REQUEST_ID, id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = cross_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    }
}

fn log(id: &HeaderValue, parts: &Parts, failure: &Failure) {
    let error = &failure.error;
    let status = failure.status();
    let request_id = id.to_str().unwrap_or_default();
    let (method, path) = (parts.method.as_str(), shortened(parts.uri.path()));
    if status.is_server_error() {
        let cause = causes(error);
        let detail = error.log_detail();
        tracing::error!(
            request_id,
            method,
            path,
            status = status.as_u16(),
            detail,
            cause,
            "{}",
            error.message()
        );
    } else {
        // Names of fields and what would be right, never what was sent.
        tracing::info!(request_id, method, path, status = status.as_u16(), "{error}");
    }
}

/// The errors that caused this one, the nearest first.
fn causes(error: &Error) -> Option<String> {
    let mut next = std::error::Error::source(error);
    let mut text: Option<String> = None;
    while let Some(cause) = next {
        let text = text.get_or_insert_default();
        if !text.is_empty() {
            text.push_str(": ");
        }
        let _ = write!(text, "{cause}");
        next = cause.source();
    }
    text
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without a message",
    }
}

/// The beginning of what a caller sent, for messages; paths and methods are ASCII.
fn shortened(text: &str) -> &str {
    text.get(..200).unwrap_or(text)
}

/// Numbers requests, so that an answer can be found in the log.
#[derive(Debug)]
struct RequestIds {
    /// Different in every process.
    prefix: String,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let seed = RandomState::new().build_hasher().finish() & 0xffff_ffff;
        Self { prefix: format!("{seed:08x}-"), next: AtomicU64::new(1) }
    }

    /// The caller's own id where it sent a decent one.
    fn next(&self, headers: &HeaderMap) -> HeaderValue {
        let decent = |id: &&HeaderValue| {
            (1..=64).contains(&id.len())
                && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
        };
        if let Some(given) = headers.get(REQUEST_ID).filter(decent) {
            return given.clone();
        }
        let mut text = String::with_capacity(self.prefix.len() + 12);
        text.push_str(&self.prefix);
        let _ = write!(text, "{:x}", self.next.fetch_add(1, Ordering::Relaxed));
        HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}
