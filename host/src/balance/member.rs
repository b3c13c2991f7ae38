//! The endpoints of a balancer, and which of them a pick may take.

use super::load::EndpointLoad;

/// The largest weight; a larger one is taken for it. It bounds all sums of weights.
pub(crate) const MAX_WEIGHT: u32 = 1000;

/// An endpoint as the balancer needs it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its active requests, and how much of its weight counts.
    pub load: EndpointLoad,
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

/// The conditions of one pick.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickOptions<'a> {
    /// Endpoints that must not be picked, such as those that were tried.
    pub exclude: &'a [usize],
    /// Labels that the endpoint must carry, all of them.
    pub labels: &'a [(String, String)],
    /// Any bits that differ from pick to pick.
    pub random: u64,
    /// The key of a consistent pick; none if the request is spread by weight.
    pub hash: Option<u64>,
    /// The identity of the endpoint that is wanted, and taken if it takes requests.
    pub sticky: Option<u64>,
    /// Whether it is taken although it takes no other requests.
    pub sticky_accepts_draining: bool,
}

impl Member {
    /// The share of its weight that counts, in permille.
    fn effective_weight(&self, open: bool) -> u64 {
        let share = if open {
            self.load.last_resort_share()
        } else {
            self.load.share()
        };
        u64::from(self.weight.min(MAX_WEIGHT)) * u64::from(share)
    }

    pub(super) fn has_labels(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|label| self.labels.contains(label))
    }

    /// Whether a pick may take it, room aside. The weight that counts then.
    pub(super) fn admit(&self, place: usize, choice: &PickOptions<'_>, open: bool) -> Option<u64> {
        let weight = self.effective_weight(open);
        (weight > 0 && self.is_allowed(place, choice)).then_some(weight)
    }

    /// Whether the choice does not leave it out.
    pub(super) fn is_allowed(&self, place: usize, choice: &PickOptions<'_>) -> bool {
        !choice.exclude.contains(&place) && self.has_labels(choice.labels)
    }
}
