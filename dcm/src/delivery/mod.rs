//! Delivery: who listens to what, how far each has got, and what is sent again.
//!
//! A [`Subscriber`] is one listener: in this process, or at the other end of a connection. It reads the
//! [feed](crate::feed) at its own pace. For a named agent the place it has got to on each channel is kept in the store,
//! so its next connection, on whichever node, goes on there.
//!
//! - What an agent acknowledges counts as delivered, without holes: what is not acknowledged within five seconds is sent
//!   again, three times at most on one connection, and once more on the next.
//! - To an agent that never acknowledges everything is sent once; what was sent counts as delivered.
//! - What may have come before says so ([`Delivery::Event::attempt`]).
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> dcm::Result<()> {
//! use dcm::delivery::{Delivery, Identity};
//! use dcm::{Dcm, EngineConfig};
//!
//! let dcm = Dcm::open_in_memory(EngineConfig::default()).await?;
//! let mut agent = dcm.subscriber();
//! let identity = Identity { agent_id: Some("reviewer".to_owned()), session_id: None, proven: false };
//! agent.authenticate(identity, true).await?;
//!
//! let block = dcm::api::blocking::Block {
//!     blocked_by: "builder".to_owned(),
//!     blocked_agent: "reviewer".to_owned(),
//!     reason: Some("tests run".to_owned()),
//! };
//! dcm.block(block).await?;
//! if let Some(Delivery::Event { entry, .. }) = agent.next().await {
//!     assert_eq!((&*entry.name, &*entry.channels[0]), ("agent.blocked", "agents/reviewer"));
//!     agent.acknowledge(entry.id);
//! }
//! drop(agent);
//! dcm.close().await;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```

mod cursors;
mod hub;
mod metrics;
mod outstanding;
mod rights;
mod subscriber;
#[cfg(test)]
#[cfg(feature = "sqlite")]
pub(crate) mod tests;

pub use hub::DeliveryStats;
pub(crate) use hub::Hub;
pub use rights::{Channel, Identity, METRICS, channel};
pub use subscriber::{Delivery, Subscriber};

/// Events that clients may publish.
const PUBLISHABLE: [&str; 17] = [
    "task.created",
    "task.updated",
    "task.completed",
    "task.failed",
    "subtask.created",
    "subtask.updated",
    "subtask.completed",
    "subtask.failed",
    "message.new",
    "message.read",
    "message.expired",
    "agent.connected",
    "agent.disconnected",
    "agent.heartbeat",
    "metric.update",
    "system.error",
    "system.info",
];

/// The name of an event that clients may publish.
pub(crate) fn publishable(name: &str) -> Option<&'static str> {
    PUBLISHABLE.into_iter().find(|known| *known == name)
}

/// Whether events of this name are not kept: nobody needs an old one.
pub(crate) fn is_fleeting(name: &str) -> bool {
    matches!(name, "metric.update" | "agent.heartbeat")
}
