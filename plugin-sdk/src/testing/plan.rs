//! Usage plans, and the buckets from which limits take.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::host::limits::Level;

/// A usage plan of a test: a rate, a quota, or both.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub(super) rate: Option<Rate>,
    pub(super) quota: Option<(u64, Duration)>,
}

/// A token bucket: its size, and how many tokens come back a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) burst: u64,
    pub(super) per_second: f64,
}

impl Plan {
    /// A plan without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the rate: at most `burst` at once, and so many a second.
    #[must_use]
    pub fn rate(mut self, per_second: f64, burst: u64) -> Self {
        self.rate = Some(Rate { burst, per_second });
        self
    }

    /// Limits how many there are in a period. The first period begins at the start of the test's clock.
    #[must_use]
    pub fn quota(mut self, limit: u64, period: Duration) -> Self {
        self.quota = Some((limit, period));
        self
    }
}

/// What was taken, by the name of the bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Buckets {
    /// The tokens that are missing from a full bucket, and when that was so. Milliseconds.
    missing: BTreeMap<String, (f64, u64)>,
    /// The amounts of a window or a period, and when each was taken. Milliseconds.
    taken: BTreeMap<String, Vec<(u64, u64)>>,
    pub(super) last_ticket: u64,
}

impl Buckets {
    /// The state of a token bucket.
    pub(super) fn rate_level(&mut self, name: &str, rate: Rate, now: u64) -> Level {
        let missing = self.missing_from(name, rate, now);
        let per_ms = rate.per_second / 1000.0;
        Level {
            limit: rate.burst,
            remaining: whole(as_f64(rate.burst) - missing),
            window_ms: whole((as_f64(rate.burst) / per_ms).ceil()),
            reset_ms: whole((missing / per_ms).ceil()),
        }
    }

    /// How long until a token bucket has so much; the largest number if never.
    pub(super) fn rate_wait(&mut self, name: &str, rate: Rate, cost: u64, now: u64) -> u64 {
        if cost > rate.burst {
            return u64::MAX;
        }
        let lacking = self.missing_from(name, rate, now) + as_f64(cost) - as_f64(rate.burst);
        whole((lacking / rate.per_second * 1000.0).ceil())
    }

    /// Takes from a token bucket, which has so much.
    pub(super) fn take_rate(&mut self, name: &str, rate: Rate, cost: u64, now: u64) {
        let missing = self.missing_from(name, rate, now) + as_f64(cost);
        self.missing.insert(name.to_owned(), (missing, now));
    }

    fn missing_from(&self, name: &str, rate: Rate, now: u64) -> f64 {
        let (missing, at) = self.missing.get(name).copied().unwrap_or_default();
        let refilled = as_f64(now.saturating_sub(at)) / 1000.0 * rate.per_second;
        (missing - refilled).max(0.0)
    }

    /// What was taken since a time.
    pub(super) fn taken_since(&self, name: &str, since: u64) -> u64 {
        let taken = self.taken.get(name).into_iter().flatten();
        let taken = taken.filter(|(at, _)| *at >= since);
        taken.map(|(_, amount)| amount).sum()
    }

    /// When the first amount since a time was taken.
    pub(super) fn first_since(&self, name: &str, since: u64) -> Option<u64> {
        let taken = self.taken.get(name).into_iter().flatten();
        taken.map(|(at, _)| *at).find(|at| *at >= since)
    }

    pub(super) fn take_amount(&mut self, name: &str, cost: u64, now: u64) {
        let taken = self.taken.entry(name.to_owned()).or_default();
        taken.push((now, cost));
    }

    /// Returns what was taken from buckets, by their names.
    pub(super) fn give_back(&mut self, taken: &[(String, u64)]) {
        for (name, cost) in taken {
            if let Some((missing, _)) = self.missing.get_mut(name) {
                *missing -= as_f64(*cost);
            }
            let list = self.taken.get_mut(name);
            let last = list.and_then(|list| list.iter_mut().rfind(|(_, amount)| amount == cost));
            if let Some((_, amount)) = last {
                *amount = 0;
            }
        }
    }
}

/// Tests count in small numbers.
#[expect(clippy::cast_precision_loss)]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// A number that is not negative, as a whole one; the largest if it is larger.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}
