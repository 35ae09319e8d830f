//! What a batch decided: from its changes to statements.

use super::rows::{IntoCells, OfSession, Placed, RecordedAt, Touched};
use super::value::Statement;
use crate::json::JsonObject;
use crate::storage::brief::FailureChange;
use crate::storage::state::Changes;

fn removed<K: Copy>(
    statements: &mut Vec<Statement>,
    query: &'static str,
    ids: &[K],
    uuid: fn(K) -> uuid::Uuid,
) {
    if !ids.is_empty() {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| uuid(*id)).collect();
        statements.push(Statement::new(query).with("ids", ids));
    }
}

fn written<R: IntoCells>(statements: &mut Vec<Statement>, query: &'static str, rows: Vec<R>) {
    if !rows.is_empty() {
        let rows = rows.into_iter().map(IntoCells::into_cells).collect();
        statements.push(Statement::bulk(query, R::COLUMNS, rows));
    }
}

fn failures(statements: &mut Vec<Statement>, failures: Vec<((String, String), FailureChange)>) {
    let (mut mended, mut noted) = (Vec::new(), Vec::new());
    for ((session, subject), change) in failures {
        if let Some(at) = change.mended_at {
            mended.push(vec![(&session).into(), (&subject).into(), at.into()]);
        }
        if let Some(failed) = change.failed {
            noted.push(vec![
                session.into(),
                subject.into(),
                failed.action_id.into(),
                failed.tool_name.into(),
                failed.attempt.into(),
                failed.detail.into(),
                failed.exit_code.into(),
                failed.times.into(),
                failed.failed_at.into(),
            ]);
        }
    }
    if !mended.is_empty() {
        let columns = &["session_id", "subject", "mended_at"];
        statements.push(Statement::bulk("mend_failures", columns, mended));
    }
    if !noted.is_empty() {
        let columns = &[
            "session_id",
            "subject",
            "action_id",
            "tool_name",
            "attempt",
            "detail",
            "exit_code",
            "times",
            "failed_at",
        ];
        statements.push(Statement::bulk("note_failures", columns, noted));
    }
}

