//! A store of one's own, held to the conformance suite: `cargo run --example custom_store`. This one is the embedded
//! store, whose commits are counted; a store from the ground up implements the same traits.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dcm::storage::{AgeLimits, AnyOutcome, Batch, BoxFuture, CommitStore, RetentionReport, StoreParts};
use dcm::{Dcm, EngineConfig, Error, Result, Timestamp};

#[tokio::main]
async fn main() -> Result<()> {
    let text = run(&std::env::temp_dir().join("dcm-custom-store")).await?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(error.to_string()))
}

/// The writing half of a store, with a counter beside it.
struct Counted {
    inner: Arc<dyn CommitStore>,
    commits: AtomicU64,
}

impl CommitStore for Counted {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Result<AnyOutcome>>>> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(batch)
    }

    fn write_lanes(&self) -> usize {
        self.inner.write_lanes()
    }

    fn retain(&self, limits: AgeLimits) -> BoxFuture<'_, Result<RetentionReport>> {
        self.inner.retain(limits)
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        who: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool>> {
        self.inner.lease(name, who, now, until)
    }

    fn setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<String>> {
        self.inner.setting(name, value)
    }

    fn keep_setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
        self.inner.keep_setting(name, value)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

pub(crate) async fn run(folder: &Path) -> Result<String> {
    let config = EngineConfig::default();
    let parts = StoreParts::of(Dcm::sqlite_store(&folder.join("dcm.db"), &config).await?);
    let counted = Arc::new(Counted { inner: Arc::clone(&parts.commits), commits: AtomicU64::new(0) });
    let store = StoreParts { commits: Arc::clone(&counted) as _, ..parts };
    let dcm = Dcm::with_store(Arc::new(store), config).await?;
    let failures = dcm::conformance::failures(&dcm).await;
    dcm.close().await;
    let mut text = String::new();
    for failure in &failures {
        let _ = writeln!(text, "{}: {}", failure.case, failure.message);
    }
    let held = dcm::conformance::CASES.len() - failures.len();
    let _ = writeln!(text, "{held} cases hold, {} do not", failures.len());
    let _ = writeln!(text, "{} commits", counted.commits.load(Ordering::Relaxed));
    Ok(text)
}
