//! `POST /hooks/claude` at a steady rate, against a durable commit of one row on the same disk in the same run, and against
//! the least that such an answer takes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dcm_suite::postgres::Database;
use dcm_suite::server::{Options, Store};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Times;

const CONNECTIONS: u32 = 64;
const PER_SECOND: u32 = 2000;
const SECONDS: u32 = 10;
const SESSIONS: u32 = 16;
const COMMITS: usize = 1000;

/// Measures both stores and prints a table.
///
/// `floor` is a program that makes each event durable before it answers, and does nothing else.
pub(crate) async fn measure(program: &Path, floor: &Path, event: impl Fn(usize) -> Value) {
    println!(
        "\n| store | what | p50 | p99 | of the p50 of one durable commit: p50 | p99 |\n|---|---|---|---|---|---|"
    );
    for store in [Store::Embedded, Store::Postgres] {
        let database = (store == Store::Postgres).then(Database::create);
        let (options, commit) = match &database {
            Some(database) => (Options::on_database(database.url()), commit_postgres().await),
            None => (Options::on(store), commit_sqlite()),
        };
        let print = |what: &str, times: &Times| {
            let (half, most) = (times.quantile(50), times.quantile(99));
            let (of_half, of_most) = (half / commit.quantile(50), most / commit.quantile(50));
            println!(
                "| {store:?} | {what} | {half:.2} ms | {most:.2} ms | {of_half:.1} x | {of_most:.1} x |"
            );
        };
        print("one durable commit of one row", &commit);
        // In a database of its own, so that nothing of it is cleaned up while the server is measured.
        let notes = database.as_ref().map(|_| Database::create());
        let least = Floor::start(floor, notes.as_ref());
        print("the least: the event kept, nothing recorded", &paced(&least.address, &event).await);
        drop((least, notes));
        let server = options.program(program).start().await;
        let address = server.api().trim_start_matches("http://").to_owned();
        print("`POST /hooks/claude`", &paced(&address, &event).await);
        let recorded = match &database {
            Some(database) => database.value("select count(*) from actions"),
            None => server.number("select count(*) from actions").to_string(),
        };
        assert_eq!(recorded, (PER_SECOND * SECONDS).to_string(), "tool calls that were recorded");
    }
}

/// The process of the floor; it ends with this.
struct Floor {
    process: Child,
    address: String,
    _folder: TempDir,
}

impl Floor {
    fn start(program: &Path, database: Option<&Database>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        match database {
            Some(database) => command.arg(database.url()),
            None => command.arg(folder.path().join("notes")),
        };
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim_end().to_owned(), _folder: folder }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// How long the answers take, at a steady rate.
async fn paced(address: &str, event: impl Fn(usize) -> Value) -> Times {
    let (mut connections, mut turns) = (JoinSet::new(), Vec::new());
    for connection in 0..CONNECTIONS {
        let requests = (connection..PER_SECOND * SECONDS).step_by(CONNECTIONS as usize);
        let requests = requests.map(|number| {
            let mut event = event(number as usize);
            event["session_id"] = format!("00000000-0000-4000-8000-{:012}", number % SESSIONS).into();
            request(address, &event.to_string())
        });
        let (turn, due) = mpsc::unbounded_channel();
        turns.push(turn);
        connections.spawn(send(address.to_owned(), due, requests.collect()));
    }
    let clock = std::thread::spawn(move || give_turns(&turns));
    let times = connections.join_all().await.into_iter().flatten().collect();
    clock.join().unwrap();
    sorted(times)
}

fn request(address: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /hooks/claude HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + body).into_bytes()
}

/// Tells the connections in turn when to send, evenly; the clock of the runtime knows whole milliseconds only, and would
/// have two of them send at once.
fn give_turns(connections: &[mpsc::UnboundedSender<Instant>]) {
    let began = Instant::now() + Duration::from_millis(200);
    for number in 0..PER_SECOND * SECONDS {
        let due = began + Duration::from_secs(1) * number / PER_SECOND;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        connections[(number % CONNECTIONS) as usize].send(due).unwrap();
    }
}

/// Sends each request when it is due, and says how long it took; waiting for an earlier answer beyond that counts.
async fn send(
    address: String,
    mut turns: mpsc::UnboundedReceiver<Instant>,
    requests: Vec<Vec<u8>>,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut times, mut answer) = (Vec::with_capacity(requests.len()), Vec::new());
    for request in requests {
        let ready = Instant::now();
        let due = turns.recv().await.unwrap();
        // Who was ready in time is woken a little late; that is not the server's time.
        let sent = if ready < due { Instant::now() } else { due };
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

fn sorted(mut times: Vec<Duration>) -> Times {
    times.sort();
    Times(times)
}

/// One row after the other, each durable before the next.
fn commit_sqlite() -> Times {
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
    sorted((0..COMMITS).map(commit).collect())
}

async fn commit_postgres() -> Times {
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
    sorted(times)
}
