use serde::Serialize;
use serde_json::json;

use super::failures::{Attempt, named_file, note_outcome};
use super::projects::{canonical_path, ensure_project};
use super::sessions::{ensure_session, note_work, touch_session};
use super::unknown_parent;
use crate::api::NoContent;
use crate::api::actions::{
    ActionDelete, ActionDeleteBySession, ActionRecord, ActionRecorded, ActionsDeleted, RecordedAction,
};
use crate::error::{Error, Result};
use crate::id::{ActionId, SubtaskId};
use crate::json::JsonObject;
use crate::model::{Action, ToolType};
use crate::observe::{TEXT_LIMIT, cut_text};
use crate::redact::redact;
use crate::routing::{extract_keywords, taught_text};
use crate::storage::{Command, Footprint, State, agent_channels, session_channel};
use crate::time::Timestamp;

/// What the event of a recorded action says. What it teaches is for those who may read the action.
#[derive(Serialize)]
struct ActionCreated<'a> {
    id: ActionId,
    tool_name: &'a str,
    tool_type: ToolType,
    exit_code: i32,
    session_id: Option<&'a str>,
    subtask_id: Option<SubtaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keywords: Option<&'a [String]>,
    /// When the call was made, where that was not just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    called_at: Option<Timestamp>,
}

/// Calls that were made longer ago than this, in milliseconds, are told with their time.
const JUST_NOW: i64 = 60_000;

/// Inserts an action, counts it in its session and announces it, with what the scorer learns from it.
pub(super) fn record_action(state: &mut State, action: Action, attempt: &Attempt, teaching: &Teaching) {
    let succeeded = action.succeeded();
    note_outcome(state, &action, attempt);
    if let Some(session) = action.session_id.as_deref() {
        touch_session(state, session, action.created_at, Some(succeeded));
    }
    let owner = action.subtask_id.and_then(|id| state.subtasks.get(&id));
    let channels: Vec<String> = owner
        .map(|subtask| agent_channels(subtask.agent_id.as_deref(), subtask.agent_type.as_deref()).collect())
        .unwrap_or_default();
    let channels = channels.into_iter().chain(session_channel(action.session_id.as_deref()));
    let mut event = ActionCreated {
        id: action.id,
        tool_name: &action.tool_name,
        tool_type: action.tool_type,
        exit_code: action.exit_code,
        session_id: action.session_id.as_deref(),
        subtask_id: action.subtask_id,
        said: None,
        keywords: None,
        called_at: None,
    };
    let summary = JsonObject::from_members(&event);
    if let Some(said) = &teaching.said {
        event.said = Some(said);
        event.keywords = Some(&teaching.keywords);
        event.called_at = called_at(&action, state.now);
    }
    let data = JsonObject::from_members(&event);
    state.emit_raw("action.created", channels, data, summary);
    state.insert_action(action);
}

/// When a call was made, if that was not just now.
fn called_at(action: &Action, now: Timestamp) -> Option<Timestamp> {
    Some(action.created_at).filter(|called| now.millis_since(*called) > JUST_NOW)
}

/// What an action teaches the scorer, besides its outcome.
#[derive(Default)]
pub(super) struct Teaching {
    /// What its input says.
    said: Option<String>,
    /// The words whose scores it moves.
    keywords: Vec<String>,
}

impl Teaching {
    /// What the input of an action teaches, as it is stored.
    pub(super) fn of(input: Option<&str>) -> Self {
        let Some(input) = input else { return Self::default() };
        Self { said: Some(taught_text(input)), keywords: extract_keywords(input) }
    }

    /// Says in the event of an answer what the scorer learns from it: the event of the call itself taught nothing.
    pub(super) fn tell(self, action: &Action, now: Timestamp, event: &mut serde_json::Value) {
        if let (Some(said), Some(event)) = (self.said, event.as_object_mut()) {
            event.insert("tool_name".to_owned(), json!(action.tool_name));
            event.insert("tool_type".to_owned(), json!(action.tool_type));
            event.insert("said".to_owned(), json!(said));
            event.insert("keywords".to_owned(), json!(self.keywords));
            if let Some(called_at) = called_at(action, now) {
                event.insert("called_at".to_owned(), json!(called_at));
            }
        }
    }
}

/// What is stored of a tool's input or output: without secrets, and not more than the limit.
pub(super) fn stored_text(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(|text| cut_text(&redact(text), TEXT_LIMIT))
}

/// An action on its way into the store.
///
/// Cleaning its texts and finding their words needs no state, so that is done when it is made, by the caller, before it
/// takes its turn.
pub(crate) struct RecordAction {
    /// With texts as they are stored.
    operation: ActionRecord,
    attempt: Attempt,
    teaching: Teaching,
}

