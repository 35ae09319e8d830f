//! Sub-agents: which tool call launched them, what they did, how they ended.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::entry::{Entry, cut_key, joined_text, text_of, word};
use super::prompts::tag;
use super::turns::{Turns, Voice};
use crate::api::ingest::Observation;
use crate::json::JsonObject;
use crate::observe::{TEXT_LIMIT, cut_text};
use crate::time::Timestamp;

/// The beginning of the ids of the runs that write compaction summaries.
const COMPACTION_RUN: &str = "acompact";

/// Whether `agent_id` is that of a run that the client makes for itself.
pub(crate) fn is_compaction_run(agent_id: &str) -> bool {
    agent_id.starts_with(COMPACTION_RUN)
}

/// A tool call that launches a sub-agent.
#[derive(Debug)]
struct Spawn {
    at: Option<Timestamp>,
    /// The sub-agent that made the call.
    parent: Option<String>,
    turn: Option<usize>,
    agent_type: Option<String>,
    description: Option<String>,
    prompt: Option<String>,
    agent_id: Option<String>,
    end: Option<End>,
}

/// How a sub-agent ended, as its launcher was told.
#[derive(Debug, Clone)]
struct End {
    at: Option<Timestamp>,
    failed: bool,
    words: Option<String>,
}

/// What a background agent (or job) says of its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AgentEnd {
    pub(crate) agent_id: String,
    pub(crate) failed: bool,
    pub(crate) words: Option<String>,
}

/// Reads the notification of a background agent (or job) that has ended.
pub(crate) fn notification(text: &str) -> Option<AgentEnd> {
    if !text.contains("<task-notification>") {
        return None;
    }
    let id = tag(text, "task-id")?;
    let failed = match tag(text, "status") {
        Some("completed") => false,
        Some("failed" | "killed" | "stopped") => true,
        _ => return None,
    };
    let words = tag(text, "result").map(|words| cut_text(words.trim(), TEXT_LIMIT));
    Some(AgentEnd { agent_id: cut_key(id.trim()), failed, words })
}

/// What a sub-agent's own transcript shows of it.
#[derive(Debug, Default)]
struct Run {
    first_at: Option<Timestamp>,
    prompt: Option<String>,
    prompt_key: Option<String>,
    used_tools: bool,
    voice: Voice,
}

/// What the file beside a sub-agent's transcript says of it.
#[derive(Debug, Default)]
struct Meta {
    agent_type: Option<String>,
    description: Option<String>,
    tool_use_id: Option<String>,
}

/// Everything known of the sub-agents of one session.
#[derive(Debug, Default)]
pub(super) struct Agents {
    spawns: BTreeMap<String, Spawn>,
    /// The launching calls, in the order of the files.
    launched: Vec<String>,
    runs: BTreeMap<String, Run>,
    metas: BTreeMap<String, Meta>,
    /// Launching tool call to agent, from progress lines.
    links: BTreeMap<String, String>,
    /// Ends that background agents reported.
    reports: BTreeMap<String, End>,
    /// Entry to agent, for old transcripts that keep sub-agents in the main file and do not name them.
    inline: BTreeMap<String, String>,
}

/// One sub-agent, put together.
pub(super) struct Agent {
    pub(super) id: String,
    pub(super) turn: Option<usize>,
    pub(super) started: Observation,
    pub(super) stopped: Option<Observation>,
}

impl Agents {
    /// A tool call launches a sub-agent.
    pub(super) fn launch(
        &mut self,
        tool_use_id: &str,
        input: &Value,
        at: Option<Timestamp>,
        parent: Option<String>,
        turn: Option<usize>,
    ) {
        let spawn = Spawn {
            at,
            parent,
            turn,
            agent_type: word(input, "subagent_type"),
            description: text_of(input.get("description")).map(|text| cut_text(text, TEXT_LIMIT)),
            prompt: text_of(input.get("prompt")).map(str::to_owned),
            agent_id: None,
            end: None,
        };
        self.launched.push(tool_use_id.to_owned());
        self.spawns.insert(tool_use_id.to_owned(), spawn);
    }

    /// The launching tool call was answered: at once when the agent works in the background, else when it is done.
    pub(super) fn launch_answered(
        &mut self,
        tool_use_id: &str,
        block: &Value,
        record: Option<&Value>,
        failed: bool,
        at: Option<Timestamp>,
    ) {
        let Some(spawn) = self.spawns.get_mut(tool_use_id) else { return };
        let recorded = |name: &str| record.and_then(|record| word(record, name));
        // The answer is the agent's last words and a block that says how to go on with it.
        let (words, tail) = split_tail(block.get("content"));
        spawn.agent_id = recorded("agentId").or_else(|| recorded("agent_id")).or(tail);
        spawn.agent_type = spawn.agent_type.take().or_else(|| recorded("agentType"));
        let in_background = recorded("status").is_some_and(|status| status != "completed")
            || record.and_then(|record| record.get("isAsync")) == Some(&Value::Bool(true));
        if failed || !in_background {
            spawn.end = Some(End { at, failed, words });
        }
    }

