use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use super::best::{Candidate, keep_best};
use super::calibration::{Calibration, Outlook, RANKS};
use super::evidence::{Evidence, Known, Weighed, Without};
use super::fast::growth;
use super::features::{Feature, features};
use super::lesson::{Lesson, Outcome};
use super::recorded::{Recorded, Row};
use super::score::{lesson, opinion};
use super::tools::{Tool, Tools};
use super::words::{Word, words};
use super::{ABSTAIN_BELOW, HALF_LIFE_DAYS, Question, percent, rounded};
use crate::api::routing::{Suggestion, Suggestions, WordShare};
use crate::model::ToolType;
use crate::time::Timestamp;

/// How many pairs of word and tool a scorer holds, unless told otherwise.
pub const DEFAULT_CAPACITY: usize = 1_000_000;

/// How many pairs of feature and tool may be counted for every four recorded pairs of word and tool.
const FEATURE_PAIRS: usize = 7;

/// While it has learned fewer lessons than this, each is followed by a rehearsal. Later they are so much rarer as there
/// are more lessons: the more it knows, the less one lesson changes how sure it may be, and a rehearsal costs as much.
const REHEARSED_AT_FIRST: u64 = 2048;

/// While there are fewer than half as many lessons, each is followed by more than one.
const REHEARSED_MORE: u64 = 1024;

/// But one lesson in so many is always followed by one.
const REHEARSED_AT_LAST: u64 = 16;

/// Beyond the capacity one in so many is forgotten at a time, seldom: to find out which, everything is looked at.
const FORGOTTEN_AT_A_TIME: usize = 5;

/// How many lessons are kept to ask about again.
const SAMPLE: usize = 1024;

/// The sample is drawn from about so many of the latest lessons.
const SAMPLED_FROM: u64 = 32 * 1024;

/// How many tools are ranked to find out how sure to be of the best.
const RANKED: usize = 24;

/// The sum of a tool that was used with a word, and nothing speaks for: it comes after all others.
const UNHEARD: f32 = -50.0;

/// How many words of `why` a suggestion has at most.
const REASONS: usize = 10;

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
/// Everything is bounded: [`Scorer::with_capacity`] pairs of word and tool, seven fourths as many pairs of feature and
/// tool, and a sample of lessons. What was used least and longest ago goes first, and a tool with its last pair.
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
    pub(super) tools: Tools,
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

/// Room for one question, kept for the next.
#[derive(Debug, Default)]
struct Room {
    /// By tool, what speaks for it; nothing but zeros between two questions.
    sums: Vec<f32>,
    /// By tool, whether it is among the candidates; nothing but `false` between two questions.
    taken: Vec<bool>,
    candidates: Vec<Candidate>,
}

impl Room {
    /// Takes the sums of the tools that something speaks for and that are wanted.
    fn take_spoken_for(&mut self, weighed: &Weighed<'_>, wanted: impl Fn(u32) -> bool) {
        self.candidates.clear();
        for pairs in weighed.pairs() {
            for pair in pairs {
                let sum = std::mem::take(&mut self.sums[pair.tool as usize]);
                if sum > 0.0 && wanted(pair.tool) {
                    self.candidates.push(Candidate { tool: pair.tool, sum });
                }
            }
        }
    }

    /// Takes the sums of some tools, whether anything speaks for them or not.
    fn take_listed(&mut self, weighed: &Weighed<'_>, tools: impl Iterator<Item = u32>) {
        self.candidates.clear();
        for tool in tools {
            if !std::mem::replace(&mut self.taken[tool as usize], true) {
                let sum = self.sums[tool as usize];
                self.candidates.push(Candidate { tool, sum: if sum > 0.0 { sum } else { UNHEARD } });
            }
        }
        for candidate in &self.candidates {
            self.taken[candidate.tool as usize] = false;
        }
        for pair in weighed.pairs().flatten() {
            self.sums[pair.tool as usize] = 0.0;
        }
    }
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
            tools: Tools::default(),
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

    /// How many tools it knows.
    #[must_use]
    pub fn tools(&self) -> usize {
        self.tools.len()
    }

