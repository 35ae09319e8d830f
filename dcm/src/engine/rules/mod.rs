//! The rules: what each write means, decided on loaded state, without I/O.
//!
//! Every write operation of the table is a [`Command`](crate::storage::Command) here; so are the engine's own jobs
//! (marking mail as read, cleaning).

mod actions;
mod agent_contexts;
mod blocking;
mod compact;
mod failures;
mod hooks;
mod ingest;
mod maintenance;
mod messages;
mod presence;
mod projects;
mod receipts;
mod requests;
mod roll_up;
mod routing;
mod sessions;
mod subscriptions;
mod subtasks;
mod tasks;

pub(crate) use actions::RecordAction;
pub(crate) use compact::{MarkCompacted, SaveSnapshot};
pub(crate) use hooks::{BriefWanted, HookTaken, NoteBrief, TakeHook};
pub(crate) use ingest::{DropPhantoms, Observe, Observed};
pub(crate) use maintenance::{CloseIdleSessions, ExpireMessages, FailStuckSubtasks};
pub(crate) use messages::{MarkRead, SendMessage};
pub use presence::Published;
pub(crate) use presence::{Announce, Notify, Publish};
pub(crate) use projects::canonical_path;

use crate::error::{Error, ErrorKind};

/// `Task not found: <id>`, the complaint about an unknown parent.
fn unknown_parent(what: &str, id: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} not found: {id}"))
}

/// A PATCH that changes nothing.
fn nothing_to_update() -> Error {
    Error::invalid("No update fields provided")
}
