//! Every write commits its events with its rows: which events, on which channels, with what in them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod sessions;

use std::collections::BTreeSet;

use dcm_suite::calls::Calls;
use dcm_suite::on_both_stores;
use dcm_suite::server::{Server, Store};
use reqwest::Method;
use serde_json::{Value, json};

/// Stands in everything that only the agents concerned may read.
const CONTENT: &str = "for-your-eyes-only";

#[derive(Debug)]
struct Event {
    seq: i64,
    id: String,
    name: String,
    channels: Vec<String>,
    data: Value,
    summary: Value,
}

/// The log from `after` on; it has no hole, and its head is its end.
fn log(server: &Server, store: Store, after: i64) -> Vec<Event> {
    let channels = if store == Store::Postgres { "to_json(channels)" } else { "channels" };
    let sql = format!(
        "select seq, id, name, {channels}, data, summary from events where seq > {after} order by seq"
    );
    let rows = server.rows(&sql).into_iter();
    let events: Vec<Event> = rows
        .map(|row| {
            let mut row = row.into_iter().map(Option::unwrap);
            let mut next = || row.next().unwrap();
            let seq = next().parse().unwrap();
            let (id, name) = (next(), next());
            let mut parsed = || serde_json::from_str(&next()).unwrap();
            let channels: Value = parsed();
            let channels =
                channels.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
            Event { seq, id, name, channels, data: parsed(), summary: parsed() }
        })
        .collect();
    for (event, seq) in events.iter().zip(after + 1..) {
        assert_eq!(event.seq, seq, "the log is dense");
    }
    let end = events.last().map_or(after, |event| event.seq);
    assert_eq!(server.number("select seq from event_log_head"), end, "the head is the end of the log");
    let ids: BTreeSet<&String> = events.iter().map(|event| &event.id).collect();
    assert_eq!(ids.len(), events.len(), "every event has an id of its own");
    events
}

/// Members that `global` may hear: ids, types and statuses.
const SUMMARY: [&str; 21] = [
    "id",
    "project_id",
    "session_id",
    "request_id",
    "task_list_id",
    "subtask_id",
    "agent_id",
    "agent_type",
    "prompt_type",
    "tool_name",
    "tool_type",
    "exit_code",
    "status",
    "wave_number",
    "from",
    "to",
    "by",
    "topic",
    "deleted_count",
    "read_at",
    "chosen",
];

fn check_summary(event: &Event) {
    let members = event.summary.as_object().unwrap();
    assert!(!members.is_empty(), "{event:?}");
    for (name, value) in members {
        assert!(SUMMARY.contains(&name.as_str()), "{name} in {event:?}");
        assert!(!value.is_object() && !value.is_array(), "{event:?}");
    }
    let said = event.summary.to_string();
    assert!(!said.contains(CONTENT) && !said.contains("/srv"), "content for everybody: {event:?}");
    assert!(event.data.as_object().unwrap().keys().count() >= members.len(), "{event:?}");
}

/// A server, and how far its log was looked at.
struct Scenario {
    server: Server,
    store: Store,
    api: Calls,
    seen: i64,
}

impl Scenario {
    async fn new(store: Store) -> Self {
        let server = Server::start(store).await;
        let api = server.calls();
        // The server has said that it started.
        Self { server, store, api, seen: 1 }
    }

    /// What came into the log since the last look.
    fn new_events(&mut self) -> Vec<Event> {
        let events = log(&self.server, self.store, self.seen);
        self.seen += i64::try_from(events.len()).unwrap();
        events.iter().for_each(check_summary);
        events
    }

    /// Exactly these, in this order: the name, the channels beside `global`, and what `global` hears.
    fn expect(&mut self, what: &str, expected: &[(&str, &[&str], Value)]) {
        let events = self.new_events();
        let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, expected.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), "{what}");
        for (event, (_, channels, summary)) in events.iter().zip(expected) {
            let found: BTreeSet<&str> = event.channels.iter().map(String::as_str).collect();
            assert_eq!(found.len(), event.channels.len(), "{what}: a channel twice: {event:?}");
            assert_eq!(found, channels.iter().copied().collect(), "{what}: {event:?}");
            assert_eq!(&event.summary, summary, "{what}: {event:?}");
        }
    }

    /// A call that succeeds and says nothing in the log.
    async fn silent(&mut self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.api.call(method, path, Some(&body)).await.success();
        self.expect(path, &[]);
        answer
    }
}

fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_else(|| panic!("no id in {row}")).to_owned()
}

on_both_stores!(
    every_write_says_what_it_did,
    ingest_says_what_became_of_its_observations,
    what_fails_says_nothing,
    fifty_writers_leave_no_hole,
);

#[expect(clippy::too_many_lines, reason = "one scenario that touches every write, in order")]
async fn every_write_says_what_it_did(store: Store) {
    let mut s = Scenario::new(store).await;
    let api = s.api.clone();

    let body = json!({"path": "/srv/p", "name": CONTENT, "metadata": {"a": CONTENT}});
    let project = id(&api.post("/api/projects", &body).await["project"]);
    s.expect("a new project", &[("project.created", &[], json!({"id": project}))]);
    api.post("/api/projects", &body).await;
    s.expect("a known project", &[("project.updated", &[], json!({"id": project}))]);

    let of_session: &[&str] = &["sessions/s-1"];
    let session = json!({"id": "s-1", "session_id": "s-1"});
    api.post("/api/sessions", &json!({"id": "s-1", "project_id": project})).await;
    s.expect("a new session", &[("session.created", of_session, session.clone())]);
    api.patch("/api/sessions/s-1", &json!({"total_tools_used": 1})).await;
    s.expect("counters of a session", &[("session.updated", of_session, session.clone())]);

    let body = json!({"project_id": project, "session_id": "s-1", "prompt": CONTENT, "prompt_type": "debug",
        "metadata": {"a": CONTENT}});
    let request = id(&api.post("/api/requests", &body).await["request"]);
    let about_request = |status: &str| json!({"id": request, "project_id": project, "session_id": "s-1", "prompt_type": "debug", "status": status});
    s.expect("a new request", &[("request.created", of_session, about_request("active"))]);
    api.patch(&format!("/api/requests/{request}"), &json!({"metadata": {"b": CONTENT}})).await;
    s.expect("metadata of a request", &[("request.updated", of_session, about_request("active"))]);

    let body = json!({"request_id": request, "name": CONTENT});
    let task = id(&api.post("/api/tasks", &body).await["task"]);
    let about_task =
        |status: &str| json!({"id": task, "request_id": request, "wave_number": 0, "status": status});
    s.expect("a new task", &[("task.created", of_session, about_task("pending"))]);
    api.patch(&format!("/api/tasks/{task}"), &json!({"name": format!("still {CONTENT}")})).await;
    s.expect("the name of a task", &[("task.updated", of_session, about_task("pending"))]);
    api.patch(&format!("/api/tasks/{task}"), &json!({"status": "blocked"})).await;
    s.expect("a status that is not an end", &[("task.updated", of_session, about_task("blocked"))]);
    api.patch(&format!("/api/tasks/{task}"), &json!({"status": "pending"})).await;
    s.expect("and back", &[("task.updated", of_session, about_task("pending"))]);

    let body = json!({"task_id": task, "description": CONTENT, "agent_type": "developer", "agent_id": "dev-1",
        "context_snapshot": {"a": CONTENT}});
    let subtask = id(&api.post("/api/subtasks", &body).await["subtask"]);
    let of_agent: &[&str] = &["agents/dev-1", "agents/developer", "sessions/s-1"];
    let about_subtask = |status: &str| json!({"id": subtask, "task_list_id": task, "agent_type": "developer", "agent_id": "dev-1", "status": status});
    s.expect("a new subtask", &[("subtask.created", of_agent, about_subtask("pending"))]);
    let path = format!("/api/subtasks/{subtask}");
    api.patch(&path, &json!({"status": "running"})).await;
    s.expect(
        "work that begins",
        &[
            ("subtask.updated", of_agent, about_subtask("running")),
            ("task.updated", of_session, about_task("running")),
        ],
    );
    api.patch(&path, &json!({"result": {"half": CONTENT}})).await;
    s.expect("a result without a status", &[("subtask.updated", of_agent, about_subtask("running"))]);

    let body = json!({"tool_name": "Bash", "tool_type": "builtin", "input": format!("echo {CONTENT}"), "output": CONTENT,
        "file_paths": [format!("/srv/{CONTENT}")], "exit_code": 1, "session_id": "s-1", "subtask_id": subtask});
    let action = id(&api.post("/api/actions", &body).await["action"]);
    let about_action = json!({"id": action, "tool_name": "Bash", "tool_type": "builtin", "exit_code": 1,
        "session_id": "s-1", "subtask_id": subtask});
    s.expect("an action of an agent", &[("action.created", of_agent, about_action)]);

    api.patch(&path, &json!({"status": "completed", "result": {"all": CONTENT}})).await;
    s.expect(
        "the last child ends",
        &[
            ("subtask.completed", of_agent, about_subtask("completed")),
            ("task.completed", of_session, about_task("completed")),
            ("request.completed", of_session, about_request("completed")),
        ],
    );
    api.patch(&path, &json!({"status": "running"})).await;
    s.expect(
        "a child goes on",
        &[
            ("subtask.updated", of_agent, about_subtask("running")),
            ("task.updated", of_session, about_task("running")),
            ("request.updated", of_session, about_request("active")),
        ],
    );
    api.patch(&path, &json!({"status": "failed"})).await;
    s.expect(
        "a child fails",
        &[
            ("subtask.failed", of_agent, about_subtask("failed")),
            ("task.failed", of_session, about_task("failed")),
            ("request.failed", of_session, about_request("failed")),
        ],
    );

    messages(&mut s).await;
    blocking(&mut s).await;
    quiet_calls(&mut s, &project).await;

    let body = json!({"agent_id": "dev-1", "session_id": "s-1", "compact_summary": CONTENT});
    api.post("/api/compact/restore", &body).await;
    s.expect("a session was compacted", &[("session.updated", of_session, session.clone())]);

    // What goes, with everything below it, is one event.
    api.delete(&format!("/api/actions/{action}")).await;
    s.expect("an action goes", &[("action.deleted", of_session, json!({"id": action, "session_id": "s-1"}))]);
    api.delete("/api/actions/by-session/s-1").await;
    let none = json!({"session_id": "s-1", "deleted_count": 0});
    s.expect("no action goes", &[("actions.bulk_deleted", of_session, none)]);
    let body =
        json!({"task_id": task, "description": CONTENT, "agent_type": "developer", "agent_id": "dev-1"});
    let second = id(&api.post("/api/subtasks", &body).await["subtask"]);
    s.new_events();
    api.delete(&format!("/api/subtasks/{second}")).await;
    let gone = json!({"id": second, "task_list_id": task, "agent_type": "developer"});
    s.expect(
        "an open subtask goes",
        &[
            ("subtask.deleted", of_agent, gone),
            ("task.failed", of_session, about_task("failed")),
            ("request.failed", of_session, about_request("failed")),
        ],
    );
    api.delete(&format!("/api/tasks/{task}")).await;
    let gone = json!({"id": task, "request_id": request, "wave_number": 0});
    s.expect("a task goes", &[("task.deleted", of_session, gone)]);
    api.delete(&format!("/api/requests/{request}")).await;
    s.expect("a request goes", &[("request.deleted", of_session, json!({"id": request}))]);
    api.patch("/api/sessions/s-1", &json!({"ended_at": "2026-01-01T00:00:00.000Z"})).await;
    s.expect("a session ends", &[("session.ended", of_session, session.clone())]);
    api.delete("/api/sessions/s-1").await;
    s.expect("a session goes", &[("session.deleted", of_session, session)]);
    api.delete(&format!("/api/projects/{project}")).await;
    s.expect("a project goes", &[("project.deleted", &[], json!({"id": project}))]);
}

