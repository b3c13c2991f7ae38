//! Usage outlives the process: none is reported twice or lost, and all of it is restored.

mod periods;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::limits::usage_rows::{DrainUsage, QuotaRow, QuotaUsage, UsageDelta};

/// The usage that a storage keeps.
#[derive(Debug, Default)]
struct UsageBook {
    days: BTreeMap<(String, u32), i64>,
    quotas: BTreeMap<(String, u32), QuotaUsage>,
}

impl UsageBook {
    fn add(&mut self, delta: &UsageDelta) {
        let key = delta.key.to_string();
        *self.days.entry((key.clone(), delta.day)).or_default() += delta.used;
        if let Some(quota) = delta.quota {
            self.quotas.insert((key, quota.number), quota);
        }
    }

    fn save(&mut self, store: &LocalLimits) {
        store.take_pending_usage(&mut |delta| self.add(&delta));
    }

    /// The usage of a key on a day.
    fn used(&self, key: &str, day: u64) -> i64 {
        let day = u32::try_from(day).unwrap();
        let used = self.days.get(&(key.to_owned(), day));
        used.copied().unwrap_or_default()
    }

    /// As the storage shows them at a start.
    fn restore(&self, store: &LocalLimits, now: Timestamp) {
        for ((key, _), usage) in &self.quotas {
            if usage.period.end_ms(usage.number) > now.wall_ms {
                store.restore(&QuotaRow {
                    plan: "gold".to_owned(),
                    key: key.clone(),
                    usage: QuotaUsage { extra: 0, ..*usage },
                });
            }
        }
    }
}

const TODAY: u64 = NOON.wall_ms / DAY_MS;

/// With one lock for all counters, so that any taking may sweep any counter.
fn recording(plan: UsagePlan) -> One {
    One::with(LocalLimits::new(100).with_recording(), plan)
}

/// All reported usage, sorted: the key, the day counted from today, the amount.
fn reported(store: &LocalLimits) -> Vec<(String, u64, i64)> {
    let mut reported = Vec::new();
    store.take_pending_usage(&mut |delta| {
        reported.push((
            delta.key.to_string(),
            u64::from(delta.day) - TODAY,
            delta.used,
        ));
    });
    reported.sort();
    reported
}

fn of(key: &str, day: u64, used: i64) -> (String, u64, i64) {
    (key.to_owned(), day, used)
}

#[test]
fn usage_is_reported_once_also_without_a_quota() {
    let one = recording(rate(1.0, 100));
    assert!(one.take(3, NOON).allowed && one.take(2, NOON).allowed);
    assert!(one.take_for("other", 7, NOON).allowed);
    // A refused request and one of cost 0 are no usage, and a filter's own bucket is no plan's.
    assert!(!one.take_for("late", 101, NOON).allowed && one.take_for("late", 0, NOON).allowed);
    let scope = one.store.scope("mine");
    assert!(
        one.store
            .take_inline(scope, "mine", 1, 5, 1.0, NOON)
            .allowed
    );
    assert_eq!(reported(&one.store), [of("acme", 0, 5), of("other", 0, 7)]);
    assert_eq!(reported(&one.store), []);
    assert!(one.take(1, NOON).allowed);
    assert_eq!(reported(&one.store), [of("acme", 0, 1)]);
}

#[test]
fn nothing_is_kept_for_nobody() {
    let one = One::new(rate(1.0, 100));
    assert!(one.take(3, NOON).allowed);
    assert_eq!(reported(&one.store), []);
}

