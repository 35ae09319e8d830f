//! Every setting, as a flag and as an environment variable: the reference is `dcm-server --help`.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use dcm_server::{Role, parse_host, parse_origin};

/// One shared, durable memory for many AI coding agents: REST, WebSocket and a status page.
///
/// Without any setting it listens on this machine only and keeps its data in a file of the user. Every setting is a
/// flag and an environment variable; a flag wins over the environment, the environment over a file `.env` in the
/// working directory, and an empty variable counts as not set. Give secrets as variables: flags can be seen by others.
#[derive(Debug, Clone, Parser)]
#[command(name = "dcm-server", version)]
pub(crate) struct Settings {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) access: AccessSettings,
    #[command(flatten)]
    pub(crate) upkeep: Upkeep,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Print the OpenAPI document.
    Openapi,
    /// Ask a running server whether it is healthy; exits with 1 when it is not.
    Healthcheck,
    /// Run once after a backup was restored: clients that heard of events which are gone are told of a gap. On
    /// PostgreSQL other nodes may run.
    RaiseEpoch,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses")]
pub(crate) struct Listen {
    /// Name or address to listen on; one that other machines reach needs an API key of 16 bytes.
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = host)]
    pub(crate) host: String,
    /// Port of the REST interface; 0 takes a free one.
    #[arg(long, env = "PORT", default_value_t = 3847, value_parser = port)]
    pub(crate) port: u16,
    /// Port for WebSocket connections; 0 takes a free one.
    #[arg(long, env = "WS_PORT", default_value_t = 3849, value_parser = port)]
    pub(crate) ws_port: u16,
    /// Port of the pages for people; 0 takes a free one.
    #[arg(long, env = "DASHBOARD_PORT", default_value_t = 3848, value_parser = port)]
    pub(crate) dashboard_port: u16,
    /// Serve this part alone: api, ws or dashboard; the parts meet in PostgreSQL.
    #[arg(long, env = "DCM_ONLY", value_name = "PART", value_parser = part)]
    pub(crate) only: Option<RoleName>,
    /// How many connections each port takes at once; the next one is answered with 503.
    #[arg(long, env = "DCM_MAX_CONNECTIONS", default_value_t = 1024, value_parser = whole::<1, 100_000>)]
    pub(crate) max_connections: i64,
}

