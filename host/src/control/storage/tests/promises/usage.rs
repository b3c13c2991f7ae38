//! The promises about usage.

use super::NOON_MS;
use crate::control::storage::tests::{create, record};
use crate::control::storage::{LastUse, QuotaExtension, Storage, UsageQuery, UsageRow, Write};
use crate::limits::usage_rows::{QuotaRow, QuotaUsage, UsageDelta};
use crate::model::period::{MonthDay, Period, Weekday};

/// From the first on, and from the fifteenth on.
const MONTH: Period = Period::Month(MonthDay::FIRST);

pub(in super::super) fn a_quota_has_its_period_since_it_was_changed(storage: &dyn Storage) {
    let since = |plan: &str, period, now_ms| storage.quota_since(plan, period, now_ms).unwrap();
    let week = Period::Week(Weekday::Monday);
    assert_eq!(since("gold", MONTH, 7_000), 7_000);
    assert_eq!(since("gold", MONTH, 9_000), 7_000);
    assert_eq!(since("gold", week, 10_000), 10_000);
    assert_eq!(since("gold", Period::Week(Weekday::Sunday), 11_000), 11_000);
    assert_eq!(since("gold", MONTH, 12_000), 12_000);
    assert_eq!(since("blue", MONTH, 9_000), 9_000);
}

pub(super) fn delta(plan: &str, key: &str, day: u32, used: i64) -> UsageDelta {
    UsageDelta {
        plan: plan.into(),
        key: key.into(),
        day,
        used,
        quota: None,
    }
}

pub(super) fn usage(storage: &dyn Storage, query: &UsageQuery) -> Vec<(String, u32, u64)> {
    let rows = storage.usage(query).unwrap();
    rows.into_iter()
        .map(|UsageRow { key, day, used }| (key, day, used))
        .collect()
}

pub(super) fn row(key: &str, day: u32, used: u64) -> (String, u32, u64) {
    (key.to_owned(), day, used)
}

pub(in super::super) fn usage_adds_up_by_day(storage: &dyn Storage) {
    let add = |deltas: &[UsageDelta]| storage.add_usage(deltas, &[]).unwrap();
    add(&[delta("gold", "b", 100, 5), delta("gold", "a", 101, 1)]);
    add(&[delta("gold", "b", 100, 7), delta("gold", "b", 102, 1)]);
    add(&[delta("gold", "b", 100, -2), delta("blue", "b", 100, 99)]);
    let query = |from_day, to_day, key: Option<&str>| UsageQuery {
        plan: "gold".to_owned(),
        key: key.map(str::to_owned),
        from_day,
        to_day,
        after: None,
        limit: 10,
    };
    let all = usage(storage, &query(0, 200, None));
    let expected = [row("a", 101, 1), row("b", 100, 10), row("b", 102, 1)];
    assert_eq!(all, expected);
    let one = usage(storage, &query(0, 200, Some("b")));
    assert_eq!(one, expected[1..]);
    assert_eq!(usage(storage, &query(101, 101, None)), expected[..1]);
    assert_eq!(usage(storage, &query(103, 200, None)), []);
    assert_eq!(usage(storage, &query(0, 200, Some("nobody"))), []);
    // A key's last use only goes on; one that is not there has none.
    create(storage, &["b"]);
    for (at_ms, last) in [(9_000, 9_000), (8_000, 9_000), (10_000, 10_000)] {
        let touched = |key: &str| LastUse {
            key: key.into(),
            at_ms,
        };
        storage
            .add_usage(&[], &[touched("b"), touched("nobody")])
            .unwrap();
        assert_eq!(storage.key("b").unwrap().unwrap().last_used_ms, Some(last));
    }
    // Usage outlives its key.
    let delete = Write::DeleteKey {
        id: "b".to_owned(),
        expect: record(storage, "b").revision,
    };
    storage.commit(&[delete]).unwrap();
    assert_eq!(usage(storage, &query(0, 200, None)), expected);
}

