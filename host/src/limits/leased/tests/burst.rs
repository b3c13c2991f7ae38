//! Bursts at the end of a quota, without threads or a Redis: a seed decides which gateway does the
//! next step.

use tokio::sync::oneshot::Receiver;

use super::*;
use crate::limits::leased::entry::LeaseEntry;
use crate::limits::leased::lease::{BudgetLease, Grant, LEASE_MS, LeaseRequest};
use crate::limits::leased::request::{EntryRequest, RefillReply};

/// One quota in the store, as `refill.lua` keeps it.
#[derive(Debug)]
struct ModelBudget {
    limit: u64,
    used: u64,
    /// Of each gateway, and when it ends. Milliseconds.
    leases: Vec<(u64, u64)>,
    recalled: Vec<bool>,
    /// Paid units that were given back, and when. Milliseconds.
    backs: Vec<(u64, u64)>,
}

impl ModelBudget {
    fn others(&self, gateway: usize, now_ms: u64) -> u64 {
        let leases = self.leases.iter().enumerate();
        let valid = leases.filter(|(of, (_, ends_ms))| *of != gateway && *ends_ms > now_ms);
        valid.map(|(_, (amount, _))| amount).sum()
    }

    /// Gives the grant, and whether others wait for this gateway's lease.
    fn carry_out(&mut self, gateway: usize, order: LeaseRequest, now_ms: u64) -> (Grant, bool) {
        let recalled = std::mem::take(&mut self.recalled[gateway]);
        let (amount, ends_ms) = self.leases[gateway];
        let mine = if ends_ms > now_ms { amount } else { 0 };
        let others = self.others(gateway, now_ms);
        self.used = (self.used + order.spent).saturating_sub(order.returned);
        self.backs.push((order.returned, now_ms));
        let still_leased = order.leased.min(mine);
        let mut left = self.limit.saturating_sub(self.used + others + still_leased);
        let mut paid = 0;
        if left >= 1 && left >= order.smallest_need {
            paid = order.need.min(left);
        }
        left -= paid;
        let share = left / (2 * self.leases.len() as u64);
        let leased = order.advance.min(left).min(share.max(1));
        left -= leased;
        self.used += paid;
        self.leases[gateway] = (still_leased + leased, now_ms + LEASE_MS);
        if paid < order.need {
            for (of, recalled) in self.recalled.iter_mut().enumerate() {
                *recalled |= of != gateway && self.leases[of].0 > 0;
            }
        }
        let grant = Grant {
            paid,
            leased,
            still_leased,
            left,
            others,
            wait_ms: 1000,
            is_known: true,
        };
        (grant, recalled)
    }
}

/// A call of the store.
struct StoreCall {
    orders: Option<EntryRequest>,
    /// Once it was carried out.
    answer: Option<(Grant, u64, bool)>,
    /// When it has come to the store, and then back to the gateway.
    due_ms: u64,
}

/// A gateway's leases, and its thread that speaks with the store.
struct ModelGateway {
    entry: LeaseEntry,
    call: Option<StoreCall>,
    /// When to look whether something is to be reported.
    round_ms: u64,
    /// When to ask again for those who wait.
    later_ns: Option<u64>,
    /// Requests that wait; those without a receiver are about to look.
    requests: Vec<(u64, Option<Receiver<()>>)>,
}

