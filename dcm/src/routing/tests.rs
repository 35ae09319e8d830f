//! The scorer as a whole.

use super::*;
use crate::Timestamp;
use crate::model::{KeywordScore, ToolType};

const DAY: i64 = 86_400_000;

fn at(day: i64) -> Timestamp {
    Timestamp::from_millis(day * DAY)
}

fn teach(scorer: &mut Scorer, text: &str, tool: &str, succeeded: bool, day: i64) {
    scorer.learn(&Lesson::used(text, tool, ToolType::Mcp, succeeded, at(day)));
}

fn first(scorer: &Scorer, prompt: &str) -> Option<String> {
    scorer.suggest(&Question::prompt(prompt)).suggestions.into_iter().next().map(|best| best.tool_name)
}

/// Lessons without a pattern, and the same in every run.
fn many(count: u64) -> impl Iterator<Item = Lesson> {
    (0..count).map(|n| {
        let word = |k: u64| format!("word{}", (n * 31 + k * 17 + n * n * k) % 60);
        let text = (0..6).map(word).collect::<Vec<_>>().join(" ");
        let tool = format!("tool{}", n % 13);
        let day = i64::try_from(n / 10).unwrap_or(0);
        match n % 9 {
            7 => Lesson::suggested(&[word(1), word(2)], &tool, n % 2 == 0, at(day)),
            kind => Lesson::used(&text, &tool, ToolType::Skill, kind != 3, at(day)),
        }
    })
}

#[test]
fn the_first_is_never_less_sure_than_the_second() {
    let mut scorer = Scorer::default();
    for tool in ["aa", "bb"] {
        teach(&mut scorer, "deploy the shop", tool, true, 0);
    }
    // The same evidence for both, but other recorded scores.
    scorer.learn(&Lesson {
        text: String::new(),
        ..Lesson::suggested(&["deploy".to_owned()], "aa", false, at(0))
    });
    let answer =
        scorer.suggest(&Question { keywords: vec!["deploy".to_owned()], ..Question::prompt("deploy") });
    let names: Vec<_> = answer.suggestions.iter().map(|one| &*one.tool_name).collect();
    assert_eq!(names, ["bb", "aa"]);
    let confidences: Vec<_> = answer.suggestions.iter().map(|one| one.confidence).collect();
    assert!(confidences.is_sorted_by(|one, next| one >= next), "{confidences:?}");
    assert_eq!(answer.abstained, confidences[0] < answer.abstains_below);
}

#[test]
fn last_week_outvotes_last_year() {
    let mut scorer = Scorer::default();
    for _ in 0..20 {
        teach(&mut scorer, "deploy the shop", "old_pipeline", true, 0);
    }
    for _ in 0..3 {
        teach(&mut scorer, "deploy the shop", "new_pipeline", true, 365);
    }
    assert_eq!(first(&scorer, "deploy the shop").as_deref(), Some("new_pipeline"));
}

#[test]
fn what_is_not_contradicted_stays_and_weights_never_overflow() {
    let mut scorer = Scorer::default();
    for (text, tool) in
        [("find papers", "arxiv"), ("weather tomorrow", "forecast"), ("find flights", "travel")]
    {
        teach(&mut scorer, text, tool, true, 0);
    }
    teach(&mut scorer, "translate this letter", "deepl", true, 365);
    assert_eq!(first(&scorer, "find papers about weather").as_deref(), Some("arxiv"));
    // Lessons of far apart times move the origin of all weights.
    for year in [10, 30, 100] {
        teach(&mut scorer, "translate this letter", "deepl", true, year * 365);
        teach(&mut scorer, "weather in June", "almanac", true, year * 365);
        assert_eq!(first(&scorer, "translate it").as_deref(), Some("deepl"));
        assert_eq!(first(&scorer, "weather tomorrow").as_deref(), Some("almanac"));
    }
}

#[test]
fn failures_speak_against_a_tool() {
    let mut scorer = Scorer::default();
    for _ in 0..4 {
        teach(&mut scorer, "render the chart", "plotter", false, 0);
    }
    teach(&mut scorer, "render the chart", "painter", true, 0);
    assert_eq!(first(&scorer, "render a chart").as_deref(), Some("painter"));
    // What was recorded is still answered to who asks by words, after what is known to work.
    let answer = scorer.suggest(&Question::keywords("render,chart"));
    let found: Vec<&str> = answer.suggestions.iter().map(|one| &*one.tool_name).collect();
    assert_eq!(found, ["painter", "plotter"]);
    assert_eq!((answer.suggestions[1].usage_count, answer.suggestions[1].success_rate), (8, 0));
}

