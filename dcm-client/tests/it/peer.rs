//! A real WebSocket server whose side of every connection the test plays itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, upgrade};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A server that gives out the tokens `t-1`, `t-2`, … and hands every socket to the test.
pub(crate) struct Peers {
    pub(crate) url: String,
    sockets: mpsc::UnboundedReceiver<Peer>,
}

/// The server's side of one connection.
pub(crate) struct Peer {
    socket: FragmentCollector<TokioIo<Upgraded>>,
    pub(crate) authorization: Option<String>,
}

impl Peers {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, sockets) = mpsc::unbounded_channel();
        let tokens = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, tokens) = (sender.clone(), Arc::clone(&tokens));
                let service = service_fn(move |request| {
                    let answer = answer(request, &sender, &tokens);
                    async { Ok::<_, hyper::Error>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                // The test looks at what its client says about a connection that broke.
                tokio::spawn(async move {
                    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                });
            }
        });
        Self { url, sockets }
    }

    /// The next connection, with the first frame of the server said.
    pub(crate) async fn accept(&mut self) -> Peer {
        let mut peer = self.sockets.recv().await.unwrap();
        peer.say(&json!({"type": "connected", "client_id": "ws-1", "timestamp": 1})).await;
        peer
    }

    /// The next connection, of an agent, with everything that it begins with granted: its token, and its subscriptions.
    pub(crate) async fn accept_agent(&mut self) -> (Peer, String, Vec<Value>) {
        let mut peer = self.accept().await;
        let auth = peer.hear().await;
        assert_eq!((&auth["type"], &auth["dedupe"]), (&json!("auth"), &json!(true)));
        assert_eq!(
            auth["acknowledges"], true,
            "else what is sent before the first acknowledgement counts as received"
        );
        peer.grant(&auth).await;
        let mut subscriptions = Vec::new();
        loop {
            let frame = peer.hear().await;
            peer.grant(&frame).await;
            if frame["type"] == "unsubscribe" {
                assert_eq!(frame["channel"], "global");
                return (peer, auth["token"].as_str().unwrap().to_owned(), subscriptions);
            }
            assert_eq!(frame["type"], "subscribe");
            subscriptions.push(frame);
        }
    }
}

impl Peer {
    /// The next frame of the client that is not a ping; null when it has closed the connection properly.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let frame = self.socket.read_frame().await.unwrap();
            match frame.opcode {
                OpCode::Text => {
                    let value: Value = serde_json::from_slice(&frame.payload).unwrap();
                    if value["type"] != "ping" {
                        return value;
                    }
                }
                OpCode::Close => {
                    assert_eq!(&frame.payload[..], 1000_u16.to_be_bytes(), "a normal end");
                    return Value::Null;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn say(&mut self, frame: &Value) {
        let text = frame.to_string();
        self.socket.write_frame(Frame::text(Payload::Owned(text.into_bytes()))).await.unwrap();
    }

    /// Says yes to a frame.
    pub(crate) async fn grant(&mut self, frame: &Value) {
        self.say(&json!({"type": "ack", "id": frame["id"], "success": true, "timestamp": 1})).await;
    }

    /// Says no to a frame.
    pub(crate) async fn refuse(&mut self, frame: &Value, why: &str) {
        let refusal = json!({"type": "ack", "id": frame["id"], "success": false, "error": why});
        self.say(&refusal).await;
    }

    /// An event with the id `e-NUMBER` at the position `1-NUMBER`.
    pub(crate) async fn tell(&mut self, number: u32, channels: &[&str]) {
        let event = json!({"type": "event", "id": format!("e-{number}"), "channels": channels,
            "event": "system.info", "data": {"number": number}, "timestamp": 1, "position": format!("1-{number}")});
        self.say(&event).await;
    }

    pub(crate) async fn close(mut self, code: u16) {
        self.socket.write_frame(Frame::close(code, b"")).await.unwrap();
    }
}

fn answer(
    mut request: Request<Incoming>,
    sockets: &mpsc::UnboundedSender<Peer>,
    tokens: &AtomicUsize,
) -> Response<Full<Bytes>> {
    let full = |value: &Value| Full::new(Bytes::from(value.to_string()));
    if request.uri().path() == "/api/auth/token" {
        let token = format!("t-{}", tokens.fetch_add(1, Ordering::SeqCst) + 1);
        return Response::new(full(&json!({"token": token, "expires_in": 3600})));
    }
    if request.uri().path() != "/ws" {
        let mut response = Response::new(full(&json!({"error": "no such route"})));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    let authorization =
        request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let (response, socket) = upgrade::upgrade(&mut request).unwrap();
    let sockets = sockets.clone();
    tokio::spawn(async move {
        let socket = FragmentCollector::new(socket.await.unwrap());
        // The test may be over.
        let _ = sockets.send(Peer { socket, authorization });
    });
    response.map(|_| Full::default())
}
