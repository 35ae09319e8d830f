//! WebSocket connections: the upgrade, and what a connection is given for its life.

mod connection;
mod frames;
mod pace;
mod reader;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use dcm::{Dcm, Error};
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use hyper::{HeaderMap, Request, Response, Version};
use tokio::sync::watch;

use crate::config::Limits;
use crate::reply::Reply;
use crate::router::query_fields;

pub(crate) use connection::serve;

/// What a request offers to become: kept until it is known whether it may.
pub(crate) struct Offer {
    reply: Reply,
    upgrade: UpgradeFut,
}

/// A connection whose request was answered with 101.
pub(crate) struct Accepted {
    pub(crate) upgrade: UpgradeFut,
    pub(crate) dcm: Dcm,
    pub(crate) limits: Limits,
    /// What the URL says of who connects; it counts when `auth` leaves it out.
    pub(crate) agent_id: Option<String>,
    pub(crate) session_id: Option<String>,
    /// Whether nothing may be heard or said before a token was shown: there are keys, and none was presented.
    pub(crate) locked: bool,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Where the request leaves its connection for whoever accepted it.
pub(crate) type Slot = Arc<Mutex<Option<Accepted>>>;

/// Takes the offer of a request that asks for a WebSocket; an error says what is wrong with how it asks.
pub(crate) fn offer(request: &mut Request<Incoming>) -> Option<Result<Offer, Error>> {
    if !is_upgrade_request(request) {
        return None;
    }
    Some(check(request.headers(), request.version()).and_then(|()| {
        let (reply, upgrade) = upgrade(request).map_err(|_| Error::invalid("WebSocket upgrade failed"))?;
        let (parts, _) = reply.into_parts();
        Ok(Offer { reply: Response::from_parts(parts, Full::new(Bytes::new())), upgrade })
    }))
}

fn check(headers: &HeaderMap, version: Version) -> Result<(), Error> {
    let failed =
        |field: &str, right: &str| Err(Error::invalid_field("WebSocket upgrade failed", field, right));
    if version != Version::HTTP_11 {
        return failed("HTTP", "must be version 1.1");
    }
    // 16 random bytes in Base64.
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    if !key.is_some_and(|key| key.len() == 24 && key.ends_with(b"==")) {
        return failed("Sec-WebSocket-Key", "must be 16 bytes in Base64");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return failed("Sec-WebSocket-Version", "must be 13");
    }
    Ok(())
}

impl Offer {
    /// Accepts: the answer, and the connection left in `slot`.
    pub(crate) fn accept(
        self,
        slot: &Slot,
        dcm: Dcm,
        limits: Limits,
        query: Option<&str>,
        locked: bool,
        stop: watch::Receiver<bool>,
    ) -> Result<Reply, Error> {
        let mut fields: HashMap<String, String> =
            query.map(query_fields).transpose()?.unwrap_or_default().into_iter().collect();
        let accepted = Accepted {
            upgrade: self.upgrade,
            dcm,
            limits,
            agent_id: fields.remove("agent_id"),
            session_id: fields.remove("session_id"),
            locked,
            stop,
        };
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
        Ok(self.reply)
    }
}
