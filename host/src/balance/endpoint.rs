//! The endpoints of a balancer, the count of active requests on each, and which of them a pick
//! may take.

use std::sync::Arc;

use super::random;

/// The largest weight; a larger one is taken for it. It bounds all sums of weights.
pub const MAX_WEIGHT: u32 = 1000;

/// An endpoint as the balancer needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Its share of the requests, in relation to the other endpoints: 0 (takes none) to
    /// [`MAX_WEIGHT`].
    pub weight: u32,
    /// Names and values that a pick can ask for.
    pub labels: Vec<(String, String)>,
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
}

/// One active request on an endpoint, from the pick until this drops.
#[derive(Debug)]
#[must_use = "the request is counted only while the lease lives"]
pub struct Lease {
    endpoint: usize,
    _count: Arc<Count>,
}

impl Lease {
    /// The endpoint, by its place in the list that the balancer was built from.
    #[must_use]
    pub fn endpoint(&self) -> usize {
        self.endpoint
    }
}

/// The count of active requests: not a number in here, but the number of references to it. The
/// endpoint holds one and each lease one more, so a lease cannot forget to count itself out,
/// and outlives the balancer without keeping it. Aligned so that two counts never share a
/// cache line (adjacent lines are fetched in pairs), nor one with what is only read.
#[derive(Debug)]
#[repr(align(128))]
struct Count;

/// An endpoint and its count.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) weight: u32,
    labels: Box<[(String, String)]>,
    count: Arc<Count>,
}

impl Endpoint {
    /// Active requests. Other workers change it at any time.
    pub(super) fn active(&self) -> u32 {
        u32::try_from(Arc::strong_count(&self.count) - 1).unwrap_or(u32::MAX)
    }

    fn carries(&self, labels: &[(String, String)]) -> bool {
        labels.iter().all(|label| self.labels.contains(label))
    }
}

/// All endpoints of a balancer.
#[derive(Debug)]
pub(super) struct Endpoints(Box<[Endpoint]>);

impl Endpoints {
    pub(super) fn new(specs: Vec<EndpointSpec>) -> Self {
        let endpoint = |spec: EndpointSpec| Endpoint {
            weight: spec.weight.min(MAX_WEIGHT),
            labels: spec.labels.into_boxed_slice(),
            count: Arc::new(Count),
        };
        Self(specs.into_iter().map(endpoint).collect())
    }

    pub(super) fn weights(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|endpoint| endpoint.weight)
    }

    pub(super) fn active(&self, endpoint: usize) -> u32 {
        self.0.get(endpoint).map_or(0, Endpoint::active)
    }

    pub(super) fn lease(&self, endpoint: usize) -> Option<Lease> {
        let count = Arc::clone(&self.0.get(endpoint)?.count);
        Some(Lease {
            endpoint,
            _count: count,
        })
    }

    /// Whether a pick may take an endpoint: the one place that says so, for every policy.
    pub(super) fn admits(&self, endpoint: usize, choice: &Choice<'_>) -> bool {
        self.0
            .get(endpoint)
            .is_some_and(|known| is_admitted(endpoint, known, choice))
    }

    /// The endpoints that a pick may take, with their places.
    pub(super) fn admitted<'e>(
        &'e self,
        choice: &'e Choice<'_>,
    ) -> impl Iterator<Item = (usize, &'e Endpoint)> {
        self.0
            .iter()
            .enumerate()
            .filter(|(place, endpoint)| is_admitted(*place, endpoint, choice))
    }

    /// One of the admitted endpoints at random, in proportion to their weights.
    pub(super) fn by_weight(&self, choice: &Choice<'_>) -> Option<usize> {
        let weight = |endpoint: &Endpoint| u64::from(endpoint.weight);
        let total = self
            .admitted(choice)
            .map(|(_, endpoint)| weight(endpoint))
            .sum();
        let mut left = random::below(random::mix(choice.random), total);
        self.admitted(choice)
            .find(|(_, endpoint)| match left.checked_sub(weight(endpoint)) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            })
            .map(|(place, _)| place)
    }
}

fn is_admitted(place: usize, endpoint: &Endpoint, choice: &Choice<'_>) -> bool {
    endpoint.weight > 0 && !choice.exclude.contains(&place) && endpoint.carries(choice.labels)
}
