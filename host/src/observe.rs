//! Reports of the gateway about itself: counters, the access log, metrics.
//!
//! Any stop may use this room, and it uses none. A counter costs a request one load and one store;
//! the access log costs it one line in a buffer that its worker owns.

pub(crate) mod access_log;
pub(crate) mod exposition;
pub(crate) mod histogram;
pub(crate) mod log_level;
pub(crate) mod log_rate_limit;
pub(crate) mod metrics;
pub(crate) mod route_stats;
pub(crate) mod sink;
pub(crate) mod stats;
