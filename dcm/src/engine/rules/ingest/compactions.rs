//! Compactions, which hooks report without an id and transcripts with one.

use serde_json::json;

use super::{Kind, Novelty, Observer, near};
use crate::api::ingest::Observation;
use crate::engine::rules::compact::mark_requests;
use crate::engine::rules::hooks::MAX_AGENTS;
use crate::engine::rules::sessions::emit_session;
use crate::hooks::UNSURE;
use crate::json::JsonObject;
use crate::model::{Compacting, Compaction};
use crate::observe::{flat, frames_a_summary};
use crate::time::Timestamp;

/// The member of a compaction's metadata that holds the key under which a hook reported it.
const HOOK_KEY: &str = "hook_key";

fn is_unsure(compaction: &Compaction) -> bool {
    compaction.external_key.starts_with(UNSURE)
}

/// What was saved before a compaction, or asked for after one, is not the compaction.
fn is_beside(compaction: &Compaction) -> bool {
    ["save:", "restore:"].iter().any(|kind| compaction.external_key.starts_with(kind))
}

/// A shorter summary may be within another by chance.
const TELLING: usize = 200;

/// A summary without what its client puts around it for the model.
fn own_summary(summary: Option<&str>) -> String {
    let lines = summary.unwrap_or_default().lines().map(flat);
    lines.filter(|line| !line.is_empty() && !frames_a_summary(line)).collect::<Vec<_>>().join(" ")
}

/// Whether two reports have the same summary. A transcript wraps what a hook hands over, and may tell more.
fn same_summary(one: Option<&str>, other: Option<&str>) -> bool {
    let (one, other) = (own_summary(one), own_summary(other));
    let shorter = one.len().min(other.len());
    shorter > 0 && (one == other || shorter >= TELLING && (one.contains(&other) || other.contains(&one)))
}

/// What is said of a compaction.
struct Reported<'a> {
    key: &'a str,
    at: Timestamp,
    /// None for the main agent.
    agent_id: Option<String>,
    trigger: Option<&'a str>,
    summary: Option<&'a str>,
}

