//! `/api/routing`

use futures_util::future::join_all;

use super::expect::{close, invalid, invalid_with, must, same_order};
use super::fixture::{Fixture, record};
use super::inputs::{self, feedback, suggest};
use super::scene::Scene;
use crate::api::Api;
use crate::api::actions::ActionRecord;
use crate::api::ingest::Observation;
use crate::api::routing::{RoutingStats, RoutingSuggest, Suggestion, Suggestions};
use crate::model::ToolType;

/// Records one use of `tool` with `words`.
async fn use_tool(api: &impl Api, tool: &str, words: &str, succeeded: bool) {
    let exit_code = Some(i32::from(!succeeded));
    record(api, ActionRecord { input: Some(words.to_owned()), exit_code, ..inputs::action(tool) }).await;
}

/// Every suggestion for `words`, whatever it scores.
async fn all_for(api: &impl Api, words: &str) -> Suggestions {
    let input = RoutingSuggest { min_score: Some(0.0), limit: Some(50), ..suggest(words) };
    must(api.execute(input).await, "asking for suggestions")
}

/// The only suggestion for `word`.
async fn only_one(api: &impl Api, word: &str) -> Suggestion {
    let mut answer = all_for(api, word).await;
    assert_eq!(answer.suggestions.len(), 1, "one tool was used with the word `{word}`");
    answer.suggestions.remove(0)
}

/// A pair of word and tool begins at 1.0; success adds 0.1, failure takes 0.05.
pub async fn scores_move_with_outcomes(api: &impl Api) {
    let fixture = Fixture::new();
    let (tool, word) = (fixture.name("Tool"), fixture.word());
    assert!(all_for(api, &word).await.suggestions.is_empty(), "nobody used the word yet");
    for (n, (succeeded, score, rate)) in
        [(true, 1.0, 100), (true, 1.1, 100), (false, 1.05, 67), (false, 1.0, 50), (true, 1.1, 60)]
            .iter()
            .enumerate()
    {
        use_tool(api, &tool, &word, *succeeded).await;
        let found = only_one(api, &word).await;
        assert_eq!((&found.tool_name, found.tool_type), (&tool, ToolType::Builtin), "the tool");
        close(found.score, *score, &format!("the score after use {}", n + 1));
        assert_eq!(usize::try_from(found.usage_count), Ok(n + 1), "how often it was used");
        assert_eq!(found.success_rate, *rate, "how often it succeeded, in percent");
        same_order(&found.keyword_matches, std::slice::from_ref(&word), "the word that spoke for it");
    }
}

/// A pair that begins with a failure begins at 1.0 too, without a success.
pub async fn a_first_failure_is_no_success(api: &impl Api) {
    let fixture = Fixture::new();
    let (tool, word) = (fixture.name("Tool"), fixture.word());
    use_tool(api, &tool, &word, false).await;
    let found = only_one(api, &word).await;
    close(found.score, 1.0, "the score after a first failure");
    assert_eq!((found.usage_count, found.success_rate), (1, 0), "one use, no success");
}

/// Every word of an action learns the same lesson; case does not matter.
pub async fn every_word_learns(api: &impl Api) {
    let fixture = Fixture::new();
    let (tool, a, b) = (fixture.name("Tool"), fixture.word(), fixture.word());
    use_tool(api, &tool, &format!("{} {b} {b}", a.to_uppercase()), true).await;
    use_tool(api, &tool, &b, true).await;
    close(only_one(api, &a).await.score, 1.0, "a word that was used once");
    let found = only_one(api, &b.to_uppercase()).await;
    close(found.score, 1.1, "a word of two actions");
    assert_eq!(found.usage_count, 2, "a word counts once per action");
    let answer = all_for(api, &format!(" {b} , {a} ,,")).await;
    same_order(&answer.keywords, &[b.clone(), a.clone()], "the words as they were understood");
    let Some(both) = answer.suggestions.first() else { panic!("the tool is suggested for both words") };
    close(both.score, 1.05, "the mean of its words' scores");
    assert_eq!(both.usage_count, 3, "the sum of its words' uses");
    let mut words = [a, b];
    words.sort_unstable();
    same_order(&both.keyword_matches, &words, "the words that spoke for it, in alphabetical order");
}