    /// Whether it knows the tool; feedback about others teaches nothing.
    #[must_use]
    pub fn knows(&self, tool_name: &str) -> bool {
        self.tools.number_of(tool_name).is_some()
    }

    /// Lets tools go that nothing is known of any more; their numbers are free for others.
    fn let_go(&mut self, tools: impl Iterator<Item = u32>) {
        let mut gone = false;
        for number in tools {
            if self.tools.has(number) && !self.evidence.knows(number) && !self.recorded.knows(number) {
                self.tools.let_go(number);
                self.evidence.let_go(number);
                self.recorded.let_go(number);
                gone = true;
            }
        }
        if gone {
            self.sample.retain(|example| self.tools.has(example.tool));
        }
    }

    /// What is left to do when something was learned of the tool.
    pub(super) fn settle(&mut self, tool: u32) {
        if self.stay_within_capacity() {
            self.let_go(self.tools.numbers());
        } else {
            self.let_go(std::iter::once(tool));
        }
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
        let Some(tool) = self.tools.number(&taught.tool_name, taught.tool_type) else { return };
        let change = match (taught.outcome, taught.tool_type) {
            (Outcome::Chosen, _) => opinion(true),
            (Outcome::Rejected, _) => opinion(false),
            (Outcome::Succeeded | Outcome::Failed, Some(_)) => lesson(taught.outcome == Outcome::Succeeded),
            (Outcome::Succeeded | Outcome::Failed, None) => return,
        };
        // Kept, although nobody needs the number.
        std::hint::black_box(self.recorded.look_at(&taught.keywords, tool));
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
        if let Some(tool) = self.tools.number(tool_name, tool_type) {
            self.understand(said, tool, outcome, at);
        }
    }

    fn understand(&mut self, said: &str, tool: u32, outcome: Outcome, at: Timestamp) {
        let unit = self.pass_time(at);
        let keys: Box<[u64]> = features(&words(said)).iter().map(|feature| feature.key).collect();
        if !keys.is_empty() {
            let weight = unit * outcome.weight() * evenly(keys.len());
            // Kept, although nobody needs the number.
            std::hint::black_box(self.evidence.look_at(&keys, tool));
            for key in &keys {
                self.evidence.add(*key, tool, weight);
            }
            if weight > 0.0 {
                self.keep(Example { keys, tool, weight });
                if self.sampled.is_multiple_of(rehearsal_every(self.sampled)) {
                    for turn in 0..rehearsals(self.sampled) {
                        self.rehearse(turn);
                    }
                }
            }
        }
        self.settle(tool);
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
    fn rehearse(&mut self, turn: u64) {
        let drawn = scattered(!(self.sampled + turn * SAMPLED_FROM)) % self.sample.len().max(1) as u64;
        let Some(example) = usize::try_from(drawn).ok().and_then(|drawn| self.sample.get(drawn)) else {
            return;
        };
        let mut room = self.room();
        let without = Without { tool: example.tool, weight: example.weight };
        let keys = example.keys.iter().copied();
        let weighed = self.evidence.weigh(keys, self.unit(None), Some(without), &mut room.sums);
        room.take_spoken_for(&weighed, |_| true);
        // A tool that nothing else speaks for is not found. While little is known that is what most questions will meet
        // (Good and Turing: the share of what is still unseen is the share of what was seen once), so it counts.
        if !room.candidates.is_empty() {
            keep_best(&mut room.candidates, &self.tools, &weighed, RANKED);
            let right =
                room.candidates.iter().take(RANKS).position(|candidate| candidate.tool == example.tool);
            let sums: Vec<f32> = room.candidates.iter().map(|candidate| candidate.sum).collect();
            let outlook = outlook(&sums, self.evidence.paired(), &weighed);
            self.calibration.learn(outlook, right);
        }
        self.put_back(room);
    }

    /// Forgets what is too much; answers whether anything was.
    fn stay_within_capacity(&mut self) -> bool {
        let most = self.capacity.saturating_mul(FEATURE_PAIRS) / 4;
        let (rows, pairs) = (self.recorded.rows() > self.capacity, self.evidence.pairs() > most);
        let tie = |tool: u32| self.tools.get(tool).tie;
        if rows {
            self.recorded.forget_down_to(self.capacity - self.capacity / FORGOTTEN_AT_A_TIME, tie);
        }
        if pairs {
            self.evidence.forget_down_to(most - most / FORGOTTEN_AT_A_TIME, tie);
        }
        rows || pairs
    }

    fn room(&self) -> Room {
        let mut room = self.rooms.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let numbers = self.tools.numbers().len();
        room.sums.resize(numbers, 0.0);
        room.taken.resize(numbers, false);
        room
    }

    fn put_back(&self, room: Room) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(room);
    }

