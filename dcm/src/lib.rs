//! DCM, the Distributed Context Manager: one shared, durable memory for many AI coding agents.

pub mod api;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod id;
mod json;
pub mod model;
mod time;

pub use error::{Error, ErrorKind, FieldErrors, Result};
pub use id::{
    ActionId, AgentContextId, BlockingId, BriefId, CompactionId, EventId, IdSource, MessageId, ProjectId, RequestId,
    SubscriptionId, SubtaskId, TaskId,
};
pub use json::JsonObject;
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
