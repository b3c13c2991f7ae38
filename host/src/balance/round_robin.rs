//! Weighted round robin, smooth: endpoints take turns by weight, and the turns of a heavy one
//! are spread, not in a row (5:1:1 gives `a a b a c a a`).
//!
//! The turns are computed once, as nginx computes them pick by pick, for weights divided by
//! their greatest common divisor; a pick then is one step of a cursor that all workers share.
//! So any run of picks keeps the shares, whoever makes them.
//!
//! A turn of an endpoint that the choice does not admit goes to one of the others at random, in
//! proportion to their weights. Going on to the next turn instead would give the whole share
//! of a failed endpoint to whoever comes after it. Picks that are restricted by labels thus are
//! right in their shares, and random rather than smooth in their order. So are turns of an endpoint
//! whose share still grows: it takes its part of them, and the rest is drawn among all, itself
//! included, which gives each exactly its part of the weights that count.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::random;
use super::tier_view::{Candidate, TierView};

/// The sum of weights up to which shares are exact. Weights of a larger sum are scaled down to
/// this one and rounded to the nearest, though to 1 at least (which can make the turns a few
/// more). That moves no share by more than 0.1 percentage points with up to 100 endpoints, nor
/// by more than 0.5 with up to 1,000 (see the law in the tests).
const MAX_SCHEDULE: u64 = 16_384;

#[derive(Debug)]
pub(super) struct RoundRobin {
    /// Places in the tier. Empty where no endpoint has a weight.
    schedule: Box<[usize]>,
    cursor: AtomicUsize,
}

impl RoundRobin {
    /// `before` is the same tier's cursor before its members changed: where many leave and come,
    /// the first ones are not to get all.
    pub(super) fn new(weights: &[u64], before: Option<&Self>) -> Self {
        let cursor = before.map_or(0, |before| before.cursor.load(Ordering::Relaxed));
        Self {
            schedule: smooth_schedule(&reduce(weights)),
            cursor: AtomicUsize::new(cursor),
        }
    }

    pub(super) fn pick(&self, view: TierView<'_>) -> Option<Candidate> {
        let step = self.cursor.fetch_add(1, Ordering::Relaxed);
        let turn = *self.schedule.get(step.checked_rem(self.schedule.len())?)?;
        let random = view.choice.random;
        let meant = view.candidate(turn);
        meant
            .filter(|meant| view.takes_draw(*meant, random::mix(!random)))
            .or_else(|| view.by_weight(random))
    }
}

/// The smallest weights in the same proportions, or close to them where their sum would be
/// larger than [`MAX_SCHEDULE`].
fn reduce(weights: &[u64]) -> Vec<u64> {
    let divisor = weights
        .iter()
        .copied()
        .fold(0, greatest_common_divisor)
        .max(1);
    let total: u64 = weights.iter().map(|weight| weight / divisor).sum();
    let scale = |weight: &u64| {
        let weight = weight / divisor;
        if total <= MAX_SCHEDULE || weight == 0 {
            return weight;
        }
        ((weight * MAX_SCHEDULE + total / 2) / total).max(1)
    };
    weights.iter().map(scale).collect()
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 {
        one
    } else {
        greatest_common_divisor(other, one % other)
    }
}

/// One period of [nginx's smooth weighted round robin](https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1):
/// in each turn every endpoint gains its weight, the one that has most takes the turn and pays
/// the sum of all.
fn smooth_schedule(weights: &[u64]) -> Box<[usize]> {
    let total: u64 = weights.iter().sum();
    let mut credits: Vec<(i64, i64)> = weights
        .iter()
        .map(|weight| (0, i64::try_from(*weight).unwrap_or(i64::MAX)))
        .collect();
    let price = i64::try_from(total).unwrap_or(i64::MAX);
    let turn = |_| {
        for (credit, weight) in &mut credits {
            *credit += *weight;
        }
        // The first of equals, as in nginx: `max_by_key` would take the last.
        let (place, (credit, _)) = credits
            .iter_mut()
            .enumerate()
            .rev()
            .max_by_key(|(_, (credit, _))| *credit)?;
        *credit -= price;
        Some(place)
    };
    (0..total).filter_map(turn).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn turns_are_those_of_nginx() {
        assert_eq!(*smooth_schedule(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(*smooth_schedule(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(*smooth_schedule(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(*smooth_schedule(&[0, 2, 0, 1]), [1, 3, 1]);
        assert!(smooth_schedule(&[0, 0]).is_empty());
        assert!(smooth_schedule(&[]).is_empty());
    }

    #[test]
    fn weights_are_reduced() {
        assert_eq!(reduce(&[300, 100]), [3, 1]);
        assert_eq!(reduce(&[1000, 0, 500]), [2, 0, 1]);
        assert_eq!(reduce(&[0, 0]), [0, 0]);
        assert_eq!(reduce(&[7, 5]), [7, 5]);
    }

    proptest! {
        /// The law of [`MAX_SCHEDULE`].
        #[test]
        fn reduced_weights_keep_their_shares(
            heavy in prop::collection::vec(1..=1000_u32, 1..=1000),
            light in prop::collection::vec(0..=3_u32, 0..=990),
            few in any::<bool>(),
        ) {
            let most = if few { 100 } else { 1000 };
            let weights: Vec<u64> = light.into_iter().chain(heavy).take(most).map(u64::from).collect();
            let reduced = reduce(&weights);
            let shares = |weights: &[u64]| {
                let total = weights.iter().sum::<u64>().max(1);
                let share = |weight: &u64| f64::from(u32::try_from(*weight).unwrap()) / f64::from(u32::try_from(total).unwrap());
                weights.iter().map(share).collect::<Vec<f64>>()
            };
            let (exact, kept) = (shares(&weights), shares(&reduced));
            let bound = if few { 0.001 } else { 0.005 };
            for place in 0..weights.len() {
                let error = (exact[place] - kept[place]).abs();
                prop_assert!(error <= bound, "{error}");
                prop_assert_eq!(weights[place] == 0, reduced[place] == 0);
            }
            prop_assert!(reduced.iter().sum::<u64>() <= MAX_SCHEDULE + weights.len() as u64);
        }
    }
}
