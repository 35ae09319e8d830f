//! The server inside your own program: `cargo run --example serve`, until Ctrl-C. The program writes through the library
//! while others read over HTTP, from the same store.

use std::sync::Arc;

use dcm::api::projects::ProjectUpsert;
use dcm::{Dcm, EngineConfig, Error, Result};
use dcm_server::{Limits, Role, ServerConfig, serve};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3847").await.map_err(failed)?;
    let interrupt = async {
        // Without signals there is no other end than being killed.
        let _ = tokio::signal::ctrl_c().await;
    };
    run(listener, interrupt).await
}

fn failed(error: std::io::Error) -> Error {
    Error::internal(error.to_string()).with_source(error)
}

pub(crate) async fn run(listener: TcpListener, stop: impl Future<Output = ()> + Send) -> Result<()> {
    // `open_sqlite` keeps it in a file, `connect_postgres` in a database that several such programs may share.
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await?;
    let project = ProjectUpsert { path: "/srv/shop".to_owned(), name: None, metadata: None };
    dcm.project_upsert(project).await?;

    // An address that other machines reach would need `api_keys`.
    let limits = Limits { connections: 100, ..Limits::default() };
    let config = Arc::new(ServerConfig { limits, ..ServerConfig::default() });
    // REST and, at `/ws`, events. A second listener with `Role::Dashboard` would show the pages for people.
    serve(listener, Role::Api, dcm.clone(), config, stop).await.map_err(failed)?;
    // Requests in flight are answered by now; what was acknowledged is on disk.
    dcm.close().await;
    Ok(())
}
