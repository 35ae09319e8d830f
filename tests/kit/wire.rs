//! A wire to a PostgreSQL server that breaks at a COMMIT, or at a statement that commits by itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The message that ends a transaction; `set synchronous_commit = …` does not end in it.
const COMMIT: &[u8] = b"commit\0";

/// Parts that are waited for are not longer.
const LONGEST_PART: usize = 32;

/// What does not come so long after the rest was not sent together with it.
const AT_ONCE: Duration = Duration::from_millis(200);

/// What becomes of the next message that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Breaks(Break),
    Waits,
}

/// What PostgreSQL hears of the message at which the wire breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Nothing whole, so it has no effect.
    Before,
    /// All of it; only its answer is lost.
    After,
    /// All of it and what was sent with it, after it was [released](Wire::release).
    Late,
}

/// A wire between a server and its database.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    database: String,
    /// What becomes of the next message with such a part.
    next: watch::Sender<Option<(Next, &'static [u8])>>,
    /// Whether what was held back may go on.
    released: watch::Sender<bool>,
    /// What PostgreSQL said to what came late.
    arrived: watch::Sender<Option<Vec<u8>>>,
}

impl Wire {
    /// A wire to the server of the database at `url`.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let url = Url::parse(url).expect("a URL");
        let database = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5432));
        let (next, released, arrived) =
            (watch::Sender::new(None), watch::Sender::new(false), watch::Sender::new(None));
        let state = Arc::new(State { database, next, released, arrived });
        let passing = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&passing);
                // A connection that breaks is what the server has to live with.
                tokio::spawn(async move { state.pass(client).await });
            }
        });
        Self { address, state }
    }

    /// `url` by way of this wire.
    #[must_use]
    pub fn by_way(&self, url: &str) -> String {
        let mut url = Url::parse(url).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(self.address.port())).expect("a port");
        url.into()
    }

    /// Breaks the connection that sends the next COMMIT.
    pub fn break_next(&self, how: Break) {
        self.break_at(how, COMMIT);
    }

    /// Breaks the connection that sends the next message with such a part, for one that commits by itself.
    pub fn break_at(&self, how: Break, part: &'static [u8]) {
        assert!(part.len() <= LONGEST_PART, "a part in two pieces would not be found");
        self.state.released.send_replace(false);
        self.state.arrived.send_replace(None);
        self.state.next.send_replace(Some((Next::Breaks(how), part)));
    }

    /// Holds the next COMMIT back: all that its transaction has to say before is said.
    pub fn hold_next(&self) {
        self.state.released.send_replace(false);
        self.state.next.send_replace(Some((Next::Waits, COMMIT)));
    }

    /// Lets the COMMIT go on that was held back.
    pub fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// Waits until PostgreSQL has dealt with what was to arrive [late](Break::Late), and answers what it said.
    pub async fn arrived(&self) -> Vec<u8> {
        let mut arrived = self.state.arrived.subscribe();
        let said = arrived.wait_for(Option::is_some).await.expect("the wire is there");
        said.clone().unwrap_or_default()
    }

    /// Waits until what is waited for has come, and is held back or has broken the wire.
    pub async fn broken(&self) {
        self.state.next.subscribe().wait_for(Option::is_none).await.expect("the wire is there");
    }
}

impl State {
    async fn pass(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(&self.database).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        // What is kept until it may arrive late.
        let mut late = Vec::new();
        let broken = tokio::select! {
            broken = self.up(&mut from_client, &mut to_server, &mut late) => broken?,
            ended = io::copy(&mut from_server, &mut to_client) => return ended.map(drop),
        };
        drop((from_client, to_client));
        if broken == Some(Break::Late) {
            let _ = self.released.subscribe().wait_for(|released| *released).await;
            let mut said = Vec::new();
            let arrived = async {
                to_server.write_all(&late).await?;
                to_server.shutdown().await?;
                from_server.read_to_end(&mut said).await
            };
            let arrived = arrived.await;
            self.arrived.send_replace(Some(said));
            arrived?;
        }
        if broken == Some(Break::After) {
            // As where packets are lost without a word: PostgreSQL does not notice, and goes on to the end.
            io::copy(&mut from_server, &mut io::sink()).await?;
        }
        Ok(())
    }

    /// Passes on what the client says, until it has nothing more to say or the wire breaks.
    async fn up(
        &self,
        client: &mut OwnedReadHalf,
        server: &mut OwnedWriteHalf,
        late: &mut Vec<u8>,
    ) -> io::Result<Option<Break>> {
        // The end of what was passed on, so that a part in two pieces is found as well.
        let mut tail = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = client.read(&mut buffer).await?;
            if read == 0 {
                return Ok(None);
            }
            let known = tail.len();
            tail.extend_from_slice(&buffer[..read]);
            let next = *self.next.borrow();
            // Not in what was passed on: that was another one, before anybody waited for it.
            let new = |part: &[u8]| known.saturating_sub(part.len() - 1);
            if let Some((next, part)) = next
                && let Some(at) = find(&tail[new(part)..], part).map(|at| new(part) + at)
            {
                self.next.send_replace(None);
                let how = match next {
                    Next::Breaks(how) => how,
                    Next::Waits => {
                        let mut released = self.released.subscribe();
                        let held = known.max(at);
                        server.write_all(&tail[known..held]).await?;
                        // When the wire is gone, so is the test.
                        let _ = released.wait_for(|released| *released).await;
                        server.write_all(&tail[held..]).await?;
                        tail.clear();
                        continue;
                    }
                };
                if how != Break::Before {
                    // All that was sent with it.
                    while let Ok(more) = tokio::time::timeout(AT_ONCE, client.read(&mut buffer)).await {
                        match more? {
                            0 => break,
                            more => tail.extend_from_slice(&buffer[..more]),
                        }
                    }
                }
                match how {
                    // Half of the message is as good as none of it.
                    Break::Before => server.write_all(&tail[known.min(at)..at]).await?,
                    Break::After => server.write_all(&tail[known..]).await?,
                    Break::Late => late.extend_from_slice(&tail[known..]),
                }
                return Ok(Some(how));
            }
            server.write_all(&tail[known..]).await?;
            tail.drain(..tail.len().saturating_sub(LONGEST_PART - 1));
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
