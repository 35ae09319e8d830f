//! What holds for every brief, whatever the store says: random rows, random budgets.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::api::context::{ContextMessage, ContextProject};
use crate::json::JsonObject;
use crate::model::{RequestStatus, SubtaskStatus};
use crate::storage::{
    BriefBlocking, BriefContext, BriefFailure, BriefFile, BriefPrompt, BriefSnapshot, BriefStep,
    BriefSummary, BriefWork, OpenFailure,
};

const TYPES: [&str; 6] = ["tech-lead", "developer", "qa-testing", "seo-specialist", "backend-go", "x-expert"];

fn id<Id: From<uuid::Uuid> + std::fmt::Debug>() -> impl Strategy<Value = Id> {
    any::<u128>().prop_map(|bits| uuid::Uuid::from_u128(bits).into())
}

fn at() -> impl Strategy<Value = Timestamp> {
    (0_i64..100_000_000).prop_map(Timestamp::from_millis)
}

/// Words as people write them, and whatever a hostile client sends.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z_/.-]{0,24}( [a-z0-9]{1,12}){0,12}",
        2 => "(# |> |- |`|_|\\*|\n){0,4}[ -~\n]{0,300}",
        1 => "\\PC{0,200}",
        1 => "[a-zA-Z0-9+/]{60,400}",
        1 => "(\n|\t|\r| |#|😀|é|漢){0,120}",
    ]
}

fn object() -> impl Strategy<Value = JsonObject> {
    words().prop_map(|text| {
        JsonObject::from_value(serde_json::json!({"message": text, "key_decisions": [text],
        "modified_files": [text], "context_summary": text, "agent_states": [{"agent": text}],
        "wave_state": {"wave": text}}))
    })
}

fn work() -> impl Strategy<Value = BriefWork> {
    let texts = (proptest::option::of(words()), proptest::option::of(words()), proptest::option::of("[a-c]"));
    let more =
        (proptest::option::of(words()), proptest::option::of(object()), at(), proptest::option::of(at()));
    (id(), texts, more, 0..6_usize, proptest::collection::vec(id(), 0..2)).prop_map(
        |(
            id,
            (description, agent_type, agent_id),
            (task_name, result, created_at, completed_at),
            status,
            blocked_by,
        )| {
            BriefWork {
                id,
                description,
                status: SubtaskStatus::ALL[status % SubtaskStatus::ALL.len()],
                agent_type,
                agent_id,
                task_name,
                wave_number: Some(1),
                created_at,
                started_at: completed_at,
                completed_at,
                blocked_by,
                result,
            }
        },
    )
}

fn rows() -> impl Strategy<Value = BriefRows> {
    let prompt =
        (id(), words(), proptest::collection::vec(words(), 0..2), at()).prop_map(|(id, text, added, at)| {
            BriefPrompt { id, text, whole: true, added, status: RequestStatus::Active, created_at: at }
        });
    let message = (id(), proptest::option::of(words()), object(), 0..11, at()).prop_map(
        |(id, from_agent, content, priority, created_at)| ContextMessage {
            id,
            topic: from_agent.clone(),
            from_agent,
            content,
            priority,
            created_at,
            is_broadcast: false,
        },
    );
    let blocking = (id(), "[a-c]", "[a-c]", proptest::option::of(words()), at()).prop_map(
        |(id, blocked_by, blocked_agent, reason, created_at)| BriefBlocking {
            id,
            blocked_by,
            blocked_agent,
            reason,
            created_at,
        },
    );
    let file = (proptest::collection::vec(words(), 1..3), "Read|Edit|Grep|Write", 1_i64..20, at())
        .prop_map(|(paths, tool_name, times, last_at)| BriefFile { paths, tool_name, times, last_at });
    let owner = || proptest::option::of("[a-c]");
    let failure = (id(), words(), words(), proptest::option::of(words()), at(), owner()).prop_map(
        |(action_id, tool_name, attempt, detail, failed_at, agent_id)| BriefFailure {
            failure: OpenFailure { action_id, tool_name, attempt, detail, exit_code: 1, times: 2, failed_at },
            agent_id,
        },
    );
    let step = (id(), words(), proptest::option::of(words()), at(), owner()).prop_map(
        |(id, tool_name, input, created_at, agent_id)| BriefStep {
            id,
            agent_id,
            tool_name,
            input,
            paths: Vec::new(),
            exit_code: 0,
            created_at,
        },
    );
    let summary =
        (id(), words(), at()).prop_map(|(id, text, created_at)| BriefSummary { id, text, created_at });
    let snapshot =
        (id(), object(), at()).prop_map(|(id, saved, created_at)| BriefSnapshot { id, saved, created_at });
    let context = (id(), words(), at()).prop_map(|(id, progress, updated_at)| BriefContext {
        id,
        progress,
        updated_at,
    });
    let project = (id(), proptest::option::of(words()), words())
        .prop_map(|(id, name, path)| ContextProject { id, name, path });
    let lists = (
        proptest::collection::vec(prompt, 0..4),
        proptest::collection::vec(work(), 0..12),
        proptest::collection::vec(message, 0..6),
        proptest::collection::vec(blocking, 0..4),
        proptest::collection::vec(file, 0..25),
        proptest::collection::vec(failure, 0..8),
        proptest::collection::vec(step, 0..6),
        proptest::collection::vec(context, 0..2),
    );
    let ones = (proptest::option::of(project), proptest::option::of(summary), proptest::option::of(snapshot));
    (lists, ones).prop_map(
        |(
            (prompts, work, messages, blockings, files, failures, steps, contexts),
            (project, summary, snapshot),
        )| {
            BriefRows {
                agent_type: String::new(),
                cut: Vec::new(),
                project,
                prompts,
                work,
                blockers: Vec::new(),
                messages,
                blockings,
                files,
                failures,
                steps,
                summary,
                snapshot,
                contexts,
            }
        },
    )
}

