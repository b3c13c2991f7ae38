//! Adds usage of keys, by day and of their quotas.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};

use crate::control::storage::LastUse;
use crate::limits::usage_rows::UsageDelta;
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
pub(super) fn fit(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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
        let (plan, key) = (&*delta.plan, &*delta.key);
        if delta.used != 0 {
            by_day.execute(params![plan, key, delta.day, delta.used])?;
        }
        if let Some(at) = delta.quota {
            quota.execute(params![plan, key, at.period, at.number, fit(at.used)])?;
        }
    }
    let last = "UPDATE keys SET last_used_ms = ?2 WHERE id = ?1 AND coalesce(last_used_ms, 0) < ?2";
    let mut last = connection.prepare_cached(last)?;
    for touched in touched {
        last.execute(params![&*touched.key, fit(touched.at_ms)])?;
    }
    Ok(())
}
