//! The laws of balancing: shares by weight, leases that return.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::thread;

use proptest::prelude::*;

use super::load::WHOLE;
use super::member::MAX_WEIGHT;
use super::*;

const PICKS: usize = 100_000;

fn balancer(policy: BalancePolicy, weights: &[u32]) -> Balancer {
    let settings = BalancerSettings {
        policy,
        ..BalancerSettings::default()
    };
    Balancer::new(settings, members(weights))
}

fn members(weights: &[u32]) -> Vec<Member> {
    weights
        .iter()
        .enumerate()
        .map(|(index, weight)| member(index, *weight))
        .collect()
}

fn member(identity: usize, weight: u32) -> Member {
    Member {
        load: EndpointLoad::new(),
        weight,
        labels: vec![],
        priority: 0,
        identity: identity as u64,
        max_active: u32::MAX,
    }
}

fn pick(balancer: &Balancer, choice: &PickOptions<'_>) -> Option<Lease> {
    match balancer.pick(choice) {
        Picked::Endpoint(lease) => Some(lease),
        Picked::Full | Picked::None => None,
    }
}

const ALL: [BalancePolicy; 4] = [
    BalancePolicy::RoundRobin,
    BalancePolicy::LeastConnections,
    BalancePolicy::TwoChoices,
    BalancePolicy::ConsistentHash,
];

fn choice(random: u64) -> PickOptions<'static> {
    PickOptions {
        random,
        ..PickOptions::default()
    }
}

/// Part of the picks that each endpoint took.
fn shares(picks: impl Iterator<Item = usize>, endpoints: usize) -> Vec<f64> {
    let mut counts = vec![0_u32; endpoints];
    let mut total = 0_u32;
    for endpoint in picks {
        counts[endpoint] += 1;
        total += 1;
    }
    counts
        .iter()
        .map(|count| f64::from(*count) / f64::from(total))
        .collect()
}

/// Part of the weights that each endpoint has, of those that are not excluded.
fn expected(weights: &[u32], exclude: &[usize]) -> Vec<f64> {
    let weight = |index: usize| {
        if exclude.contains(&index) {
            0.0
        } else {
            f64::from(weights[index])
        }
    };
    let total: f64 = (0..weights.len()).map(weight).sum();
    (0..weights.len())
        .map(|index| weight(index) / total)
        .collect()
}

fn largest_gap(one: &[f64], other: &[f64]) -> f64 {
    one.iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, f64::max)
}

