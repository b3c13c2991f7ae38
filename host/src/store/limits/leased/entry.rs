//! All leases of one plan and key.

use std::sync::Arc;

use super::super::counter::Taken;
use super::super::period::Period;
use super::super::plan::{EnrolledPlan, MethodRate, Quota, Rate};
use super::super::time::Timestamp;
use super::super::{Bound, Level, Take};
use super::lease::{Grant, Lease, Order};

/// How long a quota is kept after its period ended, for clocks that step back. Milliseconds.
const GRACE_MS: u64 = 60 * 60 * 1000;
/// Numbers that a script counts in exactly.
const MOST: u64 = 1 << 53;

/// What sizes and first allowances come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The most that one lease holds.
    pub max_lease: u64,
    /// Whether a key that is new here may be let in before the first answer.
    pub reachable: bool,
}

impl Terms {
    pub(super) fn quota(self, quota: &Quota) -> u64 {
        (quota.limit / 10).clamp(1, self.max_lease.max(1))
    }

    pub(super) fn rate(self, rate: &Rate) -> u64 {
        rate.burst.clamp(1, self.max_lease.max(1))
    }

    fn lease(self, size: u64, now: Timestamp) -> Lease {
        Lease::first(size, if self.reachable { size } else { 0 }, now)
    }
}

/// A part of a quota, in one period.
#[derive(Debug, Clone)]
pub(super) struct QuotaLease {
    pub period: Period,
    pub number: u32,
    /// Of this period: without its offset and without an extension.
    pub limit: u64,
    pub lease: Lease,
    /// What all gateways together took, by the last answer.
    pub total: u64,
    /// The server's process that gave it.
    pub process: Option<Arc<str>>,
    pub extra: i64,
}

/// A method of a plan: its number here, and its name everywhere.
#[derive(Debug, Clone)]
pub(super) struct Method {
    number: u32,
    name: Arc<str>,
}

/// A part of a token bucket.
#[derive(Debug, Clone)]
pub(super) struct RateLease {
    /// None: the plan's own.
    pub method: Option<Method>,
    pub rate: Rate,
    pub lease: Lease,
}

/// The leases of one plan and key.
#[derive(Debug)]
pub(super) struct Entry {
    pub space: u32,
    pub hash: u64,
    pub plan: Arc<str>,
    pub key: Arc<str>,
    pub quota: Option<QuotaLease>,
    pub rates: Vec<RateLease>,
    /// Whether the refilling thread was told of it.
    pub queued: bool,
}

/// Why a taking finds no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    pub by: Bound,
    pub retry_after_ms: u64,
}

/// What may be used in this period, extensions left out.
pub(super) fn limit(quota: &Quota, since_ms: u64, number: u32) -> u64 {
    let is_first = number <= quota.period.number(since_ms);
    let offset = if is_first { quota.offset } else { 0 };
    quota.limit.saturating_sub(offset).min(MOST)
}

