//! Measures delivery: events from publishers to subscribers, against a bare broadcaster in the same run. Started by
//! `benches/run --realtime`.

mod broadcaster;
mod client;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use clap::{Parser, Subcommand};
use dcm_suite::postgres::{Cluster, Database};
use dcm_suite::server::{Options, Server, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use client::{Idle, Load};

/// Measures delivery against a bare broadcaster.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// The release build of the server; without it only the reference is measured.
    #[arg(long)]
    server: Option<PathBuf>,
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    subscribers: Vec<usize>,
    /// How many deliveries one figure is measured from, so that it takes some seconds; fewer with few subscribers.
    #[arg(long, default_value_t = 10_000_000)]
    deliveries: u64,
    /// How often; the table shows medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The reference, as a process of its own.
    Broadcaster,
    /// The load, as a process of its own.
    Client(Load),
}

/// What one load measured.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    per_second: u64,
    /// In microseconds.
    p50: u64,
    p99: u64,
    lost: u64,
    /// How much of one processor the client took, in percent.
    cpu: u64,
}

/// How many times as many events what the client can take is measured with.
const FLOOD: u64 = 4;
/// More events than this are not published for one figure, however few the subscribers.
const MOST_EVENTS: u64 = 200_000;

struct Reference(Child, u16);

impl Drop for Reference {
    fn drop(&mut self) {
        // It is a child, and has nothing to lose.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Reference {
    fn start() -> Self {
        let mut child = own("broadcaster").stdout(Stdio::piped()).spawn().expect("this program");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("a line");
        Self(child, line.trim().parse().expect("a port"))
    }
}

fn own(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.arg(part);
    command
}

fn measure(load: &Load) -> Outcome {
    let mut command = own("client");
    command.arg("--port").arg(load.port.to_string()).arg("--subscribers").arg(load.subscribers.to_string());
    command.arg("--events").arg(load.events.to_string()).arg("--stalled").arg(load.stalled.to_string());
    command.arg("--channel").arg(&load.channel);
    if let Some(port) = load.publish_at {
        command.arg("--publish-at").arg(port.to_string());
    }
    if let Some(rate) = load.rate {
        command.arg("--rate").arg(rate.to_string());
    }
    let output = command.stderr(Stdio::inherit()).output().expect("this program");
    let text: Value = serde_json::from_slice(&output.stdout).expect("what the client says");
    let number = |name: &str| text[name].as_u64().expect("a number");
    let micros = number("micros").max(1);
    Outcome {
        per_second: number("received") * 1_000_000 / micros,
        p50: number("p50"),
        p99: number("p99"),
        lost: number("lost"),
        cpu: number("cpu") * 1_000_000 / micros,
    }
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more open files");
    match arguments.part {
        Some(Part::Broadcaster) => runtime.block_on(broadcaster::run()),
        Some(Part::Client(load)) => runtime.block_on(client::run(load)),
        None => runtime.block_on(async {
            let cluster = Cluster::start();
            compare(&arguments, &cluster).await;
            if arguments.server.is_some() {
                wake_up(&arguments, &cluster).await;
                idle(&arguments, &cluster).await;
            }
        }),
    }
}

/// From the publisher at one node to a subscriber at another, and for comparison at the same, at a rate that keeps
/// nobody busy.
async fn wake_up(arguments: &Arguments, cluster: &Cluster) {
    let Some((one, database)) = arguments.start(Store::Postgres, cluster).await else { return };
    let Some(database) = &database else { return };
    let program = arguments.server.clone().expect("it was started");
    let other = Options::on_database(database.url()).program(program).start().await;
    let rate = Some(100);
    for (name, port) in [("the same node", port_of(&one)), ("another node", port_of(&other))] {
        let publish_at = Some(port_of(&one));
        let load = Load { port, publish_at, subscribers: 1, events: 1000, rate, ..Load::default() };
        let outcome = measure(&load);
        say(&format!(
            "\nPostgreSQL, 100 events/s, publisher to a subscriber at {name}: p50 {} ms, p99 {} ms, {} lost.",
            millis(outcome.p50),
            millis(outcome.p99),
            outcome.lost
        ));
    }
}

/// What connections cost that do nothing, and how long it takes to close them all.
async fn idle(arguments: &Arguments, cluster: &Cluster) {
    const CONNECTIONS: usize = 9000;
    let Some((mut server, _)) = arguments.start(Store::Embedded, cluster).await else { return };
    let resident = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB")
    };
    let mut connections = Idle::none();
    // What the first ones need is there once for all.
    connections.open(port_of(&server), 50).await;
    let before = resident(server.pid());
    connections.open(port_of(&server), CONNECTIONS).await;
    let each = (resident(server.pid()) - before) * 1024 / CONNECTIONS as u64;
    let told = tokio::spawn(connections.told());
    let began = std::time::Instant::now();
    let status = server.stop().await;
    let ended = began.elapsed().as_secs_f64();
    let told = told.await.expect("no panic");
    say(&format!(
        "\n{} idle connections: {each} bytes each; {told} closed with 1001, the server ended ({status}) after {ended:.2} s.",
        CONNECTIONS + 50
    ));
}

