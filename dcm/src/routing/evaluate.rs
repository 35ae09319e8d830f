//! How good suggestions are, on texts whose tool is known.

use crate::api::routing::Suggestions;

/// The classes of confidence that are compared with how often it was right.
const CLASSES: usize = 10;

/// What one class of confidence holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Class {
    answers: u32,
    confidence: f64,
    right: u32,
}

/// Counts answers against the tool that would have been right.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    answers: u32,
    hits: [u32; 3],
    abstained: u32,
    right_unless_abstained: u32,
    classes: [Class; CLASSES],
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a confidence is between 0 and 1"
)]
fn class_of(confidence: f64) -> usize {
    ((confidence * 10.0) as usize).min(CLASSES - 1)
}

impl Evaluation {
    /// Adds one answer.
    pub fn add(&mut self, answer: &Suggestions, right: &str) {
        let place = answer.suggestions.iter().position(|suggestion| suggestion.tool_name == right);
        self.answers += 1;
        for (hits, depth) in self.hits.iter_mut().zip([1, 3, 5]) {
            *hits += u32::from(place.is_some_and(|place| place < depth));
        }
        let first = u32::from(place == Some(0));
        let confidence = answer.suggestions.first().map_or(0.0, |best| best.confidence);
        let class = &mut self.classes[class_of(confidence)];
        class.answers += 1;
        class.confidence += confidence;
        class.right += first;
        if answer.abstained {
            self.abstained += 1;
        } else {
            self.right_unless_abstained += first;
        }
    }

    fn share(&self, count: u32) -> f64 {
        f64::from(count) / f64::from(self.answers.max(1))
    }

    /// How many answers were added.
    #[must_use]
    pub fn answers(&self) -> u32 {
        self.answers
    }

    /// The share of answers with the right tool in the first, the first three and the first five places.
    #[must_use]
    pub fn hits(&self) -> [f64; 3] {
        self.hits.map(|hits| self.share(hits))
    }

    /// The expected calibration error of the first places: by how much confidence and truth differ, over ten classes.
    #[must_use]
    pub fn calibration_error(&self) -> f64 {
        let error = |class: &Class| (class.confidence - f64::from(class.right)).abs();
        self.classes.iter().map(error).sum::<f64>() / f64::from(self.answers.max(1))
    }

    /// The share of answers that said they do not know.
    #[must_use]
    pub fn abstained(&self) -> f64 {
        self.share(self.abstained)
    }

    /// The share of right first places among the answers that did not.
    #[must_use]
    pub fn right_unless_abstained(&self) -> f64 {
        f64::from(self.right_unless_abstained) / f64::from((self.answers - self.abstained).max(1))
    }

    /// For each class of confidence that was said: how often, how sure on average, and how often it was right.
    pub fn classes(&self) -> impl Iterator<Item = (u32, f64, f64)> {
        self.classes.iter().filter(|class| class.answers > 0).map(|class| {
            let answers = f64::from(class.answers);
            (class.answers, class.confidence / answers, f64::from(class.right) / answers)
        })
    }
}
