//! One event: what it says, and whether its agent can be told something.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::tool::{key, launch, launches, used};
use super::{AgentClient, UNSURE};
use crate::api::hooks::HookReport;
use crate::api::ingest::Observation;
use crate::json::JsonObject;
use crate::observe::{PROMPT_LIMIT, TEXT_LIMIT, cut_text};
use crate::time::Timestamp;
use crate::transcript::{AgentEnd, is_compaction_run, notification, own_words};

/// What one event says.
#[derive(Debug, Clone, PartialEq)]
pub struct Noticed {
    /// The directory that its session works in.
    pub project_path: Option<String>,
    /// The agent that the event is of: a sub-agent's id, or the session's for the main agent.
    pub agent_id: String,
    /// What kind of agent that is, for sub-agents and for main agents that were started as one of a kind.
    pub agent_type: Option<String>,
    /// What the event is known by when it is told again: the same then, and hardly ever the same for another event.
    pub fingerprint: String,
    /// When it happened.
    pub at: Timestamp,
    /// What was observed.
    pub observations: Vec<Observation>,
    /// What the agent may be told in the answer.
    pub speaks: Speaks,
    /// Whether the agent itself went on: it read what it was told before.
    pub at_work: bool,
    /// The sub-agent whose end this event is.
    pub stopped: Option<String>,
    /// The agent in whose transcript that sub-agent's work stands, where that is another one: clients give an end an id
    /// that nobody was ever heard of under.
    pub stopped_in: Option<String>,
    /// The sub-agent whose result this event hands to its launcher.
    pub returned: Option<String>,
}

/// What the answer to an event may tell its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Nothing: the client takes no text for this event, or nobody waits for it any more.
    Nothing,
    /// A brief: the agent begins, or begins anew.
    Brief,
    /// Messages: the agent is at work.
    Messages,
}

/// Members that every event has or may have, and that say nothing of their own.
const COMMON: [&str; 10] = [
    "transcript_path",
    "cwd",
    "permission_mode",
    "prompt_id",
    "turn_id",
    "effort",
    "agent_id",
    "agent_type",
    "agent_transcript_path",
    "timestamp",
];

/// The kind of agent that a session was started as says something of the session.
const COMMON_AT_START: [&str; 9] = {
    let [path, cwd, mode, prompt, turn, effort, agent, _, of_agent, timestamp] = COMMON;
    [path, cwd, mode, prompt, turn, effort, agent, of_agent, timestamp]
};

/// Members of the events that have a meaning of their own.
const KNOWN: [&str; 27] = [
    "source",
    "model",
    "session_title",
    "prompt",
    "tool_name",
    "tool_input",
    "tool_use_id",
    "tool_response",
    "tool_calls",
    "duration_ms",
    "error",
    "error_details",
    "is_interrupt",
    "stop_hook_active",
    "last_assistant_message",
    "background_tasks",
    "session_crons",
    "task_id",
    "task_subject",
    "task_description",
    "teammate_name",
    "team_name",
    "trigger",
    "custom_instructions",
    "compact_summary",
    "reason",
    "hook_event_name",
];

/// Events that repeat what is on the screen or on disk, many times a minute.
const PASSING: [&str; 3] = ["MessageDisplay", "InstructionsLoaded", "FileChanged"];

/// Events that come of what the model or its user does.
const AT_WORK: [&str; 11] = [
    "UserPromptSubmit",
    "PreToolUse",
    "PermissionRequest",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "TaskCreated",
    "TaskCompleted",
    "SubagentStop",
    "Stop",
    "StopFailure",
];

/// The most bytes that are kept of one member that has no meaning to DCM, and of all of an event.
const NOTE_LIMIT: usize = 2_048;
const NOTES_LIMIT: usize = 8_192;

/// An event under examination.
pub(super) struct Event<'a> {
    report: &'a HookReport,
    pub(super) at: Timestamp,
    pub(super) client: AgentClient,
}

impl Event<'_> {
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.report.fields.get(name)
    }

    /// A member that is a text and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A member as a key; numbers are written out.
    pub(super) fn key(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => key(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The sub-agent in which it happened.
    pub(super) fn sub_agent(&self) -> Option<String> {
        self.key("agent_id").filter(|agent| *agent != self.report.session_id)
    }

    pub(super) fn prompt_key(&self) -> Option<String> {
        let name = if self.client == AgentClient::Codex { "turn_id" } else { "prompt_id" };
        self.key(name)
    }

    fn result(&self) -> Option<String> {
        self.text("last_assistant_message").map(|text| cut_text(text, TEXT_LIMIT))
    }

    /// The members that are not in `known`.
    fn others(&self, known: &[&[&str]]) -> Map<String, Value> {
        let is_known = |name: &str| known.iter().any(|names| names.contains(&name));
        let others = self.report.fields.iter().filter(|(name, _)| !is_known(name));
        let others: Map<String, Value> =
            others.map(|(name, value)| (name.clone(), shortened(value, NOTE_LIMIT))).collect();
        if Value::Object(others.clone()).to_string().len() > NOTES_LIMIT {
            return Map::from_iter([("cut".to_owned(), Value::Bool(true))]);
        }
        others
    }
}

/// A key for something that the client gave no id: the same for the same words.
pub(super) fn unsure_key(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word);
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest[..12].iter().fold(UNSURE.to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The most bytes of one member that count for a fingerprint: outputs of tools may be large, and need not be read twice.
const TELLING: usize = 256;

fn fingerprint(report: &HookReport) -> String {
    let members = report.fields.iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some(format!("{name}={}", cut_text(text, TELLING))),
        Value::Bool(_) | Value::Number(_) => Some(format!("{name}={value}")),
        _ => None,
    });
    let members: Vec<String> = members.collect();
    let mut words = vec![&*report.session_id, &*report.hook_event_name];
    words.extend(members.iter().map(|member| &**member));
    unsure_key(&words)
}

