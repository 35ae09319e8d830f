//! `/api/events`

use super::expect::{invalid, must, refused};
use super::fixture::{Fixture, set_subtask};
use super::inputs;
use crate::api::Api;
use crate::api::events::{EventList, EventPage};
use crate::api::system::AuthToken;
use crate::error::ErrorKind;
use crate::model::SubtaskStatus;
use crate::position::Position;

fn list() -> EventList {
    EventList { after: None, channel: None, limit: None, agent_id: None, session_id: None, token: None }
}

async fn events(api: &impl Api, input: EventList) -> EventPage {
    let page = must(api.execute(input).await, "reading events");
    assert_eq!(page.count, page.events.len(), "how many there are");
    page
}

/// The end of the log.
async fn head(api: &impl Api) -> Position {
    events(api, EventList { limit: Some(1), ..list() }).await.head
}

/// Reads on until the end, in pages of `limit`.
async fn rest(api: &impl Api, from: EventList, limit: u32) -> Vec<crate::api::events::EventView> {
    let mut input = EventList { limit: Some(limit), ..from };
    let mut all = Vec::new();
    loop {
        let page = events(api, input.clone()).await;
        assert!(page.count <= limit as usize, "no more than asked for");
        assert!(
            page.next >= page.events.last().map_or(Position::START, |event| event.position),
            "where to go on"
        );
        let ended = page.next == page.head;
        all.extend(page.events);
        if ended {
            return all;
        }
        assert!(Some(page.next) > input.after, "every page gets further");
        input.after = Some(page.next);
    }
}

/// What is written after a position is found after it, once, in order, whatever the size of the pages.
pub async fn events_are_in_order_and_resumable(api: &impl Api) {
    let fixture = Fixture::new();
    let start = head(api).await;
    let tree = fixture.tree(api).await;
    let subtask = fixture.subtask(api, tree.task.id, SubtaskStatus::Running).await;
    set_subtask(api, subtask.id, SubtaskStatus::Completed).await;
    let from = EventList { after: Some(start), ..list() };
    let all = rest(api, from.clone(), 1000).await;
    assert!(all.windows(2).all(|pair| pair[0].position < pair[1].position), "in the order of positions");
    let own: Vec<&str> = all
        .iter()
        .filter(|event| event.data.as_str().contains(&subtask.id.to_string()))
        .map(|event| &*event.event)
        .collect();
    assert_eq!(own, ["subtask.created", "subtask.completed"], "what happened to the subtask, on global");
    let small = rest(api, from, 2).await;
    let ids =
        |events: &[crate::api::events::EventView]| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(ids(&small)[..all.len()], ids(&all), "small pages hold the same");
}

/// A channel carries what belongs to it, in full; `global` carries everything, without content.
pub async fn channels_have_their_own_events(api: &impl Api) {
    let fixture = Fixture::new();
    let start = head(api).await;
    let (from, to) = (fixture.name("from"), fixture.name("to"));
    must(api.execute(inputs::direct(&from, &to)).await, "sending a message");
    must(api.execute(inputs::direct(&to, &from)).await, "answering it");
    let issue = AuthToken { agent_id: to.clone(), session_id: None };
    let token = must(api.execute(issue).await, "issuing a token").token;
    let channel = format!("agents/{to}");
    let own = EventList { after: Some(start), channel: Some(channel.clone()), token: Some(token), ..list() };
    let own = rest(api, own, 10).await;
    let names: Vec<&str> = own.iter().map(|event| &*event.event).collect();
    assert_eq!(names, ["message.new"], "only what was sent to it");
    assert_eq!(own[0].channel, channel);
    assert!(own[0].data.get("priority").is_some(), "its own channel says all: {:?}", own[0].data);
    let global = rest(api, EventList { after: Some(start), ..list() }, 1000).await;
    let same = global.iter().find(|event| event.id == own[0].id);
    assert_eq!(same.map(|event| event.position), Some(own[0].position), "one event, one id, one place");
    assert!(same.is_some_and(|event| event.data.get("priority").is_none()), "global says less");
}

