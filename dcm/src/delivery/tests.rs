//! What is promised about delivery, on both stores. Those on PostgreSQL are called from its own tests.

mod catching_up;
mod numbers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

pub(crate) use catching_up::{
    a_channel_joined_while_catching_up_misses_nothing, a_kept_place_before_the_log_is_a_gap,
    a_quiet_channel_is_found_in_a_long_log, every_single_acknowledgement_counts_however_much_waits,
    numbers_are_heard_again_after_the_next_connection, the_place_of_an_idle_agent_is_written_seldom,
    waiting_for_the_store_may_be_given_up_again_and_again, who_begins_to_acknowledge_gets_the_rest_again,
};
pub(crate) use numbers::the_numbers_mean_what_they_say;

use super::*;
use crate::api::blocking::Block;
use crate::storage::Storage;
use crate::storage::sql::{SqlStore, SqliteDriver};
use crate::{Dcm, EngineConfig, ErrorKind, ManualClock, Position, Publication, Timestamp};

/// A store that can be opened again and again, and the clock of all who open it.
pub(crate) struct World {
    place: Place,
    pub(crate) clock: ManualClock,
}

pub(crate) enum Place {
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(Box<dyn Fn() -> futures_util::future::BoxFuture<'static, Arc<dyn Storage>> + Send + Sync>),
}

impl World {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, clock: ManualClock::new(Timestamp::from_millis(1_700_000_000_000)) }
    }

    /// Another process.
    pub(crate) async fn open(&self) -> Dcm {
        let store: Arc<dyn Storage> = match &self.place {
            Place::File(path) => Arc::new(SqlStore::new(SqliteDriver::open(path, 2).await.unwrap(), 3)),
            #[cfg(feature = "postgres")]
            Place::Postgres(open) => open().await,
        };
        // The clock stands still, so nothing must depend on jobs that look at it.
        let config = EngineConfig { cleanup_interval_ms: 3_600_000, ..EngineConfig::default() };
        Dcm::with_store_and_clock(store, Arc::new(self.clock.clone()), config).await.unwrap()
    }
}

fn agent(name: &str) -> Identity {
    Identity { agent_id: Some(name.to_owned()), session_id: None, proven: false }
}

async fn connected(dcm: &Dcm, name: &str, acknowledges: bool) -> Subscriber {
    let mut subscriber = dcm.subscriber();
    subscriber.unsubscribe(crate::feed::GLOBAL).await.unwrap();
    subscriber.authenticate(agent(name), acknowledges).await.unwrap();
    subscriber
}

/// Something that happens to an agent, with a number.
async fn happens(dcm: &Dcm, agent: &str, number: usize) {
    let block = Block {
        blocked_by: "x".to_owned(),
        blocked_agent: agent.to_owned(),
        reason: Some(number.to_string()),
    };
    dcm.block(block).await.unwrap();
}

#[derive(Debug, PartialEq)]
struct Got {
    number: usize,
    attempt: u32,
}

async fn delivery(subscriber: &mut Subscriber) -> Delivery {
    let next = tokio::time::timeout(Duration::from_secs(20), subscriber.next()).await;
    next.expect("an event within 20 s").expect("the engine is open")
}

/// The next event, which says its number; and its id.
async fn numbered(subscriber: &mut Subscriber) -> (Got, Arc<crate::feed::Entry>) {
    match delivery(subscriber).await {
        Delivery::Event { entry, attempt, .. } => {
            let number = entry.data.get("reason").unwrap().as_str().unwrap().parse().unwrap();
            (Got { number, attempt }, entry)
        }
        other => panic!("expected an event, got {other:?}"),
    }
}

async fn expect(subscriber: &mut Subscriber, numbers: impl IntoIterator<Item = usize>, attempt: u32) {
    for number in numbers {
        assert_eq!(numbered(subscriber).await.0, Got { number, attempt });
    }
}

