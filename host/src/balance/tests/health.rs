//! Which endpoints are used: shares that grow, tiers, failing open, limits, stickiness.

use super::*;

fn endpoint(balancer: &Balancer, choice: &PickOptions<'_>) -> Option<usize> {
    pick(balancer, choice).map(|lease| lease.endpoint())
}

fn over(settings: BalancerSettings, members: &[Member]) -> Balancer {
    Balancer::new(settings, members.to_vec())
}

/// Slow start works with every policy: an endpoint has its weight times its share.
#[test]
fn a_growing_share_takes_its_part() {
    for policy in ALL {
        let all = members(&[2, 2, 1]);
        let settings = BalancerSettings {
            policy,
            ..BalancerSettings::default()
        };
        let balancer = over(settings, &all);
        all[0].load.set(250, true, false);
        let expected = [0.5 / 3.5, 2.0 / 3.5, 1.0 / 3.5];
        let mut random = fastrand::Rng::with_seed(9);
        let mut leases = VecDeque::new();
        let picks = (0..PICKS).map(|_| {
            let choice = PickOptions {
                hash: Some(random.u64(..)),
                ..choice(random.u64(..))
            };
            let lease = pick(&balancer, &choice).unwrap();
            let endpoint = lease.endpoint();
            if policy != BalancePolicy::ConsistentHash {
                leases.push_back(lease);
            }
            if leases.len() > 256 {
                leases.pop_front();
            }
            endpoint
        });
        let gap = largest_gap(&shares(picks, 3), &expected);
        let bound = if policy == BalancePolicy::TwoChoices {
            0.03
        } else {
            0.01
        };
        assert!(gap <= bound, "{policy:?}: {gap}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever their shares: nothing goes where it must not, and something goes where it may.
    #[test]
    fn only_what_takes_requests_gets_them(
        states in prop::collection::vec((0..=3_u32, prop_oneof![Just(0), 1..=WHOLE], any::<bool>(), 0..3_u8, 1..=3_u32), 0..8),
        policy in prop::sample::select(ALL.to_vec()),
        open in 0..=4_u32,
        picks in prop::collection::vec(any::<u64>(), 1..40),
    ) {
        let all: Vec<Member> = states.iter().enumerate().map(|(index, (weight, share, last, priority, most))| {
            let member = Member { priority: *priority, max_active: *most, ..member(index, *weight) };
            // An endpoint with a share is a last resort too: draining takes both.
            member.load.set(*share, *last || *share > 0, false);
            member
        }).collect();
        let settings = BalancerSettings { policy, fail_open: Threshold::Count(open), ..BalancerSettings::default() };
        let balancer = over(settings, &all);
        let mut leases: Vec<Lease> = vec![];
        for random in picks {
            let choice = PickOptions { hash: Some(random), ..choice(random) };
            let may = |index: usize, room: bool| {
                let (weight, share, last, _, most) = states[index];
                let takes = share > 0 || (balancer.fails_open() && last);
                let has_room = balancer.active(index) < most;
                weight > 0 && takes && (!room || has_room)
            };
            match balancer.pick(&choice) {
                Picked::Endpoint(lease) => {
                    prop_assert!(may(lease.endpoint(), false));
                    prop_assert!(balancer.active(lease.endpoint()) <= states[lease.endpoint()].4);
                    leases.push(lease);
                }
                Picked::Full => prop_assert!((0..states.len()).any(|index| may(index, false))),
                Picked::None => {
                    // Only its own tier fails open; available endpoints elsewhere are found all the same.
                    let available = |(weight, share, ..): &(u32, u32, bool, u8, u32)| *weight > 0 && *share > 0;
                    prop_assert!(!states.iter().any(available));
                }
            }
        }
        for index in 0..states.len() {
            let counted = leases.iter().filter(|lease| lease.endpoint() == index).count();
            prop_assert_eq!(balancer.active(index) as usize, counted);
        }
    }

    /// Endpoints that come, leave and change weight: shares are right after each change.
    #[test]
    fn shares_hold_through_changes(
        changes in prop::collection::vec(prop::collection::vec(1..=20_u32, 1..8), 2..5),
        policy in prop::sample::select(vec![BalancePolicy::RoundRobin, BalancePolicy::LeastConnections]),
        seed: u64,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let slots: Vec<EndpointLoad> = (0..8).map(|_| EndpointLoad::new()).collect();
        let mut balancer = balancer(policy, &[]);
        let mut leases: VecDeque<Lease> = VecDeque::new();
        for weights in changes {
            let members = weights.iter().enumerate().map(|(index, weight)| Member {
                load: slots[index].clone(),
                ..member(index, *weight)
            });
            balancer = balancer.rebuild(members.collect());
            // Earlier requests end first: they are spread by other weights.
            leases.clear();
            let picks: Vec<usize> = (0..20_000).map(|_| {
                let lease = pick(&balancer, &choice(random.u64(..))).unwrap();
                let endpoint = lease.endpoint();
                leases.push_back(lease);
                if leases.len() > 512 {
                    leases.pop_front();
                }
                endpoint
            }).collect();
            let gap = largest_gap(&shares(picks.into_iter(), weights.len()), &expected(&weights, &[]));
            prop_assert!(gap <= 0.01, "{policy:?} {gap}");
        }
    }
}

#[test]
fn the_next_group_takes_over_and_gives_back() {
    let mut all = members(&[1, 1, 1]);
    all[2].priority = 1;
    let settings = BalancerSettings {
        failover: Threshold::Percent(100),
        ..BalancerSettings::default()
    };
    let balancer = over(settings, &all);
    let seen = |balancer: &Balancer| {
        let mut seen: Vec<usize> = (0..10)
            .filter_map(|random| endpoint(balancer, &choice(random)))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(seen(&balancer), [0, 1]);
    all[0].load.set(0, true, false);
    balancer.refresh();
    assert_eq!((seen(&balancer), balancer.tier()), (vec![2], 1));
    all[2].load.set(0, true, false);
    balancer.refresh();
    assert_eq!(seen(&balancer), [1], "the best that is left");
    all[0].load.set(1, true, false);
    balancer.refresh();
    assert_eq!(balancer.tier(), 0);
}

/// Results may be mistaken; checks and an operator are not.
#[test]
fn what_is_only_ejected_is_picked_when_nothing_else_can_be() {
    for policy in ALL {
        let mut all = members(&[1, 1, 1, 0]);
        all[1].max_active = 1;
        let settings = BalancerSettings {
            policy,
            ..BalancerSettings::default()
        };
        let balancer = over(settings, &all);
        // The last would take nothing if it were well.
        for index in [1, 3] {
            all[index].load.set(0, true, true);
        }
        all[2].load.set(0, true, false);
        balancer.refresh();
        assert_eq!(endpoint(&balancer, &choice(1)), Some(0));
        let others = PickOptions {
            exclude: &[0],
            ..choice(1)
        };
        let lease = pick(&balancer, &others).unwrap();
        assert_eq!(lease.endpoint(), 1, "{policy:?}");
        assert!(matches!(balancer.pick(&others), Picked::Full));
        let nobody = PickOptions {
            exclude: &[0, 1],
            ..choice(1)
        };
        assert!(matches!(balancer.pick(&nobody), Picked::None));
    }
}

#[test]
fn the_own_zone_comes_first() {
    let zone = |name: &str| vec![("zone".to_owned(), name.to_owned())];
    let mut all = members(&[1, 1]);
    all[0].labels = zone("b");
    all[1].labels = zone("a");
    let settings = BalancerSettings {
        prefer: zone("a"),
        ..BalancerSettings::default()
    };
    let balancer = over(settings, &all);
    assert!((0..10).all(|random| endpoint(&balancer, &choice(random)) == Some(1)));
    // A retry goes on to the other one.
    let retry = PickOptions {
        exclude: &[1],
        ..choice(0)
    };
    assert_eq!(endpoint(&balancer, &retry), Some(0));
}

#[test]
fn with_too_few_left_all_but_the_draining_are_used() {
    for (fail_open, opens) in [(Threshold::Percent(50), true), (Threshold::Count(0), false)] {
        let all = members(&[1, 1, 1, 1]);
        let settings = BalancerSettings {
            fail_open,
            ..BalancerSettings::default()
        };
        let balancer = over(settings, &all);
        for index in [0, 1] {
            all[index].load.set(0, true, false);
        }
        balancer.refresh();
        assert!(!balancer.fails_open(), "half of them is enough");
        all[2].load.set(0, false, false);
        balancer.refresh();
        assert_eq!(balancer.fails_open(), opens);
        let seen: Vec<usize> = (0..100)
            .filter_map(|random| endpoint(&balancer, &choice(random)))
            .collect();
        assert!(!seen.contains(&2), "it drains");
        assert_eq!(seen.contains(&0), opens);
        all[3].load.set(0, true, false);
        balancer.refresh();
        assert_eq!(endpoint(&balancer, &choice(1)).is_some(), opens);
    }
}

/// A maximum holds exactly, whoever takes leases.
#[test]
fn no_endpoint_gets_more_than_its_maximum() {
    for policy in ALL {
        let mut all = members(&[1, 3]);
        for member in &mut all {
            member.max_active = 5;
        }
        let settings = BalancerSettings {
            policy,
            ..BalancerSettings::default()
        };
        let balancer = over(settings, &all);
        let taken = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|seed| {
                    let balancer = &balancer;
                    scope.spawn(move || {
                        let picks = (0..50).map(|random| choice(seed << 32 | random));
                        picks
                            .filter_map(|choice| pick(balancer, &choice))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            let taken = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            taken.collect::<Vec<_>>()
        });
        assert_eq!(taken.len(), 10, "{policy:?}");
        assert!(matches!(balancer.pick(&choice(0)), Picked::Full));
        drop(taken);
        assert_eq!([0, 1].map(|index| balancer.active(index)), [0, 0]);
    }
}

#[test]
fn a_client_stays_while_its_endpoint_takes_requests() {
    let mut all = members(&[1, 1, 0]);
    all[1].max_active = 1;
    let balancer = over(BalancerSettings::default(), &all);
    let wants = |identity| PickOptions {
        sticky: Some(identity),
        ..choice(0)
    };
    assert!((0..10).all(|_| endpoint(&balancer, &wants(1)) == Some(1)));
    let lease = pick(&balancer, &wants(1));
    assert_eq!(endpoint(&balancer, &wants(1)), Some(0), "it is full");
    drop(lease);
    assert_ne!(
        endpoint(&balancer, &wants(2)),
        Some(2),
        "weight 0 is drained"
    );
    let stays = PickOptions {
        sticky_accepts_draining: true,
        ..wants(2)
    };
    assert_eq!(endpoint(&balancer, &stays), Some(2), "and may keep its own");
    let exclude = [2];
    let tried = PickOptions {
        exclude: &exclude,
        ..stays
    };
    assert_ne!(
        endpoint(&balancer, &tried),
        Some(2),
        "but not once it failed"
    );
    assert!(endpoint(&balancer, &wants(77)).is_some(), "nobody has it");
    all[1].load.set(0, true, false);
    balancer.refresh();
    assert_eq!(
        endpoint(&balancer, &wants(1)),
        Some(0),
        "health has the last word"
    );
}

/// A cell is used again only when no request is counted on it any more.
#[test]
fn a_new_endpoint_begins_with_nothing() {
    let first = balancer(BalancePolicy::RoundRobin, &[1]);
    let lease = pick(&first, &choice(0)).unwrap();
    drop(first);
    let later: Vec<Balancer> = (0..600)
        .map(|_| balancer(BalancePolicy::RoundRobin, &[1]))
        .collect();
    drop(lease);
    assert!(later.iter().all(|balancer| balancer.active(0) == 0));
    assert!(
        later
            .iter()
            .all(|balancer| pick(balancer, &choice(0)).is_some())
    );
}
