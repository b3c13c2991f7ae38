//! The counter of one plan (or filter) and key: decides all of its bounds together.

mod outcome;

use std::cmp::Ordering;

use super::bounds::{BoundWaits, CounterRequest};
use super::bucket::Bucket;
use crate::limits::usage_rows::QuotaUsage;
use crate::model::period::Period;
use crate::model::plan::QuotaLimit;
use crate::runtime::clock::Timestamp;

use outcome::signed;
pub(super) use outcome::{CounterSnapshot, TakenAmounts};

/// The usage of one plan by one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UsageCounter {
    bucket: Bucket,
    /// The plan's methods that were ever taken from, by number.
    methods: Vec<(u32, Bucket)>,
    /// In the period of the plan's quota.
    usage: QuotaUsage,
    /// The usage of the latest period, after the clock went back over more than one: it counts
    /// again when the clock reaches it.
    later_usage: Option<Box<QuotaUsage>>,
    /// The usage in periods that the quota had before, or is about to have, so that a period that
    /// returns has missed nothing.
    #[expect(
        clippy::box_collection,
        reason = "one word in each of a million counters, of which nearly all have none"
    )]
    other_periods: Option<Box<Vec<QuotaUsage>>>,
    /// The day of `pending`. Days since 1970.
    day: u32,
    /// Whether something was used or given back since the last report.
    changed: bool,
    /// Usage since the last report.
    pending: i64,
}

/// Usage that is to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PendingUsage {
    /// Days since 1970.
    pub(crate) day: u32,
    pub(crate) used: i64,
    pub(crate) quota: Option<QuotaUsage>,
}

impl UsageCounter {
    /// The counter of a key that was never seen, or long ago.
    pub(super) fn new() -> Self {
        Self {
            bucket: Bucket::default(),
            methods: Vec::new(),
            usage: QuotaUsage::NONE,
            later_usage: None,
            other_periods: None,
            day: 0,
            changed: false,
            pending: 0,
        }
    }

    /// Brings it to this time, and computes how long each of its bounds makes this request wait.
    /// Also returns the unreported usage of a day or period that ended meanwhile.
    pub(super) fn settle(
        &mut self,
        want: &CounterRequest<'_>,
    ) -> (BoundWaits, Option<PendingUsage>) {
        let CounterRequest {
            bounds, cost, now, ..
        } = *want;
        let mut waits = self.settle_rates(want);
        let before = self.usage;
        if let Some(quota) = &bounds.quota {
            self.switch_to(quota.period);
            self.usage.settle(now.wall_ms);
            self.look_ahead(&before);
            waits.quota = self.usage.wait_ms(quota, cost, now.wall_ms);
        }
        (waits, self.close_period(&before, want.day()))
    }

    /// The same for its rates alone.
    pub(super) fn settle_rates(&mut self, want: &CounterRequest<'_>) -> BoundWaits {
        let CounterRequest { cost, now, .. } = *want;
        let mut waits = BoundWaits::default();
        if let Some(method) = want.method {
            // A bucket that was never taken from is full.
            waits.method = match self.method(method.number) {
                Some(bucket) => {
                    bucket.settle(&method.shape, now.monotonic_ns);
                    bucket.wait_ms(&method.shape, cost, now.monotonic_ns)
                }
                None => Bucket::default().wait_ms(&method.shape, cost, now.monotonic_ns),
            };
        }
        if let Some(shape) = &want.bounds.rate {
            self.bucket.settle(shape, now.monotonic_ns);
            waits.plan = self.bucket.wait_ms(shape, cost, now.monotonic_ns);
        }
        waits
    }

    /// Stores the usage of a period that the clock went back from, and finds it again.
    fn look_ahead(&mut self, before: &QuotaUsage) {
        if let Some(ahead) = &self.later_usage
            && (ahead.period != self.usage.period || ahead.number <= self.usage.number)
        {
            if ahead.period_number() == self.usage.period_number() {
                self.usage = **ahead;
            }
            self.later_usage = None;
        }
        if *before != QuotaUsage::NONE
            && before.period == self.usage.period
            && before.number > self.usage.number
            && self.later_usage.is_none()
        {
            self.later_usage = Some(Box::new(*before));
        }
    }