/// Mail to a type of agent reaches those of that type that are at work in the project.
pub async fn mail_to_a_type_reaches_agents_at_work(api: &impl Api) {
    let fixture = Fixture::new();
    let start = head(api).await;
    let tree = fixture.tree(api).await;
    let (kind, agent, idle) = (fixture.name("kind"), fixture.name("agent"), fixture.name("idle"));
    // A name that is known, and no type of anybody at work yet: what was so a moment ago must not be taken to be so still.
    must(api.execute(inputs::direct(&kind, &fixture.name("to"))).await, "sending a message");
    for _ in 0..3 {
        let sent = must(api.execute(inputs::direct(&fixture.name("from"), &kind)).await, "sending a message");
        assert_eq!(sent.message.known_recipient, Some(true), "who has written is known");
    }
    for (agent, status) in [(&agent, SubtaskStatus::Running), (&idle, SubtaskStatus::Pending)] {
        let input = crate::api::subtasks::SubtaskCreate {
            agent_type: Some(kind.clone()),
            agent_id: Some(agent.clone()),
            status: Some(status),
            ..inputs::subtask(tree.task.id)
        };
        must(api.execute(input).await, "creating a subtask");
    }
    let other = fixture.project(api, "other").await;
    // The one without a project is decided as those before were, so it comes first.
    for project_id in [None, Some(tree.project.id), Some(other.id)] {
        let input =
            crate::api::messages::MessageSend { project_id, ..inputs::direct(&fixture.name("from"), &kind) };
        let sent = must(api.execute(input).await, "sending a message").message;
        assert_eq!(sent.known_recipient, Some(true), "a type that is at work is known");
    }
    for (agent, mails) in [(agent, 2), (idle, 0)] {
        let issue = AuthToken { agent_id: agent.clone(), session_id: None };
        let token = must(api.execute(issue).await, "issuing a token").token;
        let channel = Some(format!("agents/{agent}"));
        let own = EventList { after: Some(start), channel, token: Some(token), ..list() };
        let own = rest(api, own, 100).await;
        let found = own.iter().filter(|event| event.event == "message.new").count();
        assert_eq!(found, mails, "mail for {agent}");
    }
}

/// Channels of agents and sessions are for themselves; bad input names the field.
pub async fn foreign_channels_are_refused(api: &impl Api) {
    let fixture = Fixture::new();
    let issue = AuthToken { agent_id: fixture.name("a"), session_id: Some(fixture.name("s")) };
    let token = must(api.execute(issue).await, "issuing a token").token;
    for channel in [format!("agents/{}", fixture.name("b")), format!("sessions/{}", fixture.name("t"))] {
        let with_token = EventList { channel: Some(channel.clone()), token: Some(token.clone()), ..list() };
        refused(api.execute(with_token).await, ErrorKind::Forbidden, "another one's channel");
        let anonymous = EventList { channel: Some(channel), ..list() };
        refused(api.execute(anonymous).await, ErrorKind::Forbidden, "a channel without a name");
    }
    let forged = EventList { token: Some("a.b".to_owned()), ..list() };
    refused(api.execute(forged).await, ErrorKind::Forbidden, "a token that nobody signed");
    for channel in ["nothing", "agents/", "metrics"] {
        let input = EventList { channel: Some(channel.to_owned()), ..list() };
        invalid(api.execute(input).await, "channel");
    }
}

/// Who stands beyond the end of the log is told so.
pub async fn a_position_that_never_was_is_a_gap(api: &impl Api) {
    let end = head(api).await;
    let beyond = Position::new(end.epoch, end.seq + 1_000_000_000);
    let page = events(api, EventList { after: Some(beyond), ..list() }).await;
    let gap = page.gap.unwrap_or_else(|| panic!("no gap after {beyond}"));
    assert_eq!((&*gap.reason, gap.missed), ("epoch", beyond));
    assert!(gap.continues >= end && page.next >= gap.continues, "it goes on at the end: {gap:?}");
}

/// Nothing is asked for, nothing comes, and nothing is passed over.
pub async fn none_are_listed_when_none_are_asked_for(api: &impl Api) {
    let fixture = Fixture::new();
    let start = head(api).await;
    fixture.project(api, "none").await;
    let page = events(api, EventList { limit: Some(0), after: Some(start), ..list() }).await;
    assert_eq!((page.count, page.next), (0, start), "nothing was asked for");
    assert!(page.head > start, "where the log ends");
}
