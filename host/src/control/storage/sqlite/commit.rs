//! Writes keys and plans, all of them or none.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::rows;
use super::statement::{execute, row};
use crate::control::storage::record::{KeyRecord, PlanRecord};
use crate::control::storage::{Conflict, Revision, Write};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqliteCommitError {
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error(transparent)]
    Store(#[from] rusqlite::Error),
}

pub(super) fn commit(
    connection: &mut Connection,
    writes: &[Write],
) -> Result<Revision, SqliteCommitError> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let revision = rows::revision(&transaction)? + 1;
    for write in writes {
        match write {
            Write::PutKey { record, expect } => put_key(&transaction, record, *expect, revision)?,
            Write::DeleteKey { id, expect } => delete_key(&transaction, id, *expect, revision)?,
            Write::PutPlan { record, expect } => put_plan(&transaction, record, *expect, revision)?,
            Write::DeletePlan { name, expect } => {
                delete_plan(&transaction, name, *expect, revision)?;
            }
            Write::PutToken {
                token,
                what,
                until_ms,
            } => {
                let text = "INSERT INTO tokens (token, request, key, until_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
                let values = params![token, what.request, what.key, until_ms];
                if execute(&transaction, text, values)? == 0 {
                    return Err(Conflict::Token.into());
                }
            }
        }
    }
    execute(&transaction, "UPDATE commits SET revision = ?1", [revision])?;
    transaction.commit()?;
    Ok(revision)
}

/// The revision of the stored record; 0 if there is none.
fn stored_revision(
    connection: &Connection,
    table: &'static str,
    id: &str,
) -> rusqlite::Result<Revision> {
    let found = row(connection, table, [id], |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

const KEY_REVISION: &str = "SELECT revision FROM keys WHERE id = ?1";
const PLAN_REVISION: &str = "SELECT revision FROM plans WHERE name = ?1";

fn put_key(
    connection: &Connection,
    key: &KeyRecord,
    expect: Revision,
    revision: Revision,
) -> Result<(), SqliteCommitError> {
    if stored_revision(connection, KEY_REVISION, &key.id)? != expect {
        return Err(Conflict::Key(key.id.clone()).into());
    }
    if expect != 0
        && let Some(old) = rows::key(connection, &key.id)?
    {
        delete_key_lists(connection, &old.record)?;
    }
    let Some((newest, older)) = key.secrets.split_first() else {
        // Nobody could present a key without a secret. That is an error of the caller, refused as
        // a conflict.
        return Err(Conflict::Key(key.id.clone()).into());
    };
    for secret in &key.secrets {
        let text = "INSERT INTO digests (digest, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let values = params![secret.digest, key.id];
        if execute(connection, text, values)? == 0 {
            let owner = "SELECT key FROM digests WHERE digest = ?1";
            let owner = connection.query_row(owner, [secret.digest], |row| row.get(0))?;
            return Err(Conflict::Digest {
                id: key.id.clone(),
                owner,
            }
            .into());
        }
    }
    for plan in &key.plans {
        let text = "INSERT INTO key_plans (plan, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        execute(connection, text, [plan, &key.id])?;
    }
    let text = "INSERT INTO keys (id, name, consumer, plans, metadata, enabled, created_ms, updated_ms, expires_ms, digest, prefix, secret_ms, secret_ends_ms, older, revision) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
         ON CONFLICT (id) DO UPDATE SET name = ?2, consumer = ?3, plans = ?4, metadata = ?5, enabled = ?6, created_ms = ?7, updated_ms = ?8, expires_ms = ?9, digest = ?10, prefix = ?11, secret_ms = ?12, secret_ends_ms = ?13, older = ?14, revision = ?15";
    let values = params![
        key.id,
        key.name,
        key.consumer,
        json(&key.plans)?,
        json(&key.metadata)?,
        key.enabled,
        key.created_ms,
        key.updated_ms,
        key.expires_ms,
        newest.digest,
        newest.prefix,
        newest.created_ms,
        newest.expires_ms,
        (!older.is_empty()).then(|| json(&older)).transpose()?,
        revision,
    ];
    execute(connection, text, values)?;
    Ok(record_deletion(connection, "key", &key.id, None)?)
}

fn delete_key(
    connection: &Connection,
    id: &str,
    expect: Revision,
    revision: Revision,
) -> Result<(), SqliteCommitError> {
    if expect == 0 || stored_revision(connection, KEY_REVISION, id)? != expect {
        return Err(Conflict::Key(id.to_owned()).into());
    }
    let Some(stored) = rows::key(connection, id)? else {
        return Err(Conflict::Key(id.to_owned()).into());
    };
    delete_key_lists(connection, &stored.record)?;
    execute(connection, "DELETE FROM keys WHERE id = ?1", [id])?;
    Ok(record_deletion(connection, "key", id, Some(revision))?)
}

/// Removes a key from the lists beside its row.
fn delete_key_lists(connection: &Connection, key: &KeyRecord) -> rusqlite::Result<()> {
    for secret in &key.secrets {
        let text = "DELETE FROM digests WHERE digest = ?1";
        execute(connection, text, [secret.digest])?;
    }
    for plan in &key.plans {
        let text = "DELETE FROM key_plans WHERE plan = ?1 AND key = ?2";
        execute(connection, text, [plan, &key.id])?;
    }
    Ok(())
}

fn put_plan(
    connection: &Connection,
    plan: &PlanRecord,
    expect: Revision,
    revision: Revision,
) -> Result<(), SqliteCommitError> {
    if stored_revision(connection, PLAN_REVISION, &plan.name)? != expect {
        return Err(Conflict::Plan(plan.name.clone()).into());
    }
    let text = "INSERT INTO plans (name, record, revision) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET record = ?2, revision = ?3";
    execute(connection, text, params![plan.name, json(plan)?, revision])?;
    Ok(record_deletion(connection, "plan", &plan.name, None)?)
}

fn delete_plan(
    connection: &Connection,
    name: &str,
    expect: Revision,
    revision: Revision,
) -> Result<(), SqliteCommitError> {
    if expect == 0 || stored_revision(connection, PLAN_REVISION, name)? != expect {
        return Err(Conflict::Plan(name.to_owned()).into());
    }
    execute(connection, "DELETE FROM plans WHERE name = ?1", [name])?;
    Ok(record_deletion(connection, "plan", name, Some(revision))?)
}

/// Records that something was deleted, or that it exists again.
fn record_deletion(
    connection: &Connection,
    kind: &str,
    name: &str,
    revision: Option<Revision>,
) -> rusqlite::Result<()> {
    match revision {
        Some(revision) => {
            let text = "INSERT INTO deleted (kind, name, revision) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET revision = ?3";
            execute(connection, text, params![kind, name, revision])?;
        }
        None => {
            let text = "DELETE FROM deleted WHERE kind = ?1 AND name = ?2";
            execute(connection, text, [kind, name])?;
        }
    }
    Ok(())
}

fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