/// The rates that a taking meets, the method's first, with the number of the method.
fn rates<'a>(
    plan: &'a EnrolledPlan,
    take: &Take<'_>,
) -> impl Iterator<Item = (Option<(u32, &'a MethodRate)>, Rate)> {
    let method = take.method.and_then(|place| {
        let method = plan.plan().methods.get(place)?;
        Some((Some((plan.bound(place)?.number, method)), method.rate))
    });
    let own = plan.plan().rate.map(|rate| (None, rate));
    method.into_iter().chain(own)
}

impl RateLease {
    fn number(&self) -> Option<u32> {
        self.method.as_ref().map(|method| method.number)
    }
}

impl Entry {
    /// Bring it to this moment and to the numbers that the plan has now.
    pub(super) fn bring_up(&mut self, plan: &EnrolledPlan, take: &Take<'_>, terms: Terms) {
        let now = take.now;
        for (method, rate) in rates(plan, take) {
            let size = terms.rate(&rate);
            match self.lease_of(method.map(|(number, _)| number)) {
                Some(known) => {
                    known.rate = rate;
                    known.lease.size = size;
                }
                None => self.rates.push(RateLease {
                    method: method.map(|(number, method)| Method {
                        number,
                        name: format!("{} {}", method.method, method.path).into(),
                    }),
                    rate,
                    lease: terms.lease(size, now),
                }),
            }
        }
        match plan.plan().quota {
            None => self.quota = None,
            Some(quota) => self.bring_up_quota(&quota, plan.since_ms(), now, terms),
        }
    }

    fn bring_up_quota(&mut self, quota: &Quota, since_ms: u64, now: Timestamp, terms: Terms) {
        let shown = quota.period.number(now.wall_ms);
        let size = terms.quota(quota);
        let known = self.quota.take().filter(|known| {
            // A clock that steps back over the start of the period just begun gives nobody the
            // period before again.
            known.period == quota.period
                && (known.number == shown || known.number == shown.saturating_add(1))
        });
        let mut lease = known.unwrap_or_else(|| QuotaLease {
            period: quota.period,
            number: shown,
            limit: 0,
            lease: terms.lease(size, now),
            total: 0,
            process: None,
            extra: 0,
        });
        lease.limit = limit(quota, since_ms, lease.number);
        lease.lease.size = size;
        self.quota = Some(lease);
    }

    fn lease_of(&mut self, method: Option<u32>) -> Option<&mut RateLease> {
        let mut rates = self.rates.iter_mut();
        rates.find(|lease| lease.number() == method)
    }

    fn rate(&mut self, method: Option<u32>) -> Option<&mut Lease> {
        Some(&mut self.lease_of(method)?.lease)
    }

    /// The first bound of which there is too little, and the longest wait.
    pub(super) fn shortage(&mut self, plan: &EnrolledPlan, take: &Take<'_>) -> Option<Short> {
        let (cost, now) = (take.cost, take.now);
        let mut short: Option<Short> = None;
        let mut note = |by, retry_after_ms: u64| {
            let known = short.get_or_insert(Short { by, retry_after_ms });
            known.retry_after_ms = known.retry_after_ms.max(retry_after_ms);
        };
        // What can never be given is refused by the counters, which say so.
        for (method, rate) in rates(plan, take) {
            let by = method.map_or(Bound::Plan, |_| Bound::Method);
            if let Some(lease) = self.rate(method.map(|(number, _)| number))
                && lease.available() < cost
                && cost <= rate.burst
            {
                lease.lack(cost, now);
                note(by, lease.wait_ms(now));
            }
        }
        if let Some(quota) = &mut self.quota
            && quota.lease.available() < cost
            && cost <= quota.most()
        {
            quota.lease.lack(cost, now);
            let end_ms = quota.period.end_ms(quota.number);
            let wait_ms = if quota.total >= quota.most() {
                end_ms.saturating_sub(now.wall_ms)
            } else {
                quota.lease.wait_ms(now)
            };
            note(Bound::Quota, wait_ms);
        }
        short
    }

    /// Use up so much of all that the taking meets.
    pub(super) fn spend(&mut self, plan: &EnrolledPlan, take: &Take<'_>) {
        for (method, _) in rates(plan, take) {
            if let Some(lease) = self.rate(method.map(|(number, _)| number)) {
                lease.spend(take.cost, take.now);
            }
        }
        if let Some(quota) = &mut self.quota {
            quota.lease.spend(take.cost, take.now);
        }
    }

    /// Undo what was spent.
    pub(super) fn give_back(&mut self, cost: u64, taken: &Taken) {
        if taken.method.is_some()
            && let Some(lease) = self.rate(taken.method)
        {
            lease.give_back(cost);
        }
        if taken.rate
            && let Some(lease) = self.rate(None)
        {
            lease.give_back(cost);
        }
        if let (Some(place), Some(quota)) = (taken.quota, &mut self.quota)
            && place == (quota.period, quota.number)
        {
            quota.lease.give_back(cost);
        }
    }

    /// Whether the refilling thread should look at it.
    pub(super) fn wants(&self, now: Timestamp) -> bool {
        let quota = self.quota.as_ref().map(|quota| &quota.lease);
        let rates = self.rates.iter().map(|rate| &rate.lease);
        quota
            .into_iter()
            .chain(rates)
            .any(|lease| lease.is_low(now))
    }

    /// Whether there is something to tell or to give back.
    pub(super) fn is_unsettled(&self, now: Timestamp) -> bool {
        let quota = self.quota.as_ref().map(|quota| &quota.lease);
        let rates = self.rates.iter().map(|rate| &rate.lease);
        let mut leases = quota.into_iter().chain(rates);
        leases.any(|lease| lease.is_unsettled(now))
    }

    /// Whether it is as good as new: then a first allowance may be given again.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let over = self.quota.as_ref().is_none_or(|quota| {
            let end_ms = quota.period.end_ms(quota.number).saturating_add(GRACE_MS);
            now.wall_ms >= end_ms
        });
        let full = |rate: &RateLease| {
            let unused = now.monotonic_ns.saturating_sub(rate.lease.used_ns());
            rate.lease.is_empty() && unused / 1_000_000 >= rate.rate.shape().fill_ms()
        };
        over && !self.queued && self.rates.iter().all(full)
    }

    /// What of a level is this gateway's to give.
    pub(super) fn show(&self, rate: Option<&mut Level>, quota: Option<&mut Level>) {
        // Of several, the level does not say which one it is.
        if let (Some(level), [lease]) = (rate, &*self.rates) {
            let ours = lease.lease.available().saturating_add(lease.lease.left);
            level.remaining = level.remaining.min(ours);
        }
        if let (Some(level), Some(quota)) = (quota, &self.quota) {
            let ours = quota.lease.granted.saturating_add(quota.lease.left);
            let ours = ours.max(quota.lease.available());
            level.remaining = level.remaining.min(ours);
        }
    }

    /// What is to be told of it, and asked for. [`Entry::settle`] or [`Entry::fail`] must follow.
    pub(super) fn orders(&mut self, now: Timestamp, ending: bool) -> Orders {
        self.queued = false;
        Orders {
            space: self.space,
            hash: self.hash,
            plan: Arc::clone(&self.plan),
            key: Arc::clone(&self.key),
            quota: self.quota.as_mut().map(|quota| {
                let order = quota.lease.order(now, ending);
                (quota.clone(), order)
            }),
            rates: self
                .rates
                .iter_mut()
                .map(|rate| {
                    let order = rate.lease.order(now, ending);
                    (rate.method.clone(), rate.rate, order)
                })
                .collect(),
        }
    }

    /// The orders were not carried out.
    pub(super) fn fail(&mut self, orders: &Orders) {
        if let (Some(quota), Some((told, order))) = (&mut self.quota, &orders.quota)
            && (quota.period, quota.number) == (told.period, told.number)
        {
            quota.lease.fail(*order);
        }
        for (method, _, order) in &orders.rates {
            let number = method.as_ref().map(|method| method.number);
            if let Some(rate) = self.lease_of(number) {
                rate.lease.fail(*order);
            }
        }
    }

    /// The orders were carried out. Gives the quota's extension where it is another than before.
    pub(super) fn settle(
        &mut self,
        orders: &Orders,
        answer: &Answer,
        now: Timestamp,
    ) -> Option<i64> {
        let gateways = answer.gateways;
        for ((method, _, order), grant) in orders.rates.iter().zip(&answer.rates) {
            let number = method.as_ref().map(|method| method.number);
            if let Some(rate) = self.lease_of(number) {
                rate.lease.settle(*order, *grant, gateways, now);
            }
        }
        let (quota, (told, order)) = (self.quota.as_mut()?, orders.quota.as_ref()?);
        let (grant, total, extra) = answer.quota?;
        if (quota.period, quota.number) != (told.period, told.number) {
            return None;
        }
        quota.lease.settle(*order, grant, gateways, now);
        quota.total = total;
        quota.process = Some(Arc::clone(&answer.process));
        let before = std::mem::replace(&mut quota.extra, extra);
        (before != extra).then_some(extra)
    }
}