/// What is asked of a random store.
#[derive(Debug, Clone)]
struct Asked {
    rows: BriefRows,
    budget: i32,
    agent_type: &'static str,
    agent: String,
    summary: Option<String>,
}

fn asked() -> impl Strategy<Value = Asked> {
    (rows(), 100..8000_i32, 0..TYPES.len(), "[a-c]", proptest::option::of(words())).prop_map(
        |(rows, budget, kind, agent, summary)| Asked {
            rows,
            budget,
            agent_type: TYPES[kind],
            agent,
            summary,
        },
    )
}

/// Fails unless the brief of what is `asked` holds to everything that is promised of briefs, as `counter` counts.
fn check(asked: &Asked, counter: &dyn TokenCounter) -> Result<(), TestCaseError> {
    let Asked { rows, budget, agent_type, agent, summary } = asked;
    let options = BriefOptions {
        max_tokens: Some(*budget),
        explain: true,
        summary: summary.clone(),
        ..BriefOptions::new(agent.clone(), "session".to_owned())
    };
    let now = Timestamp::from_millis(200_000_000);
    let rows = BriefRows { agent_type: (*agent_type).to_owned(), ..rows.clone() };
    let compiled = compile(&options, &rows, now, counter);
    let again = compile(&options, &rows, now, counter);
    prop_assert_eq!(&compiled, &again, "the same rows give the same bytes");
    let cost = i64::try_from(counter.count(&compiled.content)).unwrap();
    prop_assert!(cost <= i64::from(*budget), "{cost} of {budget}:\n{}", compiled.content);
    prop_assert_eq!(compiled.token_count, cost);
    let lines: Vec<&str> = compiled.content.lines().collect();
    for source in &compiled.sources {
        let line = source.line.and_then(|line| lines.get(usize::try_from(line).ok()? - 1));
        prop_assert!(
            line.is_some_and(|line| !line.starts_with('#')),
            "{source:?} names a line:\n{}",
            compiled.content
        );
    }
    let own_words = lines.iter().filter(|line| !line.starts_with('#') && !line.starts_with("_Not")).count();
    prop_assert_eq!(own_words, compiled.sources.len(), "every line has a source:\n{}", compiled.content);
    let mut told: Vec<&str> = lines.iter().filter(|line| !line.starts_with("> ")).copied().collect();
    let all = told.len();
    told.sort_unstable();
    told.dedup();
    prop_assert_eq!(told.len(), all, "no line stands twice:\n{}", compiled.content);
    if let Some(prompt) = rows.prompts.first()
        && prompt.added.is_empty()
        && prompt.text.split_whitespace().count() > 0
    {
        prop_assert!(compiled.content.contains("\n> "), "the user is quoted:\n{}", compiled.content);
    }
    Ok(())
}

fn run(cases: u32, counter: &dyn TokenCounter) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner.run(&asked(), |asked| check(&asked, counter)).unwrap();
}

#[test]
fn no_brief_exceeds_its_budget() {
    run(300, &Estimate);
}

/// The bound is that of whoever counts: here nothing is estimated.
#[cfg(feature = "tokens")]
#[test]
fn no_brief_exceeds_its_budget_counted_exactly() {
    run(60, &O200k);
}

#[test]
#[ignore = "takes minutes: 100,000 random stores"]
fn no_brief_of_a_hundred_thousand_exceeds_its_budget() {
    run(100_000, &Estimate);
}
