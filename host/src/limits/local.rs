//! Counters in the memory of one gateway.

mod decide;
mod persistence;

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::counter::UsageCounter;
use super::names::NumberedNames;
use super::plan::{EnrolledPlan, PlanError, RateError, Scope, UsagePlan};
use super::shards::Shards;
use super::shared::{SharedRate, SharedRates, take_shared};
use super::table::{CounterOwner, CounterTable};
use super::ticket::LimitTicket;
use super::{
    Decision, ExtendError, LimitFigures, LimitStore, QuotaStatus, TakeRequest, UncountedUsage,
};
use crate::limits::usage_rows::{QuotaRow, UsageDelta};
use crate::model::period::Period;
use crate::model::plan::RateLimit;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;
use persistence::{BATCH, read_request};

/// The default limit of counters: some 250 MB at worst.
pub(crate) const DEFAULT_MAX_COUNTERS: usize = 1_000_000;

/// Exact counters of one gateway, in memory. They survive reloads, and also restarts if their
/// usage is stored.
///
/// A decision holds one short lock out of 64, and those of the route's and the gateway's rates if
/// there are any. At most the given number of counters is kept (one lock's share may be used up a
/// few per cent earlier). A counter is dropped when it is as good as new: its buckets full, its
/// period ended an hour ago or without usage, and all of its usage reported. If other counters use
/// all room, a request that would need a new counter is refused as
/// [`Unavailable`](super::BoundKind::Unavailable): otherwise a client that fills the room could take without bounds. The empty key, which no API
/// key has, always has room.
#[derive(Debug)]
pub struct LocalLimits {
    counters: Shards<CounterTable>,
    /// Whether usage is kept until it is reported.
    recording: bool,
    names: Mutex<NumberedNames>,
    /// Whether the usage of any plan counts in more than one kind of period.
    many_periods: AtomicBool,
    shared: SharedRates,
}

impl Default for LocalLimits {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_COUNTERS)
    }
}

impl LocalLimits {
    /// Room for this many counters, at least one. Usage is not reported.
    #[must_use]
    pub(crate) fn new(max_counters: usize) -> Self {
        Self {
            counters: Shards::new(max_counters),
            recording: false,
            names: Mutex::default(),
            many_periods: AtomicBool::new(false),
            shared: SharedRates::default(),
        }
    }

    /// Keeps usage until the caller takes it by
    /// [`take_pending_usage`](LimitStore::take_pending_usage), which it must do now and then.
    #[must_use]
    pub fn with_recording(mut self) -> Self {
        self.recording = true;
        self
    }

    /// Divides the room among this many plans.
    pub(super) fn divide(&self, plans: usize) {
        self.counters.divide(plans);
    }

    /// The state of the counters, for metrics: it takes every lock.
    #[must_use]
    pub(crate) fn figures(&self) -> LimitFigures {
        let mut figures = LimitFigures {
            counters: 0,
            lost: 0,
        };
        for shard in self.counters.iter() {
            let table = shard.lock();
            figures.counters += table.len();
            figures.lost += table.lost_count;
        }
        figures
    }

    /// Enrolls a plan; its counters are those of the last plan with its name. For the start,
    /// reloads and changes of plans.
    ///
    /// # Errors
    ///
    /// The plan is invalid.
    pub(crate) fn enroll(&self, plan: UsagePlan) -> Result<EnrolledPlan, PlanError> {
        let mut names = self.names.lock();
        let plan = names.enroll(plan)?;
        self.note_periods(&names, &plan.plan.name);
        Ok(plan)
    }

    /// The kinds of periods in which usage of this plan counts.
    pub(crate) fn periods(&self, plan: &str) -> Vec<Period> {
        self.names.lock().periods(plan).to_vec()
    }

    /// Records whether a plan counts in more than one kind of period.
    fn note_periods(&self, names: &NumberedNames, plan: &str) {
        if names.periods(plan).len() > 1 {
            self.many_periods.store(true, Ordering::Relaxed);
        }
    }

    /// The buckets of the filter with this name. For the start and reloads.
    pub(crate) fn scope(&self, filter: &str) -> Scope {
        self.names.lock().scope(filter)
    }

