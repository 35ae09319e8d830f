//! What a session's transcript has and the server may lack, sent a little at a time.
//!
//! The transcript is read as a whole, because what one line means depends on others; what was sent before is known by
//! its hash and not sent again. A note of what is to do outlives the process: whoever has time next goes on.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use dcm::api::ingest::{Ingest, Observation};
use dcm::api::wire::to_request;
use dcm::{Clock, IdSource, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::discover::{SessionFile, discover};
use super::place::{file_name, hash, write_private};
use super::replay::Verdict;
use super::spool::{Entry, MOST_FAILURES, Spool};
use super::transcripts::{batches, read};
use super::wire::Wire;

/// How long it is remembered what was sent of a transcript that does not change any more.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A transcript that the server should be told of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Todo {
    pub(super) session_id: String,
    pub(super) transcript: PathBuf,
    /// Whether the session is over: then calls that were never answered are told as well.
    pub(super) over: bool,
}

/// What is remembered of a transcript.
#[derive(Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
struct Memory {
    /// Its files, as they were when all of them had been sent.
    files: Vec<(PathBuf, u64, u128)>,
    over: bool,
    /// Hashes of the observations that the server has, or will never take.
    sent: BTreeSet<u64>,
    /// How often the server failed over the first of those that it has not.
    #[serde(default)]
    failures: u32,
}

/// How far an upload came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Nothing is left to do.
    ToTheEnd,
    /// The server is away, or time is up.
    NotToTheEnd,
    /// The server failed over something in it; other transcripts may fare better.
    Stuck,
}

impl Todo {
    fn note(&self, folder: &Path) -> PathBuf {
        folder.join("todo").join(file_name(&self.session_id))
    }

    /// Notes it for whoever has time.
    pub(super) fn keep(&self, folder: &Path) {
        if let Ok(text) = serde_json::to_vec(self) {
            // Then the next hook of the session notes it.
            let _ = write_private(&self.note(folder), &text);
        }
    }

    fn forget(&self, folder: &Path) {
        let _ = std::fs::remove_file(self.note(folder));
    }
}

/// What is noted in `folder`.
pub(super) fn todos(folder: &Path) -> Vec<Todo> {
    let Ok(entries) = std::fs::read_dir(folder.join("todo")) else { return Vec::new() };
    let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().filter_map(read).collect()
}

/// Uploads `first`, then what else is noted, until `deadline`.
pub(super) fn catch_up(wire: &Wire, folder: &Path, first: Option<&Todo>, deadline: Instant) {
    let mut all = todos(folder);
    if let Some(first) = first {
        // Its note may have said that the session was over, before it was resumed.
        all.retain(|todo| todo.session_id != first.session_id);
        all.insert(0, first.clone());
    }
    for todo in all {
        match upload(wire, folder, &todo, deadline) {
            Ok(Came::NotToTheEnd) => return,
            Ok(Came::Stuck) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return,
            // Not every error is mended by time: there is no such transcript, or none that can be read.
            Ok(Came::ToTheEnd) | Err(_) => todo.forget(folder),
        }
    }
}

fn upload(wire: &Wire, folder: &Path, todo: &Todo, deadline: Instant) -> io::Result<Came> {
    let mut found = discover(std::slice::from_ref(&todo.transcript));
    let Some(session) = found.sessions.pop() else { return Err(io::ErrorKind::NotFound.into()) };
    let files = stamps(&session);
    let memory_path = folder.join("sent").join(file_name(&todo.session_id));
    let mut memory = recall(&memory_path);
    if memory.files == files && memory.over >= todo.over {
        return Ok(Came::ToTheEnd);
    }
    let parsed = read(&session, Some(deadline))?;
    let Some(session_id) = parsed.session_id else { return Ok(Came::ToTheEnd) };
    let fresh: Vec<(u64, Observation)> = parsed
        .observations
        .into_iter()
        .filter(|observation| todo.over || is_settled(observation))
        .map(|observation| (fingerprint(&observation), observation))
        .filter(|(fingerprint, _)| !memory.sent.contains(fingerprint))
        .collect();
    let keys = IdSource::new(Arc::new(SystemClock));
    let mut fingerprints = fresh.iter().map(|(fingerprint, _)| *fingerprint).collect::<Vec<_>>().into_iter();
    let mut came = Came::ToTheEnd;
    for observations in batches(fresh.into_iter().map(|(_, observation)| observation).collect()) {
        let count = observations.len();
        let batch = Ingest {
            session_id: session_id.clone(),
            project_path: parsed.project_path.clone(),
            // Not "hook": what the transcript says corrects what hooks said.
            source: Some("reconcile".to_owned()),
            observations,
        };
        let of_batch = fingerprints.by_ref().take(count);
        let Some((entry, status)) = send(wire, &batch, keys.next::<Uuid>(), deadline) else {
            came = Came::NotToTheEnd;
            break;
        };
        match Verdict::on(status) {
            Verdict::Taken => memory.sent.extend(of_batch),
            Verdict::Failed if memory.failures + 1 < MOST_FAILURES => {
                memory.failures += 1;
                came = Came::Stuck;
                break;
            }
            // It will not be taken another time either.
            Verdict::Refused | Verdict::Failed => {
                Spool::at(folder.to_owned()).note_refused(&entry, status)?;
                memory.sent.extend(of_batch);
            }
            Verdict::Later => {
                came = Came::NotToTheEnd;
                break;
            }
        }
        memory.failures = 0;
    }
    if came == Came::ToTheEnd {
        memory.files = files;
        memory.over = todo.over;
    }
    write_private(&memory_path, &serde_json::to_vec(&memory)?)?;
    Ok(came)
}

/// What was sent, and the status of the answer.
fn send(wire: &Wire, batch: &Ingest, key: Uuid, deadline: Instant) -> Option<(Entry, u16)> {
    let request = to_request(batch).ok()?;
    let body = String::from_utf8(request.body?.into()).ok()?;
    let entry = Entry {
        key: key.to_string(),
        at: SystemClock.now(),
        target: request.path_and_query,
        matters: true,
        body: RawValue::from_string(body).ok()?,
    };
    let answer = wire.post(&entry.target, Some(&entry.key), entry.body.get(), deadline).ok()?;
    Some((entry, answer.status))
}

/// Whether more lines will not change it: a call that was not answered yet may still fail.
fn is_settled(observation: &Observation) -> bool {
    !matches!(observation, Observation::ToolUsed { output: None, duration_ms: None, exit_code: 0, .. })
}

fn fingerprint(observation: &Observation) -> u64 {
    serde_json::to_string(observation).map_or(0, |text| hash(&text))
}

fn stamps(session: &SessionFile) -> Vec<(PathBuf, u64, u128)> {
    let paths = std::iter::once(&session.path).chain(session.agents.iter().map(|(_, path)| path));
    let stamp = |path: &PathBuf| {
        let metadata = path.metadata().ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((path.clone(), metadata.len(), modified.as_nanos()))
    };
    paths.filter_map(stamp).collect()
}

fn recall(path: &Path) -> Memory {
    // What is not remembered is sent again, and known to the server.
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Removes what is remembered of transcripts that have not changed for long.
pub(super) fn tidy(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder.join("sent")) else { return };
    for entry in entries.flatten() {
        let age =
            entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > REMEMBERED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
