//! `/api/context`

use serde_json::json;

use super::expect::{invalid, invalid_with, must, same_order};
use super::fixture::{Fixture, Tree, record};
use super::inputs::{self, context, generate, object};
use crate::api::Api;
use crate::api::actions::ActionRecord;
use crate::api::blocking::Block;
use crate::api::context::{
    Brief, BriefFormat, ContextAnswer, ContextCounts, ContextData, ContextGenerate, ContextGet, ContextSource,
};
use crate::api::messages::{MessageContent, MessageSend};
use crate::api::requests::RequestCreate;
use crate::api::subtasks::{SubtaskCreate, SubtaskUpdate};
use crate::id::SubtaskId;
use crate::model::{SubtaskStatus, Topic};

/// One agent type of each family of templates.
const FAMILIES: [&str; 4] = ["project-supervisor", "backend-laravel", "qa-testing", "security-specialist"];

/// Agent ids end in the first, agents without a given type are taken for the second.
const INFERRED: [(&str, &str); 14] = [
    ("supervisor", "project-supervisor"),
    ("lead", "tech-lead"),
    ("ORCHESTRATOR-2", "step-orchestrator"),
    ("backend-worker-3", "backend-laravel"),
    ("frontend_1", "frontend-react"),
    ("database", "database-admin"),
    ("qa", "qa-testing"),
    ("tester", "qa-testing"),
    ("security", "security-specialist"),
    ("gdpr", "gdpr-dpo"),
    ("seo", "seo-specialist"),
    ("validator", "validator"),
    ("reviewer", "code-reviewer"),
    ("bot", "developer"),
];

/// The types of sources.
const KINDS: [&str; 11] = [
    "task",
    "message",
    "blocking",
    "history",
    "session",
    "project",
    "file",
    "failure",
    "summary",
    "snapshot",
    "agent_context",
];

/// What the contract counts as tokens.
pub(super) fn tokens(text: &str) -> i64 {
    i64::try_from(text.encode_utf16().count().div_ceil(4)).unwrap_or(i64::MAX)
}

/// Asserts what holds for the sources of every brief.
pub(super) fn check_sources(sources: &[ContextSource]) {
    for source in sources {
        assert!(KINDS.contains(&&*source.kind), "a source has a known type: {source:?}");
        assert!((0.0..=1.0).contains(&source.relevance), "relevance lies between 0 and 1: {source:?}");
        assert!(!source.id.is_empty() && !source.summary.is_empty(), "a source says what it is: {source:?}");
    }
}

struct Compiled {
    session_id: String,
    agent_type: String,
    brief: Brief,
    sources: Vec<ContextSource>,
}

async fn compile(api: &impl Api, input: ContextGet) -> Compiled {
    let budget = i64::from(input.max_tokens.unwrap_or(2000));
    let agent = input.agent_id.clone();
    match must(api.execute(input).await, "asking for a brief") {
        ContextAnswer::Brief { agent_id, session_id, agent_type, brief, sources, .. } => {
            assert_eq!(agent_id, agent, "whom the brief is for");
            assert!(!brief.content.trim().is_empty(), "a brief says something");
            let cost = tokens(&brief.content);
            assert!(cost <= budget, "a brief of {cost} tokens does not fit {budget}");
            assert!(brief.token_count <= budget, "token_count {} is more than {budget}", brief.token_count);
            assert!(brief.token_count > 0, "a brief costs something");
            check_sources(&sources);
            Compiled { session_id, agent_type, brief, sources }
        }
        other => panic!("format=brief answers a brief, not {other:?}"),
    }
}

async fn raw(api: &impl Api, input: ContextGet) -> ContextData {
    let agent = input.agent_id.clone();
    match must(
        api.execute(ContextGet { format: Some(BriefFormat::Raw), ..input }).await,
        "asking for raw data",
    ) {
        ContextAnswer::Raw { agent_id, data, counts, .. } => {
            assert_eq!(agent_id, agent, "whose data");
            let expected = ContextCounts {
                tasks: data.tasks.len(),
                messages: data.messages.len(),
                blockings: data.blockings.len(),
                history: data.history.len(),
            };
            assert_eq!(counts, expected, "counts are those of the data");
            data
        }
        other => panic!("format=raw answers data, not {other:?}"),
    }
}