    /// The rate of a route or of the gateway; its bucket is that of the last rate with this name.
    /// For the start and reloads.
    ///
    /// # Errors
    ///
    /// The rate is invalid.
    pub(crate) fn shared_rate(&self, name: &str, rate: RateLimit) -> Result<SharedRate, RateError> {
        self.shared.enroll(name, rate)
    }

    fn owner<'a>(&self, space: u32, key: &'a str) -> CounterOwner<'a> {
        let hash = self.counters.hash(space, key);
        CounterOwner { space, key, hash }
    }
}

impl LimitStore for LocalLimits {
    fn local(&self) -> &LocalLimits {
        self
    }

    fn take(&self, take: &TakeRequest<'_>) -> Decision {
        match take.plan {
            None => take_shared(take),
            Some(plan) => self.decide(&self.counter_take(take, plan)),
        }
    }

    fn give_back(&self, ticket: LimitTicket) {
        if let Some(from) = &ticket.counter {
            self.give_back_to(from, ticket.cost);
        }
        self.shared.give_back(ticket.route, ticket.cost);
        self.shared.give_back(ticket.gateway, ticket.cost);
    }

    /// For each shard, usage of the outbox comes first, because it is older.
    fn take_pending_usage(&self, visit: &mut dyn FnMut(UsageDelta)) {
        let mut names = Vec::new();
        let mut report = |usage| {
            if let Some(delta) = self.to_usage_delta(usage, &mut names) {
                visit(delta);
            }
        };
        let mut batch = Vec::with_capacity(BATCH);
        for shard in self.counters.iter() {
            let (posted, mut left) = {
                let mut table = shard.lock();
                (table.take_outbox(), table.queued())
            };
            posted.for_each(&mut report);
            // Counters that are used meanwhile queue up behind, and report the next time.
            while left > 0 {
                let gone = shard.lock().dequeue(left.min(BATCH), &mut batch);
                left = if gone == 0 { 0 } else { left - gone };
                batch.drain(..).for_each(&mut report);
            }
        }
    }

    fn add_used(&self, rows: &[QuotaRow], _: UncountedUsage) -> Result<(), StorageError> {
        for row in rows {
            self.with_counter(&row.plan, &row.key, |counter| counter.add_used(row.usage));
        }
        Ok(())
    }

    fn restore(&self, row: &QuotaRow) {
        let counts = {
            let names = self.names.lock();
            let periods = names.periods(&row.plan);
            periods.is_empty() || periods.contains(&row.usage.period)
        };
        if counts {
            self.with_counter(&row.plan, &row.key, |counter| counter.restore(row.usage));
        }
    }

    fn extend(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        remaining: u64,
        now: Timestamp,
    ) -> Result<QuotaStatus, ExtendError> {
        let quota = plan.plan.quota.ok_or(ExtendError::NoQuota)?;
        let owner = self.owner(plan.number, key);
        let counter = self.new_counter(plan.number);
        let mut table = self.counters.lock_for(owner.hash);
        let position = match table.find(&owner) {
            Some(position) => position,
            None if table.make_room(owner.space, self.counters.division(), now) => {
                table.insert(&owner, key.into(), counter)
            }
            None => return Err(ExtendError::NoRoom),
        };
        let entry = table.entry(position).ok_or(ExtendError::NoRoom)?;
        let (_, over) = entry.counter.settle(&read_request(plan, now));
        let usage = entry.counter.extend(&quota, remaining);
        if let Some(over) = over {
            table.enqueue_usage(&owner, over, self.counters.capacity);
        }
        Ok(usage.status(&quota))
    }

    fn quota_status(&self, plan: &EnrolledPlan, key: &str, now: Timestamp) -> Option<QuotaStatus> {
        let quota = plan.plan.quota?;
        let owner = self.owner(plan.number, key);
        let mut table = self.counters.lock_for(owner.hash);
        let position = table.find(&owner);
        let entry = position.and_then(|position| table.entry(position));
        let new = UsageCounter::new();
        let counter = entry.map_or(&new, |entry| &entry.counter);
        let usage = counter.usage_at(quota.period, now.wall_ms);
        Some(usage.status(&quota))
    }
}
