//! `windlass:host/rates`: bounds of a filter's own, on whatever it counts by.
//!
//! A filter defines them once, in `configure`; each request is one call, for which the values are read here, where
//! the exchange is. The counting and the decision are in [`crate::limits::RateCounters`].

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use wasmtime::{Result, bail};

use super::super::bindings::rates::{
    Algorithm, Bound as WitBound, Decision as WitDecision, Host, Level as WitLevel, Missing,
    Outcome, Source,
};
use super::super::facts::{BoundInfo, BoundSource, OnMissingValue};
use super::super::failure::CallFailure;
use super::super::notices::printable;
use super::super::services::Services;
use super::super::state::{InstanceState, Phase};
use crate::exchange::{AttributeValue, Exchange};
use crate::limits::{RateBound, RateBounds, RateDecision, RateKey, RateKeys};
use crate::route;
use crate::wasm::pending_charge::{DecisionSignal, PendingCharge};

/// The most bounds of one filter: each is a bit of a decision.
const MAX_BOUNDS: usize = 16;

/// The largest limit and burst: what every counter holds.
const MAX_VALUE: u64 = 4_000_000_000;

/// The longest window: no bucket is so slow that it stands still. Milliseconds; three years.
const LONGEST_MS: u64 = 100_000_000_000;

/// The bounds that a filter defined.
#[derive(Debug)]
pub(crate) struct DefinedRates {
    filter: Arc<str>,
    sources: Box<[(Source, Missing)]>,
    bounds: Box<[RateBound]>,
    enrolled: OnceLock<Arc<RateBounds>>,
}

/// The demand of a filter's bounds, of which nobody here could decide.
#[derive(Debug, Clone)]
pub(crate) struct PendingRates {
    bounds: Arc<RateBounds>,
    keys: RateKeys,
    cost: u64,
}

impl PartialEq for PendingRates {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bounds, &other.bounds)
            && (&self.keys, self.cost) == (&other.keys, other.cost)
    }
}

impl Eq for PendingRates {}

impl PendingRates {
    /// The answer to wait for. None: it can be decided now.
    pub(crate) fn wait(&self, services: &Services) -> Option<DecisionSignal> {
        let now = services.clock.now();
        services
            .rates
            .wait(&self.bounds, &self.keys, self.cost, now)
    }
}

impl DefinedRates {
    fn new(filter: Arc<str>, bounds: Vec<WitBound>) -> Self {
        let limits = bounds.iter().map(|bound| RateBound {
            name: bound.name.as_str().into(),
            is_window: bound.algorithm == Algorithm::SlidingWindow,
            limit: bound.limit.clamp(1, MAX_VALUE),
            window_ms: bound.window_ms.clamp(10, LONGEST_MS),
            burst: bound.burst.clamp(1, MAX_VALUE),
            shadow: bound.shadow,
        });
        Self {
            filter,
            bounds: limits.collect(),
            sources: bounds
                .into_iter()
                .map(|bound| (bound.by, bound.missing))
                .collect(),
            enrolled: OnceLock::new(),
        }
    }

    /// With their places among the counters, which outlive configurations.
    pub(crate) fn enrolled(&self, services: &Services) -> &Arc<RateBounds> {
        self.enrolled
            .get_or_init(|| Arc::new(services.rates.enroll(&self.filter, &self.bounds)))
    }

    /// The value that each bound counts by for this request.
    fn keys(&self, exchange: &Exchange) -> FoundKeys {
        let (mut denied, mut shadowed) = (0, 0);
        let bounds = self.sources.iter().zip(&self.bounds).enumerate();
        let keys = bounds.map(|(place, ((source, missing), bound))| {
            key(source, exchange).or_else(|| match missing {
                Missing::Share => Some(RateKey::MISSING),
                Missing::Skip => None,
                Missing::Deny => {
                    if bound.shadow {
                        shadowed |= bit(place);
                    } else {
                        denied |= bit(place);
                    }
                    None
                }
            })
        });
        FoundKeys {
            keys: keys.collect(),
            denied,
            shadowed,
        }
    }

    /// The answer to wait for before the request phase is called.
    pub(crate) fn expected_wait(
        &self,
        services: &Services,
        exchange: &Exchange,
        cost: u64,
    ) -> Option<DecisionSignal> {
        let found = self.keys(exchange);
        if found.denied != 0 {
            return None;
        }
        let now = services.clock.now();
        services
            .rates
            .wait(self.enrolled(services), &found.keys, cost, now)
    }

    fn take(&self, services: &Services, keys: &RateKeys, cost: u64) -> RateDecision {
        let now = services.clock.now();
        services
            .rates
            .take(self.enrolled(services), keys, cost, now)
    }
}

/// The values that one request is counted by.
struct FoundKeys {
    keys: RateKeys,
    /// The bounds that say `deny` and miss theirs.
    denied: u32,
    /// Those of them in shadow, which do not hold for the request.
    shadowed: u32,
}

