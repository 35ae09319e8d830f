//! A brief that fits a budget: `cargo run --example brief [TOKENS]`. What an agent should know is compiled from what was
//! recorded, the most important first, and never costs more than was asked for.

use std::io::Write as _;

use dcm::api::context::GeneratedBrief;
use dcm::api::{Operation, wire};
use dcm::{Dcm, EngineConfig, Error, Result};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let budget = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let brief = run(budget).await?;
    let text = format!("{}\n{} of {budget} tokens\n", brief.content, brief.token_count);
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(error.to_string()))
}

fn input<O: Operation>(fields: &Value) -> Result<O> {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes())
}

pub(crate) async fn run(budget: i32) -> Result<GeneratedBrief> {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await?;
    let project = dcm.project_upsert(input(&json!({"path": "/srv/shop"}))?).await?.project;
    let prompt = json!({"project_id": project.id, "session_id": "s-1", "prompt": "Add a search box"});
    let request = dcm.request_create(input(&prompt)?).await?.request;
    let task = dcm.task_create(input(&json!({"request_id": request.id}))?).await?.task;
    for step in 1..=20 {
        let work = json!({"task_id": task.id, "agent_id": "backend", "status": "running",
            "description": format!("Step {step}: index the products by another of their fields")});
        dcm.subtask_create(input(&work)?).await?;
        let mail = json!({"from_agent": "front", "to_agent": "backend", "topic": "context.request",
            "content": format!("Question {step}: which fields can be searched by now?"), "priority": step % 10});
        dcm.message_send(input(&mail)?).await?;
    }
    let about = json!({"agent_id": "backend", "session_id": "s-1", "max_tokens": budget});
    let brief = dcm.context_generate(input(&about)?).await?.brief;
    dcm.close().await;
    Ok(brief)
}
