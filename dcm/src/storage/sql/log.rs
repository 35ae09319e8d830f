//! The event log over SQL, and how far each agent has got in it.

use std::pin::pin;

use futures_util::future::{Either, select};
use tokio::sync::Notify;

use super::driver::Driver;
use super::rows::{FromRow, all};
use super::store::{SqlStore, into_error};
use super::value::{Row, Statement, Value};
use crate::error::{Error, Result};
use crate::position::Position;
use crate::storage::{
    BoxFuture, ChannelChanges, ChannelRow, HolderChange, LogHead, LogPage, LogStore, LoggedEvent,
};
use crate::time::Timestamp;

impl FromRow for LogHead {
    fn from_row(row: &mut Row) -> Result<Self> {
        let epochs = row.text(3)?;
        Ok(Self {
            seq: row.int(0)?,
            first_seq: row.int(1)?,
            epoch: row.int(2)?,
            epochs: serde_json::from_str(&epochs)
                .map_err(|error| Error::internal("the list of epochs cannot be read").with_source(error))?,
        })
    }
}

impl FromRow for LoggedEvent {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            seq: row.int(0)?,
            id: row.id(1)?,
            name: row.text(2)?,
            at: row.time(3)?,
            channels: row.texts(4)?,
            data: row.json(5)?,
            summary: row.json(6)?,
        })
    }
}

impl FromRow for ChannelRow {
    fn from_row(row: &mut Row) -> Result<Self> {
        Ok(Self {
            channel: row.text(0)?,
            delivered: Position::new(row.int(1)?, row.int(2)?),
            sent_seq: row.int(3)?,
            acknowledges: row.boolean(4)?,
            holder: row.opt_text(5)?,
        })
    }
}

fn head(rows: Vec<Row>) -> Result<LogHead> {
    let head = all(rows)?.into_iter().next();
    head.ok_or_else(|| Error::internal("the event log has no head"))
}

/// So many positions one look for certain channels goes through at most: a channel on which little happens costs many
/// short looks, not one that runs into the limits of time.
const SPAN: i64 = if cfg!(test) { 64 } else { 20_000 };

/// The columns of a change.
const COLUMNS: &[&str] =
    &["agent_id", "channel", "epoch", "seq", "sent_seq", "acknowledges", "take", "release", "updated_at"];

impl<D: Driver> SqlStore<D> {
    /// The events that `page` asks for: all that there are, or those of a [`SPAN`].
    async fn read_page(&self, page: Statement, all_of_them: bool, after: i64, limit: u32) -> Result<LogPage> {
        let page = page.with("after", after).with("limit", limit);
        let mut answers = self.driver.read(vec![Statement::new("log_head"), page]).await?.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        let head = head(next())?;
        let events: Vec<LoggedEvent> = all(next())?;
        let looked_to = match events.last() {
            Some(last) if events.len() >= limit as usize => last.seq,
            _ if all_of_them => head.seq,
            _ => head.seq.min(after.max(head.first_seq - 1).saturating_add(SPAN)),
        };
        Ok(LogPage { head, events, looked_to: looked_to.max(after) })
    }

    async fn save_channels(&self, changes: ChannelChanges, now: Timestamp) -> Result<()> {
        let (mut gone, mut kept, mut made) = (Vec::new(), Vec::new(), Vec::new());
        for ((agent, channel), change) in changes.0 {
            let Some(change) = change else {
                gone.push(vec![Value::Text(agent), Value::Text(channel)]);
                continue;
            };
            let (take, release) = match change.holder {
                HolderChange::Keep => (Value::Null, Value::Null),
                HolderChange::Take(holder) => (Value::Text(holder), Value::Null),
                HolderChange::Release(holder) => (Value::Null, Value::Text(holder)),
            };
            let row = vec![
                Value::Text(agent),
                Value::Text(channel),
                change.delivered.epoch.into(),
                change.delivered.seq.into(),
                change.sent_seq.into(),
                change.acknowledges.into(),
                take,
                release,
                now.into(),
            ];
            if change.create { made.push(row) } else { kept.push(row) }
        }
        let mut statements = Vec::new();
        if !gone.is_empty() {
            statements.push(Statement::bulk("remove_agent_channels", &["agent_id", "channel"], gone));
        }
        if !made.is_empty() {
            statements.push(Statement::bulk("make_agent_channels", COLUMNS, made));
        }
        if !kept.is_empty() {
            statements.push(Statement::bulk("move_agent_channels", COLUMNS, kept));
        }
        if statements.is_empty() {
            return Ok(());
        }
        self.driver.transact(Vec::new(), move |_| Ok(((), statements))).await.map(drop).map_err(into_error)
    }
}

impl<D: Driver> LogStore for SqlStore<D> {
    fn log_head(&self) -> BoxFuture<'_, Result<LogHead>> {
        Box::pin(async move {
            let answers = self.driver.read(vec![Statement::new("log_head")]).await?;
            head(answers.into_iter().next().unwrap_or_default())
        })
    }

    fn log_page(&self, after: i64, channels: Vec<String>, limit: u32) -> BoxFuture<'_, Result<LogPage>> {
        let page = if channels.is_empty() {
            Statement::new("log_page")
        } else {
            Statement::new("log_page_of").with("channels", channels.clone()).with("span", SPAN)
        };
        Box::pin(self.read_page(page, channels.is_empty(), after, limit))
    }

    fn log_page_named(
        &self,
        after: i64,
        names: &'static [&'static str],
        limit: u32,
    ) -> BoxFuture<'_, Result<LogPage>> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let page = Statement::new("log_page_named").with("names", names).with("span", SPAN);
        Box::pin(self.read_page(page, false, after, limit))
    }

    fn watch_log<'a>(&'a self, wake: &'a Notify) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(told) = &self.announcements else { return self.driver.watch(wake, None).await };
            let (hear, tell) = (self.driver.watch(wake, Some(told.node())), self.tell_others(told));
            match select(pin!(hear), pin!(tell)).await {
                Either::Left((ended, _)) => ended,
                Either::Right((never, _)) => match never {},
            }
        })
    }

    fn poll_ms(&self) -> u64 {
        self.driver.poll_ms()
    }

    fn raise_epoch(&self, epoch: i64) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let raise = vec![Statement::new("raise_epoch").with("epoch", epoch)];
            self.driver.transact(Vec::new(), move |_| Ok(((), raise))).await.map(drop).map_err(into_error)
        })
    }

    fn agent_channels(&self, agent: String) -> BoxFuture<'_, Result<Vec<ChannelRow>>> {
        Box::pin(async move {
            let list = Statement::new("agent_channels").with("agent_id", agent);
            all(self.driver.read(vec![list]).await?.into_iter().next().unwrap_or_default())
        })
    }

    fn save_agent_channels(&self, changes: ChannelChanges, now: Timestamp) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.save_channels(changes, now))
    }
}
