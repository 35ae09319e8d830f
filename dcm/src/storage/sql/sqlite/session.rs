//! One connection and what is run on it. A session never leaves the thread that owns it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::bind::{answer, bind};
use super::deadline::Deadline;
use super::fault::{Fault, Phase};
use super::file::StoreFile;
use crate::error::{Error, Result};
use crate::storage::sql::driver::TransactError;
use crate::storage::sql::registry::Registry;
use crate::storage::sql::value::{Row, Statement, Value};

/// How long the queries of one read may take.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// How long a transaction may take before its COMMIT.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// A log of this size has not been restarted for long: some reader was always there.
const LONG_LOG: u64 = 64 * 1024 * 1024;

/// A connection with the queries that it understands.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) registry: &'static Registry,
    /// The connection's progress handler looks at it.
    pub(super) deadline: Deadline,
    /// The write-ahead log, for the session that keeps it short.
    pub(super) log: Option<PathBuf>,
    /// The file that is written, for the session that writes.
    pub(super) file: Option<StoreFile>,
    /// Whether the last transaction could not be written, because the disk is full or broken.
    pub(super) unwritable: Arc<AtomicBool>,
}

impl Session {
    /// Runs `statements` on one snapshot.
    pub(super) fn read(&self, statements: &[Statement]) -> Result<Vec<Vec<Row>>> {
        self.deadline.start(READ_LIMIT);
        // A single statement has a snapshot of its own.
        let one_statement = statements.len() == 1;
        let run = || {
            if !one_statement {
                self.control("begin", Phase::Run)?;
            }
            let answers =
                statements.iter().map(|statement| self.run(statement, true)).collect::<Result<_, _>>()?;
            if !one_statement {
                self.control("commit", Phase::Run)?;
            }
            Ok(answers)
        };
        run().map_err(|fault: Fault| {
            self.roll_back();
            fault.into_error()
        })
    }

    /// See [`crate::storage::sql::driver::Driver::transact`].
    pub(super) fn transact<T>(
        &self,
        load: &[Statement],
        decide: impl FnOnce(Vec<Vec<Row>>) -> Result<(T, Vec<Statement>)>,
    ) -> Result<(T, Vec<Vec<Row>>), TransactError> {
        self.deadline.start(WRITE_LIMIT);
        let outcome = self.attempt(load, decide);
        // Also after a decision that wrote nothing.
        self.roll_back();
        if outcome.as_ref().is_err_and(Fault::is_of_the_disk) {
            self.unwritable.store(true, Ordering::Relaxed);
        }
        outcome.map_err(Fault::into_transact)
    }

    /// Whether transactions can be written again, found out by writing one that changes nothing.
    pub(super) fn try_to_write(&self) -> Result<()> {
        self.deadline.start(WRITE_LIMIT);
        let run = || {
            self.begin()?;
            // Takes a new page, as what is recorded does, and gives it back.
            self.control("create table dcm_trial (page)", Phase::Run)?;
            self.control("drop table dcm_trial", Phase::Run)?;
            self.commit()
        };
        let outcome: Result<(), Fault> = run();
        self.roll_back();
        outcome.map_err(Fault::into_error)
    }

    fn attempt<T>(
        &self,
        load: &[Statement],
        decide: impl FnOnce(Vec<Vec<Row>>) -> Result<(T, Vec<Statement>)>,
    ) -> Result<(T, Vec<Vec<Row>>), Fault> {
        self.control("begin immediate", Phase::Run)?;
        let loaded = load.iter().map(|statement| self.run(statement, false)).collect::<Result<_, _>>()?;
        // Nothing of the session is reachable from `decide`, so a panic in it leaves nothing half done.
        let (made, statements) = catch_unwind(AssertUnwindSafe(|| decide(loaded)))
            .map_err(|_| Error::internal("the decision of a transaction panicked"))??;
        if statements.is_empty() {
            return Ok((made, Vec::new()));
        }
        let answers =
            statements.iter().map(|statement| self.run(statement, false)).collect::<Result<_, _>>()?;
        // Whoever is answered is to find what was written after the next start.
        self.file.as_ref().map_or(Ok(()), StoreFile::check)?;
        self.commit()?;
        Ok((made, answers))
    }

    /// Begins a transaction that may write.
    pub(super) fn begin(&self) -> Result<(), Fault> {
        self.control("begin immediate", Phase::Run)
    }

