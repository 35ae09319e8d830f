//! The event log and delivery over PostgreSQL: nodes that wake each other, commits out of order, epochs.

use std::time::Duration;

use super::*;
use crate::api::blocking::Block;
use crate::delivery::tests::{Place, World, for_each_scenario};
use crate::feed::{Entry, Follower, Step};
use crate::storage::Storage;
use crate::storage::sql::SqlStore;
use crate::{Dcm, EngineConfig, Position};

/// Another node: notified or not, it looks into the log by itself only so often.
async fn node(database: &TestDatabase, name: Option<&str>, poll_ms: u32) -> Dcm {
    let options = PostgresOptions { poll_ms, ..PostgresOptions::default() };
    let driver = PostgresDriver::connect(database.config.clone(), options).await.unwrap();
    driver.migrate().await.unwrap();
    let mut store = SqlStore::new(driver, 3);
    if let Some(name) = name {
        store = store.notifying(name.to_owned());
    }
    Dcm::with_store(Arc::new(store), EngineConfig::default()).await.unwrap()
}

async fn block(dcm: &Dcm, number: usize) {
    let block = Block { blocked_by: "a".to_owned(), blocked_agent: format!("b{number}"), reason: None };
    dcm.block(block).await.unwrap();
}

async fn event(follower: &mut Follower) -> Arc<Entry> {
    match tokio::time::timeout(Duration::from_secs(20), follower.next()).await {
        Ok(Some(Step::Event(entry))) => entry,
        other => panic!("expected an event, got {other:?}"),
    }
}

const NEVER: u32 = 3_600_000;

#[tokio::test]
async fn nodes_wake_each_other() {
    with_database(async |database| {
        let (one, two) = (node(database, Some("one"), NEVER).await, node(database, Some("two"), NEVER).await);
        let mut follower = two.feed().follow(Some(Position::START));
        for number in 0..20 {
            block(&one, number).await;
            assert_eq!(event(&mut follower).await.position, one.feed().committed());
        }
        one.close().await;
        two.close().await;
    })
    .await;
}

/// Not every commit of a burst notifies by itself, and still nobody waits for the next one to hear of the last; nor for
/// the next look when the node has gone.
#[tokio::test]
async fn the_last_of_a_burst_is_heard_of() {
    with_database(async |database| {
        let (one, two) = (node(database, Some("one"), NEVER).await, node(database, Some("two"), NEVER).await);
        let mut follower = two.feed().follow(Some(Position::START));
        for burst in 0..5 {
            for number in 0..10 {
                block(&one, burst * 10 + number).await;
            }
            let last = one.feed().committed();
            while event(&mut follower).await.position != last {}
        }
        block(&one, 50).await;
        block(&one, 51).await;
        let last = one.feed().committed();
        one.close().await;
        while event(&mut follower).await.position != last {}
        two.close().await;
    })
    .await;
}

#[tokio::test]
async fn without_notifications_the_log_is_looked_at() {
    with_database(async |database| {
        let (one, two) = (node(database, None, 5).await, node(database, None, 5).await);
        let mut follower = two.feed().follow(Some(Position::START));
        for number in 0..5 {
            block(&one, number).await;
            assert_eq!(event(&mut follower).await.position, one.feed().committed());
        }
        one.close().await;
        two.close().await;
    })
    .await;
}

/// A node whose listening connection is taken away listens again, and finds what it did not hear.
#[tokio::test]
async fn a_lost_listener_comes_back() {
    with_database(async |database| {
        let (one, two) = (node(database, Some("one"), NEVER).await, node(database, Some("two"), NEVER).await);
        let mut follower = two.feed().follow(Some(Position::START));
        block(&one, 0).await;
        event(&mut follower).await;
        let admin = database.client().await;
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                   where datname = current_database() and query = 'listen dcm_log'";
        admin.batch_execute(end).await.unwrap();
        block(&one, 1).await;
        assert_eq!(event(&mut follower).await.position, one.feed().committed());
        one.close().await;
        two.close().await;
    })
    .await;
}

