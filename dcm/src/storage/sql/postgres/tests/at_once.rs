//! What is written to the log, as part of a transaction and as a statement that is one.

use super::*;
use crate::json::JsonObject;
use crate::storage::sql::rows::{IntoCells, Placed};
use crate::storage::state::NewEvent;

/// The number of every attempt here.
const ATTEMPT: i64 = 7;

/// A statement that writes one event.
fn insert_event() -> Statement {
    let ids = IdSource::new(Arc::new(SystemClock));
    let event = NewEvent {
        id: ids.next(),
        name: "system.info",
        at: SystemClock.now(),
        channels: vec!["global".to_owned()],
        data: JsonObject::default(),
        summary: JsonObject::default(),
    };
    let rows = vec![Placed(event, 0).into_cells()];
    Statement::bulk("insert_events", Placed::COLUMNS, rows).with("count", 1_i64).with("attempt", ATTEMPT)
}

/// Both ways of writing to the log: what is loaded, and what is written.
fn both_ways() -> [(Vec<Statement>, Statement); 2] {
    [(vec![Statement::new("ping")], insert_event()), (vec![], insert_event().alone())]
}

/// The events, and the end of the log.
async fn log(admin: &Client) -> (i64, i64) {
    let row =
        admin.query_one("select (select count(*) from events), seq from event_log_head", &[]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Writes while somebody else holds the head of the log, who does `meanwhile` when the write waits for it.
async fn write_behind(
    database: &TestDatabase,
    driver: &Arc<PostgresDriver>,
    (load, write): (Vec<Statement>, Statement),
    meanwhile: &str,
) -> Result<(), TransactError> {
    // Within a transaction, who is at work looks the same all the time.
    let (admin, watcher) = (database.client().await, database.client().await);
    admin.batch_execute("begin; select seq from event_log_head for update").await.unwrap();
    let writing = tokio::spawn({
        let driver = Arc::clone(driver);
        async move { driver.transact(load, |_| Ok(((), vec![write]))).await.map(drop) }
    });
    let waiters = "select count(*) from pg_stat_activity \
                   where datname = current_database() and wait_event = 'transactionid'";
    while watcher.query_one(waiters, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(!writing.is_finished(), "it does not wait: {:?}", writing.await);
        tokio::task::yield_now().await;
    }
    admin.batch_execute(meanwhile).await.unwrap();
    admin.batch_execute("commit").await.unwrap();
    writing.await.unwrap()
}

/// The second looks at the head as it is when its turn comes, not as it was when it began.
#[tokio::test]
async fn an_attempt_that_is_given_up_while_it_waits_for_the_log_writes_nothing() {
    with_database(async |database| {
        let driver = Arc::new(migrated(database).await);
        let admin = database.client().await;
        let before = log(&admin).await;
        for way in both_ways() {
            admin.batch_execute("update event_log_head set given_up = '{}'").await.unwrap();
            let given_up = format!("update event_log_head set given_up = array[{ATTEMPT}]");
            let refused = write_behind(database, &driver, way, &given_up).await;
            assert!(matches!(&refused, Err(TransactError::Unexpected(_))), "{refused:?}");
            assert_eq!(log(&admin).await, before);
        }
        for way in both_ways() {
            admin.batch_execute("update event_log_head set given_up = '{}'").await.unwrap();
            let others = format!("update event_log_head set given_up = array[{}]", ATTEMPT + 1);
            write_behind(database, &driver, way, &others).await.unwrap();
        }
        assert_eq!(log(&admin).await, (before.0 + 2, before.1 + 2));
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_ended_while_a_statement_commits_leaves_the_outcome_open() {
    with_database(async |database| {
        let driver = Arc::new(migrated(database).await);
        let admin = database.client().await;
        let before = log(&admin).await;
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() \
                   and datname = current_database() and wait_event = 'transactionid'";
        let unknown = write_behind(database, &driver, (vec![], insert_event().alone()), end).await;
        assert!(matches!(&unknown, Err(TransactError::CommitUnknown(_))), "{unknown:?}");
        assert_eq!(log(&admin).await, before);
        // Not so where the server only refuses it, and the connection is in order.
        let cancel = "select pg_cancel_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() \
                      and datname = current_database() and wait_event = 'transactionid'";
        let cancelled = write_behind(database, &driver, (vec![], insert_event().alone()), cancel).await;
        assert!(matches!(&cancelled, Err(TransactError::Retryable(_))), "{cancelled:?}");
        driver.transact(vec![], |_| Ok(((), vec![insert_event().alone()]))).await.unwrap();
        assert_eq!(log(&admin).await, (before.0 + 1, before.1 + 1));
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_commits_is_as_durable_as_a_transaction() {
    with_database(async |database| {
        let options = PostgresOptions { max_connections: 1, ..PostgresOptions::default() };
        let driver = PostgresDriver::connect(database.config.clone(), options).await.unwrap();
        driver.migrate().await.unwrap();
        let admin = database.client().await;
        admin
            .batch_execute(
                "create table levels (level text); \
                 create function note_level() returns trigger language plpgsql as \
                 $$ begin insert into levels values (current_setting('synchronous_commit')); return null; end $$; \
                 create trigger note_level after insert on events for each row execute function note_level()",
            )
            .await
            .unwrap();
        for level in ["off", "local", "on", "remote_apply"] {
            // As in a session of a pooler that nobody has set up.
            let session = lease(&driver.pool).await.unwrap();
            session.batch_execute(&format!("set synchronous_commit = {level}")).await.unwrap();
            drop(session);
            driver.transact(vec![], |_| Ok(((), vec![insert_event().alone()]))).await.unwrap();
        }
        let levels = admin.query_one("select array_agg(level) from levels", &[]).await.unwrap();
        assert_eq!(levels.get::<_, Vec<String>>(0), ["on", "on", "on", "remote_apply"]);
    })
    .await;
}

#[tokio::test]
async fn attempts_that_were_given_up_are_forgotten() {
    with_database(async |database| {
        let driver = migrated(database).await;
        let admin = database.client().await;
        let kept = async || {
            let kept = admin.query_one("select given_up from event_log_head", &[]).await.unwrap();
            kept.get::<_, Vec<i64>>(0)
        };
        let give_up = async |attempt: i64| {
            let give_up = vec![Statement::new("give_up_attempt").with("attempt", attempt)];
            driver.transact(vec![], move |_| Ok(((), give_up))).await.unwrap();
        };
        for attempt in 1..=3 {
            give_up(attempt).await;
        }
        assert_eq!(kept().await, [3, 2, 1]);
        for attempt in 4..=150 {
            give_up(attempt).await;
        }
        assert_eq!(kept().await, (51..=150).rev().collect::<Vec<_>>(), "the newest hundred");
        admin
            .batch_execute("update event_log_head set given_up_at = now() - interval '25 hours'")
            .await
            .unwrap();
        give_up(151).await;
        assert_eq!(kept().await, [151]);
    })
    .await;
}
