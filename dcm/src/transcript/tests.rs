use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");

/// Feeds a session's file and those of its sub-agents, `times` times over.
fn feed(parser: &mut Parser, file: &Path, times: usize) {
    let folder = file.with_extension("").join("subagents");
    let mut agents: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    agents.sort();
    for _ in 0..times {
        for (number, line) in (1..).zip(std::fs::read_to_string(file).unwrap().lines()) {
            parser.feed_line(Source::Session, number, line);
        }
        for path in &agents {
            let name = path.file_name().unwrap().to_str().unwrap().strip_prefix("agent-").unwrap();
            let text = std::fs::read_to_string(path).unwrap();
            if let Some(id) = name.strip_suffix(".meta.json") {
                parser.feed_agent_meta(id, &text);
            } else if let Some(id) = name.strip_suffix(".jsonl") {
                for (number, line) in (1..).zip(text.lines()) {
                    parser.feed_line(Source::Agent(id), number, line);
                }
            }
        }
    }
}

fn parse_times(name: &str, times: usize) -> Parsed {
    let file = Path::new(DATA).join(name).with_extension("jsonl");
    let hint = file.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut parser = Parser::new(Hints { session_id: Some(hint) });
    feed(&mut parser, &file, times);
    parser.finish()
}

fn parse(name: &str) -> Parsed {
    parse_times(name, 1)
}

fn lines(lines: &[&str]) -> Parsed {
    let mut parser = Parser::new(Hints::default());
    for (number, line) in (1..).zip(lines) {
        parser.feed_line(Source::Session, number, line);
    }
    parser.finish()
}

const LONG: &str = "transcripts/258c7280-ae70-4798-800f-63464d01a85d";
const LONGER: &str = "transcripts/8463c716-a2ea-4c14-9efa-87158ebd9f20";
const TWO_AGENTS: &str = "hook-payloads/transcripts/1e3243ca-f29b-4b96-a23c-626644b1ffe5";
const COMPACTED: &str = "hook-payloads/transcripts/adbd5f3a-7150-44a0-bdcb-2856dd5dd362";
const ALL: [&str; 7] = [
    LONG,
    LONGER,
    "transcripts/short",
    "transcripts/subagent",
    "transcripts/tool_heavy",
    TWO_AGENTS,
    COMPACTED,
];

