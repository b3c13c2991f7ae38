//! The endpoints of a balancer, and which of them a pick may take.

use super::random;
use super::slot::Slot;

/// The largest weight; a larger one is taken for it. It bounds all sums of weights.
pub const MAX_WEIGHT: u32 = 1000;

/// An endpoint as the balancer needs it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its active requests, and how much of its weight counts.
    pub slot: Slot,
    /// Its share of the requests, in relation to the other endpoints: 0 (takes none) to
    /// [`MAX_WEIGHT`].
    pub weight: u32,
    /// Names and values that a pick can ask for.
    pub labels: Vec<(String, String)>,
    /// Its group: the lowest number is used first.
    pub priority: u8,
    /// Tells it from the others, always and everywhere: keys are spread by it.
    pub identity: u64,
    /// The most active requests; `u32::MAX` for no limit.
    pub max_active: u32,
}

/// What one pick has to heed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// Endpoints that must not be picked, such as those that were tried.
    pub exclude: &'a [usize],
    /// Labels that the endpoint must carry, all of them.
    pub labels: &'a [(String, String)],
    /// Any bits that differ from pick to pick.
    pub random: u64,
    /// What a consistent pick goes by. None: such a request is spread by weight.
    pub hash: Option<u64>,
    /// The identity of the endpoint that is wanted, and taken if it takes requests.
    pub sticky: Option<u64>,
}

/// The members of one tier during one pick.
#[derive(Clone, Copy)]
pub(super) struct Candidates<'a> {
    pub(super) members: &'a [Member],
    /// The tier, as places among the members.
    pub(super) tier: &'a [usize],
    pub(super) choice: &'a Choice<'a>,
    /// Whether health counts no more.
    pub(super) open: bool,
}

/// A member that a pick may take, and what of its weight counts.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) place: usize,
    pub(super) active: u64,
    /// Weight and share: up to a million.
    pub(super) weight: u64,
}

impl Member {
    /// What of its weight counts, whole being a thousand.
    fn counted(&self, open: bool) -> u64 {
        let share = if open {
            self.slot.open_share()
        } else {
            self.slot.share()
        };
        u64::from(self.weight.min(MAX_WEIGHT)) * u64::from(share)
    }

    fn carries(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|label| self.labels.contains(label))
    }

    /// Whether a pick may take it, room aside. The weight that counts then.
    pub(super) fn admitted(&self, place: usize, choice: &Choice<'_>, open: bool) -> Option<u64> {
        let weight = self.counted(open);
        let is_meant = !choice.exclude.contains(&place) && self.carries(choice.labels);
        (weight > 0 && is_meant).then_some(weight)
    }
}

impl<'a> Candidates<'a> {
    /// The member at this place, if the pick may take it: the one place that says so, for every
    /// policy.
    pub(super) fn at(self, place: usize) -> Option<Candidate> {
        let member = self.members.get(place)?;
        let weight = member.admitted(place, self.choice, self.open)?;
        let active = member.slot.active();
        (active < member.max_active).then_some(Candidate {
            place,
            active: u64::from(active),
            weight,
        })
    }

    /// All that the pick may take.
    pub(super) fn all(self) -> impl Iterator<Item = Candidate> + 'a {
        self.tier.iter().filter_map(move |place| self.at(*place))
    }

    /// One of them at random, in proportion to the weights that count.
    pub(super) fn by_weight(self, random: u64) -> Option<usize> {
        let total = self.all().map(|candidate| candidate.weight).sum();
        let mut left = random::below(random::mix(random), total);
        let mut last = None;
        for candidate in self.all() {
            last = Some(candidate.place);
            match left.checked_sub(candidate.weight) {
                Some(rest) => left = rest,
                None => return last,
            }
        }
        // What changed meanwhile: any is as good.
        last
    }

    /// The same of those whose share is whole at once, for a draw that was made by whole weights: a
    /// share that still grows takes its part of the draws only.
    pub(super) fn takes_draw(self, candidate: Candidate, random: u64) -> bool {
        let Some(member) = self.members.get(candidate.place) else {
            return false;
        };
        let whole = u64::from(member.weight.min(MAX_WEIGHT)) * u64::from(super::slot::WHOLE);
        candidate.weight >= whole || random::below(random, whole) < candidate.weight
    }
}
