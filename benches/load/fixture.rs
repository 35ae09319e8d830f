//! What the read load reads, put there over REST.

use dcm_suite::server::Server;
use serde_json::{Value, json};

/// An agent that has work in every request of the project.
pub(crate) const AGENT: &str = "agent-1";
/// An agent that has read all of its messages.
pub(crate) const READER: &str = "reader-1";

const AGENT_TYPES: [&str; 3] = ["developer", "validator", "specialist"];
const REQUESTS: usize = 10;
const TASKS: usize = 5;
const SUBTASKS: usize = 10;
const MESSAGES: usize = 100;

/// The path that asks for tools; the load puts another word in the place of each `*` every time.
pub(crate) const SUGGEST: &str = "/api/routing/suggest?keywords=*,*,*";
/// How many words there are; of each the tools are known.
const WORDS: usize = 1000;
const TOOLS: usize = 250;

/// Teaches the scorer 10,000 pairs of words and tools.
pub(crate) async fn teach(server: &Server) {
    for number in 0..WORDS {
        let words: Vec<String> =
            (0..10).map(|nth| format!("word{}", (number + nth * nth * 7) % WORDS)).collect();
        let tool = format!("mcp__server__tool{}", number * 7 % TOOLS);
        let body = json!({"tool_name": tool, "tool_type": "mcp", "input": words.join(" ")});
        post(server, "/api/actions", &body).await;
    }
    let answer = get(server, &SUGGEST.replace('*', "word7")).await;
    assert!(answer["count"].as_u64() > Some(0), "{answer}");
}

/// Fills the server; the id of the project.
pub(crate) async fn fill(server: &Server) -> String {
    let project = post(server, "/api/projects", &json!({"path": "/srv/bench", "name": "bench"})).await;
    let project = id(&project["project"]);
    post(server, "/api/sessions", &json!({"id": "session-bench", "project_id": project})).await;
    for request in 0..REQUESTS {
        let prompt = format!(
            "Make part {request} of the parser faster, keep its tests, and explain what was measured."
        );
        let body = json!({"project_id": project, "session_id": "session-bench", "prompt": prompt});
        let request_id = id(&post(server, "/api/requests", &body).await["request"]);
        for task in 0..TASKS {
            let body = json!({"request_id": request_id, "name": format!("Wave {task} of part {request}")});
            let task_id = id(&post(server, "/api/tasks", &body).await["task"]);
            for subtask in 0..SUBTASKS {
                post(server, "/api/subtasks", &subtask_body(&task_id, request, task, subtask)).await;
            }
        }
    }
    for number in 0..MESSAGES {
        let text = format!(
            "Message {number}: the profile of the last run is written, the hot loop is the tokenizer."
        );
        let content = json!({"number": number, "text": text});
        let body = json!({"from_agent": AGENT, "to_agent": READER, "topic": "workflow.progress", "content": content});
        post(server, "/api/messages", &body).await;
    }
    let inbox = get(server, &inbox_path()).await;
    assert_eq!(inbox["messages"].as_array().map(Vec::len), Some(MESSAGES), "the inbox of {READER}: {inbox}");
    project
}

/// The path that answers with messages that were read before.
pub(crate) fn inbox_path() -> String {
    format!("/api/messages/{READER}")
}

fn subtask_body(task: &str, request: usize, wave: usize, number: usize) -> Value {
    let description =
        format!("Step {number} of wave {wave} in part {request}: measure, change one thing, measure again.");
    json!({
        "task_id": task,
        "description": description,
        "agent_type": AGENT_TYPES[number % AGENT_TYPES.len()],
        "agent_id": format!("agent-{number}"),
        "status": if wave + 1 == TASKS { "running" } else { "completed" },
    })
}

/// What `GET path` answers.
pub(crate) async fn get(server: &Server, path: &str) -> Value {
    answer(path, server.http().get(format!("{}{path}", server.api()))).await
}

/// How many bytes `GET path` answers.
pub(crate) async fn size(server: &Server, path: &str) -> usize {
    let answer = server.http().get(format!("{}{path}", server.api())).send().await;
    answer.expect("the server answers").bytes().await.expect("the whole answer").len()
}

async fn post(server: &Server, path: &str, body: &Value) -> Value {
    answer(path, server.http().post(format!("{}{path}", server.api())).json(body)).await
}

async fn answer(path: &str, request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("the server answers");
    let status = answer.status();
    let text = answer.text().await.expect("the whole answer");
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error} in {text}"))
}

fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_else(|| panic!("there is no id in {row}")).to_owned()
}
