//! `dcm reconcile`: one session's transcript is held against what the server has.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use dcm::api::actions::ActionList;
use dcm::api::ingest::{Ingest, IngestCounts};
use dcm::transcript::Stats;
use dcm::{ErrorKind, Result};
use serde::Serialize;
use serde_json::json;

use super::discover::{SessionFile, discover};
use super::transcripts::{batches, read};
use super::{Outcome, claude_folder, complain, complain_of, print};
use crate::Client;

/// How many actions one call is asked for.
const PAGE: u32 = 1000;

/// Arguments of `dcm reconcile`.
#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// The session; inside an agent's shell it is known
    #[arg(env = "CLAUDE_CODE_SESSION_ID", value_name = "SESSION")]
    session: Option<String>,
    /// Its transcript, if it is not where Claude Code keeps them
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
    /// Where Claude Code keeps its files, if not in ~/.claude
    #[arg(long, env = "CLAUDE_CONFIG_DIR", value_name = "DIR", hide = true)]
    claude_config_dir: Option<PathBuf>,
}

/// What hooks missed.
#[derive(Debug, Default, Serialize)]
struct Report {
    session_id: String,
    transcript: PathBuf,
    /// What the transcript holds.
    requests: u64,
    actions: u64,
    failed_actions: u64,
    agents: u64,
    compactions: u64,
    /// What the server did not have of it.
    missed: IngestCounts,
    /// The tool calls among them, by tool.
    missed_tools: BTreeMap<String, u64>,
    /// What it had wrong or not as a whole, such as the owner of a tool call.
    corrected: IngestCounts,
    /// What it had already.
    known: usize,
}

impl Reconcile {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let Some(path) = self.find() else {
            complain(&match &self.session {
                Some(session) => format!("there is no transcript of the session {session}; use --transcript"),
                None => "name the session, or its transcript with --transcript".to_owned(),
            });
            return Outcome::Usage;
        };
        let mut found = discover(std::slice::from_ref(&path));
        let Some(session) = found.sessions.pop() else {
            let reason = found.failures.pop().map_or_else(String::new, |(_, reason)| reason);
            complain(&format!("{}: {reason}", path.display()));
            return Outcome::Failed;
        };
        match reconcile(client, &session).await {
            Ok(Some(report)) => {
                print(&if as_json { json!(report).to_string() } else { report.to_text() });
                Outcome::Well
            }
            Ok(None) => {
                complain(&format!("{}: holds no entries of a Claude Code session", path.display()));
                Outcome::Failed
            }
            Err(Trouble::File(error)) => {
                complain(&format!("{}: {error}", path.display()));
                Outcome::Failed
            }
            Err(Trouble::Server(error)) => complain_of(client, &error),
        }
    }

    fn find(&self) -> Option<PathBuf> {
        if self.transcript.is_some() {
            return self.transcript.clone();
        }
        let session = self.session.as_deref().filter(|id| !id.is_empty())?;
        // The id becomes a file's name: nothing may lead out of the folder.
        if session.contains(['/', '\\']) {
            return None;
        }
        let projects = claude_folder(self.claude_config_dir.as_ref())?.join("projects");
        find_below(&projects, &format!("{session}.jsonl"))
    }
}

/// The file of this name in a folder of `projects`.
fn find_below(projects: &Path, name: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir(projects).ok()?;
    let mut found: Vec<PathBuf> = folders
        .filter_map(|folder| Some(folder.ok()?.path().join(name)))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop()
}

enum Trouble {
    File(std::io::Error),
    Server(dcm::Error),
}

impl From<dcm::Error> for Trouble {
    fn from(error: dcm::Error) -> Self {
        Self::Server(error)
    }
}

async fn reconcile(client: &Client, session: &SessionFile) -> std::result::Result<Option<Report>, Trouble> {
    let parsed = read(session, None).map_err(Trouble::File)?;
    let Some(session_id) = parsed.session_id else { return Ok(None) };
    let before = tools(client, &session_id).await?;
    let mut report = Report::of(&session_id, &session.path, &parsed.stats);
    for observations in batches(parsed.observations) {
        let batch = Ingest {
            session_id: session_id.clone(),
            project_path: parsed.project_path.clone(),
            source: Some("reconcile".to_owned()),
            observations,
        };
        let answer = client.ingest(batch).await?;
        add(&mut report.missed, answer.created);
        add(&mut report.corrected, answer.corrected);
        report.known += answer.known;
    }
    for (tool, count) in tools(client, &session_id).await? {
        let more = count.saturating_sub(before.get(&tool).copied().unwrap_or(0));
        if more > 0 {
            report.missed_tools.insert(tool, more);
        }
    }
    Ok(Some(report))
}

fn add(sum: &mut IngestCounts, more: IngestCounts) {
    sum.requests += more.requests;
    sum.subtasks += more.subtasks;
    sum.actions += more.actions;
    sum.compactions += more.compactions;
}

/// The tool calls that the server has of a session, by tool.
async fn tools(client: &Client, session_id: &str) -> Result<BTreeMap<String, u64>> {
    let mut tools = BTreeMap::new();
    for page in 0.. {
        let list = ActionList {
            tool_type: None,
            tool_name: None,
            session_id: Some(session_id.to_owned()),
            subtask_id: None,
            limit: Some(PAGE),
            offset: Some(page * PAGE),
        };
        let answer = match client.action_list(list).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(tools),
            Err(error) => return Err(error),
        };
        let is_last = answer.actions.len() < PAGE as usize;
        for action in answer.actions {
            *tools.entry(action.tool_name).or_default() += 1;
        }
        if is_last {
            break;
        }
    }
    Ok(tools)
}

impl Report {
    fn of(session_id: &str, transcript: &Path, stats: &Stats) -> Self {
        Self {
            session_id: session_id.to_owned(),
            transcript: transcript.to_owned(),
            requests: stats.requests,
            actions: stats.actions,
            failed_actions: stats.failed,
            agents: stats.agents,
            compactions: stats.compactions,
            ..Self::default()
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!("Session {}\n", self.session_id);
        let (missed, corrected) = (self.missed, self.corrected);
        let mut row = |what: &str, holds: Option<u64>, missed: usize, corrected: usize| {
            let holds = holds.map_or_else(String::new, |holds| holds.to_string());
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "  {what:<12}{holds:>8}  {missed:>6} missed  {corrected:>6} corrected");
        };
        row("requests", Some(self.requests), missed.requests, corrected.requests);
        row("actions", Some(self.actions), missed.actions, corrected.actions);
        row("subtasks", None, missed.subtasks, corrected.subtasks);
        row("compactions", Some(self.compactions), missed.compactions, corrected.compactions);
        for (tool, count) in &self.missed_tools {
            let _ = writeln!(text, "  missed: {count} of {tool}");
        }
        let _ = writeln!(text, "  known already: {}", self.known);
        text
    }
}
