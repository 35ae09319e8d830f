//! What comes when a listener is behind, joins late, or begins to acknowledge late.

use futures_util::future::join_all;

use super::*;
use crate::storage::{AgeLimits, ChannelRow, GapReason};

/// Something is said on a topic, with a number.
async fn say(dcm: &Dcm, topic: &str, number: usize) {
    let said = Publication {
        channel: format!("topics/{topic}"),
        event: "system.info".to_owned(),
        data: json!({"reason": number.to_string()}),
    };
    dcm.publish(&agent("p"), "p", said).await.unwrap();
}

/// What is written of an agent's own channel.
async fn written(dcm: &Dcm, name: &str) -> ChannelRow {
    // Who connects has everything written that waits.
    drop(connected(dcm, "somebody", false).await);
    let rows = dcm.store().agent_channels(name.to_owned()).await.unwrap();
    rows.into_iter().find(|row| row.channel == format!("agents/{name}")).unwrap()
}

/// The first acknowledgement says that all others will be sent as well: what came before it and lacks one is not received,
/// although it was written to the connection, and that was noted.
pub(crate) async fn who_begins_to_acknowledge_gets_the_rest_again(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", false).await;
    for number in 1..=3 {
        happens(&dcm, "a", number).await;
    }
    let (_, first) = numbered(&mut a).await;
    expect(&mut a, 2..=3, 1).await;
    world.clock.advance_millis(300);
    a.confirm();
    assert_eq!(
        written(&dcm, "a").await.delivered.seq,
        first.position.seq + 2,
        "everything was written to it"
    );
    assert_eq!(dcm.delivery_stats().unacknowledged, 0, "nobody waits for what may never come");
    a.acknowledge(first.id);
    assert_eq!(dcm.delivery_stats().unacknowledged, 2);
    nothing_more(&dcm, &mut a).await;
    world.clock.advance_millis(5001);
    expect(&mut a, 2..=3, 2).await;
    // As in a process that was killed.
    std::mem::forget(a);
    assert_eq!(written(&dcm, "a").await.delivered.seq, first.position.seq);
    dcm.close().await;
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", false).await;
    expect(&mut a, 2..=3, 2).await;
    drop(a);
    dcm.close().await;
}

/// A channel that is joined while others are caught up with gets all of its events, also those that lie in what was read
/// ahead for the others.
pub(crate) async fn a_channel_joined_while_catching_up_misses_nothing(world: &World) {
    let dcm = world.open().await;
    join_all((0..40).map(|number| say(&dcm, if number % 2 == 0 { "even" } else { "odd" }, number))).await;
    dcm.close().await;
    // Nothing of it is in memory any more.
    let dcm = world.open().await;
    let mut listener = dcm.subscriber();
    listener.unsubscribe(crate::feed::GLOBAL).await.unwrap();
    listener.subscribe("topics/even", Some(Position::START)).await.unwrap();
    let (_, first) = numbered(&mut listener).await;
    listener.subscribe("topics/odd", Some(first.position)).await.unwrap();
    let mut expected = Vec::new();
    let page = dcm.feed().page(Position::START, None, 1000).await.unwrap();
    for entry in page.entries.iter().filter(|entry| entry.position > first.position) {
        expected.push(entry.position);
    }
    for position in expected {
        assert_eq!(numbered(&mut listener).await.1.position, position);
    }
    drop(listener);
    dcm.close().await;
}

