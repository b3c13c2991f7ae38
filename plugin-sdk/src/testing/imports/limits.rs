//! `windlass:host/limits`, with the plans and the clock of the test.

pub use crate::bindings::lifecycle::windlass::host::limits::{
    Bound, Decision, Level, Levels, Uncharged,
};

use std::time::Duration;

use crate::testing::plan::{Plan, Rate};
use crate::testing::state::{State, serve, serve_granted};

/// Charges the plan of the exchange's key.
pub fn charge(plan: Option<&str>, cost: u64) -> Result<Decision, Uncharged> {
    serve_granted("limits", "charge", |state| {
        let text = |state: &State, name| state.exchange.as_ref()?.text_attribute(name);
        let key = text(state, "api-key.id").ok_or(Uncharged::NoKey)?;
        let plan = plan.map(str::to_owned).or_else(|| text(state, "plan.id"));
        let plan = plan.ok_or(Uncharged::NoPlan)?;
        take_from(state, &plan, &key, cost).ok_or(Uncharged::UnknownPlan)
    })
}

/// Takes from a plan.
pub fn take(plan: &str, key: &str, cost: u64) -> Option<Decision> {
    serve_granted("limits", "take", |state| take_from(state, plan, key, cost))
}

/// Takes from a bucket of the filter's own.
pub fn take_inline(key: &str, cost: u64, capacity: u64, refill_per_second: f64) -> Decision {
    serve_granted("limits", "take-inline", |state| {
        let is_legal = capacity > 0 && refill_per_second > 0.0 && refill_per_second.is_finite();
        if !is_legal {
            let empty = Level {
                limit: capacity,
                remaining: 0,
                window_ms: u64::MAX,
                reset_ms: u64::MAX,
            };
            return refused(Some(Bound::Plan), u64::MAX, Some(empty), None);
        }
        let rate = Rate {
            burst: capacity,
            per_second: refill_per_second,
        };
        let plan = Plan {
            rate: Some(rate),
            quota: None,
        };
        decide(state, &plan, &format!("inline {key}"), cost)
    })
}

/// Returns what was taken.
pub fn give_back(ticket: u64) {
    serve_granted("limits", "give-back", |state| {
        let Some(exchange) = &mut state.exchange else {
            return;
        };
        let mut tickets = exchange.tickets.iter();
        if let Some(index) = tickets.position(|(other, _)| *other == ticket) {
            let (_, taken) = exchange.tickets.remove(index);
            state.gateway.buckets.give_back(&taken);
        }
    });
}

/// The levels of the last decision.
pub fn standing() -> Option<Levels> {
    serve("limits.standing", |state| {
        state.check_granted("limits", "standing");
        state.exchange.as_ref()?.levels
    })
}

fn take_from(state: &mut State, plan: &str, key: &str, cost: u64) -> Option<Decision> {
    let found = state.gateway.plans.get(plan).cloned()?;
    Some(decide(state, &found, &format!("plan {plan} {key}"), cost))
}

/// Takes from the rate and the quota, or from neither.
fn decide(state: &mut State, plan: &Plan, name: &str, cost: u64) -> Decision {
    let now = state.gateway.now;
    let (of_rate, of_quota) = (format!("{name} rate"), format!("{name} quota"));
    let buckets = &mut state.gateway.buckets;
    let rate_wait = plan
        .rate
        .map_or(0, |rate| buckets.rate_wait(&of_rate, rate, cost, now));
    let quota = plan
        .quota
        .map(|(limit, period)| (limit, period_of(period, now)));
    let quota_wait = quota.map_or(0, |(limit, (begin, end))| {
        match buckets.taken_since(&of_quota, begin) + cost {
            _ if cost > limit => u64::MAX,
            used if used > limit => end - now,
            _ => 0,
        }
    });
    let is_allowed = rate_wait == 0 && quota_wait == 0;
    let mut taken = Vec::new();
    if is_allowed {
        if let Some(rate) = plan.rate {
            buckets.take_rate(&of_rate, rate, cost, now);
            taken.push((of_rate.clone(), cost));
        }
        if quota.is_some() {
            buckets.take_amount(&of_quota, cost, now);
            taken.push((of_quota.clone(), cost));
        }
    }
    let rate = plan
        .rate
        .map(|rate| buckets.rate_level(&of_rate, rate, now));
    let quota = quota.map(|(limit, (begin, end))| Level {
        limit,
        remaining: limit.saturating_sub(buckets.taken_since(&of_quota, begin)),
        window_ms: end - begin,
        reset_ms: end - now,
    });
    let mut decision = match is_allowed {
        true => refused(None, 0, rate, quota),
        false if quota_wait > 0 => {
            refused(Some(Bound::Quota), quota_wait.max(rate_wait), rate, quota)
        }
        false => refused(Some(Bound::Plan), rate_wait, rate, quota),
    };
    decision.allowed = is_allowed;
    if is_allowed && cost > 0 {
        buckets.last_ticket += 1;
        decision.ticket = buckets.last_ticket;
    }
    if let Some(exchange) = &mut state.exchange {
        exchange.levels = Some(Levels {
            rate: decision.rate,
            quota: decision.quota,
        });
        exchange.tickets.push((decision.ticket, taken));
    }
    decision
}

/// The period that a time is in.
fn period_of(period: Duration, now: u64) -> (u64, u64) {
    let length = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).max(1);
    let begin = now / length * length;
    (begin, begin.saturating_add(length))
}

fn refused(
    by: Option<Bound>,
    retry_after_ms: u64,
    rate: Option<Level>,
    quota: Option<Level>,
) -> Decision {
    Decision {
        allowed: false,
        refused_by: by,
        retry_after_ms,
        rate,
        quota,
        ticket: 0,
    }
}
