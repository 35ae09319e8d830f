//! How scores move: the deltas of CONTRACT D, composed so that one row is written once per batch.

use crate::model::ToolType;

const LOWEST: f64 = 0.1;
const HIGHEST: f64 = 5.0;
/// What a pair starts with, whatever its first outcome.
const FIRST: f64 = 1.0;

/// What a batch does to the score of one pair of keyword and tool.
///
/// Each lesson is `x -> min(max(x + d, 0.1), 5)`; functions of that shape are closed under composition, so any number
/// of lessons is one `x -> min(max(x + delta, low), high)`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreChange {
    /// The row to insert when there is none; feedback alone inserts nothing.
    pub new_score: Option<f64>,
    /// How far an existing score moves.
    pub delta: f64,
    /// The lower bound of the moved score.
    pub low: f64,
    /// The upper bound of the moved score.
    pub high: f64,
    /// Uses to add.
    pub usage: i32,
    /// Successes to add.
    pub success: i32,
    /// The kind of the tool, if the batch says so.
    pub tool_type: Option<ToolType>,
}

/// What one recorded action teaches about each of its words.
#[must_use]
pub fn lesson(tool_type: ToolType, succeeded: bool) -> ScoreChange {
    ScoreChange {
        new_score: Some(FIRST),
        delta: if succeeded { 0.1 } else { -0.05 },
        low: LOWEST,
        high: HIGHEST,
        usage: 1,
        success: i32::from(succeeded),
        tool_type: Some(tool_type),
    }
}

/// What one feedback does to each of its words; it never creates a pair.
#[must_use]
pub fn opinion(chosen: bool) -> ScoreChange {
    let delta = if chosen { 0.2 } else { -0.1 };
    ScoreChange { new_score: None, delta, low: LOWEST, high: HIGHEST, usage: 0, success: 0, tool_type: None }
}

impl ScoreChange {
    /// The score that `score` becomes.
    #[must_use]
    pub fn apply(&self, score: f64) -> f64 {
        (score + self.delta).max(self.low).min(self.high)
    }

    /// This change followed by `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        Self {
            new_score: self.new_score.map(|score| next.apply(score)).or(next.new_score),
            delta: self.delta + next.delta,
            low: next.apply(self.low),
            high: next.apply(self.high),
            usage: self.usage + next.usage,
            success: self.success + next.success,
            tool_type: next.tool_type.or(self.tool_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn composition_is_application_in_order(start in 0.1f64..5.0, steps in proptest::collection::vec(0u8..4, 1..60)) {
            let changes: Vec<ScoreChange> = steps
                .iter()
                .map(|step| match step {
                    0 => lesson(ToolType::Builtin, true),
                    1 => lesson(ToolType::Builtin, false),
                    2 => opinion(true),
                    _ => opinion(false),
                })
                .collect();
            let one_by_one = changes.iter().fold(start, |score, change| change.apply(score));
            let composed = changes[1..].iter().fold(changes[0].clone(), |all, change| all.then(change));
            prop_assert!((composed.apply(start) - one_by_one).abs() < 1e-9);
            prop_assert!((0.1..=5.0).contains(&composed.apply(start)));
        }
    }

    #[test]
    fn a_new_pair_starts_at_one_and_moves_from_the_second_lesson() {
        let twice = lesson(ToolType::Mcp, false).then(&lesson(ToolType::Mcp, true));
        assert_eq!((twice.new_score, twice.usage, twice.success), (Some(1.1), 2, 1));
        let feedback_first = opinion(true).then(&lesson(ToolType::Mcp, true));
        assert_eq!(feedback_first.new_score, Some(1.0));
    }
}
