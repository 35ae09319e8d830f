//! WebSocket connections: every frame, who may what, what is delivered.

mod support;

use dcm_server::{Limits, Role, ServerConfig};
use serde_json::{Value, json};
use std::time::Duration;
use support::socket::{CLOSE, Frame, PING, Socket, TEXT, frame};
use support::{Server, api, start, start_with, with_limits};

async fn ws() -> Server {
    start(Role::Ws, ServerConfig::default()).await
}

fn auth(agent: &str) -> Value {
    json!({"type": "auth", "agent_id": agent})
}

fn subscribe(channel: &str) -> Value {
    json!({"type": "subscribe", "channel": channel})
}

#[expect(clippy::needless_pass_by_value, reason = "it is a literal everywhere")]
fn publish(channel: &str, data: Value) -> Value {
    json!({"type": "publish", "channel": channel, "event": "system.info", "data": data})
}

#[tokio::test]
async fn a_socket_is_in_global_and_hears_what_happens_elsewhere() {
    for (role, path) in [(Role::Ws, "/"), (Role::Ws, "/ws"), (Role::Api, "/ws"), (Role::Dashboard, "/ws")] {
        let server = start(role, ServerConfig::default()).await;
        let mut socket = Socket::open(&server, path).await;
        let mut other = Socket::open(&server, path).await;
        other.must(publish("topics/t", json!({"id": "x", "text": "secret"}))).await;
        let event = socket.of_type("event").await;
        assert_eq!((&event["channel"], &event["event"]), (&json!("global"), &json!("system.info")));
        assert_eq!(event["data"], json!({"id": "x"}), "global says no content");
        for (member, is) in [
            ("id", event["id"].is_string()),
            ("timestamp", event["timestamp"].is_i64()),
            ("position", event["position"].is_string()),
        ] {
            assert!(is, "{member}: {event}");
        }
        assert_eq!(event.get("redelivered"), None);
    }
}

#[tokio::test]
async fn the_sample_of_the_readme() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/?agent_id=my-agent&session_id=session-123").await;
    let auth = json!({
        "type": "auth", "id": "auth-1", "agent_id": "backend-laravel", "session_id": "session-123",
        "timestamp": 1_770_000_000_000_i64
    });
    socket.send(&auth).await;
    let ack = socket.json().await;
    assert_eq!((&ack["type"], &ack["id"], &ack["success"]), (&json!("ack"), &json!("auth-1"), &json!(true)));
    let event = socket.json().await;
    assert_eq!((&event["event"], &event["channel"]), (&json!("agent.connected"), &json!("global")));
    assert_eq!(event["data"]["agent_id"], "backend-laravel");
    assert_eq!(event["data"]["session_id"], "session-123");
    // Both channels are its own, and joined.
    for channel in ["agents/backend-laravel", "sessions/session-123"] {
        socket.must(publish(channel, json!({"n": 1}))).await;
    }
}

