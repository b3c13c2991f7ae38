//! The thread that talks to the server: reports usage, and fetches leases.

use std::sync::Arc;
use std::time::Duration;

use ::redis::Connection;

use super::LeaseShared;
use super::entry::{LeaseEntry, LeaseOwner, expiry_ms, quota_name};
use super::lease::{Grant, LEASE_MS, LeaseRequest};
use super::request::{EntryRequest, RefillReply, rate_name};
use crate::limits::UncountedUsage;
use crate::limits::usage_rows::{QuotaRow, QuotaUsage};
use crate::model::plan::QuotaLimit;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;
use crate::shared_store::redis_server::RedisScript;

static REFILL: RedisScript = RedisScript::new(&[include_str!("refill.lua")]);

/// Entries of one call.
const BATCH: usize = 200;
/// The interval between two calls while nobody asks for anything.
const REFILL_INTERVAL: Duration = Duration::from_millis(100);
/// The pause before the next try after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Intervals between two calls while there is nothing to report, because the server counts the
/// gateways that call.
const MAX_SILENT_INTERVALS: u32 = 8;
/// The fraction of shards that is swept in each interval.
const SWEEP_FRACTION: usize = 8;

/// The script's answer for one bound.
type GrantRow = (u64, u64, u64, u64, u64, u64, u64, i64, u64);

/// The state of the thread's calls.
#[derive(Debug, Default)]
pub(super) struct RefillCaller {
    /// The server's memory that answered last: one of its processes, since it was last emptied.
    memory: Option<Arc<str>>,
    /// The memory that has everything that this gateway knows.
    acknowledged_memory: Option<Arc<str>>,
    /// The number of the call, by which the server recognises a repeated one.
    number: u64,
    /// The reports of a call without an answer: it may have been executed, and is repeated before
    /// anything else.
    unconfirmed: Option<Vec<EntryRequest>>,
    /// The number of waiting requests when all were last woken.
    waited: u64,
    /// Owners that wait for units of others, and when to ask again. Nanoseconds.
    ask_again: Vec<(u64, LeaseOwner)>,
    /// When something was last leased: while it may be recalled, each interval asks whether it is.
    /// Nanoseconds.
    leased_ns: Option<u64>,
}

/// Runs until it is stopped; then returns all leases.
pub(super) fn run(shared: &LeaseShared, mut caller: RefillCaller) {
    let mut next_shard = 0;
    let mut silent = 0;
    let mut swept = Timestamp::now();
    while let Some(mut owners) = shared.wait(caller.max_wait(Timestamp::now())) {
        let now = Timestamp::now();
        caller.take_ready(shared, now, &mut owners);
        let since_sweep = now.monotonic().saturating_sub(swept.monotonic());
        let sweeps = since_sweep >= REFILL_INTERVAL;
        if sweeps {
            swept = now;
            silent += 1;
            for _ in 0..shared.leases.shards().div_ceil(SWEEP_FRACTION) {
                let choose = |entry: &LeaseEntry| entry.is_unsettled(now);
                shared.leases.sweep(next_shard, now, choose, &mut owners);
                next_shard = (next_shard + 1) % shared.leases.shards();
            }
        }
        let asks = sweeps && (silent >= MAX_SILENT_INTERVALS || caller.has_recent_lease(now));
        if owners.is_empty() && !asks && shared.stats.is_reachable() {
            continue;
        }
        silent = 0;
        if caller.refill(shared, owners, false).is_err() {
            shared.pause(RETRY_PAUSE);
        }
    }
    let mut owners = choose_all(shared, |_| true);
    owners.extend(shared.take_queue());
    // Leases that are not returned are lost to the others until they end; nothing waits for that.
    let _ = caller.refill(shared, owners, true);
    shared.wake_all();
}

/// The owners of all entries that `choose` selects.
fn choose_all(shared: &LeaseShared, choose: impl Fn(&LeaseEntry) -> bool) -> Vec<LeaseOwner> {
    let mut owners = Vec::new();
    for shard in 0..shared.leases.shards() {
        let now = Timestamp::now();
        shared.leases.sweep(shard, now, &choose, &mut owners);
    }
    owners
}

impl RefillCaller {
    /// How long to wait for an owner that wants something.
    fn max_wait(&self, now: Timestamp) -> Duration {
        let next = self.ask_again.iter().map(|(due_ns, _)| *due_ns).min();
        next.map_or(REFILL_INTERVAL, |due_ns| {
            let wait = Duration::from_nanos(due_ns.saturating_sub(now.monotonic_ns));
            wait.min(REFILL_INTERVAL)
        })
    }

    /// The owners whose time to ask again has come.
    fn take_ready(&mut self, shared: &LeaseShared, now: Timestamp, owners: &mut Vec<LeaseOwner>) {
        self.ask_again.retain(|(due_ns, owner)| {
            if *due_ns > now.monotonic_ns {
                return true;
            }
            if let Some(entry) = shared.leases.lock(owner.space, &owner.key).find() {
                entry.asks_again = false;
                if entry.has_waiters() {
                    owners.extend(entry.enqueue());
                } else if !entry.queued {
                    // All of them have left.
                    drop(entry.wake());
                }
            }
            false
        });
    }

    /// Whether others may want leases of this gateway back.
    fn has_recent_lease(&self, now: Timestamp) -> bool {
        self.leased_ns.is_some_and(|leased_ns| {
            now.monotonic_ns.saturating_sub(leased_ns) < LEASE_MS * 1_000_000
        })
    }

