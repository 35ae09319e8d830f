//! A real HTTP server whose answers the test decides.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Answers = dyn Fn(&Asked) -> Answer + Send + Sync;

/// What the server does with the next request.
pub(crate) enum Answer {
    Json(u16, Value),
    /// With a `Retry-After` in seconds.
    Later(u16, u32),
    /// Takes the request and hangs up.
    HangUp,
    /// Takes the request and never answers.
    Silence,
}

/// What the server was asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) key: Option<String>,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server whose answers are these, in their order.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start_at("127.0.0.1:0", answers).await
    }

    /// The same at an address of the test's choice.
    pub(crate) async fn start_at(address: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Mutex::new(answers.into_iter().collect::<VecDeque<_>>());
        let next = move |_: &Asked| answers.lock().unwrap().pop_front().expect("an unexpected request");
        Self::answering_on(TcpListener::bind(address).await.unwrap(), next)
    }

    /// A server that answers as `answers` says.
    pub(crate) async fn answering(answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::at("http://127.0.0.1:0", answers).await
    }

    /// The same at a URL that was [nobody's](url_of_nobody).
    pub(crate) async fn at(url: &str, answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::answering_on(TcpListener::bind(url.trim_start_matches("http://")).await.unwrap(), answers)
    }

    fn answering_on(
        listener: TcpListener,
        answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Arc<Answers> = Arc::new(answers);
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&answers), Arc::clone(&log)));
                tokio::spawn(async move {
                    // An answer that hangs up is an error of the connection, as it should be.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Arc<Answers>,
    log: Arc<Mutex<Vec<Asked>>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let asked = Asked {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        key: text("idempotency-key"),
        authorization: text("authorization"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    log.lock().unwrap().push(asked.clone());
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    let full = |text: String| Full::new(Bytes::from(text));
    match answers(&asked) {
        Answer::Json(204, _) => Ok(response.status(204).body(full(String::new())).unwrap()),
        Answer::Json(status, body) => Ok(response.status(status).body(full(body.to_string())).unwrap()),
        Answer::Later(status, seconds) => Ok(response
            .status(status)
            .header(header::RETRY_AFTER, seconds)
            .body(full(json!({"error": "busy"}).to_string()))
            .unwrap()),
        Answer::HangUp => Err(std::io::Error::other("hung up")),
        Answer::Silence => match std::future::pending::<Infallible>().await {},
    }
}

/// A URL where nobody listens: a port that was free a moment ago.
pub(crate) async fn url_of_nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