#[test]
fn failures_count_before_and_after_successes() {
    let outcomes = [vec![false; 18], vec![true; 2]].concat();
    for order in [outcomes.clone(), outcomes.into_iter().rev().collect()] {
        let mut scorer = Scorer::default();
        for succeeded in order {
            teach(&mut scorer, "render the chart", "broken", succeeded, 0);
        }
        teach(&mut scorer, "render the chart", "works", true, 0);
        assert_eq!(first(&scorer, "render a chart").as_deref(), Some("works"));
    }
}

/// What is known of a database that another version filled weighs like what was learned here.
#[test]
fn adopted_failures_count_like_learned_ones() {
    let score = |tool: &str, usage_count: i32, success_count: i32| KeywordScore {
        keyword: "chart".to_owned(),
        tool_name: tool.to_owned(),
        tool_type: ToolType::Mcp,
        score: 1.0,
        usage_count,
        success_count,
        last_used: at(0),
    };
    let mut scorer = Scorer::default();
    scorer.seed(&score("broken", 20, 2));
    scorer.seed(&score("works", 1, 1));
    assert_eq!(first(&scorer, "a chart").as_deref(), Some("works"));
    // A success does not make up for what failed before, whoever saw it fail.
    teach(&mut scorer, "chart", "broken", true, 0);
    assert_eq!(first(&scorer, "a chart").as_deref(), Some("works"));
}

#[test]
fn the_order_of_first_use_decides_nothing() {
    let tools = ["zeta", "alpha", "mid", "beta", "omega"];
    let learned = |tools: &mut dyn Iterator<Item = &&str>, capacity: usize| {
        let mut scorer = Scorer::with_capacity(capacity);
        for tool in tools {
            for text in ["deploy the shop", "deploy the blog", "deploy the forum"] {
                teach(&mut scorer, text, tool, true, 0);
            }
        }
        scorer
    };
    for capacity in [1000, 12, 8] {
        // How sure it is depends on what it asked itself, and so on the order of lessons.
        let ask = |scorer: &Scorer| {
            let answer = scorer.suggest(&Question::keywords("deploy,shop,blog,forum"));
            let found = answer.suggestions.into_iter();
            found.map(|one| (one.tool_name, one.score, one.keyword_matches, one.why)).collect::<Vec<_>>()
        };
        let there = learned(&mut tools.iter(), 1000);
        let names: Vec<String> = ask(&there).into_iter().map(|one| one.0).collect();
        assert_eq!(names, ["alpha", "beta", "mid", "omega", "zeta"]);
        // What is forgotten at once is the same as well.
        let forgotten = |mut scorer: Scorer| {
            scorer.capacity = capacity;
            scorer.settle(0);
            ask(&scorer)
        };
        let back = forgotten(learned(&mut tools.iter().rev(), 1000));
        assert_eq!(forgotten(there), back, "{capacity}");
    }
}

#[test]
fn tools_that_nothing_is_known_of_are_let_go() {
    let mut scorer = Scorer::with_capacity(100);
    for n in 0..5000 {
        teach(&mut scorer, &format!("word{n} thing{n}"), &format!("tool{n}"), n % 3 != 0, n / 20);
        teach(&mut scorer, "", &format!("silent{n}"), true, n / 20);
    }
    assert!(scorer.tools() <= 275, "no more than there are pairs: {}", scorer.tools());
    assert!(scorer.tools.numbers().len() <= 276, "{:?}", scorer.tools.numbers());
    assert!(!scorer.knows("silent4999") && scorer.knows("tool4999"));
    assert_eq!(first(&scorer, "thing4999").as_deref(), Some("tool4999"));
    assert_eq!(scorer.suggest(&Question::prompt("thing1")).count, 0);
}

#[test]
fn opinions_count_and_create_nothing() {
    let mut scorer = Scorer::default();
    for tool in ["one", "two"] {
        teach(&mut scorer, "resize images", tool, true, 0);
    }
    let words = ["resize".to_owned(), "images".to_owned()];
    scorer.learn(&Lesson::suggested(&words, "two", true, at(0)));
    scorer.learn(&Lesson::suggested(&words, "nobody", true, at(0)));
    assert_eq!(first(&scorer, "resize images").as_deref(), Some("two"));
    scorer.learn(&Lesson::suggested(&words, "two", false, at(0)));
    scorer.learn(&Lesson::suggested(&words, "two", false, at(0)));
    scorer.learn(&Lesson::suggested(&words, "two", false, at(0)));
    assert_eq!(first(&scorer, "resize images").as_deref(), Some("one"));
    assert_eq!(scorer.tools(), 2);
}

