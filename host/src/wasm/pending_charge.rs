//! A request's share of a budget that several gateways share, where this gateway does not know it.
//!
//! A guest's call never waits. So the host asks for the share before it calls the phase of a filter
//! that charges, by the facts that tell whose budget it is (`api-key.id`, `plan.id`) and what the
//! filter charged last. Where that was wrong (another plan, another cost, a key that only the guest
//! knows), the guest's own call finds no share: then the phase is undone, as after a trap, what it
//! took is given back, and it runs again once the answer is there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::charge::{awaited_answer_for, text};
use super::filter::Filter;
use super::host::callout::MAX_CALLS;
use super::services::Services;
use crate::exchange::Exchange;
pub(crate) use crate::limits::DecisionSignal;

impl Filter {
    /// Give the bounds that it defined their places, and so their shares of the room, before the first
    /// request comes.
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
        let granted = services.callouts.all().iter();
        let granted = granted.filter(|target| self.grants().callout(&target.settings.name));
        let longest = granted.map(|target| target.settings.timeout).max()?;
        // Each call has an end of its own, before this.
        let calls = u32::try_from(MAX_CALLS + 1).unwrap_or(u32::MAX);
        Some(longest.saturating_mul(calls))
    }

    /// The answer to wait for before the filter's request phase is called, as far as it is known
    /// what it will charge.
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
