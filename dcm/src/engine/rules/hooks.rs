//! One event of a hook: what it says is ingested, what its agent was told before is seen or told again, and what waits
//! for the agent is told now; all in one commit.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ingest::Observe;
use super::messages::{announce_message, mark_read};
use super::receipts::{put_receipt, receipt_of, see};
use crate::api::ingest::Observation;
use crate::context::estimate_tokens;
use crate::error::Result;
use crate::hooks::{MAX_CONTEXT, Noticed, Speaks, cut_to_width, width};
use crate::id::{MessageId, ProjectId, SubtaskId};
use crate::json::JsonObject;
use crate::model::{Carried, HookState, Message, Receipt, SubtaskStatus, Topic};
use crate::storage::{Command, Footprint, State};
use crate::time::Timestamp;

/// The room for messages beside a brief, in UTF-16 units.
const BESIDE_BRIEF: usize = 4_000;
/// The most of one message that is told at once, in UTF-16 units; the inbox has the rest.
const MESSAGE_LIMIT: usize = 3_000;
/// The member of a message's content that says that DCM wrote it for the agent.
const REPORT: &str = "final_report";

/// Takes one event.
#[derive(Debug, Clone)]
pub(crate) struct TakeHook {
    pub(crate) observe: Observe,
    pub(crate) noticed: Noticed,
    /// Whether the agent begins anew with this event, so that what it was told before may be lost.
    pub(crate) begins: bool,
    /// Whether somebody waits for the answer.
    pub(crate) live: bool,
    pub(crate) message_ttl_ms: i64,
}

/// What an event comes to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HookTaken {
    pub(crate) abandoned: Vec<SubtaskId>,
    /// Messages, as text.
    pub(crate) text: Option<String>,
    /// The brief that is to be given.
    pub(crate) brief: Option<BriefWanted>,
}

/// Whom to brief.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BriefWanted {
    pub(crate) agent_type: Option<String>,
    /// Who launched it, for a sub-agent.
    pub(crate) parent: Option<String>,
}

impl Command for TakeHook {
    type Outcome = HookTaken;

    fn footprint(&self, footprint: &mut Footprint) {
        Command::footprint(&self.observe, footprint);
        footprint.mail.insert(self.noticed.agent_id.clone());
        footprint.mail_kinds.extend(self.noticed.agent_type.clone());
        footprint.senders.extend(self.noticed.stopped.clone());
        if let Some(agent) = &self.noticed.stopped_in {
            self.under(agent).footprint(footprint);
        }
    }

    fn decide(&self, state: &mut State) -> Result<HookTaken> {
        match self.true_name(state) {
            Some(agent) => self.under(&agent).take(state),
            None => self.take(state),
        }
    }
}

impl TakeHook {
    /// The agent that really ended, where the event names one that nobody was ever heard of under.
    fn true_name(&self, state: &State) -> Option<String> {
        let (named, of_transcript) = (self.noticed.stopped.as_ref()?, self.noticed.stopped_in.as_ref()?);
        let is_known = |agent: &str| {
            state.subtask_keyed(&self.observe.0.session_id, &format!("agent:{agent}")).is_some()
        };
        (is_known(of_transcript) || !is_known(named)).then(|| of_transcript.clone())
    }

    /// The same event as one of `agent`.
    fn under(&self, agent: &str) -> Self {
        let mut event = self.clone();
        agent.clone_into(&mut event.noticed.agent_id);
        event.noticed.stopped = Some(agent.to_owned());
        event.noticed.stopped_in = None;
        for observation in &mut event.observe.0.observations {
            if let Observation::AgentStopped { agent_id, .. } = observation {
                agent.clone_into(agent_id);
            }
        }
        event
    }

    fn take(&self, state: &mut State) -> Result<HookTaken> {
        let observed = Command::decide(&self.observe, state)?;
        let mut taken = HookTaken { abandoned: observed.abandoned, text: None, brief: None };
        let session = &self.observe.0.session_id;
        let before = state.hooks.get(session).cloned().unwrap_or_default();
        let mut hooks = before.clone();
        self.look_back(state, &mut hooks);
        if let Some(agent) = &self.noticed.stopped {
            self.report(state, agent);
            hooks.briefs.remove(agent);
            hooks.carried.remove(agent);
        }
        if let Some(agent) = &self.noticed.returned {
            self.returned(state, agent);
        }
        if self.noticed.speaks != Speaks::Nothing {
            taken.brief = self.brief(state, &hooks);
            let room = if taken.brief.is_some() { BESIDE_BRIEF } else { MAX_CONTEXT };
            taken.text = self.tell(state, &mut hooks, room);
        }
        if hooks != before {
            state.hooks.put(session.clone(), hooks);
        }
        Ok(taken)
    }