    /// Counts the quota in this kind of period from now on.
    fn switch_to(&mut self, period: Period) {
        if self.usage.period == period && self.usage != QuotaUsage::NONE {
            return;
        }
        let usage = self.other(period);
        let before = std::mem::replace(&mut self.usage, usage);
        if let Some(others) = &mut self.other_periods {
            others.retain(|other| other.period != period);
        }
        if before != QuotaUsage::NONE {
            self.other_periods.get_or_insert_default().push(before);
        }
    }

    /// The usage in another kind of period than the quota's.
    fn other(&self, period: Period) -> QuotaUsage {
        let mut others = self.other_periods.iter().flat_map(|others| others.iter());
        let other = others.find(|other| other.period == period).copied();
        other.unwrap_or(QuotaUsage::begin(period))
    }

    /// The other periods in which it counts.
    fn others_mut(&mut self) -> impl Iterator<Item = &mut QuotaUsage> {
        let others = self.other_periods.iter_mut();
        others.flat_map(|others| others.iter_mut())
    }

    /// Counts usage in these kinds of periods, too, and in no others but the quota's own.
    pub(super) fn track(&mut self, periods: &[Period]) {
        let is_kept =
            |period: &Period| self.usage == QuotaUsage::NONE || *period != self.usage.period;
        let kept = periods.iter().copied().filter(is_kept);
        let mut kept: Vec<QuotaUsage> = kept.map(|period| self.other(period)).collect();
        if self.usage == QuotaUsage::NONE
            && let Some(first) = kept.pop()
        {
            self.usage = first;
        }
        self.other_periods = (!kept.is_empty()).then(|| Box::new(kept));
    }

    /// Begins to count in this kind of period with the unreported usage; reported usage is added
    /// by [`add_used`](Self::add_used). Without reports it begins with the usage of periods within
    /// this one.
    pub(super) fn begin(&mut self, period: Period, recording: bool, wall_ms: u64) {
        let number = period.number(wall_ms);
        let starts_ms = period.start_ms(number);
        let is_within = |usage: &&QuotaUsage| {
            usage.period.start_ms(usage.number) >= starts_ms
                && usage.number == usage.period.number(wall_ms)
        };
        let within = self.tracked_periods().filter(is_within);
        let within = within.map(|usage| usage.used).max();
        let used = match recording {
            true if period.number(Period::Day.start_ms(self.day)) == number => {
                u64::try_from(self.pending).unwrap_or_default()
            }
            true => 0,
            false => within.unwrap_or_default(),
        };
        let usage = self.usage_of(period);
        usage.settle(wall_ms);
        (usage.number, usage.used) = (number, used);
    }

    /// Adds earlier, reported usage of the period with this number.
    pub(super) fn add_used(&mut self, more: QuotaUsage) {
        let usage = self.usage_of(more.period);
        if usage.number < more.number {
            usage.number = more.number;
            (usage.used, usage.extra) = (0, 0);
        }
        if usage.number == more.number {
            usage.used = usage.used.saturating_add(more.used);
        }
    }

    /// All kinds of periods in which it counts.
    fn tracked_periods(&self) -> impl Iterator<Item = &QuotaUsage> {
        let others = self.other_periods.iter().flat_map(|others| others.iter());
        [&self.usage].into_iter().chain(others)
    }

    /// The usage in this kind of period, in which it counts from now on.
    fn usage_of(&mut self, period: Period) -> &mut QuotaUsage {
        if self.usage == QuotaUsage::NONE {
            self.usage = QuotaUsage::begin(period);
        }
        if self.usage.period == period {
            return &mut self.usage;
        }
        let others = self.other_periods.get_or_insert_default();
        let index = others.iter().position(|other| other.period == period);
        let index = index.unwrap_or(others.len());
        if index == others.len() {
            others.push(QuotaUsage::begin(period));
        }
        // It exists: it was pushed if it did not.
        others.get_mut(index).unwrap_or(&mut self.usage)
    }

