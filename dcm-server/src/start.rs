//! From a plan to a running service, and back to nothing within ten seconds.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dcm::{Dcm, EngineConfig, Notice};
use dcm_server::{Role, ServerConfig, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::health::{in_full, watch as watch_health};
use crate::plan::{Plan, StoreChoice};

/// Why the service ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The configuration cannot be.
    Configuration(String),
    /// Something went wrong.
    Failed(String),
}

/// How long the store may take to put everything away; with [`dcm_server::Limits::shutdown_timeout`] and the rest it
/// stays within ten seconds.
const CLOSING: Duration = Duration::from_millis(2500);

/// How long saying that the server starts or stops may hold it up.
const NOTICE: Duration = Duration::from_millis(500);

/// A listener before it serves.
struct Bound {
    role: Role,
    listener: TcpListener,
    address: SocketAddr,
}

/// Serves until a signal comes or something fails.
pub(crate) async fn start(plan: Plan) -> Result<(), Stop> {
    // Ports first: a second server fails here, before it touches the data of the first.
    let mut bound = Vec::new();
    for (role, port, variable) in &plan.listeners {
        let listener = bind(&plan.host, *port, variable).await?;
        let address = listener.local_addr().map_err(|error| Stop::Failed(format!("{variable}: {error}")))?;
        bound.push(Bound { role: *role, listener, address });
    }
    let config = Arc::new(server_config(&plan, &bound)?);
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let mut engine = plan.engine;
    // A name alone is believed on this machine only.
    engine.tokenless &= bound.iter().all(|bound| bound.address.ip().is_loopback());
    let (dcm, store) = open(plan.store, engine).await?;
    let signals = Signals::new()?;
    notify(&dcm, Notice::Started).await;
    announce(&bound, &store);

    let (stop, stopped) = watch::channel(());
    let mut parts = JoinSet::new();
    for Bound { role, listener, .. } in bound {
        let mut stopped = stopped.clone();
        let until = async move { stopped.changed().await };
        let (dcm, config) = (dcm.clone(), Arc::clone(&config));
        parts.spawn(async move { serve(listener, role, dcm, config, until).await });
    }
    let watching = tokio::spawn(watch_health(dcm.clone(), plan.health_interval));
    let mut ended = Ok(());
    tokio::select! {
        name = signals.wait() => tracing::info!(signal = name, "stopping"),
        Some(part) = parts.join_next() => ended = Err(part_ended(part)),
    }
    watching.abort();
    notify(&dcm, Notice::Stopping).await;
    drop(stop);
    while let Some(part) = parts.join_next().await {
        if !matches!(part, Ok(Ok(()))) && ended.is_ok() {
            ended = Err(part_ended(part));
        }
    }
    if tokio::time::timeout(CLOSING, dcm.close()).await.is_err() {
        tracing::warn!("the store took too long to close");
    }
    tracing::info!("stopped");
    ended
}

/// Begins a new epoch of the log of a store that was restored.
pub(crate) async fn raise_epoch(plan: Plan) -> Result<(), Stop> {
    let (dcm, store) = open(plan.store, plan.engine).await?;
    let raised = dcm.raise_epoch().await;
    dcm.close().await;
    raised
        .map_err(|error| Stop::Failed(format!("cannot raise the epoch of {store}: {}", in_full(&error))))?;
    say(&format!(
        "The event log of {store} is in a new epoch: who heard of more than it holds is told so.\n"
    ));
    Ok(())
}

/// Says something of this server to whoever listens, if the store answers soon.
async fn notify(dcm: &Dcm, notice: Notice) {
    match tokio::time::timeout(NOTICE, dcm.notify(notice)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(?error, notice = notice.as_str(), "nobody was told"),
        Err(_) => tracing::debug!(notice = notice.as_str(), "nobody was told in time"),
    }
}

fn part_ended(part: Result<io::Result<()>, tokio::task::JoinError>) -> Stop {
    Stop::Failed(match part {
        Ok(Ok(())) => "a listener ended by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("a listener failed: {error}"),
    })
}

async fn bind(host: &str, port: u16, variable: &str) -> Result<TcpListener, Stop> {
    TcpListener::bind((host, port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Stop::Failed(format!(
            "port {port} on {host} is in use; is dcm-server running already? Otherwise set {variable} to a free port"
        )),
        io::ErrorKind::PermissionDenied => {
            Stop::Failed(format!("port {port} on {host} is not permitted; set {variable} to a port above 1023"))
        }
        io::ErrorKind::AddrNotAvailable => {
            Stop::Configuration(format!("HOST (--host) is {host:?}, but this machine has no such address: {error}"))
        }
        // A name that cannot be resolved has no kind of its own.
        _ => Stop::Configuration(format!(
            "cannot listen on HOST {host:?}, {variable} {port}: {error}; set HOST to an address of this machine, such \
             as 127.0.0.1"
        )),
    })
}

