//! Readers that do not read, and frames that do not end: what they cost.

use dcm_suite::server::{Options, Store};
use reqwest::Url;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::many::{connect, resident};

/// Connections that do not read.
const STALLED: usize = 100;
/// Published in all, in bytes; each of the connections is to get every one of them.
const PUBLISHED: usize = 64 << 20;
/// One event, in bytes.
const EVENT: usize = 64 << 10;
/// What the server may hold in memory for all of that: the newest events, 16 MiB with the texts of some (twice that, roughly),
/// and for each connection what is being written.
const BOUND: u64 = (48 << 20) + STALLED as u64 * (256 << 10);

/// A masked frame of this kind; the mask is all zeros, so masking changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0xff];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(&frame(0x81, text.as_bytes())).await.unwrap();
}

/// Reads until `part` comes.
async fn until(stream: &mut TcpStream, part: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(part) {
        assert!(tokio::io::AsyncReadExt::read_buf(stream, &mut seen).await.unwrap() > 0, "it was closed");
    }
}

mod serial {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_that_do_not_read_cost_bounded_memory() {
        let server = Options::on(Store::Embedded).start().await;
        let url = Url::parse(&server.socket().replace("ws://", "http://")).unwrap();
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            let mut stream = connect(&url).await;
            say(&mut stream, r#"{"type":"unsubscribe","id":"u","channel":"global"}"#).await;
            say(&mut stream, r#"{"type":"subscribe","id":"s","channel":"topics/t"}"#).await;
            until(&mut stream, r#""id":"s""#).await;
            stalled.push(stream);
        }
        let mut publisher = connect(&url).await;
        let filler = "x".repeat(EVENT);
        let before = resident(server.pid());
        let mut highest = before;
        for number in 0..PUBLISHED / EVENT {
            let data = format!(r#"{{"n":{number},"filler":"{filler}"}}"#);
            let publish = r#""type":"publish","channel":"topics/t","event":"system.info""#;
            say(&mut publisher, &format!(r#"{{{publish},"id":"p{number}","data":{data}}}"#)).await;
            until(&mut publisher, &format!(r#""id":"p{number}""#)).await;
            highest = highest.max(resident(server.pid()));
        }
        let grown = highest - before;
        eprintln!("{STALLED} readers that do not read, {PUBLISHED} bytes published: {grown} bytes more");
        assert!(grown <= BOUND, "{grown} bytes, where {} were to be sent", PUBLISHED * STALLED);
        drop(stalled);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn messages_that_do_not_end_cost_what_one_may_have() {
        let server = Options::on(Store::Embedded).start().await;
        let url = Url::parse(&server.socket().replace("ws://", "http://")).unwrap();
        let before = resident(server.pid());
        let mut open = Vec::new();
        for _ in 0..20 {
            let mut stream = connect(&url).await;
            // The first part of a message of 1 MiB at most, and then more and more of it.
            stream.write_all(&frame(0x01, &vec![b'x'; 1 << 19])).await.unwrap();
            for _ in 0..20 {
                // The server may have closed it already.
                if stream.write_all(&frame(0x00, &vec![b'x'; 1 << 19])).await.is_err() {
                    break;
                }
            }
            open.push(stream);
        }
        let grown = resident(server.pid()).saturating_sub(before);
        eprintln!("{} messages without an end: {grown} bytes more", open.len());
        assert!(grown <= 20 * (4 << 20), "{grown} bytes");
        // Everybody else is served.
        let mut neighbour = connect(&url).await;
        say(&mut neighbour, r#"{"type":"ping","id":"n"}"#).await;
        until(&mut neighbour, "pong").await;
    }
}