impl From<ActionRecord> for RecordAction {
    fn from(operation: ActionRecord) -> Self {
        let mut file_paths = operation.file_paths.unwrap_or_default();
        // Plain hooks send what went in, and do not say which file that was.
        if let (true, Some(input)) = (file_paths.is_empty(), operation.input.as_deref()) {
            file_paths.extend(named_file(&operation.tool_name, input));
        }
        let input = stored_text(operation.input.as_deref());
        let output = stored_text(operation.output.as_deref());
        let attempt = Attempt::of(&operation.tool_name, input.as_deref(), &file_paths);
        let teaching = Teaching::of(input.as_deref());
        Self {
            operation: ActionRecord { input, output, file_paths: Some(file_paths), ..operation },
            attempt,
            teaching,
        }
    }
}

impl RecordAction {
    fn session(&self) -> Option<&str> {
        self.operation.session_id.as_deref().filter(|id| !id.is_empty())
    }

    fn path(&self) -> Option<&str> {
        self.operation.project_path.as_deref().filter(|path| !path.is_empty()).map(canonical_path)
    }
}

impl Command for RecordAction {
    type Outcome = ActionRecorded;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.subtasks.extend(self.operation.subtask_id);
        footprint.sessions.extend(self.session().map(str::to_owned));
        footprint.found_paths.extend(self.path().map(str::to_owned));
    }

    fn decide(&self, state: &mut State) -> Result<ActionRecorded> {
        let operation = &self.operation;
        if let Some(id) = operation.subtask_id
            && state.subtasks.get(&id).is_none()
        {
            return Err(unknown_parent("Subtask", id));
        }
        // A client that names the subtask only means its session, and its project.
        let request = operation.subtask_id.and_then(|id| state.subtasks.get(&id));
        let request = request.and_then(|subtask| state.request_of_task(subtask.task_list_id));
        let of_subtask = request.map(|request| request.session_id.clone()).filter(|id| !id.is_empty());
        let project_of_subtask = request.and_then(|request| request.project_id);
        let project = self.path().map(|path| ensure_project(state, path).id).or(project_of_subtask);
        let now = state.now;
        let session = self.session().map(str::to_owned).or_else(|| of_subtask.clone());
        if let Some(session) = session.as_deref() {
            ensure_session(state, session, project, now);
        }
        let mut metadata = serde_json::Map::new();
        if let Some(path) = self.path() {
            metadata.insert("project_path".to_owned(), path.into());
        }
        let action = Action {
            id: state.ids.next(),
            subtask_id: operation.subtask_id,
            session_id: session,
            tool_use_id: None,
            tool_name: operation.tool_name.clone(),
            tool_type: operation.tool_type,
            input: operation.input.clone(),
            output: operation.output.clone(),
            file_paths: operation.file_paths.clone().unwrap_or_default(),
            exit_code: operation.exit_code.unwrap_or(0),
            duration_ms: operation.duration_ms,
            created_at: now,
            metadata: JsonObject::from_map(&metadata),
        };
        let recorded = RecordedAction {
            id: action.id,
            tool_name: action.tool_name.clone(),
            tool_type: action.tool_type,
            exit_code: action.exit_code,
            duration_ms: action.duration_ms,
            created_at: action.created_at,
            keywords_extracted: self.teaching.keywords.len(),
        };
        record_action(state, action, &self.attempt, &self.teaching);
        if let Some(session) = of_subtask {
            note_work(state, &session);
        }
        Ok(ActionRecorded { success: true, action: recorded })
    }
}

impl Command for ActionDelete {
    type Outcome = NoContent;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.actions.insert(self.id);
    }

    fn decide(&self, state: &mut State) -> Result<NoContent> {
        let action = state.remove_action(self.id).ok_or_else(|| Error::not_found("Action"))?;
        let data = json!({"id": action.id, "session_id": action.session_id});
        state.emit("action.deleted", session_channel(action.session_id.as_deref()), data.clone(), data);
        Ok(NoContent)
    }
}

impl Command for ActionDeleteBySession {
    type Outcome = ActionsDeleted;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.action_sessions.insert(self.session_id.clone());
        footprint.sessions.insert(self.session_id.clone());
    }

    fn decide(&self, state: &mut State) -> Result<ActionsDeleted> {
        let deleted_count = state.remove_actions_of(&self.session_id);
        let data = json!({"session_id": self.session_id, "deleted_count": deleted_count});
        state.emit("actions.bulk_deleted", session_channel(Some(&self.session_id)), data.clone(), data);
        Ok(ActionsDeleted { success: true, deleted_count, session_id: self.session_id.clone() })
    }

    fn alone(&self) -> bool {
        true
    }
}
