//! The counter of one plan (or filter) and key: all of its bounds, decided together.

mod outcome;

use std::cmp::Ordering;

use super::bucket::{Bucket, Shape};
use super::period::Period;
use super::plan::Quota;
use super::time::Timestamp;
use super::usage::Usage;
use crate::store::ledger::QuotaUse;

use outcome::signed;
pub(super) use outcome::{Refusal, Seen, Taken, Waits};

/// The bounds of a plan, or of a filter's own bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The rate's bucket.
    pub(crate) rate: Option<Shape>,
    pub(crate) quota: Option<Quota>,
    /// Whether they are a plan's, whose usage is told.
    pub(crate) is_plan: bool,
}

/// The rate of one method of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MethodBound {
    /// Which bucket of a counter is its.
    pub(crate) number: u32,
    pub(crate) shape: Shape,
}

/// What one taking wants of a counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want<'a> {
    pub(crate) bounds: &'a Bounds,
    pub(crate) method: Option<&'a MethodBound>,
    pub(crate) cost: u64,
    pub(crate) now: Timestamp,
}

impl Want<'_> {
    /// The day of its moment. Days since 1970.
    pub(super) fn day(&self) -> u32 {
        Period::Day.number(self.now.wall_ms)
    }
}

/// What one key used of one plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counter {
    bucket: Bucket,
    /// Of the plan's methods, those that were ever taken from, by their numbers.
    methods: Vec<(u32, Bucket)>,
    /// In the period of the plan's quota.
    usage: Usage,
    /// Of the latest period that was seen, after the clock went back over more than one: it counts
    /// again when the clock comes to it.
    ahead: Option<Box<Usage>>,
    /// The same in periods that the quota had before, or is about to have, while these run: a period
    /// that comes again has missed nothing.
    #[expect(
        clippy::box_collection,
        reason = "one word in each of a million counters, which nearly all have none"
    )]
    others: Option<Box<Vec<Usage>>>,
    /// Of which `unsaved` is. Days since 1970.
    day: u32,
    /// Whether something was used or given back that was not told.
    changed: bool,
    /// What was used and not told.
    unsaved: i64,
}

/// What was used and is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsaved {
    /// Days since 1970.
    pub(crate) day: u32,
    pub(crate) used: i64,
    pub(crate) quota: Option<QuotaUse>,
}

impl Counter {
    /// Of a key that was never seen, or long ago.
    pub(super) fn new() -> Self {
        Self {
            bucket: Bucket::default(),
            methods: Vec::new(),
            usage: Usage::NONE,
            ahead: None,
            others: None,
            day: 0,
            changed: false,
            unsaved: 0,
        }
    }

    /// Bring it to this moment, and say how long each of its bounds makes this taking wait. Gives
    /// also what was to be told of the day or the period that is over with it.
    pub(super) fn settle(&mut self, want: &Want<'_>) -> (Waits, Option<Unsaved>) {
        let Want {
            bounds, cost, now, ..
        } = *want;
        let mut waits = self.settle_rates(want);
        let before = self.usage;
        if let Some(quota) = &bounds.quota {
            self.turn_to(quota.period);
            self.usage.settle(now.wall_ms);
            self.look_ahead(&before);
            waits.quota = self.usage.wait_ms(quota, cost, now.wall_ms);
        }
        (waits, self.over(&before, want.day()))
    }

