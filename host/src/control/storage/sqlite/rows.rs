//! Reads keys and plans.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use serde::de::DeserializeOwned;

use super::{Changes, IdempotencyRecord, KeyQuery, LoadedRecord, Revision, StoredKey};
use crate::control::storage::record::{KeyRecord, PlanRecord, SecretRecord};
use crate::keys::KeyDigest;

/// The columns of a key, in the order of [`stored`].
const KEY: &str = "id, name, consumer, plans, metadata, enabled, created_ms, updated_ms, \
     expires_ms, digest, prefix, secret_ms, secret_ends_ms, older, last_used_ms, revision";

impl ToSql for KeyDigest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
    }
}

impl FromSql for KeyDigest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        let bytes = bytes.try_into().map_err(|_| FromSqlError::InvalidType)?;
        Ok(Self::from_bytes(bytes))
    }
}

/// A column of JSON.
fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// A column of JSON that is mostly empty: then nothing is parsed.
fn json_or_empty<T: DeserializeOwned + Default>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    match row.get_ref(column)? {
        ValueRef::Null | ValueRef::Text(b"[]" | b"{}") => Ok(T::default()),
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
            json(row, column)
        }
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    let newest = SecretRecord {
        digest: row.get(9)?,
        prefix: row.get(10)?,
        created_ms: row.get(11)?,
        expires_ms: row.get(12)?,
    };
    let older: Vec<SecretRecord> = json_or_empty(row, 13)?;
    let mut secrets = Vec::with_capacity(1 + older.len());
    secrets.push(newest);
    secrets.extend(older);
    Ok(StoredKey {
        record: KeyRecord {
            id: row.get(0)?,
            name: row.get(1)?,
            consumer: row.get(2)?,
            plans: json_or_empty(row, 3)?,
            metadata: json_or_empty(row, 4)?,
            enabled: row.get(5)?,
            created_ms: row.get(6)?,
            updated_ms: row.get(7)?,
            expires_ms: row.get(8)?,
            secrets,
            revision: row.get(15)?,
        },
        last_used_ms: row.get(14)?,
    })
}

fn plan_row(row: &Row<'_>) -> rusqlite::Result<PlanRecord> {
    let mut plan: PlanRecord = json(row, 0)?;
    plan.revision = row.get(1)?;
    Ok(plan)
}

pub(super) fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    connection.query_row("SELECT revision FROM commits", [], |row| row.get(0))
}

/// Runs several statements that see the same state, by a read transaction.
fn in_read_transaction<T>(
    connection: &Connection,
    run: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    let value = run()?;
    transaction.finish()?;
    Ok(value)
}

pub(super) fn load(
    connection: &Connection,
    visit: &mut dyn FnMut(LoadedRecord),
) -> rusqlite::Result<Revision> {
    in_read_transaction(connection, || {
        for plan in plans(connection)? {
            visit(LoadedRecord::Plan(plan));
        }
        let count = |row: &Row<'_>| row.get::<_, usize>(0);
        visit(LoadedRecord::KeyCount(connection.query_row(
            "SELECT count(*) FROM keys",
            [],
            count,
        )?));
        let mut keys = connection.prepare(&format!("SELECT {KEY} FROM keys ORDER BY id"))?;
        let mut rows = keys.query([])?;
        while let Some(row) = rows.next()? {
            visit(LoadedRecord::Key(stored(row)?));
        }
        revision(connection)
    })
}

pub(super) fn changes(connection: &Connection, since: Revision) -> rusqlite::Result<Changes> {
    in_read_transaction(connection, || {
        let mut changes = Changes {
            revision: revision(connection)?,
            ..Changes::default()
        };
        if changes.revision <= since {
            changes.reload_required = changes.revision < since;
            return Ok(changes);
        }
        let keys = format!("SELECT {KEY} FROM keys WHERE revision > ?1");
        let mut keys = connection.prepare_cached(&keys)?;
        for key in keys.query_map([since], stored)? {
            let record = key?.record;
            changes.keys.push((record.id.clone(), Some(record)));
        }
        let plans = "SELECT record, revision FROM plans WHERE revision > ?1";
        let mut plans = connection.prepare_cached(plans)?;
        for plan in plans.query_map([since], plan_row)? {
            let record = plan?;
            changes.plans.push((record.name.clone(), Some(record)));
        }
        let deleted = "SELECT kind, name FROM deleted WHERE revision > ?1";
        let mut deleted = connection.prepare_cached(deleted)?;
        let mut rows = deleted.query([since])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            if row.get_ref(0)?.as_str()? == "plan" {
                changes.plans.push((name, None));
            } else {
                changes.keys.push((name, None));
            }
        }
        Ok(changes)
    })
}

