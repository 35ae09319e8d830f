//! Measures the server against references taken on the same machine in the same run. Started by `benches/run`.

mod bodies;
mod fixture;
mod report;
mod tools;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use dcm_suite::postgres::{Cluster, Database};
use dcm_suite::server::{Options, Server, Store};

use bodies::Bodies;
use report::{ROWS, Reference, Row, Sample, Unit};

const SCHEMA: &str = include_str!("../../sql/postgres/migrations/0001_init.sql");

/// Measures the server against references taken on the same machine in the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// The release build of the server; without it only the references are measured.
    #[arg(long)]
    server: Option<PathBuf>,
    /// The transcripts whose tool calls are posted.
    #[arg(long, default_value = "tests/data/transcripts")]
    transcripts: PathBuf,
    /// How long every figure is measured, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// How often; the table shows medians.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Connections to the server.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Only these rows: actions, messages, health, hierarchy, inbox, context, suggest, idle.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only this store: embedded or postgres.
    #[arg(long)]
    store: Option<String>,
    /// How many servers there are on one PostgreSQL database; the load goes to the first.
    #[arg(long, default_value_t = 1)]
    nodes: u32,
    /// Every read of the hierarchy, the inbox and the context asks for itself, so that none is shared.
    #[arg(long)]
    apart: bool,
    /// An environment variable of the server, as NAME=VALUE; may be repeated.
    #[arg(long)]
    variable: Vec<String>,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let rows: Vec<&Row> = ROWS.iter().filter(|row| arguments.wants(row.name)).collect();
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bodies = bodies::write(&arguments.transcripts, folder.path());
    say(&format!("Bodies: {}.", bodies.summary));

    let (mut references, mut samples) = (Vec::new(), Vec::new());
    for run in 1..=arguments.runs {
        let reference = reference(&cluster, arguments.seconds);
        say(&format!(
            "Run {run}: pgbench, 16 clients, prepared: INSERT {:.0}/s, SELECT 1 {:.0}/s.",
            reference.inserts, reference.selects
        ));
        references.push(reference);
        for store in arguments.stores() {
            if arguments.server.is_some() && !rows.is_empty() {
                measure(&arguments, &cluster, store, &rows, &bodies, reference, &mut samples).await;
            }
        }
    }
    let median = |part: fn(&Reference) -> f64| report::median(references.iter().map(part).collect());
    say(&format!(
        "\nMedians of {} runs of {} s. References: INSERT {:.0}/s (= 1.0 x), SELECT 1 {:.0}/s; reads are scaled to {:.0}/s.\n",
        arguments.runs,
        arguments.seconds,
        median(|reference| reference.inserts),
        median(|reference| reference.selects),
        report::SELECTS
    ));
    if arguments.server.is_some() {
        say(&report::table(&rows, &samples));
        if arguments.wants("idle") && arguments.stores().contains(&Store::Embedded) {
            idle(&arguments, &cluster).await;
        }
    }
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn stores(&self) -> Vec<Store> {
        match self.store.as_deref() {
            None => vec![Store::Postgres, Store::Embedded],
            Some("postgres") => vec![Store::Postgres],
            Some("embedded") => vec![Store::Embedded],
            Some(other) => panic!("--store is embedded or postgres, not {other}"),
        }
    }

    /// A server with an empty store; on PostgreSQL the database must outlive it.
    async fn start(&self, store: Store, cluster: &Cluster) -> (Server, Option<Database>) {
        let database = (store == Store::Postgres).then(|| Database::create_on(cluster));
        let options = match &database {
            Some(database) => Options::on_database(database.url()),
            None => Options::on(Store::Embedded),
        };
        (self.options(options).start().await, database)
    }

    fn options(&self, options: Options) -> Options {
        let program = self.server.clone().expect("only asked for with --server");
        self.variable.iter().fold(options.program(program), |options, variable| {
            let (name, value) = variable.split_once('=').expect("--variable NAME=VALUE");
            options.variable(name, value)
        })
    }
}

fn reference(cluster: &Cluster, seconds: u32) -> Reference {
    let database = Database::create_on(cluster);
    database.execute(SCHEMA);
    let pgbench = |script| tools::pgbench(cluster.programs(), database.url(), script, seconds);
    Reference { inserts: pgbench("insert.sql"), selects: pgbench("select.sql") }
}

async fn measure(
    arguments: &Arguments,
    cluster: &Cluster,
    store: Store,
    rows: &[&Row],
    bodies: &Bodies,
    reference: Reference,
    samples: &mut Vec<Sample>,
) {
    let (server, database) = arguments.start(store, cluster).await;
    let mut others = Vec::new();
    if let Some(database) = &database {
        for _ in 1..arguments.nodes {
            others.push(arguments.options(Options::on_database(database.url())).start().await);
        }
    }
    let project = fixture::fill(&server).await;
    if rows.iter().any(|row| row.name == "suggest") {
        fixture::teach(&server).await;
    }
    if let Some(database) = &database {
        // As autovacuum does within a minute: without it PostgreSQL plans for empty tables.
        database.execute("vacuum analyze");
    }
    // Reads first, so that they see the fixture alone and not what the writes leave behind.
    let (reads, writes): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.unit == Unit::Answers);
    for row in reads.into_iter().chain(writes) {
        let (mut path, posted) = match row.name {
            "actions" => ("/api/actions".to_owned(), Some(&bodies.actions)),
            "messages" => ("/api/messages".to_owned(), Some(&bodies.messages)),
            "health" => ("/health".to_owned(), None),
            "hierarchy" => (format!("/api/hierarchy/{project}"), None),
            "inbox" => (fixture::inbox_path(), None),
            "context" => (format!("/api/context/{}", fixture::AGENT), None),
            "suggest" => (fixture::SUGGEST.to_owned(), None),
            other => panic!("nobody knows how to measure {other}"),
        };
        if arguments.apart && ["hierarchy", "inbox", "context"].contains(&row.name) {
            // A parameter that the operation does not know: the answer is the same, the question is not.
            path.push_str("?apart=*");
        }
        let bytes = match posted {
            Some(_) => None,
            None => Some(fixture::size(&server, &path).await),
        };
        let url = format!("{}{path}", server.api());
        let load = tools::wrk(&url, posted.map(PathBuf::as_path), arguments.connections, arguments.seconds);
        say(&format!("{store:?}: {}: {:.0}/s.", row.title, load.per_second));
        samples.push(Sample { row: row.name, store, load, reference, bytes });
    }
}

/// Memory at rest, and the time from the start of the process to the first healthy answer, on a store that exists.
async fn idle(arguments: &Arguments, cluster: &Cluster) {
    let (mut server, _) = arguments.start(Store::Embedded, cluster).await;
    fixture::fill(&server).await;
    let mut starts = Vec::new();
    for _ in 0..9 {
        server.stop().await;
        let began = Instant::now();
        server.launch();
        server.wait_until_healthy().await;
        starts.push(began.elapsed().as_secs_f64() * 1e3);
    }
    // What runs in the background after a start (the warming of the scorer) has ended by then.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("Linux tells");
    let resident: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .expect("the resident size in kB");
    say(&format!(
        "Embedded, at rest: {:.1} MB resident (at most 30). From start to healthy: {:.0} ms, median of {} (at most 150).",
        resident * 1024.0 / 1e6,
        report::median(starts.clone()),
        starts.len()
    ));
}

#[expect(clippy::print_stdout, reason = "the report is the program's output")]
fn say(text: &str) {
    println!("{text}");
}
