//! Bounds on bodies, time, connections and rate; each with its own clear error.

mod support;

use std::time::Duration;

use dcm_server::{Limits, Role};
use support::{Answer, start, with_limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn small() -> Limits {
    Limits { body_bytes: 1000, ingest_body_bytes: 2000, ..Limits::default() }
}

#[tokio::test]
async fn a_body_that_announces_too_much() {
    let server = start(Role::Api, with_limits(small())).await;
    let answer = server.post("/api/tasks", &"x".repeat(1001)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.error(), "The body is larger than the limit of 1000 bytes (0 MiB)");
    // At the limit it is read, and found wrong.
    assert_eq!(server.post("/api/tasks", &"x".repeat(1000)).await.status, 400);
    // Ingest has a limit of its own.
    assert_eq!(server.post("/api/ingest", &"x".repeat(2000)).await.status, 400);
    assert_eq!(server.post("/api/ingest", &"x".repeat(2001)).await.status, 413);
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_too_large() {
    let server = start(Role::Api, with_limits(small())).await;
    let mut request = b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..200 {
        request.extend_from_slice(format!("3e8\r\n{}\r\n", "x".repeat(1000)).as_bytes());
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = Answer::parse(&server.raw(&request).await);
    assert_eq!((answer.status, answer.error().contains("1000 bytes")), (413, true));
    let request = "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(Answer::parse(&server.raw(request.as_bytes()).await).status, 400);
}

#[tokio::test]
async fn who_writes_first_still_reads_the_refusal() {
    let server = start(Role::Api, with_limits(Limits::default())).await;
    let body = "x".repeat(20 << 20);
    assert_eq!(server.post("/api/tasks", &body).await.status, 413);
    assert_eq!(server.post("/nope", &body).await.status, 404);
    let foreign = server.send("POST", "/api/tasks", &["Origin: http://evil.example"], body.as_bytes()).await;
    assert_eq!(foreign.status, 403);
}

#[tokio::test]
async fn who_waits_for_100_continue_sends_nothing() {
    let server = start(Role::Api, with_limits(small())).await;
    let request =
        "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(Answer::parse(&server.raw(request.as_bytes()).await).status, 413);
}

#[tokio::test]
async fn the_default_limits_are_those_of_the_contract() {
    assert_eq!(Limits::default().body_bytes, 8 * 1024 * 1024);
    assert_eq!(Limits::default().ingest_body_bytes, 32 * 1024 * 1024);
    // A large body within the limit is read, away from the threads that serve.
    let server = start(Role::Api, with_limits(Limits::default())).await;
    let answer = server.post("/api/tasks", &format!("{{\"name\":\"{}\"}}", "x".repeat(3 << 20))).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "Validation failed: Invalid request_id"));
}

#[tokio::test]
async fn a_body_that_does_not_come() {
    let limits = Limits { body_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = start(Role::Api, with_limits(limits)).await;
    let answer =
        server.raw(b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{").await;
    let answer = Answer::parse(&answer);
    assert_eq!(answer.status, 408);
    assert!(answer.error().starts_with("The body did not arrive within"));
}

#[tokio::test]
async fn a_head_that_does_not_come() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = start(Role::Api, with_limits(limits)).await;
    // The server ends the connection, without a word or with 408.
    let answer = server.raw(b"GET /health HTTP/1.1\r\nHost: loc").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_idles() {
    let limits = Limits { header_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = start(Role::Api, with_limits(limits)).await;
    let answer = server.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(server.raw(b"").await, "");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_to_come_back() {
    let server = start(Role::Api, with_limits(Limits { connections: 1, ..Limits::default() })).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut some = [0; 1024];
    assert!(first.read(&mut some).await.unwrap() > 0);

    let refused = server.get("/health").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.header("content-length"), Some(refused.body.len().to_string().as_str()));
    assert!(refused.error().contains("no free connection"));

    drop(first);
    // The place is free as soon as the server saw the end of the first.
    while server.get("/health").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn tokens_are_rationed() {
    let server = start(Role::Api, with_limits(Limits { tokens_per_minute: 2, ..Limits::default() })).await;
    for _ in 0..2 {
        assert_ne!(server.post("/api/auth/token", "{\"agent_id\":\"a\"}").await.status, 429);
    }
    let answer = server.post("/api/auth/token", "{\"agent_id\":\"a\"}").await;
    assert_eq!(answer.status, 429);
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // Only tokens.
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_at_shutdown() {
    let limits = Limits { shutdown_timeout: Duration::from_millis(50), ..Limits::default() };
    let mut server = start(Role::Api, with_limits(limits)).await;
    let mut stuck = server.connect().await;
    stuck
        .write_all(b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    let mut some = [0; 1024];
    assert!(stuck.read(&mut some).await.unwrap() > 0);
    drop(server.stop.take());
    server.serving.await.unwrap().unwrap();
}
