//! `dcm-server`: reads its configuration, opens the store, serves until it is told to stop.

mod environment;
mod health;
mod plan;
mod settings;
mod start;
mod telemetry;

use std::io::Write as _;
use std::process::ExitCode;

use settings::{Command, Settings};

/// Reads make many small pieces and drop them together, on several threads: measured, this allocator is faster at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the configuration says cannot be.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let settings = match environment::settings() {
        Ok(settings) => settings,
        Err(message) => return fail(&message, BAD_CONFIGURATION),
    };
    match settings.command {
        Some(Command::Openapi) => print(&format!("{:#}\n", dcm::api::openapi::document())),
        Some(Command::Healthcheck) => match health::ask(&settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => fail(&message, 1),
        },
        Some(Command::RaiseEpoch) => run(settings, start::raise_epoch),
        None => run(settings, start::start),
    }
}

fn run<E: Future<Output = Result<(), start::Stop>>>(
    settings: Settings,
    task: impl FnOnce(plan::Plan) -> E,
) -> ExitCode {
    let plan = match plan::Plan::new(settings, &environment::process()) {
        Ok(plan) => plan,
        Err(message) => return fail(&message, BAD_CONFIGURATION),
    };
    if let Err(message) = telemetry::start(&plan.log, plan.log_format) {
        return fail(&message, BAD_CONFIGURATION);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}"), 1),
    };
    let ended = runtime.block_on(task(plan));
    // What still runs on the threads for blocking work has had its time.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(start::Stop::Configuration(message)) => fail(&message, BAD_CONFIGURATION),
        Err(start::Stop::Failed(message)) => fail(&message, 1),
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot write: {error}"), 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // Nothing is left to be done when even that cannot be written.
    let _ = writeln!(std::io::stderr(), "dcm-server: {message}");
    ExitCode::from(code)
}
