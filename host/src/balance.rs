//! Stop 6: which endpoint of an upstream a request goes to.
//!
//! Before it comes the chain's way in, after it `upstream/` (an attempt at the endpoint that
//! was picked). A pick may exclude endpoints; the one retry that `upstream/` makes stays with the
//! endpoint, so it excludes none.
//!
//! Promises: pure, clock and randomness come in as arguments; a pick takes no lock and
//! allocates nothing; one balancer serves all workers; an endpoint of weight 0 is never
//! picked; a [`Lease`] that is dropped, by an unwinding panic too, is counted no more.
//!
//! Deliberately absent: addresses (an endpoint is its place in the list) and connections.

mod endpoint;
mod least_connections;
mod random;
mod round_robin;
#[cfg(test)]
mod tests;

pub use endpoint::{Choice, EndpointSpec, Lease, MAX_WEIGHT};

use endpoint::Endpoints;
use round_robin::RoundRobin;

/// How an upstream's endpoints share its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// By weight, in turn, evenly mixed: nginx's smooth weighted round robin.
    #[default]
    RoundRobin,
    /// The endpoint with the fewest active requests for its weight.
    LeastConnections,
}

/// Picks endpoints of one upstream by one policy. Shared by all workers.
#[derive(Debug)]
pub struct Balancer {
    endpoints: Endpoints,
    picker: Picker,
}

/// A policy with the state that it keeps.
#[derive(Debug)]
enum Picker {
    RoundRobin(RoundRobin),
    LeastConnections,
}

impl Balancer {
    /// A balancer with no active requests. Endpoints are known by their place in the list.
    #[must_use]
    pub fn new(policy: Policy, endpoints: Vec<EndpointSpec>) -> Self {
        let endpoints = Endpoints::new(endpoints);
        let picker = match policy {
            Policy::RoundRobin => Picker::RoundRobin(RoundRobin::new(&endpoints)),
            Policy::LeastConnections => Picker::LeastConnections,
        };
        Self { endpoints, picker }
    }

    /// Picks an endpoint and counts a request on it until the lease drops. None where no
    /// endpoint of positive weight satisfies the choice.
    #[must_use]
    pub fn pick(&self, choice: &Choice<'_>) -> Option<Lease> {
        let endpoint = match &self.picker {
            Picker::RoundRobin(turns) => turns.pick(&self.endpoints, choice),
            Picker::LeastConnections => least_connections::pick(&self.endpoints, choice),
        };
        self.endpoints.lease(endpoint?)
    }

    /// Active requests on an endpoint; 0 for one that is not in the list.
    #[must_use]
    pub fn active(&self, endpoint: usize) -> u32 {
        self.endpoints.active(endpoint)
    }
}
