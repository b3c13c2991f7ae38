//! The less loaded of two endpoints that are drawn by weight.
//!
//! Close to least-connections, without a look at every endpoint: Mitzenmacher, The Power of Two
//! Choices in Randomized Load Balancing (2001). A draw costs a search in the sums of the weights.

use std::cmp::Ordering;

use super::member::{Candidate, Candidates, MAX_WEIGHT, Member};
use super::{least_connections, random};

/// Draws before all candidates are looked at: where most endpoints take no requests.
const DRAWS: usize = 8;

#[derive(Debug)]
pub(super) struct TwoChoices {
    /// Sums of the weights up to each member of the tier.
    sums: Box<[u64]>,
}

impl TwoChoices {
    pub(super) fn new(members: &[Member], tier: &[usize]) -> Self {
        let weight = |place: &usize| {
            let member = members.get(*place);
            member.map_or(0, |member| u64::from(member.weight.min(MAX_WEIGHT)))
        };
        let sums = tier.iter().scan(0, |sum, place| {
            *sum += weight(place);
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
        }
    }

    pub(super) fn pick(&self, candidates: Candidates<'_>) -> Option<usize> {
        let mut bits = candidates.choice.random;
        let mut first: Option<Candidate> = None;
        for _ in 0..DRAWS {
            let Some(drawn) = self.draw(candidates, &mut bits) else {
                continue;
            };
            match first {
                None => first = Some(drawn),
                Some(first) if first.place == drawn.place => {}
                Some(first) => {
                    let less = least_connections::compare(drawn, first);
                    return Some(match less {
                        Ordering::Less => drawn.place,
                        Ordering::Equal | Ordering::Greater => first.place,
                    });
                }
            }
        }
        // One endpoint that has nearly all the weight, or few that take requests.
        let other = candidates.by_weight(random::mix(bits));
        let other = other.and_then(|place| candidates.at(place));
        match (first, other) {
            (Some(first), Some(other)) if least_connections::compare(other, first).is_lt() => {
                Some(other.place)
            }
            (Some(one), _) | (None, Some(one)) => Some(one.place),
            (None, None) => None,
        }
    }

    fn draw(&self, candidates: Candidates<'_>, bits: &mut u64) -> Option<Candidate> {
        *bits = random::mix(*bits);
        let mark = random::below(*bits, *self.sums.last()?);
        let at = self.sums.partition_point(|sum| *sum <= mark);
        let candidate = candidates.at(*candidates.tier.get(at)?)?;
        *bits = random::mix(*bits);
        candidates.takes_draw(candidate, *bits).then_some(candidate)
    }
}
