//! Calls that are sent as they were kept, and may not take long: blocking, with a deadline each.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::place::Server;
use crate::Client;

/// What the program calls itself.
pub(super) const USER_AGENT: &str = concat!("dcm/", env!("CARGO_PKG_VERSION"));

/// The largest answer that is read.
const MOST_BYTES: u64 = 8 << 20;

/// A server did not answer, or not in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Away {
    /// It refused or dropped the connection: that costs no time.
    Gone,
    /// It let the deadline pass.
    Slow,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A way to a server.
pub(super) enum Wire {
    /// `http://`: a plain client that starts in microseconds, without TLS, runtime or pool.
    Plain { agent: ureq::Agent, server: Server },
    /// Everything else.
    Full { runtime: tokio::runtime::Runtime, client: Client },
}

impl Wire {
    /// `None` when the settings cannot be used; the commands that are not hooks say why.
    pub(super) fn to(server: &Server) -> Option<Self> {
        if server.url.starts_with("http://") {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .user_agent(USER_AGENT)
                .build();
            let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Addresses::default());
            return Some(Self::Plain { agent, server: server.clone() });
        }
        let mut builder = Client::builder().url(&*server.url).retries(0).user_agent(USER_AGENT);
        if let Some(key) = &server.api_key {
            builder = builder.api_key(key);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        Some(Self::Full { runtime, client: builder.build().ok()? })
    }

    /// Sends JSON and waits for the answer until `deadline`.
    pub(super) fn post(
        &self,
        path_and_query: &str,
        key: Option<&str>,
        body: &str,
        deadline: Instant,
    ) -> Result<Answer, Away> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Away::Slow);
        }
        match self {
            Self::Plain { agent, server } => plain(agent, server, path_and_query, key, body, left),
            Self::Full { runtime, client } => runtime.block_on(full(client, path_and_query, key, body, left)),
        }
    }
}

/// Knows addresses by themselves; a thread of its own looks up names.
#[derive(Debug, Default)]
struct Addresses(DefaultResolver);

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().map(|host| host.trim_matches(['[', ']']));
        let Some(address) = host.and_then(|host| host.parse::<IpAddr>().ok()) else {
            return self.0.resolve(uri, config, timeout);
        };
        let mut found = self.empty();
        found.push(SocketAddr::new(address, uri.port_u16().unwrap_or(80)));
        Ok(found)
    }
}

fn plain(
    agent: &ureq::Agent,
    server: &Server,
    path_and_query: &str,
    key: Option<&str>,
    body: &str,
    left: Duration,
) -> Result<Answer, Away> {
    let mut request =
        agent.post(format!("{}{path_and_query}", server.url)).header("Content-Type", "application/json");
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    if let Some(api_key) = &server.api_key {
        request = request.header("Authorization", format!("Bearer {api_key}"));
    }
    let away =
        |error: ureq::Error| if matches!(error, ureq::Error::Timeout(_)) { Away::Slow } else { Away::Gone };
    let mut response = request.config().timeout_global(Some(left)).build().send(body).map_err(away)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec().map_err(away)?;
    Ok(Answer { status, body })
}

async fn full(
    client: &Client,
    path_and_query: &str,
    key: Option<&str>,
    body: &str,
    left: Duration,
) -> Result<Answer, Away> {
    let mut request = client
        .0
        .http
        .post(format!("{}{path_and_query}", client.url()))
        .header(CONTENT_TYPE, "application/json")
        .timeout(left)
        .body(body.to_owned());
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let away = |error: reqwest::Error| if error.is_timeout() { Away::Slow } else { Away::Gone };
    let response = request.send().await.map_err(away)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(away)?;
    Ok(Answer { status, body: body.to_vec() })
}
