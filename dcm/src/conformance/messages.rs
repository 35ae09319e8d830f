//! `/api/messages`

use serde_json::json;

use super::expect::{invalid, must, place, refused, same_order};
use super::fixture::Fixture;
use super::inputs::{self, direct, message, object, own_inbox};
use crate::api::Api;
use crate::api::input::FieldValue;
use crate::api::messages::{
    Inbox, MessageContent, MessageInbox, MessageList, MessageSend, MessageView, SentMessage,
};
use crate::api::subtasks::SubtaskCreate;
use crate::error::ErrorKind;
use crate::id::MessageId;
use crate::model::{SubtaskStatus, Topic};

async fn send(api: &impl Api, message: MessageSend) -> SentMessage {
    must(api.execute(message).await, "sending a message").message
}

async fn read(api: &impl Api, inbox: MessageInbox) -> Inbox {
    let agent = inbox.agent_id.clone();
    let inbox = must(api.execute(inbox).await, "reading an inbox");
    assert_eq!(
        (&inbox.agent_id, inbox.count),
        (&agent, inbox.messages.len()),
        "whose inbox, and how much of it"
    );
    inbox
}

/// The inbox with broadcasts, from `first` on: what was sent before would disturb.
fn since(agent_id: &str, first: &SentMessage) -> MessageInbox {
    MessageInbox {
        since: Some(first.created_at.plus_millis(-1)),
        include_broadcasts: None,
        limit: Some(1000),
        ..own_inbox(agent_id)
    }
}

fn ids(messages: &[MessageView]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

fn find(messages: &[MessageView], id: MessageId) -> &MessageView {
    &messages[place(&ids(messages), &id, "a message that was sent")]
}

/// The answer says what was sent, and when it expires.
pub async fn send_answers_what_was_sent(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    let full = MessageSend { priority: Some(7), ttl_seconds: Some(86_400), ..direct(&from, &to) };
    let sent = must(api.execute(full).await, "sending a message");
    assert!(sent.success, "sending says success");
    let sent = sent.message;
    assert_eq!((&sent.from_agent, sent.to_agent.as_ref()), (&from, Some(&to)), "from whom to whom");
    assert_eq!(
        (&*sent.topic, sent.priority, sent.is_broadcast),
        ("workflow.progress", 7, false),
        "what was given"
    );
    let lifetime = sent.expires_at.map(|expires_at| expires_at.millis_since(sent.created_at));
    assert_eq!(lifetime, Some(86_400_000), "it lives for the given time");

    let plain = send(api, MessageSend { ttl_seconds: None, ..direct(&from, &to) }).await;
    assert_eq!(plain.priority, 0, "priority is 0 unless given");
    assert!(
        plain.expires_at.is_some_and(|expires_at| expires_at > plain.created_at),
        "every message expires"
    );

    let broadcast = send(api, message(&from)).await;
    assert_eq!(
        (broadcast.to_agent, broadcast.is_broadcast),
        (None, true),
        "a message to nobody is for everybody"
    );
    assert_eq!(broadcast.known_recipient, None, "a broadcast has no recipient that could be known");
}

/// Every topic of the closed set can be sent.
pub async fn every_topic_can_be_sent(api: &impl Api) {
    let fixture = Fixture::new();
    let to = fixture.name("to");
    for &topic in Topic::ALL {
        let sent = send(api, MessageSend { topic, ..direct(&fixture.name("from"), &to) }).await;
        assert_eq!(sent.topic, topic.as_str(), "the topic that was given");
    }
    let inbox = read(api, own_inbox(&to)).await;
    let topics: Vec<_> = inbox.messages.iter().filter_map(|message| message.topic.as_deref()).collect();
    let expected: Vec<_> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
    same_order(&topics, &expected, "equal priorities come in the order of sending");
}

/// An object comes back as it was sent; a text comes back as `{"message": <text>}`.
pub async fn content_is_an_object_or_a_text(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    let rich = object(json!({"files": ["a ☃.rs"], "deep": {"n": 1.5, "none": null}, "": []}));
    let content = MessageContent(rich.clone());
    let first = send(api, MessageSend { content, ..direct(&from, &to) }).await.id;
    let text = "naïve \"text\" 🦀\n";
    let Ok(content) = MessageContent::from_text(text) else { panic!("a text is content") };
    let second = send(api, MessageSend { content, ..direct(&from, &to) }).await.id;
    let inbox = read(api, own_inbox(&to)).await;
    assert_eq!(find(&inbox.messages, first).content, rich, "an object stays an object");
    assert_eq!(find(&inbox.messages, second).content, object(json!({"message": text})), "a text is wrapped");
}

/// Whether anything is known of the recipient is said; the message is taken either way.
pub async fn unknown_recipients_are_accepted_and_reported(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, known, unknown) = (fixture.name("from"), fixture.name("known"), fixture.name("unknown"));
    let tree = fixture.tree(api).await;
    let subtask = SubtaskCreate { agent_id: Some(known.clone()), ..inputs::subtask(tree.task.id) };
    must(api.execute(subtask).await, "creating a subtask for the agent");
    for _ in 0..2 {
        let sent = send(api, direct(&from, &known)).await;
        assert_eq!(sent.known_recipient, Some(true), "an agent with a subtask is known");
    }
    let sent = send(api, direct(&from, &unknown)).await;
    assert_eq!(sent.known_recipient, Some(false), "an agent that nothing was heard of is not known");
    assert_eq!(ids(&read(api, own_inbox(&unknown)).await.messages), [sent.id], "but its mail waits for it");
}

