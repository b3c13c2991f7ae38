//! A filter's own metric series.
//!
//! Bounded: at most [`MAX_SERIES`] series a filter and [`MAX_COMBINATIONS`] combinations of label
//! values a series; those beyond are counted under `other`. One short lock for each series.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// The most series of one filter.
pub const MAX_SERIES: usize = 32;

/// The most combinations of label values of one series.
pub const MAX_COMBINATIONS: usize = 256;

/// The most labels of one series.
pub const MAX_LABELS: usize = 8;

/// The longest label value. Bytes; longer ones are cut.
pub const MAX_LABEL_VALUE: usize = 128;

/// Upper bounds of a histogram's buckets, as for seconds.
pub const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What a series measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesKind {
    /// Only grows.
    Counter,
    /// Moves up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

/// A series as `configure` declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesSpec {
    /// What it measures.
    pub kind: SeriesKind,
    /// Its name.
    pub name: String,
    /// Its label names.
    pub labels: Vec<String>,
}

/// One combination of label values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// A counter's or gauge's value; a histogram's sum.
    pub value: f64,
    /// A histogram's observations.
    pub count: u64,
    /// A histogram's observations for each bucket of [`BUCKETS`], not cumulated.
    pub buckets: [u64; BUCKETS.len()],
}

#[derive(Debug)]
struct Series {
    spec: SeriesSpec,
    samples: Mutex<BTreeMap<Vec<String>, Sample>>,
}

/// All series of one filter.
#[derive(Debug, Default)]
pub struct SeriesTable {
    series: Vec<Series>,
}

/// Why a series cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// Too many.
    #[error("declares {0} metric series; a filter has at most {MAX_SERIES}")]
    TooMany(usize),
    /// A bad name.
    #[error("declares a metric series or label `{0}`, which is not of the form `[a-z][a-z0-9_]*`")]
    Name(String),
    /// Two of one name.
    #[error("declares two metric series of the name `{0}`")]
    Twice(String),
    /// Too many labels.
    #[error("declares metric series `{0}` with more than {MAX_LABELS} labels")]
    Labels(String),
}

impl SeriesTable {
    /// A table of these series.
    ///
    /// # Errors
    ///
    /// A name that Prometheus would refuse, or too many.
    pub fn new(specs: Vec<SeriesSpec>) -> Result<Self, SeriesError> {
        if specs.len() > MAX_SERIES {
            return Err(SeriesError::TooMany(specs.len()));
        }
        for (place, spec) in specs.iter().enumerate() {
            let names = std::iter::once(&spec.name).chain(&spec.labels);
            if let Some(bad) = names.clone().find(|name| !is_name(name)) {
                return Err(SeriesError::Name(bad.clone()));
            }
            if spec.labels.len() > MAX_LABELS {
                return Err(SeriesError::Labels(spec.name.clone()));
            }
            if specs
                .iter()
                .take(place)
                .any(|other| other.name == spec.name)
            {
                return Err(SeriesError::Twice(spec.name.clone()));
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

    /// Add to a series. False where there is no such series, or the labels do not fit it.
    #[must_use]
    pub fn add(&self, series: usize, mut labels: Vec<String>, value: f64) -> bool {
        let Some(series) = self.series.get(series) else {
            return false;
        };
        let backward = series.spec.kind == SeriesKind::Counter && value < 0.0;
        if labels.len() != series.spec.labels.len() || !value.is_finite() || backward {
            return false;
        }
        for label in &mut labels {
            if label.len() > MAX_LABEL_VALUE {
                let cut = label.floor_char_boundary(MAX_LABEL_VALUE);
                label.truncate(cut);
            }
        }
        let mut samples = series.samples.lock();
        if samples.len() >= MAX_COMBINATIONS && !samples.contains_key(&labels) {
            labels
                .iter_mut()
                .for_each(|label| "other".clone_into(label));
        }
        let sample = samples.entry(labels).or_default();
        sample.value += value;
        sample.count += 1;
        let bucket = BUCKETS.iter().zip(&mut sample.buckets);
        if let Some((_, count)) = bucket.into_iter().find(|(bound, _)| value <= **bound) {
            *count += 1;
        }
        true
    }

    /// Each series with its samples, as they are now.
    pub fn read(&self) -> impl Iterator<Item = (&SeriesSpec, BTreeMap<Vec<String>, Sample>)> {
        self.series
            .iter()
            .map(|series| (&series.spec, series.samples.lock().clone()))
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: SeriesKind) -> SeriesTable {
        SeriesTable::new(vec![SeriesSpec {
            kind,
            name: "seen".into(),
            labels: vec!["tier".into()],
        }])
        .unwrap()
    }

    #[test]
    fn combinations_beyond_the_bound_are_counted_under_other() {
        let table = table(SeriesKind::Counter);
        for n in 0..MAX_COMBINATIONS + 50 {
            assert!(table.add(0, vec![n.to_string()], 1.0));
        }
        let (_, samples) = table.read().next().unwrap();
        assert_eq!(samples.len(), MAX_COMBINATIONS + 1);
        assert_eq!(samples[&vec!["other".to_owned()]].count, 50);
    }

    #[test]
    fn what_does_not_fit_is_dropped() {
        let table = table(SeriesKind::Counter);
        assert!(!table.add(1, vec!["a".into()], 1.0));
        assert!(!table.add(0, vec![], 1.0));
        assert!(!table.add(0, vec!["a".into()], -1.0));
        assert!(!table.add(0, vec!["a".into()], f64::NAN));
        assert!(table.read().next().unwrap().1.is_empty());
    }

    #[test]
    fn a_histogram_counts_each_observation_once() {
        let table = table(SeriesKind::Histogram);
        for value in [0.001, 0.3, 99.0] {
            assert!(table.add(0, vec!["a".into()], value));
        }
        let (_, samples) = table.read().next().unwrap();
        let sample = &samples[&vec!["a".to_owned()]];
        assert_eq!(sample.count, 3);
        assert_eq!(sample.buckets.iter().sum::<u64>(), 2);
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "Seen", "9x", "a-b"] {
            let spec = SeriesSpec {
                kind: SeriesKind::Gauge,
                name: name.into(),
                labels: vec![],
            };
            assert!(SeriesTable::new(vec![spec]).is_err(), "{name}");
        }
    }
}
