//! Claude Code session transcripts as [observations](Observation): pure, line by line, never failing.
//!
//! A transcript is `<session id>.jsonl`, one entry a line; the transcripts of its sub-agents are
//! `<session id>/subagents/agent-<agent id>.jsonl` (older clients: beside it), each with a small
//! `agent-<agent id>.meta.json`. Feed the session's lines first, then those of its sub-agents, then
//! [finish](Parser::finish). Memory grows with what is observed, not with the size of the files.
//!
//! The format is internal to its client and changes with every release, so everything is read leniently. What becomes
//! what:
//!
//! * **Prompt** ([`Observation::Prompt`]): a `user` entry with the user's own words. Its key is the entry's `promptId`,
//!   which hooks call `prompt_id`, else its `uuid`. No prompts are: meta entries, compaction summaries, tool results,
//!   interruptions, notifications of background jobs, what the client printed (`<local-command-stdout>`, shell
//!   commands of the user), and entries of sidechains. A slash command is a prompt when it went to the model (its
//!   expansion follows as a meta entry, or the model answers); its text is what the user typed (`/name arguments`).
//!   One that the client carried out itself (`/compact`, `/model`, `/mcp`) is none. `queue-operation` entries are no
//!   prompts: a queued prompt that starts a turn appears as a `user` entry. One that joins the running turn is removed
//!   from the queue, and newer clients write a `queued_command` attachment; it is kept, once, in the metadata of the
//!   running prompt (`added`).
//! * **Turn** ([`Observation::TurnEnded`]): ends with the model's last words, an interruption or the next prompt. The
//!   last turn stays open when the transcript stops in the middle of work: with a tool call, a tool's answer or a
//!   prompt that nothing follows.
//! * **Tool call** ([`Observation::ToolUsed`]): one for each distinct `tool_use` id of the session and its sub-agents,
//!   failed (exit code 1) when its result says `is_error`. A call without a result counts as a call and has exit code
//!   0, no output and no duration: nothing is known about how it went, and calls that the user interrupts do have a
//!   result that says so. Inputs and outputs are cut at [`TEXT_LIMIT`]. Calls that are only seen in `progress` lines
//!   are not counted: those lines are a passing view of a sub-agent whose own transcript is the record.
//! * **Sub-agent** ([`Observation::AgentStarted`], [`Observation::AgentStopped`]): what a `Task` or `Agent` call
//!   launched and what has a transcript of its own. `agent-acompact-*`, which writes compaction summaries, and any
//!   other run that no call launched and that called no tool, are the client's own and no sub-agents.
//! * **Task list** ([`Observation::TaskCreated`], [`Observation::TaskCompleted`]): successful `TaskCreate` and
//!   `TaskUpdate` calls.
//! * **Compaction** ([`Observation::Compacted`]): a `compact_boundary` entry with the summary that follows it.
//!
//! Entries are taken once per `uuid`. A resumed or forked session may begin with a copy of another session's entries:
//! all that a file holds is recorded under one session, the one that the file is named after if any entry belongs to
//! it, else the one that most entries belong to; [`Stats::foreign_entries`] counts the others. NUL characters are
//! dropped and unpaired surrogates replaced, wherever they stand.

mod agents;
mod entry;
mod finish;
mod prompts;
mod tools;
mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::Value;

pub(crate) use self::agents::{AgentEnd, is_compaction_run, notification};
pub(crate) use self::entry::{cut_key, joined_text, text_of, word};
pub(crate) use self::prompts::own_words;
pub(crate) use self::tools::{TaskCall, files as tool_files, task_call};

use self::agents::Agents;
use self::entry::{Entry, Line};
use self::prompts::{Said, said};
use self::tools::{TaskChange, Tool};
use self::turns::{NewPrompt, Turns};
use crate::api::ingest::Observation;
use crate::observe::{PROMPT_LIMIT, TEXT_LIMIT, cut_text, mend};
use crate::time::Timestamp;

