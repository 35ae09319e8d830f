//! Times hooks from process start to exit; started by `benches/hooks`.

#![expect(clippy::print_stdout, reason = "it prints a table")]
#![expect(clippy::unwrap_used, reason = "what cannot be measured ends the measurement")]

mod paced;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use dcm_suite::ports::free_port;
use dcm_suite::server::{Options, Store};
use serde_json::{Value, json};

/// Times hooks from process start to exit.
#[derive(Parser)]
struct Arguments {
    /// The command, in release
    #[arg(long)]
    dcm: PathBuf,
    /// The server, in release
    #[arg(long)]
    server: PathBuf,
    /// `hook_floor`, in release
    #[arg(long)]
    floor: PathBuf,
    /// How often each hook runs
    #[arg(long, default_value_t = 300)]
    runs: usize,
    /// Measures one part only
    #[arg(long)]
    only: Option<Part>,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Processes of hooks, from start to exit
    Processes,
    /// `POST /hooks/claude` at a steady rate
    Server,
}

/// A kind of hook.
struct Hook {
    name: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
}

/// Times in order, and what is read off them.
struct Times(Vec<Duration>);

impl Times {
    fn quantile(&self, part: usize) -> f64 {
        let at = (self.0.len() * part / 100).min(self.0.len() - 1);
        self.0[at].as_secs_f64() * 1e3
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let arguments = Arguments::parse();
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    if wanted(Part::Processes) {
        processes(&arguments).await;
    }
    if wanted(Part::Server) {
        paced::measure(&arguments.server, &arguments.floor, event).await;
    }
}

/// Times hooks with the server up and down, and prints a table.
async fn processes(arguments: &Arguments) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/hook");
    let hooks = [
        Hook { name: "bash, a jq for each field, curl", program: here.join("usual.sh"), arguments: &[] },
        Hook { name: "bash, one jq, curl", program: here.join("least.sh"), arguments: &[] },
        Hook { name: "`dcm hook`", program: arguments.dcm.clone(), arguments: &["hook"] },
    ];
    let server = Options::on(Store::Embedded).program(&arguments.server).start().await;
    println!("| hook | server | p50 | p99 | of the first (p50) |\n|---|---|---|---|---|");
    for (state, url) in [("up", server.api()), ("down", format!("http://127.0.0.1:{}", free_port()))] {
        let home = tempfile::tempdir().unwrap();
        let mut times: Vec<Vec<Duration>> = hooks.iter().map(|_| Vec::new()).collect();
        // In turn, so that whatever else the machine does meets all of them alike; the first round warms up.
        for run in 0..=arguments.runs {
            for (hook, times) in hooks.iter().zip(&mut times) {
                let time = timed(hook, &url, home.path(), run);
                if run > 0 {
                    times.push(time);
                }
            }
        }
        let times: Vec<Times> = times
            .into_iter()
            .map(|mut times| {
                times.sort();
                Times(times)
            })
            .collect();
        let reference = times[0].quantile(50);
        for (hook, times) in hooks.iter().zip(&times) {
            let (half, most) = (times.quantile(50), times.quantile(99));
            println!("| {} | {state} | {half:.2} ms | {most:.2} ms | {:.3} |", hook.name, half / reference);
        }
    }
    let recorded = server.number("select count(*) from actions");
    println!("\nrecorded: {recorded} tool calls of {}", 3 * (arguments.runs + 1));
}

/// One event, from the start of the hook's process to its exit.
fn timed(hook: &Hook, url: &str, home: &Path, run: usize) -> Duration {
    let path = home.join("event");
    fs::write(&path, event(run).to_string()).unwrap();
    let mut command = Command::new(&hook.program);
    command.args(hook.arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("DCM_URL", url).stdin(File::open(&path).unwrap());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().unwrap();
    let time = started.elapsed();
    assert!(status.success(), "{}", hook.name);
    time
}

/// A tool call of usual size.
fn event(run: usize) -> Value {
    json!({
        "session_id": "00000000-0000-4000-8000-000000000001",
        "transcript_path": "/home/someone/.claude/projects/-work/x.jsonl",
        "cwd": "/srv/project",
        "hook_event_name": "PostToolUse",
        "tool_name": "Bash",
        "tool_use_id": format!("toolu_{run}"),
        "tool_input": {"command": "cargo test --workspace", "description": "Runs the tests"},
        "tool_response": {"stdout": "test result: ok. 1 passed; 0 failed\n".repeat(60), "stderr": "", "interrupted": false},
        "duration_ms": 1200,
    })
}
