//! What every store and every server of DCM has to do, as cases that anybody can run.
//!
//! A case takes an [`Api`] and calls [`execute`](crate::api::Execute::execute), nothing else. So the same case holds
//! the engine in process, a store of another maker below it, and a server behind HTTP to the contract.
//!
//! # Holding a store or a server to it
//!
//! Whatever carries out every [`Operation`] is an [`Api`]: the engine on your store, or a client of your server. One
//! test runs everything and reports all failures at its end:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! async fn my_store_conforms(store: Arc<dyn dcm::storage::Storage>) -> dcm::Result<()> {
//!     let dcm = dcm::Dcm::with_store(store, dcm::EngineConfig::default()).await?;
//!     dcm::conformance::run(&dcm).await;
//!     Ok(())
//! }
//! ```
//!
//! One test per case, each with its own line in the report, takes a macro, because the list of cases is one:
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # async fn my_api() -> dcm::Dcm {
//! #     dcm::Dcm::open_in_memory(dcm::EngineConfig::default()).await.expect("SQLite needs no more than memory")
//! # }
//! # fn main() {}
//! macro_rules! one_test_per_case {
//!     ($($module:ident { $($case:ident: $($operation:ident)+;)+ })+) => {$(
//!         mod $module {
//!             $(#[tokio::test]
//!             async fn $case() {
//!                 let name = concat!(stringify!($module), "::", stringify!($case));
//!                 dcm::conformance::run_case(&super::my_api().await, name).await;
//!             })+
//!         }
//!     )+};
//! }
//! # #[cfg(feature = "sqlite")]
//! dcm::for_each_conformance_case!(one_test_per_case);
//! ```
//!
//! # What a case may rely on, and what it leaves behind
//!
//! - Cases need no empty store: every name, path and word they use is new, and what they cannot keep to themselves
//!   (totals over everything, broadcasts) they compare with "at least".
//! - Cases may run at the same time, on one store or through several nodes, as long as each node sees what it has
//!   acknowledged itself.
//! - Cases never wait. What only time brings about (expiry, cleaning) is not in the suite, nor is what belongs to the
//!   transport (idempotency keys, status lines, access).
//! - Cases do not clean up. Their projects lie below `/conformance/`, except for the project at `/`, which one case
//!   upserts. Run the suite on a store that you can throw away.
//!
//! A case that fails panics, and says what it expected. [`run_case`] also fails a case that does not call the
//! operations it is listed with, so [`covered`] can be believed.

#![expect(
    clippy::missing_panics_doc,
    reason = "every case panics when the API does not do what it has to do"
)]

pub mod actions;
pub mod agent_contexts;
pub mod blocking;
pub mod briefs;
pub mod compact;
pub mod context;
pub mod events;
mod expect;
mod fixture;
pub mod hierarchy;
pub mod hooks;
pub mod ingest;
mod inputs;
pub mod messages;
pub mod outcomes;
pub mod projects;
pub mod races;
pub mod removals;
pub mod requests;
pub mod rollup;
pub mod routing;
mod scene;
pub mod sessions;
pub mod subscriptions;
pub mod subtasks;
pub mod system;
mod table;
pub mod tasks;

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;

use crate::api::{Api, Execute, Operation};
use crate::error::Result;

/// One case of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Its name: `module::function`.
    pub name: &'static str,
    /// The operations it holds the API to, by id.
    pub covers: &'static [&'static str],
}

/// A case that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The case.
    pub case: &'static str,
    /// What it expected and what it got.
    pub message: String,
}

macro_rules! define_cases {
    ($($module:ident { $($case:ident: $($operation:ident)+;)+ })+) => {
        /// Every case, in the order in which [`run`] runs them.
        pub const CASES: &[Case] = &[$($(
            Case {
                name: concat!(stringify!($module), "::", stringify!($case)),
                covers: &[$(stringify!($operation)),+],
            },
        )+)+];

        const COVERED: &[&str] = &[$($($(stringify!($operation),)+)+)+];

        async fn dispatch(api: &impl Api, name: &str) {
            match name {
                // Boxed, or the future would be as large as the largest case.
                $($(concat!(stringify!($module), "::", stringify!($case)) => {
                    Box::pin($module::$case(api)).await;
                })+)+
                _ => panic!("there is no conformance case called `{name}`"),
            }
        }
    };
}

crate::for_each_conformance_case!(define_cases);

/// The id of every operation that a case holds the API to; some stand there several times.
#[must_use]
pub fn covered() -> &'static [&'static str] {
    COVERED
}

/// Runs one case by its name; panics when it fails, or when there is none of that name.
pub async fn run_case(api: &impl Api, name: &str) {
    let recorder = Recorder { api, called: Mutex::new(BTreeSet::new()) };
    dispatch(&recorder, name).await;
    let called = recorder.called.into_inner().unwrap_or_else(PoisonError::into_inner);
    for case in CASES.iter().filter(|case| case.name == name) {
        for operation in case.covers {
            assert!(called.contains(operation), "{name} is listed with `{operation}`, but does not call it");
        }
    }
}

/// Runs every case, one after the other, and answers those that failed.
pub async fn failures(api: &impl Api) -> Vec<Failure> {
    let mut failures = Vec::new();
    for case in CASES {
        // A case that panics leaves nothing behind but its rows.
        let outcome = AssertUnwindSafe(run_case(api, case.name)).catch_unwind().await;
        if let Err(panic) = outcome {
            failures.push(Failure { case: case.name, message: message_of(&*panic) });
        }
    }
    failures
}

/// Runs every case, one after the other; panics at the end when some failed, and says which and why.
pub async fn run(api: &impl Api) {
    let failures = failures(api).await;
    let report: Vec<_> =
        failures.iter().map(|failure| format!("{}: {}", failure.case, failure.message)).collect();
    let (failed, all) = (failures.len(), CASES.len());
    assert!(failures.is_empty(), "{failed} of {all} conformance cases failed:\n{}", report.join("\n"));
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// An API that notes which operations are called.
struct Recorder<'a, A> {
    api: &'a A,
    // Held for one insertion only, never across an await.
    called: Mutex<BTreeSet<&'static str>>,
}

impl<O: Operation, A: Execute<O> + Sync> Execute<O> for Recorder<'_, A> {
    fn execute(&self, operation: O) -> impl Future<Output = Result<O::Output>> + Send {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).insert(O::META.id);
        self.api.execute(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OPERATIONS;

    #[test]
    fn every_operation_has_a_case() {
        let missing: Vec<_> =
            OPERATIONS.iter().map(|operation| operation.id).filter(|id| !covered().contains(id)).collect();
        assert!(missing.is_empty(), "operations without a conformance case: {missing:?}");
    }

    /// Cases can be spawned: their futures are `Send`, whatever the API.
    #[expect(dead_code, reason = "it need only compile")]
    fn cases_are_send<A: Api>(api: &A) -> impl Send {
        (run(api), failures(api), run_case(api, ""))
    }

    #[test]
    fn every_listed_operation_exists_and_every_name_is_unique() {
        for id in covered() {
            assert!(
                OPERATIONS.iter().any(|operation| operation.id == *id),
                "there is no operation called {id}"
            );
        }
        let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len(), "two cases have one name");
    }
}
