//! What the gateway tells of itself: counts, the access log, metrics.
//!
//! May be used by any stop, and uses none. Counting costs a request a load and a store for each
//! number; the access log costs it one line into a buffer of its worker's own.

pub mod access_log;
pub mod line_limit;
pub mod metrics;
pub mod sink;
pub mod stats;
