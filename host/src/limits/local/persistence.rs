//! The persistence of counters: usage goes to the sync, and stored usage comes in at the start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::LocalLimits;
use crate::limits::counter::{CounterRequest, PendingUsage, TakenAmounts, UsageCounter};
use crate::limits::outbox::OwnerUsage;
use crate::limits::plan::EnrolledPlan;
use crate::limits::table::{CounterOwner, CounterTable};
use crate::limits::ticket::TakenCounter;
use crate::limits::usage_rows::{DrainUsage, QuotaRow, UsageDelta};
use crate::limits::{AppliedExtension, ExtendError, QuotaStatus};
use crate::model::period::Period;
use crate::runtime::clock::Timestamp;

/// Counters that report under one lock.
const BATCH: usize = 128;

impl LocalLimits {
    /// How often usage was lost, because nobody wrote it for so long that memory for it ran out.
    /// For metrics: it takes every lock.
    #[must_use]
    pub(crate) fn lost_count(&self) -> u64 {
        let shards = self.counters.iter();
        shards.map(|shard| shard.lock().lost_count).sum()
    }

    /// Reports usage, for each shard first that of the outbox, which is older.
    pub(super) fn report_usage(&self, visit: &mut dyn FnMut(UsageDelta)) {
        let mut names = Vec::new();
        let mut tell = |delta| {
            if let Some(delta) = self.to_usage_delta(delta, &mut names) {
                visit(delta);
            }
        };
        let mut batch = Vec::with_capacity(BATCH);
        for shard in self.counters.iter() {
            let (posted, mut left) = {
                let mut table = shard.lock();
                (table.take_outbox(), table.queued())
            };
            posted.for_each(&mut tell);
            // Counters that are used meanwhile queue up behind, and report the next time.
            while left > 0 {
                let gone = shard.lock().dequeue(left.min(BATCH), &mut batch);
                left = if gone == 0 { 0 } else { left - gone };
                batch.drain(..).for_each(&mut tell);
            }
        }
    }

    /// Adds the plan's name, which is registered before there is a counter.
    fn to_usage_delta(
        &self,
        delta: OwnerUsage,
        names: &mut Vec<Option<Arc<str>>>,
    ) -> Option<UsageDelta> {
        let place = delta.space as usize;
        if names.len() <= place {
            *names = self.names.lock().plans();
        }
        let plan = names.get(place)?.clone()?;
        let PendingUsage { day, used, quota } = delta.pending;
        Some(UsageDelta {
            plan,
            key: delta.key,
            day,
            used,
            quota,
        })
    }

    /// Usage that could not be written is reported again the next time.
    pub(super) fn return_usage(&self, delta: UsageDelta) {
        let space = self.names.lock().number(&delta.plan);
        let owner = self.owner(space, &delta.key);
        let mut table = self.counters.lock_for(owner.hash);
        let mut left = Some(PendingUsage {
            day: delta.day,
            used: delta.used,
            quota: delta.quota,
        });
        if let Some(place) = table.find(&owner) {
            let entry = table.entry(place);
            left = left.and_then(|what| entry.map_or(Some(what), |e| e.counter.add(&what)));
            table.enqueue(place);
        }
        if let Some(what) = left {
            let key = Arc::clone(&delta.key);
            table.return_usage(
                OwnerUsage {
                    space,
                    key,
                    pending: what,
                },
                self.counters.capacity,
            );
        }
    }

    pub(super) fn give_back_to(&self, from: &TakenCounter, cost: u64) {
        let TakenCounter {
            space,
            hash,
            key,
            amounts: taken,
        } = from;
        let owner = CounterOwner {
            space: *space,
            key,
            hash: *hash,
        };
        let mut table = self.counters.lock_for(*hash);
        // Without a counter there is nothing to give back to, but something to report.
        let left = match table.find(&owner) {
            Some(place) => self.give_back_at(&mut table, place, cost, taken),
            None => self.records_taken(taken).then(|| taken.negated_usage(cost)),
        };
        if let Some(left) = left {
            table.enqueue_usage(&owner, left, self.counters.capacity);
        }
    }

    fn give_back_at(
        &self,
        table: &mut CounterTable,
        place: usize,
        cost: u64,
        taken: &TakenAmounts,
    ) -> Option<PendingUsage> {
        let noted = self.records_taken(taken);
        let entry = table.entry(place)?;
        let left = entry.counter.give_back(cost, taken, noted);
        if noted {
            table.enqueue(place);
        }
        left
    }

    /// Whether the usage of this ticket is reported.
    fn records_taken(&self, taken: &TakenAmounts) -> bool {
        self.recording && taken.is_plan
    }

    /// To be called before the first request.
    pub(super) fn restore_row(&self, row: &QuotaRow) {
        let is_known = {
            let names = self.names.lock();
            let periods = names.periods(&row.plan);
            periods.is_empty() || periods.contains(&row.usage.period)
        };
        if is_known {
            self.with_counter(&row.plan, &row.key, |counter| {
                counter.restore(row.usage, row.extra);
            });
        }
    }

    /// Adds usage that was reported before its period was tracked.
    pub(super) fn add_row(&self, row: &QuotaRow) {
        self.with_counter(&row.plan, &row.key, |counter| counter.add_used(row.usage));
    }

