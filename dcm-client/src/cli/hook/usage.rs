//! The variables of older hooks, as a recorded tool call.

use dcm::api::actions::ActionRecord;
use dcm::api::wire::to_request;
use dcm::model::ToolType;
use dcm::observe::{cut_text, tool_type_of};
use serde_json::Value;
use serde_json::value::RawValue;

/// The most bytes of an input and of an output that are told.
const MOST_BYTES: usize = 10_240;

/// The call that records the tool use which the variables speak of: target and body. The names of the documentation
/// come first, then those that the hook once read. `None` when no variable names a tool.
pub(super) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<(String, Box<RawValue>)> {
    let either = |new: &str, old: &str| variable(new).or_else(|| variable(old));
    let number = |text: Option<String>| text.and_then(|text| text.trim().parse::<i32>().ok());
    let tool_name = either("CLAUDE_TOOL_NAME", "TOOL_NAME")?;
    let given = either("CLAUDE_TOOL_TYPE", "TOOL_TYPE");
    let tool_type = given
        .and_then(|word| serde_json::from_value::<ToolType>(Value::String(word.trim().to_lowercase())).ok())
        .unwrap_or_else(|| tool_type_of(&tool_name));
    let cut = |text: Option<String>| text.map(|text| cut_text(&text, MOST_BYTES));
    let here = || Some(std::env::current_dir().ok()?.to_str()?.to_owned());
    let files = variable("TOOL_FILE_PATHS").map(|list| {
        list.split(',').map(str::trim).filter(|path| !path.is_empty()).map(str::to_owned).collect()
    });
    let record = ActionRecord {
        tool_name: cut_text(&tool_name, 255),
        tool_type,
        input: cut(either("CLAUDE_TOOL_INPUT", "TOOL_INPUT")),
        output: cut(either("CLAUDE_TOOL_OUTPUT", "TOOL_OUTPUT")),
        exit_code: number(either("CLAUDE_EXIT_CODE", "TOOL_EXIT_CODE")),
        duration_ms: number(either("CLAUDE_TOOL_DURATION_MS", "TOOL_DURATION_MS"))
            .filter(|duration| *duration >= 0),
        file_paths: files,
        subtask_id: None,
        session_id: either("CLAUDE_SESSION_ID", "SESSION_ID").or_else(|| variable("CLAUDE_CODE_SESSION_ID")),
        project_path: either("CLAUDE_PROJECT_PATH", "PROJECT_DIR").or_else(here),
    };
    let request = to_request(&record).ok()?;
    let body = String::from_utf8(request.body?.into()).ok()?;
    Some((request.path_and_query, RawValue::from_string(body).ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn recorded(pairs: &[(&str, &str)]) -> Option<Value> {
        let variables: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (target, body) = from_variables(|name| variables.get(name).cloned())?;
        assert_eq!(target, "/api/actions");
        Some(serde_json::from_str(body.get()).unwrap())
    }

    #[test]
    fn documented_names_come_before_older_ones() {
        assert_eq!(recorded(&[("CLAUDE_TOOL_INPUT", "x")]), None);
        let record = recorded(&[
            ("CLAUDE_TOOL_NAME", "Bash"),
            ("TOOL_NAME", "Read"),
            ("TOOL_INPUT", "ls"),
            ("CLAUDE_EXIT_CODE", "3"),
            ("CLAUDE_SESSION_ID", "s"),
            ("CLAUDE_PROJECT_PATH", "/p"),
            ("TOOL_FILE_PATHS", "/a, /b,"),
            ("TOOL_DURATION_MS", "12"),
        ])
        .unwrap();
        let expected = serde_json::json!({"tool_name": "Bash", "tool_type": "builtin", "input": "ls", "exit_code": 3,
            "session_id": "s", "project_path": "/p", "file_paths": ["/a", "/b"], "duration_ms": 12});
        assert_eq!(record, expected);
    }

    #[test]
    fn long_texts_are_cut_and_nonsense_is_left_out() {
        let long = "ä".repeat(20_000);
        let record = recorded(&[
            ("TOOL_NAME", "mcp__a__b"),
            ("CLAUDE_TOOL_TYPE", "Skill"),
            ("TOOL_OUTPUT", &long),
            ("TOOL_EXIT_CODE", "well"),
            ("TOOL_DURATION_MS", "-4"),
        ])
        .unwrap();
        let output = record["output"].as_str().unwrap();
        assert!(output.len() <= 10_240 && output.ends_with("bytes dropped]"), "{}", output.len());
        assert_eq!(record["tool_type"], "skill");
        assert!(record.get("exit_code").is_none() && record.get("duration_ms").is_none());
        assert!(record["project_path"].as_str().unwrap().starts_with('/'));
    }
}
