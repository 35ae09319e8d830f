//! The event log, read by pages.

use super::{Dcm, Run};
use crate::api::events::{EventList, EventPage, EventView, GapView};
use crate::delivery::{Channel, Identity, channel};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{Entry, GLOBAL, Gap};
use crate::position::Position;

/// The largest `limit` (DESIGN 10).
const MAX_LIMIT: u32 = 1000;

impl From<Gap> for GapView {
    fn from(gap: Gap) -> Self {
        Self { reason: gap.reason.as_str().to_owned(), missed: gap.missed, continues: gap.continues }
    }
}

fn view(entry: &Entry, name: &str) -> EventView {
    let bit = entry.bit_of(name);
    EventView {
        id: entry.id,
        position: entry.position,
        channel: name.to_owned(),
        event: entry.name.clone().into_owned(),
        data: entry.payload(bit).clone(),
        created_at: entry.at,
    }
}

impl Run<EventList> for Dcm {
    async fn run(&self, operation: EventList) -> Result<EventPage> {
        let name = operation.channel.as_deref().unwrap_or(GLOBAL);
        let kind = channel(name)?;
        let identity = match &operation.token {
            Some(token) => self
                .verify_token(token)
                .map(Identity::from)
                .ok_or_else(|| Error::new(ErrorKind::Forbidden, "Invalid or expired token"))?,
            None => {
                Identity { agent_id: operation.agent_id, session_id: operation.session_id, proven: false }
            }
        };
        identity.may_hear(kind, self.config().tokenless)?;
        if kind == Channel::Metrics {
            return Err(Error::invalid_field("Validation failed", "channel", "metrics are not kept"));
        }
        let limit = operation.limit.unwrap_or(100).min(MAX_LIMIT);
        let after = operation.after.unwrap_or(Position::START);
        let page = self.feed().page(after, Some(name), limit.max(1)).await?;
        let shown = usize::try_from(limit).unwrap_or(usize::MAX);
        let events: Vec<EventView> = page.entries.iter().take(shown).map(|entry| view(entry, name)).collect();
        Ok(EventPage {
            count: events.len(),
            events,
            // Whoever asks for none learns where the log stands, and misses nothing.
            next: if limit == 0 { after } else { page.next },
            head: page.head,
            gap: page.gap.map(GapView::from),
        })
    }
}
