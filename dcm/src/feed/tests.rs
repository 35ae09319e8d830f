//! The feed over both stores: what it may never pass over, and what it has to say.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::api::blocking::Block;
use crate::api::messages::{MessageContent, MessageSend};
use crate::model::Topic;
use crate::storage::sql::{SqlStore, SqliteDriver};
use crate::storage::{BoxFuture, ChannelChanges, ChannelRow, LogHead, LogPage, LogStore};
use crate::{Dcm, EngineConfig, EventId, IdSource, JsonObject, SystemClock, Timestamp};

fn message(text: &str) -> MessageSend {
    MessageSend {
        from_agent: "a".to_owned(),
        to_agent: Some("b".to_owned()),
        topic: Topic::ContextRequest,
        content: MessageContent(JsonObject::from_value(serde_json::json!({"message": text}))),
        priority: None,
        ttl_seconds: None,
        project_id: None,
    }
}

fn block(reason: usize) -> Block {
    Block {
        blocked_by: "a".to_owned(),
        blocked_agent: format!("b-{reason}"),
        reason: Some(reason.to_string()),
    }
}

async fn embedded() -> (Arc<dyn Storage>, Dcm) {
    let driver = SqliteDriver::open_in_memory().await.unwrap();
    let store: Arc<dyn Storage> = Arc::new(SqlStore::new(driver, 3));
    let dcm = Dcm::with_store(Arc::clone(&store), EngineConfig::default()).await.unwrap();
    (store, dcm)
}

async fn event(follower: &mut Follower) -> Arc<Entry> {
    match tokio::time::timeout(Duration::from_secs(20), follower.next()).await {
        Ok(Some(Step::Event(entry))) => entry,
        other => panic!("expected an event, got {other:?}"),
    }
}

async fn missing(follower: &mut Follower) -> Gap {
    match tokio::time::timeout(Duration::from_secs(20), follower.next()).await {
        Ok(Some(Step::Gap(gap))) => gap,
        other => panic!("expected a gap, got {other:?}"),
    }
}

#[tokio::test]
async fn what_is_committed_comes_in_order_to_those_who_wait_and_to_those_who_come_later() {
    let (_, dcm) = embedded().await;
    let start = dcm.feed().head();
    let mut live = dcm.feed().follow(None);
    for number in 0..50 {
        dcm.block(block(number)).await.unwrap();
    }
    dcm.feed().caught_up().await.unwrap();
    assert_eq!(dcm.feed().head().seq, start.seq + 50);
    let mut late = dcm.feed().follow(Some(start));
    for number in 0..50 {
        let (one, other) = (event(&mut live).await, event(&mut late).await);
        assert_eq!(one.position, Position::new(start.epoch, start.seq + number + 1));
        assert_eq!(one.data.get("reason"), Some(number.to_string().into()));
        assert!(Arc::ptr_eq(&one, &other), "an event is made once");
    }
    assert_eq!(late.position(), dcm.feed().head());
    assert!(late.try_next().is_none());
    dcm.close().await;
    assert!(live.next().await.is_none(), "who waits is told of the end");
}

/// With many listeners several commits are told at once: all of them, in order, and none has to wait for another one.
#[tokio::test]
async fn many_listeners_are_told_together() {
    let (_, dcm) = embedded().await;
    let start = dcm.feed().head();
    let mut listeners: Vec<Follower> = (0..100).map(|_| dcm.feed().follow(None)).collect();
    for burst in 0..5 {
        for number in 0..10 {
            dcm.block(block(burst * 10 + number)).await.unwrap();
        }
        let last = dcm.feed().committed();
        for listener in &mut listeners {
            for _ in 0..10 {
                event(listener).await;
            }
            assert_eq!(listener.position(), last);
        }
    }
    assert_eq!(dcm.feed().head().seq, start.seq + 50);
    dcm.close().await;
}

#[tokio::test]
async fn who_is_too_far_behind_for_the_memory_reads_from_the_store() {
    let (store, dcm) = embedded().await;
    for number in 0..700 {
        dcm.block(block(number)).await.unwrap();
    }
    let (feed, waiting) = Feed::open(store).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(feed.clone().run(waiting, stopped));
    let mut follower = feed.follow(Some(Position::START));
    for number in 1..=700 {
        assert_eq!(event(&mut follower).await.position.seq, number);
    }
    stop.send(true).unwrap();
    running.await.unwrap();
    assert!(follower.next().await.is_none());
    dcm.close().await;
}

