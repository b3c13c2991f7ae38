//! The usage of a draining gateway, when a successor has the storage.
//!
//! The successor counts quotas in memory and writes their totals; anything written over these
//! would be lost. So the draining gateway leaves its usage in a table of its own, and the
//! successor takes it from there: one transaction adds it to the stored quotas and clears the
//! table, and the successor adds it to its counters. Usage by day is a sum, so both write it.

use rusqlite::{Connection, params};

use super::add_usage;
use super::statement::{execute, rows};
use crate::limits::usage_rows::{DrainUsage, QuotaRow, QuotaUsage, UsageDelta};
use crate::model::period::Period;

/// A row of the table.
struct DrainUsageRow {
    plan: String,
    key: String,
    day: u32,
    used: i64,
    period: Option<Period>,
    number: Option<u32>,
}

/// Adds usage to the table.
pub(super) fn add(connection: &Connection, used: &[UsageDelta]) -> rusqlite::Result<()> {
    let by_day = used.iter().map(|delta| UsageDelta {
        quota: None,
        ..delta.clone()
    });
    add_usage::add(connection, &by_day.collect::<Vec<_>>(), &[])?;
    let text = "INSERT INTO late_usage (plan, key, day, used, period, number) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    for delta in used.iter().filter(|delta| delta.used != 0) {
        let values = params![
            &*delta.plan,
            &*delta.key,
            delta.day,
            delta.used,
            delta.quota.map(|quota| quota.period),
            delta.quota.map(|quota| quota.number),
        ];
        execute(connection, text, values)?;
    }
    Ok(())
}

/// Whether the table is empty.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let text = "SELECT NOT EXISTS (SELECT 1 FROM late_usage)";
    connection
        .prepare_cached(text)?
        .query_row([], |row| row.get(0))
}

/// Moves the rows of the table to the stored quotas, and returns them.
pub(super) fn take(connection: &Connection) -> rusqlite::Result<Vec<DrainUsage>> {
    let text = "SELECT plan, key, day, used, period, number FROM late_usage ORDER BY rowid";
    let rows = rows(connection, text, [], |row| {
        Ok(DrainUsageRow {
            plan: row.get(0)?,
            key: row.get(1)?,
            day: row.get(2)?,
            used: row.get(3)?,
            period: row.get(4)?,
            number: row.get(5)?,
        })
    })?;
    let mut taken = Vec::new();
    for row in rows {
        taken.extend(add_to_quotas(connection, &row)?);
    }
    connection.execute("DELETE FROM late_usage", [])?;
    Ok(taken)
}

/// The quota after adding the row: of the period that the row names, or else of any period that
/// contains its day. None if the plan has no quota, or if that period has ended.
fn add_to_quotas(
    connection: &Connection,
    row: &DrainUsageRow,
) -> rusqlite::Result<Option<DrainUsage>> {
    if let (Some(period), Some(number)) = (row.period, row.number) {
        let first = "INSERT INTO quotas (plan, key, period, number, used, extra) VALUES (?1, ?2, ?3, ?4, 0, 0) \
             ON CONFLICT DO UPDATE SET number = ?4, used = 0, extra = 0 WHERE number < ?4";
        let values = params![row.plan, row.key, period, number];
        execute(connection, first, values)?;
    }
    let mut late = None;
    for usage in quotas(connection, row)? {
        let is_named = row.period == Some(usage.period);
        let holds_it = match row.number {
            Some(number) if is_named => number == usage.number,
            Some(_) | None => usage.period.number(Period::Day.start_ms(row.day)) == usage.number,
        };
        if !holds_it {
            continue;
        }
        let used = usage.used.saturating_add_signed(row.used);
        let text = "UPDATE quotas SET used = ?4 WHERE plan = ?1 AND key = ?2 AND period = ?3";
        let values = params![row.plan, row.key, usage.period, add_usage::fit(used)];
        execute(connection, text, values)?;
        if late.is_none() || is_named {
            late = Some(DrainUsage {
                day: row.day,
                used: row.used,
                quota: QuotaRow {
                    plan: row.plan.clone(),
                    key: row.key.clone(),
                    usage: QuotaUsage { used, ..usage },
                },
            });
        }
    }
    Ok(late)
}

/// The key's quotas with their extensions: one for each kind of period that the plan's quota has
/// or had.
fn quotas(connection: &Connection, row: &DrainUsageRow) -> rusqlite::Result<Vec<QuotaUsage>> {
    let text = "SELECT period, number, used, extra FROM quotas WHERE plan = ?1 AND key = ?2";
    rows(connection, text, params![row.plan, row.key], |found| {
        Ok(QuotaUsage {
            period: found.get(0)?,
            number: found.get(1)?,
            used: found.get(2)?,
            extra: found.get(3)?,
        })
    })
}
