use super::ToolType;
use crate::id::{ActionId, SubtaskId};
use crate::json::JsonObject;
use crate::time::Timestamp;

/// One tool call, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its id.
    pub id: ActionId,
    /// The piece of work it was part of.
    pub subtask_id: Option<SubtaskId>,
    /// The session it was made in.
    pub session_id: Option<String>,
    /// The client's own id of the call, unique within the session.
    pub tool_use_id: Option<String>,
    /// The tool that was called.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// What went in, as text.
    pub input: Option<String>,
    /// What came out, as text.
    pub output: Option<String>,
    /// The files it touched.
    pub file_paths: Vec<String>,
    /// 0 when it succeeded.
    pub exit_code: i32,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Anything else.
    pub metadata: JsonObject,
}

impl Action {
    /// Whether the call succeeded.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit_code == 0
    }

    /// Whether it was observed before its answer, so that its outcome is not known: it has an id of the client's, and
    /// neither an output (be it empty) nor a duration, nor has it failed.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.tool_use_id.is_some()
            && self.exit_code == 0
            && self.output.is_none()
            && self.duration_ms.is_none()
    }
}

/// How well one tool has served one keyword.
#[derive(Debug, Clone, PartialEq)]
pub struct KeywordScore {
    /// The word, in lower case.
    pub keyword: String,
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// Between 0.1 and 5.0.
    pub score: f32,
    /// How often the tool was used with the word.
    pub usage_count: i32,
    /// How often it succeeded.
    pub success_count: i32,
    /// When it was last used.
    pub last_used: Timestamp,
}
