//! What the settings mean together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dcm::EngineConfig;
use dcm_server::{Limits, Role};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::environment::Variables;
use crate::settings::{LogFormat, Mode, Secret, SecretList, Settings, Store};

/// What is to be done, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) host: String,
    /// What is served where, with the name of the variable for the port.
    pub(crate) listeners: Vec<(Role, u16, &'static str)>,
    pub(crate) store: StoreChoice,
    pub(crate) engine: EngineConfig,
    pub(crate) api_keys: Vec<String>,
    pub(crate) allowed_hosts: Vec<String>,
    /// `None`: the dashboard on this machine.
    pub(crate) allowed_origins: Option<Vec<String>>,
    pub(crate) limits: Limits,
    pub(crate) health_interval: Duration,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    /// What the log should say at start.
    pub(crate) warnings: Vec<&'static str>,
}

/// Which store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StoreChoice {
    /// A file in this directory.
    Embedded(PathBuf),
    /// PostgreSQL: the URL to connect to, and the one to print.
    Postgres { url: Secret, shown: String },
}

const DAY_MS: i64 = 86_400_000;

/// Secrets that were published as examples.
const EXAMPLES: [&str; 2] = ["dcm-dev-secret-change-me", "change_me"];

/// How many bytes a secret has at least.
const SECRET_BYTES: usize = 32;

impl Plan {
    /// Checks what no setting can be checked for alone.
    pub(crate) fn new(settings: Settings, environment: &Variables) -> Result<Self, String> {
        let Settings { listen, store, access, upkeep, log, command: _ } = settings;
        let mut warnings = Vec::new();
        let max_connections = size(store.db_max_connections);
        let notify = store.notify;
        let max_db_retries = u32::try_from(store.max_db_retries).unwrap_or(u32::MAX);
        let store = choose_store(store, environment)?;
        let all = [
            (Role::Api, listen.port, "PORT"),
            (Role::Ws, listen.ws_port, "WS_PORT"),
            (Role::Dashboard, listen.dashboard_port, "DASHBOARD_PORT"),
        ];
        let listeners = match listen.only {
            None => all.to_vec(),
            Some(_) if matches!(store, StoreChoice::Embedded(_)) => {
                return Err("--only (DCM_ONLY) needs PostgreSQL: one process owns an embedded store; \
                            set DATABASE_URL, or leave --only out"
                    .to_owned());
            }
            Some(part) => all.into_iter().filter(|(role, ..)| *role == part.0).collect(),
        };
        distinct_ports(&listeners)?;
        let production = [access.dcm_env, access.node_env].contains(&Some(Mode::Production));
        let token_secrets = token_secrets(access.ws_auth_secret, production, &mut warnings)?;
        let engine = EngineConfig {
            message_ttl_ms: upkeep.message_ttl_ms,
            max_db_retries,
            max_connections,
            token_secrets,
            notify,
            // Also whether others reach the server counts; that is known when it listens.
            tokenless: !production,
            cleanup_interval_ms: upkeep.cleanup_interval_ms.unsigned_abs(),
            session_min_age_ms: upkeep.session_min_age_ms,
            session_idle_ms: upkeep.session_idle_ms,
            subtask_stuck_ms: upkeep.subtask_stuck_ms,
            event_retention_ms: upkeep.event_retention_days * DAY_MS,
            event_retention_rows: upkeep.event_retention_rows,
            action_retention_ms: upkeep.action_retention_days * DAY_MS,
            action_retention_rows: upkeep.action_retention_rows,
            ..EngineConfig::default()
        };
        Ok(Self {
            host: listen.host,
            listeners,
            store,
            engine,
            api_keys: access.api_keys.map(|keys| keys.0).unwrap_or_default(),
            allowed_hosts: access.allowed_hosts.map(|hosts| hosts.0).unwrap_or_default(),
            allowed_origins: access.allowed_origins.map(|origins| origins.0),
            limits: Limits {
                connections: size(listen.max_connections),
                tokens_per_minute: u32::try_from(access.tokens_per_minute).unwrap_or(u32::MAX),
                ..Limits::default()
            },
            health_interval: Duration::from_millis(upkeep.healthcheck_interval_ms.unsigned_abs()),
            log: log.filter,
            log_format: log.log_format,
            warnings,
        })
    }
}

