//! Rates and quotas: atomic, and shared by all instances and workers. What was taken stays taken,
//! also when the filter traps.

use crate::bindings::lifecycle::windlass::host::limits;

pub use limits::{Bound, Decision, Level, Levels, Uncharged};

/// Takes from every bound that a usage plan sets for the exchange's API key (the attribute
/// `api-key.id`): of the plan that is named, else of the key's own (the attribute `plan.id`). As
/// [`take`], and cheaper.
///
/// # Errors
/// Why nothing was decided: an attribute is missing, or there is no such plan.
#[inline]
pub fn charge(plan: Option<&str>, cost: u64) -> Result<Decision, Uncharged> {
    limits::charge(plan, cost)
}

/// Takes from every bound that a usage plan sets for `key`, on the exchange's method and route,
/// in one atomic step: all give, or nothing is taken. None: there is no such plan.
#[inline]
#[must_use]
pub fn take(plan: &str, key: &str, cost: u64) -> Option<Decision> {
    limits::take(plan, key, cost)
}

/// The same for a token bucket of the filter's own: `capacity` tokens at most,
/// `refill_per_second` of them a second. A capacity of 0, or a refill that is not a positive
/// finite number, refuses.
#[inline]
#[must_use]
pub fn take_inline(key: &str, cost: u64, capacity: u64, refill_per_second: f64) -> Decision {
    limits::take_inline(key, cost, capacity, refill_per_second)
}

/// Gives back what this exchange took, by the decision's ticket. Works once.
#[inline]
pub fn give_back(ticket: u64) {
    limits::give_back(ticket);
}

/// Where the bounds stood after the last decision that this filter asked for in this exchange:
/// what a response tells its client, without a note. None when it asked for none.
#[inline]
#[must_use]
pub fn standing() -> Option<Levels> {
    limits::standing()
}
