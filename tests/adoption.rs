//! A database that the original service created and filled, in both of its forms, behind the real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use dcm_suite::calls::Calls;
use dcm_suite::postgres::Database;
use dcm_suite::server::{Options, Server};
use futures_util::SinkExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the original's own installation makes it: no priority of messages, no subscriptions, no blockings.
    Fresh,
    /// With what somebody had to add by hand before it worked.
    Repaired,
}

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/original-db").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A database in one of the forms, filled a minute ago.
async fn original(form: Form) -> Database {
    let database = Database::create();
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&data("schema_fresh.sql")).await.unwrap();
    if form == Form::Repaired {
        client.batch_execute(&data("schema_repaired.sql")).await.unwrap();
    }
    let rows = data("rows.sql");
    let mut lines = rows.lines();
    while let Some(line) = lines.next() {
        let Some(copy) = line.strip_prefix("COPY ") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "\\.").collect();
        copy_block(&client, copy.trim_end_matches(';'), block, form).await;
    }
    let sequence = rows.lines().find(|line| line.contains("setval")).unwrap();
    client.batch_execute(sequence).await.unwrap();
    // Otherwise what the rows mean would depend on the day on which the test runs.
    client.batch_execute(MOVE_TIMES).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    database
}

/// The priority is the last column of the messages.
async fn copy_block(client: &Client, target: &str, mut block: Vec<&str>, form: Form) {
    let mut target = target.to_owned();
    if form == Form::Fresh {
        if target.contains(".subscriptions ") || target.contains(".blocked_agents ") {
            return;
        }
        if target.contains(", priority)") {
            target = target.replace(", priority)", ")");
            for line in &mut block {
                *line = line.rsplit_once('\t').unwrap().0;
            }
        }
    }
    let text: String = block.into_iter().flat_map(|line| [line, "\n"]).collect();
    let sink = client.copy_in(&format!("copy {target}")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from(text)).await.unwrap();
    sink.finish().await.unwrap();
}

/// Without the triggers, which would set other times.
const MOVE_TIMES: &str = "
    set session_replication_role = replica;
    do $$
    declare place record;
    begin
        for place in
            select table_name, column_name from information_schema.columns join information_schema.tables
            using (table_schema, table_name)
            where table_schema = 'public' and table_type = 'BASE TABLE' and data_type = 'timestamp with time zone'
        loop
            execute format(
                'update %I set %I = %I + (now() - timestamptz ''2026-11-23 07:06:00+00'')',
                place.table_name, place.column_name, place.column_name
            );
        end loop;
    end
    $$;";

/// Every row of every table, but for the lease that every start takes anew.
fn dump(database: &Database) -> BTreeMap<String, Vec<Vec<Option<String>>>> {
    let tables = database
        .rows("select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'");
    // Every start takes the lease and says so in the log, which the scorer has read.
    let passing = ["leases", "event_log_head", "routing_watermark"];
    let names = tables.into_iter().map(|mut row| row.remove(0).unwrap());
    let names = names.filter(|name| !passing.contains(&&**name));
    names
        .map(|name| {
            let kept = match &*name {
                "events" => "where name <> 'system.info'",
                // Every start cleans.
                "settings" => "where name <> 'last_cleanup'",
                _ => "",
            };
            let rows = database.rows(&format!("select t::text from {name} t {kept} order by 1"));
            (name, rows)
        })
        .collect()
}

/// The rows of a list, by the value of one member.
fn by(rows: &Value, member: &str) -> BTreeMap<String, Value> {
    let rows = rows.as_array().unwrap_or_else(|| panic!("no list: {rows}")).iter();
    rows.map(|row| (row[member].as_str().unwrap_or_default().to_owned(), row.clone())).collect()
}