#[test]
fn each_day_is_told_as_its_own() {
    let one = recording(quota(1000, MONTH));
    let ticket = one.take(5, NOON).ticket.unwrap();
    assert!(one.take(4, after_ms(DAY_MS)).allowed);
    one.store.give_back(ticket);
    assert!(one.take(3, after_ms(2 * DAY_MS)).allowed);
    let reported = reported(&one.store);
    assert_eq!(
        reported,
        [of("acme", 0, 0), of("acme", 1, 4), of("acme", 2, 3)]
    );
    let mut quotas = Vec::new();
    assert!(one.take(1, after_ms(2 * DAY_MS)).allowed);
    one.store
        .take_pending_usage(&mut |delta| quotas.push(delta.quota.unwrap()));
    assert_eq!(quotas.len(), 1);
    assert_eq!((quotas[0].period, quotas[0].used), (MONTH, 8));
}

#[test]
fn what_is_given_back_after_it_was_told_is_taken_off() {
    let one = recording(quota(1000, Period::Day));
    let (first, second) = (one.take(5, NOON).ticket, one.take(2, NOON).ticket);
    assert_eq!(reported(&one.store), [of("acme", 0, 7)]);
    one.store.give_back(first.unwrap());
    assert_eq!(reported(&one.store), [of("acme", 0, -5)]);
    // On another day, and in a counter that is gone.
    let one = recording(rate(1.0, 10));
    let third = one.take(2, NOON).ticket.unwrap();
    assert_eq!(reported(&one.store), [of("acme", 0, 2)]);
    let later = after_ms(DAY_MS);
    (0..32).for_each(|_| drop(one.take_for("other", 0, later)));
    assert_eq!(one.store.figures().counters, 0);
    one.store.give_back(third);
    assert_eq!(reported(&one.store), [of("acme", 0, -2)]);
    drop(second);
}

#[test]
fn a_counter_that_was_not_told_is_kept() {
    let one = recording(rate(1.0, 10));
    assert!(one.take(2, NOON).allowed);
    let later = after_ms(DAY_MS);
    let touch = || (0..64).for_each(|_| drop(one.take_for("other", 0, later)));
    touch();
    assert_eq!(one.store.figures().counters, 1);
    assert_eq!(reported(&one.store), [of("acme", 0, 2)]);
    touch();
    assert_eq!(one.store.figures().counters, 0);
}

#[test]
fn what_could_not_be_saved_is_told_again_with_what_came_meanwhile() {
    let one = recording(quota(1000, MONTH));
    assert!(one.take(5, NOON).allowed);
    let mut failed = Vec::new();
    one.store
        .take_pending_usage(&mut |delta| failed.push(delta));
    assert!(one.take(2, NOON).allowed);
    failed
        .drain(..)
        .for_each(|delta| one.store.return_pending_usage(delta));
    let quota = |delta: &UsageDelta| delta.quota.map(|quota| quota.used);
    let mut reported = Vec::new();
    one.store
        .take_pending_usage(&mut |delta| reported.push((delta.used, quota(&delta))));
    assert_eq!(reported, [(7, Some(7))]);
    // Its day is over meanwhile: the day stays its own, and the quota's last state is reported last.
    assert!(one.take(1, NOON).allowed);
    one.store
        .take_pending_usage(&mut |delta| failed.push(delta));
    assert!(one.take(1, after_ms(DAY_MS)).allowed);
    failed
        .drain(..)
        .for_each(|delta| one.store.return_pending_usage(delta));
    reported.clear();
    one.store
        .take_pending_usage(&mut |delta| reported.push((delta.used, quota(&delta))));
    assert_eq!(reported, [(1, None), (1, Some(9))]);
    // The quota's period is over meanwhile: its last state is reported.
    assert!(one.take(1, after_ms(DAY_MS)).allowed);
    one.store
        .take_pending_usage(&mut |delta| failed.push(delta));
    assert!(one.take(2, after_ms(40 * DAY_MS)).allowed);
    failed
        .drain(..)
        .for_each(|delta| one.store.return_pending_usage(delta));
    reported.clear();
    one.store
        .take_pending_usage(&mut |delta| reported.push((delta.used, quota(&delta))));
    assert_eq!(reported, [(1, Some(10)), (2, Some(2))]);
}

