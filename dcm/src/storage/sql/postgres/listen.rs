//! Hearing that other nodes have committed something.

use std::future::poll_fn;

use deadpool_postgres::Pool;
use futures_util::future::{Either, select};
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};

use super::connect::prepared;
use crate::error::{Error, Result};

/// Listens on a connection of its own, which no pool may take away, until that is lost or the pool is closed.
pub(super) async fn listen(config: &Config, pool: &Pool, wake: &Notify, node: &str) -> Result<()> {
    let config = prepared(config.clone());
    let lost = |error: tokio_postgres::Error| Error::unavailable(format!("listening: {error}"));
    if config.get_ssl_mode() == SslMode::Require {
        let (client, connection) = config.connect(super::tls::connector()?).await.map_err(lost)?;
        hear(client, connection, pool, wake, node).await
    } else {
        let (client, connection) = config.connect(NoTls).await.map_err(lost)?;
        hear(client, connection, pool, wake, node).await
    }
}

async fn hear<S, T>(
    client: Client,
    mut connection: Connection<S, T>,
    pool: &Pool,
    wake: &Notify,
    node: &str,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let hearing = pin!(async {
        loop {
            match poll_fn(|cx| connection.poll_message(cx)).await {
                // What this node commits, it knows already.
                Some(Ok(AsyncMessage::Notification(said))) if said.payload() == node => {}
                Some(Ok(AsyncMessage::Notification(_))) => wake.notify_one(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Error::unavailable(format!("listening: {error}")),
                None => return Error::unavailable("the connection that listens was closed"),
            }
        }
    });
    let asking = pin!(async {
        if let Err(error) = client.batch_execute("listen dcm_log").await {
            return Error::unavailable(format!("listen: {error}"));
        }
        // First listen, then look: what was committed before is found now, what is committed later is heard.
        wake.notify_one();
        loop {
            tokio::time::sleep(super::LISTEN_CHECK).await;
            // A peer that has vanished without a word is noticed, and a closed store lets go of its connection.
            if pool.is_closed() {
                return Error::unavailable("the store is closed");
            }
            if let Err(error) = client.batch_execute("select 1").await {
                return Error::unavailable(format!("listening: {error}"));
            }
        }
    });
    match select(hearing, asking).await {
        Either::Left((error, _)) | Either::Right((error, _)) => Err(error),
    }
}
