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
//! | | |
//! |---|---|
//! | [`Client`] | the operations; cheap to clone, all clones share their connections |
//! | [`ClientBuilder`] | URL, API key, timeout, how often and how patiently to try again |
//! | [`listen`] | events as they happen: a stream that reconnects and goes on where it was |
//! | [`is_unreachable`] | tells a server that is away from one that says so itself |
//! | `cli` | the `dcm` command; [`dcm::transcript`] is what `dcm import` reads transcripts with |
//!
//! No database driver comes with this crate: it uses [`dcm`] without features. Two features are on by default: `cli` adds
//! the `dcm` command, `listen` the module of that name. Programs that embed the SDK leave both out with
//! `default-features = false` and ask for `listen` where they want it.

mod builder;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
#[cfg(feature = "listen")]
pub mod listen;
mod retry;

pub use builder::{ClientBuilder, DEFAULT_URL};
pub use client::{Client, is_unreachable};
