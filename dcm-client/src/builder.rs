//! How a client is put together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dcm::{Error, IdSource, Result, SystemClock};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Url, header};

use crate::client::{Client, Inner};
use crate::retry::Backoff;

/// Where a server that was started without any settings listens.
pub const DEFAULT_URL: &str = "http://127.0.0.1:3847";

/// Settings of a [`Client`].
#[derive(Clone)]
pub struct ClientBuilder {
    url: String,
    api_key: Option<String>,
    timeout: Duration,
    user_agent: String,
    backoff: Backoff,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            url: DEFAULT_URL.to_owned(),
            api_key: None,
            timeout: Duration::from_secs(30),
            user_agent: concat!("dcm-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            backoff: Backoff {
                retries: 3,
                first: Duration::from_millis(100),
                longest: Duration::from_secs(5),
            },
        }
    }
}

impl ClientBuilder {
    /// The server, such as `http://127.0.0.1:3847`; a path in it is a prefix of every path. [`DEFAULT_URL`] unless
    /// given.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// The key that the server asks for, sent as `Authorization: Bearer`.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// How long one attempt may take, from connecting to the last byte of the answer; 30 seconds unless given.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a failed call is tried again; 3 times unless given, 0 for never.
    ///
    /// Tried again are GET, DELETE and POST (whose `Idempotency-Key` is the same in every attempt) after a failed or
    /// lost connection, a timeout, or a status 429, 502, 503 or 504; PATCH only when no connection could be made. The waiting time doubles from attempt to attempt,
    /// with jitter; a `Retry-After` of the server counts instead, if it is longer.
    #[must_use]
    pub fn retries(mut self, retries: usize) -> Self {
        self.backoff.retries = retries;
        self
    }

    /// How long to wait before the second attempt, and at most before any; 100 ms and 5 s unless given.
    ///
    /// When the server asks for more than the longest wait, the call fails at once, with what the server asked for in
    /// [`Error::retry_after_seconds`].
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        (self.backoff.first, self.backoff.longest) = (first, longest);
        self
    }

    /// What to call this program in `User-Agent`.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// [`dcm::ErrorKind::Invalid`], naming the setting that cannot be used.
    pub fn build(self) -> Result<Client> {
        let url = checked_url(&self.url)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}"))
                .map_err(|_| Error::invalid_field("Invalid API key", "api_key", "must be printable ASCII"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let agent = HeaderValue::try_from(&self.user_agent).map_err(|_| {
            Error::invalid_field("Invalid user agent", "user_agent", "must be printable ASCII")
        })?;
        let mut http = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(agent)
            .timeout(self.timeout)
            // DCM never redirects, and a followed redirect would turn a POST into a GET.
            .redirect(Policy::none());
        if is_loopback(&url) {
            // A proxy cannot reach this machine's loopback for us.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Error::internal("HTTP client").with_source(error))?;
        Ok(Client(Arc::new(Inner {
            http,
            base: url.as_str().trim_end_matches('/').to_owned(),
            timeout: self.timeout,
            backoff: self.backoff,
            keys: IdSource::new(Arc::new(SystemClock)),
        })))
    }
}

pub(crate) fn checked_url(text: &str) -> Result<Url> {
    let complain = |complaint: &str| Error::invalid_field(format!("Invalid URL {text:?}"), "url", complaint);
    let url = Url::parse(text.trim()).map_err(|_| complain("must be a URL such as http://127.0.0.1:3847"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(complain("must begin with http:// or https:// and name a host"));
    }
    if url.username() != "" || url.password().is_some() {
        // Without the text: it holds a password.
        return Err(Error::invalid_field(
            "Invalid URL",
            "url",
            "must not hold a user or password; use an API key",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(complain("must not have a query or fragment"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("url", &self.url)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("timeout", &self.timeout)
            .field("user_agent", &self.user_agent)
            .field("backoff", &self.backoff)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_named() {
        for (url, complaint) in [
            ("", "such as"),
            ("127.0.0.1:3847", "such as"),
            ("ftp://host", "http://"),
            ("http://host/?a=b", "query"),
            ("http://user:secret@host", "API key"),
        ] {
            let error = Client::builder().url(url).build().unwrap_err();
            assert_eq!(error.kind(), dcm::ErrorKind::Invalid);
            assert!(error.details().unwrap()["url"][0].contains(complaint), "{url}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
        let error = Client::builder().api_key("a\nb").build().unwrap_err();
        assert!(error.details().unwrap().contains_key("api_key"));
    }

    #[test]
    fn keys_are_not_printed() {
        let builder = Client::builder().api_key("secret");
        assert!(!format!("{builder:?}").contains("secret"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("secret"));
    }

    #[test]
    fn loopback_addresses() {
        for (url, expected) in [
            ("http://127.0.0.1:3847", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