/// The most urgent message comes first, then the oldest.
pub async fn inbox_is_by_priority_then_age(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    let mut sent = Vec::new();
    for priority in [0, 10, 5, 10, 5] {
        sent.push(send(api, MessageSend { priority: Some(priority), ..direct(&from, &to) }).await.id);
    }
    let expected = [sent[1], sent[3], sent[2], sent[4], sent[0]];
    let limited = read(api, MessageInbox { limit: Some(2), ..own_inbox(&to) }).await;
    same_order(&ids(&limited.messages), &expected[..2], "a limit leaves the most urgent");
    assert_eq!(limited.unread_remaining, 3, "the others are unread still");
    let all = read(api, own_inbox(&to)).await;
    same_order(&ids(&all.messages), &expected, "by priority, then by age; read ones included");
    assert_eq!(all.unread_remaining, 0, "now everything is read");
    let read_before: Vec<_> = all.messages.iter().map(|message| message.already_read).collect();
    same_order(&read_before, &[true, true, false, false, false], "already_read is the state before the call");
    let first = &all.messages[0];
    assert_eq!(
        (first.from_agent.as_ref(), first.to_agent.as_ref()),
        (Some(&from), Some(&to)),
        "from whom to whom"
    );
    assert_eq!((first.priority, first.is_broadcast), (10, false), "the fields of a direct message");
}

/// Mail is for its recipient, and read by whoever reads it.
pub async fn mail_is_for_its_recipient(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, a, b) = (fixture.name("a/from"), fixture.name("a"), fixture.name("b"));
    let to_a = send(api, direct(&from, &a)).await;
    let to_all = send(api, message(&from)).await;
    for agent in [&a, &b, &from] {
        for round in [false, true] {
            let inbox = read(api, since(agent, &to_a)).await;
            let broadcast = find(&inbox.messages, to_all.id);
            assert!(broadcast.is_broadcast && broadcast.to_agent.is_none(), "a broadcast says what it is");
            assert_eq!(broadcast.already_read, round, "each reader marks a broadcast for itself");
            assert_eq!(
                ids(&inbox.messages).contains(&to_a.id),
                agent == &a,
                "a direct message reaches one agent"
            );
        }
    }
    let alone = read(api, own_inbox(&b)).await;
    assert!(alone.messages.is_empty(), "without broadcasts nothing is left for b");
}

/// Without broadcasts they are neither shown, nor counted, nor marked.
pub async fn broadcasts_can_be_left_out(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, agent) = (fixture.name("from"), fixture.name("agent"));
    let mail = send(api, direct(&from, &agent)).await;
    let broadcast = send(api, message(&from)).await;
    let inbox = read(api, own_inbox(&agent)).await;
    same_order(&ids(&inbox.messages), &[mail.id], "only the direct message is shown");
    assert_eq!(inbox.unread_remaining, 0, "broadcasts that are left out are not counted");
    let inbox = read(api, since(&agent, &mail)).await;
    assert!(!find(&inbox.messages, broadcast.id).already_read, "broadcasts that are left out are not marked");
    assert!(find(&inbox.messages, mail.id).already_read, "what was shown before is marked");
}

