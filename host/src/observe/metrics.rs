//! Writes metrics in Prometheus's formats.
//!
//! It stores nothing: a scrape reads the counters of workers, filters and balancers, and writes
//! them out.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::stats::{Counter, WorkerStats};
use crate::error::Code;

/// One value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetricSample {
    pub(crate) labels: Vec<(String, String)>,
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
        let labels = labels.iter();
        self.samples.push(MetricSample {
            labels: labels
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            value: value.into(),
        });
    }

    /// Drops samples with the labels of an earlier one: a reader would refuse the whole scrape.
    #[must_use]
    pub(crate) fn without_duplicates(mut self) -> Self {
        let mut seen = BTreeSet::new();
        self.samples.retain(|sample| {
            let mut labels = sample.labels.clone();
            labels.sort();
            seen.insert(labels)
        });
        self
    }
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

/// Writes families in Prometheus's text format, version 0.0.4.
#[must_use]
pub(crate) fn encode_text(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for family in families {
        let (kind, end) = match family.kind {
            MetricKind::Counter => ("counter", "_total"),
            MetricKind::Gauge => ("gauge", ""),
            MetricKind::Histogram => ("histogram", ""),
        };
        let name = format!("windlass_{}{end}", family.name);
        let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for MetricSample { labels, value } in &family.samples {
            match value {
                SampleValue::Number(value) => {
                    write_sample(&mut out, &name, labels, None, &number(*value));
                }
                SampleValue::Histogram {
                    sum,
                    count,
                    buckets,
                } => {
                    let mut below = 0;
                    for (bound, count) in buckets {
                        below += count;
                        let name = format!("{name}_bucket");
                        write_sample(&mut out, &name, labels, Some(*bound), &below.to_string());
                    }
                    write_sample(
                        &mut out,
                        &format!("{name}_sum"),
                        labels,
                        None,
                        &number(*sum),
                    );
                    let name = format!("{name}_count");
                    write_sample(&mut out, &name, labels, None, &count.to_string());
                }
            }
        }
    }
    out
}

/// Writes one sample, with the bucket's upper bound if it belongs to a bucket.
fn write_sample(
    out: &mut String,
    name: &str,
    labels: &[(String, String)],
    bound: Option<f64>,
    value: &str,
) {
    out.push_str(name);
    let mut open = '{';
    for (label, text) in labels {
        let text = text
            .replace('\\', r"\\")
            .replace('\n', r"\n")
            .replace('"', "\\\"");
        // Writing to a `String` cannot fail.
        let _ = write!(out, "{open}{label}=\"{text}\"");
        open = ',';
    }
    if let Some(bound) = bound {
        let _ = write!(out, "{open}le=\"{}\"", number(bound));
        open = ',';
    }
    if open == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// Writes families as `OpenMetrics` 1.0.
///
/// # Errors
///
/// The writer fails; a string does not.
pub(crate) fn encode(families: Vec<MetricFamily>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("windlass");
    registry.register_collector(Box::new(EncodedFamilies(families)));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct EncodedFamilies(Vec<MetricFamily>);

impl Collector for EncodedFamilies {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for family in &self.0 {
            let unit: Option<&Unit> = None;
            let kind = match family.kind {
                MetricKind::Counter => ConstCounter::new(0.0).metric_type(),
                MetricKind::Gauge => ConstGauge::new(0.0).metric_type(),
                MetricKind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(&family.name, &family.help, unit, kind)?;
            for sample in &family.samples {
                let mut metric = metric.encode_family(&sample.labels)?;
                match (family.kind, &sample.value) {
                    (MetricKind::Counter, SampleValue::Number(value)) => {
                        ConstCounter::new(*value).encode(metric)?;
                    }
                    (MetricKind::Gauge, SampleValue::Number(value)) => {
                        ConstGauge::new(*value).encode(metric)?;
                    }
                    (
                        MetricKind::Histogram,
                        SampleValue::Histogram {
                            sum,
                            count,
                            buckets,
                        },
                    ) => metric.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?,
                    // A value of another kind than its family is left out.
                    (MetricKind::Counter | MetricKind::Gauge, SampleValue::Histogram { .. })
                    | (MetricKind::Histogram, SampleValue::Number(_)) => {}
                }
            }
        }
        Ok(())
    }
}

families! {
    /// The families of the workers' counters.
    struct WorkerFamilies {
        connections = Counter, "Client connections";
        connections_open = Gauge, "Client connections open now";
        connections_handed_over = Counter, "Client connections handed over to a worker with fewer connections";
        connections_at_limit = Counter, "Client connections that arrived when their listener had max_connections";
        connections_gave_way = Counter, "Idle client connections that were closed to make room for new ones";
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
    fn the_text_format_escapes_what_would_end_a_line_or_a_label() {
        let mut family = MetricFamily::new(MetricKind::Counter, "seen", "one\\two\nthree");
        family.push(&[("a", "x\"y\\z\n"), ("b", "")], 1.0);
        family.push(&[], f64::INFINITY);
        let text = "# HELP windlass_seen_total one\\\\two\\nthree\n\
             # TYPE windlass_seen_total counter\n\
             windlass_seen_total{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1\n\
             windlass_seen_total +Inf\n";
        assert_eq!(encode_text(&[family]), text);
    }
}
