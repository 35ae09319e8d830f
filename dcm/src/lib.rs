//! DCM, the Distributed Context Manager: one shared, durable memory for many AI coding agents.
//!
//! Coding agents forget when their context is compacted, and do not see what the others do. DCM records what they do as
//! one tree (project > request > task > subtask > action), carries messages between them, learns which tool served which
//! words, and compiles briefs that fit a budget of tokens. This crate is all of that without a network: the service
//! `dcm-server` puts HTTP in front of it, and `dcm-client` is the other end of that wire.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> dcm::Result<()> {
//! use dcm::api::hierarchy::HierarchyGet;
//! use dcm::api::projects::ProjectUpsert;
//! use dcm::api::requests::RequestCreate;
//! use dcm::{Dcm, EngineConfig};
//!
//! // `Dcm::open_sqlite` keeps it in a file, `Dcm::connect_postgres` in a database.
//! let dcm = Dcm::open_in_memory(EngineConfig::default()).await?;
//! let upsert = ProjectUpsert { path: "/srv/shop/".to_owned(), name: None, metadata: None };
//! let project = dcm.project_upsert(upsert).await?.project;
//! dcm.request_create(RequestCreate {
//!     project_id: project.id,
//!     session_id: "s-1".to_owned(),
//!     prompt: "Add a search box".to_owned(),
//!     prompt_type: None,
//!     status: None,
//!     metadata: None,
//! })
//! .await?;
//!
//! let tree = dcm.hierarchy_get(HierarchyGet { project_id: project.id }).await?.hierarchy;
//! assert_eq!(tree.project.path, "/srv/shop");
//! assert_eq!(tree.requests[0].request.prompt, "Add a search box");
//! dcm.close().await;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! A returned `Ok` of a write means that it is on disk, with its events. Errors are one type, [`Error`], with a closed
//! set of [kinds](ErrorKind).
//!
//! # What is where
//!
//! | | |
//! |---|---|
//! | [`Dcm`], [`EngineConfig`] | the engine: every operation as a method, over an embedded store, PostgreSQL or your own |
//! | [`api`] | the operations: inputs, outputs, [the list of them](api::OPERATIONS), [how they travel](api::wire), [OpenAPI](api::openapi) |
//! | [`model`] | what is remembered, as plain data |
//! | [`feed`] | the event log, followed: [`Dcm::feed`] |
//! | [`delivery`] | listeners with a place that is kept: [`Dcm::subscriber`], [`Dcm::publish`] |
//! | [`storage`] | what a store has to do; implement [`ReadStore`](storage::ReadStore), [`CommitStore`](storage::CommitStore) and
//! [`LogStore`](storage::LogStore) to bring one |
//! | [`conformance`] | the suite that a store or a server is held to |
//! | [`context`], [`routing`] | briefs; which tool served which words |
//! | [`transcript`], [`observe`] | Claude Code's transcripts as [observations](api::ingest::Observation), and what other observers need |
//! | [`Timestamp`], [`Clock`], [`IdSource`], [`JsonObject`], the ids | what the others are made of |
//!
//! # Features
//!
//! | feature | brings | on by default |
//! |---|---|---|
//! | (none) | [`api`], [`model`], [`transcript`], [`hooks`], [`observe`]: all that a client needs, and no I/O | |
//! | `routing` | [`routing`]: the scorer alone, without I/O | with `engine` |
//! | `engine` | [`Dcm`] and [`storage`], for a store of your own | with `sqlite` |
//! | `sqlite` | the embedded store; SQLite is compiled in | yes |
//! | `postgres` | the store on PostgreSQL 14 or later | no |
//! | `postgres-tls` | encrypted connections to it | no |
//! | `tokens` | exact counts of tokens for the budgets of briefs | no |
//! | `conformance` | [`conformance`] | no |

pub mod api;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "engine")]
pub mod context;
#[cfg(feature = "engine")]
pub mod delivery;
#[cfg(feature = "engine")]
mod engine;
mod error;
#[cfg(feature = "engine")]
pub mod feed;
pub mod hooks;
mod id;
mod json;
pub mod model;
pub mod observe;
mod position;
#[cfg(feature = "engine")]
mod redact;
#[cfg(feature = "routing")]
pub mod routing;
#[cfg(feature = "engine")]
pub mod storage;
mod time;
pub mod transcript;

#[cfg(feature = "engine")]
pub use engine::{Dcm, EngineConfig, NotIdentified, Notice, Publication, Published, TokenClaims};
pub use error::{Error, ErrorKind, FieldErrors, Result};
pub use id::{
    ActionId, AgentContextId, BlockingId, BriefId, CompactionId, EventId, IdSource, MessageId, ProjectId,
    RequestId, SubscriptionId, SubtaskId, TaskId,
};
pub use json::JsonObject;
pub use position::Position;
#[cfg(feature = "engine")]
pub use storage::IdempotencyKey;
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
