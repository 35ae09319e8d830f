//! What briefs hold, through `/api/context` and `/api/compact`.

use serde_json::json;

use super::expect::must;
use super::fixture::{Fixture, Tree};
use super::inputs::{self, context, object, observed, restore};
use super::scene::Scene;
use crate::api::Api;
use crate::api::blocking::Block;
use crate::api::compact::{CompactSave, CompactSnapshot, Entries};
use crate::api::context::{BriefFormat, CompactRestore, ContextAnswer, ContextGet};
use crate::api::messages::{MessageContent, MessageSend};
use crate::api::requests::RequestUpdate;
use crate::api::subtasks::{SubtaskCreate, SubtaskUpdate};
use crate::id::SubtaskId;
use crate::model::{RequestStatus, SubtaskStatus, Topic};

/// A brief with the kind it was compiled for, and whether anything was left out.
struct Told {
    content: String,
    agent_type: String,
    truncated: bool,
    tokens: i64,
}

async fn brief(api: &impl Api, input: ContextGet) -> Told {
    match must(api.execute(input).await, "asking for a brief") {
        ContextAnswer::Brief { agent_type, brief, .. } => {
            Told { content: brief.content, agent_type, truncated: brief.truncated, tokens: brief.token_count }
        }
        other => panic!("a brief is answered, not {other:?}"),
    }
}

fn large(agent: &str, session: &str) -> ContextGet {
    ContextGet { max_tokens: Some(8000), ..context(agent, Some(session)) }
}

async fn assign(
    api: &impl Api,
    tree: &Tree,
    agent: &str,
    kind: Option<&str>,
    text: &str,
    status: SubtaskStatus,
) -> SubtaskId {
    let input = SubtaskCreate {
        description: text.to_owned(),
        agent_id: Some(agent.to_owned()),
        agent_type: kind.map(str::to_owned),
        status: Some(status),
        ..inputs::subtask(tree.task.id)
    };
    must(api.execute(input).await, "creating a subtask of the agent").subtask.subtask.id
}

async fn finish(api: &impl Api, subtask: SubtaskId, result: &str) {
    let input = SubtaskUpdate {
        status: Some(SubtaskStatus::Completed),
        result: Some(object(json!({"summary": result}))),
        ..inputs::subtask_change(subtask)
    };
    must(api.execute(input).await, "finishing a subtask");
}

/// The compaction of a sub-agent replaces neither what was saved of the main agent nor its summary; an agent without
/// either has the main agent's.
pub async fn each_agent_has_its_own_compactions(api: &impl Api) {
    let fixture = Fixture::new();
    let (tree, word) = (fixture.tree(api).await, fixture.word());
    let session = &*tree.session_id;
    let (helper, other) = (fixture.name("helper"), fixture.name("other"));
    let save = |agent: Option<&str>, decision: String| CompactSave {
        session_id: session.to_owned(),
        agent_id: agent.map(str::to_owned),
        trigger: None,
        context_summary: None,
        active_tasks: None,
        modified_files: None,
        key_decisions: Some(Entries(vec![json!(decision)])),
        agent_states: None,
        wave_state: None,
    };
    let said = |agent: &str, summary: String| CompactRestore {
        compact_summary: Some(summary),
        ..restore(session, agent)
    };
    must(api.execute(save(None, format!("Main {word} decided"))).await, "saving for the main agent");
    must(api.execute(said(session, format!("Main {word} summed up"))).await, "restoring the main agent");
    must(api.execute(save(Some(&helper), format!("Helper {word} decided"))).await, "saving for a sub-agent");
    must(api.execute(said(&helper, format!("Helper {word} summed up"))).await, "restoring a sub-agent");

    for (agent, own, foreign) in
        [(session, "Main", "Helper"), (&helper, "Helper", "Main"), (&other, "Main", "Helper")]
    {
        let content = brief(api, large(agent, session)).await.content;
        for what in ["decided", "summed up"] {
            assert!(content.contains(&format!("{own} {word} {what}")), "{agent}, {what}: {content}");
        }
        assert!(!content.contains(foreign), "{agent}: {content}");
    }
    for (asked, decided) in [(None, "Main"), (Some(session), "Main"), (Some(&*helper), "Helper")] {
        let input = CompactSnapshot { session_id: session.to_owned(), agent_id: asked.map(str::to_owned) };
        let saved = must(api.execute(input).await, "reading what was saved");
        let decisions = saved.snapshot.and_then(|saved| saved.get("key_decisions"));
        assert_eq!(decisions, Some(json!([format!("{decided} {word} decided")])), "{asked:?}");
        let agents: Vec<_> = saved.history.iter().map(|entry| entry.agent_id.as_deref()).collect();
        assert_eq!(agents, [Some(&*helper), Some(&helper), None, None], "whose they are");
    }
}

