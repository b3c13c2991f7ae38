//! Consistent hash with bounded load: a key goes to the same endpoint as long as that takes requests.
//!
//! A table of places, each owned by the winner of weighted rendezvous hashing (Thaler and
//! Ravishankar, Using name-based mappings to increase hit rates, 1998; with `-weight / ln u` as the
//! score, Schindelhauer and Schomaker, 2005). A key has one place, so a pick costs one look whatever
//! the number of endpoints, and an endpoint that leaves gives up its own places and moves no others:
//! fewer than Maglev's table moves. The winning scores are kept, so a member that comes is compared
//! with them alone.
//!
//! An endpoint that takes no requests, or has more than its bound of what is active (Mirrokni,
//! Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads, 2018), is passed over: the key's
//! next places are asked, always the same ones.

use super::member::{Candidate, Candidates, MAX_WEIGHT, Member};
use super::random;

/// Places of the table: sixteen bits of a key. Shares are right to 0.2 percentage points.
const PLACES: usize = 1 << 16;
/// Places that a key is looked for at, before all endpoints are looked at.
const PROBES: u64 = 16;
/// So many active requests are never too many: with few, a share of them says nothing.
const FEW: u64 = 4;
/// No owner.
const NOBODY: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct ConsistentHash {
    /// Percent of the fair share of what is active.
    bound: u64,
    /// Places among the tier.
    owners: Box<[u32]>,
    /// What they won with.
    scores: Box<[f32]>,
    /// Who they are, in the order of the tier.
    known: Box<[(u64, u32)]>,
}

impl ConsistentHash {
    /// `before` is the same tier's table before its members changed.
    pub(super) fn new(
        members: &[Member],
        tier: &[usize],
        bound: u32,
        before: Option<&Self>,
    ) -> Self {
        let known = tier.iter().filter_map(|place| members.get(*place));
        let known = known.map(|member| (member.identity, member.weight.min(MAX_WEIGHT)));
        let known: Box<[(u64, u32)]> = known.collect();
        let mut table = Self {
            bound: u64::from(bound),
            owners: vec![NOBODY; PLACES].into(),
            scores: vec![0.0; PLACES].into(),
            known,
        };
        match before {
            None => table.compete(0..table.known.len()),
            Some(before) => table.inherit(before),
        }
        table
    }

    /// Let these members compete for every place.
    fn compete(&mut self, members: impl Iterator<Item = usize>) {
        for member in members {
            let Some((identity, weight)) = self.known.get(member).copied() else {
                continue;
            };
            let number = u32::try_from(member).unwrap_or(NOBODY);
            let held = self.owners.iter_mut().zip(&mut self.scores).enumerate();
            for (place, (owner, best)) in held {
                let score = score(place, identity, weight);
                if score > *best {
                    *best = score;
                    *owner = number;
                }
            }
        }
    }

    /// Take over what holds of another table: places whose owner stays and weighs the same.
    fn inherit(&mut self, before: &Self) {
        let stays = |old: &(u64, u32)| self.known.iter().position(|new| new == old);
        let moved: Vec<Option<usize>> = before.known.iter().map(stays).collect();
        let mut orphans = Vec::new();
        let held = before.owners.iter().zip(&before.scores).enumerate();
        for (place, (owner, best)) in held {
            let stays = usize::try_from(*owner)
                .ok()
                .and_then(|owner| *moved.get(owner)?);
            let to = self.owners.get_mut(place).zip(self.scores.get_mut(place));
            match (stays.and_then(|owner| u32::try_from(owner).ok()), to) {
                (Some(owner), Some((to, score))) => {
                    *to = owner;
                    *score = *best;
                }
                (None | Some(_), _) => orphans.push(place),
            }
        }
        for place in orphans {
            self.settle(place);
        }
        let new: Vec<usize> = (0..self.known.len())
            .filter(|member| !moved.contains(&Some(*member)))
            .collect();
        self.compete(new.into_iter());
    }

    /// Find the owner of one place anew.
    fn settle(&mut self, place: usize) {
        let scores = self
            .known
            .iter()
            .map(|(id, weight)| score(place, *id, *weight));
        let best = scores
            .enumerate()
            .max_by(|(_, one), (_, other)| one.total_cmp(other));
        let Some((member, best)) = best.filter(|(_, best)| *best > 0.0) else {
            return;
        };
        if let Some((owner, held)) = self.owners.get_mut(place).zip(self.scores.get_mut(place)) {
            *owner = u32::try_from(member).unwrap_or(NOBODY);
            *held = best;
        }
    }

    pub(super) fn pick(&self, candidates: Candidates<'_>) -> Option<usize> {
        let Some(key) = candidates.choice.hash else {
            return candidates.by_weight(candidates.choice.random);
        };
        let bound = Bound::of(candidates, self.bound);
        let mut bits = random::mix(key);
        for _ in 0..PROBES {
            if let Some(candidate) = self.owner(candidates, bits)
                && candidates.takes_draw(candidate, random::mix(!bits))
                && bound.takes(candidate)
            {
                return Some(candidate.place);
            }
            bits = random::mix(bits);
        }
        // Few take requests: the best of them for this key, within its bound if one is.
        let best = |only: &dyn Fn(Candidate) -> bool| {
            let all = candidates.all().filter(|candidate| only(*candidate));
            let scored = all.filter_map(|candidate| {
                let member = candidates.members.get(candidate.place)?;
                let place = usize::try_from(key >> 16).unwrap_or(0);
                Some((
                    candidate.place,
                    score(place, member.identity, member.weight),
                ))
            });
            scored.max_by(|(_, one), (_, other)| one.total_cmp(other))
        };
        let found = best(&|candidate| bound.takes(candidate)).or_else(|| best(&|_| true));
        found.map(|(place, _)| place)
    }

    fn owner(&self, candidates: Candidates<'_>, bits: u64) -> Option<Candidate> {
        let place = usize::try_from(bits >> 48).ok()?;
        let owner = usize::try_from(*self.owners.get(place)?).ok()?;
        candidates.at(*candidates.tier.get(owner)?)
    }
}

/// How many active requests each endpoint may have now.
#[derive(Clone, Copy)]
struct Bound {
    percent: u64,
    active: u64,
    weight: u64,
}

impl Bound {
    fn of(candidates: Candidates<'_>, percent: u64) -> Self {
        let none = Self {
            percent,
            active: 1,
            weight: 0,
        };
        candidates.all().fold(none, |sum, candidate| Self {
            active: sum.active + candidate.active,
            weight: sum.weight + candidate.weight,
            ..sum
        })
    }

    /// Whether one more is within the endpoint's bound, rounded up.
    fn takes(self, candidate: Candidate) -> bool {
        let more = candidate.active + 1;
        let fair =
            u128::from(self.active) * u128::from(candidate.weight) * u128::from(self.percent);
        let all = u128::from(self.weight) * 100;
        more <= FEW || u128::from(more) <= fair.div_ceil(all.max(1))
    }
}

/// What a member of this weight bids for a place: the most likely highest with the most weight.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "53 bits are a number in (0, 1), and a score need not be exact"
)]
fn score(place: usize, identity: u64, weight: u32) -> f32 {
    if weight == 0 {
        return 0.0;
    }
    let bits = random::mix(random::mix(place as u64) ^ identity);
    let part = ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    (f64::from(weight) / -part.ln()) as f32
}