#[tokio::test]
async fn a_publisher_hears_its_event_and_then_that_it_was_kept() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/ws").await;
    socket.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    socket.must(subscribe("topics/t")).await;
    for number in 1..=20 {
        let channel = if number == 7 { "no channel" } else { "topics/t" };
        let mut message = publish(channel, json!({"n": number}));
        message["id"] = number.into();
        socket.send(&message).await;
    }
    let (mut heard, mut answered) = (Vec::new(), Vec::new());
    while answered.len() < 20 {
        let message = socket.json().await;
        if message["type"] == "event" {
            heard.push(message["data"]["n"].clone());
            continue;
        }
        let number = message["id"].clone();
        assert_eq!(message["success"] == json!(true), heard.contains(&number), "{message}");
        answered.push(number);
    }
    // Also what is refused is answered in its turn.
    assert_eq!(answered, (1..=20).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_is_who() {
    let server = api().await;
    let mut socket = Socket::open(&server, "/ws?agent_id=a&session_id=s").await;
    for (message, code, words) in [
        (json!({"type": "auth", "token": "x.y"}), "4001", "Invalid or expired token"),
        (json!({"type": "auth", "token": "x.y", "agent_id": "a"}), "4001", "Invalid or expired token"),
    ] {
        socket.send(&message).await;
        let error = socket.of_type("error").await;
        assert_eq!((&error["code"], &error["error"]), (&json!(code), &json!(words)), "{message}");
    }
    // The URL alone is no authentication, but completes it.
    assert_eq!(
        socket.refused(subscribe("agents/a")).await,
        "Not authorized to subscribe to this agent channel"
    );
    socket.must(json!({"type": "auth"})).await;
    socket.must(subscribe("agents/a")).await;
    socket.must(subscribe("sessions/s")).await;
    let mut nobody = Socket::open(&server, "/ws").await;
    nobody.send(&json!({"type": "auth"})).await;
    assert_eq!(nobody.of_type("error").await["code"], "4003");

    let body = r#"{"agent_id":"b","session_id":"t"}"#;
    let token = server.post("/api/auth/token", body).await.json()["token"].clone();
    nobody.must(json!({"type": "auth", "token": token})).await;
    nobody.must(subscribe("sessions/t")).await;
    assert_eq!(
        nobody.refused(subscribe("sessions/s")).await,
        "Not authorized to subscribe to this session channel"
    );
}

#[tokio::test]
async fn production_needs_tokens() {
    let engine = dcm::EngineConfig { tokenless: false, ..dcm::EngineConfig::default() };
    let server = start_with(Role::Api, ServerConfig::default(), engine).await;
    let mut socket = Socket::open(&server, "/ws").await;
    socket.send(&auth("a")).await;
    let error = socket.of_type("error").await;
    assert_eq!(
        (&error["code"], &error["error"]),
        (&json!("4002"), &json!("Token required in production mode"))
    );
    assert_eq!(socket.refused(publish("topics/t", json!({}))).await, "Publishing needs a token");
    socket.must(subscribe("topics/t")).await;
    let token = server.post("/api/auth/token", r#"{"agent_id":"a"}"#).await.json()["token"].clone();
    socket.must(json!({"type": "auth", "token": token})).await;
    socket.must(publish("topics/t", json!({}))).await;
    socket.must(publish("agents/other", json!({}))).await;
}

#[tokio::test]
async fn behind_keys_nothing_is_heard_without_one() {
    let limits = Limits { auth_timeout: Duration::from_millis(300), ..Limits::default() };
    let config = ServerConfig { api_keys: vec!["k-1".to_owned()], limits, ..ServerConfig::default() };
    let server = start(Role::Api, config).await;
    let wrong = server
        .send(
            "GET",
            "/ws",
            &[support::socket::UPGRADE.as_slice(), &["Authorization: Bearer no"]].concat(),
            b"",
        )
        .await;
    assert_eq!(wrong.status, 401);
    let mut keyed = Socket::open_with(&server, "/ws", &["Authorization: Bearer k-1"]).await;
    let mut locked = Socket::open(&server, "/ws").await;
    let mut token = Socket::open(&server, "/ws").await;
    assert_eq!(locked.refused(subscribe("topics/t")).await, "Authentication required");
    locked.send(&auth("a")).await;
    assert_eq!(locked.of_type("error").await["code"], "4002", "a name is no key");
    let headers = ["Authorization: Bearer k-1"];
    let issued = server.send("POST", "/api/auth/token", &headers, br#"{"agent_id":"a"}"#).await;
    token.must(json!({"type": "auth", "token": issued.json()["token"]})).await;
    keyed.must(publish("topics/t", json!({"id": "x"}))).await;
    token.event("global", "system.info").await;
    loop {
        match locked.next().await {
            Frame::Close(code, reason) => {
                assert_eq!((code, &*reason), (4401, "Authentication required"));
                break;
            }
            Frame::Text(message) => assert_ne!(message["type"], "event", "{message}"),
            other => panic!("{other:?}"),
        }
    }
    token.is_alive().await;
}

#[tokio::test]
async fn channels_of_others_are_closed_and_bad_names_are_no_channels() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    for channel in ["nowhere", "agents/", "Global", ""] {
        let words = socket.refused(subscribe(channel)).await;
        assert_eq!(words, format!("Invalid channel format: {channel}"));
    }
    let long = format!("topics/{}", "x".repeat(100_000));
    let words = socket.refused(subscribe(&long)).await;
    assert!(words.starts_with("Invalid channel format: topics/xxx") && words.len() < 300, "{words}");
    // Without an id a refusal is an error frame.
    socket.send(&subscribe("agents/a")).await;
    assert_eq!(socket.of_type("error").await["code"], "FORBIDDEN");
    assert_eq!(
        socket.refused(json!({"type": "publish", "channel": "topics/t", "event": "agent.blocked"})).await,
        "Invalid event type: agent.blocked"
    );
    assert_eq!(
        socket.refused(publish("agents/a", json!({}))).await,
        "Not authorized to publish to this channel"
    );
    for channel in ["global", "metrics", "agents/never", "topics/never"] {
        socket.must(json!({"type": "unsubscribe", "channel": channel})).await;
    }
}

#[tokio::test]
async fn an_event_comes_on_every_channel_or_once_for_all() {
    let server = ws().await;
    let mut plain = Socket::open(&server, "/").await;
    let mut joint = Socket::open(&server, "/").await;
    plain.must(auth("a")).await;
    joint.must(json!({"type": "auth", "agent_id": "a", "dedupe": true})).await;
    let mut other = Socket::open(&server, "/").await;
    other.must(auth("b")).await;
    let published = other.must(publish("agents/a", json!({"id": 1, "text": "hello"}))).await;
    let own = plain.event("global", "system.info").await;
    let global = plain.event("agents/a", "system.info").await;
    assert_eq!((&own["id"], &own["position"]), (&global["id"], &global["position"]), "one event");
    assert_eq!(own["id"], published["event_id"]);
    assert_eq!((&own["data"], &global["data"]), (&json!({"id": 1}), &json!({"id": 1, "text": "hello"})));
    let both = loop {
        let event = joint.of_type("event").await;
        if event["event"] == "system.info" {
            break event;
        }
    };
    assert_eq!(both["channels"], json!(["global", "agents/a"]));
    assert_eq!((&both["data"], both.get("channel")), (&global["data"], None));
}

#[tokio::test]
async fn what_an_agent_missed_is_there_when_it_comes_back() {
    let server = ws().await;
    let mut other = Socket::open(&server, "/").await;
    other.must(auth("b")).await;
    let hello = json!({"type": "auth", "agent_id": "a", "dedupe": true, "acknowledges": true});
    let mut agent = Socket::open(&server, "/").await;
    agent.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    agent.must(hello.clone()).await;
    agent.must(subscribe("topics/t")).await;
    other.must(publish("agents/a", json!(1))).await;
    let first = agent.of_type("event").await;
    agent.send(&json!({"type": "ack", "message_id": first["id"]})).await;
    agent.is_alive().await;
    other.must(publish("agents/a", json!(2))).await;
    agent.of_type("event").await;
    drop(agent);
    for number in 3..=5 {
        other.must(publish(if number == 4 { "topics/t" } else { "agents/a" }, json!(number))).await;
    }
    let mut agent = Socket::open(&server, "/").await;
    agent.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    agent.send(&hello).await;
    let mut last = Value::Null;
    for number in 2..=5 {
        let event = agent.of_type("event").await;
        assert_eq!(event["data"], number);
        // It is not known whether the second one came through.
        if number == 2 {
            assert_eq!((&event["redelivered"], &event["attempt"]), (&json!(true), &json!(2)), "{event}");
        }
        last = event;
    }
    agent.send(&json!({"type": "ack", "position": last["position"]})).await;
    agent.is_alive().await;
    drop(agent);
    let mut agent = Socket::open(&server, "/").await;
    agent.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    agent.must(hello).await;
    other.must(publish("agents/a", json!(6))).await;
    assert_eq!(agent.of_type("event").await["data"], 6);
}

#[tokio::test]
async fn after_goes_back_and_a_gap_is_announced() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    let start = socket.must(subscribe("topics/t")).await["position"].clone();
    for number in 1..=3 {
        socket.must(publish("topics/t", json!(number))).await;
    }
    let mut late = Socket::open(&server, "/").await;
    late.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    late.must(json!({"type": "subscribe", "channel": "topics/t", "after": start})).await;
    for number in 1..=3 {
        let event = late.of_type("event").await;
        assert_eq!((&event["data"], event.get("redelivered")), (&json!(number), None));
    }
    late.must(json!({"type": "subscribe", "channel": "topics/t", "after": "9-9"})).await;
    let gap = late.of_type("gap").await;
    assert_eq!((&gap["reason"], &gap["missed"]), (&json!("epoch"), &json!("9-9")));
    assert!(gap["continues"].is_string(), "{gap}");
}

#[tokio::test]
async fn a_publication_with_a_key_happens_once() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    let mut keyed = publish("topics/t", json!({"n": 1}));
    keyed["idempotency_key"] = "k".into();
    let first = socket.must(keyed.clone()).await;
    let again = socket.must(keyed.clone()).await;
    assert_eq!(first["event_id"], again["event_id"]);
    keyed["data"] = json!({"n": 2});
    assert_eq!(
        socket.refused(keyed.clone()).await,
        "this Idempotency-Key was used before with another request"
    );
    keyed["idempotency_key"] = "".into();
    assert!(socket.refused(keyed).await.starts_with("idempotency_key must have"));
}