/// A channel on which little happens is found however much lies between (tests look at few events at a time).
pub(crate) async fn a_quiet_channel_is_found_in_a_long_log(world: &World) {
    let dcm = world.open().await;
    say(&dcm, "quiet", 0).await;
    join_all((0..300).map(|number| say(&dcm, "loud", number))).await;
    say(&dcm, "quiet", 1).await;
    dcm.close().await;
    let dcm = world.open().await;
    let page = dcm.feed().page(Position::START, Some("topics/quiet"), 10).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (2, page.head));
    let page = dcm.feed().page(Position::START, Some("topics/nothing"), 10).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (0, page.head));
    let mut listener = dcm.subscriber();
    listener.unsubscribe(crate::feed::GLOBAL).await.unwrap();
    listener.subscribe("topics/quiet", Some(Position::START)).await.unwrap();
    expect(&mut listener, 0..=1, 1).await;
    say(&dcm, "quiet", 2).await;
    expect(&mut listener, [2], 1).await;
    drop(listener);
    dcm.close().await;
}

/// Whoever gives up waiting for the store and comes back gets on all the same.
pub(crate) async fn waiting_for_the_store_may_be_given_up_again_and_again(world: &World) {
    let dcm = world.open().await;
    join_all((0..100).map(|number| say(&dcm, "t", number))).await;
    dcm.close().await;
    let dcm = world.open().await;
    let mut listener = dcm.subscriber();
    listener.subscribe("topics/t", Some(Position::START)).await.unwrap();
    listener.unsubscribe(crate::feed::GLOBAL).await.unwrap();
    let mut got = 0;
    while got < 100 {
        match listener.try_next() {
            Some(Delivery::Event { .. }) => got += 1,
            Some(_) => {}
            None => {
                // It is polled once, and dropped.
                let _ = futures_util::FutureExt::now_or_never(listener.ready());
                tokio::task::yield_now().await;
            }
        }
    }
    drop(listener);
    dcm.close().await;
}

/// More than what is at hand to be sent again is acknowledged one by one like the rest.
pub(crate) async fn every_single_acknowledgement_counts_however_much_waits(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    join_all((0..1500).map(|number| happens(&dcm, "a", number))).await;
    let mut ids = Vec::new();
    for _ in 0..1500 {
        ids.push(numbered(&mut a).await.1.id);
    }
    assert_eq!(dcm.delivery_stats().unacknowledged, 1500);
    let last = ids.pop().unwrap();
    ids.into_iter().rev().for_each(|id| a.acknowledge(id));
    assert_eq!(dcm.delivery_stats().unacknowledged, 1);
    drop(a);
    let mut a = connected(&dcm, "a", true).await;
    let (got, entry) = numbered(&mut a).await;
    assert_eq!((got.attempt, entry.id), (2, last), "only what lacks its acknowledgement");
    a.acknowledge(last);
    nothing_more(&dcm, &mut a).await;
    drop(a);
    dcm.close().await;
}

/// What happens to others moves an agent's place seldom: it costs a row each time.
pub(crate) async fn the_place_of_an_idle_agent_is_written_seldom(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    let before = written(&dcm, "a").await.delivered;
    happens(&dcm, "b", 1).await;
    nothing_more(&dcm, &mut a).await;
    world.clock.advance_millis(1000);
    a.tick();
    assert_eq!(written(&dcm, "a").await.delivered, before);
    happens(&dcm, "b", 2).await;
    nothing_more(&dcm, &mut a).await;
    world.clock.advance_millis(30_000);
    a.tick();
    let later = written(&dcm, "a").await.delivered;
    assert!(later > before, "{later} {before}");
    // Its own events are written at once.
    happens(&dcm, "a", 3).await;
    let (_, own) = numbered(&mut a).await;
    a.acknowledge(own.id);
    world.clock.advance_millis(300);
    a.tick();
    assert!(written(&dcm, "a").await.delivered >= own.position);
    drop(a);
    dcm.close().await;
}

