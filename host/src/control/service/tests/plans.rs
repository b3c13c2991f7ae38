//! Plans, files of keys, usage.

use std::fmt::Write as _;

use super::*;

#[test]
fn a_key_has_one_plan_for_each_api() {
    let shop = fixture();
    for (name, apis) in [
        ("all", &[][..]),
        ("orders", &["orders"][..]),
        ("both", &["orders", "stock"][..]),
        ("stock", &["stock"][..]),
    ] {
        shop.service.create_plan(plan(name, apis), NOW).unwrap();
    }
    let sell = |plans: &[&str]| {
        shop.service
            .create_key(key(plans), None, NOW)
            .map(|made| made.key.record.id)
    };
    assert!(
        matches!(sell(&["orders", "both"]), Err(ServiceError::Overlap { api: Some(api), .. }) if api == "orders")
    );
    assert!(matches!(
        sell(&["all", "stock"]),
        Err(ServiceError::Overlap { .. })
    ));
    assert!(matches!(sell(&["none"]), Err(ServiceError::UnknownPlan(_))));
    sell(&["orders", "stock"]).unwrap();
    *shop.runtime.sets.lock() = vec![vec!["orders".into(), "stock".into()]];
    let wider = PlanChange {
        apis: Some(vec!["orders".to_owned(), "stock".to_owned()]),
        ..PlanChange::default()
    };
    let refused = shop.service.update_plan("stock", &wider, None, NOW);
    assert!(matches!(refused, Err(ServiceError::Overlap { .. })));
    shop.service.update_plan("both", &wider, None, NOW).unwrap();
}

#[test]
fn a_plan_in_use_is_not_deleted_and_one_of_the_configuration_not_changed() {
    let shop = fixture();
    shop.service.create_plan(plan("gold", &[]), NOW).unwrap();
    assert!(matches!(
        shop.service.create_plan(plan("gold", &[]), NOW),
        Err(ServiceError::PlanExists(_))
    ));
    let id = shop.sell(&["gold"]).key.record.id;
    assert!(
        matches!(shop.service.delete_plan("gold", None), Err(ServiceError::PlanInUse { key, .. }) if key == id)
    );
    shop.service.delete_key(&id, None).unwrap();
    shop.service.delete_plan("gold", None).unwrap();
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
    shop.service.set_configured([fixed], []);
    assert_eq!(
        shop.service.plan("fixed").unwrap().origin,
        Origin::Configuration
    );
    assert!(matches!(
        shop.service.delete_plan("fixed", None),
        Err(ServiceError::InConfiguration { .. })
    ));
    assert!(matches!(
        shop.service.create_plan(plan("fixed", &[]), NOW),
        Err(ServiceError::InConfiguration { .. })
    ));
    shop.sell(&["fixed"]);
    let mut empty = plan("empty", &[]);
    empty.rate = None;
    assert!(matches!(
        shop.service.create_plan(empty, NOW),
        Err(ServiceError::Inconsistent(_))
    ));
}

const FILE: &str = "Enabled,Name,key,UsageplanIds\n\
    true,one,apikey1234abcdefghij0123456789,\"planA,planB\"\n\
    ,two,apikey2234abcdefghij0123456789,planA\n\
    FALSE,three,apikey3234abcdefghij0123456789,\n";

fn with_plans() -> ServiceFixture {
    let shop = fixture();
    shop.service
        .create_plan(plan("planA", &["a"]), NOW)
        .unwrap();
    shop.service
        .create_plan(plan("planB", &["b"]), NOW)
        .unwrap();
    shop
}

fn import(shop: &ServiceFixture, file: &str, all: bool) -> Result<ImportReport, ImportError> {
    shop.service
        .import(file.as_bytes(), all, NOW, &mut |_, _| ())
}

#[test]
fn amazons_file_is_imported() {
    let shop = with_plans();
    let report = import(&shop, FILE, true).unwrap();
    assert_eq!((report.ids.len(), report.left_out), (3, 0));
    let first = shop.service.key(&report.ids[0]).unwrap().record;
    assert_eq!((&*first.name, &*first.consumer), ("one", "one"));
    assert_eq!(first.plans, ["planA", "planB"]);
    let third = shop.service.key(&report.ids[2]).unwrap().record;
    assert!(!third.enabled && third.plans.is_empty());
}

#[test]
fn what_is_there_already_is_left_out_with_a_warning() {
    let shop = with_plans();
    import(&shop, FILE, false).unwrap();
    let more = format!(
        "{FILE}true,four,apikey4234abcdefghij0123456789,nowhere\ntrue,five,apikey5234abcdefghij0123456789,\n"
    );
    let report = import(&shop, &more, false).unwrap();
    assert_eq!(report.ids.len(), 1);
    let places: Vec<_> = report
        .warnings
        .iter()
        .map(|row| (row.line, row.column))
        .collect();
    assert_eq!(places, [(2, 3), (3, 3), (4, 3), (5, 4)]);
}

#[test]
fn all_or_nothing_means_nothing() {
    let shop = with_plans();
    let bad = format!("{FILE}true,four,short,\n");
    let ImportError::Warnings(report) = import(&shop, &bad, true).unwrap_err() else {
        panic!("another error");
    };
    assert_eq!((report.warnings[0].line, report.warnings[0].column), (5, 3));
    assert_eq!(
        shop.service
            .keys(&KeyFilter::default(), None, 10)
            .unwrap()
            .items,
        []
    );
}

