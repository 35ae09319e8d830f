use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
        footprint.newest_snapshots.insert(self.session_id.clone());
    }

    fn decide(&self, state: &mut State) -> Result<CompactionMarked> {
        let at = state.now;
        note_work(state, &self.session_id);
        let known = mark_requests(state, &self.session_id, at, self.summary.as_deref(), Some(&self.agent_id));
        // What was saved belongs to a context that is over now, whether the session has requests or not.
        let saved = |one: &Compaction| one.session_id == self.session_id && one.snapshot.is_some();
        if known || state.compactions.iter().any(saved) {
            let id = state.ids.next();
            let compaction = Compaction {
                id,
                session_id: self.session_id.clone(),
                external_key: format!("restore:{id}"),
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
    /// The snapshot that is there already: the newest of the session, if no compaction came after it.
    fn known<'a>(&self, state: &'a State) -> Option<&'a Compaction> {
        let of_session =
            state.compactions.iter().filter(|one| self.by_hook && one.session_id == self.session_id);
        of_session.max_by_key(|one| (one.created_at, one.id)).filter(|newest| {
            newest.external_key.starts_with(SAVED_BY_HOOK)
                && state.now.millis_since(newest.created_at) <= ONE_COMPACTION_MS
        })
    }

    /// What was saved before, if no compaction came after it: it is about the same context.
    fn earlier(&self, state: &State) -> Option<JsonObject> {
        let of_session = || state.compactions.iter().filter(|one| one.session_id == self.session_id);
        let saved =
            of_session().filter(|one| one.snapshot.is_some()).max_by_key(|one| (one.created_at, one.id))?;
        let compacted = of_session().filter(|one| !one.external_key.starts_with(SAVED));
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
        footprint.newest_snapshots.insert(self.session_id.clone());
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
