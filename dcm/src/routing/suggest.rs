//! From words to tools.

use std::collections::BTreeMap;

use crate::api::routing::{Suggestion, Suggestions};
use crate::model::{KeywordScore, ToolType};

/// The words of `text`: separated by commas or white space, in lower case, repeated ones included.
pub(crate) fn parse_keywords(text: &str) -> Vec<String> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// `value` with so many decimals.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10f64.powi(decimals);
    (value * factor).round() / factor
}

struct Candidate {
    score_sum: f64,
    rows: u32,
    usage: i64,
    success: i64,
    keywords: Vec<String>,
}

/// The tools of `scores` (rows of the asked words, each at least `min_score`), the best first: more matched words,
/// then the higher mean score, then more uses, then the name.
pub(crate) fn suggest(keywords: Vec<String>, scores: Vec<KeywordScore>, limit: usize) -> Suggestions {
    let mut candidates: BTreeMap<(String, ToolType), Candidate> = BTreeMap::new();
    for row in scores {
        let candidate = candidates.entry((row.tool_name, row.tool_type)).or_insert_with(|| Candidate {
            score_sum: 0.0,
            rows: 0,
            usage: 0,
            success: 0,
            keywords: Vec::new(),
        });
        candidate.score_sum += f64::from(row.score);
        candidate.rows += 1;
        candidate.usage += i64::from(row.usage_count);
        candidate.success += i64::from(row.success_count);
        candidate.keywords.push(row.keyword);
    }
    let mut suggestions: Vec<Suggestion> = candidates
        .into_iter()
        .map(|((tool_name, tool_type), mut candidate)| {
            candidate.keywords.sort_unstable();
            candidate.keywords.dedup();
            Suggestion {
                tool_name,
                tool_type,
                score: rounded(candidate.score_sum / f64::from(candidate.rows), 3),
                usage_count: candidate.usage,
                success_rate: percent(candidate.success, candidate.usage),
                keyword_matches: candidate.keywords,
            }
        })
        .collect();
    suggestions.sort_by(|a, b| {
        b.keyword_matches
            .len()
            .cmp(&a.keyword_matches.len())
            .then(b.score.total_cmp(&a.score))
            .then(b.usage_count.cmp(&a.usage_count))
    });
    suggestions.truncate(limit);
    let compat_output = suggestions
        .iter()
        .map(|one| format!("{}|{}|{}", one.tool_name, one.tool_type, one.score))
        .collect::<Vec<_>>()
        .join("\n");
    Suggestions { keywords, count: suggestions.len(), suggestions, compat_output }
}

fn percent(part: i64, whole: i64) -> i64 {
    if whole <= 0 { 0 } else { (part * 200 + whole) / (whole * 2) }
}
