//! WebSocket connections while the store does not answer.

mod support;

use std::sync::Arc;

use dcm::storage::{BoxFuture, ChannelChanges, ChannelRow, LogHead, LogPage, LogStore, StoreParts};
use dcm::{Dcm, EngineConfig, Result, Timestamp};
use dcm_server::{Role, ServerConfig};
use serde_json::{Value, json};
use support::socket::Socket;
use support::start_on;
use tokio::sync::Semaphore;

/// A log whose pages come when they may.
struct Slow {
    log: Arc<dyn LogStore>,
    asked: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl LogStore for Slow {
    fn log_head(&self) -> BoxFuture<'_, Result<LogHead>> {
        self.log.log_head()
    }

    fn log_page(&self, after: i64, channels: Vec<String>, limit: u32) -> BoxFuture<'_, Result<LogPage>> {
        Box::pin(async move {
            self.asked.add_permits(1);
            drop(self.gate.acquire().await);
            self.log.log_page(after, channels, limit).await
        })
    }

    fn raise_epoch(&self, epoch: i64) -> BoxFuture<'_, Result<()>> {
        self.log.raise_epoch(epoch)
    }

    fn agent_channels(&self, agent: String) -> BoxFuture<'_, Result<Vec<ChannelRow>>> {
        self.log.agent_channels(agent)
    }

    fn save_agent_channels(&self, changes: ChannelChanges, now: Timestamp) -> BoxFuture<'_, Result<()>> {
        self.log.save_agent_channels(changes, now)
    }
}

fn publish(text: &str) -> Value {
    json!({"type": "publish", "channel": "topics/t", "event": "system.info", "data": text})
}

/// The event of a publication goes out before its answer, but the answer does not wait for a store that is away.
#[tokio::test]
async fn an_answer_to_a_publication_is_not_held_for_ever() {
    let config = EngineConfig::default();
    let parts = StoreParts::of(Dcm::memory_store(&config).await.unwrap());
    let (asked, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(1)));
    let log = Slow { log: Arc::clone(&parts.log), asked: Arc::clone(&asked), gate: Arc::clone(&gate) };
    let store = Arc::new(StoreParts { log: Arc::new(log), ..parts });
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let dcm = Dcm::with_store(Arc::clone(&store) as _, config.clone()).await.unwrap();
        nodes.push(start_on(Role::Ws, ServerConfig::default(), dcm).await);
    }
    let mut other = Socket::open(&nodes[0], "/").await;
    let mut socket = Socket::open(&nodes[1], "/").await;
    socket.must(json!({"type": "unsubscribe", "channel": "global"})).await;
    socket.must(json!({"type": "subscribe", "channel": "topics/t"})).await;

    // What the other node commits has to be read before the own event can go out, and that hangs.
    gate.acquire().await.unwrap().forget();
    asked.forget_permits(Semaphore::MAX_PERMITS);
    other.must(publish("theirs")).await;
    let mut own = publish("own");
    own["id"] = "p".into();
    socket.send(&own).await;
    asked.acquire().await.unwrap().forget();
    let answer = socket.json().await;
    assert_eq!((&answer["type"], &answer["id"]), (&json!("ack"), &json!("p")), "the page still hangs");

    gate.add_permits(1);
    for text in ["theirs", "own"] {
        assert_eq!(socket.of_type("event").await["data"], text);
    }
}
