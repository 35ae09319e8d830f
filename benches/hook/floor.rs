//! The least that a durable answer takes: reads an HTTP request, makes its body durable, answers 204; records nothing.
//! Started by `benches/hooks`, as `hook_floor FILE` or `hook_floor postgres://...`; prints its address.

#![expect(clippy::print_stdout, reason = "whoever starts it reads the address")]
#![expect(clippy::unwrap_used, reason = "what cannot be measured ends the measurement")]

use std::convert::Infallible;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_postgres::{Client, NoTls, Statement};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes that are written over and over, so that no write makes the file longer.
const ROOM: usize = 64 << 20;
/// Connections to PostgreSQL, which commits what several of them write together.
const CLIENTS: usize = 4;

type Note = (Bytes, oneshot::Sender<()>);

/// Where bodies are made durable.
enum Notes {
    /// A thread that writes what waits and syncs once for all of it.
    File(mpsc::Sender<Note>),
    Postgres(Vec<(Client, Statement)>, AtomicUsize),
}

impl Notes {
    async fn keep(&self, body: Bytes) {
        match self {
            Self::File(thread) => {
                let (done, kept) = oneshot::channel();
                thread.send((body, done)).unwrap();
                kept.await.unwrap();
            }
            Self::Postgres(clients, next) => {
                let (client, insert) = &clients[next.fetch_add(1, Ordering::Relaxed) % clients.len()];
                client.execute(insert, &[&std::str::from_utf8(&body).unwrap()]).await.unwrap();
            }
        }
    }
}

#[tokio::main]
async fn main() {
    let place = std::env::args().nth(1).expect("a file or the URL of a database");
    let notes = Arc::new(if place.starts_with("postgres:") {
        Notes::Postgres(connect(&place).await, AtomicUsize::new(0))
    } else {
        Notes::File(append_to(&place))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let notes = Arc::clone(&notes);
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let notes = Arc::clone(&notes);
                async move {
                    notes.keep(request.into_body().collect().await.unwrap().to_bytes()).await;
                    let mut answer = Response::new(Empty::<Bytes>::new());
                    *answer.status_mut() = StatusCode::NO_CONTENT;
                    Ok::<_, Infallible>(answer)
                }
            });
            // It ends when the other side closes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

fn append_to(path: &str) -> mpsc::Sender<Note> {
    let mut file = File::create(path).unwrap();
    file.write_all(&vec![0; ROOM]).unwrap();
    file.sync_all().unwrap();
    let (notes, waiting) = mpsc::channel::<Note>();
    std::thread::spawn(move || {
        let mut at = ROOM;
        while let Ok((mut bytes, first)) = waiting.recv().map(|(body, done)| (body.to_vec(), done)) {
            let mut done = vec![first];
            while let Ok((body, next)) = waiting.try_recv() {
                bytes.extend_from_slice(&body);
                done.push(next);
            }
            if at + bytes.len() > ROOM {
                file.seek(SeekFrom::Start(0)).unwrap();
                at = 0;
            }
            at += bytes.len();
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
            for done in done {
                // A client that went away needs no answer.
                let _ = done.send(());
            }
        }
    });
    notes
}

async fn connect(url: &str) -> Vec<(Client, Statement)> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("create table if not exists notes (body text)").await.unwrap();
        let insert = client.prepare("insert into notes values ($1)").await.unwrap();
        clients.push((client, insert));
    }
    clients
}
