//! How a balancer picks endpoints.

use windlass_config_derive::Word;

/// How endpoints of an upstream share its requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Word)]
pub enum BalancePolicy {
    /// In turn by weight, evenly mixed: nginx's smooth weighted round robin.
    #[default]
    RoundRobin,
    /// The endpoint with the fewest active requests for its weight.
    LeastConnections,
    /// The less loaded of two that are drawn by weight.
    TwoChoices,
    /// By a key of the request: the same key, the same endpoint while it is available.
    ConsistentHash,
}

/// A number of endpoints, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    Count(u32),
    Percent(u32),
}

impl Threshold {
    /// How many that is of so many, rounded up; never more than there are.
    pub(crate) fn count_of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => usize::try_from(count).unwrap_or(usize::MAX).min(all),
            Self::Percent(percent) => {
                let percent = usize::try_from(percent.min(100)).unwrap_or(100);
                (all * percent).div_ceil(100)
            }
        }
    }
}
