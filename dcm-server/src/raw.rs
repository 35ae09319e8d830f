//! The few routes beside the operation table.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use dcm::api::system::Health;
use dcm::api::{Access, Execute};
use dcm::{Clock, SystemClock, Timestamp};
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use hyper::{Method, StatusCode};
use serde::Serialize;

use crate::reply::{Reply, empty, json, with_type};
use crate::router::{Route, Router, Target};
use crate::serve::Role;
use crate::shell::Shell;

/// The status page may only run what this listener itself serves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Adds what `role` serves beside the table.
pub(crate) fn add_routes(router: &mut Router, role: Role) -> Result<(), String> {
    let mut get = |path, access, target| router.add(&Method::GET, path, Route { access, target });
    match role {
        Role::Api => {
            get("/ws", Access::Open, Target::Socket(no_upgrade))?;
            get("/openapi.json", Access::Key, Target::Raw(openapi))
        }
        Role::Dashboard => {
            get("/ws", Access::Open, Target::Socket(no_upgrade))?;
            get("/openapi.json", Access::Key, Target::Raw(openapi))?;
            get("/", Access::Open, Target::Page(page))?;
            get("/status.css", Access::Open, Target::Raw(style))?;
            get("/status.js", Access::Open, Target::Raw(script))
        }
        Role::Ws => {
            get("/health", Access::Open, Target::SocketHealth)?;
            get("/stats", Access::Key, Target::Raw(socket_stats))?;
            get("/", Access::Open, Target::Socket(no_upgrade))?;
            get("/ws", Access::Open, Target::Socket(no_upgrade))
        }
    }
}

fn openapi(_: &Shell) -> Reply {
    // Written when somebody asks for it first, so that it costs nothing at start.
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| dcm::api::openapi::document().to_string().into());
    json(StatusCode::OK, document.clone())
}

fn page(_: &Shell) -> Reply {
    let mut reply = with_type(StatusCode::OK, "text/html; charset=utf-8", include_str!("page/status.html"));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    reply
}

fn style(_: &Shell) -> Reply {
    with_type(StatusCode::OK, "text/css; charset=utf-8", include_str!("page/status.css"))
}

fn script(_: &Shell) -> Reply {
    with_type(StatusCode::OK, "text/javascript; charset=utf-8", include_str!("page/status.js"))
}

/// Who is connected to this process, and what they have not acknowledged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SocketCounts {
    connected_clients: usize,
    active_channels: usize,
    channel_stats: BTreeMap<String, usize>,
    pending_deliveries: usize,
}

impl SocketCounts {
    fn of(shell: &Shell) -> Self {
        let stats = shell.dcm().delivery_stats();
        Self {
            connected_clients: stats.clients,
            active_channels: stats.channels.len(),
            channel_stats: stats.channels,
            pending_deliveries: stats.unacknowledged,
        }
    }
}

#[derive(Debug, Serialize)]
struct SocketHealth {
    status: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    port: u16,
    #[serde(flatten)]
    counts: SocketCounts,
    timestamp: Timestamp,
}

/// Sockets without their store carry nothing.
pub(crate) async fn socket_health(shell: &Shell) -> Reply {
    let is_well = shell.dcm().execute(Health {}).await.is_ok_and(|report| report.status == "healthy");
    let (code, status) =
        if is_well { (StatusCode::OK, "healthy") } else { (StatusCode::SERVICE_UNAVAILABLE, "unhealthy") };
    let health = SocketHealth {
        status,
        kind: "websocket",
        port: shell.port(),
        counts: SocketCounts::of(shell),
        timestamp: SystemClock.now(),
    };
    written(code, &health)
}

fn socket_stats(shell: &Shell) -> Reply {
    written(StatusCode::OK, &SocketCounts::of(shell))
}

fn written(code: StatusCode, body: &impl Serialize) -> Reply {
    match serde_json::to_vec(body) {
        Ok(body) => json(code, body),
        // Numbers and words always have a JSON form.
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn no_upgrade(_: &Shell) -> Reply {
    with_type(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", "WebSocket upgrade failed")
}
