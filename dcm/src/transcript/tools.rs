//! Tool calls and what came of them.

use serde_json::Value;

use super::entry::{joined_text, text_of, word};
use crate::observe::{TEXT_LIMIT, cut_text};
use crate::time::Timestamp;

/// One tool call.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) id: String,
    pub(super) at: Option<Timestamp>,
    /// The sub-agent that called it.
    pub(super) agent: Option<String>,
    /// The turn of the main conversation, for calls of the main agent.
    pub(super) turn: Option<usize>,
    pub(super) name: String,
    pub(super) input: Option<String>,
    pub(super) files: Vec<String>,
    pub(super) answer: Option<Answer>,
    /// What the call does to the client's own task list when it succeeds.
    pub(super) task: Option<TaskCall>,
    pub(super) order: u64,
}

/// What came of a tool call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) failed: bool,
    pub(super) output: Option<String>,
    pub(super) duration_ms: Option<i32>,
}

/// A call that changes the client's own task list.
#[derive(Debug, Clone)]
pub(crate) enum TaskCall {
    /// It creates an entry, whose id is in the answer.
    Create { subject: Option<String> },
    /// It completes an entry.
    Complete { task_id: Option<String> },
}

/// A change of the client's own task list.
#[derive(Debug)]
pub(super) enum TaskChange {
    /// An entry was created.
    Created { task_id: String, subject: String, agent: Option<String> },
    /// An entry was completed.
    Completed { task_id: String },
}

impl Tool {
    /// Takes the answer of this call: a `tool_result` block and the client's own record of it.
    pub(super) fn answered(&mut self, block: &Value, record: Option<&Value>, at: Option<Timestamp>) {
        let number = |name: &str| record.and_then(|record| record.get(name)).and_then(Value::as_f64);
        #[expect(clippy::cast_possible_truncation, reason = "bounded to the range of i32")]
        let measured = number("durationMs")
            .or_else(|| number("totalDurationMs"))
            .filter(|millis| (0.0..=f64::from(i32::MAX)).contains(millis))
            .map(|millis| millis as i32);
        let elapsed = self.at.zip(at).and_then(|(start, end)| i32::try_from(end.millis_since(start)).ok());
        self.answer = Some(Answer {
            failed: block.get("is_error") == Some(&Value::Bool(true)),
            output: joined_text(block.get("content")).map(|text| cut_text(&text, TEXT_LIMIT)),
            duration_ms: measured.or_else(|| elapsed.filter(|millis| *millis >= 0)),
        });
    }

    /// What this call, now that it is answered, did to the client's own task list.
    pub(super) fn task_change(&self, block: &Value, record: Option<&Value>) -> Option<TaskChange> {
        let refused = record.and_then(|record| record.get("success")) == Some(&Value::Bool(false));
        if refused || self.answer.as_ref().is_none_or(|answer| answer.failed) {
            return None;
        }
        match self.task.clone()? {
            TaskCall::Create { subject } => {
                let task = record.and_then(|record| record.get("task"));
                let output = joined_text(block.get("content")).unwrap_or_default();
                // "Task #1 created successfully: …", where the client kept no record.
                let in_words =
                    || output.split_once("Task #").and_then(|(_, rest)| rest.split_whitespace().next());
                let task_id =
                    task.and_then(|task| word(task, "id")).or_else(|| in_words().map(str::to_owned))?;
                let named = || task.and_then(|task| word(task, "subject"));
                Some(TaskChange::Created {
                    subject: subject.or_else(named).unwrap_or_else(|| format!("Task {task_id}")),
                    task_id,
                    agent: self.agent.clone(),
                })
            }
            TaskCall::Complete { task_id } => {
                let recorded = || record.and_then(|record| word(record, "taskId"));
                Some(TaskChange::Completed { task_id: task_id.or_else(recorded)? })
            }
        }
    }
}

/// What a call of the tool `name` does to the client's own task list.
pub(crate) fn task_call(name: &str, input: &Value) -> Option<TaskCall> {
    match name {
        "TaskCreate" => {
            let subject = text_of(input.get("subject")).map(|subject| cut_text(subject, TEXT_LIMIT));
            Some(TaskCall::Create { subject })
        }
        "TaskUpdate" if input.get("status").and_then(Value::as_str) == Some("completed") => {
            Some(TaskCall::Complete { task_id: word(input, "taskId") })
        }
        _ => None,
    }
}

/// The files that a call touches, as far as its input names them.
pub(crate) fn files(name: &str, input: &Value) -> Vec<String> {
    let member = match name {
        "Read" | "Edit" | "Write" | "MultiEdit" => "file_path",
        "NotebookEdit" | "NotebookRead" => "notebook_path",
        "Glob" | "Grep" | "LS" => "path",
        _ => return Vec::new(),
    };
    text_of(input.get(member)).map(|path| cut_text(path, TEXT_LIMIT)).into_iter().collect()
}