/// The most broken lines that are kept with their reason; all are counted.
const MAX_BROKEN_LINES: usize = 100;
/// The most kinds of unknown entries that are told apart.
const MAX_UNKNOWN_TYPES: usize = 100;

/// What is known of a transcript before it is read.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// The name of its file without `.jsonl`, usually the session's id.
    pub session_id: Option<String>,
}

/// The file that a line stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// The session's own transcript.
    Session,
    /// The transcript of the sub-agent of this id.
    Agent(&'a str),
}

/// A line that is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLine {
    /// The sub-agent in whose transcript it stands; absent for the session's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Its number, as it was fed.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What a transcript held, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Lines that were fed.
    pub lines: u64,
    /// User prompts.
    pub requests: u64,
    /// Distinct tool calls.
    pub actions: u64,
    /// Those of them that sub-agents made.
    pub actions_in_agents: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Those of them without a result.
    pub unanswered: u64,
    /// Sub-agents.
    pub agents: u64,
    /// Entries of the client's own task list that were created.
    pub tasks: u64,
    /// Compactions.
    pub compactions: u64,
    /// Entries that were there before, by their `uuid`.
    pub duplicates: u64,
    /// Results of tool calls that the transcript does not hold.
    pub orphan_results: u64,
    /// Entries that name another session than the one they are recorded under.
    pub foreign_entries: u64,
    /// Entries of kinds that this version does not know, by kind.
    pub unknown_types: BTreeMap<String, u64>,
    /// Lines that are no JSON.
    pub broken: u64,
    /// The first hundred of them.
    pub broken_lines: Vec<BrokenLine>,
}

/// What a transcript says.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The session; `None` when the file is no transcript.
    pub session_id: Option<String>,
    /// The directory in which the session began.
    pub project_path: Option<String>,
    /// What was observed, in order of time.
    pub observations: Vec<Observation>,
    /// The same in numbers.
    pub stats: Stats,
}

/// A compaction of an agent's context.
#[derive(Debug)]
struct Compaction {
    key: String,
    /// The sub-agent; none for the main agent.
    agent: Option<String>,
    at: Option<Timestamp>,
    trigger: Option<String>,
    metadata: serde_json::Map<String, Value>,
    summary: Option<String>,
    order: u64,
}

/// Reads the lines of one session's transcript and of its sub-agents.
#[derive(Debug)]
pub struct Parser {
    hints: Hints,
    sessions: BTreeMap<String, u64>,
    project_path: Option<String>,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    seen: BTreeSet<String>,
    order: u64,
    turns: Turns,
    /// What the user typed while the agent was at work, and is waiting.
    queued: VecDeque<String>,
    agents: Agents,
    tools: Vec<Tool>,
    tool_by_id: BTreeMap<String, usize>,
    tasks: Vec<(Option<Timestamp>, u64, TaskChange)>,
    compactions: Vec<Compaction>,
    stats: Stats,
}

/// Where an entry stands and whose it is.
struct Place {
    /// The sub-agent; `None` for the main agent.
    agent: Option<String>,
    at: Option<Timestamp>,
    /// What names the entry.
    key: String,
}

