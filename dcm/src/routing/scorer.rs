use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::calibration::{Calibration, Outlook, RANKS};
use super::evidence::{Evidence, Sums, Without};
use super::fast::growth;
use super::features::{Feature, features};
use super::lesson::{Lesson, Outcome};
use super::recorded::Recorded;
use super::score::{lesson, opinion};
use super::words::{Word, words};
use super::{ABSTAIN_BELOW, HALF_LIFE_DAYS, Question, percent, rounded};
use crate::api::routing::{Suggestion, Suggestions, WordShare};
use crate::model::ToolType;
use crate::time::Timestamp;

/// How many pairs of word and tool a scorer holds, unless told otherwise.
pub const DEFAULT_CAPACITY: usize = 1_000_000;

/// How many pairs of feature and tool may be counted for every recorded pair of word and tool.
const FEATURE_PAIRS: usize = 2;

/// How many lessons are kept to ask about again.
const SAMPLE: usize = 1024;

/// The sample is drawn from about so many of the latest lessons.
const SAMPLED_FROM: u64 = 32 * 1024;

/// How many words of `why` a suggestion has at most.
const REASONS: usize = 10;

/// A tool that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: Arc<str>,
    /// As in the lesson that came last.
    pub(super) tool_type: ToolType,
}

/// A lesson that is kept to be asked about again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    pub(super) keys: Box<[u64]>,
    pub(super) tool: u32,
    /// What it added to each of its features.
    pub(super) weight: f32,
}

/// Which tool serves which words: learned online, one lesson after the other, and asked in microseconds.
///
/// It holds two things. The *recorded scores* of single words are what clients have always read; they move by fixed
/// steps. The *evidence* is what suggestions are ranked by: counts of words, of neighbours and of near pairs, of which
/// old ones weigh less (half as much every [`HALF_LIFE_DAYS`] days of the lessons' own time).
///
/// Everything is bounded: [`Scorer::with_capacity`] pairs of word and tool, twice as many pairs of feature and tool, and
/// a sample of lessons. What was used least and longest ago goes first.
///
/// The same lessons in the same order make the same scorer, wherever they are learned: there is no clock and no chance in it.
///
/// ```
/// use dcm::Timestamp;
/// use dcm::model::ToolType;
/// use dcm::routing::{Lesson, Question, Scorer};
///
/// let mut scorer = Scorer::default();
/// let now = Timestamp::from_millis(1_790_000_000_000);
/// for (said, tool) in [("find papers on black holes", "arxiv"), ("what will the weather be", "forecast")] {
///     scorer.learn(&Lesson::used(said, tool, ToolType::Mcp, true, now));
/// }
/// let answer = scorer.suggest(&Question::prompt("a paper about quantum computing, please"));
/// assert_eq!(answer.suggestions[0].tool_name, "arxiv");
/// assert_eq!(answer.suggestions[0].why[0].word, "paper");
/// ```
#[derive(Debug)]
pub struct Scorer {
    pub(super) capacity: usize,
    pub(super) tools: Vec<Tool>,
    pub(super) numbers: HashMap<Arc<str>, u32>,
    pub(super) recorded: Recorded,
    pub(super) evidence: Evidence,
    pub(super) calibration: Calibration,
    pub(super) sample: Vec<Example>,
    /// How many lessons were learned that may be in the sample.
    pub(super) sampled: u64,
    /// The day on which a lesson weighs one, and the day of the latest lesson.
    pub(super) days: Option<(i32, i32)>,
    rooms: Mutex<Vec<Room>>,
}

/// Room for one question.
#[derive(Debug, Default)]
struct Room {
    sums: Sums,
    keys: Vec<u64>,
}

/// A tool that may be suggested.
struct Candidate {
    tool: u32,
    sum: f32,
}

impl Default for Scorer {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

impl Scorer {
    /// A scorer that knows nothing yet and will hold at most so many pairs of word and tool.
    #[must_use]
    pub fn with_capacity(pairs: usize) -> Self {
        Self {
            capacity: pairs.max(1),
            tools: Vec::new(),
            numbers: HashMap::new(),
            recorded: Recorded::default(),
            evidence: Evidence::default(),
            calibration: Calibration::default(),
            sample: Vec::new(),
            sampled: 0,
            days: None,
            rooms: Mutex::default(),
        }
    }

    /// How many pairs of word and tool it has recorded.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.recorded.rows()
    }

