//! Values, rows and statements that both SQL dialects understand.

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::json::JsonObject;
use crate::time::Timestamp;

/// A value on its way to or from a database.
///
/// SQLite keeps ids as text, times as integers (microseconds since 1970), JSON and lists as JSON text, booleans as 0
/// and 1; PostgreSQL keeps each in its own type. The accessors of [`Row`] accept both forms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// SQL `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// Any integer.
    Int(i64),
    /// Any floating point number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An id.
    Uuid(Uuid),
    /// An instant.
    Time(Timestamp),
    /// A JSON document, as text.
    Json(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of ids.
    Uuids(Vec<Uuid>),
    /// A list of integers.
    Ints(Vec<i64>),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $made:expr,)+) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )+};
}

from! {
    bool => |value| Self::Bool(value),
    i64 => |value| Self::Int(value),
    i32 => |value| Self::Int(i64::from(value)),
    u32 => |value| Self::Int(i64::from(value)),
    f64 => |value| Self::Float(value),
    f32 => |value| Self::Float(f64::from(value)),
    String => |value| Self::Text(value),
    &str => |value| Self::Text(value.to_owned()),
    &String => |value| Self::Text(value.clone()),
    Vec<u8> => |value| Self::Bytes(value),
    Uuid => |value| Self::Uuid(value),
    Timestamp => |value| Self::Time(value),
    JsonObject => |value| Self::Json(value.into_text()),
    Vec<String> => |value| Self::Texts(value),
    Vec<Uuid> => |value| Self::Uuids(value),
    Vec<i64> => |value| Self::Ints(value),
}

macro_rules! from_ids {
    ($($type:ident,)+) => {$(
        impl From<crate::id::$type> for Value {
            fn from(id: crate::id::$type) -> Self {
                Self::Uuid(id.as_uuid())
            }
        }
    )+};
}

from_ids! {
    ActionId, AgentContextId, BlockingId, CompactionId, EventId, MessageId, ProjectId, RequestId, SubscriptionId,
    SubtaskId, TaskId,
}

macro_rules! from_words {
    ($($type:ident,)+) => {$(
        impl From<crate::model::$type> for Value {
            fn from(word: crate::model::$type) -> Self {
                Self::Text(word.as_str().to_owned())
            }
        }
    )+};
}

from_words! { PromptType, RequestStatus, SubtaskStatus, TaskStatus, ToolType, Topic, }

/// One row of an answer; columns are taken by position, each once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The query, for complaints.
    pub(crate) query: &'static str,
    /// The columns.
    pub(crate) values: Vec<Value>,
}

impl Row {
    fn take(&mut self, column: usize) -> Value {
        self.values.get_mut(column).map_or(Value::Null, |value| std::mem::replace(value, Value::Null))
    }

    /// The complaint about a column that cannot be decoded: it names the query and the column, never the content.
    fn mismatch(&self, column: usize, expected: &str) -> Error {
        Error::internal(format!("query {}: column {column} does not hold {expected}", self.query))
    }

    pub(crate) fn opt_text(&mut self, column: usize) -> Result<Option<String>> {
        match self.take(column) {
            Value::Null => Ok(None),
            Value::Text(text) | Value::Json(text) => Ok(Some(text)),
            _ => Err(self.mismatch(column, "a text")),
        }
    }

    pub(crate) fn text(&mut self, column: usize) -> Result<String> {
        self.opt_text(column)?.ok_or_else(|| self.mismatch(column, "a text"))
    }