fn handed(epoch: i64, first_seq: i64, count: usize) -> CommittedEvents {
    let ids = IdSource::new(Arc::new(SystemClock));
    let event = || crate::storage::NewEvent {
        id: ids.next::<EventId>(),
        name: "agent.blocked",
        at: Timestamp::from_micros(0),
        channels: vec!["agents/b".to_owned()],
        data: JsonObject::empty(),
        summary: JsonObject::empty(),
    };
    CommittedEvents { epoch, first_seq, events: (0..count).map(|_| event()).collect() }
}

/// Commits side by side are handed over in any order; what comes too early waits for what is missing.
#[tokio::test]
async fn commits_that_are_handed_over_out_of_order_come_in_order() {
    let (store, dcm) = embedded().await;
    let (feed, waiting) = Feed::open(Arc::clone(&store)).await.unwrap();
    let head = feed.head();
    let listener = feed.listener();
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(feed.clone().run(waiting, stopped));
    let mut follower = feed.follow(None);
    listener.committed(handed(head.epoch, head.seq + 4, 2));
    listener.committed(handed(head.epoch, head.seq + 3, 1));
    listener.committed(handed(head.epoch, head.seq + 1, 2));
    for seq in head.seq + 1..=head.seq + 5 {
        assert_eq!(event(&mut follower).await.position.seq, seq);
    }
    feed.reached(feed.committed()).await.unwrap();
    running.abort();
    dcm.close().await;
}

/// A position that an event of another node has is not passed over: its commit is read from the store.
#[tokio::test]
async fn what_others_committed_between_is_read_from_the_store() {
    let (store, dcm) = embedded().await;
    let (feed, waiting) = Feed::open(Arc::clone(&store)).await.unwrap();
    let head = feed.head();
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(feed.clone().run(waiting, stopped));
    let mut follower = feed.follow(None);
    // This feed hears nothing of these but what it reads.
    dcm.message_send(message("one")).await.unwrap();
    dcm.message_send(message("two")).await.unwrap();
    feed.listener().committed(handed(head.epoch, head.seq + 3, 1));
    let names: Vec<String> = vec![
        event(&mut follower).await.name.clone().into_owned(),
        event(&mut follower).await.name.clone().into_owned(),
        event(&mut follower).await.name.clone().into_owned(),
    ];
    assert_eq!(names, ["message.new", "message.new", "agent.blocked"]);
    running.abort();
    dcm.close().await;
}

#[tokio::test]
async fn readers_of_a_lost_end_are_told_and_the_others_go_on() {
    let (_, dcm) = embedded().await;
    for number in 0..10 {
        dcm.block(block(number)).await.unwrap();
    }
    let feed = dcm.feed();
    feed.caught_up().await.unwrap();
    let end = feed.head();
    dcm.raise_epoch().await.unwrap();
    dcm.block(block(10)).await.unwrap();
    let (old, lost) = (Position::new(end.epoch, end.seq - 2), Position::new(end.epoch, end.seq + 5));
    let mut before = feed.follow(Some(old));
    for seq in end.seq - 1..=end.seq + 1 {
        assert_eq!(event(&mut before).await.position, Position::new(end.epoch + 1, seq));
    }
    let mut beyond = feed.follow(Some(lost));
    let gap = missing(&mut beyond).await;
    assert_eq!(
        gap,
        Gap { reason: GapReason::Epoch, missed: lost, continues: Position::new(end.epoch + 1, end.seq) }
    );
    assert_eq!(event(&mut beyond).await.position.seq, end.seq + 1);
    dcm.close().await;
}

#[tokio::test]
async fn readers_of_what_is_not_kept_any_more_are_told() {
    let config =
        EngineConfig { event_retention_rows: Some(5), cleanup_interval_ms: 10, ..EngineConfig::default() };
    let dcm = Dcm::open_in_memory(config).await.unwrap();
    let start = dcm.feed().head();
    for number in 0..20 {
        dcm.block(block(number)).await.unwrap();
    }
    let kept = loop {
        let page = dcm.feed().page(Position::START, None, 100).await.unwrap();
        if page.entries.len() <= 5 {
            break page;
        }
        tokio::task::yield_now().await;
    };
    let first = kept.entries[0].position;
    let page = dcm.feed().page(Position::new(start.epoch, 1), None, 100).await.unwrap();
    let gap = page.gap.unwrap();
    assert_eq!((gap.reason, gap.continues.seq), (GapReason::Retention, first.seq - 1));
    assert_eq!(page.entries[0].position, first);
    dcm.close().await;
}

