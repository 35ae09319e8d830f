//! The Rust SDK of DCM: every operation of the service as a method of [`Client`], over HTTP.
//!
//! ```no_run
//! # async fn example() -> dcm::Result<()> {
//! use dcm::api::system::Stats;
//! use dcm_client::Client;
//!
//! let client = Client::builder().api_key("secret").build()?;
//! let stats = client.stats(Stats {}).await?;
//! assert!(stats.project_count >= 0);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] carries out the same [operations](dcm::api) as the engine in process, through the same
//! [`Execute`](dcm::api::Execute); code that takes `impl dcm::api::Api` works with either.
//!
//! Failed calls are tried again where that cannot do harm: reads, removals, and creations, which carry an
//! `Idempotency-Key` of their own. See [`ClientBuilder::retries`].
//!
//! The feature `cli` (on by default) adds the `dcm` command; programs that embed the SDK leave it out with
//! `default-features = false`.

mod builder;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
mod retry;

pub use builder::{ClientBuilder, DEFAULT_URL};
pub use client::{Client, is_unreachable};
