//! Calls of the REST interface, the way a test wants to write them.

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::server::{PATIENCE, Server};

/// Calls one server; cheap to clone, and independent of the [`Server`] that it came from.
#[derive(Debug, Clone)]
pub struct Calls {
    http: Client,
    url: String,
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The body, byte by byte what came over the wire.
    pub body: String,
}

impl Server {
    /// Calls of its REST interface, on its own connections.
    #[must_use]
    pub fn calls(&self) -> Calls {
        Calls { http: self.http().clone(), url: self.api() }
    }
}

impl Calls {
    /// The same server over connections that nobody else uses.
    #[must_use]
    pub fn apart(&self) -> Self {
        let http = Client::builder().no_proxy().timeout(PATIENCE).build().expect("an HTTP client");
        Self { http, url: self.url.clone() }
    }

    /// Any call; the error is that no answer came.
    pub async fn attempt(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer { status: answer.status().as_u16(), retry_after, body: answer.text().await? })
    }

    /// Any call that is answered.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let answer = self.attempt(method.clone(), path, None, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// A GET that succeeds.
    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.success()
    }

    /// A POST that succeeds.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, Some(body)).await.success()
    }

    /// A PATCH that succeeds.
    pub async fn patch(&self, path: &str, body: &Value) -> Value {
        self.call(Method::PATCH, path, Some(body)).await.success()
    }

    /// A DELETE that succeeds.
    pub async fn delete(&self, path: &str) -> Value {
        self.call(Method::DELETE, path, None).await.success()
    }

    /// A POST under an `Idempotency-Key`, however it is answered.
    pub async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let answer = self.attempt(Method::POST, path, Some(key), Some(body)).await;
        answer.unwrap_or_else(|error| panic!("POST {path}: {error:?}"))
    }
}

impl Answer {
    /// The body as JSON; null when there is none.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body as JSON; the test fails unless the status is 2xx.
    #[must_use]
    pub fn success(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }
}
