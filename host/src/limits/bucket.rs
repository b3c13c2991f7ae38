//! A token bucket in whole numbers.
//!
//! It stores the missing tokens, not the present ones: a full bucket is 0, so a dropped one and a
//! full one are the same, and usage is kept if a plan's burst changes.

use super::{Level, NEVER_MS};

/// The units of one token. A token a second is 10^9 units a nanosecond, so a rate that is exact to
/// the billionth of a token returns whole units each nanosecond.
const TOKEN: u128 = 1_000_000_000_000_000_000;

/// The measures of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The tokens of a full bucket.
    burst: u64,
    /// Units that return each nanosecond: tokens a second, times 10^9.
    refill: u64,
    /// The time in which it fills. Milliseconds.
    fill_ms: u64,
}

impl Shape {
    /// `per_second` below half a billionth never fills; a value that is no positive finite number
    /// must have been refused before.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and more than 10^10 tokens a second is no bound"
    )]
    pub(super) fn new(burst: u64, per_second: f64) -> Self {
        let refill = (per_second * 1e9).round() as u64;
        let fill_ms = to_ms(time_for(u128::from(burst) * TOKEN, refill));
        Self {
            burst,
            refill,
            fill_ms,
        }
    }

    fn units(&self) -> u128 {
        u128::from(self.burst) * TOKEN
    }
}

/// The missing tokens of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bucket {
    /// Missing units.
    missing: u128,
    /// The time of that number. Nanoseconds.
    at_ns: u64,
    /// Units that return each nanosecond from then on.
    refill: u64,
}

impl Bucket {
    /// Brings it to this time, and gives it this shape from now on.
    pub(super) fn settle(&mut self, shape: &Shape, now_ns: u64) {
        self.missing = self.missing_at(now_ns).min(shape.units());
        // A worker may pass a time that it read before another worker's.
        self.at_ns = self.at_ns.max(now_ns);
        self.refill = shape.refill;
    }

    fn missing_at(&self, now_ns: u64) -> u128 {
        let elapsed = u128::from(now_ns.saturating_sub(self.at_ns));
        self.missing
            .saturating_sub(elapsed * u128::from(self.refill))
    }

    /// Whether it is as good as new.
    pub(super) fn is_full(&self, now_ns: u64) -> bool {
        self.missing_at(now_ns) == 0
    }

    /// The time until this many tokens are there; 0 if they are. Milliseconds, rounded up. The
    /// bucket must be settled.
    pub(super) fn wait_ms(&self, shape: &Shape, cost: u64, now_ns: u64) -> u64 {
        let wanted = u128::from(cost) * TOKEN + self.missing;
        let lacking = wanted.saturating_sub(shape.units());
        if lacking == 0 || cost == 0 {
            0
        } else if cost > shape.burst {
            NEVER_MS
        } else {
            self.until(lacking, shape, now_ns)
        }
    }

    /// The time until this many units have returned. Milliseconds, rounded up.
    fn until(&self, units: u128, shape: &Shape, now_ns: u64) -> u64 {
        if units == 0 {
            return 0;
        }
        let ahead = u128::from(self.at_ns.saturating_sub(now_ns));
        to_ms(time_for(units, shape.refill).saturating_add(ahead))
    }

    pub(super) fn take(&mut self, cost: u64) {
        self.missing = self.missing.saturating_add(u128::from(cost) * TOKEN);
    }

    pub(super) fn give_back(&mut self, cost: u64) {
        self.missing = self.missing.saturating_sub(u128::from(cost) * TOKEN);
    }

    /// Its level. The bucket must be settled.
    pub(super) fn level(&self, shape: &Shape, now_ns: u64) -> Level {
        let missing = u64::try_from(self.missing.div_ceil(TOKEN)).unwrap_or(u64::MAX);
        Level {
            limit: shape.burst,
            remaining: shape.burst.saturating_sub(missing),
            window_ms: shape.fill_ms,
            reset_ms: self.until(self.missing, shape, now_ns),
        }
    }
}

/// The time in which this many units return. Nanoseconds, rounded up.
fn time_for(units: u128, refill: u64) -> u128 {
    if refill == 0 {
        return u128::MAX;
    }
    match u64::try_from(units) {
        // The usual case, at a tenth of the cost.
        Ok(units) => u128::from(units.div_ceil(refill)),
        Err(_) => units.div_ceil(u128::from(refill)),
    }
}

fn to_ms(ns: u128) -> u64 {
    match u64::try_from(ns) {
        Ok(ns) => ns.div_ceil(1_000_000),
        Err(_) => u64::try_from(ns.div_ceil(1_000_000)).unwrap_or(NEVER_MS),
    }
}
