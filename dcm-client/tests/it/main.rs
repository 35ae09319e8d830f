//! The SDK and the command over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
#[cfg(feature = "cli")]
mod dcm;
#[cfg(feature = "cli")]
mod hook;
#[cfg(all(feature = "cli", unix))]
mod hooks;
#[cfg(feature = "cli")]
mod import;
#[cfg(feature = "listen")]
mod listen;
#[cfg(feature = "listen")]
mod peer;
mod support;
