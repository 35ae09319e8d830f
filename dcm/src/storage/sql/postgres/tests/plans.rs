//! How often PostgreSQL looks at a table for one answer.

use super::*;
use crate::storage::BriefQuery;
use crate::storage::sql::brief::brief_statement;

/// Messages to others, and work of the agent: enough that looking at one for each of the other shows.
const FILL: &str = "
    insert into projects (id, path, name, created_at, updated_at)
        values ('00000000-0000-4000-8000-000000000001', '/p', 'p', now(), now());
    insert into requests (id, project_id, session_id, prompt, status, created_at) values
        ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 's', 'p', 'active', now());
    insert into task_lists (id, request_id, name, wave_number, status, created_at) values
        ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000002', 't', 0, 'running', now());
    insert into subtasks (id, task_list_id, session_id, agent_id, agent_type, description, status, created_at)
        select gen_random_uuid(), '00000000-0000-4000-8000-000000000003', 's', 'a', 'kind', 'd', 'running', now()
        from generate_series(1, 50);
    insert into agent_messages (id, from_agent_id, to_agent_id, message_type, topic, payload, priority, created_at)
        select gen_random_uuid(), 'a', 'b' || n, 'direct', 't', '{}', 0, now() from generate_series(1, 400) as n;
    analyze;
";

/// The most loops of any node of a plan that reads `relation`.
fn loops(plan: &serde_json::Value, relation: &str) -> i64 {
    let own = if plan["Relation Name"] == relation { plan["Actual Loops"].as_i64().unwrap_or(0) } else { 0 };
    let below = plan["Plans"].as_array().into_iter().flatten().map(|plan| loops(plan, relation));
    below.max().unwrap_or(0).max(own)
}

/// The plan of `statement`, carried out.
async fn plan(driver: &PostgresDriver, statement: Statement) -> serde_json::Value {
    let sql = format!("explain (analyze, format json) {}", driver.registry.variant(&statement).unwrap().sql);
    let lease = driver.lease().await.unwrap();
    let client = lease.client.as_ref().unwrap();
    let prepared = driver.prepare(client, &[statement]).await.unwrap().remove(0);
    let params: Vec<_> = prepared.params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
    let row = client.query_one(&sql, &params).await.unwrap();
    let Value::Json(plan) = row.get::<_, Decoded>(0).0 else { panic!("a plan is JSON") };
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    plan[0]["Plan"].clone()
}

/// Both are asked with every batch of messages, and others may be at work by the thousand.
#[tokio::test]
async fn agents_at_work_are_found_by_type() {
    with_database(async |database| {
        let driver = migrated(database).await;
        let client = database.client().await;
        client.batch_execute(FILL).await.unwrap();
        let more = "insert into subtasks (id, task_list_id, session_id, agent_id, agent_type, description, status, created_at) \
                    select gen_random_uuid(), task_list_id, 's', 'a', 'kind' || n, 'd', 'running', now() \
                    from subtasks, generate_series(1, 100) as n; analyze";
        client.batch_execute(more).await.unwrap();
        let statement = Statement::new("load_open_agents").with("agents", vec!["tester".to_owned()]);
        let plan = plan(&driver, statement).await;
        assert!(plan.to_string().contains("\"subtasks_at_work\""), "{plan:#}");
        // What a function does is in no plan; this session has read nothing yet. Of a table of one row another plan would
        // read all, and keep to that.
        client.batch_execute("delete from subtasks where agent_type <> 'kind1'; analyze subtasks").await.unwrap();
        let client = database.client().await;
        client.batch_execute("begin; select nobody_at_work(array['tester'])").await.unwrap();
        let reads = "select seq_scan, idx_scan from pg_stat_xact_user_tables where relname = 'subtasks'";
        let reads = client.query_one(reads, &[]).await.unwrap();
        assert_eq!((reads.get::<_, i64>(0), reads.get::<_, i64>(1)), (0, 1), "of the table, and by an index");
    })
    .await;
}

#[tokio::test]
async fn a_brief_does_not_look_at_work_for_each_message() {
    with_database(async |database| {
        let driver = migrated(database).await;
        database.client().await.batch_execute(FILL).await.unwrap();
        let statement = brief_statement(BriefQuery {
            agent_id: "a".to_owned(),
            agent_type: None,
            assumed_type: "developer".to_owned(),
            lines: 20,
            session_id: "s".to_owned(),
            project_id: None,
            steps: 10,
            now: SystemClock.now(),
        });
        let plan = &plan(&driver, statement).await;
        assert!(
            loops(plan, "agent_messages") > 0 && loops(plan, "subtasks") > 0,
            "the plan can be read: {plan}"
        );
        assert!(loops(plan, "subtasks") <= 100, "{plan:#}");
    })
    .await;
}