    /// How many pairs of feature and tool it has counted.
    #[must_use]
    pub fn feature_pairs(&self) -> usize {
        self.evidence.pairs()
    }

    /// How many tools it has seen.
    #[must_use]
    pub fn tools(&self) -> usize {
        self.tools.len()
    }

    pub(super) fn number(&mut self, tool: &str, tool_type: Option<ToolType>) -> Option<u32> {
        if let Some(number) = self.numbers.get(tool) {
            if let Some(tool_type) = tool_type {
                self.tools[*number as usize].tool_type = tool_type;
            }
            return Some(*number);
        }
        // Feedback about a tool that was never used teaches nothing.
        let tool_type = tool_type?;
        let (number, name) = (u32::try_from(self.tools.len()).ok()?, Arc::<str>::from(tool));
        self.tools.push(Tool { name: Arc::clone(&name), tool_type });
        self.numbers.insert(name, number);
        Some(number)
    }

    /// What a lesson of that time weighs, or of today.
    #[expect(clippy::cast_possible_truncation, reason = "weights are estimates")]
    fn unit(&self, day: Option<i32>) -> f32 {
        self.days.map_or(1.0, |(origin, today)| growth(day.unwrap_or(today) - origin, HALF_LIFE_DAYS) as f32)
    }

    /// Moves the time on to `at`; answers what a lesson of then weighs.
    pub(super) fn pass_time(&mut self, at: Timestamp) -> f32 {
        // Whole numbers of half lives are powers of two, so changing the origin loses nothing.
        const FAR: i32 = 40 * HALF_LIFE_DAYS;
        let day = i32::try_from(at.as_millis().div_euclid(86_400_000)).unwrap_or(0);
        let (mut origin, today) = self.days.unwrap_or((day, day));
        let today = today.max(day);
        if today - origin > FAR {
            let moved = (today - origin) / HALF_LIFE_DAYS * HALF_LIFE_DAYS;
            origin += moved;
            let factor = growth(-moved, HALF_LIFE_DAYS);
            self.evidence.scale(factor);
            for example in &mut self.sample {
                #[expect(clippy::cast_possible_truncation, reason = "a power of two")]
                let factor = factor as f32;
                example.weight *= factor;
            }
        }
        self.days = Some((origin, today));
        self.unit(Some(day))
    }

    /// Learns from one lesson.
    pub fn learn(&mut self, taught: &Lesson) {
        let Some(tool) = self.number(&taught.tool_name, taught.tool_type) else { return };
        let change = match (taught.outcome, taught.tool_type) {
            (Outcome::Chosen, _) => opinion(true),
            (Outcome::Rejected, _) => opinion(false),
            (Outcome::Succeeded | Outcome::Failed, Some(tool_type)) => {
                lesson(tool_type, taught.outcome == Outcome::Succeeded)
            }
            (Outcome::Succeeded | Outcome::Failed, None) => return,
        };
        for keyword in &taught.keywords {
            self.recorded.change(keyword, tool, &change, taught.at);
        }
        self.understand(&taught.text, tool, taught.outcome, taught.at);
    }

    /// Learns once more from a lesson whose recorded scores are known: it is evidence only.
    pub fn recall(
        &mut self,
        said: &str,
        tool_name: &str,
        tool_type: Option<ToolType>,
        outcome: Outcome,
        at: Timestamp,
    ) {
        if let Some(tool) = self.number(tool_name, tool_type) {
            self.understand(said, tool, outcome, at);
        }
    }

    fn understand(&mut self, said: &str, tool: u32, outcome: Outcome, at: Timestamp) {
        let unit = self.pass_time(at);
        let keys: Box<[u64]> = features(&words(said)).iter().map(|feature| feature.key).collect();
        if !keys.is_empty() {
            let weight = unit * outcome.weight() * evenly(keys.len());
            for key in &keys {
                self.evidence.add(*key, tool, weight);
            }
            if weight > 0.0 {
                self.keep(Example { keys, tool, weight });
                self.rehearse();
            }
        }
        self.stay_within_capacity();
    }

    /// Keeps a lesson in the sample, or does not: as if drawn from the latest ones by chance.
    fn keep(&mut self, example: Example) {
        self.sampled += 1;
        if self.sample.len() < SAMPLE {
            self.sample.push(example);
            return;
        }
        let drawn = scattered(self.sampled) % self.sampled.min(SAMPLED_FROM);
        if let Some(place) = usize::try_from(drawn).ok().and_then(|drawn| self.sample.get_mut(drawn)) {
            *place = example;
        }
    }

