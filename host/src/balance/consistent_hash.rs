//! Consistent hash with bounded load: a key goes to the same endpoint as long as that takes requests.
//!
//! A table of slots, each owned by the winner of weighted rendezvous hashing (Thaler and
//! Ravishankar, Using name-based mappings to increase hit rates, 1998; with `-weight / ln u` as the
//! score, Schindelhauer and Schomaker, 2005). A key has one slot, so a pick costs one look whatever
//! the number of endpoints, and an endpoint that leaves gives up its own slots and moves no others:
//! fewer than Maglev's table moves. The winning scores are kept, so a member that comes is compared
//! with them alone.
//!
//! An endpoint that takes no requests, or has more than its bound of all active requests (Mirrokni,
//! Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads, 2018), is passed over: the key's
//! next slots are asked, always the same ones.

use std::sync::atomic::{AtomicU64, Ordering};

use super::member::{MAX_WEIGHT, Member};
use super::random;
use super::tier_view::{Candidate, TierView};

/// Slots of the table: sixteen bits of a key. Shares are right to 0.2 percentage points.
const TABLE_SIZE: usize = 1 << 16;
/// Slots at which a key is looked for, before all endpoints are looked at.
const MAX_PROBES: u64 = 16;
/// So many active requests are never too many: with few, a share of them says nothing.
const MIN_BOUNDED_ACTIVE: u64 = 4;
/// With more endpoints than this, a request more or less is nothing to the load of all.
const MAX_EXACT_ENDPOINTS: usize = 64;
/// One in so many picks looks at the load of all, at least.
const LOAD_CHECK_INTERVAL: u64 = 64;
/// No owner.
const NO_OWNER: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct ConsistentHash {
    /// Percent of the fair share of all active requests.
    bound: u64,
    /// The owner of each slot, by its index in the tier.
    owners: Box<[u32]>,
    /// Their winning bids.
    scores: Box<[f32]>,
    /// The identities of the endpoints, in the order of the tier.
    identities: Box<[(u64, u32)]>,
    /// The load that was last looked at.
    seen: AtomicU64,
}

impl ConsistentHash {
    /// `before` is the same tier's table before its members changed.
    pub(super) fn new(
        members: &[Member],
        tier: &[usize],
        bound: u32,
        before: Option<&Self>,
    ) -> Self {
        let own = tier.iter().filter_map(|index| members.get(*index));
        let identities = own.map(|member| (member.identity, member.weight.min(MAX_WEIGHT)));
        let mut table = Self {
            bound: u64::from(bound),
            owners: vec![NO_OWNER; TABLE_SIZE].into(),
            scores: vec![0.0; TABLE_SIZE].into(),
            identities: identities.collect(),
            seen: AtomicU64::new(0),
        };
        match before {
            None => table.assign(0..table.identities.len()),
            Some(before) => table.inherit(before),
        }
        table
    }

    /// Lets these members compete for every slot.
    fn assign(&mut self, members: impl Iterator<Item = usize>) {
        for member in members {
            let Some((identity, weight)) = self.identities.get(member).copied() else {
                continue;
            };
            let number = u32::try_from(member).unwrap_or(NO_OWNER);
            let slots = self.owners.iter_mut().zip(&mut self.scores).enumerate();
            for (slot, (owner, best)) in slots {
                let score = score(slot, identity, weight);
                if score > *best {
                    *best = score;
                    *owner = number;
                }
            }
        }
    }

    /// Takes the slots from another table whose owner stays and weighs the same.
    fn inherit(&mut self, before: &Self) {
        let stays = |old: &(u64, u32)| self.identities.iter().position(|new| new == old);
        let moved: Vec<Option<usize>> = before.identities.iter().map(stays).collect();
        let mut orphans = Vec::new();
        let slots = before.owners.iter().zip(&before.scores).enumerate();
        for (slot, (owner, best)) in slots {
            let stays = usize::try_from(*owner)
                .ok()
                .and_then(|owner| *moved.get(owner)?);
            let to = self.owners.get_mut(slot).zip(self.scores.get_mut(slot));
            match (stays.and_then(|owner| u32::try_from(owner).ok()), to) {
                (Some(owner), Some((to, score))) => {
                    *to = owner;
                    *score = *best;
                }
                (None | Some(_), _) => orphans.push(slot),
            }
        }
        for slot in orphans {
            self.assign_slot(slot);
        }
        let new: Vec<usize> = (0..self.identities.len())
            .filter(|member| !moved.contains(&Some(*member)))
            .collect();
        self.assign(new.into_iter());
    }

