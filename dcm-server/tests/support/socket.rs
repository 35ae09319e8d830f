//! A WebSocket client that sends exactly what a test says.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test file has its own copy and uses its part of it"
)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Server;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What an upgrade asks for.
pub const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// One connection.
pub struct Socket {
    pub stream: TcpStream,
    read: Vec<u8>,
}

/// What came in.
#[derive(Debug, PartialEq)]
pub enum Frame {
    Text(Value),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    End,
}

/// A frame as a client sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..65536 => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0xff);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [7, 77, 177, 233];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

impl Socket {
    /// Connects and takes the `connected` frame.
    pub async fn open(server: &Server, path: &str) -> Self {
        Self::open_with(server, path, &[]).await
    }

    pub async fn open_with(server: &Server, path: &str, headers: &[&str]) -> Self {
        let mut socket = Self::upgrade(server, path, headers).await;
        let hello = socket.json().await;
        assert_eq!(hello["type"], "connected", "{hello}");
        assert!(hello["client_id"].is_string() && hello["timestamp"].is_i64(), "{hello}");
        socket
    }

    pub async fn upgrade(server: &Server, path: &str, headers: &[&str]) -> Self {
        let mut stream = server.connect().await;
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
        for header in UPGRADE.iter().chain(headers) {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The example of RFC 6455.
        assert!(
            head.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{head}"
        );
        Self { stream, read: Vec::new() }
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, message: &Value) {
        self.raw(&frame(0x80 | TEXT, message.to_string().as_bytes())).await;
    }

    pub async fn text(&mut self, message: &str) {
        self.raw(&frame(0x80 | TEXT, message.as_bytes())).await;
    }

    /// The next frame, whatever it is.
    pub async fn next(&mut self) -> Frame {
        tokio::time::timeout(Duration::from_secs(20), self.receive()).await.expect("a frame within 20 s")
    }

    async fn receive(&mut self) -> Frame {
        loop {
            if let Some((first, payload)) = self.take() {
                assert_eq!(first & 0x70, 0, "reserved bits");
                assert_eq!(first & 0x80, 0x80, "a whole message");
                return match first & 0x0f {
                    TEXT => Frame::Text(serde_json::from_slice(&payload).unwrap()),
                    PING => Frame::Ping(payload),
                    PONG => Frame::Pong(payload),
                    CLOSE if payload.is_empty() => Frame::Close(0, String::new()),
                    CLOSE => Frame::Close(
                        u16::from_be_bytes([payload[0], payload[1]]),
                        String::from_utf8(payload[2..].to_vec()).unwrap(),
                    ),
                    other => panic!("frame {other}"),
                };
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) | Err(_) => return Frame::End,
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, second, ..] = self.read[..] else { return None };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (head, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(self.read.get(2..4)?.try_into().unwrap()))),
            127 => {
                let length = u64::from_be_bytes(self.read.get(2..10)?.try_into().unwrap());
                (10, usize::try_from(length).unwrap())
            }
            length => (2, usize::from(length)),
        };
        let payload = self.read.get(head..head + length)?.to_vec();
        self.read.drain(..head + length);
        Some((first, payload))
    }

    /// The next message.
    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Frame::Text(message) => message,
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next message of this type; those of others are passed over.
    pub async fn of_type(&mut self, kind: &str) -> Value {
        loop {
            let message = self.json().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The next event of this name on this channel; others are passed over.
    pub async fn event(&mut self, channel: &str, name: &str) -> Value {
        loop {
            let event = self.of_type("event").await;
            if event["event"] == name && event["channel"] == channel {
                return event;
            }
        }
    }

    /// Sends a frame with an id and answers the ack.
    pub async fn ask(&mut self, mut message: Value) -> Value {
        message["id"] = "asked".into();
        self.send(&message).await;
        loop {
            let answer = self.json().await;
            if answer["id"] == "asked" {
                return answer;
            }
        }
    }

    /// The same, and it must succeed.
    pub async fn must(&mut self, message: Value) -> Value {
        let answer = self.ask(message.clone()).await;
        assert_eq!(
            (&answer["type"], &answer["success"]),
            (&json!("ack"), &json!(true)),
            "{message}: {answer}"
        );
        answer
    }

    /// The same, and it must be refused; what the refusal says.
    pub async fn refused(&mut self, message: Value) -> String {
        let answer = self.ask(message.clone()).await;
        assert_eq!(
            (&answer["type"], &answer["success"]),
            (&json!("ack"), &json!(false)),
            "{message}: {answer}"
        );
        answer["error"].as_str().unwrap().to_owned()
    }

    /// How the server closes, after whatever it says before.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Frame::Close(code, reason) => return (code, reason),
                Frame::End => panic!("the connection ended without a close frame"),
                _ => {}
            }
        }
    }

    /// Whoever is served still answers.
    pub async fn is_alive(&mut self) {
        self.send(&json!({"type": "ping"})).await;
        self.of_type("pong").await;
    }
}
