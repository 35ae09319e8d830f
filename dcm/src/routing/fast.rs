//! Logarithms and powers that are fast enough for thousands of pairs a question, and the same on every machine.

/// The natural logarithm of a positive, normal number, to about four digits.
///
/// The platform's own is several times slower, and its last bits differ between platforms.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "an exponent is a small number, and a bit pattern below 2^31 is positive"
)]
pub(super) fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = ((bits >> 23) as i32 - 127) as f32;
    // The mantissa between 1 and 2, and a polynomial through its logarithm to the base of 2.
    let m = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000) - 1.0;
    let log2 =
        m * (1.441_835_9 + m * (-0.708_372_2 + m * (0.413_555_05 + m * (-0.191_262_5 + m * 0.044_243_74))));
    (exponent + log2) * std::f32::consts::LN_2
}

/// 2 to the power of `days / half_life`, the same everywhere.
pub(super) fn growth(days: i32, half_life: i32) -> f64 {
    let (whole, part) = (days.div_euclid(half_life), days.rem_euclid(half_life));
    // Only sums and products, which every machine rounds alike.
    let step = std::f64::consts::LN_2 / f64::from(half_life);
    // e^step by its series; a step is small, so eight terms are exact.
    let base = (1..=8u32).rev().fold(1.0, |sum, n| 1.0 + sum * step / f64::from(n));
    let part = (0..part).fold(1.0, |product, _| product * base);
    let half = if whole < 0 { 0.5 } else { 2.0 };
    (0..whole.unsigned_abs().min(64)).fold(part, |product, _| product * half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_close() {
        for x in [1.0f32, 1.000_1, 1.5, 1.999_9, 2.0, 3.3, 10.0, 1e6, 0.3, 1e-4] {
            assert!((ln(x) - x.ln()).abs() < 1e-3, "ln {x}: {} {}", ln(x), x.ln());
        }
    }

    #[test]
    fn weights_double_with_every_half_life() {
        assert!((growth(60, 60) - 2.0).abs() < 1e-12);
        assert!((growth(-30, 60) - 0.5f64.sqrt()).abs() < 1e-12);
        assert!((growth(0, 60) - 1.0).abs() < f64::EPSILON);
        assert!((growth(61, 60) / growth(1, 60) - 2.0).abs() < 1e-12);
    }
}
