//! Databases on a real PostgreSQL server.

mod cluster;

use std::env;
use std::panic;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

pub use cluster::Cluster;

/// The URL of a superuser on the server that `tests/run` started; it need not be set.
const SERVER: &str = "DCM_TEST_POSTGRES";

/// An empty database of its own for one test, dropped at the end.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    /// A database on the server that `DCM_TEST_POSTGRES` names, else on one that is started for this test program.
    #[must_use]
    pub fn create() -> Self {
        static OWN: OnceLock<Cluster> = OnceLock::new();
        match env::var_os(SERVER) {
            Some(url) => Self::create_at(url.to_str().expect("the URL in DCM_TEST_POSTGRES is UTF-8")),
            None => Self::create_on(OWN.get_or_init(Cluster::start)),
        }
    }

    /// A database on `cluster`.
    #[must_use]
    pub fn create_on(cluster: &Cluster) -> Self {
        Self::create_at(&cluster.url())
    }

    fn create_at(server: &str) -> Self {
        let name = unused_name();
        let mut url = Url::parse(server).unwrap_or_else(|error| panic!("{SERVER} is not a URL: {error}"));
        url.set_path(&name);
        if let Err(error) = query(server, &format!("create database {name} template template0")) {
            panic!(
                "no database could be created at {server}: {error}; {SERVER} must be the URL of a superuser"
            );
        }
        Self { server: server.to_owned(), name, url: url.into() }
    }

    /// What `DATABASE_URL` is to be.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements over a connection of its own; the rows of all of them, every value as text.
    #[must_use]
    pub fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        query(&self.url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs statements over a connection of its own.
    pub fn execute(&self, sql: &str) {
        let _ = self.rows(sql);
    }

    /// The one value that `sql` gives.
    #[must_use]
    pub fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        match rows.as_slice() {
            [row] if row.len() == 1 => row[0].clone().unwrap_or_else(|| panic!("{sql} gave null")),
            _ => panic!("{sql} gave not one value but {rows:?}"),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be away because the test took it away: then the database goes with the cluster.
        if let Err(error) =
            query(&self.server, &format!("drop database if exists {} with (force)", self.name))
        {
            eprintln!("database {} was left behind: {error}", self.name);
        }
    }
}

fn unused_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    format!("dcm_test_{}_{}_{nanos}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Runs `sql` at `url`, from synchronous and asynchronous callers alike.
fn query(url: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(query_async(url, sql))
    };
    // A runtime must not be started inside a runtime, and `Drop` cannot await.
    let answer = thread::scope(|scope| scope.spawn(work).join());
    answer.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

async fn query_async(url: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let mut config: Config = url.parse()?;
    config.connect_timeout(Duration::from_secs(10));
    let (client, connection) = config.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let messages = client.simple_query(sql).await?;
    drop(client);
    // The answer is complete; how the connection ends says nothing about it.
    let _ = connection.await;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_apart_from_each_other_and_gone_at_the_end() {
        let one = Database::create();
        let other = Database::create();
        one.execute("create table only_here (a int); insert into only_here values (7)");
        assert_eq!(one.value("select a from only_here"), "7");
        assert_eq!(other.value("select count(*) from pg_tables where tablename = 'only_here'"), "0");

        let name = one.name().to_owned();
        let exists = format!("select count(*) from pg_database where datname = '{name}'");
        assert_eq!(other.value(&exists), "1");
        drop(one);
        assert_eq!(other.value(&exists), "0");
    }

    #[tokio::test]
    async fn a_database_can_be_made_and_dropped_inside_a_runtime() {
        let database = Database::create();
        assert_eq!(database.value("select current_database()"), database.name());
    }

    #[test]
    fn durable_settings_are_what_the_tests_run_on() {
        let database = Database::create();
        assert_eq!(database.value("show fsync"), "on");
        assert_eq!(database.value("show synchronous_commit"), "on");
    }
}
