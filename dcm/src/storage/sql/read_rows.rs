//! Rows of the reading half made into what the API shows.

use super::rows::FromRow;
use super::value::Row;
use crate::api::actions::HourCount;
use crate::api::compact::CompactionEntry;
use crate::api::context::{
    ContextAction, ContextBlocking, ContextMessage, ContextProject, ContextSession, ContextTask,
};
use crate::api::hierarchy::ActiveAgent;
use crate::api::sessions::SessionsOfProject;
use crate::error::Result;
use crate::model::{KeywordScore, Message, ProjectStats, RequestStatus};
use crate::storage::Metrics;
use crate::time::Timestamp;

impl FromRow for ProjectStats {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            project_id: row.id(0)?,
            project_name: row.opt_text(1)?,
            path: row.text(2)?,
            total_requests: row.int(3)?,
            total_subtasks: row.int(4)?,
            total_actions: row.int(5)?,
            successful_actions: row.opt_int(6)?.unwrap_or(0),
            avg_duration_ms: row.float(7)?,
            last_activity: row.opt_time(8)?,
        })
    }
}

impl FromRow for ActiveAgent {
    fn from_row(row: &mut Row) -> Result<Self> {
        let description = row.opt_text(9)?;
        Ok(Self {
            project_id: row.opt_id(0)?,
            project_name: row.opt_text(1)?,
            project_path: row.opt_text(2)?,
            session_id: row.text(3)?,
            request_id: row.id(4)?,
            subtask_id: row.id(5)?,
            agent_type: row.opt_text(6)?,
            agent_id: row.opt_text(7)?,
            status: row.word(8)?,
            current_task: description.clone(),
            description,
            created_at: row.time(10)?,
            started_at: row.opt_time(11)?,
            actions_count: row.int(12)?,
        })
    }
}

impl FromRow for HourCount {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { hour: row.time(0)?, count: row.int(1)? })
    }
}

impl FromRow for SessionsOfProject {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            project_name: row.opt_text(0)?,
            project_path: row.opt_text(1)?,
            session_count: row.int(2)?,
            total_tools: row.opt_int(3)?.unwrap_or(0),
        })
    }
}

impl FromRow for KeywordScore {
    fn from_row(row: &mut Row) -> Result<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "scores are single precision, between 0.1 and 5")]
        let score = |score: f64| score as f32;
        Ok(Self {
            keyword: row.text(0)?,
            tool_name: row.text(1)?,
            tool_type: row.word(2)?,
            score: score(row.float(3)?),
            usage_count: row.opt_int32(4)?.unwrap_or(0),
            success_count: row.opt_int32(5)?.unwrap_or(0),
            last_used: row.opt_time(6)?.unwrap_or(Timestamp::from_micros(0)),
        })
    }
}

impl FromRow for CompactionEntry {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            trigger: row.opt_text(1)?,
            is_snapshot: row.boolean(2)?,
            has_summary: row.boolean(3)?,
            created_at: row.time(4)?,
            agent_id: Some(row.text(5)?).filter(|agent| !agent.is_empty()),
        })
    }
}

impl FromRow for ContextTask {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            description: row.opt_text(1)?,
            status: row.word(2)?,
            agent_type: row.opt_text(3)?,
            created_at: row.time(4)?,
            started_at: row.opt_time(5)?,
            blocked_by: row.opt_ids(6)?,
            task_name: row.opt_text(7)?,
            wave_number: row.opt_int32(8)?,
        })
    }
}

impl FromRow for ContextMessage {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            from_agent: row.opt_text(1)?,
            topic: row.opt_text(2)?,
            content: row.json(3)?,
            priority: row.opt_int32(4)?.unwrap_or(0),
            created_at: row.time(5)?,
            is_broadcast: row.opt_text(6)?.is_none(),
        })
    }
}

impl FromRow for ContextBlocking {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            blocked_by_agent: row.text(1)?,
            reason: row.opt_text(2)?,
            created_at: row.time(3)?,
        })
    }
}

impl FromRow for ContextAction {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            tool_name: row.text(1)?,
            tool_type: row.word(2)?,
            exit_code: row.opt_int32(3)?.unwrap_or(0),
            duration_ms: row.opt_int32(4)?,
            file_paths: row.texts(5)?,
            created_at: row.time(6)?,
        })
    }
}

impl FromRow for ContextSession {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            id: row.id(0)?,
            session_id: row.text(1)?,
            status: row.opt_word(2)?.unwrap_or(RequestStatus::Active),
            created_at: row.time(3)?,
            prompt: row.text(4)?,
        })
    }
}

impl FromRow for ContextProject {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self { id: row.id(0)?, name: row.opt_text(1)?, path: row.text(2)? })
    }
}

/// A message, and whether its reader has read it.
pub(super) struct MailRow(pub(super) Message, pub(super) bool);

impl FromRow for MailRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self(Message::from_row(row)?, row.boolean(9)?))
    }
}

impl FromRow for Metrics {
    fn from_row(row: &mut Row) -> Result<Self> {
        #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 calls in five minutes")]
        Ok(Self {
            active_sessions: row.int(0)?,
            active_agents: row.int(1)?,
            pending_tasks: row.int(2)?,
            running_tasks: row.int(3)?,
            completed_tasks_last_hour: row.int(4)?,
            messages_last_hour: row.int(5)?,
            actions_per_minute: row.int(6)? as f64 / 5.0,
            avg_task_duration_ms: row.float(7)?,
        })
    }
}