    /// Asks itself about a lesson of the sample as if it had not learned it, and learns how sure to be.
    fn rehearse(&mut self) {
        let drawn = scattered(!self.sampled) % self.sample.len().max(1) as u64;
        let Some(example) = usize::try_from(drawn).ok().and_then(|drawn| self.sample.get(drawn)) else {
            return;
        };
        let mut room = self.room();
        let without = Without { tool: example.tool, weight: example.weight };
        self.evidence.weigh(&example.keys, self.unit(None), Some(without), &mut room.sums);
        // A tool that nothing else speaks for cannot be found: that says nothing about how sure to be.
        if room.sums.of(example.tool).is_some() {
            let mut candidates: Vec<Candidate> =
                room.sums.all().map(|(tool, sum)| Candidate { tool, sum }).collect();
            let sums: Vec<f32> = candidates.iter().map(|candidate| candidate.sum).collect();
            keep_best(&mut candidates, RANKS);
            let best: Vec<f32> = candidates.iter().map(|candidate| candidate.sum).collect();
            let others = (others(self.tools.len(), sums.len()), room.sums.baseline);
            let right = candidates.iter().position(|candidate| candidate.tool == example.tool);
            let known = room.sums.known_share();
            self.calibration.learn(Outlook { sums: &sums, best: &best, others, known }, right);
        }
        self.put_back(room);
    }

    pub(super) fn stay_within_capacity(&mut self) {
        // A tenth at a time, so that it is seldom.
        if self.recorded.rows() > self.capacity {
            self.recorded.forget_down_to(self.capacity - self.capacity / 10);
        }
        let most = self.capacity.saturating_mul(FEATURE_PAIRS);
        if self.evidence.pairs() > most {
            self.evidence.forget_down_to(most - most / 10);
        }
    }

    fn room(&self) -> Room {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put_back(&self, room: Room) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(room);
    }

    /// The tools for these words, the best first.
    #[must_use]
    pub fn suggest(&self, question: &Question) -> Suggestions {
        let words = words(&question.text);
        let features = features(&words);
        let unit = self.unit(None);
        let mut room = self.room();
        room.keys.clear();
        room.keys.extend(features.iter().map(|feature| feature.key));
        self.evidence.weigh(&room.keys, unit, None, &mut room.sums);

        let mut candidates = self.candidates(question, unit, &room.sums);
        let sums: Vec<f32> = candidates.iter().map(|candidate| candidate.sum).collect();
        keep_best(&mut candidates, question.limit.max(RANKS));
        let best: Vec<f32> = candidates.iter().map(|candidate| candidate.sum).collect();
        let others = (others(self.tools.len(), sums.len()), room.sums.baseline);
        let known = room.sums.known_share();
        let confidences = self.calibration.confidences(Outlook { sums: &sums, best: &best, others, known });
        let mut found: Vec<(f32, Suggestion)> = candidates
            .iter()
            .zip(confidences)
            .map(|(candidate, confidence)| {
                let suggestion =
                    self.describe(question, candidate.tool, confidence, &words, &features, &room.sums);
                (candidate.sum, suggestion)
            })
            .collect();
        self.put_back(room);
        // What the evidence cannot tell apart, the recorded scores may.
        found.sort_by(|(one, a), (other, b)| {
            other
                .total_cmp(one)
                .then(b.keyword_matches.len().cmp(&a.keyword_matches.len()))
                .then(b.score.total_cmp(&a.score))
                .then(b.usage_count.cmp(&a.usage_count))
        });
        let suggestions: Vec<Suggestion> =
            found.into_iter().map(|(_, suggestion)| suggestion).take(question.limit).collect();
        Suggestions {
            keywords: question.keywords.clone(),
            count: suggestions.len(),
            compat_output: suggestions
                .iter()
                .map(|one| format!("{}|{}|{}", one.tool_name, one.tool_type, one.score))
                .collect::<Vec<_>>()
                .join("\n"),
            abstained: suggestions.first().is_none_or(|best| best.confidence < ABSTAIN_BELOW),
            abstains_below: ABSTAIN_BELOW,
            suggestions,
        }
    }

