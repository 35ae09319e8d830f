//! DCM, the Distributed Context Manager: one shared, durable memory for many AI coding agents.

pub mod api;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "engine")]
pub mod context;
#[cfg(feature = "engine")]
mod engine;
mod error;
mod id;
mod json;
pub mod model;
pub mod observe;
#[cfg(feature = "engine")]
mod redact;
#[cfg(feature = "engine")]
pub mod routing;
#[cfg(feature = "engine")]
pub mod storage;
mod time;
pub mod transcript;

#[cfg(feature = "engine")]
pub use engine::{Dcm, EngineConfig, TokenClaims};
pub use error::{Error, ErrorKind, FieldErrors, Result};
pub use id::{
    ActionId, AgentContextId, BlockingId, BriefId, CompactionId, EventId, IdSource, MessageId, ProjectId,
    RequestId, SubscriptionId, SubtaskId, TaskId,
};
pub use json::JsonObject;
#[cfg(feature = "engine")]
pub use storage::IdempotencyKey;
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
