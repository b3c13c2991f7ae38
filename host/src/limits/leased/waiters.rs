//! Requests of one plan and key that wait for their share.
//!
//! They wait in the order of their arrival. An answer of the server wakes the requests whose share
//! is leased now, and those that are to be refused. The others stay in the queue, and the next
//! call asks for all of them together.

use tokio::sync::oneshot;

use super::entry::{LeaseEntry, LeaseWaiter};
use super::lease::{Availability, BudgetLease};
use crate::limits::plan::EnrolledPlan;
use crate::limits::{DecisionSignal, TakeRequest};
use crate::model::plan::RateLimit;
use crate::runtime::clock::Timestamp;

/// The most requests that wait for one key's share; further ones are refused as unavailable.
const MAX_WAITERS: usize = 10_000;

impl LeaseEntry {
    /// Waits with a request whose outlook is unknown. None if too many wait.
    pub(super) fn wait(
        &mut self,
        plan: &EnrolledPlan,
        take: &TakeRequest<'_>,
    ) -> Option<DecisionSignal> {
        if self.waiters.len() >= MAX_WAITERS {
            return None;
        }
        let method = take.method.and_then(|index| plan.bound(index));
        let method = method.map(|method| method.number);
        self.need(take.cost, method, take.now);
        let (answer, waiting) = oneshot::channel();
        self.waiters.push(LeaseWaiter {
            cost: take.cost,
            method,
            is_reported: false,
            answer,
        });
        Some(waiting)
    }

    /// Whether the refilling thread asks for new waiters by itself.
    pub(super) fn is_asking(&self) -> bool {
        self.in_flight || self.asks_again
    }

    /// The leases that a request takes from, as far as they can ever cover its cost.
    fn leases_of_request(
        &mut self,
        cost: u64,
        method: Option<u32>,
    ) -> impl Iterator<Item = (&mut BudgetLease, Option<RateLimit>)> {
        let quota = self
            .quota
            .as_mut()
            .filter(|quota| cost <= quota.total_limit());
        let rates = self.rates.iter_mut().filter(move |rate| {
            let number = rate.number();
            (number.is_none() || number == method) && cost <= rate.rate.burst
        });
        let rates = rates.map(|rate| (&mut rate.lease, Some(rate.rate)));
        rates.chain(quota.map(|quota| (&mut quota.lease, None)))
    }

    fn need(&mut self, cost: u64, method: Option<u32>, now: Timestamp) {
        for (lease, _) in self.leases_of_request(cost, method) {
            if !lease.has(cost, now) {
                lease.need(cost, now);
            }
        }
    }

    fn clear_needs(&mut self) {
        self.leases_mut().for_each(BudgetLease::clear_needs);
    }

    /// Counts the needs of the waiting requests, before the server is asked.
    pub(super) fn count_needs(&mut self, now: Timestamp) {
        self.clear_needs();
        let mut waiters = std::mem::take(&mut self.waiters);
        waiters.retain(|waiter| !waiter.is_gone());
        for waiter in &mut waiters {
            waiter.is_reported = true;
            self.need(waiter.cost, waiter.method, now);
        }
        self.waiters = waiters;
    }

    /// The waiters that can be answered now, to be woken: their share is leased, or the shared
    /// count says that too little is left.
    pub(super) fn wake_answered(&mut self, now: Timestamp) -> Vec<oneshot::Sender<()>> {
        self.clear_needs();
        self.leases_mut().for_each(BudgetLease::clear_promises);
        let mut answered = Vec::new();
        for waiter in std::mem::take(&mut self.waiters) {
            if waiter.is_gone() {
                continue;
            }
            if self.answers(waiter.cost, waiter.method, now) {
                answered.push(waiter.answer);
            } else {
                self.need(waiter.cost, waiter.method, now);
                self.waiters.push(waiter);
            }
        }
        answered
    }

    fn answers(&mut self, cost: u64, method: Option<u32>, now: Timestamp) -> bool {
        // The next period must be asked for again.
        let quota = self.quota.as_ref();
        if quota.is_some_and(|quota| quota.has_ended(now)) {
            return true;
        }
        let mut lacks = false;
        for (lease, refill) in self.leases_of_request(cost, method) {
            if lease.has(cost, now) {
                continue;
            }
            if let Availability::Short { .. } = lease.room(cost, refill, now) {
                return true;
            }
            lacks = true;
        }
        if !lacks {
            self.leases_of_request(cost, method)
                .for_each(|(lease, _)| lease.promise(cost));
        }
        !lacks
    }

    /// When to ask again for the waiters. None if there are none. Nanoseconds.
    pub(super) fn next_ask_ns(&self, now: Timestamp) -> Option<u64> {
        if self.waiters.iter().any(|waiter| !waiter.is_reported) {
            return Some(now.monotonic_ns);
        }
        (!self.waiters.is_empty()).then(|| {
            let leases = self.leases().map(|lease| lease.next_ask_ns(now));
            leases.max().unwrap_or_default()
        })
    }

    /// All waiters, to be woken.
    pub(super) fn wake(&mut self) -> Vec<oneshot::Sender<()>> {
        self.clear_needs();
        let waiters = std::mem::take(&mut self.waiters).into_iter();
        waiters.map(|waiter| waiter.answer).collect()
    }

    /// Whether any request still waits.
    pub(super) fn has_waiters(&mut self) -> bool {
        self.waiters.retain(|waiter| !waiter.is_gone());
        !self.waiters.is_empty()
    }
}