/// A value whose text takes at most `limit` bytes: texts are cut, others become their text.
fn shortened(value: &Value, limit: usize) -> Value {
    match value {
        Value::String(text) if text.len() <= limit => value.clone(),
        Value::String(text) => Value::String(cut_text(text, limit)),
        other => {
            let text = other.to_string();
            if text.len() <= limit { other.clone() } else { Value::String(cut_text(&text, limit)) }
        }
    }
}

/// What `report`, received at `now`, says.
#[must_use]
pub fn notice(report: &HookReport, now: Timestamp) -> Noticed {
    let codex = || report.fields.contains_key("turn_id") && !report.fields.contains_key("prompt_id");
    let client =
        report.agent.unwrap_or_else(|| if codex() { AgentClient::Codex } else { AgentClient::Claude });
    let event = Event { report, at: report.at.unwrap_or(now), client };
    let sub_agent = event.sub_agent();
    let mut noticed = Noticed {
        project_path: event
            .text("cwd")
            .filter(|cwd| cwd.chars().count() <= 2048 && !cwd.contains('\0'))
            .map(str::to_owned),
        agent_type: event.key("agent_type"),
        fingerprint: fingerprint(report),
        agent_id: sub_agent.clone().unwrap_or_else(|| report.session_id.clone()),
        at: event.at,
        observations: observations(&event),
        speaks: if report.at.is_some() { Speaks::Nothing } else { speaks(&event) },
        at_work: AT_WORK.contains(&&*report.hook_event_name),
        stopped: None,
        stopped_in: None,
        returned: None,
    };
    for observation in &noticed.observations {
        match observation {
            Observation::AgentStopped { agent_id, reported: false, .. } => {
                noticed.stopped = Some(agent_id.clone());
                noticed.stopped_in = agent_of_transcript(&event).filter(|agent| agent != agent_id);
            }
            Observation::AgentStopped { agent_id, reported: true, .. } => {
                noticed.returned = Some(agent_id.clone());
            }
            _ => {}
        }
    }
    noticed
}

/// Which events take a text for the model, in which client.
fn speaks(event: &Event<'_>) -> Speaks {
    match (&*event.report.hook_event_name, event.client) {
        ("SessionStart" | "SubagentStart", _) => Speaks::Brief,
        ("UserPromptSubmit" | "PreToolUse" | "PostToolUse", _)
        | ("PostToolUseFailure" | "PostToolBatch", AgentClient::Claude) => Speaks::Messages,
        _ => Speaks::Nothing,
    }
}

fn observations(event: &Event<'_>) -> Vec<Observation> {
    let (at, name) = (event.at, &*event.report.hook_event_name);
    let mut observations = Vec::new();
    match name {
        "SessionStart" => {
            let reason = event.key("source");
            observations.push(Observation::SessionStarted { at, reason });
        }
        "SessionEnd" => observations.push(Observation::SessionEnded { at, reason: event.key("reason") }),
        "UserPromptSubmit" => observations.extend(prompt(event)),
        "PreToolUse" => {
            if event.text("tool_name").is_some_and(launches) {
                observations.extend(launch(event));
            }
        }
        "PostToolUse" | "PostToolUseFailure" => {
            let failed = name == "PostToolUseFailure";
            return used(event, failed, event.others(&[&COMMON, &KNOWN]));
        }
        "PostToolBatch" => {}
        "SubagentStart" => observations.extend(agent_started(event)),
        "SubagentStop" => observations.extend(agent_stopped(event, false)),
        "Stop" => observations.push(turn_ended(event, false)),
        "StopFailure" => match event.sub_agent() {
            Some(_) => observations.extend(agent_stopped(event, true)),
            None => observations.push(turn_ended(event, true)),
        },
        "TaskCreated" => observations.extend(event.key("task_id").map(|task_id| {
            Observation::TaskCreated {
                subject: event
                    .text("task_subject")
                    .map_or_else(|| format!("Task {task_id}"), |text| cut_text(text, TEXT_LIMIT)),
                task_id,
                at,
                prompt_key: event.prompt_key(),
                agent_id: event.sub_agent(),
            }
        })),
        "TaskCompleted" => {
            observations.extend(event.key("task_id").map(|task_id| Observation::TaskCompleted {
                task_id,
                at,
                prompt_key: event.prompt_key(),
            }));
        }
        "PreCompact" => observations.push(Observation::CompactionStarted {
            at,
            agent_id: compacted_agent(event),
            trigger: event.key("trigger"),
            instructions: event.text("custom_instructions").map(|text| cut_text(text, TEXT_LIMIT)),
        }),
        "PostCompact" => observations.push(compacted(event)),
        _ if PASSING.contains(&name) => return observations,
        _ => {
            observations.extend(noted(event, &event.others(&[&COMMON])));
            return observations;
        }
    }
    let unknown = match name {
        // What is known of the session as a whole.
        "SessionStart" => event.others(&[&COMMON_AT_START, &KNOWN[3..]]),
        _ => event.others(&[&COMMON, &KNOWN]),
    };
    if !unknown.is_empty() {
        observations.extend(noted(event, &unknown));
    }
    observations
}

