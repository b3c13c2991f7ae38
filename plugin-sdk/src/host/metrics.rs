//! The filter's own metric series, in the gateway's `/metrics` as
//! `windlass_filter_<series>{filter="<name>", ...}`.
//!
//! Declare series in `configure`, on [`Setup`](crate::Setup), which returns the handles. Give label
//! values in the order of the declared names. A series has at most 256 combinations; further ones
//! are counted under `other`.

use crate::gateway::metrics;

/// A counter: a series that only grows.
#[derive(Debug, Clone, Copy)]
pub struct Counter(pub(crate) u32);

impl Counter {
    /// Adds one.
    pub fn increment(self, labels: &[&str]) {
        self.add(labels, 1.0);
    }

    /// Adds a value; negative and non-finite values are dropped.
    pub fn add(self, labels: &[&str], value: f64) {
        metrics::add(self.0, labels, value);
    }
}

/// A gauge: a series that goes up and down.
#[derive(Debug, Clone, Copy)]
pub struct Gauge(pub(crate) u32);

impl Gauge {
    /// Adds the value, which may be negative.
    pub fn add(self, labels: &[&str], value: f64) {
        metrics::add(self.0, labels, value);
    }
}

/// A histogram: observations in buckets.
#[derive(Debug, Clone, Copy)]
pub struct Histogram(pub(crate) u32);

impl Histogram {
    /// Observes a value.
    pub fn observe(self, labels: &[&str], value: f64) {
        metrics::add(self.0, labels, value);
    }
}
