//! `/api/actions`

use futures_util::future::join_all;

use super::expect::{invalid, must, not_found, same_order, unknown_reference};
use super::fixture::{Fixture, record, session_now};
use super::inputs;
use crate::api::Api;
use crate::api::actions::{
    ActionDelete, ActionDeleteBySession, ActionHourly, ActionList, ActionPage, ActionRecord, ActionSummary,
};
use crate::api::projects::ProjectByPath;
use crate::api::sessions::{SessionCreate, SessionGet};
use crate::model::{SubtaskStatus, ToolType};

async fn of_session(api: &impl Api, session: &str) -> ActionPage {
    let list = ActionList { session_id: Some(session.to_owned()), ..inputs::actions() };
    must(api.execute(list).await, "listing the actions of a session")
}

/// The answer holds what was recorded; exit code 0 is the default and a duration of 0 stays 0.
pub async fn record_answers_what_was_recorded(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("session");
    let in_session = || ActionRecord { session_id: Some(session.clone()), ..inputs::action("Bash") };
    let plain = must(api.execute(in_session()).await, "recording an action");
    assert!(plain.success, "a recording says success");
    let plain = plain.action;
    assert_eq!((&*plain.tool_name, plain.tool_type), ("Bash", ToolType::Builtin), "the tool");
    assert_eq!((plain.exit_code, plain.duration_ms), (0, None), "the defaults");
    assert_eq!(plain.keywords_extracted, 0, "no input teaches no word");

    let full = ActionRecord {
        tool_name: fixture.name("mcp__server__tool"),
        tool_type: ToolType::Mcp,
        input: Some("{\"command\":\"ls\"}".to_owned()),
        output: Some("naïve ☃ 🦀\r\n".to_owned()),
        exit_code: Some(-2),
        duration_ms: Some(0),
        file_paths: Some(vec!["/a b.rs".to_owned(), "/ü.rs".to_owned()]),
        ..in_session()
    };
    let action = record(api, full.clone()).await;
    assert_eq!((&action.tool_name, action.tool_type), (&full.tool_name, ToolType::Mcp), "the tool");
    assert_eq!((action.exit_code, action.duration_ms), (-2, Some(0)), "a duration of 0 stays 0");
    let page = of_session(api, &session).await;
    let expected = ActionSummary {
        id: action.id,
        tool_name: full.tool_name,
        tool_type: ToolType::Mcp,
        exit_code: -2,
        duration_ms: Some(0),
        file_paths: full.file_paths.unwrap_or_default(),
        created_at: action.created_at,
        session_id: Some(session.clone()),
        subtask_id: None,
        success: false,
    };
    assert_eq!(page.actions.first(), Some(&expected), "the list holds what was recorded");
    let oldest = page.actions.last().map(|action| (action.id, action.file_paths.len(), action.success));
    assert_eq!(oldest, Some((plain.id, 0, true)), "an action without files has an empty list of them");
}

/// Long input and output are taken, whatever they hold.
pub async fn long_texts_are_taken(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("session");
    let long = "Überlang 🦀 \"quoted\" ".repeat(20_000);
    let input = ActionRecord {
        input: Some(long.clone()),
        output: Some(long),
        session_id: Some(session.clone()),
        ..inputs::action("Bash")
    };
    record(api, input).await;
    assert_eq!(of_session(api, &session).await.total, 1, "an action with 400 KB of text is recorded");
}

/// An action creates its session and project, and keeps the session's counters.
pub async fn record_creates_session_and_project_and_counts(api: &impl Api) {
    let fixture = Fixture::new();
    let (session, path) = (fixture.name("session"), fixture.path("auto"));
    for exit_code in [Some(0), Some(1), None, Some(127)] {
        let input = ActionRecord {
            exit_code,
            session_id: Some(session.clone()),
            project_path: Some(format!("{path}/")),
            ..inputs::action("Bash")
        };
        record(api, input).await;
    }
    let project = must(api.execute(ProjectByPath { path }).await, "the project of the action").project;
    let found = session_now(api, &session).await.session;
    assert_eq!(found.project_id, Some(project.id), "the session belongs to the project");
    assert_eq!(
        (found.total_tools_used, found.total_success, found.total_errors),
        (4, 2, 2),
        "every action is counted once, by its exit code"
    );
    assert_eq!(found.ended_at, None, "a session at work has not ended");
}

