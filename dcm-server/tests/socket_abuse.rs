//! What breaks the protocol, floods, stalls or is half dead: the right answer, and nobody else is disturbed.

mod support;

use std::time::Duration;

use dcm_server::{Limits, Role, ServerConfig};
use serde_json::{Value, json};
use support::socket::{BINARY, CLOSE, Frame, PING, Socket, TEXT, UPGRADE, frame};
use support::{Server, start, with_limits};

async fn ws() -> Server {
    start(Role::Ws, ServerConfig::default()).await
}

/// A neighbour who notices nothing.
async fn neighbour(server: &Server) -> Socket {
    Socket::open(server, "/").await
}

#[tokio::test]
async fn what_cannot_be_parsed_is_answered_and_the_connection_stays() {
    let server = ws().await;
    let mut socket = Socket::open(&server, "/").await;
    let deep = format!("{{\"type\":\"ping\",\"x\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    for message in ["", "x", "null", "[]", "7", "{", r#"{"type":"subscribe"}"#, &deep] {
        socket.text(message).await;
        let error = socket.of_type("error").await;
        assert_eq!(error["code"], "PARSE_ERROR", "{}", &message[..message.len().min(40)]);
        assert_eq!(error["error"], "Failed to parse message");
    }
    for (message, words) in
        [(r#"{"type":"dance"}"#, "Unknown message type: dance"), ("{}", "Unknown message type: undefined")]
    {
        socket.text(message).await;
        let error = socket.of_type("error").await;
        assert_eq!((&error["code"], &error["error"]), (&json!("UNKNOWN_MESSAGE_TYPE"), &json!(words)));
    }
    socket.raw(&frame(0x80 | BINARY, &[0xff, 0xfe])).await;
    assert_eq!(socket.of_type("error").await["code"], "PARSE_ERROR", "binary that is no text");
    socket.is_alive().await;
}

#[tokio::test]
async fn a_broken_protocol_is_closed_with_its_code() {
    let server = ws().await;
    let mut beside = neighbour(&server).await;
    let unmasked = [0x80 | TEXT, 2, b'{', b'}'];
    let too_long = {
        let mut head = vec![0x80 | TEXT, 0xff];
        head.extend((1_048_577_u64).to_be_bytes());
        head.extend([0; 4]);
        head
    };
    let too_long_in_pieces = [frame(TEXT, &vec![b' '; 700_000]), frame(0x80, &vec![b' '; 700_000])].concat();
    let huge = {
        let mut head = vec![0x80 | TEXT, 0xff];
        head.extend(u64::MAX.to_be_bytes());
        head.extend([0; 4]);
        head
    };
    for (what, bytes, code) in [
        ("an unmasked frame", unmasked.to_vec(), 1002),
        ("a reserved bit", frame(0xc0 | TEXT, b"{}"), 1002),
        ("an unknown opcode", frame(0x80 | 5, b""), 1002),
        ("a fragmented ping", frame(PING, b""), 1002),
        ("a long ping", frame(0x80 | PING, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002),
        ("a message inside another", [frame(TEXT, b"{"), frame(0x80 | TEXT, b"{}")].concat(), 1002),
        ("half a close code", frame(0x80 | CLOSE, &[3]), 1002),
        ("a close code that must not be sent", frame(0x80 | CLOSE, &1005_u16.to_be_bytes()), 1002),
        ("text that is not UTF-8", frame(0x80 | TEXT, &[b'"', 0xff, b'"']), 1007),
        ("fragments that are not UTF-8", [frame(TEXT, b"\""), frame(0x80, &[0xff])].concat(), 1007),
        ("a message that is too long", too_long, 1009),
        ("fragments that are too long together", too_long_in_pieces, 1009),
        ("a length that nobody has", huge, 1009),
    ] {
        let mut socket = Socket::open(&server, "/").await;
        socket.raw(&bytes).await;
        assert_eq!(socket.closed().await.0, code, "{what}");
        beside.is_alive().await;
    }
    // The largest message there is.
    let mut socket = Socket::open(&server, "/").await;
    let message = format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(1_048_576 - 22));
    socket.text(&message).await;
    socket.of_type("pong").await;
}

#[tokio::test]
async fn a_flood_is_told_and_then_cut_off() {
    let limits = Limits { frames_per_second: 20, ..Limits::default() };
    let server = start(Role::Ws, with_limits(limits)).await;
    let mut beside = neighbour(&server).await;
    let mut socket = Socket::open(&server, "/").await;
    for _ in 0..100 {
        if socket.stream.try_write(&frame(0x80 | TEXT, br#"{"type":"ping"}"#)).is_err() {
            break;
        }
    }
    let error = socket.of_type("error").await;
    assert_eq!(error["code"], "RATE_LIMITED", "{error}");
    assert_eq!(socket.closed().await.0, 1008);
    beside.is_alive().await;
}

#[tokio::test]
async fn upgrades_that_are_wrong_are_refused() {
    let server = ws().await;
    let without = |name: &str| -> Vec<&str> {
        UPGRADE.iter().copied().filter(|header| !header.to_ascii_lowercase().starts_with(name)).collect()
    };
    let with = |headers: Vec<&'static str>, more: &'static str| [headers, vec![more]].concat();
    for (what, headers, status) in [
        ("no key", without("sec-websocket-key"), 400),
        ("half a key", with(without("sec-websocket-key"), "Sec-WebSocket-Key: abc"), 400),
        ("no version", without("sec-websocket-version"), 400),
        ("an old version", with(without("sec-websocket-version"), "Sec-WebSocket-Version: 8"), 400),
        ("no upgrade", without("upgrade"), 400),
        ("a foreign origin", with(UPGRADE.to_vec(), "Origin: http://evil.example"), 403),
        ("no origin at all", with(UPGRADE.to_vec(), "Origin: null"), 403),
        ("a foreign site", with(UPGRADE.to_vec(), "Sec-Fetch-Site: cross-site"), 403),
        ("a foreign host", with(UPGRADE.to_vec(), "Host: evil.example"), 403),
    ] {
        let answer = server.send("GET", "/", &headers, b"").await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    assert_eq!(server.send("POST", "/", &UPGRADE, b"").await.status, 405);
    assert_eq!(server.send("GET", "/other", &UPGRADE, b"").await.status, 404);
    let bad_query = server.send("GET", "/?agent_id=%ff", &UPGRADE, b"").await;
    assert_eq!(bad_query.status, 400, "{bad_query:?}");
    // An allowed page may.
    Socket::open_with(&server, "/", &["Origin: http://localhost:3848"]).await.is_alive().await;
}

/// Who reads nothing holds up nobody, and costs no memory: when it reads again it gets everything.
#[tokio::test]
async fn a_slow_reader_is_no_ones_trouble_and_loses_nothing() {
    let server = ws().await;
    let mut slow = Socket::open(&server, "/").await;
    slow.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    slow.must(json!({"type": "subscribe", "channel": "topics/t", "after": "0"})).await;
    let mut quick = Socket::open(&server, "/").await;
    quick.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    quick.must(json!({"type": "subscribe", "channel": "topics/t"})).await;
    let mut publisher = Socket::open(&server, "/").await;
    publisher.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    // More than the buffers of both systems and the events that are held in memory.
    let filler = "x".repeat(20_000);
    let many = 900;
    for number in 0..many {
        let data = json!({"n": number, "filler": filler});
        publisher
            .must(json!({"type": "publish", "channel": "topics/t", "event": "system.info", "data": data}))
            .await;
        let event = quick.of_type("event").await;
        assert_eq!(event["data"]["n"], number, "the others get it at once");
    }
    let mut resynced = false;
    let mut next = 0;
    while next < many {
        match slow.next().await {
            Frame::Text(message) if message["type"] == "event" => {
                assert_eq!(message["data"]["n"], next, "in order, without a hole");
                next += 1;
            }
            Frame::Text(message) => resynced |= message["type"] == "resync",
            other => panic!("{other:?}"),
        }
    }
    assert!(resynced, "it fell behind, and was told");
}

/// A peer that vanished without a word is given up, whatever waits for it.
#[tokio::test]
async fn half_open_connections_end() {
    let limits = Limits {
        ping_interval: Duration::from_millis(30),
        ping_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = start(Role::Ws, with_limits(limits)).await;
    let mut watched = Socket::open(&server, "/").await;
    let gone = Socket::open(&server, "/").await;
    // It neither reads nor writes, nor closes.
    loop {
        let message: Value = watched.json().await;
        if message["type"] == "ping" {
            watched.send(&json!({"type": "pong"})).await;
        }
        let stats = server.get("/stats").await.json();
        if stats["connectedClients"] == 1 {
            break;
        }
    }
    drop(gone);
    watched.is_alive().await;
}

/// Who takes events slowly, and says that he lives, is heard: his acknowledgements count and he is not given up.
#[tokio::test]
async fn who_is_slow_is_heard_while_much_waits_for_him() {
    let limits = Limits {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_secs(1),
        frames_per_second: 100_000,
        ..Limits::default()
    };
    let server = start(Role::Ws, with_limits(limits)).await;
    let hello = json!({"type": "auth", "agent_id": "a", "dedupe": true, "acknowledges": true});
    let quietly = async || {
        let mut socket = Socket::open(&server, "/").await;
        socket.must(json!({"type": "unsubscribe", "channel": "global"})).await;
        socket
    };
    let mut slow = quietly().await;
    slow.must(hello.clone()).await;
    drop(slow);
    let mut publisher = quietly().await;
    publisher.must(json!({"type": "auth", "agent_id": "p"})).await;
    // More than the buffers of both systems.
    let (many, filler) = (600, "x".repeat(20_000));
    for number in 0..many {
        let data = json!({"n": number, "filler": filler});
        publisher
            .must(json!({"type": "publish", "channel": "agents/a", "event": "system.info", "data": data}))
            .await;
    }
    let mut slow = quietly().await;
    slow.send(&hello).await;
    let first = slow.of_type("event").await;
    // It takes nothing for several times the patience of the server, but it is there.
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..25 {
        beat.tick().await;
        slow.send(&json!({"type": "ack", "message_id": first["id"]})).await;
    }
    let mut last = first;
    for number in 1..many {
        last = slow.of_type("event").await;
        assert_eq!(last["data"]["n"], number, "in order, without a hole");
        if number % 10 == 0 {
            slow.send(&json!({"type": "ack", "position": last["position"]})).await;
        }
    }
    slow.send(&json!({"type": "ack", "position": last["position"]})).await;
    slow.is_alive().await;
    drop((slow, publisher));
    let mut again = quietly().await;
    again.must(hello).await;
    let mut publisher = quietly().await;
    publisher.must(json!({"type": "auth", "agent_id": "p"})).await;
    publisher
        .must(json!({"type": "publish", "channel": "agents/a", "event": "system.info", "data": {"n": "new"}}))
        .await;
    assert_eq!(again.of_type("event").await["data"]["n"], "new", "all acknowledgements were heard");
}

/// A part of a message shows that somebody is there, and counts as a frame.
#[tokio::test]
async fn fragments_are_signs_of_life_and_frames() {
    let limits = Limits {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(400),
        frames_per_second: 50,
        ..Limits::default()
    };
    let server = start(Role::Ws, with_limits(limits)).await;
    let mut socket = Socket::open(&server, "/").await;
    socket.raw(&frame(TEXT, br#"{"type":"#)).await;
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..15 {
        beat.tick().await;
        socket.raw(&frame(0, b" ")).await;
    }
    socket.raw(&frame(0x80, br#""ping"}"#)).await;
    socket.of_type("pong").await;
    socket.raw(&frame(TEXT, b"")).await;
    for _ in 0..500 {
        if socket.stream.try_write(&frame(0, b"")).is_err() {
            break;
        }
    }
    assert_eq!(socket.closed().await.0, 1008);
}
