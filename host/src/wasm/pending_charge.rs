//! The wait for a share of a budget that several gateways use together.
//!
//! A guest's call never waits. So the host asks for the share before it calls the phase of a filter
//! that charges: it expects the plan and cost of the filter's last charge, and the key in the
//! attributes (`api-key.id`, `plan.id`). If the guest then charges something else, its call finds no
//! share: the edits of the phase are undone, its charges are given back, and it runs again when the
//! store has answered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::charge::{awaited_answer_for, text};
use super::filter::Filter;
use super::host::callout::MAX_CALLS;
use super::services::Services;
use crate::exchange::Exchange;
pub(crate) use crate::limits::DecisionSignal;

impl Filter {
    /// Enroll the bounds that it defined with the counters before the first request comes, so that they
    /// have room there.
    pub(crate) fn enroll_bounds(&self, services: &Services) {
        if let Some(rates) = self.services().rates.get() {
            rates.enrolled(services);
        }
    }

    /// Whether it verifies tokens, so that its request phase may have to wait for newer keys.
    #[must_use]
    pub(crate) fn verifies_tokens(&self) -> bool {
        self.verifies_tokens
    }

    /// How long its request phase may wait for the answers of other servers, if it asks some.
    #[must_use]
    pub(crate) fn callout_wait(&self, services: &Services) -> Option<Duration> {
        if !self.uses_callouts {
            return None;
        }
        let granted = services.callouts.0.iter();
        let granted = granted.filter(|target| self.grants().callout(&target.settings.name));
        let longest = granted.map(|target| target.settings.timeout).max()?;
        // Each call has a timeout of its own, which is shorter.
        let calls = u32::try_from(MAX_CALLS + 1).unwrap_or(u32::MAX);
        Some(longest.saturating_mul(calls))
    }

    /// The answer to wait for before the filter's request phase is called, by the charge that it is
    /// expected to make.
    #[must_use]
    pub(crate) fn expected_share(
        &self,
        services: &Services,
        exchange: &Exchange,
    ) -> Option<DecisionSignal> {
        let last = &self.services().charged;
        let cost = last.cost.load(Ordering::Relaxed);
        if cost == 0 {
            return None;
        }
        if let Some(rates) = self.services().rates.get() {
            return rates.expected_wait(services, exchange, cost);
        }
        let key = text(exchange, "api-key.id")?;
        let named = last.plan.load();
        let plan = match named.as_ref() {
            Some(named) => named.as_str(),
            None => text(exchange, "plan.id")?,
        };
        awaited_answer_for(services, exchange, plan, key, cost)
    }
}
