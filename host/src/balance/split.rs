//! Weighted splits: which of several upstreams a request of a route goes to.
//!
//! At random, or by a key, so that a consumer stays with its upstream: then each upstream bids for the
//! key (weighted rendezvous hashing), and an upstream whose weight is raised only gains keys.

use super::random;

/// Groups and their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightedSplit {
    /// Identity and weight.
    targets: Box<[(u64, u32)]>,
    total: u64,
}

impl WeightedSplit {
    /// Groups by identity and weight. None where no weight is positive.
    #[must_use]
    pub(crate) fn new(groups: impl IntoIterator<Item = (u64, u32)>) -> Option<Self> {
        let groups: Box<[(u64, u32)]> = groups.into_iter().collect();
        let total = groups.iter().map(|(_, weight)| u64::from(*weight)).sum();
        (total > 0).then_some(Self {
            targets: groups,
            total,
        })
    }

    /// One of them at random, by weight.
    #[must_use]
    pub(crate) fn pick(&self, random: u64) -> usize {
        let mut left = random::below(random::mix(random), self.total);
        let mut groups = self.targets.iter();
        let place = groups.position(|(_, weight)| match left.checked_sub(u64::from(*weight)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        place.unwrap_or(0)
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
        best.map_or(0, |(place, _)| place)
    }
}
