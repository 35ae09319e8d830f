//! What the scorer learns from.

use super::keywords::extract_keywords;
use super::spoken::spoken;
use crate::model::ToolType;
use crate::time::Timestamp;

/// The most bytes of what was said that the scorer learns from: longer than its words are on average.
const SAID_LIMIT: usize = 400;

/// What the scorer learns from an input of a tool: the beginning of what it says.
#[must_use]
pub fn taught_text(input: &str) -> String {
    let said = spoken(input);
    let end = (0..=SAID_LIMIT.min(said.len())).rev().find(|end| said.is_char_boundary(*end)).unwrap_or(0);
    said[..end].to_owned()
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A tool was used and succeeded.
    Succeeded,
    /// A tool was used and failed.
    Failed,
    /// A suggestion was taken.
    Chosen,
    /// A suggestion was not taken.
    Rejected,
}

impl Outcome {
    /// How a use of a tool went.
    #[must_use]
    pub fn of_use(succeeded: bool) -> Self {
        if succeeded { Self::Succeeded } else { Self::Failed }
    }

    /// What became of a suggestion.
    #[must_use]
    pub fn of_suggestion(chosen: bool) -> Self {
        if chosen { Self::Chosen } else { Self::Rejected }
    }

    /// The number under which a store keeps it.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Failed => 0,
            Self::Succeeded => 1,
            Self::Rejected => 2,
            Self::Chosen => 3,
        }
    }

    /// What a store keeps under `number`.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Failed, Self::Succeeded, Self::Rejected, Self::Chosen]
            .into_iter()
            .find(|outcome| outcome.number() == number)
    }

    /// What it counts as evidence, in the proportions of the scores' deltas.
    pub(super) fn weight(self) -> f32 {
        match self {
            Self::Succeeded => 1.0,
            Self::Failed => -0.5,
            Self::Chosen => 2.0,
            Self::Rejected => -1.0,
        }
    }
}

/// One thing to learn: these words, this tool, and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// What was said, in order.
    pub text: String,
    /// The words whose scores move; see [`extract_keywords`].
    pub keywords: Vec<String>,
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is, where the lesson says so.
    pub tool_type: Option<ToolType>,
    /// How it went.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

impl Lesson {
    /// A tool was used with this input; it teaches what a recorded action does.
    #[must_use]
    pub fn used(input: &str, tool_name: &str, tool_type: ToolType, succeeded: bool, at: Timestamp) -> Self {
        Self {
            text: taught_text(input),
            keywords: extract_keywords(input),
            tool_name: tool_name.to_owned(),
            tool_type: Some(tool_type),
            outcome: Outcome::of_use(succeeded),
            at,
        }
    }

    /// A tool was suggested for these words.
    #[must_use]
    pub fn suggested(keywords: &[String], tool_name: &str, chosen: bool, at: Timestamp) -> Self {
        Self {
            text: keywords.join(" "),
            keywords: keywords.iter().map(|keyword| keyword.to_lowercase()).collect(),
            tool_name: tool_name.to_owned(),
            tool_type: None,
            outcome: Outcome::of_suggestion(chosen),
            at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_what_was_said_is_learned() {
        assert_eq!(taught_text(r#"{"command":"cargo test"}"#), "cargo test\n");
        assert_eq!(taught_text(&"ä".repeat(300)), "ä".repeat(200));
        assert_eq!(taught_text(&format!("a{}", "ä".repeat(300))).len(), SAID_LIMIT - 1);
    }
}
