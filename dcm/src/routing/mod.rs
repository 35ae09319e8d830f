//! The scorer: which tool serves which words.
//!
//! A [`Lesson`] is a use of a tool, or an opinion on a suggestion. [`Scorer`] learns from lessons in order and answers
//! a [`Question`] with tools, how sure it is of each, and which words spoke for it. [`Evaluation`] measures that on texts
//! that it has not seen.

mod adopt;
mod best;
mod calibration;
mod evaluate;
mod evidence;
mod fast;
mod features;
mod keywords;
mod lesson;
mod question;
mod recorded;
mod report;
mod score;
mod scorer;
mod spoken;
mod strength;
#[cfg(test)]
mod tests;
mod tools;
mod words;

pub use evaluate::Evaluation;
pub use keywords::{MAX_KEYWORDS, extract_keywords};
pub use lesson::{Lesson, Outcome, taught_text};
pub use question::Question;
pub(crate) use score::opinion;
pub use scorer::{DEFAULT_CAPACITY, Scorer};
pub use spoken::spoken;
pub use words::{MAX_WORDS, Word, words};

/// After how many days a lesson counts half: last week's outvote last year's sixty to one.
pub const HALF_LIFE_DAYS: i32 = 60;

/// Below this confidence of the best suggestion the scorer says that it does not know.
pub const ABSTAIN_BELOW: f64 = 0.3;

/// `value` with so many decimals.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10f64.powi(decimals);
    (value * factor).round() / factor
}

fn percent(part: i64, whole: i64) -> i64 {
    if whole <= 0 { 0 } else { (part * 200 + whole) / (whole * 2) }
}