/// Weights of which one at least is positive.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    let weight = prop_oneof![1 => Just(0), 4 => 1..=10_u32, 2 => 1..=MAX_WEIGHT];
    prop::collection::vec(weight, 1..12).prop_filter("no weight", |weights| {
        weights.iter().any(|weight| *weight > 0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn round_robin_keeps_the_shares(weights in weights()) {
        let balancer = balancer(BalancePolicy::RoundRobin, &weights);
        let picks = (0..PICKS).map(|_| pick(&balancer, &choice(0)).unwrap().endpoint());
        let gap = largest_gap(&shares(picks, weights.len()), &expected(&weights, &[]));
        prop_assert!(gap <= 0.01, "{gap}");
    }

    /// Retries among other picks: the share of what they exclude spreads by weight.
    #[test]
    fn share_of_the_excluded_spreads_by_weight(weights in weights(), excluded in any::<prop::sample::Index>(), seed: u64) {
        let exclude = [excluded.index(weights.len())];
        prop_assume!(weights.iter().enumerate().any(|(index, weight)| *weight > 0 && index != exclude[0]));
        let balancer = balancer(BalancePolicy::RoundRobin, &weights);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut retries = vec![];
        while retries.len() < PICKS / 2 {
            if random.bool() {
                let choice = PickOptions { exclude: &exclude, random: random.u64(..), ..PickOptions::default() };
                retries.push(pick(&balancer, &choice).unwrap().endpoint());
            } else {
                drop(pick(&balancer, &choice(random.u64(..))));
            }
        }
        let gap = largest_gap(&shares(retries.into_iter(), weights.len()), &expected(&weights, &exclude));
        prop_assert!(gap <= 0.01, "{gap}");
    }

    /// Equal service times: the oldest lease is always the next to end.
    #[test]
    fn least_connections_keeps_the_shares(weights in weights(), active in 64..=512_u32, seed: u64) {
        let balancer = balancer(BalancePolicy::LeastConnections, &weights);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut leases = VecDeque::new();
        let repeats = PICKS / active as usize;
        let picks = (0..repeats * active as usize).map(|_| {
            if leases.len() == active as usize {
                leases.pop_front();
            }
            let lease = pick(&balancer, &choice(random.u64(..))).unwrap();
            let endpoint = lease.endpoint();
            leases.push_back(lease);
            endpoint
        });
        let gap = largest_gap(&shares(picks, weights.len()), &expected(&weights, &[]));
        prop_assert!(gap <= 0.01, "{gap}");
    }

    /// Idle endpoints are all equally loaded: ties are drawn by weight.
    #[test]
    fn idle_least_connections_spreads_by_weight(weights in weights(), seed: u64) {
        let balancer = balancer(BalancePolicy::LeastConnections, &weights);
        let mut random = fastrand::Rng::with_seed(seed);
        let picks = (0..PICKS).map(|_| pick(&balancer, &choice(random.u64(..))).unwrap().endpoint());
        let gap = largest_gap(&shares(picks, weights.len()), &expected(&weights, &[]));
        prop_assert!(gap <= 0.01, "{gap}");
    }

    #[test]
    fn every_pick_satisfies_its_choice(
        specs in prop::collection::vec((0..3_u32, prop::sample::subsequence(vec!["a", "b"], 0..=2)), 0..6),
        exclude in prop::collection::vec(0..6_usize, 0..4),
        wanted in prop::sample::subsequence(vec!["a", "b"], 0..=2),
        picks in prop::collection::vec(any::<u64>(), 1..20),
        policy in prop::sample::select(ALL.to_vec()),
    ) {
        let labels = |zones: &[&str]| zones.iter().map(|zone| ("zone".to_owned(), (*zone).to_owned())).collect::<Vec<_>>();
        let may_take = |index: usize| {
            let (weight, carried) = &specs[index];
            *weight > 0 && !exclude.contains(&index) && wanted.iter().all(|zone| carried.contains(zone))
        };
        let endpoints = specs.iter().enumerate().map(|(index, (weight, carried))| Member { labels: labels(carried), ..member(index, *weight) });
        let balancer = Balancer::new(BalancerSettings { policy, ..BalancerSettings::default() }, endpoints.collect());
        let wanted = labels(&wanted);
        let mut leases = vec![];
        for random in picks {
            match pick(&balancer, &PickOptions { exclude: &exclude, labels: &wanted, random, hash: Some(random), ..PickOptions::default() }) {
                Some(lease) => {
                    prop_assert!(may_take(lease.endpoint()));
                    leases.push(lease);
                }
                None => prop_assert!(!(0..specs.len()).any(may_take)),
            }
        }
        for index in 0..specs.len() {
            let counted = leases.iter().filter(|lease| lease.endpoint() == index).count();
            prop_assert_eq!(balancer.active(index) as usize, counted);
        }
        drop(leases);
        prop_assert!((0..specs.len()).all(|index| balancer.active(index) == 0));
    }
}

mod hash;
mod health;

#[test]
fn three_to_one_is_exact() {
    let balancer = balancer(BalancePolicy::RoundRobin, &[3, 1]);
    let picks: Vec<usize> = (0..8)
        .map(|_| pick(&balancer, &choice(0)).unwrap().endpoint())
        .collect();
    assert_eq!(picks, [0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn nothing_to_pick_gives_none() {
    for policy in ALL {
        assert!(pick(&balancer(policy, &[]), &choice(1)).is_none());
        assert!(pick(&balancer(policy, &[0, 0]), &choice(1)).is_none());
        let all = PickOptions {
            exclude: &[1, 0],
            ..choice(1)
        };
        assert!(pick(&balancer(policy, &[1, 2]), &all).is_none());
    }
}

#[test]
fn too_large_a_weight_is_the_largest() {
    let balancer = balancer(BalancePolicy::RoundRobin, &[u32::MAX, MAX_WEIGHT]);
    let picks = (0..10).map(|_| pick(&balancer, &choice(0)).unwrap().endpoint());
    assert_eq!(picks.filter(|endpoint| *endpoint == 0).count(), 5);
}

#[test]
fn the_least_loaded_is_picked() {
    let balancer = balancer(BalancePolicy::LeastConnections, &[1, 1, 1]);
    let mut leases: Vec<Lease> = (0..300)
        .filter_map(|random| pick(&balancer, &choice(random)))
        .collect();
    let active = || [0, 1, 2].map(|index| balancer.active(index));
    assert_eq!(active(), [100, 100, 100]);
    let index = leases
        .iter()
        .position(|lease| lease.endpoint() == 1)
        .unwrap();
    drop(leases.swap_remove(index));
    for random in 0..20 {
        assert_eq!(pick(&balancer, &choice(random)).unwrap().endpoint(), 1);
    }
    assert_eq!(balancer.active(7), 0);
}

/// The same among many, where a few are drawn before all are looked at.
#[test]
fn the_least_loaded_of_many_is_picked() {
    let balancer = balancer(BalancePolicy::LeastConnections, &[1; 100]);
    let leases: Vec<Lease> = (0..1000)
        .filter_map(|random| pick(&balancer, &choice(random)))
        .collect();
    assert_eq!(leases.len(), 1000);
    assert!((0..100).all(|index| balancer.active(index) == 10));
}

#[test]
fn leases_return_from_other_threads_and_from_panics() {
    for policy in ALL {
        let balancer = balancer(policy, &[1, 2, 3]);
        thread::scope(|scope| {
            for seed in 0..4 {
                let balancer = &balancer;
                scope.spawn(move || {
                    let mut leases: VecDeque<Lease> = VecDeque::new();
                    for random in 0..20_000 {
                        leases.extend(pick(balancer, &choice(seed << 32 | random)));
                        if leases.len() > 16 {
                            leases.pop_front();
                        }
                    }
                    // The remaining leases end on a third thread.
                    scope.spawn(move || drop(leases));
                });
            }
        });
        let lease = pick(&balancer, &choice(0));
        let panicked = thread::scope(|scope| {
            scope
                .spawn(move || {
                    assert!(lease.is_some());
                    std::panic::resume_unwind(Box::new("a request that panics"));
                })
                .join()
        });
        assert!(panicked.is_err());
        assert_eq!([0, 1, 2].map(|index| balancer.active(index)), [0, 0, 0]);
    }
}

#[test]
fn lease_outlives_its_balancer() {
    fn assert_sendable<T: Send + Sync + 'static>(_: &T) {}
    let balancer = balancer(BalancePolicy::RoundRobin, &[1]);
    assert_sendable(&balancer);
    let lease = pick(&balancer, &choice(0)).unwrap();
    assert_sendable(&lease);
    drop(balancer);
    assert_eq!(lease.endpoint(), 0);
}

/// Closed loop of 32 connections, each with one request at a time, over endpoints that take 50,
/// 5 and 5 ticks. Gives the part of the requests that the slow one took, and the 90th percentile of
/// the ticks.
fn closed_loop(policy: BalancePolicy) -> (f64, u64) {
    const TICKS: [u64; 3] = [50, 5, 5];
    let balancer = balancer(policy, &[1, 1, 1]);
    let mut random = fastrand::Rng::with_seed(7);
    let mut running: BinaryHeap<Reverse<(u64, usize)>> =
        (0..32).map(|connection| Reverse((0, connection))).collect();
    let mut leases: Vec<Option<Lease>> = (0..32).map(|_| None).collect();
    let picks: Vec<usize> = (0..PICKS)
        .map(|_| {
            let Reverse((now, connection)) = running.pop().unwrap();
            leases[connection] = None;
            let lease = pick(&balancer, &choice(random.u64(..))).unwrap();
            let endpoint = lease.endpoint();
            leases[connection] = Some(lease);
            running.push(Reverse((now + TICKS[endpoint], connection)));
            endpoint
        })
        .collect();
    let mut ticks: Vec<u64> = picks.iter().map(|endpoint| TICKS[*endpoint]).collect();
    ticks.sort_unstable();
    (shares(picks.into_iter(), 3)[0], ticks[PICKS * 9 / 10])
}

#[test]
fn a_slow_endpoint_gets_less_where_loads_are_looked_at() {
    let (turns, late) = closed_loop(BalancePolicy::RoundRobin);
    assert!((0.33..0.34).contains(&turns), "{turns}");
    for policy in [BalancePolicy::LeastConnections, BalancePolicy::TwoChoices] {
        let (share, p90) = closed_loop(policy);
        assert!(share < 0.15, "{policy:?}: {share}");
        assert!(p90 * 3 <= late, "{policy:?}: {p90} of {late}");
    }
}
