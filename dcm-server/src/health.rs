//! Watching the store of this server, and asking another server how it is.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use dcm::api::Execute;
use dcm::api::system::Health;
use dcm::{Dcm, Error, Notice};
use tokio::time::MissedTickBehavior;

use crate::settings::Settings;
use dcm_server::Role;

/// Checks the store again and again, and says when its health changed.
pub(crate) async fn watch(dcm: Dcm, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_healthy = true;
    loop {
        ticks.tick().await;
        let problem = match dcm.execute(Health {}).await {
            Ok(report) if report.status == "healthy" => None,
            Ok(report) => Some(report.database.error.unwrap_or_else(|| "it does not answer".to_owned())),
            Err(error) => Some(in_full(&error)),
        };
        match (&problem, was_healthy) {
            (Some(problem), true) => tracing::error!(problem, "the store is unhealthy"),
            (Some(problem), false) => tracing::warn!(problem, "the store is still unhealthy"),
            (None, false) => {
                tracing::info!("the store is healthy again");
                if let Err(error) = dcm.notify(Notice::StoreRecovered).await {
                    tracing::debug!(?error, "nobody was told");
                }
            }
            (None, true) => {}
        }
        was_healthy = problem.is_none();
    }
}

/// An error with what callers do not see, for whoever runs the server.
pub(crate) fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(detail) = error.log_detail() {
        text = format!("{text} ({detail})");
    }
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    // One line, whatever a driver writes.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Asks the server that these settings describe for its health.
pub(crate) fn ask(settings: &Settings) -> Result<(), String> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let listen = &settings.listen;
    let port = match listen.only.map(|part| part.0) {
        None | Some(Role::Api) => listen.port,
        Some(Role::Ws) => listen.ws_port,
        Some(Role::Dashboard) => listen.dashboard_port,
    };
    // "Every address" is reached by the one of this machine.
    let host = match listen.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        _ => listen.host.clone(),
    };
    let place = format!("{host} port {port}");
    let failed = |error: &dyn std::fmt::Display| format!("no answer from {place}: {error}");
    let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| failed(&error))?;
    let mut connected = Err(failed(&"no such address"));
    for address in addresses {
        connected = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| failed(&error));
        if connected.is_ok() {
            break;
        }
    }
    let mut stream = connected?;
    let mut answer = Vec::new();
    let mut talk = || {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        Read::by_ref(&mut stream).take(64 << 10).read_to_end(&mut answer)
    };
    talk().map_err(|error| failed(&error))?;
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer);
    let body = text.split_once("\r\n\r\n").map_or(&*text, |(_, body)| body);
    Err(format!("{place} is not healthy: {}", body.chars().take(500).collect::<String>()))
}
