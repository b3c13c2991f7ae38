//! The laws of the consistent hash, of two choices, and of splits.

use super::*;

/// Keys and the endpoints that they go to while nothing is active.
fn owners(balancer: &Balancer, keys: u64) -> Vec<usize> {
    (0..keys).map(|key| owner(balancer, key)).collect()
}

fn owner(balancer: &Balancer, key: u64) -> usize {
    let choice = PickOptions {
        hash: Some(key),
        ..choice(0)
    };
    pick(balancer, &choice).unwrap().endpoint()
}

fn moved(before: &[usize], after: &[usize]) -> f64 {
    let moved = before
        .iter()
        .zip(after)
        .map(|(one, other)| usize::from(one != other));
    shares(moved, 2)[1]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn keys_are_spread_by_weight(weights in weights(), salt: u64) {
        let balancer = balancer(BalancePolicy::ConsistentHash, &weights);
        let picks = (0..PICKS as u64).map(|key| owner(&balancer, key ^ salt));
        let gap = largest_gap(&shares(picks, weights.len()), &expected(&weights, &[]));
        prop_assert!(gap <= 0.01, "{gap}");
    }

    /// Members come, leave and change weight: what follows is what a new balancer of the same
    /// members says, and a leaving endpoint moves its own keys only.
    #[test]
    fn a_change_moves_what_it_must(
        weights in prop::collection::vec(1..=20_u32, 2..12),
        leaves in any::<prop::sample::Index>(),
        joins in 0..=20_u32,
        heavier in any::<prop::sample::Index>(),
    ) {
        let all = members(&weights);
        let settings = BalancerSettings { policy: BalancePolicy::ConsistentHash, ..BalancerSettings::default() };
        let balancer = Balancer::new(settings.clone(), all.clone());
        let before = owners(&balancer, 20_000);
        let out = leaves.index(weights.len());
        // The member stays, so that numbers can be compared; its weight is gone.
        let mut fewer = all.clone();
        fewer[out].weight = 0;
        let less = balancer.rebuild(fewer.clone());
        let after = owners(&less, 20_000);
        let share = expected(&weights, &[])[out];
        prop_assert!(moved(&before, &after) <= share * 1.5 + 0.002);
        for (one, other) in before.iter().zip(&after) {
            prop_assert!(one == other || *one == out, "only the leaver's keys move");
        }
        let mut more = fewer;
        more.push(member(99, joins));
        more[heavier.index(weights.len())].weight += 5;
        let succeeded = owners(&less.rebuild(more.clone()), 20_000);
        prop_assert_eq!(succeeded, owners(&Balancer::new(settings, more), 20_000));
    }

    #[test]
    fn two_choices_keep_the_shares(weights in prop::collection::vec(1..=10_u32, 2..8), seed: u64) {
        let balancer = balancer(BalancePolicy::TwoChoices, &weights);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut leases = VecDeque::new();
        let picks = (0..PICKS).map(|_| {
            if leases.len() == 256 {
                leases.pop_front();
            }
            let lease = pick(&balancer, &choice(random.u64(..))).unwrap();
            let endpoint = lease.endpoint();
            leases.push_back(lease);
            endpoint
        });
        let gap = largest_gap(&shares(picks, weights.len()), &expected(&weights, &[]));
        prop_assert!(gap <= 0.03, "{gap}");
    }

    #[test]
    fn groups_keep_their_shares_and_gain_keys_when_raised(
        weights in prop::collection::vec(0..=100_u32, 1..5),
        seed: u64,
    ) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let split_of = |weights: &[u32]| {
            let targets = weights.iter().enumerate();
            WeightedSplit::new(targets.map(|(index, weight)| (index as u64 * 7 + 1, *weight))).unwrap()
        };
        let split = split_of(&weights);
        let by_chance = (0..PICKS as u64).map(|random| split.pick(random ^ seed));
        let gap = largest_gap(&shares(by_chance, weights.len()), &expected(&weights, &[]));
        prop_assert!(gap <= 0.01, "{gap}");
        let by_key: Vec<usize> = (0..PICKS as u64).map(|key| split.pick_by(key ^ seed)).collect();
        let gap = largest_gap(&shares(by_key.iter().copied(), weights.len()), &expected(&weights, &[]));
        prop_assert!(gap <= 0.01, "{gap}");
        let mut raised = weights.clone();
        raised[0] += 10;
        let split = split_of(&raised);
        for (key, before) in by_key.into_iter().enumerate() {
            let after = split.pick_by(key as u64 ^ seed);
            prop_assert!(after == before || after == 0);
        }
    }
}

#[test]
fn groups_without_weight_are_none() {
    assert_eq!(WeightedSplit::new([(1, 0), (2, 0)]), None);
}

/// One key that everybody asks for does not fill its endpoint.
#[test]
fn a_hot_key_is_bounded() {
    let balancer = balancer(BalancePolicy::ConsistentHash, &[1; 10]);
    let mut random = fastrand::Rng::with_seed(3);
    let mut leases = Vec::new();
    for number in 0..1000 {
        let key = if number % 2 == 0 { 7 } else { random.u64(..) };
        let choice = PickOptions {
            hash: Some(key),
            ..choice(0)
        };
        leases.push(pick(&balancer, &choice).unwrap());
    }
    for index in 0..10 {
        let active = balancer.active(index);
        assert!(active <= 126, "{index}: {active}");
    }
}

/// Keys that an endpoint cannot take go to the same other ones, and come back to it.
#[test]
fn keys_return_when_their_endpoint_does() {
    let all = members(&[1; 5]);
    let settings = BalancerSettings {
        policy: BalancePolicy::ConsistentHash,
        ..BalancerSettings::default()
    };
    let balancer = Balancer::new(settings, all.clone());
    let before = owners(&balancer, 10_000);
    all[2].load.set(0, true, false);
    balancer.refresh();
    let while_away = owners(&balancer, 10_000);
    for (one, other) in before.iter().zip(&while_away) {
        assert!(*other != 2 && (one == other || *one == 2));
    }
    assert_eq!(while_away, owners(&balancer, 10_000));
    // Half its share takes about half its keys, and they stay when it takes all.
    all[2].load.set(500, true, false);
    let halfway = owners(&balancer, 10_000);
    let back = halfway.iter().filter(|endpoint| **endpoint == 2).count();
    let all_of_them = before.iter().filter(|endpoint| **endpoint == 2).count();
    assert!((back * 100 / all_of_them).abs_diff(50) <= 5);
    all[2].load.set(WHOLE, true, false);
    assert_eq!(before, owners(&balancer, 10_000));
}

#[test]
fn a_request_without_a_key_is_spread() {
    let balancer = balancer(BalancePolicy::ConsistentHash, &[3, 1]);
    let picks =
        (0..PICKS as u64).map(|random| pick(&balancer, &choice(random)).unwrap().endpoint());
    let gap = largest_gap(&shares(picks, 2), &[0.75, 0.25]);
    assert!(gap <= 0.01, "{gap}");
}
