//! What a SQL database must be able to do for [`super::SqlStore`].

use std::future::Future;

use tokio::sync::Notify;

use super::value::{Row, Statement};
use crate::error::Result;

/// A SQL database: it runs named queries, and transactions of the one shape that DCM needs.
pub(crate) trait Driver: Send + Sync + 'static {
    /// Whether there may be other writers: then [`Driver::transact`] must begin with the query `lock_keys`, and a batch
    /// whose fate is not known may still be at work, or arrive late, so that whoever looks for it in vain has the query
    /// `insert_events` refuse it. (For what is no batch nobody looks, and it may arrive late.)
    const NEEDS_LOCKS: bool;

    /// Whether the query `insert_events` advances the log itself; otherwise `advance_log` comes before it.
    const EVENTS_IN_ONE: bool;

    /// Whether a transaction that loads nothing is a round trip shorter: all of it is sent at once. Then a batch may be
    /// decided on what was seen a moment ago, and what it expects is a statement of it.
    const SENT_AT_ONCE: bool;

    /// Runs read-only queries on one connection, in order, and answers the rows of each.
    fn read(&self, statements: Vec<Statement>) -> impl Future<Output = Result<Vec<Vec<Row>>>> + Send;

    /// One transaction: runs `load`, hands the rows of each query to `decide`, runs the statements that it returns,
    /// commits, and answers what `decide` made and the rows of each of those statements.
    ///
    /// Every statement sees what was committed before it ran (READ COMMITTED or stricter). When the future resolves
    /// to `Ok`, the transaction is durable; when it resolves to an error, it had no effect, except for
    /// [`CommitUnknown`]. When `decide` returns no statement, nothing is written and no commit is waited for. Where nothing
    /// is loaded, the transaction may begin after `decide`.
    fn transact<T, F>(
        &self,
        load: Vec<Statement>,
        decide: F,
    ) -> impl Future<Output = Result<(T, Vec<Vec<Row>>), TransactError>> + Send
    where
        T: Send + 'static,
        F: FnOnce(Vec<Vec<Row>>) -> Result<(T, Vec<Statement>)> + Send + 'static;

    /// Calls `wake` once it listens, and whenever another node than `node` says that it has committed something. Ends
    /// only with an error. The default is for a database that one process alone writes.
    fn watch(&self, wake: &Notify, node: Option<&str>) -> impl Future<Output = Result<()>> + Send {
        let _ = (wake, node);
        std::future::pending()
    }

    /// How often to look into the log although nothing was heard, in milliseconds.
    fn poll_ms(&self) -> u64 {
        5000
    }

    /// Asks the database a trivial question.
    fn ping(&self) -> impl Future<Output = Result<()>> + Send;

    /// Releases every connection; afterwards every call answers [`crate::ErrorKind::Unavailable`].
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum TransactError {
    /// It had no effect. The same transaction may succeed when it is tried again (connection lost before COMMIT,
    /// deadlock, serialisation failure).
    Retryable(crate::Error),
    /// It had no effect: a constraint or a value was refused (SQLSTATE classes 22 and 23). One of several commands
    /// is at fault, the others would have succeeded alone.
    Refused(crate::Error),
    /// It had no effect: what a statement expected is not so. Decided on what is loaded, it may succeed.
    Unexpected(crate::Error),
    /// It had no effect, and trying again would not help.
    Failed(crate::Error),
    /// The connection was lost while COMMIT, or a statement that commits, was under way: it may or may not have had an
    /// effect.
    CommitUnknown(crate::Error),
    /// It was sent at once, and BEGIN was refused: each statement may have had an effect by itself, so nobody can say
    /// what became of the whole, and nothing is tried again.
    NeverBegun(crate::Error),
}
