//! `/api/subscribe`, `/api/subscriptions` and `/api/unsubscribe`

use super::expect::{invalid, must, not_found, same_order};
use super::fixture::Fixture;
use super::inputs::{self, subscription};
use crate::api::Api;
use crate::api::subscriptions::{
    AgentSubscriptions, Subscribe, SubscriptionDelete, SubscriptionList, SubscriptionsOfAgent, Unsubscribe,
};
use crate::model::{Subscription, Topic};

async fn subscribe(api: &impl Api, input: Subscribe) -> Subscription {
    let answer = must(api.execute(input).await, "subscribing");
    assert!(answer.success, "subscribing says success");
    answer.subscription
}

async fn of_agent(api: &impl Api, agent_id: &str) -> AgentSubscriptions {
    let input = SubscriptionsOfAgent { agent_id: agent_id.to_owned() };
    let answer = must(api.execute(input).await, "the subscriptions of an agent");
    assert_eq!(
        (&*answer.agent_id, answer.count),
        (agent_id, answer.subscriptions.len()),
        "whose, and how many"
    );
    answer
}

/// Subscribing again keeps the subscription and replaces its callback, by nothing when none is given.
pub async fn subscribe_is_an_upsert(api: &impl Api) {
    let fixture = Fixture::new();
    let agent = fixture.name("a/b");
    let url = Some("https://example.com/hook?x=1".to_owned());
    let input = Subscribe { callback_url: url.clone(), ..subscription(&agent, Topic::TaskCreated) };
    let first = subscribe(api, input).await;
    assert_eq!(
        (&first.agent_id, &*first.topic, &first.callback_url),
        (&agent, "task.created", &url),
        "as given"
    );
    let second = subscribe(api, subscription(&agent, Topic::TaskCreated)).await;
    assert_eq!((second.id, second.created_at), (first.id, first.created_at), "the subscription is kept");
    assert_eq!(second.callback_url, None, "a callback that is not given again is dropped");
    assert!(second.updated_at >= first.updated_at, "it was renewed");
    let stored = of_agent(api, &agent).await.subscriptions;
    assert_eq!(stored, [second], "there is one subscription");
}

/// An agent's subscriptions come by topic; an unknown agent has none.
pub async fn of_an_agent_by_topic(api: &impl Api) {
    let fixture = Fixture::new();
    let (agent, other) = (fixture.name("agent"), fixture.name("other"));
    assert_eq!(of_agent(api, &agent).await.count, 0, "an agent that never subscribed has empty lists");
    for topic in [Topic::WorkflowProgress, Topic::AlertBlocking, Topic::TaskFailed] {
        subscribe(api, subscription(&agent, topic)).await;
    }
    subscribe(api, subscription(&other, Topic::ContextRequest)).await;
    let found = of_agent(api, &agent).await;
    same_order(
        &found.topics,
        &["alert.blocking", "task.failed", "workflow.progress"].map(str::to_owned),
        "by topic",
    );
    let topics: Vec<_> = found.subscriptions.iter().map(|one| one.topic.clone()).collect();
    assert_eq!(topics, found.topics, "subscriptions and topics are in the same order");
}

/// Filters combine, the newest comes first.
pub async fn list_filters_combine(api: &impl Api) {
    let fixture = Fixture::new();
    let (a, b) = (fixture.name("a"), fixture.name("b"));
    let first = subscribe(api, subscription(&a, Topic::TaskCreated)).await.id;
    let second = subscribe(api, subscription(&a, Topic::TaskFailed)).await.id;
    let third = subscribe(api, subscription(&b, Topic::TaskCreated)).await.id;
    let list = |agent: Option<&String>, topic: Option<&str>| SubscriptionList {
        agent_id: agent.cloned(),
        topic: topic.map(str::to_owned),
    };
    for (input, expected) in [
        (list(Some(&a), None), vec![second, first]),
        (list(Some(&a), Some("task.created")), vec![first]),
        (list(Some(&b), Some("task.failed")), vec![]),
        (list(Some(&b), Some("zzz")), vec![]),
    ] {
        let what = format!("{input:?}");
        let page = must(api.execute(input).await, &what);
        let found: Vec<_> = page.subscriptions.iter().map(|one| one.id).collect();
        same_order(&found, &expected, &what);
        assert_eq!(page.count, found.len(), "count is the number of entries");
    }
    let page = must(api.execute(inputs::subscriptions()).await, "every subscription");
    assert!(page.count <= 1000, "an answer holds at most 1000");
    let listed = page.subscriptions.iter().map(|one| one.id);
    let ours: Vec<_> = listed.filter(|id| [first, second, third].contains(id)).collect();
    same_order(&ours, &[third, second, first], "newest first");
}

/// A subscription is removed once, by its id or by agent and topic.
pub async fn unsubscribing_removes_once(api: &impl Api) {
    let fixture = Fixture::new();
    let agent = fixture.name("agent");
    let by_id = subscribe(api, subscription(&agent, Topic::TaskCreated)).await.id;
    let by_pair = subscribe(api, subscription(&agent, Topic::TaskFailed)).await.id;
    let delete = || SubscriptionDelete { id: by_id };
    let removed = must(api.execute(delete()).await, "deleting a subscription");
    assert!(removed.success, "a removal says success");
    assert_eq!(
        (removed.deleted.id, &removed.deleted.agent_id, &*removed.deleted.topic),
        (by_id, &agent, "task.created"),
        "what was removed"
    );
    not_found(api.execute(delete()).await, "Subscription not found");
    let unsubscribe = |topic: &str| Unsubscribe { agent_id: agent.clone(), topic: topic.to_owned() };
    let removed = must(api.execute(unsubscribe("task.failed")).await, "unsubscribing");
    assert_eq!(removed.deleted.id, by_pair, "what was removed");
    not_found(api.execute(unsubscribe("task.failed")).await, "Subscription not found");
    not_found(api.execute(unsubscribe("no.such.topic")).await, "Subscription not found");
    not_found(api.execute(SubscriptionDelete { id: fixture.unknown() }).await, "Subscription not found");
    assert_eq!(of_agent(api, &agent).await.count, 0, "nothing is left");
    let again = subscribe(api, subscription(&agent, Topic::TaskCreated)).await;
    assert_ne!(again.id, by_id, "subscribing after a removal makes a new subscription");
}

/// Empty and overlong names and relative URLs are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let agent = fixture.name("agent");
    let error = invalid(api.execute(subscription("", Topic::TaskCreated)).await, "agent_id");
    assert_eq!(error.message(), "Validation failed", "the summary is exactly this");
    invalid(api.execute(subscription(&"a".repeat(256), Topic::TaskCreated)).await, "agent_id");
    for url in ["", "/relative", "not a url", "example.com/x y"] {
        let input =
            Subscribe { callback_url: Some(url.to_owned()), ..subscription(&agent, Topic::TaskCreated) };
        invalid(api.execute(input).await, "callback_url");
    }
    let input = Unsubscribe { agent_id: agent.clone(), topic: String::new() };
    invalid(api.execute(input).await, "topic");
    assert_eq!(of_agent(api, &agent).await.count, 0, "nothing of it was stored");
}
