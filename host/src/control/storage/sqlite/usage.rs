//! Writes and reads usage.

use rusqlite::{Connection, Row, params};

use super::add_usage::{add, fit};
use super::statement::{execute, rows};
use super::{SqliteStorage, drain_usage};
use crate::control::storage::{LastUse, QuotaExtension, UsageQuery, UsageRow, UsageStorage};
use crate::limits::usage_rows::{DrainUsage, QuotaRow, QuotaUsage, UsageDelta};
use crate::model::period::Period;
use crate::shared_store::StorageError;

impl UsageStorage for SqliteStorage {
    fn quota_since(&self, plan: &str, period: Period, now_ms: u64) -> Result<u64, StorageError> {
        let text = "INSERT INTO quota_since (plan, period, since_ms) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET period = ?2, since_ms = ?3 WHERE period <> ?2";
        let since = "SELECT since_ms FROM quota_since WHERE plan = ?1";
        self.write(|connection| {
            execute(connection, text, params![plan, period, fit(now_ms)])?;
            let mut since = connection.prepare_cached(since)?;
            since.query_row([plan], |row| row.get(0))
        })
    }

    fn reset_quota_since(&self, plan: &str) -> Result<(), StorageError> {
        let text = "DELETE FROM quota_since WHERE plan = ?1";
        self.write(|connection| execute(connection, text, [plan]))?;
        Ok(())
    }

    fn usage_plans(&self) -> Result<Vec<String>, StorageError> {
        // Steps from one plan to the next by the index: a scan would read a row for each key and
        // day.
        let text = "WITH RECURSIVE each (plan) AS (SELECT min(plan) FROM usage UNION ALL \
             SELECT (SELECT min(plan) FROM usage WHERE plan > each.plan) FROM each WHERE plan IS NOT NULL) \
             SELECT plan FROM each WHERE plan IS NOT NULL";
        self.read(|connection| rows(connection, text, [], |row| row.get(0)))
    }

    fn add_usage(&self, used: &[UsageDelta], touched: &[LastUse]) -> Result<(), StorageError> {
        self.write(|connection| add(connection, used, touched))
    }

    fn release(&self) {
        *self.lock.lock() = None;
    }

    fn add_drain_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError> {
        self.write(|connection| drain_usage::add(connection, used))
    }

    fn take_drain_usage(&self) -> Result<Vec<DrainUsage>, StorageError> {
        // This runs four times a second and the table is nearly always empty, so the writer's lock
        // is not taken for it.
        if self.read(drain_usage::is_empty)? {
            return Ok(Vec::new());
        }
        self.write(drain_usage::take)
    }

    fn load_quotas(
        &self,
        now_ms: u64,
        visit: &mut dyn FnMut(QuotaRow),
    ) -> Result<(), StorageError> {
        let text = "SELECT plan, key, period, number, used, extra FROM quotas WHERE period = ?1 AND number >= ?2";
        let quota = |row: &Row<'_>| {
            Ok(QuotaRow {
                plan: row.get(0)?,
                key: row.get(1)?,
                usage: QuotaUsage {
                    period: row.get(2)?,
                    number: row.get(3)?,
                    used: row.get(4)?,
                    extra: row.get(5)?,
                },
            })
        };
        self.read(|connection| {
            let mut rows = connection.prepare_cached(text)?;
            for period in periods(connection)? {
                for row in rows.query_map(params![period, period.number(now_ms)], quota)? {
                    visit(row?);
                }
            }
            Ok(())
        })
    }

    fn extend(&self, extension: &QuotaExtension) -> Result<(), StorageError> {
        let text = "INSERT INTO quotas (plan, key, period, number, used, extra) VALUES (?1, ?2, ?3, ?4, 0, ?5) \
             ON CONFLICT DO UPDATE SET used = iif(number = ?4, used, 0), number = ?4, extra = ?5";
        let values = params![
            extension.plan,
            extension.key,
            extension.period,
            extension.number,
            extension.extra
        ];
        self.write(|connection| execute(connection, text, values))?;
        Ok(())
    }

    fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StorageError> {
        let usage = |row: &Row<'_>| {
            Ok(UsageRow {
                key: row.get(0)?,
                day: row.get(1)?,
                used: row.get(2)?,
            })
        };
        let (from, to) = (query.from_day, query.to_day);
        if let Some(key) = &query.key {
            let text = "SELECT key, day, used FROM usage WHERE plan = ?1 AND key = ?2 AND day BETWEEN ?3 AND ?4 ORDER BY day";
            let values = params![query.plan, key, from, to];
            return self.read(|connection| rows(connection, text, values, usage));
        }
        let text = "SELECT key, day, used FROM usage WHERE plan = ?1 AND day BETWEEN ?2 AND ?3 AND key IN \
             (SELECT DISTINCT key FROM usage WHERE plan = ?1 AND key > ?4 AND day BETWEEN ?2 AND ?3 ORDER BY key LIMIT ?5) \
             ORDER BY key, day";
        let after = query.after.as_deref().unwrap_or_default();
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let values = params![query.plan, from, to, after, limit];
        self.read(|connection| rows(connection, text, values, usage))
    }

    fn delete_expired(&self, before_day: u32, now_ms: u64) -> Result<(), StorageError> {
        self.write(|connection| {
            connection.execute("DELETE FROM usage WHERE day < ?1", [before_day])?;
            connection.execute("DELETE FROM tokens WHERE until_ms <= ?1", [fit(now_ms)])?;
            // The only gateway of this file has seen deletions this many commits ago.
            let seen =
                "DELETE FROM deleted WHERE revision < (SELECT revision FROM commits) - 10000";
            connection.execute(seen, [])?;
            for period in periods(connection)? {
                // The previous period is kept, for a clock that steps back.
                let number = period.number(now_ms).saturating_sub(1);
                let old = "DELETE FROM quotas WHERE period = ?1 AND number < ?2";
                connection.execute(old, params![period, number])?;
            }
            Ok(())
        })
    }
}

/// The kinds of periods that quotas have, or had.
fn periods(connection: &Connection) -> rusqlite::Result<Vec<Period>> {
    let text = "SELECT DISTINCT period FROM quotas";
    rows(connection, text, [], |row| row.get(0))
}
