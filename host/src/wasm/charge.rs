//! Charges of a filter: what it takes from a usage plan or from its own bounds.
//!
//! [`PendingCharge`] is one that only the store can decide, [`LastCharge`] is what the filter charged
//! last. By that the host asks for a share before it calls the filter ([`super::pending_charge`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::defined_rates::PendingRates;
use super::services::Services;
use crate::exchange::{AttributeValue, Exchange};
use crate::limits::{DecisionSignal, EnrolledPlan, TakeRequest};
use crate::runtime::clock::Timestamp;

/// A charge of a guest's call that only the store can decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PendingCharge {
    /// Of a usage plan.
    Plan {
        /// Its name.
        plan: String,
        /// The key whose counter is charged.
        key: String,
        /// The tokens, or requests, that it takes from each bound.
        cost: u64,
    },
    /// Of the filter's own bounds.
    Rates(PendingRates),
}

impl fmt::Display for PendingCharge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan { plan, .. } => write!(f, "plan `{plan}`"),
            Self::Rates(_) => f.write_str("its own bounds"),
        }
    }
}

impl PendingCharge {
    /// The answer to wait for; none if the charge can be decided now.
    #[must_use]
    pub(crate) fn awaited_answer(
        &self,
        services: &Services,
        exchange: &Exchange,
    ) -> Option<DecisionSignal> {
        match self {
            Self::Plan { plan, key, cost } => {
                awaited_answer_for(services, exchange, plan, key, *cost)
            }
            Self::Rates(share) => share.wait(services),
        }
    }
}

/// The last charge of a filter. All workers write it, but only if it changes.
#[derive(Debug, Default)]
pub(crate) struct LastCharge {
    /// The plan that it named; none for the key's own.
    pub(super) plan: ArcSwapOption<String>,
    /// 0 if it never charged.
    pub(super) cost: AtomicU64,
}

impl LastCharge {
    pub(super) fn record(&self, plan: Option<&str>, cost: u64) {
        if cost > 0 && self.cost.load(Ordering::Relaxed) != cost {
            self.cost.store(cost, Ordering::Relaxed);
        }
        let last = self.plan.load();
        if last.as_ref().map(|last| last.as_str()) != plan {
            self.plan.store(plan.map(|plan| Arc::new(plan.to_owned())));
        }
    }
}

/// An attribute that is text.
pub(super) fn text<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    match exchange.attributes.find(name)? {
        AttributeValue::Text(text) => Some(text),
        AttributeValue::Number(_) | AttributeValue::Flag(_) | AttributeValue::Bytes(_) => None,
    }
}

/// The request to all bounds that apply to the exchange. An exchange takes from shared rates once.
pub(super) fn describe<'a>(
    exchange: &'a Exchange,
    plan: &'a EnrolledPlan,
    key: &'a str,
    cost: u64,
) -> TakeRequest<'a> {
    let route = exchange.route.as_deref();
    let method = route.and_then(|route| {
        let method = exchange.request.method.as_str();
        plan.method(method, &route.pattern)
    });
    let rates = route.map(|route| &route.rates);
    let rates = rates.filter(|rates| !rates.is_empty() && !exchange.tickets.has_shared());
    TakeRequest {
        plan: Some(plan),
        key,
        method,
        route: rates.and_then(|rates| rates.route.as_ref()),
        gateway: rates.and_then(|rates| rates.gateway.as_ref()),
        cost,
        now: Timestamp::now(),
    }
}

/// The answer to wait for before this is charged; none if it can be decided now.
pub(super) fn awaited_answer_for(
    services: &Services,
    exchange: &Exchange,
    plan: &str,
    key: &str,
    cost: u64,
) -> Option<DecisionSignal> {
    services.plans.with(plan, |plan| {
        let take = describe(exchange, plan?, key, cost);
        services.limits.wait(&take)
    })
}
