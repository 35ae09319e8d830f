//! What is wrong before anybody looks at a body: routes, methods, sizes, names, origins.

use std::time::Duration;

use dcm_suite::on_both_stores;
use dcm_suite::server::Store;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::document;
use crate::verdict::Verdict;
use crate::world::{Answer, NOBODY, World};

on_both_stores!(routes, sizes, heads, names_and_origins);

/// A request that is sent as it stands, until the server closes.
async fn raw(world: &World, head: &str, body: &[u8]) -> Answer {
    let address = world.server.api();
    let address = address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let head = format!("{head}\r\nConnection: close\r\n\r\n");
    talk(&mut stream, head.as_bytes(), body).await
}

/// Bytes as they are, until the server closes.
async fn bytes(world: &World, sent: &[u8]) -> Answer {
    let address = world.server.api();
    let address = address.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    talk(&mut stream, sent, b"").await
}

async fn talk(stream: &mut TcpStream, head: &[u8], body: &[u8]) -> Answer {
    stream.write_all(head).await.expect("the head is taken");
    // A server that has refused already may close while we still write.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    read.expect("an answer in time").expect("a whole answer");
    let text = String::from_utf8(answer).expect("the answer is a text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    Answer { status: status.unwrap_or(StatusCode::IM_A_TEAPOT), headers, body: body.to_owned() }
}

async fn routes(store: Store) {
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    let others = [
        "/",
        "/api",
        "/api/",
        "/nope",
        "/api/nope",
        "/API/tasks",
        "/api//tasks",
        "/health/",
        "/stats/",
        "/ws/",
    ];
    let more = [
        "/api/tasks%2F",
        "/%61pi%2ftasks",
        "/.env",
        "/etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/tasks;x=1",
    ];
    for path in others.iter().chain(&more) {
        verdict.refused(path, &world.send("GET", path, "").await, 404, None);
    }
    for operation in document::operations() {
        let path = operation.path.replace("{id}", NOBODY).replace("{project_id}", NOBODY);
        let path = path.replace(['{', '}'], "");
        let answer = world.send(&operation.method, &format!("{path}/"), "{}").await;
        verdict.refused(&format!("{} {path}/", operation.method), &answer, 404, None);
        for method in ["PUT", "TRACE", "BREW"] {
            let answer = world.send(method, &path, "").await;
            verdict.refused(&format!("{method} {path}"), &answer, 405, None);
            let allow = answer.headers.get("allow").and_then(|allow| allow.to_str().ok()).unwrap_or_default();
            assert!(allow.split(", ").any(|allowed| allowed == operation.method), "{path} allows {allow:?}");
        }
    }
    verdict.end(250);
    assert_eq!(world.everything().await, before, "a refused call changed something");
    world.assert_healthy().await;
}

async fn sizes(store: Store) {
    const MIB: usize = 1 << 20;
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    for (path, limit) in [("/api/projects", 8 * MIB), ("/api/actions", 8 * MIB), ("/api/ingest", 32 * MIB)] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json");
        // Announced, and never sent.
        let announced = raw(&world, &format!("{head}\r\nContent-Length: {}", limit + 1), b"").await;
        verdict.refused(&format!("{path} announced"), &announced, 413, None);
        // Announced and sent.
        let whole = vec![b' '; limit + 1];
        let sent = raw(&world, &format!("{head}\r\nContent-Length: {}", whole.len()), &whole).await;
        verdict.refused(&format!("{path} sent"), &sent, 413, None);
        // Sent piece by piece, without a word of how much it will be.
        let mut chunks = Vec::with_capacity(limit + 2 * MIB);
        for _ in 0..=limit / MIB {
            chunks.extend_from_slice(format!("{MIB:x}\r\n").as_bytes());
            chunks.resize(chunks.len() + MIB, b' ');
            chunks.extend_from_slice(b"\r\n");
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        let chunked = raw(&world, &format!("{head}\r\nTransfer-Encoding: chunked"), &chunks).await;
        verdict.refused(&format!("{path} chunked"), &chunked, 413, None);
        // Just as much as there may be is read, and found not to be JSON.
        let most = raw(&world, &format!("{head}\r\nContent-Length: {limit}"), &whole[..limit]).await;
        verdict.refused(&format!("{path} as much as there may be"), &most, 400, None);
    }
    // What the limits let through, the stores hold.
    let prompt = "é".repeat(3 * MIB);
    let mut body = world.right("request_create");
    body["prompt"] = prompt.into();
    verdict.taken("a long prompt", &world.send("POST", "/api/requests", body.to_string()).await, 201);
    let list = world.send("GET", "/api/requests?limit=1", "").await;
    let id = list.json()["requests"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        world.send("GET", &format!("/api/requests/{id}"), "").await.body.matches('é').count(),
        3 * MIB
    );
    verdict.taken("its removal", &world.send("DELETE", &format!("/api/requests/{id}"), "").await, 204);
    verdict.end(14);
    assert_eq!(world.everything().await, before, "a refused call changed something");
    world.assert_healthy().await;
}

/// What hyper itself refuses, before there is a request.
async fn heads(store: Store) {
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    let host = "Host: localhost\r\n";
    let post = format!("POST /api/projects HTTP/1.1\r\n{host}Content-Type: application/json\r\n");
    let long = "a".repeat(70_000);
    let huge = "y".repeat(600_000);
    let lines = "x: y\r\n".repeat(300);
    for (what, sent, status) in [
        ("no HTTP", "GARBAGE\r\n\r\n".to_owned(), 400),
        ("another version", format!("GET /health HTTP/9.1\r\n{host}\r\n"), 400),
        ("a header without a name", format!("GET /health HTTP/1.1\r\n{host}: x\r\n\r\n"), 400),
        ("a length that is no number", format!("{post}Content-Length: abc\r\n\r\n"), 400),
        ("two lengths", format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400),
        ("a chunk that is none", format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"), 400),
        ("a long URL", format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 414),
        ("many headers", format!("GET /health HTTP/1.1\r\n{host}{lines}\r\n"), 431),
        ("a large header", format!("GET /health HTTP/1.1\r\n{host}x: {huge}\r\n\r\n"), 431),
    ] {
        verdict.refused(what, &bytes(&world, sent.as_bytes()).await, status, None);
    }
    let whole = |headers: &str| {
        let body = r#"{"path":"/never"}"#;
        format!("{post}Connection: close\r\nContent-Length: {}\r\n{headers}\r\n\r\n{body}", body.len())
    };
    for (headers, status, field) in [
        ("Content-Encoding: gzip", 415, None),
        ("Idempotency-Key: a\tb", 400, Some("Idempotency-Key")),
        ("Idempotency-Key: a\r\nIdempotency-Key: b", 400, Some("Idempotency-Key")),
    ] {
        verdict.refused(headers, &bytes(&world, whole(headers).as_bytes()).await, status, field);
    }
    let path = [b"GET /\x80 HTTP/1.1\r\n".as_slice(), host.as_bytes(), b"\r\n"].concat();
    let answer = bytes(&world, &path).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
    verdict.refused("a path that is no ASCII", &answer, answer.status.as_u16(), None);
    verdict.end(13);
    assert_eq!(world.everything().await, before, "a refused call changed something");
    world.assert_healthy().await;
}

async fn names_and_origins(store: Store) {
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    let body = r#"{"path":"/from/a/page"}"#;
    let post = format!("POST /api/projects HTTP/1.1\r\nContent-Length: {}", body.len());
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.1.2.3",
        "[::2]",
        "",
        "localhost:x",
    ] {
        for head in [format!("{post}\r\nHost: {host}"), format!("GET /stats HTTP/1.1\r\nHost: {host}")] {
            let sent = if head.starts_with("POST") { body } else { "" };
            let answer = raw(&world, &head, sent.as_bytes()).await;
            verdict.refused(&format!("Host {host}"), &answer, 403, None);
        }
    }
    for heads in ["", "\r\nHost: localhost\r\nHost: localhost", "\r\nHost: localhost\r\nHost: evil.example"] {
        let answer = raw(&world, &format!("{post}{heads}"), body.as_bytes()).await;
        verdict.refused(&format!("hosts {heads:?}"), &answer, 400, None);
    }
    let absolute = format!(
        "POST http://evil.example/api/projects HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}",
        body.len()
    );
    verdict.refused("a foreign URL", &raw(&world, &absolute, body.as_bytes()).await, 403, None);

    let number = world.server.api().rsplit(':').next().expect("a port").to_owned();
    let foreign = [
        "Origin: http://evil.example".to_owned(),
        "Origin: null".to_owned(),
        "Origin: http://localhost:1".to_owned(),
        format!("Origin: http://evil.example:{number}"),
        "Sec-Fetch-Site: cross-site".to_owned(),
        "Sec-Fetch-Site: same-site".to_owned(),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document".to_owned(),
    ];
    for lines in &foreign {
        for head in [
            post.as_str(),
            "GET /stats HTTP/1.1",
            "DELETE /api/sessions/s-1 HTTP/1.1",
            "GET /health HTTP/1.1",
        ] {
            let sent = if head.starts_with("POST") { body } else { "" };
            let answer = raw(&world, &format!("{head}\r\nHost: localhost\r\n{lines}"), sent.as_bytes()).await;
            verdict.refused(&format!("{head} {lines}"), &answer, 403, None);
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
        }
    }
    // Our own page may, and so may everybody who is no page.
    for lines in [
        format!("Origin: http://localhost:{number}"),
        "Sec-Fetch-Site: same-origin".to_owned(),
        String::new(),
    ] {
        let lines = if lines.is_empty() { lines } else { format!("\r\n{lines}") };
        let answer =
            raw(&world, &format!("GET /stats HTTP/1.1\r\nHost: localhost:{number}{lines}"), b"").await;
        verdict.taken(&format!("own page {lines:?}"), &answer, 200);
    }
    verdict.end(45);
    assert_eq!(world.everything().await, before, "a refused call changed something");
    world.assert_healthy().await;
}
