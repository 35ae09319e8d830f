//! The operation table, seen from outside: what is written as HTTP is read back as it was, and the README lists it.

use std::collections::BTreeSet;

use dcm::api::ingest::{Ingest, Observation};
use dcm::api::messages::MessageContent;
use dcm::api::routing::{RoutingFeedback, RoutingSuggest, Truthy};
use dcm::api::wire::{from_request, to_request};
use dcm::api::{Input, OPERATIONS, Operation};
use dcm::api::{actions, blocking, context, messages, projects, requests, sessions, subtasks};
use dcm::model::{PromptType, RequestStatus, SubtaskStatus, ToolType, Topic};
use dcm::{JsonObject, Timestamp};
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value};

// --- Round trips ------------------------------------------------------------------------------------------------------

/// Takes an HTTP request apart as a server does.
fn received<O: Operation>(operation: &O) -> dcm::Result<O> {
    let request = to_request(operation)?;
    assert_eq!(request.method, O::META.method.as_str());
    let (path, query) = request.path_and_query.split_once('?').unwrap_or((&request.path_and_query, ""));
    assert!(request.path_and_query.is_ascii(), "{}", request.path_and_query);
    let (names, segments): (Vec<_>, Vec<_>) = (O::META.path.split('/').collect(), path.split('/').collect());
    assert_eq!(names.len(), segments.len(), "{path} is not {}", O::META.path);
    let mut parameters = Vec::new();
    for (name, segment) in names.into_iter().zip(segments) {
        match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => {
                let value = percent_decode_str(segment).decode_utf8().expect("what was encoded was UTF-8");
                parameters.push((name.to_owned(), value.into_owned()));
            }
            None => assert_eq!(name, segment, "{path} is not {}", O::META.path),
        }
    }
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    from_request(parameters, query, request.body.unwrap_or_default().as_bytes())
}

fn assert_round_trip<O: Operation + PartialEq>(operation: O) -> Result<(), TestCaseError> {
    match received(&operation) {
        Ok(back) => prop_assert_eq!(back, operation),
        Err(error) => return Err(TestCaseError::fail(format!("{operation:?}: {error}"))),
    }
    Ok(())
}

/// Names with everything that means something in a URL.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9-]{1,20}", r#"[ /?#%&=+.,;:@~\\"'é😀\x01-]{1,12}"#, "\\PC{1,20}"]
        .prop_filter("no URL can say these", |name| name != "." && name != "..")
}

/// Ids as ids come.
fn id<Id: From<uuid::Uuid> + std::fmt::Debug>() -> impl Strategy<Value = Id> {
    any::<u128>().prop_map(|bits| Id::from(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()))
}

/// To the millisecond, as the wire writes it.
fn time() -> impl Strategy<Value = Timestamp> {
    (-60_000_000_000_000_i64..250_000_000_000_000).prop_map(Timestamp::from_millis)
}

fn json() -> impl Strategy<Value = Value> {
    let text = "[^\0]{0,8}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((text, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = JsonObject> {
    vec(("[^\0]{0,8}", json()), 0..5)
        .prop_map(|members| JsonObject::from_map(&members.into_iter().collect::<Map<_, _>>()))
}

