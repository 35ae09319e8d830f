//! The embedded store: one thread that writes, a few that read, one that moves the write-ahead log into the database.
//!
//! Callers put jobs into a queue and await the answer. The threads own the connections; nothing of SQLite is touched
//! on a thread of the async runtime.

mod bind;
mod checkpoint;
mod deadline;
mod fault;
mod file;
mod open;
mod queue;
mod session;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::deadline::Deadline;
use self::file::StoreFile;
use self::open::{Parts, Setup};
use self::queue::{Queue, closed};
use self::session::Session;
use super::driver::{Driver, TransactError};
use super::value::{Row, Statement};
use crate::error::{Error, Result};

/// How long [`Driver::close`] waits before it interrupts what is still being read, and again before it gives up.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// An embedded SQLite database. Dropping it lets its threads end, [`Driver::close`] also waits for them.
pub(crate) struct SqliteDriver {
    writes: Arc<Queue>,
    /// The same as `writes` for a store in memory, which has one connection only.
    reads: Arc<Queue>,
    reader_deadlines: Vec<Deadline>,
    /// None for a store in memory.
    file: Option<StoreFile>,
    /// Whether the disk refused the last transaction.
    unwritable: Arc<AtomicBool>,
    /// Its other end is dropped when every thread has ended and the lock is free.
    ended: watch::Receiver<()>,
}

impl SqliteDriver {
    /// Opens the store in the file `path`, which is created if it is not there, with this many threads that read.
    /// A second process gets [`crate::ErrorKind::Conflict`].
    pub(crate) async fn open(path: &Path, readers: usize) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || Self::start(open::open(&path, readers, Setup::built_in()?)?)).await
    }

    /// Opens a store that is gone when it is closed. Its reads wait for its writes.
    pub(crate) async fn open_in_memory() -> Result<Self> {
        blocking(|| Self::start(open::open_in_memory(Setup::built_in()?)?)).await
    }

    /// What `pragma synchronous` says on the connection that writes; 2 means FULL.
    #[cfg(test)]
    pub(crate) async fn synchronous(&self) -> Result<i64> {
        self.on_the_writer(|session| {
            let value = session.connection.pragma_query_value(None, "synchronous", |row| row.get(0));
            value.map_err(|error| Error::internal(format!("pragma synchronous: {error}")))
        })
        .await
    }

    /// Has the thread that writes do something.
    async fn on_the_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.writes.push(Box::new(move |session| {
            drop(answer.send(session.ok_or_else(closed).and_then(work)));
        }))?;
        answered.await.unwrap_or_else(|_| Err(panicked()))
    }

    fn start(parts: Parts) -> Result<Self> {
        let Parts { mut writer, readers, checkpointer, lock } = parts;
        let file = writer.file.clone();
        let unwritable = Arc::clone(&writer.unwritable);
        let reader_deadlines = readers.iter().map(|session| session.deadline.clone()).collect();
        let (running, ended) = watch::channel(());
        let writes = Arc::new(Queue::default());
        let reads = if readers.is_empty() { Arc::clone(&writes) } else { Arc::new(Queue::default()) };
        // From here on an error drops the driver, which closes the queues and so ends the threads.
        let driver = Self {
            writes: Arc::clone(&writes),
            reads: Arc::clone(&reads),
            reader_deadlines,
            file,
            unwritable,
            ended,
        };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map_err(|error| Error::internal(format!("cannot start a thread: {error}")))
        };
        let mut threads = Vec::new();
        for session in readers {
            let reads = Arc::clone(&reads);
            threads.push(spawn("dcm-sqlite-read", Box::new(move || work(&reads, &session)))?);
        }
        let mut checkpoints = None;
        if let Some(checkpointer) = checkpointer {
            let (kept, database) = std::sync::mpsc::channel();
            let run = move || drop(kept.send(checkpointer.run()));
            checkpoints = Some((spawn("dcm-sqlite-log", Box::new(run))?, database));
        }
        spawn(
            "dcm-sqlite-write",
            Box::new(move || {
                work(&writes, &writer);
                // The log can be emptied, and the lock released, when nobody reads any more.
                for thread in threads {
                    drop(thread.join());
                }
                // Without the hook the thread that it wakes ends.
                writer.leave_checkpoints_to_nobody();
                let database = checkpoints.map(|(thread, database)| {
                    drop(thread.join());
                    database.recv()
                });
                writer.checkpoint();
                drop(writer);
                drop(database);
                drop(lock);
                drop(running);
            }),
        )?;
        Ok(driver)
    }

    /// Lets every thread end after its current job.
    fn shut(&self) {
        self.reads.close();
        self.writes.close();
    }
}

impl Drop for SqliteDriver {
    fn drop(&mut self) {
        self.shut();
    }
}

impl Driver for SqliteDriver {
    const NEEDS_LOCKS: bool = false;
    const EVENTS_IN_ONE: bool = false;
    const SENT_AT_ONCE: bool = false;

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>> {
        let (answer, answered) = oneshot::channel();
        self.reads.push(Box::new(move |session| {
            // A caller that went away while the job waited needs no answer.
            if !answer.is_closed() {
                drop(answer.send(session.ok_or_else(closed).and_then(|session| session.read(&statements))));
            }
        }))?;
        answered.await.unwrap_or_else(|_| Err(panicked()))
    }

    async fn transact<T, F>(
        &self,
        load: Vec<Statement>,
        decide: F,
    ) -> Result<(T, Vec<Vec<Row>>), TransactError>
    where
        T: Send + 'static,
        F: FnOnce(Vec<Vec<Row>>) -> Result<(T, Vec<Statement>)> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let queued = self.writes.push(Box::new(move |session| {
            if !answer.is_closed() {
                let outcome = session
                    .ok_or_else(|| TransactError::Failed(closed()))
                    .and_then(|session| session.transact(&load, decide));
                drop(answer.send(outcome));
            }
        }));
        queued.map_err(TransactError::Failed)?;
        answered.await.unwrap_or_else(|_| Err(TransactError::CommitUnknown(panicked())))
    }

    async fn ping(&self) -> Result<()> {
        // What is read comes from a file that is open, whether it has a name or not.
        self.file.as_ref().map_or(Ok(()), StoreFile::check)?;
        // A full disk can be read, but nobody is served well by a store that takes nothing.
        if self.unwritable.load(Ordering::Relaxed) {
            self.on_the_writer(Session::try_to_write).await?;
        }
        self.read(vec![Statement::new("ping")]).await.map(drop)
    }

    async fn close(&self) {
        self.shut();
        let mut ended = self.ended.clone();
        // Nothing is ever sent: waiting ends when the last thread drops its end.
        if tokio::time::timeout(CLOSE_WAIT, ended.changed()).await.is_ok() {
            return;
        }
        for deadline in &self.reader_deadlines {
            deadline.stop();
        }
        if tokio::time::timeout(CLOSE_WAIT, ended.changed()).await.is_err() {
            tracing::warn!("the embedded store is still writing; it closes when that is done");
        }
    }
}

/// The life of a thread.
fn work(queue: &Queue, session: &Session) {
    while let Some(job) = queue.pop() {
        // A panic must not take the thread away from all later jobs.
        if catch_unwind(AssertUnwindSafe(|| job(Some(session)))).is_err() {
            tracing::error!("a job of the embedded store panicked");
            session.roll_back();
        }
        session.shorten_log();
    }
}

fn panicked() -> Error {
    Error::internal("a job of the embedded store panicked")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal(format!("opening the embedded store: {error}"))))
}