/// The value that this request is counted by.
fn key(source: &Source, exchange: &Exchange) -> Option<RateKey> {
    match source {
        Source::All => Some(RateKey::ALL),
        Source::ClientAddress(prefixes) => {
            Some(address(exchange.client.ip, prefixes.ipv4, prefixes.ipv6))
        }
        Source::Attribute(name) => match exchange.attributes.find(name) {
            Some(value) => Some(of_attribute(value)),
            None => exchange.host_fact(name).as_ref().map(of_attribute),
        },
        Source::Header(name) => {
            let value = exchange.request.headers.get(name.as_str())?;
            Some(RateKey::octets(value.as_bytes()))
        }
        Source::PathParam(name) => {
            let value = route::decode_segment(exchange.param(name)?);
            Some(RateKey::octets(counted_value(&value).as_bytes()))
        }
    }
}

/// A decoded path parameter as many endpoints read it: no client gets another bucket by another spelling (`a;x`, `a%20`,
/// `a/`) of the same resource.
fn counted_value(value: &str) -> Cow<'_, str> {
    if value.trim() == value && !value.contains([';', '/']) {
        return Cow::Borrowed(value);
    }
    let segments = value.split('/').filter_map(|segment| {
        let name = segment.split(';').next()?.trim();
        (!name.is_empty()).then_some(name)
    });
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
}

/// A name that two bounds have: they would count in one bucket by two measures.
fn duplicate_name(bounds: &[WitBound]) -> Option<&str> {
    let mut names = bounds.iter().enumerate();
    let found = names.find(|(place, bound)| {
        let mut before = bounds.iter().take(*place);
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

fn address(address: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> RateKey {
    RateKey::address(address, ipv4_prefix, ipv6_prefix)
}

fn of_attribute(value: &AttributeValue) -> RateKey {
    match value {
        AttributeValue::Text(text) => RateKey::octets(text.as_bytes()),
        AttributeValue::Bytes(bytes) => RateKey::octets(bytes),
        AttributeValue::Number(number) => RateKey::octets(number.to_string().as_bytes()),
        AttributeValue::Flag(flag) => RateKey::octets(flag.to_string().as_bytes()),
    }
}

fn bit(place: usize) -> u32 {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    1_u32.checked_shl(place).unwrap_or_default()
}

/// The bounds that refuse in a decision, and those in shadow that would have.
fn bits(defined: &DefinedRates, decision: &RateDecision) -> (u32, u32) {
    let (mut by, mut shadowed) = (0, 0);
    for level in decision.levels.iter().filter(|level| level.refused) {
        let place = usize::try_from(level.bound).unwrap_or(usize::MAX);
        match defined.bounds.get(place).is_some_and(|bound| bound.shadow) {
            true => shadowed |= bit(place),
            false => by |= bit(place),
        }
    }
    (by, shadowed)
}

impl Host for InstanceState {
    fn define(&mut self, bounds: Vec<WitBound>) -> Result<()> {
        self.charge_call()?;
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

    fn take(&mut self, cost: u64) -> Result<WitDecision> {
        self.charge_call()?;
        super::in_phase(self)?;
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
        let waits = services.rates.max_wait().is_some();
        if waits {
            self.filter_services.charged.record(None, cost);
        }
        let mut decision = defined.take(services, &found.keys, cost);
        if let Some(keys) = decision.pending.take() {
            let share = PendingRates {
                bounds: Arc::clone(defined.enrolled(services)),
                keys,
                cost,
            };
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
        let place = self.position;
        let known = &mut exchange.account.get_or_insert_default().rate_levels;
        known.retain(|(known, _)| *known != place);
        known.extend(decision.levels.iter().map(|level| (place, *level)));
        let (by, shadowed) = bits(defined, &decision);
        let outcome = match (decision.allowed, decision.unavailable) {
            (true, _) => Outcome::Allowed,
            (false, true) => Outcome::Unavailable,
            (false, false) => Outcome::Refused,
        };
        let shadowed = shadowed | found.shadowed;
        Ok(answer(outcome, by, shadowed, decision.retry_after_ms))
    }

    fn standing(&mut self) -> Result<Vec<WitLevel>> {
        self.charge_call()?;
        let exchange = self.exchange.iter();
        let levels = exchange
            .flat_map(|exchange| exchange.account.iter().flat_map(|spent| &spent.rate_levels));
        let levels = levels.filter(|(place, _)| *place == self.position);
        let levels = levels.map(|(_, level)| WitLevel {
            bound: level.bound,
            limit: level.level.limit,
            remaining: level.level.remaining,
            window_ms: level.level.window_ms,
            reset_ms: level.level.reset_ms,
        });
        Ok(levels.collect())
    }
}
