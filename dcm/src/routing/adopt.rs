//! Scores that were recorded before there was evidence: those of a database that another version filled.

use super::Scorer;
use super::features::features;
use super::recorded::Row;
use super::words::words;
use crate::model::KeywordScore;
use crate::time::Timestamp;

/// What a use counts for one word when the rest of what was said is not known: a text has some 25 features.
const SHARE: f32 = 0.2;

impl Scorer {
    /// Puts a recorded score in the place of the one there may be.
    pub fn restore(&mut self, score: &KeywordScore) {
        // What kind of tool it is says its latest score, which comes first.
        let known = self.tools.number_of(&score.tool_name);
        let Some(tool) = known.or_else(|| self.tools.number(&score.tool_name, Some(score.tool_type))) else {
            return;
        };
        let count = |number: i32| u32::try_from(number).unwrap_or(0);
        self.recorded.put(
            &score.keyword,
            Row {
                tool,
                score: score.score,
                usage: count(score.usage_count),
                success: count(score.success_count),
                last_used: u32::try_from(score.last_used.as_millis() / 1000).unwrap_or(0),
            },
        );
        self.settle(tool);
    }

    /// The recorded score of a word and a tool.
    #[must_use]
    pub fn recorded(&self, keyword: &str, tool_name: &str) -> Option<KeywordScore> {
        let number = self.tools.number_of(tool_name)?;
        let row = self.recorded.row(keyword, number)?;
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        Some(KeywordScore {
            keyword: keyword.to_owned(),
            tool_name: tool_name.to_owned(),
            tool_type: self.tools.get(number).kind,
            score: row.score,
            usage_count: count(row.usage),
            success_count: count(row.success),
            last_used: Timestamp::from_millis(i64::from(row.last_used) * 1000),
        })
    }

    /// Takes a score that stands for lessons which are not known any more as evidence for its word.
    pub fn seed(&mut self, score: &KeywordScore) {
        let Some(tool) = self.tools.number(&score.tool_name, Some(score.tool_type)) else { return };
        let unit = self.pass_time(score.last_used);
        let uses = f64::from(score.success_count) - 0.5 * f64::from(score.usage_count - score.success_count);
        #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
        let weight = uses as f32 * unit * SHARE;
        for feature in features(&words(&score.keyword)) {
            self.evidence.add(feature.key, tool, weight);
        }
        self.settle(tool);
    }
}