/// Whatever happened before has been looked at, and there is nothing more.
async fn nothing_more(dcm: &Dcm, subscriber: &mut Subscriber) {
    dcm.feed().caught_up().await.unwrap();
    subscriber.confirm();
    for _ in 0..3 {
        if let Some(more) = subscriber.try_next() {
            panic!("expected nothing more, got {more:?}");
        }
    }
}

/// What an agent missed comes in order, then what is new, without a hole between; a new one begins at the end.
pub(crate) async fn what_was_missed_comes_before_what_is_new(world: &World) {
    let dcm = world.open().await;
    happens(&dcm, "a", 0).await;
    let mut a = connected(&dcm, "a", true).await;
    happens(&dcm, "a", 1).await;
    let (got, entry) = numbered(&mut a).await;
    assert_eq!(got, Got { number: 1, attempt: 1 });
    a.acknowledge(entry.id);
    drop(a);
    for number in 2..400 {
        happens(&dcm, "a", number).await;
        happens(&dcm, "b", number).await;
    }
    let mut a = connected(&dcm, "a", true).await;
    happens(&dcm, "a", 400).await;
    expect(&mut a, 2..=400, 1).await;
    nothing_more(&dcm, &mut a).await;
    drop(a);
    dcm.close().await;
}

/// What is not acknowledged comes again, marked: after five seconds, three times at most, and after the next
/// connection; also when the process ended in between.
pub(crate) async fn what_is_not_acknowledged_comes_again(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    for number in 1..=4 {
        happens(&dcm, "a", number).await;
    }
    let mut ids = Vec::new();
    for number in 1..=4 {
        let (got, entry) = numbered(&mut a).await;
        assert_eq!(got, Got { number, attempt: 1 });
        ids.push(entry.id);
    }
    // The second one is not acknowledged.
    for place in [0, 2, 3] {
        a.acknowledge(ids[place]);
    }
    assert_eq!(dcm.delivery_stats().unacknowledged, 1);
    world.clock.advance_millis(4999);
    a.tick();
    nothing_more(&dcm, &mut a).await;
    for attempt in [2, 3] {
        world.clock.advance_millis(5001);
        expect(&mut a, [2], attempt).await;
    }
    world.clock.advance_millis(60_000);
    a.tick();
    nothing_more(&dcm, &mut a).await;
    drop(a);
    assert_eq!(dcm.delivery_stats(), DeliveryStats::default());
    dcm.close().await;

    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    happens(&dcm, "a", 5).await;
    // From the first hole on; what was sent before is marked, what was not is not.
    expect(&mut a, [2, 3, 4], 2).await;
    let (got, last) = numbered(&mut a).await;
    assert_eq!(got, Got { number: 5, attempt: 1 });
    a.acknowledge_up_to(last.position);
    drop(a);
    let mut a = connected(&dcm, "a", false).await;
    nothing_more(&dcm, &mut a).await;
    drop(a);
    dcm.close().await;
}

/// To an agent that never acknowledges everything comes once, before and after a restart.
pub(crate) async fn who_never_acknowledges_gets_everything_once(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", false).await;
    for number in 1..=3 {
        happens(&dcm, "a", number).await;
    }
    expect(&mut a, 1..=3, 1).await;
    world.clock.advance_millis(60_000);
    a.tick();
    nothing_more(&dcm, &mut a).await;
    drop(a);
    happens(&dcm, "a", 4).await;
    dcm.close().await;
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", false).await;
    happens(&dcm, "a", 5).await;
    expect(&mut a, [4, 5], 1).await;
    nothing_more(&dcm, &mut a).await;
    drop(a);
    dcm.close().await;
}

/// A connection that nobody closed may have sent anything: what comes again after it is marked.
pub(crate) async fn after_a_crash_what_may_have_come_is_marked(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    happens(&dcm, "a", 1).await;
    expect(&mut a, [1], 1).await;
    // It never ends, as in a process that was killed.
    std::mem::forget(a);
    dcm.close().await;
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    happens(&dcm, "a", 2).await;
    expect(&mut a, [1], 2).await;
    expect(&mut a, [2], 1).await;
    drop(a);
    dcm.close().await;
}

