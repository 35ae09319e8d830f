//! Tool calls as hooks report them.

use serde_json::{Map, Value};

use super::AgentClient;
use super::event::{Event, unsure_key};
use crate::api::ingest::Observation;
use crate::json::JsonObject;
use crate::observe::{TEXT_LIMIT, cut_text, mend};
use crate::transcript::{TaskCall, cut_key, joined_text, task_call, text_of, tool_files, word};

/// Whether the tool launches a sub-agent.
pub(super) fn launches(tool: &str) -> bool {
    matches!(tool, "Agent" | "Task")
}

/// A sub-agent is about to be launched.
pub(super) fn launch(event: &Event<'_>) -> Option<Observation> {
    let input = event.value("tool_input").unwrap_or(&Value::Null);
    Some(Observation::AgentLaunched {
        tool_use_id: event.key("tool_use_id")?,
        at: event.at,
        agent_id: event.sub_agent(),
        prompt_key: event.prompt_key(),
        agent_type: word(input, "subagent_type"),
        description: text_of(input.get("description")).map(|text| cut_text(text, TEXT_LIMIT)),
    })
}

/// A tool call that has ended, and what else it says.
pub(super) fn used(event: &Event<'_>, failed: bool, unknown: Map<String, Value>) -> Vec<Observation> {
    let name = event.key("tool_name").unwrap_or_else(|| "unknown".to_owned());
    let input = event.value("tool_input").unwrap_or(&Value::Null);
    let response = event.value("tool_response");
    let failed = failed || (event.client == AgentClient::Codex && response.is_some_and(says_failure));
    let duration_ms = event.value("duration_ms").and_then(millis);
    let at = duration_ms.map_or(event.at, |millis| event.at.plus_millis(-i64::from(millis)));
    let error = event.text("error");
    let output = error.map(str::to_owned).or_else(|| response.map(text_of_response));
    let mut metadata = unknown;
    if event.value("is_interrupt") == Some(&Value::Bool(true)) {
        metadata.insert("is_interrupt".to_owned(), Value::Bool(true));
    }
    if let Some(code) = error.and_then(exit_code) {
        metadata.insert("exit_code".to_owned(), code.into());
    }
    let tool_use_id = event
        .key("tool_use_id")
        .unwrap_or_else(|| unsure_key(&[&name, &input.to_string(), output.as_deref().unwrap_or_default()]));
    let mut observations = vec![Observation::ToolUsed {
        tool_use_id: tool_use_id.clone(),
        at,
        agent_id: event.sub_agent(),
        prompt_key: event.prompt_key(),
        tool_type: None,
        input: (!input.is_null()).then(|| cut_text(&input.to_string(), TEXT_LIMIT)),
        output: output.map(|text| cut_text(&text, TEXT_LIMIT)),
        // What a transcript says of a failed call is that it failed, so hooks say no more.
        exit_code: i32::from(failed),
        duration_ms,
        file_paths: files(&name, input),
        metadata: (!metadata.is_empty()).then(|| JsonObject::from_map(&metadata)),
        tool_name: name.clone(),
    }];
    if failed {
        return observations;
    }
    if launches(&name)
        && let Some(response) = response
    {
        observations.extend(launched(event, &tool_use_id, input, response));
    }
    observations.extend(task_change(event, &name, input, response));
    observations
}

/// Which agent a call launched, and that agent's end unless it works on in the background.
fn launched(event: &Event<'_>, tool_use_id: &str, input: &Value, response: &Value) -> Vec<Observation> {
    let Some(agent_id) = word(response, "agentId") else { return Vec::new() };
    let agent_type = word(input, "subagent_type").or_else(|| word(response, "agentType"));
    let mut snapshot = Map::from_iter([("tool_use_id".to_owned(), Value::from(tool_use_id))]);
    if let Some(parent) = event.sub_agent() {
        snapshot.insert("parent_agent_id".to_owned(), parent.into());
    }
    let mut observations = vec![Observation::AgentStarted {
        agent_id: agent_id.clone(),
        at: event.at,
        prompt_key: event.prompt_key(),
        agent_type: agent_type.clone(),
        description: text_of(input.get("description")).map(|text| cut_text(text, TEXT_LIMIT)),
        metadata: Some(JsonObject::from_map(&snapshot)),
    }];
    if response.get("status").and_then(Value::as_str) == Some("completed") {
        observations.push(Observation::AgentStopped {
            agent_id,
            at: event.at,
            prompt_key: event.prompt_key(),
            agent_type,
            result: joined_text(response.get("content")).map(|text| cut_text(&text, TEXT_LIMIT)),
            failed: false,
            reported: true,
            only_if_known: false,
        });
    }
    observations
}

