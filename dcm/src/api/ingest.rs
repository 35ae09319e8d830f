//! `POST /api/ingest`: what was observed of a session, whoever observed it.
//!
//! Hooks, transcript import, spool replay and reconcile all speak through this one operation. Every observation has a
//! key (the prompt's, the agent's, the tool call's), so sending it again changes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::input::{FieldValue, NAME, PATH, Rule, complaint, input};
use crate::id::ProjectId;
use crate::json::{JsonObject, check_text};
use crate::model::{PromptType, ToolType};
use crate::time::Timestamp;

/// The most observations that one call may carry.
pub const MAX_OBSERVATIONS: usize = 10_000;

input! {
    /// `POST /api/ingest`
    Ingest {
        /// The session that was observed; created when it is unknown.
        session_id: String [NAME],
        /// The directory it runs in; the project is created when it is unknown.
        project_path: Option<String> [PATH],
        /// Who observed: `hook`, `import`, `reconcile`, … What hooks say gives way to what others say: it never
        /// changes the owner of a known tool call, nor the project of a known session.
        source: Option<String> [NAME],
        /// What was observed, in the order in which it happened.
        observations: Vec<Observation>,
    }
}

/// One thing that was observed of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Observation {
    /// The session began, or was resumed.
    SessionStarted {
        /// When.
        at: Timestamp,
        /// Why: `startup`, `resume`, `clear`, `compact`, …
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The session ended.
    SessionEnded {
        /// When.
        at: Timestamp,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The user gave a prompt. It becomes a request with one task (wave 0) and the main agent's subtask, running.
    Prompt {
        /// The client's id of the prompt, unique within the session.
        key: String,
        /// When.
        at: Timestamp,
        /// What the user wrote.
        text: String,
        /// What it asks for; guessed from the text unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_type: Option<PromptType>,
        /// Anything else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<JsonObject>,
    },
    /// The main agent ended its turn: its subtask of that prompt is completed.
    TurnEnded {
        /// The prompt; the newest of the session unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
        /// When.
        at: Timestamp,
        /// What it said last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        /// Whether it ended with an error.
        #[serde(default)]
        failed: bool,
    },
    /// A tool call is about to launch a sub-agent, whose id is not known yet. The first sub-agent of that type that
    /// starts without saying which call launched it is taken for it, until somebody knows better.
    AgentLaunched {
        /// The client's id of the call.
        tool_use_id: String,
        /// When.
        at: Timestamp,
        /// The sub-agent that makes the call; the main agent unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_id: Option<String>,
        /// The prompt it is made for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
        /// What kind of agent it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_type: Option<String>,
        /// What it is to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A sub-agent began to work.
    AgentStarted {
        /// The client's id of the agent, unique within the session.
        agent_id: String,
        /// When.
        at: Timestamp,
        /// The prompt it works for; the newest of the session unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
        /// What kind of agent it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_type: Option<String>,
        /// What it is to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Anything else; kept as the subtask's context snapshot. Its member `tool_use_id` names the launching call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<JsonObject>,
    },
    /// A sub-agent ended; one that was never seen to start is recorded all the same.
    AgentStopped {
        /// The client's id of the agent.
        agent_id: String,
        /// When.
        at: Timestamp,
        /// The prompt it was for; the newest of the session unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
        /// What kind of agent it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_type: Option<String>,
        /// What it said last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        /// Whether it ended with an error.
        #[serde(default)]
        failed: bool,
        /// Whether this is somebody else's report, which counts only while the agent's own end is not known.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reported: bool,
        /// Whether an agent that was never seen is to be left alone: it may be a run of the client's own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        only_if_known: bool,
    },
    /// A tool was called.
    ToolUsed {
        /// The client's id of the call, unique within the session.
        tool_use_id: String,
        /// When it was called.
        at: Timestamp,
        /// The sub-agent that called it; the main agent unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_id: Option<String>,
        /// The prompt it was called for; the newest of the session unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
        /// The tool.
        tool_name: String,
        /// What kind of tool it is; guessed from its name unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool_type: Option<ToolType>,
        /// What went in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input: Option<String>,
        /// What came out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// 0 when it succeeded.
        #[serde(default)]
        exit_code: i32,
        /// How long it took, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<i32>,
        /// The files it touched.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        file_paths: Vec<String>,
        /// Anything else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<JsonObject>,
    },
    /// An entry of the client's own task list was created.
    TaskCreated {
        /// The client's id of the entry, unique within the session.
        task_id: String,
        /// When.
        at: Timestamp,
        /// What is to be done.
        subject: String,
        /// The prompt it was for; the newest of the session unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
        /// The agent that is to do it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_id: Option<String>,
    },
    /// An entry of the client's own task list was completed.
    TaskCompleted {
        /// The client's id of the entry.
        task_id: String,
        /// When.
        at: Timestamp,
        /// The prompt it was for; the newest of the session unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt_key: Option<String>,
    },
    /// The context of an agent is about to be compacted.
    CompactionStarted {
        /// When.
        at: Timestamp,
        /// The sub-agent whose context it is; the main agent's when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_id: Option<String>,
        /// Who asked for it: `manual` or `auto`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trigger: Option<String>,
        /// What the user wished the summary to hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instructions: Option<String>,
    },
    /// The context of an agent was compacted.
    Compacted {
        /// The client's id of the compaction, unique within the session.
        key: String,
        /// When.
        at: Timestamp,
        /// The sub-agent whose context it was; the main agent's when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_id: Option<String>,
        /// Who asked for it: `manual` or `auto`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trigger: Option<String>,
        /// The summary that replaced the context.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// Anything else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<JsonObject>,
    },
    /// Something that has no place of its own; kept in the session's metadata, the latest of each event.
    Noted {
        /// When.
        at: Timestamp,
        /// What the client calls it.
        event: String,
        /// What it says.
        metadata: JsonObject,
    },
}

impl Observation {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::SessionStarted { at, .. }
            | Self::SessionEnded { at, .. }
            | Self::Prompt { at, .. }
            | Self::TurnEnded { at, .. }
            | Self::AgentLaunched { at, .. }
            | Self::AgentStarted { at, .. }
            | Self::AgentStopped { at, .. }
            | Self::ToolUsed { at, .. }
            | Self::TaskCreated { at, .. }
            | Self::TaskCompleted { at, .. }
            | Self::CompactionStarted { at, .. }
            | Self::Compacted { at, .. }
            | Self::Noted { at, .. } => *at,
        }
    }

    /// Complains about keys that no index can hold and characters that no store can hold.
    fn check(&self) -> Result<(), String> {
        let key = |name: &str, text: &str| match text.len() {
            0 => Err(format!("{name} must not be empty")),
            1..=255 => check_text(text).map_err(|complaint| format!("{name} {complaint}")),
            _ => Err(format!("{name} must have at most 255 bytes")),
        };
        let optional_key =
            |name: &str, text: &Option<String>| text.as_deref().map_or(Ok(()), |text| key(name, text));
        let texts = |texts: &[(&str, Option<&str>)]| {
            texts.iter().try_for_each(|(name, text)| {
                check_text(text.unwrap_or("")).map_err(|complaint| format!("{name} {complaint}"))
            })
        };
        match self {
            Self::SessionStarted { reason, .. } | Self::SessionEnded { reason, .. } => {
                texts(&[("reason", reason.as_deref())])
            }
            Self::Prompt { key: prompt, text, .. } => {
                key("key", prompt)?;
                texts(&[("text", Some(text))])
            }
            Self::TurnEnded { prompt_key, result, .. } => {
                optional_key("prompt_key", prompt_key)?;
                texts(&[("result", result.as_deref())])
            }
            Self::AgentLaunched { tool_use_id, agent_id, prompt_key, agent_type, description, .. } => {
                key("tool_use_id", tool_use_id)?;
                optional_key("agent_id", agent_id)?;
                optional_key("prompt_key", prompt_key)?;
                optional_key("agent_type", agent_type)?;
                texts(&[("description", description.as_deref())])
            }
            Self::AgentStarted { agent_id, prompt_key, agent_type, description, .. } => {
                key("agent_id", agent_id)?;
                optional_key("prompt_key", prompt_key)?;
                texts(&[("description", description.as_deref()), ("agent_type", agent_type.as_deref())])?;
                agent_type
                    .as_deref()
                    .filter(|text| !text.is_empty())
                    .map_or(Ok(()), |text| key("agent_type", text))
            }
            Self::AgentStopped { agent_id, prompt_key, agent_type, result, .. } => {
                key("agent_id", agent_id)?;
                optional_key("prompt_key", prompt_key)?;
                texts(&[("result", result.as_deref())])?;
                agent_type
                    .as_deref()
                    .filter(|text| !text.is_empty())
                    .map_or(Ok(()), |text| key("agent_type", text))
            }
            Self::ToolUsed {
                tool_use_id,
                agent_id,
                prompt_key,
                tool_name,
                input,
                output,
                file_paths,
                ..
            } => {
                key("tool_use_id", tool_use_id)?;
                key("tool_name", tool_name)?;
                optional_key("agent_id", agent_id)?;
                optional_key("prompt_key", prompt_key)?;
                texts(&[("input", input.as_deref()), ("output", output.as_deref())])?;
                file_paths.iter().try_for_each(|path| texts(&[("file_paths", Some(path))]))
            }
            Self::TaskCreated { task_id, subject, prompt_key, agent_id, .. } => {
                key("task_id", task_id)?;
                optional_key("prompt_key", prompt_key)?;
                optional_key("agent_id", agent_id)?;
                texts(&[("subject", Some(subject))])
            }
            Self::TaskCompleted { task_id, prompt_key, .. } => {
                key("task_id", task_id)?;
                optional_key("prompt_key", prompt_key)
            }
            Self::CompactionStarted { trigger, instructions, agent_id, .. } => {
                optional_key("agent_id", agent_id)?;
                texts(&[("trigger", trigger.as_deref()), ("instructions", instructions.as_deref())])
            }
            Self::Noted { event, .. } => key("event", event),
            Self::Compacted { key: compaction, trigger, summary, agent_id, .. } => {
                key("key", compaction)?;
                optional_key("agent_id", agent_id)?;
                texts(&[("trigger", trigger.as_deref()), ("summary", summary.as_deref())])
            }
        }
    }
}

