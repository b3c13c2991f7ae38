//! Counters that several gateways share, by leases.
//!
//! The budget of each plan and key is in a Redis: what was taken of its quota in this period, and
//! the token buckets of its rates, by Redis' clock. Each gateway takes parts of it in advance, its
//! *leases*, and uses them up in its own memory. So nothing on a request's way waits for Redis: a
//! thread settles what was used and fetches more, woken when a lease runs low.
//!
//! How exact that is. A gateway never uses a grant twice, and what was granted is not in the budget
//! any more. What goes beyond the budget is only what a gateway lets through before it has an
//! answer: when it meets a key for the first time, and while an answer is on its way. That is debt,
//! settled with the next answer, and each gateway owes at most one lease of each bound at a time.
//! So of a limit of N no more than N + gateways × lease is admitted ([`LeasedLimits::bound`]), where
//!
//! - the lease of a quota is a tenth of its limit, at least 1, at most `max_lease`;
//! - the lease of a rate is its burst, at most `max_lease`;
//! - grants and allowances for debt shrink as the budget empties: together, the gateways are given
//!   half of what is left (a grant is 1 at least); when nothing is left, nothing more is owed.
//!
//! A gateway that starts counts as one more, for its first debts. Not less than N is admitted as
//! long as requests keep coming: what a gateway does not use for a second goes back. A request that
//! comes while a lease is used up and the answer is on its way is refused, though the budget may
//! not be empty; the time to wait that it is told is then short.
//!
//! When Redis is out of reach, leases are used up first. Then the policy answers ([`OnUnavailable`]),
//! and what it lets through is settled when Redis is there again. A Redis that comes back with less
//! than it had (killed, restored, failed over) gives no quota twice: another process of it makes
//! every gateway say the highest total that it saw, and grants nothing of quotas for the second
//! that this takes. Buckets start full then: one burst more. A call whose answer was lost comes
//! again with its number, and is carried out once.
//!
//! Each gateway's own, not shared: the rates of routes and of the gateway, filters' own buckets,
//! and the plan's bounds once more in full, so that no gateway alone can pass them, whatever Redis
//! says. The period of a quota is that of each gateway's wall clock: keep them in step (NTP).

mod entry;
mod lease;
mod refill;
mod state;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

pub use state::LeaseState;
use state::LeaseStats;

use super::local::LocalLimits;
use super::plan::{EnrolledPlan, Plan, PlanError, Rate, RateError, Scope};
use super::shared::SharedRate;
use super::ticket::Ticket;
use super::time::{Clock, Timestamp};
use super::{
    Bound, Decision, ExtendError, Extended, LimitFigures, LimitStore, QuotaStanding, Take,
};
use crate::store::ledger::redis::{RedisSettings, Server};
use crate::store::ledger::{LedgerError, QuotaRow, UsageDelta};
use entry::{Entry, Short, Terms};
use refill::Speaker;
use table::{Leases, Owner};

/// What is answered when Redis is out of reach and no lease is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnavailable {
    /// Refused, as [`Bound::Unavailable`].
    Deny,
    /// Let through, whatever the plan says.
    Allow,
    /// Let through as far as the plan's bounds allow this gateway alone.
    Local,
}

/// How leases are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeasePolicy {
    /// The most that one lease holds; at least 1.
    pub max_lease: u64,
    /// What is answered when Redis is out of reach and no lease is left.
    pub on_unavailable: OnUnavailable,
    /// For how many plans and keys there is room.
    pub max_counters: usize,
}

/// By how much a plan's bounds may be passed: `gateways` times each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseBound {
    /// One lease of its rate; 0 where it has none.
    pub rate: u64,
    /// One lease of its quota; 0 where it has none.
    pub quota: u64,
    /// How many gateways share the budget now.
    pub gateways: u64,
}

