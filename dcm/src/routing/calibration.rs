//! From sums of evidence to honest probabilities.
//!
//! The scorer keeps a sample of its lessons and, with each new one, asks itself about an old one as if it had never been
//! learned. How often it is right then is what its confidence says.

/// How many tools of an answer are calibrated.
pub(super) const RANKS: usize = 5;

/// What a unit of evidence is worth in logits before anything is known about how honest that is.
const WORTH: f32 = 0.64;

/// How much of what was learned stays with each new example: the last thousand or so count.
const STAYS: f64 = 0.999;

/// What a confidence is made of: a constant, the odds among all tools, how far it is from the one before or after, and
/// how much of the text is known.
const INPUTS: usize = 4;
type Inputs = [f64; INPUTS];

/// A logistic regression, learned online to the second order (a Kalman filter on its weights).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Logistic {
    pub(super) weights: Inputs,
    pub(super) spread: [Inputs; INPUTS],
}

const START_SPREAD: f64 = 0.3;

impl Logistic {
    fn new(weights: Inputs) -> Self {
        let mut spread = [[0.0; INPUTS]; INPUTS];
        for (n, row) in spread.iter_mut().enumerate() {
            row[n] = START_SPREAD;
        }
        Self { weights, spread }
    }

    fn probability(&self, inputs: Inputs) -> f64 {
        let sum: f64 = inputs.iter().zip(&self.weights).map(|(input, weight)| input * weight).sum();
        1.0 / (1.0 + (-sum).exp())
    }

    fn learn(&mut self, inputs: Inputs, right: bool) {
        // Old examples fade, but doubt does not grow beyond what it was at first.
        if (0..INPUTS).all(|n| self.spread[n][n] < START_SPREAD) {
            self.spread.iter_mut().flatten().for_each(|value| *value /= STAYS);
        }
        let probability = self.probability(inputs);
        let slope = probability * (1.0 - probability);
        let reach: Inputs =
            std::array::from_fn(|row| self.spread[row].iter().zip(&inputs).map(|(s, input)| s * input).sum());
        let whole: f64 =
            1.0 + slope * inputs.iter().zip(&reach).map(|(input, reach)| input * reach).sum::<f64>();
        for (row, values) in self.spread.iter_mut().enumerate() {
            for (column, value) in values.iter_mut().enumerate() {
                *value -= slope * reach[row] * reach[column] / whole;
            }
        }
        let error = f64::from(u8::from(right)) - probability;
        for (weight, reach) in self.weights.iter_mut().zip(&reach) {
            *weight += reach * error / whole;
        }
    }
}

/// Turns sums into confidences.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calibration {
    pub(super) first: Logistic,
    pub(super) later: Logistic,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { first: Logistic::new([-1.0, 0.4, 0.1, 0.5]), later: Logistic::new([-0.5, 0.4, -0.3, 0.0]) }
    }
}

/// How the best tools stand, the best first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlook<'a> {
    /// The sums of the best tools, in order.
    pub(super) sums: &'a [f32],
    /// How many tools there are besides, and what one of them comes to that nothing speaks for.
    pub(super) others: (f32, f32),
    /// The share of the features that is known.
    pub(super) known: f32,
}

#[expect(clippy::cast_precision_loss, reason = "a rank is small")]
impl Outlook<'_> {
    /// For each of the best what the calibration looks at.
    fn inputs(&self, count: usize) -> Vec<Inputs> {
        let Some(top) = self.sums.first().copied() else { return Vec::new() };
        let power = |sum: &f32| {
            let logit = (sum - top) * WORTH;
            if logit < -20.0 { 0.0 } else { f64::from(logit).exp() }
        };
        let powers: Vec<f64> = self.sums.iter().map(power).collect();
        // One more than there are: the tool that nobody has used yet.
        let (number, sum) = self.others;
        let others = f64::from(((sum - top) * WORTH).clamp(-80.0, 20.0)).exp() * (f64::from(number) + 1.0);
        let whole = powers.iter().sum::<f64>() + others;
        let shares: Vec<f64> =
            powers.iter().map(|power| (power / whole).clamp(1e-6, 1.0 - 1e-6)).take(count.max(2)).collect();
        let known = f64::from(self.known.max(0.01)).ln();
        shares
            .iter()
            .take(count)
            .enumerate()
            .map(|(rank, share)| {
                let third = match rank {
                    0 => shares.get(1).map_or(8.0, |second| (share / second).ln().min(8.0)),
                    _ => (rank - 1) as f64,
                };
                [1.0, (share / (1.0 - share)).ln(), third, known]
            })
            .collect()
    }
}

impl Calibration {
    /// How likely each of the best so many is to be right; never more than one before it, and together at most one.
    pub(super) fn confidences(&self, outlook: Outlook<'_>, count: usize) -> Vec<f64> {
        let mut most = 1.0f64;
        let mut left = 1.0f64;
        let ask = |(rank, inputs): (usize, Inputs)| {
            let model = if rank == 0 { &self.first } else { &self.later };
            let confidence = model.probability(inputs).min(most).min(left.max(0.0));
            most = confidence;
            left -= confidence;
            confidence
        };
        outlook.inputs(count).into_iter().enumerate().map(ask).collect()
    }

    /// Learns from an answer of which it is known which place was the right one.
    pub(super) fn learn(&mut self, outlook: Outlook<'_>, right: Option<usize>) {
        for (rank, inputs) in outlook.inputs(RANKS).into_iter().enumerate() {
            let model = if rank == 0 { &mut self.first } else { &mut self.later };
            model.learn(inputs, right == Some(rank));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_becomes_how_often_it_is_right() {
        let mut calibration = Calibration::default();
        let sums = [9.0, 4.0, 1.0];
        let outlook = Outlook { sums: &sums, others: (3.0, 0.0), known: 0.5 };
        for n in 0..4000 {
            calibration.learn(outlook, Some(usize::from(n % 4 == 0)));
        }
        let confidences = calibration.confidences(outlook, 2);
        assert!((confidences[0] - 0.75).abs() < 0.03, "{confidences:?}");
        assert!((confidences[1] - 0.25).abs() < 0.03, "{confidences:?}");
    }

    #[test]
    fn confidences_fall_and_are_no_more_than_one_together() {
        let calibration = Calibration::default();
        let sums: Vec<f32> = (0..50u8).map(|n| 3.0 - f32::from(n) * 0.01).collect();
        let outlook = Outlook { sums: &sums, others: (0.0, 0.0), known: 1.0 };
        let confidences = calibration.confidences(outlook, 50);
        assert!(confidences.is_sorted_by(|a, b| a >= b), "{confidences:?}");
        assert!(confidences.iter().sum::<f64>() <= 1.0 + 1e-9);
        let nothing = Outlook { sums: &[], others: (5.0, 0.0), known: 0.0 };
        assert!(calibration.confidences(nothing, 5).is_empty());
    }
}
