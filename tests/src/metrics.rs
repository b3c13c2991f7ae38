//! The content of `/metrics`, as numbers.

use std::collections::BTreeMap;
use std::ops::Index;

/// One scrape. `metrics["windlass_requests_total"]` is the sum over all labels.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    sums: BTreeMap<String, f64>,
    samples: Vec<Sample>,
}

/// One sample: its name, its labels, its value.
type Sample = (String, Labels, f64);

type Labels = Vec<(String, String)>;

impl Metrics {
    /// Parse Prometheus's text format.
    ///
    /// # Panics
    ///
    /// If a line is malformed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            let (name, labels) = match name.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').expect("a closed brace")),
                None => (name, ""),
            };
            *metrics.sums.entry(name.to_owned()).or_default() += value;
            let labels = read_labels(labels);
            metrics.samples.push((name.to_owned(), labels, value));
        }
        metrics
    }

    /// The sum of the samples with these labels; 0 if there is none.
    #[must_use]
    pub fn with(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &[(String, String)]| {
            labels
                .iter()
                .all(|(name, value)| sample.iter().any(|(n, v)| n == name && v == value))
        };
        let samples = self.samples.iter();
        let found = samples.filter(|(known, sample, _)| known == name && has(sample));
        found.map(|(_, _, value)| value).sum()
    }

    /// The samples of a name, by the value of one label.
    #[must_use]
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut by = BTreeMap::new();
        for (_, labels, value) in self.samples.iter().filter(|(known, ..)| known == name) {
            for (_, key) in labels.iter().filter(|(known, _)| known == label) {
                *by.entry(key.clone()).or_default() += value;
            }
        }
        by
    }
}

impl Index<&str> for Metrics {
    type Output = f64;

    fn index(&self, name: &str) -> &f64 {
        self.sums.get(name).unwrap_or_else(|| {
            let known: Vec<_> = self.sums.keys().collect();
            panic!("no metric `{name}`; there are {known:?}")
        })
    }
}

fn read_labels(text: &str) -> Labels {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = after.char_indices();
        let mut end = after.len();
        while let Some((place, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => {}
                },
                '"' => {
                    end = place + 1;
                    break;
                }
                _ => value.push(character),
            }
        }
        labels.push((name.trim_start_matches(',').to_owned(), value));
        rest = &after[end..];
    }
    labels
}