#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Store: an embedded file, or PostgreSQL as soon as one of its settings is there"
)]
pub(crate) struct Store {
    /// Directory of the embedded store [default: dcm in the user's data directory, ~/.local/share].
    #[arg(long, env = "DCM_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// PostgreSQL as one URL: postgres://user:password@host:port/name; wins over DB_*.
    #[arg(long, env = "DATABASE_URL", value_name = "URL")]
    pub(crate) database_url: Option<Secret>,
    /// PostgreSQL host [default: localhost].
    #[arg(long, env = "DB_HOST")]
    pub(crate) db_host: Option<String>,
    /// PostgreSQL port.
    #[arg(long, env = "DB_PORT", default_value_t = 5432, value_parser = remote_port)]
    pub(crate) db_port: u16,
    /// PostgreSQL database [default: `claude_context`].
    #[arg(long, env = "DB_NAME")]
    pub(crate) db_name: Option<String>,
    /// PostgreSQL user.
    #[arg(long, env = "DB_USER")]
    pub(crate) db_user: Option<String>,
    /// PostgreSQL password.
    #[arg(long, env = "DB_PASSWORD")]
    pub(crate) db_password: Option<Secret>,
    /// How many connections to PostgreSQL.
    #[arg(long, env = "DB_MAX_CONNECTIONS", default_value_t = 10, value_parser = whole::<1, 1000>)]
    pub(crate) db_max_connections: i64,
    /// on or off: whether nodes on one PostgreSQL tell each other what they commit; off behind a transaction pooler.
    #[arg(long, env = "DCM_NOTIFY", default_value = "on", value_name = "ON", value_parser = switch, action = clap::ArgAction::Set)]
    pub(crate) notify: bool,
    /// How often a write is tried again that is known not to be committed.
    #[arg(long, env = "MAX_DB_RETRIES", default_value_t = 3, value_parser = whole::<0, 100>)]
    pub(crate) max_db_retries: i64,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessSettings {
    /// Keys, separated by commas; with any, callers send one as `Authorization: Bearer KEY`. Where other machines reach the
    /// server, each needs 16 bytes.
    #[arg(long, env = "DCM_API_KEYS", value_name = "KEYS", value_parser = keys)]
    pub(crate) api_keys: Option<SecretList>,
    /// Names (host or host:port, separated by commas) beside localhost under which the server may be called.
    #[arg(long, env = "DCM_ALLOWED_HOSTS", value_name = "HOSTS", value_parser = hosts)]
    pub(crate) allowed_hosts: Option<List>,
    /// Origins, separated by commas, whose pages may call the server [default: the dashboard on this machine].
    #[arg(long, env = "ALLOWED_ORIGINS", value_name = "ORIGINS", value_parser = origins)]
    pub(crate) allowed_origins: Option<List>,
    /// Secrets, separated by commas, for WebSocket tokens: the first signs, all are accepted. In development one is made.
    #[arg(long, env = "WS_AUTH_SECRET", value_name = "SECRETS", value_parser = secrets)]
    pub(crate) ws_auth_secret: Option<SecretList>,
    /// How many WebSocket tokens are issued per minute.
    #[arg(long, env = "DCM_TOKENS_PER_MINUTE", default_value_t = 600, value_parser = whole::<1, 1_000_000>)]
    pub(crate) tokens_per_minute: i64,
    /// development or production; production needs a `WS_AUTH_SECRET` of its own.
    #[arg(long, env = "DCM_ENV", value_name = "MODE", value_parser = mode)]
    pub(crate) dcm_env: Option<Mode>,
    /// The same under its old name; production in one of the two is production, and test is development.
    #[arg(long, env = "NODE_ENV", value_name = "MODE", value_parser = node_mode)]
    pub(crate) node_env: Option<Mode>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Upkeep")]
pub(crate) struct Upkeep {
    /// How long a message lives unless its sender says otherwise.
    #[arg(long, env = "MESSAGE_TTL_MS", default_value_t = 3_600_000, value_name = "MS", value_parser = whole::<1, YEAR_MS>)]
    pub(crate) message_ttl_ms: i64,
    /// How often the server checks its store and says in the log when that changed.
    #[arg(long, env = "HEALTHCHECK_INTERVAL_MS", default_value_t = 30_000, value_name = "MS", value_parser = whole::<10, YEAR_MS>)]
    pub(crate) healthcheck_interval_ms: i64,
    /// How often expired and old rows are removed and the abandoned ones closed.
    #[arg(long, env = "DCM_CLEANUP_INTERVAL_MS", default_value_t = 60_000, value_name = "MS", value_parser = whole::<10, YEAR_MS>)]
    pub(crate) cleanup_interval_ms: i64,
    /// How old a session must be before it can be closed as abandoned.
    #[arg(long, env = "DCM_SESSION_MIN_AGE_MS", default_value_t = 1_800_000, value_name = "MS", value_parser = whole::<1, YEAR_MS>)]
    pub(crate) session_min_age_ms: i64,
    /// After how long without anything happening a session is closed.
    #[arg(long, env = "DCM_SESSION_IDLE_MS", default_value_t = 600_000, value_name = "MS", value_parser = whole::<1, YEAR_MS>)]
    pub(crate) session_idle_ms: i64,
    /// After how long without anything happening a running subtask counts as failed.
    #[arg(long, env = "DCM_SUBTASK_STUCK_MS", default_value_t = 7_200_000, value_name = "MS", value_parser = whole::<1, YEAR_MS>)]
    pub(crate) subtask_stuck_ms: i64,
    /// How many days the event log is kept, so how long a reader may be away.
    #[arg(long, env = "DCM_EVENT_RETENTION_DAYS", default_value_t = 7, value_name = "DAYS", value_parser = whole::<1, 36_500>)]
    pub(crate) event_retention_days: i64,
    /// How many events are kept at most [default: no such bound].
    #[arg(long, env = "DCM_EVENT_RETENTION_ROWS", value_name = "ROWS", value_parser = whole::<1, { i64::MAX }>)]
    pub(crate) event_retention_rows: Option<i64>,
    /// How many days actions are kept.
    #[arg(long, env = "DCM_ACTION_RETENTION_DAYS", default_value_t = 90, value_name = "DAYS", value_parser = whole::<1, 36_500>)]
    pub(crate) action_retention_days: i64,
    /// How many actions are kept at most [default: no such bound].
    #[arg(long, env = "DCM_ACTION_RETENTION_ROWS", value_name = "ROWS", value_parser = whole::<1, { i64::MAX }>)]
    pub(crate) action_retention_rows: Option<i64>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log (on standard error)")]
pub(crate) struct Log {
    /// What is logged: error, warn, info, debug, trace, or per module as in dcm=debug,info.
    #[arg(long = "log", env = "RUST_LOG", default_value = "info", value_name = "FILTER", value_parser = filter)]
    pub(crate) filter: String,
    /// text or json.
    #[arg(long, env = "DCM_LOG_FORMAT", default_value = "text", value_name = "FORMAT", value_parser = log_format)]
    pub(crate) log_format: LogFormat,
}

const YEAR_MS: i64 = 366 * 86_400_000;

/// The part that `--only` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoleName(pub(crate) Role);

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Text { "text" } else { "json" })
    }
}

