//! What could not be delivered, on disk: one line an entry, appended under a lock, replayed in order.
//!
//! A folder holds, for one server:
//!
//! | file | what |
//! |---|---|
//! | `queue` | the entries, one line of JSON each |
//! | `replayed` | how far the queue has been replayed; whoever replays holds its lock |
//! | `refused` | calls that the server will never take, and why |
//! | `dropped` | how many entries found no room |
//! | `pause` | until when a server that lets callers wait is left alone |
//!
//! A process may be killed in the middle of any of this. A line that was not finished is told by the missing line
//! feed, and passed over. An entry that was replayed but not yet counted as such is replayed again, under the same
//! `Idempotency-Key`. Nothing is synced: the queue outlives the process, not a loss of power; the transcript does.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dcm::{Clock, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::place::{make_private_folder, private_file};

/// The most bytes that wait for one server.
const MOST_BYTES: u64 = 32 << 20;
/// What is kept of that for entries that frame a session: hundreds of tool calls can be had from the transcript.
const RESERVE: u64 = 4 << 20;
/// The largest entry.
const MOST_BYTES_OF_ENTRY: usize = 8 << 20;
/// The most bytes that are kept of what was refused.
const MOST_REFUSED: u64 = 1 << 20;
/// How often the server may fail over an entry before it is given up.
pub(super) const MOST_FAILURES: u32 = 5;
/// How long a server that lets callers wait is left alone.
const PAUSE_MS: i64 = 10_000;

/// A call that waits to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// What its `Idempotency-Key` is made of, so that a call that was made already is not made twice.
    pub(super) key: String,
    /// When it happened.
    pub(super) at: Timestamp,
    /// Path and query.
    pub(super) target: String,
    /// Whether it must not be lost for want of room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) matters: bool,
    /// JSON in one line.
    pub(super) body: Box<RawValue>,
}

/// What waits for one server.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    most_bytes: u64,
}

/// What lies in a spool, for people.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) waiting: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
    pub(super) refused: u64,
}

impl Spool {
    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder, most_bytes: MOST_BYTES }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.folder.join("queue").metadata().map_or(true, |metadata| metadata.len() == 0)
    }

    /// Appends an entry; `false` when there is no room for it.
    pub(super) fn append(&self, entry: &Entry, deadline: Instant) -> io::Result<bool> {
        let mut line = Vec::with_capacity(entry.body.get().len() + 256);
        serde_json::to_writer(&mut line, entry)?;
        line.push(b'\n');
        let mut queue = self.open_queue()?;
        lock(&queue, deadline)?;
        let length = queue.metadata()?.len();
        let room = if entry.matters { self.most_bytes } else { self.most_bytes.saturating_sub(RESERVE) };
        if line.len() > MOST_BYTES_OF_ENTRY || length + line.len() as u64 > room {
            self.count_dropped()?;
            return Ok(false);
        }
        if length > 0 && !ends_with_newline(&mut queue)? {
            // Somebody was stopped in the middle of a line; it must not spoil this one.
            line.insert(0, b'\n');
        }
        queue.write_all(&line)?;
        Ok(true)
    }

    fn open_queue(&self) -> io::Result<File> {
        let path = self.folder.join("queue");
        let open = || private_file().read(true).append(true).create(true).open(&path);
        open().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                make_private_folder(&self.folder)?;
                open()
            }
            _ => Err(error),
        })
    }

    /// Called under the lock of the queue.
    fn count_dropped(&self) -> io::Result<()> {
        let path = self.folder.join("dropped");
        let before: u64 = number(&path);
        private_file()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?
            .write_all((before + 1).to_string().as_bytes())
    }

    /// Begins to replay; `None` when nothing waits or somebody else is at it.
    pub(super) fn replay(&self, deadline: Instant) -> io::Result<Option<Replay>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut marks = private_file()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.folder.join("replayed"))?;
        if marks.try_lock().is_err() {
            return Ok(None);
        }
        let mut text = String::new();
        // A mark that cannot be read is none: what is replayed again is known by its key.
        let _ = marks.read_to_string(&mut text);
        let mut numbers = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        let queue = self.open_queue()?;
        let offset = numbers.next().filter(|offset| *offset <= queue.metadata().map_or(0, |data| data.len()));
        let failures =
            numbers.next().filter(|_| offset.is_some()).and_then(|count| u32::try_from(count).ok());
        let mut replay = Replay {
            marks,
            reader: BufReader::with_capacity(1 << 16, queue),
            deadline,
            offset: offset.unwrap_or(0),
            next: 0,
            failures: failures.unwrap_or(0),
        };
        replay.reader.seek(SeekFrom::Start(replay.offset))?;
        Ok(Some(replay))
    }

    /// Notes what the server will never take.
    pub(super) fn note_refused(&self, entry: &Entry, status: u16) -> io::Result<()> {
        make_private_folder(&self.folder)?;
        let mut file = private_file().append(true).create(true).open(self.folder.join("refused"))?;
        let beginning: String = entry.body.get().chars().take(2000).collect();
        let mut line = serde_json::to_vec(&serde_json::json!({
            "status": status, "at": entry.at, "target": entry.target, "body": beginning,
        }))?;
        line.push(b'\n');
        if file.metadata()?.len() + line.len() as u64 <= MOST_REFUSED {
            file.write_all(&line)?;
        }
        Ok(())
    }

    /// Leaves the server alone for a while.
    pub(super) fn pause(&self) {
        let until = SystemClock.now().plus_millis(PAUSE_MS).as_millis();
        // Without it the next hook waits as well; nothing is lost.
        let _ = make_private_folder(&self.folder);
        let _ = private_file()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.folder.join("pause"))
            .and_then(|mut file| file.write_all(until.to_string().as_bytes()));
    }

    /// Whether the server is left alone.
    pub(super) fn is_paused(&self) -> bool {
        let until = number::<i64>(&self.folder.join("pause"));
        let now = SystemClock.now().as_millis();
        // A clock that was set back must not make it a long one.
        now < until && until - now <= PAUSE_MS
    }

    /// The server answers again.
    pub(super) fn resume(&self) {
        let _ = std::fs::remove_file(self.folder.join("pause"));
    }

    pub(super) fn contents(&self) -> Contents {
        let lines = |from: u64, name: &str| -> io::Result<(u64, u64)> {
            let mut file = File::open(self.folder.join(name))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(if from > length { 0 } else { from }))?;
            let count = BufReader::new(file)
                .split(b'\n')
                .map_while(Result::ok)
                .filter(|line| !line.is_empty())
                .count();
            Ok((count as u64, length))
        };
        let offset = std::fs::read_to_string(self.folder.join("replayed")).unwrap_or_default();
        let offset = offset.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let (waiting, bytes) = lines(offset, "queue").unwrap_or_default();
        Contents {
            waiting,
            bytes,
            dropped: number(&self.folder.join("dropped")),
            refused: lines(0, "refused").unwrap_or_default().0,
        }
    }
}

