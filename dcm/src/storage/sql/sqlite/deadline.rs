//! How long a statement may run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

const NEVER: u64 = u64::MAX;

/// When the work of a connection must be over. Clones share the deadline.
#[derive(Clone)]
pub(super) struct Deadline(Arc<Shared>);

struct Shared {
    /// Microseconds since [`ORIGIN`].
    at: AtomicU64,
    stopped: AtomicBool,
}

impl Deadline {
    /// One that never comes.
    pub(super) fn never() -> Self {
        Self(Arc::new(Shared { at: AtomicU64::new(NEVER), stopped: AtomicBool::new(false) }))
    }

    /// Lets it come `limit` from now.
    pub(super) fn start(&self, limit: Duration) {
        self.0.at.store(micros(ORIGIN.elapsed() + limit), Ordering::Relaxed);
    }

    /// Lets it never come, unless [`Deadline::stop`] was called.
    pub(super) fn clear(&self) {
        self.0.at.store(NEVER, Ordering::Relaxed);
    }

    /// Lets it come now and for ever.
    pub(super) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it has come.
    pub(super) fn has_passed(&self) -> bool {
        let at = self.0.at.load(Ordering::Relaxed);
        self.0.stopped.load(Ordering::Relaxed) || (at != NEVER && micros(ORIGIN.elapsed()) >= at)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_once_it_is_started_and_for_ever_once_stopped() {
        let deadline = Deadline::never();
        assert!(!deadline.has_passed());
        deadline.start(Duration::ZERO);
        assert!(deadline.has_passed());
        deadline.start(Duration::from_secs(3600));
        assert!(!deadline.has_passed());
        deadline.clone().stop();
        deadline.clear();
        assert!(deadline.has_passed());
    }
}