/// Up to so many bytes of an observation it is said which of its members is wrong.
const SMALL: usize = 8192;

/// What is wrong with an observation, and with which of its members.
fn wrong(text: &str, complaint: &str) -> String {
    if complaint == "needs the member `type`" || complaint == "must be an object" {
        let kinds = serde_json::from_str::<Observation>(r#"{"type":""}"#).err();
        let kinds = kinds.map_or_else(String::new, |error| self::complaint(&error));
        return format!(": must be an object with a `type`, which {kinds}");
    }
    // It is the member without which nothing else is wrong. Finding it takes as many looks as there are members.
    let small = text.len() <= SMALL && text.matches(':').count() <= SMALL / 64;
    let members: serde_json::Map<String, serde_json::Value> =
        if small { serde_json::from_str(text).unwrap_or_default() } else { serde_json::Map::new() };
    let named = members.keys().filter(|name| *name != "type").find(|name| {
        let mut others = members.clone();
        others.remove(*name);
        match serde_json::from_value::<Observation>(others.into()) {
            Ok(_) => true,
            Err(error) => self::complaint(&error) == format!("needs the member `{name}`"),
        }
    });
    named.map_or_else(|| format!(": {complaint}"), |name| format!(".{name}: {complaint}"))
}

impl FieldValue for Vec<Observation> {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        let raw: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|error| complaint(&error))?;
        if raw.len() > MAX_OBSERVATIONS {
            return Err(format!("must have at most {MAX_OBSERVATIONS} entries"));
        }
        raw.iter()
            .enumerate()
            .map(|(index, raw)| {
                serde_json::from_str(raw.get())
                    .map_err(|error| format!("[{index}]{}", wrong(raw.get(), &complaint(&error))))
            })
            .collect()
    }

    fn from_text(_: &str) -> Result<Self, String> {
        Err("must be a list in a JSON body".to_owned())
    }

    fn check(&self, _: &Rule) -> Result<(), String> {
        if self.len() > MAX_OBSERVATIONS {
            return Err(format!("must have at most {MAX_OBSERVATIONS} entries"));
        }
        self.iter()
            .enumerate()
            .try_for_each(|(index, one)| one.check().map_err(|complaint| format!("[{index}]: {complaint}")))
    }
}

/// Answer to [`Ingest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ingested {
    /// Always true.
    pub success: bool,
    /// The session.
    pub session_id: String,
    /// Its project, if one is known.
    pub project_id: Option<ProjectId>,
    /// What was not known before: when a transcript is ingested, what hooks missed.
    pub created: IngestCounts,
    /// What was known and was changed: completed, or corrected.
    #[serde(default)]
    pub corrected: IngestCounts,
    /// Observations that changed something that was known already.
    pub updated: usize,
    /// Observations that were known already and changed nothing. Tool calls that are older than what retention has
    /// removed of their session count as known.
    pub known: usize,
}

/// The `source` of what hooks observe.
pub const HOOK_SOURCE: &str = "hook";

/// Rows by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct IngestCounts {
    /// Requests.
    pub requests: usize,
    /// Subtasks (main agents, sub-agents, entries of task lists).
    pub subtasks: usize,
    /// Actions.
    pub actions: usize,
    /// Compactions.
    pub compactions: usize,
}
