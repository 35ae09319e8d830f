//! What a word of Latin letters costs, without a vocabulary.

/// What each two neighbouring letters add to a word, in tenths of a token: `a` is nothing, `b` one tenth, and so on. The
/// row is the letter before, from `a` to `z`, and last the beginning of a word; the column is the letter itself.
///
/// Fitted to true counts of `o200k_base`: of English, of a dozen other languages and of letters drawn by chance, so that
/// the sum over a word lies at its count, and over a frequent English word below what its length alone says.
static PAIRS: [&[u8; 26]; 27] = [
    b"gccahfchdidacbkcibaaeeefag",
    b"cfgeahggdggbhicikdbecghhai",
    b"chffahhaeicbgjbhiccachgibh",
    b"ghjfdjgjgkihhkgjjhdjiijjel",
    b"dheadgfhhkhdfdifjcadigecdk",
    b"dggebdggchgcgichiedcdgggaj",
    b"eiigcifdfjjfhgfileehghjidi",
    b"diigaihhcjifhicijfecgihjbj",
    b"ddbabebjiifcdabdjdaajdkefe",
    b"dghdbgffffeeegdgefbechffdj",
    b"ghifbhgheihghghilicfgigick",
    b"dijdbihidjhdijdhmjceehijak",
    b"cfjgbihhdihgehddiicgehihdi",
    b"egdbbfagehefgfdgigaagfggdh",
    b"edcafdbgeicacbcckabbadbfbj",
    b"dhheahhdeigbfjceicbcehhiej",
    b"iggfhjifjjidfhifefdeaiefek",
    b"chgcahehdkegffcgjgbcfhhiai",
    b"ilhjeklfgmhijkhhlkcdgkkmem",
    b"fihhciidelighkfikebfgkhjbk",
    b"dcebbichcjeabajckaaahijhek",
    b"dhhfaifgcjgghhehigegighhfi",
    b"dhheahgedigfhechkecgjhghek",
    b"hgfdehifejhffhjejgedhhjfdi",
    b"jlkjgllljnliihkjpkejkmkojl",
    b"dghdagfedjeeffffjfdefhfeae",
    b"fffcegffgigfeghfjgaehgfiej",
];

/// The row of [`PAIRS`] for the beginning of a word.
const START: usize = 26;

/// One word while it is read: capitals, then small letters.
#[derive(Debug)]
pub(super) struct Word {
    capitals: usize,
    small: usize,
    /// Of the letters that are compared with a word of the usual kind: all, but of several capitals none.
    letters: usize,
    pairs: usize,
    accents: usize,
    before: usize,
}

impl Word {
    pub(super) fn new() -> Self {
        Self { capitals: 0, small: 0, letters: 0, pairs: 0, accents: 0, before: START }
    }

    /// How many letters were read.
    pub(super) fn length(&self) -> usize {
        self.capitals + self.small
    }

    /// Adds a capital, which no small letter has gone before.
    pub(super) fn push_capital(&mut self, c: char) {
        self.capitals += 1;
        if self.capitals == 1 {
            self.pair(c.to_ascii_lowercase());
        } else {
            (self.letters, self.pairs, self.before) = (0, 0, START);
        }
    }

    /// Adds a small letter of ASCII.
    pub(super) fn push_small(&mut self, c: char) {
        self.small += 1;
        self.pair(c);
    }

    /// Adds a Latin letter beyond ASCII.
    pub(super) fn push_accented(&mut self, c: char) {
        self.small += 1;
        self.letters += 1;
        self.before = START;
        self.accents += match c {
            ..'\u{100}' => 7,
            ..'\u{1000}' => 9,
            _ => 6,
        };
    }

    fn pair(&mut self, c: char) {
        let place = usize::from(u8::try_from(c).unwrap_or(b'z').saturating_sub(b'a').min(25));
        self.pairs += usize::from(PAIRS[self.before][place] - b'a');
        self.letters += 1;
        self.before = place;
    }

    /// What it costs, in tenths of a token.
    pub(super) fn cost(&self) -> usize {
        let usual = usual(self.letters);
        // What is more than usual is a word that no vocabulary holds, and its pieces are a matter of luck.
        let unusual = self.pairs + self.pairs.saturating_sub(usual) / 3;
        let capitals = match self.capitals {
            1 if self.small > 2 => 2,
            0 | 1 => 0,
            capitals => capitals * 7,
        };
        capitals + usual.max(unusual) + self.accents
    }
}

/// What a word of so many letters costs at least, in tenths of a token. Most words are one token; what stands here
/// covers the mixture of them with abbreviations and syllables that paths and code are made of.
fn usual(letters: usize) -> usize {
    match letters {
        0 => 0,
        1 | 2 => 10,
        3..=6 => 14,
        7 => 16,
        8.. => 4 + letters * 2,
    }
}
