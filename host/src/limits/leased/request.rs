//! The report and the request of one plan and key, and the answer to it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::entry::{LeaseEntry, Method, QuotaLease};
use super::lease::{Grant, LeaseRequest};
use crate::model::plan::RateLimit;
use crate::runtime::clock::Timestamp;

use crate::model::period::Period;

#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The quota's period and its extension, if it changed.
    pub(crate) extended: Option<(Period, u32, i64)>,
}

/// The report and the request of one entry.
#[derive(Debug)]
pub(super) struct EntryRequest {
    pub(crate) space: u32,
    pub(crate) hash: u64,
    pub(crate) plan: Arc<str>,
    pub(crate) key: Arc<str>,
    /// When it was first sent: leases end by that time.
    pub(crate) sent: Timestamp,
    pub(crate) retired: SmallVec<[(QuotaLease, LeaseRequest); 0]>,
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

    /// Applies the answer.
    pub(super) fn settle(
        &mut self,
        orders: &EntryRequest,
        answer: &RefillReply,
        now: Timestamp,
    ) -> Settled {
        self.in_flight = false;
        let mut settled = Settled::default();
        for ((method, rate, order), grant) in orders.rates.iter().zip(&answer.rates) {
            let number = method.as_ref().map(|method| method.number);
            if let Some(known) = self.lease_of(number) {
                known.lease.settle(*order, *grant, orders.sent, now);
                if known.rate != *rate {
                    known.lease.revoke(now);
                }
            }
        }
        if let (Some(quota), Some((sent_quota, order)), Some((grant, total, extra))) =
            (self.quota.as_mut(), orders.quota.as_ref(), answer.quota)
            && (quota.period, quota.number) == (sent_quota.period, sent_quota.number)
        {
            quota.lease.settle(*order, grant, orders.sent, now);
            quota.total = total;
            quota.server_memory = Some(Arc::clone(&answer.memory));
            if std::mem::replace(&mut quota.extra, extra) != extra {
                settled.extended = Some((quota.period, quota.number, extra));
            }
            if quota.limit != sent_quota.limit {
                quota.lease.revoke(now);
            }
        }
        settled
    }
}

/// The name of a bucket on the server.
pub(super) fn rate_name(plan: &str, key: &str, method: Option<&Method>) -> String {
    match method {
        None => format!("{plan}:{key}"),
        Some(method) => format!("{plan}:{key}:{}", method.name),
    }
}
