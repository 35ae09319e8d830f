//! Moving the write-ahead log into the database beside the writer.
//!
//! SQLite does that inside a COMMIT by default: every few hundred commits one waits for thousands of pages and for the
//! database file's way to the disk, and everybody behind it waits too. Here a thread with a connection of its own does
//! it. While something is written all the time, that thread never gets to the end of the log, so the log is not started
//! anew; when it has grown long, the writer does the little that is left, once.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::error::{Error, Result};

/// So many pages of the log are moved at once, 4 KiB each.
const PAGES: i32 = 1_000;

/// At this length the writer ends the log itself, so that it starts anew: 24 MiB.
pub(super) const LONG: i32 = 6_000;

/// The thread's side.
pub(super) struct Checkpointer {
    connection: Connection,
    /// The database, to have written to the disk early what SQLite leaves for the end. Closing it would take away locks
    /// that SQLite holds on the same file, so it outlives every connection.
    database: File,
    wanted: Receiver<()>,
    /// How many pages of the log are in the database.
    moved: Arc<AtomicI32>,
}

impl Checkpointer {
    /// Has `writer` leave its checkpoints to the thread that [runs](Self::run) the answer.
    pub(super) fn of(writer: &mut Connection, own: Connection, path: &Path) -> Result<Self> {
        let database = File::open(path).map_err(|error| {
            Error::unavailable(format!("cannot open the store {}: {error}", path.display()))
        })?;
        let (want, wanted) = sync_channel(1);
        let moved = Arc::new(AtomicI32::new(0));
        let known = Arc::clone(&moved);
        // This also takes the place of SQLite's own checkpoints.
        writer
            .wal_hook(Some(move |log: &mut Wal, pages| {
                committed(log, pages, &want, &known);
                Ok(())
            }))
            .map_err(|error| Error::internal(format!("the write-ahead log cannot be watched: {error}")))?;
        Ok(Self { connection: own, database, wanted, moved })
    }

    /// Works until the writer's connection is closed or has another hook; answers the file that is to be closed last.
    pub(super) fn run(self) -> File {
        while self.wanted.recv().is_ok() {
            match self.checkpoint() {
                Ok((pages, moved)) => {
                    self.moved.store(moved, Ordering::Relaxed);
                    if moved < pages
                        && let Err(error) = self.database.sync_data()
                    {
                        // SQLite itself does it again before it relies on it.
                        tracing::warn!(%error, "the database could not be written to the disk ahead of time");
                    }
                }
                // The writer is at it.
                Err(rusqlite::Error::SqliteFailure(failure, _))
                    if failure.code == rusqlite::ErrorCode::DatabaseBusy => {}
                Err(error) => tracing::warn!(%error, "the log could not be moved into the database"),
            }
        }
        self.database
    }

    /// Moves what can be moved without waiting for anybody; answers the length of the log and how much of it was moved.
    fn checkpoint(&self) -> rusqlite::Result<(i32, i32)> {
        self.connection.query_row("pragma wal_checkpoint(passive)", [], |row| Ok((row.get(1)?, row.get(2)?)))
    }
}

/// After each COMMIT of the writer, on its thread: `pages` is the length of the log.
fn committed(log: &mut Wal, pages: i32, want: &SyncSender<()>, moved: &AtomicI32) {
    let mut done = moved.load(Ordering::Relaxed);
    if pages < done {
        // The log has been started anew.
        moved.store(0, Ordering::Relaxed);
        done = 0;
    }
    if pages >= LONG {
        // What fails here is tried after the next commit, which is durable without it.
        if let Err(error) = log.checkpoint() {
            tracing::debug!(%error, "the write-ahead log is not started anew yet");
        }
    } else if pages - done >= PAGES
        && let Err(TrySendError::Disconnected(())) = want.try_send(())
    {
        tracing::error!("the thread that moves the write-ahead log has ended");
    }
}
