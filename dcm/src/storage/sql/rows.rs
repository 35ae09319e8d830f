//! From rows to the model, in the column order of `sql/shared`.

use super::value::{Row, Value};
use crate::api::actions::ActionSummary;
use crate::api::hierarchy::SubtaskNode;
use crate::error::Result;
use crate::model::{
    Action, AgentContext, Blocking, Compaction, Message, Project, Receipt, ReceiptState, Request,
    RequestStatus, Session, Subscription, Subtask, SubtaskStatus, Task, TaskStatus,
};
use crate::storage::state::{KnownAction, LaterSuccess, NewEvent};
use crate::time::Timestamp;

/// What a row becomes.
pub(super) trait FromRow: Sized {
    fn from_row(row: &mut Row) -> Result<Self>;
}

/// Every row of an answer.
pub(super) fn all<T: FromRow>(rows: Vec<Row>) -> Result<Vec<T>> {
    rows.into_iter().map(|mut row| T::from_row(&mut row)).collect()
}

/// The first row of an answer.
pub(super) fn first<T: FromRow>(rows: Vec<Row>) -> Result<Option<T>> {
    rows.into_iter().next().map(|mut row| T::from_row(&mut row)).transpose()
}

impl FromRow for Project {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            path: row.text(1)?,
            name: row.opt_text(2)?,
            created_at: row.time(3)?,
            updated_at: row.time(4)?,
            metadata: row.json(5)?,
        })
    }
}

impl FromRow for Session {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.text(0)?,
            project_id: row.opt_id(1)?,
            started_at: row.time(2)?,
            ended_at: row.opt_time(3)?,
            total_tools_used: row.opt_int32(4)?.unwrap_or(0),
            total_success: row.opt_int32(5)?.unwrap_or(0),
            total_errors: row.opt_int32(6)?.unwrap_or(0),
            created_automatically: row.boolean(7)?,
            last_seen_at: row.opt_time(8)?,
            ended_by_cleanup: row.boolean(9)?,
        })
    }
}

impl FromRow for Request {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            project_id: row.opt_id(1)?,
            session_id: row.text(2)?,
            prompt: row.text(3)?,
            prompt_type: row.opt_word(4)?,
            status: row.opt_word(5)?.unwrap_or(RequestStatus::Active),
            created_at: row.time(6)?,
            completed_at: row.opt_time(7)?,
            metadata: row.json(8)?,
            external_key: row.opt_text(9)?,
        })
    }
}

impl FromRow for Task {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            request_id: row.id(1)?,
            name: row.opt_text(2)?,
            wave_number: row.opt_int32(3)?.unwrap_or(0),
            status: row.opt_word(4)?.unwrap_or(TaskStatus::Pending),
            created_at: row.time(5)?,
            completed_at: row.opt_time(6)?,
        })
    }
}

impl FromRow for Subtask {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            task_list_id: row.id(1)?,
            agent_type: row.opt_text(2)?,
            agent_id: row.opt_text(3)?,
            description: row.opt_text(4)?,
            status: row.opt_word(5)?.unwrap_or(SubtaskStatus::Pending),
            blocked_by: row.opt_ids(6)?,
            created_at: row.time(7)?,
            started_at: row.opt_time(8)?,
            completed_at: row.opt_time(9)?,
            context_snapshot: row.opt_json(10)?,
            result: row.opt_json(11)?,
            external_key: row.opt_text(12)?,
        })
    }
}

impl FromRow for SubtaskNode {
    fn from_row(row: &mut Row) -> Result<Self> {
        let task = row.id(1)?;
        Ok(Self {
            id: row.id(0)?,
            task_list_id: task,
            task_id: task,
            agent_type: row.opt_text(2)?,
            agent_id: row.opt_text(3)?,
            description: row.opt_text(4)?,
            status: row.opt_word(5)?.unwrap_or(SubtaskStatus::Pending),
            blocked_by: row.opt_ids(6)?,
            created_at: row.time(7)?,
            started_at: row.opt_time(8)?,
            completed_at: row.opt_time(9)?,
            result: row.opt_json(10)?,
        })
    }
}

impl FromRow for ActionSummary {
    fn from_row(row: &mut Row) -> Result<Self> {
        let exit_code = row.opt_int32(3)?.unwrap_or(0);
        Ok(Self {
            id: row.id(0)?,
            tool_name: row.text(1)?,
            tool_type: row.word(2)?,
            exit_code,
            duration_ms: row.opt_int32(4)?,
            file_paths: row.texts(5)?,
            created_at: row.time(6)?,
            session_id: row.opt_text(7)?,
            subtask_id: row.opt_id(8)?,
            success: exit_code == 0,
        })
    }
}

impl FromRow for KnownAction {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            session_id: row.opt_text(1)?,
            tool_use_id: row.opt_text(2)?,
            subtask_id: row.opt_id(3)?,
            exit_code: row.opt_int32(4)?.unwrap_or(0),
            unanswered: row.boolean(5)?,
        })
    }
}

