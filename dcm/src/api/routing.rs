//! `/api/routing`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::input::{FieldValue, NAME, Rule, input, text};
use crate::model::ToolType;

input! {
    /// `GET /api/routing/suggest`: which tools served such words, the most likely first.
    RoutingSuggest {
        /// Words, separated by commas or white space: only tools that were used with one of them. This or `prompt`.
        keywords: Option<String> [text(0, 10_000)],
        /// Free text, as a person would say it: every tool that anything in it speaks for. This or `keywords`.
        prompt: Option<String> [text(0, 10_000)],
        /// How many at most; 10 unless given, 50 at most.
        limit: Option<u32>,
        /// Only what one word alone scores at least so high; 0.5 for `keywords` and nothing for `prompt` unless given.
        min_score: Option<f64>,
        /// Only this kind of tool; an unknown word matches nothing.
        tool_type: Option<String>,
        /// Not these kinds of tools, separated by commas.
        exclude_types: Option<String>,
    }
}

input! {
    /// `GET /api/routing/stats`
    RoutingStats {}
}

input! {
    /// `POST /api/routing/feedback`
    RoutingFeedback {
        /// The tool that the feedback is about.
        tool_name: String [NAME] => "Missing required fields: tool_name and keywords",
        /// The words it was suggested for.
        keywords: Vec<String> [text(1, 255)] => "Missing required fields: tool_name and keywords",
        /// Whether it was taken; anything that is not true in JavaScript's sense means it was not.
        chosen: Option<Truthy>,
    }
}

/// A yes or no in JavaScript's sense: `false`, `0`, `""` and absence are no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Truthy(pub bool);

impl FieldValue for Truthy {
    fn from_json(raw: &RawValue) -> Result<Self, String> {
        Ok(Self(match raw.get() {
            "false" | "\"\"" => false,
            text => !text.parse::<f64>().is_ok_and(|number| number == 0.0),
        }))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Self(!matches!(text, "" | "false" | "0")))
    }

    fn check(&self, _: &Rule) -> Result<(), String> {
        Ok(())
    }
}

/// Answer to [`RoutingSuggest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suggestions {
    /// The words whose recorded scores are shown.
    pub keywords: Vec<String>,
    /// The tools, the most likely first.
    pub suggestions: Vec<Suggestion>,
    /// How many.
    pub count: usize,
    /// `name|type|score` by line, for shell scripts.
    pub compat_output: String,
    /// Whether even the first suggestion is too uncertain to rely on, or there is none.
    pub abstained: bool,
    /// The confidence below which that is so.
    pub abstains_below: f64,
}

/// One tool that served the words before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suggestion {
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// The mean of its words' scores, rounded to 3 decimals.
    pub score: f64,
    /// How often it was used with these words.
    pub usage_count: i64,
    /// How often it succeeded then, in percent.
    pub success_rate: i64,
    /// The words with a recorded score, in alphabetical order.
    pub keyword_matches: Vec<String>,
    /// How likely it is the right one: of those said at 0.8, about 80 % are.
    pub confidence: f64,
    /// The words that spoke for it, the strongest first.
    pub why: Vec<WordShare>,
}

/// A word that spoke for a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WordShare {
    /// The word of the question, in lower case and without accents.
    pub word: String,
    /// Its share in everything that spoke for the tool, between 0 and 1.
    pub share: f64,
}

/// Answer to [`RoutingStats`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutingReport {
    /// Over everything.
    pub totals: RoutingTotals,
    /// The ten tools with the highest mean score.
    pub top_by_score: Vec<ToolByScore>,
    /// The ten tools that were used most.
    pub top_by_usage: Vec<ToolByUsage>,
    /// Tools by kind, the most frequent kind first.
    pub type_distribution: Vec<ToolTypeCount>,
}

/// The scorer as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutingTotals {
    /// Pairs of word and tool.
    pub total_records: i64,
    /// Words.
    pub unique_keywords: i64,
    /// Tools.
    pub unique_tools: i64,
    /// Mean score, 3 decimals.
    pub avg_score: f64,
    /// Mean number of uses, 1 decimal.
    pub avg_usage: f64,
}

/// A tool and its mean score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolByScore {
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// Mean score, 3 decimals.
    pub avg_score: f64,
}

/// A tool and how often it was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolByUsage {
    /// The tool.
    pub tool_name: String,
    /// What kind of tool it is.
    pub tool_type: ToolType,
    /// Uses, summed over words.
    pub total_usage: i64,
}

/// How many tools of a kind there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolTypeCount {
    /// The kind.
    pub tool_type: ToolType,
    /// How many tools.
    pub tool_count: i64,
}

/// Answer to [`RoutingFeedback`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeedbackTaken {
    /// Always true.
    pub success: bool,
    /// What was done, for people.
    pub message: String,
    /// By how much each score moved.
    pub adjustment: f64,
}
