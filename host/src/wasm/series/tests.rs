//! Names that series may have, and values that they take.

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

fn series(kind: SeriesKind, name: &str, labels: &[&str]) -> SeriesSpec {
    SeriesSpec {
        kind,
        name: name.into(),
        labels: labels.iter().map(|&label| label.into()).collect(),
    }
}

use SeriesKind::{Counter, Gauge, Histogram};

#[test]
fn bad_names_are_refused() {
    let long = "a".repeat(65);
    for name in ["", "Seen", "9x", "a-b", "_a", "a b", "é", "a\n", &long] {
        let refused = SeriesTable::new(vec![series(Gauge, name, &[])]);
        assert!(refused.is_err(), "{name}");
        let refused = SeriesTable::new(vec![series(Gauge, "seen", &[name])]);
        assert!(refused.is_err(), "label {name}");
    }
}

#[test]
fn a_name_of_the_gateways_own_is_refused_whatever_its_kind() {
    for (kind, name) in [
        (Counter, "calls"),
        (Counter, "calls_total"),
        (Gauge, "calls_total"),
        (Gauge, "suspended"),
        (Counter, "suspended_requests_total"),
        (Histogram, "seconds"),
        (Gauge, "failures_created"),
    ] {
        let refused = SeriesTable::new(vec![series(kind, name, &[])]).unwrap_err();
        assert!(matches!(refused, SeriesError::Own(..)), "{name}: {refused}");
    }
    let free = [
        series(Counter, "calls_of_mine_total", &[]),
        series(Gauge, "second", &[]),
    ];
    assert!(SeriesTable::new(free.into()).is_ok());
}

#[test]
fn two_series_of_a_filter_never_write_one_name() {
    for (one, two) in [
        (series(Counter, "seen", &[]), series(Counter, "seen", &[])),
        (
            series(Counter, "seen", &[]),
            series(Counter, "seen_total", &[]),
        ),
        (
            series(Counter, "seen", &[]),
            series(Gauge, "seen_created", &[]),
        ),
        (series(Gauge, "seen", &[]), series(Counter, "seen", &[])),
        (
            series(Gauge, "wait_bucket", &[]),
            series(Histogram, "wait", &[]),
        ),
        (
            series(Histogram, "wait", &[]),
            series(Gauge, "wait_sum", &[]),
        ),
        (
            series(Histogram, "wait", &[]),
            series(Histogram, "wait_count", &[]),
        ),
    ] {
        let text = format!("{one:?} {two:?}");
        let refused = SeriesTable::new(vec![one, two]);
        assert!(matches!(refused, Err(SeriesError::Twice(..))), "{text}");
    }
}

#[test]
fn labels_that_are_reserved_or_named_twice_are_refused() {
    for labels in [
        ["filter", "a"],
        ["a", "le"],
        ["quantile", "a"],
        ["tier", "tier"],
    ] {
        let refused = SeriesTable::new(vec![series(Gauge, "seen", &labels)]);
        assert!(refused.is_err(), "{labels:?}");
    }
}

#[test]
fn filters_share_a_family_of_one_kind_and_clash_otherwise() {
    let table = |kind, name| SeriesTable::new(vec![series(kind, name, &[])]).unwrap();
    let found = |one: SeriesTable, two: SeriesTable| clashes([&one, &two].into_iter());
    assert_eq!(
        found(table(Counter, "seen"), table(Counter, "seen_total")),
        []
    );
    assert_eq!(
        found(table(Histogram, "wait"), table(Histogram, "wait")),
        []
    );
    let clash = &found(table(Counter, "seen"), table(Gauge, "seen"))[0];
    assert_eq!((clash.first, clash.second), (0, 1));
    assert_eq!(clash.name, "filter_seen");
    let clash = &found(table(Gauge, "wait_count"), table(Histogram, "wait"))[0];
    assert_eq!(clash.name, "filter_wait_count");
}

#[test]
fn a_label_value_holds_no_control_character() {
    let table = table(Gauge);
    for value in ["a\rb", "a\nb", "a\0b", "a\u{85}b"] {
        assert!(table.add(0, vec![value.into()], 1.0));
    }
    let (_, samples) = table.read().next().unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[&vec!["a\u{fffd}b".to_owned()]].count, 4);
}

#[test]
fn sums_stay_finite_and_a_histogram_takes_nothing_negative() {
    let gauge = table(Gauge);
    for value in [f64::MAX, f64::MAX, f64::MIN, f64::MIN, f64::MIN, f64::MIN] {
        assert!(gauge.add(0, vec!["a".into()], value));
        let (_, samples) = gauge.read().next().unwrap();
        assert!(samples[&vec!["a".to_owned()]].value.is_finite());
    }
    assert!(!table(Histogram).add(0, vec!["a".into()], -0.5));
}
