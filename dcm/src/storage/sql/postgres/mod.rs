//! PostgreSQL: a pool of connections, pipelined statements, and transactions of two round trips, or of one where
//! nothing must be seen before it is decided, or of one statement.

mod connect;
mod decode;
mod encode;
mod failure;
mod listen;
mod migrate;
mod pipeline;
#[cfg(test)]
mod tests;
mod tls;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use postgres_types::{ToSql, Type};
use tokio::sync::Notify;
use tokio_postgres::Config;

use self::connect::{Contact, first_contact, lease, pool};
pub(crate) use self::connect::{PostgresOptions, parse_url};
use self::decode::{Decoded, is_known};
use self::encode::{Encoded, encode, encode_column};
use self::failure::{Class, Failure};
use self::pipeline::{Request, send_all, send_all_then};
use super::driver::{Driver, TransactError};
use super::registry::{Dialect, Param, Registry};
use super::value::{Row, Statement, Value};
use crate::error::{Error, Result};

/// How long a rollback may take before its connection is given up.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the connection that listens is tried.
const LISTEN_CHECK: Duration = Duration::from_secs(5);

/// The store on PostgreSQL.
pub(crate) struct PostgresDriver {
    pool: Pool,
    config: Config,
    registry: &'static Registry,
    options: PostgresOptions,
    /// The second statement of each transaction.
    opening: String,
    contact: Contact,
}

/// The first.
const BEGIN: &str = "begin transaction isolation level read committed";

type PgResult<T> = Result<T, tokio_postgres::Error>;

/// What each transaction is set to. Prepared like any other statement, it costs a third of what four `set local` cost.
///
/// Every connection was given this level of `synchronous_commit` when it was made. It is said again for each transaction,
/// because behind a transaction pooler the next one may run in a session that nobody has set up.
///
/// Plans are made once for each connection, maybe while a table is still empty, when reading all of it looks cheapest; it
/// grows afterwards, and the plan stays. Whatever a batch looks for has an index. (Without that choice a plan that has
/// none looks so dear that compiling it seems to pay.)
fn opening(level: &str) -> String {
    format!(
        "select set_config('synchronous_commit', '{level}', true), \
         set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true), \
         set_config('jit', 'off', true)"
    )
}

impl PostgresDriver {
    /// Connects to a database and looks whether it can be used.
    pub(crate) async fn connect(config: Config, options: PostgresOptions) -> Result<Self> {
        Self::connect_with(Registry::of(Dialect::Postgres)?, config, options).await
    }

    async fn connect_with(
        registry: &'static Registry,
        config: Config,
        options: PostgresOptions,
    ) -> Result<Self> {
        let pool = pool(config.clone(), &options)?;
        let contact = first_contact(&pool, &config).await?;
        let opening = opening(&contact.commit_level);
        Ok(Self { pool, config, registry, options, opening, contact })
    }

    /// The `synchronous_commit` of every connection that the pool may hold, all of them opened.
    #[cfg(test)]
    pub(crate) async fn commit_levels(&self) -> Result<Vec<String>> {
        let mut clients = Vec::new();
        for _ in 0..self.options.max_connections {
            clients.push(lease(&self.pool).await?);
        }
        let mut levels = Vec::new();
        for client in &clients {
            levels.push(connect::setting(client, "synchronous_commit").await?);
        }
        Ok(levels)
    }

    fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.options.call_timeout_ms.into())
    }

    async fn lease(&self) -> Result<Lease> {
        Ok(Lease { client: Some(lease(&self.pool).await?), stage: Stage::Idle })
    }

    /// Prepares `statements` on the connection, in one round trip for those that it does not know yet, and encodes
    /// their parameters.
    async fn prepare(&self, client: &Object, statements: &[Statement]) -> Result<Vec<Prepared>, Failure> {
        let mut variants = Vec::with_capacity(statements.len());
        for statement in statements {
            variants.push(self.registry.variant(statement).map_err(Failure::fault)?);
        }
        let requests = variants
            .iter()
            .map(|variant| -> Request<'_, _, _> { Box::pin(client.prepare_cached(&variant.sql)) });
        let answers = send_all(requests.collect()).await;
        let mut prepared = Vec::with_capacity(statements.len());
        for ((statement, variant), answer) in statements.iter().zip(variants).zip(answers) {
            let query = statement.query;
            let handle = answer.map_err(|error| Failure::of(query, &error))?;
            if let Some(column) = handle.columns().iter().find(|column| !is_known(column.type_())) {
                let complaint = format!("query {query}: no column may be of type {}", column.type_());
                return Err(Failure::fault(Error::internal(complaint)));
            }
            let mut params = Vec::with_capacity(variant.params.len());
            for (param, ty) in variant.params.iter().zip(handle.params()) {
                params.push(parameter(statement, param, ty)?);
            }
            prepared.push(Prepared { query, handle, params });
        }
        Ok(prepared)
    }

    async fn read_on(&self, client: &Object, statements: &[Statement]) -> Result<Vec<Vec<Row>>, Failure> {
        let prepared = self.prepare(client, statements).await?;
        if let [only] = &prepared[..] {
            let rows = only.run(client).await.map_err(|error| Failure::of(only.query, &error))?;
            return Ok(vec![only.decode(&rows)?]);
        }
        // One snapshot for all of them costs no round trip.
        let mut requests =
            vec![command(client, "begin transaction isolation level repeatable read read only")];
        requests.extend(prepared.iter().map(|statement| statement.request(client)));
        requests.push(command(client, "commit"));
        let mut answers = send_all(requests).await.into_iter();
        answers.next().transpose().map_err(|error| Failure::of("begin", &error))?;
        let rows = collect(&prepared, answers.by_ref())?;
        answers.next().transpose().map_err(|error| Failure::of("commit", &error))?;
        Ok(rows)
    }

    /// What a transaction begins with, after [`BEGIN`].
    async fn opening(&self, client: &Object) -> Result<Prepared, Failure> {
        let query = "opening";
        let handle =
            client.prepare_cached(&self.opening).await.map_err(|error| Failure::of(query, &error))?;
        Ok(Prepared { query, handle, params: Vec::new() })
    }

    /// Begins a transaction and runs `load` in it, in one round trip.
    async fn load(&self, lease: &mut Lease, load: &[Statement]) -> Result<Vec<Vec<Row>>, Failure> {
        let (client, stage) = lease.parts()?;
        *stage = Stage::Open;
        let opening = self.opening(client).await?;
        let prepared = self.prepare(client, load).await?;
        let mut requests = vec![command(client, BEGIN), opening.request(client)];
        requests.extend(prepared.iter().map(|statement| statement.request(client)));
        let mut answers = send_all(requests).await.into_iter();
        answers.next().transpose().map_err(|error| Failure::of("begin", &error))?;
        answers.next().transpose().map_err(|error| Failure::of(opening.query, &error))?;
        collect(&prepared, answers)
    }

    /// Runs `writes` and commits, in one round trip; in the same one it begins the transaction where there is an
    /// `opening`.
    async fn flush(
        &self,
        lease: &mut Lease,
        opening: Option<Prepared>,
        writes: &[Statement],
    ) -> Result<Vec<Vec<Row>>, TransactError> {
        let (client, stage) = lease.parts().map_err(Failure::without_effect)?;
        let prepared = self.prepare(client, writes).await;
        if matches!(&prepared, Err(failure) if failure.class == Class::Lost) {
            *stage = Stage::Unsettled;
        }
        let prepared = prepared.map_err(Failure::without_effect)?;
        *stage = Stage::Unsettled;
        let mut requests: Vec<_> = opening.iter().map(|_| command(client, BEGIN)).collect();
        requests.extend(opening.iter().chain(&prepared).map(|statement| statement.request(client)));
        let (answers, committed) = send_all_then(requests, command(client, "commit")).await;
        let mut answers = answers.into_iter();
        let begun = opening.as_ref().and_then(|_| answers.next()).transpose();
        // A COMMIT that the server has answered has ended the transaction, in whichever way.
        *stage = match &committed {
            Some(Ok(_)) => Stage::Idle,
            None => Stage::Open,
            Some(Err(_)) => Stage::Unsettled,
        };
        if let Err(error) = begun {
            let failure = Failure::of("begin", &error);
            return Err(match committed {
                None => failure.without_effect(),
                Some(_) if !failure.is_answer => TransactError::CommitUnknown(failure.error),
                // The session has ended with this answer, and heard nothing of what came behind.
                Some(_) if failure.class == Class::Lost => failure.without_effect(),
                Some(_) => {
                    let error = Error::unavailable("the database refused to begin a transaction");
                    TransactError::NeverBegun(error.with_source(failure.error))
                }
            });
        }
        let mut answers = match first_failure(opening.iter().chain(&prepared), answers) {
            Ok(answers) => answers,
            // The server refused a statement, so the COMMIT behind it has rolled back; or it was never sent.
            Err(failure) if failure.is_answer || committed.is_none() => {
                if failure.class == Class::Lost {
                    *stage = Stage::Unsettled;
                }
                return Err(failure.without_effect());
            }
            Err(failure) => return Err(TransactError::CommitUnknown(failure.error)),
        };
        if let Some(Err(error)) = committed {
            let failure = Failure::of("commit", &error);
            if failure.is_answer && failure.class != Class::Lost {
                *stage = Stage::Idle;
                return Err(failure.without_effect());
            }
            return Err(TransactError::CommitUnknown(failure.error));
        }
        answers.drain(..answers.len() - prepared.len());
        // The types of all columns were looked at before.
        let rows = prepared.iter().zip(answers).map(|(statement, rows)| statement.decode(&rows));
        rows.collect::<Result<_, _>>().map_err(|failure| TransactError::CommitUnknown(failure.error))
    }

    /// Runs a statement that is a whole transaction. It is committed when it is answered.
    async fn run_alone(&self, lease: &mut Lease, only: &Statement) -> Result<Vec<Row>, TransactError> {
        let (client, stage) = lease.parts().map_err(Failure::without_effect)?;
        // Nothing has begun yet; but what is given up while it is prepared leaves no connection in order.
        *stage = Stage::Open;
        let prepared = match self.prepare(client, std::slice::from_ref(only)).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                // There is no transaction to be rolled back.
                *stage = if failure.class == Class::Lost { Stage::Unsettled } else { Stage::Idle };
                return Err(failure.without_effect());
            }
        };
        let Some(statement) = prepared.first() else { return Ok(Vec::new()) };
        *stage = Stage::Unsettled;
        match statement.run(client).await {
            Ok(rows) => {
                *stage = Stage::Idle;
                // The types of all columns were looked at before.
                statement.decode(&rows).map_err(|failure| TransactError::CommitUnknown(failure.error))
            }
            Err(error) => {
                let failure = Failure::of(statement.query, &error);
                // A session that is ended may have committed before.
                if !failure.is_answer || failure.ends_session {
                    return Err(TransactError::CommitUnknown(failure.error));
                }
                if failure.class != Class::Lost {
                    *stage = Stage::Idle;
                }
                Err(failure.without_effect())
            }
        }
    }

    async fn transact_on<T, F>(
        &self,
        lease: &mut Lease,
        load: Vec<Statement>,
        decide: F,
    ) -> Result<(T, Vec<Vec<Row>>), TransactError>
    where
        F: FnOnce(Vec<Vec<Row>>) -> Result<(T, Vec<Statement>)>,
    {
        let begins_late = load.is_empty();
        let rows = if begins_late {
            Vec::new()
        } else {
            self.load(lease, &load).await.map_err(|failure| lease.failed(failure))?
        };
        // Nothing of the driver is reachable from `decide`, so a panic in it leaves nothing half done.
        let (made, mut writes) = catch_unwind(AssertUnwindSafe(|| decide(rows)))
            .unwrap_or_else(|_| Err(Error::internal("the decision of a transaction panicked")))
            .map_err(TransactError::Failed)?;
        if writes.is_empty() {
            return Ok((made, Vec::new()));
        }
        if let [only] = &mut writes[..]
            && only.is_alone()
        {
            only.params.push(("level", self.contact.commit_level.as_str().into()));
            // Whoever has waited for the head of the log must see it as it is.
            if self.contact.reads_committed {
                return Ok((made, vec![self.run_alone(lease, only).await?]));
            }
        }
        let opening = if begins_late {
            let (client, stage) = lease.parts().map_err(Failure::without_effect)?;
            // Nothing has begun yet; but what is given up while it is prepared leaves no connection in order.
            *stage = Stage::Open;
            let opening = self.opening(client).await;
            Some(opening.map_err(|failure| lease.failed(failure))?)
        } else {
            None
        };
        Ok((made, self.flush(lease, opening, &writes).await?))
    }
}

