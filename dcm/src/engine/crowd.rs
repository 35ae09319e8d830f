//! Whether so much is written that one way to the store is not enough.

use std::sync::atomic::{AtomicU32, Ordering};

/// With this many commands in a batch, on average, all ways are used. A batch is then large enough that two of them,
/// each a part, cost less time side by side than one.
const CROWDED: u32 = 16;
/// With this many it is one way again. Side by side, batches are smaller for the same load.
const QUIET: u32 = 6;
/// The average is counted in these parts of a command, and a batch counts for an eighth of it.
const PARTS: u32 = 256;
/// A larger batch counts as one of so many.
const MOST: u32 = 256;

/// How many commands there were in the last batches, on average, and what follows from it.
///
/// Two batches side by side wait for each other at the end, where events get their positions: whoever comes second
/// waits for the first one's way to the disk and then for its own. While there is little to write that is only slower.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The average, and in the lowest bit whether all ways are used: they change together.
    state: AtomicU32,
}

impl Crowd {
    /// Counts a batch.
    pub(super) fn note(&self, commands: usize) {
        // More than a crowd is not more of one: it ends as soon as any other.
        let commands = u32::try_from(commands).unwrap_or(u32::MAX).min(MOST);
        let next = |state: u32| {
            let (average, was_crowded) = (state >> 1, state & 1 == 1);
            let average = average - average / 8 + commands * PARTS / 8;
            let is_crowded = average >= if was_crowded { QUIET * PARTS + 1 } else { CROWDED * PARTS };
            Some(average << 1 | u32::from(is_crowded))
        };
        // What another thread counts at the same moment is counted as well.
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Whether all ways are to be used.
    pub(super) fn is_crowded(&self) -> bool {
        self.state.load(Ordering::Relaxed) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_are_used_while_batches_are_large() {
        let crowd = Crowd::default();
        let after = |commands: usize| {
            (0..64).for_each(|_| crowd.note(commands));
            crowd.is_crowded()
        };
        assert!(!after(1) && !after(12), "little is written one after the other");
        // One large batch is not a crowd.
        crowd.note(40);
        assert!(!crowd.is_crowded());
        assert!(after(40));
        assert!(after(10), "side by side, batches are smaller");
        assert!(!after(5));
        assert!(after(usize::MAX) && !after(0));
    }
}
