//! How recorded scores move: the deltas of CONTRACT D.

const LOWEST: f64 = 0.1;
const HIGHEST: f64 = 5.0;
/// What a pair starts with, whatever its first outcome.
const FIRST: f64 = 1.0;

/// What one lesson or opinion does to the score of a pair of keyword and tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScoreChange {
    /// What a pair that is not there begins with; feedback alone makes none.
    pub(super) new_score: Option<f64>,
    /// How far an existing score moves.
    pub(crate) delta: f64,
    /// Uses to add.
    pub(super) usage: i32,
    /// Successes to add.
    pub(super) success: i32,
}

/// What one recorded action teaches about each of its words.
pub(super) fn lesson(succeeded: bool) -> ScoreChange {
    ScoreChange {
        new_score: Some(FIRST),
        delta: if succeeded { 0.1 } else { -0.05 },
        usage: 1,
        success: i32::from(succeeded),
    }
}

/// What one feedback does to each of its words; it never creates a pair.
pub(crate) fn opinion(chosen: bool) -> ScoreChange {
    ScoreChange { new_score: None, delta: if chosen { 0.2 } else { -0.1 }, usage: 0, success: 0 }
}

impl ScoreChange {
    /// The score that `score` becomes; it stays between 0.1 and 5.0.
    pub(super) fn apply(&self, score: f64) -> f64 {
        (score + self.delta).clamp(LOWEST, HIGHEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_move_by_the_steps_of_the_contract_and_stay_within_bounds() {
        let moved = |score: f64, change: &ScoreChange| (change.apply(score) * 1000.0).round() / 1000.0;
        assert_eq!((moved(1.0, &lesson(true)), moved(1.0, &lesson(false))), (1.1, 0.95));
        assert_eq!((moved(1.0, &opinion(true)), moved(1.0, &opinion(false))), (1.2, 0.9));
        assert_eq!((moved(4.95, &opinion(true)), moved(0.12, &lesson(false))), (5.0, 0.1));
        assert_eq!((lesson(false).new_score, opinion(true).new_score), (Some(1.0), None));
    }
}