/// An agent whose place is no longer in the log is told so, once, and goes on with what there is; who asks for everything
/// there is, is told of nothing.
pub(crate) async fn a_kept_place_before_the_log_is_a_gap(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    happens(&dcm, "a", 1).await;
    let (_, entry) = numbered(&mut a).await;
    a.acknowledge(entry.id);
    drop(a);
    for number in 2..=6 {
        happens(&dcm, "a", number).await;
    }
    // At the end the scorer writes what it learned; what it has not learned is kept for it.
    dcm.close().await;
    let dcm = world.open().await;
    let store = dcm.store();
    let head = store.log_head().await.unwrap().seq;
    let never = Timestamp::from_millis(0);
    let limits = AgeLimits {
        events_before: never,
        event_rows: Some(3),
        actions_before: never,
        action_rows: None,
        outcomes_before: never,
        batch: 1000,
    };
    store.retain(limits).await.unwrap();
    assert_eq!(store.log_head().await.unwrap().first_seq, head - 2);
    dcm.close().await;

    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", true).await;
    match delivery(&mut a).await {
        Delivery::Gap(gap) => {
            assert_eq!((gap.reason, gap.continues.seq), (GapReason::Retention, head - 3));
        }
        other => panic!("expected a gap, got {other:?}"),
    }
    let mut last = None;
    while last != Some(6) {
        let Delivery::Event { entry, .. } = delivery(&mut a).await else { panic!("told of a gap again") };
        if let Some(reason) = entry.data.get("reason") {
            last = reason.as_str().and_then(|number| number.parse().ok());
            a.acknowledge(entry.id);
        }
    }
    world.clock.advance_millis(300);
    a.tick();
    assert!(written(&dcm, "a").await.delivered.seq >= head - 3, "its place has moved");
    let mut all = dcm.subscriber();
    all.subscribe("global", Some(Position::START)).await.unwrap();
    let Delivery::Event { entry, .. } = delivery(&mut all).await else { panic!("told of a gap") };
    assert_eq!(entry.position.seq, head - 2);
    drop((a, all));
    dcm.close().await;
}

/// A subscription to the numbers comes back like others.
pub(crate) async fn numbers_are_heard_again_after_the_next_connection(world: &World) {
    let dcm = world.open().await;
    let mut a = connected(&dcm, "a", false).await;
    a.subscribe(METRICS, None).await.unwrap();
    drop(a);
    let mut a = connected(&dcm, "a", false).await;
    assert!(a.channels().any(|name| name == METRICS));
    a.unsubscribe(METRICS).await.unwrap();
    drop(a);
    let a = connected(&dcm, "a", false).await;
    assert!(!a.channels().any(|name| name == METRICS));
    drop(a);
    dcm.close().await;
}

#[tokio::test]
async fn a_connection_has_a_thousand_channels_at_most_wherever_they_begin() {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
    let mut listener = dcm.subscriber();
    for number in 1..1000 {
        listener.subscribe(&format!("topics/{number}"), Some(Position::START)).await.unwrap();
    }
    for after in [None, Some(Position::START), Some(dcm.feed().head())] {
        let refused = listener.subscribe("topics/more", after).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.message().contains("1000 channels"), "{refused}");
    }
    // One that it has may begin elsewhere.
    listener.subscribe("topics/7", Some(Position::START)).await.unwrap();
    drop(listener);
    dcm.close().await;
}

/// Who comes as somebody else has gone as who he was.
#[tokio::test]
async fn another_name_on_one_connection_is_announced() {
    let dcm = Dcm::open_in_memory(EngineConfig::default()).await.unwrap();
    let mut monitor = dcm.subscriber();
    let mut listener = dcm.subscriber();
    for name in ["a", "b"] {
        listener.authenticate(agent(name), false).await.unwrap();
        listener.announce();
    }
    drop(listener);
    for (name, who) in [
        ("agent.connected", "a"),
        ("agent.disconnected", "a"),
        ("agent.connected", "b"),
        ("agent.disconnected", "b"),
    ] {
        let Delivery::Event { entry, .. } = delivery(&mut monitor).await else { panic!("no event") };
        assert_eq!((&*entry.name, entry.data.get("agent_id").unwrap().as_str()), (name, Some(who)));
    }
    drop(monitor);
    dcm.close().await;
}
