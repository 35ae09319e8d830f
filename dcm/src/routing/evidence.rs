//! Which tool served which features, and how strongly that speaks for it: naive Bayes with its complement.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::fast::ln;
use super::features::is_single;
use super::strength::{COMPLEMENT_PRIOR, Priors, WORD_PRIOR, WORD_SHARE, speak, strength};

/// What it counts how much a tool is used at all. It decides between tools that are used with the same words; where the
/// words differ it would only drown the seldom ones.
const USE_SHARE: f32 = 0.12;
/// How many pairs one question looks at, at most. Features of the fewest tools come first, as they say the most.
const MOST_PAIRS: usize = 7_168;

/// How much a tool has served a feature, in weights that grow with time (see `Scorer`).
///
/// Less than nothing is a tool that failed more than it served. It speaks for nothing then, but what it failed is made up
/// for before it speaks again, so that the order of lessons does not matter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) tool: u32,
    pub(super) weight: f32,
}

impl Pair {
    /// What it counts in a sum.
    pub(super) fn speaking(self) -> f32 {
        self.weight.max(0.0)
    }
}

/// The tools of a feature, by their numbers. Most features know one.
#[derive(Debug, Clone, PartialEq)]
enum Tools {
    One(Pair),
    Many(Vec<Pair>),
}

impl Tools {
    fn pairs(&self) -> &[Pair] {
        match self {
            Self::One(pair) => std::slice::from_ref(pair),
            Self::Many(pairs) => pairs,
        }
    }

    fn pairs_mut(&mut self) -> &mut [Pair] {
        match self {
            Self::One(pair) => std::slice::from_mut(pair),
            Self::Many(pairs) => pairs,
        }
    }

    fn insert(&mut self, at: usize, pair: Pair) {
        match self {
            Self::Many(pairs) => insert(pairs, at, pair),
            Self::One(known) => {
                let mut pairs = vec![*known];
                insert(&mut pairs, at, pair);
                *self = Self::Many(pairs);
            }
        }
    }

    /// Keeps those pairs; answers whether any are left.
    fn retain(&mut self, mut keeps: impl FnMut(&Pair) -> bool) -> bool {
        match self {
            Self::One(pair) => keeps(pair),
            Self::Many(pairs) => {
                pairs.retain(keeps);
                if let [pair] = pairs[..] {
                    *self = Self::One(pair);
                }
                !self.pairs().is_empty()
            }
        }
    }
}

/// Keys are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, key: u64) {
        // The lowest bit is not random.
        self.0 = key.rotate_right(1);
    }
}

/// What all features of one tool weigh.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ToolWeight {
    pub(super) all: f64,
    pub(super) words: f64,
}

/// A lesson to be left out, to ask what would be said without it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Without {
    pub(super) tool: u32,
    pub(super) weight: f32,
}

/// The counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    features: HashMap<u64, Tools, BuildHasherDefault<KeyHasher>>,
    words: usize,
    pairs: usize,
    tools: Vec<ToolWeight>,
    /// By tool, how many pairs it has.
    pairs_by_tool: Vec<u32>,
    /// How many tools have pairs.
    paired: usize,
    total: ToolWeight,
}

/// What is known of one feature of a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// The place of the feature in the question.
    pub(super) at: usize,
    pairs: &'a [Pair],
    /// What all its tools weigh together.
    whole: f32,
    single: bool,
}

impl Known<'_> {
    /// The tools that the feature was met with.
    pub(super) fn tools(&self) -> impl Iterator<Item = u32> {
        self.pairs.iter().map(|pair| pair.tool)
    }

    /// How strongly the feature speaks for the tool. `unit` is what a weight of one is today.
    pub(super) fn speaks(&self, tool: u32, unit: f32) -> f32 {
        let Ok(place) = self.pairs.binary_search_by_key(&tool, |pair| pair.tool) else { return 0.0 };
        strength(self.pairs[place].speaking(), self.whole, Priors::new(unit), self.single)
    }
}

