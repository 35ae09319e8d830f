//! A store that goes away and comes back, and a store that is not to be had.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use dcm_suite::calls::{Answer, Calls};
use dcm_suite::postgres::{Cluster, Database};
use dcm_suite::server::{Options, Server, Store};
use dcm_suite::wire::{Break, Wire};
use dcm_suite::writers::{Persistence, Told, Writers, stored};
use reqwest::Method;
use serde_json::{Value, json};

/// Nothing of the inside: no statement, no address, no path, no name of a driver.
fn check_refusal(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.retry_after.is_some_and(|seconds| seconds >= 1), "{answer:?}");
    let body = answer.json();
    let message = body["error"].as_str().unwrap_or_else(|| panic!("no error in {answer:?}"));
    assert!(message.contains("try again"), "{answer:?}");
    check_nothing_leaks(&answer.body);
}

fn check_nothing_leaks(body: &str) {
    let lower = body.to_lowercase();
    for inside in [
        "select ",
        "insert ",
        "query",
        "postgres",
        "sqlstate",
        "127.0.0.1",
        "connection",
        "os error",
        ".rs",
        "/tmp",
        "dcm_test",
    ] {
        assert!(!lower.contains(inside), "{inside} in {body}");
    }
}

fn check_unhealthy(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let body = answer.json();
    let members: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["database", "features", "status", "timestamp", "version"], "{body}");
    assert_eq!((&body["status"], &body["database"]["healthy"]), (&json!("unhealthy"), &json!(false)));
    assert_eq!(answer.retry_after, Some(1), "{answer:?}");
    assert!(body["database"]["latencyMs"].is_u64() && body["database"]["error"].is_string(), "{body}");
    check_nothing_leaks(&body["database"].to_string());
}

