//! The DCM service: the operations of [`dcm`] over HTTP.
//!
//! This is a thin shell. It parses requests, checks who may send them, calls [`dcm::Dcm`] and writes the answer; there
//! is no SQL and no rule of the domain in it. The routes are a fold over the operation table of `dcm`.
//!
//! [`serve`] takes a bound listener and a future that ends it, so the service can run inside another program:
//!
//! ```no_run
//! use std::sync::Arc;
//! use dcm_server::{Role, ServerConfig, serve};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let dcm = dcm::Dcm::open_in_memory(dcm::EngineConfig::default()).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3847").await?;
//! let stop = async { let _ = tokio::signal::ctrl_c().await; };
//! serve(listener, Role::Api, dcm, Arc::new(ServerConfig::default()), stop).await?;
//! # Ok(())
//! # }
//! ```

mod body;
mod config;
mod flight;
mod guard;
mod limit;
mod line;
mod raw;
mod reply;
mod router;
mod serve;
mod shell;
mod socket;
#[cfg(test)]
mod tests;

pub use config::{Limits, ServerConfig, parse_host, parse_origin};
pub use serve::{Role, serve};
