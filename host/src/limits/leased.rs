//! Counters that several gateways share, by leases.
//!
//! The budget of each plan and key is in a Redis: the usage of its quota in this period, and the
//! token buckets of its rates, by Redis' clock. Each gateway takes parts of it in advance, its
//! *leases*, and uses them up in its own memory. So a request whose share is leased already waits
//! for nothing: a thread reports usage and fetches more, and is woken when a lease runs low.
//!
//! How exact that is: a gateway never uses a grant twice, and a granted amount is no longer in the
//! budget, so of a limit of N no more than N is admitted. More can be admitted only through a
//! gateway that was killed, or that hung until its lease ended: it may have used its lease without
//! a report, and the budget has it again. So at worst N + gateways × lease is admitted
//! ([`LeasedLimits::bound`]), where
//! - the lease of a quota is a tenth of its limit, at least 1, at most `max_lease`;
//! - the lease of a rate is its burst, at most `max_lease`.
//!
//! No less than N is admitted as long as requests keep coming. An amount that a gateway does not
//! use for a second is returned; one that another gateway waits for is returned within a tenth of
//! a second; and the leases of a gateway that is gone are back after
//! [`LEASE_MS`](lease::LEASE_MS), by the clock of Redis. A gateway stops using a lease
//! [`MARGIN_MS`](lease::MARGIN_MS) before that, by its clock that never steps, counted from before
//! the call that got it.
//!
//! A refusal comes from the shared count: a quota is refused only when it is used up and no other
//! gateway has a lease of it. If this gateway does not know its share (a key that it meets for the
//! first time, a lease that is used up), nothing is decided: the request waits for the next answer
//! before its filter runs ([`LimitStore::wait`]), at most for `max_wait`, and is then refused
//! because the limits are unavailable. Amounts that requests wait for are granted to them and
//! counted at once; leases in advance follow the recent usage.
//!
//! If Redis is out of reach, leases are used as long as they last. Then the policy decides
//! ([`OnUnavailable`]), and the usage that it lets through is reported when Redis is back. A Redis
//! that returns with less data than before (killed, restored, failed over), or is emptied while it
//! runs, gives no quota twice: another process of it, or the absence of the mark that the first
//! call leaves, makes every gateway report the highest total that it saw, and no quota is granted
//! until all gateways that it remembers have done so, or for a second. Buckets start full then:
//! one burst more. A call whose answer was lost is repeated with its number, and executed once.
//!
//! Each gateway has its own, unshared: the rates of routes and of the gateway, filters' own
//! buckets, and the plan's bounds once more in full, so that no gateway alone can exceed them,
//! whatever Redis says. The period of a quota is that of each gateway's wall clock: synchronise
//! them (NTP).

mod entry;
mod lease;
mod refill;
mod request;
mod shared;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod waiters;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::bounds::LimitRefusal;
use super::local::LocalLimits;
use super::plan::{EnrolledPlan, UsagePlan};
use super::ticket::LimitTicket;
use super::{
    BoundKind, Decision, DecisionSignal, ExtendError, LimitStore, QuotaStatus, TakeRequest,
    UncountedUsage,
};
use crate::limits::usage_rows::{QuotaRow, UsageDelta};
use crate::model::plan::QuotaLimit;
use crate::model::store::OnUnavailable;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;
use crate::shared_store::redis_server::{RedisPool, RedisSettings};
use entry::{LeaseOwner, MOST, TakeOutlook};
use refill::RefillCaller;
use state::{LeaseState, LeaseStats};
use table::Leases;

/// The settings of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeasePolicy {
    /// The largest lease; at least 1.
    pub(crate) max_lease: u64,
    /// The policy if Redis is out of reach and no lease is left.
    pub(crate) on_unavailable: OnUnavailable,
    /// The number of plans and keys for which there is room.
    pub(crate) max_counters: usize,
    /// The longest wait of a request for its share.
    pub(crate) max_wait: Duration,
    /// Whether usage is kept until the caller takes it by
    /// [`take_pending_usage`](LimitStore::take_pending_usage).
    pub(crate) recording: bool,
}

/// How far a plan's bounds may be exceeded: `gateways` times each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseBound {
    /// One lease of its rate; 0 if it has none.
    pub(crate) rate: u64,
    /// One lease of its quota; 0 if it has none.
    pub(crate) quota: u64,
    /// How many gateways share the budget now.
    pub(crate) gateways: u64,
}

