//! The persistence of counters: usage goes to the sync, and stored usage comes in at the start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::LocalLimits;
use crate::limits::bounds::CounterRequest;
use crate::limits::counter::{PendingUsage, UsageCounter};
use crate::limits::outbox::OwnerUsage;
use crate::limits::plan::EnrolledPlan;
use crate::limits::table::CounterOwner;
use crate::limits::ticket::TakenCounter;
use crate::limits::usage_rows::{DrainUsage, UsageDelta};
use crate::model::period::Period;
use crate::runtime::clock::Timestamp;

/// Counters that report under one lock.
pub(super) const BATCH: usize = 128;

impl LocalLimits {
    /// Adds the plan's name, which is registered before there is a counter.
    pub(super) fn to_usage_delta(
        &self,
        usage: OwnerUsage,
        names: &mut Vec<Option<Arc<str>>>,
    ) -> Option<UsageDelta> {
        let number = usage.space as usize;
        if names.len() <= number {
            *names = self.names.lock().plans();
        }
        let plan = names.get(number)?.clone()?;
        let PendingUsage { day, used, quota } = usage.pending;
        Some(UsageDelta {
            plan,
            key: usage.key,
            day,
            used,
            quota,
        })
    }

    /// Returns usage that could not be written: it is visited again the next time, with later
    /// usage.
    pub(crate) fn return_pending_usage(&self, delta: UsageDelta) {
        let space = self.names.lock().number(&delta.plan);
        let owner = self.owner(space, &delta.key);
        let mut table = self.counters.lock_for(owner.hash);
        let mut left = Some(PendingUsage {
            day: delta.day,
            used: delta.used,
            quota: delta.quota,
        });
        if let Some(position) = table.find(&owner) {
            let entry = table.entry(position);
            left = left.and_then(|usage| match entry {
                Some(entry) => entry.counter.add(&usage),
                None => Some(usage),
            });
            table.enqueue(position);
        }
        if let Some(pending) = left {
            let key = Arc::clone(&delta.key);
            let usage = OwnerUsage {
                space,
                key,
                pending,
            };
            table.return_usage(usage, self.counters.capacity);
        }
    }

    pub(super) fn give_back_to(&self, from: &TakenCounter, cost: u64) {
        let taken = &from.amounts;
        let owner = CounterOwner {
            space: from.space,
            key: &from.key,
            hash: from.hash,
        };
        let records = self.recording && taken.is_plan;
        let mut table = self.counters.lock_for(from.hash);
        let position = table.find(&owner);
        let left = match position.and_then(|position| table.entry(position)) {
            Some(entry) => entry.counter.give_back(cost, taken, records),
            // There is nothing to give back to, but something to report.
            None => records.then(|| taken.negated_usage(cost)),
        };
        if let Some(position) = position.filter(|_| records) {
            table.enqueue(position);
        }
        if let Some(left) = left {
            table.enqueue_usage(&owner, left, self.counters.capacity);
        }
    }

    /// The counter of this plan and key, which is created if there is none.
    pub(super) fn with_counter(&self, plan: &str, key: &str, work: impl FnOnce(&mut UsageCounter)) {
        let space = self.names.lock().number(plan);
        let owner = self.owner(space, key);
        let counter = self.new_counter(space);
        let mut table = self.counters.lock_for(owner.hash);
        let position = match table.find(&owner) {
            Some(position) => position,
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
        if let Some(entry) = table.entry(position) {
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

    /// Counts usage of this plan in this kind of period, too, because its quota is about to have
    /// it. The counters begin with the usage that was not reported yet. Reported usage must be
    /// [added][`LimitStore::add_used`], and nothing may be
    /// [reported][`LimitStore::take_pending_usage`] in between. New counters count in it from the
    /// moment of this record; after that all others are changed. Not for workers.
    ///
    /// [`LimitStore::add_used`]: crate::limits::LimitStore::add_used
    /// [`LimitStore::take_pending_usage`]: crate::limits::LimitStore::take_pending_usage
    pub(crate) fn track(&self, plan: &str, period: Period, now: Timestamp) {
        let (space, periods) = {
            let mut names = self.names.lock();
            names.track(plan, period);
            self.note_periods(&names, plan);
            (names.number(plan), names.periods(plan).to_vec())
        };
        for shard in self.counters.iter() {
            // Backwards: when a counter is dropped, the last one moves to its position, and was
            // visited already.
            let mut left = shard.lock().len();
            while left > 0 {
                let from = left.saturating_sub(BATCH);
                let mut table = shard.lock();
                for position in (from..left.min(table.len())).rev() {
                    if let Some(counter) = table.counter_of(position, space) {
                        counter.track(&periods);
                        counter.begin(period, self.recording, now.wall_ms);
                    }
                }
                left = from;
            }
        }
    }

    /// Adds the usage of a draining gateway, which the storage has already. If there is a counter,
    /// its own count continues.
    pub(crate) fn add_drain_usage(&self, usage: &DrainUsage) {
        let row = &usage.quota;
        let add = |counter: &mut UsageCounter| {
            counter.add_drain_usage(row.usage, usage.used, usage.day);
        };
        let space = self.names.lock().number(&row.plan);
        let owner = self.owner(space, &row.key);
        let mut table = self.counters.lock_for(owner.hash);
        let Some(position) = table.find(&owner) else {
            drop(table);
            return self.with_counter(&row.plan, &row.key, add);
        };
        if let Some(entry) = table.entry(position) {
            add(&mut entry.counter);
        }
        table.enqueue(position);
    }
}

/// A request that takes nothing and brings a counter to this time.
pub(super) fn read_request(plan: &EnrolledPlan, now: Timestamp) -> CounterRequest<'_> {
    CounterRequest {
        bounds: &plan.bounds,
        method: None,
        cost: 0,
        now,
    }
}
