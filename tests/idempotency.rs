//! `Idempotency-Key`: a POST that is repeated is carried out once, and answered the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use dcm_suite::calls::{Answer, Calls};
use dcm_suite::on_both_stores;
use dcm_suite::server::{Server, Store};
use reqwest::Method;
use serde_json::{Value, json};

/// A call of every POST, how it is answered, and what its body might be instead.
struct Case {
    path: &'static str,
    status: u16,
    body: Value,
    other: Value,
}

fn case(path: &'static str, status: u16, body: Value, member: &str, other: impl Into<Value>) -> Case {
    let mut changed = body.clone();
    changed[member] = other.into();
    Case { path, status, body, other: changed }
}

fn id(answer: &Value, what: &str) -> String {
    answer[what]["id"].as_str().unwrap().to_owned()
}

/// Something to hang the calls on.
async fn tree(api: &Calls) -> [String; 3] {
    let project = api.post("/api/projects", &json!({"path": "/srv/idempotent"})).await;
    let project = id(&project, "project");
    let body = json!({"project_id": project, "session_id": "s-1", "prompt": "Do it once"});
    let request = id(&api.post("/api/requests", &body).await, "request");
    let task = id(&api.post("/api/tasks", &json!({"request_id": request})).await, "task");
    [project, request, task]
}

async fn every_post(api: &Calls) -> Vec<Case> {
    let [project, request, task] = tree(api).await;
    let learned = json!({"tool_name": "Bash", "tool_type": "builtin", "input": "cargo test migration"});
    api.post("/api/actions", &learned).await;
    for topic in ["task.created", "task.failed"] {
        api.post("/api/subscribe", &json!({"agent_id": "leaver", "topic": topic})).await;
    }
    for blocked in ["held", "held-too"] {
        api.post("/api/blocking", &json!({"blocked_by": "holder", "blocked_agent": blocked})).await;
    }
    let observed = json!({"session_id": "s-observed", "project_path": "/srv/idempotent", "observations": [
        {"type": "prompt", "key": "p-1", "at": "2026-01-01T00:00:00.000Z", "text": "Look"},
        {"type": "tool_used", "tool_use_id": "t-1", "at": "2026-01-01T00:00:01.000Z", "tool_name": "Read"},
    ]});
    let message = json!({"from_agent": "a", "to_agent": "r", "topic": "task.created", "content": "x"});
    let message = id(&api.post("/api/messages", &message).await, "message");
    let hook = json!({"session_id": "s-hook", "hook_event_name": "PostToolUse", "prompt_id": "p-1", "tool_name": "Bash",
        "tool_input": {"command": "ls"}, "tool_response": {"stdout": "a"}, "tool_use_id": "u-1"});
    vec![
        case("/api/auth/token", 200, json!({"agent_id": "a", "session_id": "s-1"}), "agent_id", "b"),
        case("/api/projects", 201, json!({"path": "/srv/new", "metadata": {"a": 1}}), "name", "New"),
        case(
            "/api/requests",
            201,
            json!({"project_id": project, "session_id": "s-1", "prompt": "Again"}),
            "prompt",
            "Another",
        ),
        case("/api/tasks", 201, json!({"request_id": request}), "name", "Other"),
        case("/api/subtasks", 201, json!({"task_id": task, "description": "Once"}), "description", "Twice"),
        case(
            "/api/actions",
            201,
            json!({"tool_name": "Bash", "tool_type": "builtin", "input": "cargo build", "session_id": "s-2"}),
            "exit_code",
            1,
        ),
        case(
            "/api/routing/feedback",
            200,
            json!({"tool_name": "Bash", "keywords": ["migration"], "chosen": true}),
            "chosen",
            false,
        ),
        case("/api/sessions", 201, json!({"id": "s-new"}), "id", "s-newer"),
        case(
            "/api/messages",
            201,
            json!({"from_agent": "a", "to_agent": "b", "topic": "task.created", "content": {"n": 1}}),
            "priority",
            7,
        ),
        case(
            "/api/subscribe",
            201,
            json!({"agent_id": "a", "topic": "task.created"}),
            "topic",
            "task.failed",
        ),
        case(
            "/api/unsubscribe",
            200,
            json!({"agent_id": "leaver", "topic": "task.created"}),
            "topic",
            "task.failed",
        ),
        case(
            "/api/blocking",
            201,
            json!({"blocked_by": "a", "blocked_agent": "b", "reason": "first"}),
            "reason",
            "second",
        ),
        case(
            "/api/unblock",
            200,
            json!({"blocked_by": "holder", "blocked_agent": "held"}),
            "blocked_agent",
            "held-too",
        ),
        case("/api/context/generate", 201, json!({"agent_id": "a", "session_id": "s-1"}), "max_tokens", 500),
        case(
            "/api/compact/restore",
            200,
            json!({"agent_id": "a", "session_id": "s-1", "compact_summary": "So far"}),
            "compact_summary",
            "By now",
        ),
        case(
            "/api/compact/save",
            201,
            json!({"session_id": "s-1", "context_summary": "So far"}),
            "trigger",
            "auto",
        ),
        case("/api/receipts", 200, json!({"message_id": message, "agent_id": "b"}), "agent_id", "c"),
        case("/hooks/claude", 204, hook, "tool_use_id", "u-other"),
        case("/api/ingest", 200, observed, "session_id", "s-other"),
    ]
}

