//! Weighted least-connections: the endpoint with the fewest active requests for its weight.
//!
//! Of endpoints with equal load one is drawn, in proportion to their weights. So a gateway that
//! has just started, or is idle, spreads by weight, and many gateways (or workers that read the
//! same loads in the same moment) do not fall upon the same endpoint.
//!
//! Loads are read, not locked: two workers can pick one endpoint from the same count. A
//! compare-exchange on the winner would not help, since the counts of the others that it was
//! compared with can have changed as well; exactness would need one lock over all of them. The
//! count is raised right after the pick, so at most as many picks as there are workers are made
//! on a stale count, and the next one sees them.

use super::endpoint::{Choice, Endpoints};
use super::random;

/// Active requests over weight, of one endpoint.
#[derive(Clone, Copy)]
struct Load {
    active: u64,
    weight: u64,
}

impl Load {
    /// Compares the quotients, without dividing: both products stay below 2^42.
    fn compare(self, other: Self) -> std::cmp::Ordering {
        (self.active * other.weight).cmp(&(other.active * self.weight))
    }
}

/// The least loaded endpoint that the choice admits. One pass: of endpoints with equal load,
/// each takes the place of those before it with the probability of its weight in the sum.
pub(super) fn pick(endpoints: &Endpoints, choice: &Choice<'_>) -> Option<usize> {
    let mut best: Option<(usize, Load)> = None;
    let mut tied_weight = 0;
    let mut bits = choice.random;
    for (place, endpoint) in endpoints.admitted(choice) {
        let load = Load {
            active: u64::from(endpoint.active()),
            weight: u64::from(endpoint.weight),
        };
        let order = best.map_or(std::cmp::Ordering::Less, |(_, least)| load.compare(least));
        let takes_place = match order {
            std::cmp::Ordering::Less => {
                tied_weight = load.weight;
                true
            }
            std::cmp::Ordering::Equal => {
                tied_weight += load.weight;
                bits = random::mix(bits);
                random::below(bits, tied_weight) < load.weight
            }
            std::cmp::Ordering::Greater => false,
        };
        if takes_place {
            best = Some((place, load));
        }
    }
    best.map(|(place, _)| place)
}
