//! Writes metrics in Prometheus's formats.
//!
//! Pure. It promises output that Prometheus and promtool accept, and a cost in proportion to its length.

use std::fmt::{self, Write as _};

use super::metrics::{MetricFamily, MetricKind, MetricSample, SampleValue};

/// Writes families in Prometheus's text format, version 0.0.4.
#[must_use]
pub(crate) fn encode_text(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for family in families {
        let end = match family.kind {
            MetricKind::Counter => "_total",
            MetricKind::Gauge | MetricKind::Histogram => "",
        };
        write_family(&mut out, family, end);
    }
    out
}

/// Writes families as `OpenMetrics` 1.0.
#[must_use]
pub(crate) fn encode_open_metrics(families: &[MetricFamily]) -> String {
    let mut out = String::new();
    for family in families {
        // Here the family of a counter has no suffix; its samples have one.
        write_family(&mut out, family, "");
    }
    out.push_str("# EOF\n");
    out
}

/// Writes a family, whose name has this end in the rows of its help and its kind.
fn write_family(out: &mut String, family: &MetricFamily, end: &str) {
    let kind = match family.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    // Those of the process have the names that all programs give them.
    let prefix = match family.name.starts_with("process_") {
        true => "",
        false => "windlass_",
    };
    let name = format!("{prefix}{}", family.name);
    let help = family.help.replace('\\', r"\\").replace('\n', r"\n");
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "# HELP {name}{end} {help}\n# TYPE {name}{end} {kind}");
    let suffix = match family.kind {
        MetricKind::Counter => "_total",
        MetricKind::Gauge | MetricKind::Histogram => "",
    };
    // Most histograms have the bounds of the one before.
    let mut bounds: Vec<(f64, String)> = Vec::new();
    for MetricSample { labels, value } in &family.samples {
        match value {
            SampleValue::Number(value) => {
                write_series(out, &name, suffix, labels, None);
                let _ = writeln!(out, "{}", Number(*value));
            }
            SampleValue::Histogram {
                sum,
                count,
                buckets,
            } => {
                write_bounds(&mut bounds, buckets);
                let mut below = 0;
                for ((_, bound), (_, count)) in bounds.iter().zip(buckets) {
                    below += count;
                    write_series(out, &name, "_bucket", labels, Some(bound));
                    let _ = writeln!(out, "{below}");
                }
                write_series(out, &name, "_sum", labels, None);
                let _ = writeln!(out, "{}", Number(*sum));
                write_series(out, &name, "_count", labels, None);
                let _ = writeln!(out, "{count}");
            }
        }
    }
}

/// Writes the bounds of these buckets as text, if they are not those that were written before.
fn write_bounds(bounds: &mut Vec<(f64, String)>, buckets: &[(f64, u64)]) {
    let written = bounds.iter().map(|(bound, _)| bound.to_bits());
    if !written.eq(buckets.iter().map(|(bound, _)| bound.to_bits())) {
        let texts = buckets.iter();
        *bounds = texts
            .map(|(bound, _)| (*bound, Number(*bound).to_string()))
            .collect();
    }
}

/// Writes the name and the labels of a series, with the upper bound of a bucket if it is one.
fn write_series(out: &mut String, name: &str, suffix: &str, labels: &str, bound: Option<&str>) {
    out.push_str(name);
    out.push_str(suffix);
    if !labels.is_empty() || bound.is_some() {
        out.push('{');
        out.push_str(labels);
        if let Some(bound) = bound {
            out.push_str(if labels.is_empty() { "le=\"" } else { ",le=\"" });
            out.push_str(bound);
            out.push('"');
        }
        out.push('}');
    }
    out.push(' ');
}

/// A value as both formats write it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => fmt::Display::fmt(&value, f),
        }
    }
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

    #[test]
    fn a_counter_of_open_metrics_has_its_suffix_at_its_samples_only() {
        let mut family = MetricFamily::new(MetricKind::Counter, "seen", "Seen");
        family.push(&[("a", "x")], 2.5);
        let text = "# HELP windlass_seen Seen\n# TYPE windlass_seen counter\n\
             windlass_seen_total{a=\"x\"} 2.5\n# EOF\n";
        assert_eq!(encode_open_metrics(&[family]), text);
    }

    #[test]
    fn the_buckets_of_a_histogram_are_cumulative() {
        let mut family = MetricFamily::new(MetricKind::Histogram, "seconds", "Times");
        for (labels, buckets) in [
            (&[][..], vec![(0.5, 1), (f64::INFINITY, 2)]),
            (&[("a", "x")], vec![(1.0, 4), (f64::INFINITY, 0)]),
        ] {
            let value = SampleValue::Histogram {
                sum: 1.5,
                count: buckets.iter().map(|(_, count)| count).sum(),
                buckets,
            };
            family.push(labels, value);
        }
        let text = "# HELP windlass_seconds Times\n# TYPE windlass_seconds histogram\n\
             windlass_seconds_bucket{le=\"0.5\"} 1\n\
             windlass_seconds_bucket{le=\"+Inf\"} 3\n\
             windlass_seconds_sum 1.5\nwindlass_seconds_count 3\n\
             windlass_seconds_bucket{a=\"x\",le=\"1\"} 4\n\
             windlass_seconds_bucket{a=\"x\",le=\"+Inf\"} 4\n\
             windlass_seconds_sum{a=\"x\"} 1.5\nwindlass_seconds_count{a=\"x\"} 4\n";
        assert_eq!(encode_text(&[family]), text);
    }
}
