//! The kit of the whole-system tests: real PostgreSQL clusters, the real server, the real `dcm` command.
//!
//! Nothing here skips: what cannot be had fails the test that asked for it, and says how to get it.

#![expect(clippy::missing_panics_doc, reason = "a test kit reports every failure by panicking")]

mod binary;
pub mod calls;
pub mod command;
mod embedded;
pub mod gate;
pub mod ports;
pub mod postgres;
pub mod server;
pub mod wire;
pub mod writers;

/// Makes two tests of one case `async fn case(store: Store)`: `case::embedded` and `case::postgres`.
#[macro_export]
macro_rules! on_both_stores {
    ($($case:ident),+ $(,)?) => {$(
        mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn embedded() {
                super::$case($crate::server::Store::Embedded).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$case($crate::server::Store::Postgres).await;
            }
        }
    )+};
}
