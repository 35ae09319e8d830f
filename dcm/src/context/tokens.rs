//! What a text costs in tokens.

/// Counts the tokens of texts.
///
/// No vendor of models publishes all of its vocabularies, so every count is an estimate of what a model will see. The
/// yardstick here is the public vocabulary `o200k_base`.
pub trait TokenCounter: Send + Sync + std::fmt::Debug {
    /// How many tokens a text costs.
    fn count(&self, text: &str) -> usize;

    /// What one line of a longer text adds to it, in tenths of a token, its line end included.
    fn tenths(&self, line: &str) -> usize {
        (self.count(line) + 1) * 10
    }
}

/// A fast estimate that needs no vocabulary: it reads a text once and lies about a third above the true count of prose
/// and code, so that a budget that is kept in estimates is kept in truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate;

impl TokenCounter for Estimate {
    fn count(&self, text: &str) -> usize {
        if text.is_empty() {
            return 0;
        }
        units(text).div_ceil(10).max(utf16_quarter(text)) + 1
    }

    fn tenths(&self, line: &str) -> usize {
        (units(line) + 10).max(utf16_quarter(line) * 10)
    }
}

/// A quarter of the length in UTF-16: the measure that clients of older systems apply (CONTRACT E.4).
fn utf16_quarter(text: &str) -> usize {
    if text.is_ascii() { text.len().div_ceil(4) } else { text.encode_utf16().count().div_ceil(4) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Digit,
    Space,
    Newline,
    Mark,
    Other,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' => Class::Lower,
        'A'..='Z' => Class::Upper,
        '0'..='9' => Class::Digit,
        '\n' | '\r' => Class::Newline,
        ' ' | '\t' => Class::Space,
        _ if c.is_ascii() => Class::Mark,
        _ => Class::Other,
    }
}

/// A word of so many small letters, its capital included; in tenths of a token. Most words are one token; what stands
/// here covers the mixture of them with abbreviations and syllables that paths and code are made of.
fn word(letters: usize) -> usize {
    match letters {
        0 => 0,
        1 | 2 => 10,
        3..=6 => 14,
        7 => 16,
        8.. => 4 + letters * 2,
    }
}

/// Letters and digits without end are an identifier that no vocabulary knows when they change their kind often.
#[derive(Default)]
struct Run {
    length: usize,
    changes: usize,
    before: usize,
}

impl Run {
    /// Ends it: what it costs at least.
    fn end(&mut self, units: usize) -> usize {
        let floor = self.before + self.length * 9;
        let gibberish = self.changes >= 3 && self.length >= 8;
        *self = Self::default();
        if gibberish { units.max(floor) } else { units }
    }
}

/// The estimate in tenths of a token.
fn units(text: &str) -> usize {
    let mut units = 0;
    let mut run = Run::default();
    let mut previous = '\n';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let kind = class(c);
        let (before, mut length, mut last) = (units, 1, c);
        let mut take = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
                        wanted: &dyn Fn(char) -> bool| {
            let next = chars.next_if(|next| wanted(*next));
            if let Some(next) = next {
                length += 1;
                last = next;
            }
            next.is_some()
        };
        match kind {
            Class::Lower | Class::Upper => {
                let mut capitals = usize::from(kind == Class::Upper);
                let mut small = 1 - capitals;
                while small == 0 && take(&mut chars, &|next| class(next) == Class::Upper) {
                    capitals += 1;
                }
                while take(&mut chars, &|next| class(next) == Class::Lower) {
                    small += 1;
                }
                units += match capitals {
                    0 => word(small),
                    1 => word(small + 1) + if small > 2 { 2 } else { 0 },
                    _ => 10 * capitals.div_ceil(2) + word(small),
                };
            }
            Class::Digit => {
                // Numbers are cut into groups of three.
                for _ in 0..2 {
                    take(&mut chars, &|next| class(next) == Class::Digit);
                }
                units += 10;
            }
            Class::Space => {
                let mut spaces = 1;
                while take(&mut chars, &|next| class(next) == Class::Space) {
                    spaces += 1;
                }
                let next = chars.peek().map_or(Class::Newline, |next| class(*next));
                // One space goes with what follows it.
                units += match (spaces, c, next) {
                    (1, ' ', Class::Lower | Class::Upper | Class::Mark | Class::Other) => 0,
                    (1, _, _) => 10,
                    (_, _, Class::Digit | Class::Other) => 20 + spaces / 16 * 10,
                    _ => 10 + spaces / 16 * 10,
                };
            }
            Class::Newline => units += if class(previous) == Class::Newline { 4 } else { 10 },
            Class::Mark => {
                units += match c {
                    '\0'..='\x1f' | '\x7f' => 20,
                    '-' | '=' | '*' | '#' | '_' | '.' | '/' if previous == c => 4,
                    _ => 10,
                };
            }
            Class::Other => {
                units += match (c.len_utf8(), c.is_alphabetic()) {
                    (2, true) => 14,
                    (2, false) | (3, true) => 20,
                    (3, false) => 25,
                    _ => 30,
                };
            }
        }
        previous = last;
        if matches!(kind, Class::Lower | Class::Upper | Class::Digit) {
            if run.length == 0 {
                run.before = before;
            } else {
                run.changes += 1;
            }
            run.length += length;
        } else if run.length > 0 {
            let own = units - before;
            units = run.end(before) + own;
        }
    }
    run.end(units)
}

/// The true count of `o200k_base`.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct O200k;

#[cfg(feature = "tokens")]
impl TokenCounter for O200k {
    fn count(&self, text: &str) -> usize {
        tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn costs_by_example() {
        assert_eq!(Estimate.count(""), 0);
        assert_eq!(Estimate.count("a"), 2);
        assert!(Estimate.count("toolu_013MtzQGksfjemib35WegbJq") >= 18);
        assert!(Estimate.count(&"ä".repeat(40)) >= 40);
    }

    proptest! {
        #[test]
        fn a_text_costs_at_most_what_its_lines_cost(lines in proptest::collection::vec("\\PC{0,60}", 0..20)) {
            let sum: usize = lines.iter().map(|line| Estimate.tenths(line)).sum();
            prop_assert!(Estimate.count(&lines.join("\n")) <= sum.div_ceil(10) + 1);
        }
    }
}