#[test]
fn the_same_lessons_make_the_same_scorer() {
    let learned = || {
        let mut scorer = Scorer::with_capacity(200);
        many(3000).for_each(|lesson| scorer.learn(&lesson));
        scorer
    };
    let (one, other) = (learned(), learned());
    assert!(one.pairs() <= 200 && one.feature_pairs() <= 350, "{} {}", one.pairs(), one.feature_pairs());
    assert_eq!(one.calibration, other.calibration);
    for n in 0..60 {
        let prompt = format!("word{n} word{} and word{}", (n * 7) % 60, (n * 11) % 60);
        let ask = |scorer: &Scorer| scorer.suggest(&Question { limit: 50, ..Question::prompt(&prompt) });
        assert_eq!(ask(&one), ask(&other));
    }
}

#[test]
fn the_best_are_those_of_a_full_comparison() {
    let mut scorer = Scorer::default();
    many(3000).for_each(|lesson| scorer.learn(&lesson));
    for n in 0..60 {
        let prompt = format!("word{n} word{} word{}", (n * 7) % 60, (n * 13) % 60);
        let names = |limit: usize| {
            let answer = scorer.suggest(&Question { limit, ..Question::prompt(&prompt) });
            answer.suggestions.into_iter().map(|one| one.tool_name).collect::<Vec<_>>()
        };
        let all = names(50);
        assert_eq!(names(3), all[..3.min(all.len())]);
    }
}

#[test]
fn kinds_are_filtered_and_nothing_is_admitted() {
    let mut scorer = Scorer::default();
    teach(&mut scorer, "write a poem", "poet", true, 0);
    let ask = |question: Question| scorer.suggest(&question).count;
    let poem = || Question::prompt("a poem");
    assert_eq!(ask(poem()), 1);
    assert_eq!(ask(Question { tool_type: Some("skill".to_owned()), ..poem() }), 0);
    assert_eq!(ask(Question { exclude_types: vec!["mcp".to_owned()], ..poem() }), 0);
    assert_eq!(ask(Question { limit: 0, ..poem() }), 0);
    let nothing = scorer.suggest(&Question::prompt("entirely unheard of"));
    assert!(nothing.abstained && nothing.suggestions.is_empty());
    assert!(Scorer::default().suggest(&poem()).abstained);
}

#[test]
fn words_in_any_letters_are_found_as_keywords() {
    let mut scorer = Scorer::default();
    for (text, tool) in [
        ("Übersetzung für Straße prüfen", "translate"),
        ("погода в Москве", "forecast"),
        ("find papers", "arxiv"),
        ("déploiement vérifier führen", "ship"),
    ] {
        teach(&mut scorer, text, tool, true, 0);
    }
    let asked = [
        ("straße", "translate"),
        ("ПОГОДА", "forecast"),
        ("papers", "arxiv"),
        ("führen", "ship"),
        ("vérifier", "ship"),
    ];
    for (keywords, tool) in asked {
        let answer = scorer.suggest(&Question::keywords(keywords));
        let best = answer.suggestions.first().map(|best| best.tool_name.as_str());
        assert_eq!(best, Some(tool), "{keywords}");
    }
    let tools = |question: &Question| {
        let mut tools: Vec<_> =
            scorer.suggest(question).suggestions.into_iter().map(|one| one.tool_name).collect();
        tools.sort_unstable();
        tools
    };
    assert_eq!(tools(&Question::keywords("погода,papers")), ["arxiv", "forecast"]);
    // Words that can be recorded count as they are, and with their scores.
    assert_eq!(tools(&Question::keywords("погода,paper")), ["forecast"]);
    let demanding = Question { min_score: Some(3.0), ..Question::keywords("погода,papers") };
    assert_eq!(tools(&demanding), ["forecast"]);
    assert!(scorer.suggest(&Question::keywords("wetter")).suggestions.is_empty());
    let other = Question { tool_type: Some("skill".to_owned()), ..Question::keywords("погода") };
    assert!(scorer.suggest(&other).suggestions.is_empty(), "of the kinds that are wanted");
}
