//! Stores that speak SQL: named queries, migrations and the drivers of both dialects.

pub(crate) mod driver;
pub(crate) mod migrate;
mod parse;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod registry;
pub(crate) mod value;