async fn assign(api: &impl Api, tree: &Tree, agent: &str, text: &str, status: SubtaskStatus) -> SubtaskId {
    let input = SubtaskCreate {
        description: text.to_owned(),
        agent_id: Some(agent.to_owned()),
        agent_type: Some("developer".to_owned()),
        status: Some(status),
        ..inputs::subtask(tree.task.id)
    };
    must(api.execute(input).await, "creating a subtask of the agent").subtask.subtask.id
}

async fn act(api: &impl Api, tree: &Tree, subtask: SubtaskId, file: &str) -> crate::id::ActionId {
    let input = ActionRecord {
        file_paths: Some(vec![file.to_owned()]),
        duration_ms: Some(5),
        subtask_id: Some(subtask),
        session_id: Some(tree.session_id.clone()),
        ..inputs::action("Edit")
    };
    record(api, input).await.id
}

/// An urgent letter: it comes before the broadcasts of other cases.
fn letter(fixture: &Fixture, agent: &str, text: &str) -> MessageSend {
    MessageSend {
        topic: Topic::ContextRequest,
        priority: Some(10),
        content: MessageContent(object(json!({"message": text}))),
        ..inputs::direct(&fixture.name("sender"), agent)
    }
}

/// An agent of which nothing is known has no session; that is an answer, not an error.
pub async fn no_session_is_an_answer(api: &impl Api) {
    let fixture = Fixture::new();
    let agent = fixture.name("nobody");
    for format in [None, Some(BriefFormat::Raw)] {
        let answer =
            must(api.execute(ContextGet { format, ..context(&agent, None) }).await, "asking for nobody");
        let ContextAnswer::NoSession { agent_id, context, message } = answer else {
            panic!("an agent without session has no context, got {answer:?}")
        };
        assert_eq!((agent_id, context), (agent.clone(), None), "whose context is null");
        assert_eq!(message, "No active session found for this agent", "the message");
    }
}

/// Without a session id, the session with the agent's latest open subtask counts.
pub async fn the_session_is_found_by_the_agent(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, first) = (fixture.name("bot"), fixture.tree(api).await);
    assign(api, &first, &agent, "Early work", SubtaskStatus::Running).await;
    assert_eq!(compile(api, context(&agent, None)).await.session_id, first.session_id, "the only session");
    let late = Fixture::new();
    let second = late.tree(api).await;
    assign(api, &second, &agent, "Late work", SubtaskStatus::Running).await;
    assert_eq!(compile(api, context(&agent, None)).await.session_id, second.session_id, "the latest session");
    let asked = compile(api, context(&agent, Some(&first.session_id))).await;
    assert_eq!(asked.session_id, first.session_id, "a session that is given is taken");
}

/// A brief names the current task, its sources and the kind of agent; an unknown session gives a brief too.
pub async fn a_brief_names_the_current_task(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, tree) = (fixture.name("bot"), fixture.tree(api).await);
    let word = fixture.word();
    let task = assign(api, &tree, &agent, &format!("Build {word}"), SubtaskStatus::Running).await;
    let mail = must(api.execute(letter(&fixture, &agent, "please")).await, "sending a message").message.id;
    let compiled = compile(api, context(&agent, Some(&tree.session_id))).await;
    assert_eq!(compiled.agent_type, "developer", "an agent of unknown kind is a developer");
    assert!(compiled.brief.content.contains(&word), "the brief names the current task");
    let source = |kind: &str, id: String| compiled.sources.iter().any(|one| one.kind == kind && one.id == id);
    assert!(source("task", task.to_string()), "the current task is a source: {:?}", compiled.sources);
    assert!(source("message", mail.to_string()), "an urgent message is a source: {:?}", compiled.sources);

    let unknown = fixture.name("unknown-session");
    let compiled = compile(api, context(&agent, Some(&unknown))).await;
    assert_eq!(compiled.session_id, unknown, "a session need not be known");
    assert!(
        !compiled.brief.content.contains(&word),
        "but what belongs to another session is not in its brief"
    );
}

