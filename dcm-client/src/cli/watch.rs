//! `dcm watch`: events as they happen, one line each.

use std::path::PathBuf;

use clap::Args;
use dcm::Position;
use serde_json::{Value, json};

use super::paint::{BAD, FAINT, GOOD, Painted, STRONG, plain};
use super::place::{client_folder, file_name, write_private};
use super::{Outcome, complain, complain_of, print};
use crate::Client;
use crate::listen::{Event, Item};

/// The most characters of an event's data on one line.
const LINE: usize = 160;

/// Arguments of `dcm watch`.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// What to listen to: `global` (unless given), `metrics`, `topics/NAME`, …
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
    /// What happens in this session, contents included
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Keep a place under this name: the next watch of the same name goes on there
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Begin after this position, as the JSON lines tell it
    #[arg(long, value_name = "POSITION")]
    after: Option<Position>,
    /// End after so many events
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Where the socket is, such as `ws://127.0.0.1:3849`, if not at /ws of the server's URL
    #[arg(long, value_name = "URL")]
    socket: Option<String>,
}

impl Watch {
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let mut channels = self.channels;
        // A name of its own: somebody else's place must not move because of a look.
        let own = || format!("dcm-watch-{}", std::process::id());
        let place = self.name.as_ref().and_then(|name| Place::of(client.url(), name));
        let name = self.name.or_else(|| self.session.is_some().then(own));
        let mut listen = client.listen();
        listen = match (&name, &self.session) {
            (Some(name), Some(session)) => listen.agent_in_session(name, session),
            (Some(name), None) => listen.agent(name),
            (None, _) => listen,
        };
        channels.extend(self.session.map(|session| format!("sessions/{session}")));
        if channels.is_empty() {
            channels.push("global".to_owned());
        }
        for channel in channels {
            let kept = place.as_ref().filter(|_| !is_kept_by_server(&channel)).and_then(Place::position);
            listen = match self.after.or(kept) {
                Some(position) => listen.channel_after(channel, position),
                None => listen.channel(channel),
            };
        }
        if let Some(socket) = self.socket {
            listen = listen.url(socket);
        }
        let mut listener = match listen.open().await {
            Ok(listener) => listener,
            Err(error) => return complain_of(client, &error),
        };
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            match listener.next().await {
                // That somebody is watching is not what they are watching for.
                Some(Ok(Item::Event(event))) if is_presence_of(&event, name.as_deref()) => {}
                Some(Ok(Item::Event(event))) => {
                    print(&if as_json { json_line(&event) } else { line(&event) });
                    if let (Some(place), Some(position)) = (&place, event.position) {
                        place.keep(position);
                    }
                    left -= 1;
                }
                Some(Ok(Item::Gap(gap))) => {
                    complain(&format!(
                        "events are missing here ({}); they will not come any more",
                        gap.reason
                    ));
                }
                Some(Ok(Item::Disconnected(error))) => complain(&format!("{error}; trying again")),
                Some(Ok(Item::Complaint(error))) => complain(&error.to_string()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return complain_of(client, &error),
                None => break,
            }
        }
        listener.close().await;
        Outcome::Well
    }
}

/// What the server keeps no place in is everybody's.
fn is_kept_by_server(channel: &str) -> bool {
    !matches!(channel, "global" | "metrics")
}

/// How far a watch of some name has come in what the server keeps no place in, in this user's folder.
struct Place(PathBuf);

impl Place {
    fn of(url: &str, name: &str) -> Option<Self> {
        Some(Self(client_folder()?.join("watch").join(file_name(&format!("{url} {name}")))))
    }

    fn position(&self) -> Option<Position> {
        std::fs::read_to_string(&self.0).ok()?.trim().parse().ok()
    }

    fn keep(&self, position: Position) {
        if let Err(error) = write_private(&self.0, position.to_string().as_bytes()) {
            complain(&format!("{}: {error}; the next watch will not go on here", self.0.display()));
        }
    }
}

/// Whether an event says only that the agent called `name` came or went.
fn is_presence_of(event: &Event, name: Option<&str>) -> bool {
    matches!(event.name.as_str(), "agent.connected" | "agent.disconnected")
        && name.is_some()
        && event.data["agent_id"].as_str() == name
}

fn json_line(event: &Event) -> String {
    json!({
        "event": event.name,
        "id": event.id,
        "channels": event.channels,
        "data": event.data,
        "timestamp": event.timestamp,
        "position": event.position,
        "redelivered": event.redelivered,
    })
    .to_string()
}

fn line(event: &Event) -> String {
    let style = match event.name.rsplit('.').next() {
        Some("failed" | "error" | "blocked") => BAD,
        Some("completed") => GOOD,
        _ => STRONG,
    };
    let data = match &event.data {
        Value::Null => String::new(),
        data => plain(&data.to_string()),
    };
    let cut = data.chars().count() > LINE;
    let data: String = data.chars().take(LINE).chain(cut.then_some('…')).collect();
    format!("{}  {}  {data}", Painted(FAINT, event.timestamp), Painted(style, plain(&event.name)))
}
