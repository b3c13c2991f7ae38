//! `windlass:host/rates`: bounds of a filter's own, on whatever it counts by.
//!
//! A filter defines them once, in `configure`; each request is one call. The bounds and the values that
//! they count by are in [`DefinedRates`], the counting and the decision in
//! [`crate::limits::RateCounters`].

use std::sync::Arc;

use wasmtime::{Result, bail};

use super::HostFunctions;

use crate::limits::{RateDecision, RateLevel};
use crate::wasm::bindings::rates::{
    Algorithm, Bound as WitBound, Decision as WitDecision, Level as WitLevel, Missing, Outcome,
    Source,
};
use crate::wasm::charge::PendingCharge;
use crate::wasm::defined_rates::{DefinedRates, bit};
use crate::wasm::facts::{BoundInfo, BoundSource, OnMissingValue};
use crate::wasm::failure::CallFailure;
use crate::wasm::notices::printable;
use crate::wasm::state::{InstanceState, Phase};

/// The most bounds of one filter: each is a bit of a decision.
const MAX_BOUNDS: usize = 16;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("define", |state, (bounds,): (Vec<WitBound>,)| {
        state.define_rates(bounds)
    })?;
    functions.add_in_phase("take", |state, (cost,): (u64,)| {
        Ok((state.take_rates(cost)?,))
    })?;
    functions.add("standing", |state, ()| {
        let exchange = state.exchange.iter();
        let levels = exchange.flat_map(|exchange| {
            exchange
                .account
                .iter()
                .flat_map(|account| &account.rate_levels)
        });
        let levels = levels.filter(|(position, _)| *position == state.position);
        let levels = levels.map(|(_, RateLevel { bound, level, .. })| WitLevel {
            bound: *bound,
            limit: level.limit,
            remaining: level.remaining,
            window_ms: level.window_ms,
            reset_ms: level.reset_ms,
        });
        Ok((levels.collect::<Vec<_>>(),))
    })
}

/// A name that two bounds have: they would count in one bucket by two measures.
fn duplicate_name(bounds: &[WitBound]) -> Option<&str> {
    let mut names = bounds.iter().enumerate();
    let found = names.find(|(index, bound)| {
        let mut before = bounds.iter().take(*index);
        before.any(|other| other.name == bound.name)
    });
    found.map(|(_, bound)| bound.name.as_str())
}

/// A bound for the check of the configuration.
fn bound_info(bound: &WitBound) -> BoundInfo {
    BoundInfo {
        name: bound.name.clone(),
        source: match &bound.by {
            Source::Attribute(name) => Some(BoundSource::Attribute(name.clone())),
            Source::PathParam(name) => Some(BoundSource::PathParam(name.clone())),
            Source::All | Source::ClientAddress(_) | Source::Header(_) => None,
        },
        lacking: match bound.missing {
            Missing::Share => OnMissingValue::Shared,
            Missing::Skip => OnMissingValue::Skipped,
            Missing::Deny if bound.shadow => OnMissingValue::Skipped,
            Missing::Deny => OnMissingValue::Denied,
        },
        is_sliding: bound.algorithm == Algorithm::SlidingWindow,
    }
}

/// The bounds that refuse in a decision, and those in shadow that would have.
fn bits(defined: &DefinedRates, decision: &RateDecision) -> (u32, u32) {
    let (mut by, mut shadowed) = (0, 0);
    for level in decision.levels.iter().filter(|level| level.refused) {
        let index = usize::try_from(level.bound).unwrap_or(usize::MAX);
        if defined.is_shadow(index) {
            shadowed |= bit(index);
        } else {
            by |= bit(index);
        }
    }
    (by, shadowed)
}

impl InstanceState {
    fn define_rates(&mut self, bounds: Vec<WitBound>) -> Result<()> {
        if self.phase != Phase::Configure {
            bail!("called `rates.define` outside of `configure`");
        }
        if bounds.len() > MAX_BOUNDS {
            bail!("called `rates.define` with more than {MAX_BOUNDS} bounds");
        }
        if !self.advice.bounds.is_empty() {
            bail!("called `rates.define` twice: define all bounds in one call");
        }
        if let Some(name) = duplicate_name(&bounds) {
            bail!(
                "called `rates.define` with two bounds of the name `{}`",
                printable(name)
            );
        }
        self.advice.bounds = bounds.iter().map(bound_info).collect();
        let name = Arc::clone(&self.name);
        // All instances have the same settings, and so the same bounds.
        self.filter_services
            .rates
            .get_or_init(|| Arc::new(DefinedRates::new(name, bounds)));
        Ok(())
    }

    fn take_rates(&mut self, cost: u64) -> Result<WitDecision> {
        let (Some(defined), Some(services), Some(exchange)) = (
            self.filter_services.rates.get(),
            &self.services,
            &mut self.exchange,
        ) else {
            bail!("called `rates.take` without bounds: call `rates.define` in `configure`");
        };
        let answer = |outcome, by, shadowed, retry_after_ms| WitDecision {
            outcome,
            by,
            shadowed,
            retry_after_ms,
        };
        let found = defined.keys(exchange);
        if found.denied != 0 {
            return Ok(answer(Outcome::Missing, found.denied, found.shadowed, 0));
        }
        let waits = services.rates.leased().is_some();
        if waits {
            self.filter_services.charged.record(None, cost);
        }
        let mut decision = defined.take(services, &found.keys, cost);
        if let Some(keys) = decision.pending.take() {
            let share = defined.pending(services, keys, cost);
            if self.may_rerun {
                if let Some(ticket) = decision.ticket.take() {
                    services.rates.give_back(ticket);
                }
                self.refund();
                return Err(CallFailure::Share(PendingCharge::Rates(share)).into());
            }
            // It may be there for the next one.
            drop(share.wait(services));
        }
        if self.may_rerun {
            self.rate_tickets.extend(decision.ticket.take());
        }
        let position = self.position;
        let levels = &mut exchange.account.get_or_insert_default().rate_levels;
        levels.retain(|(other, _)| *other != position);
        levels.extend(decision.levels.iter().map(|level| (position, *level)));
        let (by, shadowed) = bits(defined, &decision);
        let outcome = match (decision.allowed, decision.unavailable) {
            (true, _) => Outcome::Allowed,
            (false, true) => Outcome::Unavailable,
            (false, false) => Outcome::Refused,
        };
        let shadowed = shadowed | found.shadowed;
        Ok(answer(outcome, by, shadowed, decision.retry_after_ms))
    }
}
