//! Delivery: who listens to what, how far each has got, and what is sent again.

mod rights;

pub use rights::{Channel, Identity, METRICS, channel};
