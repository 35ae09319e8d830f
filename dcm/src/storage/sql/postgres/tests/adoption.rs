use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::SinkExt;
use serde_json::json;

use super::*;
use crate::storage::sql::migrate::migrations;

const TABLES: [(&str, i64); 10] = [
    ("projects", 3),
    ("requests", 2),
    ("task_lists", 3),
    ("subtasks", 2),
    ("actions", 125),
    ("agent_messages", 9),
    ("sessions", 2),
    ("keyword_tool_scores", 386),
    ("subscriptions", 5),
    ("blocked_agents", 5),
];

fn data(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/original-db").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Without the priority of messages, subscriptions and blockings.
    Fresh,
    Repaired,
}

/// Makes the tables of the original in one of their forms and fills them.
async fn original(client: &Client, form: Form) {
    client.batch_execute(&data("schema_fresh.sql")).await.unwrap();
    if form == Form::Repaired {
        client.batch_execute(&data("schema_repaired.sql")).await.unwrap();
    }
    let rows = data("rows.sql");
    let mut lines = rows.lines();
    while let Some(line) = lines.next() {
        let Some(copy) = line.strip_prefix("COPY ") else { continue };
        let mut copy = format!("copy {}", copy.trim_end_matches(';'));
        let mut block =
            lines.by_ref().take_while(|line| *line != "\\.").map(str::to_owned).collect::<Vec<_>>();
        if form == Form::Fresh {
            if copy.contains(".subscriptions ") || copy.contains(".blocked_agents ") {
                continue;
            }
            if copy.contains(", priority)") {
                copy = copy.replace(", priority)", ")");
                for line in &mut block {
                    line.truncate(line.rfind('\t').unwrap());
                }
            }
        }
        let sink = client.copy_in(&copy).await.unwrap();
        futures_util::pin_mut!(sink);
        let text = block.into_iter().map(|line| line + "\n").collect::<String>();
        sink.send(Bytes::from(text)).await.unwrap();
        sink.finish().await.unwrap();
    }
    let sequence = rows.lines().find(|line| line.contains("setval")).unwrap();
    client.batch_execute(sequence).await.unwrap();
}

async fn json(client: &Client, query: &str) -> serde_json::Value {
    let text: String = client.query_one(&format!("select ({query})::text"), &[]).await.unwrap().get(0);
    serde_json::from_str(&text).unwrap()
}

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// Every row of every table, as text.
async fn dump(client: &Client) -> BTreeMap<String, String> {
    let tables =
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'";
    let mut dump = BTreeMap::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let rows =
            format!("select coalesce(string_agg(t::text, E'\\n' order by t::text), '') from {table} t");
        dump.insert(table, client.query_one(&rows, &[]).await.unwrap().get(0));
    }
    dump
}

