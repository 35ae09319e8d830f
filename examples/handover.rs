//! Two agents hand over work: `cargo run --example handover [URL]`. The one that needs something says that it is blocked
//! and waits for its mail; the other one does its part, writes what came of it, and takes the block away.

use std::io::Write as _;

use dcm::api::blocking::{Block, BlockingCheck, Unblock};
use dcm::api::messages::MessageInbox;
use dcm::api::{Operation, wire};
use dcm::{Error, JsonObject, Result};
use dcm_client::{Client, DEFAULT_URL};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<()> {
    let text = run(&std::env::args().nth(1).unwrap_or_else(|| DEFAULT_URL.to_owned())).await?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Error::internal(error.to_string()))
}

fn input<O: Operation>(fields: &Value) -> Result<O> {
    wire::from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes())
}

pub(crate) async fn run(url: &str) -> Result<String> {
    let client = Client::new(url)?;
    let (front, back) = tokio::join!(front(&client), back(&client));
    back?;
    Ok(format!("front got {}\n", front?.as_str()))
}

/// Needs the schema before it can go on.
async fn front(client: &Client) -> Result<JsonObject> {
    let mut listener = client.listen().agent("front").open().await?;
    let reason = Some("no schema yet".to_owned());
    let block = Block { blocked_by: "back".to_owned(), blocked_agent: "front".to_owned(), reason };
    client.block(block).await?;
    let ask = json!({"from_agent": "front", "to_agent": "back", "topic": "context.request", "content": "The schema?"});
    client.message_send(input(&ask)?).await?;
    while let Some(event) = listener.next_event().await? {
        if event.name == "agent.unblocked" {
            break;
        }
    }
    listener.close().await;
    let free = BlockingCheck { blocker: "back".to_owned(), blocked: "front".to_owned() };
    assert!(!client.blocking_check(free).await?.is_blocked);
    newest_mail(client, "front").await
}

/// Has what the other one needs.
async fn back(client: &Client) -> Result<()> {
    let mut listener = client.listen().agent("back").open().await?;
    // A question that was asked before this agent listened is in its mail.
    while newest_mail(client, "back").await.is_err() {
        listener.next_event().await?;
    }
    listener.close().await;
    let answer = json!({"from_agent": "back", "to_agent": "front", "topic": "context.response",
        "content": {"table": "products", "columns": ["id", "name"]}, "priority": 8});
    client.message_send(input(&answer)?).await?;
    client.unblock(Unblock { blocked_by: "back".to_owned(), blocked_agent: "front".to_owned() }).await?;
    Ok(())
}

/// The most urgent message that an agent has not read.
async fn newest_mail(client: &Client, agent: &str) -> Result<JsonObject> {
    let agent_id = agent.to_owned();
    let inbox =
        MessageInbox { agent_id, since: None, topic: None, include_broadcasts: Some(false), limit: None };
    let unread =
        client.message_inbox(inbox).await?.messages.into_iter().find(|message| !message.already_read);
    unread.map(|message| message.content).ok_or_else(|| Error::not_found("Message"))
}
