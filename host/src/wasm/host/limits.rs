//! `windlass:host/limits`.

use wasmtime::Result;

use super::HostFunctions;
use super::functions::{HostError, HostResult, answer};

use crate::exchange::{Exchange, KeyRejection, NoPlan, RejectedKey};
use crate::limits::{BoundKind, Decision, EnrolledPlan, Level};
use crate::runtime::clock::Timestamp;
use crate::wasm::bindings::limits::{
    Bound as WitBound, Decision as WitDecision, Level as WitLevel, Levels as WitLevels, Uncharged,
};
use crate::wasm::charge::{PendingCharge, describe, text};
use crate::wasm::failure::CallFailure;
use crate::wasm::notices::printable;
use crate::wasm::services::Services;
use crate::wasm::state::InstanceState;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add_in_phase("charge", |state, (plan, cost): (Option<String>, u64)| {
        answer(state.charge_plan(plan, cost))
    })?;
    functions.add_in_phase("take", |state, (plan, key, cost): (String, String, u64)| {
        Ok((state.take_from_plan(plan, key, cost)?,))
    })?;
    functions.add_in_phase(
        "take-inline",
        |state, (key, cost, capacity, refill): (String, u64, u64, f64)| {
            let Some(services) = &state.services else {
                wasmtime::bail!("called `limits.take-inline` outside of an exchange");
            };
            let scope = services.limits.local().scope(&state.name);
            let now = Timestamp::now();
            let limits = services.limits.clone();
            let local = limits.local();
            let decision = local.take_inline(scope, &key, cost, capacity, refill, now);
            Ok((state.keep(decision),))
        },
    )?;
    functions.add_in_phase("give-back", |state, (ticket,): (u64,)| {
        let exchange = state.exchange.as_mut();
        let redeemed = exchange.and_then(|exchange| exchange.tickets.redeem(ticket));
        if let (Some(ticket), Some(services)) = (redeemed, &state.services) {
            services.limits.give_back(ticket);
        }
        Ok(())
    })?;
    functions.add("standing", |state, ()| {
        let position = state.position;
        Ok((state.read(|exchange| {
            let levels = exchange.levels.find(position)?;
            Some(WitLevels {
                rate: levels.rate.map(WitLevel::from),
                quota: levels.quota.map(WitLevel::from),
            })
        }),))
    })
}

impl From<BoundKind> for WitBound {
    fn from(bound: BoundKind) -> Self {
        match bound {
            BoundKind::Method => Self::Method,
            BoundKind::Plan => Self::Plan,
            BoundKind::Quota => Self::Quota,
            BoundKind::Route => Self::Route,
            BoundKind::Gateway => Self::Gateway,
            BoundKind::Unavailable => Self::Unavailable,
        }
    }
}

impl From<Level> for WitLevel {
    fn from(level: Level) -> Self {
        Self {
            limit: level.limit,
            remaining: level.remaining,
            window_ms: level.window_ms,
            reset_ms: level.reset_ms,
        }
    }
}

impl InstanceState {
    /// Keep a decision with the exchange: its ticket for `give-back`, the levels of its bounds for `standing`.
    fn keep(&mut self, decision: Decision) -> WitDecision {
        let ticket = match &mut self.exchange {
            Some(exchange) => {
                exchange.levels.record(self.position, &decision);
                exchange.tickets.keep(decision.ticket)
            }
            None => 0,
        };
        WitDecision {
            allowed: decision.allowed,
            refused_by: decision.refused_by.map(WitBound::from),
            retry_after_ms: decision.retry_after_ms,
            rate: decision.rate.map(WitLevel::from),
            quota: decision.quota.map(WitLevel::from),
            ticket,
        }
    }
}

/// The log's entry about a key that cannot be charged, if a filter rejects the key for that.
fn rejected(why: KeyRejection, key: &str, plan: Option<&str>) -> RejectedKey {
    RejectedKey {
        why,
        key: Some(key.into()),
        plan: plan.map(Box::from),
    }
}

