//! Listeners against a server that the test plays itself, frame by frame.

use std::time::Duration;

use dcm::{ErrorKind, Position};
use dcm_client::Client;
use dcm_client::listen::{Event, GapReason, Item, Listener};
use serde_json::{Value, json};

use crate::peer::Peers;
use crate::support::url_of_nobody;

fn client(url: &str) -> Client {
    Client::builder().url(url).backoff(Duration::from_millis(1), Duration::from_millis(20)).build().unwrap()
}

async fn next(listener: &mut Listener) -> Item {
    listener.next().await.unwrap().unwrap()
}

async fn connected(listener: &mut Listener) {
    let item = next(listener).await;
    assert!(matches!(item, Item::Connected), "{item:?}");
}

async fn event(listener: &mut Listener) -> Event {
    match next(listener).await {
        Item::Event(event) => event,
        other => panic!("no event but {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_says_who_it_is_hears_and_acknowledges() {
    let mut peers = Peers::start().await;
    let client = Client::builder().url(&peers.url).api_key("k3y").build().unwrap();
    let listening = tokio::spawn(client.listen().agent("back").channel("topics/builds").open());
    let (mut peer, token, subscriptions) = peers.accept_agent().await;
    let mut listener = listening.await.unwrap().unwrap();
    assert_eq!((peer.authorization.as_deref(), token.as_str()), (Some("Bearer k3y"), "t-1"));
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(
        (&subscriptions[0]["channel"], &subscriptions[0]["after"]),
        (&json!("topics/builds"), &Value::Null)
    );
    connected(&mut listener).await;

    peer.tell(1, &["global", "agents/back", "topics/builds"]).await;
    peer.tell(2, &["agents/back"]).await;
    let first = event(&mut listener).await;
    assert_eq!((first.id.as_str(), first.name.as_str()), ("e-1", "system.info"));
    assert_eq!(first.channels, ["agents/back", "topics/builds"], "nobody asked for global");
    assert_eq!(first.data_as::<Value>().unwrap()["number"], 1);
    assert_eq!(first.data_as::<Vec<u8>>().unwrap_err().kind(), ErrorKind::Invalid);

    // Asking for the next one says that the first was handled; closing says so of the second.
    assert_eq!(event(&mut listener).await.id, "e-2");
    assert_eq!(peer.hear().await, json!({"type": "ack", "position": "1-1"}));
    let closing = tokio::spawn(listener.close());
    assert_eq!(peer.hear().await, json!({"type": "ack", "position": "1-2"}));
    assert_eq!(peer.hear().await, Value::Null);
    closing.await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_goes_on_where_it_was() {
    let mut peers = Peers::start().await;
    let listening =
        client(&peers.url).listen().agent_in_session("a", "s-1").channel("global").channel("topics/x");
    let listening = tokio::spawn(listening.open());
    let mut peer = peers.accept().await;
    let auth = peer.hear().await;
    peer.grant(&auth).await;
    for _ in 0..2 {
        let subscription = peer.hear().await;
        // One of the two says from where on it is heard.
        let position = (subscription["channel"] == "global").then_some("1-5");
        peer.say(&json!({"type": "ack", "id": subscription["id"], "success": true, "position": position}))
            .await;
    }
    let mut listener = listening.await.unwrap().unwrap();
    connected(&mut listener).await;
    peer.tell(7, &["topics/x"]).await;
    peer.tell(8, &["topics/x"]).await;
    assert_eq!(event(&mut listener).await.id, "e-7");
    peer.close(1001).await;
    assert_eq!(event(&mut listener).await.id, "e-8");
    let lost = next(&mut listener).await;
    assert!(matches!(&lost, Item::Disconnected(error) if error.message().contains("1001")), "{lost:?}");

    let mut peer = peers.accept().await;
    let auth = peer.hear().await;
    assert_eq!(auth["token"], "t-2", "a token of its own");
    // The acknowledgement of e-7 and e-8 is still to come; until then the server repeats them.
    peer.grant(&auth).await;
    let mut after = Vec::new();
    for _ in 0..2 {
        let subscription = peer.hear().await;
        peer.grant(&subscription).await;
        after.push((subscription["channel"].clone(), subscription["after"].clone()));
    }
    // The agent has a place on the server, behind what is not acknowledged; on `global` nobody has.
    assert_eq!(after, [(json!("global"), json!("1-5")), (json!("topics/x"), Value::Null)]);
    peer.tell(8, &["topics/x"]).await;
    peer.tell(9, &["topics/x"]).await;
    connected(&mut listener).await;
    assert_eq!(event(&mut listener).await.id, "e-9", "e-8 was given out already");
    assert_eq!(peer.hear().await["type"], "ack");
}

#[tokio::test]
async fn acknowledgements_are_said_together() {
    const EVENTS: u32 = 1000;
    let mut peers = Peers::start().await;
    let listening = tokio::spawn(client(&peers.url).listen().agent("a").open());
    let (mut peer, ..) = peers.accept_agent().await;
    let mut listener = listening.await.unwrap().unwrap();
    let telling = tokio::spawn(async move {
        for number in 1..=EVENTS {
            peer.tell(number, &["agents/a"]).await;
        }
        peer
    });
    connected(&mut listener).await;
    for number in 1..=EVENTS {
        assert_eq!(event(&mut listener).await.id, format!("e-{number}"));
    }
    let mut peer = telling.await.unwrap();
    let closing = tokio::spawn(listener.close());
    let mut said = Vec::new();
    loop {
        match peer.hear().await {
            Value::Null => break,
            ack => said.push(ack["position"].as_str().unwrap()[2..].parse::<u32>().unwrap()),
        }
    }
    closing.await.unwrap();
    assert!(said.is_sorted() && said.last() == Some(&EVENTS), "{said:?}");
    assert!(said.len() < EVENTS as usize / 4, "{} acknowledgements of {EVENTS} events", said.len());
}

#[tokio::test]
async fn acknowledging_can_be_left_to_the_owner() {
    let mut peers = Peers::start().await;
    let listening = tokio::spawn(client(&peers.url).listen().agent("a").manual().open());
    let (mut peer, ..) = peers.accept_agent().await;
    let mut listener = listening.await.unwrap().unwrap();
    connected(&mut listener).await;
    let mut events = Vec::new();
    for number in 1..=3 {
        peer.tell(number, &["agents/a"]).await;
        events.push(event(&mut listener).await);
    }
    listener.handle().acknowledge(&events[2]);
    assert_eq!(peer.hear().await, json!({"type": "ack", "message_id": "e-3"}));
    // Repeated because the acknowledgement was lost: it is said again, and nobody is bothered.
    peer.tell(3, &["agents/a"]).await;
    assert_eq!(peer.hear().await, json!({"type": "ack", "message_id": "e-3"}));
    listener.handle().acknowledge_through(&events[1]);
    assert_eq!(peer.hear().await, json!({"type": "ack", "position": "1-2"}));
    let closing = tokio::spawn(listener.close());
    assert_eq!(peer.hear().await, Value::Null, "nothing is acknowledged behind the owner's back");
    closing.await.unwrap();
}

#[tokio::test]
async fn gaps_resyncs_and_complaints_are_told() {
    let mut peers = Peers::start().await;
    let listening = client(&peers.url).listen().channel_after("topics/x", Position::new(1, 3));
    let listening = tokio::spawn(listening.open());
    let mut peer = peers.accept().await;
    let subscription = peer.hear().await;
    assert_eq!(subscription["after"], "1-3");
    peer.say(&json!({"type": "gap", "reason": "retention", "channel": "topics/x", "missed": "1-3",
        "continues": "1-50"}))
        .await;
    peer.grant(&subscription).await;
    assert_eq!(peer.hear().await["type"], "unsubscribe");
    peer.say(&json!({"type": "resync", "position": "1-60"})).await;
    peer.say(&json!({"type": "error", "error": "too fast", "code": "RATE_LIMITED"})).await;
    peer.say(&json!({"type": "ping", "timestamp": 1})).await;
    assert_eq!(peer.hear().await, json!({"type": "pong"}));

    let mut listener = listening.await.unwrap().unwrap();
    let Item::Gap(gap) = next(&mut listener).await else { panic!("no gap") };
    assert_eq!((gap.reason, gap.channel.as_deref()), (GapReason::Retention, Some("topics/x")));
    connected(&mut listener).await;
    assert!(matches!(next(&mut listener).await, Item::Resync));
    let Item::Complaint(error) = next(&mut listener).await else { panic!("no complaint") };
    assert_eq!((error.message(), &error.to_body()["code"]), ("too fast", &json!("RATE_LIMITED")));

    peer.close(1001).await;
    assert!(matches!(next(&mut listener).await, Item::Disconnected(_)));
    assert_eq!(peers.accept().await.hear().await["after"], "1-50", "it goes on after the gap");
}

#[tokio::test]
async fn publishing_while_listening() {
    let mut peers = Peers::start().await;
    let listening = tokio::spawn(client(&peers.url).listen().agent("a").open());
    let (mut peer, ..) = peers.accept_agent().await;
    let mut listener = listening.await.unwrap().unwrap();
    connected(&mut listener).await;
    let handle = listener.handle();
    let publishing =
        tokio::spawn(async move { handle.publish("topics/x", "system.info", json!({"n": 1})).await });
    let frame = peer.hear().await;
    assert_eq!(frame["data"], json!({"n": 1}));
    assert_eq!((&frame["channel"], &frame["event"]), (&json!("topics/x"), &json!("system.info")));
    // More events than anybody takes arrive before the answer does.
    for number in 1..=600 {
        peer.tell(number, &["agents/a"]).await;
    }
    peer.grant(&frame).await;
    publishing.await.unwrap().unwrap();

    let handle = listener.handle();
    let publishing = tokio::spawn(async move { handle.publish("agents/b", "no.such", ()).await });
    for number in 1..=600 {
        assert_eq!(event(&mut listener).await.id, format!("e-{number}"));
    }
    let frame = loop {
        let frame = peer.hear().await;
        if frame["type"] != "ack" {
            break frame;
        }
    };
    assert_eq!(frame.get("data"), None);
    peer.refuse(&frame, "Invalid event type: no.such").await;
    let error = publishing.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Forbidden, "Invalid event type: no.such"));

    // One that was under way when the connection went is sent again, with the same key: so it is done once.
    let handle = listener.handle();
    let publishing = tokio::spawn(async move { handle.publish("topics/x", "system.info", ()).await });
    let lost = loop {
        let frame = peer.hear().await;
        if frame["type"] == "publish" {
            break frame;
        }
    };
    peer.close(1001).await;
    let (mut peer, ..) = peers.accept_agent().await;
    let again = loop {
        let frame = peer.hear().await;
        if frame["type"] == "publish" {
            break frame;
        }
    };
    assert_eq!((&again["idempotency_key"], &again["channel"]), (&lost["idempotency_key"], &lost["channel"]));
    assert_eq!(again["idempotency_key"].as_str().unwrap().len(), 36);
    peer.grant(&again).await;
    publishing.await.unwrap().unwrap();
    let closing = tokio::spawn(listener.close());
    while peer.hear().await != Value::Null {}
    closing.await.unwrap();
}

#[tokio::test]
async fn subscriptions_may_change() {
    let mut peers = Peers::start().await;
    let listening = tokio::spawn(client(&peers.url).listen().agent("a").channel("topics/x").open());
    let (mut peer, ..) = peers.accept_agent().await;
    let mut listener = listening.await.unwrap().unwrap();
    connected(&mut listener).await;
    let handle = listener.handle();
    let changing = tokio::spawn(async move {
        handle.subscribe("topics/y", Some(Position::new(1, 4))).await.unwrap();
        handle.unsubscribe("topics/x").await.unwrap();
        handle.subscribe("metrics/z", None).await
    });
    let subscribe = peer.hear().await;
    assert_eq!((&subscribe["channel"], &subscribe["after"]), (&json!("topics/y"), &json!("1-4")));
    peer.grant(&subscribe).await;
    let unsubscribe = peer.hear().await;
    assert_eq!((&unsubscribe["type"], &unsubscribe["channel"]), (&json!("unsubscribe"), &json!("topics/x")));
    peer.grant(&unsubscribe).await;
    let refused = peer.hear().await;
    peer.refuse(&refused, "Invalid channel format: metrics/z").await;
    assert_eq!(changing.await.unwrap().unwrap_err().kind(), ErrorKind::Forbidden);

    peer.close(1001).await;
    let (_peer, _, subscriptions) = peers.accept_agent().await;
    assert_eq!(subscriptions.len(), 1, "{subscriptions:?}");
    assert_eq!(
        (&subscriptions[0]["channel"], &subscriptions[0]["after"]),
        (&json!("topics/y"), &Value::Null)
    );
}

#[tokio::test]
async fn a_refused_channel_ends_the_stream() {
    let mut peers = Peers::start().await;
    let listening = tokio::spawn(client(&peers.url).listen().agent("a").channel("agents/b").open());
    let mut peer = peers.accept().await;
    let auth = peer.hear().await;
    peer.grant(&auth).await;
    let subscription = peer.hear().await;
    peer.refuse(&subscription, "Not authorized to subscribe to this agent channel").await;
    let mut listener = listening.await.unwrap().unwrap();
    let error = listener.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), &error.to_body()["channel"]), (ErrorKind::Forbidden, &json!("agents/b")));
    assert!(listener.next().await.is_none());
    assert_eq!(listener.handle().publish("a", "b", ()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let mut peers = Peers::start().await;
    let refusal = json!({"type": "error", "error": "Invalid or expired token", "code": "4001"});
    let listening = tokio::spawn(client(&peers.url).listen().agent("a").open());
    let mut peer = peers.accept().await;
    assert_eq!(peer.hear().await["token"], "t-1");
    peer.say(&refusal).await;
    let (mut peer, token, _) = peers.accept_agent().await;
    assert_eq!(token, "t-2");
    let mut listener = listening.await.unwrap().unwrap();
    connected(&mut listener).await;
    // One that expires while the connection is there is replaced without another connection.
    peer.say(&refusal).await;
    let again = peer.hear().await;
    assert_eq!((&again["type"], &again["token"]), (&json!("auth"), &json!("t-3")));
    drop(listener);

    let listening = tokio::spawn(client(&peers.url).listen().token("mine").open());
    let mut peer = peers.accept().await;
    assert_eq!(peer.hear().await["token"], "mine");
    peer.say(&refusal).await;
    assert_eq!(listening.await.unwrap().unwrap_err().kind(), ErrorKind::Unauthorized);
}

#[tokio::test]
async fn a_dropped_listener_ends_its_connection() {
    let mut peers = Peers::start().await;
    let listening = tokio::spawn(client(&peers.url).listen().agent("a").open());
    let (mut peer, ..) = peers.accept_agent().await;
    drop(listening.await.unwrap().unwrap());
    assert_eq!(peer.hear().await, Value::Null);
}

#[tokio::test]
async fn a_server_that_is_not_there_or_no_such_server() {
    let url = url_of_nobody().await;
    let error = client(&url).listen().open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let peers = Peers::start().await;
    let elsewhere = peers.url.replace("http://", "ws://") + "/elsewhere";
    let error = client(&peers.url).listen().url(elsewhere).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = client(&url).listen().url("http://x").open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn reconnecting_can_be_limited() {
    let mut peers = Peers::start().await;
    let listening = tokio::spawn(client(&peers.url).listen().reconnects(2).open());
    let mut peer = peers.accept().await;
    let unsubscribe = peer.hear().await;
    peer.grant(&unsubscribe).await;
    let mut listener = listening.await.unwrap().unwrap();
    connected(&mut listener).await;
    // From now on every connection breaks without a word.
    drop(peers);
    drop(peer);
    let mut lost = 0;
    let error = loop {
        match listener.next().await.unwrap() {
            Ok(Item::Disconnected(_)) => lost += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (lost, error.kind()),
        (2, ErrorKind::Unavailable),
        "the first loss, and two attempts of which the last is told"
    );
    assert!(listener.next().await.is_none());
}
