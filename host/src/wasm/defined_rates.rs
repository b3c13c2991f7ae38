//! The bounds that a filter defined in `configure`, and the values that they count by.
//!
//! The values are read from the exchange here. The counting and the decision are in
//! [`crate::limits::RateCounters`]; the guest calls `host/rates.rs`.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::bindings::rates::{Algorithm, Bound as WitBound, Missing, Source};
use super::services::Services;
use crate::exchange::{AttributeValue, Exchange};
use crate::limits::{DecisionSignal, RateBound, RateBounds, RateDecision, RateKey, RateKeys};
use crate::route;
use crate::runtime::clock::Timestamp;

/// The largest limit and burst that every counter can hold.
const MAX_VALUE: u64 = 4_000_000_000;

/// The longest window, three years: a slower bucket would never refill. Milliseconds.
const LONGEST_MS: u64 = 100_000_000_000;

/// The bounds that a filter defined.
#[derive(Debug)]
pub(crate) struct DefinedRates {
    filter: Arc<str>,
    sources: Box<[(Source, Missing)]>,
    bounds: Box<[RateBound]>,
    enrolled: OnceLock<Arc<RateBounds>>,
}

/// A demand of a filter's bounds that only the store can decide.
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
    /// The answer to wait for; none if the demand can be decided now.
    pub(crate) fn wait(&self, services: &Services) -> Option<DecisionSignal> {
        let now = Timestamp::now();
        services
            .rates
            .wait(&self.bounds, &self.keys, self.cost, now)
    }
}

impl DefinedRates {
    pub(super) fn new(filter: Arc<str>, bounds: Vec<WitBound>) -> Self {
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

    /// The bounds as enrolled with the counters, which outlive configurations.
    pub(crate) fn enrolled(&self, services: &Services) -> &Arc<RateBounds> {
        self.enrolled
            .get_or_init(|| Arc::new(services.rates.enroll(&self.filter, &self.bounds)))
    }

    /// A demand of these bounds that waits for the store's answer.
    pub(super) fn pending(&self, services: &Services, keys: RateKeys, cost: u64) -> PendingRates {
        PendingRates {
            bounds: Arc::clone(self.enrolled(services)),
            keys,
            cost,
        }
    }

    /// Whether the bound at this index is in shadow.
    pub(super) fn is_shadow(&self, index: usize) -> bool {
        self.bounds.get(index).is_some_and(|bound| bound.shadow)
    }

    /// The value that each bound counts by for this request.
    pub(super) fn keys(&self, exchange: &Exchange) -> FoundKeys {
        let (mut denied, mut shadowed) = (0, 0);
        let bounds = self.sources.iter().zip(&self.bounds).enumerate();
        let keys = bounds.map(|(index, ((source, missing), bound))| {
            key(source, exchange).or_else(|| match missing {
                Missing::Share => Some(RateKey::MISSING),
                Missing::Skip => None,
                Missing::Deny => {
                    if bound.shadow {
                        shadowed |= bit(index);
                    } else {
                        denied |= bit(index);
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
        let now = Timestamp::now();
        services
            .rates
            .wait(self.enrolled(services), &found.keys, cost, now)
    }

    pub(super) fn take(&self, services: &Services, keys: &RateKeys, cost: u64) -> RateDecision {
        let now = Timestamp::now();
        services
            .rates
            .take(self.enrolled(services), keys, cost, now)
    }
}

/// The values that one request is counted by.
pub(super) struct FoundKeys {
    pub(super) keys: RateKeys,
    /// The bounds that say `deny` and whose value is missing.
    pub(super) denied: u32,
    /// Those of them in shadow, which do not refuse the request.
    pub(super) shadowed: u32,
}

/// The value that this request is counted by.
fn key(source: &Source, exchange: &Exchange) -> Option<RateKey> {
    match source {
        Source::All => Some(RateKey::ALL),
        Source::ClientAddress(prefixes) => {
            let ip = exchange.client.ip;
            Some(RateKey::address(ip, prefixes.ipv4, prefixes.ipv6))
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

/// A decoded path parameter as many endpoints read it, so that no client gets another bucket by another
/// spelling of the same resource (`a;x`, `a%20`, `a/`).
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

fn of_attribute(value: &AttributeValue) -> RateKey {
    match value {
        AttributeValue::Text(text) => RateKey::octets(text.as_bytes()),
        AttributeValue::Bytes(bytes) => RateKey::octets(bytes),
        AttributeValue::Number(number) => RateKey::octets(number.to_string().as_bytes()),
        AttributeValue::Flag(flag) => RateKey::octets(flag.to_string().as_bytes()),
    }
}

/// The bit of the bound at this index.
pub(super) fn bit(index: usize) -> u32 {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    1_u32.checked_shl(index).unwrap_or_default()
}
