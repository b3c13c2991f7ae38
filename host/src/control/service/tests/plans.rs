//! Tests of plans, files of keys, and usage.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::*;

#[test]
fn a_key_has_one_plan_for_each_api() {
    let fixture = fixture();
    for (name, apis) in [
        ("all", &[][..]),
        ("orders", &["orders"][..]),
        ("both", &["orders", "stock"][..]),
        ("stock", &["stock"][..]),
    ] {
        fixture.service.create_plan(plan(name, apis), NOW).unwrap();
    }
    let create = |plans: &[&str]| {
        fixture
            .service
            .create_key(key(plans), None, None, NOW)
            .map(|made| made.key.record.id)
    };
    assert!(
        matches!(create(&["orders", "both"]), Err(ServiceError::Overlap { api: Some(api), .. }) if api == "orders")
    );
    assert!(matches!(
        create(&["all", "stock"]),
        Err(ServiceError::Overlap { .. })
    ));
    assert!(matches!(
        create(&["none"]),
        Err(ServiceError::UnknownPlan(_))
    ));
    create(&["orders", "stock"]).unwrap();
    *fixture.runtime.sets.lock() = vec![vec!["orders".into(), "stock".into()]];
    let wider = PlanChange {
        apis: Some(vec!["orders".to_owned(), "stock".to_owned()]),
        ..PlanChange::default()
    };
    let refused = fixture.service.update_plan("stock", &wider, None, NOW);
    assert!(matches!(refused, Err(ServiceError::Overlap { .. })));
    fixture
        .service
        .update_plan("both", &wider, None, NOW)
        .unwrap();
}

#[test]
fn a_plan_in_use_is_not_deleted_and_one_of_the_configuration_not_changed() {
    let fixture = fixture();
    fixture.service.create_plan(plan("gold", &[]), NOW).unwrap();
    assert!(matches!(
        fixture.service.create_plan(plan("gold", &[]), NOW),
        Err(ServiceError::PlanExists(_))
    ));
    let id = fixture.create(&["gold"]).key.record.id;
    assert!(
        matches!(fixture.service.delete_plan("gold", None), Err(ServiceError::PlanInUse { key, .. }) if key == id)
    );
    fixture.service.delete_key(&id, None).unwrap();
    fixture.service.delete_plan("gold", None).unwrap();
    let fixed = UsagePlan {
        name: "fixed".into(),
        rate: Some(RateLimit {
            per_second: 1.0,
            burst: 1,
        }),
        quota: None,
        methods: Vec::new(),
        apis: Vec::new(),
    };
    fixture.service.set_configured([fixed], []);
    assert_eq!(
        fixture.service.plan("fixed").unwrap().origin,
        Origin::Configuration
    );
    assert!(matches!(
        fixture.service.delete_plan("fixed", None),
        Err(ServiceError::InConfiguration { .. })
    ));
    assert!(matches!(
        fixture.service.create_plan(plan("fixed", &[]), NOW),
        Err(ServiceError::InConfiguration { .. })
    ));
    fixture.create(&["fixed"]);
    let mut empty = plan("empty", &[]);
    empty.rate = None;
    assert!(matches!(
        fixture.service.create_plan(empty, NOW),
        Err(ServiceError::Inconsistent(_))
    ));
}

const FILE: &str = "Enabled,Name,key,UsageplanIds\n\
    true,one,apikey1234abcdefghij0123456789,\"planA,planB\"\n\
    ,two,apikey2234abcdefghij0123456789,planA\n\
    FALSE,three,apikey3234abcdefghij0123456789,\n";

fn with_plans() -> ServiceFixture {
    let fixture = fixture();
    fixture
        .service
        .create_plan(plan("planA", &["a"]), NOW)
        .unwrap();
    fixture
        .service
        .create_plan(plan("planB", &["b"]), NOW)
        .unwrap();
    fixture
}

fn import(fixture: &ServiceFixture, file: &str, all: bool) -> Result<ImportReport, ImportError> {
    fixture
        .service
        .import(file.as_bytes(), all, NOW, &mut |_, _| ())
}

