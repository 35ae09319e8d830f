//! How often something may happen.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dcm::{Error, ErrorKind};

/// So many per minute, counted in windows of one minute that start with the first call.
#[derive(Debug)]
pub(crate) struct PerMinute {
    allowed: u32,
    // Never held across an await.
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    count: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

impl PerMinute {
    pub(crate) fn new(allowed: u32) -> Self {
        Self { allowed, window: Mutex::new(Window { start: Instant::now(), count: 0 }) }
    }

    /// Counts one call at `now`.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Error> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(window.start) >= MINUTE || window.count == 0 {
            *window = Window { start: now, count: 0 };
        }
        if window.count < self.allowed {
            window.count += 1;
            return Ok(());
        }
        let left = MINUTE.saturating_sub(now.saturating_duration_since(window.start));
        let seconds = u32::try_from(left.as_secs()).unwrap_or(60) + 1;
        let message =
            format!("Too many tokens: {} per minute are issued, try again in {seconds} s", self.allowed);
        Err(Error::new(ErrorKind::RateLimited, message).with_retry_after(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_opens_again() {
        let limit = PerMinute::new(2);
        let start = Instant::now();
        assert!(limit.admit(start).is_ok());
        assert!(limit.admit(start + Duration::from_secs(1)).is_ok());
        let error = limit.admit(start + Duration::from_secs(10)).unwrap_err();
        assert_eq!((error.kind(), error.retry_after_seconds()), (ErrorKind::RateLimited, Some(51)));
        assert!(limit.admit(start + MINUTE).is_ok());
    }
}
