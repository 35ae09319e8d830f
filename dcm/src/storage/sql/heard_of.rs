//! Names that are known to be known.

use std::collections::{BTreeSet, HashMap};
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

    /// Notes what was found at `now`; what was trusted already stays as old as it is.
    pub(super) fn note<'a>(
        &self,
        names: impl Iterator<Item = &'a String>,
        trusted: &BTreeSet<String>,
        now: Timestamp,
    ) {
        let mut new = names.filter(|name| !trusted.contains(*name)).peekable();
        if new.peek().is_none() {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for name in new {
            if found.len() >= MOST {
                found.clear();
            }
            found.insert(name.clone(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[test]
    fn a_name_is_trusted_for_a_while_after_it_was_found() {
        let heard_of = HeardOf::default();
        let begin = Timestamp::from_millis(1_000_000);
        let (both, none) = (names(["a", "b"]), BTreeSet::new());
        assert_eq!(heard_of.among(&both, begin), none);
        heard_of.note(names(["a"]).iter(), &none, begin);
        let later = begin.plus_millis(TRUSTED_MS - 1);
        assert_eq!(heard_of.among(&both, later), names(["a"]));
        // Found again only because it was trusted.
        heard_of.note(both.iter(), &names(["a"]), later);
        assert_eq!(heard_of.among(&both, begin.plus_millis(TRUSTED_MS)), names(["b"]));
        assert_eq!(heard_of.among(&both, begin.plus_millis(-1)), none, "the clock was set back");
    }

    #[test]
    fn names_are_bounded() {
        let heard_of = HeardOf::default();
        let begin = Timestamp::from_millis(1_000_000);
        let many: BTreeSet<String> = (0..=MOST).map(|number| format!("{number:06}")).collect();
        heard_of.note(many.iter(), &BTreeSet::new(), begin);
        assert_eq!(heard_of.among(&many, begin).len(), 1);
    }
}