    fn agent(&self) -> &str {
        &self.noticed.agent_id
    }

    fn is_main(&self) -> bool {
        self.noticed.agent_id == self.observe.0.session_id
    }

    /// What the agent was told before this event: it was seen, when the agent went on, or it was lost. An event that is
    /// told later had no answer that arrived, so what was in it was lost, and nothing else; an agent that begins anew
    /// may have lost all that it has not shown to have seen.
    fn look_back(&self, state: &mut State, hooks: &mut HookState) {
        let fingerprint = &self.noticed.fingerprint;
        let carried = hooks.carried.get(self.agent()).filter(|carried| carried.event == *fingerprint);
        let carried = carried.map(|carried| carried.messages.clone()).unwrap_or_default();
        let lost = |id: &MessageId| if self.live { self.begins } else { carried.contains(id) };
        // What was told after an event that comes late is not seen by it.
        let went_on = |told: Timestamp| self.noticed.at_work && (self.live || told < self.noticed.at);
        let of_agent = |receipt: &&Receipt| receipt.agent_id == self.agent() && receipt.seen_at.is_none();
        let told: Vec<(MessageId, Timestamp)> = state
            .receipts
            .iter()
            .filter(of_agent)
            .filter_map(|receipt| Some((receipt.message_id, receipt.injected_at?)))
            .collect();
        for (id, at) in told {
            if lost(&id) {
                let receipt = receipt_of(state, id, self.agent());
                put_receipt(state, Receipt { injected_at: None, ..receipt });
            } else if went_on(at) {
                see(state, id, self.agent(), self.noticed.at);
            }
        }
        self.look_back_at_brief(hooks);
    }

    fn look_back_at_brief(&self, hooks: &mut HookState) {
        // The first brief of a session is due from its begin on, also when nobody could be told then.
        if !self.live && self.begins {
            let brief = hooks.briefs.entry(self.agent().to_owned()).or_default();
            brief.due |= brief.given_at.is_none_or(|given| given < self.noticed.at);
        }
        let Some(brief) = hooks.briefs.get_mut(self.agent()) else { return };
        let Some(given) = brief.given_at else { return };
        if !self.live && brief.event.as_ref() == Some(&self.noticed.fingerprint) {
            // Others may have gone on meanwhile, but none of them with it.
            brief.due = true;
        } else if self.noticed.at_work && (self.live || given < self.noticed.at) {
            brief.seen = true;
        }
    }

    /// Posts a sub-agent's result to whoever launched it, if the agent wrote to nobody.
    fn report(&self, state: &mut State, agent: &str) {
        let result = self.observe.0.observations.iter().find_map(|observation| match observation {
            Observation::AgentStopped { agent_id, result, .. } if agent_id == agent => result.as_deref(),
            _ => None,
        });
        let known = state.subtask_keyed(&self.observe.0.session_id, &format!("agent:{agent}"));
        let (Some(result), Some(subtask)) = (result, known) else { return };
        let expires_at = self.noticed.at.plus_millis(self.message_ttl_ms);
        if state.known_senders.contains(agent) || expires_at <= state.now {
            return;
        }
        let failed = subtask.status == SubtaskStatus::Failed;
        let parent = subtask.context_snapshot.as_ref().and_then(|snapshot| snapshot.get("parent_agent_id"));
        let parent = parent.and_then(|parent| parent.as_str().map(str::to_owned));
        let content = json!({
            REPORT: true,
            "message": result,
            "agent_type": subtask.agent_type,
            "description": subtask.description,
            "subtask_id": subtask.id,
        });
        let topic = if failed { Topic::TaskFailed } else { Topic::TaskCompleted };
        let message = Message {
            id: state.ids.next(),
            project_id: self.project(state),
            from_agent: Some(agent.to_owned()),
            to_agent: Some(parent.unwrap_or_else(|| self.observe.0.session_id.clone())),
            topic: Some(topic.as_str().to_owned()),
            content: JsonObject::from_value(content),
            priority: 0,
            created_at: state.now,
            expires_at: Some(expires_at),
        };
        announce_message(state, &message);
        state.post_message(message);
    }

