//! Where DCM keeps what it knows.

use std::future::Future;
use std::pin::Pin;

/// A future that can be kept in a box.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[cfg(feature = "sql")]
pub(crate) mod sql;
