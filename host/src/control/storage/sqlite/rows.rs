//! Rows of keys and plans.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Row, ToSql};
use serde::de::DeserializeOwned;

use super::statement::row;
use crate::control::storage::record::{KeyRecord, PlanRecord, SecretRecord};
use crate::control::storage::{Revision, StoredKey};
use crate::keys::KeyDigest;

/// The columns of a key, in the order of [`stored`].
pub(super) const KEY: &str = "id, name, consumer, plans, metadata, enabled, created_ms, updated_ms, \
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

pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
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

pub(super) fn plan_row(row: &Row<'_>) -> rusqlite::Result<PlanRecord> {
    let mut plan: PlanRecord = json(row, 0)?;
    plan.revision = row.get(1)?;
    Ok(plan)
}

pub(super) fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    connection.query_row("SELECT revision FROM commits", [], |row| row.get(0))
}

pub(super) fn key(connection: &Connection, id: &str) -> rusqlite::Result<Option<StoredKey>> {
    let text = format!("SELECT {KEY} FROM keys WHERE id = ?1");
    row(connection, &text, [id], stored)
}
