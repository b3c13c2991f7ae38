//! The keys and plans of the file: [`rows`](super::rows) reads them, [`commit`] writes them.

use rusqlite::{Connection, Row, ToSql, params};

use super::commit::{self, SqliteCommitError};
use super::rows::{KEY, key, plan_row, revision, stored};
use super::statement::{row, rows};
use super::{SqliteStorage, failed};
use crate::control::storage::record::PlanRecord;
use crate::control::storage::{
    Changes, CommitError, IdempotencyRecord, KeyQuery, LoadedRecord, Revision, Storage, StoredKey,
    Write,
};
use crate::keys::KeyDigest;
use crate::shared_store::StorageError;

fn plans(connection: &Connection) -> rusqlite::Result<Vec<PlanRecord>> {
    let text = "SELECT record, revision FROM plans ORDER BY name";
    rows(connection, text, [], plan_row)
}

impl SqliteStorage {
    /// Runs several statements that see the same state, by a read transaction.
    fn read_state<T>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        self.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            let value = run(connection)?;
            transaction.finish()?;
            Ok(value)
        })
    }
}

impl Storage for SqliteStorage {
    fn name(&self) -> String {
        format!("`{}`", self.path.display())
    }

    fn load(&self, visit: &mut dyn FnMut(LoadedRecord)) -> Result<Revision, StorageError> {
        self.read_state(|connection| {
            for plan in plans(connection)? {
                visit(LoadedRecord::Plan(plan));
            }
            let count = connection.query_row("SELECT count(*) FROM keys", [], |row| row.get(0))?;
            visit(LoadedRecord::KeyCount(count));
            let mut keys = connection.prepare(&format!("SELECT {KEY} FROM keys ORDER BY id"))?;
            let mut rows = keys.query([])?;
            while let Some(row) = rows.next()? {
                visit(LoadedRecord::Key(stored(row)?));
            }
            revision(connection)
        })
    }

    fn changes(&self, since: Revision) -> Result<Changes, StorageError> {
        self.read_state(|connection| {
            let mut changes = Changes {
                revision: revision(connection)?,
                ..Changes::default()
            };
            if changes.revision <= since {
                changes.reload_required = changes.revision < since;
                return Ok(changes);
            }
            let keys = format!("SELECT {KEY} FROM keys WHERE revision > ?1");
            for StoredKey { record, .. } in rows(connection, &keys, [since], stored)? {
                changes.keys.push((record.id.clone(), Some(record)));
            }
            let plans = "SELECT record, revision FROM plans WHERE revision > ?1";
            for record in rows(connection, plans, [since], plan_row)? {
                changes.plans.push((record.name.clone(), Some(record)));
            }
            let deleted = "SELECT kind, name FROM deleted WHERE revision > ?1";
            let deleted: Vec<(String, String)> =
                rows(connection, deleted, [since], |row| row.try_into())?;
            for (kind, name) in deleted {
                if kind == "plan" {
                    changes.plans.push((name, None));
                } else {
                    changes.keys.push((name, None));
                }
            }
            Ok(changes)
        })
    }

    fn commit(&self, writes: &[Write]) -> Result<Revision, CommitError> {
        // The inner result rolls the transaction back although the storage has not failed.
        let mut writer = self.writer.lock();
        commit::commit(&mut writer, writes).map_err(|error| match error {
            SqliteCommitError::Conflict(conflict) => conflict.into(),
            SqliteCommitError::Store(error) => failed(&self.path, error).into(),
        })
    }

    fn key(&self, id: &str) -> Result<Option<StoredKey>, StorageError> {
        self.read(|connection| key(connection, id))
    }

    fn key_by_digest(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StorageError> {
        let text = format!(
            "SELECT {KEY} FROM keys WHERE id = (SELECT key FROM digests WHERE digest = ?1)"
        );
        self.read(|connection| row(connection, &text, [digest], stored))
    }

    fn keys(&self, query: &KeyQuery) -> Result<Vec<StoredKey>, StorageError> {
        // The statement only has the conditions of the query, so that each form can use its index.
        let mut text = format!("SELECT {KEY} FROM keys WHERE id > :after");
        let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
        let after = query.after.as_deref().unwrap_or_default();
        let mut values: Vec<(&str, &dyn ToSql)> = vec![(":after", &after), (":limit", &limit)];
        for (name, value, condition) in [
            (":consumer", &query.consumer, "consumer = :consumer"),
            (":plan", &query.plan, ON_PLAN),
            (":prefix", &query.prefix, HAS_PREFIX),
            (":begins", &query.begins_with, BEGINS_WITH),
        ] {
            if let Some(value) = value {
                text = format!("{text} AND {condition}");
                values.push((name, value));
            }
        }
        text.push_str(" ORDER BY id LIMIT :limit");
        self.read(|connection| rows(connection, &text, values.as_slice(), stored))
    }

    fn plan(&self, name: &str) -> Result<Option<PlanRecord>, StorageError> {
        let text = "SELECT record, revision FROM plans WHERE name = ?1";
        self.read(|connection| row(connection, text, [name], plan_row))
    }

    fn plans(&self) -> Result<Vec<PlanRecord>, StorageError> {
        self.read(plans)
    }

    fn idempotency_record(
        &self,
        token: &str,
        now_ms: u64,
    ) -> Result<Option<IdempotencyRecord>, StorageError> {
        let text = "SELECT request, key FROM tokens WHERE token = ?1 AND until_ms > ?2";
        let record = |row: &Row<'_>| {
            Ok(IdempotencyRecord {
                request: row.get(0)?,
                key: row.get(1)?,
            })
        };
        self.read(|connection| row(connection, text, params![token, now_ms], record))
    }
}

/// The condition for keys on a plan.
const ON_PLAN: &str = "id IN (SELECT key FROM key_plans WHERE plan = :plan AND key > :after)";

/// The condition for keys whose id or name begins with a text.
const HAS_PREFIX: &str =
    "(substr(id, 1, length(:prefix)) = :prefix OR substr(name, 1, length(:prefix)) = :prefix)";

/// The condition for keys with a secret that begins with a text.
const BEGINS_WITH: &str = "(substr(prefix, 1, length(:begins)) = :begins \
     OR prefix <> '' AND substr(:begins, 1, length(prefix)) = prefix \
     OR older IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(older), \
     (SELECT :begins AS wanted) \
     WHERE substr(value ->> 'prefix', 1, length(wanted)) = wanted \
     OR value ->> 'prefix' <> '' AND substr(wanted, 1, length(value ->> 'prefix')) = value ->> 'prefix'))";
