//! What an agent is told when it begins, or begins anew: `cargo run --example brief`.

use std::io::Write as _;

use dcm::api::{Operation, wire};
use dcm::context::BriefOptions;
use dcm::{Dcm, EngineConfig, Error, Result};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let text = run().await?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(error.to_string()))
}

fn input<O: Operation>(fields: &Value) -> Result<O> {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes())
}

pub(crate) async fn run() -> Result<String> {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await?;
    let project = dcm.project_upsert(input(&json!({"path": "/srv/shop", "name": "shop"}))?).await?.project;
    let prompt =
        json!({"project_id": project.id, "session_id": "s-1", "prompt": "Let people search the products"});
    let request = dcm.request_create(input(&prompt)?).await?.request;
    let task = dcm.task_create(input(&json!({"request_id": request.id, "name": "Backend"}))?).await?.task;
    let work = json!({"task_id": task.id, "description": "Index names and descriptions", "agent_id": "backend-1",
        "agent_type": "backend-rust", "status": "running"});
    let work = dcm.subtask_create(input(&work)?).await?.subtask.subtask.id;
    for (tool, path, exit) in
        [("Read", "schema.sql", 0), ("Edit", "src/index.rs", 0), ("Edit", "src/index.rs", 0)]
    {
        let call = json!({"tool_name": tool, "tool_type": "builtin", "file_paths": [format!("/srv/shop/{path}")],
            "exit_code": exit, "subtask_id": work});
        dcm.action_record(input(&call)?).await?;
    }
    let test = json!({"tool_name": "Bash", "tool_type": "builtin", "input": "cargo test index", "exit_code": 101,
        "output": "error: index::stems panicked", "subtask_id": work});
    dcm.action_record(input(&test)?).await?;

    let options =
        BriefOptions { max_tokens: Some(300), ..BriefOptions::new("backend-1".to_owned(), "s-1".to_owned()) };
    let (brief, sources, _) = dcm.brief(options).await?;
    dcm.close().await;
    Ok(format!("{}\n\n{} tokens, {} lines with a source\n", brief.content, brief.token_count, sources.len()))
}