/// A read of every kind, and a write of every kind, that needs the store.
fn calls_that_need_the_store(id: &str) -> Vec<(Method, String, Option<Value>)> {
    let mut calls: Vec<(Method, String, Option<Value>)> = dcm::api::OPERATIONS
        .iter()
        .filter(|operation| operation.method == dcm::api::Method::GET)
        .filter(|operation| !["/health", "/stats/tools-summary"].contains(&operation.path))
        .filter(|operation| !operation.path.starts_with("/api/routing/"))
        .map(|operation| {
            let mut path = operation.path.to_owned();
            for parameter in ["{id}", "{message_id}", "{project_id}", "{agent_id}", "{session_id}"] {
                path = path.replace(parameter, id);
            }
            let query = match operation.path {
                "/api/projects/by-path" => "?path=/x",
                "/api/blocking/check" => "?blocker=a&blocked=b",
                "/api/context/{agent_id}" => "?session_id=s",
                _ => "",
            };
            (Method::GET, path + query, None)
        })
        .collect();
    let action = json!({"tool_name": "Bash", "tool_type": "builtin", "session_id": "s"});
    let message = json!({"from_agent": "a", "topic": "task.created", "content": "x"});
    let observed = json!({"session_id": "s", "observations": [{"type": "session_started", "at": "2026-01-01T00:00:00.000Z"}]});
    for (path, body) in [
        ("/api/projects", json!({"path": "/x"})),
        ("/api/actions", action),
        ("/api/messages", message),
        ("/api/ingest", observed),
        ("/api/context/generate", json!({"agent_id": "a", "session_id": "s"})),
    ] {
        calls.push((Method::POST, path.to_owned(), Some(body)));
    }
    calls.push((Method::PATCH, format!("/api/requests/{id}"), Some(json!({"status": "failed"}))));
    calls.push((Method::DELETE, format!("/api/tasks/{id}"), None));
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_goes_away_and_comes_back() {
    let cluster = Cluster::start();
    let database = Database::create_on(&cluster);
    let mut server =
        Options::on_database(database.url()).variable("HEALTHCHECK_INTERVAL_MS", "50").start().await;
    let api = server.calls();
    let project = api.post("/api/projects", &json!({"path": "/srv/kept", "metadata": {"a": 1}})).await;
    let id = project["project"]["id"].as_str().unwrap().to_owned();

    for stop in [Cluster::stop, Cluster::kill] {
        // It answers when it has read what it is to remember, which must be before the store goes.
        assert_eq!(api.get("/api/routing/suggest?keywords=x").await["count"], 0);
        stop(&cluster);
        check_unhealthy(&api.call(Method::GET, "/health", None).await);
        let sockets = server
            .http()
            .get(format!("{}/health", server.socket().replace("ws://", "http://")))
            .send()
            .await
            .unwrap();
        assert_eq!(sockets.status(), 503);
        assert_eq!(sockets.json::<Value>().await.unwrap()["status"], "unhealthy");
        let calls = calls_that_need_the_store(&id);
        let tasks: Vec<_> = calls
            .into_iter()
            .map(|(method, path, body)| {
                let api = api.clone();
                tokio::spawn(async move {
                    let answer = api.call(method.clone(), &path, body.as_ref()).await;
                    (format!("{method} {path}"), answer)
                })
            })
            .collect();
        for task in tasks {
            let (call, answer) = task.await.unwrap();
            assert_eq!(answer.status, 503, "{call}: {answer:?}");
            check_refusal(&answer);
        }
        // What needs no store is there; the scorer answers from memory.
        assert_eq!(api.get("/api/routing/suggest?keywords=x").await["count"], 0);
        assert_eq!(api.get("/openapi.json").await["openapi"], "3.1.0");
        check_unhealthy(&api.call(Method::GET, "/health", None).await);

        cluster.start_again();
        server.wait_until_healthy().await;
        let found = api.get(&format!("/api/projects/{id}")).await;
        assert_eq!(found["project"]["metadata"], json!({"a": 1}));
        api.post("/api/actions", &json!({"tool_name": "Bash", "tool_type": "builtin"})).await;
    }
    assert_eq!(api.get("/stats").await["actionCount"], 2, "what was refused was not written");
    let log = server.log();
    assert!(log.contains("unhealthy") && log.contains("healthy again"), "the log tells of both: {log}");
    assert!(server.stop().await.success());
    drop(database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_that_goes_away_and_comes_back() {
    let mut server = Server::start(Store::Embedded).await;
    let api = server.calls();
    let project = api.post("/api/projects", &json!({"path": "/srv/kept", "metadata": {"a": 1}})).await;
    let id = project["project"]["id"].as_str().unwrap().to_owned();
    let body = json!({"project_id": id, "session_id": "s", "prompt": "Work"});
    let request = api.post("/api/requests", &body).await["request"]["id"].clone();
    let request = format!("/api/requests/{}", request.as_str().unwrap());
    let (file, away) = (server.data_dir().join("dcm.db"), server.data_dir().join("away.db"));

    std::fs::rename(&file, &away).unwrap();
    check_unhealthy(&api.call(Method::GET, "/health", None).await);
    for (method, path, body) in calls_that_need_the_store(&id) {
        let answer = api.call(method.clone(), &path, body.as_ref()).await;
        // The file is open still, so it can be read; what there would be to write is not acknowledged.
        if method == Method::POST && path != "/api/context/generate" {
            assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
            check_refusal(&answer);
        } else {
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
        }
    }
    for (method, path, body) in
        [(Method::PATCH, &request, Some(json!({"status": "failed"}))), (Method::DELETE, &request, None)]
    {
        let answer = api.call(method.clone(), path, body.as_ref()).await;
        assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
        check_refusal(&answer);
    }
    check_unhealthy(&api.call(Method::GET, "/health", None).await);

    std::fs::rename(&away, &file).unwrap();
    server.wait_until_healthy().await;
    assert_eq!(api.get(&format!("/api/projects/{id}")).await["project"]["metadata"], json!({"a": 1}));
    assert_eq!(api.get(&request).await["request"]["status"], "active");
    api.post("/api/actions", &json!({"tool_name": "Bash", "tool_type": "builtin"})).await;
    assert_eq!(api.get("/stats").await["actionCount"], 1, "what was refused was not written");
    assert!(server.stop().await.success());
}

/// Every acknowledged action is stored; nobody was told anything but 201 or 503.
fn check_kept(told: &Told, found: &BTreeMap<String, usize>) {
    told.refusals.iter().for_each(check_refusal);
    let lost: Vec<_> =
        told.acknowledged.iter().filter(|(id, number)| found.get(*id) != Some(*number)).collect();
    assert!(lost.is_empty(), "{} acknowledged actions are lost: {lost:?}", lost.len());
}

/// Enough that two batches are under way side by side.
const CLIENTS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_store_under_load_loses_nothing() {
    const WRITES: usize = 2000;
    let cluster = Cluster::start();
    let database = Database::create_on(&cluster);
    let server = Options::on_database(database.url()).start().await;
    let api = server.calls();
    let mut writers = Writers::start(&api, CLIENTS, WRITES, Persistence::UntilAcknowledged);
    for part in 1..=3 {
        writers.acknowledged(WRITES * part / 4).await;
        if part == 2 {
            cluster.stop();
        } else {
            cluster.kill();
        }
        cluster.start_again();
    }
    let told = writers.finish().await;
    let found = stored(&api).await;
    check_kept(&told, &found);
    // Whoever repeats what was not acknowledged, under the same key, has everything exactly once.
    assert_eq!(found.len(), WRITES);
    assert_eq!(
        database.value("select count(*) from events where name = 'action.created'"),
        WRITES.to_string()
    );
    assert_eq!(database.value("select count(*) = max(seq) from events"), "t");
    drop(server);
    drop(database);
}

/// Ends every connection to the database but the one that asks.
fn end_backends(database: &Database) {
    database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid()",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_under_load_lose_nothing() {
    const WRITES: usize = 2000;
    for persistence in [Persistence::UntilAcknowledged, Persistence::None] {
        let database = Database::create();
        let mut server = Options::on_database(database.url()).start().await;
        let api = server.calls();
        let mut writers = Writers::start(&api, CLIENTS, WRITES, persistence);
        for part in 1..=10 {
            // Without repetition those that are refused are not acknowledged; most are not refused.
            writers.acknowledged(WRITES * part / 20).await;
            end_backends(&database);
        }
        let told = writers.finish().await;
        server.wait_until_healthy().await;
        let found = stored(&api).await;
        check_kept(&told, &found);
        match persistence {
            Persistence::UntilAcknowledged => assert_eq!(found.len(), WRITES),
            Persistence::None => assert!(found.len() >= told.acknowledged.len()),
        }
        assert_eq!(database.value("select count(*) = max(seq) from events"), "t");
        drop(server);
        drop(database);
    }
}

/// A server whose wire to its database can break; its cleaning jobs have run, so the next COMMIT is that of the test.
async fn behind_a_wire(database: &Database) -> (Server, Wire) {
    let wire = Wire::to(database.url()).await;
    // One connection, so that it is the one which has prepared its statements.
    let options = Options::on_database(&wire.by_way(database.url()))
        .variable("DB_MAX_CONNECTIONS", "1")
        .variable("DCM_NOTIFY", "off");
    let server = options.start().await;
    let api = server.calls();
    while api.get("/api/cleanup/stats").await["last_cleanup"].is_null() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (server, wire)
}

const ACTIONS: &str = "select count(*) from actions";
const EVENTS: &str = "select count(*) from events where name = 'action.created'";

/// Whether a COMMIT happened of which nothing was heard is looked up, and answered truly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost() {
    let database = Database::create();
    let (server, wire) = behind_a_wire(&database).await;
    let api = server.calls();
    let mut count = 0;
    for how in [Break::Before, Break::After, Break::Before, Break::After] {
        let bodies = [
            json!({"tool_name": "Bash", "tool_type": "builtin"}),
            json!({"tool_name": "Bash", "tool_type": "builtin", "session_id": "s", "project_path": "/srv/p"}),
        ];
        for body in bodies {
            wire.break_next(how);
            let answer = api.post("/api/actions", &body).await;
            wire.broken().await;
            count += 1;
            assert_eq!(database.value(ACTIONS), count.to_string(), "{how:?}: once, whichever it was");
            assert_eq!(database.value(EVENTS), count.to_string(), "{how:?}");
            let id = answer["action"]["id"].as_str().unwrap();
            assert_eq!(
                database.value(&format!("{ACTIONS} where id = '{id}'")),
                "1",
                "{how:?}: the one that was answered"
            );
        }
    }
    assert_eq!(api.get("/api/sessions/s").await["total_tools_used"], count / 2);
    drop(server);
    drop(database);
}

/// The wire breaks while PostgreSQL is still at work on the batch, and has the COMMIT in its hands already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_still_under_way_when_the_wire_breaks() {
    let database = Database::create();
    let (server, wire) = behind_a_wire(&database).await;
    let api = server.calls();
    let (holder, connection) = session(&database).await;
    // So that the statements are prepared: that would have to wait for the table, too.
    let body = json!({"tool_name": "Bash", "tool_type": "builtin"});
    api.post("/api/actions", &body).await;

    holder.batch_execute("begin; lock table actions in share mode").await.unwrap();
    wire.break_next(Break::After);
    let call = post(&api, "/api/actions", body);
    wire.broken().await;
    // Two wait now: the first attempt for the table, and whoever asks what became of it, or tries again.
    let waiting = "select count(*) from pg_locks where not granted \
                   and database = (select oid from pg_database where datname = current_database())";
    while database.value(waiting) != "2" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder.batch_execute("commit").await.unwrap();
    let answer = call.await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    // Nothing is under way any more.
    while database.value(
        "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'",
    ) != "1"
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(database.value(ACTIONS), "2", "the one of before, and the one that was answered");
    assert_eq!(database.value(EVENTS), "2");
    drop(holder);
    connection.await.unwrap().unwrap();
    drop(server);
    drop(database);
}

/// A session beside those of the server, and its end.
async fn session(
    database: &Database,
) -> (tokio_postgres::Client, tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>) {
    let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    (client, tokio::spawn(connection))
}

/// Posts in the background.
fn post(api: &Calls, path: &'static str, body: Value) -> tokio::task::JoinHandle<Answer> {
    let api = api.clone();
    tokio::spawn(async move { api.call(Method::POST, path, Some(&body)).await })
}

/// A part of every message that [`message`] makes, as PostgreSQL gets it.
const PART: &[u8] = b"workflow.progress";

/// A message to everybody is committed by one statement; one to somebody who is not known by a transaction that looks first.
fn message(to: Option<&str>) -> Value {
    let content = json!({"text": "hello"});
    let mut message = json!({"from_agent": "a", "topic": "workflow.progress", "content": content});
    if let Some(to) = to {
        message["to_agent"] = to.into();
    }
    message
}

/// How many messages and how many events of messages there are.
fn messages(database: &Database) -> (String, String) {
    let messages = database.value("select count(*) from agent_messages");
    (messages, database.value("select count(*) from events where name = 'message.new'"))
}

/// Whether a statement that commits by itself happened is looked up as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_whose_answer_is_lost() {
    let database = Database::create();
    let (server, wire) = behind_a_wire(&database).await;
    let api = server.calls();
    api.post("/api/messages", &message(None)).await;
    let mut count = 1_usize;
    for how in [Break::Before, Break::After, Break::Before, Break::After] {
        wire.break_at(how, PART);
        let answer = api.post("/api/messages", &message(None)).await;
        wire.broken().await;
        count += 1;
        assert_eq!(messages(&database), (count.to_string(), count.to_string()), "{how:?}: once");
        let id = answer["message"]["id"].as_str().unwrap();
        let answered = format!("select count(*) from agent_messages where id = '{id}'");
        assert_eq!(database.value(&answered), "1", "{how:?}: the one that was answered");
        // What is not in the log may still be on its way. (What is may have come there after somebody had looked.)
        let marks = database.value("select cardinality(given_up) from event_log_head");
        assert!(how == Break::After || marks.parse::<usize>().unwrap() >= count / 2, "{how:?}: {marks}");
    }
    drop(server);
    drop(database);
}

