//! What the listeners allow, and how much of it.

use std::fmt;
use std::time::Duration;

/// What the listeners allow, and how much of it.
#[derive(Clone)]
pub struct ServerConfig {
    /// Names (`host` or `host:port`) beside the loopback ones under which the service may be called.
    pub allowed_hosts: Vec<String>,
    /// Origins (`http://host:port`) whose pages may call the service, beside its own.
    pub allowed_origins: Vec<String>,
    /// The keys that callers must present one of; nobody needs one when there is none. A listener that other machines
    /// reach needs at least one, and each of at least [`ServerConfig::OPEN_KEY_BYTES`] bytes.
    pub api_keys: Vec<String>,
    /// The bounds.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Self::dashboard_origins(3848),
            api_keys: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl ServerConfig {
    /// How long a key must be, in bytes, on an address that other machines reach: sixteen random characters of base64
    /// are 96 bits, which nobody guesses over a network.
    pub const OPEN_KEY_BYTES: usize = 16;

    /// What `keys` lack to guard an address that other machines reach, as an instruction; never shows a key.
    #[must_use]
    pub fn too_open(keys: &[String]) -> Option<String> {
        if keys.is_empty() {
            return Some(
                "an API key is needed: set DCM_API_KEYS (openssl rand -base64 24 makes one)".to_owned(),
            );
        }
        let short = keys.iter().map(String::len).find(|length| *length < Self::OPEN_KEY_BYTES)?;
        Some(format!(
            "a key of {short} bytes in DCM_API_KEYS can be guessed there: give each at least {} bytes (openssl rand \
             -base64 24 makes one)",
            Self::OPEN_KEY_BYTES
        ))
    }

    /// The origins of a dashboard on this machine.
    #[must_use]
    pub fn dashboard_origins(port: u16) -> Vec<String> {
        vec![format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")]
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_origins", &self.allowed_origins)
            .field("api_keys", &format_args!("{} (hidden)", self.api_keys.len()))
            .field("limits", &self.limits)
            .finish()
    }
}

/// The bounds of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest body in bytes.
    pub body_bytes: usize,
    /// The largest body in bytes of ingest and of hooks.
    pub ingest_body_bytes: usize,
    /// How many connections at once; the next one is answered with 503.
    pub connections: usize,
    /// How long a caller may take for the head of a request, and how long a connection may idle.
    pub header_timeout: Duration,
    /// How long a caller may take for a body.
    pub body_timeout: Duration,
    /// How long an operation may take.
    pub request_timeout: Duration,
    /// How long requests in flight may take to end at shutdown.
    pub shutdown_timeout: Duration,
    /// How many WebSocket tokens are issued per minute.
    pub tokens_per_minute: u32,
    /// How many messages a WebSocket client may send per second, and twice as many at once; ten times as many where they
    /// only acknowledge.
    pub frames_per_second: u32,
    /// How often a WebSocket client is asked whether it is there.
    pub ping_interval: Duration,
    /// How long a WebSocket client may say nothing.
    pub ping_timeout: Duration,
    /// How long a WebSocket client may take to show a token where it must.
    pub auth_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            ingest_body_bytes: 32 << 20,
            connections: 1024,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(7),
            tokens_per_minute: 600,
            frames_per_second: 5000,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(60),
            auth_timeout: Duration::from_secs(10),
        }
    }
}

/// Reads an entry of [`ServerConfig::allowed_hosts`]: the name in lower case, and the port where one is given.
///
/// # Errors
///
/// What would be right.
pub fn parse_host(text: &str) -> Result<(String, Option<u16>), String> {
    const RIGHT: &str =
        "must be a host name or address, with a port or without, such as dcm.example or dcm.example:3847";
    let (name, port) = split_authority(text).ok_or(RIGHT)?;
    let port = match port {
        Some(port) => Some(port.parse().map_err(|_| RIGHT)?),
        None => None,
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let valid = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    if valid { Ok((name.to_ascii_lowercase(), port)) } else { Err(RIGHT.to_owned()) }
}

/// Reads an entry of [`ServerConfig::allowed_origins`].
///
/// # Errors
///
/// What would be right.
pub fn parse_origin(text: &str) -> Result<String, String> {
    let right = || {
        "must be an origin as browsers send it, such as http://localhost:3000 (no path, no slash at the end, no *)"
            .to_owned()
    };
    let (scheme, authority) = text.split_once("://").ok_or_else(right)?;
    let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !scheme_fits || parse_host(authority).is_err() {
        return Err(right());
    }
    Ok(text.to_ascii_lowercase())
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; brackets stay with the host.
pub(crate) fn split_authority(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let (name, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None => rest.is_empty().then_some((name, None)),
        };
    }
    match text.split_once(':') {
        Some((name, port)) => (!port.contains(':')).then_some((name, Some(port))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(parse_host("Dcm.Example"), Ok(("dcm.example".to_owned(), None)));
        assert_eq!(parse_host("dcm.example:81"), Ok(("dcm.example".to_owned(), Some(81))));
        assert_eq!(parse_host("[::1]:81"), Ok(("[::1]".to_owned(), Some(81))));
        for wrong in ["", "*", "http://a", "a/b", "a:b", "a:99999", "::1", "[::1", "[x]", "a b", ":80"] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn origins() {
        assert_eq!(parse_origin("HTTP://Localhost:3000").as_deref(), Ok("http://localhost:3000"));
        assert!(parse_origin("https://[::1]:3000").is_ok());
        for wrong in
            ["*", "localhost:3000", "http://a/", "http://a/b", "http://*.a", "null", "://a", "http://"]
        {
            assert!(parse_origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let config = ServerConfig { api_keys: vec!["very-secret".to_owned()], ..ServerConfig::default() };
        assert!(!format!("{config:?}").contains("very-secret"));
    }
}