async fn check_adopted(client: &Client, form: Form) {
    for (table, count) in TABLES {
        let is_new = form == Form::Fresh && (table == "subscriptions" || table == "blocked_agents");
        let expected = if is_new { 0 } else { count };
        assert_eq!(number(client, &format!("select count(*) from {table}")).await, expected, "{table}");
    }
    assert_eq!(
        json(client, "select metadata from projects where name = 'Shop'").await,
        json!({"round": 3, "k1": "é", "k2": "é", "k3": "é"})
    );
    assert_eq!(
        json(client, "select jsonb_agg(metadata order by created_at) from requests").await,
        json!([{"priority": "high", "completed_reason": "test"}, {}])
    );
    assert_eq!(
        json(client, "select result from subtasks where result is not null").await,
        json!({"files_created": 2, "migration": "2026_01_30_create_oauth_tokens"})
    );
    assert_eq!(
        json(client, "select payload from agent_messages where to_agent_id = 'dev-3'").await,
        json!({"n": 3, "t": "über"})
    );
    for column in [
        "metadata from projects",
        "metadata from requests",
        "metadata from actions",
        "payload from agent_messages",
        "result from subtasks where result is not null",
    ] {
        let strange =
            format!("select count(*) from (select {column}) as c (v) where jsonb_typeof(v) <> 'object'");
        assert_eq!(number(client, &strange).await, 0, "{column}");
    }
    // The times of the rows are those of the original, not those of the adoption.
    assert_eq!(
        number(client, "select count(*) from projects where updated_at = '2026-11-23 07:04:59.41441+00'")
            .await,
        1
    );
    // Retention counts from the adoption: what is old is not at once too old.
    assert_eq!(number(client, "select count(*) from actions where recorded_at > created_at").await, 125);
    assert_eq!(
        number(client, "select count(*) from actions where session_id = 'recall-495759d0'").await,
        124
    );
    // gzip stays gzip, and the flags say so.
    let packed = "select count(*) from actions where substr(output, 1, 2) = '\\x1f8b' \
                  and (metadata -> 'compressed_output')::boolean";
    assert_eq!(number(client, packed).await, 39);
    assert_eq!(
        json(
            client,
            "select jsonb_agg(jsonb_build_array(payload -> 'n', agent_id) order by agent_id, payload -> 'n') \
             from message_reads join agent_messages on agent_messages.id = message_id \
             where read_at = agent_messages.created_at"
        )
        .await,
        json!([
            [null, "agent_test_1795417495240_receiver"],
            [null, "agent_test_1795417495240_receiver"],
            [1, "dev-1"],
            [null, "dev-1"]
        ])
    );
    let priorities = number(client, "select sum(priority) from agent_messages").await;
    assert_eq!(priorities, if form == Form::Fresh { 0 } else { 5 + 5 + 5 + 2 + 3 + 4 + 5 + 1 });
    assert_eq!(number(client, "select count(*) from sessions where last_seen_at > started_at").await, 2);
    assert_eq!(number(client, "select count(*) from adopted_values").await, 0);
    check_views(client).await;
}

async fn check_views(client: &Client) {
    assert_eq!(
        number(client, "select count(*) from v_actions_full where project_path is not null").await,
        125
    );
    assert_eq!(number(client, "select actions_count from v_active_agents").await, 124);
    let stats = "select total_actions from v_project_stats where path = '/recall/495759d0'";
    assert_eq!(number(client, stats).await, 124);
    client.batch_execute("select * from v_unread_messages").await.unwrap();
    let columns = "select jsonb_object_agg(table_name, columns) from (select table_name, count(*) as columns \
                   from information_schema.columns where table_name like 'v\\_%' group by table_name) as views";
    assert_eq!(
        json(client, columns).await,
        json!({"v_actions_full": 22, "v_active_agents": 8, "v_project_stats": 9, "v_unread_messages": 11})
    );
}

#[tokio::test]
async fn both_forms_are_adopted_and_nothing_is_lost() {
    for form in [Form::Fresh, Form::Repaired] {
        with_database(async |database| {
            let client = database.client().await;
            original(&client, form).await;
            let driver = migrated(database).await;
            check_adopted(&client, form).await;

            let before = dump(&client).await;
            driver.migrate().await.unwrap();
            assert_eq!(dump(&client).await, before);
            // Even when nobody remembers that it was adopted.
            client.batch_execute("delete from dcm_migrations").await.unwrap();
            driver.migrate().await.unwrap();
            let mut after = dump(&client).await;
            after.insert("dcm_migrations".to_owned(), before["dcm_migrations"].clone());
            assert_eq!(after, before);
        })
        .await;
    }
}