/// The settings bound these numbers already.
fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn distinct_ports(listeners: &[(Role, u16, &'static str)]) -> Result<(), String> {
    for (index, (_, port, name)) in listeners.iter().enumerate() {
        if let Some((.., other)) = listeners[..index].iter().find(|(_, known, _)| known == port && *port != 0)
        {
            return Err(format!("{other} and {name} are both {port}; each part needs a port of its own"));
        }
    }
    Ok(())
}

fn token_secrets(
    given: Option<SecretList>,
    production: bool,
    warnings: &mut Vec<&'static str>,
) -> Result<Vec<String>, String> {
    const FIX: &str =
        "set it to a random text of at least 32 bytes, such as the output of: openssl rand -hex 32";
    let secrets = given.map(|secrets| secrets.0).unwrap_or_default();
    let example = secrets.iter().any(|secret| EXAMPLES.contains(&secret.as_str()));
    let short = secrets.iter().any(|secret| secret.len() < SECRET_BYTES);
    let problem = match (secrets.is_empty(), example, short) {
        (true, ..) => Some("WS_AUTH_SECRET is not set, but is needed in production (DCM_ENV or NODE_ENV)"),
        (_, true, _) => Some("WS_AUTH_SECRET is the published example, which is refused in production"),
        (_, _, true) => Some("WS_AUTH_SECRET is shorter than 32 bytes, which is refused in production"),
        _ => None,
    };
    match problem {
        Some(problem) if production => Err(format!("{problem}; {FIX}")),
        Some(_) if example => {
            warnings.push("WS_AUTH_SECRET is the published example: anybody can make tokens; leave it out and one is made");
            Ok(secrets)
        }
        Some(_) if short => {
            warnings.push("WS_AUTH_SECRET is shorter than 32 bytes and would be refused in production");
            Ok(secrets)
        }
        _ => Ok(secrets),
    }
}

fn choose_store(store: Store, environment: &Variables) -> Result<StoreChoice, String> {
    if let Some(url) = store.database_url {
        let shown = without_password(&url.0).ok_or(
            "DATABASE_URL (--database-url) must be a URL such as postgres://user:password@localhost:5432/claude_context; \
             for the embedded store leave it out and set DCM_DATA_DIR",
        )?;
        return Ok(StoreChoice::Postgres { url, shown });
    }
    let given = [
        store.db_host.is_some(),
        store.db_name.is_some(),
        store.db_user.is_some(),
        store.db_password.is_some(),
    ];
    if !given.contains(&true) {
        return Ok(StoreChoice::Embedded(match store.data_dir {
            Some(directory) => directory,
            None => default_directory(environment)?,
        }));
    }
    let (Some(user), Some(password)) = (&store.db_user, &store.db_password) else {
        let missing: Vec<_> =
            [("DB_USER", store.db_user.is_none()), ("DB_PASSWORD", store.db_password.is_none())]
                .into_iter()
                .filter_map(|(name, missing)| missing.then_some(name))
                .collect();
        let names = ["DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD"];
        let given: Vec<_> =
            names.into_iter().zip(given).filter_map(|(name, given)| given.then_some(name)).collect();
        return Err(format!(
            "{} {} missing: {} asks for PostgreSQL; set what is missing, or unset {} for the embedded store",
            missing.join(" and "),
            if missing.len() == 1 { "is" } else { "are" },
            given.join(", "),
            if given.len() == 1 { "it" } else { "them" },
        ));
    };
    let host = store.db_host.as_deref().unwrap_or("localhost");
    let name = store.db_name.as_deref().unwrap_or("claude_context");
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    // An IPv6 address stands in brackets; a path is the directory of a Unix socket.
    let address =
        if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { encoded(host) };
    let url = format!(
        "postgres://{}:{}@{address}:{}/{}",
        encoded(user),
        encoded(&password.0),
        store.db_port,
        encoded(name)
    );
    let shown = format!("postgres://{user}@{host}:{}/{name}", store.db_port);
    Ok(StoreChoice::Postgres { url: Secret(url), shown })
}

/// A PostgreSQL URL that may be printed; `None` when it is not one.
fn without_password(url: &str) -> Option<String> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
    let (address, _parameters) = rest.split_once('?').unwrap_or((rest, ""));
    Some(match address.rsplit_once('@') {
        Some((user, place)) => format!("postgres://{}@{place}", user.split(':').next().unwrap_or_default()),
        None => format!("postgres://{address}"),
    })
}

/// Where users' data lies.
fn default_directory(environment: &Variables) -> Result<PathBuf, String> {
    let absolute = |name: &str| environment.get(name).map(Path::new).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .map(|base| base.join("dcm"))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share/dcm")))
        .ok_or_else(|| "there is no home directory to keep data in; set DCM_DATA_DIR (--data-dir)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Variables, parse};
    use std::ffi::OsString;

    fn plan(pairs: &[(&str, &str)]) -> Result<Plan, String> {
        let mut variables: Variables =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        variables.entry("HOME".to_owned()).or_insert_with(|| "/home/someone".into());
        let settings = parse(vec!["dcm-server".into()], &variables, Ok(Variables::new()))
            .map_err(|e| format!("{e:?}"))?;
        Plan::new(settings, &variables)
    }

    fn url(pairs: &[(&str, &str)]) -> String {
        match plan(pairs).unwrap().store {
            StoreChoice::Postgres { url, .. } => url.0,
            StoreChoice::Embedded(path) => path.display().to_string(),
        }
    }

    #[test]
    fn which_store() {
        assert_eq!(url(&[]), "/home/someone/.local/share/dcm");
        assert_eq!(url(&[("XDG_DATA_HOME", "/data")]), "/data/dcm");
        assert_eq!(url(&[("XDG_DATA_HOME", "relative"), ("DB_PORT", "1")]), "/home/someone/.local/share/dcm");
        assert_eq!(url(&[("DCM_DATA_DIR", "/d")]), "/d");
        assert_eq!(url(&[("DCM_DATA_DIR", "/d"), ("DATABASE_URL", "postgresql://h/n")]), "postgresql://h/n");
        let given = [("DB_USER", "u s"), ("DB_PASSWORD", "p@:/")];
        assert_eq!(url(&given), "postgres://u%20s:p%40%3A%2F@localhost:5432/claude%5Fcontext");
        let given =
            [("DB_USER", "u"), ("DB_PASSWORD", "p"), ("DB_HOST", "::1"), ("DB_PORT", "1"), ("DB_NAME", "n")];
        assert_eq!(url(&given), "postgres://u:p@[::1]:1/n");
    }

    #[test]
    fn an_incomplete_store_says_what_is_missing() {
        let error = plan(&[("DB_HOST", "db")]).unwrap_err();
        assert!(
            error.starts_with("DB_USER and DB_PASSWORD are missing: DB_HOST asks for PostgreSQL"),
            "{error}"
        );
        let error = plan(&[("DB_NAME", "n"), ("DB_USER", "u")]).unwrap_err();
        assert!(error.starts_with("DB_PASSWORD is missing: DB_NAME, DB_USER asks"), "{error}");
        let error = plan(&[("DATABASE_URL", "sqlite://secret")]).unwrap_err();
        assert!(error.contains("DATABASE_URL") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn what_is_printed_has_no_password() {
        assert_eq!(without_password("postgres://u:p@h:1/n?x=p").as_deref(), Some("postgres://u@h:1/n"));
        assert_eq!(without_password("postgresql://h/n").as_deref(), Some("postgres://h/n"));
        assert_eq!(without_password("postgres://u:p@q@h/n").as_deref(), Some("postgres://u@h/n"));
        assert_eq!(without_password("mysql://h/n"), None);
        let plan = plan(&[("DATABASE_URL", "postgres://u:hush@h/n")]).unwrap();
        assert!(!format!("{:?}", plan.store).contains("hush"));
    }

    #[test]
    fn production_needs_a_secret_of_its_own() {
        let long = "0123456789012345678901234567890123456789";
        for name in ["DCM_ENV", "NODE_ENV"] {
            let refused =
                |secret: &str| plan(&[(name, "production"), ("WS_AUTH_SECRET", secret)]).unwrap_err();
            assert!(plan(&[(name, "production")]).unwrap_err().contains("WS_AUTH_SECRET is not set"));
            assert!(refused("dcm-dev-secret-change-me").contains("example"));
            assert!(refused("change_me").contains("example"));
            assert!(refused(&format!("{long},short")).contains("32 bytes"));
            assert!(!refused("hush-hush").contains("hush"));
            let secrets = format!("{long}, {long}2");
            let plan = plan(&[(name, "production"), ("WS_AUTH_SECRET", &secrets)]).unwrap();
            assert_eq!(plan.engine.token_secrets, [long.to_owned(), format!("{long}2")]);
        }
        assert!(plan(&[]).unwrap().engine.token_secrets.is_empty());
        let example = plan(&[("WS_AUTH_SECRET", "dcm-dev-secret-change-me")]).unwrap();
        assert_eq!((example.warnings.len(), example.engine.token_secrets.len()), (1, 1));
        assert!(plan(&[("DCM_ENV", "prod")]).unwrap_err().contains("must be development or production"));
    }

    #[test]
    fn parts() {
        assert_eq!(plan(&[]).unwrap().listeners.len(), 3);
        assert!(plan(&[("DCM_ONLY", "ws")]).unwrap_err().contains("needs PostgreSQL"));
        let plan_of_ws = plan(&[("DCM_ONLY", "ws"), ("DATABASE_URL", "postgres://h/n")]).unwrap();
        assert_eq!(plan_of_ws.listeners, [(Role::Ws, 3849, "WS_PORT")]);
        let error = plan(&[("PORT", "3849")]).unwrap_err();
        assert!(error.starts_with("PORT and WS_PORT are both 3849"), "{error}");
        assert!(plan(&[("PORT", "0"), ("WS_PORT", "0")]).is_ok());
    }

    #[test]
    fn days_are_milliseconds_inside() {
        let plan = plan(&[("DCM_EVENT_RETENTION_DAYS", "2"), ("DCM_ACTION_RETENTION_ROWS", "5")]).unwrap();
        assert_eq!(plan.engine.event_retention_ms, 172_800_000);
        assert_eq!(plan.engine.action_retention_rows, Some(5));
    }
}