    /// The unreported usage of a day or a period that has ended. If the period goes on, only the
    /// counter reports its last state.
    fn close_period(&mut self, before: &QuotaUsage, day: u32) -> Option<PendingUsage> {
        if !self.changed {
            return None;
        }
        if self.usage.period_number() != before.period_number() {
            return self.pending_with_usage(before);
        }
        let used = std::mem::take(&mut self.pending);
        if self.day == day || used == 0 {
            self.pending = used;
            return None;
        }
        Some(PendingUsage {
            day: self.day,
            used,
            quota: None,
        })
    }

    /// Takes from all bounds, after [`settle`](Self::settle) found that all give. `records` says
    /// whether the usage is to be reported.
    pub(super) fn take(&mut self, want: &CounterRequest<'_>, records: bool) {
        let cost = want.cost;
        if let Some(method) = want.method {
            match self.method(method.number) {
                Some(bucket) => bucket.take(cost),
                None => {
                    let mut bucket = Bucket::default();
                    bucket.settle(&method.shape, want.now.monotonic_ns);
                    bucket.take(cost);
                    self.methods.push((method.number, bucket));
                }
            }
        }
        if want.bounds.rate.is_some() {
            self.bucket.take(cost);
        }
        self.take_quota(want);
        if records {
            self.day = want.day();
            self.record_use(signed(cost));
        }
    }

    /// Takes from the quota, and from the periods that count beside it: also while the plan has
    /// none.
    fn take_quota(&mut self, want: &CounterRequest<'_>) {
        if want.bounds.quota.is_some() {
            self.usage.take(want.cost);
        } else if self.usage != QuotaUsage::NONE {
            self.usage.settle(want.now.wall_ms);
            self.usage.take(want.cost);
        }
        for other in self.others_mut() {
            other.settle(want.now.wall_ms);
            other.take(want.cost);
        }
    }

    /// The amounts that a ticket must know.
    pub(super) fn taken_amounts(&self, want: &CounterRequest<'_>) -> TakenAmounts {
        TakenAmounts {
            rate: want.bounds.rate.is_some(),
            method: want.method.map(|method| method.number),
            quota: want.bounds.quota.map(|_| self.usage.period_number()),
            is_plan: want.bounds.is_plan,
            day: want.day(),
        }
    }

    /// Gives back amounts. `records` says whether the usage is to be reported; then this returns
    /// usage that the counter cannot report, because its day has ended.
    pub(super) fn give_back(
        &mut self,
        cost: u64,
        taken: &TakenAmounts,
        records: bool,
    ) -> Option<PendingUsage> {
        if taken.rate {
            self.bucket.give_back(cost);
        }
        if let Some(bucket) = taken.method.and_then(|number| self.method(number)) {
            bucket.give_back(cost);
        }
        if self.usage != QuotaUsage::NONE {
            self.usage.give_back(cost, taken.quota, taken.day);
        }
        for other in self.others_mut() {
            other.give_back(cost, None, taken.day);
        }
        records
            .then(|| self.add(&taken.negated_usage(cost)))
            .flatten()
    }

    /// Adds to the unreported usage. Returns usage of another day, or of a period that has ended.
    pub(super) fn add(&mut self, more: &PendingUsage) -> Option<PendingUsage> {
        let goes_on =
            |quota: &QuotaUsage| self.usage.period_number() == (quota.period, quota.number);
        let quota = more.quota.filter(|quota| !goes_on(quota));
        let other = self.day != more.day;
        self.record_use(if other { 0 } else { more.used });
        let used = if other { more.used } else { 0 };
        (used != 0 || quota.is_some()).then_some(PendingUsage {
            day: more.day,
            used,
            quota,
        })
    }

    fn record_use(&mut self, used: i64) {
        self.pending = self.pending.saturating_add(used);
        self.changed = true;
    }

    /// Takes the usage to report.
    pub(super) fn take_pending(&mut self) -> Option<PendingUsage> {
        let usage = self.usage;
        self.pending_with_usage(&usage)
    }

