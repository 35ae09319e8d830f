//! A subscriber that loses nothing: `cargo run --example subscriber [URL] [AGENT]`. Stop it, let others send messages
//! about `workflow.progress`, start it again: it goes on where it was. Stop the server meanwhile: it waits for it.

use std::io::Write;

use dcm::{Error, Result};
use dcm_client::listen::Item;
use dcm_client::{Client, DEFAULT_URL};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| DEFAULT_URL.to_owned());
    let agent = arguments.next().unwrap_or_else(|| "watcher".to_owned());
    run(&url, &agent, usize::MAX, &mut std::io::stdout()).await
}

/// Prints `count` events.
pub(crate) async fn run(
    url: &str,
    agent: &str,
    count: usize,
    output: &mut (impl Write + Send),
) -> Result<()> {
    let client = Client::new(url)?;
    // The agent's place in the log is on the server; a new agent begins now.
    let mut listener = client.listen().agent(agent).channel("topics/workflow.progress").open().await?;
    let mut seen = 0;
    while seen < count
        && let Some(item) = listener.next().await
    {
        let line = match item? {
            Item::Event(event) => {
                seen += 1;
                let again = if event.redelivered { " (again)" } else { "" };
                format!("{} {}{again}", event.name, event.data)
            }
            Item::Gap(gap) => format!("events are missing here: {}", gap.reason),
            Item::Connected => "connected".to_owned(),
            Item::Disconnected(error) => format!("{error}; trying again"),
            _ => continue,
        };
        writeln!(output, "{line}").map_err(|error| Error::internal(error.to_string()))?;
        // Asking for the next item says that this one was handled; if this program dies before, it comes again.
    }
    listener.close().await;
    Ok(())
}