impl FromRow for LaterSuccess {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            session_id: row.text(0)?,
            tool_name: row.text(1)?,
            input: row.opt_bytes(2)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            file_paths: row.texts(3)?,
            created_at: row.time(4)?,
        })
    }
}

impl FromRow for Receipt {
    fn from_row(row: &mut Row) -> Result<Self> {
        let (injected_at, seen_at, acknowledged_at) = (row.opt_time(2)?, row.opt_time(4)?, row.opt_time(5)?);
        Ok(Self {
            message_id: row.id(0)?,
            agent_id: row.text(1)?,
            state: ReceiptState::of(injected_at, seen_at, acknowledged_at),
            injected_at,
            times_injected: row.opt_int32(3)?.unwrap_or(0),
            seen_at,
            acknowledged_at,
        })
    }
}

impl FromRow for Message {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            project_id: row.opt_id(1)?,
            from_agent: row.opt_text(2)?,
            to_agent: row.opt_text(3)?,
            topic: row.opt_text(4)?,
            content: row.json(5)?,
            priority: row.opt_int32(6)?.unwrap_or(0),
            created_at: row.time(7)?,
            expires_at: row.opt_time(8)?,
        })
    }
}

impl FromRow for Subscription {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            agent_id: row.text(1)?,
            topic: row.text(2)?,
            callback_url: row.opt_text(3)?,
            created_at: row.time(4)?,
            updated_at: row.time(5)?,
        })
    }
}

impl FromRow for Blocking {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            blocked_by: row.text(1)?,
            blocked_agent: row.text(2)?,
            reason: row.opt_text(3)?,
            created_at: row.time(4)?,
        })
    }
}

impl FromRow for AgentContext {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            project_id: row.opt_id(1)?,
            session_id: row.opt_text(2)?,
            subtask_id: row.opt_id(3)?,
            agent_id: row.text(4)?,
            agent_type: row.text(5)?,
            status: row.opt_word(6)?,
            role_context: row.json(7)?,
            skills_to_restore: row.texts(8)?,
            tools_used: row.texts(9)?,
            progress_summary: row.opt_text(10)?,
            started_at: row.opt_time(11)?,
            completed_at: row.opt_time(12)?,
            last_updated: row.opt_time(13)?.unwrap_or(Timestamp::from_micros(0)),
        })
    }
}

impl FromRow for Compaction {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            session_id: row.text(1)?,
            external_key: row.text(2)?,
            trigger: row.opt_text(3)?,
            summary: row.opt_text(4)?,
            metadata: row.json(5)?,
            created_at: row.time(6)?,
            snapshot: row.opt_json(7)?,
            agent_id: Some(row.text(8)?).filter(|agent| !agent.is_empty()),
        })
    }
}

/// What is written of a row, in the order of the columns.
pub(super) trait IntoCells {
    const COLUMNS: &'static [&'static str];
    fn into_cells(self) -> Vec<Value>;
}

macro_rules! into_cells {
    (|$row:ident: $type:ty| { $($column:literal = $value:expr,)+ }) => {
        impl IntoCells for $type {
            const COLUMNS: &'static [&'static str] = &[$($column),+];

            fn into_cells(self) -> Vec<Value> {
                let $row = self;
                vec![$(Value::from($value)),+]
            }
        }
    };
}

fn list<Id: Copy + Into<uuid::Uuid>>(ids: Option<&Vec<Id>>) -> Option<Vec<uuid::Uuid>> {
    ids.map(|ids| ids.iter().map(|id| (*id).into()).collect())
}

impl From<crate::id::SubtaskId> for uuid::Uuid {
    fn from(id: crate::id::SubtaskId) -> Self {
        id.as_uuid()
    }
}

into_cells! { |row: Project| {
    "id" = row.id,
    "path" = row.path,
    "name" = row.name,
    "created_at" = row.created_at,
    "updated_at" = row.updated_at,
    "metadata" = row.metadata,
} }

into_cells! { |row: Session| {
    "id" = row.id,
    "project_id" = row.project_id,
    "started_at" = row.started_at,
    "ended_at" = row.ended_at,
    "total_tools_used" = row.total_tools_used,
    "total_success" = row.total_success,
    "total_errors" = row.total_errors,
    "created_automatically" = row.created_automatically,
    "last_seen_at" = row.last_seen_at,
    "ended_by_cleanup" = row.ended_by_cleanup,
} }

/// A session that is found by the same as before.
pub(super) struct Touched(pub(super) Session);

into_cells! { |row: Touched| {
    "id" = row.0.id,
    "total_tools_used" = row.0.total_tools_used,
    "total_success" = row.0.total_success,
    "total_errors" = row.0.total_errors,
    "created_automatically" = row.0.created_automatically,
    "last_seen_at" = row.0.last_seen_at,
    "ended_by_cleanup" = row.0.ended_by_cleanup,
} }

