//! Accepting connections, within bounds, until told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dcm::Dcm;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::ServerConfig;
use crate::line::Line;
use crate::shell::Shell;
use crate::socket::{self, Slot};

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The REST interface.
    Api,
    /// WebSocket connections.
    Ws,
    /// The pages for people, and the REST interface of the same origin.
    Dashboard,
}

/// Serves `role` on `listener` until `shutdown` is ready; then requests in flight are answered, for at most
/// [`Limits::shutdown_timeout`](crate::Limits::shutdown_timeout).
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] when the configuration cannot be served, such as an address that other machines
/// reach without any API key.
pub async fn serve(
    listener: TcpListener,
    role: Role,
    dcm: Dcm,
    config: Arc<ServerConfig>,
    shutdown: impl Future,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let shell = Shell::new(role, dcm, &config, listener.local_addr()?, stopped)
        .map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
    run(listener, Arc::new(shell), &config, stop, shutdown).await;
    Ok(())
}

/// Connections that are told to come back later, at once; more are dropped without a word.
const REFUSALS: usize = 64;

pub(crate) async fn run(
    listener: TcpListener,
    shell: Arc<Shell>,
    config: &ServerConfig,
    stop: watch::Sender<bool>,
    shutdown: impl Future,
) {
    let places = Arc::new(Semaphore::new(config.limits.connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.limits.header_timeout).max_buf_size(64 << 10);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            _ = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                accept_failed(&error).await;
                continue;
            }
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            connections.spawn(connection(stream, Arc::clone(&shell), http.clone(), stop.subscribe(), place));
        } else if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
            tracing::warn!(connections = config.limits.connections, "too many connections, one was refused");
            connections.spawn(refuse(stream, place));
        }
    }
    drop(listener);
    // Sockets hear it at once, requests in flight are answered first.
    stop.send_replace(true);
    let draining = async { while connections.join_next().await.is_some() {} };
    let drained = tokio::time::timeout(config.limits.shutdown_timeout, draining).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "requests in flight were cut off");
    }
    // Dropping the set ends what is left.
}

/// A connection that was gone before it was accepted says nothing; without descriptors only waiting helps.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn connection(
    stream: TcpStream,
    shell: Arc<Shell>,
    http: http1::Builder,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let Ok(local) = stream.local_addr() else { return };
    // An answer is one write: there is nothing to wait for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let local = local.ip();
    let slot = Slot::default();
    let left = Arc::clone(&slot);
    let service = service_fn(move |request| {
        let (shell, slot) = (Arc::clone(&shell), Arc::clone(&slot));
        async move { Ok::<_, Infallible>(shell.handle(local, request, slot).await) }
    });
    let served = http.serve_connection(TokioIo::new(Line::new(stream)), service).with_upgrades();
    // In boxes, so that a socket does not carry the memory of its request along for its life.
    let mut served = Box::pin(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stopped(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.as_mut().await
        }
    };
    drop(served);
    if let Err(error) = ended {
        // Resets, broken requests, heads that did not arrive in time.
        tracing::debug!(error = %error, "connection ended");
    }
    let accepted = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(left);
    if let Some(accepted) = accepted {
        Box::pin(socket::serve(accepted)).await;
    }
}

/// Waits until connections are to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever would say it is gone: that means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 61\r\n\r\n\
    {\"error\":\"The server has no free connection, try again soon\"}";

/// Says that there is no room, and listens for a moment so that the word arrives.
async fn refuse(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let talk = async {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // The other side may be gone, or go on talking: neither is worth a word.
    let _ = tokio::time::timeout(Duration::from_secs(1), talk).await;
}