    /// A progress line says which agent a tool call launched.
    pub(super) fn progress(&mut self, entry: &Entry) {
        let agent = entry.get("data").and_then(|data| word(data, "agentId"));
        if let (Some(agent), Some(call)) = (agent, entry.text("parentToolUseID")) {
            self.links.insert(cut_key(call), agent);
        }
    }

    /// A background agent (or job) reports its end.
    pub(super) fn report(&mut self, text: &str, at: Option<Timestamp>) {
        if let Some(AgentEnd { agent_id, failed, words }) = notification(text) {
            self.reports.insert(agent_id, End { at, failed, words });
        }
    }

    /// The file beside an agent's transcript.
    pub(super) fn meta(&mut self, agent_id: &str, meta: &Value) {
        let meta = Meta {
            agent_type: word(meta, "agentType"),
            description: text_of(meta.get("description")).map(|text| cut_text(text, TEXT_LIMIT)),
            tool_use_id: word(meta, "toolUseId"),
        };
        self.metas.insert(agent_id.to_owned(), meta);
    }

    /// The agent that a sidechain entry of the main file belongs to.
    pub(super) fn inline_owner(&mut self, entry: &Entry) -> String {
        if let Some(named) = entry.text("agentId") {
            return cut_key(named);
        }
        let uuid = entry.text("uuid").unwrap_or("");
        let of_parent = entry.text("parentUuid").and_then(|parent| self.inline.get(parent)).cloned();
        let owner = of_parent.unwrap_or_else(|| {
            // The first entry of a sidechain is the prompt that the launching call gave it.
            let prompt = joined_text(entry.message("content"));
            let call = self.launched.iter().rev().find(|call| {
                self.spawns.get(*call).is_some_and(|spawn| spawn.prompt.is_some() && spawn.prompt == prompt)
            });
            cut_key(call.map_or(uuid, |call| call))
        });
        let owner = if owner.is_empty() { "sidechain".to_owned() } else { owner };
        if !uuid.is_empty() {
            self.inline.insert(uuid.to_owned(), owner.clone());
        }
        self.links.entry(owner.clone()).or_insert_with(|| owner.clone());
        owner
    }

    /// An entry of an agent's transcript was read.
    pub(super) fn saw(&mut self, agent_id: &str, entry: &Entry, at: Option<Timestamp>) -> &mut Voice {
        let run = self.runs.entry(agent_id.to_owned()).or_default();
        run.first_at = match (run.first_at, at) {
            (Some(first), Some(at)) => Some(first.min(at)),
            (first, at) => first.or(at),
        };
        run.voice.last_at = run.voice.last_at.max(at);
        if run.prompt_key.is_none() {
            run.prompt_key = entry.text("promptId").map(cut_key);
        }
        if run.prompt.is_none() && entry.kind == "user" {
            run.prompt = joined_text(entry.message("content"));
        }
        &mut run.voice
    }

    /// An agent called a tool.
    pub(super) fn used_tool(&mut self, agent_id: &str) {
        self.runs.entry(agent_id.to_owned()).or_default().used_tools = true;
    }

    /// The time of the last entry of an agent's transcript.
    pub(super) fn last_at(&self, agent_id: &str) -> Option<Timestamp> {
        self.runs.get(agent_id).and_then(|run| run.voice.last_at)
    }

    /// What an agent does.
    pub(super) fn voice(&mut self, agent_id: &str) -> &mut Voice {
        &mut self.runs.entry(agent_id.to_owned()).or_default().voice
    }

    /// Puts the sub-agents together; those that nobody launched and that did nothing are the client's own runs.
    pub(super) fn finish(mut self, turns: &Turns, origin: Timestamp) -> Vec<Agent> {
        let calls = self.match_calls();
        let ids: BTreeSet<String> = self.runs.keys().chain(calls.keys()).cloned().collect();
        ids.into_iter().filter_map(|id| self.one(id, &calls, turns, origin)).collect()
    }

    /// Which agent was launched by which calls: by progress lines, by the answer, by the file beside the agent's
    /// transcript, at last by the prompt that it was given.
    fn match_calls(&mut self) -> BTreeMap<String, Vec<String>> {
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut unmatched = Vec::new();
        for call in &self.launched {
            let Some(spawn) = self.spawns.get(call) else { continue };
            let by_meta = || {
                self.metas.iter().find(|(_, meta)| meta.tool_use_id.as_ref() == Some(call)).map(|(id, _)| id)
            };
            match self.links.get(call).or(spawn.agent_id.as_ref()).or_else(by_meta) {
                Some(agent) => calls.entry(agent.clone()).or_default().push(call.clone()),
                None => unmatched.push(call.clone()),
            }
        }
        for call in unmatched {
            let Some(prompt) = self.spawns.get(&call).and_then(|spawn| spawn.prompt.clone()) else {
                continue;
            };
            let run = self
                .runs
                .iter()
                .find(|(id, run)| !calls.contains_key(*id) && run.prompt.as_deref() == Some(&*prompt))
                .map(|(id, _)| id.clone());
            if let Some(id) = run {
                calls.entry(id).or_default().push(call);
            }
        }
        calls.retain(|id, _| !is_compaction_run(id));
        calls
    }