async fn compare(arguments: &Arguments, cluster: &Cluster) {
    say("| subscribers | | deliveries/s | of the reference | p50 ms | p99 ms | client, of a processor |");
    say("|---|---|---|---|---|---|---|");
    for &subscribers in &arguments.subscribers {
        let events = (arguments.deliveries / subscribers as u64).clamp(500, MOST_EVENTS);
        let load = |port, channel: &str| Load {
            port,
            subscribers,
            events,
            channel: channel.to_owned(),
            ..Load::default()
        };
        let mut figures: Vec<(String, Vec<Outcome>)> = Vec::new();
        let mut note =
            |name: &str, outcome: Outcome| match figures.iter_mut().find(|(known, _)| known == name) {
                Some((_, outcomes)) => outcomes.push(outcome),
                None => figures.push((name.to_owned(), vec![outcome])),
            };
        for _ in 0..arguments.runs {
            let reference = Reference::start();
            // Nothing waits for anything here, so a short run would be over before it can be measured.
            let flood = load(reference.1, "topics/flood");
            note("what the client can take", measure(&Load { events: events * FLOOD, ..flood }));
            let bare = measure(&load(reference.1, "topics/bench"));
            note("bare broadcaster", bare);
            // Half of its capacity, without and with somebody who does not read.
            let rate = (bare.per_second / 2 / subscribers as u64).max(1);
            for store in [Store::Embedded, Store::Postgres] {
                let Some((server, _database)) = arguments.start(store, cluster).await else { continue };
                let port = port_of(&server);
                note(&format!("{store:?}"), measure(&load(port, "topics/bench")));
                // With few subscribers nobody would be held up by one.
                let idlers: &[usize] = if subscribers >= 100 { &[0, 1] } else { &[] };
                for &stalled in idlers {
                    let paced =
                        Load { rate: Some(rate), events: rate * 10, stalled, ..load(port, "topics/bench") };
                    let name = format!("{store:?}, at half the reference's rate, {stalled} not reading");
                    note(&name, measure(&paced));
                }
            }
        }
        let capacity = figures
            .iter()
            .find(|(name, _)| name == "bare broadcaster")
            .map(|(_, them)| median(them).per_second);
        for (name, outcomes) in &figures {
            let middle = median(outcomes);
            let lost: u64 = outcomes.iter().map(|outcome| outcome.lost).sum();
            let lost = if lost > 0 { format!(", **{lost} lost**") } else { String::new() };
            say(&format!(
                "| {subscribers} | {name}{lost} | {} | {} % | {} | {} | {} % |",
                middle.per_second,
                middle.per_second * 100 / capacity.unwrap_or(u64::MAX).max(1),
                millis(middle.p50),
                millis(middle.p99),
                middle.cpu
            ));
        }
    }
}

impl Arguments {
    /// A server with an empty store; on PostgreSQL the database must outlive it.
    async fn start(&self, store: Store, cluster: &Cluster) -> Option<(Server, Option<Database>)> {
        let program = self.server.clone()?;
        let database = (store == Store::Postgres).then(|| Database::create_on(cluster));
        let options = match &database {
            Some(database) => Options::on_database(database.url()),
            None => Options::on(Store::Embedded),
        };
        let options = options.program(program).variable("DCM_MAX_CONNECTIONS", "20000");
        Some((options.start().await, database))
    }
}

fn port_of(server: &Server) -> u16 {
    server.socket().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn millis(micros: u64) -> String {
    // The flood carries no times.
    if micros >= u64::from(u32::MAX) {
        return "-".to_owned();
    }
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

/// The one in the middle, by deliveries in a second.
fn median(outcomes: &[Outcome]) -> Outcome {
    let mut sorted = outcomes.to_vec();
    sorted.sort_by_key(|outcome| outcome.per_second);
    sorted[(sorted.len() - 1) / 2]
}

#[expect(clippy::print_stdout, reason = "the report is the program's output")]
fn say(text: &str) {
    println!("{text}");
}
