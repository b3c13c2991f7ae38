//! `rate` and `burst`, wherever they stand: token buckets.

use windlass_config_derive::FromTable;

use crate::config::read::Table;

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens that come back each second; positive and finite.
    pub per_second: f64,
    /// The bucket's size; at least 1.
    pub burst: u64,
}

/// The bucket of all clients together.
#[derive(FromTable)]
#[table(into = Option<Rate>, make = of_clients)]
pub(crate) struct ClientRateKeys {
    /// Requests per second of all clients together, on each gateway. Requests beyond it get 429
    /// `throttled`.
    #[key(absent = "no rate")]
    rate: Option<f64>,
    #[key(flatten)]
    burst: BurstKey,
}

/// The bucket of each key of a plan.
#[derive(FromTable)]
#[table(into = Option<Rate>, make = of_plan)]
pub(crate) struct PlanRateKeys {
    /// Requests per second for each key: how fast its token bucket refills.
    #[key(absent = "no rate")]
    rate: Option<f64>,
    #[key(flatten)]
    burst: BurstKey,
}

/// The bucket of one method for each key of a plan.
#[derive(FromTable)]
#[table(into = Rate, make = of_method)]
pub(crate) struct MethodRateKeys {
    /// Requests per second for each key: how fast its token bucket refills.
    #[key(required = 1)]
    rate: f64,
    #[key(flatten)]
    burst: BurstKey,
}

#[derive(FromTable)]
struct BurstKey {
    /// The size of the token bucket: how many requests can arrive at once.
    #[key(absent = "the rate, rounded up", within = 1..=1_000_000_000)]
    burst: Option<u64>,
}

fn of_clients(table: &mut Table<'_>, keys: ClientRateKeys) -> Option<Rate> {
    bucket(table, keys.rate, keys.burst)
}

fn of_plan(table: &mut Table<'_>, keys: PlanRateKeys) -> Option<Rate> {
    bucket(table, keys.rate, keys.burst)
}

fn of_method(_table: &mut Table<'_>, keys: MethodRateKeys) -> Rate {
    Rate::of(keys.rate, keys.burst)
}

/// A rate with its burst; reports a burst alone.
fn bucket(table: &mut Table<'_>, rate: Option<f64>, burst: BurstKey) -> Option<Rate> {
    if burst.burst.is_some() && !table.has("rate") && !table.is_incomplete() {
        let span = table.span_of("burst");
        table
            .error(span, "has `burst` without `rate`")
            .help("add `rate = 5` (requests a second), or remove `burst`");
    }
    rate.map(|rate| Rate::of(rate, burst))
}

impl Rate {
    fn of(per_second: f64, burst: BurstKey) -> Self {
        Self {
            per_second,
            burst: burst.burst.unwrap_or_else(|| rounded_up(per_second)),
        }
    }
}

/// The smallest whole number that is not below a rate, which is positive and at most a billion.
fn rounded_up(per_second: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive finite rate; beyond 2^64 it saturates"
    )]
    let tokens = per_second.ceil() as u64;
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_rounded_up() {
        for (rate, burst) in [
            (0.001, 1),
            (1.0, 1),
            (1.000_1, 2),
            (5.0, 5),
            (5.5, 6),
            (1_000_000.5, 1_000_001),
            (1e9, 1_000_000_000),
        ] {
            assert_eq!(rounded_up(rate), burst, "{rate}");
        }
    }
}
