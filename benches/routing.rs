//! The scorer at the size it is made for: 1,000,000 pairs of word and tool, 5,000 tools.
//!
//! `cargo bench --bench routing` prints how large it is before it measures how fast it answers and learns.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark reports, and fails by panicking")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use dcm::Timestamp;
use dcm::model::ToolType;
use dcm::routing::{Lesson, Question, Scorer};

/// The server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAIRS: usize = 1_000_000;
const TOOLS: u64 = 5_000;
const WORDS: u64 = 20_000;

/// Numbers without a pattern, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Small numbers are more frequent, as words are in a language.
    fn skewed(&mut self, bound: u64) -> u64 {
        let (a, b) = (self.below(bound), self.below(bound));
        a * b / bound
    }

    fn word(&mut self) -> String {
        let mut number = self.skewed(WORDS) + 26;
        let mut word = String::from("w");
        while number > 0 {
            word.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
            number /= 26;
        }
        word
    }

    fn text(&mut self, words: usize) -> String {
        (0..words).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }

    fn lesson(&mut self, at: i64) -> Lesson {
        let tool = format!("mcp__server__tool_{}", self.below(TOOLS));
        Lesson::used(&self.text(10), &tool, ToolType::Mcp, true, Timestamp::from_millis(at))
    }
}

/// Bytes of memory of this process.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0
}

fn routing(criterion: &mut Criterion) {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let before = resident();
    let mut scorer = Scorer::with_capacity(PAIRS);
    let mut at = 1_790_000_000_000;
    while scorer.pairs() < PAIRS - 10 {
        at += 1_000;
        scorer.learn(&numbers.lesson(at));
    }
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    let each = (resident() - before) / scorer.pairs() as f64;
    println!(
        "{} pairs of word and tool, {} of feature and tool, {} tools: {each:.0} bytes a pair of word and tool",
        scorer.pairs(),
        scorer.feature_pairs(),
        scorer.tools(),
    );

    let mut group = criterion.benchmark_group("routing");
    for words in [3, 20] {
        group.bench_function(format!("suggest for {words} keywords"), |bencher| {
            bencher.iter_batched(
                || Question::keywords(&numbers.text(words)),
                |question| black_box(scorer.suggest(&question)),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("suggest for a prompt of {words} words"), |bencher| {
            bencher.iter_batched(
                || Question::prompt(&numbers.text(words)),
                |question| black_box(scorer.suggest(&question)),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("one lesson of 10 words", |bencher| {
        bencher.iter_batched(
            || {
                at += 1_000;
                numbers.lesson(at)
            },
            |lesson| scorer.learn(&lesson),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, routing);
criterion_main!(benches);
