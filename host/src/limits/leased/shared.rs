//! What the gateway's workers and the refilling thread do with what they have in common.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{LeaseEntry, LeaseTerms, Shortage, TakeOutlook};
use super::table::LeaseOwner;
use super::{LeaseShared, RefillQueue, UNKNOWN};
use crate::limits::BoundKind;
use crate::limits::Decision;
use crate::limits::TakeRequest;
use crate::limits::plan::EnrolledPlan;
use crate::limits::usage_rows::UsageDelta;
use crate::limits::{BoundKind, Decision, LimitStore, TakeRequest};
use crate::model::period::Period;
use crate::model::store::OnUnavailable;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;

impl LeaseShared {
    pub(super) fn terms(&self) -> LeaseTerms {
        LeaseTerms {
            max_lease: self.policy.max_lease,
        }
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.stats.is_reachable()
    }

    /// Wait for somebody who wants something, for so long at the most. None: stop.
    pub(super) fn wait(&self, most: Duration) -> Option<Vec<LeaseOwner>> {
        let mut queue = self.queue.lock();
        if queue.owners.is_empty() && !queue.stop {
            let _ = self.wake.wait_for(&mut queue, most);
        }
        (!queue.stop).then(|| std::mem::take(&mut queue.owners))
    }

    /// What waits to be told of.
    pub(super) fn take_queue(&self) -> Vec<LeaseOwner> {
        std::mem::take(&mut self.queue.lock().owners)
    }

    /// Wait for so long, whoever wants something, but for the end.
    pub(super) fn pause(&self, time: Duration) {
        let mut queue = self.queue.lock();
        let stop = |queue: &mut RefillQueue| !queue.stop;
        let _ = self.wake.wait_while_for(&mut queue, stop, time);
    }

    /// Tell the thread of these; they are marked as queued.
    pub(super) fn queue_all(&self, owners: impl Iterator<Item = LeaseOwner>) {
        self.queue.lock().owners.extend(owners);
        self.wake.notify_all();
    }

    /// Mark an entry as queued, if it is not; gives what the thread must be told.
    pub(super) fn enqueue(entry: &mut LeaseEntry) -> Option<LeaseOwner> {
        if std::mem::replace(&mut entry.queued, true) {
            return None;
        }
        Some(LeaseOwner::of(entry))
    }

    /// Let all who wait look again.
    pub(super) fn wake_all(&self) {
        for waiter in self.leases.wake_all() {
            // One that left does not hear it.
            let _ = waiter.send(());
        }
        self.note_settled();
    }

    pub(super) fn note_settled(&self) {
        let _held = self.settle_lock.lock();
        self.settled.notify_all();
    }

    /// See that the store knows what this gateway used of a quota; for as long as a call may take.
    /// Not on a worker.
    pub(super) fn report_now(&self, plan: &EnrolledPlan, key: &str) {
        let hash = self.leases.hash(plan.number, key);
        let most = std::time::Instant::now() + self.server.timeout();
        loop {
            let mut settling = self.settle_lock.lock();
            let owner = {
                let Some(mut held) = self.leases.lock(hash) else {
                    return;
                };
                match held.find(plan.number, hash, key) {
                    None => return,
                    Some(entry) if entry.is_reported() => return,
                    Some(entry) => Self::enqueue(entry),
                }
            };
            self.queue_all(owner.into_iter());
            if !self.is_reachable() || self.settled.wait_until(&mut settling, most).timed_out() {
                return;
            }
        }
    }

    /// Give up what is in hand of a quota: it was changed, and the next request asks anew.
    pub(super) fn revoke_quota(&self, plan: &EnrolledPlan, key: &str) {
        let hash = self.leases.hash(plan.number, key);
        if let Some(mut held) = self.leases.lock(hash)
            && let Some(entry) = held.find(plan.number, hash, key)
        {
            entry.revoke_quota(Timestamp::now());
        }
    }

    pub(super) fn note_contact(&self) {
        if self.stats.note_contact(Timestamp::now()) {
            tracing::info!(
                store = self.server.name(),
                "the store of limits is within reach again"
            );
        }
    }

    pub(super) fn note_failure(&self, error: &StorageError) {
        if self.stats.note_failure() {
            tracing::warn!(
                "limits are decided by leases and then by the policy until their store answers: {error}"
            );
        }
    }

    pub(super) fn note_gateways(&self, gateways: u64) {
        self.stats.note_gateways(gateways);
    }

    /// Decide with the entry of the plan and key, whose shard is locked.
    pub(super) fn decide(
        &self,
        entry: &mut LeaseEntry,
        plan: &EnrolledPlan,
        take: &TakeRequest<'_>,
    ) -> Decision {
        entry.refresh(plan, take, self.terms());
        if take.cost == 0 {
            return self.local.take(take);
        }
        match entry.outlook(plan, take) {
            TakeOutlook::Enough => {
                let decision = self.local.take(take);
                if decision.allowed {
                    entry.spend(plan, take);
                }
                return decision;
            }
            TakeOutlook::Short(short) => return self.refuse(take, short),
            TakeOutlook::Unknown(rate) if self.is_reachable() => {
                if let Some((refusal, level)) = self.local.refusal_by_rate(take) {
                    let (by, retry_after_ms) = (refusal.by, refusal.retry_after_ms);
                    let short = Shortage { by, retry_after_ms };
                    return Decision {
                        shared: level,
                        ..self.refuse(take, short)
                    };
                }
                let by = rate.unwrap_or(UNKNOWN.by);
                let mut decision = self.refuse(take, Shortage { by, ..UNKNOWN });
                decision.pending = true;
                return decision;
            }
            TakeOutlook::Unknown(_) => {}
        }
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
                // The counters here were passed by; the report is not.
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

    /// Nothing is taken; the levels are those of the counters here.
    pub(super) fn refuse(&self, take: &TakeRequest<'_>, short: Shortage) -> Decision {
        let mut decision = self.local.take(&TakeRequest { cost: 0, ..*take });
        decision.allowed = false;
        decision.refused_by = Some(short.by);
        decision.retry_after_ms = short.retry_after_ms;
        decision
    }

    /// Show the levels as the shared count has them. What refused has too little left for this
    /// taking: others that wait come first.
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