#[test]
fn what_nobody_saves_is_bounded() {
    let one = One::with(LocalLimits::new(100).with_recording(), rate(1e9, 1_000));
    for day in 0..300 {
        assert!(one.take(1, after_ms(day * DAY_MS)).allowed);
    }
    let kept: i64 = reported(&one.store).iter().map(|(.., used)| used).sum();
    assert_eq!(kept, 101);
    assert_eq!(one.store.figures().lost, 199);
    let (counters, lost) = (1, 199);
    assert_eq!(one.store.figures(), LimitFigures { counters, lost });
}

#[test]
fn an_extension_is_for_its_period_and_its_key() {
    let one = recording(quota(100, Period::Day));
    assert_eq!(one.admitted(90, NOON), 90);
    let extended = one.store.extend(&one.plan, "acme", 25, NOON).unwrap();
    assert_eq!((extended.extra, extended.remaining), (15, 25));
    assert_eq!(u64::from(extended.number), TODAY);
    let shown = one.take(0, NOON).quota.unwrap();
    assert_eq!((shown.limit, shown.remaining), (115, 25));
    assert_eq!(one.admitted(200, NOON), 25);
    assert!(!one.take_for("other", 101, NOON).allowed);
    // Less may remain, too: a key is stopped for today.
    let extended = one.store.extend(&one.plan, "other", 0, NOON).unwrap();
    assert_eq!((extended.extra, extended.remaining), (-100, 0));
    let refused = one.take_for("other", 1, NOON);
    assert_eq!(refused.refused_by, Some(BoundKind::Quota));
    // An extension is kept though nothing was used.
    (0..64).for_each(|_| drop(one.take_for("third", 0, NOON)));
    assert_eq!(one.take_for("other", 0, NOON).quota.unwrap().remaining, 0);
    let status = one.store.quota_status(&one.plan, "acme", NOON).unwrap();
    assert_eq!((status.used, status.extra), (115, 15));
    let tomorrow = after_ms(DAY_MS);
    assert_eq!(one.admitted(200, tomorrow), 100);
    assert_eq!(one.take_for("other", 0, tomorrow).quota.unwrap().limit, 100);
    let status = one.store.quota_status(&one.plan, "acme", tomorrow).unwrap();
    assert_eq!((status.used, status.extra, status.remaining), (100, 0, 0));
}

#[test]
fn extremes_of_extensions_stay_within_their_range() {
    let one = recording(quota(100, Period::Day));
    assert!(one.take(50, NOON).allowed);
    let extended = one.store.extend(&one.plan, "acme", u64::MAX, NOON).unwrap();
    assert_eq!(extended.extra, i64::MAX);
    assert!(one.take(u64::MAX / 4, NOON).allowed);
    let extended = one.store.extend(&one.plan, "acme", 1, NOON).unwrap();
    assert_eq!(extended.remaining, 1);
    assert!(one.take(1, NOON).allowed && !one.take(1, NOON).allowed);
    let bounded = One::new(rate(1.0, 1));
    let refused = bounded.store.extend(&bounded.plan, "acme", 1, NOON);
    assert_eq!(refused, Err(ExtendError::NoQuota));
    let status = bounded.store.quota_status(&bounded.plan, "acme", NOON);
    assert_eq!(status, None);
    let full = One::with(LocalLimits::new(1), quota(10, Period::Day));
    assert!(full.take(1, NOON).allowed);
    let refused = full.store.extend(&full.plan, "other", 5, NOON);
    assert_eq!(refused, Err(ExtendError::NoRoom));
}

