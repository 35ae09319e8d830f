//! Connections: where to, how many, and what holds for each of them.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod, Runtime,
    Timeouts,
};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::error::{Error, ErrorKind, Result};

/// The oldest server that is supported, as `server_version_num` says it.
const MIN_SERVER_VERSION: u32 = 140_000;

/// How long a connection may take to come about, unless the address says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be set about the connections to PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct PostgresOptions {
    /// How many connections are kept at most.
    pub(crate) max_connections: usize,
    /// How long one statement may take.
    pub(crate) statement_timeout_ms: u32,
    /// How long a statement may wait for a row or table that another transaction holds.
    pub(crate) lock_timeout_ms: u32,
    /// After how long the server ends a session that holds a transaction open and says nothing.
    pub(crate) idle_in_transaction_timeout_ms: u32,
    /// How long a call may take altogether, the wait for a free connection not counted.
    pub(crate) call_timeout_ms: u32,
    /// How often to look into the event log although nothing was heard.
    pub(crate) poll_ms: u32,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_connections: 10,
            statement_timeout_ms: 30_000,
            lock_timeout_ms: 10_000,
            idle_in_transaction_timeout_ms: 15_000,
            call_timeout_ms: 60_000,
            poll_ms: 1000,
        }
    }
}

/// Options of libpq that are no secret, so that a complaint may name them.
const OTHER_OPTIONS: [&str; 12] = [
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "sslpassword",
    "passfile",
    "service",
    "gssencmode",
    "krbsrvname",
    "requirepeer",
    "fallback_application_name",
    "client_encoding",
];

/// Reads an address such as `postgres://user:password@host:5432/database?sslmode=require`.
///
/// The complaint about a bad one never quotes it, because it holds the password.
pub(crate) fn parse_url(url: &str) -> Result<Config> {
    let invalid = |reason: &str| {
        Error::invalid(format!(
            "this is not an address of a PostgreSQL database such as \
             postgres://user:password@host:5432/database: {reason}"
        ))
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(invalid("it must begin with postgres://"));
    }
    // Where TLS is asked for, the certificate is verified in full, always; the driver has one word for that.
    let url =
        url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    let config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        let cause = error.into_source().map(|cause| cause.to_string()).unwrap_or_default();
        let known = OTHER_OPTIONS.iter().find(|option| cause == format!("unknown option `{option}`"));
        match known {
            Some(option) => invalid(&format!("the option {option} is not supported")),
            // These name the option and never its value.
            None if cause.starts_with("invalid value for option") => invalid(&cause),
            None => invalid("a part of it cannot be read (are @, /, ? and # in the password written as %40, %2F, %3F and %23?)"),
        }
    })?;
    if config.get_hosts().is_empty() {
        return Err(invalid("it names no host"));
    }
    Ok(config)
}

/// The statements that every connection begins with.
fn session_setup(options: &PostgresOptions) -> String {
    format!(
        "set timezone = 'UTC'; set standard_conforming_strings = on; set jit = off; \
         set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = {}; \
         select set_config('synchronous_commit', case when current_setting('synchronous_commit') = 'remote_apply' \
         then 'remote_apply' else 'on' end, false)",
        options.statement_timeout_ms, options.lock_timeout_ms, options.idle_in_transaction_timeout_ms,
    )
}

/// The address, with what every connection needs.
pub(super) fn prepared(mut config: Config) -> Config {
    let connect_timeout = *config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT);
    config.application_name("dcm").connect_timeout(connect_timeout);
    // A peer that has vanished without a word is noticed, not waited for.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(15));
    }
    config.keepalives_idle(config.get_keepalives_idle().min(Duration::from_secs(60)));
    config
}

/// A pool of connections; it opens none.
pub(super) fn pool(config: Config, options: &PostgresOptions) -> Result<Pool> {
    let config = prepared(config);
    let connect_timeout = *config.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT);
    let setup = session_setup(options);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = if config.get_ssl_mode() == SslMode::Require {
        Manager::from_config(config, super::tls::connector()?, recycling)
    } else {
        Manager::from_config(config, NoTls, recycling)
    };
    Pool::builder(manager)
        .max_size(options.max_connections.max(1))
        .runtime(Runtime::Tokio1)
        // The one that was used last has its plans and rows at hand; in turn, all of them would have a part of that.
        .queue_mode(QueueMode::Lifo)
        .timeouts(Timeouts {
            wait: Some(Duration::from_secs(10)),
            // The driver gives each host of the address its own connect timeout; then come log-in and set-up.
            create: Some(connect_timeout * 2),
            recycle: Some(Duration::from_secs(5)),
        })
        .post_create(Hook::async_fn(move |client, _| {
            let setup = setup.clone();
            Box::pin(async move { client.batch_execute(&setup).await.map_err(HookError::Backend) })
        }))
        .build()
        .map_err(|error| Error::internal(format!("cannot build the connection pool: {error}")))
}