async fn messages(s: &mut Scenario) {
    let api = s.api.clone();
    let body = json!({"from_agent": "lead", "to_agent": "dev-1", "topic": "task.created", "content": {"a": CONTENT}, "priority": 3});
    let sent = api.post("/api/messages", &body).await;
    let direct = id(&sent["message"]);
    let about = json!({"id": direct, "from": "lead", "to": "dev-1", "topic": "task.created"});
    let events = log(&s.server, s.store, s.seen);
    assert_eq!(events[0].data["priority"], 3, "its own channels hear how urgent it is");
    s.expect("a message", &[("message.new", &["agents/dev-1", "topics/task.created"], about)]);

    let body = json!({"from_agent": "lead", "topic": "alert.blocking", "content": CONTENT});
    let broadcast = id(&api.post("/api/messages", &body).await["message"]);
    let about = json!({"id": broadcast, "from": "lead", "to": null, "topic": "alert.blocking"});
    s.expect("a broadcast", &[("message.new", &["topics/alert.blocking"], about)]);

    assert_eq!(s.api.call(Method::HEAD, "/api/messages/dev-1", None).await.status, 200);
    s.expect("who asks for the head only has read nothing", &[]);
    api.get("/api/messages/dev-1").await;
    let read = |id: &str| json!({"id": id, "agent_id": "dev-1"});
    for event in log(&s.server, s.store, s.seen) {
        assert_eq!((&event.data["agent_id"], &event.data["from"]), (&json!("dev-1"), &json!("lead")));
        // Times of the wire are in order as texts.
        let at = event.data["read_at"].as_str().unwrap();
        assert!(at >= sent["message"]["created_at"].as_str().unwrap(), "when it was read: {event:?}");
    }
    s.expect(
        "mail is read, the urgent first",
        &[
            ("message.read", &["agents/dev-1", "agents/lead", "topics/task.created"], read(&direct)),
            ("message.read", &["agents/dev-1", "agents/lead", "topics/alert.blocking"], read(&broadcast)),
        ],
    );
    api.get("/api/messages/dev-1").await;
    api.get("/api/messages").await;
    s.expect("a read that finds nothing unread writes nothing", &[]);
}

