//! Text to words: what prompts, inputs of tools, identifiers and paths have in common.

use std::cell::RefCell;

use rust_stemmers::{Algorithm, Stemmer};
use twox_hash::XxHash3_64;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

/// The most words of one text that are looked at; the first ones, because that is where people say what they want.
pub const MAX_WORDS: usize = 64;

/// Longer ones are digests, keys and encoded data.
const MAX_WORD_CHARS: usize = 40;

/// Words of English that say how a sentence is built, not what it is about. They count only next to another word.
const STOP_WORDS: [&str; 63] = [
    "a", "am", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could", "d", "did", "do",
    "does", "for", "from", "had", "has", "have", "i", "if", "in", "is", "it", "its", "ll", "m", "may", "me",
    "might", "my", "of", "on", "or", "our", "re", "s", "should", "so", "some", "t", "that", "the", "there",
    "these", "they", "this", "those", "to", "us", "ve", "was", "we", "were", "will", "with", "would", "you",
    "your", "yours",
];

/// A word as it is compared, and as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// In lower case and without accents, but whole.
    pub text: String,
    /// What stands for all forms of the word: a hash of its stem.
    pub(super) key: u64,
    /// Whether it only holds the sentence together.
    pub(super) filler: bool,
}

/// How many words a thread remembers the stems of: stemming is most of the work, and texts repeat their words.
const REMEMBERED: usize = 2048;

/// A word that was stemmed: the hash of it, and what is known of it.
#[derive(Clone, Copy, Default)]
struct Remembered {
    text: u64,
    key: u64,
    filler: bool,
}

/// Makes words, and remembers some: each place is for whichever of its words came last.
struct Stems {
    stemmer: Stemmer,
    remembered: Box<[Remembered]>,
}

thread_local! {
    static STEMS: RefCell<Stems> = RefCell::new(Stems {
        stemmer: Stemmer::create(Algorithm::English),
        remembered: vec![Remembered::default(); REMEMBERED].into(),
    });
}

impl Stems {
    fn word(&mut self, text: String) -> Word {
        // As good as the word itself: what it stands for is a hash as well.
        let hash = XxHash3_64::oneshot(text.as_bytes());
        let place = usize::try_from(hash % REMEMBERED as u64).unwrap_or(0);
        let known = &mut self.remembered[place];
        if known.text != hash {
            *known = Remembered {
                text: hash,
                key: XxHash3_64::oneshot(self.stemmer.stem(&text).as_bytes()),
                filler: STOP_WORDS.binary_search(&text.as_str()).is_ok(),
            };
        }
        Word { text, key: known.key, filler: known.filler }
    }

    fn words<'a>(&mut self, parts: impl Iterator<Item = &'a str>) -> Vec<Word> {
        parts
            .flat_map(humps)
            .filter(|part| !part.is_empty() && part.chars().count() <= MAX_WORD_CHARS)
            .map(folded)
            .filter(|part| !part.is_empty())
            .take(MAX_WORDS)
            .map(|part| self.word(part))
            .collect()
    }
}

/// The first [`MAX_WORDS`] words of `text`.
///
/// Boundaries are those of Unicode; identifiers are split at their capitals and underscores (`HTTPServer_name` is
/// three words), paths at their separators. Case and accents do not count, nor do the endings of English words.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    STEMS.with_borrow_mut(|stems| {
        if text.is_ascii() {
            // No boundary of Unicode lies between two letters or digits of ASCII.
            stems.words(text.split(|c: char| !c.is_ascii_alphanumeric()))
        } else {
            stems.words(unicode_parts(text))
        }
    })
}

fn unicode_parts(text: &str) -> impl Iterator<Item = &str> {
    text.unicode_words().flat_map(|word| word.split(|c: char| !c.is_alphanumeric() && !is_combining_mark(c)))
}

/// `getUserName` as `get`, `User`, `Name`, and `HTTPServer` as `HTTP`, `Server`.
fn humps(word: &str) -> impl Iterator<Item = &str> {
    // Most words are plain.
    let is_plain = word.is_ascii() && !word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let mut rest = Some(word);
    std::iter::from_fn(move || {
        let word = rest.take()?;
        if is_plain {
            return Some(word);
        }
        let mut before: Option<char> = None;
        let mut letters = word.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let next_is_small = letters.peek().is_some_and(|(_, next)| next.is_lowercase());
            let starts = before.is_some_and(|before| {
                letter.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && next_is_small))
            });
            if starts {
                let (hump, others) = word.split_at(at);
                rest = Some(others);
                return Some(hump);
            }
            before = Some(letter);
        }
        Some(word)
    })
}

/// Without case, accents and other differences of writing.
fn folded(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    word.nfkd().filter(|c| !may_be_left_out(*c)).flat_map(char::to_lowercase).nfc().collect()
}

/// Marks that many people do not write: accents, the points of Hebrew, the short vowels of Arabic. Others make another word,
/// as the vowels of Devanagari and the voice marks of Kana do.
fn may_be_left_out(mark: char) -> bool {
    matches!(mark, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn stop_words_are_in_order_for_the_search() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn identifiers_and_paths_come_apart() {
        assert_eq!(
            texts("parseHTTPRequest in dcm-server/src/guard_test.rs"),
            ["parse", "http", "request", "in", "dcm", "server", "src", "guard", "test", "rs"]
        );
        assert_eq!(texts("sha256 of ÜberPrüfung"), ["sha256", "of", "uber", "prufung"]);
    }

    proptest::proptest! {
        #[test]
        fn ascii_is_split_as_unicode_says(text in "[ -~\\n\\t]{0,200}") {
            let general = STEMS.with_borrow_mut(|stems| stems.words(unicode_parts(&text)));
            proptest::prop_assert_eq!(words(&text), general);
        }
    }

    #[test]
    fn a_remembered_word_is_the_word_itself() {
        let stemmer = Stemmer::create(Algorithm::English);
        let letter = |digit: u32| char::from(b'a' + u8::try_from(digit).unwrap());
        // More words than are remembered, each twice.
        for number in (0..3 * REMEMBERED).flat_map(|number| [number, number]) {
            let word: String =
                format!("{number}ings").chars().map(|c| c.to_digit(10).map_or(c, letter)).collect();
            let key = XxHash3_64::oneshot(stemmer.stem(&word).as_bytes());
            assert_eq!(words(&word), [Word { text: word, key, filler: false }]);
        }
    }

    #[test]
    fn forms_of_a_word_are_one_word() {
        let keys: Vec<u64> = words("paper papers Papers' PAPER").iter().map(|word| word.key).collect();
        assert!(keys.windows(2).all(|two| two[0] == two[1]), "{keys:?}");
        // Composed and decomposed writing are the same.
        assert_eq!(words("résumé")[0].key, words("re\u{301}sume\u{301}")[0].key);
    }

    #[test]
    fn marks_that_make_another_word_stay() {
        for (one, other) in [("दान", "दिन"), ("カキ", "ガギ"), ("한", "하")] {
            assert_ne!(words(one), words(other));
        }
        assert_eq!(texts("データベース"), ["データベース"]);
        assert_eq!(texts("مُحَمَّد Ёлка"), ["محمد", "елка"]);
    }

    #[test]
    fn text_without_spaces_has_words_too() {
        assert_eq!(texts("天気予報").len(), 4);
    }

    #[test]
    fn long_words_and_long_texts_end() {
        assert_eq!(texts(&format!("a {} b", "x".repeat(41))), ["a", "b"]);
        assert_eq!(words(&"word ".repeat(1000)).len(), MAX_WORDS);
    }
}
