//! DCM, the Distributed Context Manager: one shared, durable memory for many AI coding agents.

pub mod api;
mod error;
mod id;
mod json;
pub mod model;
#[cfg(feature = "engine")]
#[expect(dead_code, reason = "the engine that uses it is not written yet")]
mod storage;
mod time;

pub use error::{Error, ErrorKind, FieldErrors, Result};
pub use id::{
    ActionId, AgentContextId, BlockingId, BriefId, CompactionId, EventId, IdSource, MessageId, ProjectId, RequestId,
    SubscriptionId, SubtaskId, TaskId,
};
pub use json::JsonObject;
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
