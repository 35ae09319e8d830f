//! Brings the schema of a database up to date, or adopts that of another system.

use std::time::Duration;

use super::{BEGIN, Lease, PostgresDriver, Stage};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::sql::migrate::{Applied, Migration, migrations, plan};
use crate::storage::sql::registry::Dialect;
use crate::storage::sql::value::{Row, Statement};

/// Names the lock that only one migrating node can hold.
const LOCK: i64 = 0x0064_636d_6d69_6772;

/// How long a node waits for another that migrates, or for those who use the tables.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

impl PostgresDriver {
    /// Applies the migrations that the database lacks, all in one transaction, while other nodes that start wait.
    pub(crate) async fn migrate(&self) -> Result<()> {
        self.apply(migrations(Dialect::Postgres)).await
    }

    pub(super) async fn apply(&self, known: &[Migration]) -> Result<()> {
        let mut lease = self.lease().await?;
        // When this is left early, the connection is closed and the server rolls back.
        lease.parts().map_err(|failure| failure.error)?;
        lease.stage = Stage::Unsettled;
        self.batch(&lease, "begin", &format!("{BEGIN}; {}", self.opening)).await?;
        let settings = format!(
            "set local lock_timeout = {}; set local statement_timeout = 0; \
             set local idle_in_transaction_session_timeout = 0; set local client_min_messages = warning; \
             select pg_advisory_xact_lock({LOCK})",
            LOCK_TIMEOUT.as_millis()
        );
        self.batch(&lease, "the wait for other nodes that migrate", &settings).await?;
        self.query(&lease, Statement::new("migrations_table")).await?;
        let rows = self.query(&lease, Statement::new("migrations_applied")).await?;
        let applied = rows.into_iter().map(Applied::from_row).collect::<Result<Vec<_>>>()?;
        for migration in plan(known, &applied)? {
            tracing::info!(migration = migration.name, "migrating the database");
            self.batch(&lease, migration.name, migration.text).await?;
            self.query(&lease, migration.record()).await?;
        }
        self.batch(&lease, "commit", "commit").await?;
        lease.stage = Stage::Idle;
        Ok(())
    }

    async fn batch(&self, lease: &Lease, what: &str, sql: &str) -> Result<()> {
        let Some(client) = &lease.client else { return Err(Error::internal("no connection")) };
        client.batch_execute(sql).await.map_err(|error| failed(what, &error))
    }

    async fn query(&self, lease: &Lease, statement: Statement) -> Result<Vec<Row>> {
        let Some(client) = &lease.client else { return Err(Error::internal("no connection")) };
        let prepared = self.prepare(client, &[statement]).await.map_err(|failure| failure.error)?;
        let Some(prepared) = prepared.first() else { return Ok(Vec::new()) };
        let rows = prepared.run(client).await.map_err(|error| failed(prepared.query, &error))?;
        prepared.decode(&rows).map_err(|failure| failure.error)
    }
}

/// The complaint about a failed migration; it is for whoever starts the program, not for the wire.
fn failed(what: &str, error: &tokio_postgres::Error) -> Error {
    let Some(answer) = error.as_db_error() else {
        return Error::unavailable(format!("migrating the database, {what}: {error}"));
    };
    let hint = match answer.code().code() {
        "42501" => "; the database user must own the tables and may create new ones",
        "55P03" => "; another program keeps the tables locked",
        "25006" | "55000" => "; the address must lead to a server that can be written to",
        _ => "",
    };
    Error::new(
        ErrorKind::Internal,
        format!(
            "the database could not be migrated, {what}: {} (SQLSTATE {}){hint}",
            answer.message(),
            answer.code().code()
        ),
    )
}
