//! Whether so much is written that one way to the store is not enough.

use std::sync::atomic::{AtomicU32, Ordering};

/// In batches of this size, all ways are used. They are then large enough that two, each a part of it, cost less time
/// side by side than one.
const CROWDED: u32 = 16;
/// In batches smaller than this it is one way again. Side by side, batches are smaller for the same load.
const QUIET: u32 = 7;
/// A larger batch counts as one of so many.
const MOST: u32 = 128;
/// The average is counted in these parts of a command.
const PARTS: u32 = 1024;

/// In how large a batch the last commands were, on average over the commands, and what follows from it.
///
/// Two batches side by side wait for each other at the end, where events get their positions: whoever comes second
/// waits for the first one's way to the disk and then for its own. While there is little to write that is only slower.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The average, and in the lowest bit whether all ways are used: they change together.
    state: AtomicU32,
}

impl Crowd {
    /// Counts a batch: each of its commands moves the average by a part of the difference, so many small batches beside
    /// large ones do not hide them.
    pub(super) fn note(&self, commands: usize) {
        let commands = u32::try_from(commands).unwrap_or(u32::MAX).min(MOST);
        let next = |state: u32| {
            let (average, was_crowded) = (state >> 1, state & 1 == 1);
            let average = (average * (MOST - commands) + commands * PARTS * commands) / MOST;
            let is_crowded = average >= if was_crowded { QUIET } else { CROWDED } * PARTS;
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
        let after = |batches: &[usize]| {
            (0..500).for_each(|_| batches.iter().for_each(|commands| crowd.note(*commands)));
            crowd.is_crowded()
        };
        assert!(!after(&[1]) && !after(&[12]), "little is written one after the other");
        // One batch is not a crowd.
        crowd.note(20);
        assert!(!crowd.is_crowded());
        assert!(after(&[40]));
        assert!(after(&[10]), "side by side, batches are smaller");
        assert!(!after(&[6]));
        assert!(after(&[40, 1, 1, 1, 1]), "who writes one at a time beside a crowd does not hide it");
        assert!(after(&[usize::MAX]) && !after(&[1]));
    }
}
