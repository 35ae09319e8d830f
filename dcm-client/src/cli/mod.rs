//! The `dcm` command: what people and hooks run.

mod agents;
mod brief;
mod discover;
mod doctor;
mod flush;
mod hook;
mod hooks;
mod import;
mod paint;
mod place;
mod reconcile;
mod replay;
mod report;
mod route;
mod spool;
mod status;
mod transcripts;
mod tree;
mod upload;
mod watch;
mod wire;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use self::paint::print;
use self::place::Server;
use crate::Client;

/// What the exit codes mean, for `--help`.
const EXIT_CODES: &str = "Exit codes:
  0  everything went well
  1  something failed: a file that could not be imported, a refused key, an unhealthy server,
     no hooks installed (`hooks status`), a problem found (`doctor`)
  2  the command line is wrong
  3  the server cannot be reached
`dcm hook` always exits with 0.";

/// A default value of the argument itself would hide the older variable.
const URL_HELP: &str =
    "URL of the server; CONTEXT_MANAGER_URL is read as well [default: http://127.0.0.1:3847]";

const TRACK_USAGE_HELP: &str = "`track-usage` reads the variables CLAUDE_TOOL_NAME, CLAUDE_TOOL_INPUT, \
CLAUDE_TOOL_OUTPUT, CLAUDE_EXIT_CODE, CLAUDE_SESSION_ID and CLAUDE_PROJECT_PATH where standard input holds no event";

/// Talk to a DCM server: connect agents, see what they do, hand them what they need.
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
    /// The server and its key, from here, from variables, or kept at installation.
    fn server(&self) -> Server {
        // An empty variable is one that is not set.
        let given = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
        let url = given(&self.url).or_else(|| given(&self.context_manager_url));
        Server::find(url, given(&self.api_key))
    }

    fn client(&self, timeout: Duration) -> dcm::Result<Client> {
        let server = self.server();
        let mut builder = Client::builder().url(server.url).timeout(timeout).user_agent(wire::USER_AGENT);
        if let Some(key) = server.api_key {
            builder = builder.api_key(key);
        }
        builder.build()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell the server of one event of an agent's client, read from standard input; always exits with 0
    Hook(Hook),
    /// Connect Claude Code: put DCM's hooks into its settings, or take them out
    #[command(subcommand)]
    Hooks(hooks::Hooks),
    /// Import transcripts of Claude Code sessions; doing it again adds nothing
    Import(import::Import),
    /// Measure how well tools are suggested; needs no server
    Route(route::Route),
    /// Hold one session's transcript against what the server has of it, and mend what hooks missed
    Reconcile(reconcile::Reconcile),
    /// Whether the server is well and what it holds
    Status,
    /// Events as they happen
    Watch(watch::Watch),
    /// What was asked for in a project, and how the work on it stands
    Tree(tree::Tree),
    /// What an agent should know now, within a budget of tokens
    Brief(brief::Brief),
    /// Send a message to an agent
    Send(agents::Send),
    /// Read an agent's messages; they count as read then
    Inbox(agents::Inbox),
    /// Record that an agent has to wait for another
    Block(agents::BlockArguments),
    /// Record that it need not wait any more
    Unblock(agents::UnblockArguments),
    /// Which tools served such words before
    Suggest(tree::Suggest),
    /// A token for a WebSocket connection
    Token(agents::Token),
    /// Prove that what agents do arrives, or say what stands in the way
    Doctor(doctor::Doctor),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Arguments of `dcm hook`, as the help text shows them; the quick path reads them itself.
#[derive(Debug, Args)]
struct Hook {
    #[arg(value_name = "WHAT", help = TRACK_USAGE_HELP)]
    what: Option<String>,
    /// Whose event it is, `claude` or `codex`; told by its fields unless given
    #[arg(long, value_name = "CLIENT")]
    agent: Option<String>,
    /// After how many milliseconds the hook ends, whatever it is at; what was not delivered is kept and delivered by
    /// the next `dcm` command
    #[arg(long, env = "DCM_HOOK_DEADLINE_MS", value_name = "MS", default_value = "500")]
    deadline_ms: u64,
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
    if let Some(arguments) = hook::arguments(std::env::args_os().skip(1)) {
        return hook::run(&arguments);
    }
    let cli = Cli::parse();
    if let Command::Hook(hook) = &cli.command {
        return hook::run(&hook::Arguments {
            track_usage: hook.what.as_deref() == Some("track-usage"),
            agent: hook.agent.clone(),
            url: cli.connection.url.clone(),
            api_key: cli.connection.api_key.clone(),
            deadline_ms: Some(hook.deadline_ms),
        });
    }
    let server = cli.connection.server();
    if let Command::Hooks(hooks) = &cli.command {
        return hooks.run(&server, cli.connection.json).into();
    }
    if let Command::Route(route) = &cli.command {
        return route.run(cli.connection.json).into();
    }
    if let Command::Completions { shell } = &cli.command {
        clap_complete::generate(*shell, &mut Cli::command(), "dcm", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    // The doctor looks at what waits, before it is gone.
    if !matches!(cli.command, Command::Doctor(_)) {
        flush::before_a_command(&server);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(execute(cli, &server)).into(),
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            Outcome::Failed.into()
        }
    }
}

async fn execute(cli: Cli, server: &Server) -> Outcome {
    // A batch of an import is one commit of up to a few megabytes; everything else is small.
    let timeout = Duration::from_secs(if matches!(cli.command, Command::Import(_) | Command::Reconcile(_)) {
        120
    } else {
        15
    });
    let client = match cli.connection.client(timeout) {
        Ok(client) => client,
        Err(error) => {
            complain(&error.to_string());
            return Outcome::Usage;
        }
    };
    let as_json = cli.connection.json;
    match cli.command {
        // They have ended before a client was needed.
        Command::Hook(_) | Command::Hooks(_) | Command::Route(_) | Command::Completions { .. } => {
            Outcome::Well
        }
        Command::Import(import) => import.run(&client, as_json).await,
        Command::Reconcile(reconcile) => reconcile.run(&client, as_json).await,
        Command::Status => status::run(&client, as_json).await,
        Command::Watch(watch) => watch.run(&client, as_json).await,
        Command::Tree(tree) => tree.run(&client, as_json).await,
        Command::Brief(brief) => brief.run(&client, as_json).await,
        Command::Send(send) => send.run(&client, as_json).await,
        Command::Inbox(inbox) => inbox.run(&client, as_json).await,
        Command::Block(block) => block.run(&client, as_json).await,
        Command::Unblock(unblock) => unblock.run(&client, as_json).await,
        Command::Suggest(suggest) => suggest.run(&client, as_json).await,
        Command::Token(token) => token.run(&client, as_json).await,
        Command::Doctor(doctor) => doctor.run(&client, server, as_json).await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
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