/// The kind of an agent is the one it is at work as, not the one that its name suggests; what the caller says comes first.
pub async fn a_recorded_kind_counts(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let agent = fixture.name("backend");
    let kind = |input: ContextGet| async { brief(api, input).await.agent_type };
    let asked = || context(&agent, Some(&tree.session_id));
    assert_eq!(kind(asked()).await, "backend-laravel", "its name is all that is known");
    assign(api, &tree, &agent, Some("code-reviewer"), "Review", SubtaskStatus::Running).await;
    assert_eq!(kind(asked()).await, "code-reviewer", "it was recorded");
    let raw = ContextGet { format: Some(BriefFormat::Raw), ..asked() };
    match must(api.execute(raw).await, "asking for raw data") {
        ContextAnswer::Raw { agent_type, .. } => assert_eq!(agent_type, "code-reviewer", "in raw data too"),
        answer => panic!("raw data is answered, not {answer:?}"),
    }
    let said = ContextGet { agent_type: Some("tech-lead".to_owned()), ..asked() };
    assert_eq!(kind(said).await, "tech-lead", "the caller knows better");
    let restored = must(api.execute(restore(&tree.session_id, &agent)).await, "restoring").brief;
    assert!(restored.starts_with("# Validator brief"), "{restored}");
    let nobody = fixture.name("backend-2");
    let restored = must(api.execute(restore(&tree.session_id, &nobody)).await, "restoring").brief;
    assert!(restored.starts_with("# Developer brief"), "{restored}");
}

/// Of more work than is read, what ended last is told, however early it began.
pub async fn what_ended_last_is_told(api: &impl Api) {
    let fixture = Fixture::new();
    let (tree, word) = (fixture.tree(api).await, fixture.word());
    let early = assign(api, &tree, &fixture.name("early"), None, "Long", SubtaskStatus::Running).await;
    for n in 0..30 {
        let agent = fixture.name(&format!("helper-{n}"));
        let short = assign(api, &tree, &agent, None, &format!("Part {n}"), SubtaskStatus::Running).await;
        finish(api, short, "done").await;
    }
    finish(api, early, &format!("Found {word}")).await;
    let told = brief(api, context(&tree.session_id, Some(&tree.session_id))).await;
    assert!(told.content.contains(&format!("Found {word}")), "{}", told.content);
}

/// A brief with room for all holds all; one that holds less is full, and says so.
pub async fn what_is_left_out_is_told(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let session = &*tree.session_id;
    for n in 0..90 {
        let agent = fixture.name(&format!("helper-{n}"));
        let part = assign(api, &tree, &agent, None, &format!("Part {n}"), SubtaskStatus::Running).await;
        finish(api, part, &format!("Result {n}.")).await;
    }
    for budget in [8000, 1000] {
        let asked =
            ContextGet { include_messages: Some(false), max_tokens: Some(budget), ..large(session, session) };
        let Told { content, truncated, tokens, .. } = brief(api, asked).await;
        let named = (0..90).filter(|n| content.contains(&format!("Result {n}."))).count();
        assert_eq!(truncated, named < 90, "{named} at {budget}: {content}");
        assert_eq!(content.contains("Not everything fits"), truncated, "{content}");
        assert_eq!(truncated, budget == 1000, "{named} at {budget}: {content}");
        assert!(!truncated || tokens >= 850, "{tokens} tokens with {named}: {content}");
    }
}

