//! Recorded hook events and transcripts, and the rows that they become.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dcm::api::ingest::Observation;
use dcm::transcript::{Hints, Parsed, Parser, Source};
use dcm_suite::calls::Calls;
use dcm_suite::server::Server;
use serde_json::{Value, json};

pub(crate) const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// The recorded events, in the order in which they came.
pub(crate) fn events(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("{DATA}/hook-payloads/{name}.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Posts events as hooks do, one after the other.
pub(crate) async fn replay(api: &Calls, events: &[Value]) {
    for event in events {
        let at = event.get("at").and_then(Value::as_str);
        let path = at.map_or_else(|| "/hooks/claude".to_owned(), |at| format!("/hooks/claude?at={at}"));
        let answer = api.call(reqwest::Method::POST, &path, Some(event)).await;
        assert!(matches!(answer.status, 200 | 204), "{event}: {answer:?}");
        assert_eq!(answer.status == 204, answer.body.is_empty(), "{answer:?}");
    }
}

/// The transcript of one of the recorded runs.
pub(crate) fn transcript(session: &str) -> Parsed {
    parsed(&Path::new(DATA).join(format!("hook-payloads/transcripts/{session}.jsonl")))
}

/// A transcript with its sub-agents.
pub(crate) fn parsed(file: &Path) -> Parsed {
    let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut parser = Parser::new(Hints { session_id: Some(name) });
    let feed = |parser: &mut Parser, source: Source<'_>, path: &Path| {
        for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
            parser.feed_line(source, number as u64 + 1, line);
        }
    };
    feed(&mut parser, Source::Session, file);
    let folder = file.with_extension("").join("subagents");
    let mut agents: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    agents.sort();
    for path in agents {
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(agent) = name.strip_prefix("agent-").and_then(|name| name.strip_suffix(".jsonl")) {
            feed(&mut parser, Source::Agent(agent), &path);
        } else if let Some(agent) =
            name.strip_prefix("agent-").and_then(|name| name.strip_suffix(".meta.json"))
        {
            parser.feed_agent_meta(agent, &fs::read_to_string(&path).unwrap());
        }
    }
    parser.finish()
}

/// Uploads what a transcript says, as `dcm reconcile` does; answers the sum of the reports.
pub(crate) async fn reconcile(api: &Calls, parsed: &Parsed) -> Value {
    let mut sum = json!({"created": {}, "corrected": {}, "updated": 0, "known": 0});
    for part in parsed.observations.chunks(100) {
        let body = json!({
            "session_id": parsed.session_id, "project_path": parsed.project_path, "source": "reconcile",
            "observations": part,
        });
        let report = api.post("/api/ingest", &body).await;
        for group in ["created", "corrected"] {
            for (kind, count) in report[group].as_object().unwrap() {
                let before = sum[group][kind].as_i64().unwrap_or(0);
                sum[group][kind] = json!(before + count.as_i64().unwrap());
            }
        }
        for name in ["updated", "known"] {
            sum[name] = json!(sum[name].as_i64().unwrap() + report[name].as_i64().unwrap());
        }
    }
    sum
}