/// A client that names only the subtask means its session, which is made and counted like any other.
pub async fn an_action_of_a_subtask_makes_its_session(api: &impl Api) {
    let fixture = Fixture::new();
    let (project, session) = (fixture.project(api, "implied").await, fixture.name("session"));
    let request = fixture.request(api, project.id, &session).await;
    let task = fixture.task(api, request.id).await;
    let subtask = fixture.subtask(api, task.id, SubtaskStatus::Running).await;
    for exit_code in [1, 0] {
        let input = inputs::action("Bash");
        record(api, ActionRecord { exit_code: Some(exit_code), subtask_id: Some(subtask.id), ..input }).await;
    }
    let found = session_now(api, &session).await.session;
    let counters = (found.total_tools_used, found.total_success, found.total_errors);
    assert_eq!((counters, found.project_id), ((2, 1, 1), Some(project.id)), "the session of the subtask");
}

/// Counters of an explicitly created session go on from what was given.
pub async fn counters_go_on_from_what_is_there(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("session");
    let created = SessionCreate {
        total_tools_used: Some(10),
        total_success: Some(7),
        total_errors: Some(3),
        ..inputs::session(&session)
    };
    must(api.execute(created).await, "creating a session");
    for exit_code in [0, 0, 1] {
        let input = inputs::action("Bash");
        record(api, ActionRecord { exit_code: Some(exit_code), session_id: Some(session.clone()), ..input })
            .await;
    }
    let found = session_now(api, &session).await.session;
    assert_eq!((found.total_tools_used, found.total_success, found.total_errors), (13, 9, 4), "the counters");
}

/// An action without session is recorded too, and found by its tool.
pub async fn session_and_project_are_optional(api: &impl Api) {
    let fixture = Fixture::new();
    let tool = fixture.name("Tool");
    let id = record(api, inputs::action(&tool)).await.id;
    let list = ActionList { tool_name: Some(tool), ..inputs::actions() };
    let page = must(api.execute(list).await, "listing by tool");
    assert_eq!((page.total, page.count), (1, 1), "the action is listed once");
    assert_eq!((page.actions[0].id, &page.actions[0].session_id), (id, &None), "it has no session");
}

/// At most ten words are learned from one action.
pub async fn at_most_ten_words_are_learned(api: &impl Api) {
    let fixture = Fixture::new();
    let learn = async |input: String| {
        record(api, ActionRecord { input: Some(input), ..inputs::action(&fixture.name("Tool")) }).await
    };
    let words: Vec<_> = (0..25).map(|_| fixture.word()).collect();
    assert_eq!(learn(words.join(" ")).await.keywords_extracted, 10, "25 words teach ten");
    assert_eq!(learn(words[..3].join(" ")).await.keywords_extracted, 3, "three words teach three");
    let input = format!("{0} {0} {0}", words[0]);
    assert_eq!(learn(input).await.keywords_extracted, 1, "a word counts once");
    assert_eq!(
        learn("a an of the with and".to_owned()).await.keywords_extracted,
        0,
        "function words teach nothing"
    );
}

/// A subtask that is named must exist.
pub async fn unknown_subtask_is_refused(api: &impl Api) {
    let fixture = Fixture::new();
    let (subtask, session) = (fixture.unknown(), fixture.name("session"));
    let input = ActionRecord {
        subtask_id: Some(subtask),
        session_id: Some(session.clone()),
        ..inputs::action("Bash")
    };
    unknown_reference(api.execute(input).await, "subtask");
    assert_eq!(of_session(api, &session).await.total, 0, "nothing of it was stored");
    not_found(api.execute(SessionGet { id: session }).await, "Session not found");
}

