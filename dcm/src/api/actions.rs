//! `/api/actions`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::input::{COUNTER, NAME, NAME_OR_EMPTY, PATH, Rule, input, int, text};
use crate::id::{ActionId, SubtaskId};
use crate::model::{Action, ToolType};
use crate::time::Timestamp;

const ANY_LENGTH: Rule = text(0, 8 << 20);
const EXIT_CODE: Rule = int(i32::MIN as i64, i32::MAX as i64);

input! {
    /// `POST /api/actions`
    ActionRecord {
        /// The tool that was called.
        tool_name: String [NAME],
        /// What kind of tool it is.
        tool_type: ToolType,
        /// What went in.
        input: Option<String> [ANY_LENGTH],
        /// What came out.
        output: Option<String> [ANY_LENGTH],
        /// 0 when it succeeded; 0 unless given.
        exit_code: Option<i32> [EXIT_CODE],
        /// How long it took, in milliseconds.
        duration_ms: Option<i32> [COUNTER],
        /// The files it touched.
        file_paths: Option<Vec<String>> [PATH],
        /// The piece of work it was part of; must exist.
        subtask_id: Option<SubtaskId>,
        /// The session it was made in; created when it is unknown.
        session_id: Option<String> [NAME_OR_EMPTY],
        /// The project it was made in; created when it is unknown.
        project_path: Option<String> [text(0, 2048)],
    }
}

input! {
    /// `GET /api/actions`
    ActionList {
        /// Only those of this kind of tool; an unknown word matches nothing.
        tool_type: Option<String>,
        /// Only those of this tool.
        tool_name: Option<String>,
        /// Only those of this session.
        session_id: Option<String>,
        /// Only those of this subtask.
        subtask_id: Option<SubtaskId>,
        /// How many at most; 100 unless given, 1000 at most.
        limit: Option<u32>,
        /// How many to skip.
        offset: Option<u32>,
    }
}

input! {
    /// `GET /api/actions/hourly`
    ActionHourly {}
}

input! {
    /// `DELETE /api/actions/{id}`
    ActionDelete {
        /// The action.
        id: ActionId,
    }
}

input! {
    /// `DELETE /api/actions/by-session/{session_id}`
    ActionDeleteBySession {
        /// The session.
        session_id: String [NAME],
    }
}

/// Answer to [`ActionRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionRecorded {
    /// Always true.
    pub success: bool,
    /// What was recorded.
    pub action: RecordedAction,
}

/// What was recorded of a tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedAction {
    /// Its id.
    pub id: ActionId,
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// How many words of its input the scorer learned from.
    pub keywords_extracted: usize,
}

/// A tool call in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionSummary {
    /// Its id.
    pub id: ActionId,
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
    /// The files it touched.
    pub file_paths: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The session it was made in.
    pub session_id: Option<String>,
    /// The piece of work it was part of.
    pub subtask_id: Option<SubtaskId>,
    /// Whether it succeeded.
    pub success: bool,
}

impl From<Action> for ActionSummary {
    fn from(action: Action) -> Self {
        Self {
            success: action.succeeded(),
            id: action.id,
            tool_name: action.tool_name,
            tool_type: action.tool_type,
            exit_code: action.exit_code,
            duration_ms: action.duration_ms,
            file_paths: action.file_paths,
            created_at: action.created_at,
            session_id: action.session_id,
            subtask_id: action.subtask_id,
        }
    }
}

/// Answer to [`ActionList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionPage {
    /// The actions.
    pub actions: Vec<ActionSummary>,
    /// How many are in this answer.
    pub count: usize,
    /// How many match the filters.
    pub total: i64,
    /// The limit that was applied.
    pub limit: u32,
    /// The offset that was applied.
    pub offset: u32,
}

/// Answer to [`ActionHourly`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HourlyReport {
    /// Hours with at least one action, in order.
    pub data: Vec<HourCount>,
    /// Always `24h`.
    pub period: String,
}

/// The actions of one hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HourCount {
    /// The start of the hour, in UTC.
    pub hour: Timestamp,
    /// How many.
    pub count: i64,
}

/// Answer to [`ActionDeleteBySession`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionsDeleted {
    /// Always true.
    pub success: bool,
    /// How many were removed.
    pub deleted_count: i64,
    /// The session.
    pub session_id: String,
}
