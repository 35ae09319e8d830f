//! The task that reads the log and puts it into the window, strictly by position.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Inner;
use super::entry::Entry;
use super::window::Window;
use crate::error::Result;
use crate::position::Position;
use crate::storage::{CommittedEvents, GapReason, LogHead};

/// How many events one look into the log reads.
const PAGE: u32 = 512;
/// Commits of several writers may be handed over in another order than that of their positions. What is missing was
/// committed before, so it comes in a moment; else it was another node's.
const MOMENT: Duration = Duration::from_millis(3);
/// After a look into the log the next one waits so long for more to read: a node beside one that commits hundreds of times
/// a second reads dozens of commits at once. Who has been silent for longer is heard at once.
const GATHER: Duration = Duration::from_millis(5);
/// The same where nobody listens but what this node learns from the log, which is in no hurry.
const GATHER_UNHEARD: Duration = Duration::from_millis(100);
/// How long to wait before a store that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Telling one listener that there is news takes about so long: its task runs, and writes.
const TELLING: Duration = Duration::from_micros(40);
/// But news never waits longer than this for more.
const TOGETHER: Duration = Duration::from_millis(4);
/// Less is not waited for: no timer is as fine.
const FINEST: Duration = Duration::from_millis(1);

/// How long after its listeners were told something a log waits with what comes next, so that telling them never takes
/// most of the time: with a hundred listeners and hundreds of commits a second, each is told of several commits at once.
/// Who has been silent for longer is heard at once.
fn spacing(listeners: usize) -> Duration {
    let spacing = TELLING.saturating_mul(u32::try_from(listeners).unwrap_or(u32::MAX)).min(TOGETHER);
    if spacing < FINEST { Duration::ZERO } else { spacing }
}

/// How long a log with so many listeners waits for more to read, after it was read.
fn gather(listeners: usize) -> Duration {
    if listeners > 0 { GATHER } else { GATHER_UNHEARD }
}

/// Reads what is committed, here or elsewhere, until nobody can hand over anything.
pub(super) async fn follow(feed: &Inner, mut waiting: mpsc::Receiver<CommittedEvents>) {
    let poll = Duration::from_millis(feed.store.poll_ms().max(1));
    let mut early: BTreeMap<i64, CommittedEvents> = BTreeMap::new();
    let mut look_at = Instant::now() + poll;
    let mut looked_at: Option<Instant> = None;
    // When listeners were told last, and when they are to be told of what has been handed over since.
    let mut told_at: Option<Instant> = None;
    let mut tell_at: Option<Instant> = None;
    let mut away_until: Option<Instant> = None;
    loop {
        let mut must_look = tokio::select! {
            handed = waiting.recv() => match handed {
                Some(events) => !take_over(feed, &mut early, events),
                None => return,
            },
            () = feed.wake.notified() => match looked_at {
                Some(at) => {
                    // Said first: whoever comes after the count sees it, and wakes this task again.
                    feed.unheard.store(true, Ordering::SeqCst);
                    let listeners = feed.listeners();
                    if listeners > 0 {
                        feed.unheard.store(false, Ordering::SeqCst);
                    }
                    let next = at + gather(listeners);
                    look_at = look_at.min(next);
                    Instant::now() >= next
                }
                None => true,
            },
            () = tokio::time::sleep_until(tell_at.map_or(look_at, |at| at.min(look_at))) => {
                Instant::now() >= look_at
            }
        };
        // All that was handed over meanwhile goes out at once.
        while let Ok(events) = waiting.try_recv() {
            must_look |= !take_over(feed, &mut early, events);
        }
        let now = Instant::now();
        if !early.is_empty() && tell_at.is_none() {
            tell_at = Some(told_at.map_or(now, |at| at + spacing(feed.listeners())));
        }
        let head = *feed.head.borrow();
        if must_look || tell_at.is_some_and(|at| at <= now) {
            publish(feed, &mut early);
            tell_at = None;
            if !early.is_empty() {
                look_at = look_at.min(now + MOMENT);
            }
        }
        // A store that did not answer is left alone for a while, whatever is missing.
        away_until = away_until.filter(|until| *until > now);
        if let Some(until) = away_until {
            (must_look, look_at) = (false, until);
        }
        if must_look {
            let looked = look(feed).await;
            let now = Instant::now();
            looked_at = Some(now);
            publish(feed, &mut early);
            look_at = match looked {
                Ok(()) if early.is_empty() => now + poll,
                Ok(()) => now + MOMENT.min(poll),
                Err(error) => {
                    tracing::warn!(?error, "the event log cannot be read, it is tried again");
                    away_until = Some(now + PAUSE);
                    now + PAUSE
                }
            };
        }
        if *feed.head.borrow() != head {
            told_at = Some(Instant::now());
        }
    }
}