    /// The tools that may be suggested, with what the evidence says of them.
    fn candidates(&self, question: &Question, unit: f32, sums: &Sums) -> Vec<Candidate> {
        let wanted = |tool: u32| question.wants(self.tools[tool as usize].tool_type);
        let Some(min_score) = question.min_score else {
            let met = sums.all().filter(|(tool, _)| wanted(*tool));
            return met.map(|(tool, sum)| Candidate { tool, sum }).collect();
        };
        let mut tools: Vec<u32> = question
            .keywords
            .iter()
            .flat_map(|keyword| self.recorded.of(keyword))
            .filter(|row| f64::from(row.score) >= min_score && wanted(row.tool))
            .map(|row| row.tool)
            .collect();
        tools.sort_unstable();
        tools.dedup();
        let sum = |tool| sums.of(tool).unwrap_or_else(|| self.evidence.unmet(tool, unit, sums));
        tools.into_iter().map(|tool| Candidate { tool, sum: sum(tool) }).collect()
    }

    fn describe(
        &self,
        question: &Question,
        tool: u32,
        confidence: f64,
        words: &[Word],
        features: &[Feature],
        sums: &Sums,
    ) -> Suggestion {
        let (mut rows, mut score, mut usage, mut success) = (0u32, 0.0, 0i64, 0i64);
        let mut keyword_matches: Vec<String> = Vec::new();
        for keyword in &question.keywords {
            let Some(row) = self.recorded.row(keyword, tool) else { continue };
            if question.min_score.is_some_and(|least| f64::from(row.score) < least)
                || keyword_matches.contains(keyword)
            {
                continue;
            }
            rows += 1;
            score += f64::from(row.score);
            usage += i64::from(row.usage);
            success += i64::from(row.success);
            keyword_matches.push(keyword.clone());
        }
        keyword_matches.sort_unstable();
        let Tool { name, tool_type } = &self.tools[tool as usize];
        Suggestion {
            tool_name: name.to_string(),
            tool_type: *tool_type,
            score: if rows == 0 { 0.0 } else { rounded(score / f64::from(rows), 3) },
            usage_count: usage,
            success_rate: percent(success, usage),
            keyword_matches,
            confidence: rounded(confidence, 3),
            why: self.reasons(tool, words, features, sums),
        }
    }

    /// Which words spoke for the tool, and their shares in what did.
    fn reasons(&self, tool: u32, words: &[Word], features: &[Feature], sums: &Sums) -> Vec<WordShare> {
        let mut shares = vec![0.0f32; words.len()];
        let unit = self.unit(None);
        for (at, feature) in features.iter().enumerate() {
            let speaks = self.evidence.speaks(feature.key, at, tool, unit, sums);
            // Of a pair each word is a half.
            shares[usize::from(feature.words.0)] += speaks / 2.0;
            shares[usize::from(feature.words.1)] += speaks / 2.0;
        }
        let mut reasons: Vec<(f32, &str)> = Vec::new();
        for (word, share) in words.iter().zip(shares) {
            if share <= 0.0 || word.filler {
                continue;
            }
            match reasons.iter_mut().find(|(_, known)| *known == word.text) {
                Some((known, _)) => *known += share,
                None => reasons.push((share, &word.text)),
            }
        }
        let whole: f32 = reasons.iter().map(|(share, _)| share).sum();
        reasons.sort_by(|a, b| b.0.total_cmp(&a.0));
        reasons
            .into_iter()
            .take(REASONS)
            .map(|(share, word)| WordShare {
                word: word.to_owned(),
                share: rounded(f64::from(share / whole), 3),
            })
            .collect()
    }
}

/// What each of so many features gets of one lesson: long texts do not count more than short ones.
#[expect(clippy::cast_precision_loss, reason = "a text has a few hundred features")]
fn evenly(features: usize) -> f32 {
    1.0 / (features as f32).sqrt()
}

/// How many tools nothing spoke for.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn others(tools: usize, met: usize) -> f32 {
    tools.saturating_sub(met) as f32
}

/// The best so many, in order; equal ones in the order in which their tools were first used.
fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    let order = |a: &Candidate, b: &Candidate| b.sum.total_cmp(&a.sum).then(a.tool.cmp(&b.tool));
    if candidates.len() > count && count > 0 {
        candidates.select_nth_unstable_by(count - 1, order);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(order);
}

/// A number that looks drawn by chance, and is the same for the same `number` everywhere.
fn scattered(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
