//! The `dcm` command: what people and hooks run.

mod discover;
mod import;
mod report;
mod route;
mod status;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::{Client, DEFAULT_URL};

/// What the exit codes mean, for `--help`.
const EXIT_CODES: &str = "Exit codes:
  0  everything went well
  1  something failed: a file that could not be imported, a refused key, an unhealthy server
  2  the command line is wrong
  3  the server cannot be reached";

/// A default value of the argument itself would hide the older variable.
const URL_HELP: &str =
    "URL of the server; CONTEXT_MANAGER_URL is read as well [default: http://127.0.0.1:3847]";

/// Talk to a DCM server: import what agents did, see how it stands.
#[derive(Debug, Parser)]
#[command(name = "dcm", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

/// Where the server is and how to speak to it.
#[derive(Args)]
struct Connection {
    /// URL of the server.
    #[arg(long, global = true, env = "DCM_URL", value_name = "URL", help = URL_HELP)]
    url: Option<String>,
    /// The name that the variable had before.
    #[arg(long, global = true, env = "CONTEXT_MANAGER_URL", hide = true)]
    context_manager_url: Option<String>,
    /// API key, where the server asks for one
    #[arg(long, global = true, env = "DCM_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the key.
        f.debug_struct("Connection").field("url", &self.url).field("json", &self.json).finish_non_exhaustive()
    }
}

impl Connection {
    fn client(&self, timeout: Duration) -> dcm::Result<Client> {
        // An empty variable is one that is not set.
        let given = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
        let url = given(&self.url).or_else(|| given(&self.context_manager_url));
        let mut builder = Client::builder()
            .url(url.unwrap_or_else(|| DEFAULT_URL.to_owned()))
            .timeout(timeout)
            .user_agent(concat!("dcm/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = given(&self.api_key) {
            builder = builder.api_key(key);
        }
        builder.build()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import transcripts of Claude Code sessions; doing it again adds nothing
    Import(import::Import),
    /// Measure how well tools are suggested; needs no server
    Route(route::Route),
    /// Whether the server is well and what it holds
    Status,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Well,
    Failed,
    Usage,
    Unreachable,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Well => 0,
            Outcome::Failed => 1,
            Outcome::Usage => 2,
            Outcome::Unreachable => 3,
        })
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(execute(cli)).into(),
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            Outcome::Failed.into()
        }
    }
}

async fn execute(cli: Cli) -> Outcome {
    // A batch of an import is one commit of up to a few megabytes; everything else is small.
    let timeout = Duration::from_secs(if matches!(cli.command, Command::Import(_)) { 120 } else { 15 });
    if let Command::Route(route) = &cli.command {
        return route.run(cli.connection.json);
    }
    let client = match cli.connection.client(timeout) {
        Ok(client) => client,
        Err(error) => {
            complain(&error.to_string());
            return Outcome::Usage;
        }
    };
    match cli.command {
        Command::Import(import) => import.run(&client, cli.connection.json).await,
        Command::Route(route) => route.run(cli.connection.json),
        Command::Status => status::run(&client, cli.connection.json).await,
    }
}

/// The folder of Claude Code's own files.
fn claude_folder(configured: Option<&PathBuf>) -> Option<PathBuf> {
    let configured = configured.filter(|path| !path.as_os_str().is_empty()).cloned();
    configured.or_else(|| std::env::home_dir().map(|home| home.join(".claude")))
}

/// Tells people what went wrong.
fn complain(message: &str) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "dcm: {message}");
}

/// Tells people what a failed call means, and what they can do.
fn complain_of(client: &Client, error: &dcm::Error) -> Outcome {
    if crate::is_unreachable(error) {
        complain(&format!(
            "{error}\n  Is a server running at {}? Start one with `dcm-server`, or name another with --url or DCM_URL.",
            client.url()
        ));
        return Outcome::Unreachable;
    }
    match error.kind() {
        dcm::ErrorKind::Unauthorized | dcm::ErrorKind::Forbidden => {
            complain(&format!(
                "{} refuses: {error}\n  Give a key with --api-key or DCM_API_KEY.",
                client.url()
            ));
        }
        _ => complain(&format!("{} answers: {error}", client.url())),
    }
    Outcome::Failed
}

/// Prints a result.
fn print(text: &str) {
    // A reader that went away (`dcm … | head`) has seen enough.
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let cli =
            Cli::try_parse_from(["dcm", "import", "a.jsonl", "b", "--json", "--url", "http://h:1"]).unwrap();
        assert!(cli.connection.json);
        assert_eq!(cli.connection.client(Duration::from_secs(1)).unwrap().url(), "http://h:1");
        assert!(Cli::try_parse_from(["dcm", "export"]).is_err());
    }

    #[test]
    fn keys_are_not_printed() {
        let cli = Cli::try_parse_from(["dcm", "status", "--api-key", "secret"]).unwrap();
        assert!(!format!("{cli:?}").contains("secret"));
    }

    #[test]
    fn empty_settings_are_none() {
        let cli = Cli::try_parse_from(["dcm", "status", "--url", "", "--api-key", ""]).unwrap();
        assert!(cli.connection.client(Duration::from_secs(1)).unwrap().url().starts_with("http://"));
    }
}
