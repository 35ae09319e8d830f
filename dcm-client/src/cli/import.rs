//! `dcm import`

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use dcm::api::ingest::Ingest;
use dcm::api::system::Health;
use dcm::{Error, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};

use super::discover::{SessionFile, discover};
use super::report::{self, Report};
use super::transcripts::{batches, read};
use super::{Outcome, claude_folder, complain, complain_of, print};
use crate::{Client, is_unreachable};

/// Arguments of `dcm import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Transcripts (*.jsonl), or folders to look for them; sub-agents come with their session
    /// [default: ~/.claude/projects]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where Claude Code keeps its files, if not in ~/.claude
    #[arg(long, env = "CLAUDE_CONFIG_DIR", value_name = "DIR", hide = true)]
    claude_config_dir: Option<PathBuf>,
}

/// Why nothing more is sent.
enum Stop {
    /// This session cannot be imported, others may.
    Session(String),
    /// No session can.
    All(Error),
}

impl Import {
    /// Imports and reports.
    pub(super) async fn run(&self, client: &Client, as_json: bool) -> Outcome {
        let paths = match (&self.paths[..], claude_folder(self.claude_config_dir.as_ref())) {
            ([], Some(folder)) => vec![folder.join("projects")],
            ([], None) => {
                complain("there is no home directory to look for transcripts in; name files or folders");
                return Outcome::Usage;
            }
            (paths, _) => paths.to_vec(),
        };
        // Before hours of reading: is there anybody to send it to?
        if let Err(error) = client.health(Health {}).await {
            return complain_of(client, &error);
        }
        let found = discover(&paths);
        let mut report = Report::new(client.url());
        report.failures.extend(found.failures.iter().map(|(path, reason)| report::File::new(path, reason)));

        let progress = progress_bar(&found.sessions);
        let mut stopped = None;
        for session in &found.sessions {
            progress.set_message(
                session.path.file_name().map_or_else(String::new, |name| name.display().to_string()),
            );
            match import_session(client, session, &mut report).await {
                Ok(()) => {}
                Err(Stop::Session(reason)) => report.failures.push(report::File::new(&session.path, reason)),
                Err(Stop::All(error)) => {
                    report.failures.push(report::File::new(&session.path, error.to_string()));
                    stopped = Some(error);
                    break;
                }
            }
            progress.inc(session.bytes);
        }
        progress.finish_and_clear();
        print(&if as_json { serde_json::json!(report).to_string() } else { report.to_text() });
        match stopped {
            Some(error) => {
                let outcome = complain_of(client, &error);
                complain(
                    "the import is not complete; run it again, what is there already is not added twice",
                );
                outcome
            }
            None if report.failures.is_empty() => Outcome::Well,
            None => Outcome::Failed,
        }
    }
}

/// On a terminal only; elsewhere it would be noise in a log.
fn progress_bar(sessions: &[SessionFile]) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(sessions.iter().map(|session| session.bytes).sum());
    match ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta} {wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn import_session(client: &Client, session: &SessionFile, report: &mut Report) -> Result<(), Stop> {
    let parsed = read(session, None).map_err(|error| Stop::Session(error.to_string()))?;
    report.read(&parsed.stats, |agent| {
        let of_agent = session.agents.iter().find(|(id, _)| Some(&**id) == agent).map(|(_, path)| path);
        of_agent.unwrap_or(&session.path).display().to_string()
    });
    let (Some(session_id), false) = (parsed.session_id, parsed.observations.is_empty()) else {
        let reason = "holds no entries of a Claude Code session";
        return if session.named {
            Err(Stop::Session(reason.to_owned()))
        } else {
            report.skipped.push(report::File::new(&session.path, reason));
            Ok(())
        };
    };
    for observations in batches(parsed.observations) {
        let batch = Ingest {
            session_id: session_id.clone(),
            project_path: parsed.project_path.clone(),
            source: Some("import".to_owned()),
            observations,
        };
        match client.ingest(batch).await {
            Ok(answer) => report.sent(&answer),
            Err(error)
                if is_unreachable(&error)
                    || matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Forbidden) =>
            {
                return Err(Stop::All(error));
            }
            Err(error) => return Err(Stop::Session(format!("the server answers: {error}"))),
        }
    }
    report.imported(&parsed.stats);
    Ok(())
}