/// Filters combine, the total counts what matches, the newest comes first.
pub async fn filters_combine_and_pages_have_a_total(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await.id;
    let (s, t) = (fixture.name("s"), fixture.name("t"));
    let (tool, other) = (fixture.name("Tool"), fixture.name("Other"));
    let mut ids = Vec::new();
    for (session, tool_name, tool_type, subtask_id) in [
        (&s, &tool, ToolType::Builtin, Some(subtask)),
        (&s, &tool, ToolType::Skill, None),
        (&s, &other, ToolType::Builtin, Some(subtask)),
        (&t, &tool, ToolType::Builtin, None),
    ] {
        let input = ActionRecord {
            tool_type,
            subtask_id,
            session_id: Some(session.clone()),
            ..inputs::action(tool_name)
        };
        ids.push(record(api, input).await.id);
    }
    let all = inputs::actions;
    let (in_s, by_tool) = (|| Some(s.clone()), || Some(tool.clone()));
    let builtin = || Some("builtin".to_owned());
    for (input, expected, total, what) in [
        (ActionList { session_id: in_s(), ..all() }, vec![2, 1, 0], 3, "of a session"),
        (ActionList { tool_name: by_tool(), ..all() }, vec![3, 1, 0], 3, "of a tool"),
        (ActionList { subtask_id: Some(subtask), ..all() }, vec![2, 0], 2, "of a subtask"),
        (ActionList { tool_name: by_tool(), tool_type: builtin(), ..all() }, vec![3, 0], 2, "tool and type"),
        (ActionList { session_id: in_s(), tool_name: by_tool(), ..all() }, vec![1, 0], 2, "session and tool"),
        (
            ActionList {
                session_id: in_s(),
                tool_name: by_tool(),
                tool_type: builtin(),
                subtask_id: Some(subtask),
                ..all()
            },
            vec![0],
            1,
            "all four",
        ),
        (
            ActionList { session_id: in_s(), tool_type: Some("zzz".to_owned()), ..all() },
            vec![],
            0,
            "an unknown type",
        ),
        (ActionList { session_id: in_s(), limit: Some(1), offset: Some(1), ..all() }, vec![1], 3, "one page"),
        (ActionList { session_id: in_s(), limit: Some(0), ..all() }, vec![], 3, "limit 0"),
    ] {
        let page = must(api.execute(input).await, what);
        let found: Vec<_> = page.actions.iter().map(|action| action.id).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| ids[index]).collect();
        same_order(&found, &expected, &format!("actions {what}, newest first"));
        assert_eq!((page.count, page.total), (found.len(), total), "count and total of actions {what}");
    }
    let page = must(
        api.execute(ActionList { limit: Some(5000), session_id: in_s(), ..all() }).await,
        "a huge limit",
    );
    assert_eq!((page.limit, page.offset), (1000, 0), "the limit is clamped to 1000");
}

/// The last 24 hours by hour, in order, without empty hours.
pub async fn hourly_counts_by_hour(api: &impl Api) {
    let fixture = Fixture::new();
    let mut newest = None;
    for _ in 0..3 {
        newest = Some(record(api, inputs::action(&fixture.name("Tool"))).await.created_at);
    }
    let report = must(api.execute(ActionHourly {}).await, "actions by hour");
    assert_eq!(report.period, "24h", "the period");
    assert!(report.data.iter().all(|hour| hour.count > 0), "hours without actions are left out");
    assert!(report.data.iter().all(|hour| hour.hour == hour.hour.start_of_hour()), "hours begin on the hour");
    assert!(report.data.windows(2).all(|pair| pair[0].hour < pair[1].hour), "hours come in order, each once");
    assert!(report.data.len() <= 25, "24 hours touch at most 25 hours of the clock");
    let sum: i64 = report.data.iter().map(|hour| hour.count).sum();
    assert!(sum >= 3, "the actions of this case are counted, the sum is {sum}");
    let this_hour = newest.map(crate::time::Timestamp::start_of_hour);
    assert!(report.data.iter().any(|hour| Some(hour.hour) == this_hour), "the present hour is there");
}

