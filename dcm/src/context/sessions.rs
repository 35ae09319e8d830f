//! What briefs hold of sessions as they are in the field: with few lines or very many, in any language.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::id::{ActionId, RequestId, SubtaskId};
use crate::json::JsonObject;
use crate::model::{RequestStatus, SubtaskStatus};
use crate::storage::{BriefFailure, BriefFile, BriefPrompt, BriefStep, BriefWork, OpenFailure};

fn now() -> Timestamp {
    Timestamp::from_millis(200_000_000)
}

const MAIN: &str = "session";

fn ago(minutes: i64) -> Timestamp {
    now().plus_millis(-minutes * 60_000)
}

fn prompt(text: &str) -> BriefPrompt {
    BriefPrompt {
        id: RequestId::from(uuid::Uuid::from_u128(1)),
        text: text.to_owned(),
        whole: true,
        added: Vec::new(),
        status: RequestStatus::Active,
        created_at: ago(30),
    }
}

fn work(number: u128, agent: &str, text: &str, status: SubtaskStatus) -> BriefWork {
    BriefWork {
        id: SubtaskId::from(uuid::Uuid::from_u128(number)),
        description: Some(text.to_owned()),
        status,
        agent_type: Some("helper".to_owned()),
        agent_id: Some(agent.to_owned()),
        task_name: None,
        wave_number: Some(0),
        created_at: ago(20),
        started_at: None,
        completed_at: status.is_final().then(|| ago(10)),
        blocked_by: Vec::new(),
        result: None,
    }
}

fn failure(number: u128, agent: &str, attempt: &str) -> BriefFailure {
    let failure = OpenFailure {
        action_id: ActionId::from(uuid::Uuid::from_u128(number)),
        tool_name: "Bash".to_owned(),
        attempt: attempt.to_owned(),
        detail: None,
        exit_code: 101,
        times: 1,
        failed_at: ago(12),
    };
    BriefFailure { failure, agent_id: Some(agent.to_owned()) }
}

fn compiled(agent: &str, budget: i32, rows: &BriefRows) -> Compiled {
    let options = BriefOptions {
        max_tokens: Some(budget),
        explain: true,
        ..BriefOptions::new(agent.to_owned(), MAIN.to_owned())
    };
    let rows = BriefRows { agent_type: "tech-lead".to_owned(), ..rows.clone() };
    compile(&options, &rows, now(), &Estimate)
}