#[tokio::test]
async fn metrics_come_to_those_who_listen() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    socket.must(subscribe("metrics")).await;
    let event = socket.event("metrics", "metric.update").await;
    assert!(event["data"]["active_sessions"].is_number(), "{event}");
}

#[tokio::test]
async fn pings_pongs_and_binary_messages() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    socket.is_alive().await;
    socket.send(&json!({"type": "pong"})).await;
    socket.raw(&frame(0x80 | PING, b"hello")).await;
    assert_eq!(socket.next().await, Frame::Pong(b"hello".to_vec()), "a pong is answered with nothing");
    socket.raw(&frame(0x80 | support::socket::BINARY, br#"{"type":"ping"}"#)).await;
    socket.of_type("pong").await;
    // In three fragments, with a ping between.
    socket.raw(&frame(1, br#"{"type""#)).await;
    socket.raw(&frame(0, br#":"pi"#)).await;
    socket.raw(&frame(0x80 | PING, b"")).await;
    assert_eq!(socket.next().await, Frame::Pong(Vec::new()));
    socket.raw(&frame(0x80, br#"ng"}"#)).await;
    socket.of_type("pong").await;
    socket.raw(&frame(0x80 | CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(socket.closed().await.0, 1000);
    assert_eq!(socket.next().await, Frame::End);
}

#[tokio::test]
async fn any_frame_is_a_sign_of_life_and_silence_is_not() {
    let limits = Limits {
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_millis(400),
        ..Limits::default()
    };
    let server = start(Role::Ws, with_limits(limits)).await;
    let mut silent = Socket::open(&server, "/").await;
    let mut answers = Socket::open(&server, "/").await;
    let talking = async {
        // Pongs only, as clients do that answer pings and say nothing else.
        for _ in 0..20 {
            answers.of_type("ping").await;
            answers.send(&json!({"type": "pong"})).await;
        }
        answers.is_alive().await;
    };
    let (closed, ()) = tokio::join!(silent.closed(), talking);
    assert_eq!(closed, (4000, "Ping timeout".to_owned()));
}

#[tokio::test]
async fn sockets_are_counted() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    socket.must(json!({"type": "auth", "agent_id": "a", "dedupe": true})).await;
    let health = server.get("/health").await.json();
    assert_eq!((&health["type"], &health["connectedClients"]), (&json!("websocket"), &json!(1)), "{health}");
    assert_eq!(health["channelStats"], json!({"agents/a": 1, "global": 1}));
    assert_eq!(server.get("/stats").await.json()["activeChannels"], 2);
    assert_eq!(server.get("/").await.body, "WebSocket upgrade failed");
}

#[tokio::test]
async fn the_end_of_the_server_is_announced() {
    let mut server = ws().await;
    let mut sockets = Vec::new();
    for _ in 0..50 {
        sockets.push(Socket::open(&server, "/").await);
    }
    drop(server.stop.take());
    for mut socket in sockets {
        assert_eq!(socket.closed().await, (1001, "the server is going away".to_owned()));
    }
    server.serving.await.unwrap().unwrap();
}

/// Frames that arrive together are carried out one after the other, however many, and each is answered, in order.
#[tokio::test]
async fn frames_that_come_together_are_all_answered() {
    const FRAMES: usize = 900;
    let server =
        start(Role::Ws, with_limits(Limits { frames_per_second: 10_000, ..Limits::default() })).await;
    let mut listener = Socket::open(&server, "/").await;
    listener.must(subscribe("topics/many")).await;
    let mut socket = Socket::open(&server, "/").await;
    let packet: Vec<u8> = (0..FRAMES)
        .flat_map(|number| {
            let mut said = publish("topics/many", json!({ "n": number }));
            said["id"] = json!(format!("p{number}"));
            frame(0x80 | TEXT, said.to_string().as_bytes())
        })
        .collect();
    socket.raw(&packet).await;
    for number in 0..FRAMES {
        let answer = socket.of_type("ack").await;
        assert_eq!(answer["id"], format!("p{number}"), "{answer}");
    }
    for number in 0..FRAMES {
        loop {
            let event = listener.of_type("event").await;
            if event["channel"] == "topics/many" {
                assert_eq!(event["data"]["n"], number, "{event}");
                break;
            }
        }
    }
    socket.is_alive().await;
}

/// Who is said to be connected has a name as everywhere else: it is told to everybody.
#[tokio::test]
async fn names_of_agents_and_sessions_are_bounded() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    for (agent, session) in [
        ("a".repeat(256), "s".to_owned()),
        ("a\0b".to_owned(), "s".to_owned()),
        ("a".to_owned(), "s".repeat(100_000)),
        ("a".to_owned(), "s\0".to_owned()),
    ] {
        socket.send(&json!({"type": "auth", "agent_id": agent, "session_id": session})).await;
        let error = socket.of_type("error").await;
        assert_eq!(error["code"], "4003", "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.contains("255 characters")), "{error}");
    }
    socket.must(auth(&"ä".repeat(255))).await;
}
