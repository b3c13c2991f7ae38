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

use std::cmp::Ordering;

use super::member::{Candidate, Candidates};
use super::random;

/// Compares active requests over weight, without dividing: both products stay below 2^52.
pub(super) fn compare(one: Candidate, other: Candidate) -> Ordering {
    (one.active * other.weight).cmp(&(other.active * one.weight))
}

/// The least loaded of the candidates. One pass: of endpoints with equal load, each takes the place
/// of those before it with the probability of its weight in the sum.
pub(super) fn pick(candidates: Candidates<'_>) -> Option<usize> {
    let mut best: Option<Candidate> = None;
    let mut tied_weight = 0;
    let mut bits = candidates.choice.random;
    for candidate in candidates.all() {
        let order = best.map_or(Ordering::Less, |least| compare(candidate, least));
        let takes_place = match order {
            Ordering::Less => {
                tied_weight = candidate.weight;
                true
            }
            Ordering::Equal => {
                tied_weight += candidate.weight;
                bits = random::mix(bits);
                random::below(bits, tied_weight) < candidate.weight
            }
            Ordering::Greater => false,
        };
        if takes_place {
            best = Some(candidate);
        }
    }
    best.map(|best| best.place)
}
