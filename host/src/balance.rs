//! Stop 6: which endpoint of an upstream a request goes to.
//!
//! Before it comes the chain's way in, after it `upstream/` (attempts at the endpoints that were
//! picked). A balancer is made for a fixed list of members; when they change, another one takes
//! over its state. Values that change from moment to moment (active requests, the share of its
//! weight that an endpoint takes) are in the members' [`EndpointLoad`]s.
//!
//! Promises: pure, clock and randomness come in as arguments; a pick takes no lock and allocates
//! nothing; one balancer serves all workers; an endpoint of weight 0, or whose share is 0, is never
//! picked (the latter unless too few are left, or no other could take the request and it is only
//! ejected); a [`Lease`] that is dropped, by an unwinding panic
//! too, is counted no more.
//!
//! Deliberately absent: addresses (an endpoint is its index in the list), health (its outcome is the
//! share) and connections.

mod consistent_hash;
mod least_connections;
mod load;
mod member;
mod random;
mod round_robin;
mod split;
#[cfg(test)]
mod tests;
mod tier;
mod tier_view;
mod two_choices;

pub use load::{EndpointLoad, Lease};
pub use member::{Member, PickOptions};
pub(crate) use split::WeightedSplit;

use crate::model::balance::{BalancePolicy, Threshold};
use tier::{ActiveTier, Tier};

/// How a balancer picks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancerSettings {
    pub policy: BalancePolicy,
    /// The part of its fair share of all active requests that an endpoint takes under a consistent
    /// hash. Percent.
    pub hash_bound: u32,
    /// With fewer available endpoints in the tier that is in use, all that may be are used.
    pub fail_open: Threshold,
    /// A tier with fewer available endpoints gives way to the next; 1 at least.
    pub failover: Threshold,
    /// Labels of endpoints that are used before others of their priority.
    pub prefer: Vec<(String, String)>,
}

impl Default for BalancerSettings {
    fn default() -> Self {
        Self {
            policy: BalancePolicy::default(),
            hash_bound: 125,
            fail_open: Threshold::Count(0),
            failover: Threshold::Count(1),
            prefer: Vec::new(),
        }
    }
}

/// The result of a pick.
#[derive(Debug)]
pub enum Picked {
    /// An endpoint; a request is counted on it until the lease drops.
    Endpoint(Lease),
    /// All that could take it have as many active requests as they may.
    Full,
    /// None could take it.
    None,
}

/// Picks endpoints of one upstream by one policy. Shared by all workers.
#[derive(Debug)]
pub struct Balancer {
    settings: BalancerSettings,
    members: Box<[Member]>,
    tiers: Box<[Tier]>,
    active_tier: ActiveTier,
}

impl Balancer {
    /// A balancer over these endpoints, which are identified by their index in the list.
    #[must_use]
    pub fn new(settings: BalancerSettings, members: Vec<Member>) -> Self {
        Self::build(settings, members, &[])
    }

    /// The same over other endpoints, with the state of those that stay.
    #[must_use]
    pub fn rebuild(&self, members: Vec<Member>) -> Self {
        Self::build(self.settings.clone(), members, &self.tiers)
    }

    fn build(settings: BalancerSettings, members: Vec<Member>, before: &[Tier]) -> Self {
        let balancer = Self {
            tiers: tier::tiers(&settings, &members, before),
            members: members.into(),
            settings,
            active_tier: ActiveTier::default(),
        };
        balancer.refresh();
        balancer
    }

    /// Finds the tier to use, after some endpoint's share has changed.
    pub(crate) fn refresh(&self) {
        self.active_tier
            .update(&self.settings, &self.members, &self.tiers);
    }

    /// Picks an endpoint and counts a request on it until the lease drops.
    #[must_use]
    pub fn pick(&self, choice: &PickOptions<'_>) -> Picked {
        let first = self.active_tier.tier();
        if let Some(lease) = choice
            .sticky
            .and_then(|wanted| self.pick_sticky(wanted, choice))
        {
            return Picked::Endpoint(lease);
        }
        let others = (0..self.tiers.len()).filter(|tier| *tier != first);
        for tier in std::iter::once(first).chain(others) {
            if let Some(lease) = self.pick_from(tier, choice) {
                return Picked::Endpoint(lease);
            }
        }
        let open = self.active_tier.ignores_health();
        let mut members = self.members.iter().enumerate();
        if members.any(|(index, member)| member.admits(index, choice, open)) {
            Picked::Full
        } else {
            self.pick_ejected(choice)
        }
    }

    /// Of those that only the results of requests have taken out, the one with the fewest active
    /// requests, of the first tier that has one. It may be well again, and without it the request fails.
    fn pick_ejected(&self, choice: &PickOptions<'_>) -> Picked {
        let is_out = |(index, member): &(usize, &Member)| {
            member.weight > 0 && member.load.is_ejected() && member.is_allowed(*index, choice)
        };
        let mut is_any = false;
        for tier in &self.tiers {
            let out = tier.members(&self.members).filter(is_out);
            let Some((index, member)) = out.min_by_key(|(_, member)| member.load.active()) else {
                continue;
            };
            is_any = true;
            if let Some(lease) = member.lease(index) {
                return Picked::Endpoint(lease);
            }
        }
        if is_any { Picked::Full } else { Picked::None }
    }

    fn pick_from(&self, number: usize, choice: &PickOptions<'_>) -> Option<Lease> {
        let tier = self.tiers.get(number)?;
        let open = number == self.active_tier.tier() && self.active_tier.ignores_health();
        // An endpoint that others fill between the look and the lease is passed over the next time.
        for _ in 0..=tier.members.len() {
            let index = tier.pick(&self.members, choice, open)?;
            if let Some(lease) = self.members.get(index)?.lease(index) {
                return Some(lease);
            }
        }
        None
    }

    /// The endpoint that a client is kept on, if it takes the request.
    fn pick_sticky(&self, identity: u64, choice: &PickOptions<'_>) -> Option<Lease> {
        let mut members = self.members.iter().enumerate();
        let (index, member) = members.find(|(_, member)| member.identity == identity)?;
        let open = self.active_tier.ignores_health();
        let stays = choice.sticky_accepts_draining && member.is_allowed(index, choice);
        let takes = stays || member.admits(index, choice, open);
        takes.then(|| member.lease(index)).flatten()
    }

    /// Whether too few endpoints are available, so that all that may be are used.
    #[must_use]
    pub(crate) fn fails_open(&self) -> bool {
        self.active_tier.ignores_health()
    }

    /// The number of the tier that is in use, 0 for the first.
    #[must_use]
    pub(crate) fn tier(&self) -> usize {
        self.active_tier.tier()
    }

    /// Active requests on an endpoint; 0 for one that is not in the list.
    #[cfg(test)]
    fn active(&self, endpoint: usize) -> u32 {
        self.members
            .get(endpoint)
            .map_or(0, |member| member.load.active())
    }
}