/// What is known of a question: what speaks for each tool, by its number, and what a much used one has to do without.
#[derive(Debug)]
pub(super) struct Weighed<'a> {
    evidence: &'a Evidence,
    pub(super) known: Vec<Known<'a>>,
    features: usize,
    words: f32,
    unit: f32,
    /// What all tools weigh together.
    total: ToolWeight,
    offsets: Offsets,
    without: Option<(u32, ToolWeight)>,
}

/// What the offsets of all tools have in common.
#[derive(Debug)]
struct Offsets {
    total: f32,
    assumed: f32,
    /// One over what all tools weigh, with what is assumed.
    elsewhere: f32,
    /// One over what is assumed of the words of a tool.
    word: f32,
    /// How much all tools are used.
    used: f32,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "weights are estimates")]
impl Evidence {
    pub(super) fn pairs(&self) -> usize {
        self.pairs
    }

    /// How many tools have pairs.
    pub(super) fn paired(&self) -> usize {
        self.paired
    }

    pub(super) fn tool(&self, tool: u32) -> ToolWeight {
        self.tools.get(tool as usize).copied().unwrap_or_default()
    }

    /// The tools of one feature.
    pub(super) fn pairs_of(&self, key: u64) -> &[Pair] {
        self.features.get(&key).map_or(&[], Tools::pairs)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[Pair])> {
        self.features.iter().map(|(key, tools)| (*key, tools.pairs()))
    }

    /// Whether anything is counted of the tool.
    pub(super) fn knows(&self, tool: u32) -> bool {
        self.pairs_by_tool.get(tool as usize).is_some_and(|pairs| *pairs > 0)
    }

    /// Takes the number of a tool without pairs from it; another may get it.
    pub(super) fn let_go(&mut self, tool: u32) {
        if let Some(weight) = self.tools.get_mut(tool as usize) {
            // Nothing but what was lost by rounding.
            *weight = ToolWeight::default();
        }
    }

    fn count_in(&mut self, tool: u32) {
        let place = tool as usize;
        if self.pairs_by_tool.len() <= place {
            self.pairs_by_tool.resize(place + 1, 0);
        }
        self.pairs_by_tool[place] += 1;
        self.paired += usize::from(self.pairs_by_tool[place] == 1);
        self.pairs += 1;
    }

    fn count_out(&mut self, tool: u32) {
        self.pairs_by_tool[tool as usize] -= 1;
        self.paired -= usize::from(self.pairs_by_tool[tool as usize] == 0);
        self.pairs -= 1;
    }

    fn account(&mut self, key: u64, tool: u32, change: f64) {
        let place = tool as usize;
        if self.tools.len() <= place {
            self.tools.resize(place + 1, ToolWeight::default());
        }
        for sum in [&mut self.tools[place], &mut self.total] {
            sum.all = (sum.all + change).max(0.0);
            if is_single(key) {
                sum.words = (sum.words + change).max(0.0);
            }
        }
    }

    /// Looks at where the features lie: all these looks wait for memory at the same time, while changes would wait one
    /// after the other. Answers how many of them the tool has served.
    pub(super) fn look_at(&self, keys: &[u64], tool: u32) -> usize {
        let known = keys.iter().map(|key| self.pairs_of(*key));
        known.filter(|pairs| pairs.binary_search_by_key(&tool, |pair| pair.tool).is_ok()).count()
    }

    /// Adds to what `tool` is for the feature, or takes from it.
    pub(super) fn add(&mut self, key: u64, tool: u32, weight: f32) {
        use std::collections::hash_map::Entry;
        if weight == 0.0 {
            return;
        }
        let change = match self.features.entry(key) {
            Entry::Vacant(place) => {
                place.insert(Tools::One(Pair { tool, weight }));
                self.words += usize::from(is_single(key));
                self.count_in(tool);
                weight.max(0.0)
            }
            Entry::Occupied(mut place) => {
                let tools = place.get_mut();
                match tools.pairs().binary_search_by_key(&tool, |pair| pair.tool) {
                    Ok(at) => {
                        let pair = &mut tools.pairs_mut()[at];
                        let before = pair.speaking();
                        pair.weight += weight;
                        let change = pair.speaking() - before;
                        if pair.weight == 0.0 {
                            if !tools.retain(|pair| pair.tool != tool) {
                                place.remove();
                                self.words -= usize::from(is_single(key));
                            }
                            self.count_out(tool);
                        }
                        change
                    }
                    Err(at) => {
                        tools.insert(at, Pair { tool, weight });
                        self.count_in(tool);
                        weight.max(0.0)
                    }
                }
            }
        };
        self.account(key, tool, f64::from(change));
    }

