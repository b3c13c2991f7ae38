//! One bound of one key, as far as this gateway may use it. Pure.
//!
//! It has two kinds of units. *Paid* ones were requested for waiting requests; the budget counts
//! them as used already. *Leased* ones were fetched in advance, still belong to the budget, and
//! may be used until the lease ends. So a gateway that is killed may have used at most one lease
//! without a report.

use crate::model::plan::RateLimit;
use crate::runtime::clock::Timestamp;

/// Units that are unused for this long are returned. Nanoseconds.
const RETURN_AFTER_NS: u64 = 1_000_000_000;
/// How long an answer of the budget decides refusals. Nanoseconds.
const ANSWER_VALID_NS: u64 = 1_000_000_000;
/// The pause before the budget is asked again for units that other gateways were asked to return,
/// or while it cannot tell. Nanoseconds.
const RECALL_NS: u64 = 50_000_000;

/// How long the server keeps a lease for its gateway: the script counts by the server's clock,
/// from when it runs. Milliseconds.
pub(super) const LEASE_MS: u64 = 5_000;
/// How much earlier the gateway stops using it, by its own clock that never steps, counted from
/// before the call was sent. Milliseconds.
pub(super) const MARGIN_MS: u64 = 1_000;
const USABLE_NS: u64 = (LEASE_MS - MARGIN_MS) * 1_000_000;

/// A part of a shared budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct BudgetLease {
    /// The largest lease in advance.
    size: u64,
    /// Counted as used in the budget, and not used yet.
    paid: u64,
    /// Leased, and not used yet.
    leased: u64,
    /// When the lease ends. Nanoseconds.
    end_ns: u64,
    /// Used and not reported yet: of leased units, or by a policy without any.
    unreported: u64,
    /// Paid and given up: to be reported.
    returned: u64,
    /// How much to lease in advance: the recent usage.
    target: u64,
    /// Used since the last request.
    recent: u64,
    /// The needs of waiting requests, all together.
    needed: u64,
    /// The smallest need of a waiting request.
    smallest_need: u64,
    /// Woken requests are about to take this much.
    promised: u64,
    /// By the last answer; None before the first.
    last_answer: Option<BudgetSnapshot>,
    /// Before this time another answer would be no better. Nanoseconds.
    next_ask_ns: u64,
    /// When it was last used or wanted. Nanoseconds.
    used_ns: u64,
    /// Whether the server wants unused units back.
    recalled: bool,
    /// When the budget was last changed: earlier answers are void. Nanoseconds.
    revoked_ns: Option<u64>,
}

/// An answer about the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BudgetSnapshot {
    /// Units that no gateway has.
    left: u64,
    /// Units that other gateways have.
    others: u64,
    /// The remaining units of the budget, for all gateways together, without this gateway's usage
    /// since.
    remaining: u64,
    /// The part of this usage that no share covered, because the policy let it through.
    unshared: u64,
    /// When the answer was requested. Nanoseconds.
    at_ns: u64,
    /// From then on, until one more unit returns if the budget fills. Nanoseconds.
    next_ns: u64,
}

/// The report and the request of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseRequest {
    /// Used units of the lease, or without a lease.
    pub(crate) spent: u64,
    /// Units that were paid and not used.
    pub(crate) returned: u64,
    /// Units that stay leased.
    pub(crate) leased: u64,
    /// The needs of waiting requests.
    pub(crate) need: u64,
    /// The smallest need of a waiting request.
    pub(crate) smallest_need: u64,
    /// How much more to lease in advance.
    pub(crate) advance: u64,
}

/// The answer of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Grant {
    /// For waiting requests.
    pub(crate) paid: u64,
    /// In advance.
    pub(crate) leased: u64,
    /// The part of the request's leased units that still counts as leased.
    pub(crate) still_leased: u64,
    /// Units that no gateway has.
    pub(crate) left: u64,
    /// Units that other gateways have.
    pub(crate) others: u64,
    /// The time until one more unit can be there. Milliseconds.
    pub(crate) wait_ms: u64,
    /// Whether the budget can tell: not while gateways report their state, after a restart of the
    /// server.
    pub(crate) is_known: bool,
}

