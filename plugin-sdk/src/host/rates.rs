//! The filter's own limits, by any value. The gateway finds the value, so a request takes one call and copies nothing.
//! If the filter traps, the amounts that it took are not returned.
//!
//! Define the limits in [`Filter::configure`](crate::Filter::configure), and take from them in the request phase.

use crate::gateway::rates;

pub use rates::{AddressPrefixes, Algorithm, Bound, Decision, Level, Missing, Outcome, Source};

/// The most limits of one filter.
pub const MAX_BOUNDS: usize = 16;

/// Defines the filter's limits, at most [`MAX_BOUNDS`]; once, in `configure`.
pub fn define(bounds: &[Bound<'_>]) {
    rates::define(bounds);
}

/// Takes from all limits for the current request, in one atomic step. If one of them refuses, nothing is taken; limits
/// in shadow never refuse. A cost of 0 always passes.
#[inline]
#[must_use]
pub fn take(cost: u64) -> Decision {
    rates::take(cost)
}

/// The state of the limits after the last [`take`] of this filter in this exchange. Limits that did not apply to the
/// request are left out.
#[inline]
#[must_use]
pub fn standing() -> Vec<Level> {
    rates::standing()
}

impl Decision {
    /// The indexes of the limits that refuse, or lack the value that they count by.
    pub fn refused_by(&self) -> impl Iterator<Item = usize> + use<> {
        places(self.by)
    }

    /// The indexes of the limits in shadow that would have refused.
    pub fn would_refuse(&self) -> impl Iterator<Item = usize> + use<> {
        places(self.shadowed)
    }
}

fn places(bits: u32) -> impl Iterator<Item = usize> {
    (0..MAX_BOUNDS).filter(move |place| bits & (1 << place) != 0)
}