/// Somebody who replays a spool; there is one at a time.
#[derive(Debug)]
pub(super) struct Replay {
    marks: File,
    reader: BufReader<File>,
    deadline: Instant,
    /// Where the entry in hand begins.
    offset: u64,
    /// Where the one after it begins.
    next: u64,
    /// How often the server failed over the entry in hand.
    failures: u32,
}

impl Replay {
    /// The oldest entry that waits. It stays the oldest until it is [done](Self::done).
    pub(super) fn oldest(&mut self) -> io::Result<Option<Entry>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.reader.seek(SeekFrom::Start(self.offset))?;
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            if line.last() != Some(&b'\n') {
                // It is being written, or its writer was stopped. With the lock in hand it is the latter.
                lock(self.reader.get_ref(), self.deadline)?;
                line.clear();
                self.reader.seek(SeekFrom::Start(self.offset))?;
                self.reader.read_until(b'\n', &mut line)?;
                self.reader.get_ref().unlock()?;
            }
            self.next = self.offset + line.len() as u64;
            match serde_json::from_slice(&line) {
                Ok(entry) => return Ok(Some(entry)),
                Err(_) => self.done()?,
            }
        }
    }

    /// The oldest entry need not be delivered again.
    pub(super) fn done(&mut self) -> io::Result<()> {
        self.offset = self.next;
        self.failures = 0;
        self.mark()
    }

    /// The server failed over the oldest entry; `true` when it has done so often enough.
    pub(super) fn failed(&mut self) -> io::Result<bool> {
        self.failures += 1;
        self.mark()?;
        Ok(self.failures >= MOST_FAILURES)
    }

    /// Empties the queue when all of it has been replayed; `false` when more has come in.
    pub(super) fn finish(&mut self) -> io::Result<bool> {
        let queue = self.reader.get_ref();
        lock(queue, self.deadline)?;
        let all = queue.metadata()?.len() <= self.offset;
        if all {
            // In this order: whoever is stopped in between replays what was replayed, and loses nothing.
            self.offset = 0;
            self.mark()?;
            self.reader.get_ref().set_len(0)?;
        }
        self.reader.get_ref().unlock()?;
        Ok(all)
    }

    fn mark(&mut self) -> io::Result<()> {
        self.marks.seek(SeekFrom::Start(0))?;
        self.marks.write_all(format!("{:020} {:010}\n", self.offset, self.failures).as_bytes())
    }
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn number<T: std::str::FromStr + Default>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

