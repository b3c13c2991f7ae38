//! The thread that speaks with the store: tells what was used, and fetches what is needed.

use std::sync::Arc;
use std::time::Duration;

use ::redis::Connection;

use super::LeaseShared;
use super::entry::{LeaseEntry, ends_ms, quota_name};
use super::lease::{Grant, LEASE_MS, LeaseRequest};
use super::request::{EntryRequest, RefillReply, rate_name};
use super::table::LeaseOwner;
use crate::limits::LimitStore;
use crate::limits::UncountedUsage;
use crate::limits::time::Timestamp;
use crate::limits::usage_rows::QuotaRow;
use crate::limits::usage_rows::QuotaUsage;
use crate::model::period::Period;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;
use crate::shared_store::redis_server::RedisScript;

static REFILL: RedisScript = RedisScript::new(&[include_str!("refill.lua")]);

/// Entries of one call.
const BATCH: usize = 200;
/// Between two rounds while nobody asks for anything.
const REFILL_INTERVAL: Duration = Duration::from_millis(100);
/// Before the next try after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Rounds between two calls while there is nothing to say: others count who speaks.
const MAX_SILENT_INTERVALS: u32 = 8;
/// One in so many shards is looked through each round.
const SWEEP_FRACTION: usize = 8;

/// What the script answers for one bound.
type GrantRow = (u64, u64, u64, u64, u64, u64, u64, i64, u64);

/// What the thread knows of its calls.
#[derive(Debug, Default)]
pub(super) struct RefillCaller {
    /// The server's memory that answered last: one of its processes, since it was last emptied.
    memory: Option<Arc<str>>,
    /// The one that was told all that this gateway knows.
    acknowledged_memory: Option<Arc<str>>,
    /// Counts calls, so that the store knows one that comes again.
    number: u64,
    /// What was told in a call that was not answered: it may have been carried out, and comes again
    /// before anything else.
    unconfirmed: Option<Vec<EntryRequest>>,
    /// How many waited when all were woken last.
    waited: u64,
    /// Those who wait for what others give back, and when to ask again. Nanoseconds.
    ask_again: Vec<(u64, LeaseOwner)>,
    /// When something was leased last: while it may be asked back, each round asks whether it is.
    /// Nanoseconds.
    leased_ns: Option<u64>,
}

