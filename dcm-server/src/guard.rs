//! Who may call: host names, origins and keys.
//!
//! A service on a loopback address can be reached by every page in the user's browser. What keeps pages out is that a
//! browser cannot lie about `Host`, `Origin` and `Sec-Fetch-Site`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use dcm::{Error, ErrorKind};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::{ServerConfig, parse_host, parse_origin, split_authority};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The checks of one listener.
pub(crate) struct Guard {
    bound: SocketAddr,
    hosts: Vec<(String, Option<u16>)>,
    origins: Vec<String>,
    /// Hashes, so that comparing takes the same time whatever a caller presents.
    keys: Vec<[u8; 32]>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("hosts", &self.hosts)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

impl Guard {
    pub(crate) fn new(config: &ServerConfig, bound: SocketAddr) -> Result<Self, String> {
        if !bound.ip().is_loopback()
            && let Some(missing) = ServerConfig::too_open(&config.api_keys)
        {
            return Err(format!(
                "{bound} can be reached from other machines: {missing}, or set HOST=127.0.0.1"
            ));
        }
        let hosts = config
            .allowed_hosts
            .iter()
            .map(|host| parse_host(host).map_err(|right| format!("allowed host {host:?} {right}")))
            .collect::<Result<_, _>>()?;
        let origins = config
            .allowed_origins
            .iter()
            .map(|origin| parse_origin(origin).map_err(|right| format!("allowed origin {origin:?} {right}")))
            .collect::<Result<_, _>>()?;
        let keys = config.api_keys.iter().map(|key| Sha256::digest(key).into()).collect();
        Ok(Self { bound, hosts, origins, keys })
    }

    /// Whether the service may be called by the name in `Host`; without this a page could point a name of its own at
    /// 127.0.0.1 and be of the same origin. `local` is the address that the connection came in on.
    pub(crate) fn check_host(&self, parts: &Parts, local: IpAddr) -> Result<(), Error> {
        let mut given = parts.headers.get_all(HOST).iter();
        let (Some(host), None) = (given.next(), given.next()) else {
            return Err(Error::invalid("The request needs exactly one Host header"));
        };
        let shown = || String::from_utf8_lossy(&host.as_bytes()[..host.len().min(200)]).into_owned();
        let text = host.to_str().map_err(|_| Error::invalid("The Host header is not a host name"))?;
        if !self.host_is_allowed(text, local) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!(
                    "This server does not answer under the name {:?}; add it to DCM_ALLOWED_HOSTS",
                    shown()
                ),
            ));
        }
        // A request line with a whole URL names the host once more.
        match parts.uri.authority() {
            Some(authority) if !self.host_is_allowed(authority.as_str(), local) => {
                Err(Error::new(ErrorKind::Forbidden, "The URL names another host; see DCM_ALLOWED_HOSTS"))
            }
            _ => Ok(()),
        }
    }

    fn host_is_allowed(&self, text: &str, local: IpAddr) -> bool {
        let Some((name, port)) = split_authority(text) else { return false };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) => Some(port),
            Some(Err(_)) => return false,
        };
        if matches!(name, "localhost" | "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        let own = [self.bound.ip(), local.to_canonical()];
        if bare.parse::<IpAddr>().is_ok_and(|address| !address.is_unspecified() && own.contains(&address)) {
            return true;
        }
        self.hosts.iter().any(|(known, only)| {
            known.eq_ignore_ascii_case(name) && only.is_none_or(|only| port == Some(only))
        })
    }

    /// Whether the page that sent this may call; the origin that is to be told so, if it is not our own.
    ///
    /// `page` is for what may be followed from another site by a link: a page without data.
    pub(crate) fn check_origin(&self, headers: &HeaderMap, page: bool) -> Result<Option<HeaderValue>, Error> {
        let mut allowed = None;
        if let Some(origin) = headers.get(ORIGIN) {
            if self.origins.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes())) {
                allowed = Some(origin.clone());
            } else if !is_same_origin(origin, headers) {
                return Err(Error::new(
                    ErrorKind::Forbidden,
                    "Pages of this origin may not call this server; add the origin to ALLOWED_ORIGINS",
                ));
            }
        }
        let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
        let refused = match site {
            // Browsers set both headers themselves, so an origin that the operator allows may call from another site
            // too: to them `http://localhost:3848` and `http://127.0.0.1:3847` are two sites.
            Some(b"cross-site" | b"same-site") => allowed.is_none() && !(page && is_navigation(headers)),
            _ => false,
        };
        if refused {
            return Err(Error::new(ErrorKind::Forbidden, "Pages of other sites may not call this server"));
        }
        Ok(allowed)
    }

    /// Whether keys are needed, and none is presented.
    pub(crate) fn lacks_key(&self, headers: &HeaderMap) -> bool {
        !self.keys.is_empty() && !headers.contains_key(AUTHORIZATION)
    }

    /// Whether the caller holds a key, where one is needed.
    pub(crate) fn check_key(&self, headers: &HeaderMap) -> Result<(), Error> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let Some(given) = headers.get(AUTHORIZATION) else {
            return Err(Error::new(
                ErrorKind::Unauthorized,
                "An API key is needed: send it as Authorization: Bearer <one of DCM_API_KEYS>",
            ));
        };
        let given = given.as_bytes();
        let key = match given.split_at_checked(7) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"Bearer ") => key.trim_ascii(),
            _ => return Err(Error::new(ErrorKind::Unauthorized, "Authorization must be: Bearer <key>")),
        };
        let digest: [u8; 32] = Sha256::digest(key).into();
        // Every key is compared, to the end.
        let known = self.keys.iter().fold(Choice::from(0), |known, key| known | key.ct_eq(&digest));
        if bool::from(known) {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unauthorized, "The API key is wrong"))
        }
    }
}

/// Whether a page of this very listener asks.
fn is_same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.as_bytes();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    match (authority, headers.get(HOST)) {
        (Some(authority), Some(host)) => authority.eq_ignore_ascii_case(host.as_bytes()),
        _ => false,
    }
}

/// Whether the user follows a link in a window of its own (not in a frame).
fn is_navigation(headers: &HeaderMap) -> bool {
    let is =
        |name: HeaderName, value: &[u8]| headers.get(name).is_some_and(|given| given.as_bytes() == value);
    is(SEC_FETCH_MODE, b"navigate") && is(SEC_FETCH_DEST, b"document")
}
