//! How good the scorer is, on real queries (tests/data/routing) that it has not seen.
//!
//! The floors are a little lower than what it reaches, so that they catch a change for the worse and not a change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dcm::api::actions::ActionRecord;
use dcm::api::routing::RoutingSuggest;
use dcm::api::wire;
use dcm::model::ToolType;
use dcm::routing::{Evaluation, Lesson, Question, Scorer};
use dcm::{Dcm, EngineConfig, Timestamp};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

/// What every way to ask must reach in the first, the first three and the first five places.
const FLOORS: [f64; 3] = [0.81, 0.92, 0.94];
/// By how much confidence and truth may differ.
const CALIBRATION_ERROR: f64 = 0.05;
/// How many actions are recorded at once: a batch of the engine.
const AT_ONCE: usize = 256;

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
    assert_holds("prompt", &evaluation, FLOORS);
    assert_holds("keywords", &by_words, FLOORS.map(|floor| floor - 0.01));
}

/// By how much confidence and truth may differ when so many lessons were learned. The fewer, the less can be known of it.
const LITTLE_IS_KNOWN: [(usize, f64); 5] = [(20, 0.15), (100, 0.12), (300, 0.12), (1000, 0.1), (3000, 0.07)];

/// However little was learned, confidence says about how often that is right: at first it mostly does not know.
#[test]
fn confidence_is_honest_while_little_is_known() {
    let lessons = queries("train.tsv");
    let asked = queries("dev.tsv");
    let draws = 5;
    let mut errors = [0.0; LITTLE_IS_KNOWN.len()];
    for draw in 0..draws {
        // Each tool's queries stand together in the file; nobody's day looks like that.
        let by_chance = |n: &usize| (*n as u64 + draw * 1_000_003).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let mut order: Vec<usize> = (0..lessons.len()).collect();
        order.sort_by_key(by_chance);
        let mut scorer = Scorer::default();
        let mut learned = 0;
        for (error, (up_to, _)) in errors.iter_mut().zip(LITTLE_IS_KNOWN) {
            for (query, tool) in order[learned..up_to].iter().map(|n| &lessons[*n]) {
                scorer.learn(&Lesson::used(query, tool, ToolType::Mcp, true, Timestamp::from_millis(0)));
            }
            learned = up_to;
            let mut evaluation = Evaluation::default();
            for (query, tool) in asked.iter().step_by(8) {
                evaluation.add(&scorer.suggest(&Question::prompt(query)), tool);
            }
            *error += evaluation.calibration_error() / f64::from(u32::try_from(draws).unwrap());
        }
    }
    for (error, (lessons, bound)) in errors.into_iter().zip(LITTLE_IS_KNOWN) {
        assert!(error <= bound, "{error} after {lessons} lessons: {errors:?}");
    }
}

fn assert_holds(name: &str, evaluation: &Evaluation, floors: [f64; 3]) {
    let (hits, error) = (evaluation.hits(), evaluation.calibration_error());
    assert!(hits.iter().zip(floors).all(|(hit, floor)| *hit >= floor), "{name}: {hits:?}");
    assert!(error <= CALIBRATION_ERROR, "{name}: {error}");
}

/// What the public API answers to every query of `dev.tsv`.
async fn asked(dcm: &Dcm) -> Evaluation {
    let mut evaluation = Evaluation::default();
    for (query, tool) in queries("dev.tsv") {
        let question = vec![("prompt".to_owned(), query)];
        let question: RoutingSuggest = wire::from_request(Vec::new(), question, b"").unwrap();
        evaluation.add(&dcm.routing_suggest(question).await.unwrap(), &tool);
    }
    evaluation
}

/// The same as clients get it: recorded as actions, learned from the log, asked by `prompt=`, and made again from what the
/// store keeps when it is opened again.
#[tokio::test]
async fn the_public_api_is_as_good_before_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dcm.db");
    let open = async || Dcm::open_sqlite(&path, EngineConfig::default()).await.unwrap();
    let dcm = open().await;
    let actions = queries("train.tsv").into_iter().map(|(query, tool)| {
        let action = json!({"tool_name": tool, "tool_type": "mcp", "input": query});
        let action: ActionRecord =
            wire::from_request(Vec::new(), Vec::new(), action.to_string().as_bytes()).unwrap();
        dcm.action_record(action)
    });
    let recorded = stream::iter(actions).buffered(AT_ONCE);
    recorded.try_for_each(async |_| Ok(())).await.unwrap();
    assert_holds("live", &asked(&dcm).await, FLOORS);
    dcm.close().await;
    let dcm = open().await;
    assert_holds("restarted", &asked(&dcm).await, FLOORS);
    dcm.close().await;
}
