//! Many connections that do nothing.

use std::fs;
use std::time::{Duration, Instant};

use dcm_suite::server::{Options, Store};
use reqwest::Url;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What an idle connection may cost the server, in bytes; a server that was built for tests needs more.
const PER_CONNECTION: u64 = if cfg!(debug_assertions) { 32 * 1024 } else { 16 * 1024 };
/// How long the server may take to say goodbye to all of them.
const GOODBYE: Duration = Duration::from_secs(5);

/// As many open files as the machine allows; for the server as well, which inherits it.
fn raise_file_limit(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX).min(wanted.max(limit.current.unwrap_or(0)));
    setrlimit(Resource::Nofile, Rlimit { current: Some(maximum), maximum: limit.maximum }).unwrap();
    maximum
}

pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

/// A connection with as little around it as can be: the upgrade, and then bytes.
pub(crate) async fn connect(url: &Url) -> TcpStream {
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
    let mut stream = TcpStream::connect((host, port)).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // The answer and the first frame, `connected`.
    let mut seen = Vec::new();
    while !seen.windows(9).any(|part| part == b"connected") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{:?}", String::from_utf8_lossy(&seen));
    }
    stream
}

/// Reads to the end; whether the server said goodbye with code 1001.
pub(crate) async fn goodbye(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let mut told = false;
    loop {
        match stream.read_buf(&mut rest).await {
            Ok(0) | Err(_) => return told,
            Ok(_) => {
                if !told && rest.windows(4).any(|part| part[0] == 0x88 && part[2..] == 1001_u16.to_be_bytes())
                {
                    told = true;
                    // A masked close of our own, with the same code.
                    let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9];
                    if stream.write_all(&close).await.is_err() {
                        return true;
                    }
                }
            }
        }
    }
}

mod serial {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn idle_connections_cost_little_and_are_closed_properly() {
        let wanted = 9000;
        let connections =
            usize::try_from(raise_file_limit(2 * wanted + 1000).saturating_sub(1000) / 2).unwrap();
        let connections = connections.min(usize::try_from(wanted).unwrap());
        assert!(connections >= 200, "this machine allows too few open files");
        let options = Options::on(Store::Embedded).variable("DCM_MAX_CONNECTIONS", "20000");
        let mut server = options.start().await;
        let url = Url::parse(&server.socket().replace("ws://", "http://")).unwrap();
        // What the first ones need is there once for all.
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(connect(&url).await);
        }
        let before = resident(server.pid());
        for _ in streams.len()..connections {
            streams.push(connect(&url).await);
        }
        let each = resident(server.pid()).saturating_sub(before) / (connections as u64 - 50);
        eprintln!("{connections} idle connections, {each} bytes each");
        assert!(each <= PER_CONNECTION, "{each} bytes for an idle connection");

        let mut leaving = JoinSet::new();
        for stream in streams {
            leaving.spawn(goodbye(stream));
        }
        let began = Instant::now();
        assert!(server.stop().await.success());
        let mut told = 0;
        while let Some(ended) = leaving.join_next().await {
            told += usize::from(ended.unwrap());
        }
        assert_eq!(told, connections, "every one of them is told that the server goes away");
        // Generous: the machine does other things as well. What is asked for is written to the output.
        eprintln!("all of them told in {:?}, {GOODBYE:?} wanted", began.elapsed());
    }
}
