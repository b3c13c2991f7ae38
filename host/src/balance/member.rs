//! The endpoints of a balancer, and which of them a pick may take.

use super::load::{EndpointLoad, Lease};

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
    /// The priority of its tier: the lowest number is used first.
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
    pub(super) fn has_labels(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|label| self.labels.contains(label))
    }

    /// Whether a pick may take it, room aside.
    pub(super) fn admits(
        &self,
        index: usize,
        choice: &PickOptions<'_>,
        ignores_health: bool,
    ) -> bool {
        self.weight > 0 && self.load.share(ignores_health) > 0 && self.is_allowed(index, choice)
    }

    /// Counts one request more, if there is room for it.
    pub(super) fn lease(&self, index: usize) -> Option<Lease> {
        self.load.lease(self.max_active, index)
    }

    /// Whether the choice does not leave it out.
    pub(super) fn is_allowed(&self, index: usize, choice: &PickOptions<'_>) -> bool {
        !choice.exclude.contains(&index) && self.has_labels(choice.labels)
    }
}