/// A transaction that is open for long holds the head of the log, or has no position yet: either way nobody who reads
/// passes over its events.
#[tokio::test]
async fn commits_out_of_order_hide_nothing() {
    with_database(async |database| {
        let (one, two) = (node(database, Some("one"), 10).await, node(database, Some("two"), 10).await);
        let mut followers =
            [one.feed().follow(Some(Position::START)), two.feed().follow(Some(Position::START))];
        block(&one, 0).await;
        // It begins before the others and ends after them; its position is given out last.
        let slow = database.client().await;
        slow.batch_execute("begin; select 1 from event_log_head").await.unwrap();
        for number in 1..=20 {
            block(if number % 2 == 0 { &one } else { &two }, number).await;
        }
        // It advances the log and waits: those who come now wait for it, and get later positions.
        slow.batch_execute(
            "update event_log_head set seq = seq + 1; \
             insert into events (seq, id, name, created_at, channels, data, summary) \
             select seq, gen_random_uuid(), 'slow', now(), '{}', '{}', '{}' from event_log_head",
        )
        .await
        .unwrap();
        let late = {
            let (one, two) = (one.clone(), two.clone());
            tokio::spawn(async move {
                futures_util::join!(block(&one, 21), block(&two, 22));
            })
        };
        for follower in &mut followers {
            for seq in 1..=21 {
                assert_eq!(event(follower).await.position.seq, seq);
            }
        }
        tokio::time::timeout(Duration::from_millis(50), followers[0].next()).await.unwrap_err();
        slow.batch_execute("commit").await.unwrap();
        late.await.unwrap();
        for follower in &mut followers {
            assert_eq!(event(follower).await.name, "slow");
            for seq in 23..=24 {
                assert_eq!(event(follower).await.position.seq, seq);
            }
        }
        one.close().await;
        two.close().await;
    })
    .await;
}

/// A promoted standby writes in another timeline, which raises the epoch.
#[tokio::test]
async fn another_timeline_is_another_epoch() {
    with_database(async |database| {
        let one = node(database, Some("one"), 10).await;
        for number in 0..5 {
            block(&one, number).await;
        }
        one.feed().caught_up().await.unwrap();
        let end = one.feed().head();
        // As a standby looks that never received the last two events, to a node that stays connected.
        let admin = database.client().await;
        admin
            .batch_execute(
                "begin; delete from events where seq > 3; update event_log_head set seq = 3, timeline = '00000000'; \
                 commit",
            )
            .await
            .unwrap();
        let two = node(database, Some("two"), 10).await;
        block(&two, 7).await;
        two.feed().caught_up().await.unwrap();
        assert_eq!(two.feed().head(), Position::new(end.epoch + 1, 4));
        let mut kept = two.feed().follow(Some(Position::new(end.epoch, 2)));
        assert_eq!(event(&mut kept).await.position.seq, 3);
        assert_eq!(event(&mut kept).await.position, Position::new(end.epoch + 1, 4));
        let mut lost = two.feed().follow(Some(end));
        match tokio::time::timeout(Duration::from_secs(20), lost.next()).await {
            Ok(Some(Step::Gap(gap))) => {
                assert_eq!((gap.reason.as_str(), gap.continues.seq), ("epoch", 3));
            }
            other => panic!("expected a gap, got {other:?}"),
        }
        assert_eq!(event(&mut lost).await.position, Position::new(end.epoch + 1, 4));
        // The node that was there before finds out by itself.
        one.feed().reached(Position::new(end.epoch + 1, 4)).await.unwrap();
        one.close().await;
        two.close().await;
    })
    .await;
}

macro_rules! on_postgres {
    ($($name:ident)+) => {$(
        #[tokio::test]
        async fn $name() {
            with_database(async |database| {
                let config = database.config.clone();
                let open = move || -> futures_util::future::BoxFuture<'static, Arc<dyn Storage>> {
                    let config = config.clone();
                    Box::pin(async move {
                        let driver = PostgresDriver::connect(config, PostgresOptions::default()).await.unwrap();
                        driver.migrate().await.unwrap();
                        Arc::new(SqlStore::new(driver, 3).notifying("node".to_owned())) as Arc<dyn Storage>
                    })
                };
                crate::delivery::tests::$name(&World::new(Place::Postgres(Box::new(open)))).await;
            })
            .await;
        }
    )+};
}

for_each_scenario!(on_postgres);
