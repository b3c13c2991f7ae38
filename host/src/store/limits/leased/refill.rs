//! The thread that speaks with the store: tells what was used, and fetches what is needed.

use std::sync::Arc;
use std::time::Duration;

use ::redis::Connection;

use super::super::LimitStore;
use super::super::time::Timestamp;
use super::Shared;
use super::entry::{Answer, Entry, Orders, quota_name, rate_name};
use super::lease::{Grant, Order};
use super::table::Owner;
use crate::store::ledger::redis::Script;
use crate::store::ledger::{LedgerError, QuotaRow, QuotaUse};

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
type Row = (u64, u64, u64, u64, i64);

/// What the thread knows of its calls.
#[derive(Debug, Default)]
pub(super) struct Speaker {
    /// The server's process that answered last.
    process: Option<Arc<str>>,
    /// Counts calls, so that the store knows one that comes again.
    number: u64,
    /// What was told in a call that was not answered: it may have been carried out, and comes again
    /// before anything else.
    doubtful: Vec<Orders>,
}

/// Work until told to stop; then give back what is held.
pub(super) fn run(shared: &Shared, mut speaker: Speaker) {
    let mut next_shard = 0;
    let mut silent = 0;
    while let Some(mut owners) = shared.wait(ROUND) {
        let now = shared.clock.now();
        for _ in 0..shared.leases.shards().div_ceil(SWEEPS) {
            let choose = |entry: &Entry| entry.is_unsettled(now);
            shared.leases.sweep(next_shard, now, choose, &mut owners);
            next_shard = (next_shard + 1) % shared.leases.shards();
        }
        silent += 1;
        if owners.is_empty() && silent < SILENT_ROUNDS && shared.is_reachable() {
            continue;
        }
        silent = 0;
        if speaker.round(shared, owners, false).is_err() {
            shared.pause(PAUSE);
        }
    }
    let owners = choose_all(shared, |_| true);
    // What is not given back is lost to the others until the period ends: nothing waits for that.
    let _ = speaker.round(shared, owners, true);
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
    /// Tell of these, in pieces, and one call at the least.
    pub(super) fn round(
        &mut self,
        shared: &Shared,
        mut owners: Vec<Owner>,
        ending: bool,
    ) -> Result<(), LedgerError> {
        let doubtful = std::mem::take(&mut self.doubtful);
        if !doubtful.is_empty()
            && let Err(error) = self.tell(shared, doubtful, ending)
        {
            shared.queue_all(owners.into_iter());
            return Err(error);
        }
        loop {
            let rest = owners.split_off(owners.len().min(BATCH));
            let orders = owners.iter().filter_map(|owner| {
                let mut held = shared.leases.hold(owner.hash)?;
                let entry = held.find(owner.space, owner.hash, &owner.key)?;
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
        let before = self.process.clone();
        let answers = match self.call(shared, &orders) {
            Ok(answers) => answers,
            Err(error) => {
                shared.note_failure(&error);
                self.doubtful = orders;
                return Err(error);
            }
        };
        shared.note_contact();
        let now = shared.clock.now();
        for (orders, answer) in orders.iter().zip(&answers) {
            settle(shared, orders, answer, now);
        }
        if before.is_some() && before != self.process && !ending {
            // Another process may have forgotten: all say what they know.
            let all = choose_all(shared, |entry| entry.quota.is_some());
            shared.queue_all(all.into_iter());
        }
        Ok(())
    }

    fn call(&mut self, shared: &Shared, orders: &[Orders]) -> Result<Vec<Answer>, LedgerError> {
        let meta = shared.server.key("meta");
        let before = self.process.as_deref().unwrap_or_default();
        let ask = |connection: &mut Connection, process: &str| {
            let mut call = REFILL.call();
            call.key(&meta).arg(&shared.id).arg(self.number);
            call.arg(process).arg(before);
            for orders in orders {
                add(&mut call, orders, process);
            }
            let answer = call.invoke::<(u64, Vec<Row>)>(connection)?;
            Ok((answer, Arc::<str>::from(process)))
        };
        let ((gateways, rows), process) = shared.server.repeat(ask)?.value;
        shared.note_gateways(gateways);
        self.process = Some(Arc::clone(&process));
        let mut rows = rows.into_iter();
        let answers = orders.iter().map(|orders| {
            let mut next = || rows.next().unwrap_or_default();
            Answer {
                gateways,
                process: Arc::clone(&process),
                quota: orders.quota.as_ref().map(|_| {
                    let row = next();
                    (grant(row), row.3, row.4)
                }),
                rates: orders.rates.iter().map(|_| grant(next())).collect(),
            }
        });
        Ok(answers.collect())
    }
}

fn grant((granted, left, wait_ms, ..): Row) -> Grant {
    Grant {
        granted,
        left,
        wait_ms,
    }
}

fn settle(shared: &Shared, orders: &Orders, answer: &Answer, now: Timestamp) {
    let Some(mut held) = shared.leases.hold(orders.hash) else {
        return;
    };
    let Some(entry) = held.find(orders.space, orders.hash, &orders.key) else {
        return;
    };
    let extended = entry.settle(orders, answer, now);
    let quota = orders.quota.as_ref();
    if let (Some(extra), Some((quota, _))) = (extended, quota) {
        // The counters here are to let through what was extended elsewhere.
        shared.local.restore(&QuotaRow {
            plan: orders.plan.as_ref().to_owned(),
            key: orders.key.as_ref().to_owned(),
            usage: QuotaUse {
                period: quota.period,
                number: quota.number,
                used: 0,
            },
            extra,
        });
    }
}

/// The arguments of one entry.
fn add(call: &mut ::redis::ScriptInvocation<'_>, orders: &Orders, process: &str) {
    let Orders { plan, key, .. } = orders;
    if let Some((quota, order)) = &orders.quota {
        // What an earlier process said may be more than this one knows.
        let floor = match &quota.process {
            Some(known) if **known != *process => quota.total.to_string(),
            Some(_) | None => String::new(),
        };
        add_order(call, "Q", &quota.name(plan, key), *order);
        call.arg(quota.limit).arg(floor).arg(quota.ends_ms());
    }
    for (method, rate, order) in &orders.rates {
        let name = rate_name(plan, key, method.as_ref());
        add_order(call, "R", &name, *order);
        call.arg(rate.burst).arg(rate.per_second);
    }
}

fn add_order(call: &mut ::redis::ScriptInvocation<'_>, kind: &str, name: &str, order: Order) {
    call.arg(kind)
        .arg(name)
        .arg(order.spent)
        .arg(order.back)
        .arg(order.want);
}

/// Where a quota stands by the store: what all gateways took, and its extension. With `remaining`
/// it is extended before, so that so much remains.
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
            .arg(super::entry::ends_ms(place.0, place.1))
            .invoke(connection)
    })
}
