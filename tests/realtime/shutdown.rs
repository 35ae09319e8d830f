//! The end of a server whose store does not answer.

use dcm_suite::postgres::Database;
use dcm_suite::server::Options;
use dcm_suite::wire::Wire;
use reqwest::Url;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::many::{connect, goodbye};

/// A text frame as a client writes it, under a mask that changes nothing.
fn text_frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short frame");
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_waits_for_the_store_is_told_goodbye() {
    let database = Database::create();
    let wire = Wire::to(database.url()).await;
    let mut server = Options::on_database(&wire.by_way(database.url())).start().await;
    let url = Url::parse(&server.socket().replace("ws://", "http://")).expect("a URL");
    let mut stream = connect(&url).await;
    let said = [
        json!({"type": "auth", "agent_id": "backend-1"}),
        json!({"type": "subscribe", "id": "1", "channel": "topics/builds"}),
    ];
    // What is remembered of the agent is written, and the answer of the database does not come.
    wire.hold_next();
    for frame in said {
        stream.write_all(&text_frame(&frame.to_string())).await.expect("the server listens");
    }
    wire.broken().await;
    let ends = async {
        let told = goodbye(stream).await;
        // What the server puts away at its end goes the same way.
        wire.release();
        told
    };
    let (told, _) = tokio::join!(ends, server.stop());
    assert!(told, "the server went away without a word");
}
