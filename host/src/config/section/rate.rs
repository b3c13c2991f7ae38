//! `rate` and `burst`, in every table that has them: token buckets.

use windlass_config_derive::FromTable;

use crate::config::read::Table;
use crate::model::plan::RateLimit;

/// The bucket of all clients together.
#[derive(FromTable)]
#[table(into = Option<RateLimit>, make = of_clients)]
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
#[table(into = Option<RateLimit>, make = of_plan)]
pub(crate) struct PlanRateKeys {
    /// Requests per second for each key: how fast its token bucket refills.
    #[key(absent = "no rate")]
    rate: Option<f64>,
    #[key(flatten)]
    burst: BurstKey,
}

/// The bucket of one method for each key of a plan.
#[derive(FromTable)]
#[table(into = RateLimit, make = of_method)]
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

fn of_clients(table: &mut Table<'_>, keys: ClientRateKeys) -> Option<RateLimit> {
    bucket(table, keys.rate, keys.burst)
}

fn of_plan(table: &mut Table<'_>, keys: PlanRateKeys) -> Option<RateLimit> {
    bucket(table, keys.rate, keys.burst)
}

fn of_method(_table: &mut Table<'_>, keys: MethodRateKeys) -> RateLimit {
    RateLimit::new(keys.rate, keys.burst.burst)
}

/// A rate with its burst; reports a burst alone.
fn bucket(table: &mut Table<'_>, rate: Option<f64>, burst: BurstKey) -> Option<RateLimit> {
    if burst.burst.is_some() && !table.has("rate") && !table.is_incomplete() {
        table
            .error_at("burst", "has `burst` without `rate`")
            .help("add `rate = 5` (requests a second), or remove `burst`");
    }
    rate.map(|rate| RateLimit::new(rate, burst.burst))
}