/// `topic` and `since` narrow what is shown, not what is unread.
pub async fn topic_and_since_narrow(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    let alert = MessageSend { topic: Topic::AlertBlocking, ..direct(&from, &to) };
    let alert = send(api, alert).await;
    let progress = send(api, direct(&from, &to)).await;
    let about = |topic: &str| MessageInbox { topic: Some(topic.to_owned()), ..own_inbox(&to) };
    let inbox = read(api, about("alert.blocking")).await;
    same_order(&ids(&inbox.messages), &[alert.id], "only the asked topic is shown");
    assert_eq!(inbox.unread_remaining, 1, "the other message is unread still");
    assert!(read(api, about("no.such.topic")).await.messages.is_empty(), "an unknown topic matches nothing");
    let future = MessageInbox { since: Some(progress.created_at.plus_millis(60_000)), ..own_inbox(&to) };
    let inbox = read(api, future).await;
    assert!(inbox.messages.is_empty(), "nothing was written after that");
    assert_eq!(inbox.unread_remaining, 1, "what is not shown is not marked");
    let past = MessageInbox { since: Some(alert.created_at.plus_millis(-1)), ..own_inbox(&to) };
    same_order(
        &ids(&read(api, past).await.messages),
        &[alert.id, progress.id],
        "both were written after that",
    );
}

/// The agent id `all` is a monitor: it sees everybody's mail and marks none of it.
pub async fn the_monitor_marks_nothing(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    let mail = send(api, direct(&from, &to)).await;
    let broadcast = send(api, message(&from)).await;
    for _ in 0..2 {
        let seen = read(api, since("all", &mail)).await;
        assert!(!find(&seen.messages, broadcast.id).already_read, "the monitor does not mark broadcasts");
        assert!(!find(&seen.messages, mail.id).already_read, "nor the mail of others");
    }
    let inbox = read(api, since(&to, &mail)).await;
    assert!(!find(&inbox.messages, mail.id).already_read, "the recipient has not read its mail yet");
    assert!(!find(&inbox.messages, broadcast.id).already_read, "nor the broadcast");
}

/// The list shows every message, newest first, and marks none.
pub async fn list_marks_nothing(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    let first =
        send(api, MessageSend { topic: Topic::ContextRequest, priority: Some(9), ..direct(&from, &to) })
            .await;
    let second = send(api, MessageSend { topic: Topic::ContextRequest, ..message(&from) }).await;
    let third = send(api, direct(&from, &to)).await;
    let page = must(api.execute(inputs::messages()).await, "listing messages");
    assert_eq!(
        (page.count, page.limit, page.offset),
        (page.messages.len(), 1000, 0),
        "count, limit and offset"
    );
    assert!(page.total >= 3, "the total counts every message");
    let listed = ids(&page.messages);
    let places: Vec<_> =
        [&third, &second, &first].iter().map(|one| place(&listed, &one.id, "a message")).collect();
    assert!(places.is_sorted(), "newest first, whatever the priority: {places:?}");

    let about = MessageList { topic: Some("context.request".to_owned()), ..inputs::messages() };
    let page = must(api.execute(about).await, "listing by topic");
    assert!(
        page.messages.iter().all(|message| message.topic.as_deref() == Some("context.request")),
        "only the asked topic"
    );
    let listed = ids(&page.messages);
    assert!(listed.contains(&first.id) && listed.contains(&second.id), "both messages about it");
    let nothing = MessageList { topic: Some("no.such.topic".to_owned()), ..inputs::messages() };
    let page = must(api.execute(nothing).await, "listing an unknown topic");
    assert_eq!((page.count, page.total), (0, 0), "an unknown topic matches nothing");
    let page = must(api.execute(MessageList { limit: Some(0), ..inputs::messages() }).await, "limit 0");
    assert!(page.messages.is_empty() && page.total >= 3, "limit 0 is an empty list with a total");

    let inbox = read(api, own_inbox(&to)).await;
    assert!(inbox.messages.iter().all(|message| !message.already_read), "the list marks nothing as read");
    assert_eq!(inbox.count, 2, "both direct messages are there");
}

