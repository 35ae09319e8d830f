//! Who may call: names, origins, sites and keys.

mod support;

use std::sync::Arc;

use dcm::{Dcm, EngineConfig};
use dcm_server::{Role, ServerConfig, serve};
use support::{Answer, Server, api, start};
use tokio::net::TcpListener;

async fn with_host(server: &Server, host: &str) -> Answer {
    server.send("GET", "/health", &[&format!("Host: {host}")], b"").await
}

#[tokio::test]
async fn only_known_names() {
    let config = ServerConfig {
        allowed_hosts: vec!["dcm.example".to_owned(), "other.example:81".to_owned()],
        ..ServerConfig::default()
    };
    let server = start(Role::Api, config).await;
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:3847",
        "[::1]",
        "[::1]:3847",
        "dcm.example",
        "DCM.example:9",
        "other.example:81",
    ] {
        assert_eq!(with_host(&server, host).await.status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "localhost:x",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "",
        "other.example",
        "other.example:82",
        "0.0.0.0",
        "a:b:c",
    ] {
        let answer = with_host(&server, host).await;
        assert_eq!(answer.status, 403, "{host}");
        assert!(answer.error().contains("DCM_ALLOWED_HOSTS"), "{answer:?}");
    }
}

#[tokio::test]
async fn exactly_one_name() {
    let server = api().await;
    let answer = Answer::parse(&server.raw(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n").await);
    assert_eq!(answer.status, 400);
    let answer = server.send("GET", "/health", &["Host: localhost", "Host: evil.example"], b"").await;
    assert_eq!(answer.status, 400);
    let answer = server.send("GET", "http://evil.example/health", &[], b"").await;
    assert_eq!(answer.status, 403);
    assert_eq!(server.send("GET", "http://localhost/health", &[], b"").await.status, 200);
}

#[tokio::test]
async fn only_known_origins() {
    let server = api().await;
    let from = |origin: &'static str| {
        let server = &server;
        async move { server.send("GET", "/health", &["Host: localhost:3847", origin], b"").await }
    };
    for origin in ["Origin: http://127.0.0.1:3848", "Origin: http://localhost:3848"] {
        let answer = from(origin).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), origin.strip_prefix("Origin: "));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    // Our own pages need no permission.
    let own = from("Origin: http://localhost:3847").await;
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, None));
    for origin in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://localhost:9999",
        "Origin: http://localhost",
        "Origin: https://localhost:3848",
        "Origin: http://localhost:3848.evil.example",
        "Origin: ",
    ] {
        let answer = from(origin).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert!(answer.error().contains("ALLOWED_ORIGINS"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // Errors are readable for pages that may call.
    let answer = server.send("GET", "/nope", &["Origin: http://localhost:3848"], b"").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (404, Some("http://localhost:3848"))
    );
}

#[tokio::test]
async fn preflight() {
    let server = api().await;
    let ask = ["Origin: http://localhost:3848", "Access-Control-Request-Method: DELETE"];
    let answer = server.send("OPTIONS", "/api/tasks/x", &ask, b"").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:3848"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("DELETE"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
    let ask = ["Origin: http://evil.example", "Access-Control-Request-Method: DELETE"];
    let answer = server.send("OPTIONS", "/api/tasks/x", &ask, b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (403, None));
}

#[tokio::test]
async fn other_sites_are_refused() {
    let server = api().await;
    let status = |headers: &'static [&'static str]| {
        let server = &server;
        async move { server.send("GET", "/health", headers, b"").await.status }
    };
    assert_eq!(status(&["Sec-Fetch-Site: same-origin"]).await, 200);
    assert_eq!(status(&["Sec-Fetch-Site: none"]).await, 200);
    assert_eq!(status(&["Sec-Fetch-Site: cross-site"]).await, 403);
    assert_eq!(status(&["Sec-Fetch-Site: same-site"]).await, 403);
    assert_eq!(status(&["Sec-Fetch-Site: same-site", "Origin: http://localhost:3848"]).await, 200);
    assert_eq!(
        status(&["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]).await,
        403
    );
}

#[tokio::test]
async fn a_link_may_lead_to_the_page_but_a_frame_may_not_hold_it() {
    let server = start(Role::Dashboard, ServerConfig::default()).await;
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    assert_eq!(server.send("GET", "/", &link, b"").await.status, 200);
    assert_eq!(server.send("GET", "/stats", &link, b"").await.status, 403);
    let frame = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"];
    assert_eq!(server.send("GET", "/", &frame, b"").await.status, 403);
}

#[tokio::test]
async fn keys() {
    let config = ServerConfig {
        api_keys: vec!["first-key".to_owned(), "second-key".to_owned()],
        ..ServerConfig::default()
    };
    for role in [Role::Api, Role::Dashboard] {
        let server = start(role, config.clone()).await;
        assert_eq!(server.get("/health").await.status, 200);
        for (method, path) in [
            ("GET", "/stats"),
            ("GET", "/openapi.json"),
            ("GET", "/api/tasks/x"),
            ("POST", "/api/auth/token"),
            ("GET", "/nope"),
            ("PUT", "/api/tasks"),
        ] {
            let answer = server.send(method, path, &[], b"{}").await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"dcm\""));
            assert!(answer.error().contains("DCM_API_KEYS"));
        }
        for wrong in [
            "Bearer first-ke",
            "Bearer first-key2",
            "Bearer ",
            "first-key",
            "Basic Zmlyc3Q6a2V5",
            "Bearer first-key,second-key",
        ] {
            let answer =
                server.send("GET", "/openapi.json", &[&format!("Authorization: {wrong}")], b"").await;
            assert_eq!(answer.status, 401, "{wrong}");
            assert!(!answer.body.contains("first-key"), "{answer:?}");
        }
        for right in ["Bearer first-key", "bearer second-key", "Bearer  first-key"] {
            let answer =
                server.send("GET", "/openapi.json", &[&format!("Authorization: {right}")], b"").await;
            assert_eq!(answer.status, 200, "{right}");
        }
        let ask = ["Origin: http://localhost:3848", "Access-Control-Request-Method: POST"];
        assert_eq!(server.send("OPTIONS", "/api/tasks", &ask, b"").await.status, 204);
    }
    let dashboard = start(Role::Dashboard, config.clone()).await;
    assert_eq!(dashboard.get("/").await.status, 200);
    let sockets = start(Role::Ws, config).await;
    assert_eq!((sockets.get("/health").await.status, sockets.get("/stats").await.status), (200, 401));
}