/// Take it. What has to wait for the store, and cannot, is asked for all the same: it may be there
/// for the next one.
fn take(
    services: &Services,
    exchange: &Exchange,
    plan: &EnrolledPlan,
    patient: bool,
    (key, cost): (&str, u64),
) -> Decision {
    let take = describe(exchange, plan, key, cost);
    let decision = services.limits.take(&take);
    if decision.pending && !patient {
        drop(services.limits.wait(&take));
    }
    // Else the phase ends here, and charges again after the wait.
    if !decision.pending || !patient {
        plan.stats.count(services.worker, &decision);
    }
    decision
}

impl InstanceState {
    /// Keep a decision, unless the phase can wait for a better one: then it ends here, and what it
    /// took is given back.
    fn keep_or_wait(
        &mut self,
        decision: Decision,
        share: impl FnOnce(&Exchange) -> PendingCharge,
    ) -> Result<WitDecision> {
        if !decision.pending || !self.may_rerun {
            return Ok(self.keep(decision));
        }
        self.refund();
        let Some(exchange) = &self.exchange else {
            return Ok(self.keep(decision));
        };
        Err(CallFailure::Share(share(exchange)).into())
    }
    /// Charge the key's plan, or the named one, for a request of the key that the exchange has.
    fn charge_plan(
        &mut self,
        plan: Option<String>,
        cost: u64,
    ) -> HostResult<WitDecision, Uncharged> {
        let (Some(services), Some(exchange)) = (&self.services, &mut self.exchange) else {
            return Err(HostError::Refused(Uncharged::NoKey));
        };
        let key = text(exchange, "api-key.id");
        let key = key.ok_or(HostError::Refused(Uncharged::NoKey))?;
        let Some(name) = plan.as_deref().or_else(|| text(exchange, "plan.id")) else {
            let why = match exchange.no_plan {
                Some(NoPlan::ForApi) => KeyRejection::OtherApi,
                Some(NoPlan::OfKey) | None => KeyRejection::NoPlan,
            };
            exchange.outcome.rejected_key = Some(rejected(why, key, None).into());
            return Err(HostError::Refused(Uncharged::NoPlan));
        };
        if services.limits.max_wait().is_some() {
            self.filter_services.charged.record(plan.as_deref(), cost);
        }
        let patient = self.may_rerun;
        let decision = services.plans.with(name, |plan| {
            Some(take(services, exchange, plan?, patient, (key, cost)))
        });
        let Some(decision) = decision else {
            let why = KeyRejection::UnknownPlan;
            exchange.outcome.rejected_key = Some(rejected(why, key, Some(name)).into());
            return Err(HostError::Refused(Uncharged::UnknownPlan));
        };
        let share = |exchange: &Exchange| {
            let plan = plan.as_deref().or_else(|| text(exchange, "plan.id"));
            PendingCharge::Plan {
                plan: plan.unwrap_or_default().to_owned(),
                key: text(exchange, "api-key.id").unwrap_or_default().to_owned(),
                cost,
            }
        };
        Ok(self.keep_or_wait(decision, share)?)
    }

    fn take_from_plan(
        &mut self,
        plan: String,
        key: String,
        cost: u64,
    ) -> Result<Option<WitDecision>> {
        let (Some(services), Some(exchange)) = (&self.services, &self.exchange) else {
            return Ok(None);
        };
        let patient = self.may_rerun;
        let decision = services.plans.with(&plan, |plan| {
            Some(take(services, exchange, plan?, patient, (&key, cost)))
        });
        if decision.is_none() {
            self.notice(&format!("there is no usage plan `{}`", printable(&plan)));
        }
        let share = |_: &Exchange| PendingCharge::Plan { plan, key, cost };
        decision
            .map(|decision| self.keep_or_wait(decision, share))
            .transpose()
    }
}
