//! Histograms of times, with one set of buckets for all of them.
//!
//! They promise that an observation costs two loads and two stores of the worker's own memory, and allocates
//! nothing. [`super::metrics`] writes them out. The histograms that filters declare are in `wasm::series`.

use std::time::Duration;

use super::stats::Counter;

/// The upper bounds of the buckets but the last, which has none. Microseconds.
const BOUNDS_US: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// The same, in seconds.
const BOUNDS: [f64; BUCKETS] = [
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    f64::INFINITY,
];

const BUCKETS: usize = BOUNDS_US.len() + 1;

/// How often which time was observed.
#[derive(Debug, Default)]
pub(crate) struct TimeHistogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl TimeHistogram {
    /// Adds an observation. Only the owning worker may do this.
    pub(crate) fn observe_us(&self, time_us: u64) {
        if let Some(bucket) = self.buckets.get(bucket(time_us)) {
            bucket.add(1);
        }
        self.sum_us.add(time_us);
    }

    /// Adds an observation to a histogram that several threads write. It costs two locked instructions.
    pub(crate) fn observe_shared(&self, time: Duration) {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket(time_us)) {
            bucket.add_shared(1);
        }
        self.sum_us.add_shared(time_us);
    }
}

/// The index of the first bucket whose bound is not below the time.
fn bucket(time_us: u64) -> usize {
    BOUNDS_US.partition_point(|bound| *bound < time_us)
}

/// The sum of several histograms.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HistogramTotals {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl HistogramTotals {
    /// Adds the observations of one histogram.
    pub(crate) fn add(&mut self, histogram: &TimeHistogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total = total.wrapping_add(bucket.value());
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.value());
    }

    /// How many observations there are.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all observations.
    #[must_use]
    pub(crate) fn seconds(&self) -> f64 {
        Duration::from_micros(self.sum_us).as_secs_f64()
    }

    /// Upper bounds in seconds, each with the number of observations above the next smaller bound.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.into_iter().zip(self.buckets)
    }
}

impl From<&TimeHistogram> for HistogramTotals {
    fn from(histogram: &TimeHistogram) -> Self {
        let mut totals = Self::default();
        totals.add(histogram);
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_at_a_bound_is_in_the_bucket_of_that_bound() {
        let histogram = TimeHistogram::default();
        for time_us in [0, 500, 501, 10_000_000, 10_000_001, u64::MAX / 2] {
            histogram.observe_us(time_us);
        }
        histogram.observe_shared(Duration::from_micros(1000));
        let totals = HistogramTotals::from(&histogram);
        let filled: Vec<_> = totals.buckets().filter(|(_, count)| *count > 0).collect();
        let expected = [(0.0005, 2), (0.001, 2), (10.0, 1), (f64::INFINITY, 2)];
        assert_eq!(filled, expected);
        assert_eq!(totals.count(), 7);
    }

    #[test]
    fn the_bounds_in_seconds_are_those_in_microseconds() {
        let seconds = BOUNDS_US.map(|bound| Duration::from_micros(bound).as_secs_f64());
        assert_eq!(BOUNDS[..BOUNDS_US.len()], seconds);
    }
}