/// Counters that several gateways share.
#[derive(Debug)]
pub struct LeasedLimits {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the gateway's workers and the refilling thread have in common.
#[derive(Debug)]
struct Shared {
    local: LocalLimits,
    leases: Leases,
    server: Server,
    policy: LeasePolicy,
    clock: Clock,
    /// Of this gateway, among those that share the budget.
    id: String,
    stats: LeaseStats,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    owners: Vec<Owner>,
    stop: bool,
}

impl LeasedLimits {
    /// Connect, and start the thread that refills.
    ///
    /// # Errors
    /// The settings make no sense, the server is out of reach, or no thread can be started.
    pub fn start(
        settings: &RedisSettings,
        policy: LeasePolicy,
        clock: Clock,
    ) -> Result<Arc<Self>, LedgerError> {
        let shared = Arc::new(Shared {
            local: LocalLimits::new(policy.max_counters).recording(),
            leases: Leases::new(policy.max_counters),
            server: Server::new(settings)?,
            policy,
            clock,
            id: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            stats: LeaseStats::default(),
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        let mut speaker = Speaker::default();
        speaker.round(&shared, Vec::new(), false)?;
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || refill::run(&of_thread, speaker))
            .map_err(|error| LedgerError::Failed {
                name: shared.server.name().to_owned(),
                cause: format!("no thread for it can be started: {error}"),
            })?;
        Ok(Arc::new(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// By how much this plan's bounds may be passed.
    #[must_use]
    pub fn bound(&self, plan: &Plan) -> LeaseBound {
        let terms = self.shared.terms();
        LeaseBound {
            rate: plan.rate.map_or(0, |rate| terms.rate(&rate)),
            quota: plan.quota.map_or(0, |quota| terms.quota(&quota)),
            gateways: self.shared.stats.gateways(),
        }
    }

    /// Give back what is held, and end the thread: at the end of the process. What is taken from
    /// then on is decided by what leases are left, of which none are granted any more. Waits for
    /// the store as long as its time-outs let it.
    pub fn stop(&self) {
        self.shared.queue.lock().stop = true;
        self.shared.wake.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }

    /// For metrics. It visits every lock.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        let shared = &self.shared;
        shared.stats.state(shared.leases.len(), shared.clock.now())
    }
}

impl Drop for LeasedLimits {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn terms(&self) -> Terms {
        Terms {
            max_lease: self.policy.max_lease,
            reachable: self.is_reachable(),
        }
    }

    fn is_reachable(&self) -> bool {
        self.stats.is_reachable()
    }

    /// Wait for somebody who wants something, for so long at the most. None: stop.
    fn wait(&self, most: Duration) -> Option<Vec<Owner>> {
        let mut queue = self.queue.lock();
        if queue.owners.is_empty() && !queue.stop {
            let _ = self.wake.wait_for(&mut queue, most);
        }
        (!queue.stop).then(|| std::mem::take(&mut queue.owners))
    }

    /// Wait for so long, whoever wants something, but for the end.
    fn pause(&self, time: Duration) {
        let mut queue = self.queue.lock();
        let stop = |queue: &mut Queue| !queue.stop;
        let _ = self.wake.wait_while_for(&mut queue, stop, time);
    }

    /// Tell the thread of these; they are marked as queued.
    fn queue_all(&self, owners: impl Iterator<Item = Owner>) {
        self.queue.lock().owners.extend(owners);
        self.wake.notify_all();
    }

    fn note_contact(&self) {
        if self.stats.note_contact(self.clock.now()) {
            tracing::info!(
                store = self.server.name(),
                "the store of limits is within reach again"
            );
        }
    }

    fn note_failure(&self, error: &LedgerError) {
        if self.stats.note_failure() {
            tracing::warn!(
                "limits are decided by leases and then by the policy until their store answers: {error}"
            );
        }
    }

    fn note_gateways(&self, gateways: u64) {
        self.stats.note_gateways(gateways);
    }

    /// Decide with the entry of the plan and key, whose shard is locked.
    fn decide(&self, entry: &mut Entry, plan: &EnrolledPlan, take: &Take<'_>) -> Decision {
        entry.bring_up(plan, take, self.terms());
        if take.cost == 0 {
            return self.local.take(take);
        }
        let Some(short) = entry.shortage(plan, take) else {
            let decision = self.local.take(take);
            if decision.allowed {
                entry.spend(plan, take);
            }
            return decision;
        };
        if self.is_reachable() {
            return self.refuse(take, short);
        }
        let decision = match self.policy.on_unavailable {
            OnUnavailable::Deny => self.refuse(
                take,
                Short {
                    by: Bound::Unavailable,
                    retry_after_ms: 1000,
                },
            ),
            OnUnavailable::Allow => self.local.take(&Take {
                plan: None,
                ..*take
            }),
            OnUnavailable::Local => self.local.take(take),
        };
        if decision.allowed {
            entry.spend(plan, take);
            if self.policy.on_unavailable == OnUnavailable::Allow {
                // The counters here were passed by; the report is not.
                self.local.put_back(UsageDelta {
                    plan: Arc::clone(&entry.plan),
                    key: Arc::clone(&entry.key),
                    day: super::Period::Day.number(take.now.wall_ms),
                    used: i64::try_from(take.cost).unwrap_or(i64::MAX),
                    quota: None,
                });
            }
        }
        self.stats.note_unavailable(decision.allowed);
        decision
    }

    /// Nothing is taken; the levels are shown as they are.
    fn refuse(&self, take: &Take<'_>, short: Short) -> Decision {
        let mut decision = self.local.take(&Take { cost: 0, ..*take });
        decision.allowed = false;
        decision.refused_by = Some(short.by);
        decision.retry_after_ms = short.retry_after_ms;
        let empty = match short.by {
            Bound::Method | Bound::Plan => &mut decision.rate,
            Bound::Quota => &mut decision.quota,
            Bound::Route | Bound::Gateway | Bound::Unavailable => &mut None,
        };
        if let Some(level) = empty {
            level.remaining = level.remaining.min(take.cost.saturating_sub(1));
        }
        decision
    }
}

impl LimitStore for LeasedLimits {
    fn enroll(&self, plan: Plan, since_ms: u64) -> Result<EnrolledPlan, PlanError> {
        self.shared.local.enroll(plan, since_ms)
    }

    fn scope(&self, filter: &str) -> Scope {
        self.shared.local.scope(filter)
    }

    fn shared_rate(&self, name: &str, rate: Rate) -> Result<SharedRate, RateError> {
        self.shared.local.shared_rate(name, rate)
    }

    fn take(&self, take: &Take<'_>) -> Decision {
        let shared = &*self.shared;
        let Some(plan) = take.plan else {
            return shared.local.take(take);
        };
        let no_room = Short {
            by: Bound::Unavailable,
            retry_after_ms: 1000,
        };
        let hash = shared.leases.hash(plan.number, take.key);
        let Some(mut held) = shared.leases.hold(hash) else {
            return shared.refuse(take, no_room);
        };
        let Some(entry) = held.find_or_make(plan, hash, take.key) else {
            drop(held);
            return shared.refuse(take, no_room);
        };
        let mut decision = shared.decide(entry, plan, take);
        entry.show(decision.rate.as_mut(), decision.quota.as_mut());
        let wanted = take.cost > 0 && !entry.queued && entry.wants(take.now);
        let owner = wanted.then(|| {
            entry.queued = true;
            Owner {
                space: entry.space,
                hash,
                key: Arc::clone(&entry.key),
            }
        });
        drop(held);
        if owner.is_some() {
            shared.queue_all(owner.into_iter());
        }
        decision
    }

    fn take_inline(
        &self,
        scope: Scope,
        key: &str,
        cost: u64,
        capacity: u64,
        refill_per_second: f64,
        now: Timestamp,
    ) -> Decision {
        let local = &self.shared.local;
        local.take_inline(scope, key, cost, capacity, refill_per_second, now)
    }

    fn give_back(&self, ticket: Ticket) {
        if let Some(from) = &ticket.counter
            && from.taken.is_plan
        {
            let leases = &self.shared.leases;
            let hash = leases.hash(from.space, &from.key);
            if let Some(mut held) = leases.hold(hash)
                && let Some(entry) = held.find(from.space, hash, &from.key)
            {
                entry.give_back(ticket.cost, &from.taken);
            }
        }
        self.shared.local.give_back(ticket);
    }

    fn unsaved(&self, visit: &mut dyn FnMut(UsageDelta)) {
        // Where quotas stand is in the budget; what one gateway knows of it is not to replace it.
        self.shared.local.unsaved(&mut |delta| {
            visit(UsageDelta {
                quota: None,
                ..delta
            });
        });
    }

    fn put_back(&self, delta: UsageDelta) {
        self.shared.local.put_back(delta);
    }

    fn figures(&self) -> LimitFigures {
        self.shared.local.figures()
    }

    fn restore(&self, row: &QuotaRow) {
        // What was used is in the budget. What was extended must pass the counters here too.
        let mut row = row.clone();
        row.usage.used = 0;
        self.shared.local.restore(&row);
    }

    fn extend(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        remaining: u64,
        now: Timestamp,
    ) -> Result<Extended, ExtendError> {
        let quota = plan.plan().quota.ok_or(ExtendError::NoQuota)?;
        let number = quota.period.number(now.wall_ms);
        let owner = (&*plan.plan().name, key);
        let place = (quota.period, number);
        let limit = entry::limit(&quota, plan.since_ms(), number);
        let (_, extra) = refill::quota(&self.shared, owner, place, limit, Some(remaining))
            .map_err(|error| ExtendError::Unreachable(error.to_string()))?;
        self.shared.local.restore(&QuotaRow {
            plan: owner.0.to_owned(),
            key: key.to_owned(),
            usage: crate::store::ledger::QuotaUse {
                period: quota.period,
                number,
                used: 0,
            },
            extra,
        });
        Ok(Extended {
            period: quota.period,
            number,
            extra,
            remaining,
        })
    }

    fn standing(&self, plan: &EnrolledPlan, key: &str, now: Timestamp) -> Option<QuotaStanding> {
        let quota = plan.plan().quota?;
        let number = quota.period.number(now.wall_ms);
        let owner = (&*plan.plan().name, key);
        let limit = entry::limit(&quota, plan.since_ms(), number);
        match refill::quota(&self.shared, owner, (quota.period, number), limit, None) {
            Ok((used, extra)) => Some(QuotaStanding {
                period: quota.period,
                number,
                used,
                extra,
                remaining: limit.saturating_add_signed(extra).saturating_sub(used),
            }),
            // What this gateway knows alone.
            Err(_) => self.shared.local.standing(plan, key, now),
        }
    }
}
