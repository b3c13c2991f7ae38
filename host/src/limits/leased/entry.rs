//! All leases of one plan and key.

use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::LeasePolicy;
use super::lease::{Availability, BudgetLease};
use crate::limits::bounds::LimitRefusal;
use crate::limits::counter::TakenAmounts;
use crate::limits::plan::{EnrolledPlan, MethodRate};
use crate::limits::usage::GRACE_MS;
use crate::limits::usage_rows::QuotaUsage;
use crate::limits::{BoundKind, Level, TakeRequest};
use crate::model::plan::{QuotaLimit, RateLimit};
use crate::runtime::clock::Timestamp;

/// The owner of leases, by which the refilling thread finds them again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseOwner {
    pub(crate) space: u32,
    pub(crate) key: Arc<str>,
}

/// The largest number that a script represents exactly.
pub(super) const MOST: u64 = 1 << 53;

impl LeasePolicy {
    /// The largest lease of this quota.
    pub(super) fn quota_lease(&self, quota: &QuotaLimit) -> u64 {
        (quota.limit / 10).clamp(1, self.max_lease.max(1))
    }

    /// The largest lease of this rate.
    pub(super) fn rate_lease(&self, rate: &RateLimit) -> u64 {
        rate.burst.clamp(1, self.max_lease.max(1))
    }
}

/// A part of a quota, in one period.
#[derive(Debug, Clone)]
pub(super) struct QuotaLease {
    /// The reported usage of all gateways together, by the last answer.
    pub(crate) usage: QuotaUsage,
    /// The limit of a period, without an extension.
    pub(crate) limit: u64,
    pub(crate) lease: BudgetLease,
    /// The server's memory that gave it.
    pub(crate) server_memory: Option<Arc<str>>,
}

/// A method of a plan: its number here, and its name for all gateways.
#[derive(Debug, Clone)]
pub(super) struct Method {
    pub(crate) number: u32,
    pub(crate) name: Arc<str>,
}

/// A part of a token bucket.
#[derive(Debug, Clone)]
pub(super) struct RateLease {
    /// None: the plan's own.
    pub(crate) method: Option<Method>,
    pub(crate) rate: RateLimit,
    pub(crate) lease: BudgetLease,
}

/// The leases of one plan and key.
#[derive(Debug)]
pub(super) struct LeaseEntry {
    pub(crate) space: u32,
    pub(crate) hash: u64,
    pub(crate) plan: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) quota: Option<QuotaLease>,
    /// Quotas whose period has ended, or was changed, with something to report.
    pub(crate) retired: Vec<QuotaLease>,
    pub(crate) rates: SmallVec<[RateLease; 1]>,
    /// Whether it is in the queue of the refilling thread.
    pub(crate) queued: bool,
    /// Whether a request of it is in flight.
    pub(crate) in_flight: bool,
    /// Whether the refilling thread asks again for the waiting requests, after a while.
    pub(crate) asks_again: bool,
    /// Requests that wait for a share, in the order of their arrival.
    pub(crate) waiters: Vec<LeaseWaiter>,
}

/// A request that waits for its share.
#[derive(Debug)]
pub(super) struct LeaseWaiter {
    pub(super) cost: u64,
    /// The number of its method's rate.
    pub(super) method: Option<u32>,
    /// Whether the server was asked for its share.
    pub(super) is_reported: bool,
    pub(super) answer: oneshot::Sender<()>,
}