/// PostgreSQL has written the batch, and is not done with it, when the wire breaks: whoever asks what became of it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_holds_the_log_when_the_wire_breaks() {
    let database = Database::create();
    let (server, wire) = behind_a_wire(&database).await;
    let api = server.calls();
    api.post("/api/messages", &message(None)).await;
    database.execute(
        "create function wait_here() returns trigger language plpgsql as \
         $$ begin perform pg_advisory_xact_lock(42); return null; end $$; \
         create trigger wait_here after insert on events for each row when (new.name = 'message.new') \
         execute function wait_here()",
    );
    let (holder, connection) = session(&database).await;
    holder.batch_execute("select pg_advisory_lock(42)").await.unwrap();
    wire.break_at(Break::After, PART);
    let call = post(&api, "/api/messages", message(None));
    wire.broken().await;
    let waiting = "select coalesce(string_agg(wait_event, ' ' order by wait_event), '') from pg_stat_activity \
                   where datname = current_database() and wait_event_type = 'Lock'";
    while database.value(waiting) != "advisory transactionid" {
        // A machine that is so slow that somebody has looked before it came so far shows nothing here.
        assert_eq!(database.value("select cardinality(given_up) from event_log_head"), "0");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    holder.batch_execute("select pg_advisory_unlock(42)").await.unwrap();
    let answer = call.await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        messages(&database),
        ("2".to_owned(), "2".to_owned()),
        "the one of before, and this one, once"
    );
    assert_eq!(database.value("select cardinality(given_up) from event_log_head"), "0");
    drop(holder);
    connection.await.unwrap().unwrap();
    drop(server);
    drop(database);
}

