use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ingest::agent_key;
use super::sessions::{emit_session, note_work};
use crate::api::compact::{CompactSaved, SavedSnapshot};
use crate::context::is_of_the_store;
use crate::error::Result;
use crate::json::JsonObject;
use crate::model::{Compaction, Request};
use crate::storage::{Command, Footprint, State};
use crate::time::Timestamp;

/// Notes in every request of a session that its context was compacted (CONTRACT E.5).
#[derive(Debug)]
pub(crate) struct MarkCompacted {
    pub(crate) session_id: String,
    pub(crate) agent_id: String,
    pub(crate) summary: Option<String>,
}

/// Whether there was anything to mark.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CompactionMarked {
    pub(crate) known: bool,
    pub(crate) at: Timestamp,
}

/// How the keys of compactions begin after which somebody asked for a brief.
const RESTORED: &str = "restore:";
/// The same where nothing had been saved for that agent itself: what it got was saved for the session, whose main agent
/// goes by any name.
const RESTORED_FROM_SESSION: &str = "restore:session:";

fn note_snapshots(footprint: &mut Footprint, session: &str, agent: Option<&String>) {
    for agent in [Some(String::new()), agent.cloned()].into_iter().flatten() {
        footprint.newest_snapshots.insert((session.to_owned(), agent));
    }
}

/// Writes the marks that `GET /api/compact/status` reads.
pub(super) fn mark_requests(
    state: &mut State,
    session: &str,
    at: Timestamp,
    summary: Option<&str>,
    agent: Option<&str>,
) -> bool {
    let marks = JsonObject::from_value(
        json!({"compacted_at": at, "compact_summary": summary, "compact_agent": agent}),
    );
    // Only what was there was compacted; and what a later compaction said of it stands.
    let marked_later = |request: &Request| {
        let mark = request.metadata.get("compacted_at");
        mark.as_ref().and_then(|mark| Timestamp::parse(mark.as_str()?)).is_some_and(|mark| mark > at)
    };
    let mut requests = state.requests_of(session);
    let known = !requests.is_empty();
    requests.retain(|id| {
        let request = state.requests.get(id);
        request.is_some_and(|request| request.created_at <= at && !marked_later(request))
    });
    for id in &requests {
        if let Some(mut request) = state.requests.get(id).cloned() {
            request.metadata = request.metadata.merged_with(&marks);
            state.put_request(request);
        }
    }
    known
}

impl Command for MarkCompacted {
    type Outcome = CompactionMarked;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sessions.insert(self.session_id.clone());
        footprint.session_requests.insert(self.session_id.clone());
        note_snapshots(
            footprint,
            &self.session_id,
            Compaction::kept_for(&self.session_id, Some(&self.agent_id)).as_ref(),
        );
        footprint.subtask_keys.insert((self.session_id.clone(), agent_key(&self.agent_id)));
    }

    fn decide(&self, state: &mut State) -> Result<CompactionMarked> {
        let at = state.now;
        note_work(state, &self.session_id);
        let known = mark_requests(state, &self.session_id, at, self.summary.as_deref(), Some(&self.agent_id));
        // What was saved belongs to a context that is over now, whether the session has requests or not.
        let agent_id = Compaction::kept_for(&self.session_id, Some(&self.agent_id));
        let saved_by = |agent: Option<&String>| {
            let of_session = state.compactions.iter().filter(|one| one.session_id == self.session_id);
            of_session.filter(|one| one.snapshot.is_some()).any(|one| one.agent_id.as_ref() == agent)
        };
        let (own, of_session) = (saved_by(agent_id.as_ref()), saved_by(None));
        if known || own || of_session {
            let id = state.ids.next();
            // Who is known as a sub-agent is not the main agent by another name.
            let is_known = state.subtask_keyed(&self.session_id, &agent_key(&self.agent_id)).is_some();
            let kind = if own || is_known { RESTORED } else { RESTORED_FROM_SESSION };
            let compaction = Compaction {
                id,
                session_id: self.session_id.clone(),
                agent_id,
                external_key: format!("{kind}{id}"),
                trigger: Some("restore".to_owned()),
                summary: self.summary.clone(),
                snapshot: None,
                metadata: JsonObject::from_value(json!({"agent_id": self.agent_id})),
                created_at: at,
            };
            state.compactions.put(id, compaction);
            emit_session(state, "session.updated", &self.session_id);
        }
        Ok(CompactionMarked { known, at })
    }
}

/// Keeps what is known just before a compaction.
#[derive(Debug)]
pub(crate) struct SaveSnapshot {
    pub(crate) session_id: String,
    pub(crate) agent_id: Option<String>,
    pub(crate) trigger: Option<String>,
    pub(crate) summary: Option<String>,
    /// What the caller says; nothing (null) where it leaves that to the store.
    pub(crate) said: JsonObject,
    /// What is open, as the store knows it.
    pub(crate) open_work: Vec<Value>,
    /// What was changed, as the store knows it.
    pub(crate) changed_files: Vec<String>,
    /// Whether a hook announced the compaction: it may do so several times, for one snapshot.
    pub(crate) by_hook: bool,
}