/// What one entry tells and asks for.
#[derive(Debug)]
pub(super) struct Orders {
    pub space: u32,
    pub hash: u64,
    pub plan: Arc<str>,
    pub key: Arc<str>,
    pub quota: Option<(QuotaLease, Order)>,
    pub rates: Vec<(Option<Method>, Rate, Order)>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub gateways: u64,
    pub process: Arc<str>,
    /// With the total and the extension.
    pub quota: Option<(Grant, u64, i64)>,
    pub rates: Vec<Grant>,
}

impl QuotaLease {
    /// What all gateways together may take in the period.
    fn most(&self) -> u64 {
        self.limit.saturating_add_signed(self.extra)
    }

    /// Its name in the store. A key's id holds no `:`, so that no two plans share one.
    pub(super) fn name(&self, plan: &str, key: &str) -> String {
        quota_name(self.period, self.number, plan, key)
    }

    /// When the store may forget it. Milliseconds since 1970.
    pub(super) fn ends_ms(&self) -> u64 {
        ends_ms(self.period, self.number)
    }
}

/// The same of a quota without a lease.
pub(super) fn quota_name(period: Period, number: u32, plan: &str, key: &str) -> String {
    let period = match period {
        Period::Day => "day",
        Period::Week => "week",
        Period::Month => "month",
    };
    format!("{period}:{number}:{plan}:{key}")
}

pub(super) fn ends_ms(period: Period, number: u32) -> u64 {
    period.end_ms(number).saturating_add(GRACE_MS)
}

/// A bucket's name in the store.
pub(super) fn rate_name(plan: &str, key: &str, method: Option<&Method>) -> String {
    match method {
        None => format!("{plan}:{key}"),
        Some(method) => format!("{plan}:{key}:{}", method.name),
    }
}