/// Older clients have no events for their task list; its tools say the same.
fn task_change(
    event: &Event<'_>,
    name: &str,
    input: &Value,
    response: Option<&Value>,
) -> Option<Observation> {
    let response = response?;
    if response.get("success") == Some(&Value::Bool(false)) {
        return None;
    }
    match task_call(name, input)? {
        TaskCall::Create { subject } => {
            let task_id = word(response.get("task")?, "id")?;
            Some(Observation::TaskCreated {
                subject: subject.unwrap_or_else(|| format!("Task {task_id}")),
                task_id,
                at: event.at,
                prompt_key: event.prompt_key(),
                agent_id: event.sub_agent(),
            })
        }
        TaskCall::Complete { task_id } => Some(Observation::TaskCompleted {
            task_id: task_id.or_else(|| word(response, "taskId"))?,
            at: event.at,
            prompt_key: event.prompt_key(),
        }),
    }
}

/// The files that a call touches. Codex edits through patches that name them.
fn files(name: &str, input: &Value) -> Vec<String> {
    if name != "apply_patch" {
        return tool_files(name, input);
    }
    let patch = match input {
        Value::String(patch) => patch,
        other => {
            let text = ["command", "patch", "input"].iter().find_map(|member| text_of(other.get(*member)));
            text.unwrap_or_default()
        }
    };
    let marks = ["*** Add File: ", "*** Update File: ", "*** Delete File: "];
    let paths = patch.lines().filter_map(|line| marks.iter().find_map(|mark| line.strip_prefix(mark)));
    paths.map(|path| cut_text(path.trim(), TEXT_LIMIT)).collect()
}

/// A number of milliseconds within the range of a duration.
fn millis(value: &Value) -> Option<i32> {
    let millis = value.as_f64().filter(|millis| (0.0..=f64::from(i32::MAX)).contains(millis))?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded to the range of i32")]
    Some(millis as i32)
}

/// The exit code of a shell command that an error speaks of, where it says more than that it failed.
fn exit_code(error: &str) -> Option<i32> {
    let digits: String = error.strip_prefix("Exit code ")?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|code| *code > 1)
}

/// Whether a tool's answer says that the call failed, for clients that have no event for failures.
fn says_failure(response: &Value) -> bool {
    let code = |value: &Value| value.get("exit_code").and_then(Value::as_i64).is_some_and(|code| code != 0);
    code(response)
        || response.get("metadata").is_some_and(code)
        || response.get("success") == Some(&Value::Bool(false))
        || response.get("is_error") == Some(&Value::Bool(true))
        || response.get("isError") == Some(&Value::Bool(true))
        // What a shell tool answers may be JSON in a text.
        || response.as_str().filter(|text| text.starts_with('{')).is_some_and(|text| {
            serde_json::from_str::<Value>(&mend(text)).is_ok_and(|inner| inner.is_object() && says_failure(&inner))
        })
}

/// What a tool answered, as text, as near as can be to what the model reads.
fn text_of_response(response: &Value) -> String {
    if let Value::String(text) = response {
        return text.clone();
    }
    let member = |name: &str| response.get(name).and_then(Value::as_str);
    if let Some(stdout) = member("stdout") {
        let stderr = member("stderr").unwrap_or_default();
        let gap = if stdout.is_empty() || stderr.is_empty() { "" } else { "\n" };
        return format!("{stdout}{gap}{stderr}");
    }
    let content = response.get("file").and_then(|file| file.get("content")).and_then(Value::as_str);
    if let Some(content) = content {
        return content.to_owned();
    }
    let blocks = if response.is_array() { Some(response) } else { response.get("content") };
    match blocks {
        Some(Value::Array(_)) => joined_text(blocks).unwrap_or_default(),
        _ => response.to_string(),
    }
}

/// The name of a sub-agent or a tool call, short enough for a key.
pub(super) fn key(text: &str) -> Option<String> {
    let text = text.replace('\0', "");
    (!text.is_empty()).then(|| cut_key(&text))
}