/// What the listeners allow; an address that others reach needs keys that cannot be guessed.
fn server_config(plan: &Plan, bound: &[Bound]) -> Result<ServerConfig, Stop> {
    if let Some(open) = bound.iter().find(|bound| !bound.address.ip().is_loopback())
        && let Some(missing) = ServerConfig::too_open(&plan.api_keys)
    {
        return Err(Stop::Configuration(format!(
            "HOST (--host) is {:?}: other machines reach {}; {missing}, or set HOST=127.0.0.1",
            plan.host, open.address
        )));
    }
    let dashboard =
        bound.iter().find(|bound| bound.role == Role::Dashboard).map(|bound| bound.address.port());
    let defaults = ServerConfig::default();
    Ok(ServerConfig {
        allowed_hosts: plan.allowed_hosts.clone(),
        allowed_origins: match (&plan.allowed_origins, dashboard) {
            (Some(origins), _) => origins.clone(),
            (None, Some(port)) => ServerConfig::dashboard_origins(port),
            (None, None) => defaults.allowed_origins,
        },
        api_keys: plan.api_keys.clone(),
        limits: plan.limits.clone(),
    })
}

/// Opens the store; also says where it is.
async fn open(store: StoreChoice, engine: EngineConfig) -> Result<(Dcm, String), Stop> {
    match store {
        StoreChoice::Postgres { url, shown } => match Dcm::connect_postgres(&url.0, engine).await {
            Ok(dcm) => Ok((dcm, format!("{shown} (PostgreSQL)"))),
            Err(error) => Err(Stop::Failed(format!(
                "cannot open {shown}: {}; check that PostgreSQL runs there, and DATABASE_URL or DB_HOST, DB_PORT, \
                 DB_NAME, DB_USER, DB_PASSWORD",
                in_full(&error)
            ))),
        },
        StoreChoice::Embedded(directory) => {
            create(&directory).map_err(|error| {
                Stop::Configuration(format!(
                    "cannot create the data directory {}: {error}; set DCM_DATA_DIR to one that can be written",
                    directory.display()
                ))
            })?;
            let file = directory.join("dcm.db");
            match Dcm::open_sqlite(&file, engine).await {
                Ok(dcm) => Ok((dcm, format!("{} (embedded)", file.display()))),
                Err(error) => {
                    Err(Stop::Failed(format!("cannot open {}: {}", file.display(), in_full(&error))))
                }
            }
        }
    }
}

/// Creates the data directory, for its owner only: prompts and code lie in it.
fn create(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Tells whoever started the server where it is.
fn announce(bound: &[Bound], store: &str) {
    let mut text = format!("DCM {}\n", env!("CARGO_PKG_VERSION"));
    for Bound { role, address, .. } in bound {
        let (name, scheme) = match role {
            Role::Api => ("REST", "http"),
            Role::Ws => ("WebSocket", "ws"),
            Role::Dashboard => ("status page", "http"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<12} {scheme}://{address}");
    }
    let _ = writeln!(text, "  {:<12} {store}", "data");
    if let Some(api) = bound.iter().find(|bound| bound.role == Role::Api) {
        let _ = writeln!(
            text,
            "Record the sessions there are: dcm import {}~/.claude/projects",
            url_option(api.address)
        );
    }
    say(&text);
}

/// The option that leads `dcm` on this machine to `api`: none where it looks by itself.
fn url_option(api: SocketAddr) -> String {
    let ip = match api.ip() {
        // Everything on this machine is reached over its loopback address.
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    match SocketAddr::new(ip, api.port()) {
        address if address == SocketAddr::from((Ipv4Addr::LOCALHOST, 3847)) => String::new(),
        address => format!("--url http://{address} "),
    }
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    // A closed standard output does not keep anybody from being served.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The signals that end the service.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self, Stop> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error: io::Error| Stop::Failed(format!("cannot listen for signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    fn new() -> Result<Self, Stop> {
        Ok(Self {})
    }

    /// Waits for one, and says its name.
    #[cfg(unix)]
    async fn wait(mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    #[cfg(not(unix))]
    async fn wait(self) -> &'static str {
        let _ = tokio::signal::ctrl_c().await;
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_leads_to_where_the_server_listens() {
        for (bound, option) in [
            ("127.0.0.1:3847", ""),
            ("0.0.0.0:3847", ""),
            ("127.0.0.1:4000", "--url http://127.0.0.1:4000 "),
            ("0.0.0.0:4000", "--url http://127.0.0.1:4000 "),
            ("[::1]:3847", "--url http://[::1]:3847 "),
            ("[::]:3847", "--url http://[::1]:3847 "),
            ("192.0.2.7:3847", "--url http://192.0.2.7:3847 "),
        ] {
            assert_eq!(url_option(bound.parse().unwrap()), option, "{bound}");
        }
    }
}
