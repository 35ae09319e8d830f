//! What DCM asks of a store: reads, and one atomic commit.
//!
//! A write is a [`Batch`] of [`Command`]s. The store loads what the batch's [`Footprint`] names into a [`State`], lets
//! [`Batch::decide`] run the (pure) rules, writes the [`Changes`] in one transaction and answers the outcomes. So the
//! rules exist once, whatever the store.

mod brief;
mod channels;
mod command;
mod lessons;
mod log;
mod parts;
mod reads;
#[cfg(feature = "sql")]
pub(crate) mod sql;
mod state;

use std::future::Future;
use std::pin::Pin;

pub use brief::{
    BriefBlocker, BriefBlocking, BriefContext, BriefFailure, BriefFile, BriefList, BriefPrompt, BriefQuery,
    BriefRows, BriefSnapshot, BriefStep, BriefSummary, BriefWork, FailureChange, OpenFailure,
};
pub use channels::{ChannelChange, ChannelChanges, ChannelKey, ChannelRow, HolderChange};
pub use command::{AnyOutcome, Batch, Command, Decision, IdempotencyKey, Submitted};
pub use lessons::{KEPT_LESSONS, KeptLesson, Learned, LessonStore, NewLessons};
pub use log::{CommitListener, CommittedEvents, GapReason, LogHead, LogPage, LogStore, LoggedEvent};
pub use parts::StoreParts;
pub use reads::{
    ActionFilter, ActiveFilter, AgeLimits, AgentContextCounts, AgentContextFilter, ContextQuery, ContextRows,
    HierarchyRows, InboxQuery, InboxRows, Metrics, Page, ReadStore, ReceiptRows, RequestFilter,
    RetentionReport, SubtaskFilter,
};
pub use state::{
    ActionAnswer, Changes, Footprint, KnownAction, LaterSuccess, NewEvent, Remembered, RowChanges, State,
    Table, Tally,
};
pub(crate) use state::{agent_channels, reopens, session_channel};

use crate::error::Result;

/// A future that can be kept in a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The writing half of a store.
pub trait CommitStore: Send + Sync {
    /// Commits a batch: serialisable with every other commit that shares a row of its footprint, durable before it
    /// answers, events included. The error is that of the batch as a whole (the store is away); the outcome of each
    /// command is inside.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Result<AnyOutcome>>>>;

    /// How many batches it is worth committing side by side; one where there is one writer anyway.
    fn write_lanes(&self) -> usize {
        1
    }

    /// Removes at most `limits.batch` rows beyond each of the retention limits, and kept outcomes past their time.
    fn retain(&self, limits: AgeLimits) -> BoxFuture<'_, Result<RetentionReport>>;

    /// Takes or renews the lease called `name` for `holder` until `expires_at`; false when somebody else holds it at `now`.
    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: crate::Timestamp,
        expires_at: crate::Timestamp,
    ) -> BoxFuture<'a, Result<bool>>;

    /// The setting called `name`; `value` when there is none yet, which is stored then.
    fn setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<String>>;

    /// Keeps `value` as the setting called `name`, whatever it was.
    fn keep_setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Releases every connection.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Everything that DCM asks of a store.
pub trait Storage: ReadStore + CommitStore + LogStore + LessonStore + 'static {}

impl<T: ReadStore + CommitStore + LogStore + LessonStore + 'static> Storage for T {}