fn noted(event: &Event<'_>, members: &Map<String, Value>) -> Option<Observation> {
    Some(Observation::Noted {
        at: event.at,
        event: key(&event.report.hook_event_name)?,
        metadata: JsonObject::from_map(members),
    })
}

fn prompt(event: &Event<'_>) -> Option<Observation> {
    let text = event.text("prompt")?;
    if let Some(AgentEnd { agent_id, failed, words }) = notification(text) {
        return Some(Observation::AgentStopped {
            agent_id,
            at: event.at,
            prompt_key: None,
            agent_type: None,
            result: words,
            failed,
            reported: true,
            // Other jobs in the background report in the same way.
            only_if_known: true,
        });
    }
    let text = cut_text(own_words(text)?, PROMPT_LIMIT);
    let minute = (event.at.as_millis() / 60_000).to_string();
    Some(Observation::Prompt {
        key: event.prompt_key().unwrap_or_else(|| unsure_key(&[&text, &minute])),
        at: event.at,
        text,
        prompt_type: None,
        metadata: None,
    })
}

fn agent_started(event: &Event<'_>) -> Option<Observation> {
    let agent_id = event.sub_agent().filter(|agent| !is_compaction_run(agent))?;
    Some(Observation::AgentStarted {
        agent_id,
        at: event.at,
        prompt_key: event.prompt_key(),
        agent_type: event.key("agent_type"),
        description: None,
        metadata: None,
    })
}

fn agent_stopped(event: &Event<'_>, failed: bool) -> Option<Observation> {
    let agent_id = event.sub_agent().filter(|agent| !is_compaction_run(agent))?;
    let agent_type = event.key("agent_type");
    Some(Observation::AgentStopped {
        agent_id,
        at: event.at,
        prompt_key: event.prompt_key(),
        result: event.result().or_else(|| failure(event)),
        failed,
        reported: false,
        only_if_known: agent_type.is_none(),
        agent_type,
    })
}

/// The agent that the transcript of a sub-agent is named after: `…/agent-<id>.jsonl`.
fn agent_of_transcript(event: &Event<'_>) -> Option<String> {
    let name = event.text("agent_transcript_path")?.rsplit(['/', '\\']).next()?;
    let agent = key(name.strip_suffix(".jsonl")?.strip_prefix("agent-")?)?;
    (agent != event.report.session_id && !is_compaction_run(&agent)).then_some(agent)
}

fn turn_ended(event: &Event<'_>, failed: bool) -> Observation {
    Observation::TurnEnded {
        prompt_key: event.prompt_key(),
        at: event.at,
        result: event.result().or_else(|| failure(event)),
        failed,
    }
}

fn failure(event: &Event<'_>) -> Option<String> {
    event.text("error_details").or_else(|| event.text("error")).map(|text| cut_text(text, TEXT_LIMIT))
}

/// The sub-agent whose context is compacted; the run that writes the summary is none.
fn compacted_agent(event: &Event<'_>) -> Option<String> {
    event.sub_agent().filter(|agent| !is_compaction_run(agent))
}

fn compacted(event: &Event<'_>) -> Observation {
    let summary = event.text("compact_summary").map(|text| cut_text(text, PROMPT_LIMIT));
    let (trigger, prompt) = (event.key("trigger"), event.prompt_key());
    let agent_id = compacted_agent(event);
    let words = [prompt.as_deref(), trigger.as_deref(), summary.as_deref()].map(Option::unwrap_or_default);
    let words: Vec<&str> = words.into_iter().chain(agent_id.as_deref()).collect();
    Observation::Compacted {
        key: unsure_key(&words),
        at: event.at,
        agent_id,
        trigger,
        summary,
        metadata: None,
    }
}