/// Subscriptions of an agent come back, with their place; what is unsubscribed does not.
pub(crate) async fn subscriptions_are_kept_until_they_are_removed(world: &World) {
    let say = |dcm: Dcm, topic: &'static str, number: usize| async move {
        let said = Publication {
            channel: format!("topics/{topic}"),
            event: "system.info".to_owned(),
            data: json!({"reason": number.to_string()}),
        };
        dcm.publish(&agent("p"), "p", said).await.unwrap().id.unwrap()
    };
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", false).await;
    for topic in ["one", "two"] {
        a.subscribe(&format!("topics/{topic}"), None).await.unwrap();
    }
    say(dcm.clone(), "one", 1).await;
    say(dcm.clone(), "two", 2).await;
    expect(&mut a, 1..=2, 1).await;
    a.unsubscribe("topics/two").await.unwrap();
    drop(a);
    say(dcm.clone(), "two", 3).await;
    say(dcm.clone(), "one", 4).await;
    dcm.close().await;
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", false).await;
    let mut channels: Vec<&str> = a.channels().collect();
    channels.sort_unstable();
    assert_eq!(channels, ["agents/a", "topics/one"]);
    say(dcm.clone(), "two", 5).await;
    say(dcm.clone(), "one", 6).await;
    expect(&mut a, [4, 6], 1).await;
    nothing_more(&dcm, &mut a).await;
    drop(a);
    dcm.close().await;
}

/// `after` goes back, on any channel; what other channels have had already they do not get again.
pub(crate) async fn after_goes_back_for_its_channel_alone(world: &World) {
    let dcm = world.open().await;
    let start = dcm.feed().head();
    let mut a = connected(&dcm, "a", false).await;
    for number in 1..=3 {
        happens(&dcm, "a", number).await;
    }
    expect(&mut a, 1..=3, 1).await;
    a.subscribe("global", Some(start)).await.unwrap();
    happens(&dcm, "a", 4).await;
    for number in 1..=4 {
        let Delivery::Event { entry, mask, .. } = delivery(&mut a).await else { panic!("no event") };
        let channels: Vec<&str> = entry.channels_of(mask).collect();
        let expected = if number < 4 { vec!["global"] } else { vec!["global", "agents/a"] };
        assert_eq!(channels, expected, "{number}");
        assert_eq!(entry.payload(mask).get("reason").is_some(), number == 4, "global says no reason");
    }
    nothing_more(&dcm, &mut a).await;
    drop(a);
    dcm.close().await;
}

/// Cursors beyond the end of a restored log are told of the gap, the others go on.
pub(crate) async fn a_new_epoch_is_a_gap_for_those_beyond_it_only(world: &World) {
    let dcm = world.open().await;
    let mut slow = connected(&dcm, "slow", true).await;
    let quick = connected(&dcm, "quick", true).await;
    happens(&dcm, "slow", 1).await;
    let (_, entry) = numbered(&mut slow).await;
    slow.acknowledge(entry.id);
    let head = dcm.feed().head();
    drop((slow, quick));
    dcm.close().await;
    let dcm = world.open().await;
    // The quick one has read events that the backup does not have.
    let beyond = Position::new(head.epoch, head.seq + 3);
    dcm.raise_epoch().await.unwrap();
    happens(&dcm, "slow", 2).await;
    happens(&dcm, "quick", 3).await;
    dcm.feed().caught_up().await.unwrap();
    let mut slow = connected(&dcm, "slow", true).await;
    expect(&mut slow, [2], 1).await;
    let mut quick = dcm.subscriber();
    quick.unsubscribe("global").await.unwrap();
    quick.authenticate(agent("quick"), true).await.unwrap();
    expect(&mut quick, [3], 1).await;
    quick.subscribe("agents/quick", Some(beyond)).await.unwrap();
    match delivery(&mut quick).await {
        Delivery::Gap(gap) => {
            assert_eq!((gap.reason, gap.missed), (crate::storage::GapReason::Epoch, beyond));
            assert_eq!(gap.continues, Position::new(head.epoch + 1, head.seq));
        }
        other => panic!("expected a gap, got {other:?}"),
    }
    expect(&mut quick, [3], 1).await;
    drop((slow, quick));
    dcm.close().await;
}

