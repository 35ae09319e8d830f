//! Scores that were recorded before there was evidence: those of a database that another version filled.

use super::Scorer;
use super::features::features;
use super::recorded::Row;
use super::words::words;
use crate::model::KeywordScore;

/// What a use counts for one word when the rest of what was said is not known: a text has some 25 features.
const SHARE: f32 = 0.2;

impl Scorer {
    /// Takes over one recorded score, as it is, and as evidence for its word.
    pub fn adopt(&mut self, score: &KeywordScore) {
        let Some(tool) = self.number(&score.tool_name, Some(score.tool_type)) else { return };
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
        let unit = self.pass_time(score.last_used);
        let uses = f64::from(score.success_count) - 0.5 * f64::from(score.usage_count - score.success_count);
        #[expect(clippy::cast_possible_truncation, reason = "an estimate")]
        let weight = uses.max(0.0) as f32 * unit * SHARE;
        if weight > 0.0 {
            for feature in features(&words(&score.keyword)) {
                self.evidence.add(feature.key, tool, weight);
            }
        }
        self.stay_within_capacity();
    }
}
