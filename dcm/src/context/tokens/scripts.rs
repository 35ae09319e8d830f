//! What letters and signs beyond ASCII cost, without a vocabulary.

/// What a character costs, in tenths of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price {
    /// Whose letter it is; nothing for what makes no words.
    pub(super) script: Option<&'static str>,
    /// Without another of its script beside it: what somebody lists, or chance.
    alone: u8,
    /// Before others of its script.
    begins: u8,
    /// After others of its script.
    follows: u8,
}

impl Price {
    /// The price between the scripts `before` and `after`.
    pub(super) fn between(self, before: Option<&str>, after: Option<&str>) -> usize {
        usize::from(match self.script {
            Some(script) if before == Some(script) => self.follows,
            Some(script) if after == Some(script) => self.begins,
            _ => self.alone,
        })
    }
}

#[derive(Debug)]
struct Block {
    first: u32,
    last: u32,
    price: Price,
}

const fn block(first: u32, last: u32, script: &'static str, price: [u8; 3]) -> Block {
    let script = if script.is_empty() { None } else { Some(script) };
    let [alone, begins, follows] = price;
    Block { first, last, price: Price { script, alone, begins, follows } }
}

/// Blocks in order: prices of a letter alone, at the beginning of a word and within one. They are measured on sentences
/// of the languages that are written so, and rounded up.
#[rustfmt::skip]
static BLOCKS: [Block; 37] = [
    block(0xaa, 0xbf, "", [15, 15, 15]), // Signs of Latin-1
    block(0xc0, 0xff, "Latin", [12, 12, 12]),
    block(0x100, 0x17f, "Latin", [14, 14, 14]),
    block(0x391, 0x3a9, "Greek", [12, 10, 9]),
    block(0x3aa, 0x3ce, "Greek", [12, 10, 5]),
    block(0x400, 0x42f, "Cyrillic", [11, 10, 10]),
    block(0x430, 0x45f, "Cyrillic", [11, 10, 4]),
    block(0x490, 0x4ff, "Cyrillic", [20, 15, 8]),
    block(0x531, 0x556, "Armenian", [20, 12, 6]),
    block(0x561, 0x586, "Armenian", [12, 10, 5]),
    block(0x5d0, 0x5ea, "Hebrew", [11, 10, 5]),
    block(0x60c, 0x61f, "Arabic", [20, 12, 10]),
    block(0x620, 0x652, "Arabic", [16, 11, 4]),
    block(0x653, 0x6d4, "Arabic", [20, 14, 6]),
    block(0x900, 0x94f, "Devanagari", [20, 12, 4]),
    block(0x950, 0x97f, "Devanagari", [30, 20, 8]),
    block(0x980, 0x9ff, "Bengali", [30, 14, 4]),
    block(0xa00, 0xa7f, "Gurmukhi", [30, 16, 7]),
    block(0xa80, 0xaff, "Gujarati", [30, 14, 5]),
    block(0xb80, 0xbff, "Tamil", [30, 14, 4]),
    block(0xc00, 0xc7f, "Telugu", [30, 14, 5]),
    block(0xc80, 0xcff, "Kannada", [30, 14, 5]),
    block(0xd00, 0xd7f, "Malayalam", [30, 14, 5]),
    block(0xd80, 0xdff, "Sinhala", [30, 16, 7]),
    block(0xe00, 0xe7f, "Thai", [20, 14, 5]),
    block(0x1000, 0x109f, "Burmese", [30, 16, 7]),
    block(0x10d0, 0x10ff, "Georgian", [20, 12, 5]),
    block(0x1780, 0x17ff, "Khmer", [30, 16, 9]),
    block(0x1ea0, 0x1ef9, "Latin", [14, 14, 14]),
    block(0x2010, 0x2027, "", [15, 15, 15]), // Quotation marks, dashes, dots
    block(0x2028, 0x2bff, "", [27, 27, 27]), // Arrows, mathematics, boxes, dingbats
    block(0x3000, 0x301f, "", [16, 16, 16]), // Punctuation of East Asia
    block(0x3040, 0x30ff, "Kana and Han", [14, 12, 8]),
    block(0x4e00, 0x9fff, "Kana and Han", [26, 18, 11]),
    block(0xff00, 0xff5e, "", [17, 17, 17]), // Wide forms
    block(0x1f000, 0x1f2ff, "", [36, 36, 36]), // Tiles, cards, flags
    block(0x1f300, 0x1faff, "", [27, 27, 27]), // Emoji
];