    /// The counter of this plan and key, which is created if there is none.
    fn with_counter(&self, plan: &str, key: &str, work: impl FnOnce(&mut UsageCounter)) {
        let space = self.names.lock().number(plan);
        let owner = self.owner(space, key);
        let counter = self.new_counter(space);
        let mut table = self.counters.lock_for(owner.hash);
        let place = match table.find(&owner) {
            Some(place) => place,
            None if table.len() < self.counters.capacity => {
                table.insert(&owner, owner.key.into(), counter)
            }
            None => {
                tracing::warn!(
                    plan,
                    key,
                    "there is no room for the stored usage of this key, which counts from 0: raise `[store] max_counters`"
                );
                return;
            }
        };
        if let Some(entry) = table.entry(place) {
            work(&mut entry.counter);
        }
    }

    /// A counter of a new key: it counts in every kind of period in which its plan counts.
    pub(super) fn new_counter(&self, space: u32) -> UsageCounter {
        let mut counter = UsageCounter::new();
        if self.many_periods.load(Ordering::Relaxed) {
            counter.track(self.names.lock().periods_of(space));
        }
        counter
    }

    /// Records that a plan counts in this kind of period, too.
    pub(super) fn note_periods(&self, plan: &str, period: Period) {
        let mut names = self.names.lock();
        names.track(plan, period);
        if names.periods(plan).len() > 1 {
            self.many_periods.store(true, Ordering::Relaxed);
        }
    }

    /// Counts usage of the plan in this kind of period, too, beginning with unreported usage. New
    /// counters do so from the moment of this record; after that all others are changed.
    pub(super) fn track_period(&self, plan: &str, period: Period, now: Timestamp) {
        self.note_periods(plan, period);
        let (space, periods) = {
            let mut names = self.names.lock();
            (names.number(plan), names.periods(plan).to_vec())
        };
        for shard in self.counters.iter() {
            // Backwards: when a counter is dropped, the last one moves to its position, and was
            // visited already.
            let mut left = shard.lock().len();
            while left > 0 {
                let from = left.saturating_sub(BATCH);
                let mut table = shard.lock();
                for place in (from..left.min(table.len())).rev() {
                    if let Some(counter) = table.counter_of(place, space) {
                        counter.track(&periods);
                        counter.begin(period, self.recording, now.wall_ms);
                    }
                }
                left = from;
            }
        }
    }

    /// Adds the usage of a draining gateway. If there is a counter, its own count continues.
    pub(super) fn apply_drain_usage(&self, usage: &DrainUsage) {
        let row = &usage.quota;
        let space = self.names.lock().number(&row.plan);
        let owner = self.owner(space, &row.key);
        let mut table = self.counters.lock_for(owner.hash);
        let Some(place) = table.find(&owner) else {
            drop(table);
            return self.with_counter(&row.plan, &row.key, |counter| {
                counter.add_drain_usage(row.usage, row.extra, usage.used, usage.day);
            });
        };
        if let Some(entry) = table.entry(place) {
            entry
                .counter
                .add_drain_usage(row.usage, row.extra, usage.used, usage.day);
        }
        table.enqueue(place);
    }

    pub(super) fn extend_quota(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        remaining: u64,
        now: Timestamp,
    ) -> Result<AppliedExtension, ExtendError> {
        let quota = plan.plan().quota.ok_or(ExtendError::NoQuota)?;
        let want = read_request(plan, now);
        let owner = self.owner(plan.number, key);
        let counter = self.new_counter(plan.number);
        let mut table = self.counters.lock_for(owner.hash);
        let place = match table.find(&owner) {
            Some(place) => place,
            None if table.make_room(owner.space, self.counters.division(), now) => {
                table.insert(&owner, key.into(), counter)
            }
            None => return Err(ExtendError::NoRoom),
        };
        let entry = table.entry(place).ok_or(ExtendError::NoRoom)?;
        let (_, over) = entry.counter.settle(&want);
        entry.counter.extend(&quota, remaining);
        let usage = *entry.counter.usage();
        if let Some(over) = over {
            table.enqueue_usage(&owner, over, self.counters.capacity);
        }
        Ok(AppliedExtension {
            period: usage.period,
            number: usage.number,
            extra: usage.extra,
            remaining: usage.remaining(&quota),
        })
    }

    pub(super) fn find_quota_status(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        now: Timestamp,
    ) -> Option<QuotaStatus> {
        let quota = plan.plan().quota?;
        let owner = self.owner(plan.number, key);
        let usage = {
            let mut table = self.counters.lock_for(owner.hash);
            let place = table.find(&owner);
            let entry = place.and_then(|place| table.entry(place));
            let usage = |counter: &UsageCounter| counter.usage_at(quota.period, now.wall_ms);
            entry.map_or_else(
                || usage(&UsageCounter::new()),
                |entry| usage(&entry.counter),
            )
        };
        Some(QuotaStatus {
            period: usage.period,
            number: usage.number,
            used: usage.used,
            extra: usage.extra,
            remaining: usage.remaining(&quota),
        })
    }
}

/// A request that takes nothing and brings a counter to this time.
fn read_request(plan: &EnrolledPlan, now: Timestamp) -> CounterRequest<'_> {
    CounterRequest {
        bounds: &plan.bounds,
        method: None,
        cost: 0,
        now,
    }
}
