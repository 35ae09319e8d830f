//! A look into an embedded store from outside.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

/// Runs one statement on the file beside whoever owns it; its rows, every value as text.
pub(crate) fn rows(file: &Path, sql: &str) -> Vec<Vec<Option<String>>> {
    look(file, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn look(file: &Path, sql: &str) -> rusqlite::Result<Vec<Vec<Option<String>>>> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get_ref(column).map(text_of)).collect())?;
    rows.collect()
}

fn text_of(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
