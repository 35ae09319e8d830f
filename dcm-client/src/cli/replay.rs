//! Delivering what waits.

use std::io;
use std::time::{Duration, Instant};

use super::spool::{Entry, Spool};
use super::wire::{Answer, Away, Wire};

/// What an answer means for the call that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server has it.
    Taken,
    /// The server will never take it.
    Refused,
    /// The server failed; that may be due to this very call.
    Failed,
    /// Another time: the server is busy, asks for another key, or is none of ours.
    Later,
}

impl Verdict {
    pub(super) fn on(status: u16) -> Self {
        match status {
            200..=299 => Self::Taken,
            401 | 403 | 404 | 405 | 408 | 429 | 502..=504 => Self::Later,
            400..=499 => Self::Refused,
            500 => Self::Failed,
            _ => Self::Later,
        }
    }
}

/// How a replay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing waits any more.
    Empty,
    /// Something waits still.
    Not,
}

/// Delivers what waits, in order, until `deadline`; `on_answer` sees every answer to a call that was taken. The entry
/// with the key `live` happens now: somebody waits for its answer.
pub(super) fn drain(
    spool: &Spool,
    wire: &Wire,
    deadline: Instant,
    longest: Duration,
    live: Option<&str>,
    mut on_answer: impl FnMut(&Entry, Answer),
) -> io::Result<Drained> {
    let Some(mut replay) = spool.replay(deadline)? else {
        return Ok(if spool.is_empty() { Drained::Empty } else { Drained::Not });
    };
    loop {
        let Some(entry) = replay.oldest()? else {
            if replay.finish()? {
                return Ok(Drained::Empty);
            }
            continue;
        };
        let until = deadline.min(Instant::now() + longest);
        let is_live = live == Some(&*entry.key);
        let (target, key) = if is_live {
            (entry.target.clone(), key_of_now(&entry).map(str::to_owned))
        } else {
            let (target, key) = told_late(&entry);
            (target, Some(key))
        };
        match wire.post(&target, key.as_deref(), entry.body.get(), until) {
            Err(away) => {
                if away == Away::Slow {
                    spool.pause();
                }
                return Ok(Drained::Not);
            }
            Ok(answer) => match Verdict::on(answer.status) {
                Verdict::Taken => {
                    replay.done()?;
                    on_answer(&entry, answer);
                }
                Verdict::Refused => {
                    spool.note_refused(&entry, answer.status)?;
                    replay.done()?;
                }
                Verdict::Failed if replay.failed()? => {
                    spool.note_refused(&entry, answer.status)?;
                    replay.done()?;
                }
                Verdict::Failed | Verdict::Later => return Ok(Drained::Not),
            },
        }
    }
}

fn is_event(entry: &Entry) -> bool {
    entry.target.starts_with("/hooks/")
}

/// The key under which a call is made while it happens. An event needs none: it is told once as one of now, and under a
/// key of its own when it is told again, so keeping the first answer would only cost the server a row.
pub(super) fn key_of_now(entry: &Entry) -> Option<&str> {
    (!is_event(entry)).then_some(&*entry.key)
}

/// Events are told with the time they happened at, which also says that nobody waits for the answer; other calls have
/// no room for it. That makes another call of it, under a key of its own: if the first attempt was carried out and only
/// its answer was lost, the server has to hear of that, too, and what was observed is known by its own keys.
fn told_late(entry: &Entry) -> (String, String) {
    if !is_event(entry) {
        return (entry.target.clone(), entry.key.clone());
    }
    let separator = if entry.target.contains('?') { '&' } else { '?' };
    (format!("{}{separator}at={}", entry.target, entry.at), format!("{}-late", entry.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_what_they_mean() {
        for (status, verdict) in [
            (200, Verdict::Taken),
            (204, Verdict::Taken),
            (422, Verdict::Refused),
            (400, Verdict::Refused),
            (413, Verdict::Refused),
            (401, Verdict::Later),
            (404, Verdict::Later),
            (429, Verdict::Later),
            (500, Verdict::Failed),
            (503, Verdict::Later),
            (302, Verdict::Later),
        ] {
            assert_eq!(Verdict::on(status), verdict, "{status}");
        }
    }
}
