//! What is written to the log, as part of a transaction and as a statement that is one.

use super::*;
use crate::engine::rules::SendMessage;
use crate::id::EventId;
use crate::json::JsonObject;
use crate::model::Message;
use crate::storage::sql::SqlStore;
use crate::storage::sql::flush::alone;
use crate::storage::sql::rows::{IntoCells, Placed};
use crate::storage::state::NewEvent;
use crate::storage::{Batch, CommitStore, Submitted};

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

/// A statement that writes one message and one event, expects that nobody is at work, and tells other nodes.
fn insert_message() -> Statement {
    let ids = IdSource::new(Arc::new(SystemClock));
    let message = Message {
        id: ids.next(),
        project_id: None,
        from_agent: Some("a".to_owned()),
        to_agent: Some("b".to_owned()),
        topic: Some("workflow.progress".to_owned()),
        content: JsonObject::default(),
        priority: 0,
        created_at: SystemClock.now(),
        expires_at: None,
    };
    let messages = Statement::bulk("insert_messages", Message::COLUMNS, vec![message.into_cells()]);
    let only = alone(vec![messages, insert_event()]).unwrap();
    only.with("agents", vec!["b".to_owned()]).with("node", "node")
}

/// The ways of writing to the log: what is loaded, and what is written.
fn ways() -> [(Vec<Statement>, Statement); 3] {
    [
        (vec![Statement::new("ping")], insert_event()),
        (vec![], insert_event().alone()),
        (vec![], insert_message()),
    ]
}

/// How many events and messages there are, and the end of the log.
async fn log(admin: &Client) -> (i64, i64, i64) {
    let sql = "select (select count(*) from events), (select count(*) from agent_messages), seq from event_log_head";
    let row = admin.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1), row.get(2))
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
        for way in ways() {
            admin.batch_execute("update event_log_head set given_up = '{}'").await.unwrap();
            let given_up = format!("update event_log_head set given_up = array[{ATTEMPT}]");
            let refused = write_behind(database, &driver, way, &given_up).await;
            assert!(matches!(&refused, Err(TransactError::Unexpected(_))), "{refused:?}");
            assert_eq!(log(&admin).await, before);
        }
        for way in ways() {
            admin.batch_execute("update event_log_head set given_up = '{}'").await.unwrap();
            let others = format!("update event_log_head set given_up = array[{}]", ATTEMPT + 1);
            write_behind(database, &driver, way, &others).await.unwrap();
        }
        assert_eq!(log(&admin).await, (before.0 + 3, before.1 + 1, before.2 + 3));
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
        assert_eq!(log(&admin).await, (before.0 + 1, before.1, before.2 + 1));
    })
    .await;
}

/// Who holds the head of the log waits for nobody, so everything else is done before.
#[tokio::test]
async fn a_message_is_written_before_the_head_of_the_log_is_taken() {
    with_database(async |database| {
        let driver = Arc::new(migrated(database).await);
        let admin = database.client().await;
        admin
            .batch_execute(
                "create function note() returns trigger language plpgsql as \
                 $$ begin perform pg_advisory_xact_lock(42); return new; end $$; \
                 create trigger note before insert on agent_messages for each row execute function note()",
            )
            .await
            .unwrap();
        // Fails unless the lock is held by whoever waits for the head.
        let is_noted = "select 1 / count(*) from pg_locks where locktype = 'advisory' and objid = 42 and granted \
                        and database = (select oid from pg_database where datname = current_database())";
        write_behind(database, &driver, (vec![], insert_message()), is_noted).await.unwrap();
    })
    .await;
}

/// A transaction that waits for the head must see it as it is then, whatever the database prescribes otherwise.
#[tokio::test]
async fn a_stricter_isolation_is_not_taken_over() {
    with_database(async |database| {
        migrated(database).await;
        let admin = database.client().await;
        let stricter =
            format!("alter database {} set default_transaction_isolation = 'serializable'", database.name);
        admin.batch_execute(&stricter).await.unwrap();
        let driver = migrated(database).await;
        assert!(
            !driver.contact.reads_committed,
            "behind a pooler a session may be one that nobody has set up"
        );
        for way in ways() {
            let touch = "update event_log_head set given_up = '{}'";
            write_behind(database, &Arc::new(migrated(database).await), way, touch).await.unwrap();
        }
    })
    .await;
}