struct World {
    random: fastrand::Rng,
    plan: Arc<EnrolledPlan>,
    policy: LeasePolicy,
    now_ms: u64,
    /// By the wall clock, when it began. Milliseconds since 1970.
    wall_ms: u64,
    /// Of each way.
    delay_ms: u64,
    budget: ModelBudget,
    gateways: Vec<ModelGateway>,
    admitted: u64,
    refused: u64,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let limit = [1, 2, 3, 5, 10, 30, 100][random.usize(..7)];
        let count = random.usize(2..=4);
        let delay_ms = [0, 1, 20, 100][random.usize(..4)];
        Self::of(seed, random, limit, count, delay_ms)
    }

    fn of(seed: u64, mut random: fastrand::Rng, limit: u64, count: usize, delay_ms: u64) -> Self {
        let local = LocalLimits::new(10);
        let plan = local.enroll(quota(limit)).unwrap();
        let gateways = (0..count).map(|_| ModelGateway {
            entry: LeaseEntry::new(&plan, 0, "k"),
            call: None,
            round_ms: random.u64(..100),
            later_ns: None,
            requests: Vec::new(),
        });
        let gateways = gateways.collect();
        Self {
            plan: Arc::new(plan),
            policy: policy(100, OnUnavailable::Deny),
            now_ms: 0,
            wall_ms: 1_700_000_000_000,
            delay_ms,
            budget: ModelBudget {
                limit,
                used: 0,
                leases: vec![(0, 0); count],
                recalled: vec![false; count],
                backs: Vec::new(),
            },
            gateways,
            admitted: 0,
            refused: 0,
            log: vec![format!(
                "seed {seed}: {limit} on {count} gateways, {delay_ms} ms away"
            )],
            random,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp {
            monotonic_ns: self.now_ms * 1_000_000,
            wall_ms: self.wall_ms + self.now_ms,
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.log.push(format!("{:>6} ms: {}", self.now_ms, what()));
    }

    /// Units that nobody used, and that no waiting request was given. Those given back in the last
    /// second are left out: answers are believed for so long.
    fn unspent(&self) -> u64 {
        let unreported: u64 = self.gateways.iter().map(ModelGateway::unreported).sum();
        let backs = self.budget.backs.iter();
        let lately = backs.filter(|(_, at_ms)| at_ms + 1000 > self.now_ms);
        let back: u64 = lately.map(|(back, _)| back).sum();
        let spent = self.budget.used + unreported + back;
        self.budget.limit.saturating_sub(spent)
    }

    /// A request looks whether it may pass.
    fn look(&mut self, gateway: usize, cost: u64) {
        let now = self.now();
        let plan = Arc::clone(&self.plan);
        let take = TakeRequest {
            plan: Some(&plan),
            key: "k",
            method: None,
            route: None,
            gateway: None,
            cost,
            now,
        };
        let entry = &mut self.gateways[gateway].entry;
        entry.refresh(&plan, &take, &self.policy);
        match entry.outlook(&plan, &take) {
            TakeOutlook::Enough => {
                entry.spend(&plan, &take);
                entry.queued |= entry.needs_refill(now);
                self.admitted += cost;
                self.note(|| format!("{gateway} admits {cost}"));
                assert!(
                    self.admitted <= self.budget.limit,
                    "{}",
                    self.log.join("\n")
                );
            }
            TakeOutlook::Unknown(_) => {
                let waiting = entry.wait(&plan, &take).unwrap();
                entry.queued |= !entry.is_asking();
                self.gateways[gateway].requests.push((cost, Some(waiting)));
                self.note(|| format!("{gateway} waits for {cost}"));
            }
            TakeOutlook::Short(short) => {
                assert_eq!(short.by, BoundKind::Quota);
                self.refused += 1;
                let unspent = self.unspent();
                self.note(|| format!("{gateway} refuses {cost}, unspent are {unspent}"));
                assert!(unspent < cost, "{}", self.log.join("\n"));
            }
        }
    }

    /// One of the requests that may look does.
    fn look_again(&mut self, gateway: usize) {
        let requests = &mut self.gateways[gateway].requests;
        let ready = requests
            .iter_mut()
            .enumerate()
            .filter_map(|(at, (_, waiting))| {
                let answer = waiting.as_mut().map(Receiver::try_recv);
                (answer != Some(Err(TryRecvError::Empty))).then_some(at)
            });
        let ready: Vec<_> = ready.collect();
        if let Some(at) = self.random.choice(ready) {
            let (cost, _) = self.gateways[gateway].requests.swap_remove(at);
            self.look(gateway, cost);
        }
    }

    /// The thread of a gateway goes on, where it has something to do.
    fn speak(&mut self, gateway: usize) {
        let (now, now_ms) = (self.now(), self.now_ms);
        let speaking = &mut self.gateways[gateway];
        let Some(call) = &mut speaking.call else {
            let is_round = now_ms >= speaking.round_ms;
            let is_later = speaking
                .later_ns
                .is_some_and(|later_ns| now.monotonic_ns >= later_ns);
            if is_later {
                speaking.later_ns = None;
                speaking.entry.asks_again = false;
            }
            if is_round {
                speaking.round_ms = now_ms + 100;
            }
            let asks =
                speaking.entry.queued || is_later || is_round && speaking.entry.is_unsettled(now);
            if asks || is_round {
                let orders = asks.then(|| speaking.entry.request(now, false));
                let reported = format!("{:?}", orders.as_ref().and_then(EntryRequest::of_quota));
                speaking.call = Some(StoreCall {
                    orders,
                    answer: None,
                    due_ms: now_ms + self.delay_ms,
                });
                self.note(|| format!("{gateway} sends {reported}"));
            }
            return;
        };
        if now_ms < call.due_ms {
            return;
        }
        let order = call.orders.as_ref().and_then(EntryRequest::of_quota);
        let Some((grant, total, recalled)) = call.answer else {
            let (grant, recalled) = match order {
                Some(order) => self.budget.carry_out(gateway, order, now_ms),
                None => {
                    let recalled = std::mem::take(&mut self.budget.recalled[gateway]);
                    (Grant::default(), recalled)
                }
            };
            call.answer = Some((grant, self.budget.used, recalled));
            call.due_ms = now_ms + self.delay_ms;
            return;
        };
        let orders = speaking.call.take().and_then(|call| call.orders);
        if let Some(orders) = orders {
            let answer = RefillReply {
                memory: "p".into(),
                quota: order.map(|_| (grant, total, 0)),
                rates: smallvec::SmallVec::new(),
            };
            let settled = speaking.entry.settle(&orders, &answer, now);
            assert_eq!(settled, None);
            for waiter in speaking.entry.wake_answered(now) {
                let _ = waiter.send(());
            }
            if let Some(ask_ns) = speaking.entry.next_ask_ns(now)
                && !std::mem::replace(&mut speaking.entry.asks_again, true)
            {
                speaking.later_ns = Some(ask_ns);
            }
        }
        if recalled {
            speaking.entry.recall();
            speaking.entry.queued = true;
        }
        self.note(|| format!("{gateway} hears {grant:?}, recalled: {recalled}"));
    }

    /// One of the waiting requests goes away.
    fn leave(&mut self, gateway: usize) {
        let requests = &mut self.gateways[gateway].requests;
        if !requests.is_empty() {
            let at = self.random.usize(..requests.len());
            let (cost, _) = self.gateways[gateway].requests.swap_remove(at);
            self.note(|| format!("{gateway} is left by {cost}"));
        }
    }

    /// So many requests come, at any of the gateways, and all are answered.
    fn run(&mut self, asked: u64, most_cost: u64, leave: bool) {
        let mut to_come = asked;
        let count = self.gateways.len();
        let favoured = self.random.usize(..count);
        while to_come > 0 || self.gateways.iter().any(|one| !one.requests.is_empty()) {
            let gateway = self.random.usize(..count);
            match self.random.u8(..10) {
                0..4 if to_come > 0 => {
                    to_come -= 1;
                    let at = if self.random.bool() {
                        gateway
                    } else {
                        favoured
                    };
                    let cost = self.random.u64(1..=most_cost.min(self.budget.limit));
                    self.look(at, cost);
                }
                4..7 => self.look_again(gateway),
                7..9 => self.speak(gateway),
                9 if leave && self.random.u8(..10) == 0 => self.leave(gateway),
                _ => self.now_ms += self.random.u64(..4),
            }
            assert!(self.now_ms < 20_000, "{}", self.log.join("\n"));
        }
    }
}

impl ModelGateway {
    /// Units that were used, and the store does not know it yet.
    fn unreported(&self) -> u64 {
        let here: u64 = self.entry.leases().map(BudgetLease::unreported).sum();
        let reported = match &self.call {
            Some(StoreCall {
                orders: Some(orders),
                answer: None,
                ..
            }) => orders.of_quota().map_or(0, |order| order.spent),
            _ => 0,
        };
        here + reported
    }
}

impl EntryRequest {
    fn of_quota(&self) -> Option<LeaseRequest> {
        self.quota.as_ref().map(|(_, order)| *order)
    }
}

#[test]
fn a_quota_is_refused_only_when_it_is_spent() {
    for seed in 0..2000 {
        let mut world = World::new(seed);
        let asked = world.budget.limit + world.random.u64(..20);
        world.run(asked, 1, false);
        let log = world.log.join("\n");
        assert_eq!(world.admitted, world.budget.limit.min(asked), "{log}");
        assert_eq!(world.refused, asked - world.admitted, "{log}");
    }
}

#[test]
fn a_quota_is_refused_only_when_too_little_is_left_of_it() {
    for seed in 0..2000 {
        let mut world = World::new(seed);
        let asked = world.budget.limit + world.random.u64(..20);
        let leave = world.random.bool();
        world.run(asked, 7, leave);
    }
}

#[test]
fn a_request_that_waits_over_the_end_of_a_period_asks_in_the_next_one() {
    let mut world = World::of(0, fastrand::Rng::with_seed(0), 10, 2, 0);
    // The other gateway holds all of it.
    world.budget.leases[1] = (10, u64::MAX);
    world.look(0, 1);
    for _ in 0..3 {
        world.speak(0);
    }
    world.look_again(0);
    let number = |world: &World| world.gateways[0].entry.quota.as_ref().unwrap().usage.number;
    let before = number(&world);
    let waits = |world: &World| {
        world
            .log
            .iter()
            .filter(|line| line.contains("waits"))
            .count()
    };
    assert_eq!(waits(&world), 1, "{}", world.log.join("\n"));
    world.wall_ms += 40 * 24 * 60 * 60 * 1000;
    world.now_ms += 50;
    for _ in 0..3 {
        world.speak(0);
    }
    world.look_again(0);
    assert_eq!(waits(&world), 2, "{}", world.log.join("\n"));
    assert!(number(&world) > before);
}