/// Whether this much may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Availability {
    /// The lease covers it.
    Enough,
    /// The shared count says that too little is left. The time until there can be more:
    /// milliseconds, if the budget fills.
    Short {
        /// The time until the missing units have returned.
        wait_ms: Option<u64>,
        /// Whether other gateways have some of them.
        at_other_gateways: bool,
    },
    /// Other gateways have the missing units, and are asked to return them.
    AtOtherGateways,
    /// The server must be asked.
    Unknown,
}

impl BudgetLease {
    pub(super) fn new(size: u64, now: Timestamp) -> Self {
        Self {
            size,
            used_ns: now.monotonic_ns,
            ..Self::default()
        }
    }

    /// Sets the largest lease in advance.
    pub(super) fn resize(&mut self, size: u64) {
        self.size = size;
    }

    /// The units that may be used now.
    #[inline]
    pub(super) fn available(&self, now: Timestamp) -> u64 {
        self.paid.saturating_add(self.valid(now))
    }

    /// The leased units, unless the lease has ended.
    #[inline]
    fn valid(&self, now: Timestamp) -> u64 {
        if now.monotonic_ns < self.end_ns {
            self.leased
        } else {
            0
        }
    }

    /// Whether this much may be used. Requests that already wait come first.
    #[inline]
    pub(super) fn room(
        &self,
        cost: u64,
        refill: Option<RateLimit>,
        now: Timestamp,
    ) -> Availability {
        let available = self.available(now);
        if available >= cost {
            return Availability::Enough;
        }
        let Some(seen) = &self.last_answer else {
            return Availability::Unknown;
        };
        let age_ns = now.monotonic_ns.saturating_sub(seen.at_ns);
        if age_ns >= ANSWER_VALID_NS {
            return Availability::Unknown;
        }
        let came = refill.map_or(0, |refill| refill.refilled_since(seen, now));
        // Units that this gateway returns stay in it until the next answer: they are in flight,
        // not used.
        let there = seen
            .remaining
            .saturating_add(seen.unshared)
            .saturating_add(came);
        // A rate fills again, so nobody waits behind requests for all of it. A quota does not, and
        // is refused only when it is used up.
        let before = refill.map_or(0, |_| self.needed);
        let wanted = cost.saturating_add(before);
        if there >= wanted {
            return if there.saturating_sub(seen.others) >= wanted {
                Availability::Unknown
            } else {
                Availability::AtOtherGateways
            };
        }
        Availability::Short {
            wait_ms: refill.map(|refill| refill.time_ms(wanted - there)),
            at_other_gateways: seen.others > 0,
        }
    }

    /// Uses this much: paid units first, then leased ones. Anything beyond that is used without a
    /// lease.
    #[inline]
    pub(super) fn spend(&mut self, cost: u64, now: Timestamp) {
        let paid = self.paid.min(cost);
        self.paid -= paid;
        let leased = (cost - paid).min(self.valid(now));
        self.leased -= leased;
        self.promised = self.promised.saturating_sub(cost);
        self.unreported = self.unreported.saturating_add(cost - paid);
        self.recent = self.recent.saturating_add(cost);
        self.used_ns = self.used_ns.max(now.monotonic_ns);
        if let Some(seen) = &mut self.last_answer {
            seen.remaining = seen.remaining.saturating_sub(cost);
            seen.unshared = seen.unshared.saturating_add(cost - paid - leased);
        }
    }

    /// Records that a request waits for this much.
    pub(super) fn need(&mut self, cost: u64, now: Timestamp) {
        self.smallest_need = if self.needed == 0 {
            cost
        } else {
            self.smallest_need.min(cost)
        };
        self.needed = self.needed.saturating_add(cost);
        self.used_ns = self.used_ns.max(now.monotonic_ns);
    }

