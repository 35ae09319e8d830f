//! How strongly one feature speaks for a tool.

use super::evidence::Pair;
use super::fast::ln;

/// How much is assumed to have been seen of a feature elsewhere, before anything was.
pub(super) const COMPLEMENT_PRIOR: f32 = 0.05;
/// How much is assumed to have been seen of a word with each tool, before anything was.
pub(super) const WORD_PRIOR: f32 = 0.005;
/// What the likelihood of single words counts beside the complement of all features.
pub(super) const WORD_SHARE: f32 = 0.3;

/// What is assumed before anything was seen, in today's weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Priors {
    complement: f32,
    /// One over what is assumed of a word.
    word: f32,
}

impl Priors {
    pub(super) fn new(unit: f32) -> Self {
        Self { complement: COMPLEMENT_PRIOR * unit, word: 1.0 / (WORD_PRIOR * unit) }
    }
}

/// How unlikely it is to have seen the feature so much with this tool and so little with all others; for single words
/// also how likely the tool is to meet it.
pub(super) fn strength(weight: f32, whole: f32, priors: Priors, single: bool) -> f32 {
    let complement = ln(whole + priors.complement) - ln((whole - weight).max(0.0) + priors.complement);
    if single { complement + WORD_SHARE * ln(1.0 + weight * priors.word) } else { complement }
}

/// Adds how strongly a feature speaks for each of its tools to their sums.
pub(super) fn speak(pairs: &[Pair], whole: f32, priors: Priors, single: bool, sums: &mut [f32]) {
    // First the numbers, side by side, then where they belong: the compiler makes vectors of the first part.
    const SIDE_BY_SIDE: usize = 32;
    let mut strengths = [0.0f32; SIDE_BY_SIDE];
    for some in pairs.chunks(SIDE_BY_SIDE) {
        if single {
            for (strength, pair) in strengths.iter_mut().zip(some) {
                *strength = self::strength(pair.speaking(), whole, priors, true);
            }
        } else {
            for (strength, pair) in strengths.iter_mut().zip(some) {
                *strength = self::strength(pair.speaking(), whole, priors, false);
            }
        }
        for (strength, pair) in strengths.iter().zip(some) {
            sums[pair.tool as usize] += strength;
        }
    }
}
