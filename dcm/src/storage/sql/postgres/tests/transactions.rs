use super::*;
use crate::error::ErrorKind;

async fn things(database: &TestDatabase) -> PostgresDriver {
    let driver = database.narrow_driver().await;
    driver.transact(vec![], |_| Ok(((), vec![Statement::new("things_table")]))).await.unwrap();
    driver
}

fn thing(id: u128, rank: i64) -> Statement {
    Statement::new("thing_insert").with("id", Uuid::from_u128(id)).with("rank", rank)
}

async fn write(driver: &PostgresDriver, writes: Vec<Statement>) -> Result<(), TransactError> {
    driver.transact(vec![], |_| Ok(((), writes))).await.map(drop)
}

async fn count(driver: &PostgresDriver) -> Value {
    value(driver, Statement::new("things_count")).await
}

async fn backend(driver: &PostgresDriver) -> Value {
    value(driver, Statement::new("backend")).await
}

#[tokio::test]
async fn what_is_loaded_decides_what_is_written() {
    with_database(async |database| {
        let driver = things(database).await;
        write(&driver, vec![thing(1, 10)]).await.unwrap();
        let load = vec![Statement::new("things_count"), Statement::new("things_all")];
        let (made, rows) = driver
            .transact(load, |mut rows| {
                assert_eq!(rows[0][0].values, [Value::Int(1)]);
                let id: Uuid = rows[1][0].id(0)?;
                let tag = Statement::new("thing_tag").with("id", id).with("tags", vec!["a,b".to_owned()]);
                Ok(("made", vec![tag, thing(2, 20)]))
            })
            .await
            .unwrap();
        assert_eq!(made, "made");
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(rows[0][0].values, [Value::Int(10)]);
        assert_eq!(count(&driver).await, Value::Int(2));
    })
    .await;
}

#[tokio::test]
async fn a_refused_statement_takes_its_neighbours_back() {
    with_database(async |database| {
        let driver = things(database).await;
        let before = backend(&driver).await;
        write(&driver, vec![thing(1, 1)]).await.unwrap();

        // In one round trip, and in two.
        for load in [vec![], vec![Statement::new("things_count")]] {
            let write = async |writes| driver.transact(load.clone(), |_| Ok(((), writes))).await;
            let twice = write(vec![thing(2, 2), thing(1, 1), thing(3, 3)]).await;
            assert!(
                matches!(&twice, Err(TransactError::Refused(error)) if error.kind() == ErrorKind::Conflict),
                "{twice:?}"
            );
            // Refused by the server, and refused before anything is sent.
            for bad in [thing(4, 4).with("rank", Value::Null), thing(5, 1 << 40)] {
                let mut bad = bad;
                bad.params.reverse();
                let refused = write(vec![thing(2, 2), bad]).await;
                assert!(matches!(&refused, Err(TransactError::Refused(_))), "{refused:?}");
            }
            let missing = write(vec![thing(2, 2), Statement::new("no_such_table")]).await;
            assert!(
                matches!(&missing, Err(TransactError::Failed(error)) if error.kind() == ErrorKind::Internal),
                "{missing:?}"
            );
            let unexpected = write(vec![Statement::new("divide_by_zero"), thing(2, 2)]).await;
            assert!(matches!(&unexpected, Err(TransactError::Unexpected(_))), "{unexpected:?}");
        }
        let in_load = driver.transact(vec![Statement::new("no_such_table")], |_| Ok(((), vec![]))).await;
        assert!(matches!(&in_load, Err(TransactError::Failed(_))), "{in_load:?}");

        assert_eq!(count(&driver).await, Value::Int(1));
        assert_eq!(backend(&driver).await, before, "the connection can be used again");
    })
    .await;
}

/// What is sent behind a BEGIN that fails may have run by itself, so nobody may say that it had no effect.
#[tokio::test]
async fn a_begin_that_fails_leaves_open_what_happened() {
    with_database(async |database| {
        let driver = things(database).await;
        write(&driver, vec![thing(1, 1)]).await.unwrap();
        // A session in a failed transaction refuses to begin another.
        let session = lease(&driver.pool).await.unwrap();
        session.batch_execute("begin; select 1 / 0").await.unwrap_err();
        drop(session);
        let unknown = write(&driver, vec![thing(2, 2)]).await;
        assert!(
            matches!(&unknown, Err(TransactError::NeverBegun(error)) if error.kind() == ErrorKind::Unavailable),
            "{unknown:?}"
        );
        write(&driver, vec![thing(2, 2)]).await.unwrap();
        assert_eq!(count(&driver).await, Value::Int(2));
    })
    .await;
}