pub(in super::super) fn usage_is_paged_by_key(storage: &dyn Storage) {
    let deltas: Vec<_> = (0..1500)
        .flat_map(|number| {
            let key = format!("k{number:04}");
            // Every third key has usage in the days of the query.
            let day = if number % 3 == 0 { 100 } else { 300 };
            [delta("gold", &key, day, 2), delta("gold", &key, day + 1, 3)]
        })
        .collect();
    storage.add_usage(&deltas, &[]).unwrap();
    let mut query = UsageQuery {
        plan: "gold".to_owned(),
        from_day: 90,
        to_day: 120,
        limit: 200,
        ..UsageQuery::default()
    };
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let rows = usage(storage, &query);
        let Some((last, ..)) = rows.last() else {
            break;
        };
        query.after = Some(last.clone());
        pages += 1;
        seen.extend(rows);
    }
    assert_eq!((pages, seen.len()), (3, 1000));
    let expected: Vec<_> = (0..500)
        .flat_map(|number| {
            let key = format!("k{:04}", number * 3);
            [row(&key, 100, 2), row(&key, 101, 3)]
        })
        .collect();
    assert_eq!(seen, expected);
}

pub(in super::super) fn quotas_are_loaded_with_their_extensions(storage: &dyn Storage) {
    let number = MONTH.number(NOON_MS);
    let spent = |key: &str, used, number| UsageDelta {
        quota: Some(QuotaUsage {
            period: MONTH,
            number,
            used,
            extra: 0,
        }),
        ..delta("gold", key, 100, 1)
    };
    let rows = |now_ms| {
        let mut rows = Vec::new();
        storage
            .load_quotas(now_ms, &mut |row: QuotaRow| {
                assert_eq!(row.usage.period, MONTH);
                rows.push((row.key, row.usage.number, row.usage.used, row.usage.extra));
            })
            .unwrap();
        rows.sort();
        rows
    };
    assert_eq!(rows(NOON_MS), []);
    storage
        .add_usage(&[spent("a", 7, number), spent("old", 9, number - 2)], &[])
        .unwrap();
    storage.add_usage(&[spent("a", 6, number)], &[]).unwrap();
    let extend = |key: &str, extra| QuotaExtension {
        plan: "gold".to_owned(),
        key: key.to_owned(),
        period: MONTH,
        number,
        extra,
    };
    storage.extend(&extend("a", 50)).unwrap();
    storage.extend(&extend("b", 9)).unwrap();
    storage.extend(&extend("b", -3)).unwrap();
    let expected = [
        ("a".to_owned(), number, 6, 50),
        ("b".to_owned(), number, 0, -3),
    ];
    assert_eq!(rows(NOON_MS), expected);
    // Later usage does not change the extension.
    storage.add_usage(&[spent("b", 1, number)], &[]).unwrap();
    assert_eq!(rows(NOON_MS)[1], ("b".to_owned(), number, 1, -3));
    assert_eq!(rows(MONTH.end_ms(number)), []);
}

pub(in super::super) fn expired_rows_are_deleted(storage: &dyn Storage) {
    let deltas = [
        delta("gold", "a", 100, 1),
        delta("gold", "a", 101, 2),
        delta("gold", "b", 99, 3),
    ];
    storage.add_usage(&deltas, &[]).unwrap();
    storage.delete_expired(101, NOON_MS).unwrap();
    let query = UsageQuery {
        plan: "gold".to_owned(),
        to_day: 1000,
        limit: 10,
        ..UsageQuery::default()
    };
    assert_eq!(usage(storage, &query), [row("a", 101, 2)]);
    // A repetition changes nothing, and new usage counts from 0.
    storage.delete_expired(101, NOON_MS).unwrap();
    storage.add_usage(&deltas[2..], &[]).unwrap();
    assert_eq!(usage(storage, &query), [row("a", 101, 2), row("b", 99, 3)]);
}