/// A project that is named must exist.
pub async fn unknown_project_is_404(api: &impl Api) {
    let fixture = Fixture::new();
    let (project, to) = (fixture.unknown(), fixture.name("to"));
    let letter = MessageSend { project_id: Some(project), ..direct(&fixture.name("from"), &to) };
    let error = refused(api.execute(letter).await, ErrorKind::NotFound, "a message about an unknown project");
    assert!(error.message().starts_with("Project not found"), "the 404 says what is missing: `{error}`");
    assert_eq!(read(api, own_inbox(&to)).await.count, 0, "nothing of it was stored");
    let letter = MessageSend {
        project_id: Some(fixture.project(api, "p").await.id),
        ..direct(&fixture.name("from"), &to)
    };
    send(api, letter).await;
    assert_eq!(read(api, own_inbox(&to)).await.count, 1, "a message about a known project arrives");
}

/// Mail to a kind of agents is in the inbox of those of that kind who are at work in the message's project, and read by
/// each for itself.
pub async fn mail_to_a_kind_reaches_who_is_at_work(api: &impl Api) {
    let fixture = Fixture::new();
    let (kind, tree) = (fixture.name("kind"), fixture.tree(api).await);
    let elsewhere = Fixture::new().tree(api).await;
    let mut agents = Vec::new();
    for (role, task, status) in [
        ("one", tree.task.id, SubtaskStatus::Running),
        ("two", tree.task.id, SubtaskStatus::Pending),
        ("done", tree.task.id, SubtaskStatus::Completed),
        ("elsewhere", elsewhere.task.id, SubtaskStatus::Running),
    ] {
        let agent = fixture.name(role);
        let work = SubtaskCreate {
            agent_id: Some(agent.clone()),
            agent_type: Some(kind.clone()),
            status: Some(status),
            ..inputs::subtask(task)
        };
        must(api.execute(work).await, "giving work to an agent");
        agents.push(agent);
    }
    let letter = MessageSend { project_id: Some(tree.project.id), ..direct(&fixture.name("from"), &kind) };
    let sent = send(api, letter).await;
    for (agent, expected) in agents.iter().zip([1, 1, 0, 0]) {
        let inbox = read(api, own_inbox(agent)).await;
        assert_eq!(inbox.count, expected, "mail to a kind, for {agent}");
        assert!(inbox.messages.iter().all(|one| one.id == sent.id && !one.already_read), "new to {agent}");
        let again = read(api, own_inbox(agent)).await;
        assert!(again.messages.iter().all(|one| one.already_read), "{agent} has read it now");
        assert_eq!(again.unread_remaining, 0, "and nothing is left");
    }
    // Two kinds of work do not make two messages of one.
    let more = SubtaskCreate {
        agent_id: Some(agents[0].clone()),
        agent_type: Some(kind.clone()),
        status: Some(SubtaskStatus::Running),
        ..inputs::subtask(tree.task.id)
    };
    must(api.execute(more).await, "giving more work to an agent");
    let since = MessageInbox { since: Some(sent.created_at.plus_millis(-1)), ..own_inbox(&agents[0]) };
    let inbox = read(api, since).await;
    assert_eq!((inbox.count, inbox.unread_remaining), (1, 0), "one message, since a moment before it");
}

/// Values out of range are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    let blank = || direct(&from, &to);
    for priority in [-1, 11] {
        let error =
            invalid(api.execute(MessageSend { priority: Some(priority), ..blank() }).await, "priority");
        assert_eq!(error.message(), "Validation failed", "the summary is exactly this");
    }
    for ttl_seconds in [-1, 0, 86_401] {
        let input = MessageSend { ttl_seconds: Some(ttl_seconds), ..blank() };
        invalid(api.execute(input).await, "ttl_seconds");
    }
    invalid(api.execute(MessageSend { from_agent: String::new(), ..blank() }).await, "from_agent");
    invalid(api.execute(MessageSend { from_agent: "f".repeat(256), ..blank() }).await, "from_agent");
    invalid(api.execute(MessageSend { to_agent: Some("t".repeat(256)), ..blank() }).await, "to_agent");
    let error = invalid(api.execute(MessageInbox { limit: Some(0), ..own_inbox(&to) }).await, "limit");
    assert_eq!(error.message(), "Invalid query parameters", "the summary of a bad query");
    invalid(api.execute(own_inbox(&"t".repeat(256))).await, "agent_id");
    assert_eq!(read(api, own_inbox(&to)).await.count, 0, "nothing of it was stored");
}
