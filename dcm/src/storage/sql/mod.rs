//! Stores that speak SQL: named queries, migrations and the drivers of both dialects.

pub(crate) mod driver;
pub(crate) mod migrate;
mod parse;
pub(crate) mod registry;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
pub(crate) mod value;
