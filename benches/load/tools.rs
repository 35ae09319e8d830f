//! The programs that make load: `wrk` on the server, `pgbench` on PostgreSQL.

use std::path::Path;
use std::process::Command;

/// What one run of `wrk` measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Answers in a second.
    pub(crate) per_second: f64,
    /// Median and 99th percentile of the time to the answer, in milliseconds.
    pub(crate) latency: (f64, f64),
}

/// Requests to `url` over `connections`; the lines of `bodies` are posted in turn, without them it is a GET.
///
/// A run in which one answer is an error measures nothing, and ends the program.
pub(crate) fn wrk(url: &str, bodies: Option<&Path>, connections: u32, seconds: u32) -> Load {
    let mut command = Command::new("wrk");
    command.args(["--threads", "2", "--connections", &connections.to_string()]);
    command.args(["--duration", &format!("{seconds}s"), "--timeout", "10s", "--script"]);
    command.arg(here("load.lua")).arg(url);
    if let Some(bodies) = bodies {
        command.arg("--").arg(bodies);
    }
    let text = output(&mut command);
    let numbers: Vec<f64> = text
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .map(|line| line.split(' ').filter_map(|number| number.parse().ok()).collect())
        .unwrap_or_default();
    let &[answers, micros, refused, broken, median, slow] = numbers.as_slice() else {
        panic!("wrk said nothing that is understood:\n{text}");
    };
    assert!(refused == 0.0, "{url}: {refused} of {answers} answers were errors");
    assert!(broken == 0.0, "{url}: {broken} connections broke or timed out");
    Load { per_second: answers * 1e6 / micros, latency: (median / 1e3, slow / 1e3) }
}

/// Transactions in a second of the script `name` beside this file, prepared, at 16 clients.
pub(crate) fn pgbench(programs: &Path, url: &str, name: &str, seconds: u32) -> f64 {
    let mut command = Command::new(programs.join("pgbench"));
    command.args(["--no-vacuum", "--protocol=prepared", "--client=16", "--jobs=2"]);
    command.arg(format!("--time={seconds}")).arg("--file").arg(here(name));
    // As long as the inputs of real tool calls are on average.
    command.arg(format!("--define=input={}", "{\"command\": \"cargo test\"} ".repeat(20)));
    let text = output(command.arg(url));
    text.lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("pgbench said nothing that is understood:\n{text}"))
}

fn here(name: &str) -> String {
    format!("{}/benches/load/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn output(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{name} does not run: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name} failed: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    text
}