impl Observer<'_> {
    /// The context is about to be lost: whatever happens, its agent is to be briefed afterwards.
    pub(super) fn compaction_started(&mut self, observation: &Observation) -> Novelty {
        let Observation::CompactionStarted { at, agent_id, trigger, instructions } = observation else {
            return Novelty::Known;
        };
        let agent_id = Compaction::kept_for(self.session, agent_id.as_deref());
        let mut hooks = self.hooks();
        hooks.briefs.entry(agent_id.clone().unwrap_or_else(|| self.session.to_owned())).or_default().due =
            true;
        let compacting = Compacting { at: *at, trigger: trigger.clone(), instructions: instructions.clone() };
        match agent_id {
            None => hooks.compacting = Some(compacting),
            Some(agent) => {
                hooks.compacting_agents.insert(agent, compacting);
                // One that nobody reports is not waited for while there are many others.
                while hooks.compacting_agents.len() > MAX_AGENTS {
                    let oldest = hooks.compacting_agents.iter().min_by_key(|(_, one)| one.at);
                    let oldest = oldest.map(|(agent, _)| agent.clone()).unwrap_or_default();
                    hooks.compacting_agents.remove(&oldest);
                }
            }
        }
        self.keep_hooks(hooks);
        Novelty::Updated(Kind::Session)
    }

    /// The compaction that is reported as `key`: by that key, by the key that a hook had for it, or, where only one of
    /// two observers had an id, by its trigger and its summary or time.
    fn known_compaction(&self, reported: &Reported<'_>) -> Option<Compaction> {
        let &Reported { key, at, ref agent_id, trigger, summary, .. } = reported;
        let unsure = key.starts_with(UNSURE);
        let of_session = || {
            let of_session = self.state.compactions.iter().filter(|one| one.session_id == self.session);
            of_session.filter(|one| one.agent_id == *agent_id)
        };
        let hook_key = |one: &Compaction| one.metadata.get(HOOK_KEY);
        // A key is one compaction's, whoever's context that was said to be before.
        let mut all = self.state.compactions.iter().filter(|one| one.session_id == self.session);
        let exact = all.find(|one| one.external_key == key);
        let alias = || of_session().find(|one| unsure && hook_key(one) == Some(json!(key)));
        let candidates = || {
            of_session().filter(|one| {
                let other_kind = if unsure {
                    !is_unsure(one) && hook_key(one).is_none() && !is_beside(one)
                } else {
                    is_unsure(one)
                };
                let same_trigger =
                    one.trigger.is_none() || trigger.is_none() || one.trigger.as_deref() == trigger;
                // Two that say something else are two, however soon one came after the other.
                let other_words = one.summary.is_some()
                    && summary.is_some()
                    && !same_summary(one.summary.as_deref(), summary);
                other_kind && same_trigger && !other_words
            })
        };
        let distance = |one: &&Compaction| (one.created_at.millis_since(at).abs(), one.id);
        let by_words =
            || candidates().filter(|one| same_summary(one.summary.as_deref(), summary)).min_by_key(distance);
        let by_time = || candidates().filter(|one| near(one.created_at, at)).min_by_key(distance);
        exact.or_else(alias).or_else(by_words).or_else(by_time).cloned()
    }

    pub(super) fn compacted(&mut self, observation: &Observation) -> Novelty {
        let Observation::Compacted { key, at, agent_id, trigger, summary, metadata } = observation else {
            return Novelty::Known;
        };
        let reported = Reported {
            key,
            at: *at,
            agent_id: Compaction::kept_for(self.session, agent_id.as_deref()),
            trigger: trigger.as_deref(),
            summary: summary.as_deref(),
        };
        let known = self.known_compaction(&reported);
        let extra = self.end_of_compacting(&reported, known.is_some());
        let given = metadata.clone().unwrap_or_default();
        let Reported { key, at, agent_id, trigger, summary } = reported;
        let unsure = key.starts_with(UNSURE);
        let agent = agent_id.clone().unwrap_or_else(|| self.session.to_owned());
        let compaction = match &known {
            None => Compaction {
                id: self.state.ids.next(),
                session_id: self.session.to_owned(),
                agent_id: agent_id.clone(),
                external_key: key.to_owned(),
                trigger: trigger.map(str::to_owned),
                summary: summary.map(str::to_owned),
                snapshot: None,
                metadata: JsonObject::from_value(json!({"agent_id": agent}))
                    .merged_with(&extra)
                    .merged_with(&given),
                created_at: at,
            },
            // What a hook says only completes what a transcript said.
            Some(known) if unsure && !is_unsure(known) => Compaction {
                trigger: known.trigger.clone().or_else(|| trigger.map(str::to_owned)),
                summary: known.summary.clone().or_else(|| summary.map(str::to_owned)),
                metadata: extra
                    .merged_with(&known.metadata)
                    .merged_with(&JsonObject::from_value(json!({HOOK_KEY: key}))),
                ..known.clone()
            },
            Some(known) => {
                let taken_over = !unsure && is_unsure(known);
                let alias = if taken_over { json!({HOOK_KEY: known.external_key}) } else { json!({}) };
                Compaction {
                    external_key: key.to_owned(),
                    trigger: trigger.map(str::to_owned).or_else(|| known.trigger.clone()),
                    summary: summary.map(str::to_owned).or_else(|| known.summary.clone()),
                    metadata: known
                        .metadata
                        .merged_with(&extra)
                        .merged_with(&JsonObject::from_value(alias))
                        .merged_with(&given),
                    created_at: if taken_over { at } else { known.created_at },
                    ..known.clone()
                }
            }
        };
        if known.as_ref() == Some(&compaction) {
            return Novelty::Known;
        }
        // The prompts were in the main agent's context.
        if agent_id.is_none() {
            mark_requests(
                self.state,
                self.session,
                compaction.created_at,
                compaction.summary.as_deref(),
                Some(self.session),
            );
        }
        self.state.compactions.put(compaction.id, compaction);
        emit_session(self.state, "session.updated", self.session);
        if known.is_some() {
            return Novelty::Updated(Kind::Compaction);
        }
        self.created.compactions += 1;
        Novelty::Created
    }

    /// A compaction that a hook announced has come to its end. Answers what was known of it, and sees to it that its
    /// agent is briefed unless it has been since.
    fn end_of_compacting(&mut self, reported: &Reported<'_>, known: bool) -> JsonObject {
        if !self.by_hook {
            return JsonObject::default();
        }
        let mut hooks = self.hooks();
        let compacting = match &reported.agent_id {
            None => hooks.compacting.take(),
            Some(agent) => hooks.compacting_agents.remove(agent),
        };
        if compacting.is_none() && known {
            return JsonObject::default();
        }
        let since =
            compacting.as_ref().map_or_else(|| reported.at.plus_millis(-super::SAME_TIME_MS), |one| one.at);
        let agent = reported.agent_id.clone().unwrap_or_else(|| self.session.to_owned());
        let brief = hooks.briefs.entry(agent).or_default();
        brief.due = brief.given_at.is_none_or(|given| given < since);
        self.keep_hooks(hooks);
        match compacting.and_then(|one| one.instructions) {
            Some(instructions) => JsonObject::from_value(json!({"custom_instructions": instructions})),
            None => JsonObject::default(),
        }
    }
}
