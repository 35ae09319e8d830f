//! Names that are known to be known, and those of which nobody was at work.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::time::Timestamp;

/// How long a name is taken for known after it was found, in milliseconds; meanwhile the last of it may be removed.
const TRUSTED_MS: i64 = 5_000;
/// The most names; beyond it all are found again.
const MOST: usize = 4096;

/// Agents that the store has been found to know, so that it need not be asked again for each message to one of them.
///
/// Removals do not matter here: other nodes remove rows as well, and a sender is told what was so a moment ago.
#[derive(Debug, Default)]
pub(super) struct HeardOf {
    found: Mutex<HashMap<String, Timestamp>>,
    /// Names that were no type of an agent at work when that was looked for last. A guess, for the store to confirm.
    idle: Mutex<HashSet<String>>,
}

impl HeardOf {
    /// Those of `names` that need not be looked for at `now`.
    pub(super) fn among(&self, names: &BTreeSet<String>, now: Timestamp) -> BTreeSet<String> {
        if names.is_empty() {
            return BTreeSet::new();
        }
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let is_trusted = |name: &&String| {
            let age = found.get(*name).map(|at| now.as_millis() - at.as_millis());
            age.is_some_and(|age| (0..TRUSTED_MS).contains(&age))
        };
        names.iter().filter(is_trusted).cloned().collect()
    }

    /// Whether it was looked for all of `names` and nobody was at work.
    pub(super) fn none_at_work(&self, names: &BTreeSet<String>) -> bool {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().all(|name| idle.contains(name))
    }

    /// Notes that agents at work were looked for by `names`, and found of the types `at_work`.
    pub(super) fn note_work<'a>(&self, names: &BTreeSet<String>, at_work: impl Iterator<Item = &'a String>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() + names.len() > MOST {
            idle.clear();
        }
        for name in names {
            if !idle.contains(name) {
                idle.insert(name.clone());
            }
        }
        for name in at_work {
            idle.remove(name);
        }
    }

    /// Notes what was found at `now`; not what is only trusted, or it would be trusted for ever.
    pub(super) fn note<'a>(&self, names: impl IntoIterator<Item = &'a String>, now: Timestamp) {
        let mut names = names.into_iter().peekable();
        if names.peek().is_none() {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if found.len() >= MOST {
                found.clear();
            }
            found.insert(name.clone(), now);
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api::{
        messages::MessageSend,
        sessions::{SessionCreate, SessionDelete},
    };
    use crate::{Dcm, EngineConfig, ManualClock};

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn a_name_is_trusted_for_a_while_after_it_was_found() {
        let heard_of = HeardOf::default();
        let begin = Timestamp::from_millis(1_000_000);
        let (both, none) = (names(["a", "b"]), BTreeSet::new());
        assert_eq!(heard_of.among(&both, begin), none);
        heard_of.note(&names(["a"]), begin);
        let end = begin.plus_millis(TRUSTED_MS);
        heard_of.note(&names(["b"]), end.plus_millis(-1));
        assert_eq!(heard_of.among(&both, end.plus_millis(-1)), both);
        assert_eq!(heard_of.among(&both, end), names(["b"]));
        assert_eq!(heard_of.among(&both, begin.plus_millis(-1)), none, "the clock was set back");
    }

    #[test]
    fn nobody_is_taken_to_be_at_work_only_where_that_was_looked_for_last() {
        let heard_of = HeardOf::default();
        let is_idle = |listed: &BTreeSet<String>| heard_of.none_at_work(listed);
        assert!(!is_idle(&names(["a"])), "never looked for");
        heard_of.note_work(&names(["a", "b"]), ["b".to_owned()].iter());
        assert!(is_idle(&names(["a"])) && !is_idle(&names(["b"])) && !is_idle(&names(["a", "b"])));
        heard_of.note_work(&names(["a", "b"]), ["a".to_owned()].iter());
        assert!(!is_idle(&names(["a"])) && is_idle(&names(["b"])));
        let many: BTreeSet<String> = (0..MOST).map(|number| format!("{number:06}")).collect();
        heard_of.note_work(&many, [].iter());
        assert!(is_idle(&many) && !is_idle(&names(["b"])), "names are bounded");
    }

    #[test]
    fn names_are_bounded() {
        let heard_of = HeardOf::default();
        let begin = Timestamp::from_millis(1_000_000);
        let many: BTreeSet<String> = (0..=MOST).map(|number| format!("{number:06}")).collect();
        heard_of.note(&many, begin);
        assert_eq!(heard_of.among(&many, begin).len(), 1);
    }

    /// What is trusted is asked for again in time, however often it is used meanwhile.
    #[tokio::test]
    async fn a_recipient_that_was_removed_is_known_for_some_seconds_more() {
        let config = EngineConfig::default();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let store = Dcm::memory_store(&config).await.unwrap();
        let dcm = Dcm::with_store_and_clock(store, Arc::clone(&clock) as _, config).await.unwrap();
        let session: SessionCreate = serde_json::from_value(json!({"id": "b"})).unwrap();
        dcm.session_create(session).await.unwrap();
        let is_known = async || {
            let message = json!({
                "from_agent": "a", "to_agent": "b", "topic": "workflow.progress", "content": {"n": 1}
            });
            let message: MessageSend = serde_json::from_value(message).unwrap();
            dcm.message_send(message).await.unwrap().message.known_recipient
        };
        assert_eq!(is_known().await, Some(true));
        dcm.session_delete(SessionDelete { id: "b".to_owned() }).await.unwrap();
        for _ in 0..2 {
            clock.advance_millis(TRUSTED_MS / 2 - 1);
            assert_eq!(is_known().await, Some(true));
        }
        clock.advance_millis(2);
        assert_eq!(is_known().await, Some(false));
        dcm.close().await;
    }
}