/// What nobody is named for is told when something came of it; what was called off is not open any more.
pub async fn work_of_a_cancelled_request_is_not_open(api: &impl Api) {
    let fixture = Fixture::new();
    let (tree, word) = (fixture.tree(api).await, fixture.word());
    let session = &*tree.session_id;
    let unnamed = |text: String| SubtaskCreate { description: text, ..inputs::subtask(tree.task.id) };
    let done =
        must(api.execute(unnamed(format!("Count {word}"))).await, "creating a subtask").subtask.subtask.id;
    finish(api, done, &format!("There are 7 {word}.")).await;
    must(api.execute(unnamed(format!("Paint {word}"))).await, "creating a subtask");
    let agent = fixture.name("bot");
    assign(api, &tree, &agent, None, &format!("Build {word}"), SubtaskStatus::Blocked).await;
    let asked = async |agent: &str| brief(api, large(agent, session)).await.content;
    for reader in [session, &agent] {
        let told = asked(reader).await;
        for words in ["Count", "Paint", "Build"] {
            assert!(told.contains(&format!("{words} {word}")), "{words}: {told}");
        }
        assert!(told.contains(&format!("There are 7 {word}.")), "{told}");
    }
    let input =
        RequestUpdate { status: Some(RequestStatus::Cancelled), ..inputs::request_change(tree.request.id) };
    must(api.execute(input).await, "calling the request off");
    fixture.request(api, tree.project.id, session).await;
    for reader in [session, &agent] {
        let told = asked(reader).await;
        assert!(
            !told.contains(&format!("Paint {word}")) && !told.contains(&format!("Build {word}")),
            "{told}"
        );
        assert!(told.contains("cancelled)") && told.contains(&format!("There are 7 {word}.")), "{told}");
    }
}

/// A former agent of the session that is blocked is told to others; nobody's own words are mail to it.
pub async fn a_former_agent_may_be_blocked(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let session = &*tree.session_id;
    let (idle, worker, kind) = (fixture.name("idle"), fixture.name("worker"), fixture.name("kind"));
    let ended = assign(api, &tree, &idle, None, "Short", SubtaskStatus::Running).await;
    finish(api, ended, "done").await;
    assign(api, &tree, &worker, Some(&kind), "Work", SubtaskStatus::Running).await;
    must(api.execute(inputs::blocking(&worker, &idle)).await, "blocking");
    let told = brief(api, large(session, session)).await.content;
    assert!(told.contains(&format!("{idle} is blocked by {worker}")), "{told}");

    let mail = MessageSend {
        topic: Topic::ContextRequest,
        content: MessageContent(object(json!({"message": "Who else is here?"}))),
        ..inputs::direct(&worker, &kind)
    };
    must(api.execute(mail).await, "writing to one's own kind");
    let told = brief(api, large(&worker, session)).await.content;
    assert!(!told.contains("Who else is here?"), "{told}");
}

/// A main agent may go by any name: what was saved last for its session is told, not what it was once restored with. What was
/// decided is told, also where a task begins with the same words.
pub async fn a_main_agent_by_another_name_has_the_newest(api: &impl Api) {
    let fixture = Fixture::new();
    let (tree, word) = (fixture.tree(api).await, fixture.word());
    let (session, boss) = (&*tree.session_id, fixture.name("boss"));
    let helper = fixture.name("helper");
    assign(api, &tree, &helper, None, &format!("Use {word} for nothing more"), SubtaskStatus::Running).await;
    let save = |summary: &str, decisions: Option<Entries>| CompactSave {
        session_id: session.to_owned(),
        agent_id: None,
        trigger: None,
        context_summary: Some(format!("{summary} {word}")),
        active_tasks: None,
        modified_files: None,
        key_decisions: decisions,
        agent_states: None,
        wave_state: None,
    };
    must(api.execute(save("First", None)).await, "saving");
    let old = CompactRestore { compact_summary: Some(format!("Old {word}")), ..restore(session, &boss) };
    must(api.execute(old).await, "restoring");
    let decided = Some(Entries(vec![json!(format!("Use {word}"))]));
    must(api.execute(save("Second", decided)).await, "saving again");
    let told = brief(api, large(&boss, session)).await.content;
    assert!(told.contains(&format!("Second {word}")) && !told.contains(&format!("Old {word}")), "{told}");
    assert!(told.lines().any(|line| line == format!("- Use {word}")), "{told}");
}

/// What was saved for the session stays when a sub-agent that is known as one is restored.
pub async fn a_sub_agent_does_not_end_the_sessions_context(api: &impl Api) {
    let scene = Scene::new();
    let (agent, word) = (scene.fixture.name("agent"), scene.fixture.word());
    let begun = [observed::prompt("p1", scene.at(1), "Go"), observed::agent_started(&agent, scene.at(2))];
    scene.send(api, begun.to_vec()).await;
    let decided = format!("Use {word}");
    let save = |decisions: Option<Entries>| CompactSave {
        session_id: scene.session.clone(),
        agent_id: None,
        trigger: None,
        context_summary: None,
        active_tasks: None,
        modified_files: None,
        key_decisions: decisions,
        agent_states: None,
        wave_state: None,
    };
    must(api.execute(save(Some(Entries(vec![json!(decided)])))).await, "saving");
    must(api.execute(restore(&scene.session, &agent)).await, "restoring the sub-agent");
    must(api.execute(save(None)).await, "saving once more");
    let told = brief(api, large(&scene.session, &scene.session)).await.content;
    assert!(told.contains(&decided), "{told}");
}

