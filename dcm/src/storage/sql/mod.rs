//! Stores that speak SQL: named queries, migrations and the drivers of both dialects.

mod announce;
mod brief;
pub(crate) mod driver;
mod flush;
mod heard_of;
mod lessons;
mod load;
mod log;
pub(crate) mod migrate;
mod parse;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod read_rows;
mod reads;
pub(crate) mod registry;
mod rows;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod store;
pub(crate) mod value;

#[cfg(feature = "sqlite")]
pub(crate) use sqlite::SqliteDriver;
pub(crate) use store::SqlStore;