#[tokio::test]
async fn an_adopted_database_has_what_a_new_one_has() {
    let facts = "select string_agg(fact, E'\\n' order by fact) from ( \
            select concat_ws(' ', 'column', table_name, column_name, udt_name, \
                case when table_name <> 'schema_version' and column_default not like 'gen_random_uuid%' \
                    then column_default end) as fact \
            from information_schema.columns where table_schema = 'public' \
            union all \
            select concat_ws(' ', 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)) \
            from pg_constraint where connamespace = 'public'::regnamespace \
            union all \
            select concat_ws(' ', 'index', indexdef) from pg_indexes where schemaname = 'public' \
        ) as facts";
    let mut new = String::new();
    with_database(async |database| {
        migrated(database).await;
        new = database.client().await.query_one(facts, &[]).await.unwrap().get(0);
    })
    .await;
    assert!(new.lines().count() > 200, "{new}");
    for form in [Form::Fresh, Form::Repaired] {
        with_database(async |database| {
            let client = database.client().await;
            original(&client, form).await;
            migrated(database).await;
            let adopted: String = client.query_one(facts, &[]).await.unwrap().get(0);
            let adopted: Vec<_> = adopted.lines().collect();
            let missing: Vec<_> = new.lines().filter(|fact| !adopted.contains(fact)).collect();
            assert!(missing.is_empty(), "{missing:#?}");
        })
        .await;
    }
}

#[tokio::test]
async fn what_the_original_could_not_do_works_after_adoption() {
    with_database(async |database| {
        let client = database.client().await;
        original(&client, Form::Repaired).await;
        migrated(database).await;
        client
            .batch_execute(
                "insert into agent_contexts (id, project_id, agent_id, agent_type, role_context) \
                 select id, id, 'a', 't', '{}' from projects where name = 'Shop'; \
                 update agent_contexts set progress_summary = 'x'; \
                 update projects set updated_at = '2020-01-01' where name = 'Shop'; \
                 delete from projects where path = '/recall/495759d0'",
            )
            .await
            .unwrap();
        let moved = "select count(*) from projects where updated_at = '2020-01-01'";
        assert_eq!(number(&client, moved).await, 1, "no trigger sets another time");
        let orphan = "select count(*) from sessions where id = 'recall-495759d0' and project_id is null";
        assert_eq!(number(&client, orphan).await, 1);
        // The trigger's function may be in use elsewhere.
        assert_eq!(
            number(&client, "select count(*) from pg_proc where proname = 'update_updated_at'").await,
            1
        );
    })
    .await;
}

/// A JSON column that the original filled, and what it must become.
fn json_cases() -> Vec<(serde_json::Value, serde_json::Value)> {
    let nested = |value: &serde_json::Value, times: usize| {
        (0..times).fold(value.clone(), |value, _| json!(value.to_string()))
    };
    let plain = json!({"a": {"b": [1, "x"]}, "text": "\"quoted\" \\ back\u{1F600}"});
    vec![
        (plain.clone(), plain.clone()),
        (nested(&plain, 1), plain.clone()),
        (nested(&plain, 5), plain.clone()),
        (
            json!([nested(&json!({"a": 1, "b": {"x": 1}}), 1), nested(&json!({"b": {"y": 2}}), 2)]),
            json!({"a": 1, "b": {"y": 2}}),
        ),
        (json!([{"a": 1}, "{}", null, "{\"a\":2}"]), json!({"a": 2})),
        (json!(["[\"{}\",\"{\\\"a\\\":1}\"]", "{\"b\":2}"]), json!({"a": 1, "b": 2})),
        // Not made by the original's mistakes, so nothing is taken apart.
        (json!([{"a": 1}, {"a": 2}]), json!({"WRAP": [{"a": 1}, {"a": 2}]})),
        (json!(["{}", "plain"]), json!({"WRAP": ["{}", "plain"]})),
        (json!([]), json!({"WRAP": []})),
        (json!("plain text"), json!({"WRAP": "plain text"})),
        (json!(""), json!({"WRAP": ""})),
        (json!("42"), json!({"WRAP": "42"})),
        (json!("{\"broken\": "), json!({"WRAP": "{\"broken\": "})),
        (json!(7), json!({"WRAP": 7})),
        (json!(false), json!({"WRAP": false})),
        // What jsonb cannot hold, but a string that holds JSON could.
        (
            json!(
                r#"{"nul":"a\u0000\u0000b","kept":"\\u0000","pair":"\ud83d\ude00","high":"\ud83d!","low":"\ude00"}"#
            ),
            json!({
                "nul": "a\u{fffd}\u{fffd}b", "kept": "\\u0000", "pair": "\u{1F600}", "high": "\u{fffd}!", "low": "\u{fffd}"
            }),
        ),
    ]
}