/// Feedback adds 0.2 or takes 0.1, counts no use and creates nothing.
pub async fn feedback_moves_scores(api: &impl Api) {
    let fixture = Fixture::new();
    let (tool, word, stranger) = (fixture.name("Tool"), fixture.word(), fixture.word());
    use_tool(api, &tool, &word, true).await;
    for (chosen, adjustment, score) in
        [(Some(true), 0.2, 1.2), (Some(false), -0.1, 1.1), (None, -0.1, 1.0), (Some(true), 0.2, 1.2)]
    {
        let words = [word.as_str(), stranger.as_str()];
        let taken = must(api.execute(feedback(&tool, &words, chosen)).await, "giving feedback");
        assert!(taken.success, "feedback says success");
        assert_eq!(
            taken.message,
            format!("Updated 2 keyword scores for {tool}"),
            "the message counts what was sent"
        );
        close(taken.adjustment, adjustment, "the adjustment");
        let found = only_one(api, &word).await;
        close(found.score, score, &format!("the score after feedback {chosen:?}"));
        assert_eq!((found.usage_count, found.success_rate), (1, 100), "feedback is no use");
    }
    assert!(all_for(api, &stranger).await.suggestions.is_empty(), "feedback creates no pair");
    let upper = word.to_uppercase();
    must(api.execute(feedback(&tool, &[&upper], Some(true))).await, "feedback in capitals");
    close(only_one(api, &word).await.score, 1.4, "the case of a word does not matter");
}

/// Scores stay between 0.1 and 5.0.
pub async fn scores_are_clamped(api: &impl Api) {
    let fixture = Fixture::new();
    let (tool, low, high) = (fixture.name("Tool"), fixture.word(), fixture.word());
    use_tool(api, &tool, &format!("{low} {high}"), true).await;
    let down = join_all((0..12).map(|_| api.execute(feedback(&tool, &[&low], Some(false)))));
    let up = join_all((0..23).map(|_| api.execute(feedback(&tool, &[&high], Some(true)))));
    for result in down.await.into_iter().chain(up.await) {
        must(result, "giving feedback");
    }
    close(only_one(api, &low).await.score, 0.1, "the lowest score");
    close(only_one(api, &high).await.score, 5.0, "the highest score");
    use_tool(api, &tool, &low, false).await;
    use_tool(api, &tool, &high, true).await;
    close(only_one(api, &low).await.score, 0.1, "the lowest score after a failure");
    close(only_one(api, &high).await.score, 5.0, "the highest score after a success");
    must(api.execute(feedback(&tool, &[&low], Some(true))).await, "giving feedback");
    close(only_one(api, &low).await.score, 0.3, "a clamped score moves on from the bound");
}

/// What scores less than `min_score` is not suggested; 0.5 unless given.
pub async fn min_score_filters(api: &impl Api) {
    let fixture = Fixture::new();
    let (good, bad, word) = (fixture.name("Good"), fixture.name("Bad"), fixture.word());
    use_tool(api, &good, &word, true).await;
    use_tool(api, &bad, &word, true).await;
    for _ in 0..6 {
        must(api.execute(feedback(&bad, &[&word], Some(false))).await, "giving feedback");
    }
    for (min_score, expected) in
        [(None, vec![&good]), (Some(0.3), vec![&good, &bad]), (Some(0.9), vec![&good]), (Some(1.5), vec![])]
    {
        let answer = must(api.execute(RoutingSuggest { min_score, ..suggest(&word) }).await, "asking");
        let found: Vec<_> = answer.suggestions.iter().map(|one| &one.tool_name).collect();
        same_order(&found, &expected, &format!("suggestions with min_score {min_score:?}"));
    }
}

/// A tool that matches more words, and matches them better, comes first.
pub async fn better_matches_come_first(api: &impl Api) {
    let fixture = Fixture::new();
    let (a, b) = (fixture.word(), fixture.word());
    let [both, strong, weak] = [fixture.name("Both"), fixture.name("Strong"), fixture.name("Weak")];
    for _ in 0..5 {
        use_tool(api, &both, &format!("{a} {b}"), true).await;
    }
    for _ in 0..3 {
        use_tool(api, &strong, &a, true).await;
    }
    use_tool(api, &weak, &a, false).await;
    use_tool(api, &weak, &a, false).await;
    let answer = all_for(api, &format!("{a},{b}")).await;
    let found: Vec<_> = answer.suggestions.iter().map(|one| &one.tool_name).collect();
    same_order(&found, &[&both, &strong, &weak], "the best suggestion comes first");
    assert_eq!(answer.count, 3, "count is the number of suggestions");
    let lines: Vec<Vec<&str>> = answer.compat_output.lines().map(|line| line.split('|').collect()).collect();
    assert_eq!(lines.len(), 3, "one line per suggestion for shell scripts");
    for (line, suggestion) in lines.iter().zip(&answer.suggestions) {
        let [name, kind, score] = line[..] else { panic!("a line is name|type|score, not {line:?}") };
        assert_eq!((name, kind), (&*suggestion.tool_name, suggestion.tool_type.as_str()), "name and type");
        close(score.parse().unwrap_or(f64::NAN), suggestion.score, "the score in the line for shell scripts");
    }
}

