//! What no operation of the engine can be made to do on demand: panics, silence, errors with secrets inside.

use std::sync::Arc;
use std::time::Duration;

use dcm::api::{Access, Operation, system};
use dcm::{Dcm, EngineConfig, Error};
use futures_util::future::BoxFuture;
use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::reply::Reply;
use crate::router::{Input, Route, Target};
use crate::serve::{Role, run};
use crate::shell::Shell;
use crate::{Limits, ServerConfig};

fn panics(_: Dcm, _: Input) -> BoxFuture<'static, Result<Reply, Error>> {
    Box::pin(async { panic!("the wire is cut") })
}

fn hangs(_: Dcm, _: Input) -> BoxFuture<'static, Result<Reply, Error>> {
    Box::pin(std::future::pending())
}

fn fails(_: Dcm, _: Input) -> BoxFuture<'static, Result<Reply, Error>> {
    let source = std::io::Error::other("syntax error in SELECT password FROM /var/lib/secret");
    Box::pin(async { Err(Error::internal("while reading table users").with_source(source)) })
}

/// Sends `requests` on one connection, the last of which asks to close it, and reads everything.
async fn exchange(requests: &str) -> String {
    let limits = Limits { request_timeout: Duration::from_millis(50), ..Limits::default() };
    let config = ServerConfig { limits, ..ServerConfig::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
    let sockets = tokio::sync::watch::Sender::new(false);
    let mut shell = Shell::new(Role::Api, dcm, &config, address, sockets.subscribe()).unwrap();
    let handlers: [(&str, crate::router::Handler); 3] =
        [("/panics", panics), ("/hangs", hangs), ("/fails", fails)];
    for (path, handler) in handlers {
        let target = Target::Operation { meta: &system::Stats::META, handler, body_limit: 0 };
        shell.router_mut().add(&Method::GET, path, Route { access: Access::Open, target }).unwrap();
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving =
        tokio::spawn(async move { run(listener, Arc::new(shell), &config, sockets, stopped).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    drop(stop);
    serving.await.unwrap();
    answer
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_lives() {
    let answer = exchange(
        "GET /panics HTTP/1.1\r\nHost: localhost\r\n\r\n\
         GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .await;
    let (first, second) = answer.split_once("HTTP/1.1 200 OK").unwrap();
    assert!(first.starts_with("HTTP/1.1 500 "), "{first}");
    assert!(first.contains("{\"error\":\"internal error\",\"request_id\":"), "{first}");
    assert!(!first.contains("wire is cut"), "{first}");
    assert!(second.contains("\"openapi\":\"3.1.0\""));
}

#[tokio::test]
async fn an_operation_that_hangs_is_given_up() {
    let answer = exchange("GET /hangs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("whether it was carried out is not known"), "{answer}");
}

#[tokio::test]
async fn nothing_of_the_inside_leaves() {
    let answer = exchange(
        "GET /fails HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: my-id\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.ends_with("{\"error\":\"internal error\",\"request_id\":\"my-id\"}"), "{answer}");
    assert!(answer.contains("x-request-id: my-id\r\n"), "{answer}");
    for inside in ["SELECT", "users", "/var/lib"] {
        assert!(!answer.contains(inside), "{answer}");
    }
}