    /// The tools for these words, the best first.
    #[must_use]
    pub fn suggest(&self, question: &Question) -> Suggestions {
        let words = words(&question.text);
        let features = features(&words);
        let mut keywords: Vec<(&str, &[Row])> = Vec::with_capacity(question.keywords.len());
        for keyword in &question.keywords {
            let rows = self.recorded.of(keyword);
            if !rows.is_empty() && keywords.iter().all(|(known, _)| known != keyword) {
                keywords.push((keyword, rows));
            }
        }
        let mut room = self.room();
        let keys = features.iter().map(|feature| feature.key);
        let weighed = self.evidence.weigh(keys, self.unit(None), None, &mut room.sums);
        // What kind a tool is of is only looked up when it matters: it lies far from the sums.
        let any = question.wants_every_kind();
        let wanted = |tool: u32| any || question.wants(self.tools.get(tool).kind);
        if let Some(min_score) = question.min_score {
            let rows = keywords.iter().flat_map(|(_, rows)| *rows);
            let rows = rows.filter(|row| f64::from(row.score) >= min_score && wanted(row.tool));
            // Recorded words have no letters beyond ASCII (CONTRACT D); the evidence knows them all.
            // Words are folded: how they were written is known of the keywords only.
            let beyond = question.keywords.iter().filter(|keyword| !keyword.is_ascii());
            let beyond: Vec<Word> = beyond.flat_map(|keyword| self::words(keyword)).collect();
            let is_beyond = |at: u16| beyond.iter().any(|word| word.text == words[usize::from(at)].text);
            let unrecorded = weighed.known.iter().filter(|known| {
                let (first, second) = features[known.at].words;
                is_beyond(first) || is_beyond(second)
            });
            let spoken_for = unrecorded.flat_map(Known::tools).filter(|tool| wanted(*tool));
            room.take_listed(&weighed, rows.map(|row| row.tool).chain(spoken_for));
        } else {
            room.take_spoken_for(&weighed, wanted);
        }
        keep_best(&mut room.candidates, &self.tools, &weighed, question.limit.max(RANKED));
        let candidates = room.candidates.clone();
        self.put_back(room);
        let sums: Vec<f32> = candidates.iter().map(|candidate| candidate.sum).collect();
        let confidences =
            self.calibration.confidences(outlook(&sums, self.evidence.paired(), &weighed), question.limit);
        // They belong to the places, and the places are given below.
        let shown = candidates.iter().take(confidences.len());

        let asked =
            Asked { question, keywords: &keywords, words: &words, features: &features, weighed: &weighed };
        let mut found: Vec<(f32, Suggestion)> =
            shown.map(|candidate| (candidate.sum, self.describe(&asked, candidate.tool))).collect();
        // What the evidence cannot tell apart, the recorded scores may.
        found.sort_by(|(one, a), (other, b)| {
            other
                .total_cmp(one)
                .then(b.keyword_matches.len().cmp(&a.keyword_matches.len()))
                .then(b.score.total_cmp(&a.score))
                .then(b.usage_count.cmp(&a.usage_count))
                .then_with(|| a.tool_name.cmp(&b.tool_name))
        });
        let suggestions: Vec<Suggestion> = found
            .into_iter()
            .zip(confidences)
            .map(|((_, suggestion), confidence)| Suggestion {
                confidence: rounded(confidence, 3),
                ..suggestion
            })
            .collect();
        Suggestions {
            keywords: question.keywords.clone(),
            count: suggestions.len(),
            compat_output: as_lines(&suggestions),
            abstained: suggestions.first().is_none_or(|best| best.confidence < ABSTAIN_BELOW),
            abstains_below: ABSTAIN_BELOW,
            suggestions,
        }
    }

