//! The cleaning jobs of a real server, on both stores: expiry, orphans, stuck work, retention.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dcm::{Clock, SystemClock};
use dcm_suite::calls::Calls;
use dcm_suite::on_both_stores;
use dcm_suite::postgres::Database;
use dcm_suite::server::{Options, Server, Store};
use serde_json::{Value, json};

/// How long something may take to come before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at `path` until what it answers is as it should be.
async fn until(api: &Calls, path: &str, mut come: impl FnMut(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = api.get(path).await;
        if come(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {path} still answers {found}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A run that has begun after this was called has ended.
async fn next_run(api: &Calls) -> Value {
    let path = "/api/cleanup/stats";
    let mut seen = api.get(path).await["last_cleanup"]["deletedAt"].clone();
    // The one that ends next may have begun before.
    for _ in 0..2 {
        let found = until(api, path, |stats| stats["last_cleanup"]["deletedAt"] != seen).await;
        seen = found["last_cleanup"]["deletedAt"].clone();
    }
    api.get(path).await
}

/// What all runs together did, from now on until `done` says that it is enough.
async fn sums_until(
    api: &Calls,
    mut done: impl FnMut(&BTreeMap<String, i64>) -> bool,
) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    let mut last = Value::Null;
    until(api, "/api/cleanup/stats", |stats| {
        let run = &stats["last_cleanup"];
        if run["deletedAt"] != last {
            last = run["deletedAt"].clone();
            for (name, number) in run.as_object().into_iter().flatten() {
                *sums.entry(name.clone()).or_default() += number.as_i64().unwrap_or(0);
            }
        }
        done(&sums)
    })
    .await;
    sums
}

/// Milliseconds since 1970 of a time on the wire.
fn millis(time: &Value) -> i64 {
    dcm::Timestamp::parse(time.as_str().unwrap()).unwrap().as_millis()
}

/// How often an event is in the log.
fn events(server: &Server, name: &str) -> i64 {
    server.number(&format!("select count(*) from events where name = '{name}'"))
}

fn cleaning_every(store: Store, milliseconds: u32) -> Options {
    Options::on(store).variable("DCM_CLEANUP_INTERVAL_MS", milliseconds.to_string())
}

on_both_stores!(
    messages_expire,
    sessions_that_nobody_ends_are_closed,
    whoever_works_in_a_session_keeps_it_open,
    stuck_subtasks_fail_and_roll_up,
    what_is_old_goes,
    what_is_too_much_goes,
    what_was_done_is_counted,
    what_retention_removed_does_not_come_back,
);

async fn messages_expire(store: Store) {
    // Longer than a look takes, so that what a run did can be seen before the next one.
    let options = cleaning_every(store, 2000).variable("MESSAGE_TTL_MS", "1500");
    let server = options.start().await;
    let api = server.calls();
    let send = async |to: &str, ttl: Option<u32>| {
        let body = json!({"from_agent": "a", "to_agent": to, "topic": "task.created", "content": "x", "ttl_seconds": ttl});
        api.post("/api/messages", &body).await["message"].clone()
    };
    let kept = send("kept", Some(3600)).await;
    assert_eq!(millis(&kept["expires_at"]) - millis(&kept["created_at"]), 3_600_000);
    let short = send("short", Some(1)).await;
    assert_eq!(millis(&short["expires_at"]) - millis(&short["created_at"]), 1000);
    let default = send("default", None).await;
    assert_eq!(millis(&default["expires_at"]) - millis(&default["created_at"]), 1500, "MESSAGE_TTL_MS");

    let mut deleted = 0;
    let mut last = Value::Null;
    let stats = until(&api, "/api/cleanup/stats", |stats| {
        let run = &stats["last_cleanup"];
        if run["deletedAt"] != last {
            deleted += run["deletedMessages"].as_i64().unwrap_or(0);
            last = run["deletedAt"].clone();
        }
        deleted == 2
    })
    .await;
    assert_eq!(
        stats["messages"],
        json!({"total": 1, "expired": 0, "unread": 1, "byTopic": {"task.created": 1}})
    );
    assert!(millis(&stats["last_cleanup"]["deletedAt"]) >= millis(&short["expires_at"]), "{stats}");
    for (agent, count) in [("kept", 1), ("short", 0), ("default", 0)] {
        assert_eq!(api.get(&format!("/api/messages/{agent}")).await["count"], count, "{agent}");
    }
    let page = api.get("/api/events?channel=topics/task.created").await;
    let mut expired: Vec<&Value> = page["events"].as_array().unwrap().iter().collect();
    expired.retain(|event| event["event"] == "message.expired");
    assert_eq!(expired.len(), 2, "{page}");
    for (agent, message) in [("short", &short), ("default", &default)] {
        let data = json!({"id": message["id"], "from": "a", "to": agent, "topic": "task.created"});
        assert!(expired.iter().any(|event| event["data"] == data), "{data} in {page}");
        let own = api.get(&format!("/api/events?channel=agents/{agent}&agent_id={agent}")).await;
        let last = own["events"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["event"], &last["data"]), (&json!("message.expired"), &data));
    }
}

async fn sessions_that_nobody_ends_are_closed(store: Store) {
    let options = cleaning_every(store, 100)
        .variable("DCM_SESSION_MIN_AGE_MS", "1")
        .variable("DCM_SESSION_IDLE_MS", "700");
    let server = options.start().await;
    let api = server.calls();
    let action = json!({"tool_name": "Read", "tool_type": "builtin", "session_id": "orphan"});
    let at = api.post("/api/actions", &action).await["action"]["created_at"].clone();
    let closed = until(&api, "/api/sessions/orphan", |session| !session["ended_at"].is_null()).await;
    assert_eq!(closed["ended_at"], at, "it ended when it was last seen");
    assert_eq!(events(&server, "session.ended"), 1);

    // Something happens in it again: it was not over. Then nothing happens any more.
    let again = api.post("/api/actions", &action).await["action"]["created_at"].clone();
    let closed = until(&api, "/api/sessions/orphan", |session| session["ended_at"] == again).await;
    assert_eq!(closed["total_tools_used"], 2);
    assert_eq!(events(&server, "session.ended"), 2);
}

async fn whoever_works_in_a_session_keeps_it_open(store: Store) {
    let options = cleaning_every(store, 100)
        .variable("DCM_SESSION_MIN_AGE_MS", "1")
        .variable("DCM_SESSION_IDLE_MS", "3600000");
    let server = options.start().await;
    let api = server.calls();
    let silence = async |session: &str| {
        let earlier = days_earlier(store, "last_seen_at", 1);
        let _ = server.rows(&format!("update sessions set last_seen_at = {earlier} where id = '{session}'"));
        let path = format!("/api/sessions/{session}");
        until(&api, &path, |session| !session["ended_at"].is_null()).await;
    };
    let is_open = async |session: &str, what: &str| {
        let found = api.get(&format!("/api/sessions/{session}")).await;
        assert_eq!(found["ended_at"], Value::Null, "after {what}: {found}");
    };

    let project = api.post("/api/projects", &json!({"path": "/srv/work"})).await["project"]["id"].clone();
    api.post("/api/sessions", &json!({"id": "s", "project_id": project})).await;
    silence("s").await;
    let body = json!({"project_id": project, "session_id": "s", "prompt": "Work"});
    let request = api.post("/api/requests", &body).await["request"]["id"].clone();
    is_open("s", "a request").await;
    silence("s").await;
    let task = api.post("/api/tasks", &json!({"request_id": request})).await["task"]["id"].clone();
    is_open("s", "a task").await;
    silence("s").await;
    let body = json!({"task_id": task, "description": "Work", "status": "running", "agent_id": "worker"});
    let subtask = api.post("/api/subtasks", &body).await["subtask"]["id"].clone();
    is_open("s", "a subtask").await;
    for (kind, id, body) in [
        ("requests", &request, json!({"metadata": {"half": "done"}})),
        ("tasks", &task, json!({"name": "Work on it"})),
        ("subtasks", &subtask, json!({"result": {"half": "done"}})),
    ] {
        silence("s").await;
        api.patch(&format!("/api/{kind}/{}", id.as_str().unwrap()), &body).await;
        is_open("s", &format!("a change of {kind}")).await;
    }
    silence("s").await;
    api.patch("/api/sessions/s", &json!({"total_errors": 0})).await;
    is_open("s", "its client's own count").await;
    silence("s").await;
    let action = json!({"tool_name": "Read", "tool_type": "builtin", "subtask_id": subtask});
    api.post("/api/actions", &action).await;
    is_open("s", "an action of its subtask").await;
    next_run(&api).await;
    is_open("s", "the next cleaning").await;
    assert_eq!(api.get("/api/sessions/s").await["total_tools_used"], 1);
    assert_eq!(events(&server, "session.ended"), 8);
    assert_eq!(events(&server, "session.updated"), 8, "that it goes on is said each time");

    // An end that somebody set is one, whatever is put in order afterwards.
    let ended_at = SystemClock.now();
    api.patch("/api/sessions/s", &json!({"ended_at": ended_at})).await;
    api.patch(&format!("/api/subtasks/{}", subtask.as_str().unwrap()), &json!({"status": "completed"})).await;
    assert_ne!(api.get("/api/sessions/s").await["ended_at"], Value::Null);

    // Whoever claims a session that was made for it is at work in it, too.
    api.post("/api/actions", &json!({"tool_name": "Read", "tool_type": "builtin", "session_id": "late"}))
        .await;
    silence("late").await;
    api.post("/api/sessions", &json!({"id": "late"})).await;
    is_open("late", "its client said hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_not_closed_too_early() {
    // Idle for long enough, but not old enough; and old enough, but not idle.
    for (age, idle) in [("86400000", "1"), ("1", "86400000")] {
        let options = cleaning_every(Store::Embedded, 50).variable("DCM_SESSION_MIN_AGE_MS", age);
        let server = options.variable("DCM_SESSION_IDLE_MS", idle).start().await;
        let api = server.calls();
        api.post("/api/sessions", &json!({"id": "s"})).await;
        let stats = next_run(&api).await;
        assert_eq!(api.get("/api/sessions/s").await["ended_at"], Value::Null, "{age} {idle}: {stats}");
    }
}

async fn stuck_subtasks_fail_and_roll_up(store: Store) {
    let server = cleaning_every(store, 100).variable("DCM_SUBTASK_STUCK_MS", "700").start().await;
    let api = server.calls();
    let project = api.post("/api/projects", &json!({"path": "/srv/stuck"})).await["project"]["id"].clone();
    let subtask = async |session: &str, status: &str| {
        let body = json!({"project_id": project, "session_id": session, "prompt": "Work"});
        let request = api.post("/api/requests", &body).await["request"]["id"].clone();
        let task = api.post("/api/tasks", &json!({"request_id": request})).await["task"]["id"].clone();
        let body = json!({"task_id": task, "description": "Work", "status": status, "agent_id": "worker"});
        let subtask = api.post("/api/subtasks", &body).await["subtask"]["id"].clone();
        [request, task, subtask].map(|id| id.as_str().unwrap().to_owned())
    };
    let [request, task, stuck] = subtask("gone", "pending").await;
    let [_, _, paused] = subtask("gone", "paused").await;
    let [_, _, waiting] = subtask("gone", "pending").await;
    let body = json!({"status": "running", "result": {"half": "done"}});
    api.patch(&format!("/api/subtasks/{stuck}"), &body).await;

    let failed =
        until(&api, &format!("/api/subtasks/{stuck}"), |found| found["subtask"]["status"] == "failed").await;
    let result = json!({"half": "done", "error": "no activity", "failed_by": "dcm"});
    assert_eq!(failed["subtask"]["result"], result, "what there was of a result is kept");
    assert!(failed["subtask"]["completed_at"].is_string());
    assert_eq!(api.get(&format!("/api/tasks/{task}")).await["task"]["status"], "failed");
    assert_eq!(api.get(&format!("/api/requests/{request}")).await["request"]["status"], "failed");
    for name in ["subtask.failed", "task.failed", "request.failed"] {
        assert_eq!(events(&server, name), 1, "{name}");
    }
    next_run(&api).await;
    for (id, status) in [(paused, "paused"), (waiting, "pending")] {
        assert_eq!(api.get(&format!("/api/subtasks/{id}")).await["subtask"]["status"], status);
    }
}

/// `column`, so many days earlier, in the words of the store.
fn days_earlier(store: Store, column: &str, days: u32) -> String {
    match store {
        Store::Embedded => format!("{column} - {days} * 86400000000"),
        Store::Postgres => format!("{column} - interval '{days} days'"),
    }
}

/// Records numbered actions.
async fn record(api: &Calls, count: usize) {
    for number in 0..count {
        let body = json!({"tool_name": "Bash", "tool_type": "builtin", "input": "cargo migration", "session_id": "s",
            "file_paths": [number.to_string()]});
        api.post("/api/actions", &body).await;
    }
}

/// The numbers of the actions that are there, oldest first.
async fn numbers(api: &Calls) -> Vec<usize> {
    let page = api.get("/api/actions?limit=1000&session_id=s").await;
    let rows = page["actions"].as_array().unwrap().iter().rev();
    rows.map(|row| row["file_paths"][0].as_str().unwrap().parse().unwrap()).collect()
}

/// The lessons of an action outlive it.
async fn check_lessons(api: &Calls, count: usize) {
    let learned = api.get("/api/routing/suggest?keywords=migration&min_score=0").await;
    assert_eq!(learned["suggestions"][0]["usage_count"], count, "{learned}");
}

/// The log has no hole, and says where it begins.
fn check_log(server: &Server, first: i64) {
    assert_eq!(server.number("select first_seq from event_log_head"), first);
    assert_eq!(server.number("select min(seq) from events"), first);
    let head = server.number("select seq from event_log_head");
    assert_eq!(server.number("select max(seq) from events"), head);
    assert_eq!(server.number("select count(*) from events"), head - first + 1);
}

async fn what_is_old_goes(store: Store) {
    let server = cleaning_every(store, 100)
        .variable("DCM_EVENT_RETENTION_DAYS", "5")
        .variable("DCM_ACTION_RETENTION_DAYS", "30")
        // Nothing but retention is to happen.
        .variable("DCM_SESSION_IDLE_MS", "31622400000")
        .variable("DCM_SUBTASK_STUCK_MS", "31622400000")
        .start()
        .await;
    let api = server.calls();
    // It happened long ago, but was recorded just now.
    let long_ago = SystemClock.now().plus_millis(-300 * 86_400_000);
    let observed = json!({"session_id": "old", "observations": [
        {"type": "tool_used", "tool_use_id": "t", "at": long_ago, "tool_name": "Read"}]});
    api.post("/api/ingest", &observed).await;
    record(&api, 10).await;
    let body = json!({"tool_name": "Bash", "tool_type": "builtin"});
    let kept = api.post_keyed("/api/actions", "old key", &body).await;
    assert_eq!(api.post_keyed("/api/actions", "old key", &body).await, kept);
    let log = server.number("select seq from event_log_head");
    let all = api.get("/stats").await["actionCount"].as_i64().unwrap();

    // A day less than the limit is not old.
    for (table, column, key, days) in [
        ("actions", "recorded_at", "file_paths", 29),
        ("events", "created_at", "seq", 4),
        ("idempotency_keys", "created_at", "1", 0),
    ] {
        let set = days_earlier(store, column, days);
        let _ = server.rows(&format!("update {table} set {column} = {set} where {key} is not null"));
    }
    let stats = next_run(&api).await;
    assert_eq!(api.get("/stats").await["actionCount"], all, "{stats}");
    assert_eq!(server.number("select seq from event_log_head"), log);
    check_log(&server, 1);
    assert_eq!(api.post_keyed("/api/actions", "old key", &body).await, kept);

    let old = "id in (select id from actions where session_id = 's' order by created_at, id limit 4)";
    let _ = server.rows(&format!(
        "update actions set recorded_at = {} where {old}",
        days_earlier(store, "recorded_at", 2)
    ));
    let _ = server.rows(&format!(
        "update events set created_at = {} where seq <= 7",
        days_earlier(store, "created_at", 2)
    ));
    let _ = server
        .rows(&format!("update idempotency_keys set created_at = {}", days_earlier(store, "created_at", 2)));
    next_run(&api).await;
    assert_eq!(numbers(&api).await, [4, 5, 6, 7, 8, 9]);
    assert_eq!(
        api.get("/api/actions?session_id=old").await["total"],
        1,
        "retention goes by when it was recorded"
    );
    check_lessons(&api, 10).await;
    check_log(&server, 8);
    // The outcome is forgotten, so the same key is a new call.
    let again = api.post_keyed("/api/actions", "old key", &body).await;
    assert!(again.status == 201 && again != kept, "{again:?}");
    check_log(&server, 8);
}

async fn what_is_too_much_goes(store: Store) {
    let server = cleaning_every(store, 100)
        .variable("DCM_EVENT_RETENTION_ROWS", "12")
        .variable("DCM_ACTION_RETENTION_ROWS", "8")
        .start()
        .await;
    let api = server.calls();
    record(&api, 30).await;
    until(&api, "/api/actions", |page| page["total"] == 8).await;
    assert_eq!(numbers(&api).await, (22..30).collect::<Vec<_>>(), "the newest stay");
    check_lessons(&api, 30).await;
    next_run(&api).await;
    let head = server.number("select seq from event_log_head");
    assert_eq!(head, 32, "an event per action, one for the session, and one for the server's start");
    check_log(&server, head - 11);
}

async fn what_was_done_is_counted(store: Store) {
    // Longer than a look takes, so that what a run did can be seen before the next one.
    let server = cleaning_every(store, 2000)
        .variable("DCM_EVENT_RETENTION_DAYS", "5")
        .variable("DCM_ACTION_RETENTION_DAYS", "30")
        .start()
        .await;
    let api = server.calls();
    record(&api, 3).await;
    let body = json!({"tool_name": "Bash", "tool_type": "builtin"});
    api.post_keyed("/api/actions", "old key", &body).await;
    let project = api.post("/api/projects", &json!({"path": "/srv/stuck"})).await["project"]["id"].clone();
    let body = json!({"project_id": project, "session_id": "s", "prompt": "Work"});
    let request = api.post("/api/requests", &body).await["request"]["id"].clone();
    let task = api.post("/api/tasks", &json!({"request_id": request})).await["task"]["id"].clone();
    let body = json!({"task_id": task, "description": "Work", "status": "running"});
    api.post("/api/subtasks", &body).await;
    let log = server.number("select seq from event_log_head");
    let all = "id is not null";
    for (table, column, which, days) in [
        ("sessions", "last_seen_at", all, 40),
        ("sessions", "started_at", all, 40),
        ("subtasks", "started_at", all, 40),
        ("actions", "created_at", all, 40),
        ("actions", "recorded_at", all, 40),
        ("events", "created_at", "seq <= 2", 6),
        ("idempotency_keys", "created_at", "idempotency_key is not null", 2),
    ] {
        let earlier = days_earlier(store, column, days);
        let _ = server.rows(&format!("update {table} set {column} = {earlier} where {which}"));
    }
    let expected = [
        ("closedSessions", 1),
        ("failedSubtasks", 1),
        ("deletedActions", 4),
        ("deletedEvents", 2),
        ("deletedIdempotencyKeys", 1),
        ("deletedMessages", 0),
    ];
    let sums = sums_until(&api, |sums| {
        expected.iter().all(|(name, number)| sums.get(*name).is_some_and(|sum| sum >= number))
    })
    .await;
    for (name, number) in expected {
        assert_eq!(sums[name], number, "{name} of {sums:?}, with {log} events");
    }
}

async fn what_retention_removed_does_not_come_back(store: Store) {
    let server = cleaning_every(store, 100)
        .variable("DCM_ACTION_RETENTION_ROWS", "2")
        // Nothing but retention is to happen.
        .variable("DCM_SESSION_IDLE_MS", "31622400000")
        .variable("DCM_SUBTASK_STUCK_MS", "31622400000")
        .start()
        .await;
    let api = server.calls();
    let begin = SystemClock.now().plus_millis(-600_000);
    let used = |number: i64| {
        json!({"type": "tool_used", "tool_use_id": format!("t-{number}"), "tool_name": "Read",
            "at": begin.plus_millis(number * 1000)})
    };
    let session = |calls: std::ops::Range<i64>| {
        let mut observations = vec![json!({"type": "prompt", "key": "p", "at": begin, "text": "Read"})];
        observations.extend(calls.map(used));
        json!({"session_id": "s", "project_path": "/srv/kept", "observations": observations})
    };
    let first = api.post("/api/ingest", &session(1..6)).await;
    assert_eq!(first["created"]["actions"], 5, "{first}");
    let kept = until(&api, "/api/actions?session_id=s", |page| page["total"] == 2).await;
    let events_before = events(&server, "action.created");

    let again = api.post("/api/ingest", &session(1..6)).await;
    assert_eq!((&again["created"]["actions"], &again["known"]), (&json!(0), &json!(6)), "{again}");
    assert_eq!(events(&server, "action.created"), events_before);
    assert_eq!(api.get("/api/actions?session_id=s").await["actions"], kept["actions"]);
    let found = api.get("/api/sessions/s").await;
    assert_eq!(found["total_tools_used"], 5, "and it is not counted again: {found}");
    // What happened since is new.
    let more = api.post("/api/ingest", &session(1..8)).await;
    assert_eq!(more["created"]["actions"], 2, "{more}");
    until(&api, "/api/actions?session_id=s", |page| page["total"] == 2).await;
    // Another session has removed nothing.
    let mut other = session(1..3);
    other["session_id"] = "other".into();
    assert_eq!(api.post("/api/ingest", &other).await["created"]["actions"], 2);
}

/// Every node is ready to clean; one of them does, and another one takes over when that one dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_of_several_cleans() {
    let database = Database::create();
    let node = || Options::on_database(database.url()).variable("DCM_CLEANUP_INTERVAL_MS", "100").start();
    let mut first = node().await;
    until(&first.calls(), "/api/cleanup/stats", |stats| !stats["last_cleanup"].is_null()).await;
    let second = node().await;
    let holder = || database.value("select holder from leases where name = 'maintenance'");
    let before = holder();
    for _ in 0..3 {
        next_run(&second.calls()).await;
        assert_eq!(holder(), before, "one node cleans");
    }
    first.kill();
    // What was done is known on every node, whoever did it.
    let done = second.calls().get("/api/cleanup/stats").await["last_cleanup"].clone();
    assert!(done["deletedAt"].is_string(), "{done}");
    until(&second.calls(), "/api/cleanup/stats", |_| holder() != before).await;
    until(&second.calls(), "/api/cleanup/stats", |stats| stats["last_cleanup"] != done).await;
    drop(second);
    drop(first);
}
