//! Records real sessions up to a point, in one of two ways.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use dcm::api::ingest::{Ingest, Observation};
use dcm::api::{Operation, wire};
use dcm::transcript::{Hints, Parser, Source};
use dcm::{Dcm, EngineConfig, Timestamp};
use serde_json::{Value, json};

const TRANSCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/transcripts");

/// How a session is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// With the plain operations, as any client would call them.
    Rest,
    /// With observations.
    Ingest,
}

/// A session, cut in two.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) project: String,
    pub(crate) seen: Vec<Observation>,
    pub(crate) after: Vec<Observation>,
}

/// The fields of an operation, as a JSON body has them.
pub(crate) fn input<O: Operation>(fields: &Value) -> O {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes()).unwrap()
}

/// Every session with its own transcript.
pub(crate) fn sessions() -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(TRANSCRIPTS)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

/// A file's lines with their times.
fn lines(path: &Path) -> Vec<(String, Option<Timestamp>, bool)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap_or_default();
            let at = entry["timestamp"].as_str().and_then(Timestamp::parse);
            (line.to_owned(), at, entry["subtype"] == "compact_boundary")
        })
        .collect()
}

fn agent_files(stem: &str) -> Vec<PathBuf> {
    let folder = Path::new(TRANSCRIPTS).join(stem).join("subagents");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

/// What a transcript says when it ends before line `cut`, and everything that was written later is away.
fn parse(stem: &str, cut: usize) -> (dcm::transcript::Parsed, Option<Timestamp>) {
    let own = lines(&Path::new(TRANSCRIPTS).join(format!("{stem}.jsonl")));
    let end = own.iter().skip(cut).find_map(|(_, at, _)| *at);
    let mut parser = Parser::new(Hints { session_id: Some(stem.to_owned()) });
    for (number, (line, _, _)) in (1..).zip(own.iter().take(cut)) {
        parser.feed_line(Source::Session, number, line);
    }
    for path in agent_files(stem) {
        let id = path.file_stem().unwrap().to_str().unwrap().trim_start_matches("agent-").to_owned();
        for (number, (line, at, _)) in (1..).zip(lines(&path)) {
            if end.is_none() || at < end {
                parser.feed_line(Source::Agent(&id), number, &line);
            }
        }
    }
    (parser.finish(), end)
}

impl Session {
    fn cut(stem: &str, cut: usize) -> Self {
        let (parsed, _) = parse(stem, cut);
        let (whole, _) = parse(stem, usize::MAX);
        let known: Vec<&str> = parsed.observations.iter().filter_map(call).collect();
        let after = whole.observations.iter().filter(|one| call(one).is_some_and(|id| !known.contains(&id)));
        let after = after.cloned().collect();
        Self {
            id: parsed.session_id.unwrap_or_else(|| stem.to_owned()),
            project: parsed.project_path.unwrap(),
            seen: parsed.observations,
            after,
        }
    }

    /// The session `stem` up to its compaction.
    pub(crate) fn until_compaction(stem: &str) -> Self {
        let own = lines(&Path::new(TRANSCRIPTS).join(format!("{stem}.jsonl")));
        Self::cut(stem, own.iter().position(|(_, _, is_boundary)| *is_boundary).unwrap())
    }

    /// The first lines of the session, in percent.
    pub(crate) fn until(stem: &str, percent: usize) -> Self {
        let own = lines(&Path::new(TRANSCRIPTS).join(format!("{stem}.jsonl")));
        Self::cut(stem, own.len() * percent / 100)
    }

    pub(crate) fn newest_prompt(&self) -> &str {
        let prompts = self.seen.iter().rev().find_map(|one| match one {
            Observation::Prompt { text, .. } => Some(text.as_str()),
            _ => None,
        });
        prompts.unwrap_or("(the prompt was not recorded)")
    }
}

fn call(observation: &Observation) -> Option<&str> {
    match observation {
        Observation::ToolUsed { tool_use_id, .. } => Some(tool_use_id),
        _ => None,
    }
}

/// A store that holds what was seen of the session, and the id of its main agent.
pub(crate) async fn record(session: &Session, by: By) -> (Dcm, String) {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
    match by {
        By::Ingest => {
            let ingest = Ingest {
                session_id: session.id.clone(),
                project_path: Some(session.project.clone()),
                source: None,
                observations: session.seen.clone(),
            };
            dcm.ingest(ingest).await.unwrap();
            (dcm, session.id.clone())
        }
        By::Rest => {
            by_rest(&dcm, session).await;
            (dcm, "main-agent".to_owned())
        }
    }
}

async fn by_rest(dcm: &Dcm, session: &Session) {
    let project = dcm.project_upsert(input(&json!({"path": session.project}))).await.unwrap().project.id;
    dcm.session_create(input(&json!({"id": session.id, "project_id": project}))).await.unwrap();
    let mut work: HashMap<String, Value> = HashMap::new();
    let mut task = None;
    for observation in &session.seen {
        match observation {
            Observation::Prompt { text, .. } => {
                let fields = json!({"project_id": project, "session_id": session.id, "prompt": text});
                let request = dcm.request_create(input(&fields)).await.unwrap().request.id;
                let fields = json!({"request_id": request, "name": "Work", "status": "running"});
                task = Some(dcm.task_create(input(&fields)).await.unwrap().task.id);
                let fields = json!({"task_id": task, "description": text, "agent_id": "main-agent",
                    "agent_type": "developer", "status": "running"});
                let subtask = dcm.subtask_create(input(&fields)).await.unwrap().subtask.subtask.id;
                work.insert(String::new(), json!(subtask));
            }
            Observation::AgentStarted { agent_id, agent_type, description, .. } => {
                let fields = json!({"task_id": task, "description": description.as_deref().unwrap_or("work"),
                    "agent_id": agent_id, "agent_type": agent_type, "status": "running"});
                let subtask = dcm.subtask_create(input(&fields)).await.unwrap().subtask.subtask.id;
                work.insert(agent_id.clone(), json!(subtask));
            }
            Observation::AgentStopped { agent_id, result, failed, .. } => {
                let status = if *failed { "failed" } else { "completed" };
                let fields = json!({"status": status, "result": {"message": result}});
                let id = work[agent_id].as_str().unwrap().to_owned();
                let path = vec![("id".to_owned(), id)];
                let update = wire::from_request(path, Vec::new(), fields.to_string().as_bytes()).unwrap();
                dcm.subtask_update(update).await.unwrap();
            }
            Observation::ToolUsed {
                agent_id,
                tool_name,
                input: given,
                output,
                exit_code,
                file_paths,
                ..
            } => {
                let owner = work.get(agent_id.as_deref().unwrap_or("")).cloned();
                let fields = json!({"tool_name": tool_name, "tool_type": "builtin", "input": given,
                    "output": output, "exit_code": exit_code, "file_paths": file_paths,
                    "session_id": session.id, "subtask_id": owner});
                dcm.action_record(input(&fields)).await.unwrap();
            }
            _ => {}
        }
    }
}