    /// Multiplies all weights with a power of two, which loses nothing.
    pub(super) fn scale(&mut self, factor: f64) {
        for tools in self.features.values_mut() {
            tools.pairs_mut().iter_mut().for_each(|pair| pair.weight *= factor as f32);
        }
        for sum in self.tools.iter_mut().chain(Some(&mut self.total)) {
            sum.all *= factor;
            sum.words *= factor;
        }
    }

    /// Forgets the weakest pairs until so many are left.
    ///
    /// What is equally weak goes in an order that only depends on the feature and on `tie`, a number of the tool that does
    /// not depend on when it was first used, so that every node forgets the same.
    pub(super) fn forget_down_to(&mut self, pairs: usize, tie: impl Fn(u32) -> u64) {
        let surplus = self.pairs.saturating_sub(pairs);
        if surplus == 0 {
            return;
        }
        let rank = |key: u64, pair: &Pair| {
            let tie = (key ^ tie(pair.tool)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (u64::from(pair.weight.abs().to_bits()) << 32) | (tie >> 32)
        };
        let mut ranks: Vec<u64> = Vec::with_capacity(self.pairs);
        ranks.extend(
            self.iter()
                .flat_map(|(key, pairs)| pairs.iter().map(move |pair| (key, pair)))
                .map(|(key, pair)| rank(key, pair)),
        );
        let (_, last, _) = ranks.select_nth_unstable(surplus - 1);
        let last = *last;
        // One pass over all, because to look for each that goes would wait for memory each time.
        let mut features = std::mem::take(&mut self.features);
        features.retain(|key, tools| {
            let stays = tools.retain(|pair| {
                let stays = rank(*key, pair) > last;
                if !stays {
                    self.count_out(pair.tool);
                    self.account(*key, pair.tool, -f64::from(pair.speaking()));
                }
                stays
            });
            self.words -= usize::from(!stays && is_single(*key));
            stays
        });
        self.features = features;
    }

    /// Adds to `sums`, by tool, what speaks for each. `unit` is what a weight of one is today.
    pub(super) fn weigh<'a>(
        &'a self,
        keys: impl ExactSizeIterator<Item = u64>,
        unit: f32,
        without: Option<Without>,
        sums: &mut [f32],
    ) -> Weighed<'a> {
        let priors = Priors::new(unit);
        let features = keys.len();
        let mut left_out = ToolWeight::default();
        let mut known: Vec<Known<'a>> = Vec::with_capacity(features);
        for (at, key) in keys.enumerate() {
            let single = is_single(key);
            if let Some(without) = without {
                left_out.all += f64::from(without.weight);
                left_out.words += if single { f64::from(without.weight) } else { 0.0 };
            }
            let pairs = self.pairs_of(key);
            if !pairs.is_empty() {
                known.push(Known { at, pairs, whole: 0.0, single });
            }
        }
        known.sort_unstable_by_key(|feature| (feature.pairs.len(), feature.at));
        let (mut room, mut sum_without) = (MOST_PAIRS, 0.0);
        known.retain_mut(|feature| {
            // Beyond the first that is too much nothing is looked at, so that more room never means less evidence.
            room = room.saturating_sub(feature.pairs.len());
            if room == 0 {
                return false;
            }
            let mut whole = whole(feature.pairs);
            let mut rest = None;
            if let Some(without) = without
                && let Ok(place) = feature.pairs.binary_search_by_key(&without.tool, |pair| pair.tool)
            {
                let weight = feature.pairs[place].speaking();
                let left = weight - weight.min(without.weight);
                whole -= f64::from(weight) - f64::from(left);
                rest = Some(left);
            }
            feature.whole = whole.max(0.0) as f32;
            if feature.whole == 0.0 {
                return false;
            }
            speak(feature.pairs, feature.whole, priors, feature.single, sums);
            if let Some(weight) = rest.filter(|weight| *weight > 0.0) {
                sum_without += strength(weight, feature.whole, priors, feature.single);
            }
            true
        });
        if let Some(without) = without {
            sums[without.tool as usize] = sum_without;
        }
        let words = known.iter().map(|feature| f32::from(u8::from(feature.single))).sum();
        let less = |weight: ToolWeight| ToolWeight {
            all: (weight.all - left_out.all).max(0.0),
            words: (weight.words - left_out.words).max(0.0),
        };
        let total = less(self.total);
        let without = without.map(|without| (without.tool, less(self.tool(without.tool))));
        let offsets = self.offsets(total, unit);
        Weighed { evidence: self, known, features, words, unit, total, offsets, without }
    }

    fn offsets(&self, total: ToolWeight, unit: f32) -> Offsets {
        let assumed = COMPLEMENT_PRIOR * unit * self.features.len() as f32;
        let total = total.all as f32;
        Offsets {
            total,
            assumed,
            elsewhere: 1.0 / (total + assumed).max(f32::MIN_POSITIVE),
            word: 1.0 / (WORD_PRIOR * unit * self.words.max(1) as f32),
            used: ln(1.0 + total / unit),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts and weights are estimates"
)]
impl Weighed<'_> {
    /// The pairs of every feature that is known.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &[Pair]> {
        self.known.iter().map(|feature| feature.pairs)
    }

    /// What a much used tool has to do without, as it meets every feature more often: never more than nothing.
    pub(super) fn offset(&self, tool: u32) -> f32 {
        self.offset_of(match self.without {
            Some((without, weight)) if without == tool => weight,
            _ => self.evidence.tool(tool),
        })
    }

    /// The offset of a tool of average use.
    pub(super) fn mean_offset(&self) -> f32 {
        let share = 1.0 / self.evidence.paired.max(1) as f64;
        self.offset_of(ToolWeight { all: self.total.all * share, words: self.total.words * share })
    }

    fn offset_of(&self, tool: ToolWeight) -> f32 {
        let Offsets { total, assumed, elsewhere, word, used } = self.offsets;
        let all = tool.all as f32;
        let elsewhere = ((total - all).max(0.0) + assumed) * elsewhere;
        let offset = self.known.len() as f32 * ln(elsewhere.clamp(1e-9, 1.0))
            - WORD_SHARE * self.words * ln(1.0 + tool.words as f32 * word)
            + USE_SHARE * (ln(1.0 + all / self.unit) - used);
        offset.min(0.0)
    }

    /// The share of the features that anything is known of.
    pub(super) fn known_share(&self) -> f32 {
        self.known.len() as f32 / self.features.max(1) as f32
    }
}