/// What one client says keeps its order; what it may not say is refused.
pub(crate) async fn what_is_published_is_in_the_log_in_order(world: &World) {
    let dcm = world.open().await;
    let mut listener = dcm.subscriber();
    listener.subscribe("topics/t", None).await.unwrap();
    listener.unsubscribe("global").await.unwrap();
    let said = |channel: &str, event: &str, data: serde_json::Value| Publication {
        channel: channel.to_owned(),
        event: event.to_owned(),
        data,
    };
    let anonymous = Identity::default();
    let all = (0..100).map(|number| {
        let said = said("topics/t", "system.info", json!({"reason": number.to_string()}));
        let (dcm, anonymous) = (dcm.clone(), anonymous.clone());
        async move { dcm.publish(&anonymous, "client", said).await.unwrap() }
    });
    futures_util::future::join_all(all).await;
    expect(&mut listener, 0..100, 1).await;
    for (publication, kind) in [
        (said("agents/a", "system.info", json!({})), ErrorKind::Forbidden),
        (said("global", "system.info", json!({})), ErrorKind::Forbidden),
        (said("nowhere", "system.info", json!({})), ErrorKind::Invalid),
        (said("topics/t", "agent.blocked", json!({})), ErrorKind::Invalid),
        (said("topics/t", "system.info", json!("\0")), ErrorKind::Invalid),
    ] {
        assert_eq!(dcm.publish(&anonymous, "client", publication).await.unwrap_err().kind(), kind);
    }
    // Any JSON is handed on as it came, and what is not kept is not in the log.
    let head = dcm.feed().head();
    let beat = said("topics/t", "agent.heartbeat", json!([1, null]));
    assert_eq!(dcm.publish(&anonymous, "client", beat).await.unwrap().id, None);
    let Delivery::Event { entry, .. } = delivery(&mut listener).await else { panic!("no event") };
    assert_eq!((entry.data.as_str(), entry.logged, dcm.feed().head()), ("[1,null]", false, head));
    dcm.publish(&anonymous, "client", said("topics/t", "system.info", json!("text"))).await.unwrap();
    let Delivery::Event { entry, .. } = delivery(&mut listener).await else { panic!("no event") };
    assert_eq!((entry.data.as_str(), entry.logged), ("\"text\"", true));
    let page = dcm.feed().page(head, Some("topics/t"), 10).await.unwrap();
    assert_eq!(page.entries[0].data.as_str(), "\"text\"");
    drop(listener);
    dcm.close().await;
}

/// What is not kept waits beside the log, as much as memory allows, and keeps nobody from what is kept.
pub(crate) async fn what_is_not_kept_does_not_keep_the_log_waiting(world: &World) {
    let dcm = world.open().await;
    let mut listener = dcm.subscriber();
    listener.subscribe("topics/t", None).await.unwrap();
    listener.unsubscribe("global").await.unwrap();
    let anonymous = Identity::default();
    let say = async |event: &str, data: serde_json::Value| {
        let said = Publication { channel: "topics/t".to_owned(), event: event.to_owned(), data };
        dcm.publish(&anonymous, "client", said).await.unwrap();
    };
    for number in 0..200 {
        say("agent.heartbeat", json!(number)).await;
    }
    for _ in 0..3 {
        say("system.info", json!("kept")).await;
    }
    dcm.feed().caught_up().await.unwrap();
    let first: Vec<bool> = std::iter::from_fn(|| listener.try_next())
        .take(5)
        .map(|delivery| matches!(&delivery, Delivery::Event { entry, .. } if entry.logged))
        .collect();
    assert_eq!(first, [false, true, true, true, false], "whether each was in the log");
    while listener.try_next().is_some() {}
    for _ in 0..10 {
        say("agent.heartbeat", json!("x".repeat(100_000))).await;
    }
    let large = std::iter::from_fn(|| listener.try_next()).count();
    assert!((1..=2).contains(&large), "{large} of 10 large ones waited");
    drop(listener);
    dcm.close().await;
}