/// The statements that write `changes` in the attempt of that number: what goes first, then parents before children, and
/// the log last, in one statement or two.
pub(super) fn flush(changes: Changes, attempt: i64, events_in_one: bool) -> Vec<Statement> {
    use crate::id::{
        ActionId, BlockingId, MessageId, ProjectId, RequestId, SubscriptionId, SubtaskId, TaskId,
    };
    let mut s = Vec::new();
    let now = changes.now;
    removed(&mut s, "delete_actions", &changes.removed_actions, ActionId::as_uuid);
    if !changes.removed_action_sessions.is_empty() {
        s.push(Statement::new("delete_actions_of_sessions").with("ids", changes.removed_action_sessions));
    }
    removed(&mut s, "delete_messages", &changes.messages.removed, MessageId::as_uuid);
    removed(&mut s, "delete_subscriptions", &changes.subscriptions.removed, SubscriptionId::as_uuid);
    removed(&mut s, "delete_blockings", &changes.blockings.removed, BlockingId::as_uuid);
    removed(&mut s, "delete_subtasks", &changes.subtasks.removed, SubtaskId::as_uuid);
    removed(&mut s, "delete_tasks", &changes.tasks.removed, TaskId::as_uuid);
    removed(&mut s, "delete_requests", &changes.requests.removed, RequestId::as_uuid);
    if !changes.sessions.removed.is_empty() {
        s.push(Statement::new("delete_sessions").with("ids", changes.sessions.removed));
    }
    removed(&mut s, "delete_projects", &changes.projects.removed, ProjectId::as_uuid);
    written(&mut s, "write_projects", changes.projects.written);
    let touched = &changes.touched_sessions;
    let (touched, whole): (Vec<_>, Vec<_>) =
        changes.sessions.written.into_iter().partition(|session| touched.contains(&session.id));
    written(&mut s, "write_sessions", whole);
    written(&mut s, "touch_sessions", touched.into_iter().map(Touched).collect());
    written(&mut s, "write_requests", changes.requests.written);
    written(&mut s, "write_tasks", changes.tasks.written);
    let mut sessions = changes.subtask_sessions;
    let subtasks = changes.subtasks.written.into_iter();
    let subtasks = subtasks.map(|subtask| {
        let session = sessions.remove(&subtask.id);
        OfSession(subtask, session)
    });
    written(&mut s, "write_subtasks", subtasks.collect());
    if !changes.action_owners.is_empty() {
        let owners =
            changes.action_owners.into_iter().map(|(id, owner)| vec![id.into(), owner.into()]).collect();
        s.push(Statement::bulk("own_actions", &["id", "subtask_id"], owners));
    }
    if !changes.action_answers.is_empty() {
        let answers = changes.action_answers.into_iter().map(|(id, answer)| {
            let output = answer.output.map(String::into_bytes);
            vec![id.into(), answer.exit_code.into(), output.into(), answer.duration_ms.into()]
        });
        let columns = &["id", "exit_code", "output", "duration_ms"];
        s.push(Statement::bulk("answer_actions", columns, answers.collect()));
    }
    let actions = changes.actions.into_iter().map(|action| RecordedAt(action, now)).collect();
    written(&mut s, "insert_actions", actions);
    failures(&mut s, changes.failures);
    written(&mut s, "insert_messages", changes.messages.written);
    if !changes.message_reads.is_empty() {
        let marks =
            changes.message_reads.into_iter().map(|(id, agent, at)| vec![id.into(), agent.into(), at.into()]);
        s.push(Statement::bulk(
            "insert_message_reads",
            &["message_id", "agent_id", "read_at"],
            marks.collect(),
        ));
    }
    written(&mut s, "write_subscriptions", changes.subscriptions.written);
    written(&mut s, "write_blockings", changes.blockings.written);
    written(&mut s, "write_compactions", changes.compactions.written);
    if !changes.hooks.is_empty() {
        let states = changes.hooks.into_iter().map(|(session, hooks)| {
            // A state that cannot be written would be a mistake of this program; an empty one loses only what waits.
            let text = serde_json::to_string(&hooks).unwrap_or_else(|_| "{}".to_owned());
            vec![session.into(), JsonObject::from_stored(text).into(), now.into()]
        });
        let columns = &["session_id", "state", "updated_at"];
        s.push(Statement::bulk("write_hook_states", columns, states.collect()));
    }
    written(&mut s, "write_receipts", changes.receipts);
    written(&mut s, "write_agent_contexts", changes.agent_contexts);
    if !changes.idempotency.is_empty() {
        let kept = changes
            .idempotency
            .into_iter()
            .map(|(key, kept)| vec![key.into(), kept.fingerprint.into(), kept.outcome.into(), now.into()]);
        let columns = &["idempotency_key", "fingerprint", "outcome", "created_at"];
        s.push(Statement::bulk("insert_idempotency", columns, kept.collect()));
    }
    if !changes.events.is_empty() {
        let count = i64::try_from(changes.events.len()).unwrap_or(i64::MAX);
        if !events_in_one {
            s.push(Statement::new("advance_log").with("count", count));
        }
        let placed = changes.events.into_iter().zip(1 - count..);
        let rows = placed.map(|(event, place)| Placed(event, place).into_cells()).collect();
        let events = Statement::bulk("insert_events", Placed::COLUMNS, rows);
        s.push(events.with("count", count).with("attempt", attempt));
    }
    s
}

/// `writes` as one statement that is a whole transaction; they come back where they are more than messages and events.
///
/// A message of a project would have to wait for the project's row while it holds the head of the log.
pub(super) fn alone(mut writes: Vec<Statement>) -> Result<Statement, Vec<Statement>> {
    let is_one = match &writes[..] {
        [events] => events.query == "insert_events",
        [messages, events] => {
            events.query == "insert_events"
                && messages.query == "insert_messages"
                && messages.bulk.iter().all(|bulk| bulk.is_without("project_id"))
        }
        _ => false,
    };
    let Some(mut events) = writes.pop_if(|_| is_one) else { return Err(writes) };
    events.bulk.extend(writes.into_iter().flat_map(|messages| messages.bulk));
    Ok(events.alone())
}
