//! `dcm hook`: one event of an agent's client, told to the server within a deadline, or kept for later.
//!
//! It always exits with 0 and prints nothing or one JSON object: anything else would be noise in somebody's session, and
//! exit code 2 would stop the agent's work. It is started for every tool call of clients without http hooks, so it
//! parses its few arguments itself and starts no runtime, TLS or thread pool for a server at `http://`.

mod deadline;
mod event;
mod usage;

use std::ffi::OsString;
use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dcm::{Clock, IdSource, SystemClock, Timestamp};
use serde_json::value::RawValue;
use uuid::Uuid;

use self::event::{Event, Moment};
use super::place::{Server, client_folder, variable};
use super::replay::{Drained, Verdict, drain, key_of_now};
use super::spool::{Entry, Spool};
use super::upload::{self, Todo};
use super::wire::{Away, Wire};

/// How long a hook may take unless `--deadline-ms` or `DCM_HOOK_DEADLINE_MS` says otherwise.
const DEADLINE_MS: u64 = 500;
/// What is kept of it at least for writing the event down when the server does not answer.
const TO_WRITE: Duration = Duration::from_millis(60);
/// How long `track-usage` waits for an event when its variables are set as well.
const FOR_INPUT: Duration = Duration::from_millis(100);
/// The largest event; the server takes no larger one.
const MOST_BYTES: u64 = 32 << 20;

/// Arguments of `dcm hook`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Arguments {
    /// Whether the variables of the older hook are read where there is no event.
    pub(super) track_usage: bool,
    pub(super) agent: Option<String>,
    pub(super) url: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) deadline_ms: Option<u64>,
}

/// `Some` when the command line of this process is that of a hook; then the other parser is not needed.
pub(super) fn arguments(mut words: impl Iterator<Item = OsString>) -> Option<Arguments> {
    if words.next()? != "hook" {
        return None;
    }
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        // What makes no sense is passed over: a hook has nobody to complain to.
        let Some(word) = word.to_str() else { continue };
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let mut value = || inline.clone().or_else(|| words.next()?.into_string().ok());
        match name {
            "--help" | "-h" | "help" => return None,
            "track-usage" => arguments.track_usage = true,
            "--agent" => arguments.agent = value(),
            "--url" => arguments.url = value(),
            "--api-key" => arguments.api_key = value(),
            "--deadline-ms" => arguments.deadline_ms = value().and_then(|value| value.parse().ok()),
            _ => {}
        }
    }
    Some(arguments)
}

/// Runs a hook to its end or its deadline, whichever comes first.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let started = Instant::now();
    let milliseconds = arguments
        .deadline_ms
        .or_else(|| variable("DCM_HOOK_DEADLINE_MS")?.trim().parse().ok())
        .unwrap_or(DEADLINE_MS);
    // An hour is beyond any reason, and far from overflowing.
    let deadline = started + Duration::from_millis(milliseconds.min(3_600_000));
    // A panic is ours to mend, but not the agent's to read.
    std::panic::set_hook(Box::new(|_| {}));
    let watch = deadline::enforce(deadline.saturating_duration_since(Instant::now()));
    let _ = std::panic::catch_unwind(|| work(arguments, deadline));
    drop(watch);
    ExitCode::SUCCESS
}

/// A hook at work.
struct Hook {
    at: Timestamp,
    server: Server,
    spool: Spool,
    deadline: Instant,
}

fn work(arguments: &Arguments, deadline: Instant) {
    let at = SystemClock.now();
    let Some(told) = input(arguments) else { return };
    let server = Server::find(arguments.url.clone(), arguments.api_key.clone());
    let Some(folder) = client_folder() else { return };
    let spool = Spool::at(folder.join("spool").join(server.folder_name()));
    Hook { at, server, spool, deadline }.tell(told);
}

/// What a hook has to tell.
struct Told {
    target: String,
    body: Box<RawValue>,
    moment: Moment,
    todo: Option<Todo>,
}

fn input(arguments: &Arguments) -> Option<Told> {
    let usage = usage::from_variables(variable);
    let text = if std::io::stdin().is_terminal() {
        None
    } else if usage.is_some() && arguments.track_usage {
        // Whoever sets variables may have left standard input open.
        let (sender, receiver) = mpsc::channel();
        let reader = std::thread::Builder::new().spawn(move || sender.send(stdin()));
        reader.ok().and_then(|_| receiver.recv_timeout(FOR_INPUT).ok().flatten())
    } else {
        stdin()
    };
    if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
        let event = Event::read(&text, arguments.agent.as_deref())?;
        return Some(Told {
            target: event.target(),
            moment: event.moment,
            todo: event.todo,
            body: event.body,
        });
    }
    let (target, body) = usage?;
    Some(Told { target, body, moment: Moment::Passing, todo: None })
}