#[test]
fn a_start_knows_what_was_used_and_extended() {
    let one = recording(both(1.0, 50, 100));
    let today = Period::Day.number(NOON.wall_ms);
    let row = |key: &str, period, number, used, extra| QuotaRow {
        plan: "gold".to_owned(),
        key: key.to_owned(),
        usage: QuotaUsage {
            period,
            number,
            used,
            extra,
        },
    };
    for row in [
        row("acme", Period::Day, today, 95, 0),
        row("extended", Period::Day, today, 100, 20),
        // Of a quota that the plan had before.
        row("acme", MONTH, 650, 3, 0),
        row("old", Period::Day, today - 1, 100, 0),
    ] {
        one.store.restore(&row);
    }
    let remaining = |key| one.take_for(key, 0, NOON).quota.unwrap().remaining;
    let keys = ["acme", "extended", "old", "new"].map(remaining);
    assert_eq!(keys, [5, 20, 100, 100]);
    // Usage from elsewhere is not reported.
    assert_eq!(reported(&one.store), []);
    assert!(one.take(2, NOON).allowed);
    let mut quotas = Vec::new();
    one.store
        .take_pending_usage(&mut |delta| quotas.push((delta.used, delta.quota.unwrap().used)));
    assert_eq!(quotas, [(2, 97)]);
}

/// One step of a caller.
#[derive(Debug, Clone, Copy)]
enum SaveStep {
    Take {
        key: usize,
        cost: u64,
    },
    GiveBack,
    Pause {
        minutes: u64,
    },
    Save,
    SaveFails,
    /// Peeks that let the store drop what is idle.
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<SaveStep>> {
    let step = prop_oneof![
        6 => (0..3_usize, 1..5_u64).prop_map(|(key, cost)| SaveStep::Take { key, cost }),
        2 => Just(SaveStep::GiveBack),
        2 => (1..3000_u64).prop_map(|minutes| SaveStep::Pause { minutes }),
        1 => Just(SaveStep::Save),
        1 => Just(SaveStep::SaveFails),
        1 => Just(SaveStep::Sweep),
    ];
    prop::collection::vec(step, 1..120)
}

const KEYS: [&str; 3] = ["acme", "other", "third"];

proptest! {
    #[test]
    fn the_ledger_has_what_was_used_by_day_and_period(
        steps in steps(),
        period in prop_oneof![Just(Period::Day), Just(WEEK), Just(MONTH)],
    ) {
        let plan = quota(40, period);
        let one = recording(plan.clone());
        let mut book = UsageBook::default();
        let mut by_day: BTreeMap<(usize, u64), i64> = BTreeMap::new();
        let mut by_period: BTreeMap<(usize, u32), u64> = BTreeMap::new();
        let mut open = VecDeque::new();
        let mut now = NOON;
        for step in steps {
            match step {
                SaveStep::Take { key, cost } => {
                    let decision = one.take_for(KEYS[key], cost, now);
                    if let Some(ticket) = decision.ticket {
                        let (day, number) = (now.wall_ms / DAY_MS, period.number(now.wall_ms));
                        let signed = i64::try_from(cost).unwrap();
                        *by_day.entry((key, day)).or_default() += signed;
                        *by_period.entry((key, number)).or_default() += cost;
                        open.push_back((ticket, key, cost, day, number));
                    }
                }
                SaveStep::GiveBack => {
                    if let Some((ticket, key, cost, day, number)) = open.pop_front() {
                        one.store.give_back(ticket);
                        *by_day.get_mut(&(key, day)).unwrap() -= i64::try_from(cost).unwrap();
                        // A quota that is over is settled.
                        if number == period.number(now.wall_ms) {
                            *by_period.get_mut(&(key, number)).unwrap() -= cost;
                        }
                    }
                }
                SaveStep::Pause { minutes } => now = now.after(Duration::from_secs(60 * minutes)),
                SaveStep::Save => book.save(&one.store),
                SaveStep::SaveFails => {
                    let mut failed = Vec::new();
                    one.store.take_pending_usage(&mut |delta| failed.push(delta));
                    failed.into_iter().for_each(|delta| one.store.return_pending_usage(delta));
                }
                SaveStep::Sweep => (0..64).for_each(|_| drop(one.take_for("nobody", 0, now))),
            }
        }
        book.save(&one.store);
        for ((key, day), used) in by_day {
            prop_assert_eq!(book.used(KEYS[key], day), used, "{} on day {}", KEYS[key], day);
        }
        let current = period.number(now.wall_ms);
        for ((key, number), used) in by_period {
            let row = book.quotas.get(&(KEYS[key].to_owned(), number));
            let saved = row.map_or(0, |row| row.used);
            if number == current {
                prop_assert_eq!(saved, used, "{} in period {}", KEYS[key], number);
            }
        }
        // A new process goes on where this one ended.
        let next = One::with(LocalLimits::default().with_recording(), plan);
        book.restore(&next.store, now);
        for key in KEYS {
            let left = |one: &One| one.take_for(key, 0, now).quota.unwrap().remaining;
            prop_assert_eq!(left(&next), left(&one), "{}", key);
        }
    }
}

#[test]
fn nothing_is_lost_while_workers_take_and_a_thread_saves() {
    let one = One::with(
        LocalLimits::default().with_recording(),
        quota(1_000_000, Period::Day),
    );
    let done = AtomicBool::new(false);
    let keys: Vec<String> = (0..500).map(|key| format!("key-{key}")).collect();
    let mut book = UsageBook::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (one, keys) = (&one, &keys);
                scope.spawn(move || {
                    for step in 0..20_000_usize {
                        let key = &keys[(step * 7 + worker * 13) % keys.len()];
                        let now = after_ms((step as u64) * 10);
                        let taken = one.take_for(key, 2, now);
                        // Every other taking is given back.
                        if step % 2 == 0 {
                            one.store.give_back(taken.ticket.unwrap());
                        }
                    }
                })
            })
            .collect();
        let saver = scope.spawn(|| {
            let mut book = UsageBook::default();
            let mut fail = false;
            while !done.load(Ordering::Relaxed) {
                let mut batch = Vec::new();
                one.store.take_pending_usage(&mut |delta| batch.push(delta));
                fail = !fail;
                for delta in batch {
                    if fail {
                        one.store.return_pending_usage(delta);
                    } else {
                        book.add(&delta);
                    }
                }
                thread::yield_now();
            }
            book
        });
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
        done.store(true, Ordering::Relaxed);
        book = saver.join().unwrap();
    });
    book.save(&one.store);
    let used: i64 = book.days.values().sum();
    assert_eq!(used, 4 * 10_000 * 2);
    let quotas: u64 = book.quotas.values().map(|quota| quota.used).sum();
    assert_eq!(quotas, 4 * 10_000 * 2);
}

