//! Transactions that begin in one order and commit in another: no reader passes over anything.

use dcm_client::listen::Item;
use dcm_suite::postgres::Database;
use dcm_suite::server::Options;
use dcm_suite::wire::Wire;
use serde_json::json;

use crate::storm::client;

/// Reads the whole log of a node in small pages, each from where the last one ended.
async fn names_after(api: &dcm_suite::calls::Calls, after: &str) -> (Vec<String>, String) {
    let (mut names, mut after) = (Vec::new(), after.to_owned());
    loop {
        let page = api.get(&format!("/api/events?after={after}&limit=2")).await;
        assert_eq!(page["gap"], json!(null), "{page}");
        let events = page["events"].as_array().unwrap();
        // What servers say of themselves has no id.
        let of_rows = events.iter().filter(|event| event["event"] != "system.info");
        names.extend(of_rows.map(|event| event["data"]["id"].as_str().unwrap().to_owned()));
        page["next"].as_str().unwrap().clone_into(&mut after);
        if events.is_empty() {
            return (names, after);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stays_open_hides_nothing_from_any_reader() {
    let database = Database::create();
    let wire = Wire::to(database.url()).await;
    let slow = Options::on_database(&wire.by_way(database.url())).start().await;
    let other = Options::on_database(database.url()).start().await;
    let third = Options::on_database(database.url()).start().await;
    let mut listener = client(&third.api()).listen().channel("global").open().await.unwrap();
    assert!(matches!(listener.next().await, Some(Ok(Item::Connected))));

    let session = |id: &str| json!({"id": id});
    let readers = [slow.calls(), other.calls(), third.calls()];
    let (_, start) = names_after(&readers[2], "0").await;
    let mut after = start.clone();
    let mut expected = Vec::new();
    for round in 0..5 {
        let begin = expected.len();
        // Its positions are given out, its events are written, and then it waits.
        let first = loop {
            wire.hold_next();
            let held = format!("held-{}", expected.len());
            expected.push(held.clone());
            let api = slow.calls();
            let first = tokio::spawn(async move { api.post("/api/sessions", &session(&held)).await });
            wire.broken().await;
            let free = "select count(*) from (select 1 from event_log_head for update skip locked) as free";
            while database.value(free) == "1" && !first.is_finished() {
                tokio::task::yield_now().await;
            }
            if !first.is_finished() {
                break first;
            }
            // It was the COMMIT of somebody who reads.
            wire.release();
        };
        let api = other.calls();
        let quick: Vec<String> = (0..3).map(|number| format!("quick-{round}-{number}")).collect();
        let bodies: Vec<_> = quick.iter().map(|id| session(id)).collect();
        let second = tokio::spawn(async move {
            for body in bodies {
                api.post("/api/sessions", &body).await;
            }
        });
        // A message to everybody is a transaction in one statement, which waits as well.
        let api = third.calls();
        let message = tokio::spawn(async move {
            let message = json!({"from_agent": "a", "topic": "workflow.progress", "content": "x"});
            api.post("/api/messages", &message).await["message"]["id"].as_str().unwrap().to_owned()
        });
        // Whoever reads now must not get beyond what it cannot see. The others have to be under way: they
        // are when PostgreSQL has somebody who waits for each.
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() \
                       and wait_event_type = 'Lock'";
        while database.value(waiting).parse::<u32>().unwrap() < 2 {
            assert!(!second.is_finished() && !message.is_finished(), "what is held holds up nobody");
            tokio::task::yield_now().await;
        }
        let mut early = Vec::new();
        for api in &readers {
            early.push(names_after(api, &after).await);
        }
        wire.release();
        first.await.unwrap();
        second.await.unwrap();
        let message = message.await.unwrap();

        expected.extend(quick);
        expected.push(message);
        for (api, (mut names, seen)) in readers.iter().zip(early) {
            let (rest, end) = names_after(api, &seen).await;
            names.extend(rest);
            names.sort();
            let mut all = expected[begin..].to_vec();
            all.sort();
            assert_eq!(names, all, "from {after} by way of {seen}");
            end.clone_into(&mut after);
        }
    }
    let mut heard = Vec::new();
    while heard.len() < expected.len() {
        let event = listener.next_event().await.unwrap().unwrap();
        if ["session.created", "message.new"].contains(&&*event.name) {
            heard.push(event.data["id"].as_str().unwrap().to_owned());
        }
    }
    // Everybody hears in the order of the log, whatever that has become.
    let (log, _) = names_after(&readers[1], &start).await;
    assert_eq!(heard, log);
    heard.sort();
    expected.sort();
    assert_eq!(heard, expected);
    listener.close().await;
}