into_cells! { |row: Request| {
    "id" = row.id,
    "project_id" = row.project_id,
    "session_id" = row.session_id,
    "prompt" = row.prompt,
    "prompt_type" = row.prompt_type,
    "status" = row.status,
    "created_at" = row.created_at,
    "completed_at" = row.completed_at,
    "metadata" = row.metadata,
    "external_key" = row.external_key,
} }

into_cells! { |row: Task| {
    "id" = row.id,
    "request_id" = row.request_id,
    "name" = row.name,
    "wave_number" = row.wave_number,
    "status" = row.status,
    "created_at" = row.created_at,
    "completed_at" = row.completed_at,
} }

/// A subtask with the session it belongs to.
pub(super) struct OfSession(pub(super) Subtask, pub(super) Option<String>);

into_cells! { |row: OfSession| {
    "id" = row.0.id,
    "task_list_id" = row.0.task_list_id,
    "agent_type" = row.0.agent_type,
    "agent_id" = row.0.agent_id,
    "description" = row.0.description,
    "status" = row.0.status,
    "blocked_by" = list(row.0.blocked_by.as_ref()),
    "created_at" = row.0.created_at,
    "started_at" = row.0.started_at,
    "completed_at" = row.0.completed_at,
    "context_snapshot" = row.0.context_snapshot,
    "result" = row.0.result,
    "external_key" = row.0.external_key,
    "session_id" = row.1,
} }

into_cells! { |row: Subscription| {
    "id" = row.id,
    "agent_id" = row.agent_id,
    "topic" = row.topic,
    "callback_url" = row.callback_url,
    "created_at" = row.created_at,
    "updated_at" = row.updated_at,
} }

into_cells! { |row: Blocking| {
    "id" = row.id,
    "blocked_by" = row.blocked_by,
    "blocked_agent" = row.blocked_agent,
    "reason" = row.reason,
    "created_at" = row.created_at,
} }

into_cells! { |row: Compaction| {
    "id" = row.id,
    "session_id" = row.session_id,
    "external_key" = row.external_key,
    "compaction_trigger" = row.trigger,
    "summary" = row.summary,
    "metadata" = row.metadata,
    "created_at" = row.created_at,
    "snapshot" = row.snapshot,
    "agent_id" = row.agent_id.unwrap_or_default(),
} }

into_cells! { |row: AgentContext| {
    "id" = row.id,
    "project_id" = row.project_id,
    "session_id" = row.session_id,
    "subtask_id" = row.subtask_id,
    "agent_id" = row.agent_id,
    "agent_type" = row.agent_type,
    "role_context" = row.role_context,
    "progress_summary" = row.progress_summary,
    "status" = row.status,
    "started_at" = row.started_at,
    "completed_at" = row.completed_at,
    "last_updated" = row.last_updated,
} }

into_cells! { |row: Message| {
    "id" = row.id,
    "project_id" = row.project_id,
    "from_agent_id" = row.from_agent,
    "to_agent_id" = row.to_agent,
    "message_type" = row.topic.clone().unwrap_or_default(),
    "topic" = row.topic,
    "payload" = row.content,
    "priority" = row.priority,
    "created_at" = row.created_at,
    "expires_at" = row.expires_at,
} }

into_cells! { |row: Receipt| {
    "message_id" = row.message_id,
    "agent_id" = row.agent_id,
    "injected_at" = row.injected_at,
    "times_injected" = row.times_injected,
    "seen_at" = row.seen_at,
    "acknowledged_at" = row.acknowledged_at,
} }

/// An action with the time at which it is recorded.
pub(super) struct RecordedAt(pub(super) Action, pub(super) Timestamp);

into_cells! { |row: RecordedAt| {
    "id" = row.0.id,
    "subtask_id" = row.0.subtask_id,
    "session_id" = row.0.session_id,
    "tool_use_id" = row.0.tool_use_id,
    "tool_name" = row.0.tool_name,
    "tool_type" = row.0.tool_type,
    "input" = row.0.input.map(String::into_bytes),
    "output" = row.0.output.map(String::into_bytes),
    "file_paths" = row.0.file_paths,
    "exit_code" = row.0.exit_code,
    "duration_ms" = row.0.duration_ms,
    "created_at" = row.0.created_at,
    "recorded_at" = row.1,
    "metadata" = row.0.metadata,
} }

/// An event with its place: 0 for the last of the batch, -1 for the one before, and so on.
pub(super) struct Placed(pub(super) NewEvent, pub(super) i64);

into_cells! { |row: Placed| {
    "place" = row.1,
    "event_id" = row.0.id,
    "name" = row.0.name,
    "happened_at" = row.0.at,
    "channels" = row.0.channels,
    "data" = row.0.data,
    "summary" = row.0.summary,
} }
