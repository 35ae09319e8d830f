//! One event of a tool, messages, and what comes back.

use dcm_suite::calls::Calls;
use serde_json::{Value, json};

pub(crate) fn tool(session: &str, id: &str) -> Value {
    json!({"session_id": session, "hook_event_name": "PostToolUse", "prompt_id": "p-1", "tool_name": "Bash",
        "tool_input": {"command": "ls"}, "tool_response": {"stdout": "a", "stderr": ""}, "tool_use_id": id,
        "cwd": "/srv/x"})
}

pub(crate) fn text_of(answer: &Value) -> String {
    answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap_or_default().to_owned()
}

pub(crate) async fn send(api: &Calls, to: Option<&str>, text: &str) -> String {
    let mut message = json!({"from_agent": "tester", "topic": "context.response", "content": text});
    if let Some(to) = to {
        message["to_agent"] = json!(to);
    }
    api.post("/api/messages", &message).await["message"]["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn receipt(api: &Calls, message: &str, agent: &str) -> Value {
    let receipts = api.get(&format!("/api/receipts/{message}")).await;
    let receipts = receipts["receipts"].as_array().unwrap();
    receipts.iter().find(|receipt| receipt["agent_id"] == agent).cloned().unwrap_or_default()
}

pub(crate) async fn hook(api: &Calls, event: &Value) -> Value {
    api.post("/hooks/claude", event).await
}