    fn one(
        &mut self,
        id: String,
        calls: &BTreeMap<String, Vec<String>>,
        turns: &Turns,
        origin: Timestamp,
    ) -> Option<Agent> {
        let calls = calls.get(&id);
        let meta = self.metas.remove(&id);
        let run = self.runs.remove(&id);
        if calls.is_none() && meta.is_none() && !run.as_ref().is_some_and(|run| run.used_tools) {
            return None;
        }
        // An agent that was resumed has several calls: the first says what it is, the last how it ended.
        let first = calls.and_then(|calls| calls.first());
        let spawn = first.and_then(|call| self.spawns.get(call));
        let end = calls.and_then(|calls| calls.last()).and_then(|call| self.spawns.get(call)?.end.clone());
        let end = end.or_else(|| self.reports.get(&id).cloned());

        let first_at = run.as_ref().and_then(|run| run.first_at).or_else(|| spawn.and_then(|spawn| spawn.at));
        let turn = run
            .as_ref()
            .and_then(|run| turns.by_key(run.prompt_key.as_deref()?))
            .or_else(|| spawn.and_then(|spawn| spawn.turn))
            .or_else(|| turns.at(first_at));
        let not_before = turn.and_then(|turn| turns.list[turn].at).unwrap_or(origin);
        let at = first_at.unwrap_or(origin).max(not_before);
        let agent_type = spawn
            .and_then(|spawn| spawn.agent_type.clone())
            .or_else(|| meta.as_ref().and_then(|meta| meta.agent_type.clone()));
        let description = spawn
            .and_then(|spawn| spawn.description.clone())
            .or_else(|| meta.and_then(|meta| meta.description));

        let mut snapshot = Map::new();
        if let Some(call) = first {
            snapshot.insert("tool_use_id".to_owned(), Value::String(call.clone()));
        }
        if let Some(parent) = spawn.and_then(|spawn| spawn.parent.clone()) {
            snapshot.insert("parent_agent_id".to_owned(), Value::String(parent));
        }
        let started = Observation::AgentStarted {
            agent_id: id.clone(),
            at,
            prompt_key: turn.map(|turn| turns.list[turn].key.clone()),
            agent_type: agent_type.clone(),
            description,
            metadata: (!snapshot.is_empty()).then(|| JsonObject::from_map(&snapshot)),
        };

        let ran_to_its_end = run.as_ref().is_some_and(|run| run.voice.ended);
        let voice = run.map(|run| run.voice).unwrap_or_default();
        let stopped = (end.is_some() || ran_to_its_end).then(|| Observation::AgentStopped {
            agent_id: id.clone(),
            at: voice.last_at.or(end.as_ref().and_then(|end| end.at)).unwrap_or(origin).max(at),
            prompt_key: turn.map(|turn| turns.list[turn].key.clone()),
            agent_type,
            failed: voice.failed || end.as_ref().is_some_and(|end| end.failed),
            result: voice.words.or(end.and_then(|end| end.words)),
            reported: false,
            only_if_known: false,
        });
        Some(Agent { id, turn, started, stopped })
    }
}

/// The answer of a launching call without the block that names the agent, and the agent that it names.
fn split_tail(content: Option<&Value>) -> (Option<String>, Option<String>) {
    let named = |text: &str| {
        let (_, rest) = text.split_once("agentId: ")?;
        let id: String = rest.chars().take_while(|c| !c.is_whitespace() && *c != '(').collect();
        (!id.is_empty()).then(|| cut_key(&id))
    };
    let is_tail =
        |block: &Value| text_of(block.get("text")).is_some_and(|text| text.starts_with("agentId: "));
    match content {
        Some(Value::Array(blocks)) => {
            let tail = blocks.iter().rev().find(|block| is_tail(block));
            let words: Vec<Value> = blocks.iter().filter(|block| !is_tail(block)).cloned().collect();
            let words = joined_text(Some(&Value::Array(words))).filter(|text| !text.trim().is_empty());
            let tail = tail.and_then(|block| text_of(block.get("text"))).and_then(named);
            (words.map(|text| cut_text(&text, TEXT_LIMIT)), tail)
        }
        Some(Value::String(text)) => {
            let (words, tail) = match text.rfind("\nagentId: ") {
                Some(at) => text.split_at(at),
                None => (&**text, ""),
            };
            (Some(cut_text(words.trim_end(), TEXT_LIMIT)).filter(|words| !words.is_empty()), named(tail))
        }
        _ => (None, None),
    }
}
