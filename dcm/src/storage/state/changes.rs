//! Everything a batch does, for a store to write.

use std::collections::{BTreeMap, BTreeSet};

use super::table::RowChanges;
use crate::id::{
    ActionId, BlockingId, CompactionId, EventId, MessageId, ProjectId, RequestId, SubscriptionId, SubtaskId,
    TaskId,
};
use crate::json::JsonObject;
use crate::model::{
    Action, AgentContext, Blocking, Compaction, HookState, Message, Project, Receipt, Request, Session,
    Subscription, Subtask, Task,
};
use crate::storage::brief::FailureChange;
use crate::time::Timestamp;

/// The outcome of an action that was recorded before it was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionAnswer {
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// What came out.
    pub output: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
}

/// An outcome that is kept for a repeated call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Hash of the call.
    pub fingerprint: String,
    /// Its outcome, as JSON.
    pub outcome: String,
}

/// An event on its way into the log.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its id, the same on every channel.
    pub id: EventId,
    /// Its name, such as `task.created`.
    pub name: &'static str,
    /// When it happened.
    pub at: Timestamp,
    /// The channels it belongs to besides `global`, without duplicates.
    pub channels: Vec<String>,
    /// What its own channels say.
    pub data: JsonObject,
    /// What `global` says: ids, types and statuses only.
    pub summary: JsonObject,
}

/// Everything a batch does, for a store to write in one transaction: first what is removed, then what is written
/// (parents before children), and last the events with their positions.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Changes {
    /// Projects. Removing one removes its requests and messages, and leaves its sessions without a project.
    pub projects: RowChanges<ProjectId, Project>,
    /// Sessions.
    pub sessions: RowChanges<String, Session>,
    /// Those of the written sessions that are stored and that nothing has changed of but their counters, when they were
    /// heard of last, and marks: never the project, the begin or the end. A store may write them with less.
    pub touched_sessions: BTreeSet<String>,
    /// Requests.
    pub requests: RowChanges<RequestId, Request>,
    /// Tasks.
    pub tasks: RowChanges<TaskId, Task>,
    /// Subtasks.
    pub subtasks: RowChanges<SubtaskId, Subtask>,
    /// The sessions of the written subtasks.
    pub subtask_sessions: BTreeMap<SubtaskId, String>,
    /// Tool calls that failed, and those that no longer do: by session and subject, in key order. They follow the
    /// actions.
    pub failures: Vec<((String, String), FailureChange)>,
    /// Actions to insert, by recorded time of the batch.
    pub actions: Vec<Action>,
    /// Actions that belong to another subtask than was thought.
    pub action_owners: Vec<(ActionId, Option<SubtaskId>)>,
    /// Outcomes of actions that were recorded without one.
    pub action_answers: Vec<(ActionId, ActionAnswer)>,
    /// Actions to remove.
    pub removed_actions: Vec<ActionId>,
    /// Sessions all of whose actions are to be removed.
    pub removed_action_sessions: Vec<String>,
    /// Messages.
    pub messages: RowChanges<MessageId, Message>,
    /// Reading marks to insert.
    pub message_reads: Vec<(MessageId, String, Timestamp)>,
    /// Subscriptions.
    pub subscriptions: RowChanges<SubscriptionId, Subscription>,
    /// Blockings.
    pub blockings: RowChanges<BlockingId, Blocking>,
    /// Compactions.
    pub compactions: RowChanges<CompactionId, Compaction>,
    /// What is remembered of sessions between the events of their hooks.
    pub hooks: Vec<(String, HookState)>,
    /// Receipts.
    pub receipts: Vec<Receipt>,
    /// Contexts of agents to insert, or to replace where the id exists and is not younger. They follow the actions.
    pub agent_contexts: Vec<AgentContext>,
    /// Outcomes to keep: key, fingerprint, outcome as JSON.
    pub idempotency: Vec<(String, Remembered)>,
    /// Events, in the order of their positions.
    pub events: Vec<NewEvent>,
    /// The time of the batch.
    pub now: Timestamp,
}

impl Changes {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        fn none<K, R>(changes: &RowChanges<K, R>) -> bool {
            changes.written.is_empty() && changes.removed.is_empty()
        }
        none(&self.projects)
            && none(&self.sessions)
            && none(&self.requests)
            && none(&self.tasks)
            && none(&self.subtasks)
            && none(&self.messages)
            && none(&self.subscriptions)
            && none(&self.blockings)
            && none(&self.compactions)
            && self.actions.is_empty()
            && self.action_owners.is_empty()
            && self.action_answers.is_empty()
            && self.hooks.is_empty()
            && self.receipts.is_empty()
            && self.removed_actions.is_empty()
            && self.removed_action_sessions.is_empty()
            && self.message_reads.is_empty()
            && self.failures.is_empty()
            && self.agent_contexts.is_empty()
            && self.idempotency.is_empty()
            && self.events.is_empty()
    }
}
