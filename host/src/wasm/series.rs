//! A filter's own metric series.
//!
//! A filter has at most [`MAX_SERIES`] series, and a series at most [`MAX_COMBINATIONS`] combinations of
//! label values; further ones are counted under `other`. Each series has a short lock.
//!
//! A strict reader of `OpenMetrics` accepts `/metrics` whatever a filter declares and adds: invalid names
//! and labels are errors of the filter, and invalid values are dropped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use parking_lot::Mutex;

pub(crate) use super::bindings::lifecycle::{Series as SeriesSpec, SeriesKind};

/// The most series of one filter.
pub(crate) const MAX_SERIES: usize = 32;

/// The most combinations of label values of one series.
pub(crate) const MAX_COMBINATIONS: usize = 256;

/// The most labels of one series.
pub(crate) const MAX_LABELS: usize = 8;

/// The longest label value. Bytes; longer ones are cut.
pub(crate) const MAX_LABEL_VALUE: usize = 128;

/// Upper bounds of a histogram's buckets, as for seconds.
pub(crate) const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

impl SeriesKind {
    /// Its word in `/metrics` and in errors.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// The suffixes that `OpenMetrics` appends to a family's name for its samples. The family's own name is
    /// reserved as well.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["", "_total", "_created"],
            Self::Gauge => &[""],
            Self::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
        }
    }
}

/// The gateway's own families whose names begin like a filter's, without `filter_`.
pub(crate) const OWN_FAMILIES: [&str; 10] = [
    "answers",
    "busy_requests",
    "call_seconds",
    "calls",
    "failures",
    "failures_by_kind",
    "instances",
    "seconds",
    "suspended",
    "suspended_requests",
];

/// Labels that a filter cannot have: the gateway's own, and those that `OpenMetrics` keeps for
/// buckets and quantiles.
const RESERVED_LABELS: [&str; 3] = ["filter", "le", "quantile"];

impl SeriesSpec {
    /// Its family in `/metrics`, without `windlass_`. A counter's lines end in `_total` whether
    /// or not its name does.
    #[must_use]
    pub(crate) fn family(&self) -> String {
        let name = format!("filter_{}", self.name);
        match self.kind {
            SeriesKind::Counter => name.strip_suffix("_total").unwrap_or(&name).to_owned(),
            SeriesKind::Gauge | SeriesKind::Histogram => name,
        }
    }

    /// The names that its family writes: no other family may have one of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let family = self.family();
        let suffixes = self.kind.suffixes().iter();
        suffixes.map(move |suffix| format!("{family}{suffix}"))
    }
}

/// Two series that cannot be in one `/metrics`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeriesConflict {
    /// The filter of the first, by its index in the list.
    pub(crate) first: usize,
    /// The first.
    pub(crate) first_spec: SeriesSpec,
    /// The filter of the second.
    pub(crate) second: usize,
    /// The second.
    pub(crate) second_spec: SeriesSpec,
    /// The name that both would write, without `windlass_`.
    pub(crate) name: String,
}

/// The series of several filters that cannot be in one `/metrics`: a family has one kind, and no name of
/// another family. Filters may share a family; the label `filter` distinguishes them.
#[must_use]
pub(crate) fn clashes<'a>(filters: impl Iterator<Item = &'a SeriesTable>) -> Vec<SeriesConflict> {
    let mut taken: BTreeMap<String, (usize, &SeriesSpec)> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, table) in filters.enumerate() {
        for Series { spec, .. } in &table.series {
            let clash = spec.names().find_map(|name| {
                let (first, other) = *taken.get(&name)?;
                let is_shared = other.kind == spec.kind && other.family() == spec.family();
                (!is_shared).then_some((name, first, other))
            });
            match clash {
                Some((name, first, other)) => found.push(SeriesConflict {
                    first,
                    first_spec: other.clone(),
                    second: index,
                    second_spec: spec.clone(),
                    name,
                }),
                None => taken.extend(spec.names().map(|name| (name, (index, spec)))),
            }
        }
    }
    found
}

/// One combination of label values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SeriesSample {
    /// A counter's or gauge's value; a histogram's sum.
    pub(crate) value: f64,
    /// A histogram's observations.
    pub(crate) count: u64,
    /// A histogram's observations for each bucket of [`BUCKETS`], not cumulated.
    pub(crate) buckets: [u64; BUCKETS.len()],
}

#[derive(Debug)]
struct Series {
    spec: SeriesSpec,
    samples: Mutex<BTreeMap<Vec<String>, SeriesSample>>,
}

/// All series of one filter.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    series: Vec<Series>,
}

