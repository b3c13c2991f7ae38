//! The cost of a pick together with the end of an earlier lease. It is measured alone; beside
//! another thread that takes two million leases a second from the same balancer, far more than a
//! worker can; and beside a thread that does nothing else, which shows the cost of the cache lines
//! that both threads write.
//!
//! `cargo bench --workspace --bench balance`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a bench stops at the first fault"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use divan::{Bencher, black_box};
use windlass::internals::balance::{
    BalancePolicy, Balancer, BalancerSettings, EndpointLoad, Lease, Member, PickOptions, Picked,
};

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POLICIES: [&str; 4] = [
    "round robin",
    "least-connections",
    "two choices",
    "consistent hash",
];
const ENDPOINTS: [usize; 2] = [10, 1000];

/// The number of requests that a thread keeps active.
const HELD: usize = 64;

fn main() {
    divan::main();
}

fn settings(policy: &str) -> BalancerSettings {
    let policy = match policy {
        "round robin" => BalancePolicy::RoundRobin,
        "least-connections" => BalancePolicy::LeastConnections,
        "two choices" => BalancePolicy::TwoChoices,
        "consistent hash" => BalancePolicy::ConsistentHash,
        other => panic!("no policy {other}"),
    };
    BalancerSettings {
        policy,
        ..BalancerSettings::default()
    }
}

fn members(count: usize) -> Vec<Member> {
    let members = (0_u32..).take(count).map(|place| Member {
        load: EndpointLoad::new(),
        weight: 1 + place % 3,
        labels: Vec::new(),
        priority: 0,
        identity: u64::from(place),
        max_active: u32::MAX,
    });
    members.collect()
}

/// One worker. It picks endpoints and keeps the latest leases.
struct Worker {
    held: VecDeque<Lease>,
    random: fastrand::Rng,
}

impl Worker {
    fn new(seed: u64) -> Self {
        Self {
            held: VecDeque::with_capacity(HELD + 1),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn pick(&mut self, balancer: &Balancer) {
        let choice = PickOptions {
            random: self.random.u64(..),
            hash: Some(self.random.u64(..)),
            ..PickOptions::default()
        };
        let Picked::Endpoint(lease) = balancer.pick(black_box(&choice)) else {
            panic!("an endpoint");
        };
        self.held.push_back(lease);
        if self.held.len() > HELD {
            self.held.pop_front();
        }
    }
}

/// Another thread, which takes leases until this value is dropped.
struct Other {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Other {
    /// Make one pick, then pause for `pause`, and so on.
    fn start(balancer: &Arc<Balancer>, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (balancer, stopped) = (Arc::clone(balancer), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut worker = Worker::new(2);
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                worker.pick(&balancer);
                while begin.elapsed() < pause {
                    std::hint::spin_loop();
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the other thread");
        }
    }
}

#[divan::bench(args = POLICIES, consts = ENDPOINTS, sample_size = 1000)]
fn alone<const N: usize>(bencher: Bencher, policy: &str) {
    let balancer = Balancer::new(settings(policy), members(N));
    let mut worker = Worker::new(1);
    bencher.bench_local(|| worker.pick(&balancer));
}

#[divan::bench(args = POLICIES, consts = ENDPOINTS, sample_size = 1000)]
fn beside_another<const N: usize>(bencher: Bencher, policy: &str) {
    with_another::<N>(bencher, policy, Duration::from_nanos(500));
}

#[divan::bench(args = POLICIES, consts = ENDPOINTS, sample_size = 1000)]
fn against_another<const N: usize>(bencher: Bencher, policy: &str) {
    with_another::<N>(bencher, policy, Duration::ZERO);
}

fn with_another<const N: usize>(bencher: Bencher, policy: &str, pause: Duration) {
    let balancer = Arc::new(Balancer::new(settings(policy), members(N)));
    let _other = Other::start(&balancer, pause);
    let mut worker = Worker::new(1);
    bencher.bench_local(|| worker.pick(&balancer));
}

/// The cost of a new balancer after one of 1,000 members changed its weight.
#[divan::bench(args = POLICIES, sample_count = 10)]
fn change_one_of_a_thousand(bencher: Bencher, policy: &str) {
    let before = members(1000);
    let balancer = Balancer::new(settings(policy), before.clone());
    let mut after = before;
    after.last_mut().expect("a member").weight = 9;
    bencher
        .with_inputs(|| after.clone())
        .bench_local_values(|after| balancer.rebuild(after));
}

/// The cost of a balancer of 1,000 members that is built from nothing.
#[divan::bench(args = POLICIES, sample_count = 5)]
fn build_a_thousand(bencher: Bencher, policy: &str) {
    bencher
        .with_inputs(|| members(1000))
        .bench_local_values(|members| Balancer::new(settings(policy), members));
}
