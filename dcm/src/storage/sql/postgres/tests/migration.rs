use super::*;
use crate::error::ErrorKind;
use crate::storage::sql::migrate::{Migration, migrations};

const TEST: Migration = Migration {
    version: 1,
    name: "0001_test",
    text: "create table numbers (n integer); insert into numbers select 1 from pg_sleep(0.01);",
};

async fn builtin(database: &TestDatabase) -> PostgresDriver {
    PostgresDriver::connect(database.config.clone(), PostgresOptions::default()).await.unwrap()
}

async fn names(database: &TestDatabase) -> Vec<String> {
    let rows = database.client().await.query("select name from dcm_migrations order by version", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_migrate_once() {
    with_database(async |database| {
        let mut nodes = Vec::new();
        for _ in 0..6 {
            let driver = builtin(database).await;
            nodes.push(tokio::spawn(async move {
                driver.apply(&[TEST]).await?;
                driver.apply(&[TEST]).await
            }));
        }
        for node in nodes {
            node.await.unwrap().unwrap();
        }
        let rows = database.client().await.query("select n from numbers", &[]).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(names(database).await, ["0001_test"]);
    })
    .await;
}

#[tokio::test]
async fn an_empty_database_gets_the_schema() {
    with_database(async |database| {
        migrated(database).await;
        let known: Vec<_> = migrations(Dialect::Postgres).iter().map(|migration| migration.name).collect();
        assert_eq!(names(database).await, known);
        let left =
            "select string_agg(proname::text, ' ') from pg_proc where pronamespace = 'public'::regnamespace";
        let client = database.client().await;
        let left: String = client.query_one(left, &[]).await.unwrap().get(0);
        assert_eq!(left, "nobody_at_work", "the functions of the adoption are gone");
        let views = "select viewname::text from pg_views where schemaname = 'public' order by 1";
        let views = client.query(views, &[]).await.unwrap();
        let views: Vec<String> = views.iter().map(|row| row.get(0)).collect();
        assert_eq!(
            views,
            [
                "agents_at_work",
                "file_actions",
                "open_work",
                "session_calls",
                "session_steps",
                "session_work",
                "subtask_blockers"
            ],
            "those of the adoption are gone"
        );
        let holders = "select count(*) from requests";
        assert_eq!(client.query_one(holders, &[]).await.unwrap().get::<_, i64>(0), 0);
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing() {
    with_database(async |database| {
        let driver = builtin(database).await;
        let bad = Migration { version: 2, name: "0002_bad", text: "drop table numbers; select 1/0;" };
        driver.apply(&[TEST]).await.unwrap();
        let error = driver.apply(&[TEST, bad]).await.unwrap_err();
        assert!(error.message().contains("0002_bad"), "{error}");
        assert!(error.message().contains("22012"), "{error}");
        database.client().await.batch_execute("select n from numbers").await.unwrap();
        assert_eq!(names(database).await, ["0001_test"]);
        driver.ping().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_user_without_rights_is_told() {
    with_database(async |database| {
        let role = format!("{}_role", database.name);
        let admin = database.client().await;
        admin
            .batch_execute(&format!("create role {role} login; revoke create on schema public from public"))
            .await
            .unwrap();
        let mut config = database.config.clone();
        config.user(&role);
        let driver = PostgresDriver::connect(config, PostgresOptions::default()).await.unwrap();
        let error = driver.migrate().await.unwrap_err();
        driver.close().await;
        admin.batch_execute(&format!("drop role {role}")).await.unwrap();
        assert!(error.message().contains("42501") && error.message().contains("must own"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn newer_databases_are_accepted_and_other_histories_refused() {
    with_database(async |database| {
        let driver = migrated(database).await;
        let client = database.client().await;
        client
            .batch_execute(
                "insert into dcm_migrations (version, name, checksum) values (900, '0900_later', 'x')",
            )
            .await
            .unwrap();
        driver.migrate().await.unwrap();
        client.batch_execute("update dcm_migrations set checksum = 'x' where version = 1").await.unwrap();
        let error = driver.migrate().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("0001_init"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn every_built_in_query_can_be_prepared() {
    with_database(async |database| {
        let driver = migrated(database).await;
        let client = database.client().await;
        for name in driver.registry.names() {
            for variant in driver.registry.variants(name).unwrap() {
                let prepared = client.prepare(&variant.sql).await;
                let prepared =
                    prepared.unwrap_or_else(|error| panic!("query {name}: {error:?}\n{}", variant.sql));
                assert_eq!(prepared.params().len(), variant.params.len(), "query {name}");
                for column in prepared.columns() {
                    assert!(is_known(column.type_()), "query {name}: {column:?}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_database_that_cannot_keep_every_text_is_refused() {
    for (encoding, is_refused) in [("SQL_ASCII", true), ("LATIN1", true), ("UTF8", false)] {
        let options = format!("encoding '{encoding}' locale 'C' template template0");
        with_database_like(&options, async |database| {
            let connected =
                PostgresDriver::connect(database.config.clone(), PostgresOptions::default()).await;
            if !is_refused {
                return connected.unwrap().migrate().await.unwrap();
            }
            let error = connected.err().unwrap();
            let way_out = "create database NAME encoding 'UTF8' template template0";
            let said = error.message();
            assert!(said.contains(encoding) && said.contains(way_out), "{said}");
            assert_eq!(error.kind(), ErrorKind::Invalid);
        })
        .await;
    }
}