#[tokio::test]
async fn a_channel_is_read_alone() {
    let (_, dcm) = embedded().await;
    for number in 0..6 {
        dcm.block(block(number % 2)).await.unwrap();
    }
    let page = dcm.feed().page(Position::START, Some("agents/b-1"), 2).await.unwrap();
    let seqs: Vec<i64> = page.entries.iter().map(|entry| entry.position.seq).collect();
    assert_eq!((seqs, page.next.seq), (vec![2, 4], 4));
    let page = dcm.feed().page(page.next, Some("agents/b-1"), 2).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (1, page.head));
    dcm.close().await;
}

/// Where nobody listens, only the end of the log is looked for; who begins to listen misses nothing for it.
#[tokio::test]
async fn where_nobody_listens_the_log_is_passed_over() {
    let (store, dcm) = embedded().await;
    let (feed, waiting) = Feed::open(Arc::clone(&store)).await.unwrap();
    let start = feed.head();
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(feed.clone().run(waiting, stopped));
    for number in 0..5 {
        dcm.block(block(number)).await.unwrap();
    }
    dcm.message_send(message("one")).await.unwrap();
    let end = dcm.feed().committed();
    let mut named = feed.follow_named(start, &["message.new"]);
    feed.nudge();
    let Some(Some(Step::Event(entry))) = named.advance().await else { panic!("the message is wanted") };
    assert_eq!((&*entry.name, entry.position), ("message.new", end));
    assert!(!feed.inner.window.read().unwrap().knows(start), "nothing was read into memory");

    let mut unknown = feed.follow_named(start, &["no.such.event"]);
    assert!(unknown.advance().await.unwrap().is_none());
    assert_eq!(unknown.position(), end, "what nobody wants is passed over");

    let mut follower = feed.follow(Some(start));
    for seq in start.seq + 1..=end.seq {
        assert_eq!(event(&mut follower).await.position.seq, seq);
    }
    // Now there are listeners.
    dcm.block(block(9)).await.unwrap();
    feed.nudge();
    assert_eq!(event(&mut follower).await.position.seq, end.seq + 1);
    assert!(feed.inner.window.read().unwrap().knows(end), "it is read for them");
    running.abort();
    dcm.close().await;
}

/// A log that leaves to the trait what it need not say itself.
struct Plain(Arc<dyn Storage>);

impl LogStore for Plain {
    fn log_head(&self) -> BoxFuture<'_, Result<LogHead>> {
        self.0.log_head()
    }

    fn log_page(&self, after: i64, channels: Vec<String>, limit: u32) -> BoxFuture<'_, Result<LogPage>> {
        self.0.log_page(after, channels, limit)
    }

    fn raise_epoch(&self, epoch: i64) -> BoxFuture<'_, Result<()>> {
        self.0.raise_epoch(epoch)
    }

    fn agent_channels(&self, agent: String) -> BoxFuture<'_, Result<Vec<ChannelRow>>> {
        self.0.agent_channels(agent)
    }

    fn save_agent_channels(&self, changes: ChannelChanges, now: Timestamp) -> BoxFuture<'_, Result<()>> {
        self.0.save_agent_channels(changes, now)
    }
}

#[tokio::test]
async fn a_log_that_cannot_look_for_names_finds_the_same_events() {
    const NAMES: &[&str] = &["message.new"];
    async fn named(log: &dyn LogStore) -> Vec<i64> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page = log.log_page_named(after, NAMES, 4).await.unwrap();
            assert!(page.events.iter().all(|event| event.name == NAMES[0] && event.seq > after));
            found.extend(page.events.iter().map(|event| event.seq));
            if page.looked_to >= page.head.seq {
                return found;
            }
            assert!(page.looked_to > after, "each look gets on");
            after = page.looked_to;
        }
    }
    let (store, dcm) = embedded().await;
    for number in 0..21 {
        dcm.block(block(number)).await.unwrap();
        if number % 7 == 3 {
            dcm.message_send(message("x")).await.unwrap();
        }
    }
    let found = named(&*store).await;
    assert_eq!(found.len(), 3);
    assert_eq!(named(&Plain(store)).await, found);
    dcm.close().await;
}
