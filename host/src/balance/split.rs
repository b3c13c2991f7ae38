//! Weighted splits: the choice of one of several upstreams for a request of a route.
//!
//! At random, or by a key, so that a consumer stays with its upstream: then each upstream bids for the
//! key (weighted rendezvous hashing), and an upstream whose weight is raised only gains keys.

use super::random;

/// Upstreams and their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightedSplit {
    /// Identity and weight.
    targets: Box<[(u64, u32)]>,
    total: u64,
}

impl WeightedSplit {
    /// Upstreams by identity and weight. None: no weight is positive.
    #[must_use]
    pub(crate) fn new(targets: impl IntoIterator<Item = (u64, u32)>) -> Option<Self> {
        let targets: Box<[(u64, u32)]> = targets.into_iter().collect();
        let total = targets.iter().map(|(_, weight)| u64::from(*weight)).sum();
        (total > 0).then_some(Self { targets, total })
    }

    /// One of them at random, by weight.
    #[must_use]
    pub(crate) fn pick(&self, random: u64) -> usize {
        let mut left = random::below(random::mix(random), self.total);
        let drawn = self.targets.iter().position(|(_, weight)| {
            let rest = left.checked_sub(u64::from(*weight));
            left = rest.unwrap_or(left);
            rest.is_none()
        });
        drawn.unwrap_or(0)
    }

    #[must_use]
    pub(crate) fn pick_by(&self, key: u64) -> usize {
        let bid = |(identity, weight): &(u64, u32)| {
            let bits = random::mix(random::mix(key) ^ *identity);
            // `part` is never 0 or 1, so the logarithm is finite, and not 0.
            f64::from(*weight) / -random::part(bits).ln()
        };
        let bids = self.targets.iter().map(bid).enumerate();
        let best = bids.max_by(|(_, one), (_, other)| one.total_cmp(other));
        best.map_or(0, |(index, _)| index)
    }
}
