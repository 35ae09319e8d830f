//! A place between a client and the server where one request stops.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Url;
use tokio::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::server::Server;

/// How far the request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The server has half of its body.
    HalfSent,
    /// The server has all of it, and may be at work.
    Sent,
    /// The server has carried it out and answered, but the client has not heard of it.
    Answered,
}

/// A place between a client and the server where one request stops for good; all others pass.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    reached: watch::Receiver<bool>,
}

/// What every connection knows.
struct Rule {
    server: String,
    begins: &'static str,
    number: usize,
    moment: Moment,
    seen: AtomicUsize,
    reached: watch::Sender<bool>,
}

impl Gate {
    /// Stops the request with this `number` (from 1) among those that begin like `begins`.
    pub async fn open(server: &Server, begins: &'static str, number: usize, moment: Moment) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let url = Url::parse(&server.api()).expect("a URL");
        let server = format!("127.0.0.1:{}", url.port().expect("a port"));
        let (sender, reached) = watch::channel(false);
        let rule = Rule { server, begins, number, moment, seen: AtomicUsize::new(0), reached: sender };
        let rule = Arc::new(rule);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let rule = Arc::clone(&rule);
                // A connection that breaks is what the client has to live with.
                tokio::spawn(async move { rule.pass(client).await });
            }
        });
        Self { address, reached }
    }

    /// The URL that the client is to call.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the request has come as far as it may.
    pub async fn reached(&self) {
        let mut reached = self.reached.clone();
        reached.wait_for(|reached| *reached).await.expect("the gate is open");
    }
}

impl Rule {
    async fn pass(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(&self.server).await?;
        let (from_client, mut to_client) = split(client);
        let (from_server, mut to_server) = split(server);
        let (mut from_client, mut from_server) = (BufReader::new(from_client), BufReader::new(from_server));
        while let Some((head, body)) = message(&mut from_client).await? {
            let counts = head.starts_with(self.begins.as_bytes());
            let stops = counts && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.number;
            let sent = if stops && self.moment == Moment::HalfSent { body.len() / 2 } else { body.len() };
            to_server.write_all(&head).await?;
            to_server.write_all(&body[..sent]).await?;
            if stops && self.moment != Moment::Answered {
                return self.hold(from_client, from_server).await;
            }
            let Some((head, body)) = message(&mut from_server).await? else { return Ok(()) };
            if stops {
                return self.hold(from_client, from_server).await;
            }
            to_client.write_all(&head).await?;
            to_client.write_all(&body).await?;
        }
        Ok(())
    }

    /// Passes nothing on any more, until one of the two sides is gone.
    async fn hold(&self, mut client: BufReader<OwnedReadHalf>, mut server: BufReader<OwnedReadHalf>) -> io::Result<()> {
        self.reached.send_replace(true);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        tokio::select! {
            _ = client.read_to_end(&mut one) => {}
            _ = server.read_to_end(&mut other) => {}
        }
        Ok(())
    }
}

fn split(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    // It only costs time when it cannot be set.
    let _ = stream.set_nodelay(true);
    stream.into_split()
}

/// One request or answer with a length; none when the other side has closed.
async fn message(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let start = head.len();
        if from.read_until(b'\n', &mut head).await? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&head[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok(Some((head, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_read_with_their_bodies() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let text = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzGET /b HTTP/1.1\r\n\r\n";
        writer.write_all(text.as_bytes()).await.unwrap();
        drop(writer);
        let (read, _write) = split(listener.accept().await.unwrap().0);
        let mut reader = BufReader::new(read);
        assert_eq!(message(&mut reader).await.unwrap().unwrap().1, b"xyz");
        assert!(message(&mut reader).await.unwrap().unwrap().0.starts_with(b"GET /b"));
        assert!(message(&mut reader).await.unwrap().is_none());
    }
}