impl Driver for PostgresDriver {
    const NEEDS_LOCKS: bool = true;
    const EVENTS_IN_ONE: bool = true;
    const SENT_AT_ONCE: bool = true;

    async fn read(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let mut lease = self.lease().await?;
        let (client, stage) = lease.parts().map_err(|failure| failure.error)?;
        // A call that is given up leaves statements behind that nobody should have to wait for.
        *stage = Stage::Unsettled;
        let answer = tokio::time::timeout(self.call_timeout(), self.read_on(client, &statements)).await;
        let Ok(answer) = answer else {
            return Err(Error::unavailable("the database did not answer in time"));
        };
        if !matches!(&answer, Err(failure) if failure.class == Class::Lost) {
            *stage = Stage::Idle;
        }
        answer.map_err(|failure| failure.error)
    }

    async fn transact<T, F>(
        &self,
        load: Vec<Statement>,
        decide: F,
    ) -> Result<(T, Vec<Vec<Row>>), TransactError>
    where
        T: Send + 'static,
        F: FnOnce(Vec<Vec<Row>>) -> Result<(T, Vec<Statement>)> + Send + 'static,
    {
        let mut lease = self.lease().await.map_err(TransactError::Retryable)?;
        let work = self.transact_on(&mut lease, load, decide);
        let Ok(answer) = tokio::time::timeout(self.call_timeout(), work).await else {
            let error = Error::unavailable("the database did not answer in time");
            return Err(match lease.stage {
                Stage::Unsettled => TransactError::CommitUnknown(error),
                Stage::Idle | Stage::Open => TransactError::Retryable(error),
            });
        };
        lease.end();
        answer
    }

