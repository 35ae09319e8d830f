//! What an error of the database means to those who wait for the answer.

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::encode::Unfit;
use crate::error::{Error, ErrorKind};
use crate::storage::sql::driver::TransactError;

/// An error of one statement.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) error: Error,
    /// Whether the server has said it: a statement that it has refused has had no effect.
    pub(super) is_answer: bool,
    /// Whether the server ended the session with it.
    pub(super) ends_session: bool,
}

/// How errors are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A constraint or a value was refused.
    Refused,
    /// What a statement expected is not so.
    Unexpected,
    /// The same may succeed later.
    Retryable,
    /// The same may succeed later, over another connection.
    Lost,
    /// Trying again would not help.
    Final,
}

impl Failure {
    /// What `error`, the answer to `query`, means.
    pub(super) fn of(query: &str, error: &tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            return Self::of_answer(query, answer);
        }
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self {
            class: Class::Lost,
            error: Error::unavailable(format!("query {query}: {error}{cause}")),
            is_answer: false,
            ends_session: true,
        }
    }

    fn of_answer(query: &str, answer: &DbError) -> Self {
        let class = class_of(answer);
        let code = answer.code().code();
        // Messages about values quote them.
        let message = match class {
            Class::Unexpected => "what was expected when it was decided is not so",
            _ if code.starts_with("22") => "a value was refused",
            _ => answer.message(),
        };
        let detail = format!("query {query}: {message} (SQLSTATE {code})");
        let error = match class {
            Class::Retryable | Class::Lost => Error::unavailable(detail),
            Class::Refused if *answer.code() == SqlState::UNIQUE_VIOLATION => {
                Error::new(ErrorKind::Conflict, "it exists already").with_source(detail)
            }
            Class::Refused if code.starts_with("22") => {
                Error::invalid("a value is not one that the store can keep").with_source(detail)
            }
            Class::Refused | Class::Unexpected | Class::Final => Error::internal(detail),
        };
        // A pooler reports the loss of its server in this class, and cannot know what happened there.
        Self { class, error, is_answer: !code.starts_with("08"), ends_session: ends_session(answer) }
    }

    /// A parameter that was never sent.
    pub(super) fn unfit(query: &str, param: &str, unfit: Unfit) -> Self {
        let (class, error) = match unfit {
            Unfit::Kind(complaint) => {
                (Class::Final, Error::internal(format!("query {query}, parameter {param}: {complaint}")))
            }
            Unfit::Value(complaint) => {
                let error = Error::invalid("a value is not one that the store can keep");
                (Class::Refused, error.with_source(format!("query {query}, parameter {param}: {complaint}")))
            }
        };
        Self { class, error, is_answer: true, ends_session: false }
    }

    /// Something that is wrong with the program.
    pub(super) fn fault(error: Error) -> Self {
        Self { class: Class::Final, error, is_answer: true, ends_session: false }
    }

    /// For the waiting caller, when the transaction has certainly had no effect.
    pub(super) fn without_effect(self) -> TransactError {
        match self.class {
            Class::Refused => TransactError::Refused(self.error),
            Class::Retryable | Class::Lost => TransactError::Retryable(self.error),
            Class::Unexpected => TransactError::Unexpected(self.error),
            Class::Final => TransactError::Failed(self.error),
        }
    }
}

fn ends_session(answer: &DbError) -> bool {
    matches!(answer.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

fn class_of(answer: &DbError) -> Class {
    let code = answer.code().code();
    if ends_session(answer) {
        return Class::Lost;
    }
    match code {
        // Serialisation, deadlock, lock timeout, statement timeout, too many connections and other shortages.
        "40001" | "40P01" | "55P03" | "57014" => Class::Retryable,
        _ if code.starts_with("53") => Class::Retryable,
        // The session ended, or the server is read-only: the address leads to another one after a failover.
        "25P03" | "25006" => Class::Lost,
        _ if code.starts_with("08") || code.starts_with("57P") => Class::Lost,
        // A statement that was prepared before a migration changed its columns, or that a pooler has lost.
        "26000" => Class::Lost,
        // Nothing divides but what expects something; see the query `insert_events`.
        "22012" => Class::Unexpected,
        "0A000" if answer.routine() == Some("RevalidateCachedQuery") => Class::Lost,
        _ if code.starts_with("22") || code.starts_with("23") => Class::Refused,
        _ => Class::Final,
    }
}
