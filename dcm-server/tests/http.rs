//! Routes, methods, bodies and headers over a real socket.

mod support;

use dcm::api::OPERATIONS;
use dcm_server::{Role, ServerConfig};
use support::{Answer, api, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn every_operation_is_reached() {
    let server = api().await;
    for meta in OPERATIONS {
        let path = meta.path.replace(['{', '}'], "");
        let answer = server.send(meta.method.as_str(), &path, &[], b"{}").await;
        assert_ne!(answer.status, 405, "{} {path}", meta.method.as_str());
        assert!(!answer.body.contains("Not found: "), "{} {path}: {answer:?}", meta.method.as_str());
    }
}

#[tokio::test]
async fn unknown_routes_and_methods() {
    let server = api().await;
    for path in ["/", "/nope", "/api/tasks/", "/health/", "/api//tasks", "/API/tasks", "/other"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.error(), format!("Not found: GET {path}"));
    }
    let answer = server.send("PUT", "/api/tasks", &[], b"").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    assert_eq!(answer.error(), "Method PUT is not allowed here, only GET, HEAD, POST, OPTIONS");
    let answer = server.send("POST", "/health", &[], b"{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(server.send("BREW", "/nope", &[], b"").await.status, 404);
}

#[tokio::test]
async fn head_and_options() {
    let server = api().await;
    let full = server.get("/openapi.json").await;
    let head = server.send("HEAD", "/openapi.json", &[], b"").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), full.header("content-length"));
    assert_eq!(server.send("HEAD", "/health", &[], b"").await.status, 200);
    assert_eq!(server.send("HEAD", "/nope", &[], b"").await.status, 404);

    let options = server.send("OPTIONS", "/api/tasks/x", &[], b"").await;
    assert_eq!((options.status, options.body.as_str()), (204, ""));
    assert_eq!(options.header("allow"), Some("GET, HEAD, PATCH, DELETE, OPTIONS"));
    assert_eq!(server.send("OPTIONS", "/nope", &[], b"").await.status, 404);
}

#[tokio::test]
async fn health_says_what_it_should() {
    let server = api().await;
    let answer = server.get("/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["status"], "healthy");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn bad_input_is_a_400_that_says_what_is_wrong() {
    let server = api().await;
    for body in ["", "{", "{\"a\":}", "nul"] {
        let answer = server.post("/api/tasks", body).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, "Malformed JSON"), "{body}");
    }
    let answer = server.send("POST", "/api/tasks", &[], b"{\"name\":\"\xff\"}").await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "Malformed JSON"));
    let answer = server.post("/api/tasks", "[1]").await;
    let message = "the body must be a JSON object, such as {}";
    assert_eq!(
        (answer.status, answer.json()),
        (400, serde_json::json!({"error": "Validation failed", "details": {}, "message": message}))
    );
    let answer = server.post("/api/tasks", "{\"request_id\":\"x\"}").await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "Validation failed: Invalid request_id"));
    assert!(answer.json()["details"]["request_id"][0].is_string());

    for path in
        ["/api/tasks/not-a-uuid", "/api/tasks?limit=-1", "/api/tasks?limit=x", "/api/tasks?offset=1.5"]
    {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.json()["details"].as_object().is_some_and(|details| details.len() == 1), "{answer:?}");
    }
    let answer = server.get("/api/context/%ff").await;
    assert_eq!(
        (answer.status, answer.json()["details"]["agent_id"][0].as_str()),
        (400, Some("must be valid UTF-8"))
    );
    let answer = server.get("/api/projects/by-path?path=%ff").await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "Invalid query parameters"));
}

#[tokio::test]
async fn the_idempotency_key_has_bounds() {
    let server = api().await;
    for key in [String::new(), "k".repeat(256), "caf\u{e9}".to_owned()] {
        let answer = server.send("POST", "/api/tasks", &[&format!("Idempotency-Key: {key}")], b"{}").await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["details"]["Idempotency-Key"][0].is_string(), "{answer:?}");
    }
    let answer =
        server.send("POST", "/api/tasks", &[&format!("Idempotency-Key: {}", "k".repeat(255))], b"{}").await;
    assert_eq!(answer.error(), "Validation failed: Invalid request_id");
    // Reads have no use for one.
    let answer =
        server.send("GET", "/health", &[&format!("Idempotency-Key: {}", "k".repeat(256))], b"").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn each_answer_has_an_id() {
    let server = api().await;
    let (first, second) = (server.get("/health").await, server.get("/nope").await);
    assert_ne!(first.header("x-request-id").unwrap(), second.header("x-request-id").unwrap());
    let answer = server.send("GET", "/health", &["X-Request-Id: trace-1:a.b_c"], b"").await;
    assert_eq!(answer.header("x-request-id"), Some("trace-1:a.b_c"));
    let answer = server.send("GET", "/health", &["X-Request-Id: <script>"], b"").await;
    assert_ne!(answer.header("x-request-id"), Some("<script>"));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = api().await;
    let answers = server
        .raw(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n\
              GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n\
              POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{\
              GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
    let statuses: Vec<_> =
        answers.match_indices("HTTP/1.1 ").map(|(at, start)| &answers[at + start.len()..][..3]).collect();
    assert_eq!(statuses, ["200", "404", "400", "200"]);
}

#[tokio::test]
async fn the_document_is_served() {
    let server = api().await;
    let answer = server.get("/openapi.json").await;
    assert_eq!((answer.status, answer.json()), (200, dcm::api::openapi::document()));
}

#[tokio::test]
async fn the_websocket_port_has_its_own_routes() {
    let server = start(Role::Ws, ServerConfig::default()).await;
    let health = server.get("/health").await.json();
    assert_eq!((&health["status"], &health["type"]), (&"healthy".into(), &"websocket".into()));
    assert_eq!(health["port"], server.address.port());
    let stats = server.get("/stats").await;
    let expected =
        "{\"connectedClients\":0,\"activeChannels\":0,\"channelStats\":{},\"pendingDeliveries\":0}";
    assert_eq!((stats.status, stats.body.as_str()), (200, expected));
    for path in ["/", "/ws", "/?agent_id=a"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, "WebSocket upgrade failed"), "{path}");
    }
    assert_eq!(server.get("/api/tasks").await.status, 404);
}

#[tokio::test]
async fn the_dashboard_port_has_a_page_and_the_interface() {
    let server = start(Role::Dashboard, ServerConfig::default()).await;
    let page = server.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"));
    for (path, media_type) in
        [("/status.js", "text/javascript; charset=utf-8"), ("/status.css", "text/css; charset=utf-8")]
    {
        assert!(page.body.contains(path));
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media_type)));
    }
    assert_eq!(server.get("/health").await.status, 200);
    assert_eq!(server.get("/api/tasks/x").await.status, 400);
}

#[tokio::test]
async fn requests_in_flight_are_answered_at_shutdown_and_nothing_else() {
    let mut server = api().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut some = [0; 1024];
    assert!(idle.read(&mut some).await.unwrap() > 0);
    let mut busy = server.connect().await;
    busy.write_all(
        b"POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    )
    .await
    .unwrap();
    // The server asks for the body: the request is in its hands.
    let length = busy.read(&mut some).await.unwrap();
    assert!(some[..length].starts_with(b"HTTP/1.1 100 "));
    drop(server.stop.take());
    // The idle connection is closed at once, the other one only after its answer.
    assert_eq!(idle.read(&mut some).await.unwrap(), 0);
    busy.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.unwrap();
    assert_eq!(Answer::parse(&answer).status, 400);
    server.serving.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}
