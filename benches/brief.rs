//! How long a brief takes for a long session: 1,000 subtasks, 20,000 actions, 2,000 tokens, on the embedded store.
//!
//! `cargo bench --bench brief` fills a store first, through ingest, and then asks again and again.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark reports, and fails by panicking")]

use criterion::{Criterion, criterion_group, criterion_main};
use dcm::api::actions::ActionList;
use dcm::api::ingest::Ingest;
use dcm::api::{Operation, wire};
use dcm::{Dcm, EngineConfig, Timestamp};
use serde_json::{Value, json};

const SUBTASKS: i64 = 1_000;
const ACTIONS: i64 = 20_000;
const TOKENS: i32 = 2_000;
const SESSION: &str = "00000000-0000-4000-8000-000000000001";

fn input<O: Operation>(fields: &Value) -> O {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes()).unwrap()
}

/// A session in which sub-agents read, change and test some three hundred files.
fn observations() -> Vec<Value> {
    let mut now = 1_790_000_000_000;
    let mut at = || {
        now += 500;
        Timestamp::from_millis(now)
    };
    let mut all = Vec::new();
    let each = ACTIONS / SUBTASKS;
    for subtask in 0..SUBTASKS {
        if subtask % 50 == 0 {
            let text = format!("Part {subtask}: make the import faster, and keep every test as it is.");
            all.push(json!({"type": "prompt", "key": format!("p{subtask}"), "at": at(), "text": text}));
        }
        let agent = format!("agent{subtask}");
        let description = format!("Look into step {subtask} of the import and say what it costs");
        all.push(json!({"type": "agent_started", "agent_id": agent, "at": at(), "agent_type": "Explore",
            "description": description}));
        for call in 0..each {
            let number = subtask * each + call;
            let file = format!("/srv/shop/src/part{}/file{}.rs", number % 17, number % 293);
            let (tool, said, failed) = match number % 5 {
                0 => ("Edit", json!({"file_path": file, "old_string": "a", "new_string": "b"}), false),
                1 => ("Bash", json!({"command": format!("cargo test part{}", number % 97)}), number % 7 == 0),
                _ => ("Read", json!({"file_path": file}), false),
            };
            let paths: Vec<&str> = said["file_path"].as_str().into_iter().collect();
            all.push(json!({"type": "tool_used", "tool_use_id": format!("t{number}"), "at": at(), "agent_id": agent,
                "tool_name": tool, "input": said.to_string(), "output": "test result: ok. 1 passed; 0 failed\n".repeat(5),
                "exit_code": i32::from(failed), "file_paths": paths}));
        }
        if subtask % 100 != 99 {
            let result = format!("Step {subtask} costs {} ms; most of it is in the parser.", subtask % 40);
            all.push(json!({"type": "agent_stopped", "agent_id": agent, "at": at(), "result": result}));
        }
    }
    all
}

fn brief(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dcm = runtime.block_on(async {
        let dcm = Dcm::open_sqlite(&folder.path().join("dcm.db"), EngineConfig::default()).await.unwrap();
        for some in observations().chunks(500) {
            let body = json!({"session_id": SESSION, "project_path": "/srv/shop", "observations": some});
            dcm.ingest(input::<Ingest>(&body)).await.unwrap();
        }
        let query = [("session_id", SESSION), ("limit", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let list: ActionList = wire::from_request(Vec::new(), query.to_vec(), b"").unwrap();
        let actions = dcm.action_list(list).await.unwrap().total;
        assert_eq!(actions, ACTIONS);
        dcm
    });
    let about = json!({"agent_id": "main", "session_id": SESSION, "max_tokens": TOKENS});
    let one = runtime.block_on(dcm.context_generate(input(&about))).unwrap().brief;
    println!("{} of {TOKENS} tokens, {} bytes", one.token_count, one.content.len());
    criterion.bench_function("brief at 2,000 tokens", |bencher| {
        bencher.iter(|| runtime.block_on(dcm.context_generate(input(&about))).unwrap());
    });
    runtime.block_on(dcm.close());
}

criterion_group!(benches, brief);
criterion_main!(benches);