    pub(crate) fn opt_bytes(&mut self, column: usize) -> Result<Option<Vec<u8>>> {
        match self.take(column) {
            Value::Null => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes)),
            _ => Err(self.mismatch(column, "bytes")),
        }
    }

    pub(crate) fn opt_int(&mut self, column: usize) -> Result<Option<i64>> {
        match self.take(column) {
            Value::Null => Ok(None),
            Value::Int(value) => Ok(Some(value)),
            Value::Bool(value) => Ok(Some(i64::from(value))),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "sums come as numeric in PostgreSQL; they are whole"
            )]
            Value::Float(value) => Ok(Some(value as i64)),
            _ => Err(self.mismatch(column, "an integer")),
        }
    }

    pub(crate) fn int(&mut self, column: usize) -> Result<i64> {
        self.opt_int(column)?.ok_or_else(|| self.mismatch(column, "an integer"))
    }

    pub(crate) fn opt_int32(&mut self, column: usize) -> Result<Option<i32>> {
        let Some(value) = self.opt_int(column)? else { return Ok(None) };
        i32::try_from(value).map(Some).map_err(|_| self.mismatch(column, "a 32-bit integer"))
    }

    pub(crate) fn float(&mut self, column: usize) -> Result<f64> {
        match self.take(column) {
            Value::Null => Ok(0.0),
            Value::Float(value) => Ok(value),
            #[expect(clippy::cast_precision_loss, reason = "only averages and scores are read as floats")]
            Value::Int(value) => Ok(value as f64),
            _ => Err(self.mismatch(column, "a number")),
        }
    }

    pub(crate) fn boolean(&mut self, column: usize) -> Result<bool> {
        Ok(self.opt_int(column)?.unwrap_or(0) != 0)
    }

    pub(crate) fn opt_time(&mut self, column: usize) -> Result<Option<Timestamp>> {
        match self.take(column) {
            Value::Null => Ok(None),
            Value::Time(time) => Ok(Some(time)),
            Value::Int(micros) => Ok(Some(Timestamp::from_micros(micros))),
            _ => Err(self.mismatch(column, "a time")),
        }
    }

    pub(crate) fn time(&mut self, column: usize) -> Result<Timestamp> {
        self.opt_time(column)?.ok_or_else(|| self.mismatch(column, "a time"))
    }

    pub(crate) fn opt_id<Id: From<Uuid>>(&mut self, column: usize) -> Result<Option<Id>> {
        match self.take(column) {
            Value::Null => Ok(None),
            Value::Uuid(uuid) => Ok(Some(uuid.into())),
            Value::Text(text) => match Uuid::try_parse(&text) {
                Ok(uuid) => Ok(Some(uuid.into())),
                Err(_) => Err(self.mismatch(column, "an id")),
            },
            _ => Err(self.mismatch(column, "an id")),
        }
    }

    pub(crate) fn id<Id: From<Uuid>>(&mut self, column: usize) -> Result<Id> {
        self.opt_id(column)?.ok_or_else(|| self.mismatch(column, "an id"))
    }

    pub(crate) fn opt_json(&mut self, column: usize) -> Result<Option<JsonObject>> {
        Ok(self.opt_text(column)?.map(JsonObject::from_stored))
    }

    pub(crate) fn json(&mut self, column: usize) -> Result<JsonObject> {
        Ok(self.opt_json(column)?.unwrap_or_default())
    }

    pub(crate) fn opt_word<T: std::str::FromStr>(&mut self, column: usize) -> Result<Option<T>> {
        let Some(text) = self.opt_text(column)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.mismatch(column, "a known word"))
    }

    pub(crate) fn word<T: std::str::FromStr>(&mut self, column: usize) -> Result<T> {
        self.opt_word(column)?.ok_or_else(|| self.mismatch(column, "a known word"))
    }

    pub(crate) fn texts(&mut self, column: usize) -> Result<Vec<String>> {
        match self.take(column) {
            Value::Null => Ok(Vec::new()),
            Value::Texts(texts) => Ok(texts),
            Value::Text(text) => {
                serde_json::from_str(&text).map_err(|_| self.mismatch(column, "a list of texts"))
            }
            _ => Err(self.mismatch(column, "a list of texts")),
        }
    }

    pub(crate) fn opt_ids<Id: From<Uuid>>(&mut self, column: usize) -> Result<Option<Vec<Id>>> {
        match self.take(column) {
            Value::Null => Ok(None),
            Value::Uuids(uuids) => Ok(Some(uuids.into_iter().map(Id::from).collect())),
            Value::Text(text) => serde_json::from_str::<Vec<Uuid>>(&text)
                .map(|uuids| Some(uuids.into_iter().map(Id::from).collect()))
                .map_err(|_| self.mismatch(column, "a list of ids")),
            _ => Err(self.mismatch(column, "a list of ids")),
        }
    }
}

/// A named query of `sql/` with what it needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    /// The name of the query.
    pub(crate) query: &'static str,
    /// Named parameters. One that the query marks as optional and that is `Null` (or missing) drops its lines.
    pub(crate) params: Vec<(&'static str, Value)>,
    /// For a query that writes many rows: its columns and the rows; of several tables on PostgreSQL only.
    pub(crate) bulk: Vec<BulkRows>,
}

/// The rows of a bulk write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BulkRows {
    /// The names of the columns, which are the names of the query's parameters.
    pub(crate) columns: &'static [&'static str],
    /// The rows, each as long as `columns`.
    pub(crate) rows: Vec<Vec<Value>>,
}

impl BulkRows {
    /// Whether no row has a value in the column called `name`.
    pub(crate) fn is_without(&self, name: &str) -> bool {
        let Some(column) = self.columns.iter().position(|column| *column == name) else { return true };
        self.rows.iter().all(|row| row.get(column).is_none_or(|value| *value == Value::Null))
    }
}

impl Statement {
    /// The query called `query`, without parameters.
    pub(crate) fn new(query: &'static str) -> Self {
        Self { query, params: Vec::new(), bulk: Vec::new() }
    }

    /// Sets the parameter called `name`.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.params.push((name, value.into()));
        self
    }

    /// Has the query be a whole transaction by itself.
    #[must_use]
    pub(crate) fn alone(self) -> Self {
        self.with("alone", true)
    }

    /// Whether it is a whole transaction by itself.
    pub(crate) fn is_alone(&self) -> bool {
        self.params.iter().any(|(name, _)| *name == "alone")
    }

    /// A bulk write of `rows`.
    pub(crate) fn bulk(query: &'static str, columns: &'static [&'static str], rows: Vec<Vec<Value>>) -> Self {
        Self { query, params: Vec::new(), bulk: vec![BulkRows { columns, rows }] }
    }
}