/// The answer if the shared count is unknown.
const UNKNOWN: LimitRefusal = LimitRefusal {
    by: BoundKind::Unavailable,
    retry_after_ms: 1000,
};

/// Counters that several gateways share.
#[derive(Debug)]
pub struct LeasedLimits {
    shared: Arc<LeaseShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The state that the workers and the refilling thread share.
#[derive(Debug)]
struct LeaseShared {
    local: LocalLimits,
    leases: Leases,
    server: RedisPool,
    policy: LeasePolicy,
    /// Of this gateway, among those that share the budget.
    id: String,
    stats: LeaseStats,
    queue: Mutex<RefillQueue>,
    wake: Condvar,
    /// Notified after each call that was answered, and at the end.
    settled: Condvar,
    settle_lock: Mutex<()>,
}

#[derive(Debug, Default)]
struct RefillQueue {
    owners: Vec<LeaseOwner>,
    stop: bool,
}

impl LeasedLimits {
    /// Connects, and starts the thread that refills. The thread keeps trying a server that is out
    /// of reach; until then the policy decides.
    ///
    /// # Errors
    ///
    /// The settings are invalid, the server refuses them, or no thread can be started.
    pub(crate) fn start(
        settings: &RedisSettings,
        policy: LeasePolicy,
    ) -> Result<Arc<Self>, StorageError> {
        let local = LocalLimits::new(policy.max_counters);
        let shared = Arc::new(LeaseShared {
            local: if policy.recording {
                local.with_recording()
            } else {
                local
            },
            leases: Leases::new(policy.max_counters),
            server: RedisPool::new(settings)?,
            policy,
            id: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            stats: LeaseStats::default(),
            queue: Mutex::default(),
            wake: Condvar::new(),
            settled: Condvar::new(),
            settle_lock: Mutex::default(),
        });
        let mut caller = RefillCaller::default();
        match caller.refill(&shared, Vec::new(), false) {
            // The thread tries again.
            Ok(()) | Err(StorageError::Unreachable { .. }) => {}
            Err(error) => return Err(error),
        }
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || refill::run(&of_thread, caller))
            .map_err(|error| StorageError::Failed {
                name: shared.server.name().to_owned(),
                cause: format!("cannot start its thread: {error}"),
            })?;
        Ok(Arc::new(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// How far this plan's bounds may be exceeded.
    #[must_use]
    pub(crate) fn bound(&self, plan: &UsagePlan) -> LeaseBound {
        let policy = &self.shared.policy;
        LeaseBound {
            rate: plan.rate.map_or(0, |rate| policy.rate_lease(&rate)),
            quota: plan.quota.map_or(0, |quota| policy.quota_lease(&quota)),
            gateways: self.shared.stats.gateways(),
        }
    }

    /// Returns the leases, and ends the thread: at the end of the process. Later requests are
    /// decided by the remaining leases, of which no more are granted. Waits for the server as long
    /// as its timeouts allow.
    pub(crate) fn stop(&self) {
        self.shared.queue.lock().stop = true;
        self.shared.wake.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic of the thread was reported already.
            let _ = thread.join();
        }
    }

    /// Divides the room for counters among this many plans, so that none uses up all of it.
    pub(super) fn divide(&self, plans: usize) {
        self.shared.leases.divide(plans);
        self.shared.local.divide(plans);
    }

    /// Whether a request is refused for certain. None: its share must be waited for.
    pub(super) fn refuses(&self, take: &TakeRequest<'_>) -> Option<bool> {
        let shared = &*self.shared;
        let plan = take.plan?;
        if take.cost == 0 || !shared.stats.is_reachable() {
            return Some(false);
        }
        let mut locked = shared.leases.lock(plan.number, take.key);
        let entry = locked.find()?;
        entry.refresh(plan, take, &shared.policy);
        match entry.outlook(plan, take) {
            TakeOutlook::Enough => Some(false),
            TakeOutlook::Short(_) => Some(true),
            TakeOutlook::Unknown(_) => shared.local.refusal_by_rate(take).map(|_| true),
        }
    }

    /// The state, for metrics. It takes every lock.
    #[must_use]
    pub(crate) fn state(&self) -> LeaseState {
        let shared = &self.shared;
        shared.stats.state(shared.leases.len(), Timestamp::now())
    }
}

impl Drop for LeasedLimits {
    fn drop(&mut self) {
        self.stop();
    }
}

impl LimitStore for LeasedLimits {
    fn local(&self) -> &LocalLimits {
        &self.shared.local
    }

