//! What a batch must see: from its footprint to queries, and from their rows to the state.

use std::collections::BTreeSet;

use serde_json::json;

use super::rows::FromRow;
use super::value::{Row, Statement, Value};
use crate::error::Result;
use crate::model::{
    Blocking, Compaction, Message, Project, Receipt, Request, Session, Subscription, Subtask, Task,
};
use crate::storage::state::{Footprint, KnownAction, LaterSuccess, Remembered, State, Tally};
use crate::time::Timestamp;

fn texts<'a>(items: impl IntoIterator<Item = &'a String>) -> Value {
    Value::Texts(items.into_iter().cloned().collect())
}

fn uuids<Id: Copy>(items: &BTreeSet<Id>, uuid: fn(Id) -> uuid::Uuid) -> Value {
    if items.is_empty() { Value::Null } else { Value::Uuids(items.iter().map(|id| uuid(*id)).collect()) }
}

/// A list parameter; absent when there is nothing in it, so that the query's line is left out.
pub(super) fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> Value {
    match texts(items) {
        Value::Texts(items) if items.is_empty() => Value::Null,
        value => value,
    }
}

fn firsts(pairs: &BTreeSet<(String, String)>) -> Value {
    list(pairs.iter().map(|(first, _)| first).collect::<BTreeSet<_>>())
}

/// Both members of every pair, each in a list, in the same order.
fn halves(pairs: &BTreeSet<(String, String)>) -> (Value, Value) {
    (list(pairs.iter().map(|(first, _)| first)), list(pairs.iter().map(|(_, second)| second)))
}

/// Every pair as a JSON array: where lists are JSON, only so two members can be told to belong together.
fn json_pairs(pairs: &BTreeSet<(String, String)>) -> Value {
    list(&pairs.iter().map(|pair| json!(pair).to_string()).collect::<Vec<_>>())
}

fn seconds(pairs: &BTreeSet<(String, String)>) -> Value {
    list(pairs.iter().map(|(_, second)| second).collect::<BTreeSet<_>>())
}

/// The names of the locks of a batch, besides those of the sessions that its rows belong to.
fn lock_names(footprint: &Footprint) -> Vec<String> {
    let mut names = BTreeSet::new();
    names.extend(footprint.projects.iter().map(|id| format!("project:{id}")));
    names.extend(footprint.project_paths.iter().map(|path| format!("path:{path}")));
    let sessions =
        footprint.sessions.iter().chain(footprint.newest_requests.keys()).chain(&footprint.session_requests);
    names.extend(sessions.chain(&footprint.action_sessions).map(|id| format!("session:{id}")));
    names.extend(footprint.request_keys.iter().map(|(session, _)| format!("session:{session}")));
    names.extend(footprint.mail.iter().map(|agent| format!("inbox:{agent}")));
    names.extend(footprint.receipts.iter().map(|(_, agent)| format!("inbox:{agent}")));
    names.extend(footprint.message_reads.iter().map(|(_, agent)| format!("inbox:{agent}")));
    names.extend(
        footprint.subscription_pairs.iter().map(|(agent, topic)| format!("subscription:{agent}:{topic}")),
    );
    names.extend(footprint.subscriptions.iter().map(|id| format!("subscription:{id}")));
    names.extend(footprint.blocking_pairs.iter().map(|(by, agent)| format!("blocking:{by}:{agent}")));
    names.extend(footprint.blockings.iter().map(|id| format!("blocking:{id}")));
    names.extend(footprint.idempotency_keys.iter().map(|key| format!("key:{key}")));
    names.extend(footprint.actions.iter().map(|id| format!("action:{id}")));
    names.into_iter().collect()
}

/// A statement that fails when agents of the types that are named here are at work.
pub(super) fn expect_nobody_at_work(types: &BTreeSet<String>) -> Option<Statement> {
    (!types.is_empty()).then(|| Statement::new("expect_nobody_at_work").with("agents", list(types)))
}

/// A kind of row that is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Locks,
    Projects,
    Sessions,
    Requests,
    Tasks,
    Subtasks,
    Actions,
    LaterSuccesses,
    RemovedActions,
    ActionCounts,
    Messages,
    MessageReads,
    KnownAgents,
    OpenAgents,
    Subscriptions,
    Blockings,
    Compactions,
    HookStates,
    SubtaskActions,
    StuckSubtasks,
    Mail,
    ReadMail,
    Receipts,
    Senders,
    Remembered,
}