fn quoted(compiled: &Compiled) -> String {
    compiled.content.lines().filter_map(|line| line.strip_prefix("> ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn own_work_is_named_unless_it_is_the_request_itself() {
    let long = "Fix the build and then look at the tests";
    let open = |agent: &str, text: &str, status| BriefRows {
        prompts: vec![prompt(long)],
        work: vec![work(7, agent, text, status)],
        ..BriefRows::default()
    };
    let names = |agent: &str, text: &str, status| {
        compiled(agent, 2000, &open(agent, text, status)).content.contains("] Fix the build")
    };
    assert!(!names(MAIN, long, SubtaskStatus::Running), "the request says it");
    assert!(
        names(MAIN, "Fix the build", SubtaskStatus::Running),
        "a beginning of the request is another text"
    );
    assert!(names(MAIN, long, SubtaskStatus::Blocked), "that it is blocked is news");
    assert!(names("backend-1", long, SubtaskStatus::Running), "that it is this agent's is news");
    assert!(names("backend-1", "Fix the build", SubtaskStatus::Running));

    let mut waiting = open(MAIN, long, SubtaskStatus::Running);
    waiting.work[0].blocked_by = vec![SubtaskId::from(uuid::Uuid::from_u128(9))];
    assert!(compiled(MAIN, 2000, &waiting).content.contains("] Fix the build"), "that it waits is news");
    let mut lines = open(MAIN, long, SubtaskStatus::Running);
    lines.prompts[0].text = format!("{long}\nand so on");
    assert!(
        !compiled(MAIN, 2000, &lines).content.contains("] Fix the build"),
        "the main agent's own first line"
    );
}

#[test]
fn the_explanation_names_the_request_and_what_it_repeats() {
    let rows = BriefRows {
        prompts: vec![prompt("Fix the build")],
        work: vec![work(7, MAIN, "Fix the build", SubtaskStatus::Running)],
        ..BriefRows::default()
    };
    let choices = compiled(MAIN, 500, &rows).choices;
    let of = |section: &str| choices.iter().find(|choice| choice.section == section).unwrap();
    let request = of("request");
    assert!(request.included && request.text == "> Fix the build", "{request:?}");
    let own = of("task");
    assert!(!own.included && own.reason == "it is said already", "{own:?}");
}

#[test]
fn the_user_gets_the_room_that_nobody_else_needs() {
    let sentence = "The search must forgive typing errors in names and descriptions. ";
    let mut texts = vec![sentence.repeat(92), format!("{}\n", sentence.trim_end()).repeat(92)];
    texts.push("検索は名前の誤りを許す。".repeat(250));
    for text in texts {
        let rows = BriefRows { prompts: vec![prompt(&text)], ..BriefRows::default() };
        let brief = compiled(MAIN, 2000, &rows);
        assert!(brief.token_count <= 2000);
        let is_whole = quoted(&brief).trim_end() == text.trim_end();
        assert!(is_whole || brief.token_count >= 1800, "{} tokens:\n{}", brief.token_count, brief.content);
        assert_eq!(brief.truncated, !is_whole);
        let brief = compiled(MAIN, 8000, &rows);
        assert!(!brief.truncated && quoted(&brief) == text.trim_end(), "{}", brief.content);
    }
    let rows = BriefRows { prompts: vec![prompt("Go on…")], ..BriefRows::default() };
    assert!(!compiled(MAIN, 500, &rows).truncated, "these dots are the user's");
}

#[test]
fn equal_beginnings_do_not_make_equal_lines() {
    let command = |end: &str| format!("cargo nextest run --workspace {}{end}", "--all-features ".repeat(12));
    let subtask = |end: &str| format!("Look at {}{end}", "every file of the module ".repeat(6));
    let rows = BriefRows {
        prompts: vec![prompt("Look")],
        failures: vec![failure(1, MAIN, &command("-E one")), failure(2, MAIN, &command("-E two"))],
        work: vec![
            work(3, "a", &subtask("one"), SubtaskStatus::Pending),
            work(4, "a", &subtask("two"), SubtaskStatus::Pending),
        ],
        ..BriefRows::default()
    };
    for budget in (100..1000).step_by(20) {
        let brief = compiled(MAIN, budget, &rows);
        let mut lines: Vec<&str> = brief.content.lines().collect();
        let all = lines.len();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), all, "at {budget}:\n{}", brief.content);
    }
    let content = compiled(MAIN, 400, &rows).content;
    assert!(content.contains("-E one`") && content.contains("-E two`"), "{content}");
}