    fn leased(&self) -> Option<&LeasedLimits> {
        Some(self)
    }

    fn add_used(&self, rows: &[QuotaRow], what: UncountedUsage) -> Result<(), StorageError> {
        refill::raise_usage(&self.shared, rows, what)
    }

    fn take(&self, take: &TakeRequest<'_>) -> Decision {
        let shared = &*self.shared;
        let Some(plan) = take.plan else {
            return shared.local.take(take);
        };
        let mut locked = shared.leases.lock(plan.number, take.key);
        let Some(entry) = locked.find_or_make(plan) else {
            drop(locked);
            return Decision {
                lacks_room: true,
                ..shared.refuse(take, UNKNOWN)
            };
        };
        let mut decision = shared.decide(entry, plan, take);
        LeaseShared::show(entry, take, &mut decision);
        let owner = if take.cost > 0 && entry.needs_refill(take.now) {
            entry.enqueue()
        } else {
            None
        };
        drop(locked);
        if owner.is_some() {
            shared.queue_all(owner);
        }
        decision
    }

    fn max_wait(&self) -> Option<Duration> {
        Some(self.shared.policy.max_wait)
    }

    fn wait(&self, take: &TakeRequest<'_>) -> Option<DecisionSignal> {
        let shared = &*self.shared;
        let plan = take.plan?;
        if take.cost == 0 || !shared.stats.is_reachable() {
            return None;
        }
        let mut locked = shared.leases.lock(plan.number, take.key);
        let entry = locked.find_or_make(plan)?;
        entry.refresh(plan, take, &shared.policy);
        let TakeOutlook::Unknown(_) = entry.outlook(plan, take) else {
            return None;
        };
        if shared.local.refusal_by_rate(take).is_some() {
            return None;
        }
        let waiting = entry.wait(plan, take)?;
        let owner = if entry.is_asking() {
            None
        } else {
            entry.enqueue()
        };
        drop(locked);
        shared.stats.note_wait();
        if owner.is_some() {
            shared.queue_all(owner);
        }
        Some(waiting)
    }

    fn give_back(&self, ticket: LimitTicket) {
        if let Some(from) = &ticket.counter
            && from.amounts.is_plan
            && let Some(entry) = self.shared.leases.lock(from.space, &from.key).find()
        {
            entry.give_back(ticket.cost, &from.amounts, Timestamp::now());
        }
        self.shared.local.give_back(ticket);
    }

    fn take_pending_usage(&self, visit: &mut dyn FnMut(UsageDelta)) {
        // The budget has the quotas; what one gateway knows must not replace it.
        self.shared.local.take_pending_usage(&mut |delta| {
            visit(UsageDelta {
                quota: None,
                ..delta
            });
        });
    }

    fn restore(&self, row: &QuotaRow) {
        // The budget has the usage. An extension must pass the counters here too.
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
    ) -> Result<QuotaStatus, ExtendError> {
        let quota = shared_quota(plan).ok_or(ExtendError::NoQuota)?;
        let name = &*plan.plan.name;
        self.shared.report_now(plan, key);
        let usage = refill::read_quota(&self.shared, (name, key), &quota, now, Some(remaining))
            .map_err(|error| ExtendError::Unreachable(error.to_string()))?;
        self.shared.restore_extension(name, key, usage);
        // After that, so that no counter here refuses a share of the extension.
        self.shared.revoke_quota(plan, key);
        Ok(QuotaStatus {
            remaining,
            ..usage.status(&quota)
        })
    }

    fn quota_status(&self, plan: &EnrolledPlan, key: &str, now: Timestamp) -> Option<QuotaStatus> {
        let quota = shared_quota(plan)?;
        self.shared.report_now(plan, key);
        match refill::read_quota(&self.shared, (&plan.plan.name, key), &quota, now, None) {
            Ok(usage) => Some(usage.status(&quota)),
            // This gateway's own knowledge.
            Err(_) => self.shared.local.quota_status(plan, key, now),
        }
    }
}

/// The quota of a plan, as scripts can represent it.
fn shared_quota(plan: &EnrolledPlan) -> Option<QuotaLimit> {
    plan.plan.quota.map(|quota| QuotaLimit {
        limit: quota.limit.min(MOST),
        ..quota
    })
}