/// Work until told to stop; then give back what is held.
pub(super) fn run(shared: &LeaseShared, mut speaker: RefillCaller) {
    let mut next_shard = 0;
    let mut silent = 0;
    let mut swept = Timestamp::now();
    while let Some(mut owners) = shared.wait(speaker.max_wait(Timestamp::now())) {
        let now = Timestamp::now();
        speaker.take_ready(shared, now, &mut owners);
        let round_ns = u64::try_from(REFILL_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        let is_round = now.monotonic_ns.saturating_sub(swept.monotonic_ns) >= round_ns;
        if is_round {
            swept = now;
            silent += 1;
            for _ in 0..shared.leases.shards().div_ceil(SWEEP_FRACTION) {
                let choose = |entry: &LeaseEntry| entry.is_unsettled(now);
                shared.leases.sweep(next_shard, now, choose, &mut owners);
                next_shard = (next_shard + 1) % shared.leases.shards();
            }
        }
        let asks = is_round && (silent >= MAX_SILENT_INTERVALS || speaker.has_recent_lease(now));
        if owners.is_empty() && !asks && shared.is_reachable() {
            continue;
        }
        silent = 0;
        if speaker.refill(shared, owners, false).is_err() {
            shared.pause(RETRY_PAUSE);
        }
    }
    let mut owners = choose_all(shared, |_| true);
    owners.extend(shared.take_queue());
    // What is not given back is lost to the others until its lease ends: nothing waits for that.
    let _ = speaker.refill(shared, owners, true);
    shared.wake_all();
}

/// The owners of all entries that `choose` says yes to.
fn choose_all(shared: &LeaseShared, choose: impl Fn(&LeaseEntry) -> bool) -> Vec<LeaseOwner> {
    let mut owners = Vec::new();
    for shard in 0..shared.leases.shards() {
        let now = Timestamp::now();
        shared.leases.sweep(shard, now, &choose, &mut owners);
    }
    owners
}

impl RefillCaller {
    /// How long to wait for somebody who wants something.
    fn max_wait(&self, now: Timestamp) -> Duration {
        let next = self.ask_again.iter().map(|(due_ns, _)| *due_ns).min();
        next.map_or(REFILL_INTERVAL, |due_ns| {
            let wait = Duration::from_nanos(due_ns.saturating_sub(now.monotonic_ns));
            wait.min(REFILL_INTERVAL)
        })
    }

    /// Those whose time to ask again has come.
    fn take_ready(&mut self, shared: &LeaseShared, now: Timestamp, owners: &mut Vec<LeaseOwner>) {
        self.ask_again.retain(|(due_ns, owner)| {
            if *due_ns > now.monotonic_ns {
                return true;
            }
            if let Some(mut held) = shared.leases.lock(owner.hash)
                && let Some(entry) = held.find(owner.space, owner.hash, &owner.key)
            {
                entry.asks_again = false;
                if entry.queued {
                    return false;
                }
                if !entry.has_waiters() {
                    // All of them went away.
                    drop(entry.wake());
                    return false;
                }
                entry.queued = true;
                owners.push(owner.clone());
            }
            false
        });
    }

    /// Whether others may want back what is leased here.
    fn has_recent_lease(&self, now: Timestamp) -> bool {
        self.leased_ns.is_some_and(|leased_ns| {
            now.monotonic_ns.saturating_sub(leased_ns) < LEASE_MS * 1_000_000
        })
    }

    /// Tell of these, in pieces, and one call at the least.
    pub(super) fn refill(
        &mut self,
        shared: &LeaseShared,
        owners: Vec<LeaseOwner>,
        ending: bool,
    ) -> Result<(), StorageError> {
        if let Some(doubtful) = self.unconfirmed.take()
            && let Err(error) = self.report(shared, doubtful, ending)
        {
            shared.queue_all(owners.into_iter());
            return Err(error);
        }
        self.report_all(shared, owners, ending)?;
        if self.acknowledged_memory != self.memory {
            if self.acknowledged_memory.is_some() && !ending {
                // Another memory may lack something: all say what they know.
                let all = choose_all(shared, |entry| entry.quota.is_some());
                self.report_all(shared, all, ending)?;
            }
            self.acknowledged_memory.clone_from(&self.memory);
            self.report_all(shared, Vec::new(), ending)?;
        }
        Ok(())
    }

    fn report_all(
        &mut self,
        shared: &LeaseShared,
        mut owners: Vec<LeaseOwner>,
        ending: bool,
    ) -> Result<(), StorageError> {
        loop {
            let rest = owners.split_off(owners.len().min(BATCH));
            let orders = owners.iter().filter_map(|owner| {
                let mut held = shared.leases.lock(owner.hash)?;
                let entry = held.find(owner.space, owner.hash, &owner.key)?;
                if !entry.queued {
                    // It was told of meanwhile.
                    return None;
                }
                Some(entry.request(Timestamp::now(), ending))
            });
            let orders = orders.collect();
            self.number += 1;
            if let Err(error) = self.report(shared, orders, ending) {
                shared.queue_all(rest.into_iter());
                return Err(error);
            }
            if rest.is_empty() {
                return Ok(());
            }
            owners = rest;
        }
    }

    /// Make the call with the last number, and settle what it answers.
    fn report(
        &mut self,
        shared: &LeaseShared,
        orders: Vec<EntryRequest>,
        ending: bool,
    ) -> Result<(), StorageError> {
        let (answers, recalled) = match self.call(shared, &orders) {
            Ok(answers) => answers,
            Err(error) => {
                shared.note_failure(&error);
                // Those who wait are told what the policy says. There are no new ones meanwhile.
                let waited = shared.stats.waited();
                if std::mem::replace(&mut self.waited, waited) != waited {
                    shared.wake_all();
                }
                self.unconfirmed = Some(orders);
                return Err(error);
            }
        };
        shared.note_contact();
        let now = Timestamp::now();
        for (orders, answer) in orders.iter().zip(&answers) {
            self.settle(shared, orders, answer, now);
        }
        if !ending {
            recall(shared, &recalled);
        }
        shared.note_settled();
        Ok(())
    }

    fn call(
        &mut self,
        shared: &LeaseShared,
        orders: &[EntryRequest],
    ) -> Result<(Vec<RefillReply>, Vec<String>), StorageError> {
        let meta = shared.server.key("meta");
        let told = self.acknowledged_memory.as_deref().unwrap_or_default();
        let ask = |connection: &mut Connection, process: &str| {
            let mut call = REFILL.call();
            call.key(&meta).arg(&shared.id).arg(self.number);
            call.arg(process).arg(told).arg(LEASE_MS);
            for orders in orders {
                add(&mut call, orders);
            }
            call.invoke::<(u64, Vec<GrantRow>, Vec<String>, String)>(connection)
        };
        let (gateways, rows, recalled, memory) = shared.server.repeat(ask)?.value;
        shared.note_gateways(gateways);
        let memory = Arc::<str>::from(memory);
        self.memory = Some(Arc::clone(&memory));
        let mut rows = rows.into_iter();
        let answers = orders.iter().map(|orders| {
            let mut next = || rows.next().unwrap_or_default();
            for _ in &orders.retired {
                let _ = next();
            }
            RefillReply {
                memory: Arc::clone(&memory),
                quota: orders.quota.as_ref().map(|_| {
                    let row = next();
                    (grant(row), row.6, row.7)
                }),
                rates: orders.rates.iter().map(|_| grant(next())).collect(),
            }
        });
        Ok((answers.collect(), recalled))
    }

    fn settle(
        &mut self,
        shared: &LeaseShared,
        orders: &EntryRequest,
        answer: &RefillReply,
        now: Timestamp,
    ) {
        let Some(mut held) = shared.leases.lock(orders.hash) else {
            return;
        };
        let Some(entry) = held.find(orders.space, orders.hash, &orders.key) else {
            return;
        };
        let settled = entry.settle(orders, answer, now);
        if let Some((period, number, extra)) = settled.extended {
            // The counters here are to let through what was extended elsewhere, from the first request.
            shared.local.restore(&QuotaRow {
                plan: orders.plan.as_ref().to_owned(),
                key: orders.key.as_ref().to_owned(),
                usage: QuotaUsage {
                    period,
                    number,
                    used: 0,
                },
                extra,
            });
        }
        let waiters = entry.wake_answered(now);
        if let Some(ask_ns) = entry.next_ask_ns(now)
            && !std::mem::replace(&mut entry.asks_again, true)
        {
            self.ask_again.push((ask_ns, LeaseOwner::of(entry)));
        }
        // Those who are woken take this lock first of all.
        drop(held);
        let quota = answer.quota.map(|(grant, ..)| grant);
        let mut grants = quota.iter().chain(&answer.rates);
        if grants.any(|grant| grant.leased > 0 || grant.still_leased > 0) {
            self.leased_ns = Some(now.monotonic_ns);
        }
        for waiter in waiters {
            // One that left does not hear it.
            let _ = waiter.send(());
        }
    }
}

/// Others wait for what is leased under these names: it goes back with the next orders.
fn recall(shared: &LeaseShared, names: &[String]) {
    let owners = names.iter().filter_map(|name| {
        let (space, hash) = name.split_once('.')?;
        let (space, hash) = (space.parse().ok()?, hash.parse().ok()?);
        let mut held = shared.leases.lock(hash)?;
        let entry = held.find_by_hash(space, hash)?;
        entry.recall();
        let owner = (!entry.queued).then(|| LeaseOwner::of(entry));
        entry.queued = true;
        owner
    });
    let owners: Vec<_> = owners.collect();
    shared.queue_all(owners.into_iter());
}

fn grant(row: GrantRow) -> Grant {
    let (paid, leased, held, left, others, wait_ms, _, _, known) = row;
    Grant {
        paid,
        leased,
        still_leased: held,
        left,
        others,
        wait_ms,
        is_known: known != 0,
    }
}

/// The arguments of one entry.
fn add(call: &mut ::redis::ScriptInvocation<'_>, orders: &EntryRequest) {
    let EntryRequest { plan, key, .. } = orders;
    let owner = format!("{}.{}", orders.space, orders.hash);
    for (quota, order) in orders.retired.iter().chain(&orders.quota) {
        add_order(call, "Q", &quota.name(plan, key), &owner, *order);
        let memory = quota.server_memory.as_deref().unwrap_or_default();
        call.arg(quota.limit).arg(quota.total).arg(memory);
        call.arg(quota.ends_ms());
    }
    for (method, rate, order) in &orders.rates {
        let name = rate_name(plan, key, method.as_ref());
        add_order(call, "R", &name, &owner, *order);
        call.arg(rate.burst).arg(rate.per_second);
    }
}

fn add_order(
    call: &mut ::redis::ScriptInvocation<'_>,
    kind: &str,
    name: &str,
    owner: &str,
    order: LeaseRequest,
) {
    call.arg(kind)
        .arg(name)
        .arg(owner)
        .arg(order.spent)
        .arg(order.returned)
        .arg(order.leased)
        .arg(order.need)
        .arg(order.smallest_need)
        .arg(order.advance);
}

/// Where a quota stands by the store: what all gateways used and told, and its extension. With
/// `remaining` it is extended before, so that so much remains.
pub(super) fn read_quota(
    shared: &LeaseShared,
    owner: (&str, &str),
    place: (Period, u32),
    limit: u64,
    remaining: Option<u64>,
) -> Result<(u64, i64), StorageError> {
    static EXTEND: RedisScript = RedisScript::new(&[include_str!("extend.lua")]);
    let name = quota_name(place.0, place.1, owner.0, owner.1);
    let remaining = remaining.map_or_else(String::new, |remaining| remaining.to_string());
    shared.server.write(|connection| {
        EXTEND
            .call()
            .key(shared.server.key("meta"))
            .arg(&name)
            .arg(limit)
            .arg(&remaining)
            .arg(ends_ms(place.0, place.1))
            .arg(&shared.id)
            .invoke(connection)
    })
}

/// Let the budgets of these quotas say that at least so much was used, or that so much more was.
pub(super) fn raise_usage(
    shared: &LeaseShared,
    rows: &[QuotaRow],
    what: UncountedUsage,
) -> Result<(), StorageError> {
    static RAISE: RedisScript = RedisScript::new(&[include_str!("raise.lua")]);
    for rows in rows.chunks(BATCH) {
        let mut call = RAISE.call();
        call.key(shared.server.key("meta")).arg(match what {
            UncountedUsage::Total => "whole",
            UncountedUsage::Additional => "more",
        });
        for row in rows {
            let QuotaUsage {
                period,
                number,
                used,
            } = row.usage;
            call.arg(quota_name(period, number, &row.plan, &row.key))
                .arg(used)
                .arg(ends_ms(period, number));
        }
        let raise = |connection: &mut Connection| call.invoke::<()>(connection);
        shared.server.write(raise)?;
    }
    Ok(())
}
