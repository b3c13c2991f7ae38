//! Weighted least-connections: the endpoint with the fewest active requests for its weight.
//!
//! With equal weights that is one of those with the fewest, each as likely. With others it is not
//! so simple, as requests are whole: with weights of 20:1:1 and 32 of them there is no way to
//! give 1.45 to each light endpoint. Taking the strictly least loaded would round the light ones
//! up, to 2 each, a third more than their share. So the least loaded one sets a level: half a
//! request of its own above the load that all would have if requests could be divided, though at
//! most the load that it would have with two requests more. One is drawn of all below the level,
//! in proportion to the requests that each has room for below it; not one that has more
//! requests than the least loaded and no more weight. Level and limit were found by simulation:
//! with 64 requests or more, weights of 1 to 1000 and equal service times, shares are right to
//! within 0.8 percentage points, where the strictly least loaded is up to 7 off.
//!
//! Where all are idle the draw is by weight. So a gateway that has just started spreads by
//! weight, and many gateways (or workers that read the same loads in the same moment) do not
//! fall upon the same endpoint; nor does everything fall upon an idle one whose share grows.
//!
//! Loads are read, not locked: two workers can pick one endpoint from the same count. A
//! compare-exchange on the winner would not help, since the counts of the others that it was
//! compared with can have changed as well; exactness would need one lock over all of them. The
//! count is raised right after the pick, so at most as many picks as there are workers are made
//! on a stale count, and the next one sees them.
//!
//! That takes one look at all endpoints, for the least loaded and the sums. Then, among many, a few
//! are drawn by weight, each to be taken with the probability of its room in the room that it would
//! have with the least load; which is a draw in proportion to the rooms. Where that finds nobody,
//! a second look sums the rooms up, in blocks; the block that was drawn is searched.

use super::random;
use super::tier_view::{Candidate, CumulativeWeights, TierView};

/// How often one is drawn by weight before all rooms are summed up.
const MAX_DRAWS: usize = 4;
/// How many sums of rooms are kept. Among fewer endpoints a second look costs less than draws.
const MAX_BLOCKS: usize = 32;

/// The endpoint with the least active requests for its weight, and the level that it sets.
#[derive(Clone, Copy)]
struct LeastLoaded {
    candidate: Candidate,
    level: f64,
    /// From its load to the level.
    gap: f64,
}

/// One of the least loaded.
pub(super) fn pick(view: TierView<'_>, sums: &CumulativeWeights) -> Option<Candidate> {
    if view.rows.len() <= MAX_BLOCKS {
        return pick_of_few(view);
    }
    let least = LoadSummary::of(view.all())?.least();
    let mut bits = view.choice.random;
    for _ in 0..MAX_DRAWS {
        if let Some(drawn) = view.draw(sums, &mut bits) {
            bits = random::mix(bits);
            let most = least.gap * f64::from(drawn.weight);
            if random::part(bits) * most < least.room(drawn) {
                return Some(drawn);
            }
        }
    }
    bits = random::mix(bits);
    // Where loads changed since, nobody may be left.
    by_room(view, least, bits).or(Some(least.candidate))
}

/// The same with one look at each: others write where it looks.
fn pick_of_few(view: TierView<'_>) -> Option<Candidate> {
    const NONE: Candidate = Candidate {
        position: 0,
        active: 0,
        weight: 0,
    };
    let mut seen = [NONE; MAX_BLOCKS];
    let mut count = 0;
    for (to, candidate) in seen.iter_mut().zip(view.all()) {
        *to = candidate;
        count += 1;
    }
    let seen = seen.get(..count)?;
    let least = LoadSummary::of(seen.iter().copied())?.least();
    // The rooms of all up to each: to count those below the mark takes no branch that is guessed.
    let mut upto = [0.0; MAX_BLOCKS];
    let mut sum = 0.0;
    for (to, one) in upto.iter_mut().zip(seen) {
        sum += least.room(*one);
        *to = sum;
    }
    let mark = random::part(random::mix(view.choice.random)) * sum;
    let below = upto.iter().take(count).filter(|upto| **upto <= mark);
    Some(seen.get(below.count()).copied().unwrap_or(least.candidate))
}

/// One in proportion to the rooms of all.
fn by_room(view: TierView<'_>, least: LeastLoaded, bits: u64) -> Option<Candidate> {
    let mut sums = [0.0; MAX_BLOCKS];
    for candidate in view.all() {
        // Neighbours are in different blocks, so that no sum waits for the one before.
        if let Some(sum) = sums.get_mut(candidate.position % MAX_BLOCKS) {
            *sum += least.room(candidate);
        }
    }
    let mut left = random::part(bits) * sums.iter().sum::<f64>();
    let block = sums.iter().position(|sum| draw_part(&mut left, *sum))?;
    let block = (block..view.rows.len()).step_by(MAX_BLOCKS);
    let mut candidates = block.filter_map(|row| view.candidate(row));
    candidates.find(|candidate| draw_part(&mut left, least.room(*candidate)))
}

/// Whether something drawn is within a part; if not the part is taken off.
fn draw_part(left: &mut f64, part: f64) -> bool {
    let within = *left < part;
    if !within {
        *left -= part;
    }
    within
}

/// The result of one look at all endpoints.
struct LoadSummary {
    /// The least loaded.
    candidate: Candidate,
    active: u64,
    weight: u64,
}

impl LoadSummary {
    fn of(all: impl Iterator<Item = Candidate>) -> Option<Self> {
        // Above any load, since nothing is divided by its weight.
        let mut own = Candidate {
            position: 0,
            active: 1,
            weight: 0,
        };
        let (mut active, mut weight) = (1, 0);
        for candidate in all {
            if is_less_loaded(candidate, own) {
                own = candidate;
            }
            active += u64::from(candidate.active);
            weight += u64::from(candidate.weight);
        }
        (own.weight > 0).then_some(Self {
            candidate: own,
            active,
            weight,
        })
    }

    fn least(&self) -> LeastLoaded {
        let own = self.candidate;
        let whole = f64::from(own.weight);
        let fair = float(self.active) / float(self.weight) + 0.5 / whole;
        let level = fair.min((f64::from(own.active) + 2.0) / whole);
        LeastLoaded {
            candidate: own,
            level,
            gap: level - f64::from(own.active) / whole,
        }
    }
}

impl LeastLoaded {
    /// How many requests there is room for below the level.
    fn room(self, one: Candidate) -> f64 {
        let room = self.level * f64::from(one.weight) - f64::from(one.active);
        let dominated = one.active > self.candidate.active && one.weight <= self.candidate.weight;
        if dominated || room <= 0.0 { 0.0 } else { room }
    }
}

/// Compares active requests over weight, without dividing: the products stay below 2^52.
pub(super) fn is_less_loaded(one: Candidate, other: Candidate) -> bool {
    u64::from(one.active) * u64::from(other.weight)
        < u64::from(other.active) * u64::from(one.weight)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums that are below 2^53, so exact"
)]
fn float(sum: u64) -> f64 {
    sum as f64
}