/// One that the database refuses takes nobody along, and one that cannot even be sent leaves the connection as it was.
#[tokio::test]
async fn a_message_that_is_refused_takes_no_other_along() {
    with_database(async |database| {
        migrated(database).await;
        let admin = database.client().await;
        let refuse = "alter table agent_messages add check (from_agent_id <> 'refused')";
        admin.batch_execute(refuse).await.unwrap();
        let options = PostgresOptions { max_connections: 1, ..PostgresOptions::default() };
        let store =
            SqlStore::new(PostgresDriver::connect(database.config.clone(), options).await.unwrap(), 3);
        let backend = async || {
            let session = lease(&store.driver.pool).await.unwrap();
            session.query_one("select pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0)
        };
        let before = backend().await;
        let ids = IdSource::new(Arc::new(SystemClock));
        let commands = ["first", "refused", "not \0 text", "last"].map(|from| {
            let message =
                serde_json::json!({"from_agent": from, "topic": "workflow.progress", "content": {"n": 1}});
            let operation = serde_json::from_value(message).unwrap();
            Submitted::new(SendMessage { operation, default_ttl_ms: 60_000 }, None)
        });
        let outcomes = store.commit(Batch::new(commands.into(), SystemClock.now(), ids)).await.unwrap();
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
        let kept = "select string_agg(from_agent_id, ' ' order by created_at, id) from agent_messages";
        let kept: String = admin.query_one(kept, &[]).await.unwrap().get(0);
        assert_eq!(kept, "first last");
        let events = "select count(*) from events where name = 'message.new'";
        assert_eq!(admin.query_one(events, &[]).await.unwrap().get::<_, i64>(0), 2);
        assert_eq!(backend().await, before, "the connection is in order");
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_commits_is_as_durable_as_a_transaction() {
    with_database(async |database| {
        let options = PostgresOptions { max_connections: 1, ..PostgresOptions::default() };
        migrated(database).await;
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
        for prescribed in ["off", "remote_apply"] {
            let prescribe = format!("alter database {} set synchronous_commit = {prescribed}", database.name);
            admin.batch_execute(&prescribe).await.unwrap();
            let driver =
                PostgresDriver::connect(database.config.clone(), options.clone()).await.unwrap();
            // As in a session of a pooler that nobody has set up.
            let session = lease(&driver.pool).await.unwrap();
            session.batch_execute("set synchronous_commit = off").await.unwrap();
            drop(session);
            driver.transact(vec![], |_| Ok(((), vec![insert_event().alone()]))).await.unwrap();
        }
        let levels = admin.query_one("select array_agg(level) from levels", &[]).await.unwrap();
        assert_eq!(levels.get::<_, Vec<String>>(0), ["on", "remote_apply"]);
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
            let event = IdSource::new(Arc::new(SystemClock)).next::<EventId>();
            let give_up = Statement::new("give_up_attempt").with("attempt", attempt);
            let give_up = vec![give_up.with("seq", 0_i64).with("id", event)];
            driver.transact(vec![], move |_| Ok(((), give_up))).await.unwrap();
        };
        for attempt in 1..=3 {
            give_up(attempt).await;
        }
        assert_eq!(kept().await, [3, 2, 1]);
        let many = "update event_log_head set given_up = (select array_agg(n) from generate_series(1::bigint, 1000) as n)";
        admin.batch_execute(many).await.unwrap();
        give_up(0).await;
        assert_eq!(kept().await, (0..=999).collect::<Vec<_>>(), "the newest thousand");
        admin
            .batch_execute("update event_log_head set given_up_at = now() - interval '25 hours'")
            .await
            .unwrap();
        give_up(7).await;
        assert_eq!(kept().await, [7]);
    })
    .await;
}