const HANGUL: &str = "Hangul";
/// A syllable that words are made of, and one that hardly any is.
const COMMON_SYLLABLE: Price = Price { script: Some(HANGUL), alone: 25, begins: 11, follows: 8 };
const RARE_SYLLABLE: Price = Price { script: Some(HANGUL), alone: 30, begins: 30, follows: 28 };

/// By vowel, the finals that are frequent after it: one bit each.
const FINALS: [u32; 21] = [
    0x67f_01d7, 0x3b_0113, 0x22_0003, 0x0, 0x83f_0113, 0x19_0113, 0xb3_0113, 0x1, 0xcab_0113, 0x30_0113,
    0x10_0001, 0x30113, 0x20_0003, 0x22b_0113, 0x10_0111, 0x20001, 0x20011, 0x20_0113, 0x22b_0113, 0x1,
    0x4bb_0313,
];
/// By initial, the vowels that are frequent after it: one bit each.
const VOWELS: [u32; 19] = [
    0x17_7bf3, 0x14_2173, 0x16_2177, 0x15_2d33, 0x40113, 0x16_39f7, 0x16_2173, 0x16_2373, 0x42001, 0x17_3577,
    0x14_0011, 0x1f_fff7, 0x14_7b73, 0x10_0103, 0x15_6973, 0x16_2173, 0x17_2933, 0x16_31f3, 0x1f_3bf7,
];

/// The price of the syllable of such a number, of those that Unicode has in the order of their parts.
fn syllable(number: u32) -> Price {
    let (initial, vowel, last) = (number / 588, number / 28 % 21, number % 28);
    let is_set = |bits: &[u32], place: u32, bit: u32| {
        usize::try_from(place).ok().and_then(|place| bits.get(place)).is_some_and(|bits| bits >> bit & 1 == 1)
    };
    let common = is_set(&FINALS, vowel, last) && is_set(&VOWELS, initial, vowel);
    if common { COMMON_SYLLABLE } else { RARE_SYLLABLE }
}

/// What `c`, which is not ASCII, costs.
pub(super) fn price(c: char) -> Price {
    let code = u32::from(c);
    if (0xac00..=0xd7a3).contains(&code) {
        return syllable(code - 0xac00);
    }
    let place = BLOCKS.partition_point(|block| block.last < code);
    match BLOCKS.get(place) {
        Some(block) if block.first <= code => block.price,
        _ => {
            // No token is less than a byte.
            let bytes = u8::try_from(c.len_utf8() * 10).unwrap_or(40);
            Price { script: None, alone: bytes, begins: bytes, follows: bytes }
        }
    }
}

/// Whether `c` is one of the Latin letters beyond ASCII that words of European languages and Vietnamese hold.
pub(super) fn is_accented(c: char) -> bool {
    matches!(c, '\u{c0}'..='\u{17f}' | '\u{1ea0}'..='\u{1ef9}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_in_order_for_the_search() {
        assert!(BLOCKS.iter().all(|block| block.first <= block.last));
        assert!(BLOCKS.is_sorted_by(|one, next| one.last < next.first));
    }

    #[test]
    fn syllables_of_words_are_cheaper_than_others() {
        let cost = |c: char| price(c).between(Some(HANGUL), None);
        for (common, rare) in "한국어가는을".chars().zip("뷁쉛쭯껣뾻쒧".chars()) {
            assert!(cost(common) < cost(rare), "{common} {rare}");
        }
    }
}
