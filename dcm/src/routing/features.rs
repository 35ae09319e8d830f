//! Words to features: what the scorer counts.

use twox_hash::XxHash3_64;

use super::words::Word;

/// How many words with a meaning may lie apart and still be a pair.
const NEAR: usize = 4;

/// One thing about a text that tools are counted by.
///
/// Its key is a hash, so the scorer keeps no texts; the lowest bit says whether it is a single word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) key: u64,
    /// The words it is made of, by their places in the text; twice the same for a single one.
    pub(super) words: (u16, u16),
}

/// Whether the feature is a single word.
pub(super) fn is_single(key: u64) -> bool {
    key & 1 == 1
}

/// The key of one word alone.
pub(super) fn single(word: &Word) -> u64 {
    word.key | 1
}

fn pair(first: u64, second: u64, seed: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    XxHash3_64::oneshot_with_seed(seed, &bytes) & !1
}

/// The features of a text, each once, in the order of their keys:
/// every word with a meaning, every two neighbours in their order, and every two words with a meaning that are near each
/// other, in any order.
pub(super) fn features(words: &[Word]) -> Vec<Feature> {
    let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
    let mut features = Vec::with_capacity(words.len() * (NEAR + 2));
    for (at, two) in words.windows(2).enumerate() {
        if !(two[0].filler && two[1].filler) {
            features
                .push(Feature { key: pair(two[0].key, two[1].key, 2), words: (place(at), place(at + 1)) });
        }
    }
    let spoken: Vec<usize> = (0..words.len()).filter(|at| !words[*at].filler).collect();
    for (nth, at) in spoken.iter().copied().enumerate() {
        features.push(Feature { key: single(&words[at]), words: (place(at), place(at)) });
        for other in spoken.iter().copied().skip(nth + 1).take(NEAR) {
            let (a, b) = (words[at].key, words[other].key);
            if a != b {
                features.push(Feature { key: pair(a.min(b), a.max(b), 3), words: (place(at), place(other)) });
            }
        }
    }
    // The place is part of the order, so that of equal features always the same one stays.
    features.sort_unstable_by_key(|feature| (feature.key, feature.words));
    features.dedup_by_key(|feature| feature.key);
    features
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    #[test]
    fn words_neighbours_and_near_pairs() {
        let all = features(&words("find the research papers"));
        let singles = all.iter().filter(|feature| is_single(feature.key)).count();
        // find, research, paper; find-the, the-research, research-paper; three near pairs.
        assert_eq!((singles, all.len()), (3, 9));
        assert!(features(&words("can you do it")).is_empty());
    }

    #[test]
    fn near_pairs_have_no_order_and_neighbours_have() {
        let keys = |text: &str| features(&words(text)).iter().map(|feature| feature.key).collect::<Vec<_>>();
        let (there, back) = (keys("paper research"), keys("research paper"));
        assert_eq!(there.iter().filter(|key| back.contains(key)).count(), 3);
        assert_eq!((there.len(), back.len()), (4, 4));
    }
}