/// What the server is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Development,
    Production,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What stood between commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List(pub(crate) Vec<String>);

/// What stood between commas and is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretList(pub(crate) Vec<String>);

impl fmt::Debug for SecretList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (hidden)", self.0.len())
    }
}

fn whole<const MIN: i64, const MAX: i64>(text: &str) -> Result<i64, String> {
    let number = text.trim().parse::<i64>().ok().filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| match MAX {
        i64::MAX => format!("must be a whole number, {MIN} or more"),
        _ => format!("must be a whole number from {MIN} to {MAX}"),
    })
}

fn port(text: &str) -> Result<u16, String> {
    text.trim()
        .parse()
        .map_err(|_| "must be a port, a whole number from 1 to 65535 (or 0 for a free one)".to_owned())
}

fn remote_port(text: &str) -> Result<u16, String> {
    let port = text.trim().parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| "must be a port, a whole number from 1 to 65535".to_owned())
}

fn host(text: &str) -> Result<String, String> {
    let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
    match (bare.parse::<std::net::IpAddr>(), parse_host(bare)) {
        (Ok(_), _) | (Err(_), Ok((_, None))) => Ok(bare.to_owned()),
        _ => Err("must be a name or address without a port, such as 127.0.0.1 or localhost".to_owned()),
    }
}

fn part(text: &str) -> Result<RoleName, String> {
    match text.trim() {
        "api" => Ok(RoleName(Role::Api)),
        "ws" => Ok(RoleName(Role::Ws)),
        "dashboard" => Ok(RoleName(Role::Dashboard)),
        _ => Err("must be api, ws or dashboard".to_owned()),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text.trim() {
        "development" => Ok(Mode::Development),
        "production" => Ok(Mode::Production),
        _ => Err("must be development or production".to_owned()),
    }
}

fn node_mode(text: &str) -> Result<Mode, String> {
    match text.trim() {
        "test" => Ok(Mode::Development),
        text => mode(text).map_err(|_| "must be development, test or production".to_owned()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

fn filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be a log filter such as info, debug or dcm=debug,info".to_owned()),
    }
}

/// Splits at commas; a list of nothing is a mistake.
fn list(text: &str) -> Result<Vec<String>, String> {
    let entries: Vec<_> = text.split(',').map(str::trim).map(str::to_owned).collect();
    if entries.iter().any(String::is_empty) {
        return Err("must be a list separated by single commas, without empty entries".to_owned());
    }
    Ok(entries)
}

fn hosts(text: &str) -> Result<List, String> {
    let entries = list(text)?;
    for entry in &entries {
        parse_host(entry).map_err(|right| format!("{entry:?} {right}"))?;
    }
    Ok(List(entries))
}

fn origins(text: &str) -> Result<List, String> {
    let entries = list(text)?
        .into_iter()
        .map(|entry| parse_origin(&entry).map_err(|right| format!("{entry:?} {right}")));
    entries.collect::<Result<_, _>>().map(List)
}

fn keys(text: &str) -> Result<SecretList, String> {
    let entries = list(text)?;
    if entries.iter().any(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err("must be keys of printable ASCII characters without spaces".to_owned());
    }
    Ok(SecretList(entries))
}

fn secrets(text: &str) -> Result<SecretList, String> {
    list(text).map(SecretList)
}