#[test]
fn amazons_file_is_imported() {
    let fixture = with_plans();
    let report = import(&fixture, FILE, true).unwrap();
    assert_eq!((report.ids.len(), report.left_out), (3, 0));
    let first = fixture.service.key(&report.ids[0]).unwrap().record;
    assert_eq!((&*first.name, &*first.consumer), ("one", "one"));
    assert_eq!(first.plans, ["planA", "planB"]);
    let third = fixture.service.key(&report.ids[2]).unwrap().record;
    assert!(!third.enabled && third.plans.is_empty());
}

#[test]
fn a_row_that_exists_already_is_left_out_with_a_warning() {
    let fixture = with_plans();
    import(&fixture, FILE, false).unwrap();
    let more = format!(
        "{FILE}true,four,apikey4234abcdefghij0123456789,nowhere\ntrue,five,apikey5234abcdefghij0123456789,\n"
    );
    let report = import(&fixture, &more, false).unwrap();
    assert_eq!(report.ids.len(), 1);
    let positions: Vec<_> = report
        .warnings
        .iter()
        .map(|row| (row.line, row.column))
        .collect();
    assert_eq!(positions, [(2, 3), (3, 3), (4, 3), (5, 4)]);
}

#[test]
fn all_or_nothing_means_nothing() {
    let fixture = with_plans();
    let bad = format!("{FILE}true,four,short,\n");
    let ImportError::Warnings(report) = import(&fixture, &bad, true).unwrap_err() else {
        panic!("another error");
    };
    assert_eq!((report.warnings[0].line, report.warnings[0].column), (5, 3));
    let query = KeyQuery {
        limit: 10,
        ..KeyQuery::default()
    };
    assert_eq!(fixture.service.keys(query).unwrap().items, []);
}

