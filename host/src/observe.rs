//! What the gateway tells of itself: counts, the access log, metrics.
//!
//! May be used by any stop, and uses none. Counting costs a request a load and a store for each
//! number; the access log costs it one line into a buffer of its worker's own.

pub(crate) mod access_log;
pub(crate) mod log_rate_limit;
pub(crate) mod metrics;
pub(crate) mod sink;
pub(crate) mod stats;