#[test]
fn a_large_import_is_made_in_pieces_and_exported_whole() {
    let shop = fixture();
    let mut file = "name,key\n".to_owned();
    for number in 0..2500 {
        writeln!(file, "n{number},key-{number:020}").unwrap();
    }
    let mut told = Vec::new();
    let report = shop
        .service
        .import(file.as_bytes(), false, NOW, &mut |done, of| {
            told.push((done, of));
        });
    assert_eq!(report.unwrap().ids.len(), 2500);
    assert_eq!(told, [(0, 2500), (1000, 2500), (2000, 2500), (2500, 2500)]);
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = shop.service.export(&KeyFilter::default(), after).unwrap();
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
fn plans_can_change_between_the_pieces_of_an_import() {
    let shop = with_plans();
    let mut file = "name,key,usageplanids\n".to_owned();
    for number in 0..2500 {
        let plan = if number < 1500 { "planA" } else { "planB" };
        writeln!(file, "n{number},key-{number:020},{plan}").unwrap();
    }
    let mut told = 0;
    let report = shop
        .service
        .import(file.as_bytes(), false, NOW, &mut |done, _| {
            let free = shop.service.plans.try_write().is_some();
            assert!(free, "a plan cannot be changed after {done} keys");
            if done == 1000 {
                shop.service.delete_plan("planB", None).unwrap();
            }
            told += 1;
        });
    let report = report.unwrap();
    assert_eq!((report.ids.len(), report.left_out, told), (1500, 1000, 4));
    let first = &report.warnings[0];
    assert_eq!((first.line, first.column), (1502, 3));
    assert!(first.message.contains("planB"), "{first:?}");
}

#[test]
fn usage_is_told_by_day_with_what_remained() {
    let shop = fixture();
    let mut sold = plan("gold", &[]);
    sold.quota = Some(QuotaRecord {
        limit: 100,
        period: Period::Month(MonthDay::FIRST),
    });
    shop.service.create_plan(sold, NOW).unwrap();
    let id = shop.sell(&["gold"]).key.record.id;
    let today = u32::try_from(NOW / DAY_MS).unwrap();
    for (day, used) in [(today - 1, 30), (today, 20)] {
        let delta = UsageDelta {
            plan: "gold".into(),
            key: id.as_str().into(),
            day,
            used,
            quota: None,
        };
        shop.storage.add_usage(&[delta], &[]).unwrap();
    }
    let ask = |days, key: Option<&str>| {
        shop.service.usage(
            &UsageReportQuery {
                plan: "gold".to_owned(),
                key: key.map(str::to_owned),
                days,
                after: None,
                limit: 10,
            },
            NOW,
        )
    };
    let report = ask(today - 1..=today, None).unwrap();
    assert_eq!(report.keys[0].days, [(30, Some(70)), (20, Some(50))]);
    // The day alone: what was used before it in its month counts.
    assert_eq!(
        ask(today..=today, Some(&id)).unwrap().keys[0].days,
        [(20, Some(50))]
    );
    let month = Period::Month(MonthDay::FIRST);
    *shop.runtime.standing.lock() = Some(standing(month, 50, 25));
    assert_eq!(
        ask(today..=today, Some(&id)).unwrap().keys[0].days,
        [(20, Some(75))]
    );
    // The counters know of more than the ledger kept: it remains what they enforce.
    *shop.runtime.standing.lock() = Some(standing(month, 90, 0));
    assert_eq!(
        ask(today - 1..=today, Some(&id)).unwrap().keys[0].days,
        [(30, Some(70)), (20, Some(10))]
    );
    *shop.runtime.standing.lock() = Some(standing(Period::Day, 90, 0));
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
    let other = shop.sell(&["gold"]).key.record.id;
    for id in [&id, &other] {
        shop.service.delete_key(id, None).unwrap();
    }
    *shop.runtime.standing.lock() = None;
    let deleted = ask(today + 1..=today + 1, Some(&id)).unwrap();
    assert_eq!(deleted.keys[0].days, [(0, Some(50))]);
    assert!(matches!(
        ask(today..=today, Some(&other)),
        Err(ServiceError::NoKey(_))
    ));
}

#[test]
fn only_a_quota_of_a_keys_own_plan_is_extended() {
    let shop = fixture();
    shop.service.create_plan(plan("rate", &[]), NOW).unwrap();
    let mut sold = plan("quota", &[]);
    sold.quota = Some(QuotaRecord {
        limit: 10,
        period: Period::Day,
    });
    shop.service.create_plan(sold, NOW).unwrap();
    let id = shop.sell(&["quota"]).key.record.id;
    let other = shop.sell(&["rate"]).key.record.id;
    let extend = |plan: &str, key: &str| shop.service.extend(plan, key, 7);
    assert_eq!(extend("quota", &id).unwrap().remaining, 7);
    assert!(matches!(
        extend("rate", &other),
        Err(ServiceError::NoQuota(_))
    ));
    assert!(matches!(
        extend("quota", &other),
        Err(ServiceError::NotOnPlan { .. })
    ));
    let mut kept = Vec::new();
    shop.storage
        .load_quotas(NOW, &mut |row| kept.push(row))
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].extra, 7);
}
