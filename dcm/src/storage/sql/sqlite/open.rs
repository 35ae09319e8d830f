//! Opening the embedded store: its folder, its lock, its connections, its schema.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::checkpoint::Checkpointer;
use super::deadline::Deadline;
use super::fault::Fault;
use super::file::StoreFile;
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::sql::migrate::{Applied, Migration, migrations, plan};
use crate::storage::sql::registry::{Dialect, Registry};
use crate::storage::sql::value::Statement;

/// Prepared statements that a connection keeps; more than there are query texts in use.
const STATEMENTS: usize = 512;

/// How long a connection waits for a lock. The only other holders are short checkpoints.
const BUSY: Duration = Duration::from_secs(5);

/// The largest value, in bytes: larger than the largest body that the server takes.
const LARGEST_VALUE: i32 = 128 * 1024 * 1024;

/// How many steps of SQLite's machine lie between two looks at the deadline: about a millisecond.
const STEPS: i32 = 20_000;

/// What a store is opened with; tests bring their own.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) registry: &'static Registry,
    pub(super) migrations: &'static [Migration],
}

impl Setup {
    /// The queries and migrations that are built in.
    pub(super) fn built_in() -> Result<Self> {
        Ok(Self { registry: Registry::of(Dialect::Sqlite)?, migrations: migrations(Dialect::Sqlite) })
    }
}

/// An open store, before its threads start.
pub(super) struct Parts {
    pub(super) writer: Session,
    /// Empty for a store in memory: a second connection would see another store.
    pub(super) readers: Vec<Session>,
    /// None for a store in memory, which has no log.
    pub(super) checkpointer: Option<Checkpointer>,
    /// Unlocked by the operating system when it is closed, however the process ends.
    pub(super) lock: Option<File>,
}

/// Opens the store in the file `path`.
pub(super) fn open(path: &Path, readers: usize, setup: Setup) -> Result<Parts> {
    let path = prepare_file(path)?;
    let lock = lock(&path)?;
    let cannot_open = |error: rusqlite::Error| {
        Error::new(ErrorKind::Unavailable, format!("cannot open the store {}: {error}", path.display()))
    };
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut writer = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| {
            connection.pragma_update(None, "journal_size_limit", 32 * 1024 * 1024)?;
            session(connection, setup.registry, Some(with_suffix(&path, "-wal")))
        })
        .map_err(cannot_open)?;
    // After the busy timeout is set, because this waits for locks.
    let mode: String = writer
        .connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(cannot_open)?;
    if mode != "wal" {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "cannot open the store {}: its file system has no shared memory for a write-ahead log",
                path.display()
            ),
        ));
    }
    migrate(&writer, setup.migrations)?;
    writer.file = Some(StoreFile::opened(&path)?);
    let own = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| session(connection, setup.registry, None))
        .map_err(cannot_open)?;
    let checkpointer = Checkpointer::of(&mut writer.connection, own.connection, &path)?;
    let reader = || {
        Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|connection| {
                connection.pragma_update(None, "query_only", true)?;
                session(connection, setup.registry, None)
            })
            .map_err(cannot_open)
    };
    let readers = (0..readers.max(1)).map(|_| reader()).collect::<Result<_>>()?;
    Ok(Parts { writer, readers, checkpointer: Some(checkpointer), lock: Some(lock) })
}

/// Opens a store that lives as long as its one connection.
pub(super) fn open_in_memory(setup: Setup) -> Result<Parts> {
    let writer = Connection::open_in_memory()
        .and_then(|connection| session(connection, setup.registry, None))
        .map_err(|error| Error::internal(format!("cannot open a store in memory: {error}")))?;
    migrate(&writer, setup.migrations)?;
    Ok(Parts { writer, readers: Vec::new(), checkpointer: None, lock: None })
}

fn session(
    mut connection: Connection,
    registry: &'static Registry,
    log: Option<PathBuf>,
) -> rusqlite::Result<Session> {
    connection.busy_timeout(BUSY)?;
    for (pragma, value) in [
        // Every COMMIT waits until the log is on the disk.
        ("synchronous", "full"),
        // On macOS only this reaches the disk itself; elsewhere it says nothing.
        ("fullfsync", "on"),
        ("checkpoint_fullfsync", "on"),
        ("temp_store", "memory"),
        // In KiB.
        ("cache_size", "-16384"),
        ("mmap_size", "268435456"),
    ] {
        connection.pragma_update(None, pragma, value)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LARGEST_VALUE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    rusqlite::vtab::array::load_module(&connection)?;
    // Else a statement may be prepared again for every new value of a parameter.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let deadline = Deadline::never();
    let watched = deadline.clone();
    connection.progress_handler(STEPS, Some(move || watched.has_passed()))?;
    Ok(Session { connection, registry, deadline, log, file: None, unwritable: Arc::default() })
}

/// Applies what is missing, all of it or nothing, and turns foreign keys on.
fn migrate(session: &Session, known: &'static [Migration]) -> Result<()> {
    let keys = |on: bool| {
        let set = session.connection.pragma_update(None, "foreign_keys", on);
        set.map_err(|error| Error::internal(format!("foreign_keys cannot be switched: {error}")))
    };
    // A migration that rebuilds a table must not cascade; this has no effect inside a transaction.
    keys(false)?;
    let result = apply(session, known);
    session.roll_back();
    result?;
    keys(true)
}

fn apply(session: &Session, known: &'static [Migration]) -> Result<()> {
    let run = |statement: Statement| session.run(&statement, false).map_err(Fault::into_error);
    session.begin().map_err(Fault::into_error)?;
    run(Statement::new("migrations_table"))?;
    let applied: Vec<_> = run(Statement::new("migrations_applied"))?
        .into_iter()
        .map(Applied::from_row)
        .collect::<Result<_>>()?;
    let pending = plan(known, &applied)?;
    if pending.is_empty() {
        return Ok(());
    }
    for migration in &pending {
        let failed = |error| Error::internal(format!("migration {} failed: {error}", migration.name));
        session.connection.execute_batch(migration.text).map_err(failed)?;
        run(migration.record())?;
    }
    let broken =
        session.connection.prepare("pragma foreign_key_check").and_then(|mut check| check.exists([]));
    if broken.map_err(|error| Error::internal(format!("foreign keys cannot be checked: {error}")))? {
        return Err(Error::internal("a migration left rows whose foreign keys point nowhere"));
    }
    session.commit().map_err(Fault::into_error)?;
    tracing::info!(applied = pending.len(), "schema of the embedded store is up to date");
    Ok(())
}

/// Creates the folder and the file, for their owner only, and answers the one true path of the file.
fn prepare_file(path: &Path) -> Result<PathBuf> {
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Unavailable, format!("cannot create the store {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let created: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(failed)?;
        for folder in created {
            sync_entry(folder).map_err(failed)?;
        }
    }
    owner_only().open(path).map_err(failed)?;
    // Two ways to write one path must meet at one lock.
    path.canonicalize().map_err(failed)
}

/// Writes to the disk that `folder` exists; SQLite does so for its files only.
fn sync_entry(folder: &Path) -> io::Result<()> {
    match folder.parent() {
        #[cfg(unix)]
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        #[cfg(unix)]
        Some(parent) => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn lock(path: &Path) -> Result<File> {
    let lock = with_suffix(path, ".lock");
    let failed = |error: io::Error| {
        Error::new(ErrorKind::Unavailable, format!("cannot lock the store with {}: {error}", lock.display()))
    };
    let file = owner_only().open(&lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "the store {} is in use by another process; stop that process, or choose another directory with \
                 --data-dir (DCM_DATA_DIR)",
                path.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
