//! Families of metrics, and those of the workers.
//!
//! It stores nothing: a scrape reads the counters of workers, filters and balancers into families, and
//! [`super::exposition`] writes them out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::HistogramTotals;
use super::stats::{Counter, WorkerStats};
use crate::error::Code;
use crate::model::flood::FloodKind;
use crate::model::handshake::HandshakeFailure;
use crate::model::limit::LimitKind;

/// One value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricSample {
    /// As they are written: `route="orders",class="2xx"`.
    pub(crate) labels: String,
    pub(crate) value: SampleValue,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SampleValue {
    /// The value of a counter or a gauge.
    Number(f64),
    /// The value of a histogram.
    Histogram {
        /// The sum of all observations.
        sum: f64,
        count: u64,
        /// Upper bounds, each with the number of observations that are above the next smaller
        /// bound.
        buckets: Vec<(f64, u64)>,
    },
}

impl From<f64> for SampleValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for SampleValue {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact to 2^53, as every Prometheus counter"
    )]
    fn from(number: u64) -> Self {
        Self::Number(number as f64)
    }
}

impl From<usize> for SampleValue {
    fn from(number: usize) -> Self {
        u64::try_from(number).unwrap_or(u64::MAX).into()
    }
}

impl From<bool> for SampleValue {
    fn from(holds: bool) -> Self {
        u64::from(holds).into()
    }
}

impl From<&Counter> for SampleValue {
    fn from(counter: &Counter) -> Self {
        counter.value().into()
    }
}

impl From<&HistogramTotals> for SampleValue {
    fn from(totals: &HistogramTotals) -> Self {
        Self::Histogram {
            sum: totals.seconds(),
            count: totals.count(),
            buckets: totals.buckets().collect(),
        }
    }
}

impl From<&AtomicU64> for SampleValue {
    fn from(counter: &AtomicU64) -> Self {
        counter.load(Ordering::Relaxed).into()
    }
}

/// The kind of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricKind {
    /// Only grows.
    Counter,
    /// Moves up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

/// The samples of one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricFamily {
    /// Without `windlass_` and without `_total`.
    pub(crate) name: String,
    /// One sentence.
    pub(crate) help: String,
    pub(crate) kind: MetricKind,
    pub(crate) samples: Vec<MetricSample>,
}

impl MetricFamily {
    /// A family without samples.
    #[must_use]
    pub(crate) fn new(kind: MetricKind, name: &str, help: &str) -> Self {
        Self {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            samples: Vec::new(),
        }
    }

    /// Adds a sample.
    pub(crate) fn push(&mut self, labels: &[(&str, &str)], value: impl Into<SampleValue>) {
        self.samples.push(MetricSample {
            labels: write_labels(labels.iter().copied()),
            value: value.into(),
        });
    }

    /// Drops samples with the labels of an earlier one: a reader would refuse the whole scrape.
    #[must_use]
    pub(crate) fn without_duplicates(mut self) -> Self {
        let mut seen = HashSet::with_capacity(self.samples.len());
        let labels = self.samples.iter().map(|sample| &*sample.labels);
        let is_first: Vec<bool> = labels.map(|labels| seen.insert(labels)).collect();
        let mut is_first = is_first.into_iter();
        self.samples.retain(|_| is_first.next().unwrap_or(true));
        self
    }
}

/// Writes labels as a sample has them.
pub(crate) fn write_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str(r"\\"),
                '\n' => out.push_str(r"\n"),
                '"' => out.push_str("\\\""),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    out
}