impl Parser {
    /// A parser for one session.
    #[must_use]
    pub fn new(hints: Hints) -> Self {
        Self {
            hints,
            sessions: BTreeMap::new(),
            project_path: None,
            first_at: None,
            last_at: None,
            seen: BTreeSet::new(),
            order: 0,
            turns: Turns::default(),
            queued: VecDeque::new(),
            agents: Agents::default(),
            tools: Vec::new(),
            tool_by_id: BTreeMap::new(),
            tasks: Vec::new(),
            compactions: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Takes one line. The number is only told back, in [`Stats::broken_lines`].
    pub fn feed_line(&mut self, source: Source<'_>, line_number: u64, line: &str) {
        self.stats.lines += 1;
        let agent = match source {
            Source::Session => None,
            Source::Agent(id) => Some(cut_key(id)),
        };
        match entry::read(line) {
            Line::Blank | Line::Ignored => {}
            Line::Unknown(kind) => {
                let known = self.stats.unknown_types.len() < MAX_UNKNOWN_TYPES;
                let kind = if known || self.stats.unknown_types.contains_key(&kind) {
                    kind
                } else {
                    "(other)".to_owned()
                };
                *self.stats.unknown_types.entry(kind).or_default() += 1;
            }
            Line::Broken(reason) => {
                self.stats.broken += 1;
                if self.stats.broken_lines.len() < MAX_BROKEN_LINES {
                    self.stats.broken_lines.push(BrokenLine { agent_id: agent, line: line_number, reason });
                }
            }
            Line::Entry(_) if agent.as_deref().is_some_and(is_compaction_run) => {}
            Line::Entry(entry) => self.entry(agent, line_number, &entry),
        }
    }

    /// Takes the text of the `agent-<agent id>.meta.json` beside a sub-agent's transcript; one that cannot be read says
    /// nothing.
    pub fn feed_agent_meta(&mut self, agent_id: &str, json: &str) {
        if !is_compaction_run(agent_id)
            && let Ok(meta) = serde_json::from_str::<Value>(&mend(json))
        {
            self.agents.meta(&cut_key(agent_id), &meta);
        }
    }

    fn entry(&mut self, file: Option<String>, line_number: u64, entry: &Entry) {
        if let Some(uuid) = entry.text("uuid")
            && !self.seen.insert(uuid.to_owned())
        {
            self.stats.duplicates += 1;
            return;
        }
        let key = entry.text("uuid").map_or_else(
            || match &file {
                Some(agent) => cut_key(&format!("line-{line_number}-of-{agent}")),
                None => format!("line-{line_number}"),
            },
            cut_key,
        );
        if let Some(session) = entry.text("sessionId") {
            *self.sessions.entry(cut_key(session)).or_default() += 1;
        }
        if self.project_path.is_none() {
            self.project_path =
                entry.text("cwd").filter(|cwd| cwd.chars().count() <= 2048).map(str::to_owned);
        }
        let agent = match file {
            None if entry.flag("isSidechain") => Some(self.agents.inline_owner(entry)),
            file => file,
        };
        let last_at = agent.as_deref().map_or(self.last_at, |agent| self.agents.last_at(agent));
        let at = entry.at().or(last_at);
        if agent.is_none() {
            self.first_at = match (self.first_at, at) {
                (Some(first), Some(at)) => Some(first.min(at)),
                (first, at) => first.or(at),
            };
            self.last_at = at;
        }
        if let Some(agent) = &agent
            && !matches!(&*entry.kind, "progress" | "queue-operation")
        {
            self.agents.saw(agent, entry, at);
        }
        let place = Place { agent, at, key };
        match &*entry.kind {
            "user" => self.user(&place, entry),
            "assistant" => self.assistant(&place, entry),
            "system" => self.system(place, entry),
            "attachment" => self.attachment(&place, entry),
            "progress" => self.agents.progress(entry),
            "queue-operation" => self.queue(entry, at),
            _ => {}
        }
    }

    fn user(&mut self, place: &Place, entry: &Entry) {
        let said = said(entry);
        if said == Said::Results {
            return self.results(place, entry);
        }
        if let Some(agent) = &place.agent {
            match said {
                Said::Interrupted => self.agents.voice(agent).interrupted(place.at),
                Said::Summary(text) => self.summary(place, &text),
                _ => {}
            }
            return;
        }
        let key = entry.text("promptId").map_or_else(|| place.key.clone(), cut_key);
        match said {
            Said::Prompt(text) => {
                let order = self.next();
                self.turns.prompt(NewPrompt { key, at: place.at, text, order });
            }
            Said::Command(text) => {
                let order = self.next();
                self.turns.command(NewPrompt { key, at: place.at, text, order });
            }
            Said::Meta => self.turns.command_was_a_prompt(),
            Said::LocalOutput | Said::Other => self.turns.command_was_local(),
            Said::Interrupted => {
                self.turns.command_was_local();
                if let Some(voice) = self.turns.voice() {
                    voice.interrupted(place.at);
                }
            }
            Said::Notification(text) => self.agents.report(&text, place.at),
            Said::Summary(text) => self.summary(place, &text),
            Said::Results => {}
        }
    }

    /// The summary belongs to the boundary before it; without one it is a compaction by itself, unless a sub-agent may
    /// have it from its launcher.
    fn summary(&mut self, place: &Place, text: &str) {
        let summary = Some(cut_text(text, PROMPT_LIMIT));
        match self.compactions.iter_mut().rfind(|compaction| compaction.agent == place.agent) {
            Some(compaction) if compaction.summary.is_none() => compaction.summary = summary,
            _ if place.agent.is_some() => {}
            _ => {
                let order = self.next();
                self.compactions.push(Compaction {
                    key: place.key.clone(),
                    agent: None,
                    at: place.at,
                    trigger: None,
                    metadata: serde_json::Map::new(),
                    summary,
                    order,
                });
            }
        }
    }

    fn results(&mut self, place: &Place, entry: &Entry) {
        let blocks = entry.blocks();
        let results: Vec<&Value> = blocks
            .iter()
            .filter(|block| block.get("type").and_then(Value::as_str) == Some("tool_result"))
            .collect();
        // The client keeps its own record of a result beside the message, which is only clear when there is one.
        let record = entry.get("toolUseResult").filter(|_| results.len() == 1);
        for block in results {
            let id = word(block, "tool_use_id");
            let Some(index) = id.and_then(|id| self.tool_by_id.get(&id).copied()) else {
                self.stats.orphan_results += 1;
                continue;
            };
            let order = self.next();
            let Some(tool) = self.tools.get_mut(index) else { continue };
            if tool.answer.is_some() {
                continue;
            }
            tool.answered(block, record, place.at);
            let failed = tool.answer.as_ref().is_some_and(|answer| answer.failed);
            if matches!(&*tool.name, "Task" | "Agent") {
                self.agents.launch_answered(&tool.id, block, record, failed, place.at);
            }
            if let Some(change) = tool.task_change(block, record) {
                self.tasks.push((place.at, order, change));
            }
            match &tool.agent {
                Some(agent) => self.agents.voice(agent).answered(place.at, &tool.id),
                None => {
                    if let Some(voice) = self.turns.voice() {
                        voice.answered(place.at, &tool.id);
                    }
                }
            }
        }
    }

    fn assistant(&mut self, place: &Place, entry: &Entry) {
        let failed = entry.flag("isApiErrorMessage");
        // The client answers for the model where the model was not asked.
        if text_of(entry.message("model")) == Some("<synthetic>") && !failed {
            return;
        }
        if place.agent.is_none() {
            self.turns.command_was_a_prompt();
        }
        let stop_reason = text_of(entry.message("stop_reason"));
        for (index, block) in entry.blocks().iter().enumerate() {
            match block.get("type").and_then(Value::as_str) {
                Some("text") => {
                    let text = block.get("text").and_then(Value::as_str).unwrap_or("");
                    let voice = match &place.agent {
                        Some(agent) => Some(self.agents.voice(agent)),
                        None => self.turns.voice(),
                    };
                    if let Some(voice) = voice {
                        voice.said(place.at, text, stop_reason, failed);
                    }
                }
                Some("tool_use") => self.tool_call(place, block, index),
                _ => {}
            }
        }
    }

    fn tool_call(&mut self, place: &Place, block: &Value, index: usize) {
        let id = word(block, "id").unwrap_or_else(|| cut_key(&format!("{index}-in-{}", place.key)));
        if self.tool_by_id.contains_key(&id) {
            return;
        }
        let name = word(block, "name").unwrap_or_else(|| "unknown".to_owned());
        let input = block.get("input").unwrap_or(&Value::Null);
        let turn = if place.agent.is_none() { self.turns.current() } else { None };
        if let Some(agent) = &place.agent {
            self.agents.used_tool(agent);
            self.agents.voice(agent).called(place.at, &id);
        } else if let Some(voice) = self.turns.voice() {
            voice.called(place.at, &id);
        }
        if matches!(&*name, "Task" | "Agent") {
            self.agents.launch(&id, input, place.at, place.agent.clone(), turn);
        }
        self.tool_by_id.insert(id.clone(), self.tools.len());
        let order = self.next();
        self.tools.push(Tool {
            files: tool_files(&name, input),
            task: task_call(&name, input),
            input: (!input.is_null()).then(|| cut_text(&input.to_string(), TEXT_LIMIT)),
            id,
            at: place.at,
            agent: place.agent.clone(),
            turn,
            name,
            answer: None,
            order,
        });
    }

    fn system(&mut self, place: Place, entry: &Entry) {
        match entry.text("subtype") {
            Some("compact_boundary") => {
                let details = entry.get("compactMetadata").unwrap_or(&Value::Null);
                let numbers = [
                    ("preTokens", "pre_tokens"),
                    ("postTokens", "post_tokens"),
                    ("durationMs", "duration_ms"),
                ];
                let metadata = numbers
                    .into_iter()
                    .filter_map(|(theirs, ours)| {
                        details
                            .get(theirs)
                            .filter(|value| value.is_number())
                            .map(|value| (ours.to_owned(), value.clone()))
                    })
                    .collect();
                let order = self.next();
                self.compactions.push(Compaction {
                    key: place.key,
                    agent: place.agent,
                    at: place.at,
                    trigger: word(details, "trigger"),
                    metadata,
                    summary: None,
                    order,
                });
            }
            _ if place.agent.is_some() => {}
            Some("local_command") => self.turns.command_was_local(),
            // The client says that the turn is over.
            Some("turn_duration" | "stop_hook_summary") => {
                if let Some(voice) = self.turns.voice() {
                    voice.ended = true;
                }
            }
            _ => {}
        }
    }

    /// What the user types while the agent is at work waits in a queue. What is removed from it has joined the running
    /// turn; what is dequeued starts one, as a `user` entry. Notifications wait there too, and leave without a word.
    fn queue(&mut self, entry: &Entry, at: Option<Timestamp>) {
        let operation = entry.text("operation").unwrap_or("enqueue");
        let text = entry.text("content").unwrap_or("");
        // These entries have no id of their own.
        if !self.seen.insert(format!("{operation} {} {text}", entry.text("timestamp").unwrap_or(""))) {
            self.stats.duplicates += 1;
            return;
        }
        match operation {
            "enqueue" => {
                if text.trim_start().starts_with("<task-notification>") {
                    self.agents.report(text, at);
                } else if is_typed(text) {
                    self.queued.push_back(text.to_owned());
                }
            }
            "remove" => {
                if let Some(text) = self.queued.pop_front() {
                    self.turns.added(&text);
                }
            }
            "dequeue" => drop(self.queued.pop_front()),
            // The user takes all back into the prompt.
            _ => self.queued.clear(),
        }
    }

    /// A message that joins a running turn is an attachment, not a `user` entry.
    fn attachment(&mut self, place: &Place, entry: &Entry) {
        let Some(attachment) = entry.get("attachment") else { return };
        if attachment.get("type").and_then(Value::as_str) != Some("queued_command") {
            return;
        }
        let Some(text) = joined_text(attachment.get("prompt")) else { return };
        if text.trim_start().starts_with("<task-notification>") {
            self.agents.report(&text, place.at);
        } else if place.agent.is_none() && is_typed(&text) {
            self.turns.added(&text);
        }
    }

    fn next(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}

/// Whether a text is words of the user, not something that the client wraps.
fn is_typed(text: &str) -> bool {
    !text.trim_start().starts_with('<') && !text.trim().is_empty()
}

#[cfg(test)]
mod tests;
