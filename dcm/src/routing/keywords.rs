//! From a tool's input to the words that the scorer learns from.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// The most words that one action teaches.
pub const MAX_KEYWORDS: usize = 10;

/// Function words of English, and words that every JSON input of a tool holds; in order, to be searched.
#[rustfmt::skip]
const STOP_WORDS: [&str; 81] = [
    "about", "after", "against", "all", "and", "any", "are", "been", "before", "being", "between", "both",
    "but", "can", "could", "did", "does", "doing", "during", "each", "error", "every", "false", "few", "file",
    "for", "from", "had", "has", "have", "her", "his", "into", "its", "just", "may", "might", "more", "most",
    "must", "nor", "not", "null", "ok", "only", "onto", "other", "our", "over", "own", "path", "same",
    "shall", "should", "some", "such", "than", "that", "the", "their", "them", "these", "they", "this",
    "those", "through", "too", "true", "undefined", "under", "very", "was", "were", "will", "with", "within",
    "without", "would", "yet", "you", "your",
];

/// The words of `input`, the most frequent first, at most [`MAX_KEYWORDS`].
///
/// Lower case; everything but ASCII letters, digits, `-` and `_` separates; 3 to 29 characters; no stop words; words
/// that are equally frequent keep the order of their first appearance (CONTRACT D).
#[must_use]
pub fn extract_keywords(input: &str) -> Vec<String> {
    first_keywords(input, MAX_KEYWORDS)
}

/// The words of `input` as [`extract_keywords`] orders them, however many.
pub(super) fn all_keywords(input: &str) -> Vec<String> {
    first_keywords(input, usize::MAX)
}

fn first_keywords(input: &str, most: usize) -> Vec<String> {
    // Most input is ASCII, which is quicker to make lower case; beyond it there are letters whose lower case is ASCII.
    let lower = if input.is_ascii() { input.to_ascii_lowercase() } else { input.to_lowercase() };
    let mut counts: Vec<(&str, usize)> = Vec::new();
    // About as many as there are, so that it need not grow; most inputs say a word once.
    let words = (lower.len() / 8).min(256);
    let mut places =
        HashMap::<&str, usize, RandomState>::with_capacity_and_hasher(words, RandomState::default());
    let separates = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    for word in lower.split(separates).filter(|word| (3..=29).contains(&word.len())) {
        let place = *places.entry(word).or_insert_with(|| {
            counts.push((word, 0));
            counts.len() - 1
        });
        counts[place].1 += 1;
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    // Only the first are looked up among the stop words.
    let told =
        counts.into_iter().map(|(word, _)| word).filter(|word| STOP_WORDS.binary_search(word).is_err());
    told.take(most).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_first_then_first_seen() {
        let words = extract_keywords(
            r#"{"command":"cargo test --workspace && cargo fmt","description":"Run the tests"}"#,
        );
        assert_eq!(words, ["cargo", "command", "test", "--workspace", "fmt", "description", "run", "tests"]);
    }

    #[test]
    fn the_stop_words_are_in_order() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn lengths_stop_words_and_the_cap() {
        assert_eq!(extract_keywords("the file path of an ok a bc"), Vec::<String>::new());
        assert_eq!(extract_keywords(&"x".repeat(30)), Vec::<String>::new());
        assert_eq!(extract_keywords(&"x".repeat(29)).len(), 1);
        let many: String = (0..40).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
        assert_eq!(extract_keywords(&many).len(), MAX_KEYWORDS);
    }
}