async fn blocking(s: &mut Scenario) {
    let api = s.api.clone();
    let pair = json!({"blocked_by": "dev-2", "blocked_agent": "dev-1", "reason": CONTENT});
    let about = json!({"by": "dev-2", "agent_id": "dev-1"});
    for _ in 0..2 {
        api.post("/api/blocking", &pair).await;
        let events = log(&s.server, s.store, s.seen);
        assert_eq!(events[0].data["reason"], CONTENT, "the blocked agent hears why");
        s.expect("an agent is blocked", &[("agent.blocked", &["agents/dev-1"], about.clone())]);
    }
    api.post("/api/unblock", &pair).await;
    s.expect("by the pair", &[("agent.unblocked", &["agents/dev-1"], about.clone())]);
    let blocking = id(&api.post("/api/blocking", &pair).await["blocking"]);
    s.new_events();
    api.delete(&format!("/api/blocking/{blocking}")).await;
    s.expect("by the record", &[("agent.unblocked", &["agents/dev-1"], about)]);
}

/// What changes no row that anybody listens for.
async fn quiet_calls(s: &mut Scenario, project: &str) {
    let subscription =
        json!({"agent_id": "dev-1", "topic": "task.created", "callback_url": "https://example.com/"});
    let first = s.silent(Method::POST, "/api/subscribe", subscription.clone()).await;
    s.silent(Method::DELETE, &format!("/api/subscriptions/{}", id(&first["subscription"])), Value::Null)
        .await;
    s.silent(Method::POST, "/api/subscribe", subscription.clone()).await;
    s.silent(Method::POST, "/api/unsubscribe", subscription).await;
    let feedback = json!({"tool_name": "Bash", "keywords": ["echo"], "chosen": true});
    s.api.post("/api/routing/feedback", &feedback).await;
    // All nodes learn from it, and nobody else is told what it was about.
    s.expect("a feedback", &[("routing.feedback", &[], json!({"chosen": true}))]);
    s.silent(Method::POST, "/api/auth/token", json!({"agent_id": "dev-1"})).await;
    let brief = json!({"agent_id": "dev-1", "session_id": "s-1", "project_id": project});
    s.silent(Method::POST, "/api/context/generate", brief).await;
    let unknown = json!({"agent_id": "dev-1", "session_id": "unknown", "compact_summary": CONTENT});
    s.silent(Method::POST, "/api/compact/restore", unknown).await;
    let operations =
        dcm::api::OPERATIONS.iter().filter(|operation| operation.method == dcm::api::Method::GET);
    for operation in operations.filter(|operation| !operation.path.contains('{')) {
        let query = match operation.path {
            "/api/projects/by-path" => "?path=/srv/p",
            "/api/routing/suggest" => "?keywords=echo",
            "/api/blocking/check" => "?blocker=dev-2&blocked=dev-1",
            _ => "",
        };
        s.api.get(&format!("{}{query}", operation.path)).await;
    }
    s.expect("reads", &[]);
}