/// The queries for `footprint`; only those that have something to look for or, where there are `locks`, to lock. Names
/// in `heard_of` are known.
#[expect(clippy::too_many_lines, reason = "one entry for each kind of row, and nothing else")]
pub(super) fn load(
    footprint: &Footprint,
    heard_of: &BTreeSet<String>,
    now: Timestamp,
    locks: bool,
) -> Vec<(Load, Statement)> {
    use crate::id::{
        ActionId, BlockingId, MessageId, ProjectId, RequestId, SubscriptionId, SubtaskId, TaskId,
    };
    let f = footprint;
    let projects = uuids(&f.projects, ProjectId::as_uuid);
    let requests = uuids(&f.requests, RequestId::as_uuid);
    let tasks = uuids(&f.tasks, TaskId::as_uuid);
    let subtasks = uuids(&f.subtasks, SubtaskId::as_uuid);
    let paths: BTreeSet<&String> = f.project_paths.union(&f.found_paths).collect();
    let newest = list(f.newest_requests.keys());
    let newest_before = f.newest_requests.values().min().copied();
    let mut loads = Vec::new();
    // Most batches want few of them, so only those are made.
    let mut add = |kind, wanted: bool, make: &dyn Fn() -> Statement| {
        if wanted {
            loads.push((kind, make()));
        }
    };
    if locks {
        let names = lock_names(f);
        let trees = [&requests, &tasks, &subtasks, &projects];
        let wanted = !names.is_empty() || trees.into_iter().any(|ids| *ids != Value::Null);
        let lock = || {
            Statement::new("lock_keys")
                .with("names", names.clone())
                .with("requests", requests.clone())
                .with("tasks", tasks.clone())
                .with("subtasks", subtasks.clone())
                .with("projects", projects.clone())
        };
        add(Load::Locks, wanted, &lock);
    }
    add(Load::Projects, !(f.projects.is_empty() && paths.is_empty()), &|| {
        Statement::new("load_projects")
            .with("projects", projects.clone())
            .with("paths", list(paths.iter().copied()))
    });
    add(
        Load::Sessions,
        !(f.sessions.is_empty() && f.requests.is_empty() && f.tasks.is_empty() && f.subtasks.is_empty()),
        &|| {
            Statement::new("load_sessions")
                .with("sessions", list(&f.sessions))
                .with("requests", requests.clone())
                .with("tasks", tasks.clone())
                .with("subtasks", subtasks.clone())
        },
    );
    let keyed = !f.request_keys.is_empty();
    let by_subtask_key = !f.subtask_keys.is_empty();
    let by_tree =
        !f.tasks.is_empty() || !f.subtasks.is_empty() || by_subtask_key || !f.newest_requests.is_empty();
    add(
        Load::Requests,
        by_tree || keyed || !f.requests.is_empty() || !f.session_requests.is_empty(),
        &|| {
            Statement::new("load_requests")
                .with("requests", requests.clone())
                .with("tasks", tasks.clone())
                .with("subtasks", subtasks.clone())
                .with("request_key_sessions", firsts(&f.request_keys))
                .with("request_keys", seconds(&f.request_keys))
                .with("subtask_key_sessions", firsts(&f.subtask_keys))
                .with("subtask_keys", seconds(&f.subtask_keys))
                .with("newest", newest.clone())
                .with("newest_before", newest_before)
                .with("session_requests", list(&f.session_requests))
        },
    );
    let keyed_tasks = f.tasks_of_keyed_requests && keyed;
    let request_keys = if keyed_tasks { seconds(&f.request_keys) } else { Value::Null };
    add(Load::Tasks, by_tree || keyed_tasks, &|| {
        Statement::new("load_tasks")
            .with("tasks", tasks.clone())
            .with("subtasks", subtasks.clone())
            .with("subtask_key_sessions", firsts(&f.subtask_keys))
            .with("subtask_keys", seconds(&f.subtask_keys))
            .with("request_key_sessions", firsts(&f.request_keys))
            .with("request_keys", request_keys.clone())
            .with("newest", newest.clone())
            .with("newest_before", newest_before)
    });
    add(Load::Subtasks, !f.subtasks.is_empty() || by_subtask_key || !f.newest_requests.is_empty(), &|| {
        Statement::new("load_subtasks")
            .with("subtasks", subtasks.clone())
            .with("subtask_key_sessions", firsts(&f.subtask_keys))
            .with("subtask_keys", seconds(&f.subtask_keys))
            .with("newest", newest.clone())
            .with("newest_before", newest_before)
    });
    add(Load::Actions, !(f.actions.is_empty() && f.action_keys.is_empty()), &|| {
        let action_keys = halves(&f.action_keys);
        Statement::new("load_actions")
            .with("actions", uuids(&f.actions, ActionId::as_uuid))
            .with("action_key_sessions", action_keys.0)
            .with("action_keys", action_keys.1)
            .with("action_key_pairs", json_pairs(&f.action_keys))
    });
    // Session by session, as each has an instant of its own; there is one only where a failure is told.
    for (session, since) in &f.later_successes {
        add(Load::LaterSuccesses, true, &|| {
            Statement::new("load_later_successes").with("session_id", session.clone()).with("since", *since)
        });
    }
    add(Load::RemovedActions, !f.action_keys.is_empty(), &|| {
        Statement::new("load_removed_actions").with("sessions", firsts(&f.action_keys))
    });
    add(Load::ActionCounts, !f.action_sessions.is_empty(), &|| {
        Statement::new("load_action_counts").with("action_sessions", list(&f.action_sessions))
    });
    add(Load::Messages, !f.messages.is_empty(), &|| {
        Statement::new("load_messages").with("messages", uuids(&f.messages, MessageId::as_uuid))
    });
    let read_messages: BTreeSet<MessageId> = f.message_reads.iter().map(|(id, _)| *id).collect();
    let readers: BTreeSet<&String> = f.message_reads.iter().map(|(_, agent)| agent).collect();
    add(Load::MessageReads, !f.message_reads.is_empty(), &|| {
        Statement::new("load_message_reads")
            .with("messages", uuids(&read_messages, MessageId::as_uuid))
            .with("agents", texts(readers.iter().copied()))
    });
    let unsure: Vec<&String> = f.agents.difference(heard_of).collect();
    add(Load::KnownAgents, !unsure.is_empty(), &|| {
        Statement::new("load_known_agents").with("agents", texts(unsure.iter().copied()))
    });
    add(Load::OpenAgents, !f.agents.is_empty(), &|| {
        Statement::new("load_open_agents").with("agents", texts(&f.agents))
    });
    add(Load::Subscriptions, !(f.subscriptions.is_empty() && f.subscription_pairs.is_empty()), &|| {
        Statement::new("load_subscriptions")
            .with("subscriptions", uuids(&f.subscriptions, SubscriptionId::as_uuid))
            .with("agents", firsts(&f.subscription_pairs))
            .with("topics", seconds(&f.subscription_pairs))
    });
    add(Load::Blockings, !(f.blockings.is_empty() && f.blocking_pairs.is_empty()), &|| {
        Statement::new("load_blockings")
            .with("blockings", uuids(&f.blockings, BlockingId::as_uuid))
            .with("blockers", firsts(&f.blocking_pairs))
            .with("blocked", seconds(&f.blocking_pairs))
    });
    add(Load::Compactions, !f.session_compactions.is_empty(), &|| {
        Statement::new("load_compactions").with("sessions", list(&f.session_compactions))
    });
    add(Load::Compactions, !f.newest_snapshots.is_empty(), &|| {
        Statement::new("load_newest_snapshots")
            .with("sessions", firsts(&f.newest_snapshots))
            .with("agents", seconds(&f.newest_snapshots))
    });
    add(Load::HookStates, !f.hook_states.is_empty(), &|| {
        Statement::new("load_hook_states").with("sessions", list(&f.hook_states))
    });
    add(Load::SubtaskActions, !f.subtask_actions.is_empty(), &|| {
        Statement::new("load_subtask_action_counts")
            .with("subtasks", uuids(&f.subtask_actions, SubtaskId::as_uuid))
    });
    let heard_before = f.stuck_subtasks.values().min().copied();
    let stuck: BTreeSet<SubtaskId> = f.stuck_subtasks.keys().copied().collect();
    add(Load::StuckSubtasks, !stuck.is_empty(), &|| {
        Statement::new("find_stuck_subtasks")
            .with("subtasks", uuids(&stuck, SubtaskId::as_uuid))
            .with("before", heard_before)
            .with("limit", u32::try_from(stuck.len()).unwrap_or(u32::MAX))
    });
    let everybody = !f.mail.is_empty();
    let mail = |query| {
        Statement::new(query)
            .with("agents", list(&f.mail))
            .with("kinds", list(&f.mail_kinds))
            .with("now", now)
    };
    add(Load::Mail, everybody, &|| mail("load_mail"));
    add(Load::ReadMail, everybody, &|| mail("load_read_mail"));
    let receipt_messages: BTreeSet<MessageId> = f.receipts.iter().map(|(id, _)| *id).collect();
    let receipt_agents: BTreeSet<&String> = f.receipts.iter().map(|(_, agent)| agent).collect();
    add(Load::Receipts, everybody || !f.receipts.is_empty(), &|| {
        Statement::new("load_receipts")
            .with("agents", list(&f.mail))
            .with("messages", uuids(&receipt_messages, MessageId::as_uuid))
            .with("receivers", list(receipt_agents.iter().copied()))
    });
    add(Load::Senders, !f.senders.is_empty(), &|| {
        Statement::new("load_senders").with("agents", list(&f.senders))
    });
    add(Load::Remembered, !f.idempotency_keys.is_empty(), &|| {
        Statement::new("load_idempotency").with("keys", list(&f.idempotency_keys))
    });
    loads
}