fn prompts(parsed: &Parsed) -> Vec<&str> {
    parsed
        .observations
        .iter()
        .filter_map(|one| match one {
            Observation::Prompt { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// Agent id, type, result, failed of every sub-agent that ended.
fn ended_agents(parsed: &Parsed) -> Vec<(&str, &str, &str, bool)> {
    parsed
        .observations
        .iter()
        .filter_map(|one| match one {
            Observation::AgentStopped { agent_id, agent_type, result, failed, .. } => {
                Some((agent_id.as_str(), agent_type.as_deref().unwrap(), result.as_deref().unwrap(), *failed))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_sub_agents_compaction_is_its_own() {
    let mut parser = Parser::new(Hints::default());
    let boundary = |uuid: &str, second: u8| {
        format!(
            r#"{{"type":"system","subtype":"compact_boundary","uuid":"{uuid}","sessionId":"s","timestamp":"2026-01-01T00:00:0{second}Z","compactMetadata":{{"trigger":"auto","preTokens":9}}}}"#
        )
    };
    let summary = |uuid: &str, second: u8| {
        format!(
            r#"{{"type":"user","uuid":"{uuid}","sessionId":"s","isCompactSummary":true,"timestamp":"2026-01-01T00:00:0{second}Z","message":{{"content":"Summary {uuid}"}}}}"#
        )
    };
    parser.feed_line(Source::Session, 1, &boundary("m1", 1));
    let agent = Source::Agent("a1");
    // What it was launched with is no compaction of its own.
    parser.feed_line(agent, 1, &summary("a0", 2));
    parser.feed_line(agent, 2, &boundary("a1", 3));
    parser.feed_line(agent, 3, &summary("a2", 4));
    parser.feed_line(Source::Session, 2, &summary("m2", 5));
    let compactions: Vec<_> = parser
        .finish()
        .observations
        .into_iter()
        .filter_map(|one| match one {
            Observation::Compacted { key, agent_id, summary, .. } => Some((key, agent_id, summary)),
            _ => None,
        })
        .collect();
    let told = |key: &str, agent: Option<&str>, summary: &str| {
        (key.to_owned(), agent.map(str::to_owned), Some(summary.to_owned()))
    };
    assert_eq!(compactions, [told("m1", None, "Summary m2"), told("a1", Some("a1"), "Summary a2")]);
}

#[test]
fn real_transcripts_hold_what_is_known_of_them() {
    for (name, actions, in_agents, failed, agents, compactions, requests) in [
        (LONG, 188, 2, 7, 1, 1, 2),
        (LONGER, 196, 19, 15, 1, 1, 1),
        ("transcripts/short", 2, 0, 2, 0, 0, 1),
        ("transcripts/subagent", 16, 0, 0, 1, 0, 2),
        ("transcripts/tool_heavy", 6, 0, 0, 0, 0, 2),
        (TWO_AGENTS, 15, 4, 1, 2, 0, 1),
        (COMPACTED, 10, 2, 2, 2, 1, 2),
    ] {
        let stats = parse(name).stats;
        let seen = (
            stats.actions,
            stats.actions_in_agents,
            stats.failed,
            stats.agents,
            stats.compactions,
            stats.requests,
        );
        assert_eq!(seen, (actions, in_agents, failed, agents, compactions, requests), "{name}");
        assert_eq!(
            (stats.broken, stats.unanswered, stats.orphan_results, stats.foreign_entries),
            (0, 0, 0, 0),
            "{name}"
        );
        assert!(stats.unknown_types.is_empty(), "{name}: {:?}", stats.unknown_types);
    }
}

#[test]
fn session_project_and_prompts() {
    let parsed = parse(LONGER);
    assert_eq!(parsed.session_id.as_deref(), Some("8463c716-a2ea-4c14-9efa-87158ebd9f20"));
    // The agent went to a folder below later on; the session began here.
    assert_eq!(parsed.project_path.as_deref(), Some("/home/USER/projects/spotter-worktrees/spotter-fum"));
    // A file that is not named after its session.
    assert_eq!(
        parse("transcripts/short").session_id.as_deref(),
        Some("55604662-cf2a-4331-851a-ec234028f8ca")
    );
    assert_eq!(prompts(&parse(LONG)), ["Implement spotter-gqc", "did you push?"]);
    assert_eq!(prompts(&parse(COMPACTED)), ["MAIN_JOB please work", "continue MAIN_JOB after"]);
    assert_eq!(prompts(&parse("transcripts/tool_heavy"))[0], "start phoenix in background");
    let subagent = parse("transcripts/subagent");
    assert!(prompts(&subagent)[0].starts_with("/acme:create-beads websearch to learn"));
    assert_eq!(prompts(&subagent)[1], "create the beads");
}

#[test]
fn observations_come_in_order_and_name_their_owner() {
    for name in ALL {
        let parsed = parse(name);
        assert!(matches!(parsed.observations[0], Observation::SessionStarted { .. }), "{name}");
        assert!(parsed.observations.windows(2).all(|pair| pair[0].at() <= pair[1].at()), "{name}");
        let mut agents = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for observation in &parsed.observations {
            match observation {
                Observation::Prompt { key, .. } => assert!(keys.insert(key.clone())),
                Observation::AgentStarted { agent_id, prompt_key, .. } => {
                    assert!(keys.contains(prompt_key.as_ref().unwrap()));
                    assert!(agents.insert(agent_id.clone()));
                }
                Observation::ToolUsed { agent_id, prompt_key, duration_ms, output, .. } => {
                    assert!(keys.contains(prompt_key.as_ref().unwrap()), "{name}");
                    assert!(agent_id.iter().all(|id| agents.contains(id)), "{name}");
                    assert!(duration_ms.is_some() && output.is_some(), "{name}");
                }
                Observation::AgentStopped { agent_id, .. } => assert!(agents.contains(agent_id)),
                Observation::TurnEnded { prompt_key, .. } => {
                    assert!(keys.contains(prompt_key.as_ref().unwrap()));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn every_turn_of_the_real_transcripts_ended() {
    for name in ALL {
        let parsed = parse(name);
        let ended: Vec<_> =
            parsed.observations.iter().filter(|one| matches!(one, Observation::TurnEnded { .. })).collect();
        assert_eq!(ended.len(), prompts(&parsed).len(), "{name}");
    }
    let parsed = parse(COMPACTED);
    let results: Vec<_> = parsed
        .observations
        .iter()
        .filter_map(|one| match one {
            Observation::TurnEnded { result, failed, .. } => Some((result.as_deref().unwrap(), *failed)),
            _ => None,
        })
        .collect();
    // Not "No response requested.", which the client said in the model's place.
    assert_eq!(results, [("All done.", false), ("All done.", false)]);
}

#[test]
fn prompts_and_hooks_meet_on_the_same_key() {
    let payloads = std::fs::read_to_string(format!("{DATA}/hook-payloads/two-subagents.jsonl")).unwrap();
    let submitted = payloads.lines().find(|line| line.contains("\"UserPromptSubmit\"")).unwrap();
    let parsed = parse(TWO_AGENTS);
    let Observation::Prompt { key, .. } = &parsed.observations[1] else { panic!("no prompt") };
    assert!(
        submitted.contains(&format!("\"prompt_id\":\"{key}\""))
            || submitted.contains(&format!("\"prompt_id\": \"{key}\""))
    );
}

#[test]
fn sub_agents_with_their_last_words() {
    let words = "Finished: login endpoint added, tests still red.";
    let parsed = parse(TWO_AGENTS);
    assert_eq!(
        ended_agents(&parsed),
        [
            ("af3aa2c4f10792d3f", "general-purpose", words, false),
            ("a252bfe950b3cf9e3", "Explore", words, false),
        ]
    );
    for (name, id, kind, begins) in [
        (LONG, "a881341", "claude-code-guide", "Based on the official Claude Code hooks documentation"),
        (LONGER, "a7be2f0", "Explore", "Perfect! Now I have all the information I need."),
        // Only known from the answer to its launch, which also tells how to go on with it.
        ("transcripts/subagent", "afb92ff", "Plan", "Excellent! Now I have all the information"),
    ] {
        let parsed = parse(name);
        let [(agent_id, agent_type, result, failed)] = ended_agents(&parsed)[..] else { panic!("{name}") };
        assert_eq!((agent_id, agent_type, failed), (id, kind, false));
        assert!(result.starts_with(begins) && !result.contains("agentId: "), "{result}");
        let started = parsed.observations.iter().find_map(|one| match one {
            Observation::AgentStarted { description, metadata, .. } => Some((description, metadata)),
            _ => None,
        });
        let (description, metadata) = started.unwrap();
        assert!(description.as_ref().is_some_and(|text| !text.is_empty()));
        assert!(metadata.as_ref().unwrap().get("tool_use_id").is_some());
    }
}

#[test]
fn native_tasks_and_compactions() {
    let parsed = parse(TWO_AGENTS);
    assert!(parsed.observations.iter().any(|one| matches!(one,
        Observation::TaskCreated { task_id, subject, agent_id: None, .. } if task_id == "1" && subject == "Add login endpoint")));
    assert!(
        parsed
            .observations
            .iter()
            .any(|one| matches!(one, Observation::TaskCompleted { task_id, .. } if task_id == "1"))
    );
    assert_eq!(parsed.stats.tasks, 1);

    let compaction = |name| {
        parse(name).observations.into_iter().find(|one| matches!(one, Observation::Compacted { .. })).unwrap()
    };
    let Observation::Compacted { key, trigger, summary, metadata, .. } = compaction(LONG) else { panic!() };
    assert_eq!(key, "d46d6800-2f43-4360-ba84-c1de9c1ecbae");
    assert_eq!(trigger.as_deref(), Some("auto"));
    assert!(summary.unwrap().contains("1. **User's initi"));
    assert_eq!(metadata.unwrap().get("pre_tokens"), Some(serde_json::json!(167_094)));
    let Observation::Compacted { trigger, summary, .. } = compaction(COMPACTED) else { panic!() };
    assert_eq!(trigger.as_deref(), Some("manual"));
    assert!(summary.unwrap().contains("All done."));
}

#[test]
fn tool_calls_in_detail() {
    let parsed = parse(TWO_AGENTS);
    let mut failed = parsed.observations.iter().filter_map(|one| match one {
        Observation::ToolUsed { exit_code: 1, tool_name, output, input, .. } => {
            Some((&**tool_name, output.as_deref().unwrap(), input.as_deref().unwrap()))
        }
        _ => None,
    });
    let (tool, output, input) = failed.next().unwrap();
    assert_eq!(tool, "Bash");
    assert!(output.starts_with("Exit code 1\n"));
    assert!(input.starts_with("{\"command\":\"cargo test"));
    let files: Vec<&str> = parsed
        .observations
        .iter()
        .flat_map(|one| match one {
            Observation::ToolUsed { file_paths, .. } => file_paths.as_slice(),
            _ => &[],
        })
        .map(String::as_str)
        .collect();
    assert!(files.contains(&"/home/dev/shop/src/main.rs") && files.contains(&"/home/dev/shop/NOTES.md"));
}

#[test]
fn a_transcript_fed_twice_says_the_same() {
    for name in ALL {
        let (once, twice) = (parse(name), parse_times(name, 2));
        assert_eq!(once.observations, twice.observations, "{name}");
        assert!(twice.stats.duplicates > 0);
    }
}

#[test]
fn broken_and_unknown_lines_are_told_and_skipped() {
    let parsed = lines(&[
        r#"{"type":"user","uuid":"u1","sessionId":"s","cwd":"/p","timestamp":"2026-01-01T00:00:00.000Z","message":{"content":"hello \u0000\ud800"}}"#,
        "{\"type\":\"user\",",
        r#"{"type":"from-the-future","x":1}"#,
        r#"{"type":"from-the-future","x":2}"#,
        "\0\0\0",
        "42",
    ]);
    assert_eq!(prompts(&parsed), ["hello \u{fffd}"]);
    let [broken] = &parsed.stats.broken_lines[..] else { panic!() };
    assert_eq!((broken.line, parsed.stats.broken), (2, 1));
    assert_eq!(
        parsed.stats.unknown_types,
        BTreeMap::from([("(no type)".to_owned(), 1), ("from-the-future".to_owned(), 2)])
    );
    assert_eq!((parsed.session_id.as_deref(), parsed.project_path.as_deref()), (Some("s"), Some("/p")));
}

#[test]
fn a_transcript_that_stops_in_the_middle_leaves_its_turn_open() {
    let prompt = r#"{"type":"user","uuid":"u1","sessionId":"s","timestamp":"2026-01-01T00:00:00.000Z","message":{"content":"go"}}"#;
    let call = r#"{"type":"assistant","uuid":"a1","sessionId":"s","timestamp":"2026-01-01T00:00:01.000Z","message":{"stop_reason":null,"content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"ls"}}]}}"#;
    let answer = r#"{"type":"user","uuid":"u2","sessionId":"s","timestamp":"2026-01-01T00:00:03.500Z","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"a.txt"}]}}"#;
    let words = r#"{"type":"assistant","uuid":"a2","sessionId":"s","timestamp":"2026-01-01T00:00:04.000Z","message":{"stop_reason":null,"content":[{"type":"text","text":"done"}]}}"#;
    let ended =
        |parsed: &Parsed| parsed.observations.iter().any(|one| matches!(one, Observation::TurnEnded { .. }));

    let parsed = lines(&[prompt, call]);
    assert!(!ended(&parsed));
    assert_eq!((parsed.stats.actions, parsed.stats.failed, parsed.stats.unanswered), (1, 0, 1));
    assert!(!ended(&lines(&[prompt])) && !ended(&lines(&[prompt, call, answer])));

    let parsed = lines(&[prompt, call, answer, words]);
    assert!(ended(&parsed));
    let Observation::ToolUsed { duration_ms, output, .. } = &parsed.observations[2] else { panic!() };
    assert_eq!((*duration_ms, output.as_deref()), (Some(2500), Some("a.txt")));
}

#[test]
fn commands_that_the_client_carries_out_are_no_prompts() {
    let command = |uuid: &str| {
        format!(
            r#"{{"type":"user","uuid":"{uuid}","sessionId":"s","timestamp":"2026-01-01T00:00:00.000Z","message":{{"content":"<command-name>/x</command-name><command-args>y</command-args>"}}}}"#
        )
    };
    let local = r#"{"type":"user","uuid":"l","sessionId":"s","message":{"content":"<local-command-stdout></local-command-stdout>"}}"#;
    let expansion =
        r#"{"type":"user","uuid":"m","isMeta":true,"sessionId":"s","message":{"content":"Do y."}}"#;
    let (first, second) = (command("c1"), command("c2"));
    assert!(prompts(&lines(&[&first, local, expansion])).is_empty());
    assert!(prompts(&lines(&[&first])).is_empty());
    assert_eq!(prompts(&lines(&[&first, local, &second, expansion])), ["/x y"]);
}

#[test]
fn sidechains_without_a_file_of_their_own() {
    let parsed = lines(&[
        r#"{"type":"user","uuid":"u1","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","message":{"content":"go"}}"#,
        r#"{"type":"assistant","uuid":"a1","sessionId":"s","timestamp":"2026-01-01T00:00:01Z","message":{"content":[{"type":"tool_use","id":"t1","name":"Task","input":{"prompt":"look","subagent_type":"Explore"}}]}}"#,
        r#"{"type":"user","uuid":"b1","parentUuid":null,"isSidechain":true,"sessionId":"s","timestamp":"2026-01-01T00:00:02Z","message":{"content":"look"}}"#,
        r#"{"type":"assistant","uuid":"b2","parentUuid":"b1","isSidechain":true,"sessionId":"s","timestamp":"2026-01-01T00:00:03Z","message":{"content":[{"type":"tool_use","id":"t2","name":"Grep","input":{"path":"src"}}]}}"#,
        r#"{"type":"user","uuid":"u2","sessionId":"s","timestamp":"2026-01-01T00:00:04Z","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"found"}]}}"#,
    ]);
    assert_eq!((parsed.stats.requests, parsed.stats.agents, parsed.stats.actions_in_agents), (1, 1, 1));
    assert_eq!(ended_agents(&parsed), [("t1", "Explore", "found", false)]);
}

#[test]
fn background_agents_end_when_they_report() {
    let prompt = r#"{"type":"user","uuid":"u1","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","message":{"content":"go"}}"#;
    let call = r#"{"type":"assistant","uuid":"a1","sessionId":"s","timestamp":"2026-01-01T00:00:01Z","message":{"content":[{"type":"tool_use","id":"t1","name":"Agent","input":{"prompt":"look","subagent_type":"Explore","run_in_background":true}}]}}"#;
    let launched = r#"{"type":"user","uuid":"u2","sessionId":"s","timestamp":"2026-01-01T00:00:02Z","toolUseResult":{"isAsync":true,"status":"async_launched","agentId":"ab12"},"message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"launched"}]}}"#;
    let report = r#"{"type":"user","uuid":"u3","sessionId":"s","timestamp":"2026-01-01T00:00:09Z","message":{"content":"<task-notification><task-id>ab12</task-id><status>failed</status><result>no luck</result></task-notification>"}}"#;
    let parsed = lines(&[prompt, call, launched]);
    assert_eq!((parsed.stats.agents, ended_agents(&parsed).len()), (1, 0));
    let parsed = lines(&[prompt, call, launched, report]);
    assert_eq!(ended_agents(&parsed), [("ab12", "Explore", "no luck", true)]);
    assert_eq!(parsed.stats.requests, 1);
}

#[test]
fn messages_that_join_a_running_turn_are_kept_with_it() {
    let parsed = lines(&[
        r#"{"type":"user","uuid":"u1","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","message":{"content":"go"}}"#,
        r#"{"type":"attachment","uuid":"q1","sessionId":"s","timestamp":"2026-01-01T00:00:01Z","attachment":{"type":"queued_command","prompt":"and hurry"}}"#,
    ]);
    let Observation::Prompt { metadata: Some(metadata), .. } = &parsed.observations[1] else { panic!() };
    assert_eq!(metadata.get("added"), Some(serde_json::json!(["and hurry"])));
    assert_eq!(parsed.stats.requests, 1);
}

#[test]
fn what_leaves_the_queue_for_a_running_turn_is_kept_with_it_once() {
    let prompt = r#"{"type":"user","uuid":"u1","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","message":{"content":"go"}}"#;
    let queue = |operation: &str, content: &str| {
        let at = "2026-01-01T00:00:01Z";
        serde_json::json!({"type": "queue-operation", "operation": operation, "sessionId": "s", "timestamp": at, "content": content})
            .to_string()
    };
    let attachment = r#"{"type":"attachment","uuid":"q1","sessionId":"s","timestamp":"2026-01-01T00:00:02Z","attachment":{"type":"queued_command","prompt":"and hurry"}}"#;
    let all = [
        prompt.to_owned(),
        queue("enqueue", "<task-notification>x</task-notification>"),
        queue("enqueue", "and hurry"),
        queue("enqueue", "later, please"),
        queue("remove", ""),
        attachment.to_owned(),
        // The next turn begins with it.
        queue("dequeue", ""),
        queue("enqueue", "no, wait"),
        queue("popAll", ""),
        queue("remove", ""),
    ];
    let parsed = lines(&all.each_ref().map(String::as_str));
    let Observation::Prompt { metadata: Some(metadata), .. } = &parsed.observations[1] else { panic!() };
    assert_eq!(metadata.get("added"), Some(serde_json::json!(["and hurry"])));
}

#[test]
fn big_texts_are_cut() {
    let output = "ä".repeat(TEXT_LIMIT);
    let line = serde_json::json!({"type": "user", "uuid": "u1", "sessionId": "s", "message": {"content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": output}]}});
    let call = r#"{"type":"assistant","uuid":"a1","sessionId":"s","message":{"content":[{"type":"tool_use","id":"t1","name":"Bash","input":{}}]}}"#;
    let parsed = lines(&[call, &line.to_string()]);
    let Observation::ToolUsed { output: Some(output), prompt_key: None, .. } = &parsed.observations[1] else {
        panic!()
    };
    assert!(output.len() <= TEXT_LIMIT && output.ends_with(" bytes dropped]"));
}

/// A line that looks like an entry, with anything in the places that matter.
fn entry_like() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("user"),
        Just("assistant"),
        Just("system"),
        Just("attachment"),
        Just("progress"),
        Just("queue-operation"),
        Just("tool_use"),
        Just("tool_result"),
        Just("text"),
        Just("Task"),
        Just("TaskCreate"),
        Just("t1"),
        Just("u1"),
        Just("compact_boundary"),
        Just("<command-name>/x</command-name>"),
        Just("agentId: a1 ("),
        Just(""),
        Just("2026-01-01T00:00:00Z"),
        Just("<task-notification><task-id>a1</task-id><status>completed</status>"),
    ]
    .prop_map(|word| serde_json::json!(word));
    let leaf = prop_oneof![
        4 => word,
        1 => any::<bool>().prop_map(|value| serde_json::json!(value)),
        1 => any::<i64>().prop_map(|value| serde_json::json!(value)),
        1 => any::<String>().prop_map(|value| serde_json::json!(value)),
        1 => Just(Value::Null),
    ];
    let names = prop_oneof![
        Just("type"),
        Just("uuid"),
        Just("sessionId"),
        Just("timestamp"),
        Just("message"),
        Just("content"),
        Just("id"),
        Just("tool_use_id"),
        Just("name"),
        Just("input"),
        Just("text"),
        Just("isSidechain"),
        Just("isMeta"),
        Just("subtype"),
        Just("attachment"),
        Just("prompt"),
        Just("data"),
        Just("agentId"),
        Just("parentToolUseID"),
        Just("toolUseResult"),
        Just("status"),
        Just("parentUuid"),
        Just("stop_reason"),
        Just("compactMetadata"),
        Just("isCompactSummary"),
        Just("cwd"),
        Just("durationMs"),
        Just("is_error"),
        Just("task"),
    ];
    let tree = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            3 => prop::collection::vec((names.clone(), inner), 0..8)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    });
    let kind =
        prop_oneof![Just("user"), Just("assistant"), Just("system"), Just("attachment"), Just("progress")];
    (kind, tree).prop_map(|(kind, mut tree)| {
        if let Value::Object(members) = &mut tree {
            members.insert("type".to_owned(), Value::String(kind.to_owned()));
        }
        tree.to_string()
    })
}

proptest! {
    #[test]
    fn whatever_is_fed_nothing_breaks_and_the_same_comes_out(
        garbage in prop::collection::vec((any::<bool>(), prop_oneof![entry_like(), any::<String>()]), 0..30)
    ) {
        let parse = || {
            let mut parser = Parser::new(Hints { session_id: Some("s".to_owned()) });
            for (number, (main, line)) in (1..).zip(&garbage) {
                parser.feed_line(if *main { Source::Session } else { Source::Agent("a1") }, number, line);
            }
            parser.feed_agent_meta("a1", garbage.first().map_or("", |(_, line)| line));
            parser.finish()
        };
        let parsed = parse();
        prop_assert_eq!(&parsed, &parse());
        // Whatever it is, ingest takes it: no key is empty or too long, no text holds a NUL.
        let ingest = serde_json::json!({"session_id": "s", "observations": parsed.observations});
        let read = crate::api::wire::from_request::<crate::api::ingest::Ingest>(vec![], vec![], ingest.to_string().as_bytes());
        prop_assert!(read.is_ok(), "{:?}", read);
        let mut errors = crate::api::InputErrors::default();
        crate::api::Input::check(&read.unwrap(), &mut errors);
        prop_assert!(errors.into_result(crate::api::InputErrorStyle::Plain, &[]).is_ok());
    }
}