fn word<T: Copy + std::fmt::Debug + 'static>(words: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(words)
}

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        (time(), option::of(any::<String>()))
            .prop_map(|(at, reason)| Observation::SessionStarted { at, reason }),
        (name(), time(), any::<String>(), option::of(word(PromptType::ALL)), option::of(object())).prop_map(
            |(key, at, text, prompt_type, metadata)| Observation::Prompt {
                key,
                at,
                text,
                prompt_type,
                metadata
            }
        ),
        (option::of(name()), time(), option::of(any::<String>()), any::<bool>()).prop_map(
            |(prompt_key, at, result, failed)| Observation::TurnEnded { prompt_key, at, result, failed }
        ),
        (name(), time(), option::of(name()), any::<i32>(), vec(name(), 0..3)).prop_map(
            |(tool, at, agent_id, exit_code, file_paths)| Observation::ToolUsed {
                tool_use_id: tool.clone(),
                at,
                agent_id,
                prompt_key: None,
                tool_name: tool,
                tool_type: Some(ToolType::Mcp),
                input: Some(String::new()),
                output: None,
                exit_code,
                duration_ms: Some(i32::MAX),
                file_paths,
                metadata: None,
            }
        ),
        (name(), time(), option::of(object())).prop_map(|(key, at, metadata)| Observation::Compacted {
            key,
            at,
            agent_id: None,
            trigger: None,
            summary: None,
            metadata
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_parameter(agent_id in name()) {
        assert_round_trip(blocking::BlockingGet { agent_id: agent_id.clone() })?;
        assert_round_trip(actions::ActionDeleteBySession { session_id: agent_id.clone() })?;
        assert_round_trip(sessions::SessionDelete { id: agent_id })?;
    }

    #[test]
    fn a_query(
        (session_id, status) in (option::of(name()), option::of(name())),
        project_id in option::of(id()),
        (limit, offset) in (option::of(any::<u32>()), option::of(any::<u32>())),
    ) {
        assert_round_trip(requests::RequestList { project_id, session_id, status, limit, offset })?;
    }

    #[test]
    fn a_query_of_numbers_and_words(
        (keywords, prompt, exclude_types) in (option::of(name()), option::of(name()), option::of(name())),
        limit in option::of(any::<u32>()),
        min_score in option::of(any::<f64>().prop_filter("others are refused", |number| number.is_finite())),
        (path, blocked) in (name(), name()),
    ) {
        assert_round_trip(RoutingSuggest { keywords, prompt, limit, min_score, tool_type: None, exclude_types })?;
        assert_round_trip(blocking::BlockingCheck { blocker: path.clone(), blocked })?;
        assert_round_trip(projects::ProjectByPath { path })?;
    }

    #[test]
    fn path_and_query(
        (agent_id, session_id, agent_type) in (name(), option::of(name()), option::of(name())),
        format in option::of(prop_oneof![Just(context::BriefFormat::Raw), Just(context::BriefFormat::Brief)]),
        (max_tokens, history_limit) in (option::of(any::<i32>()), option::of(any::<i32>())),
        flags in any::<[Option<bool>; 4]>(),
        (since, topic) in (option::of(time()), option::of(name())),
    ) {
        let [include_history, include_messages, include_blocking, explain] = flags;
        assert_round_trip(messages::MessageInbox {
            agent_id: agent_id.clone(), since, topic, include_broadcasts: include_history, limit: None,
        })?;
        assert_round_trip(context::ContextGet {
            agent_id, session_id, agent_type, format, max_tokens, include_history, include_messages,
            include_blocking, history_limit, explain,
        })?;
    }

    #[test]
    fn path_and_body(
        session in name(),
        ended_at in option::of(time()),
        counters in any::<[Option<i32>; 3]>(),
        subtask in id(),
        status in option::of(word(SubtaskStatus::ALL)),
        (result, agent_id) in (option::of(object()), option::of(any::<String>())),
        blocked_by in option::of(vec(id(), 0..4)),
    ) {
        let [total_tools_used, total_success, total_errors] = counters;
        assert_round_trip(sessions::SessionUpdate {
            id: session, ended_at, total_tools_used, total_success, total_errors,
        })?;
        assert_round_trip(subtasks::SubtaskUpdate { id: subtask, status, result, agent_id, blocked_by })?;
    }

    #[test]
    fn a_body(
        (tool_name, tool_type) in (any::<String>(), word(ToolType::ALL)),
        (input, output) in (option::of(any::<String>()), option::of(any::<String>())),
        (exit_code, duration_ms) in (option::of(any::<i32>()), option::of(any::<i32>())),
        file_paths in option::of(vec(any::<String>(), 0..4)),
        (subtask_id, session_id) in (option::of(id()), option::of(any::<String>())),
        chosen in option::of(any::<bool>()),
    ) {
        let keywords = file_paths.clone().unwrap_or_default();
        let chosen = chosen.map(Truthy);
        assert_round_trip(RoutingFeedback { tool_name: tool_name.clone(), keywords, chosen })?;
        assert_round_trip(actions::ActionRecord {
            tool_name, tool_type, input, output, exit_code, duration_ms, file_paths, subtask_id, session_id,
            project_path: None,
        })?;
    }

    #[test]
    fn a_body_with_objects(
        (path, metadata) in (any::<String>(), option::of(object())),
        (topic, content) in (word(Topic::ALL), object()),
        (project_id, status) in (id(), option::of(word(RequestStatus::ALL))),
    ) {
        assert_round_trip(projects::ProjectUpsert { path: path.clone(), name: None, metadata: metadata.clone() })?;
        assert_round_trip(messages::MessageSend {
            from_agent: path.clone(), to_agent: None, topic, content: MessageContent(content), priority: Some(10),
            ttl_seconds: None, project_id: Some(project_id),
        })?;
        assert_round_trip(requests::RequestCreate {
            project_id, session_id: path.clone(), prompt: path, prompt_type: None, status, metadata,
        })?;
    }

    #[test]
    fn observations(session_id in name(), observations in vec(observation(), 0..6)) {
        assert_round_trip(Ingest { session_id, project_path: None, source: None, observations })?;
    }
}

// --- The table itself -------------------------------------------------------------------------------------------------

#[test]
fn every_operation_has_a_route_and_a_name_of_its_own() {
    let routes: BTreeSet<_> = OPERATIONS.iter().map(|meta| (meta.method.as_str(), meta.path)).collect();
    let names: BTreeSet<_> = OPERATIONS.iter().map(|meta| meta.id).collect();
    assert_eq!((routes.len(), names.len()), (OPERATIONS.len(), OPERATIONS.len()));
    for meta in OPERATIONS {
        assert!(meta.path.starts_with('/') && !meta.path.ends_with('/'), "{}", meta.path);
        assert!(meta.summary.ends_with('.'), "{}: {}", meta.id, meta.summary);
        assert!((200..300).contains(&meta.success), "{}", meta.id);
    }
}

fn parameters(path: &str) -> BTreeSet<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

#[test]
fn every_path_parameter_is_a_required_field() {
    fn check<O: Operation>() {
        for name in parameters(O::META.path) {
            let field = <O as Input>::FIELDS.iter().find(|field| field.name == name);
            assert!(field.is_some_and(|field| field.required), "{}: {name}", O::META.id);
        }
        for (name, message) in <O as Input>::MISSING {
            assert!(O::FIELDS.iter().any(|field| field.name == *name), "{}: {name}: {message}", O::META.id);
        }
    }
    macro_rules! check_all {
        ($(#[doc = $doc:literal] $method:ident $path:literal $id:ident($operation:ty) -> $output:ty = $success:literal, $tag:literal, $style:ident, $access:ident;)+) => {
            $(check::<$operation>();)+
        };
    }
    dcm::for_each_operation!(check_all);
}

#[test]
fn the_readme_lists_every_operation() {
    let readme = include_str!("../README.md");
    let listed: Vec<_> = readme.lines().filter(|line| line.contains("` | `/")).collect();
    let mut expected = Vec::new();
    for meta in OPERATIONS {
        let (method, path) = (meta.method.as_str(), meta.path);
        expected.push(format!("| `{method}` | `{path}` | {} | {} |", meta.success, meta.summary));
    }
    assert_eq!(listed, expected, "the table under REST in README.md is not that of dcm/src/api/table.rs");

    // Each group has its heading before its first operation.
    let mut tags: Vec<_> = OPERATIONS.iter().map(|meta| meta.tag).collect();
    tags.dedup();
    let headings: Vec<_> =
        readme.lines().filter_map(|line| line.strip_prefix("| **")?.strip_suffix("** | | | |")).collect();
    assert_eq!(headings, tags);
}

/// `.env.example` names every setting; the server's own tests see to that.
#[test]
fn the_readme_lists_every_setting() {
    let readme = include_str!("../README.md");
    let settings = include_str!("../.env.example").lines().filter_map(|line| line.strip_prefix('#'));
    let names: Vec<_> = settings
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(readme.contains(&format!("\n| `{name}` | `--")), "{name} is not in README.md's table");
    }
}
