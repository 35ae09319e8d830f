//! What SQLite's errors mean for DCM.

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};
use crate::storage::sql::driver::TransactError;

/// An error of a statement, with what it means for the transaction around it.
#[derive(Debug)]
pub(super) struct Fault {
    effect: Effect,
    error: Error,
    of_the_disk: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Somebody else holds a lock.
    Busy,
    /// A value or a constraint was refused.
    Refused,
    /// The disk failed while the transaction was being committed.
    Unknown,
    /// Everything else.
    Failed,
}

/// What was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Prepare,
    Run,
    Commit,
}

impl Fault {
    /// The meaning of `error`, which came up in `phase` of `query`.
    pub(super) fn new(query: &str, phase: Phase, error: &rusqlite::Error) -> Self {
        // The text of an error never holds values; that of `SqlInputError` would hold the query.
        let message = match error {
            rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
            other => other.to_string(),
        };
        let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
        let detail = format!("query {query}: {message} (SQLite code {extended})");
        let (effect, kind) = match (error.sqlite_error_code(), phase) {
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => {
                (Effect::Busy, ErrorKind::Unavailable)
            }
            (Some(ErrorCode::TooBig), _) => (Effect::Refused, ErrorKind::TooLarge),
            (Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch), _)
            // Functions that dislike a value, such as `json()`.
            | (Some(ErrorCode::Unknown), Phase::Run) => (Effect::Refused, ErrorKind::Internal),
            (Some(ErrorCode::SystemIoFailure), Phase::Commit) => (Effect::Unknown, ErrorKind::Unavailable),
            (
                Some(
                    ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::OutOfMemory
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::FileLockingProtocolFailed,
                ),
                _,
            ) => (Effect::Failed, ErrorKind::Unavailable),
            _ => (Effect::Failed, ErrorKind::Internal),
        };
        let of_the_disk = matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
            )
        );
        let error = match kind {
            ErrorKind::Unavailable => Error::unavailable(detail),
            ErrorKind::TooLarge => Error::new(kind, "a value is too large to be stored"),
            _ => Error::internal(detail),
        };
        Self { effect, error, of_the_disk }
    }

    /// Whether the disk refused, which it may go on to do.
    pub(super) fn is_of_the_disk(&self) -> bool {
        self.of_the_disk
    }

    /// The error alone.
    pub(super) fn into_error(self) -> Error {
        self.error
    }

    /// What it means for a transaction that was rolled back because of it.
    pub(super) fn into_transact(self) -> TransactError {
        match self.effect {
            Effect::Busy => TransactError::Retryable(self.error),
            Effect::Refused => TransactError::Refused(self.error),
            Effect::Unknown => TransactError::CommitUnknown(self.error),
            Effect::Failed => TransactError::Failed(self.error),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { effect: Effect::Failed, error, of_the_disk: false }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn codes_have_their_meaning() {
        use Effect::{Busy, Failed, Refused, Unknown};
        use ErrorKind::{Internal, TooLarge, Unavailable};
        for (code, phase, effect, kind) in [
            (ffi::SQLITE_BUSY, Phase::Run, Busy, Unavailable),
            (ffi::SQLITE_BUSY, Phase::Commit, Busy, Unavailable),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Phase::Run, Refused, Internal),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, Phase::Commit, Refused, Internal),
            (ffi::SQLITE_TOOBIG, Phase::Run, Refused, TooLarge),
            (ffi::SQLITE_MISMATCH, Phase::Run, Refused, Internal),
            (ffi::SQLITE_ERROR, Phase::Run, Refused, Internal),
            (ffi::SQLITE_ERROR, Phase::Prepare, Failed, Internal),
            (ffi::SQLITE_FULL, Phase::Run, Failed, Unavailable),
            (ffi::SQLITE_IOERR_WRITE, Phase::Run, Failed, Unavailable),
            (ffi::SQLITE_IOERR_FSYNC, Phase::Commit, Unknown, Unavailable),
            (ffi::SQLITE_FULL, Phase::Commit, Failed, Unavailable),
            (ffi::SQLITE_INTERRUPT, Phase::Run, Failed, Unavailable),
            (ffi::SQLITE_CORRUPT, Phase::Run, Failed, Internal),
        ] {
            let fault = Fault::new("q", phase, &rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            assert_eq!((fault.effect, fault.error.kind()), (effect, kind), "code {code} in {phase:?}");
            let of_the_disk = matches!(code & 0xff, ffi::SQLITE_FULL | ffi::SQLITE_IOERR);
            assert_eq!(fault.is_of_the_disk(), of_the_disk, "code {code}");
        }
    }
}
