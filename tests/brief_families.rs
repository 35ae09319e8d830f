//! One brief of each family, as its readers see it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dcm::api::{Operation, wire};
use dcm::context::BriefOptions;
use dcm::{Dcm, EngineConfig};
use dcm_suite::postgres::Database;
use serde_json::{Value, json};

fn input<O: Operation>(fields: &Value) -> O {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes()).unwrap()
}

async fn work(dcm: &Dcm, task: &Value, agent: &str, kind: &str, text: &str, status: &str) -> Value {
    let fields = json!({"task_id": task, "description": text, "agent_id": agent, "agent_type": kind, "status": status});
    json!(dcm.subtask_create(input(&fields)).await.unwrap().subtask.subtask.id)
}

async fn call(dcm: &Dcm, subtask: &Value, tool: &str, what: &str, exit_code: i32, output: &str) {
    let (given, files) = match tool {
        "Bash" => (json!({"command": what}).to_string(), json!([])),
        _ => (json!({"file_path": what}).to_string(), json!([what])),
    };
    let fields = json!({"tool_name": tool, "tool_type": "builtin", "input": given, "output": output,
        "file_paths": files, "exit_code": exit_code, "subtask_id": subtask});
    dcm.action_record(input(&fields)).await.unwrap();
}

/// A session in the middle of its work: two agents are done or at it, one is stuck, a test is red.
async fn scene(dcm: Dcm) -> Dcm {
    let project =
        dcm.project_upsert(input(&json!({"path": "/srv/shop", "name": "shop"}))).await.unwrap().project.id;
    let request = |prompt: &str| json!({"project_id": project, "session_id": "s-42", "prompt": prompt});
    dcm.request_create(input(&request("Set up the shop's database"))).await.unwrap();
    let prompt = "Let people search the products.\nNames and descriptions count, typing errors are forgiven.";
    let request = dcm.request_create(input(&request(prompt))).await.unwrap().request.id;
    let task =
        dcm.task_create(input(&json!({"request_id": request, "name": "Search"}))).await.unwrap().task.id;
    let task = json!(task);

    let explore = work(&dcm, &task, "explore-1", "Explore", "Find where products are read", "running").await;
    call(&dcm, &explore, "Read", "/srv/shop/schema.sql", 0, "").await;
    call(&dcm, &explore, "Read", "/srv/shop/src/products.rs", 0, "").await;
    let result = json!({"status": "completed", "result":
        {"message": "Products are read in src/products.rs only; the table has no index on names."}});
    let path = vec![("id".to_owned(), explore.as_str().unwrap().to_owned())];
    let update = wire::from_request(path, Vec::new(), result.to_string().as_bytes()).unwrap();
    dcm.subtask_update(update).await.unwrap();

    let index =
        work(&dcm, &task, "backend-1", "backend-rust", "Index names and descriptions", "running").await;
    call(&dcm, &index, "Edit", "/srv/shop/src/index.rs", 0, "").await;
    call(&dcm, &index, "Bash", "cargo test index", 101, "running 3 tests\nerror: index::stems panicked")
        .await;
    call(&dcm, &index, "Edit", "/srv/shop/src/index.rs", 0, "").await;
    call(&dcm, &index, "Bash", "cargo clippy", 0, "").await;
    call(&dcm, &index, "Write", "/srv/shop/tests/index.rs", 0, "").await;
    work(&dcm, &task, "frontend-1", "frontend-react", "Show the results while typing", "blocked").await;
    work(&dcm, &task, "qa-1", "qa-testing", "Check searches with typing errors", "pending").await;
    work(&dcm, &task, "security-1", "security-specialist", "Check what a query may do", "running").await;

    let block = json!({"blocked_by": "backend-1", "blocked_agent": "frontend-1", "reason": "the index has no API yet"});
    dcm.block(input(&block)).await.unwrap();
    for (to, priority, text) in [
        ("backend-1", 8, "Which fields does a result have? I need them to draw the list."),
        ("tech-lead-1", 2, "The designs for the list are in docs/search.png."),
        ("security-1", 5, "Queries go into SQL in src/index.rs, please look there first."),
    ] {
        let mail = json!({"from_agent": "frontend-1", "to_agent": to, "topic": "context.request",
            "priority": priority, "content": text});
        dcm.message_send(input(&mail)).await.unwrap();
    }
    let saved = json!({"session_id": "s-42", "key_decisions": ["Search in the database, no service of its own"],
        "modified_files": []});
    dcm.compact_save(input(&saved)).await.unwrap();
    dcm
}

async fn brief(dcm: &Dcm, agent: &str, kind: &str) -> String {
    let options = BriefOptions {
        agent_type: Some(kind.to_owned()),
        max_tokens: Some(600),
        history_limit: Some(3),
        ..BriefOptions::new(agent.to_owned(), "s-42".to_owned())
    };
    dcm.brief(options).await.unwrap().0.content
}

#[tokio::test]
async fn one_of_each_family() {
    let dcm = scene(Dcm::open_in_memory(EngineConfig::default()).await.unwrap()).await;
    for (name, agent, kind) in [
        ("orchestrator", "tech-lead-1", "tech-lead"),
        ("developer", "backend-1", "backend-rust"),
        ("validator", "qa-1", "qa-testing"),
        ("specialist", "security-1", "security-specialist"),
    ] {
        insta::assert_snapshot!(name, brief(&dcm, agent, kind).await);
    }
    dcm.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_give_the_same_bytes() {
    let database = Database::create();
    let embedded = scene(Dcm::open_in_memory(EngineConfig::default()).await.unwrap()).await;
    let remote = Dcm::connect_postgres(database.url(), EngineConfig::default()).await.unwrap();
    let remote = scene(remote).await;
    for (agent, kind) in [("tech-lead-1", "tech-lead"), ("backend-1", "backend-rust"), ("s-42", "main")] {
        let here = brief(&embedded, agent, kind).await;
        assert_eq!(here, brief(&embedded, agent, kind).await, "the same rows, asked twice");
        assert_eq!(here, brief(&remote, agent, kind).await, "the same work in the other store");
    }
    embedded.close().await;
    remote.close().await;
}