    async fn watch(&self, wake: &Notify, node: Option<&str>) -> Result<()> {
        match node {
            Some(node) => listen::listen(&self.config, &self.pool, wake, node).await,
            // Behind a transaction pooler nobody can be heard.
            None => std::future::pending().await,
        }
    }

    fn poll_ms(&self) -> u64 {
        self.options.poll_ms.into()
    }

    async fn ping(&self) -> Result<()> {
        self.read(vec![Statement::new("ping")]).await.map(drop)
    }

    async fn close(&self) {
        self.pool.close();
    }
}

/// What is under way on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing: another caller may have it.
    Idle,
    /// A transaction that must be rolled back.
    Open,
    /// Something that may still go on, or has gone wrong: the connection must not be used again.
    Unsettled,
}

/// A connection in use. When it is dropped in the middle of something (the caller's future was), it is closed instead
/// of given back, and the server rolls back.
struct Lease {
    client: Option<Object>,
    stage: Stage,
}

impl Lease {
    fn parts(&mut self) -> Result<(&Object, &mut Stage), Failure> {
        let client = self.client.as_ref();
        let client =
            client.ok_or_else(|| Failure::fault(Error::internal("a connection was given back already")))?;
        Ok((client, &mut self.stage))
    }

    /// What the failure of a statement before the last round trip means; after some the connection is given up.
    fn failed(&mut self, failure: Failure) -> TransactError {
        if failure.class == Class::Lost {
            self.stage = Stage::Unsettled;
        }
        failure.without_effect()
    }

