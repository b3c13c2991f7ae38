//! The report and the request of one plan and key, and the answer to it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::entry::{LeaseEntry, Method, QuotaLease};
use super::lease::{Grant, LeaseRequest};
use crate::limits::usage_rows::QuotaUsage;
use crate::model::plan::RateLimit;
use crate::runtime::clock::Timestamp;

/// The report and the request of one entry.
#[derive(Debug)]
pub(super) struct EntryRequest {
    pub(crate) space: u32,
    pub(crate) hash: u64,
    pub(crate) plan: Arc<str>,
    pub(crate) key: Arc<str>,
    /// When it was first sent: leases end by that time.
    pub(crate) sent: Timestamp,
    pub(crate) retired: Vec<(QuotaLease, LeaseRequest)>,
    pub(crate) quota: Option<(QuotaLease, LeaseRequest)>,
    pub(crate) rates: SmallVec<[(Option<Method>, RateLimit, LeaseRequest); 1]>,
}

/// The answer to it.
#[derive(Debug)]
pub(super) struct RefillReply {
    /// The server's memory that gave it.
    pub(crate) memory: Arc<str>,
    /// With the total and the extension.
    pub(crate) quota: Option<(Grant, u64, i64)>,
    pub(crate) rates: SmallVec<[Grant; 1]>,
}

impl LeaseEntry {
    /// The report to send. [`LeaseEntry::settle`] must follow.
    pub(super) fn request(&mut self, now: Timestamp, ending: bool) -> EntryRequest {
        self.queued = false;
        self.in_flight = true;
        self.count_needs(now);
        let retired = std::mem::take(&mut self.retired).into_iter();
        let retired = retired.map(|mut quota| {
            let order = quota.lease.request(now, true);
            (quota, order)
        });
        EntryRequest {
            space: self.space,
            hash: self.hash,
            plan: Arc::clone(&self.plan),
            key: Arc::clone(&self.key),
            sent: now,
            retired: retired.collect(),
            quota: self.quota.as_mut().map(|quota| {
                let order = quota.lease.request(now, ending);
                (quota.clone(), order)
            }),
            rates: self
                .rates
                .iter_mut()
                .map(|rate| {
                    let order = rate.lease.request(now, ending);
                    (rate.method.clone(), rate.rate, order)
                })
                .collect(),
        }
    }

    /// Applies the answer. Returns the usage of the quota if its extension changed.
    pub(super) fn settle(
        &mut self,
        orders: &EntryRequest,
        answer: &RefillReply,
        now: Timestamp,
    ) -> Option<QuotaUsage> {
        self.in_flight = false;
        for ((method, rate, order), grant) in orders.rates.iter().zip(&answer.rates) {
            let number = method.as_ref().map(|method| method.number);
            if let Some(leased) = self.lease_of(number) {
                leased.lease.settle(*order, *grant, orders.sent, now);
                if leased.rate != *rate {
                    leased.lease.revoke(now);
                }
            }
        }
        let quota = self.quota.as_mut()?;
        let (sent_quota, order) = orders.quota.as_ref()?;
        let (grant, used, extra) = answer.quota?;
        if quota.usage.period_number() != sent_quota.usage.period_number() {
            return None;
        }
        quota.lease.settle(*order, grant, orders.sent, now);
        let is_extended = quota.usage.extra != extra;
        (quota.usage.used, quota.usage.extra) = (used, extra);
        quota.server_memory = Some(Arc::clone(&answer.memory));
        if quota.limit != sent_quota.limit {
            quota.lease.revoke(now);
        }
        is_extended.then_some(quota.usage)
    }
}

/// The name of a bucket on the server.
pub(super) fn rate_name(plan: &str, key: &str, method: Option<&Method>) -> String {
    match method {
        None => format!("{plan}:{key}"),
        Some(method) => format!("{plan}:{key}:{}", method.name),
    }
}