impl LeaseWaiter {
    /// Whether it has left. Its share is asked for once all the same: the next request may use it.
    pub(super) fn is_gone(&self) -> bool {
        self.is_reported && self.answer.is_closed()
    }
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakeOutlook {
    /// The leases cover it.
    Enough,
    /// The shared count says that too little of this bound is left.
    Short(LimitRefusal),
    /// The server must be asked. If it has just reported that other gateways have the missing part
    /// of a rate, this is the rate.
    Unknown(Option<BoundKind>),
}

/// The rates of a request, the method's first, with the number of the method.
fn rates<'a>(
    plan: &'a EnrolledPlan,
    take: &TakeRequest<'_>,
) -> impl Iterator<Item = (Option<(u32, &'a MethodRate)>, RateLimit)> {
    let method = take.method.and_then(|index| {
        let method = plan.plan.methods.get(index)?;
        Some((Some((plan.bound(index)?.number, method)), method.rate))
    });
    let own = plan.plan.rate.map(|rate| (None, rate));
    method.into_iter().chain(own)
}

impl RateLease {
    pub(super) fn number(&self) -> Option<u32> {
        self.method.as_ref().map(|method| method.number)
    }
}

impl LeaseEntry {
    pub(super) fn new(plan: &EnrolledPlan, hash: u64, key: &str) -> Self {
        Self {
            space: plan.number,
            hash,
            plan: Arc::clone(&plan.plan.name),
            key: key.into(),
            quota: None,
            retired: Vec::new(),
            rates: SmallVec::new(),
            queued: false,
            in_flight: false,
            asks_again: false,
            waiters: Vec::new(),
        }
    }

    /// Brings it to this time and to the present numbers of the plan. Leases under other numbers
    /// are given up, so that the new ones apply at once.
    pub(super) fn refresh(
        &mut self,
        plan: &EnrolledPlan,
        take: &TakeRequest<'_>,
        policy: &LeasePolicy,
    ) {
        for (method, rate) in rates(plan, take) {
            let size = policy.rate_lease(&rate);
            match self.lease_of(method.map(|(number, _)| number)) {
                Some(leased) if leased.rate == rate => {}
                Some(leased) => {
                    leased.rate = rate;
                    leased.lease.resize(size);
                    leased.lease.revoke(take.now);
                }
                None => self.rates.push(RateLease {
                    method: method.map(|(number, method)| Method {
                        number,
                        name: format!("{} {}", method.method, method.path).into(),
                    }),
                    rate,
                    lease: BudgetLease::new(size, take.now),
                }),
            }
        }
        match plan.plan.quota {
            None => self.retire(take.now),
            Some(quota) => self.refresh_quota(&quota, take.now, policy),
        }
    }

    fn refresh_quota(&mut self, quota: &QuotaLimit, now: Timestamp, policy: &LeasePolicy) {
        let shown = quota.period.number(now.wall_ms);
        let goes_on = self.quota.as_ref().is_some_and(|leased| {
            // A clock that steps back over the start of the present period gives nobody the period
            // before again.
            let QuotaUsage { period, number, .. } = leased.usage;
            period == quota.period && (number == shown || number == shown.saturating_add(1))
        });
        if !goes_on {
            self.retire(now);
        }
        let limit = quota.limit.min(MOST);
        let leased = self.quota.get_or_insert_with(|| QuotaLease {
            usage: QuotaUsage {
                number: shown,
                ..QuotaUsage::begin(quota.period)
            },
            limit,
            lease: BudgetLease::new(0, now),
            server_memory: None,
        });
        leased.lease.resize(policy.quota_lease(quota));
        if leased.limit != limit {
            leased.limit = limit;
            leased.lease.revoke(now);
        }
    }

    /// Replaces the quota. The usage of the old one is still reported.
    fn retire(&mut self, now: Timestamp) {
        if let Some(mut quota) = self.quota.take() {
            quota.lease.revoke(now);
            quota.lease.clear_needs();
            self.retired.push(quota);
        }
    }

    pub(super) fn lease_of(&mut self, method: Option<u32>) -> Option<&mut RateLease> {
        let mut rates = self.rates.iter_mut();
        rates.find(|lease| lease.number() == method)
    }

    /// Marks it as queued. Returns the owner to queue; None if it was queued already.
    pub(super) fn enqueue(&mut self) -> Option<LeaseOwner> {
        let queued = std::mem::replace(&mut self.queued, true);
        (!queued).then(|| self.owner())
    }

    pub(super) fn owner(&self) -> LeaseOwner {
        LeaseOwner {
            space: self.space,
            key: Arc::clone(&self.key),
        }
    }

    fn rate(&mut self, method: Option<u32>) -> Option<&mut BudgetLease> {
        Some(&mut self.lease_of(method)?.lease)
    }

    /// Whether a request may go on; if not, the first bound with too little, and the longest wait.
    /// An impossible request is left to the counters, which refuse it.
    pub(super) fn outlook(&mut self, plan: &EnrolledPlan, take: &TakeRequest<'_>) -> TakeOutlook {
        let (cost, now) = (take.cost, take.now);
        let mut short: Option<LimitRefusal> = None;
        let mut unknown: Option<Option<BoundKind>> = None;
        let mut note = |room: Availability, by, otherwise_ms: u64| match room {
            Availability::Enough => {}
            Availability::AtOtherGateways if by != BoundKind::Quota => {
                unknown.get_or_insert(Some(by));
            }
            Availability::Unknown | Availability::AtOtherGateways => unknown = Some(None),
            Availability::Short {
                wait_ms,
                at_other_gateways,
            } => {
                let soon = if at_other_gateways { 1000 } else { u64::MAX };
                let retry_after_ms = wait_ms.unwrap_or(otherwise_ms).min(soon);
                let first = short.get_or_insert(LimitRefusal { by, retry_after_ms });
                first.retry_after_ms = first.retry_after_ms.max(retry_after_ms);
            }
        };
        for (method, rate) in rates(plan, take) {
            let by = method.map_or(BoundKind::Plan, |_| BoundKind::Method);
            if let Some(lease) = self.rate(method.map(|(number, _)| number))
                && cost <= rate.burst
            {
                note(lease.room(cost, Some(rate), now), by, 0);
            }
        }
        if let Some(quota) = &self.quota
            && cost <= quota.total_limit()
        {
            let ends_ms = quota.usage.end_ms();
            let room = quota.lease.room(cost, None, now);
            note(room, BoundKind::Quota, ends_ms.saturating_sub(now.wall_ms));
        }
        match (short, unknown) {
            (Some(short), _) => TakeOutlook::Short(short),
            (None, Some(rate)) => TakeOutlook::Unknown(rate),
            (None, None) => TakeOutlook::Enough,
        }
    }

    /// Uses this much of all that the request takes from.
    #[inline]
    pub(super) fn spend(&mut self, plan: &EnrolledPlan, take: &TakeRequest<'_>) {
        for (method, _) in rates(plan, take) {
            if let Some(lease) = self.rate(method.map(|(number, _)| number)) {
                lease.spend(take.cost, take.now);
            }
        }
        if let Some(quota) = &mut self.quota {
            quota.lease.spend(take.cost, take.now);
        }
    }

    /// Gives back.
    pub(super) fn give_back(&mut self, cost: u64, taken: &TakenAmounts, now: Timestamp) {
        if taken.method.is_some()
            && let Some(lease) = self.rate(taken.method)
        {
            lease.give_back(cost, now);
        }
        if taken.rate
            && let Some(lease) = self.rate(None)
        {
            lease.give_back(cost, now);
        }
        if let (Some(taken_in), Some(quota)) = (taken.quota, &mut self.quota)
            && taken_in == quota.usage.period_number()
        {
            quota.lease.give_back(cost, now);
        }
    }

    /// Gives up the leases and the snapshot of the quota, because it was extended.
    pub(super) fn revoke_quota(&mut self, now: Timestamp) {
        if let Some(quota) = &mut self.quota {
            quota.lease.revoke(now);
        }
    }

    /// Returns unused leases with the next request.
    pub(super) fn recall(&mut self) {
        for lease in self.leases_mut() {
            lease.recall();
        }
    }

    /// Whether the usage of the quota is reported and acknowledged.
    pub(super) fn is_reported(&self) -> bool {
        let quota = self.quota.as_ref();
        !self.in_flight
            && self.retired.is_empty()
            && quota.is_none_or(|quota| quota.lease.unreported() == 0)
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = &BudgetLease> {
        let quota = self.quota.as_ref().map(|quota| &quota.lease);
        let rates = self.rates.iter().map(|rate| &rate.lease);
        quota.into_iter().chain(rates)
    }

    pub(super) fn leases_mut(&mut self) -> impl Iterator<Item = &mut BudgetLease> {
        let quota = self.quota.as_mut().map(|quota| &mut quota.lease);
        let rates = self.rates.iter_mut().map(|rate| &mut rate.lease);
        quota.into_iter().chain(rates)
    }

    /// Whether the refilling thread should look at it.
    #[inline]
    pub(super) fn needs_refill(&self, now: Timestamp) -> bool {
        self.leases().any(|lease| lease.is_low(now))
    }

    /// Whether there is something to report, to return or to renew.
    pub(super) fn is_unsettled(&self, now: Timestamp) -> bool {
        !self.retired.is_empty() || self.leases().any(|lease| lease.is_unsettled(now))
    }

    /// Whether it is as good as new.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        // The state of a quota is reported to a server that lost it.
        let over = self
            .quota
            .as_ref()
            .is_none_or(|quota| quota.usage.used == 0 || now.wall_ms >= expiry_ms(&quota.usage));
        let unused = |lease: &BudgetLease| {
            let unused_ns = now.monotonic_ns.saturating_sub(lease.used_ns());
            lease.is_empty(now) && unused_ns >= 5_000_000_000
        };
        over && !self.queued
            && !self.in_flight
            && self.waiters.is_empty()
            && self.retired.is_empty()
            && self.leases().all(unused)
    }

    /// Levels show what all gateways together may still use, as far as this one knows.
    pub(super) fn show(&self, rate: Option<&mut Level>, quota: Option<&mut Level>, now: Timestamp) {
        // With several rates, the level does not say which one it is.
        if let (Some(level), [lease]) = (rate, &*self.rates)
            && let Some(remaining) = lease.lease.remaining(Some(lease.rate), now)
        {
            level.remaining = level.remaining.min(remaining);
        }
        if let (Some(level), Some(quota)) = (quota, &self.quota)
            && let Some(remaining) = quota.lease.remaining(None, now)
        {
            level.remaining = remaining.min(level.limit);
        }
    }
}

/// The name on the server of a quota in one period. A key's id has no `:`, so no two plans share
/// one.
pub(super) fn quota_name(usage: &QuotaUsage, plan: &str, key: &str) -> String {
    let QuotaUsage { period, number, .. } = usage;
    format!("{period}:{number}:{plan}:{key}")
}

/// When the server may drop a quota of this period. Milliseconds since 1970.
pub(super) fn expiry_ms(usage: &QuotaUsage) -> u64 {
    usage.end_ms().saturating_add(GRACE_MS)
}

impl QuotaLease {
    /// The limit of all gateways together in the period.
    pub(super) fn total_limit(&self) -> u64 {
        self.limit.saturating_add_signed(self.usage.extra)
    }

    /// Whether its period has ended.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.usage.period.number(now.wall_ms) > self.usage.number
    }
}