/// Every row of every table that a call could change. What the scorer learned is written aside, from the events.
fn dump(server: &Server) -> Vec<(&'static str, Vec<Vec<Option<String>>>)> {
    let tables = [
        "projects",
        "sessions",
        "requests",
        "task_lists",
        "subtasks",
        "actions",
        "open_failures",
        "agent_contexts",
        "agent_messages",
        "subscriptions",
        "blocked_agents",
        "compactions",
        "hook_states",
        "message_receipts",
        "idempotency_keys",
        // Without what servers say of themselves when they start.
        "events where name <> 'system.info'",
    ];
    let head =
        "select epoch, seq - (select count(*) from events where name = 'system.info') from event_log_head";
    let mut rows: Vec<_> =
        tables.map(|table| (table, server.rows(&format!("select * from {table} order by 1, 2")))).into();
    rows.push(("event_log_head", server.rows(head)));
    rows
}

fn refused(answer: &Answer) {
    assert_eq!(answer.status, 422, "{answer:?}");
    let body = answer.json();
    assert!(body["error"].as_str().unwrap().contains("Idempotency-Key"), "{body}");
}

on_both_stores!(
    a_repeated_post_changes_nothing,
    one_key_from_twenty_connections,
    answers_survive_a_kill,
    a_failed_call_does_not_use_the_key_up,
    keys_that_cannot_be,
    a_key_on_other_methods_means_nothing,
);

async fn a_repeated_post_changes_nothing(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let cases = every_post(&api).await;
    let posts = dcm::api::OPERATIONS.iter().filter(|operation| operation.method == dcm::api::Method::POST);
    let posts: BTreeSet<&str> = posts.map(|operation| operation.path).collect();
    assert_eq!(cases.iter().map(|case| case.path).collect::<BTreeSet<_>>(), posts, "every POST has a case");

    for Case { path, status, body, other } in &cases {
        let key = format!("key of {path}");
        let first = api.post_keyed(path, &key, body).await;
        assert_eq!(first.status, *status, "{path}: {first:?}");
        let before = dump(&server);
        for _ in 0..2 {
            assert_eq!(api.apart().post_keyed(path, &key, body).await, first, "{path}");
        }
        refused(&api.post_keyed(path, &key, other).await);
        assert_eq!(dump(&server), before, "{path}");
        // The other body is fine under a key of its own.
        let answer = api.post_keyed(path, &format!("{key}, other"), other).await;
        assert_eq!(answer.status, *status, "{path}: {answer:?}");
    }
    // A key belongs to one path.
    let subscription = json!({"agent_id": "a", "topic": "task.created"});
    refused(&api.post_keyed("/api/unsubscribe", "key of /api/subscribe", &subscription).await);
}

