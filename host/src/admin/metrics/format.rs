//! The format of `/metrics`, negotiated by `Accept`.
//!
//! Pure. It promises that a client that accepts anything, as curl and browsers do, gets
//! Prometheus's text format, which people and promtool read. A client that accepts neither format
//! gets that one too, as with Prometheus's own libraries. A request without `Accept` gets
//! `OpenMetrics`, because existing scripts rely on that.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricsFormat {
    /// Prometheus's text format, version 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// Chooses the format by the request's `Accept` (RFC 9110 section 12.5.1).
    pub(crate) fn negotiate(headers: &HeaderMap) -> Self {
        if !headers.contains_key(ACCEPT) {
            return Self::OpenMetrics;
        }
        let lines = headers.get_all(ACCEPT).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let ranges = lines.flat_map(|line| line.split(','));
        let (mut text, mut open) = (0, 0);
        for (format, quality) in ranges.filter_map(media_range) {
            match format {
                Self::Text => text = text.max(quality),
                Self::OpenMetrics => open = open.max(quality),
            }
        }
        if open > text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The format that a media range asks for, and its weight in thousandths.
fn media_range(text: &str) -> Option<(MetricsFormat, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next()?.to_ascii_lowercase();
    let (mut quality, mut version) = (1000, None);
    for part in parts {
        let (name, value) = part.split_once('=')?;
        match &*name.trim().to_ascii_lowercase() {
            "q" => quality = thousandths(value.trim())?,
            "version" => version = Some(value.trim().trim_matches('"')),
            _ => {}
        }
    }
    let format = match (&*kind, version) {
        ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) | ("application/*", _) => {
            MetricsFormat::OpenMetrics
        }
        ("text/plain", None | Some("0.0.4" | "1.0.0")) | ("text/*" | "*/*", _) => {
            MetricsFormat::Text
        }
        _ => return None,
    };
    Some((format, quality))
}

/// Reads `0.25` as 250.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || rest.len() > 3 || !digits(rest) {
        return None;
    }
    let value: u32 = format!("{whole}{rest:0<3}").parse().ok()?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asked(accept: &'static str) -> MetricsFormat {
        MetricsFormat::negotiate(&HeaderMap::from_iter([(
            ACCEPT,
            HeaderValue::from_static(accept),
        )]))
    }

    #[test]
    fn the_format_is_the_one_with_the_largest_weight() {
        use MetricsFormat::{OpenMetrics, Text};
        assert_eq!(MetricsFormat::negotiate(&HeaderMap::new()), OpenMetrics);
        for (accept, format) in [
            ("*/*", Text),
            ("", Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Text),
            ("application/openmetrics-text", OpenMetrics),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                OpenMetrics,
            ),
            // Prometheus 3, and 2 before it.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // With `scrape_protocols: [PrometheusText0.0.4]`, or native histograms.
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.4", Text),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
                Text,
            ),
            ("application/json", Text),
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Text),
            ("application/openmetrics-text;q=x, */*;q=0.1", Text),
            ("application/openmetrics-text;version=9.9.9", Text),
            (
                "TEXT/PLAIN;Q=0.2, Application/OpenMetrics-Text;Q=0.3",
                OpenMetrics,
            ),
        ] {
            assert_eq!(asked(accept), format, "{accept}");
        }
    }
}
