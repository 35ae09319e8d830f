//! A client of a running server: `cargo run --example remote [URL]`. It creates a project, records some work, lists it,
//! and hears of a task's end as it happens.

use std::fmt::Write as _;
use std::io::Write as _;

use dcm::api::projects::ProjectUpsert;
use dcm::api::tasks::{TaskList, TaskUpdate};
use dcm::api::{Operation, wire};
use dcm::model::TaskStatus;
use dcm::{Error, Result};
use dcm_client::{Client, DEFAULT_URL};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let text = run(&std::env::args().nth(1).unwrap_or_else(|| DEFAULT_URL.to_owned())).await?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(error.to_string()))
}

/// Where most fields stay away, JSON is the shorter way to write an operation.
fn input<O: Operation>(fields: &Value) -> Result<O> {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes())
}

pub(crate) async fn run(url: &str) -> Result<String> {
    // An API key, a timeout and how often to try again are settings of `Client::builder()`.
    let client = Client::new(url)?;
    let (path, name) = ("/path/to/project".to_owned(), Some("My Project".to_owned()));
    let project = client.project_upsert(ProjectUpsert { path, name, metadata: None }).await?.project;
    let mut text = format!("{} is {}\n", project.path, project.name.unwrap_or_default());

    let prompt = json!({"project_id": project.id, "session_id": "session-123", "prompt": "Add a search box"});
    let request = client.request_create(input(&prompt)?).await?.request;
    let mut listener =
        client.listen().agent_in_session("my-agent", "session-123").channel("global").open().await?;
    for _ in 0..2 {
        client.task_create(input(&json!({"request_id": request.id}))?).await?;
    }
    let list = TaskList { request_id: Some(request.id), status: None, limit: None, offset: None };
    for task in client.task_list(list).await?.tasks {
        let _ = writeln!(text, "wave {} is {}", task.wave_number, task.status);
        client
            .task_update(TaskUpdate { id: task.id, status: Some(TaskStatus::Completed), name: None })
            .await?;
    }
    let mut done = 0;
    while done < 2 {
        let Some(event) = listener.next_event().await? else { break };
        if event.name == "task.completed" {
            done += 1;
            let _ = writeln!(text, "task done: wave {}", event.data["wave_number"]);
        }
    }
    listener.close().await;
    Ok(text)
}