/// `tool_type` filters, an unknown one matches nothing, and a tool has the type it was last used with.
pub async fn tool_type_filters(api: &impl Api) {
    let fixture = Fixture::new();
    let (word, skill, builtin) = (fixture.word(), fixture.name("Skill"), fixture.name("Builtin"));
    for (tool, tool_type) in
        [(&builtin, ToolType::Builtin), (&skill, ToolType::Command), (&skill, ToolType::Skill)]
    {
        record(api, ActionRecord { tool_type, input: Some(word.clone()), ..inputs::action(tool) }).await;
    }
    for (tool_type, expected) in
        [("skill", vec![&skill]), ("builtin", vec![&builtin]), ("command", vec![]), ("zzz", vec![])]
    {
        let input = RoutingSuggest { tool_type: Some(tool_type.to_owned()), ..suggest(&word) };
        let answer = must(api.execute(input).await, "asking for a kind of tool");
        let found: Vec<_> = answer.suggestions.iter().map(|one| &one.tool_name).collect();
        same_order(&found, &expected, &format!("suggestions of type {tool_type}"));
    }
}

/// Ten suggestions unless a limit is given, fifty at most.
pub async fn suggestions_are_limited(api: &impl Api) {
    let fixture = Fixture::new();
    let word = fixture.word();
    let tools: Vec<_> = (0..55).map(|n| fixture.name(&format!("Tool{n}"))).collect();
    join_all(tools.iter().map(|tool| use_tool(api, tool, &word, true))).await;
    for (limit, expected) in [(None, 10), (Some(3), 3), (Some(50), 50), (Some(1000), 50)] {
        let answer = must(api.execute(RoutingSuggest { limit, ..suggest(&word) }).await, "asking");
        assert_eq!(
            (answer.count, answer.suggestions.len()),
            (expected, expected),
            "suggestions with limit {limit:?}"
        );
    }
}

/// Every suggestion says how sure it is and which words spoke for it; kinds of tools can be left out.
pub async fn suggestions_say_why(api: &impl Api) {
    let fixture = Fixture::new();
    let (word, skill, builtin) = (fixture.word(), fixture.name("Skill"), fixture.name("Builtin"));
    for (tool, tool_type) in [(&builtin, ToolType::Builtin), (&skill, ToolType::Skill)] {
        record(api, ActionRecord { tool_type, input: Some(word.clone()), ..inputs::action(tool) }).await;
    }
    let answer = all_for(api, &word).await;
    assert_eq!(answer.count, 2, "both tools were used with the word");
    let sure: Vec<f64> = answer.suggestions.iter().map(|one| one.confidence).collect();
    assert!(sure.iter().all(|sure| (0.0..=1.0).contains(sure)), "confidence is a probability, not {sure:?}");
    assert!(sure.is_sorted_by(|a, b| a >= b), "the most likely comes first, not {sure:?}");
    assert_eq!(
        answer.abstained,
        sure[0] < answer.abstains_below,
        "it abstains when the best is too uncertain"
    );
    for suggestion in &answer.suggestions {
        let shares: f64 = suggestion.why.iter().map(|one| one.share).sum();
        close(shares, 1.0, "the shares of all words that spoke for it");
    }
    let input = RoutingSuggest { exclude_types: Some("mcp, skill".to_owned()), ..suggest(&word) };
    let answer = must(api.execute(input).await, "asking without skills");
    let found: Vec<_> = answer.suggestions.iter().map(|one| &one.tool_name).collect();
    same_order(&found, &[&builtin], "a kind that is left out is not suggested");
    let nothing = all_for(api, &fixture.word()).await;
    assert!(nothing.abstained, "it abstains where it knows nothing");
}

/// A prompt is free text: other forms of its words count, and what is shown are its words.
pub async fn prompts_are_understood(api: &impl Api) {
    let fixture = Fixture::new();
    let (tool, word) = (fixture.name("Tool"), fixture.word());
    use_tool(api, &tool, &word, true).await;
    let prompt = format!("Could you please find me {}?", word.to_uppercase());
    let input = RoutingSuggest { keywords: None, prompt: Some(prompt), limit: Some(50), ..suggest("") };
    let answer = must(api.execute(input.clone()).await, "asking with a prompt");
    assert!(answer.keywords.contains(&word), "the words of the prompt, got {:?}", answer.keywords);
    let Some(found) = answer.suggestions.iter().find(|one| one.tool_name == tool) else {
        panic!("the tool was used with a word of the prompt, got {answer:?}")
    };
    same_order(&found.keyword_matches, std::slice::from_ref(&word), "the recorded word");
    assert!(found.why.iter().any(|one| !one.word.is_empty() && one.share > 0.0), "why, got {:?}", found.why);
    let both = RoutingSuggest { keywords: Some(word), ..input };
    invalid(api.execute(both).await, "prompt");
}