    /// Reports these entries, in batches, with at least one call.
    pub(super) fn refill(
        &mut self,
        shared: &LeaseShared,
        owners: Vec<LeaseOwner>,
        ending: bool,
    ) -> Result<(), StorageError> {
        if let Some(unconfirmed) = self.unconfirmed.take()
            && let Err(error) = self.report(shared, unconfirmed, ending)
        {
            shared.queue_all(owners);
            return Err(error);
        }
        self.report_all(shared, owners, ending)?;
        if self.acknowledged_memory != self.memory {
            if self.acknowledged_memory.is_some() && !ending {
                // Another memory may lack something: all entries report their state.
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
                let mut locked = shared.leases.lock(owner.space, &owner.key);
                let entry = locked.find()?;
                if !entry.queued {
                    // It was reported meanwhile.
                    return None;
                }
                Some(entry.request(Timestamp::now(), ending))
            });
            let orders = orders.collect();
            self.number += 1;
            if let Err(error) = self.report(shared, orders, ending) {
                shared.queue_all(rest);
                return Err(error);
            }
            if rest.is_empty() {
                return Ok(());
            }
            owners = rest;
        }
    }

    /// Makes the call with the last number, and applies its answers.
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
                // Waiting requests get the policy's decision. There are no new ones meanwhile.
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
        let acknowledged = self.acknowledged_memory.as_deref().unwrap_or_default();
        let ask = |connection: &mut Connection, process: &str| {
            let mut call = REFILL.call();
            call.key(&meta).arg(&shared.id).arg(self.number);
            call.arg(process).arg(acknowledged).arg(LEASE_MS);
            for orders in orders {
                add(&mut call, orders);
            }
            call.invoke::<(u64, Vec<GrantRow>, Vec<String>, String)>(connection)
        };
        let (gateways, rows, recalled, memory) = shared.server.repeat(ask)?.value;
        shared.stats.note_gateways(gateways);
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
        let mut locked = shared.leases.lock(orders.space, &orders.key);
        let Some(entry) = locked.find() else {
            return;
        };
        if let Some(usage) = entry.settle(orders, answer, now) {
            // The counters here must let an extension of another gateway through, from the first
            // request.
            shared.restore_extension(&orders.plan, &orders.key, usage);
        }
        let waiters = entry.wake_answered(now);
        if let Some(ask_ns) = entry.next_ask_ns(now)
            && !std::mem::replace(&mut entry.asks_again, true)
        {
            self.ask_again.push((ask_ns, entry.owner()));
        }
        // Woken requests take this lock first.
        drop(locked);
        let quota = answer.quota.map(|(grant, ..)| grant);
        let mut grants = quota.iter().chain(&answer.rates);
        if grants.any(|grant| grant.leased > 0 || grant.still_leased > 0) {
            self.leased_ns = Some(now.monotonic_ns);
        }
        for waiter in waiters {
            // A request that has left receives nothing.
            let _ = waiter.send(());
        }
    }
}

/// Recalls leases with these names, because others wait for them.
fn recall(shared: &LeaseShared, names: &[String]) {
    let owners = names.iter().filter_map(|name| {
        let (space, hash) = name.split_once('.')?;
        shared
            .leases
            .recall(space.parse().ok()?, hash.parse().ok()?)
    });
    let owners: Vec<_> = owners.collect();
    shared.queue_all(owners);
}

fn grant(row: GrantRow) -> Grant {
    let (paid, leased, still_leased, left, others, wait_ms, _, _, is_known) = row;
    Grant {
        paid,
        leased,
        still_leased,
        left,
        others,
        wait_ms,
        is_known: is_known != 0,
    }
}

/// The arguments of one entry.
fn add(call: &mut ::redis::ScriptInvocation<'_>, orders: &EntryRequest) {
    let EntryRequest { plan, key, .. } = orders;
    let owner = format!("{}.{}", orders.space, orders.hash);
    for (quota, order) in orders.retired.iter().chain(&orders.quota) {
        let name = quota_name(&quota.usage, plan, key);
        add_order(call, "Q", &name, &owner, *order);
        let memory = quota.server_memory.as_deref().unwrap_or_default();
        call.arg(quota.limit).arg(quota.usage.used).arg(memory);
        call.arg(expiry_ms(&quota.usage));
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

/// The state on the server of a key's quota: the reported usage of all gateways, and its
/// extension. With `remaining` the quota is extended first, so that this much remains.
pub(super) fn read_quota(
    shared: &LeaseShared,
    (plan, key): (&str, &str),
    quota: &QuotaLimit,
    now: Timestamp,
    remaining: Option<u64>,
) -> Result<QuotaUsage, StorageError> {
    static EXTEND: RedisScript = RedisScript::new(&[include_str!("extend.lua")]);
    let usage = QuotaUsage {
        number: quota.period.number(now.wall_ms),
        ..QuotaUsage::begin(quota.period)
    };
    let remaining = remaining.map_or_else(String::new, |remaining| remaining.to_string());
    let (used, extra) = shared.server.write(|connection| {
        EXTEND
            .call()
            .key(shared.server.key("meta"))
            .arg(quota_name(&usage, plan, key))
            .arg(quota.limit)
            .arg(&remaining)
            .arg(expiry_ms(&usage))
            .arg(&shared.id)
            .invoke(connection)
    })?;
    Ok(QuotaUsage {
        used,
        extra,
        ..usage
    })
}

/// Raises the budgets of these quotas: to at least this usage, or by this much more.
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
            call.arg(quota_name(&row.usage, &row.plan, &row.key))
                .arg(row.usage.used)
                .arg(expiry_ms(&row.usage));
        }
        let raise = |connection: &mut Connection| call.invoke::<()>(connection);
        shared.server.write(raise)?;
    }
    Ok(())
}