/// Keeps what was handed over until its turn comes; false when the log itself must tell.
fn take_over(feed: &Inner, early: &mut BTreeMap<i64, CommittedEvents>, events: CommittedEvents) -> bool {
    let same_log = events.epoch == feed.head.borrow().epoch;
    if same_log {
        early.insert(events.first_seq, events);
    }
    same_log
}

/// Fans out what comes next among `early`, and forgets what was read from the log meanwhile.
fn publish(feed: &Inner, early: &mut BTreeMap<i64, CommittedEvents>) {
    let head = *feed.head.borrow();
    let mut window = None;
    let mut last = head.seq;
    while let Some(first) = early.first_entry() {
        if *first.key() > last + 1 && first.get().epoch == head.epoch {
            break;
        }
        let events = first.remove();
        if events.epoch != head.epoch {
            continue;
        }
        let window =
            window.get_or_insert_with(|| feed.window.write().unwrap_or_else(PoisonError::into_inner));
        for (event, seq) in events.events.into_iter().zip(events.first_seq..) {
            if seq == last + 1 {
                window.push(Arc::new(Entry::new(Position::new(head.epoch, seq), event, true)));
                last = seq;
            }
        }
    }
    drop(window);
    if last > head.seq {
        feed.head.send_replace(Position::new(head.epoch, last));
    }
}

/// Reads the log up to its end; where nobody listens, only where that is.
async fn look(feed: &Inner) -> Result<()> {
    loop {
        let at = *feed.head.borrow();
        if feed.listeners() == 0 {
            let head = feed.store.log_head().await?;
            if !goes_on(feed, &head, at).await? {
                continue;
            }
            // Who learns from some of it asks the store.
            if pass_over(feed, head.position()) {
                return Ok(());
            }
            continue;
        }
        let mut page = feed.store.log_page(at.seq, Vec::new(), PAGE).await?;
        let head = page.head.clone();
        if !goes_on(feed, &head, at).await? {
            continue;
        }
        if at.epoch != head.epoch {
            // The log goes on in a new epoch, and nothing that was read is lost.
            begin_anew(feed, Position::new(head.epoch, at.seq));
        }
        let full = page.events.len() >= PAGE as usize;
        let at = {
            let mut window = feed.window.write().unwrap_or_else(PoisonError::into_inner);
            for event in page.events.drain(..) {
                // What was handed over while the store answered is there already.
                if event.seq == window.head().seq + 1 {
                    window.push(Arc::new(Entry::logged(head.epoch, event)));
                }
            }
            window.head()
        };
        feed.head.send_if_modified(|known| std::mem::replace(known, at) != at);
        if !full {
            return Ok(());
        }
    }
}

/// Whether the log that ends with `head` goes on from `at`; if not, memory was made to begin where it does, or the log to
/// go on in another epoch.
async fn goes_on(feed: &Inner, head: &LogHead, at: Position) -> Result<bool> {
    let Some((reason, continues)) = head.gap_after(at) else { return Ok(true) };
    tracing::warn!(reason = reason.as_str(), %at, %continues, "the event log does not go on where it was read");
    if at.epoch == head.epoch && reason == GapReason::Epoch {
        // A backup was restored below a running process, and nobody said so: from here on it is another log.
        feed.store.raise_epoch(head.epoch).await?;
    } else {
        begin_anew(feed, continues);
    }
    Ok(false)
}

/// Moves on to `head` without what lies between; false when somebody has begun to listen.
fn pass_over(feed: &Inner, head: Position) -> bool {
    let mut window = feed.window.write().unwrap_or_else(PoisonError::into_inner);
    if feed.listeners() > 0 {
        return false;
    }
    // What was handed over may be ahead of what the store said.
    if window.head() < head {
        *window = Window::new(head);
        // Before anybody can begin to listen, see `Feed::changes`.
        feed.head.send_replace(head);
    }
    true
}

/// Forgets what is in memory: readers ask the store what they missed.
fn begin_anew(feed: &Inner, at: Position) {
    *feed.window.write().unwrap_or_else(PoisonError::into_inner) = Window::new(at);
    feed.head.send_replace(at);
}

/// Has the store say when others have committed; never ends.
pub(super) async fn listen(feed: &Inner) {
    loop {
        if let Err(error) = feed.store.watch_log(&feed.wake).await {
            tracing::warn!(?error, "not told what other nodes commit, the log is looked at instead");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_more_seldom_while_only_the_node_itself_learns_from_it() {
        assert!(gather(0) > gather(1));
        // Who listens is told within 20 ms of what others commit.
        assert!(gather(1) <= Duration::from_millis(5));
    }
}