/// What all tools of a feature weigh together. In double precision it does not matter in which order they were
/// numbered.
fn whole(pairs: &[Pair]) -> f64 {
    // Four sums, because a sum waits for the one before it.
    let mut sums = [0.0f64; 4];
    let (fours, rest) = pairs.as_chunks::<4>();
    for four in fours {
        for (sum, pair) in sums.iter_mut().zip(four) {
            *sum += f64::from(pair.speaking());
        }
    }
    let rest: f64 = rest.iter().map(|pair| f64::from(pair.speaking())).sum();
    sums.iter().sum::<f64>() + rest
}

/// Inserts into a list that grows by an eighth, not to the double: there are many of them.
pub(super) fn insert<T>(list: &mut Vec<T>, at: usize, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(1 + list.len() / 8);
    }
    list.insert(at, item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(evidence: &Evidence, keys: &[u64], without: Option<Without>) -> Vec<Option<f32>> {
        let mut sums = vec![0.0; 4];
        let weighed = evidence.weigh(keys.iter().copied(), 1.0, without, &mut sums);
        let spoken = |tool: u32| sums.get(tool as usize).copied().filter(|sum| *sum > 0.0);
        (0..4).map(|tool| spoken(tool).map(|sum| sum + weighed.offset(tool))).collect()
    }

    #[test]
    fn what_is_taken_away_was_never_there() {
        let mut evidence = Evidence::default();
        for (key, tool) in [(1, 0), (3, 0), (1, 1), (4, 1)] {
            evidence.add(key, tool, 0.5);
        }
        let before = (evidence.features.clone(), evidence.pairs, evidence.words);
        for weight in [0.5, -1.0, 0.5] {
            for key in [1, 5, 8] {
                evidence.add(key, 2, weight);
            }
        }
        assert!(!evidence.knows(2));
        assert_eq!((evidence.features.clone(), evidence.pairs, evidence.words), before);
        assert!(evidence.tool(2).all.abs() < 1e-9 && (evidence.total.all - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_failed_counts_before_and_after_what_served() {
        let weights = [1.0, -0.5, -0.5, -0.5, 1.0, 1.0];
        let learned = |weights: &mut dyn Iterator<Item = &f32>| {
            let mut evidence = Evidence::default();
            weights.for_each(|weight| evidence.add(1, 0, *weight));
            evidence
        };
        let (there, back) = (learned(&mut weights.iter()), learned(&mut weights.iter().rev()));
        assert_eq!(there.features, back.features);
        assert!((there.total.all - 1.5).abs() < 1e-9 && (back.total.all - 1.5).abs() < 1e-9);
        // Only what is above nothing is in the sums.
        let failed = learned(&mut [-0.5, -0.5, 1.0, -0.5].iter());
        assert!(failed.knows(0) && failed.total.all.abs() < 1e-9, "{failed:?}");
        assert_eq!(sums(&failed, &[1], None), [None; 4]);
    }

    #[test]
    fn leaving_a_lesson_out_is_as_if_it_had_not_been_learned() {
        let mut evidence = Evidence::default();
        for (key, tool) in [(1, 0), (3, 0), (1, 1), (4, 1), (3, 1)] {
            evidence.add(key, tool, 0.5);
        }
        let before = sums(&evidence, &[1, 3], None);
        for key in [1, 3] {
            evidence.add(key, 0, 0.25);
        }
        let after = sums(&evidence, &[1, 3], Some(Without { tool: 0, weight: 0.25 }));
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.is_some(), after.is_some());
            assert!((before.unwrap_or(0.0) - after.unwrap_or(0.0)).abs() < 1e-4, "{before:?} {after:?}");
        }
        assert_ne!(before, sums(&evidence, &[1, 3], None));
    }

    #[test]
    fn the_weakest_go_first_and_the_order_of_learning_does_not_matter() {
        let mut pairs: Vec<(u64, u32, f32)> = (0..500u32).map(|n| (u64::from(n % 97), n, 1.0)).collect();
        pairs.extend((0..20u32).map(|n| (u64::from(n), n + 1000, 5.0)));
        let learned = |pairs: &[(u64, u32, f32)]| {
            let mut evidence = Evidence::default();
            for (key, tool, weight) in pairs {
                evidence.add(*key, *tool, *weight);
            }
            evidence.forget_down_to(100, |tool| u64::from(tool) << 17);
            evidence
        };
        let there = learned(&pairs);
        pairs.reverse();
        assert_eq!(there.features, learned(&pairs).features);
        assert_eq!(there.pairs, 100);
        let strong = there.iter().flat_map(|(_, pairs)| pairs).filter(|pair| pair.tool >= 1000).count();
        assert_eq!(strong, 20);
    }

    #[test]
    fn what_serves_nothing_else_is_suggested_first() {
        let mut evidence = Evidence::default();
        // Word 1 is rare and of tool 0; word 3 is of everybody.
        for tool in 0..3 {
            evidence.add(3, tool, 1.0);
        }
        evidence.add(1, 0, 1.0);
        let sums = sums(&evidence, &[1, 3], None);
        assert!(sums[0] > sums[1] && sums[1] == sums[2] && sums[3].is_none(), "{sums:?}");
    }
}