#[tokio::test]
async fn every_kind_of_json_is_unwrapped() {
    let cases = json_cases();
    let mut rows = String::new();
    for (index, (given, _)) in cases.iter().enumerate() {
        let given = given.to_string().replace('\'', "''");
        let id = Uuid::from_u128(index as u128);
        write!(
            rows,
            "insert into projects (id, path, metadata) values ('{id}', '/{index}', '{given}'); \
             insert into requests (id, session_id, prompt, metadata) values ('{id}', 's', 'p', '{given}'); \
             insert into task_lists (id, request_id) values ('{id}', '{id}'); \
             insert into subtasks (id, task_list_id, context_snapshot, result) values ('{id}', '{id}', '{given}', '{given}'); \
             insert into actions (id, tool_name, tool_type, metadata) values ('{id}', 't', 'mcp', '{given}'); \
             insert into agent_messages (id, message_type, payload) values ('{id}', 't', '{given}'); \
             insert into agent_contexts (id, agent_id, agent_type, role_context) values ('{id}', 'a', 't', '{given}');"
        )
        .unwrap();
    }
    with_database(async |database| {
        let client = database.client().await;
        client.batch_execute(&data("schema_fresh.sql")).await.unwrap();
        client.batch_execute(&rows).await.unwrap();
        migrated(database).await;
        for (column, wrapper) in [
            ("metadata from projects", "value"),
            ("metadata from requests", "value"),
            ("metadata from actions", "value"),
            ("context_snapshot from subtasks", "value"),
            ("result from subtasks", "value"),
            ("role_context from agent_contexts", "value"),
            ("payload from agent_messages", "message"),
        ] {
            for (index, (given, expected)) in cases.iter().enumerate() {
                let id = Uuid::from_u128(index as u128);
                let text = expected.to_string().replace("WRAP", wrapper);
                let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
                let adopted = json(&client, &format!("select {column} where id = '{id}'")).await;
                assert_eq!(adopted, expected, "{column}: {given}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn odd_rows_do_not_stop_the_start() {
    with_database(async |database| {
        let client = database.client().await;
        original(&client, Form::Repaired).await;
        let holes = "
            insert into projects (path, created_at, updated_at, metadata) values ('/nulls', null, null, null);
            insert into projects (path, name) values ('', 'root');
            insert into requests (session_id, prompt, prompt_type, status, created_at, metadata)
            values ('s', 'nulls', null, null, null, null), ('s', 'words', 'general', 'archived', now(), 'null');
            insert into task_lists (request_id, name, wave_number, status, created_at)
            select id, 'same', 3, 'pending', now() from requests
            union all select id, 'same', 3, 'pending', now() from requests
            union all select null, 'orphan', null, null, null;
            insert into subtasks (description, status, created_at, context_snapshot, blocked_by)
            values ('orphan', 'cancelled', null, 'null', array[null, gen_random_uuid()]);
            insert into actions (tool_name, tool_type, exit_code, created_at, metadata, file_paths)
            values ('T', 'plugin', null, null, null, array[null, 'x']);
            insert into actions (tool_name, tool_type, exit_code, file_paths, subtask_id)
            select 'holed', 'builtin', 0, array[null, 'x', null], id from subtasks where agent_id is not null limit 1;
            insert into keyword_tool_scores (keyword, tool_name, tool_type, score, usage_count, success_count, last_used)
            values ('k', 't', 'general', null, null, null, null);
            insert into agent_messages (message_type, payload, read_by, created_at, priority)
            values ('t', 'null', null, null, null), ('t', '\"{}\"', array['a', null, 'a'], null, 1);
            insert into agent_contexts (agent_id, agent_type, role_context, last_updated) values ('a', 't', '[]', null);
            insert into sessions (id, started_at, total_tools_used, total_success, total_errors)
            values ('nulls', null, null, null, null);
            insert into subscriptions (agent_id, topic, created_at, updated_at) values ('n', 't', null, null);
            insert into blocked_agents (blocked_by, blocked_agent, created_at) values ('n', 'm', null);
            alter table sessions drop constraint sessions_project_id_fkey;
            insert into sessions (id, project_id) values ('dangling', gen_random_uuid());
            alter table sessions add foreign key (project_id) references projects (id) not valid;
            create view mine as select id from keyword_tool_scores;
        ";
        client.batch_execute(holes).await.unwrap();
        let lists = number(&client, "select count(*) from task_lists").await;
        let driver = migrated(database).await;

        assert_eq!(number(&client, "select count(*) from task_lists where name = 'same' and wave_number = 3").await, 8);
        // One more wave, for the subtask that had none.
        assert_eq!(number(&client, "select count(*) from task_lists").await, lists + 1);
        for hole in [
            "projects where created_at is null or updated_at is null or metadata is null",
            "requests where status is null or created_at is null or metadata is null",
            "task_lists where request_id is null or wave_number is null or status is null or created_at is null",
            "subtasks where task_list_id is null or status is null or created_at is null",
            "actions where exit_code is null or created_at is null or metadata is null or recorded_at is null",
            "keyword_tool_scores where score is null or usage_count is null or success_count is null or last_used is null",
            "agent_messages where created_at is null or priority is null or jsonb_typeof(payload) <> 'object'",
            "agent_contexts where last_updated is null or role_context <> '{\"value\": []}'",
            "sessions where started_at is null or total_tools_used is null or total_success is null \
             or total_errors is null or last_seen_at is null",
            "subscriptions where created_at is null or updated_at is null",
            "blocked_agents where created_at is null",
        ] {
            assert_eq!(number(&client, &format!("select count(*) from {hole}")).await, 0, "{hole}");
        }
        assert_eq!(number(&client, "select count(*) from message_reads where agent_id = 'a'").await, 1);
        assert_eq!(number(&client, "select count(*) from projects where name = 'root' and path = '/'").await, 1);
        // A brief reads lists of texts and of ids through these; what is not there is no text.
        for (view, list) in [("session_work", "blocked_by"), ("session_calls", "paths"), ("file_actions", "paths")] {
            let with_null = format!("select count(*) from {view} where {list} like '%null%'");
            assert_eq!(number(&client, &with_null).await, 0, "{view}");
        }
        for view in ["session_calls", "file_actions"] {
            let kept = format!("select count(*) from {view} where tool_name = 'holed' and paths = '[\"x\"]'");
            assert_eq!(number(&client, &kept).await, 1, "{view}");
        }
        assert_eq!(number(&client, "select count(*) from subtasks where context_snapshot is not null").await, 0);
        assert_eq!(
            json(
                &client,
                "select jsonb_agg(concat_ws(' ', table_name, column_name, value) order by table_name, column_name) \
                 from adopted_values"
            )
            .await,
            json!([
                "actions tool_type plugin",
                "keyword_tool_scores tool_type general",
                "requests prompt_type general",
                "requests status archived",
                "subtasks status cancelled"
            ])
        );
        let before = dump(&client).await;
        for migration in migrations(Dialect::Postgres) {
            client.batch_execute(migration.text).await.unwrap();
        }
        driver.migrate().await.unwrap();
        assert_eq!(dump(&client).await, before);
    })
    .await;
}
