//! How good the scorer is, on real queries (tests/data/routing) that it has not seen.
//!
//! The floors are a little lower than what it reaches, so that they catch a change for the worse and not a change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dcm::Timestamp;
use dcm::model::ToolType;
use dcm::routing::{Evaluation, Lesson, Question, Scorer};

fn queries(name: &str) -> Vec<(String, String)> {
    let path = format!("{}/tests/data/routing/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let pairs = text.lines().skip(1).map(|line| line.split_once('\t').unwrap());
    pairs.map(|(query, tool)| (query.to_owned(), tool.to_owned())).collect()
}

#[test]
fn suggestions_are_right_and_know_how_sure_they_are() {
    let mut scorer = Scorer::default();
    let at = Timestamp::from_millis(0);
    for (query, tool) in queries("train.tsv") {
        scorer.learn(&Lesson::used(&query, &tool, ToolType::Mcp, true, at));
    }
    let mut evaluation = Evaluation::default();
    let mut by_words = Evaluation::default();
    for (n, (query, tool)) in queries("dev.tsv").iter().enumerate() {
        evaluation.add(&scorer.suggest(&Question::prompt(query)), tool);
        if n % 4 == 0 {
            by_words.add(&scorer.suggest(&Question::keywords(query)), tool);
        }
    }
    for (name, evaluation, floors) in
        [("prompt", evaluation, [0.81, 0.92, 0.94]), ("keywords", by_words, [0.80, 0.91, 0.93])]
    {
        let (hits, error) = (evaluation.hits(), evaluation.calibration_error());
        assert!(hits.iter().zip(floors).all(|(hit, floor)| *hit >= floor), "{name}: {hits:?}");
        assert!(error <= 0.05, "{name}: {error}");
    }
}
