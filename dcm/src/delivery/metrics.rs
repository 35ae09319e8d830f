//! The life of a [`Hub`]: cursors are written, numbers are computed while somebody listens to them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::METRICS;
use super::cursors::{CursorOrders, Cursors};
use super::hub::Hub;
use crate::engine::EngineConfig;
use crate::engine::writer::Writer;
use crate::error::Result;
use crate::feed::{Entry, Feed};
use crate::id::IdSource;
use crate::json::JsonObject;
use crate::storage::{NewEvent, Storage};
use crate::time::Clock;

impl Hub {
    /// Nobody is connected yet.
    pub(crate) fn open(
        feed: &Feed,
        clock: &Arc<dyn Clock>,
        ids: &IdSource,
        config: &EngineConfig,
    ) -> (Arc<Self>, CursorOrders) {
        let (cursors, orders) = Cursors::new();
        let hub = Self::new(feed.clone(), cursors, Arc::clone(clock), ids.clone(), config);
        (Arc::new(hub), orders)
    }

    /// Works until `stopped`.
    pub(crate) async fn run(
        self: Arc<Self>,
        orders: CursorOrders,
        store: Arc<dyn Storage>,
        writer: Writer,
        clock: Arc<dyn Clock>,
        stopped: watch::Receiver<bool>,
    ) {
        let cursors = self.cursors.clone();
        let writing = cursors.run(orders, Arc::clone(&store), writer, clock, stopped);
        tokio::select! {
            () = writing => {}
            () = self.measure(&*store) => {}
        }
    }

    /// Computes the numbers, as long as somebody listens; never ends.
    async fn measure(&self, store: &dyn Storage) {
        let every = Duration::from_millis(self.metrics_every_ms.max(1));
        loop {
            self.numbers_are_wanted().await;
            if let Err(error) = self.send_metrics(store).await {
                tracing::warn!(?error, "the numbers cannot be computed");
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Waits until somebody listens to the numbers.
    pub(crate) async fn numbers_are_wanted(&self) {
        // Who was heard of may have left again.
        while !self.has_listeners(METRICS) {
            self.metrics_wanted.notified().await;
        }
    }

    async fn send_metrics(&self, store: &dyn Storage) -> Result<()> {
        let now = self.clock.now();
        let numbers = store.metrics(now).await?;
        let data = json!({
            "active_sessions": numbers.active_sessions,
            "active_agents": numbers.active_agents,
            "pending_tasks": numbers.pending_tasks,
            "running_tasks": numbers.running_tasks,
            "completed_tasks_last_hour": numbers.completed_tasks_last_hour,
            "messages_last_hour": numbers.messages_last_hour,
            "actions_per_minute": numbers.actions_per_minute,
            "avg_task_duration_ms": numbers.avg_task_duration_ms,
            "timestamp": now.as_millis(),
        });
        self.send_fleeting("metric.update", METRICS, JsonObject::from_value(data));
        Ok(())
    }

    /// Sends an event that is not kept to who listens now.
    pub(crate) fn send_fleeting(&self, name: &'static str, channel: &str, data: JsonObject) {
        let event = NewEvent {
            id: self.ids.next(),
            name,
            at: self.clock.now(),
            channels: vec![channel.to_owned()],
            data,
            summary: JsonObject::empty(),
        };
        self.send(channel, Entry::new(self.feed.head(), event, false));
    }
}