async fn ingest_says_what_became_of_its_observations(store: Store) {
    let mut s = Scenario::new(store).await;
    let api = s.api.clone();
    let at = |second: u32| format!("2026-01-01T00:00:{second:02}.000Z");
    let body = json!({"session_id": "s-1", "project_path": "/srv/observed", "observations": [
        {"type": "session_started", "at": at(0)},
        {"type": "prompt", "key": "p", "at": at(1), "text": CONTENT, "prompt_type": "feature"},
        {"type": "tool_used", "tool_use_id": "t-1", "at": at(2), "tool_name": "Read", "input": CONTENT, "output": CONTENT,
            "file_paths": [CONTENT]},
        {"type": "agent_started", "agent_id": "a-1", "at": at(3), "agent_type": "Explore", "description": CONTENT},
        {"type": "tool_used", "tool_use_id": "t-2", "at": at(4), "agent_id": "a-1", "tool_name": "Grep"},
        {"type": "agent_stopped", "agent_id": "a-1", "at": at(5), "result": CONTENT},
        {"type": "task_created", "task_id": "1", "at": at(6), "subject": CONTENT},
        {"type": "task_completed", "task_id": "1", "at": at(7)},
        {"type": "compacted", "key": "c", "at": at(8), "trigger": "auto", "summary": CONTENT},
        {"type": "turn_ended", "prompt_key": "p", "at": at(9), "result": CONTENT},
        {"type": "session_ended", "at": at(10)},
    ]});
    api.post("/api/ingest", &body).await;
    let events = s.new_events();
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    let expected = [
        "project.created",
        "session.created",
        // The prompt: a request, its wave 0, the main agent at work.
        "request.created",
        "task.created",
        "subtask.created",
        "action.created",
        // The sub-agent.
        "subtask.created",
        "action.created",
        "subtask.completed",
        // The entry of the task list.
        "subtask.created",
        "subtask.completed",
        // The compaction.
        "session.updated",
        // The end of the turn, and what ends with it.
        "subtask.completed",
        "task.completed",
        "request.completed",
        "session.ended",
    ];
    assert_eq!(names, expected, "{events:?}");
    for event in &events[1..] {
        assert!(event.channels.contains(&"sessions/s-1".to_owned()), "{event:?}");
    }
    for event in &events[6..9] {
        assert!(event.channels.contains(&"agents/a-1".to_owned()), "{event:?}");
        assert!(event.channels.contains(&"agents/Explore".to_owned()), "{event:?}");
    }
    api.post("/api/ingest", &body).await;
    s.expect("what is known is no event", &[]);

    // An action makes the session and the project that it names.
    let body =
        json!({"tool_name": "Bash", "tool_type": "builtin", "session_id": "s-2", "project_path": "/srv/new"});
    api.post("/api/actions", &body).await;
    let names: Vec<String> = s.new_events().into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["project.created", "session.created", "action.created"]);
    // Whose session is a client's business, once: it was made automatically before.
    api.post("/api/sessions", &json!({"id": "s-2"})).await;
    s.expect(
        "a session is claimed",
        &[("session.updated", &["sessions/s-2"], json!({"id": "s-2", "session_id": "s-2"}))],
    );
}