    /// The client itself handed a sub-agent's result to this agent, so the report need not be told.
    fn returned(&self, state: &mut State, from: &str) {
        let reports: Vec<MessageId> = state
            .mail
            .iter()
            .filter_map(|id| state.messages.get(id))
            .filter(|message| {
                message.from_agent.as_deref() == Some(from)
                    && message.to_agent.as_deref() == Some(self.agent())
                    && message.content.get(REPORT) == Some(json!(true))
            })
            .map(|message| message.id)
            .collect();
        let now = state.now;
        for id in reports {
            mark_read(state, id, self.agent(), now);
        }
    }

    fn project(&self, state: &State) -> Option<ProjectId> {
        state.sessions.get(&self.observe.0.session_id).and_then(|session| session.project_id)
    }

    /// Whether the agent is to be briefed now: it begins, its context was compacted, or nobody told of its begin.
    fn brief(&self, state: &State, hooks: &HookState) -> Option<BriefWanted> {
        let noticed = &self.noticed;
        let state_of_brief = hooks.briefs.get(self.agent());
        let unannounced = || !self.is_main() && noticed.agent_type.is_some() && state_of_brief.is_none();
        let wanted =
            noticed.speaks == Speaks::Brief || state_of_brief.is_some_and(|brief| brief.due) || unannounced();
        let subtask = state.subtask_keyed(&self.observe.0.session_id, &format!("agent:{}", self.agent()));
        let parent = || {
            let snapshot = subtask.and_then(|subtask| subtask.context_snapshot.as_ref());
            let parent = snapshot.and_then(|snapshot| snapshot.get("parent_agent_id"));
            let parent = parent.and_then(|parent| parent.as_str().map(str::to_owned));
            parent.unwrap_or_else(|| self.observe.0.session_id.clone())
        };
        let agent_type = || {
            let known = || subtask.and_then(|subtask| subtask.agent_type.clone());
            noticed.agent_type.clone().or_else(known)
        };
        wanted.then(|| BriefWanted { agent_type: agent_type(), parent: (!self.is_main()).then(parent) })
    }

    /// The unread messages that fit, as text; each is noted as told.
    fn tell(&self, state: &mut State, hooks: &mut HookState, room: usize) -> Option<String> {
        let mail = self.mail(state);
        if mail.is_empty() {
            return None;
        }
        let footing = self.footing();
        let mut text = String::new();
        let mut left = room.saturating_sub(width(HEADING) + width(&footing));
        let mut told = Vec::new();
        for message in &mail {
            let line = line_of(message);
            let cost = width(&line);
            if cost > left {
                break;
            }
            left -= cost;
            text.push_str(&line);
            let receipt = receipt_of(state, message.id, self.agent());
            let injected_at = Some(state.now);
            put_receipt(
                state,
                Receipt { injected_at, times_injected: receipt.times_injected.saturating_add(1), ..receipt },
            );
            told.push(message.id);
        }
        let text = format!("{HEADING}{text}{footing}");
        hooks.injected.messages += i64::try_from(told.len()).unwrap_or(i64::MAX);
        hooks.injected.tokens += estimate_tokens(&text);
        let carried = Carried { event: self.noticed.fingerprint.clone(), messages: told };
        hooks.carried.insert(self.agent().to_owned(), carried);
        while hooks.carried.len() > MAX_AGENTS {
            // Identifiers of messages begin with their time.
            let latest = |carried: &Carried| carried.messages.iter().max().copied();
            let oldest = hooks.carried.iter().min_by_key(|(_, carried)| latest(carried));
            let oldest = oldest.map(|(agent, _)| agent.clone());
            hooks.carried.remove(&oldest.unwrap_or_default());
        }
        Some(text)
    }

    /// How to go on. A shell knows the session, and so its main agent, but not which of its sub-agents uses it.
    fn footing(&self) -> String {
        if self.is_main() {
            return "`dcm inbox` shows them again, `dcm send TO TEXT` answers.".to_owned();
        }
        let agent = self.agent();
        format!("`dcm inbox {agent}` shows them again, `dcm send TO TEXT --from {agent}` answers.")
    }

