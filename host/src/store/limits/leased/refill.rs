//! The thread that speaks with the store: tells what was used, and fetches what is needed.

use std::sync::Arc;
use std::time::Duration;

use ::redis::Connection;

use super::super::LimitStore;
use super::super::time::Timestamp;
use super::Shared;
use super::entry::Entry;
use super::lease::{Grant, LEASE_MS, Order};
use super::orders::{Answer, Orders, ends_ms, quota_name, rate_name};
use super::table::Owner;
use crate::store::ledger::redis::Script;
use crate::store::ledger::{LedgerError, QuotaRow, QuotaUse};
use crate::store::limits::Earlier;

static REFILL: Script = Script::new(&[include_str!("refill.lua")]);

/// Entries of one call.
const BATCH: usize = 200;
/// Between two rounds while nobody asks for anything.
const ROUND: Duration = Duration::from_millis(100);
/// Before the next try after a failure.
const PAUSE: Duration = Duration::from_millis(200);
/// Rounds between two calls while there is nothing to say: others count who speaks.
const SILENT_ROUNDS: u32 = 8;
/// One in so many shards is looked through each round.
const SWEEPS: usize = 8;

/// What the script answers for one bound.
type Row = (u64, u64, u64, u64, u64, u64, u64, i64, u64);

/// What the thread knows of its calls.
#[derive(Debug, Default)]
pub(super) struct Speaker {
    /// The server's memory that answered last: one of its processes, since it was last emptied.
    memory: Option<Arc<str>>,
    /// The one that was told all that this gateway knows.
    told: Option<Arc<str>>,
    /// Counts calls, so that the store knows one that comes again.
    number: u64,
    /// What was told in a call that was not answered: it may have been carried out, and comes again
    /// before anything else.
    doubtful: Option<Vec<Orders>>,
    /// How many waited when all were woken last.
    waited: u64,
    /// Those who wait for what others give back, and when to ask again. Nanoseconds.
    later: Vec<(u64, Owner)>,
    /// When something was leased last: while it may be asked back, each round asks whether it is.
    /// Nanoseconds.
    leased_ns: Option<u64>,
}

/// Work until told to stop; then give back what is held.
pub(super) fn run(shared: &Shared, mut speaker: Speaker) {
    let mut next_shard = 0;
    let mut silent = 0;
    let mut swept = shared.clock.now();
    while let Some(mut owners) = shared.wait(speaker.patience(shared.clock.now())) {
        let now = shared.clock.now();
        speaker.take_due(shared, now, &mut owners);
        let round_ns = u64::try_from(ROUND.as_nanos()).unwrap_or(u64::MAX);
        let is_round = now.monotonic_ns.saturating_sub(swept.monotonic_ns) >= round_ns;
        if is_round {
            swept = now;
            silent += 1;
            for _ in 0..shared.leases.shards().div_ceil(SWEEPS) {
                let choose = |entry: &Entry| entry.is_unsettled(now);
                shared.leases.sweep(next_shard, now, choose, &mut owners);
                next_shard = (next_shard + 1) % shared.leases.shards();
            }
        }
        let asks = is_round && (silent >= SILENT_ROUNDS || speaker.may_be_recalled(now));
        if owners.is_empty() && !asks && shared.is_reachable() {
            continue;
        }
        silent = 0;
        if speaker.round(shared, owners, false).is_err() {
            shared.pause(PAUSE);
        }
    }
    let mut owners = choose_all(shared, |_| true);
    owners.extend(shared.take_queue());
    // What is not given back is lost to the others until its lease ends: nothing waits for that.
    let _ = speaker.round(shared, owners, true);
    shared.wake_all();
}

/// The owners of all entries that `choose` says yes to.
fn choose_all(shared: &Shared, choose: impl Fn(&Entry) -> bool) -> Vec<Owner> {
    let mut owners = Vec::new();
    for shard in 0..shared.leases.shards() {
        let now = shared.clock.now();
        shared.leases.sweep(shard, now, &choose, &mut owners);
    }
    owners
}

impl Speaker {
    /// How long to wait for somebody who wants something.
    fn patience(&self, now: Timestamp) -> Duration {
        let next = self.later.iter().map(|(due_ns, _)| *due_ns).min();
        next.map_or(ROUND, |due_ns| {
            let wait = Duration::from_nanos(due_ns.saturating_sub(now.monotonic_ns));
            wait.min(ROUND)
        })
    }