    /// Clears the needs, because nobody waits any more or the needs are counted again.
    pub(super) fn clear_needs(&mut self) {
        self.needed = 0;
        self.smallest_need = 0;
    }

    /// Whether this much is available that no woken request was promised.
    pub(super) fn has(&self, cost: u64, now: Timestamp) -> bool {
        self.free(now) >= cost
    }

    fn free(&self, now: Timestamp) -> u64 {
        self.available(now).saturating_sub(self.promised)
    }

    /// Promises this much to a request that waited for it.
    pub(super) fn promise(&mut self, cost: u64) {
        self.promised = self.promised.saturating_add(cost);
    }

    /// Clears the promises: woken requests had the time to take.
    pub(super) fn clear_promises(&mut self) {
        self.promised = 0;
    }

    /// Gives back: unreported usage first.
    pub(super) fn give_back(&mut self, cost: u64, now: Timestamp) {
        let unreported = self.unreported.min(cost);
        self.unreported -= unreported;
        if now.monotonic_ns < self.end_ns {
            self.leased = self.leased.saturating_add(unreported);
        }
        self.paid = self.paid.saturating_add(cost - unreported);
        if let Some(seen) = &mut self.last_answer {
            seen.remaining = seen.remaining.saturating_add(cost);
        }
    }

    /// Gives up all units and the snapshot, because the budget was changed.
    pub(super) fn revoke(&mut self, now: Timestamp) {
        self.revoked_ns = Some(now.monotonic_ns);
        self.drop_all();
    }

    fn drop_all(&mut self) {
        self.returned = self.returned.saturating_add(std::mem::take(&mut self.paid));
        self.leased = 0;
        self.last_answer = None;
        self.next_ask_ns = 0;
    }

    /// The server wants unused units back.
    pub(super) fn recall(&mut self) {
        self.recalled = true;
    }

    /// Whether it is worthwhile to ask for more.
    #[inline]
    pub(super) fn is_low(&self, now: Timestamp) -> bool {
        now.monotonic_ns >= self.next_ask_ns
            && (self.needed > 0
                // One request alone is not worth a lease.
                || self.leased <= self.target / 2 && (self.recent > 1 || self.target > 0))
    }

    /// Whether there is something to report or to return, or a lease to renew.
    pub(super) fn is_unsettled(&self, now: Timestamp) -> bool {
        self.unreported > 0
            || self.returned > 0
            || self.needed > 0 && now.monotonic_ns >= self.next_ask_ns
            || (self.leased > 0 || self.paid > 0)
                && (self.is_unused(now)
                    || now.monotonic_ns.saturating_add(USABLE_NS / 2) >= self.end_ns)
    }

    /// Whether dropping it would lose nothing.
    pub(super) fn is_empty(&self, now: Timestamp) -> bool {
        self.available(now) == 0 && self.unreported == 0 && self.returned == 0 && self.needed == 0
    }

    /// The usage that is not reported. It does not include reported usage without an
    /// acknowledgement.
    pub(super) fn unreported(&self) -> u64 {
        self.unreported
    }

    /// Nanoseconds.
    pub(super) fn used_ns(&self) -> u64 {
        self.used_ns
    }

    /// The remaining units of the budget for all gateways together, as far as this one knows.
    pub(super) fn remaining(&self, refill: Option<RateLimit>, now: Timestamp) -> Option<u64> {
        let seen = self.last_answer.as_ref()?;
        let came = refill.map_or(0, |refill| refill.refilled_since(seen, now));
        Some(seen.remaining.saturating_add(came))
    }

    fn is_unused(&self, now: Timestamp) -> bool {
        now.monotonic_ns.saturating_sub(self.used_ns) >= RETURN_AFTER_NS
    }