pub(super) fn key(connection: &Connection, id: &str) -> rusqlite::Result<Option<StoredKey>> {
    let text = format!("SELECT {KEY} FROM keys WHERE id = ?1");
    connection
        .prepare_cached(&text)?
        .query_row([id], stored)
        .optional()
}

pub(super) fn key_of(
    connection: &Connection,
    digest: &KeyDigest,
) -> rusqlite::Result<Option<StoredKey>> {
    let text =
        format!("SELECT {KEY} FROM keys WHERE id = (SELECT key FROM digests WHERE digest = ?1)");
    connection
        .prepare_cached(&text)?
        .query_row([digest], stored)
        .optional()
}

pub(super) fn keys(connection: &Connection, query: &KeyQuery) -> rusqlite::Result<Vec<StoredKey>> {
    // The statement only has the conditions of the query, so that each form can use its index.
    let mut text = format!("SELECT {KEY} FROM keys WHERE id > :after");
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let after = query.after.as_deref().unwrap_or_default();
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":after", &after), (":limit", &limit)];
    if let Some(consumer) = &query.consumer {
        text.push_str(" AND consumer = :consumer");
        values.push((":consumer", consumer));
    }
    if let Some(plan) = &query.plan {
        text.push_str(" AND id IN (SELECT key FROM key_plans WHERE plan = :plan AND key > :after)");
        values.push((":plan", plan));
    }
    if let Some(prefix) = &query.prefix {
        text.push_str(
            " AND (substr(id, 1, length(:prefix)) = :prefix OR substr(name, 1, length(:prefix)) = :prefix)",
        );
        values.push((":prefix", prefix));
    }
    if let Some(begins_with) = &query.begins_with {
        text.push_str(
            " AND (substr(prefix, 1, length(:begins)) = :begins \
             OR prefix <> '' AND substr(:begins, 1, length(prefix)) = prefix \
             OR older IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(older), \
             (SELECT :begins AS wanted) \
             WHERE substr(value ->> 'prefix', 1, length(wanted)) = wanted \
             OR value ->> 'prefix' <> '' AND substr(wanted, 1, length(value ->> 'prefix')) = value ->> 'prefix'))",
        );
        values.push((":begins", begins_with));
    }
    text.push_str(" ORDER BY id LIMIT :limit");
    let mut statement = connection.prepare_cached(&text)?;
    let rows = statement.query_map(values.as_slice(), stored)?;
    rows.collect()
}

pub(super) fn plan(connection: &Connection, name: &str) -> rusqlite::Result<Option<PlanRecord>> {
    let text = "SELECT record, revision FROM plans WHERE name = ?1";
    connection
        .prepare_cached(text)?
        .query_row([name], plan_row)
        .optional()
}

pub(super) fn plans(connection: &Connection) -> rusqlite::Result<Vec<PlanRecord>> {
    let mut plans =
        connection.prepare_cached("SELECT record, revision FROM plans ORDER BY name")?;
    let rows = plans.query_map([], plan_row)?;
    rows.collect()
}

pub(super) fn remembered(
    connection: &Connection,
    token: &str,
    now_ms: u64,
) -> rusqlite::Result<Option<IdempotencyRecord>> {
    let text = "SELECT request, key FROM tokens WHERE token = ?1 AND until_ms > ?2";
    let found = connection
        .prepare_cached(text)?
        .query_row(params![token, now_ms], |row| {
            Ok(IdempotencyRecord {
                request: row.get(0)?,
                key: row.get(1)?,
            })
        });
    found.optional()
}