    /// What waits for the agent, the most urgent first: its own mail, what is for its kind, what is for all in its
    /// project since the session began.
    fn mail(&self, state: &State) -> Vec<Message> {
        let project = self.project(state);
        let begun = state.sessions.get(&self.observe.0.session_id).map(|session| session.started_at);
        let for_it = |message: &&Message| {
            let shared = match message.to_agent.as_deref() {
                Some(to) if to == self.agent() => return true,
                Some(to) => Some(to) == self.noticed.agent_type.as_deref(),
                None => true,
            };
            shared
                && message.from_agent.as_deref() != Some(self.agent())
                && message.project_id.is_none_or(|id| Some(id) == project)
                && begun.is_some_and(|begun| message.created_at >= begun)
        };
        let waits = |message: &&Message| {
            let key = (message.id, self.agent().to_owned());
            let receipt = state.receipts.get(&key);
            state.message_reads.get(&key).is_none()
                && receipt.is_none_or(|receipt| receipt.injected_at.is_none() && receipt.seen_at.is_none())
                && message.topic.as_deref() != Some("context.generated")
        };
        let messages = state.mail.iter().filter_map(|id| state.messages.get(id));
        let mut mail: Vec<Message> = messages.filter(for_it).filter(waits).cloned().collect();
        mail.sort_by_key(|message| (-message.priority, message.created_at, message.id));
        mail
    }
}

const HEADING: &str = "Messages from other agents (delivered by DCM):\n";

/// A message on one line or more.
fn line_of(message: &Message) -> String {
    let content = message.content.to_map();
    let mut said = match (content.get("message"), content.len()) {
        (Some(serde_json::Value::String(text)), 1) => text.clone(),
        (Some(serde_json::Value::String(text)), _) if content.get(REPORT) == Some(&json!(true)) => {
            let about = content.get("description").and_then(|about| about.as_str());
            about.map_or_else(|| text.clone(), |about| format!("final report of \"{about}\": {text}"))
        }
        _ => message.content.as_str().to_owned(),
    };
    let kept = cut_to_width(&said, MESSAGE_LIMIT);
    if kept.len() < said.len() {
        let more = said[kept.len()..].chars().count();
        said = format!("{kept} […{more} more characters in the inbox]");
    }
    let urgent =
        if message.priority > 0 { format!(", priority {}", message.priority) } else { String::new() };
    let to = match &message.to_agent {
        None => " to all",
        Some(_) => "",
    };
    format!(
        "- [{}] {}{to}, {}{urgent}: {said}\n",
        message.id,
        message.from_agent.as_deref().unwrap_or("unknown"),
        message.topic.as_deref().unwrap_or("no topic"),
    )
}

/// Notes that an agent was briefed.
#[derive(Debug)]
pub(crate) struct NoteBrief {
    pub(crate) session_id: String,
    pub(crate) agent_id: String,
    /// The event in whose answer the brief is, by its fingerprint.
    pub(crate) event: String,
    pub(crate) tokens: i64,
}

/// The most agents of a session of which it is remembered what they were told; those that were told first fall out.
pub(super) const MAX_AGENTS: usize = 256;

impl Command for NoteBrief {
    type Outcome = ();

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sessions.insert(self.session_id.clone());
        footprint.hook_states.insert(self.session_id.clone());
    }

    fn decide(&self, state: &mut State) -> Result<()> {
        if state.sessions.get(&self.session_id).is_none() {
            return Ok(());
        }
        let now = state.now;
        let mut hooks = state.hooks.get(&self.session_id).cloned().unwrap_or_default();
        let brief = hooks.briefs.entry(self.agent_id.clone()).or_default();
        (brief.due, brief.given_at, brief.seen, brief.tokens) = (false, Some(now), false, self.tokens);
        brief.event = Some(self.event.clone());
        hooks.injected.briefs += 1;
        hooks.injected.tokens += self.tokens;
        while hooks.briefs.len() > MAX_AGENTS {
            let oldest =
                hooks.briefs.iter().min_by_key(|(_, brief)| brief.given_at).map(|(id, _)| id.clone());
            hooks.briefs.remove(&oldest.unwrap_or_default());
        }
        state.hooks.put(self.session_id.clone(), hooks);
        Ok(())
    }
}