    /// The same for its rates alone.
    pub(super) fn settle_rates(&mut self, want: &Want<'_>) -> Waits {
        let Want { cost, now, .. } = *want;
        let mut waits = Waits::default();
        if let Some(method) = want.method {
            // One that was never taken from is full.
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

    /// Keep what was used of a period that the clock went back from, and find it again.
    fn look_ahead(&mut self, before: &Usage) {
        if let Some(ahead) = &self.ahead
            && (ahead.period != self.usage.period || ahead.number <= self.usage.number)
        {
            if ahead.place() == self.usage.place() {
                self.usage = **ahead;
            }
            self.ahead = None;
        }
        if *before != Usage::NONE
            && before.period == self.usage.period
            && before.number > self.usage.number
            && self.ahead.is_none()
        {
            self.ahead = Some(Box::new(*before));
        }
    }

    /// Count the quota in this kind of period from now on.
    fn turn_to(&mut self, period: Period) {
        if self.usage.period == period && self.usage != Usage::NONE {
            return;
        }
        let known = self.other(period).copied();
        let before = std::mem::replace(&mut self.usage, known.unwrap_or(Usage::begin(period)));
        if let Some(others) = &mut self.others {
            others.retain(|other| other.period != period);
        }
        if before != Usage::NONE {
            self.others.get_or_insert_default().push(before);
        }
    }

    fn other(&self, period: Period) -> Option<&Usage> {
        let mut others = self.others.iter().flat_map(|others| others.iter());
        others.find(|other| other.period == period)
    }

    /// From now on what is used counts in these kinds of periods, too, and in no others but the
    /// quota's own.
    pub(super) fn track(&mut self, periods: &[Period]) {
        let is_kept = |period: Period| self.usage == Usage::NONE || period != self.usage.period;
        let mut kept: Vec<Usage> = periods
            .iter()
            .filter(|period| is_kept(**period))
            .map(|period| {
                let known = self.other(*period).copied();
                known.unwrap_or(Usage::begin(*period))
            })
            .collect();
        if self.usage == Usage::NONE
            && let Some(first) = kept.pop()
        {
            self.usage = first;
        }
        self.others = (!kept.is_empty()).then(|| Box::new(kept));
    }

    /// Begin to count in this kind of period with what was used and not told: what was told is added
    /// by [`add_used`](Self::add_used). Without anybody to tell, with what is known of periods within
    /// this one.
    pub(super) fn begin(&mut self, period: Period, recording: bool, wall_ms: u64) {
        let number = period.number(wall_ms);
        let starts_ms = period.start_ms(number);
        let is_within = |known: &Usage| {
            known.period.start_ms(known.number) >= starts_ms
                && known.number == known.period.number(wall_ms)
        };
        let within = self.known().filter(|known| is_within(known));
        let within = within.map(|known| known.used).max();
        let used = match recording {
            true if period.number(Period::Day.start_ms(self.day)) == number => {
                u64::try_from(self.unsaved).unwrap_or_default()
            }
            true => 0,
            false => within.unwrap_or_default(),
        };
        let usage = self.usage_of(period);
        usage.settle(wall_ms);
        (usage.number, usage.used) = (number, used);
    }

    /// What was used before, and told, in the period with this number.
    pub(super) fn add_used(&mut self, more: QuotaUse) {
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
    fn known(&self) -> impl Iterator<Item = &Usage> {
        let others = self.others.iter().flat_map(|others| others.iter());
        [&self.usage].into_iter().chain(others)
    }

    /// What was used in this kind of period, of which it counts from now on.
    fn usage_of(&mut self, period: Period) -> &mut Usage {
        if self.usage == Usage::NONE {
            self.usage = Usage::begin(period);
        }
        if self.usage.period == period {
            return &mut self.usage;
        }
        let others = self.others.get_or_insert_default();
        let place = others.iter().position(|other| other.period == period);
        let place = place.unwrap_or(others.len());
        if place == others.len() {
            others.push(Usage::begin(period));
        }
        // It is there: it was pushed where it was not.
        match others.get_mut(place) {
            Some(other) => other,
            None => &mut self.usage,
        }
    }

    /// What was to be told of a day or a period that is over. Of a period that goes on nothing is
    /// told with its days: its last state is told with the counter.
    fn over(&mut self, before: &Usage, day: u32) -> Option<Unsaved> {
        if !self.changed {
            return None;
        }
        if self.usage.place() != before.place() {
            return self.tell(before);
        }
        let used = std::mem::take(&mut self.unsaved);
        if self.day == day || used == 0 {
            self.unsaved = used;
            return None;
        }
        Some(Unsaved {
            day: self.day,
            used,
            quota: None,
        })
    }

    /// Take from all bounds, after [`settle`](Self::settle) said that all give. `noted`: what is
    /// used is to be told.
    pub(super) fn take(&mut self, want: &Want<'_>, noted: bool) {
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
        if noted {
            self.day = want.day();
            self.note(signed(cost));
        }
    }

    /// Of the quota, and of the periods that are counted beside it: also while the plan has none.
    fn take_quota(&mut self, want: &Want<'_>) {
        if want.bounds.quota.is_some() {
            self.usage.take(want.cost);
        } else if self.usage != Usage::NONE {
            self.usage.settle(want.now.wall_ms);
            self.usage.take(want.cost);
        }
        for other in self.others.iter_mut().flat_map(|others| others.iter_mut()) {
            other.settle(want.now.wall_ms);
            other.take(want.cost);
        }
    }

    /// What a ticket must know of what was just taken.
    pub(super) fn taken(&self, want: &Want<'_>) -> Taken {
        Taken {
            rate: want.bounds.rate.is_some(),
            method: want.method.map(|method| method.number),
            quota: want.bounds.quota.map(|_| self.usage.place()),
            is_plan: want.bounds.is_plan,
            day: want.day(),
        }
    }

    /// Undo what was taken. `noted`: what is used is to be told; then this gives what cannot be
    /// told with the counter, as its day is over.
    pub(super) fn give_back(&mut self, cost: u64, taken: &Taken, noted: bool) -> Option<Unsaved> {
        if taken.rate {
            self.bucket.give_back(cost);
        }
        if let Some(bucket) = taken.method.and_then(|number| self.method(number)) {
            bucket.give_back(cost);
        }
        if self.usage != Usage::NONE {
            self.usage.give_back(cost, taken.quota, taken.day);
        }
        for other in self.others.iter_mut().flat_map(|others| others.iter_mut()) {
            other.give_back(cost, None, taken.day);
        }
        noted.then(|| self.add(&taken.given_back(cost))).flatten()
    }

    /// Add to what is to be told. Gives back what is of another day, or of a period that is over.
    pub(super) fn add(&mut self, more: &Unsaved) -> Option<Unsaved> {
        let goes_on = |quota: &QuotaUse| self.usage.place() == (quota.period, quota.number);
        let quota = more.quota.filter(|quota| !goes_on(quota));
        let other = self.day != more.day;
        self.note(if other { 0 } else { more.used });
        let used = if other { more.used } else { 0 };
        (used != 0 || quota.is_some()).then_some(Unsaved {
            day: more.day,
            used,
            quota,
        })
    }

    fn note(&mut self, used: i64) {
        self.unsaved = self.unsaved.saturating_add(used);
        self.changed = true;
    }

    /// What is to be told, once.
    pub(super) fn unsaved(&mut self) -> Option<Unsaved> {
        let usage = self.usage;
        self.tell(&usage)
    }

    /// The same, with the usage of its quota as it was then.
    fn tell(&mut self, usage: &Usage) -> Option<Unsaved> {
        std::mem::take(&mut self.changed).then(|| Unsaved {
            day: self.day,
            used: std::mem::take(&mut self.unsaved),
            quota: (*usage != Usage::NONE).then_some(QuotaUse {
                period: usage.period,
                number: usage.number,
                used: usage.used,
            }),
        })
    }

    /// What was used before the process began.
    pub(super) fn restore(&mut self, usage: QuotaUse, extra: i64) {
        let known = self.usage_of(usage.period);
        match known.number.cmp(&usage.number) {
            Ordering::Equal => {
                known.used = known.used.max(usage.used);
                known.extra = extra;
            }
            // Saved while the clock was behind: the later period is the one not to be given twice.
            Ordering::Greater => {}
            Ordering::Less => {
                *known = Usage {
                    period: usage.period,
                    number: usage.number,
                    used: usage.used,
                    extra,
                };
            }
        }
    }

    /// So much more was used by way of another gateway on this day, and `usage` is where the store
    /// stands with it. The state is to be told again, and the usage was.
    pub(super) fn add_late(&mut self, usage: QuotaUse, extra: i64, used: i64, day: u32) {
        let place = (usage.period, usage.number);
        let before = self.known().find(|known| known.period == usage.period);
        let before = before.filter(|known| **known != Usage::NONE).copied();
        let goes_on = before.is_some_and(|before| before.place() == place);
        let others = self.others.iter_mut().flat_map(|others| others.iter_mut());
        let all = std::iter::once(&mut self.usage).chain(others);
        for known in all.filter(|known| **known != Usage::NONE) {
            let number = known.period.number(Period::Day.start_ms(day));
            if known.period != usage.period && known.number < number {
                *known = Usage {
                    number,
                    ..Usage::begin(known.period)
                };
            }
            let holds_it = if known.period == usage.period {
                goes_on
            } else {
                known.number == number
            };
            if holds_it {
                known.used = known.used.saturating_add_signed(used);
            }
        }
        if goes_on {
            self.changed = true;
        } else if before.is_none_or(|before| before.number < usage.number) {
            self.restore(usage, extra);
        }
    }

    /// From now on so much remains of the quota in its period.
    pub(super) fn extend(&mut self, quota: &Quota, remaining: u64) {
        self.usage.extend(quota, remaining);
    }

    /// Of its quota.
    pub(super) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What was used of this quota by this moment.
    pub(super) fn usage_at(&self, period: Period, wall_ms: u64) -> Usage {
        let known = self.known().find(|known| known.period == period);
        let mut usage = known.copied().unwrap_or(Usage::begin(period));
        usage.settle(wall_ms);
        usage
    }

    fn method(&mut self, number: u32) -> Option<&mut Bucket> {
        let mut methods = self.methods.iter_mut();
        methods
            .find(|(known, _)| *known == number)
            .map(|(_, bucket)| bucket)
    }

    /// Whether it is as good as new.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let full = |bucket: &Bucket| bucket.is_full(now.monotonic_ns);
        full(&self.bucket)
            && self.methods.iter().all(|(_, bucket)| full(bucket))
            && self.known().all(|usage| usage.is_over(now.wall_ms))
            && self
                .ahead
                .as_ref()
                .is_none_or(|ahead| ahead.is_over(now.wall_ms))
    }

    /// As it is, as far as this taking is concerned. After [`settle`](Self::settle) with it.
    pub(super) fn seen(&self, want: &Want<'_>) -> Seen {
        let known = |number| self.methods.iter().find(|(known, _)| *known == number);
        Seen {
            bucket: self.bucket,
            method: want.method.map(|method| {
                let bucket = known(method.number).map(|(_, bucket)| *bucket);
                bucket.unwrap_or_default()
            }),
            usage: self.usage,
        }
    }
}
