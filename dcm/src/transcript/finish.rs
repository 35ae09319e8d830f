//! From what was gathered to observations in order of time.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::agents::Agent;
use super::tools::{TaskChange, Tool};
use super::turns::Turn;
use super::{Compaction, Parsed, Parser};
use crate::api::ingest::Observation;
use crate::json::JsonObject;
use crate::time::Timestamp;

/// What comes first when two things happened in the same instant: a thing before what happens within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Session,
    Prompt,
    AgentStart,
    Within,
    AgentEnd,
    TurnEnd,
}

type Ordered = (Timestamp, Phase, u64, Observation);

impl Parser {
    /// Everything that the lines said, in order of time.
    #[must_use]
    pub fn finish(mut self) -> Parsed {
        // Where no entry has a time, everything happened at the same unknown moment.
        let origin = self.first_at.unwrap_or_else(|| Timestamp::from_micros(0));
        let turns = self.turns;
        let agents: Vec<Agent> = self.agents.finish(&turns, origin);
        let turn_of_agent: BTreeMap<&str, Option<usize>> =
            agents.iter().map(|agent| (&*agent.id, agent.turn)).collect();

        let mut ordered: Vec<Ordered> = Vec::new();
        for tool in self.tools {
            let turn = match &tool.agent {
                None => tool.turn,
                Some(agent) => match turn_of_agent.get(&**agent) {
                    Some(turn) => *turn,
                    // A run of the client itself.
                    None => continue,
                },
            };
            let turn = turn.map(|turn| &turns.list[turn]);
            self.stats.actions += 1;
            self.stats.actions_in_agents += u64::from(tool.agent.is_some());
            self.stats.unanswered += u64::from(tool.answer.is_none());
            self.stats.failed += u64::from(tool.answer.as_ref().is_some_and(|answer| answer.failed));
            ordered.push(tool_used(tool, turn, origin));
        }
        for (at, order, change) in self.tasks {
            self.stats.tasks += u64::from(matches!(change, TaskChange::Created { .. }));
            ordered.push(task_changed(at.unwrap_or(origin), order, change));
        }
        self.stats.requests = turns.list.len() as u64;
        for turn in turns.list {
            ordered.extend(turn_observations(turn, origin));
        }
        self.stats.agents = agents.len() as u64;
        for agent in agents {
            ordered.push((agent.started.at(), Phase::AgentStart, 0, agent.started));
            ordered.extend(agent.stopped.map(|stopped| (stopped.at(), Phase::AgentEnd, 0, stopped)));
        }
        self.stats.compactions = self.compactions.len() as u64;
        ordered.extend(self.compactions.into_iter().map(|compaction| compacted(compaction, origin)));
        if let Some(at) = self.first_at.or_else(|| ordered.iter().map(|(at, ..)| *at).min()) {
            ordered.push((at, Phase::Session, 0, Observation::SessionStarted { at, reason: None }));
        }
        // Stable, and no two of them differ only in the observation but agents, which come in the order of their ids.
        ordered.sort_by_key(|(at, phase, order, _)| (*at, *phase, *order));

        let named = self.hints.session_id.filter(|name| {
            self.sessions.contains_key(name)
                || (self.sessions.is_empty() && !ordered.is_empty() && !name.is_empty())
        });
        // The first of those that have the most entries.
        let most = self.sessions.values().max().copied();
        let session_id = named.or_else(|| {
            self.sessions.iter().find(|(_, entries)| Some(**entries) == most).map(|(id, _)| id.clone())
        });
        self.stats.foreign_entries = self
            .sessions
            .iter()
            .filter(|(id, _)| Some(*id) != session_id.as_ref())
            .map(|(_, entries)| entries)
            .sum();
        Parsed {
            session_id,
            project_path: self.project_path,
            observations: ordered.into_iter().map(|(.., observation)| observation).collect(),
            stats: self.stats,
        }
    }
}

fn tool_used(tool: Tool, turn: Option<&Turn>, origin: Timestamp) -> Ordered {
    // Entries may be written a few milliseconds out of order; a call never precedes its prompt.
    let at = tool.at.unwrap_or(origin).max(turn.and_then(|turn| turn.at).unwrap_or(origin));
    // An empty output says that there was an answer.
    let (failed, output, duration_ms) = tool.answer.map_or((false, None, None), |answer| {
        (answer.failed, Some(answer.output.unwrap_or_default()), answer.duration_ms)
    });
    let observation = Observation::ToolUsed {
        tool_use_id: tool.id,
        at,
        agent_id: tool.agent,
        prompt_key: turn.map(|turn| turn.key.clone()),
        tool_name: tool.name,
        tool_type: None,
        input: tool.input,
        output,
        exit_code: i32::from(failed),
        duration_ms,
        file_paths: tool.files,
        metadata: None,
    };
    (at, Phase::Within, tool.order, observation)
}

fn task_changed(at: Timestamp, order: u64, change: TaskChange) -> Ordered {
    let observation = match change {
        TaskChange::Created { task_id, subject, agent } => {
            Observation::TaskCreated { task_id, at, subject, prompt_key: None, agent_id: agent }
        }
        TaskChange::Completed { task_id } => Observation::TaskCompleted { task_id, at, prompt_key: None },
    };
    (at, Phase::Within, order, observation)
}

fn turn_observations(turn: Turn, origin: Timestamp) -> impl Iterator<Item = Ordered> {
    let at = turn.at.unwrap_or(origin);
    let ended_at = turn.voice.last_at.unwrap_or(at).max(at);
    let added = Value::Array(turn.added.into_iter().map(Value::String).collect());
    let metadata = (added != Value::Array(Vec::new()))
        .then(|| JsonObject::from_map(&Map::from_iter([("added".to_owned(), added)])));
    let end = turn.voice.ended.then(|| Observation::TurnEnded {
        prompt_key: Some(turn.key.clone()),
        at: ended_at,
        result: turn.voice.words,
        failed: turn.voice.failed,
    });
    let prompt = Observation::Prompt { key: turn.key, at, text: turn.text, prompt_type: None, metadata };
    [
        Some((at, Phase::Prompt, turn.order, prompt)),
        end.map(|end| (ended_at, Phase::TurnEnd, turn.order, end)),
    ]
    .into_iter()
    .flatten()
}

fn compacted(compaction: Compaction, origin: Timestamp) -> Ordered {
    let at = compaction.at.unwrap_or(origin);
    let observation = Observation::Compacted {
        key: compaction.key,
        at,
        agent_id: compaction.agent,
        trigger: compaction.trigger,
        summary: compaction.summary,
        metadata: (!compaction.metadata.is_empty()).then(|| JsonObject::from_map(&compaction.metadata)),
    };
    (at, Phase::Within, compaction.order, observation)
}
