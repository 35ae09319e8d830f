//! What a batch of commands needs to see before it can be decided.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ActionId, BlockingId, MessageId, ProjectId, RequestId, SubscriptionId, SubtaskId, TaskId};
use crate::time::Timestamp;

/// What a batch of commands needs to see before it can be decided.
///
/// A store loads the rows that are named here and what they hang on: a subtask brings its task, a task its request,
/// each of them with its [`Tally`](super::Tally), and a request its session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Projects by id.
    pub projects: BTreeSet<ProjectId>,
    /// Projects by path, to be changed: nobody else decides on them at the same time.
    pub project_paths: BTreeSet<String>,
    /// Projects by path, to be found, or made when there is none: of two that are made at once a store refuses one,
    /// whose batch is then decided again.
    pub found_paths: BTreeSet<String>,
    /// Sessions by id.
    pub sessions: BTreeSet<String>,
    /// Requests by id.
    pub requests: BTreeSet<RequestId>,
    /// Requests by session and external key.
    pub request_keys: BTreeSet<(String, String)>,
    /// Sessions whose newest request at (or before) the instant is needed, and all later ones.
    pub newest_requests: BTreeMap<String, Timestamp>,
    /// Sessions all of whose requests are needed.
    pub session_requests: BTreeSet<String>,
    /// Tasks by id.
    pub tasks: BTreeSet<TaskId>,
    /// Whether the tasks of the requests that are found by key are needed too.
    pub tasks_of_keyed_requests: bool,
    /// Subtasks by id.
    pub subtasks: BTreeSet<SubtaskId>,
    /// Subtasks by session and external key.
    pub subtask_keys: BTreeSet<(String, String)>,
    /// Actions by id.
    pub actions: BTreeSet<ActionId>,
    /// Actions by session and tool use id.
    pub action_keys: BTreeSet<(String, String)>,
    /// Sessions whose successful tool calls since the instant are needed: what is told late may be mended already.
    pub later_successes: BTreeMap<String, Timestamp>,
    /// Sessions whose actions are counted.
    pub action_sessions: BTreeSet<String>,
    /// Messages by id.
    pub messages: BTreeSet<MessageId>,
    /// Reading marks by message and agent.
    pub message_reads: BTreeSet<(MessageId, String)>,
    /// Names of which must be known whether anything was ever heard of them, and which agents of that type are at work.
    pub agents: BTreeSet<String>,
    /// Subscriptions by id.
    pub subscriptions: BTreeSet<SubscriptionId>,
    /// Subscriptions by agent and topic.
    pub subscription_pairs: BTreeSet<(String, String)>,
    /// Blockings by id.
    pub blockings: BTreeSet<BlockingId>,
    /// Blockings by blocker and blocked.
    pub blocking_pairs: BTreeSet<(String, String)>,
    /// Sessions all of whose compactions are needed.
    pub session_compactions: BTreeSet<String>,
    /// Of each of these sessions and agents (the main agent's name is empty) the newest snapshot, and the newest
    /// compaction that is none.
    pub newest_snapshots: BTreeSet<(String, String)>,
    /// Sessions of which must be known what their hooks told, and what waits for them.
    pub hook_states: BTreeSet<String>,
    /// Subtasks whose actions are counted.
    pub subtask_actions: BTreeSet<SubtaskId>,
    /// Subtasks of which must be known whether they are running and nothing was heard of them since the instant; the
    /// earliest instant counts for all.
    pub stuck_subtasks: BTreeMap<SubtaskId, Timestamp>,
    /// Agents whose unread mail is needed, with the receipts of what they were told and have not seen.
    pub mail: BTreeSet<String>,
    /// Kinds of agents whose mail is needed too.
    pub mail_kinds: BTreeSet<String>,
    /// Agents of which must be known whether they ever wrote.
    pub senders: BTreeSet<String>,
    /// Receipts by message and agent.
    pub receipts: BTreeSet<(MessageId, String)>,
    /// Idempotency keys.
    pub idempotency_keys: BTreeSet<String>,
    /// Commands of the same sequence are committed in the order in which they were given; no lock, nothing to load.
    pub sequence: Option<String>,
}