#[tokio::test]
async fn an_error_of_the_rules_ends_the_transaction() {
    with_database(async |database| {
        let driver = things(database).await;
        let load = || vec![Statement::new("things_count")];
        let refused = driver.transact(load(), |_| Err::<((), _), _>(Error::not_found("Thing"))).await;
        assert!(
            matches!(&refused, Err(TransactError::Failed(error)) if error.kind() == ErrorKind::NotFound),
            "{refused:?}"
        );
        let (answer, rows) = driver.transact(load(), |_| Ok((5, vec![]))).await.unwrap();
        assert_eq!((answer, rows), (5, vec![]));
        // A `begin` inside a transaction would say READ COMMITTED.
        let rows = driver.read(vec![Statement::new("settings"), Statement::new("settings")]).await.unwrap();
        assert_eq!(rows[0][0].values[1], Value::Text("repeatable read".to_owned()));
        assert_eq!(rows[0][0].values, rows[1][0].values, "both see one snapshot");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_less_durable_than_on() {
    with_database(async |database| {
        let admin = database.client().await;
        for (given, expected) in [
            ("off", "on"),
            ("local", "on"),
            ("remote_write", "on"),
            ("on", "on"),
            ("remote_apply", "remote_apply"),
        ] {
            let alter = format!("alter database {} set synchronous_commit = {given}", database.name);
            admin.batch_execute(&alter).await.unwrap();
            let options = PostgresOptions { max_connections: 3, ..PostgresOptions::default() };
            let driver = database.driver(options).await;
            assert_eq!(driver.commit_levels().await.unwrap(), [expected; 3]);
            // As behind a pooler that hands out sessions which somebody else has set up.
            for session in [lease(&driver.pool).await.unwrap(), lease(&driver.pool).await.unwrap()] {
                session.batch_execute("set synchronous_commit = off").await.unwrap();
            }
            let settings = || vec![Statement::new("settings")];
            let (loaded, written) =
                driver.transact(settings(), move |rows| Ok((rows, settings()))).await.unwrap();
            let ((), at_once) = driver.transact(vec![], move |_| Ok(((), settings()))).await.unwrap();
            for rows in [loaded, written, at_once] {
                let text = |text: &str| Value::Text(text.to_owned());
                assert_eq!(
                    rows[0][0].values[..8],
                    ["read committed", "UTC", "dcm", "off", "30s", "10s", "15s"].map(text).into_iter().fold(
                        vec![text(expected)],
                        |mut all, next| {
                            all.push(next);
                            all
                        }
                    )
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_between_load_and_write_can_be_retried() {
    with_database(async |database| {
        let driver = things(database).await;
        let config = database.config.clone();
        let killed = driver
            .transact(vec![Statement::new("backend")], move |mut rows| {
                let pid = i32::try_from(rows[0][0].int(0)?).unwrap();
                let end = async move {
                    // Waits until it has ended.
                    let admin = client(&config).await;
                    admin.query_one("select pg_terminate_backend($1, 10000)", &[&pid]).await.unwrap();
                };
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(end));
                Ok(((), vec![thing(1, 1)]))
            })
            .await;
        assert!(
            matches!(&killed, Err(TransactError::Retryable(error)) if error.kind() == ErrorKind::Unavailable),
            "{killed:?}"
        );
        write(&driver, vec![thing(1, 1)]).await.unwrap();
        assert_eq!(count(&driver).await, Value::Int(1));
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_ended_by_a_write_can_be_retried() {
    with_database(async |database| {
        let driver = things(database).await;
        let killed = write(&driver, vec![thing(1, 1), Statement::new("end_own_session"), thing(2, 2)]).await;
        assert!(
            matches!(&killed, Err(TransactError::Retryable(error)) if error.kind() == ErrorKind::Unavailable),
            "{killed:?}"
        );
        write(&driver, vec![thing(1, 1)]).await.unwrap();
        assert_eq!(count(&driver).await, Value::Int(1));
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_ended_in_commit_leaves_the_outcome_open() {
    with_database(async |database| {
        let driver = things(database).await;
        let admin = database.client().await;
        admin
            .batch_execute(
                "create function end_session() returns trigger language plpgsql as \
                 $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$; \
                 create constraint trigger at_commit after insert on things deferrable initially deferred \
                 for each row when (new.rank = 13) execute function end_session()",
            )
            .await
            .unwrap();
        let lost = write(&driver, vec![thing(1, 13)]).await;
        assert!(
            matches!(&lost, Err(TransactError::CommitUnknown(error)) if error.kind() == ErrorKind::Unavailable),
            "{lost:?}"
        );
        write(&driver, vec![thing(2, 2)]).await.unwrap();
        assert_eq!(count(&driver).await, Value::Int(1));
    })
    .await;
}

#[tokio::test]
async fn a_constraint_that_fails_in_commit_is_refused() {
    with_database(async |database| {
        let driver = things(database).await;
        let deferred =
            "alter table things add constraint one_rank unique (rank) deferrable initially deferred";
        database.client().await.batch_execute(deferred).await.unwrap();
        let before = backend(&driver).await;
        let refused = write(&driver, vec![thing(1, 1), thing(2, 1)]).await;
        assert!(matches!(&refused, Err(TransactError::Refused(_))), "{refused:?}");
        assert_eq!(count(&driver).await, Value::Int(0));
        assert_eq!(backend(&driver).await, before);
    })
    .await;
}

#[tokio::test]
async fn sessions_that_were_ended_are_replaced() {
    with_database(async |database| {
        let driver =
            database.driver(PostgresOptions { max_connections: 4, ..PostgresOptions::default() }).await;
        driver.commit_levels().await.unwrap();
        let admin = database.client().await;
        let end = "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity \
                   where application_name = 'dcm' and datname = current_database()";
        assert_eq!(admin.query_one(end, &[]).await.unwrap().get::<_, i64>(0), 4);
        // Each call may meet one connection whose end was not yet noticed.
        let mut failures = 0;
        while let Err(error) = driver.ping().await {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            failures += 1;
            assert!(failures <= 4, "{error:?}");
        }
        write(&driver, vec![Statement::new("ping")]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_its_transaction_along() {
    with_database(async |database| {
        let driver = Arc::new(database.narrow_driver().await);
        let before = backend(&driver).await;
        let admin = database.client().await;
        admin.batch_execute("select pg_advisory_lock(7)").await.unwrap();
        let waiting = tokio::spawn({
            let driver = Arc::clone(&driver);
            async move { driver.transact(vec![Statement::new("take_lock")], |_| Ok(((), vec![]))).await }
        });
        let waiters = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                       and database = (select oid from pg_database where datname = current_database())";
        while admin.query_one(waiters, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        // The pool has room for one connection, so the old one is not in it any more.
        assert_ne!(backend(&driver).await, before);
    })
    .await;
}

#[tokio::test]
async fn waiting_has_an_end() {
    with_database(async |database| {
        let admin = database.client().await;
        admin.batch_execute("select pg_advisory_lock(7)").await.unwrap();
        let is_retryable = |outcome: Result<((), Vec<Vec<Row>>), TransactError>| {
            assert!(
                matches!(&outcome, Err(TransactError::Retryable(error)) if error.kind() == ErrorKind::Unavailable),
                "{outcome:?}"
            );
        };

        let options = PostgresOptions { max_connections: 1, lock_timeout_ms: 20, ..PostgresOptions::default() };
        let driver = database.driver(options.clone()).await;
        let before = backend(&driver).await;
        is_retryable(driver.transact(vec![Statement::new("take_lock")], |_| Ok(((), vec![]))).await);
        is_retryable(write(&driver, vec![Statement::new("take_lock")]).await.map(|()| ((), vec![])));
        assert_eq!(backend(&driver).await, before, "the server said so, the connection is in order");

        let driver = database.driver(PostgresOptions { statement_timeout_ms: 20, ..options.clone() }).await;
        is_retryable(driver.transact(vec![Statement::new("sleep")], |_| Ok(((), vec![]))).await);
        let error = driver.read(vec![Statement::new("sleep"), Statement::new("ping")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);

        // A server that says nothing at all.
        let driver = database.driver(PostgresOptions { call_timeout_ms: 20, ..options }).await;
        is_retryable(driver.transact(vec![Statement::new("sleep")], |_| Ok(((), vec![]))).await);
        let unknown = write(&driver, vec![Statement::new("sleep")]).await;
        assert!(
            matches!(&unknown, Err(TransactError::CommitUnknown(_) | TransactError::Retryable(_))),
            "{unknown:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_says_so() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = parse_url(&format!("postgres://dcm:hunter2@127.0.0.1:{port}/dcm")).unwrap();
    let error = PostgresDriver::connect(config, PostgresOptions::default()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));

    with_database(async |database| {
        let mut config = database.config.clone();
        config.dbname("dcm_there_is_no_such_database");
        let error = PostgresDriver::connect(config, PostgresOptions::default()).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("dcm_there_is_no_such_database"), "{error}");

        // Never in the clear when the address asks for TLS.
        let mut config = database.config.clone();
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
        let error = PostgresDriver::connect(config, PostgresOptions::default()).await.err().unwrap();
        assert!(error.message().contains("TLS"), "{error}");

        let driver =
            PostgresDriver::connect(database.config.clone(), PostgresOptions::default()).await.unwrap();
        driver.ping().await.unwrap();
        driver.close().await;
        assert_eq!(driver.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
        let closed = write(&driver, vec![Statement::new("ping")]).await;
        assert!(matches!(&closed, Err(TransactError::Retryable(_))), "{closed:?}");
    })
    .await;
}
