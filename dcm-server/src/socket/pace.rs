//! When to look after a connection, and how much it may say.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::End;
use crate::config::Limits;

/// Acknowledgements are this much cheaper than other frames.
pub(super) const ACKS_PER_FRAME: u32 = 10;

/// When to look after a connection.
pub(super) struct Beat {
    pub(super) seen: Instant,
    pub(super) next: Instant,
    pub(super) ticked: Instant,
    pub(super) every: Duration,
    pub(super) patience: Duration,
    pub(super) unlock_by: Option<Instant>,
}

impl Beat {
    pub(super) fn new(limits: &Limits, locked: bool) -> Self {
        let at = Instant::now();
        Self {
            seen: at,
            next: at + limits.ping_interval,
            ticked: at,
            every: limits.ping_interval,
            patience: limits.ping_timeout,
            unlock_by: locked.then(|| at + limits.auth_timeout),
        }
    }

    pub(super) fn due(&self, ticks: bool) -> Instant {
        let tick = ticks.then(|| self.ticked.max(Instant::now() - SECOND) + SECOND);
        [tick, self.unlock_by, Some(self.seen + self.patience)]
            .into_iter()
            .flatten()
            .fold(self.next, Instant::min)
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// How many frames a client may send: a bucket that is full at the beginning and fills again.
pub(super) struct Rate {
    per_second: u32,
    left: u32,
    since: Instant,
}

impl Rate {
    pub(super) fn new(frames_per_second: u32) -> Self {
        let per_second = frames_per_second.saturating_mul(ACKS_PER_FRAME);
        Self { per_second, left: per_second.saturating_mul(2), since: Instant::now() }
    }

    pub(super) fn take(&mut self, cost: u32) -> Result<(), End> {
        if self.left < cost {
            let at = Instant::now();
            let passed = at.duration_since(self.since).as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a float that is too large for an integer becomes the largest integer"
            )]
            let filled = (passed * f64::from(self.per_second)) as u32;
            self.left = self.left.saturating_add(filled).min(self.per_second.saturating_mul(2));
            self.since = at;
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(End::Close(1008, "Too many messages")),
        }
    }
}