/// Raw data holds the open subtasks by urgency, unread mail, blockings, newest actions, request and project.
pub async fn raw_data_is_complete(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, tree) = (fixture.name("bot"), fixture.tree(api).await);
    let mut by_status = Vec::new();
    for status in [
        SubtaskStatus::Pending,
        SubtaskStatus::Paused,
        SubtaskStatus::Completed,
        SubtaskStatus::Blocked,
        SubtaskStatus::Running,
    ] {
        by_status.push(assign(api, &tree, &agent, "Work", status).await);
    }
    let [pending, paused, _, blocked, running] = by_status[..] else { panic!("five subtasks were created") };
    let mut actions = Vec::new();
    for n in 0..3 {
        actions.insert(0, act(api, &tree, running, &format!("/src/{n}.rs")).await);
    }
    let mail = must(api.execute(letter(&fixture, &agent, "please")).await, "sending a message").message;
    let reason = Some("waits".to_owned());
    let block = Block { reason: reason.clone(), ..inputs::blocking(&fixture.name("blocker"), &agent) };
    let block = must(api.execute(block).await, "blocking the agent").blocking;
    let newest = fixture.request(api, tree.project.id, &tree.session_id).await;

    let asked = || context(&agent, Some(&tree.session_id));
    let data = raw(api, asked()).await;
    let tasks: Vec<_> = data.tasks.iter().map(|task| task.id).collect();
    same_order(
        &tasks,
        &[running, blocked, paused, pending],
        "open subtasks: running, blocked, paused, pending",
    );
    let first = &data.tasks[0];
    assert_eq!(
        (first.task_name.as_deref(), first.wave_number),
        (Some("Wave 0"), Some(0)),
        "the task above it"
    );
    let Some(message) = data.messages.iter().find(|message| message.id == mail.id) else {
        panic!("an unread message to the agent is in the data")
    };
    assert_eq!((message.priority, message.is_broadcast), (10, false), "the message's fields");
    assert_eq!(message.content, object(json!({"message": "please"})), "the message's content");
    let blockings: Vec<_> = data.blockings.iter().map(|one| (one.id, &one.reason)).collect();
    same_order(&blockings, &[(block.id, &reason)], "who blocks the agent");
    assert_eq!(data.blockings[0].blocked_by_agent, fixture.name("blocker"), "who blocks the agent");
    let history: Vec<_> = data.history.iter().map(|action| action.id).collect();
    same_order(&history, &actions, "the newest actions first");
    assert_eq!(data.history[0].file_paths, ["/src/2.rs"], "the files of an action");
    let session = data.session.map(|session| (session.id, session.session_id));
    assert_eq!(session, Some((newest.id, tree.session_id.clone())), "the newest request of the session");
    let project = data.project.map(|project| (project.id, project.path));
    assert_eq!(project, Some((tree.project.id, tree.project.path.clone())), "the project of the session");

    let data = raw(api, ContextGet { history_limit: Some(2), ..asked() }).await;
    assert_eq!(data.history.len(), 2, "history_limit limits the history");
    let data = raw(api, ContextGet { include_history: Some(false), ..asked() }).await;
    assert!(data.history.is_empty() && !data.messages.is_empty(), "history can be left out");
    let data = raw(api, ContextGet { include_messages: Some(false), ..asked() }).await;
    assert!(data.messages.is_empty() && !data.blockings.is_empty(), "messages can be left out");
    let data = raw(api, ContextGet { include_blocking: Some(false), ..asked() }).await;
    assert!(data.blockings.is_empty() && !data.history.is_empty(), "blockings can be left out");
}

/// Work of another session of the same agent does not leak into a context.
pub async fn a_context_belongs_to_its_session(api: &impl Api) {
    let fixture = Fixture::new();
    let agent = fixture.name("bot");
    let mut scenes = Vec::new();
    for _ in 0..2 {
        let scene = Fixture::new();
        let (tree, word) = (scene.tree(api).await, scene.word());
        let prompt = RequestCreate {
            prompt: format!("Prompt of {word}"),
            ..inputs::request(tree.project.id, &tree.session_id)
        };
        let request = must(api.execute(prompt).await, "creating a request").request;
        let text = format!("Secret of {word}");
        let subtask = assign(api, &tree, &agent, &text, SubtaskStatus::Running).await;
        let action = act(api, &tree, subtask, &format!("/{word}.rs")).await;
        scenes.push((tree, word, subtask, action, request.id));
    }
    for (own, other) in [(0, 1), (1, 0)] {
        let (tree, word, subtask, action, request) = &scenes[own];
        let data = raw(api, context(&agent, Some(&tree.session_id))).await;
        assert_eq!(
            data.tasks.iter().map(|task| task.id).collect::<Vec<_>>(),
            [*subtask],
            "its own subtask only"
        );
        assert_eq!(
            data.history.iter().map(|one| one.id).collect::<Vec<_>>(),
            [*action],
            "its own actions only"
        );
        assert_eq!(data.session.map(|session| session.id), Some(*request), "its own request");
        assert_eq!(data.project.map(|project| project.id), Some(tree.project.id), "its own project");
        let foreign = &scenes[other].1;
        for family in FAMILIES {
            let input = context(&agent, Some(&tree.session_id));
            let input = ContextGet { agent_type: Some(family.to_owned()), max_tokens: Some(8000), ..input };
            let content = compile(api, input).await.brief.content;
            assert!(content.contains(word), "the brief of a {family} names the work of its session");
            assert!(!content.contains(foreign), "the brief of a {family} says nothing of another session");
        }
    }
}

