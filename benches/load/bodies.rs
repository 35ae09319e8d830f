//! The bodies of the write load: what real sessions did, from their transcripts.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// As much of an input as a hook sends.
const MAX_INPUT: usize = 10_240;
const MAX_MESSAGE: usize = 200;

/// Two files of one JSON body a line, for `POST /api/actions` and `POST /api/messages`.
#[derive(Debug)]
pub(crate) struct Bodies {
    pub(crate) actions: PathBuf,
    pub(crate) messages: PathBuf,
    /// For the report: how many there are, and how long the inputs are.
    pub(crate) summary: String,
}

struct ToolUse {
    session: String,
    folder: String,
    tool: String,
    input: Value,
    failed: bool,
}

/// Reads every transcript below `transcripts` and writes the bodies into `folder`.
pub(crate) fn write(transcripts: &Path, folder: &Path) -> Bodies {
    let mut files = Vec::new();
    find(transcripts, &mut files);
    files.sort();
    let uses: Vec<ToolUse> = files.iter().flat_map(|file| read(file)).collect();
    assert!(!uses.is_empty(), "there are no transcripts with tool calls in {}", transcripts.display());

    let (mut actions, mut messages, mut input_bytes) = (String::new(), String::new(), 0);
    for (number, tool_use) in uses.iter().enumerate() {
        let action = action(tool_use);
        input_bytes += action["input"].as_str().map_or(0, str::len);
        writeln!(actions, "{action}").expect("text can be written to");
        writeln!(messages, "{}", message(number, tool_use)).expect("text can be written to");
    }
    let bodies = Bodies {
        actions: folder.join("actions.jsonl"),
        messages: folder.join("messages.jsonl"),
        summary: format!("{} actions, inputs of {} bytes on average", uses.len(), input_bytes / uses.len()),
    };
    fs::write(&bodies.actions, actions).expect("the bodies can be written");
    fs::write(&bodies.messages, messages).expect("the bodies can be written");
    bodies
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("the folder can be read").path()) {
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
}

fn read(file: &Path) -> Vec<ToolUse> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let entries: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let blocks = |kind: &'static str| {
        entries.iter().flat_map(move |entry| {
            let blocks = entry["message"]["content"].as_array().into_iter().flatten();
            blocks.filter(move |block| block["type"] == kind).map(move |block| (entry, block))
        })
    };
    let failed: HashMap<&str, bool> = blocks("tool_result")
        .filter_map(|(_, block)| Some((block["tool_use_id"].as_str()?, block["is_error"] == true)))
        .collect();
    blocks("tool_use")
        .filter_map(|(entry, block)| {
            Some(ToolUse {
                session: entry["sessionId"].as_str()?.to_owned(),
                folder: entry["cwd"].as_str()?.to_owned(),
                tool: block["name"].as_str()?.to_owned(),
                input: block["input"].clone(),
                failed: block["id"].as_str().and_then(|id| failed.get(id)).copied().unwrap_or(false),
            })
        })
        .collect()
}

fn action(tool_use: &ToolUse) -> Value {
    let tool_type = match tool_use.tool.as_str() {
        "Agent" | "Task" => "agent",
        "Skill" => "skill",
        name if name.starts_with("mcp__") => "mcp",
        _ => "builtin",
    };
    let paths: Vec<&str> = tool_use.input["file_path"].as_str().into_iter().collect();
    json!({
        "tool_name": tool_use.tool,
        "tool_type": tool_type,
        "input": cut(&tool_use.input.to_string(), MAX_INPUT),
        "exit_code": i32::from(tool_use.failed),
        "file_paths": paths,
        "session_id": tool_use.session,
        "project_path": tool_use.folder,
    })
}

fn message(number: usize, tool_use: &ToolUse) -> Value {
    json!({
        "from_agent": format!("agent-{}", number % 20),
        "to_agent": format!("agent-{}", (number + 7) % 20),
        "topic": "workflow.progress",
        "content": {"tool": tool_use.tool, "text": cut(&tool_use.input.to_string(), MAX_MESSAGE)},
        "priority": number % 11,
    })
}

fn cut(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| &text[..end])
}