/// What a client's hooks would have told while a transcript was written.
pub(crate) fn as_events(parsed: &Parsed) -> Vec<Value> {
    let session = parsed.session_id.clone().unwrap();
    let cwd = parsed.project_path.clone().unwrap_or_default();
    let mut prompt = Value::Null;
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut events = Vec::new();
    let mut add = |name: &str, at: dcm::Timestamp, members: Value| {
        let mut event = json!({"session_id": session, "cwd": cwd, "hook_event_name": name, "at": at});
        let members = members.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(members.into_iter().filter(|(_, value)| !value.is_null()));
        events.push(event);
    };
    for observation in &parsed.observations {
        match observation {
            Observation::SessionStarted { at, .. } => add("SessionStart", *at, json!({"source": "startup"})),
            Observation::Prompt { key, at, text, .. } => {
                prompt = json!(key);
                add("UserPromptSubmit", *at, json!({"prompt_id": key, "prompt": text}));
            }
            Observation::TurnEnded { prompt_key, at, result, .. } => {
                add("Stop", *at, json!({"prompt_id": prompt_key, "last_assistant_message": result}));
            }
            Observation::AgentStarted { agent_id, at, prompt_key, agent_type, .. } => {
                kinds.insert(agent_id.clone(), agent_type.clone().unwrap_or_default());
                add(
                    "SubagentStart",
                    *at,
                    json!({"agent_id": agent_id, "agent_type": agent_type, "prompt_id": prompt_key}),
                );
            }
            Observation::AgentStopped { agent_id, at, result, .. } => add(
                "SubagentStop",
                *at,
                json!({"agent_id": agent_id, "agent_type": kinds.get(agent_id), "prompt_id": prompt,
                    "last_assistant_message": result}),
            ),
            Observation::ToolUsed {
                tool_use_id,
                at,
                agent_id,
                prompt_key,
                tool_name,
                input,
                output,
                exit_code,
                duration_ms,
                ..
            } => {
                let input: Value = input
                    .as_deref()
                    .map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or_default());
                let (name, answer) = if *exit_code == 0 {
                    ("PostToolUse", "tool_response")
                } else {
                    ("PostToolUseFailure", "error")
                };
                let ended = at.plus_millis(i64::from(duration_ms.unwrap_or(0)));
                add(
                    name,
                    ended,
                    json!({"tool_use_id": tool_use_id, "tool_name": tool_name, "tool_input": input, answer: output,
                        "agent_id": agent_id, "agent_type": agent_id.as_ref().and_then(|id| kinds.get(id)),
                        "prompt_id": prompt_key, "duration_ms": duration_ms}),
                );
            }
            Observation::Compacted { at, trigger, summary, .. } => {
                add("PreCompact", *at, json!({"trigger": trigger, "prompt_id": prompt}));
                add(
                    "PostCompact",
                    *at,
                    json!({"trigger": trigger, "compact_summary": summary, "prompt_id": prompt}),
                );
            }
            _ => {}
        }
    }
    events
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: String,
    pub(crate) ended: bool,
    pub(crate) tools: i64,
    pub(crate) succeeded: i64,
    pub(crate) failed: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestRow {
    pub(crate) key: String,
    pub(crate) prompt: String,
    pub(crate) status: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubtaskRow {
    pub(crate) key: String,
    pub(crate) request: String,
    pub(crate) agent_id: Option<String>,
    pub(crate) agent_type: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) status: String,
    pub(crate) result: Option<String>,
    pub(crate) snapshot: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionRow {
    pub(crate) key: String,
    pub(crate) tool: String,
    pub(crate) exit_code: i64,
    pub(crate) owner: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompactionRow {
    pub(crate) trigger: Option<String>,
    pub(crate) summary: Option<String>,
}

/// Every row of the tree, by its key, without ids and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) sessions: Vec<SessionRow>,
    pub(crate) requests: Vec<RequestRow>,
    pub(crate) subtasks: Vec<SubtaskRow>,
    pub(crate) actions: Vec<ActionRow>,
    pub(crate) compactions: Vec<CompactionRow>,
}

impl Rows {
    /// A transcript does not say whether its session has ended.
    pub(crate) fn without_end(mut self) -> Self {
        for session in &mut self.sessions {
            session.ended = false;
        }
        self
    }
}

/// What a server holds.
pub(crate) fn rows(server: &Server) -> Rows {
    let number = |cell: &Option<String>| cell.as_deref().unwrap().parse::<i64>().unwrap();
    let text = |cell: &Option<String>| cell.clone().unwrap();
    let sessions = "select id, case when ended_at is null then 0 else 1 end, total_tools_used, total_success, total_errors from sessions order by 1";
    let requests = "select external_key, prompt, status from requests order by 1";
    let subtasks = "select s.external_key, r.external_key, s.agent_id, s.agent_type, s.description, s.status, s.result, s.context_snapshot
        from subtasks s join task_lists t on t.id = s.task_list_id join requests r on r.id = t.request_id order by 1, 2";
    let actions = "select a.tool_use_id, a.tool_name, a.exit_code, s.external_key from actions a join subtasks s on s.id = a.subtask_id order by 1";
    let compactions = "select compaction_trigger, summary from compactions where external_key not like 'save:%' order by created_at, id";
    Rows {
        sessions: server
            .rows(sessions)
            .iter()
            .map(|row| SessionRow {
                id: text(&row[0]),
                ended: number(&row[1]) == 1,
                tools: number(&row[2]),
                succeeded: number(&row[3]),
                failed: number(&row[4]),
            })
            .collect(),
        requests: server
            .rows(requests)
            .iter()
            .map(|row| RequestRow { key: text(&row[0]), prompt: text(&row[1]), status: text(&row[2]) })
            .collect(),
        subtasks: server
            .rows(subtasks)
            .iter()
            .map(|row| SubtaskRow {
                key: text(&row[0]),
                request: text(&row[1]),
                agent_id: row[2].clone(),
                agent_type: row[3].clone(),
                description: row[4].clone(),
                status: text(&row[5]),
                result: row[6].as_deref().map(|result| {
                    let result: Value = serde_json::from_str(result).unwrap();
                    result["message"].as_str().unwrap_or_default().to_owned()
                }),
                snapshot: row[7].as_deref().map_or(Value::Null, |text| serde_json::from_str(text).unwrap()),
            })
            .collect(),
        actions: server
            .rows(actions)
            .iter()
            .map(|row| ActionRow {
                key: text(&row[0]),
                tool: text(&row[1]),
                exit_code: number(&row[2]),
                owner: text(&row[3]),
            })
            .collect(),
        compactions: server
            .rows(compactions)
            .iter()
            .map(|row| CompactionRow { trigger: row[0].clone(), summary: row[1].clone() })
            .collect(),
    }
}