/// Two snapshots by hooks that are not further apart are of one compaction, in milliseconds.
const ONE_COMPACTION_MS: i64 = 30_000;

impl SaveSnapshot {
    /// The snapshots and compactions of the agent's context.
    fn of_agent<'a>(&self, state: &'a State) -> impl Iterator<Item = &'a Compaction> {
        let agent = Compaction::kept_for(&self.session_id, self.agent_id.as_deref());
        let is_main = agent.is_none();
        let of_session = state.compactions.iter().filter(|one| one.session_id == self.session_id);
        of_session.filter(move |one| {
            one.agent_id == agent || is_main && one.external_key.starts_with(RESTORED_FROM_SESSION)
        })
    }

    /// The snapshot that is there already: the newest of the agent, if no compaction came after it.
    fn known<'a>(&self, state: &'a State) -> Option<&'a Compaction> {
        self.of_agent(state).filter(|_| self.by_hook).max_by_key(|one| (one.created_at, one.id)).filter(
            |newest| {
                newest.external_key.starts_with(SAVED_BY_HOOK)
                    && state.now.millis_since(newest.created_at) <= ONE_COMPACTION_MS
            },
        )
    }

    /// What was saved before, if no compaction came after it: it is about the same context.
    fn earlier(&self, state: &State) -> Option<JsonObject> {
        let saved = self
            .of_agent(state)
            .filter(|one| one.snapshot.is_some())
            .max_by_key(|one| (one.created_at, one.id))?;
        let compacted = self.of_agent(state).filter(|one| !one.external_key.starts_with(SAVED));
        let is_over = compacted.map(|one| one.created_at).max().is_some_and(|last| last >= saved.created_at);
        saved.snapshot.clone().filter(|_| !is_over)
    }

    /// What is kept: what the caller says now, else what was said before of the same context, with what the store knows.
    fn snapshot(&self, earlier: Option<&JsonObject>) -> JsonObject {
        let list = |name: &str| match earlier.and_then(|earlier| earlier.get(name)) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let mut kept = self.said.to_map();
        for (name, value) in &mut kept {
            if !value.is_null() {
                continue;
            }
            *value = match name.as_str() {
                "active_tasks" => {
                    let said = list(name).into_iter().filter(|task| !is_of_the_store(task));
                    said.chain(self.open_work.iter().cloned()).collect()
                }
                "modified_files" => {
                    let mut files: Vec<Value> = self.changed_files.iter().cloned().map(Value::from).collect();
                    files.extend(list(name).into_iter().filter(|file| {
                        file.as_str().is_none_or(|file| !self.changed_files.iter().any(|known| known == file))
                    }));
                    files.into()
                }
                "key_decisions" | "agent_states" => list(name).into(),
                _ => earlier.and_then(|earlier| earlier.get(name)).unwrap_or_default(),
            };
        }
        JsonObject::from_map(&kept)
    }
}

/// How the keys of snapshots begin.
const SAVED: &str = "save:";
/// How the keys of snapshots begin that a hook asked for.
const SAVED_BY_HOOK: &str = "save:hook:";

impl Command for SaveSnapshot {
    type Outcome = CompactSaved;

    fn footprint(&self, footprint: &mut Footprint) {
        footprint.sessions.insert(self.session_id.clone());
        let agent = Compaction::kept_for(&self.session_id, self.agent_id.as_deref());
        note_snapshots(footprint, &self.session_id, agent.as_ref());
    }

    fn decide(&self, state: &mut State) -> Result<CompactSaved> {
        if let Some(known) = self.known(state) {
            let snapshot = SavedSnapshot {
                id: known.id,
                session_id: known.session_id.clone(),
                trigger: known.trigger.clone(),
                saved_at: known.created_at,
            };
            return Ok(CompactSaved { success: true, snapshot });
        }
        let snapshot = self.snapshot(self.earlier(state).as_ref());
        note_work(state, &self.session_id);
        let id = state.ids.next();
        let kind = if self.by_hook { SAVED_BY_HOOK } else { SAVED };
        let saved = Compaction {
            id,
            session_id: self.session_id.clone(),
            agent_id: Compaction::kept_for(&self.session_id, self.agent_id.as_deref()),
            external_key: format!("{kind}{id}"),
            trigger: self.trigger.clone(),
            summary: self.summary.clone(),
            snapshot: Some(snapshot),
            metadata: JsonObject::from_value(json!({"agent_id": self.agent_id})),
            created_at: state.now,
        };
        state.compactions.put(id, saved);
        emit_session(state, "session.updated", &self.session_id);
        let snapshot = SavedSnapshot {
            id,
            session_id: self.session_id.clone(),
            trigger: self.trigger.clone(),
            saved_at: state.now,
        };
        Ok(CompactSaved { success: true, snapshot })
    }
}
