//! A session that never was, sent through the configured hooks the way the client would.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dcm::api::actions::{ActionDeleteBySession, ActionList};
use dcm::api::projects::{ProjectByPath, ProjectDelete};
use dcm::api::sessions::{SessionDelete, SessionGet};
use dcm::{ErrorKind, IdSource, SystemClock};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::hooks::Found;
use super::super::hooks::entries::{own_command, own_http};
use super::super::place::{Server, variable};
use crate::{Client, DEFAULT_URL};

/// The events that are tried: the first of a session, and one that is told all the time.
const TRIED: [&str; 2] = ["SessionStart", "PostToolUse"];
/// How long a hook may take before it counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) begun: bool,
    /// How many of the hooks that were told of a tool call did not pass it on.
    pub(super) lost_calls: usize,
}

/// The configured hooks of ours for the events that are tried.
pub(super) fn handlers(found: &[Found], server: &Server) -> Vec<(String, Value)> {
    let mut handlers = Vec::new();
    for event in TRIED {
        for (of_event, _, handler) in found.iter().flat_map(Found::entries) {
            let url = match own_command(&handler) {
                Some(command) => Some(command.url.unwrap_or_else(|| DEFAULT_URL.to_owned())),
                None => own_http(&handler).map(str::to_owned),
            };
            let pair = (of_event, handler);
            // The client runs identical ones once.
            if pair.0 == event && url.as_ref() == Some(&server.url) && !handlers.contains(&pair) {
                handlers.push(pair);
            }
        }
    }
    handlers
}

/// Sends the probe, looks what arrived, and removes it.
pub(super) async fn run(client: &Client, handlers: &[(String, Value)]) -> Result<Seen, String> {
    let id: Uuid = IdSource::new(Arc::new(SystemClock)).next();
    let session = format!("dcm-doctor-{id}");
    let folder = std::env::temp_dir().join(&session);
    let folder = folder.to_string_lossy().into_owned();
    let mut trouble = None;
    let mut calls = 0;
    for (event, handler) in handlers {
        let mut told = json!({"session_id": session, "hook_event_name": event, "cwd": folder});
        if event == "SessionStart" {
            told["source"] = json!("startup");
        } else {
            told["tool_name"] = json!("Bash");
            // A call for each hook: the same call is recorded once, whoever tells it.
            calls += 1;
            told["tool_use_id"] = json!(format!("probe-{id}-{calls}"));
            told["tool_input"] = json!({"command": "true"});
            told["tool_response"] = json!({"stdout": ""});
        }
        let sent = if own_command(handler).is_some() {
            run_command(handler, &told.to_string())
        } else {
            post(handler, told.to_string()).await
        };
        if let Err(reason) = sent {
            trouble.get_or_insert(format!("the hook of {event} failed: {reason}"));
        }
    }
    let seen = look(client, &session, calls).await;
    clear(client, &session, &folder).await;
    match trouble {
        Some(reason) => Err(reason),
        None => seen.map_err(|error| error.to_string()),
    }
}

async fn look(client: &Client, session: &str, calls: usize) -> dcm::Result<Seen> {
    let begun = match client.session_get(SessionGet { id: session.to_owned() }).await {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    let list = ActionList {
        tool_type: None,
        tool_name: None,
        session_id: Some(session.to_owned()),
        subtask_id: None,
        limit: None,
        offset: None,
    };
    let arrived = client.action_list(list).await?.actions.len();
    Ok(Seen { begun, lost_calls: calls.saturating_sub(arrived) })
}

/// Leaves nothing behind; what was never there is gone already.
async fn clear(client: &Client, session: &str, folder: &str) {
    let _ = client.action_delete_by_session(ActionDeleteBySession { session_id: session.to_owned() }).await;
    if let Ok(found) = client.project_by_path(ProjectByPath { path: folder.to_owned() }).await {
        let _ = client.project_delete(ProjectDelete { id: found.project.id }).await;
    }
    let _ = client.session_delete(SessionDelete { id: session.to_owned() }).await;
}

fn run_command(handler: &Value, input: &str) -> Result<(), String> {
    let line = handler.get("command").and_then(Value::as_str).unwrap_or_default();
    let arguments = handler.get("args").and_then(Value::as_array);
    let mut command = Command::new(if arguments.is_some() { line } else { "sh" });
    match arguments {
        Some(arguments) => command.args(arguments.iter().filter_map(Value::as_str)),
        None => command.args(["-c", line]),
    };
    let mut run = || {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} {}", output.status, stderr.lines().next().unwrap_or_default()));
    }
    let stdout = output.stdout.trim_ascii();
    if !stdout.is_empty() && !serde_json::from_slice::<Value>(stdout).is_ok_and(|value| value.is_object()) {
        return Err("it prints something that is no JSON object".to_owned());
    }
    Ok(())
}

async fn post(handler: &Value, body: String) -> Result<(), String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let allowed: Vec<String> =
        handler.get("allowedEnvVars").and_then(Value::as_array).into_iter().flatten().map(text).collect();
    let http = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
    let mut request = http.post(handler.get("url").map(text).unwrap_or_default());
    request = request.header("content-type", "application/json").body(body);
    for (name, value) in handler.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let mut value = text(value);
        for name in &allowed {
            value = value.replace(&format!("${name}"), &variable(name).unwrap_or_default());
        }
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(|error| error.without_url().to_string())?;
    let status = response.status().as_u16();
    match status {
        200..=299 => Ok(()),
        401 | 403 => Err(format!("the server answers {status}; the key in its headers is not the server's")),
        _ => Err(format!("the server answers {status}")),
    }
}
