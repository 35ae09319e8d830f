//! `dcm doctor`: proves that what agents do arrives, or says what stands in the way.

mod probe;
mod settings;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use dcm::api::system::{Health, Stats};
use serde::Serialize;
use serde_json::json;

use super::hooks::{self, Found};
use super::paint::{BAD, GOOD, Painted, WARNING};
use super::place::{Server, client_folder, make_private_folder};
use super::spool::Spool;
use super::{Outcome, print, upload};
use crate::{Client, is_unreachable};

/// Arguments of `dcm doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Look at this settings file only
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Look only, and send no probe through the hooks
    #[arg(long)]
    no_probe: bool,
    /// Where Claude Code keeps its files, if not in ~/.claude
    #[arg(long, env = "CLAUDE_CONFIG_DIR", value_name = "DIR", hide = true)]
    claude_config_dir: Option<PathBuf>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Well,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    about: &'static str,
    level: Level,
    says: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// What was found, in order.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn well(&mut self, about: &'static str, says: impl Into<String>) {
        self.0.push(Finding { about, level: Level::Well, says: says.into(), remedy: None });
    }

    fn warning(&mut self, about: &'static str, says: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.0.push(Finding { about, level: Level::Warning, says: says.into(), remedy });
    }

    fn problem(&mut self, about: &'static str, says: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.0.push(Finding { about, level: Level::Problem, says: says.into(), remedy });
    }

    fn has_problems(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Problem)
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.0 {
            let (style, mark) = match finding.level {
                Level::Well => (GOOD, "ok     "),
                Level::Warning => (WARNING, "warning"),
                Level::Problem => (BAD, "PROBLEM"),
            };
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{} {:<8} {}", Painted(style, mark), finding.about, finding.says);
            if let Some(remedy) = &finding.remedy {
                let _ = writeln!(text, "                 {remedy}");
            }
        }
        text
    }
}

impl Doctor {
    pub(super) async fn run(self, client: &Client, server: &Server, as_json: bool) -> Outcome {
        let mut findings = Findings::default();
        let reachable = look_at_server(client, &mut findings).await;
        let found = hooks::find(self.claude_config_dir, self.settings);
        settings::look(&found, server, &mut findings);
        look_at_folder(&mut findings);
        if reachable && !self.no_probe {
            probe(client, server, &found, &mut findings).await;
        }
        print(&if as_json {
            json!({"url": client.url(), "well": !findings.has_problems(), "findings": findings.0}).to_string()
        } else {
            findings.to_text()
        });
        match (reachable, findings.has_problems()) {
            (false, _) => Outcome::Unreachable,
            (true, true) => Outcome::Failed,
            (true, false) => Outcome::Well,
        }
    }
}

async fn look_at_server(client: &Client, findings: &mut Findings) -> bool {
    let health = match client.health(Health {}).await {
        Ok(health) => health,
        Err(error) => {
            findings.problem(
                "server",
                error.to_string(),
                "start one with `dcm-server`, or name another with --url",
            );
            return !is_unreachable(&error);
        }
    };
    let says = format!("{} is {} (DCM {})", client.url(), health.status, health.version);
    if health.status != "healthy" {
        findings.problem("server", says, health.database.error.unwrap_or_else(|| "see its log".to_owned()));
    } else if health.version != env!("CARGO_PKG_VERSION") {
        let remedy =
            format!("this command is {}; install the same version of both", env!("CARGO_PKG_VERSION"));
        findings.warning("server", says, remedy);
    } else {
        findings.well("server", says);
    }
    match client.stats(Stats {}).await {
        Ok(_) => findings.well("key", "the server lets this user in"),
        Err(error) => {
            findings.problem("key", error.to_string(), "give a key with --api-key or DCM_API_KEY");
        }
    }
    true
}

/// What waits in this user's folder, for whatever server.
fn look_at_folder(findings: &mut Findings) {
    let Some(folder) = client_folder() else {
        findings.problem("spool", "there is no home directory to keep events in", "set DCM_DATA_DIR");
        return;
    };
    let spools = folder.join("spool");
    if let Err(error) = make_private_folder(&spools).and_then(|()| try_to_write(&spools)) {
        let remedy =
            "events are lost while the server is away; set DCM_DATA_DIR to a folder that can be written";
        findings.problem("spool", format!("{}: {error}", spools.display()), remedy);
        return;
    }
    let mut quiet = true;
    for entry in std::fs::read_dir(&spools).into_iter().flatten().flatten() {
        let spool = Spool::at(entry.path());
        let contents = spool.contents();
        let todo = upload::todos(spool.folder()).len();
        let place = spool.folder().display();
        if contents.waiting > 0 || todo > 0 {
            quiet = false;
            let says = format!(
                "{} events ({} bytes) and {todo} transcripts wait in {place}",
                contents.waiting, contents.bytes
            );
            findings.warning("spool", says, "the next command that reaches that server delivers them");
        }
        if contents.refused > 0 {
            quiet = false;
            let says = format!("the server refused {} calls: {place}/refused", contents.refused);
            findings.warning("spool", says, "the file says why; remove it when it is of no use");
        }
        if contents.dropped > 0 {
            quiet = false;
            let says = format!("{} events found no room in {place}", contents.dropped);
            let remedy = "`dcm import` repairs what is missing; remove the file `dropped` there afterwards";
            findings.warning("spool", says, remedy);
        }
    }
    if quiet {
        findings.well("spool", format!("nothing waits in {}", spools.display()));
    }
}

fn try_to_write(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

async fn probe(client: &Client, server: &Server, found: &[Found], findings: &mut Findings) {
    let handlers = probe::handlers(found, server);
    if handlers.is_empty() {
        return;
    }
    match probe::run(client, &handlers).await {
        Ok(seen) if seen.begun && seen.lost_calls == 0 => {
            findings.well("probe", format!("went through {} hooks and arrived", handlers.len()));
        }
        Ok(seen) => {
            let missing = if seen.begun { "a tool call" } else { "the begin of a session" };
            let says = format!("{missing} was sent through the hooks and did not arrive");
            findings.problem(
                "probe",
                says,
                "`dcm hooks install` renews them; look at the spool and the server's log",
            );
        }
        Err(reason) => {
            findings.problem("probe", reason, "`dcm hooks install` renews the hooks");
        }
    }
}