#[test]
fn calls_of_others_are_told_with_whose_they_are() {
    let step = |number: u128, agent: &str| BriefStep {
        id: ActionId::from(uuid::Uuid::from_u128(number)),
        agent_id: Some(agent.to_owned()),
        tool_name: "Bash".to_owned(),
        input: Some(format!("{{\"command\":\"step {number}\"}}")),
        paths: Vec::new(),
        exit_code: 0,
        created_at: ago(i64::try_from(number).unwrap()),
    };
    let rows = BriefRows {
        prompts: vec![prompt("Look")],
        failures: vec![
            failure(1, "backend-1", "make one"),
            failure(2, "qa-1", "make two"),
            failure(3, MAIN, "make"),
        ],
        steps: vec![step(4, "backend-1"), step(5, "qa-1")],
        ..BriefRows::default()
    };
    let content = compiled("backend-1", 2000, &rows).content;
    for line in [
        "- `make one` (exit 101, 12 min ago)",
        "- `make two` (exit 101, 12 min ago, by qa-1)",
        "- `make` (exit 101, 12 min ago, by the main agent)",
        "- Bash `step 4`, 4 min ago",
        "- Bash `step 5`, 5 min ago (by qa-1)",
    ] {
        assert!(content.lines().any(|one| one == line), "{line}:\n{content}");
    }
    // Where one of them has room only, it is the agent's own, though another is newer.
    for agent in ["backend-1", "qa-1"] {
        let brief = compiled(agent, 2000, &rows);
        let choices = brief.choices.iter().filter(|choice| choice.section == "steps");
        let owners = rows.steps.iter().map(|step| step.agent_id.as_deref() == Some(agent));
        let worths: Vec<_> = owners.zip(choices.map(|choice| choice.worth)).collect();
        let own = worths.iter().find(|(is_own, _)| *is_own).unwrap().1;
        assert!(worths.iter().all(|(is_own, worth)| *is_own || *worth < own), "{agent}: {worths:?}");
    }
}

#[test]
fn what_a_snapshot_says_of_agents_and_waves_is_told() {
    let saved = serde_json::json!({"agent_states": [{"agent": "qa-1", "status": "waits"}, "all well"],
        "wave_state": {"wave": 2, "open": 3}});
    let snapshot = crate::storage::BriefSnapshot {
        id: uuid::Uuid::from_u128(5).into(),
        saved: JsonObject::from_value(saved),
        created_at: ago(1),
    };
    let rows = BriefRows { snapshot: Some(snapshot), ..BriefRows::default() };
    let content = compiled(MAIN, 500, &rows).content;
    for words in
        ["- Agent then: ", "agent qa-1", "status waits", "all well", "- Wave then: ", "wave 2", "open 3"]
    {
        assert!(content.contains(words), "{words}:\n{content}");
    }
}

/// Words of a language that has an alphabet, of some that write without spaces, and what a terminal printed.
/// A brief that holds all there is does not say that more is known.
#[test]
fn nothing_is_missing_where_nothing_is_known() {
    let brief = compiled(MAIN, 2000, &BriefRows::default());
    assert!(!brief.truncated && !brief.content.contains("Not everything fits"), "{}", brief.content);
}

/// What the store noted of open work in a snapshot is told as it stands now, and only once.
#[test]
fn work_of_a_snapshot_is_told_as_it_stands_now() {
    let long = "Port the parser of dates, ".repeat(20);
    let open = work(1, "sub-1", &long, SubtaskStatus::Running);
    let nameless = BriefWork { description: None, ..work(2, "sub-2", "", SubtaskStatus::Running) };
    let ended = work(3, "sub-3", "Build the cart", SubtaskStatus::Running);
    let then = BriefRows { work: vec![open.clone(), nameless.clone(), ended], ..BriefRows::default() };
    let mut tasks = open_work(&then);
    tasks.push(serde_json::json!("Write the release notes"));
    // As another client would have said it, cut.
    tasks.push(serde_json::json!(text::cut(&long, 200)));
    let snapshot = crate::storage::BriefSnapshot {
        id: uuid::Uuid::from_u128(9).into(),
        saved: JsonObject::from_value(serde_json::json!({ "active_tasks": tasks })),
        created_at: ago(15),
    };
    let rows = BriefRows { work: vec![open, nameless], snapshot: Some(snapshot), ..BriefRows::default() };
    let brief = compiled(MAIN, 4000, &rows).content;
    let was: Vec<&str> = brief.lines().filter(|line| line.contains("Was at")).collect();
    assert_eq!(was, ["- Was at: Write the release notes"], "{brief}");
    assert!(!brief.contains("Build the cart") && !brief.contains('{'), "{brief}");
}

