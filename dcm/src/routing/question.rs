//! What the scorer is asked.

use super::keywords::all_keywords;
use crate::model::ToolType;

/// What a scorer is asked: words, and which tools may be the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What was said, in order.
    pub text: String,
    /// The words whose recorded scores are shown.
    pub keywords: Vec<String>,
    /// How many suggestions at most.
    pub limit: usize,
    /// Only tools with a recorded score of at least so much with one of the words. Words that cannot be recorded, for
    /// their letters are not all ASCII, are looked up in what was learned of them.
    pub min_score: Option<f64>,
    /// Only this kind of tools; none if it names no kind.
    pub tool_type: Option<String>,
    /// Not these kinds.
    pub exclude_types: Vec<String>,
}

impl Question {
    /// Free text: every tool that anything speaks for.
    #[must_use]
    pub fn prompt(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            keywords: all_keywords(text),
            limit: 10,
            min_score: None,
            tool_type: None,
            exclude_types: Vec::new(),
        }
    }

    /// Words, separated by commas or white space: the tools that were used with one of them before.
    #[must_use]
    pub fn keywords(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            keywords: text
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
                .collect(),
            min_score: Some(0.5),
            ..Self::prompt("")
        }
    }

    pub(super) fn wants_every_kind(&self) -> bool {
        self.tool_type.is_none() && self.exclude_types.is_empty()
    }

    pub(super) fn wants(&self, kind: ToolType) -> bool {
        self.tool_type.as_deref().is_none_or(|wanted| wanted == kind.as_str())
            && !self.exclude_types.iter().any(|excluded| excluded == kind.as_str())
    }
}
