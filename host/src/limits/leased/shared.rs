//! The calls of workers and of the refilling thread on their shared state.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{LeaseEntry, LeaseOwner, TakeOutlook};
use super::{LeaseShared, RefillQueue, UNKNOWN};
use crate::limits::bounds::LimitRefusal;
use crate::limits::plan::EnrolledPlan;
use crate::limits::usage_rows::{QuotaRow, QuotaUsage, UsageDelta};
use crate::limits::{BoundKind, Decision, LimitStore, TakeRequest};
use crate::model::period::Period;
use crate::model::store::OnUnavailable;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;

impl LeaseShared {
    /// Waits for an owner that wants something, at most this long. None: stop.
    pub(super) fn wait(&self, most: Duration) -> Option<Vec<LeaseOwner>> {
        let mut queue = self.queue.lock();
        if queue.owners.is_empty() && !queue.stop {
            let _ = self.wake.wait_for(&mut queue, most);
        }
        (!queue.stop).then(|| std::mem::take(&mut queue.owners))
    }

    /// Takes the queue.
    pub(super) fn take_queue(&self) -> Vec<LeaseOwner> {
        std::mem::take(&mut self.queue.lock().owners)
    }

    /// Pauses this long, whoever wants something; a stop ends it early.
    pub(super) fn pause(&self, time: Duration) {
        let mut queue = self.queue.lock();
        let stop = |queue: &mut RefillQueue| !queue.stop;
        let _ = self.wake.wait_while_for(&mut queue, stop, time);
    }

    /// Queues these owners for the thread; their entries are marked as queued.
    pub(super) fn queue_all(&self, owners: impl IntoIterator<Item = LeaseOwner>) {
        self.queue.lock().owners.extend(owners);
        self.wake.notify_all();
    }

    /// Wakes all waiting requests.
    pub(super) fn wake_all(&self) {
        for waiter in self.leases.wake_all() {
            // A request that has left receives nothing.
            let _ = waiter.send(());
        }
        self.note_settled();
    }

    pub(super) fn note_settled(&self) {
        let _guard = self.settle_lock.lock();
        self.settled.notify_all();
    }

    /// Makes sure that the server has this gateway's usage of a quota; waits for a call at most.
    /// Not for workers.
    pub(super) fn report_now(&self, plan: &EnrolledPlan, key: &str) {
        let most = std::time::Instant::now() + self.server.timeout;
        loop {
            let mut settling = self.settle_lock.lock();
            let owner = match self.leases.lock(plan.number, key).find() {
                Some(entry) if !entry.is_reported() => entry.enqueue(),
                Some(_) | None => return,
            };
            self.queue_all(owner);
            let is_reachable = self.stats.is_reachable();
            if !is_reachable || self.settled.wait_until(&mut settling, most).timed_out() {
                return;
            }
        }
    }

    /// Restores an extension of a quota in the counters here, without the usage: the budget has it.
    pub(super) fn restore_extension(&self, plan: &str, key: &str, usage: QuotaUsage) {
        self.local.restore(&QuotaRow {
            plan: plan.to_owned(),
            key: key.to_owned(),
            usage: QuotaUsage { used: 0, ..usage },
        });
    }

    /// Gives up the lease of a quota, because it was changed; the next request asks the server.
    pub(super) fn revoke_quota(&self, plan: &EnrolledPlan, key: &str) {
        if let Some(entry) = self.leases.lock(plan.number, key).find() {
            entry.revoke_quota(Timestamp::now());
        }
    }

    pub(super) fn note_contact(&self) {
        if self.stats.note_contact(Timestamp::now()) {
            tracing::info!(
                store = self.server.name(),
                "the storage of limits answers again"
            );
        }
    }

    pub(super) fn note_failure(&self, error: &StorageError) {
        if self.stats.note_failure() {
            tracing::warn!(
                "the storage of limits is out of reach; Windlass uses its leases and then the policy until it answers: {error}; check `[store]` and the network"
            );
        }
    }

    /// Decides by the entry of the plan and key, whose shard is locked.
    pub(super) fn decide(
        &self,
        entry: &mut LeaseEntry,
        plan: &EnrolledPlan,
        take: &TakeRequest<'_>,
    ) -> Decision {
        entry.refresh(plan, take, &self.policy);
        if take.cost == 0 {
            return self.local.take(take);
        }
        match entry.outlook(plan, take) {
            TakeOutlook::Enough => {
                let decision = self.local.take(take);
                if decision.allowed {
                    entry.spend(plan, take);
                }
                decision
            }
            TakeOutlook::Short(refusal) => self.refuse(take, refusal),
            TakeOutlook::Unknown(rate) if self.stats.is_reachable() => {
                if let Some((refusal, shared)) = self.local.refusal_by_rate(take) {
                    let decision = self.refuse(take, refusal);
                    return Decision { shared, ..decision };
                }
                let by = rate.unwrap_or(UNKNOWN.by);
                let mut decision = self.refuse(take, LimitRefusal { by, ..UNKNOWN });
                decision.pending = true;
                decision
            }
            TakeOutlook::Unknown(_) => self.decide_by_policy(entry, plan, take),
        }
    }

    /// Decides while the server is out of reach and the lease does not cover the request.
    fn decide_by_policy(
        &self,
        entry: &mut LeaseEntry,
        plan: &EnrolledPlan,
        take: &TakeRequest<'_>,
    ) -> Decision {
        let decision = match self.policy.on_unavailable {
            OnUnavailable::Deny => self.refuse(take, UNKNOWN),
            OnUnavailable::Allow => self.local.take(&TakeRequest {
                plan: None,
                ..*take
            }),
            OnUnavailable::Local => self.local.take(take),
        };
        if decision.allowed {
            entry.spend(plan, take);
            if self.policy.on_unavailable == OnUnavailable::Allow {
                // The counters here did not take part; the report must.
                self.local.return_pending_usage(UsageDelta {
                    plan: Arc::clone(&entry.plan),
                    key: Arc::clone(&entry.key),
                    day: Period::Day.number(take.now.wall_ms),
                    used: i64::try_from(take.cost).unwrap_or(i64::MAX),
                    quota: None,
                });
            }
        }
        self.stats.note_unavailable(decision.allowed);
        decision
    }

    /// Takes nothing; the levels are those of the counters here.
    pub(super) fn refuse(&self, take: &TakeRequest<'_>, refusal: LimitRefusal) -> Decision {
        let mut decision = self.local.take(&TakeRequest { cost: 0, ..*take });
        decision.refuse(refusal);
        decision
    }

    /// Shows the levels of the shared count. A bound that refused has too little left for this
    /// request: others that wait come first.
    pub(super) fn show(entry: &LeaseEntry, take: &TakeRequest<'_>, decision: &mut Decision) {
        entry.show(decision.rate.as_mut(), decision.quota.as_mut(), take.now);
        let short = match decision.refused_by {
            Some(BoundKind::Method | BoundKind::Plan) => &mut decision.rate,
            Some(BoundKind::Quota) => &mut decision.quota,
            Some(BoundKind::Route | BoundKind::Gateway | BoundKind::Unavailable) | None => return,
        };
        if let Some(level) = short {
            level.remaining = level.remaining.min(take.cost.saturating_sub(1));
        }
    }
}
