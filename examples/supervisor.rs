//! A supervisor that watches waves: `cargo run --example supervisor [URL]` prints how the waves of all requests go, as it
//! happens. Everybody may listen to `global`: it tells ids, types and statuses, never what anything is about.

use std::collections::BTreeMap;
use std::io::Write;

use dcm::{Error, Result};
use dcm_client::listen::{Event, Item};
use dcm_client::{Client, DEFAULT_URL};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_URL.to_owned());
    run(&url, usize::MAX, &mut std::io::stdout()).await
}

/// How many subtasks of a wave are in which status.
#[derive(Debug, Default)]
struct Wave {
    subtasks: BTreeMap<String, String>,
}

impl Wave {
    fn text(&self) -> String {
        let count = |status| self.subtasks.values().filter(|known| *known == status).count();
        let (done, failed) = (count("completed"), count("failed"));
        format!("{done} of {} subtasks done, {failed} failed", self.subtasks.len())
    }
}

/// Watches until `count` waves have ended.
pub(crate) async fn run(url: &str, count: usize, output: &mut (impl Write + Send)) -> Result<()> {
    let mut listener = Client::new(url)?.listen().channel("global").open().await?;
    let (mut waves, mut ended) = (BTreeMap::<String, Wave>::new(), 0);
    while ended < count
        && let Some(item) = listener.next().await
    {
        let line = match item? {
            Item::Event(event) => {
                ended += usize::from(matches!(event.name.as_str(), "task.completed" | "task.failed"));
                hear(&mut waves, &event)
            }
            Item::Connected => Some("watching".to_owned()),
            Item::Gap(gap) => Some(format!("some events are gone ({}): look at /api/tasks", gap.reason)),
            _ => None,
        };
        if let Some(line) = line {
            writeln!(output, "{line}").map_err(|error| Error::internal(error.to_string()))?;
        }
    }
    listener.close().await;
    Ok(())
}

fn hear(waves: &mut BTreeMap<String, Wave>, event: &Event) -> Option<String> {
    let text = |member: &str| event.data[member].as_str().unwrap_or_default().to_owned();
    match event.name.split_once('.')? {
        ("subtask", "created" | "updated" | "completed" | "failed") => {
            let wave = waves.entry(text("task_list_id")).or_default();
            wave.subtasks.insert(text("id"), text("status"));
            None
        }
        ("task", "completed" | "failed") => {
            let wave = waves.remove(&text("id")).unwrap_or_default();
            Some(format!("wave {} {}: {}", event.data["wave_number"], text("status"), wave.text()))
        }
        ("task", "created") => Some(format!("wave {} begins", event.data["wave_number"])),
        _ => None,
    }
}