/// What is to be committed reaches PostgreSQL when somebody has looked for it already, and the batch is committed by
/// another attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_arrives_after_it_was_given_up() {
    let database = Database::create();
    let (server, wire) = behind_a_wire(&database).await;
    let api = server.calls();
    for (sent, to) in (1..).step_by(2).zip([None, Some("nobody")]) {
        api.post("/api/messages", &message(to)).await;
        wire.break_at(Break::Late, PART);
        let answer = api.post("/api/messages", &message(to)).await;
        let once = ((sent + 1).to_string(), (sent + 1).to_string());
        assert_eq!(messages(&database), once, "committed by another attempt");
        wire.release();
        let said = wire.arrived().await;
        let has_said = |part: &[u8]| said.windows(part.len()).any(|said| said == part);
        assert!(has_said(b"C22012\0"), "it was refused: division by zero");
        assert_eq!(has_said(b"ROLLBACK\0"), to.is_some(), "a transaction, or a statement that is one");
        assert_eq!(messages(&database), once, "the late one has come to nothing");
        let id = answer["message"]["id"].as_str().unwrap();
        assert_eq!(database.value(&format!("select count(*) from agent_messages where id = '{id}'")), "1");
    }
    drop(server);
    drop(database);
}

/// Nobody waits for suggestions until the scorer knows again what it learned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_scorer_learned_cannot_be_read() {
    let database = Database::create();
    let mut server = Options::on_database(database.url()).start().await;
    assert!(server.stop().await.success());
    database.execute("alter table routing_seeds rename to elsewhere");
    server.launch();
    server.wait_until_healthy().await;
    let api = server.calls();
    // Less than the server takes its time for an answer.
    let path = "/api/routing/suggest?keywords=x";
    let asked = tokio::time::timeout(Duration::from_secs(20), api.call(Method::GET, path, None));
    check_refusal(&asked.await.unwrap());
    database.execute("alter table elsewhere rename to routing_seeds");
    while api.call(Method::GET, path, None).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.stop().await.success());
    drop(database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_does_not_start_without_its_database() {
    let cluster = Cluster::start();
    let port = cluster.port();
    let database = Database::create_on(&cluster);
    cluster.stop();
    let url = format!("postgres://postgres:hush-hush@127.0.0.1:{port}/{}", database.name());
    let mut server = Options::on_database(&url).spawn();
    let status = server.wait_until_exit().await;
    assert_eq!(status.code(), Some(1), "{}", server.log());
    let log = server.log();
    let complaint = log.lines().last().unwrap();
    assert!(complaint.starts_with("dcm-server: cannot open postgres://postgres@127.0.0.1:"), "{log}");
    assert!(complaint.contains(&port.to_string()), "{log}");
    assert!(!log.contains("hush-hush") && !log.contains("panicked"), "{log}");

    // The same command line works when it is there.
    cluster.start_again();
    server.launch();
    server.wait_until_healthy().await;
    drop(server);
    drop(database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_exist_is_named() {
    let database = Database::create();
    let missing = format!("{}_missing", database.name());
    let url = database.url().replace(database.name(), &missing);
    let mut server = Options::on_database(&url).spawn();
    assert_eq!(server.wait_until_exit().await.code(), Some(1));
    let log = server.log();
    assert!(log.lines().last().unwrap().contains(&missing), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_one_embedded_store_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Options::on(Store::Embedded).data_dir(folder.path()).start().await;
    let api = first.calls();
    api.post("/api/projects", &json!({"path": "/srv/first"})).await;
    let mut second = Options::on(Store::Embedded).data_dir(folder.path()).spawn();
    assert_eq!(second.wait_until_exit().await.code(), Some(1));
    let log = second.log();
    let complaint = log.lines().last().unwrap();
    assert!(complaint.contains("in use by another process"), "{log}");
    assert!(complaint.contains("stop that process") && complaint.contains("DCM_DATA_DIR"), "{log}");

    // The first has not noticed; when it is gone, however it went, the second may have the store.
    assert_eq!(api.get("/stats").await["projectCount"], 1);
    first.kill();
    second.launch();
    second.wait_until_healthy().await;
    assert_eq!(second.calls().get("/stats").await["projectCount"], 1);
}

/// A database that refuses every transaction so many times before it takes it, as it does when two get in each other's
/// way. A sequence counts on, whatever is rolled back.
const REFUSES: &str = "create sequence tries;
    create function refuse() returns trigger language plpgsql as $$ begin
        if nextval('tries') <= 3 then raise exception 'again' using errcode = '40001'; end if;
        return new;
    end $$;
    create trigger refuse before insert on projects for each row execute function refuse()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_without_effect_is_tried_again_as_often_as_it_is_set() {
    for (retries, status, tries) in [("0", 503, 1), ("2", 503, 3), ("3", 201, 4)] {
        let mut server = Options::on(Store::Postgres).variable("MAX_DB_RETRIES", retries).start().await;
        server.database().unwrap().execute(REFUSES);
        let answer =
            server.calls().call(Method::POST, "/api/projects", Some(&json!({"path": "/srv/again"}))).await;
        assert_eq!(answer.status, status, "MAX_DB_RETRIES={retries}: {answer:?}");
        if status == 503 {
            check_refusal(&answer);
        }
        assert_eq!(server.number("select last_value from tries"), tries, "MAX_DB_RETRIES={retries}");
        let stored = i64::from(status == 201);
        assert_eq!(server.number("select count(*) from projects where path = '/srv/again'"), stored);
        server.stop().await;
    }
}