#[test]
fn what_a_gateway_that_drains_has_used_is_counted_once() {
    let one = recording(quota(10, Period::Day));
    assert!(one.take(3, NOON).allowed);
    let mut book = UsageBook::default();
    book.save(&one.store);
    let today = u32::try_from(TODAY).unwrap();
    let late = |key: &str, used, stored| DrainUsage {
        day: today,
        used,
        quota: QuotaRow {
            plan: "gold".to_owned(),
            key: key.to_owned(),
            usage: QuotaUsage {
                period: Period::Day,
                number: today,
                used: stored,
                extra: 0,
            },
        },
    };
    one.store.add_drain_usage(&late("acme", 4, 7));
    // A key that this gateway has not seen has the usage that the store has.
    one.store.add_drain_usage(&late("other", 2, 9));
    assert!(one.take(3, NOON).allowed && !one.take(1, NOON).allowed);
    assert!(one.take_for("other", 1, NOON).allowed);
    assert!(!one.take_for("other", 1, NOON).allowed);
    // By day only usage of this gateway is reported; of the quota its present state.
    book.save(&one.store);
    assert_eq!(
        (book.used("acme", TODAY), book.used("other", TODAY)),
        (6, 1)
    );
    assert_eq!(book.quotas[&("acme".to_owned(), today)].used, 10);
}