    /// Makes the transaction durable.
    pub(super) fn commit(&self) -> Result<(), Fault> {
        // Interrupting a COMMIT would leave it open whether it happened.
        self.deadline.clear();
        self.control("commit", Phase::Commit)?;
        self.unwritable.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Ends a transaction that is still open, if there is one.
    pub(super) fn roll_back(&self) {
        self.deadline.clear();
        if !self.connection.is_autocommit()
            && let Err(fault) = self.control("rollback", Phase::Run)
        {
            // SQLite rolls back by itself when the disk fails; the next BEGIN shows whether it did.
            tracing::error!(error = ?fault.into_error(), "a transaction could not be rolled back");
        }
    }

    fn control(&self, sql: &str, phase: Phase) -> Result<(), Fault> {
        let run = || self.connection.prepare_cached(sql)?.raw_execute();
        run().map(drop).map_err(|error| Fault::new(sql, phase, &error))
    }

    /// Runs one statement, or one bulk write row by row, and collects what it answers.
    pub(super) fn run(&self, statement: &Statement, read_only: bool) -> Result<Vec<Row>, Fault> {
        let name = statement.query;
        let variant = self.registry.variant(statement)?;
        let mut prepared = self
            .connection
            .prepare_cached(&variant.sql)
            .map_err(|error| Fault::new(name, Phase::Prepare, &error))?;
        if read_only && !prepared.readonly() {
            return Err(Error::internal(format!("query {name} writes, but it was run as a read")).into());
        }
        let mut answers = Vec::new();
        let bulk = match &statement.bulk[..] {
            [] => {
                for (number, param) in (1..).zip(&variant.params) {
                    bind(&mut prepared, number, given(statement, &param.name), param.list)
                        .map_err(|error| Fault::new(name, Phase::Run, &error))?;
                }
                step(name, &mut prepared, &mut answers)?;
                return Ok(answers);
            }
            [bulk] => bulk,
            _ => return Err(Error::internal(format!("query {name} writes rows of several tables")).into()),
        };
        let columns: Vec<_> = variant
            .params
            .iter()
            .map(|param| bulk.columns.iter().position(|column| *column == param.name))
            .collect();
        for row in &bulk.rows {
            for ((number, param), column) in (1..).zip(&variant.params).zip(&columns) {
                let value = match column {
                    Some(column) => row.get(*column).ok_or_else(|| {
                        Error::internal(format!("query {name}: a row has fewer values than columns"))
                    })?,
                    None => given(statement, &param.name),
                };
                bind(&mut prepared, number, value, param.list)
                    .map_err(|error| Fault::new(name, Phase::Run, &error))?;
            }
            step(name, &mut prepared, &mut answers)?;
        }
        Ok(answers)
    }

    /// Starts the write-ahead log anew when it has grown long.
    pub(super) fn shorten_log(&self) {
        let length = self.log.as_ref().and_then(|log| std::fs::metadata(log).ok()).map_or(0, |log| log.len());
        if length > LONG_LOG {
            self.checkpoint();
        }
    }

    /// Ends the thread that moves the write-ahead log, which lives as long as the writer's hook.
    pub(super) fn leave_checkpoints_to_nobody(&mut self) {
        let none = None::<fn(&mut Wal, i32) -> rusqlite::Result<()>>;
        if let Err(error) = self.connection.wal_hook(none) {
            tracing::warn!(%error, "the write-ahead log is still watched");
        }
    }

    /// Moves the write-ahead log into the database and empties it.
    pub(super) fn checkpoint(&self) {
        if self.log.is_some()
            && let Err(error) =
                self.connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, i64>(0))
        {
            tracing::warn!(%error, "the write-ahead log could not be emptied");
        }
    }
}

fn given<'a>(statement: &'a Statement, name: &str) -> &'a Value {
    statement.params.iter().find(|(given, _)| *given == name).map_or(&Value::Null, |(_, value)| value)
}

fn step(
    name: &'static str,
    prepared: &mut rusqlite::Statement<'_>,
    answers: &mut Vec<Row>,
) -> Result<(), Fault> {
    let width = prepared.column_count();
    let failed = |error| Fault::new(name, Phase::Run, &error);
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        let mut values = Vec::with_capacity(width);
        for column in 0..width {
            let value = answer(row.get_ref(column).map_err(failed)?);
            values.push(value.ok_or_else(|| {
                Error::internal(format!("query {name}: column {column} holds a text that is not UTF-8"))
            })?);
        }
        answers.push(Row { query: name, values });
    }
    Ok(())
}