async fn check_tree(api: &Calls) {
    let page = api.get("/api/projects").await;
    assert_eq!((&page["count"], &page["total"]), (&json!(3), &json!(3)));
    let projects = by(&page["projects"], "path");
    assert_eq!(projects["/srv/shop"]["name"], "Shop");
    assert_eq!(projects["/srv/shop"]["metadata"], json!({"round": 3, "k1": "é", "k2": "é", "k3": "é"}));
    assert_eq!(projects["/recall/495759d0"]["metadata"], json!({}));
    assert_eq!(projects["/tmp/test_1795417495240/my-project"]["metadata"], json!({"test": true}));
    assert_eq!(api.get("/api/projects/by-path?path=/srv/shop").await["project"], projects["/srv/shop"]);

    let requests = by(&api.get("/api/requests").await["requests"], "prompt");
    let done = &requests["Implement OAuth2 authentication"];
    assert_eq!(done["metadata"], json!({"priority": "high", "completed_reason": "test"}));
    assert_eq!((&done["status"], &done["prompt_type"]), (&json!("completed"), &json!("feature")));
    assert_eq!(requests["Implement spotter-gqc"]["metadata"], json!({}));

    let page = api.get("/api/actions?limit=1000").await;
    assert_eq!(page["total"], 125);
    assert_eq!(api.get("/api/actions?session_id=recall-495759d0").await["total"], 124);
    let edit = by(&page["actions"], "id").remove("4a6022ca-667a-46e1-8b80-add4567e57ac").unwrap();
    let expected = json!(["/app/migrations/create_oauth_tokens.php"]);
    assert_eq!((&edit["file_paths"], &edit["duration_ms"]), (&expected, &json!(150)));
    assert_eq!(edit["session_id"], "test_1795417495240_session_001");

    let id = projects["/recall/495759d0"]["id"].as_str().unwrap();
    let tree = api.get(&format!("/api/hierarchy/{id}")).await;
    assert_eq!(tree["counts"], json!({"requests": 1, "tasks": 1, "subtasks": 1}));
    assert_eq!(tree["stats"]["total_actions"], 124);
    let subtask = &tree["hierarchy"]["requests"][0]["tasks"][0]["subtasks"][0];
    assert_eq!((&subtask["agent_id"], &subtask["status"]), (&json!("main-495759d0"), &json!("running")));
    let active = api.get("/api/active-sessions").await;
    assert_eq!((&active["count"], &active["active_agents"][0]["actions_count"]), (&json!(1), &json!(124)));
    // Its tools' inputs are compressed where they are long, which is nothing to read.
    let brief = api.get("/api/context/main-495759d0?session_id=recall-495759d0").await.to_string();
    assert!(!brief.contains('\u{fffd}') && !brief.contains("\\u001f"), "{brief}");
    let subtasks = by(&api.get("/api/subtasks?status=completed").await["subtasks"], "agent_type");
    let result = json!({"files_created": 2, "migration": "2026_01_30_create_oauth_tokens"});
    assert_eq!(subtasks["backend-laravel"]["result"], result);

    let session = api.get("/api/sessions/test_1795417495240_session_001").await;
    let counters = ["total_tools_used", "total_success", "total_errors"].map(|name| session[name].clone());
    assert_eq!(counters, [5, 4, 1].map(Value::from));
}

async fn check_agents(api: &Calls, form: Form) {
    let page = api.get("/api/messages").await;
    assert_eq!(page["total"], 9);
    assert!(
        page["messages"].as_array().unwrap().iter().all(|message| message["content"].is_object()),
        "{page}"
    );
    let messages = by(&page["messages"], "to_agent");
    assert_eq!(messages["dev-3"]["content"], json!({"n": 3, "t": "über"}));
    assert_eq!(messages["dev-3"]["priority"], if form == Form::Repaired { 3 } else { 0 });
    // Who had read what is known: dev-1 both, dev-2 nothing yet.
    let inbox = api.get("/api/messages/dev-1").await;
    assert_eq!((&inbox["count"], &inbox["unread_remaining"]), (&json!(2), &json!(0)));
    assert!(
        inbox["messages"].as_array().unwrap().iter().all(|message| message["already_read"] == true),
        "{inbox}"
    );

    let subscriptions = api.get("/api/subscriptions").await;
    let blocked = api.get("/api/blocking/dev-1").await;
    let check = api.get("/api/blocking/check?blocker=lead&blocked=dev-1").await;
    if form == Form::Repaired {
        assert_eq!(subscriptions["count"], 5);
        assert_eq!(api.get("/api/subscriptions/dev-4").await["topics"], json!(["task.completed"]));
        let by_lead = &blocked["blocked_by"][0];
        assert_eq!((&by_lead["by_agent"], &by_lead["reason"]), (&json!("lead"), &json!("r1")));
        assert_eq!((&blocked["is_blocked"], &check["is_blocked"]), (&json!(true), &json!(true)));
    } else {
        assert_eq!(subscriptions["count"], 0);
        assert_eq!((&blocked["is_blocked"], &check["is_blocked"]), (&json!(false), &json!(false)));
    }

    let suggested = api.get("/api/routing/suggest?keywords=migration,oauth").await;
    let edit = by(&suggested["suggestions"], "tool_name").remove("Edit").unwrap();
    assert_eq!((&edit["score"], &edit["keyword_matches"]), (&json!(1.2), &json!(["migration", "oauth"])));
    assert_eq!(api.get("/api/routing/stats").await["totals"]["total_records"], 386);
}