    /// The report to send now. [`settle`](Self::settle) must follow, whatever came of it.
    pub(super) fn request(&mut self, now: Timestamp, ending: bool) -> LeaseRequest {
        self.leased = self.valid(now);
        let gives_up = ending || self.is_unused(now);
        if gives_up {
            self.returned = self.returned.saturating_add(std::mem::take(&mut self.paid));
        }
        if std::mem::take(&mut self.recalled) || gives_up {
            // Woken requests are about to take their promised units, paid ones first.
            let promised = self.promised.saturating_sub(self.paid);
            self.leased = if gives_up {
                0
            } else {
                self.leased.min(promised)
            };
            self.target = 0;
        } else {
            let lately = self.recent.saturating_mul(2).max(self.target / 2);
            self.target = lately.min(self.size);
        }
        self.recent = 0;
        let free = self.free(now);
        LeaseRequest {
            spent: std::mem::take(&mut self.unreported),
            returned: std::mem::take(&mut self.returned),
            leased: self.leased,
            need: if ending {
                0
            } else {
                self.needed.saturating_sub(free)
            },
            smallest_need: self.smallest_need.saturating_sub(free),
            advance: self.target.saturating_sub(self.leased),
        }
    }

    /// Applies the answer to a request that was sent at this time.
    pub(super) fn settle(
        &mut self,
        order: LeaseRequest,
        grant: Grant,
        sent: Timestamp,
        now: Timestamp,
    ) {
        // Units that the budget no longer counts as leased went to others.
        let lost = order.leased.saturating_sub(grant.still_leased);
        self.leased = self.leased.saturating_sub(lost);
        self.leased = self.leased.saturating_add(grant.leased);
        self.paid = self.paid.saturating_add(grant.paid);
        self.end_ns = sent.monotonic_ns.saturating_add(USABLE_NS);
        self.last_answer = grant.is_known.then(|| BudgetSnapshot {
            left: grant.left,
            others: grant.others,
            remaining: grant
                .left
                .saturating_add(grant.others)
                .saturating_add(self.available(now)),
            unshared: 0,
            at_ns: sent.monotonic_ns,
            next_ns: grant.wait_ms.saturating_mul(1_000_000),
        });
        let wanted = order.need.saturating_add(order.advance);
        // If too little is left for any waiting request, other gateways must return units first.
        let has_more = grant.is_known && grant.left > 0 && grant.paid >= order.need;
        let wait_ns = if grant.paid + grant.leased >= wanted || has_more {
            0
        } else if grant.others > 0 || !grant.is_known {
            RECALL_NS
        } else {
            grant.wait_ms.max(1).saturating_mul(1_000_000)
        };
        self.next_ask_ns = now.monotonic_ns.saturating_add(wait_ns);
        if self
            .revoked_ns
            .is_some_and(|revoked_ns| sent.monotonic_ns <= revoked_ns)
        {
            self.drop_all();
        }
    }

    /// When to ask again for waiting requests. Nanoseconds.
    pub(super) fn next_ask_ns(&self, now: Timestamp) -> u64 {
        if self.needed == 0 {
            return 0;
        }
        self.next_ask_ns
            .min(now.monotonic_ns.saturating_add(RECALL_NS))
    }
}

impl RateLimit {
    /// The units that returned since an answer.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the casts saturate, and the time is about a second"
    )]
    fn refilled_since(self, seen: &BudgetSnapshot, now: Timestamp) -> u64 {
        let age_ns = now.monotonic_ns.saturating_sub(seen.at_ns);
        match age_ns.checked_sub(seen.next_ns) {
            None => 0,
            Some(more_ns) => {
                let more = (more_ns as f64 / 1e9 * self.per_second) as u64;
                more.saturating_add(1).min(self.burst)
            }
        }
    }

    /// The time in which this many units return. Milliseconds, at least 1.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "the cast saturates, and nobody waits for the last millisecond"
    )]
    fn time_ms(self, amount: u64) -> u64 {
        ((amount as f64 / self.per_second * 1000.0).ceil() as u64).max(1)
    }
}

#[cfg(test)]
mod tests;
