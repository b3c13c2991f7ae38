//! Bounds of the filter's own, on whatever it counts by. The gateway finds the value, so a request is one
//! call and nothing is copied. A taking stays taken, also when the filter traps.
//!
//! Define the bounds in [`Filter::configure`](crate::Filter::configure), and take in the request phase.

use crate::bindings::lifecycle::windlass::host::rates;

pub use rates::{AddressPrefixes, Algorithm, Bound, Decision, Level, Missing, Outcome, Source};

/// The most bounds of one filter.
pub const MAX_BOUNDS: usize = 16;

/// Defines the filter's bounds, at most [`MAX_BOUNDS`]; once, in `configure`.
pub fn define(bounds: &[Bound<'_>]) {
    rates::define(bounds);
}

/// Takes from all bounds for the current request, in one atomic step: all but those in shadow give, or
/// nothing is taken. A cost of 0 always passes.
#[inline]
#[must_use]
pub fn take(cost: u64) -> Decision {
    rates::take(cost)
}

/// Where the bounds stood after the last [`take`] of this filter in this exchange. Bounds that did not hold
/// for the request are left out.
#[inline]
#[must_use]
pub fn standing() -> Vec<Level> {
    rates::standing()
}

impl Decision {
    /// The places of the bounds that refuse, or miss what they count by.
    pub fn refused_by(&self) -> impl Iterator<Item = usize> + use<> {
        places(self.by)
    }

    /// The places of the bounds in shadow that would have refused.
    pub fn would_refuse(&self) -> impl Iterator<Item = usize> + use<> {
        places(self.shadowed)
    }
}

fn places(bits: u32) -> impl Iterator<Item = usize> {
    (0..MAX_BOUNDS).filter(move |place| bits & (1 << place) != 0)
}