/// Mail to the kind of an agent that is at work stands in its context, mail of another project does not.
pub async fn mail_is_that_of_the_kind_and_the_project(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, kind, tree) = (fixture.name("bot"), fixture.name("kind"), fixture.tree(api).await);
    let other = Fixture::new().tree(api).await;
    let input = SubtaskCreate {
        agent_id: Some(agent.clone()),
        agent_type: Some(kind.clone()),
        status: Some(SubtaskStatus::Running),
        ..inputs::subtask(tree.task.id)
    };
    must(api.execute(input).await, "creating a subtask of the agent");
    let mut sent = Vec::new();
    for to in [&agent, &kind] {
        for project in [None, Some(tree.project.id), Some(other.project.id)] {
            let word = fixture.word();
            let mail = MessageSend { project_id: project, ..letter(&fixture, to, &word) };
            let id = must(api.execute(mail).await, "sending a message").message.id;
            sent.push((id, word, project != Some(other.project.id)));
        }
    }
    let data = raw(api, context(&agent, Some(&tree.session_id))).await;
    let asked = ContextGet { max_tokens: Some(8000), ..context(&agent, Some(&tree.session_id)) };
    let content = compile(api, asked).await.brief.content;
    for (id, word, expected) in sent {
        let in_data = data.messages.iter().filter(|message| message.id == id).count();
        assert_eq!(in_data, usize::from(expected), "how often {word} is in the data");
        assert_eq!(content.contains(&word), expected, "whether {word} is in the brief:\n{content}");
    }
}

/// What an agent said to all is no news to itself: it is not in its brief. The raw data is what the inbox is, with it.
pub async fn own_broadcasts_are_no_mail(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, other, tree) = (fixture.name("bot"), fixture.name("other"), fixture.tree(api).await);
    let (own, foreign) = (fixture.word(), fixture.word());
    for (from, word) in [(&agent, &own), (&other, &foreign)] {
        let said = MessageSend {
            to_agent: None,
            from_agent: from.clone(),
            project_id: Some(tree.project.id),
            ..letter(&fixture, "", word)
        };
        must(api.execute(said).await, "sending to all");
    }
    let asked = || ContextGet { max_tokens: Some(8000), ..context(&agent, Some(&tree.session_id)) };
    let content = compile(api, asked()).await.brief.content;
    assert!(content.contains(&foreign) && !content.contains(&own), "in the brief:\n{content}");
    let said = raw(api, asked()).await.messages;
    let said: Vec<_> = said.iter().map(|message| message.content.as_str().to_owned()).collect();
    for word in [&own, &foreign] {
        assert!(said.iter().any(|text| text.contains(word)), "in the data: {said:?}");
    }
}

/// Making a context marks no message as read, and read ones are not in it.
pub async fn messages_stay_unread(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, tree) = (fixture.name("bot"), fixture.tree(api).await);
    let mail = must(api.execute(letter(&fixture, &agent, "please")).await, "sending a message").message.id;
    let asked = || context(&agent, Some(&tree.session_id));
    compile(api, asked()).await;
    for _ in 0..2 {
        let data = raw(api, asked()).await;
        assert!(data.messages.iter().any(|message| message.id == mail), "the message is unread still");
    }
    must(api.execute(generate(&agent, &tree.session_id)).await, "generating a brief");
    let inbox = must(api.execute(inputs::own_inbox(&agent)).await, "reading the inbox");
    let read: Vec<_> =
        inbox.messages.iter().filter(|one| one.id == mail).map(|one| one.already_read).collect();
    same_order(&read, &[false], "no context marked the message");
    let data = raw(api, asked()).await;
    assert!(
        data.messages.iter().all(|message| message.id != mail),
        "a message that was read is not in the context"
    );
}