/// Waits for the lock, but not beyond the deadline.
fn lock(file: &File, deadline: Instant) -> io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_micros(500));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn entry(number: usize) -> Entry {
        Entry {
            key: format!("k{number}"),
            at: Timestamp::from_millis(0),
            target: "/hooks/claude".to_owned(),
            matters: false,
            body: RawValue::from_string(format!("{{\"number\":{number}}}")).unwrap(),
        }
    }

    fn spool(folder: &tempfile::TempDir) -> Spool {
        Spool::at(folder.path().join("deep/spool"))
    }

    fn drained(spool: &Spool) -> Vec<String> {
        let Some(mut replay) = spool.replay(soon()).unwrap() else { return Vec::new() };
        let mut keys = Vec::new();
        while let Some(entry) = replay.oldest().unwrap() {
            keys.push(entry.key);
            replay.done().unwrap();
        }
        assert!(replay.finish().unwrap());
        keys
    }

    #[test]
    fn once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        assert!(spool.is_empty() && spool.replay(soon()).unwrap().is_none());
        for number in 0..3 {
            assert!(spool.append(&entry(number), soon()).unwrap());
        }
        assert_eq!(spool.contents().waiting, 3);

        let mut replay = spool.replay(soon()).unwrap().unwrap();
        assert!(spool.replay(soon()).unwrap().is_none(), "one at a time");
        assert_eq!(replay.oldest().unwrap().unwrap().key, "k0");
        replay.done().unwrap();
        // Stopped here: the next one goes on with the second, and what came in later is the last.
        drop(replay);
        spool.append(&entry(3), soon()).unwrap();
        assert_eq!(spool.contents().waiting, 3);
        assert_eq!(drained(&spool), ["k1", "k2", "k3"]);
        assert!(spool.is_empty());
        spool.append(&entry(4), soon()).unwrap();
        assert_eq!(drained(&spool), ["k4"]);
    }

    #[test]
    fn torn_lines_spoil_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        spool.append(&entry(0), soon()).unwrap();
        let queue = spool.folder().join("queue");
        let whole = std::fs::read(&queue).unwrap();
        for cut in [1, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&queue, [&whole[..], &whole[..cut]].concat()).unwrap();
            let _ = std::fs::remove_file(spool.folder().join("replayed"));
            spool.append(&entry(1), soon()).unwrap();
            // A line that lacks nothing but its end is an entry; cut shorter it is nothing.
            let expected: &[&str] = if cut == whole.len() - 1 { &["k0", "k0", "k1"] } else { &["k0", "k1"] };
            assert_eq!(drained(&spool), expected, "{cut}");
        }
        // At the very end, where nobody comes after.
        std::fs::write(&queue, &whole[..10]).unwrap();
        assert!(drained(&spool).is_empty() && spool.is_empty());
        // Blocks that the disk never got.
        std::fs::write(&queue, [&[0; 100][..], b"\n", &whole[..]].concat()).unwrap();
        assert_eq!(drained(&spool), ["k0"]);
    }

    #[test]
    fn marks_that_make_no_sense_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        for mark in ["", "x", "99999 1", "\u{0}\u{0}"] {
            spool.append(&entry(0), soon()).unwrap();
            std::fs::write(spool.folder().join("replayed"), mark).unwrap();
            assert_eq!(drained(&spool), ["k0"], "{mark:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_what_waits() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(&folder);
        spool.most_bytes = RESERVE + 150;
        assert!(spool.append(&entry(0), soon()).unwrap());
        assert!(!spool.append(&entry(1), soon()).unwrap());
        let important = Entry { matters: true, ..entry(2) };
        assert!(spool.append(&important, soon()).unwrap());
        assert_eq!(spool.contents(), Contents { waiting: 2, dropped: 1, ..spool.contents() });
        assert_eq!(drained(&spool), ["k0", "k2"]);
    }

    #[test]
    fn failures_are_counted_over_processes() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        spool.append(&entry(0), soon()).unwrap();
        for attempt in 1..=MOST_FAILURES {
            let mut replay = spool.replay(soon()).unwrap().unwrap();
            replay.oldest().unwrap().unwrap();
            assert_eq!(replay.failed().unwrap(), attempt == MOST_FAILURES);
        }
        spool.note_refused(&entry(0), 500).unwrap();
        assert_eq!(spool.contents().refused, 1);
    }

    #[test]
    fn pauses_end() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        assert!(!spool.is_paused());
        spool.pause();
        assert!(spool.is_paused());
        let far = SystemClock.now().plus_millis(PAUSE_MS * 100).as_millis();
        std::fs::write(spool.folder().join("pause"), far.to_string()).unwrap();
        assert!(!spool.is_paused());
        spool.pause();
        spool.resume();
        assert!(!spool.is_paused());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        spool.append(&entry(0), soon()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(spool.folder()), mode(&spool.folder().join("queue"))), (0o700, 0o600));
    }

    #[test]
    fn parallel_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(&folder);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let spool = &spool;
                scope.spawn(move || {
                    for number in 0..50 {
                        assert!(spool.append(&entry(writer * 100 + number), soon()).unwrap());
                    }
                });
            }
        });
        let keys = drained(&spool);
        assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), 200);
        for writer in ["k1", "k2", "k3"] {
            let of_writer: Vec<_> =
                keys.iter().filter(|key| key.len() == 4 && key.starts_with(writer)).collect();
            assert!(of_writer.is_sorted(), "{of_writer:?}");
        }
    }
}