/// Each line says its own worth, also where several are of one source.
#[test]
fn lines_of_one_summary_have_their_own_relevance() {
    let summary = crate::storage::BriefSummary {
        id: uuid::Uuid::from_u128(9).into(),
        text: "## Done\nThe reader.\n\n## Next steps\nWrite the exporter.\n".to_owned(),
        created_at: ago(15),
    };
    let rows = BriefRows { summary: Some(summary), ..BriefRows::default() };
    let brief = compiled(MAIN, 2000, &rows);
    let relevance = |word: &str| {
        let line = brief.content.lines().zip(1_u32..).find(|(line, _)| line.contains(word)).unwrap().1;
        brief.sources.iter().find(|source| source.line == Some(line)).unwrap().relevance
    };
    assert!(relevance("exporter") > relevance("reader"), "{:?}", brief.sources);
}

/// A call of which nothing is known but that it failed is named.
#[test]
fn a_failed_call_without_words_has_a_name() {
    let rows = BriefRows { failures: vec![failure(1, MAIN, "")], ..BriefRows::default() };
    let brief = compiled(MAIN, 2000, &rows).content;
    assert!(brief.contains("- Bash (exit 101"), "{brief}");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{2,9}( [a-z]{2,9}){3,60}[.?]",
        "[а-я]{2,9}( [а-я]{2,9}){3,60}",
        "[一-龥]{20,400}。",
        "[ก-ฮ]{20,400}",
        "[א-ת]{2,6}( [א-ת]{2,6}){3,30}",
        "(2024-01-0[1-9]T00:00:00Z (ERROR|INFO) [a-z:_]{5,30} [0-9a-f]{32}\n){3,80}",
        "(    at [a-z.]{5,40}\\([A-Z][a-z]{3,9}\\.java:[0-9]{1,4}\\)\n){3,60}",
        "[\\{\\}\\[\\]\":,0-9a-f]{50,2000}",
        "(😀|🎉|👩\u{200d}💻){5,100}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        r"C:\\Users\\[A-Z][a-z]{2,8} [A-Z][a-z]{2,8}\\[a-z]{2,8}\.cs",
        "/home/[a-z]{2,6}/My Documents/[a-z]{2,8} [0-9]\\.txt",
        "/srv/[а-я]{2,8}/[一-龥]{1,4}\\.md",
        "[a-z]{1,5}/`[a-z]{1,5}`\\.rs",
    ]
}

#[test]
fn the_newest_words_are_quoted_at_every_budget() {
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let session = (
        text(),
        proptest::collection::vec(text(), 0..40),
        proptest::collection::vec(path(), 0..40),
        100..8000_i32,
        any::<bool>(),
    );
    let outcome = runner.run(&session, |(words, others, paths, budget, is_main)| {
        let files = paths.iter().map(|path| BriefFile {
            paths: vec![path.clone()],
            tool_name: "Edit".to_owned(),
            times: 2,
            last_at: ago(3),
        });
        let agents = others
            .iter()
            .zip(10..)
            .map(|(text, number)| work(number, &format!("agent-{number}"), text, SubtaskStatus::Running));
        let rows = BriefRows {
            prompts: vec![prompt(&words)],
            work: agents.collect(),
            files: files.collect(),
            failures: others
                .iter()
                .zip(500..)
                .map(|(text, number)| failure(number, "agent-11", text))
                .collect(),
            ..BriefRows::default()
        };
        let brief = compiled(if is_main { MAIN } else { "agent-10" }, budget, &rows);
        prop_assert!(brief.token_count <= i64::from(budget));
        let quoted = quoted(&brief);
        let quoted = quoted.trim_end_matches(['…', ' ']);
        let first = words.lines().next().unwrap_or_default();
        prop_assert!(!quoted.is_empty(), "nothing is quoted:\n{}", brief.content);
        let said = quoted.lines().next().unwrap_or_default().trim_end_matches(['…', ' ']);
        prop_assert!(first.starts_with(said), "{said} is no beginning of {first}");
        Ok(())
    });
    outcome.unwrap();
}