/// Declares families: a struct with a field for each of them, of its name and without samples. As a
/// `Vec` they have the order of their declaration.
macro_rules! families {
    ($(#[doc = $doc:literal])+ struct $table:ident { $($name:ident = $kind:ident, $help:literal;)+ }) => {
        $(#[doc = $doc])+
        #[allow(clippy::struct_field_names, reason = "a field has the name of its family")]
        struct $table {
            $($name: $crate::observe::metrics::MetricFamily,)+
        }

        impl Default for $table {
            fn default() -> Self {
                use $crate::observe::metrics::{MetricFamily, MetricKind};
                Self {
                    $($name: MetricFamily::new(MetricKind::$kind, stringify!($name), $help),)+
                }
            }
        }

        impl From<$table> for Vec<$crate::observe::metrics::MetricFamily> {
            fn from(table: $table) -> Self {
                vec![$(table.$name),+]
            }
        }
    };
}
pub(crate) use families;

families! {
    /// The families of the workers' counters.
    struct WorkerFamilies {
        connections = Counter, "Client connections";
        connections_open = Gauge, "Client connections open now";
        connections_handed_over = Counter, "Client connections handed over to a worker with fewer connections";
        connections_at_limit = Counter, "Client connections that arrived when their listener had max_connections";
        connections_gave_way = Counter, "Idle client connections that were closed to make room for new ones";
        proxy_headers_refused = Counter, "Client connections closed because of the PROXY protocol: the header was missing, malformed or late, or the address is not one of the listener's proxies";
        tls_handshakes = Counter, "Finished TLS handshakes with clients, by version and by whether they resumed an earlier session";
        tls_handshake_failures = Counter, "Failed TLS handshakes with clients, by reason";
        http2_floods = Counter, "HTTP/2 connections closed because the client flooded them with frames, by kind";
        limits_hit = Counter, "How often a limit on clients or on the gateway's load was reached, by limit";
        requests = Counter, "Requests whose head was read";
        requests_active = Gauge, "Active requests";
        responses_cut = Counter, "Responses cut before the end of their body";
        request_bytes = Counter, "Bytes of request bodies";
        response_bytes = Counter, "Bytes of response bodies";
        upstream_attempts = Counter, "Requests sent to an endpoint, including retries";
        upstream_attempts_failed = Counter, "Attempts without a response";
        upstream_retries = Counter, "Retries on another connection";
        upstream_connects = Counter, "Connections opened to endpoints";
        responses = Counter, "Responses by status class";
        errors = Counter, "Answers that the gateway made itself, by code";
    }
}

/// The families of the workers' counters.
#[must_use]
pub(crate) fn of_workers<'a>(
    workers: impl Iterator<Item = &'a WorkerStats> + Clone,
) -> Vec<MetricFamily> {
    let mut families = WorkerFamilies::default();
    for (index, stats) in workers.clone().enumerate() {
        let worker = [("worker", &*index.to_string())];
        families.connections.push(&worker, &stats.connections);
        families
            .connections_open
            .push(&worker, &stats.connections_open);
        families
            .connections_handed_over
            .push(&worker, &stats.connections_handed_over);
        families
            .connections_at_limit
            .push(&worker, &stats.connections_at_limit);
        families
            .connections_gave_way
            .push(&worker, &stats.connections_gave_way);
        families
            .proxy_headers_refused
            .push(&worker, &stats.proxy_headers_refused);
        families.requests.push(&worker, &stats.requests);
        families
            .requests_active
            .push(&worker, &stats.requests_active);
        families.responses_cut.push(&worker, &stats.responses_cut);
        families.request_bytes.push(&worker, &stats.request_bytes);
        families.response_bytes.push(&worker, &stats.response_bytes);
        families.upstream_attempts.push(&worker, &stats.attempts);
        families
            .upstream_attempts_failed
            .push(&worker, &stats.attempts_failed);
        families.upstream_retries.push(&worker, &stats.retries);
        families.upstream_connects.push(&worker, &stats.connects);
    }
    for (index, class) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().enumerate() {
        let counters = workers.clone().filter_map(|one| one.responses.get(index));
        let sum: u64 = counters.map(Counter::value).sum();
        families.responses.push(&[("class", class)], sum);
    }
    for (version, of_version) in ["TLSv1.2", "TLSv1.3"].into_iter().zip(0..) {
        for (resumed, which) in ["false", "true"].into_iter().zip(0..) {
            let counters = workers.clone().map(|one| &one.handshakes);
            let counters =
                counters.filter_map(|all| all.get::<usize>(of_version)?.get::<usize>(which));
            let sum: u64 = counters.map(Counter::value).sum();
            let labels = [("version", version), ("resumed", resumed)];
            families.tls_handshakes.push(&labels, sum);
        }
    }
    for reason in HandshakeFailure::ALL {
        let counters = workers.clone();
        let counters = counters.filter_map(|one| one.handshake_failures.get(reason as usize));
        let sum: u64 = counters.map(Counter::value).sum();
        let labels = [("reason", reason.as_str())];
        families.tls_handshake_failures.push(&labels, sum);
    }
    for kind in FloodKind::ALL {
        let counters = workers
            .clone()
            .filter_map(|one| one.floods.get(kind as usize));
        let sum: u64 = counters.map(Counter::value).sum();
        families.http2_floods.push(&[("kind", kind.as_str())], sum);
    }
    for limit in LimitKind::ALL {
        let counters = workers.clone();
        let counters = counters.filter_map(|one| one.limits_hit.get(limit as usize));
        let sum: u64 = counters.map(Counter::value).sum();
        families.limits_hit.push(&[("limit", limit.as_str())], sum);
    }
    for code in Code::ALL {
        let counters = workers.clone().filter_map(|one| one.codes.get(*code));
        let sum: u64 = counters.map(Counter::value).sum();
        families.errors.push(&[("code", code.as_str())], sum);
    }
    families.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_sample_with_the_same_labels_is_left_out() {
        let mut family = MetricFamily::new(MetricKind::Gauge, "now", "Now");
        for (label, value) in [("x", 1.0), ("y", 2.0), ("x", 3.0)] {
            family.push(&[("a", label)], value);
        }
        let values = family.without_duplicates().samples.into_iter();
        let values: Vec<_> = values.map(|sample| sample.value).collect();
        assert_eq!(values, [1.0.into(), 2.0.into()]);
    }
}