    /// The same, with the usage of its quota at that time.
    fn pending_with_usage(&mut self, usage: &QuotaUsage) -> Option<PendingUsage> {
        std::mem::take(&mut self.changed).then(|| PendingUsage {
            day: self.day,
            used: std::mem::take(&mut self.pending),
            quota: (*usage != QuotaUsage::NONE).then_some(*usage),
        })
    }

    /// Restores usage from before the start.
    pub(super) fn restore(&mut self, stored: QuotaUsage) {
        let usage = self.usage_of(stored.period);
        match usage.number.cmp(&stored.number) {
            Ordering::Equal => {
                usage.used = usage.used.max(stored.used);
                usage.extra = stored.extra;
            }
            // Stored while the clock was behind: the later period must not be given twice.
            Ordering::Greater => {}
            Ordering::Less => *usage = stored,
        }
    }

    /// Adds usage of another gateway on this day; `stored` is the storage's state including it.
    /// The state is to be reported again, the usage was reported.
    pub(super) fn add_drain_usage(&mut self, stored: QuotaUsage, used: i64, day: u32) {
        let mut tracked = self.tracked_periods();
        let before = tracked.find(|usage| usage.period == stored.period);
        let before = before.filter(|usage| **usage != QuotaUsage::NONE).copied();
        drop(tracked);
        let goes_on = before.is_some_and(|before| before.period_number() == stored.period_number());
        let others = self.other_periods.iter_mut();
        let others = others.flat_map(|others| others.iter_mut());
        let all = std::iter::once(&mut self.usage).chain(others);
        for usage in all.filter(|usage| **usage != QuotaUsage::NONE) {
            let number = usage.period.number(Period::Day.start_ms(day));
            if usage.period != stored.period && usage.number < number {
                *usage = QuotaUsage {
                    number,
                    ..QuotaUsage::begin(usage.period)
                };
            }
            let holds_it = if usage.period == stored.period {
                goes_on
            } else {
                usage.number == number
            };
            if holds_it {
                usage.used = usage.used.saturating_add_signed(used);
            }
        }
        if goes_on {
            self.changed = true;
        } else if before.is_none_or(|before| before.number < stored.number) {
            self.restore(stored);
        }
    }

    /// Sets the remaining quota in its period. Returns the usage in it.
    pub(super) fn extend(&mut self, quota: &QuotaLimit, remaining: u64) -> QuotaUsage {
        self.usage.extend(quota, remaining);
        self.usage
    }

    /// The usage of this quota at this time.
    pub(super) fn usage_at(&self, period: Period, wall_ms: u64) -> QuotaUsage {
        let usage = self.tracked_periods().find(|usage| usage.period == period);
        let mut usage = usage.copied().unwrap_or(QuotaUsage::begin(period));
        usage.settle(wall_ms);
        usage
    }

    fn method(&mut self, number: u32) -> Option<&mut Bucket> {
        let mut methods = self.methods.iter_mut();
        let (_, bucket) = methods.find(|(method, _)| *method == number)?;
        Some(bucket)
    }

    /// Whether it is as good as new.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let full = |bucket: &Bucket| bucket.is_full(now.monotonic_ns);
        full(&self.bucket)
            && self.methods.iter().all(|(_, bucket)| full(bucket))
            && self
                .tracked_periods()
                .all(|usage| usage.has_ended(now.wall_ms))
            && self
                .later_usage
                .as_ref()
                .is_none_or(|ahead| ahead.has_ended(now.wall_ms))
    }

    /// A snapshot for this request, after [`settle`](Self::settle) with it.
    pub(super) fn seen(&self, want: &CounterRequest<'_>) -> CounterSnapshot {
        CounterSnapshot {
            bucket: self.bucket,
            method: want.method.map(|method| {
                let mut methods = self.methods.iter();
                let taken_from = methods.find(|(number, _)| *number == method.number);
                taken_from.map_or_else(Bucket::default, |(_, bucket)| *bucket)
            }),
            usage: self.usage,
        }
    }
}