/// What came back and what is broken comes before files, however much there is to say of each.
#[test]
fn ordinary_results_and_failures_have_room_among_files() {
    let ended = |number: u128| {
        let mut ended = work(
            number + 10,
            &format!("helper-{number}"),
            &format!("Look at part {number} of the importer and say what it does"),
            SubtaskStatus::Completed,
        );
        let told = format!("Part {number} reads the file in pieces. ").repeat(14);
        ended.result = Some(JsonObject::from_value(serde_json::json!({ "message": told })));
        ended
    };
    let file = |number: u128| BriefFile {
        paths: vec![format!("/srv/shop/src/importer/part_{number}.rs")],
        tool_name: "Edit".to_owned(),
        times: 2,
        last_at: ago(3),
    };
    for kind in ["tech-lead", "developer", "qa-testing", "legal-compliance"] {
        for (agents, failures, budget) in [(6, 4, 1000), (12, 10, 1200)] {
            let rows = BriefRows {
                agent_type: kind.to_owned(),
                prompts: vec![prompt("Make the import faster, please.")],
                work: (0..agents).map(ended).collect(),
                failures: (0..failures)
                    .map(|n| failure(n + 100, "helper-1", &format!("cargo nextest run -p importer part_{n}")))
                    .collect(),
                files: (0..40).map(file).collect(),
                ..BriefRows::default()
            };
            let options = BriefOptions {
                max_tokens: Some(budget),
                ..BriefOptions::new(MAIN.to_owned(), MAIN.to_owned())
            };
            let content = compile(&options, &rows, now(), &Estimate).content;
            for number in 0..agents {
                let line = content.lines().find(|line| {
                    [":", ", completed"].iter().any(|end| line.contains(&format!("helper-{number}{end}")))
                });
                let told = line.is_some_and(|line| line.contains(&format!("Part {number} reads the file")));
                assert!(told, "{kind}, {budget}: {number} of {agents}:\n{content}");
            }
            for number in 0..failures {
                assert!(
                    content.contains(&format!("part_{number}` (")),
                    "{kind}, {budget}: {number}:\n{content}"
                );
            }
            assert!(content.matches("part_").count() > 15, "files as well:\n{content}");
        }
    }
}

#[test]
fn each_sub_agent_is_named_with_its_result_where_they_fit() {
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let session = (1..300_usize, text(), 1000..8000_i32);
    let outcome = runner.run(&session, |(count, words, budget)| {
        let ended = |number: usize| {
            let mut ended = work(
                u128::try_from(number).unwrap() + 10,
                &format!("helper-{number}"),
                &format!("Look at part {number}"),
                SubtaskStatus::Completed,
            );
            ended.result = Some(JsonObject::from_value(
                serde_json::json!({"message": format!("part {number} is well")}),
            ));
            ended
        };
        let rows = BriefRows {
            prompts: vec![prompt(&words)],
            work: (0..count).map(ended).collect(),
            ..BriefRows::default()
        };
        let brief = compiled(MAIN, budget, &rows);
        prop_assert!(brief.token_count <= i64::from(budget));
        let told = |number: &usize| {
            brief.content.lines().any(|line| {
                [",", ":"].iter().any(|end| line.contains(&format!("helper-{number}{end}")))
                    && line.ends_with(&format!("part {number} is well"))
            })
        };
        let named = (0..count).filter(told).count();
        // A line of these costs 20 tokens at most in its shortest form, and the user's words take less than half.
        let fit = usize::try_from(budget / 2 / 20).unwrap().min(count);
        prop_assert!(named >= fit, "{named} of {count} where {fit} fit at {budget}:\n{}", brief.content);
        Ok(())
    });
    outcome.unwrap();
}