    /// Those whose time to ask again has come.
    fn take_due(&mut self, shared: &Shared, now: Timestamp, owners: &mut Vec<Owner>) {
        self.later.retain(|(due_ns, owner)| {
            if *due_ns > now.monotonic_ns {
                return true;
            }
            if let Some(mut held) = shared.leases.hold(owner.hash)
                && let Some(entry) = held.find(owner.space, owner.hash, &owner.key)
            {
                entry.asks_later = false;
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
    fn may_be_recalled(&self, now: Timestamp) -> bool {
        self.leased_ns.is_some_and(|leased_ns| {
            now.monotonic_ns.saturating_sub(leased_ns) < LEASE_MS * 1_000_000
        })
    }

    /// Tell of these, in pieces, and one call at the least.
    pub(super) fn round(
        &mut self,
        shared: &Shared,
        owners: Vec<Owner>,
        ending: bool,
    ) -> Result<(), LedgerError> {
        if let Some(doubtful) = self.doubtful.take()
            && let Err(error) = self.tell(shared, doubtful, ending)
        {
            shared.queue_all(owners.into_iter());
            return Err(error);
        }
        self.tell_all(shared, owners, ending)?;
        if self.told != self.memory {
            if self.told.is_some() && !ending {
                // Another memory may lack something: all say what they know.
                let all = choose_all(shared, |entry| entry.quota.is_some());
                self.tell_all(shared, all, ending)?;
            }
            self.told.clone_from(&self.memory);
            self.tell_all(shared, Vec::new(), ending)?;
        }
        Ok(())
    }

    fn tell_all(
        &mut self,
        shared: &Shared,
        mut owners: Vec<Owner>,
        ending: bool,
    ) -> Result<(), LedgerError> {
        loop {
            let rest = owners.split_off(owners.len().min(BATCH));
            let orders = owners.iter().filter_map(|owner| {
                let mut held = shared.leases.hold(owner.hash)?;
                let entry = held.find(owner.space, owner.hash, &owner.key)?;
                if !entry.queued {
                    // It was told of meanwhile.
                    return None;
                }
                Some(entry.orders(shared.clock.now(), ending))
            });
            let orders = orders.collect();
            self.number += 1;
            if let Err(error) = self.tell(shared, orders, ending) {
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
    fn tell(
        &mut self,
        shared: &Shared,
        orders: Vec<Orders>,
        ending: bool,
    ) -> Result<(), LedgerError> {
        let (answers, recalled) = match self.call(shared, &orders) {
            Ok(answers) => answers,
            Err(error) => {
                shared.note_failure(&error);
                // Those who wait are told what the policy says. There are no new ones meanwhile.
                let waited = shared.stats.waited();
                if std::mem::replace(&mut self.waited, waited) != waited {
                    shared.wake_all();
                }
                self.doubtful = Some(orders);
                return Err(error);
            }
        };
        shared.note_contact();
        let now = shared.clock.now();
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
        shared: &Shared,
        orders: &[Orders],
    ) -> Result<(Vec<Answer>, Vec<String>), LedgerError> {
        let meta = shared.server.key("meta");
        let told = self.told.as_deref().unwrap_or_default();
        let ask = |connection: &mut Connection, process: &str| {
            let mut call = REFILL.call();
            call.key(&meta).arg(&shared.id).arg(self.number);
            call.arg(process).arg(told).arg(LEASE_MS);
            for orders in orders {
                add(&mut call, orders);
            }
            call.invoke::<(u64, Vec<Row>, Vec<String>, String)>(connection)
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
            Answer {
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

    fn settle(&mut self, shared: &Shared, orders: &Orders, answer: &Answer, now: Timestamp) {
        let Some(mut held) = shared.leases.hold(orders.hash) else {
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
                usage: QuotaUse {
                    period,
                    number,
                    used: 0,
                },
                extra,
            });
        }
        let waiters = entry.wake_answered(now);
        if let Some(ask_ns) = entry.ask_ns(now)
            && !std::mem::replace(&mut entry.asks_later, true)
        {
            self.later.push((ask_ns, Owner::of(entry)));
        }
        // Those who are woken take this lock first of all.
        drop(held);
        let quota = answer.quota.map(|(grant, ..)| grant);
        let mut grants = quota.iter().chain(&answer.rates);
        if grants.any(|grant| grant.leased > 0 || grant.held > 0) {
            self.leased_ns = Some(now.monotonic_ns);
        }
        for waiter in waiters {
            // One that left does not hear it.
            let _ = waiter.send(());
        }
    }
}

/// Others wait for what is leased under these names: it goes back with the next orders.
fn recall(shared: &Shared, names: &[String]) {
    let owners = names.iter().filter_map(|name| {
        let (space, hash) = name.split_once('.')?;
        let (space, hash) = (space.parse().ok()?, hash.parse().ok()?);
        let mut held = shared.leases.hold(hash)?;
        let entry = held.find_by_hash(space, hash)?;
        entry.recall();
        let owner = (!entry.queued).then(|| Owner::of(entry));
        entry.queued = true;
        owner
    });
    let owners: Vec<_> = owners.collect();
    shared.queue_all(owners.into_iter());
}

fn grant(row: Row) -> Grant {
    let (paid, leased, held, left, others, wait_ms, _, _, known) = row;
    Grant {
        paid,
        leased,
        held,
        left,
        others,
        wait_ms,
        known: known != 0,
    }
}

/// The arguments of one entry.
fn add(call: &mut ::redis::ScriptInvocation<'_>, orders: &Orders) {
    let Orders { plan, key, .. } = orders;
    let owner = format!("{}.{}", orders.space, orders.hash);
    for (quota, order) in orders.retired.iter().chain(&orders.quota) {
        add_order(call, "Q", &quota.name(plan, key), &owner, *order);
        let memory = quota.memory.as_deref().unwrap_or_default();
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
    order: Order,
) {
    call.arg(kind)
        .arg(name)
        .arg(owner)
        .arg(order.spent)
        .arg(order.back)
        .arg(order.held)
        .arg(order.need)
        .arg(order.least)
        .arg(order.want);
}

/// Where a quota stands by the store: what all gateways used and told, and its extension. With
/// `remaining` it is extended before, so that so much remains.
pub(super) fn quota(
    shared: &Shared,
    owner: (&str, &str),
    place: (super::super::Period, u32),
    limit: u64,
    remaining: Option<u64>,
) -> Result<(u64, i64), LedgerError> {
    static EXTEND: Script = Script::new(&[include_str!("extend.lua")]);
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
pub(super) fn raise(shared: &Shared, rows: &[QuotaRow], what: Earlier) -> Result<(), LedgerError> {
    static RAISE: Script = Script::new(&[include_str!("raise.lua")]);
    for rows in rows.chunks(BATCH) {
        let mut call = RAISE.call();
        call.key(shared.server.key("meta")).arg(match what {
            Earlier::Whole => "whole",
            Earlier::More => "more",
        });
        for row in rows {
            let QuotaUse {
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
