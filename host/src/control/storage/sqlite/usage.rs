//! Writes and reads usage.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};

use super::{LastUse, QuotaExtension, UsageQuery, UsageRow};
use crate::limits::usage_rows::{QuotaRow, QuotaUsage, UsageDelta};
use crate::model::period::Period;

impl ToSql for Period {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Period {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        name.parse()
            .map_err(|_| FromSqlError::Other(format!("`{name}` is not a period").into()))
    }
}

/// SQLite's integers end at 2^63.
fn fit(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn quota_since(
    connection: &Connection,
    plan: &str,
    period: Period,
    now_ms: u64,
) -> rusqlite::Result<u64> {
    let text = "INSERT INTO quota_since (plan, period, since_ms) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET period = ?2, since_ms = ?3 WHERE period <> ?2";
    connection
        .prepare_cached(text)?
        .execute(params![plan, period, fit(now_ms)])?;
    let since = "SELECT since_ms FROM quota_since WHERE plan = ?1";
    connection
        .prepare_cached(since)?
        .query_row([plan], |row| row.get(0))
}

pub(super) fn recount(connection: &Connection, plan: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM quota_since WHERE plan = ?1")?
        .execute([plan])?;
    Ok(())
}

pub(super) fn plans(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    // Steps from one plan to the next by the index: a scan would read a row for each key and day.
    let text = "WITH RECURSIVE each (plan) AS (SELECT min(plan) FROM usage UNION ALL \
         SELECT (SELECT min(plan) FROM usage WHERE plan > each.plan) FROM each WHERE plan IS NOT NULL) \
         SELECT plan FROM each WHERE plan IS NOT NULL";
    let mut plans = connection.prepare_cached(text)?;
    let rows = plans.query_map([], |row| row.get(0))?;
    rows.collect()
}

pub(super) fn add(
    connection: &Connection,
    used: &[UsageDelta],
    touched: &[LastUse],
) -> rusqlite::Result<()> {
    let by_day = "INSERT INTO usage (plan, key, day, used) VALUES (?1, ?2, ?3, max(?4, 0)) \
         ON CONFLICT DO UPDATE SET used = \
         iif(?4 > 0 AND used > 9223372036854775807 - ?4, 9223372036854775807, max(used + ?4, 0))";
    let mut by_day = connection.prepare_cached(by_day)?;
    // An extension belongs to its period.
    let quota = "INSERT INTO quotas (plan, key, period, number, used, extra) VALUES (?1, ?2, ?3, ?4, ?5, 0) \
         ON CONFLICT DO UPDATE SET number = ?4, used = ?5, extra = iif(number = ?4, extra, 0)";
    let mut quota = connection.prepare_cached(quota)?;
    for delta in used {
        if delta.used != 0 {
            by_day.execute(params![&*delta.plan, &*delta.key, delta.day, delta.used])?;
        }
        if let Some(at) = delta.quota {
            quota.execute(params![
                &*delta.plan,
                &*delta.key,
                at.period,
                at.number,
                fit(at.used)
            ])?;
        }
    }
    let last = "UPDATE keys SET last_used_ms = ?2 WHERE id = ?1 AND coalesce(last_used_ms, 0) < ?2";
    let mut last = connection.prepare_cached(last)?;
    for touched in touched {
        last.execute(params![&*touched.key, fit(touched.at_ms)])?;
    }
    Ok(())
}

/// The kinds of periods that quotas have, or had.
fn periods(connection: &Connection) -> rusqlite::Result<Vec<Period>> {
    let mut kinds = connection.prepare_cached("SELECT DISTINCT period FROM quotas")?;
    let rows = kinds.query_map([], |row| row.get(0))?;
    rows.collect()
}

pub(super) fn load_quotas(
    connection: &Connection,
    now_ms: u64,
    visit: &mut dyn FnMut(QuotaRow),
) -> rusqlite::Result<()> {
    let text = "SELECT plan, key, period, number, used, extra FROM quotas WHERE period = ?1 AND number >= ?2";
    let mut rows = connection.prepare_cached(text)?;
    for period in periods(connection)? {
        let found = rows.query_map(params![period, period.number(now_ms)], |row| {
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
        })?;
        for row in found {
            visit(row?);
        }
    }
    Ok(())
}

pub(super) fn extend(connection: &Connection, extension: &QuotaExtension) -> rusqlite::Result<()> {
    let text = "INSERT INTO quotas (plan, key, period, number, used, extra) VALUES (?1, ?2, ?3, ?4, 0, ?5) \
         ON CONFLICT DO UPDATE SET used = iif(number = ?4, used, 0), number = ?4, extra = ?5";
    connection.prepare_cached(text)?.execute(params![
        extension.plan,
        extension.key,
        extension.period,
        extension.number,
        extension.extra
    ])?;
    Ok(())
}

pub(super) fn usage(
    connection: &Connection,
    query: &UsageQuery,
) -> rusqlite::Result<Vec<UsageRow>> {
    let row = |row: &rusqlite::Row<'_>| {
        Ok(UsageRow {
            key: row.get(0)?,
            day: row.get(1)?,
            used: row.get(2)?,
        })
    };
    let (from, to) = (query.from_day, query.to_day);
    if let Some(key) = &query.key {
        let text = "SELECT key, day, used FROM usage WHERE plan = ?1 AND key = ?2 AND day BETWEEN ?3 AND ?4 ORDER BY day";
        let mut statement = connection.prepare_cached(text)?;
        let rows = statement.query_map(params![query.plan, key, from, to], row)?;
        return rows.collect();
    }
    let text = "SELECT key, day, used FROM usage WHERE plan = ?1 AND day BETWEEN ?2 AND ?3 AND key IN \
         (SELECT DISTINCT key FROM usage WHERE plan = ?1 AND key > ?4 AND day BETWEEN ?2 AND ?3 ORDER BY key LIMIT ?5) \
         ORDER BY key, day";
    let after = query.after.as_deref().unwrap_or_default();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map(params![query.plan, from, to, after, limit], row)?;
    rows.collect()
}

pub(super) fn delete_expired(
    connection: &Connection,
    before_day: u32,
    now_ms: u64,
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM usage WHERE day < ?1", [before_day])?;
    connection.execute("DELETE FROM tokens WHERE until_ms <= ?1", [fit(now_ms)])?;
    // The only gateway of this file has seen deletions this many commits ago.
    let seen = "DELETE FROM deleted WHERE revision < (SELECT revision FROM commits) - 10000";
    connection.execute(seen, [])?;
    for period in periods(connection)? {
        // The previous period is kept, for a clock that steps back.
        let number = period.number(now_ms).saturating_sub(1);
        let old = "DELETE FROM quotas WHERE period = ?1 AND number < ?2";
        connection.execute(old, params![period, number])?;
    }
    Ok(())
}