#[test]
fn a_large_import_is_made_in_chunks_and_exported_whole() {
    let fixture = fixture();
    let mut file = "name,key\n".to_owned();
    for number in 0..2500 {
        writeln!(file, "n{number},key-{number:020}").unwrap();
    }
    let mut reported = Vec::new();
    let report = fixture
        .service
        .import(file.as_bytes(), false, NOW, &mut |done, of| {
            reported.push((done, of));
        });
    assert_eq!(report.unwrap().ids.len(), 2500);
    assert_eq!(
        reported,
        [(0, 2500), (1000, 2500), (2000, 2500), (2500, 2500)]
    );
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let query = KeyQuery {
            after,
            ..KeyQuery::default()
        };
        let page = fixture.service.export(query).unwrap();
        ids.extend(page.items.into_iter().map(|key| key.record.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let rises = ids.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(rises, "not in the order of their ids, or one twice");
    assert_eq!(ids.len(), 2500);
}

#[test]
fn plans_can_change_between_the_chunks_of_an_import() {
    let fixture = with_plans();
    let mut file = "name,key,usageplanids\n".to_owned();
    for number in 0..2500 {
        let plan = if number < 1500 { "planA" } else { "planB" };
        writeln!(file, "n{number},key-{number:020},{plan}").unwrap();
    }
    let mut reported = 0;
    let report = fixture
        .service
        .import(file.as_bytes(), false, NOW, &mut |done, _| {
            let free = fixture.service.plans.try_write().is_some();
            assert!(free, "a plan cannot be changed after {done} keys");
            if done == 1000 {
                fixture.service.delete_plan("planB", None).unwrap();
            }
            reported += 1;
        });
    let report = report.unwrap();
    assert_eq!(
        (report.ids.len(), report.left_out, reported),
        (1500, 1000, 4)
    );
    let first = &report.warnings[0];
    assert_eq!((first.line, first.column), (1502, 3));
    assert!(first.message.contains("planB"), "{first:?}");
}

#[test]
fn usage_is_reported_by_day_with_the_remaining_quota() {
    let fixture = fixture();
    let mut gold = plan("gold", &[]);
    gold.quota = Some(QuotaLimit {
        limit: 100,
        period: Period::Month(MonthDay::FIRST),
    });
    fixture.service.create_plan(gold, NOW).unwrap();
    let id = fixture.create(&["gold"]).key.record.id;
    let today = u32::try_from(NOW / DAY_MS).unwrap();
    for (day, used) in [(today - 1, 30), (today, 20)] {
        let delta = UsageDelta {
            plan: "gold".into(),
            key: id.as_str().into(),
            day,
            used,
            quota: None,
        };
        fixture.storage.add_usage(&[delta], &[]).unwrap();
    }
    let ask = |days: RangeInclusive<u32>, key: Option<&str>| {
        fixture.service.usage(
            &UsageQuery {
                plan: "gold".to_owned(),
                key: key.map(str::to_owned),
                from_day: *days.start(),
                to_day: *days.end(),
                after: None,
                limit: 10,
            },
            NOW,
        )
    };
    let report = ask(today - 1..=today, None).unwrap();
    assert_eq!(report.keys[0].days, [(30, Some(70)), (20, Some(50))]);
    // For the day alone, the usage before it in its month counts.
    assert_eq!(
        ask(today..=today, Some(&id)).unwrap().keys[0].days,
        [(20, Some(50))]
    );
    let month = Period::Month(MonthDay::FIRST);
    *fixture.runtime.status.lock() = Some(status(month, 50, 25));
    assert_eq!(
        ask(today..=today, Some(&id)).unwrap().keys[0].days,
        [(20, Some(75))]
    );
    // The counters have more than the storage kept: the remaining quota is what they enforce.
    *fixture.runtime.status.lock() = Some(status(month, 90, 0));
    assert_eq!(
        ask(today - 1..=today, Some(&id)).unwrap().keys[0].days,
        [(30, Some(70)), (20, Some(10))]
    );
    *fixture.runtime.status.lock() = Some(status(Period::Day, 90, 0));
    assert_eq!(
        ask(today..=today, Some(&id)).unwrap().keys[0].days,
        [(20, Some(50))]
    );
    assert!(matches!(
        ask(today..=today - 1, None),
        Err(ServiceError::Inconsistent(_))
    ));
    assert!(matches!(
        ask(0..=today, None),
        Err(ServiceError::Inconsistent(_))
    ));
    assert!(matches!(
        ask(today..=today, Some("nobody")),
        Err(ServiceError::NoKey(_))
    ));
    let other = fixture.create(&["gold"]).key.record.id;
    for id in [&id, &other] {
        fixture.service.delete_key(id, None).unwrap();
    }
    *fixture.runtime.status.lock() = None;
    let deleted = ask(today + 1..=today + 1, Some(&id)).unwrap();
    assert_eq!(deleted.keys[0].days, [(0, Some(50))]);
    assert!(matches!(
        ask(today..=today, Some(&other)),
        Err(ServiceError::NoKey(_))
    ));
}

#[test]
fn only_a_quota_of_a_keys_own_plan_is_extended() {
    let fixture = fixture();
    fixture.service.create_plan(plan("rate", &[]), NOW).unwrap();
    let mut quota = plan("quota", &[]);
    quota.quota = Some(QuotaLimit {
        limit: 10,
        period: Period::Day,
    });
    fixture.service.create_plan(quota, NOW).unwrap();
    let id = fixture.create(&["quota"]).key.record.id;
    let other = fixture.create(&["rate"]).key.record.id;
    let extend = |plan: &str, key: &str| fixture.service.extend(plan, key, 7);
    assert_eq!(extend("quota", &id).unwrap().extra, 7);
    assert!(matches!(
        extend("rate", &other),
        Err(ServiceError::NoQuota(_))
    ));
    assert!(matches!(
        extend("quota", &other),
        Err(ServiceError::NotOnPlan { .. })
    ));
    let mut kept = Vec::new();
    fixture
        .storage
        .load_quotas(NOW, &mut |row| kept.push(row))
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].usage.extra, 7);
}