    /// All that is said of a tool but how sure that is.
    fn describe(&self, asked: &Asked<'_>, tool: u32) -> Suggestion {
        let (mut rows, mut score, mut usage, mut success) = (0u32, 0.0, 0i64, 0i64);
        let mut keyword_matches: Vec<String> = Vec::new();
        for (keyword, known) in asked.keywords {
            let Ok(place) = known.binary_search_by_key(&tool, |row| row.tool) else { continue };
            let row = &known[place];
            if asked.question.min_score.is_some_and(|least| f64::from(row.score) < least) {
                continue;
            }
            rows += 1;
            score += f64::from(row.score);
            usage += i64::from(row.usage);
            success += i64::from(row.success);
            keyword_matches.push((*keyword).to_owned());
        }
        keyword_matches.sort_unstable();
        let Tool { name, kind, .. } = self.tools.get(tool);
        Suggestion {
            tool_name: name.to_string(),
            tool_type: *kind,
            score: if rows == 0 { 0.0 } else { rounded(score / f64::from(rows), 3) },
            usage_count: usage,
            success_rate: percent(success, usage),
            keyword_matches,
            confidence: 0.0,
            why: asked.reasons(tool, self.unit(None)),
        }
    }
}

/// A question with what is known of it.
struct Asked<'a> {
    question: &'a Question,
    keywords: &'a [(&'a str, &'a [Row])],
    words: &'a [Word],
    features: &'a [Feature],
    weighed: &'a Weighed<'a>,
}

impl Asked<'_> {
    /// Which words spoke for the tool, and their shares in what did.
    fn reasons(&self, tool: u32, unit: f32) -> Vec<WordShare> {
        let mut shares = vec![0.0f32; self.words.len()];
        for known in &self.weighed.known {
            let speaks = known.speaks(tool, unit);
            let (first, second) = self.features[known.at].words;
            // Of a pair each word is a half.
            shares[usize::from(first)] += speaks / 2.0;
            shares[usize::from(second)] += speaks / 2.0;
        }
        let mut reasons: Vec<(f32, &str)> = Vec::new();
        for (word, share) in self.words.iter().zip(shares) {
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

/// Suggestions as the original's hooks read them: a line for each.
fn as_lines(suggestions: &[Suggestion]) -> String {
    let mut lines = String::with_capacity(suggestions.len() * 48);
    for Suggestion { tool_name, tool_type, score, .. } in suggestions {
        let separator = if lines.is_empty() { "" } else { "\n" };
        // Writing to a text cannot fail.
        let _ = write!(lines, "{separator}{tool_name}|{tool_type}|{score}");
    }
    lines
}

/// After how many lessons one is followed by a rehearsal, when so many were learned.
fn rehearsal_every(learned: u64) -> u64 {
    (learned / REHEARSED_AT_FIRST).clamp(1, REHEARSED_AT_LAST)
}

/// How many rehearsals there are at once, when so many lessons were learned: the first lessons are all there is to go by.
fn rehearsals(learned: u64) -> u64 {
    (REHEARSED_MORE / learned.max(1)).clamp(1, 4)
}

/// What each of so many features gets of one lesson: long texts do not count more than short ones.
#[expect(clippy::cast_precision_loss, reason = "a text has a few hundred features")]
fn evenly(features: usize) -> f32 {
    1.0 / (features as f32).sqrt()
}

/// How the best stand among all tools.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn outlook<'a>(sums: &'a [f32], tools: usize, weighed: &Weighed<'_>) -> Outlook<'a> {
    let others = (tools.saturating_sub(sums.len()) as f32, weighed.mean_offset());
    Outlook { sums, others, known: weighed.known_share() }
}

/// A number that looks drawn by chance, and is the same for the same `number` everywhere.
fn scattered(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