/// The same call at once over connections of its own each.
async fn at_once(api: &Calls, calls: Vec<(&'static str, Value)>, key: &str) -> Vec<Answer> {
    let tasks: Vec<_> = calls
        .into_iter()
        .map(|(path, body)| {
            let (api, key) = (api.apart(), key.to_owned());
            tokio::spawn(async move { api.post_keyed(path, &key, &body).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

const MANY: usize = 20;

async fn one_key_from_twenty_connections(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    for Case { path, status, body, .. } in every_post(&api).await {
        let answers = at_once(&api, vec![(path, body); MANY], &format!("at once {path}")).await;
        assert_eq!(answers[0].status, status, "{path}: {:?}", answers[0]);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{path}: {answers:?}");
    }
    for (rows, sql) in [
        (1, "select count(*) from projects where path = '/srv/new'"),
        (1, "select count(*) from requests where prompt = 'Again'"),
        (
            2,
            "select count(*) from task_lists where request_id in (select id from requests where prompt = 'Do it once')",
        ),
        (1, "select count(*) from subtasks where description = 'Once'"),
        (1, "select count(*) from actions where session_id = 's-2'"),
        (1, "select total_tools_used from sessions where id = 's-2'"),
        (1, "select count(*) from agent_messages where to_agent_id = 'b'"),
        (1, "select count(*) from actions where session_id = 's-observed'"),
        (2, "select count(*) from compactions"),
        (2, "select count(*) from events where name = 'session.updated'"),
    ] {
        assert_eq!(server.number(sql), rows, "{sql}");
    }
    let learned = api.get("/api/routing/suggest?keywords=migration").await;
    assert_eq!(learned["suggestions"][0]["score"], 1.2, "feedback that was given once: {learned}");

    // Two bodies under one key: the first that is committed wins, whichever it is.
    let body = |number: usize| json!({"tool_name": "Bash", "tool_type": "builtin", "session_id": format!("either-{}", number % 2)});
    let calls = (0..MANY).map(|number| ("/api/actions", body(number))).collect();
    let answers = at_once(&api, calls, "either").await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((won.len(), lost.len()), (MANY / 2, MANY / 2), "{answers:?}");
    assert!(won.iter().all(|answer| *answer == won[0]));
    lost.into_iter().for_each(refused);
    assert_eq!(server.number("select count(*) from actions where session_id like 'either-%'"), 1);
}

async fn answers_survive_a_kill(store: Store) {
    let mut server = Server::start(store).await;
    let api = server.calls();
    let cases = every_post(&api).await;
    let mut answers = Vec::new();
    for Case { path, body, .. } in &cases {
        answers.push(api.post_keyed(path, &format!("kept {path}"), body).await);
    }
    let before = dump(&server);
    server.kill();
    server.restart().await;
    for (Case { path, body, other, .. }, answer) in cases.iter().zip(&answers) {
        let key = format!("kept {path}");
        assert_eq!(&api.post_keyed(path, &key, body).await, answer, "{path}");
        refused(&api.post_keyed(path, &key, other).await);
    }
    assert_eq!(dump(&server), before);
}

async fn a_failed_call_does_not_use_the_key_up(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    // Not there yet: 404. Then there: 200, and kept.
    let body = json!({"agent_id": "a", "topic": "task.created"});
    for _ in 0..2 {
        assert_eq!(api.post_keyed("/api/unsubscribe", "k-404", &body).await.status, 404);
    }
    api.post("/api/subscribe", &body).await;
    let done = api.post_keyed("/api/unsubscribe", "k-404", &body).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(
        api.post_keyed("/api/unsubscribe", "k-404", &body).await,
        done,
        "there is nothing left, but it was done"
    );

    // In the way: 409. Out of the way: 201.
    let body = json!({"id": "s-1"});
    api.post("/api/sessions", &body).await;
    assert_eq!(api.post_keyed("/api/sessions", "k-409", &body).await.status, 409);
    api.delete("/api/sessions/s-1").await;
    assert_eq!(api.post_keyed("/api/sessions", "k-409", &body).await.status, 201);

    // Wrong: 400. Another body under the same key is then no other body.
    let wrong = json!({"tool_name": "Bash", "tool_type": "magic"});
    assert_eq!(api.post_keyed("/api/actions", "k-400", &wrong).await.status, 400);
    let right = json!({"tool_name": "Bash", "tool_type": "builtin"});
    assert_eq!(api.post_keyed("/api/actions", "k-400", &right).await.status, 201);
    assert_eq!(server.number("select count(*) from idempotency_keys"), 3);
}

async fn keys_that_cannot_be(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let body = json!({"tool_name": "Bash", "tool_type": "builtin"});
    for key in ["", &"k".repeat(256)] {
        let answer = api.post_keyed("/api/actions", key, &body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let details = answer.json()["details"].clone();
        assert!(details["Idempotency-Key"][0].as_str().unwrap().contains("255"), "{details}");
    }
    assert_eq!(api.get("/stats").await["actionCount"], 0);
    for key in ["k", &"k".repeat(255), "a key: of /every\\ 'sort' \"of\" %41 character~"] {
        let first = api.post_keyed("/api/actions", key, &body).await;
        assert_eq!(first.status, 201, "{first:?}");
        assert_eq!(api.post_keyed("/api/actions", key, &body).await, first);
    }
    assert_eq!(api.get("/stats").await["actionCount"], 3);
}

async fn a_key_on_other_methods_means_nothing(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let [_, request, _] = tree(&api).await;
    let path = format!("/api/requests/{request}");
    for status in ["completed", "failed"] {
        let body = json!({"status": status});
        let answer = api.attempt(Method::PATCH, &path, Some("k"), Some(&body)).await.unwrap().success();
        assert_eq!(answer["request"]["status"], status);
        let read = api.attempt(Method::GET, &path, Some("k"), None).await.unwrap().success();
        assert_eq!(read["request"]["status"], status);
    }
    assert_eq!(server.number("select count(*) from idempotency_keys"), 0);
}
