//! DCM inside a program, without a server: `cargo run --example quickstart [FOLDER]`. What is kept in the folder is
//! there again at the next run.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use dcm::api::{Operation, hierarchy::HierarchyGet, subtasks::SubtaskGet, wire};
use dcm::{Dcm, EngineConfig, Error, Result};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let text = run(&folder.unwrap_or_else(|| std::env::temp_dir().join("dcm-quickstart"))).await?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(error.to_string()))
}

/// Operations are plain structs; where most fields stay away, the JSON of the wire is the shorter way to write one.
fn input<O: Operation>(fields: &Value) -> Result<O> {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes())
}

pub(crate) async fn run(folder: &Path) -> Result<String> {
    let dcm = Dcm::open_sqlite(&folder.join("dcm.db"), EngineConfig::default()).await?;
    let project = dcm.project_upsert(input(&json!({"path": "/srv/shop"}))?).await?.project;
    let prompt = json!({"project_id": project.id, "session_id": "s-1", "prompt": "Add a search box"});
    let request = dcm.request_create(input(&prompt)?).await?.request;
    for (wave, what) in ["Index the products", "Show the results"].into_iter().enumerate() {
        let task = dcm.task_create(input(&json!({"request_id": request.id}))?).await?.task;
        let work = json!({"task_id": task.id, "description": what, "agent_id": "back", "status": "running"});
        let id = dcm.subtask_create(input(&work)?).await?.subtask.subtask.id;
        let call = json!({"tool_name": "Edit", "tool_type": "builtin", "exit_code": wave, "subtask_id": id});
        dcm.action_record(input(&call)?).await?;
    }
    let mail = json!({"from_agent": "front", "to_agent": "back", "topic": "context.request",
        "content": "Which fields can be searched?"});
    dcm.message_send(input(&mail)?).await?;

    let tree = dcm.hierarchy_get(HierarchyGet { project_id: project.id }).await?.hierarchy;
    let mut text = format!("{}\n", tree.project.path);
    for request in tree.requests {
        let _ = writeln!(text, "  \"{}\" ({})", request.request.prompt, request.request.status);
        for task in request.tasks {
            let _ = writeln!(text, "    wave {} ({})", task.task.wave_number, task.task.status);
            for subtask in task.subtasks {
                let actions = dcm.subtask_get(SubtaskGet { id: subtask.id }).await?.subtask.actions;
                let calls = actions.iter().map(|call| format!(" {} {}", call.tool_name, call.exit_code));
                let (what, calls) = (subtask.description.unwrap_or_default(), calls.collect::<String>());
                let _ = writeln!(text, "      {what} ({}):{calls}", subtask.status);
            }
        }
    }
    let about = json!({"agent_id": "back", "session_id": "s-1"});
    let brief = dcm.context_generate(input(&about)?).await?.brief;
    dcm.close().await;
    Ok(format!("{text}\n{}\n", brief.content))
}
