//! Telling other nodes that something was committed, and not more often than they look.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// After a commit that told, the next so long do not: what they brought is told by a later one. A node that hears looks at
/// everything, so hundreds of notifications a second would say no more than these, and each wakes a process of the
/// database for every node.
const SPACING: Duration = Duration::from_millis(4);
/// What no later commit has told is told by itself, so long after the last that was.
const BY_ITSELF: Duration = Duration::from_millis(6);

/// What is told, and what is not told yet.
#[derive(Debug)]
pub(super) struct Announcements {
    /// What this process is called.
    node: String,
    state: Mutex<State>,
    untold: Notify,
}

#[derive(Debug, Default)]
struct State {
    told_at: Option<Instant>,
    /// How many commits did not tell, and how many of them are covered by one that began after they had ended.
    silent: u64,
    covered: u64,
}

/// What one commit does about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Whether it tells.
    pub(super) tells: bool,
    /// How many silent commits had ended before it; it tells of these as well.
    covers: u64,
}

impl Announcements {
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "an embedded store has no other nodes"))]
    pub(super) fn new(node: String) -> Self {
        Self { node, state: Mutex::default(), untold: Notify::new() }
    }

    pub(super) fn node(&self) -> &str {
        &self.node
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The turn of a commit that is about to be sent.
    pub(super) fn turn(&self) -> Turn {
        let now = Instant::now();
        self.with(|state| {
            let tells = state.told_at.is_none_or(|told| now.duration_since(told) >= SPACING);
            if tells {
                state.told_at = Some(now);
            }
            Turn { tells, covers: state.silent }
        })
    }

    /// A commit has ended, or nobody knows whether it has: then it counts as one that did not tell.
    pub(super) fn ended(&self, turn: Turn, is_certain: bool) {
        let is_told = turn.tells && is_certain;
        self.with(|state| {
            if is_told {
                state.covered = state.covered.max(turn.covers);
            } else {
                state.silent += 1;
            }
        });
        if !is_told {
            self.untold.notify_one();
        }
    }

    /// The next turn of what nobody has told, when it is time for that; for one task.
    pub(super) async fn untold(&self) -> Turn {
        loop {
            let due = self.with(|state| {
                (state.covered < state.silent)
                    .then(|| state.told_at.map_or_else(Instant::now, |at| at + BY_ITSELF))
            });
            match due {
                None => self.untold.notified().await,
                Some(at) if Instant::now() < at => tokio::time::sleep_until(at).await,
                Some(_) => return self.now(),
            }
        }
    }

    /// The turn that tells of everything so far.
    fn now(&self) -> Turn {
        self.with(|state| {
            state.told_at = Some(Instant::now());
            Turn { tells: true, covers: state.silent }
        })
    }

    /// What is still to be told at the end.
    pub(super) fn last(&self) -> Option<Turn> {
        self.with(|state| state.covered < state.silent).then(|| self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits one after the other; answers how many told.
    fn commit(told: &Announcements, times: usize) -> usize {
        let turns = (0..times).map(|_| {
            let turn = told.turn();
            told.ended(turn, true);
            turn
        });
        turns.filter(|turn| turn.tells).count()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_tells_and_the_rest_is_told_together() {
        let told = Announcements::new("node".to_owned());
        assert_eq!(commit(&told, 50), 1);
        let began = Instant::now();
        let turn = told.untold().await;
        assert!(turn.tells && turn.covers == 49 && began.elapsed() <= BY_ITSELF + Duration::from_millis(1));
        told.ended(turn, true);
        assert!(told.last().is_none());
        // A later one tells what came before it, and nothing is left to be told.
        tokio::time::advance(SPACING).await;
        assert_eq!(commit(&told, 2), 1);
        tokio::time::advance(SPACING).await;
        assert_eq!(commit(&told, 1), 1);
        assert!(told.last().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_began_before_another_ended_does_not_cover_it() {
        let told = Announcements::new("node".to_owned());
        commit(&told, 1);
        let silent = told.turn();
        tokio::time::advance(SPACING).await;
        let telling = told.turn();
        assert!(!silent.tells && telling.tells);
        // Nobody can say in which order these two were committed.
        told.ended(silent, true);
        told.ended(telling, true);
        assert_eq!(told.untold().await.covers, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_of_unknown_fate_is_told_of_again() {
        let told = Announcements::new("node".to_owned());
        let turn = told.turn();
        told.ended(turn, false);
        assert!(told.last().is_some_and(|turn| turn.tells && turn.covers == 1));
    }
}
