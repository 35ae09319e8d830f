//! DCM's values in SQLite's form and back.

use std::rc::Rc;

use rusqlite::types::{Null, Value as SqlValue, ValueRef};
use rusqlite::{Result, Statement};
use uuid::Uuid;

use crate::storage::sql::value::Value;

/// Binds `value` to the parameter with this number; `list` says that it stands in `in (:x*)`.
pub(super) fn bind(statement: &mut Statement<'_>, number: usize, value: &Value, list: bool) -> Result<()> {
    if list {
        return statement.raw_bind_parameter(number, Rc::new(elements(value)?));
    }
    match value {
        Value::Null => statement.raw_bind_parameter(number, Null),
        Value::Bool(value) => statement.raw_bind_parameter(number, value),
        Value::Int(value) => statement.raw_bind_parameter(number, value),
        Value::Float(value) => statement.raw_bind_parameter(number, value),
        Value::Text(text) | Value::Json(text) => statement.raw_bind_parameter(number, text.as_str()),
        Value::Bytes(bytes) => statement.raw_bind_parameter(number, bytes.as_slice()),
        Value::Uuid(uuid) => {
            let mut buffer = Uuid::encode_buffer();
            statement.raw_bind_parameter(number, &*uuid.hyphenated().encode_lower(&mut buffer))
        }
        Value::Time(time) => statement.raw_bind_parameter(number, time.as_micros()),
        Value::Texts(texts) => statement.raw_bind_parameter(number, json(texts)?),
        Value::Uuids(uuids) => statement.raw_bind_parameter(number, json(uuids)?),
        Value::Ints(values) => statement.raw_bind_parameter(number, json(values)?),
    }
}

fn json<T: serde::Serialize>(values: &[T]) -> Result<String> {
    serde_json::to_string(values).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn elements(value: &Value) -> Result<Vec<SqlValue>> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::Texts(texts) => texts.iter().cloned().map(SqlValue::Text).collect(),
        Value::Uuids(uuids) => {
            uuids.iter().map(|uuid| SqlValue::Text(uuid.hyphenated().to_string())).collect()
        }
        Value::Ints(values) => values.iter().copied().map(SqlValue::Integer).collect(),
        _ => return Err(rusqlite::Error::ToSqlConversionFailure("a list parameter takes a list".into())),
    })
}

/// What SQLite answered; `None` for a text that is not UTF-8.
pub(super) fn answer(value: ValueRef<'_>) -> Option<Value> {
    Some(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Float(value),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).ok()?.to_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
    })
}
