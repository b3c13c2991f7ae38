//! Tiers: endpoints that are used before others.
//!
//! Priority groups and zones are one concept here: of the endpoints of one priority, those with the
//! preferred labels form a tier before the others. Each tier has its own state of the policy.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::consistent_hash::ConsistentHash;
use super::member::Member;
use super::round_robin::RoundRobin;
use super::tier_view::{Candidate, CumulativeWeights, MemberRow, TierView};
use super::{BalancerSettings, PickOptions, least_connections, two_choices};

use crate::model::balance::BalancePolicy;

/// Members of one rank.
#[derive(Debug)]
pub(super) struct Tier {
    rank: (u8, bool),
    /// Indexes of the members.
    pub(super) members: Box<[usize]>,
    rows: Box<[MemberRow]>,
    policy: PolicyState,
}

/// A policy with the state that it keeps.
#[derive(Debug)]
enum PolicyState {
    RoundRobin(RoundRobin),
    LeastConnections(CumulativeWeights),
    TwoChoices(CumulativeWeights),
    ConsistentHash(ConsistentHash),
}

/// The tier that is in use. Written when an endpoint changes, read by every pick.
#[derive(Debug, Default)]
pub(super) struct ActiveTier {
    tier: AtomicUsize,
    ignores_health: AtomicBool,
}

impl ActiveTier {
    pub(super) fn tier(&self) -> usize {
        self.tier.load(Ordering::Relaxed)
    }

    pub(super) fn ignores_health(&self) -> bool {
        self.ignores_health.load(Ordering::Relaxed)
    }

    /// Finds it anew.
    pub(super) fn update(&self, settings: &BalancerSettings, members: &[Member], tiers: &[Tier]) {
        let counts: Vec<(usize, usize)> = tiers.iter().map(|tier| tier.count(members)).collect();
        let enough = counts
            .iter()
            .position(|(available, all)| *available >= settings.failover.count_of(*all).max(1));
        let some = || counts.iter().position(|(available, _)| *available > 0);
        let tier = enough.or_else(some).unwrap_or(0);
        let open = counts
            .get(tier)
            .is_some_and(|(available, all)| *available < settings.fail_open.count_of(*all));
        self.tier.store(tier, Ordering::Relaxed);
        self.ignores_health.store(open, Ordering::Relaxed);
    }
}

/// The tiers of these members, the first to be used first. `before` are those of the members before.
pub(super) fn tiers(
    settings: &BalancerSettings,
    members: &[Member],
    before: &[Tier],
) -> Box<[Tier]> {
    let rank = |member: &Member| {
        let prefer = &settings.prefer;
        let preferred = prefer.iter().all(|label| member.labels.contains(label));
        (member.priority, !preferred)
    };
    let mut ranks: Vec<(u8, bool)> = members.iter().map(rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let tier = |at: (u8, bool)| {
        let own = members.iter().enumerate();
        let own = own.filter(|(_, member)| rank(member) == at);
        let (indexes, rows): (Vec<_>, Vec<_>) = own
            .map(|(index, member)| (index, MemberRow::of(member)))
            .unzip();
        let before = before.iter().find(|tier| tier.rank == at);
        let before = before.map(|tier| &tier.policy);
        Tier {
            rank: at,
            policy: PolicyState::new(settings, members, (&indexes, &rows), before),
            members: indexes.into(),
            rows: rows.into(),
        }
    };
    ranks.into_iter().map(tier).collect()
}

impl Tier {
    /// Its members with their indexes.
    pub(super) fn members<'a>(
        &'a self,
        members: &'a [Member],
    ) -> impl Iterator<Item = (usize, &'a Member)> {
        let indexes = self.members.iter().copied();
        indexes.filter_map(|index| Some((index, members.get(index)?)))
    }

    /// Members that take requests, and all that may.
    fn count(&self, members: &[Member]) -> (usize, usize) {
        let weighty = self.members(members);
        let weighty = weighty.filter(|(_, member)| member.weight > 0);
        weighty.fold((0, 0), |(available, all), (_, member)| {
            let takes = usize::from(member.load.share(false) > 0);
            (available + takes, all + 1)
        })
    }

    /// The index of the endpoint that is picked.
    pub(super) fn pick(
        &self,
        members: &[Member],
        choice: &PickOptions<'_>,
        open: bool,
    ) -> Option<usize> {
        let view = TierView {
            members,
            tier: &self.members,
            rows: &self.rows,
            choice,
            ignores_health: open,
        };
        let picked: Option<Candidate> = match &self.policy {
            PolicyState::RoundRobin(turns) => turns.pick(view),
            PolicyState::LeastConnections(sums) => least_connections::pick(view, sums),
            PolicyState::TwoChoices(sums) => two_choices::pick(view, sums),
            PolicyState::ConsistentHash(table) => table.pick(view),
        };
        self.members.get(picked?.position).copied()
    }
}

impl PolicyState {
    fn new(
        settings: &BalancerSettings,
        members: &[Member],
        (tier, rows): (&[usize], &[MemberRow]),
        before: Option<&Self>,
    ) -> Self {
        match settings.policy {
            BalancePolicy::LeastConnections => Self::LeastConnections(CumulativeWeights::new(rows)),
            BalancePolicy::TwoChoices => Self::TwoChoices(CumulativeWeights::new(rows)),
            BalancePolicy::RoundRobin => {
                let before = if let Some(Self::RoundRobin(before)) = before {
                    Some(before)
                } else {
                    None
                };
                let weights = rows.iter().map(MemberRow::weight).collect::<Vec<_>>();
                Self::RoundRobin(RoundRobin::new(&weights, before))
            }
            BalancePolicy::ConsistentHash => {
                let before = if let Some(Self::ConsistentHash(before)) = before {
                    Some(before)
                } else {
                    None
                };
                let bound = settings.hash_bound;
                Self::ConsistentHash(ConsistentHash::new(members, tier, bound, before))
            }
        }
    }
}
