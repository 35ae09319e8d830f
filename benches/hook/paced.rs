//! `POST /hooks/claude` at a steady rate, against a durable commit of one row on the same disk in the same run.

use std::path::Path;
use std::time::{Duration, Instant};

use dcm_suite::postgres::Database;
use dcm_suite::server::{Options, Store};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Times;

const CONNECTIONS: u32 = 64;
const PER_SECOND: u32 = 2000;
const SECONDS: u32 = 10;
const SESSIONS: u32 = 16;
const COMMITS: usize = 1000;

/// Measures both stores and prints a table.
pub(crate) async fn measure(program: &Path, event: impl Fn(usize) -> Value) {
    println!(
        "\n| store | one durable commit, p50 | `POST /hooks/claude`, p50 | p99 | of the commit: p50 | p99 |"
    );
    println!("|---|---|---|---|---|---|");
    for store in [Store::Embedded, Store::Postgres] {
        let database = (store == Store::Postgres).then(Database::create);
        let (options, commit) = match &database {
            Some(database) => (Options::on_database(database.url()), commit_postgres().await),
            None => (Options::on(store), commit_sqlite()),
        };
        let server = options.program(program).start().await;
        let address = server.api().trim_start_matches("http://").to_owned();
        let mut batches: Vec<Vec<(u32, Vec<u8>)>> = Vec::new();
        for connection in 0..CONNECTIONS {
            let requests = (connection..PER_SECOND * SECONDS).step_by(CONNECTIONS as usize);
            let requests = requests.map(|number| {
                let mut event = event(number as usize);
                event["session_id"] = format!("00000000-0000-4000-8000-{:012}", number % SESSIONS).into();
                (number, request(&address, &event.to_string()))
            });
            batches.push(requests.collect());
        }
        let mut connections = JoinSet::new();
        let began = Instant::now() + Duration::from_millis(200);
        for requests in batches {
            connections.spawn(send(address.clone(), began, requests));
        }
        let mut times: Vec<Duration> = connections.join_all().await.into_iter().flatten().collect();
        times.sort();
        let times = Times(times);
        let (half, most) = (times.quantile(50), times.quantile(99));
        println!(
            "| {store:?} | {commit:.2} ms | {half:.2} ms | {most:.2} ms | {:.1} x | {:.1} x |",
            half / commit,
            most / commit
        );
        let recorded = match &database {
            Some(database) => database.value("select count(*) from actions"),
            None => server.number("select count(*) from actions").to_string(),
        };
        assert_eq!(recorded, (PER_SECOND * SECONDS).to_string(), "tool calls that were recorded");
    }
}

fn request(address: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /hooks/claude HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + body).into_bytes()
}

/// Sends each request when it is due, and says how long it took; waiting for an earlier answer beyond that counts.
async fn send(address: String, began: Instant, requests: Vec<(u32, Vec<u8>)>) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut times, mut answer) = (Vec::with_capacity(requests.len()), Vec::new());
    for (number, request) in requests {
        let due = began + Duration::from_secs(1) * number / PER_SECOND;
        // The clock that wakes us is coarse; that is not the server's time.
        let sent = if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            Instant::now()
        } else {
            due
        };
        stream.write_all(&request).await.unwrap();
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the connection was closed");
        }
        assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer));
        times.push(sent.elapsed());
    }
    times
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    Times(times).quantile(50)
}

/// One row after the other, each durable before the next.
fn commit_sqlite() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("reference.db")).unwrap();
    connection
        .execute_batch("pragma journal_mode = wal; pragma synchronous = full; create table t (text text)")
        .unwrap();
    let text = "x".repeat(500);
    let mut insert = connection.prepare("insert into t values (?1)").unwrap();
    let commit = |_| {
        let began = Instant::now();
        insert.execute([&text]).unwrap();
        began.elapsed()
    };
    median((0..COMMITS).map(commit).collect())
}

async fn commit_postgres() -> f64 {
    let database = Database::create();
    let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.execute("create table t (text text)", &[]).await.unwrap();
    let insert = client.prepare("insert into t values ($1)").await.unwrap();
    let (text, mut times) = ("x".repeat(500), Vec::new());
    for _ in 0..COMMITS {
        let began = Instant::now();
        client.execute(&insert, &[&text]).await.unwrap();
        times.push(began.elapsed());
    }
    drop(client);
    connection.await.unwrap().unwrap();
    median(times)
}
