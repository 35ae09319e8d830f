//! What holds only against a real server; `DCM_TEST_POSTGRES` says where one is.

mod adoption;
mod at_once;
#[cfg(feature = "sqlite")]
mod feed;
mod migration;
mod plans;
mod round_trips;
mod transactions;
mod values;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::*;
use crate::id::IdSource;
use crate::time::{Clock, SystemClock};

/// A database that exists for the time of one test.
struct TestDatabase {
    name: String,
    config: Config,
}

/// Runs `test` in a database of its own.
async fn with_database(test: impl AsyncFnOnce(&TestDatabase)) {
    with_database_like("", test).await;
}

/// Runs `test` in a database of its own that is made with the options `options` of `create database`.
async fn with_database_like(options: &str, test: impl AsyncFnOnce(&TestDatabase)) {
    #[expect(clippy::disallowed_methods, reason = "the tests have no command line")]
    let url = std::env::var("DCM_TEST_POSTGRES").expect(
        "DCM_TEST_POSTGRES must hold the address of a superuser, such as \
         postgres://postgres@127.0.0.1:5432/postgres; tests/run starts a server and sets it",
    );
    let config = parse_url(&url).unwrap();
    let id: Uuid = IdSource::new(Arc::new(SystemClock)).next();
    let name = format!("dcm_test_{}", id.simple());
    let admin = client(&config).await;
    admin.batch_execute(&format!("create database {name} {options}")).await.unwrap();
    let mut database = TestDatabase { name, config };
    database.config.dbname(&database.name);
    let outcome = AssertUnwindSafe(test(&database)).catch_unwind().await;
    admin.batch_execute(&format!("drop database {} with (force)", database.name)).await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

async fn client(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    // It ends with an error when the test ends this session, which is what it wanted.
    tokio::spawn(async move { drop(connection.await) });
    client
}

impl TestDatabase {
    /// A session beside those of the driver.
    async fn client(&self) -> Client {
        client(&self.config).await
    }

    /// A driver that knows the queries of the tests.
    async fn driver(&self, options: PostgresOptions) -> PostgresDriver {
        PostgresDriver::connect_with(queries(), self.config.clone(), options).await.unwrap()
    }

    /// A driver with only one connection: whoever leaves it in disorder is found out by the next.
    async fn narrow_driver(&self) -> PostgresDriver {
        self.driver(PostgresOptions { max_connections: 1, ..PostgresOptions::default() }).await
    }
}

fn queries() -> &'static Registry {
    static QUERIES: OnceLock<Registry> = OnceLock::new();
    QUERIES.get_or_init(|| {
        let text = include_str!("queries.sql");
        Registry::parse(Dialect::Postgres, [("queries.sql", text)]).unwrap()
    })
}

/// The built-in schema in a driver that knows the built-in queries.
async fn migrated(database: &TestDatabase) -> PostgresDriver {
    let driver = PostgresDriver::connect(database.config.clone(), PostgresOptions::default()).await.unwrap();
    driver.migrate().await.unwrap();
    driver
}

/// The one value that `statement` answers.
async fn value(driver: &PostgresDriver, statement: Statement) -> Value {
    let mut rows = driver.read(vec![statement]).await.unwrap();
    rows.remove(0).remove(0).values.remove(0)
}
