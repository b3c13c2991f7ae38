//! The less loaded of two endpoints that are drawn by weight.
//!
//! Close to least-connections, without a look at every endpoint: Mitzenmacher, The Power of Two
//! Choices in Randomized Load Balancing (2001). A draw costs a search in the sums of the weights.

use super::least_connections::is_less_loaded;
use super::random;
use super::tier_view::{Candidate, CumulativeWeights, TierView};

/// Draws before all candidates are looked at: where most endpoints take no requests.
const MAX_DRAWS: usize = 8;

pub(super) fn pick(view: TierView<'_>, sums: &CumulativeWeights) -> Option<Candidate> {
    let mut bits = view.choice.random;
    let mut first: Option<Candidate> = None;
    for _ in 0..MAX_DRAWS {
        match (first, view.draw(sums, &mut bits)) {
            (_, None) => {}
            (None, drawn) => first = drawn,
            (Some(first), Some(drawn)) if first.position == drawn.position => {}
            (Some(first), Some(drawn)) => {
                let less = is_less_loaded(drawn, first);
                return Some(if less { drawn } else { first });
            }
        }
    }
    // One endpoint that has nearly all the weight, or few that take requests.
    match (first, view.by_weight(random::mix(bits))) {
        (Some(first), Some(other)) if is_less_loaded(other, first) => Some(other),
        (Some(one), _) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}