/// Removing one action leaves the others and the counters.
pub async fn delete_removes_one(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("session");
    let in_session = || ActionRecord { session_id: Some(session.clone()), ..inputs::action("Bash") };
    let (gone, kept) = (record(api, in_session()).await.id, record(api, in_session()).await.id);
    must(api.execute(ActionDelete { id: gone }).await, "deleting an action");
    not_found(api.execute(ActionDelete { id: gone }).await, "Action not found");
    not_found(api.execute(ActionDelete { id: fixture.unknown() }).await, "Action not found");
    let found: Vec<_> = of_session(api, &session).await.actions.iter().map(|action| action.id).collect();
    same_order(&found, &[kept], "the other action stays");
    assert_eq!(session_now(api, &session).await.session.total_tools_used, 2, "counters tell what happened");
}

/// Removing the actions of a session says how many, and leaves its counters and other sessions.
pub async fn delete_by_session_counts(api: &impl Api) {
    let fixture = Fixture::new();
    let (session, other) = (fixture.name("a/b c%"), fixture.name("other"));
    for id in [&session, &session, &session, &other] {
        record(api, ActionRecord { session_id: Some(id.clone()), ..inputs::action("Bash") }).await;
    }
    let delete = || ActionDeleteBySession { session_id: session.clone() };
    let deleted = must(api.execute(delete()).await, "deleting the actions of a session");
    assert!(deleted.success, "a removal says success");
    assert_eq!((deleted.deleted_count, &deleted.session_id), (3, &session), "how many went, and of whom");
    assert_eq!(of_session(api, &session).await.total, 0, "none is left");
    assert_eq!(of_session(api, &other).await.total, 1, "other sessions keep theirs");
    assert_eq!(session_now(api, &session).await.session.total_tools_used, 3, "the counters stay");
    let again = must(api.execute(delete()).await, "deleting them again");
    assert_eq!(again.deleted_count, 0, "there is nothing left to delete");
}

/// Numbers out of range, empty and unstorable texts are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("session");
    let blank = || ActionRecord { session_id: Some(session.clone()), ..inputs::action("Bash") };
    let error = invalid(api.execute(ActionRecord { tool_name: String::new(), ..blank() }).await, "tool_name");
    assert_eq!(error.message(), "Validation failed: Invalid tool_name", "the summary names the field");
    invalid(api.execute(ActionRecord { tool_name: "t".repeat(256), ..blank() }).await, "tool_name");
    invalid(api.execute(ActionRecord { duration_ms: Some(-1), ..blank() }).await, "duration_ms");
    invalid(api.execute(ActionRecord { input: Some("a\0b".to_owned()), ..blank() }).await, "input");
    invalid(api.execute(ActionRecord { output: Some("a\0b".to_owned()), ..blank() }).await, "output");
    let file_paths = Some(vec!["/ok".to_owned(), String::new()]);
    invalid(api.execute(ActionRecord { file_paths, ..blank() }).await, "file_paths");
    let file_paths = Some(vec!["p".repeat(2049)]);
    invalid(api.execute(ActionRecord { file_paths, ..blank() }).await, "file_paths");
    let long = ActionRecord { session_id: Some("s".repeat(256)), ..inputs::action("Bash") };
    invalid(api.execute(long).await, "session_id");
    let long = ActionRecord { project_path: Some("p".repeat(2049)), ..blank() };
    invalid(api.execute(long).await, "project_path");
    assert_eq!(of_session(api, &session).await.total, 0, "nothing of it was stored");
    not_found(api.execute(SessionGet { id: session.clone() }).await, "Session not found");
    let widest =
        (0..3).map(|_| ActionRecord { exit_code: Some(i32::MIN), duration_ms: Some(i32::MAX), ..blank() });
    for result in join_all(widest.map(|input| api.execute(input))).await {
        must(result, "the whole range of 32 bits is taken");
    }
}