    /// Ends what is still open, without letting the caller wait for it.
    fn end(mut self) {
        if self.stage != Stage::Open {
            return;
        }
        tokio::spawn(async move {
            let Ok((client, stage)) = self.parts() else { return };
            let rollback = tokio::time::timeout(ROLLBACK_TIMEOUT, client.batch_execute("rollback")).await;
            if matches!(rollback, Ok(Ok(()))) {
                *stage = Stage::Idle;
            }
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.stage != Stage::Idle
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}

/// A statement that is ready to be sent.
struct Prepared {
    query: &'static str,
    handle: tokio_postgres::Statement,
    params: Vec<Encoded>,
}

impl Prepared {
    async fn run(&self, client: &Object) -> PgResult<Vec<tokio_postgres::Row>> {
        let params: Vec<_> = self.params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
        client.query(&self.handle, &params).await
    }

    fn request<'a>(
        &'a self,
        client: &'a Object,
    ) -> Request<'a, Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        Box::pin(self.run(client))
    }

    fn decode(&self, rows: &[tokio_postgres::Row]) -> Result<Vec<Row>, Failure> {
        let column =
            |row: &tokio_postgres::Row, index| row.try_get::<_, Decoded>(index).map(|decoded| decoded.0);
        rows.iter()
            .map(|row| {
                let values = (0..row.len()).map(|index| column(row, index)).collect::<Result<_, _>>();
                values.map(|values| Row { query: self.query, values })
            })
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::fault(Error::internal(format!("query {}: {error}", self.query))))
    }
}

/// A statement without parameters and rows.
fn command<'a>(
    client: &'a Object,
    sql: &'a str,
) -> Request<'a, Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    Box::pin(async move { client.batch_execute(sql).await.map(|()| Vec::new()) })
}

/// The rows of each of `prepared`, or the first failure; the failures behind it follow from it.
fn collect(
    prepared: &[Prepared],
    answers: impl Iterator<Item = PgResult<Vec<tokio_postgres::Row>>>,
) -> Result<Vec<Vec<Row>>, Failure> {
    let rows = first_failure(prepared.iter(), answers)?;
    prepared.iter().zip(rows).map(|(statement, rows)| statement.decode(&rows)).collect()
}

fn first_failure<'a>(
    prepared: impl Iterator<Item = &'a Prepared>,
    answers: impl IntoIterator<Item = PgResult<Vec<tokio_postgres::Row>>>,
) -> Result<Vec<Vec<tokio_postgres::Row>>, Failure> {
    prepared
        .zip(answers)
        .map(|(statement, answer)| answer.map_err(|error| Failure::of(statement.query, &error)))
        .collect()
}

/// What `statement` says for `param`, in the form of the type that the query asks for.
fn parameter(statement: &Statement, param: &Param, ty: &Type) -> Result<Encoded, Failure> {
    let name = param.name.as_str();
    let unfit = |unfit| Failure::unfit(statement.query, name, unfit);
    for bulk in &statement.bulk {
        if let Some(column) = bulk.columns.iter().position(|known| *known == name) {
            let cells = bulk.rows.iter().map(|row| row.get(column).unwrap_or(&Value::Null));
            return encode_column(cells, ty).map_err(unfit);
        }
    }
    let given = statement.params.iter().find(|(known, _)| *known == name);
    let value = given.map_or(&Value::Null, |(_, value)| value);
    encode(value, ty).map_err(unfit)
}