async fn check_new_writes(server: &Server, form: Form) {
    let api = server.calls();
    let shop = api.post("/api/projects", &json!({"path": "/srv/shop/", "metadata": {"k4": [4]}})).await;
    let merged = json!({"round": 3, "k1": "é", "k2": "é", "k3": "é", "k4": [4]});
    assert_eq!(shop["project"]["metadata"], merged);
    let shop = shop["project"]["id"].as_str().unwrap();
    let body =
        json!({"project_id": shop, "session_id": "new", "prompt": "Go on", "metadata": {"a": {"b": 1}}});
    let request = api.post("/api/requests", &body).await["request"].clone();
    let task = api.post("/api/tasks", &json!({"request_id": request["id"]})).await["task"].clone();
    assert_eq!(task["wave_number"], 0);
    let body =
        json!({"task_id": task["id"], "description": "Sell", "agent_id": "dev-2", "status": "running"});
    let subtask = api.post("/api/subtasks", &body).await["subtask"].clone();
    let body = json!({"tool_name": "Edit", "tool_type": "builtin", "input": "migration", "subtask_id": subtask["id"]});
    api.post("/api/actions", &body).await;
    let tree = api.get(&format!("/api/hierarchy/{shop}")).await;
    assert_eq!(tree["counts"], json!({"requests": 1, "tasks": 1, "subtasks": 1}));
    assert_eq!(tree["hierarchy"]["requests"][0]["metadata"], json!({"a": {"b": 1}}));
    let edit = api.get("/api/routing/suggest?keywords=migration").await["suggestions"][0].clone();
    assert_eq!(
        (&edit["tool_name"], &edit["score"]),
        (&json!("Edit"), &json!(1.3)),
        "old lessons and new ones add up"
    );

    // The old waves count: 0 and 1 are there.
    let old = "1590239a-4106-4bd1-8d75-364902af38ca";
    assert_eq!(api.post("/api/tasks", &json!({"request_id": old})).await["task"]["wave_number"], 2);
    let body = json!({"from_agent": "dev-2", "to_agent": "lead", "topic": "task.completed", "content": "done", "priority": 9});
    api.post("/api/messages", &body).await;
    assert_eq!(api.get("/api/messages/lead").await["messages"][0]["content"], json!({"message": "done"}));
    // An agent that the old rows have heard of.
    let body = json!({"from_agent": "lead", "to_agent": "dev-3", "topic": "task.created", "content": {}});
    assert_eq!(api.post("/api/messages", &body).await["message"]["known_recipient"], form == Form::Repaired);

    // What the original could not do: remove a project that has sessions.
    let recall = api.get("/api/projects/by-path?path=/recall/495759d0").await["project"]["id"].clone();
    let removed =
        api.call(Method::DELETE, &format!("/api/projects/{}", recall.as_str().unwrap()), None).await;
    assert_eq!(removed.status, 204, "{removed:?}");
    assert_eq!(api.get("/api/sessions/recall-495759d0").await["project_id"], Value::Null);
    let stats = api.get("/stats").await;
    assert_eq!((&stats["projectCount"], &stats["actionCount"]), (&json!(2), &json!(2)));
}

async fn adopted(form: Form) {
    let database = original(form).await;
    let mut server = Options::on_database(database.url()).start().await;
    let api = server.calls();
    check_tree(&api).await;
    check_agents(&api, form).await;
    let before = dump(&database);
    server.restart().await;
    assert_eq!(dump(&database), before, "a second start changes nothing");
    check_tree(&api).await;
    check_agents(&api, form).await;
    assert_eq!(dump(&database), before, "and reading what was read before neither");

    check_new_writes(&server, form).await;
    // What the scorer learns from new writes is written aside, some time later.
    let written = || {
        let mut tables = dump(&database);
        tables.retain(|name, _| name != "keyword_tool_scores" && !name.starts_with("routing_"));
        tables
    };
    let before = written();
    server.kill();
    server.restart().await;
    assert_eq!(written(), before);
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_installation() {
    adopted(Form::Fresh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repaired_installation() {
    adopted(Form::Repaired).await;
}

/// A rolling start of several nodes: one of them adopts, none fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_at_once() {
    let database = original(Form::Repaired).await;
    let mut servers: Vec<_> = (0..3).map(|_| Options::on_database(database.url()).spawn()).collect();
    for server in &mut servers {
        server.wait_until_healthy().await;
        check_tree(&server.calls()).await;
    }
    assert_eq!(database.value("select count(*) = count(distinct version) from dcm_migrations"), "t");
    drop(servers);
}