/// A blocking by an agent that is at work in another project only, is that project's.
pub async fn blockings_are_those_of_the_project(api: &impl Api) {
    let fixture = Fixture::new();
    let (here, there) = (fixture.tree(api).await, Fixture::new().tree(api).await);
    let agent = fixture.name("bot");
    let (near, far, unknown) = (fixture.name("near"), fixture.name("far"), fixture.name("unknown"));
    assign(api, &here, &agent, None, "Work", SubtaskStatus::Running).await;
    assign(api, &there, &agent, None, "Work", SubtaskStatus::Running).await;
    assign(api, &here, &near, None, "Work", SubtaskStatus::Running).await;
    assign(api, &there, &far, None, "Work", SubtaskStatus::Running).await;
    for by in [&near, &far, &unknown] {
        let reason = Some(format!("{by} is not ready"));
        must(api.execute(Block { reason, ..inputs::blocking(by, &agent) }).await, "blocking");
    }
    for (tree, own, foreign) in [(&here, &near, &far), (&there, &far, &near)] {
        let content = brief(api, large(&agent, &tree.session_id)).await.content;
        for by in [own, &unknown] {
            assert!(content.contains(&format!("{by} is not ready")), "{by}: {content}");
        }
        assert!(!content.contains(&format!("{foreign} is not ready")), "{foreign}: {content}");
        let raw = ContextGet { format: Some(BriefFormat::Raw), ..context(&agent, Some(&tree.session_id)) };
        let ContextAnswer::Raw { data, .. } = must(api.execute(raw).await, "asking for raw data") else {
            panic!("raw data is answered")
        };
        let blockers: Vec<_> = data.blockings.iter().map(|one| &one.blocked_by_agent).collect();
        assert!(blockers.contains(&own) && !blockers.contains(&foreign), "{blockers:?}");
    }
}

/// An agent that is at work as several kinds has the mail of them all, and that of the kind that the caller says it is.
pub async fn mail_to_every_kind_is_told(api: &impl Api) {
    let fixture = Fixture::new();
    let (tree, agent) = (fixture.tree(api).await, fixture.name("bot"));
    let kinds = ["early", "late", "said"].map(|kind| fixture.name(kind));
    for kind in &kinds[..2] {
        assign(api, &tree, &agent, Some(kind), "Work", SubtaskStatus::Running).await;
    }
    for kind in &kinds {
        let mail = MessageSend {
            topic: Topic::ContextRequest,
            priority: Some(10),
            content: MessageContent(object(json!({"message": format!("Mail to {kind}.")}))),
            ..inputs::direct(&fixture.name("sender"), kind)
        };
        must(api.execute(mail).await, "sending a message");
    }
    let told = brief(api, large(&agent, &tree.session_id)).await.content;
    let has = |content: &str, kind: usize| content.contains(&format!("Mail to {}.", kinds[kind]));
    assert!(has(&told, 0) && has(&told, 1) && !has(&told, 2), "{told}");
    let said = ContextGet { agent_type: Some(kinds[2].clone()), ..large(&agent, &tree.session_id) };
    let told = brief(api, said).await.content;
    assert!((0..3).all(|kind| has(&told, kind)), "{told}");
}

/// Whoever reads what was asked for last, reads too that it is over.
pub async fn a_request_that_is_over_is_told(api: &impl Api) {
    let fixture = Fixture::new();
    let tree = fixture.tree(api).await;
    let asked = || context(&tree.session_id, Some(&tree.session_id));
    let line = |status: &str| format!("## Newest request ({status})");
    let told = brief(api, asked()).await.content;
    assert!(told.contains("## Newest request\n"), "{told}");
    for status in [RequestStatus::Completed, RequestStatus::Failed, RequestStatus::Cancelled] {
        let input = RequestUpdate { status: Some(status), ..inputs::request_change(tree.request.id) };
        must(api.execute(input).await, "ending the request");
        let told = brief(api, asked()).await.content;
        assert!(told.contains(&line(&status.to_string())), "{status}: {told}");
    }
}
