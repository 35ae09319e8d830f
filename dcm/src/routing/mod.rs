//! The scorer: which tool served which words (CONTRACT D).

mod keywords;
mod score;
mod suggest;

pub use keywords::{MAX_KEYWORDS, extract_keywords};
pub use score::{ScoreChange, lesson, opinion};
pub(crate) use suggest::{parse_keywords, rounded, suggest};