/// A brief names what work waits for as long as that is open, whoever does it.
pub async fn only_what_is_open_is_waited_for(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, tree, word) = (fixture.name("bot"), fixture.tree(api).await, fixture.word());
    let first = SubtaskCreate { description: format!("First {word}"), ..inputs::subtask(tree.task.id) };
    let first = must(api.execute(first).await, "creating what is waited for").subtask.subtask.id;
    let second = SubtaskCreate {
        agent_id: Some(agent.clone()),
        blocked_by: Some(vec![first]),
        status: Some(SubtaskStatus::Running),
        ..inputs::subtask(tree.task.id)
    };
    must(api.execute(second).await, "creating what waits");
    let waits = format!("Waits for: First {word} (pending)");
    let brief = compile(api, context(&agent, Some(&tree.session_id))).await.brief.content;
    assert!(brief.contains(&waits), "what it waits for is named: {brief}");
    let done = SubtaskUpdate { status: Some(SubtaskStatus::Completed), ..inputs::subtask_change(first) };
    must(api.execute(done).await, "completing what is waited for");
    let brief = compile(api, context(&agent, Some(&tree.session_id))).await.brief.content;
    assert!(!brief.contains("Waits for"), "nothing is waited for any more: {brief}");
}

/// Work that is meant for an agent of its kind is in its brief, however much else is open.
pub async fn work_for_a_kind_is_found_among_much(api: &impl Api) {
    let fixture = Fixture::new();
    let (kind, tree, word) = (fixture.name("backend"), fixture.tree(api).await, fixture.word());
    for (number, kind) in (0..25).map(|number| (number, "frontend-x")).chain([(99, &*kind)]) {
        let input = SubtaskCreate {
            description: format!("{word} {number}"),
            agent_type: Some(kind.to_owned()),
            ..inputs::subtask(tree.task.id)
        };
        must(api.execute(input).await, "creating work");
    }
    for (agent, agent_type) in [(kind.clone(), None), (fixture.name("bot"), Some(kind.clone()))] {
        let asked = ContextGet { agent_type, ..context(&agent, Some(&tree.session_id)) };
        let brief = compile(api, asked).await.brief.content;
        let section = brief.split("## ").find(|section| section.starts_with("Current task"));
        assert!(section.is_some_and(|section| section.contains(&format!("{word} 99"))), "{agent}: {brief}");
    }
}

/// A session that an action or its client made has a project before the user has asked for anything.
pub async fn a_session_has_its_project_before_any_request(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, session, word) = (fixture.name("bot"), fixture.name("session"), fixture.word());
    let project = fixture.project(api, "early").await;
    let action = ActionRecord {
        session_id: Some(session.clone()),
        project_path: Some(project.path.clone()),
        ..inputs::action("Bash")
    };
    record(api, action).await;
    let mail = MessageSend { project_id: Some(project.id), ..letter(&fixture, &agent, &word) };
    must(api.execute(mail).await, "sending a message in the project");
    let input = ContextGet { max_tokens: Some(500), ..context(&agent, Some(&session)) };
    let brief = compile(api, input).await.brief.content;
    assert!(brief.contains(&project.path) && brief.contains(&word), "{brief}");
    let data = raw(api, context(&agent, Some(&session))).await;
    assert!(data.messages.iter().any(|message| message.content.as_str().contains(&word)), "{data:?}");
    assert_eq!(data.project.map(|project| project.id), Some(project.id), "the project");
}

/// A brief never costs more than its budget, whatever there is to say.
pub async fn a_brief_never_exceeds_its_budget(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, tree) = (fixture.name("bot"), fixture.tree(api).await);
    let long = "Überlanger Auftrag mit 🦀 und `code`, ohne Ende. ".repeat(20);
    let prompt =
        RequestCreate { prompt: long.repeat(5), ..inputs::request(tree.project.id, &tree.session_id) };
    must(api.execute(prompt).await, "creating a request");
    for n in 0..20 {
        let status = [SubtaskStatus::Running, SubtaskStatus::Blocked, SubtaskStatus::Pending][n % 3];
        let subtask =
            assign(api, &tree, &agent, &format!("{n} {long}\n# no heading\n\n{long}"), status).await;
        act(api, &tree, subtask, &format!("/{}/{n}.rs", "deep/".repeat(40))).await;
    }
    for n in 0..10 {
        must(api.execute(letter(&fixture, &agent, &format!("{n} {long}"))).await, "sending a message");
        let reason = Some(long.chars().take(500).collect());
        let block = Block { reason, ..inputs::blocking(&fixture.name(&format!("blocker-{n}")), &agent) };
        must(api.execute(block).await, "blocking the agent");
    }
    for family in FAMILIES {
        for budget in [100, 101, 137, 200, 400, 1000, 2000, 8000] {
            let agent_type = Some(family.to_owned());
            let input = context(&agent, Some(&tree.session_id));
            let input = ContextGet { agent_type: agent_type.clone(), max_tokens: Some(budget), ..input };
            let compiled = compile(api, input).await;
            assert_eq!(compiled.agent_type, family, "an agent type that is given is taken as it is");
            assert!(budget > 100 || compiled.brief.truncated, "100 tokens cannot hold all of it");
            let input = ContextGenerate {
                agent_type,
                max_tokens: Some(budget),
                ..generate(&agent, &tree.session_id)
            };
            let brief = must(api.execute(input).await, "generating a brief").brief;
            let cost = tokens(&brief.content);
            assert!(cost <= i64::from(budget), "a generated brief of {cost} tokens does not fit {budget}");
            assert!(
                brief.token_count <= i64::from(budget),
                "token_count of a generated brief of {budget} tokens"
            );
        }
    }
}