#[tokio::test]
async fn without_a_key_only_this_machine() {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let config = Arc::new(ServerConfig::default());
    let error = serve(listener, Role::Api, dcm.clone(), config, std::future::ready(())).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("DCM_API_KEYS"), "{error}");

    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let one_short = vec!["a-key-of-16-byte".to_owned(), "fifteen-bytes-k".to_owned()];
    let config = Arc::new(ServerConfig { api_keys: one_short, ..ServerConfig::default() });
    let error = serve(listener, Role::Api, dcm.clone(), config, std::future::ready(())).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("15 bytes in DCM_API_KEYS"), "{error}");
    assert!(!error.to_string().contains("fifteen"), "{error}");

    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = ([127, 0, 0, 1], listener.local_addr().unwrap().port()).into();
    let config =
        Arc::new(ServerConfig { api_keys: vec!["a-key-of-16-byte".to_owned()], ..ServerConfig::default() });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, Role::Api, dcm.clone(), config, stopped));
    let server = Server { address, stop: Some(stop), serving };
    assert_eq!(with_host(&server, "127.0.0.1").await.status, 200);
    assert_eq!(with_host(&server, "0.0.0.0").await.status, 403);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Arc::new(ServerConfig { allowed_origins: vec!["*".to_owned()], ..ServerConfig::default() });
    let error = serve(listener, Role::Api, dcm, config, std::future::ready(())).await.unwrap_err();
    assert!(error.to_string().contains("\"*\" must be an origin"), "{error}");
}
