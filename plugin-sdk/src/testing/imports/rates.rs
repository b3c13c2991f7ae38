//! `windlass:host/rates`, with the clock of the test.

pub use crate::bindings::lifecycle::windlass::host::rates::{
    AddressPrefixes, Algorithm, Bound, Decision, Level, Missing, Outcome, Source,
};

use std::net::IpAddr;

use crate::AttributeValue;
use crate::host::rates::MAX_BOUNDS;
use crate::testing::exchange::Exchange;
use crate::testing::plan::{Buckets, Rate};
use crate::testing::state::{Phase, State, serve, serve_granted};

/// The largest limit and burst.
const MAX_LIMIT: u64 = 4_000_000_000;

/// A bound that a filter defined.
#[derive(Debug, Clone)]
pub(in crate::testing) struct DefinedBound {
    name: String,
    by: ValueSource,
    missing: Missing,
    is_sliding: bool,
    limit: u64,
    window_ms: u64,
    burst: u64,
    shadow: bool,
}

#[derive(Debug, Clone)]
enum ValueSource {
    All,
    Address(AddressPrefixes),
    Attribute(String),
    Header(String),
    PathParam(String),
}

/// Defines bounds.
pub fn define(bounds: &[Bound<'_>]) {
    serve("rates.define", |state| {
        state.check_granted("rates", "define");
        assert!(
            state.phase == Phase::Configure,
            "called `rates.define` outside of `configure`"
        );
        assert!(
            bounds.len() <= MAX_BOUNDS,
            "called `rates.define` with more than {MAX_BOUNDS} bounds"
        );
        assert!(
            state.gateway.bounds.is_empty(),
            "called `rates.define` twice: define all bounds in one call"
        );
        for bound in bounds {
            let known = &mut state.gateway.bounds;
            assert!(
                known.iter().all(|other| other.name != bound.name),
                "called `rates.define` with two bounds of the name `{}`",
                bound.name
            );
            known.push(DefinedBound::of(bound));
        }
    });
}

/// Takes from all bounds.
pub fn take(cost: u64) -> Decision {
    serve_granted("rates", "take", |state| take_in(state, cost))
}

/// The levels of the last decision.
pub fn standing() -> Vec<Level> {
    serve("rates.standing", |state| {
        state.check_granted("rates", "standing");
        let exchange = state.exchange.as_ref();
        exchange
            .map(|exchange| exchange.rate_levels.clone())
            .unwrap_or_default()
    })
}

impl DefinedBound {
    fn of(bound: &Bound<'_>) -> Self {
        Self {
            name: bound.name.to_owned(),
            by: match bound.by {
                Source::All => ValueSource::All,
                Source::ClientAddress(prefixes) => ValueSource::Address(prefixes),
                Source::Attribute(name) => ValueSource::Attribute(name.to_owned()),
                Source::Header(name) => ValueSource::Header(name.to_owned()),
                Source::PathParam(name) => ValueSource::PathParam(name.to_owned()),
            },
            missing: bound.missing,
            is_sliding: bound.algorithm == Algorithm::SlidingWindow,
            limit: bound.limit.clamp(1, MAX_LIMIT),
            window_ms: bound.window_ms.clamp(10, 100_000_000_000),
            burst: bound.burst.clamp(1, MAX_LIMIT),
            shadow: bound.shadow,
        }
    }

    /// The value that a request is counted by.
    fn value(&self, exchange: &Exchange) -> Option<String> {
        match &self.by {
            ValueSource::All => Some(String::new()),
            ValueSource::Address(prefixes) => {
                let address = exchange.text_attribute("client.ip")?;
                Some(network(address.parse().ok()?, *prefixes))
            }
            ValueSource::Attribute(name) => Some(match exchange.find_attribute(name)? {
                AttributeValue::Text(text) => text,
                AttributeValue::Number(number) => number.to_string(),
                AttributeValue::Flag(flag) => flag.to_string(),
                AttributeValue::Bytes(bytes) => format!("{bytes:?}"),
            }),
            ValueSource::Header(name) => {
                let value = exchange.request.get(name.as_str())?;
                Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
            }
            ValueSource::PathParam(name) => {
                let mut params = exchange.params.iter();
                let (_, value) = params.find(|(other, _)| other == name)?;
                let value = percent_encoding::percent_decode_str(value);
                Some(value.decode_utf8_lossy().into_owned())
            }
        }
    }

    fn rate(&self) -> Rate {
        #[expect(clippy::cast_precision_loss, reason = "limits of tests are small")]
        let per_second = self.limit as f64 * 1000.0 / self.window_ms as f64;
        Rate {
            burst: self.burst,
            per_second,
        }
    }

    /// How long until it has so much.
    fn wait(&self, buckets: &mut Buckets, name: &str, cost: u64, now: u64) -> u64 {
        if cost == 0 {
            return 0;
        }
        if !self.is_sliding {
            return buckets.rate_wait(name, self.rate(), cost, now);
        }
        let since = self.window_begin(now);
        match buckets.taken_since(name, since) + cost {
            _ if cost > self.limit => u64::MAX,
            used if used > self.limit => {
                let first = buckets.first_since(name, since).unwrap_or(now);
                first + self.window_ms - now
            }
            _ => 0,
        }
    }

    fn take(&self, buckets: &mut Buckets, name: &str, cost: u64, now: u64) {
        match self.is_sliding {
            true => buckets.take_amount(name, cost, now),
            false => buckets.take_rate(name, self.rate(), cost, now),
        }
    }

    fn level(&self, buckets: &mut Buckets, name: &str, now: u64) -> (u64, u64, u64, u64) {
        if !self.is_sliding {
            let level = buckets.rate_level(name, self.rate(), now);
            return (
                level.limit,
                level.remaining,
                level.window_ms,
                level.reset_ms,
            );
        }
        let since = self.window_begin(now);
        let used = buckets.taken_since(name, since);
        let reset = if used > 0 { self.window_ms } else { 0 };
        (
            self.limit,
            self.limit.saturating_sub(used),
            self.window_ms,
            reset,
        )
    }

    fn window_begin(&self, now: u64) -> u64 {
        (now + 1).saturating_sub(self.window_ms)
    }
}

/// The leading bits of an address, as text.
fn network(address: IpAddr, prefixes: AddressPrefixes) -> String {
    match address {
        IpAddr::V4(address) => {
            let shift = 32 - u32::from(prefixes.ipv4.min(32));
            format!("4 {:?}", address.to_bits().checked_shr(shift))
        }
        IpAddr::V6(address) => {
            let shift = 128 - u32::from(prefixes.ipv6.min(128));
            format!("6 {:?}", address.to_bits().checked_shr(shift))
        }
    }
}

fn take_in(state: &mut State, cost: u64) -> Decision {
    let State {
        gateway, exchange, ..
    } = state;
    let Some(exchange) = exchange else {
        panic!("called `rates.take` outside of a phase");
    };
    assert!(
        !gateway.bounds.is_empty(),
        "called `rates.take` without bounds: call `rates.define` in `configure`"
    );
    let now = gateway.now;
    let (mut denied, mut by, mut shadowed, mut wait) = (0_u32, 0_u32, 0_u32, 0_u64);
    let mut counted = Vec::new();
    for (index, bound) in gateway.bounds.iter().enumerate() {
        let value = match (bound.value(exchange), bound.missing) {
            (Some(value), _) => format!("= {value}"),
            (None, Missing::Share) => "none".to_owned(),
            (None, Missing::Skip) => continue,
            (None, Missing::Deny) if bound.shadow => {
                shadowed |= 1 << index;
                continue;
            }
            (None, Missing::Deny) => {
                denied |= 1 << index;
                continue;
            }
        };
        counted.push((index, bound, format!("rates {} {value}", bound.name)));
    }
    if denied != 0 {
        return decision(Outcome::Missing, denied, shadowed, 0);
    }
    let buckets = &mut gateway.buckets;
    for (index, bound, name) in &counted {
        match bound.wait(buckets, name, cost, now) {
            0 => {}
            _ if bound.shadow => shadowed |= 1 << index,
            needed => {
                by |= 1 << index;
                wait = wait.max(needed);
            }
        }
    }
    if by == 0 {
        for (index, bound, name) in &counted {
            if shadowed & (1 << index) == 0 {
                bound.take(buckets, name, cost, now);
            }
        }
    }
    exchange.rate_levels.clear();
    for (index, bound, name) in &counted {
        let (limit, remaining, window_ms, reset_ms) = bound.level(buckets, name, now);
        exchange.rate_levels.push(Level {
            bound: u32::try_from(*index).unwrap_or(u32::MAX),
            limit,
            remaining,
            window_ms,
            reset_ms,
        });
    }
    let outcome = match by {
        0 => Outcome::Allowed,
        _ => Outcome::Refused,
    };
    decision(outcome, by, shadowed, wait)
}

fn decision(outcome: Outcome, by: u32, shadowed: u32, retry_after_ms: u64) -> Decision {
    Decision {
        outcome,
        by,
        shadowed,
        retry_after_ms,
    }
}