/// What fits is not truncated, and its cost is what it really costs.
pub async fn a_small_context_fits(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, tree) = (fixture.name("bot"), fixture.tree(api).await);
    assign(api, &tree, &agent, "A small piece of work", SubtaskStatus::Running).await;
    let input = ContextGet {
        max_tokens: Some(8000),
        include_messages: Some(false),
        ..context(&agent, Some(&tree.session_id))
    };
    let brief = compile(api, input).await.brief;
    assert!(!brief.truncated, "nothing had to be left out");
    assert!(brief.token_count < 8000, "token_count is the cost, not the budget, got {}", brief.token_count);
}

/// Without a type, the agent's id says what kind of agent it is.
pub async fn agent_types_are_inferred(api: &impl Api) {
    let fixture = Fixture::new();
    let session = fixture.name("s");
    for (role, expected) in INFERRED {
        let agent = fixture.name(role);
        let found = compile(api, context(&agent, Some(&session))).await.agent_type;
        assert_eq!(found, expected, "the kind of an agent called {agent}");
        let generated = must(api.execute(generate(&agent, &session)).await, "generating a brief").brief;
        assert_eq!(generated.agent_type, expected, "the kind of an agent called {agent}, on demand");
    }
    let input = ContextGet {
        agent_type: Some("payments-expert".to_owned()),
        ..context(&fixture.name("backend"), Some(&session))
    };
    assert_eq!(
        compile(api, input).await.agent_type,
        "payments-expert",
        "a type that is given is taken as it is"
    );
}

/// A brief on demand says whom it is for, and is another one each time.
pub async fn generate_answers_a_brief(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, tree) = (fixture.name("bot"), fixture.tree(api).await);
    let word = fixture.word();
    assign(api, &tree, &agent, &format!("Build {word}"), SubtaskStatus::Running).await;
    let input =
        || ContextGenerate { project_id: Some(tree.project.id), ..generate(&agent, &tree.session_id) };
    let first = must(api.execute(input()).await, "generating a brief");
    assert!(first.success, "generating says success");
    check_sources(&first.sources);
    let brief = first.brief;
    assert_eq!((&brief.agent_id, &brief.session_id), (&agent, &tree.session_id), "whom it is for");
    assert!(brief.content.contains(&word), "it names the current task");
    let second = must(api.execute(input()).await, "generating another brief").brief;
    assert_ne!(second.id, brief.id, "every brief has its own id");
}

/// Missing names and budgets out of range are a 400 that says so.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, session) = (fixture.name("bot"), fixture.name("s"));
    invalid_with(api.execute(generate("", &session)).await, "Missing required field: agent_id");
    invalid_with(api.execute(generate(&agent, "")).await, "Missing required field: session_id");
    let asked = || context(&agent, Some(&session));
    for max_tokens in [Some(99), Some(8001), Some(-1)] {
        let error = invalid(api.execute(ContextGet { max_tokens, ..asked() }).await, "max_tokens");
        assert_eq!(error.message(), "Invalid query parameters", "the summary of a bad query");
        invalid(
            api.execute(ContextGenerate { max_tokens, ..generate(&agent, &session) }).await,
            "max_tokens",
        );
    }
    for history_limit in [Some(0), Some(51)] {
        invalid(api.execute(ContextGet { history_limit, ..asked() }).await, "history_limit");
    }
    invalid(api.execute(context(&"a".repeat(256), Some(&session))).await, "agent_id");
    invalid(api.execute(context(&agent, Some(&"s".repeat(256)))).await, "session_id");
}