/// A connection out of `pool`.
pub(super) async fn lease(pool: &Pool) -> Result<Object> {
    pool.get().await.map_err(|error| Error::unavailable(describe(&error)))
}

fn describe(error: &PoolError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let reason = inner.to_string();
        // Some say what their cause says already.
        if !text.ends_with(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = inner.source();
    }
    text
}

/// What the first session says of all.
#[derive(Debug)]
pub(super) struct Contact {
    /// The `synchronous_commit` of each transaction.
    pub(super) commit_level: String,
    /// Whether a statement that is sent alone sees what was committed while it waited, in whichever session it runs.
    pub(super) reads_committed: bool,
}

/// The first connection: it says clearly what is wrong with the address, the log-in or the server.
///
/// Answers what all sessions have in common.
pub(super) async fn first_contact(pool: &Pool, config: &Config) -> Result<Contact> {
    let client = match pool.get().await {
        Ok(client) => client,
        Err(error) => return Err(no_contact(&error, config)),
    };
    let version = setting(&client, "server_version_num").await?;
    if version.parse::<u32>().is_ok_and(|version| version < MIN_SERVER_VERSION) {
        return Err(Error::invalid(format!(
            "the database server is PostgreSQL {}, DCM needs 14 or later",
            setting(&client, "server_version").await?
        )));
    }
    let encoding = setting(&client, "server_encoding").await?;
    if encoding != "UTF8" {
        return Err(Error::invalid(format!(
            "the database keeps text as {encoding}, DCM needs one that keeps UTF8: \
             create database NAME encoding 'UTF8' template template0"
        )));
    }
    // What a session has that nobody has set up, as behind a transaction pooler.
    let isolation = "select reset_val from pg_settings where name = 'default_transaction_isolation'";
    Ok(Contact {
        commit_level: setting(&client, "synchronous_commit").await?,
        reads_committed: value(&client, isolation).await? == "read committed",
    })
}

fn no_contact(error: &PoolError, config: &Config) -> Error {
    let server = hosts(config);
    let answer = match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            error.as_db_error()
        }
        _ => None,
    };
    match answer {
        // Wrong user or password, and no such database: trying again would not help.
        Some(answer) if answer.code().code().starts_with("28") || answer.code().code() == "3D000" => {
            Error::invalid(format!("PostgreSQL at {server} refuses the connection: {}", answer.message()))
        }
        _ => {
            let detail = format!("cannot connect to PostgreSQL at {server}: {}", describe(error));
            Error::new(ErrorKind::Unavailable, detail).with_retry_after(1)
        }
    }
}

fn hosts(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
        let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    hosts.collect::<Vec<_>>().join(", ")
}

/// The value of a setting in the session of `client`.
pub(super) async fn setting(client: &Client, name: &str) -> Result<String> {
    value(client, &format!("show {name}")).await
}

/// The one value that a query answers, as text.
async fn value(client: &Client, sql: &str) -> Result<String> {
    let messages =
        client.simple_query(sql).await.map_err(|error| Error::unavailable(format!("{sql}: {error}")))?;
    let value = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    value.ok_or_else(|| Error::internal(format!("{sql} answered nothing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_explained_without_its_password() {
        for (url, reason) in [
            ("mysql://u:hunter2@h/d", "must begin with postgres://"),
            ("host=h password=hunter2", "must begin with postgres://"),
            ("postgres://u:hunter2@h:port/d", "invalid value for option `port`"),
            ("postgres://u:hunter2@h/d?sslrootcert=x", "the option sslrootcert is not supported"),
            ("postgres://u@h/d?hunter2=x", "a part of it cannot be read"),
            ("postgres:///d?password=hunter2", "it names no host"),
        ] {
            let error = parse_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.message().contains(reason), "{url}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        let config = parse_url("postgresql://u:p%40ss@h:6000/d?connect_timeout=3").unwrap();
        assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(hosts(&config), "h:6000");
    }

    #[test]
    fn every_way_to_ask_for_tls_is_heard() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let config = parse_url(&format!("postgres://u@h/d?sslmode={mode}")).unwrap();
            assert_eq!(config.get_ssl_mode(), SslMode::Require);
        }
    }
}