    /// Finds the owner of one slot anew.
    fn assign_slot(&mut self, slot: usize) {
        let scores = self
            .identities
            .iter()
            .map(|(id, weight)| score(slot, *id, *weight));
        let best = scores
            .enumerate()
            .max_by(|(_, one), (_, other)| one.total_cmp(other));
        let Some((member, best)) = best.filter(|(_, best)| *best > 0.0) else {
            return;
        };
        if let Some((owner, score)) = self.owners.get_mut(slot).zip(self.scores.get_mut(slot)) {
            *owner = u32::try_from(member).unwrap_or(NO_OWNER);
            *score = best;
        }
    }

    pub(super) fn pick(&self, view: TierView<'_>) -> Option<Candidate> {
        let Some(key) = view.choice.hash else {
            return view.by_weight(view.choice.random);
        };
        let mut bits = random::mix(key);
        for _ in 0..MAX_PROBES {
            if let Some(candidate) = self.owner(view, bits)
                && view.takes_draw(candidate, random::mix(!bits))
                && self.has_room(view, candidate)
            {
                return Some(candidate);
            }
            bits = random::mix(bits);
        }
        // Few take requests: the best of them for this key, within its bound if one is.
        let best = |bounded: bool| {
            let all = view.all();
            let all = all.filter(|candidate| !bounded || self.has_room(view, *candidate));
            let scored = all.filter_map(|candidate| {
                let (identity, weight) = *self.identities.get(candidate.position)?;
                let slot = usize::try_from(key >> 16).unwrap_or(0);
                Some((candidate, score(slot, identity, weight)))
            });
            scored.max_by(|(_, one), (_, other)| one.total_cmp(other))
        };
        let found = best(true).or_else(|| best(false));
        found.map(|(candidate, _)| candidate)
    }

    fn owner(&self, view: TierView<'_>, bits: u64) -> Option<Candidate> {
        let slot = usize::try_from(bits >> 48).ok()?;
        view.candidate(usize::try_from(*self.owners.get(slot)?).ok()?)
    }

    /// Whether one more is within the endpoint's bound, rounded up. A number that is clearly within
    /// the bound at the last look needs no other look.
    fn has_room(&self, view: TierView<'_>, candidate: Candidate) -> bool {
        let more = u64::from(candidate.active) + 1;
        if more <= MIN_BOUNDED_ACTIVE {
            return true;
        }
        let is_new = view.choice.random.is_multiple_of(LOAD_CHECK_INTERVAL);
        let last = self.seen.load(Ordering::Relaxed);
        let is_many = view.rows.len() > MAX_EXACT_ENDPOINTS && last != 0;
        if !is_new && (is_many || more < self.bound(last, candidate)) {
            return more <= self.bound(last, candidate);
        }
        let sums = view.all().fold((1_u64, 0_u64), |(active, weight), one| {
            (
                active + u64::from(one.active),
                weight + u64::from(one.weight),
            )
        });
        let load = (sums.0 << 20).div_ceil(sums.1.max(1));
        self.seen.store(load, Ordering::Relaxed);
        more <= self.bound(load, candidate)
    }

    /// The most active requests of a candidate at this load. The load is the active requests for each unit of
    /// weight, one more included, in parts of 2^20.
    fn bound(&self, load: u64, candidate: Candidate) -> u64 {
        let fair = load.saturating_mul(u64::from(candidate.weight));
        // The load is in parts of 2^20, the bound in percent.
        fair.saturating_mul(self.bound).div_ceil(100 << 20)
    }
}

/// The bid of a member of this weight for a slot: more weight makes the highest bid more likely.
#[expect(clippy::cast_possible_truncation, reason = "a score need not be exact")]
fn score(slot: usize, identity: u64, weight: u32) -> f32 {
    if weight == 0 {
        return 0.0;
    }
    let bits = random::mix(random::mix(slot as u64) ^ identity);
    (f64::from(weight) / -random::part(bits).ln()) as f32
}
