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
    #[must_use]
    pub(crate) fn with(mut self, labels: &[(&str, &str)], value: f64) -> Self {
        self.push(labels, value);
        self
    }

    pub(crate) fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter();
        self.samples.push(MetricSample {
            labels: labels
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            value: SampleValue::Number(value),
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
                SampleValue::Number(value) => write_sample(&mut out, &name, labels, None, *value),
                SampleValue::Histogram {
                    sum,
                    count,
                    buckets,
                } => {
                    let mut below = 0;
                    for (bound, count) in buckets {
                        below += count;
                        let name = format!("{name}_bucket");
                        write_sample(&mut out, &name, labels, Some(*bound), float(below));
                    }
                    write_sample(&mut out, &format!("{name}_sum"), labels, None, *sum);
                    let count = float(*count);
                    write_sample(&mut out, &format!("{name}_count"), labels, None, count);
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
    value: f64,
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
    let _ = writeln!(out, " {}", number(value));
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

/// The families of the workers' counters.
#[must_use]
pub(crate) fn of_workers<'a>(workers: impl Iterator<Item = &'a WorkerStats>) -> Vec<MetricFamily> {
    use MetricKind::{Counter as C, Gauge as G};
    let workers: Vec<&WorkerStats> = workers.collect();
    let mut families = Vec::new();
    let mut sum = |kind: MetricKind, name: &str, help: &str, read: fn(&WorkerStats) -> &Counter| {
        let mut family = MetricFamily::new(kind, name, help);
        for (index, stats) in workers.iter().enumerate() {
            let worker = index.to_string();
            family.push(&[("worker", &worker)], float(read(stats).value()));
        }
        families.push(family);
    };
    sum(C, "connections", "Client connections", |stats| {
        &stats.connections
    });
    sum(
        G,
        "connections_open",
        "Client connections open now",
        |stats| &stats.connections_open,
    );
    sum(
        C,
        "connections_handed_over",
        "Client connections handed over to a worker with fewer connections",
        |stats| &stats.connections_handed_over,
    );
    sum(
        C,
        "connections_at_limit",
        "Client connections that arrived when their listener had max_connections",
        |stats| &stats.connections_at_limit,
    );
    sum(
        C,
        "connections_gave_way",
        "Idle client connections that were closed to make room for new ones",
        |stats| &stats.connections_gave_way,
    );
    sum(C, "requests", "Requests whose head was read", |stats| {
        &stats.requests
    });
    sum(G, "requests_active", "Active requests", |stats| {
        &stats.requests_active
    });
    sum(
        C,
        "responses_cut",
        "Responses cut before the end of their body",
        |stats| &stats.responses_cut,
    );
    sum(C, "request_bytes", "Bytes of request bodies", |stats| {
        &stats.request_bytes
    });
    sum(C, "response_bytes", "Bytes of response bodies", |stats| {
        &stats.response_bytes
    });
    sum(
        C,
        "upstream_attempts",
        "Requests sent to an endpoint, including retries",
        |stats| &stats.attempts,
    );
    sum(
        C,
        "upstream_attempts_failed",
        "Attempts without a response",
        |stats| &stats.attempts_failed,
    );
    sum(
        C,
        "upstream_retries",
        "Retries on another connection",
        |stats| &stats.retries,
    );
    sum(
        C,
        "upstream_connects",
        "Connections opened to endpoints",
        |stats| &stats.connects,
    );
    families.push(responses(&workers));
    families.push(errors(&workers));
    families
}

fn responses(workers: &[&WorkerStats]) -> MetricFamily {
    let mut family = MetricFamily::new(
        MetricKind::Counter,
        "responses",
        "Responses by status class",
    );
    for (index, class) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().enumerate() {
        let counters = workers
            .iter()
            .filter_map(|stats| stats.responses.get(index));
        let sum: u64 = counters.map(Counter::value).sum();
        family.push(&[("class", class)], float(sum));
    }
    family
}

fn errors(workers: &[&WorkerStats]) -> MetricFamily {
    let mut family = MetricFamily::new(
        MetricKind::Counter,
        "errors",
        "Answers that the gateway made itself, by code",
    );
    for code in Code::ALL {
        let counters = workers.iter().filter_map(|stats| stats.codes.get(*code));
        let sum: u64 = counters.map(Counter::value).sum();
        family.push(&[("code", code.as_str())], float(sum));
    }
    family
}

/// The value of a shared counter.
#[must_use]
pub(crate) fn read(number: &AtomicU64) -> f64 {
    float(number.load(Ordering::Relaxed))
}

/// Prometheus's numbers are floats.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "exact to 2^53, as every Prometheus counter"
)]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_escapes_what_would_end_a_line_or_a_label() {
        let family = MetricFamily::new(MetricKind::Counter, "seen", "one\\two\nthree")
            .with(&[("a", "x\"y\\z\n"), ("b", "")], 1.0)
            .with(&[], f64::INFINITY);
        let text = "# HELP windlass_seen_total one\\\\two\\nthree\n\
             # TYPE windlass_seen_total counter\n\
             windlass_seen_total{a=\"x\\\"y\\\\z\\n\",b=\"\"} 1\n\
             windlass_seen_total +Inf\n";
        assert_eq!(encode_text(&[family]), text);
    }
}
