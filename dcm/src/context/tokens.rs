//! What a text costs in tokens.

mod scripts;
mod words;

use scripts::{is_accented, price};
use words::Word;

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
/// and code, and up to twice above that of other languages, so that a budget that is kept in estimates is kept in truth.
///
/// It knows what letters of some twenty scripts cost in words, and how unlikely the letters of a Latin word are beside each
/// other. What it does not know costs a token for each byte.
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
    /// A Latin letter beyond ASCII.
    Accented,
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
        _ if is_accented(c) => Class::Accented,
        _ => Class::Other,
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

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The word that begins with `c`.
fn read_word(c: char, chars: &mut Characters<'_>) -> Word {
    let mut word = Word::new();
    match class(c) {
        Class::Upper => word.push_capital(c),
        Class::Lower => word.push_small(c),
        _ => word.push_accented(c),
    }
    if class(c) == Class::Upper {
        while let Some(next) = chars.next_if(char::is_ascii_uppercase) {
            word.push_capital(next);
        }
    }
    while let Some(next) = chars.next_if(|next| matches!(class(*next), Class::Lower | Class::Accented)) {
        if next.is_ascii() {
            word.push_small(next);
        } else {
            word.push_accented(next);
        }
    }
    word
}

/// What white space within a line costs that begins with `c`.
fn space(c: char, chars: &mut Characters<'_>) -> usize {
    let (mut spaces, mut changes, mut last) = (1, 0, c);
    while let Some(next) = chars.next_if(|next| class(*next) == Class::Space) {
        spaces += 1;
        changes += usize::from(next != last);
        last = next;
    }
    let next = chars.peek().copied().unwrap_or('\n');
    let more = 10 * (spaces / 16 + changes);
    match (spaces, c, class(next)) {
        // One space goes with what follows it.
        (1, ' ', Class::Lower | Class::Upper | Class::Accented | Class::Mark) => 0,
        (1, ' ', Class::Other) if price(next).script.is_some() => 0,
        (1, _, _) => 10,
        (_, _, Class::Digit | Class::Accented | Class::Other) => 20 + more,
        _ => 10 + more,
    }
}

/// The estimate in tenths of a token.
fn units(text: &str) -> usize {
    let mut units = 0;
    let mut run = Run::default();
    let mut previous = '\n';
    let mut script = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let kind = class(c);
        let before = units;
        let mut length = 1;
        let mut own_script = None;
        let begins_word = match kind {
            Class::Lower | Class::Upper => true,
            Class::Accented => chars.peek().is_some_and(char::is_ascii_lowercase),
            _ => false,
        };
        match kind {
            _ if begins_word => {
                let word = read_word(c, &mut chars);
                length = word.length();
                units += word.cost();
            }
            Class::Digit => {
                while chars.next_if(char::is_ascii_digit).is_some() {
                    length += 1;
                }
                // Numbers are cut into groups of three.
                units += 10 * usize::div_ceil(length, 3);
            }
            Class::Space => units += space(c, &mut chars),
            Class::Newline => {
                units += if previous == c || (previous, c) == ('\r', '\n') { 4 } else { 10 };
            }
            Class::Mark => {
                units += match c {
                    '\0'..='\x1f' | '\x7f' => 20,
                    '-' | '=' | '*' | '#' | '_' | '.' | '/' if previous == c => 4,
                    _ => 10,
                };
            }
            _ => {
                let price = price(c);
                let after = chars.peek().filter(|next| !next.is_ascii());
                units += price.between(script, after.and_then(|next| scripts::price(*next).script));
                own_script = price.script;
            }
        }
        script = own_script;
        previous = if begins_word { 'a' } else { c };
        if begins_word || kind == Class::Digit {
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