/// The reason why a series is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SeriesError {
    #[error("declares {0} metric series; a filter has at most {MAX_SERIES}")]
    TooMany(usize),
    #[error("declares a metric series or label `{0}`, which is not of the form `[a-z][a-z0-9_]*`")]
    Name(String),
    /// Two that write one name.
    #[error("declares metric series `{0}` and `{1}`, which both write `windlass_{2}`")]
    Twice(String, String, String),
    /// A name of the gateway's own.
    #[error(
        "declares metric series `{0}`, but `windlass_{1}` is the gateway's own: give it another name"
    )]
    Own(String, String),
    #[error("declares metric series `{0}` with more than {MAX_LABELS} labels")]
    Labels(String),
    /// A label of the gateway's own.
    #[error(
        "declares metric series `{0}` with the label `{1}`, which is reserved: give it another name"
    )]
    ReservedLabel(String, String),
    #[error("declares metric series `{0}` with the label `{1}` twice")]
    LabelTwice(String, String),
}

impl SeriesTable {
    /// A table of these series.
    ///
    /// # Errors
    ///
    /// A name that Prometheus would refuse, or too many.
    pub(crate) fn new(specs: Vec<SeriesSpec>) -> Result<Self, SeriesError> {
        if specs.len() > MAX_SERIES {
            return Err(SeriesError::TooMany(specs.len()));
        }
        let own = OWN_FAMILIES.map(|name| format!("filter_{name}"));
        let mut taken: BTreeMap<String, &SeriesSpec> = BTreeMap::new();
        for spec in &specs {
            check_names(spec)?;
            for name in spec.names() {
                if own.iter().any(|own| is_of(&name, own)) {
                    return Err(SeriesError::Own(spec.name.clone(), name));
                }
                if let Some(other) = taken.insert(name.clone(), spec) {
                    let (first, second) = (other.name.clone(), spec.name.clone());
                    return Err(SeriesError::Twice(first, second, name));
                }
            }
        }
        let series = specs.into_iter().map(|spec| Series {
            spec,
            samples: Mutex::default(),
        });
        Ok(Self {
            series: series.collect(),
        })
    }

    /// Add to a series. False if there is no such series, or the labels do not fit it.
    #[must_use]
    pub(crate) fn add(&self, series: usize, mut labels: Vec<String>, value: f64) -> bool {
        let Some(series) = self.series.get(series) else {
            return false;
        };
        let backward = series.spec.kind != SeriesKind::Gauge && value < 0.0;
        if labels.len() != series.spec.labels.len() || !value.is_finite() || backward {
            return false;
        }
        for label in &mut labels {
            if label.len() > MAX_LABEL_VALUE {
                let cut = label.floor_char_boundary(MAX_LABEL_VALUE);
                label.truncate(cut);
            }
            if let Cow::Owned(clean) = without_controls(label) {
                *label = clean;
            }
        }
        let mut samples = series.samples.lock();
        if samples.len() >= MAX_COMBINATIONS && !samples.contains_key(&labels) {
            labels
                .iter_mut()
                .for_each(|label| "other".clone_into(label));
        }
        let sample = samples.entry(labels).or_default();
        // Never infinite, so that no sum of two is `NaN`.
        sample.value = (sample.value + value).clamp(f64::MIN, f64::MAX);
        sample.count = sample.count.saturating_add(1);
        let bucket = BUCKETS.iter().zip(&mut sample.buckets);
        if let Some((_, count)) = bucket.into_iter().find(|(bound, _)| value <= **bound) {
            *count += 1;
        }
        true
    }

    #[must_use]
    pub(crate) fn name(&self, series: usize) -> Option<&str> {
        Some(&self.series.get(series)?.spec.name)
    }

    /// Each series with its samples, as they are now.
    pub(crate) fn read(
        &self,
    ) -> impl Iterator<Item = (&SeriesSpec, BTreeMap<Vec<String>, SeriesSample>)> {
        self.series
            .iter()
            .map(|series| (&series.spec, series.samples.lock().clone()))
    }
}

fn check_names(spec: &SeriesSpec) -> Result<(), SeriesError> {
    let mut names = std::iter::once(&spec.name).chain(&spec.labels);
    if let Some(bad) = names.find(|name| !is_series_name(name)) {
        return Err(SeriesError::Name(bad.clone()));
    }
    if spec.labels.len() > MAX_LABELS {
        return Err(SeriesError::Labels(spec.name.clone()));
    }
    for (index, label) in spec.labels.iter().enumerate() {
        if RESERVED_LABELS.contains(&label.as_str()) {
            return Err(SeriesError::ReservedLabel(spec.name.clone(), label.clone()));
        }
        if spec.labels.iter().take(index).any(|other| other == label) {
            return Err(SeriesError::LabelTwice(spec.name.clone(), label.clone()));
        }
    }
    Ok(())
}

/// Whether a name is one that a family may write, of whatever kind the family is.
fn is_of(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|suffix| {
        let kinds = [
            SeriesKind::Counter,
            SeriesKind::Gauge,
            SeriesKind::Histogram,
        ];
        kinds.iter().any(|kind| kind.suffixes().contains(&suffix))
    })
}

/// The text, with `U+FFFD` for each control character: readers could read those as the end of a line.
fn without_controls(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn is_series_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests;