/// The numbers of the scorer are numbers, and each list has its order.
pub async fn stats_are_ordered(api: &impl Api) {
    let fixture = Fixture::new();
    use_tool(api, &fixture.name("Tool"), &format!("{} {}", fixture.word(), fixture.word()), true).await;
    let report = must(api.execute(RoutingStats {}).await, "the scorer in numbers");
    let totals = &report.totals;
    assert!(totals.total_records >= 2 && totals.unique_keywords >= 2, "both words are counted: {totals:?}");
    assert!(
        totals.unique_tools >= 1 && totals.total_records >= totals.unique_tools,
        "tools are counted once"
    );
    assert!((0.1..=5.0).contains(&totals.avg_score), "the mean score is a score, got {}", totals.avg_score);
    assert!(totals.avg_usage > 0.0, "the mean number of uses");
    assert!((1..=10).contains(&report.top_by_score.len()), "at most ten by score");
    assert!((1..=10).contains(&report.top_by_usage.len()), "at most ten by usage");
    assert!(report.top_by_score.is_sorted_by(|a, b| a.avg_score >= b.avg_score), "the highest score first");
    assert!(report.top_by_usage.is_sorted_by(|a, b| a.total_usage >= b.total_usage), "the most used first");
    let types = &report.type_distribution;
    assert!(types.is_sorted_by(|a, b| a.tool_count >= b.tool_count), "the most frequent kind first");
    assert!(
        types.iter().any(|one| one.tool_type == ToolType::Builtin && one.tool_count >= 1),
        "kinds are counted"
    );
}

/// What is missing is a 400 with its own words.
pub async fn bad_input_says_what_is_missing(api: &impl Api) {
    let fixture = Fixture::new();
    let tool = fixture.name("Tool");
    invalid_with(api.execute(suggest("")).await, "Missing required query parameter: keywords");
    invalid_with(api.execute(suggest(" , ,")).await, "No valid keywords provided");
    let missing = "Missing required fields: tool_name and keywords";
    invalid_with(api.execute(feedback("", &["word"], None)).await, missing);
    invalid_with(api.execute(feedback(&tool, &[], None)).await, missing);
    invalid(api.execute(feedback(&tool, &["a\0b"], None)).await, "keywords");
    invalid(api.execute(feedback(&tool, &[&"w".repeat(256)], None)).await, "keywords");
    invalid(api.execute(feedback(&"t".repeat(256), &["word"], None)).await, "tool_name");
}

/// A transcript of long ago teaches what was right then: what is right now outvotes it, whatever is imported when, and
/// although some of its calls are answered in a later upload.
pub async fn what_was_right_long_ago_counts_little(api: &impl Api) {
    const YEAR: i64 = 365 * 86_400_000;
    let scene = Scene::new();
    let (old, new, word) = (scene.fixture.name("Old"), scene.fixture.name("New"), scene.fixture.word());
    let call = |n: i64, tool: &str, before: i64, is_answered: bool| {
        let mut call = inputs::observed::tool(&format!("u{n}"), scene.at(n).plus_millis(-before), None);
        if let Observation::ToolUsed { tool_name, input, output, duration_ms, .. } = &mut call {
            (*tool_name, *input) = (tool.to_owned(), Some(word.clone()));
            if !is_answered {
                (*output, *duration_ms) = (None, None);
            }
        }
        call
    };
    let olds = |is_answered| (2..10).map(move |n| (n, YEAR, is_answered));
    let unanswered = olds(false).filter(|(n, ..)| n % 2 == 0);
    scene.send(api, unanswered.map(|(n, before, answer)| call(n, &old, before, answer)).collect()).await;
    let news = (0..2).map(|n| call(n, &new, 0, true));
    let olds = olds(true).map(|(n, before, answer)| call(n, &old, before, answer));
    scene.send(api, news.chain(olds).collect()).await;
    let input = RoutingSuggest { prompt: Some(word.clone()), keywords: None, ..suggest("") };
    let found = must(api.execute(input).await, "asking for suggestions").suggestions;
    let seen: Vec<_> = found.iter().take(2).map(|one| (&one.tool_name, one.usage_count)).collect();
    assert_eq!(seen, [(&new, 2), (&old, 8)], "two of now outvote eight of a year ago");
}
