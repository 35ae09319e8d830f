//! The public conformance suite on every target: in process and over HTTP, on both stores.

use dcm::{Dcm, EngineConfig};
use dcm_suite::postgres::Database;
use dcm_suite::server::{Server, Store};

async fn over_http(store: Store) {
    let mut server = Server::start(store).await;
    let client = dcm_client::Client::new(server.api()).expect("a client of the server's own address");
    dcm::conformance::run(&client).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_in_memory() {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await.expect("an in-memory store");
    dcm::conformance::run(&dcm).await;
    dcm.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_in_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dcm =
        Dcm::open_sqlite(&folder.path().join("dcm.db"), EngineConfig::default()).await.expect("a store");
    dcm::conformance::run(&dcm).await;
    dcm.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    let database = Database::create();
    let dcm = Dcm::connect_postgres(database.url(), EngineConfig::default()).await.expect("a store");
    dcm::conformance::run(&dcm).await;
    dcm.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_over_http() {
    over_http(Store::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_over_http() {
    over_http(Store::Postgres).await;
}
