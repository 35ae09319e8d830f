//! When a call is tried again, and after how long.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use dcm::api::Method;
use dcm::{Error, Result};

/// How often and how patiently.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// Attempts after the first.
    pub(crate) retries: usize,
    /// The wait before the second attempt.
    pub(crate) first: Duration,
    /// The longest wait.
    pub(crate) longest: Duration,
}

/// One failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the caller is told if this was the last attempt.
    pub(crate) error: Error,
    /// Whether the next attempt may have more luck.
    pub(crate) transient: bool,
    /// Whether the server cannot have heard of this one.
    pub(crate) unsent: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, transient: false, unsent: false }
    }
}

/// Whether doing it twice is the same as doing it once. POST is, because it carries an `Idempotency-Key`.
pub(crate) fn is_repeatable(method: Method) -> bool {
    match method {
        Method::GET | Method::DELETE | Method::POST => true,
        Method::PATCH => false,
    }
}

/// Whether an answer with this status says that a later attempt may succeed.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

impl Backoff {
    /// Makes attempts until one succeeds, fails for good, or was the last.
    pub(crate) async fn run<T, Attempt, Outcome>(self, repeatable: bool, attempt: Attempt) -> Result<T>
    where
        Attempt: FnMut() -> Outcome + Send,
        Outcome: Future<Output = Result<T, Failure>> + Send,
    {
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .with_max_times(self.retries);
        attempt
            .retry(delays)
            .when(|failure: &Failure| {
                let harmless = repeatable || failure.unsent;
                harmless && failure.transient && asked_wait(&failure.error) <= self.longest
            })
            .adjust(|failure, delay| delay.map(|delay| delay.max(asked_wait(&failure.error))))
            .await
            .map_err(|failure| failure.error)
    }
}

/// How long the server asked to wait.
fn asked_wait(error: &Error) -> Duration {
    Duration::from_secs(error.retry_after_seconds().unwrap_or(0).into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use dcm::ErrorKind;
    use tokio::time::Instant;

    use super::*;

    const PATIENT: Backoff =
        Backoff { retries: 3, first: Duration::from_millis(100), longest: Duration::from_secs(5) };

    /// Fails `failures` times as `error` says; answers how often it was tried and how long that took.
    async fn try_until(failures: usize, transient: bool, error: fn() -> Error) -> (usize, Duration, bool) {
        let tried = AtomicUsize::new(0);
        let start = Instant::now();
        let attempt = || async {
            if tried.fetch_add(1, Ordering::SeqCst) < failures {
                return Err(Failure { error: error(), transient, unsent: false });
            }
            Ok(())
        };
        let ended = PATIENT.run(true, attempt).await;
        (tried.load(Ordering::SeqCst), start.elapsed(), ended.is_ok())
    }

    // The clock stands still and jumps to where somebody waits for: nothing here depends on the machine's speed.
    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_end() {
        let (tried, waited, ended) = try_until(2, true, || Error::new(ErrorKind::Unavailable, "away")).await;
        assert_eq!((tried, ended), (3, true));
        assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(1), "{waited:?}");

        let (tried, _, ended) = try_until(9, true, || Error::new(ErrorKind::Unavailable, "away")).await;
        assert_eq!((tried, ended), (4, false));

        let (tried, waited, ended) = try_until(9, false, || Error::invalid("no")).await;
        assert_eq!((tried, waited, ended), (1, Duration::ZERO, false));
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_may_ask_for_a_longer_wait() {
        let (tried, waited, ended) = try_until(2, true, || Error::invalid("busy").with_retry_after(3)).await;
        assert_eq!((tried, ended), (3, true));
        assert!(waited >= Duration::from_secs(6), "{waited:?}");

        let (tried, _, ended) = try_until(2, true, || Error::invalid("busy").with_retry_after(6)).await;
        assert_eq!((tried, ended), (1, false));
    }
}
