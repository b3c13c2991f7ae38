//! Rates and quotas: atomic, and shared by all instances and workers. If the filter traps, the
//! amounts that it took are not returned.

use crate::gateway::limits;

pub use limits::{Bound, Decision, Level, Levels, Uncharged};

/// Takes from every limit that a usage plan sets for the exchange's API key (the attribute
/// `api-key.id`). The plan is the one that is named, or else the key's own (the attribute
/// `plan.id`). Cheaper than [`take`].
///
/// # Errors
/// The reason why nothing was decided: an attribute is missing, or there is no such plan.
#[inline]
pub fn charge(plan: Option<&str>, cost: u64) -> Result<Decision, Uncharged> {
    limits::charge(plan, cost)
}

/// Takes from every limit that a usage plan sets for `key`, on the exchange's method and route, in
/// one atomic step: from all of them, or from none. `None` if there is no such plan.
#[inline]
#[must_use]
pub fn take(plan: &str, key: &str, cost: u64) -> Option<Decision> {
    limits::take(plan, key, cost)
}

/// Takes from a token bucket that the filter defines itself, in the same way: at most `capacity`
/// tokens, and `refill_per_second` of them are added a second. A capacity of 0, or a refill that is
/// not a positive finite number, refuses.
#[inline]
#[must_use]
pub fn take_inline(key: &str, cost: u64, capacity: u64, refill_per_second: f64) -> Decision {
    limits::take_inline(key, cost, capacity, refill_per_second)
}

/// Returns the amount that this exchange took, by the decision's ticket. Works once.
#[inline]
pub fn give_back(ticket: u64) {
    limits::give_back(ticket);
}

/// The state of the limits after the last decision that this filter asked for in this exchange, for
/// the fields of a response. `None` if it asked for none.
#[inline]
#[must_use]
pub fn standing() -> Option<Levels> {
    limits::standing()
}
