//! Metric series of the filter's own, in the gateway's `/metrics` as
//! `windlass_filter_<series>{filter="<name>", ...}`.
//!
//! Series are declared in `configure`, on [`Setup`](crate::Setup), which gives the handles.
//! Label values come in the order of the declared names; at most 256 combinations a series, those
//! beyond are counted under `other`.

use crate::bindings::lifecycle::windlass::host::metrics;

/// A series that only grows.
#[derive(Debug, Clone, Copy)]
pub struct Counter(pub(crate) u32);

impl Counter {
    /// Adds one.
    pub fn increment(self, labels: &[&str]) {
        self.add(labels, 1.0);
    }

    /// Adds; negative and non-finite values are dropped.
    pub fn add(self, labels: &[&str], value: f64) {
        metrics::add(self.0, labels, value);
    }
}

/// A series that moves up and down.
#[derive(Debug, Clone, Copy)]
pub struct Gauge(pub(crate) u32);

impl Gauge {
    /// Moves by the value, which may be negative.
    pub fn add(self, labels: &[&str], value: f64) {
        metrics::add(self.0, labels, value);
    }
}

/// Observations in buckets.
#[derive(Debug, Clone, Copy)]
pub struct Histogram(pub(crate) u32);

impl Histogram {
    /// Observes a value.
    pub fn observe(self, labels: &[&str], value: f64) {
        metrics::add(self.0, labels, value);
    }
}