async fn what_fails_says_nothing(store: Store) {
    let mut s = Scenario::new(store).await;
    let api = s.api.clone();
    let project = id(&api.post("/api/projects", &json!({"path": "/srv/p"})).await["project"]);
    let body = json!({"project_id": project, "session_id": "s", "prompt": "x"});
    let request = id(&api.post("/api/requests", &body).await["request"]);
    let task = id(&api.post("/api/tasks", &json!({"request_id": request})).await["task"]);
    api.post("/api/sessions", &json!({"id": "s"})).await;
    s.new_events();
    let nobody = "00000000-0000-0000-0000-000000000000";
    let wrong: Vec<(Method, String, Value, u16)> = vec![
        (Method::POST, "/api/projects".into(), json!({"path": ""}), 400),
        (
            Method::POST,
            "/api/requests".into(),
            json!({"project_id": nobody, "session_id": "s", "prompt": "x"}),
            404,
        ),
        (Method::POST, "/api/tasks".into(), json!({"request_id": nobody}), 404),
        (Method::POST, "/api/subtasks".into(), json!({"task_id": nobody, "description": "x"}), 404),
        (
            Method::POST,
            "/api/subtasks".into(),
            json!({"task_id": task, "description": "x", "blocked_by": [nobody]}),
            400,
        ),
        (Method::PATCH, format!("/api/requests/{request}"), json!({}), 400),
        (Method::PATCH, format!("/api/tasks/{nobody}"), json!({"status": "failed"}), 404),
        (
            Method::POST,
            "/api/actions".into(),
            // Its project and session would be made first.
            json!({"tool_name": "x", "tool_type": "mcp", "subtask_id": nobody, "session_id": "n", "project_path": "/srv/n"}),
            404,
        ),
        (Method::POST, "/api/sessions".into(), json!({"id": "s"}), 409),
        (Method::POST, "/api/sessions".into(), json!({"id": "n", "project_id": nobody}), 404),
        (
            Method::POST,
            "/api/messages".into(),
            json!({"from_agent": "a", "topic": "task.created", "content": "x", "project_id": nobody}),
            404,
        ),
        (Method::POST, "/api/blocking".into(), json!({"blocked_by": "a", "blocked_agent": "a"}), 400),
        (Method::POST, "/api/unblock".into(), json!({"blocked_by": "a", "blocked_agent": "b"}), 404),
        (Method::POST, "/api/unsubscribe".into(), json!({"agent_id": "a", "topic": "task.created"}), 404),
        (Method::DELETE, format!("/api/projects/{nobody}"), Value::Null, 404),
        (Method::DELETE, format!("/api/actions/{nobody}"), Value::Null, 404),
        (Method::DELETE, "/api/sessions/n".into(), Value::Null, 404),
    ];
    let counts = api.get("/stats").await;
    // One by one, then all at once, in one batch with calls that succeed.
    for (method, path, body, status) in &wrong {
        let answer = api.call(method.clone(), path, Some(body)).await;
        assert_eq!(answer.status, *status, "{method} {path}: {answer:?}");
    }
    s.expect("calls that fail", &[]);
    let calls = wrong.into_iter().map(|(method, path, body, status)| {
        let api = api.clone();
        tokio::spawn(async move { (api.call(method, &path, Some(&body)).await.status, status) })
    });
    let calls: Vec<_> = calls.collect();
    let good: Vec<_> = (0..20)
        .map(|_| {
            let (api, path) = (api.clone(), format!("/api/tasks/{task}"));
            tokio::spawn(async move { api.patch(&path, &json!({"name": "renamed"})).await })
        })
        .collect();
    for call in calls {
        let (status, expected) = call.await.unwrap();
        assert_eq!(status, expected);
    }
    for call in good {
        call.await.unwrap();
    }
    let events = s.new_events();
    assert_eq!(events.len(), 20, "{events:?}");
    assert!(events.iter().all(|event| event.name == "task.updated"));
    let after = api.get("/stats").await;
    for name in ["projectCount", "requestCount", "actionCount", "messageCount"] {
        assert_eq!(after[name], counts[name], "{name}");
    }
    assert_eq!(api.get("/api/sessions").await["total"], 1);
}

const WRITERS: usize = 50;
const ROUNDS: usize = 10;

async fn fifty_writers_leave_no_hole(store: Store) {
    let mut s = Scenario::new(store).await;
    let api = s.api.clone();
    let project = id(&api.post("/api/projects", &json!({"path": "/srv/p"})).await["project"]);
    let body = json!({"project_id": project, "session_id": "shared", "prompt": "x"});
    let request = id(&api.post("/api/requests", &body).await["request"]);
    s.new_events();
    let writers = (0..WRITERS).map(|writer| {
        let (api, request) = (api.clone(), request.clone());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let action = json!({"tool_name": "Bash", "tool_type": "builtin", "input": "cargo test", "session_id": "shared"});
                api.post("/api/actions", &action).await;
                api.post("/api/tasks", &json!({"request_id": request})).await;
                let to = format!("agent-{}", (writer + round) % 7);
                let message = json!({"from_agent": "x", "to_agent": to, "topic": "task.created", "content": "x"});
                api.post("/api/messages", &message).await;
                let nothing = json!({"agent_id": "nobody", "topic": "task.created"});
                assert_eq!(api.call(Method::POST, "/api/unsubscribe", Some(&nothing)).await.status, 404);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let events = s.new_events();
    let count = |name: &str| events.iter().filter(|event| event.name == name).count();
    assert_eq!(count("session.created"), 1, "one of them made the session");
    for name in ["action.created", "task.created", "message.new"] {
        assert_eq!(count(name), WRITERS * ROUNDS, "{name}");
    }
    assert_eq!(events.len(), 3 * WRITERS * ROUNDS + 1);
    // The order of the log is that of the waves: who came later saw who came before.
    let waves = events
        .iter()
        .filter(|event| event.name == "task.created")
        .map(|event| event.data["wave_number"].as_u64());
    let waves: Vec<usize> = waves.map(|wave| usize::try_from(wave.unwrap()).unwrap()).collect();
    assert_eq!(waves, (0..WRITERS * ROUNDS).collect::<Vec<_>>());
}
