//! A standby takes over that has not received the last events: who has read them is told, the others go on.

use std::time::Duration;

use dcm::Position;
use dcm_client::listen::{GapReason, Item, Listener};
use dcm_suite::calls::Calls;
use dcm_suite::postgres::{Cluster, Database};
use dcm_suite::server::Options;
use serde_json::{Value, json};

use crate::storm::client;

/// Sends messages `numbers` to the agent `a`, however long that takes.
async fn send(api: &Calls, numbers: std::ops::RangeInclusive<u32>) {
    for number in numbers {
        let message = json!({"from_agent": "b", "to_agent": "a", "topic": "workflow.progress", "content": {"n": number}});
        let key = format!("message {number}");
        loop {
            let sent = api
                .attempt(reqwest::Method::POST, "/api/messages", Some(&key), Some(&message))
                .await
                .unwrap();
            if sent.status == 201 {
                break;
            }
            assert_eq!(sent.status, 503, "{sent:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The events of messages on `channel` after `after`, and the rest of the answer.
async fn page(api: &Calls, after: &str) -> (Vec<Position>, Value) {
    let page = api.get(&format!("/api/events?after={after}&channel=topics/workflow.progress")).await;
    let events = page["events"].as_array().unwrap().iter();
    (events.map(|event| event["position"].as_str().unwrap().parse().unwrap()).collect(), page)
}

/// The positions of the next messages, up to `count`; `Err` is a gap.
async fn hear(listener: &mut Listener, count: usize) -> Vec<Result<Position, GapReason>> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match listener.next().await.unwrap().unwrap() {
            Item::Event(event) if event.name == "message.new" => heard.push(Ok(event.position.unwrap())),
            Item::Gap(gap) => heard.push(Err(gap.reason)),
            _ => {}
        }
    }
    heard
}

/// In the module `cluster`, as servers of PostgreSQL of its own need it.
mod cluster {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_standby_that_lost_the_last_events_takes_over() {
        let primary = Cluster::start();
        let mut standby = primary.standby();
        let database = Database::create_on(&primary);
        let server = Options::on_database(database.url()).start().await;
        let api = server.calls();
        let client = client(&server.api());
        let listen = async |after: Position| {
            client.listen().channel_after("topics/workflow.progress", after).open().await.unwrap()
        };
        // A new agent begins here.
        client.listen().agent("a").open().await.unwrap().close().await;

        send(&api, 1..=5).await;
        let (first, _) = page(&api, "0").await;
        let head = || "select seq from event_log_head";
        while standby
            .rows(database.name(), "select 1 from pg_tables where tablename = 'event_log_head'")
            .is_empty()
            || standby.rows(database.name(), head()) != primary.rows(database.name(), head())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        standby.cut_off();
        send(&api, 6..=10).await;
        let (before, _) = page(&api, "0").await;
        assert_eq!((first.len(), before.len()), (5, 10));
        // Both are connected and know everything.
        let mut ahead = listen(Position::START).await;
        assert_eq!(hear(&mut ahead, 10).await, before.iter().copied().map(Ok).collect::<Vec<_>>());

        primary.kill();
        standby.take_over(&primary);
        send(&api, 11..=15).await;

        // Whoever stands where both logs are the same goes on.
        let (after, answer) = page(&api, &before[2].to_string()).await;
        assert_eq!(
            (after.len(), &answer["gap"]),
            (7, &Value::Null),
            "4 and 5 of before, 11 to 15 of after: {answer}"
        );
        assert!(after.is_sorted() && after[2].epoch > before[0].epoch, "{after:?}");
        let mut behind = listen(before[2]).await;
        assert_eq!(hear(&mut behind, 7).await, after.iter().copied().map(Ok).collect::<Vec<_>>());

        // Whoever has read what is no more is told, and goes on with what took its place.
        let (rest, answer) = page(&api, &before[7].to_string()).await;
        assert_eq!((rest.len(), &answer["gap"]["reason"]), (5, &json!("epoch")), "{answer}");
        let mut expected = vec![Err(GapReason::Epoch)];
        expected.extend(after[2..].iter().copied().map(Ok));
        assert_eq!(hear(&mut listen(before[7]).await, 6).await, expected);
        // Also on a connection that was there all the time.
        assert_eq!(hear(&mut ahead, 6).await, expected);

        // The agent acknowledged nothing: it gets all that the log has.
        let mut agent = client.listen().agent("a").open().await.unwrap();
        assert_eq!(hear(&mut agent, 10).await.into_iter().flatten().count(), 10);
        agent.close().await;
    }
}