fn tally(row: &mut Row, from: usize) -> Result<Tally> {
    Ok(Tally { total: row.int(from)?, open: row.int(from + 1)?, failed: row.int(from + 2)?, max_wave: None })
}

/// Puts the rows of one query into the state.
pub(super) fn fill(state: &mut State, kind: Load, rows: Vec<Row>) -> Result<()> {
    for mut row in rows {
        let row = &mut row;
        match kind {
            Load::Locks => {}
            Load::Projects => state.load_project(Project::from_row(row)?),
            Load::Sessions => state.load_session(Session::from_row(row)?),
            Load::Requests => {
                let request = Request::from_row(row)?;
                let mut tally = tally(row, 10)?;
                tally.max_wave = row.opt_int32(13)?;
                state.request_tallies.load(request.id, tally);
                state.load_request(request);
            }
            Load::Tasks => {
                let task = Task::from_row(row)?;
                state.task_tallies.load(task.id, tally(row, 7)?);
                state.tasks.load(task.id, task);
            }
            Load::Subtasks => {
                let subtask = Subtask::from_row(row)?;
                let session = row.opt_text(13)?;
                state.load_subtask(session.as_deref(), subtask);
            }
            Load::Actions => state.load_action(KnownAction::from_row(row)?),
            Load::LaterSuccesses => state.later_successes.push(LaterSuccess::from_row(row)?),
            Load::RemovedActions => {
                state.removed_actions.insert(row.text(0)?, row.time(1)?);
            }
            Load::ActionCounts => {
                state.action_counts.insert(row.text(0)?, row.int(1)?);
            }
            Load::Messages => {
                let message = Message::from_row(row)?;
                state.messages.load(message.id, message);
            }
            Load::MessageReads | Load::ReadMail => {
                let mark = (row.id(0)?, row.text(1)?);
                state.message_reads.load(mark, row.time(2)?);
            }
            Load::KnownAgents => {
                state.known_agents.insert(row.text(0)?);
            }
            Load::OpenAgents => {
                state.open_agents.push((row.text(0)?, row.text(1)?, row.opt_id(2)?));
            }
            Load::Subscriptions => {
                let subscription = Subscription::from_row(row)?;
                state.subscriptions.load(subscription.id, subscription);
            }
            Load::Blockings => {
                let blocking = Blocking::from_row(row)?;
                state.blockings.load(blocking.id, blocking);
            }
            Load::Compactions => {
                let compaction = Compaction::from_row(row)?;
                state.compactions.load(compaction.id, compaction);
            }
            Load::HookStates => {
                let session = row.text(0)?;
                let hooks = serde_json::from_str(row.json(1)?.as_str()).unwrap_or_default();
                state.hooks.load(session, hooks);
            }
            Load::SubtaskActions => {
                state.subtask_action_counts.insert(row.id(0)?, row.int(1)?);
            }
            Load::StuckSubtasks => {
                state.stuck_subtasks.insert(row.id(0)?);
            }
            Load::Mail => {
                let message = Message::from_row(row)?;
                state.mail.insert(message.id);
                state.messages.load(message.id, message);
            }
            Load::Receipts => {
                let receipt = Receipt::from_row(row)?;
                state.receipts.load((receipt.message_id, receipt.agent_id.clone()), receipt);
            }
            Load::Senders => {
                state.known_senders.insert(row.text(0)?);
            }
            Load::Remembered => {
                let key = row.text(0)?;
                let remembered = Remembered { fingerprint: row.text(1)?, outcome: row.text(2)? };
                state.remembered.load(key, remembered);
            }
        }
    }
    Ok(())
}