fn stdin() -> Option<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MOST_BYTES + 1).read_to_string(&mut text);
    (read.is_ok() && text.len() as u64 <= MOST_BYTES).then_some(text)
}

impl Hook {
    fn tell(&self, told: Told) {
        let key: Uuid = IdSource::new(Arc::new(SystemClock)).next();
        let entry = Entry {
            key: key.to_string(),
            at: self.at,
            target: told.target,
            matters: told.moment != Moment::Passing,
            body: told.body,
        };
        let to_write = TO_WRITE.max(self.deadline.saturating_duration_since(Instant::now()) / 8);
        let network = self.deadline.checked_sub(to_write).unwrap_or(self.deadline);
        let reached = if told.moment == Moment::SessionEnd {
            // It has a second and a half, shared with everybody's hooks: the next `dcm` tells it.
            if let Some(todo) = &told.todo {
                todo.keep(self.spool.folder());
            }
            self.keep(&entry) || self.deliver(&entry, network)
        } else if self.spool.is_paused() {
            self.keep(&entry);
            false
        } else if self.spool.is_empty() {
            self.deliver(&entry, network)
        } else {
            // Others wait already, and events are told in their order.
            self.keep(&entry) && self.catch_up(&entry, network)
        };
        if told.moment != Moment::Milestone {
            return;
        }
        let Some(todo) = told.todo else { return };
        // Noted first: what this hook has no time for is the next one's.
        todo.keep(self.spool.folder());
        if reached && let Some(wire) = Wire::to(&self.server) {
            upload::catch_up(&wire, self.spool.folder(), Some(&todo), network);
        }
    }

    fn keep(&self, entry: &Entry) -> bool {
        // A full disk or a folder that cannot be written: `dcm doctor` tells.
        self.spool.append(entry, self.deadline).unwrap_or(false)
    }

    /// Tells the server; `false` when it was written down instead.
    fn deliver(&self, entry: &Entry, network: Instant) -> bool {
        let Some(wire) = Wire::to(&self.server) else {
            self.keep(entry);
            return false;
        };
        match wire.post(&entry.target, key_of_now(entry), entry.body.get(), network) {
            Ok(answer) => match Verdict::on(answer.status) {
                Verdict::Taken => {
                    print(&answer.body);
                    return true;
                }
                Verdict::Refused => {
                    let _ = self.spool.note_refused(entry, answer.status);
                    return true;
                }
                Verdict::Failed | Verdict::Later => {}
            },
            Err(Away::Slow) => self.spool.pause(),
            Err(Away::Gone) => {}
        }
        self.keep(entry);
        false
    }

    /// Delivers all that waits; `false` when something waits still.
    fn catch_up(&self, entry: &Entry, network: Instant) -> bool {
        let Some(wire) = Wire::to(&self.server) else { return false };
        let longest = network.saturating_duration_since(Instant::now());
        let drained = drain(&self.spool, &wire, network, longest, Some(&entry.key), |told, answer| {
            if told.key == entry.key {
                print(&answer.body);
            }
        });
        drained.is_ok_and(|drained| drained == Drained::Empty)
    }
}

/// Passes on what the server has to say to the agent: one JSON object, or nothing.
fn print(answer: &[u8]) {
    let is_object = answer.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<serde::de::IgnoredAny>(answer).is_ok();
    if is_object {
        // In one piece, at once: the deadline may come before the rest is done.
        let mut text = answer.trim_ascii().to_vec();
        text.push(b'\n');
        let mut out = std::io::stdout().lock();
        // Who does not listen misses it.
        let _ = out.write_all(&text).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Option<Arguments> {
        arguments(words.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_read_without_complaint() {
        assert_eq!(parsed(&["status"]), None);
        assert_eq!(parsed(&["hook", "--help"]), None);
        assert_eq!(parsed(&["hook"]), Some(Arguments::default()));
        let expected = Arguments {
            track_usage: true,
            agent: Some("codex".to_owned()),
            url: Some("http://h:1".to_owned()),
            api_key: None,
            deadline_ms: Some(50),
        };
        let words = [
            "hook",
            "track-usage",
            "--agent",
            "codex",
            "--url=http://h:1",
            "--nonsense",
            "--deadline-ms",
            "50",
        ];
        assert_eq!(parsed(&words), Some(expected));
        assert_eq!(parsed(&["hook", "--deadline-ms", "soon"]), Some(Arguments::default()));
    }
}