macro_rules! on_the_embedded_store {
    ($($name:ident)+) => {$(
        #[tokio::test]
        async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            super::$name(&World::new(Place::File(folder.path().join("dcm.db")))).await;
        }
    )+};
}

/// Hands the name of every scenario to a macro.
macro_rules! for_each_scenario {
    ($callback:ident) => {
        $callback! {
            what_was_missed_comes_before_what_is_new
            what_is_not_acknowledged_comes_again
            who_never_acknowledges_gets_everything_once
            after_a_crash_what_may_have_come_is_marked
            subscriptions_are_kept_until_they_are_removed
            after_goes_back_for_its_channel_alone
            a_new_epoch_is_a_gap_for_those_beyond_it_only
            what_is_published_is_in_the_log_in_order
            what_is_not_kept_does_not_keep_the_log_waiting
            who_begins_to_acknowledge_gets_the_rest_again
            a_channel_joined_while_catching_up_misses_nothing
            a_quiet_channel_is_found_in_a_long_log
            waiting_for_the_store_may_be_given_up_again_and_again
            every_single_acknowledgement_counts_however_much_waits
            the_place_of_an_idle_agent_is_written_seldom
            a_kept_place_before_the_log_is_a_gap
            numbers_are_heard_again_after_the_next_connection
            the_numbers_mean_what_they_say
        }
    };
}
#[cfg(feature = "postgres")]
pub(crate) use for_each_scenario;

mod embedded {
    use super::{Place, World};

    for_each_scenario!(on_the_embedded_store);
}

#[tokio::test]
async fn numbers_come_while_somebody_listens() {
    let config = EngineConfig { metrics_interval_ms: 5, ..EngineConfig::default() };
    let dcm = Dcm::open_in_memory(config).await.unwrap();
    let mut listener = dcm.subscriber();
    listener.subscribe(METRICS, None).await.unwrap();
    for _ in 0..2 {
        let Delivery::Event { entry, mask, .. } = delivery(&mut listener).await else { panic!("no event") };
        assert_eq!((&*entry.name, entry.channels_of(mask).next()), ("metric.update", Some(METRICS)));
        for name in
            ["active_sessions", "active_agents", "actions_per_minute", "avg_task_duration_ms", "timestamp"]
        {
            assert!(
                entry.data.get(name).is_some_and(|value| value.is_number()),
                "{name} in {:?}",
                entry.data
            );
        }
    }
    drop(listener);
    dcm.close().await;
}

#[tokio::test]
async fn coming_and_going_is_announced() {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
    let mut monitor = dcm.subscriber();
    let mut a = dcm.subscriber();
    let identity = Identity { session_id: Some("s".to_owned()), ..agent("a") };
    a.authenticate(identity, false).await.unwrap();
    a.announce();
    let id = a.id().to_owned();
    drop(a);
    for name in ["agent.connected", "agent.disconnected"] {
        let Delivery::Event { entry, mask, .. } = delivery(&mut monitor).await else { panic!("no event") };
        let said = json!({"agent_id": "a", "client_id": id, "session_id": "s"});
        assert_eq!((&*entry.name, entry.payload(mask).to_map()), (name, said.as_object().unwrap().clone()));
    }
    drop(monitor);
    dcm.close().await;
}
