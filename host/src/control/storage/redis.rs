//! Keys, plans and usage in a Redis or Valkey that several gateways share.
//!
//! It promises
//! - that every commit is one Lua script, which checks everything before it writes anything;
//! - that no script takes long: large data is read and written in chunks;
//! - that the next [`changes`](Storage::changes) notices and reports a server that lost data
//!   (emptied, restored, restarted, failed over to a replica);
//! - that everything is under one hash tag, `{prefix}:`, so that one node of a cluster has it all.
//!
//! The server's own settings decide how durable it is: with `appendonly yes` and `appendfsync
//! always` an acknowledged commit is on its disk, with `everysec` a crash of its machine may lose
//! the last second. Windlass warns of a server that persists nothing when it loads from it.
//!
//! A call that times out may have been executed: the caller of a commit without an answer looks it
//! up, and usage without an acknowledgement may be added twice.
//!
//! It needs Redis 7 or a Valkey: scripts that read the time and then write.
//!
//! All names come after `{prefix}:`
//!
//! | name | kind | what |
//! | --- | --- | --- |
//! | `meta` | hash | `schema`, `store` (a random id), `revision`, `floor` (the oldest revision whose changes can still be listed) |
//! | `keys`, `plans` | hash | a record by its id or name: its revision, a space, its JSON |
//! | `key-ids`, `of-consumer:<consumer>`, `of-plan:<plan>` | sorted set | ids of keys, in their order |
//! | `digests` | hash | the key's id by the digest of a secret |
//! | `secret-ends` | sorted set | digests that end, by when |
//! | `changes` | sorted set | `k<id>` and `p<name>`, by the revision that changed them last |
//! | `gone` | sorted set | those of them that were deleted, by when |
//! | `tokens`, `token-ends` | hash, sorted set | the objects that idempotency tokens created, and when the tokens end |
//! | `last-used` | hash | when a key was last used |
//! | `quota-since` | hash | by plan the kind of its quota's period, and since when it has that |
//! | `usage:<day>:<plan>` | hash | what keys used |
//! | `usage-days`, `usage-plans`, `usage-keys:<plan>`, `usage-last:<plan>` | sets | which of those there are |
//! | `quota:<period>:<number>`, `extra:<period>:<number>`, `quotas` | hashes, sorted set | what was used of quotas, their extensions, and when they end |

mod row;
mod usage;

use ::redis::{Connection, RedisResult, ScriptInvocation, cmd};
use parking_lot::Mutex;

use super::record::PlanRecord;
use super::{
    Changes, CommitError, Conflict, IdempotencyRecord, KeyQuery, LoadedRecord, Revision, Storage,
    StoredKey, Write, warn_of_offset,
};
use crate::keys::KeyDigest;
use crate::shared_store::StorageError;
use crate::shared_store::redis_server::{RedisPool, RedisScript, RedisSettings, SCHEMA};
use row::RowError;

/// Writes of one commit: a script with this many occupies the server for less than a tenth of a
/// second.
const MAX_WRITES: usize = 2000;
/// Changes, or keys, that one script reads.
const CHUNK_SIZE: usize = 1000;

const PRELUDE: &str = include_str!("redis/prelude.lua");
static COMMIT: RedisScript = RedisScript::new(&[PRELUDE, include_str!("redis/commit.lua")]);
static CHANGES: RedisScript = RedisScript::new(&[PRELUDE, include_str!("redis/changes.lua")]);
static PAGE: RedisScript = RedisScript::new(&[PRELUDE, include_str!("redis/page.lua")]);

/// A name, and its record if there is one.
type NamedRow = (String, Option<Vec<u8>>);
/// A key's id, its record, and when it was last used.
type KeyRow = (String, Option<Vec<u8>>, Option<u64>);

/// Keys, plans and usage in a Redis.
#[derive(Debug)]
pub(crate) struct RedisStorage {
    server: RedisPool,
    /// The id that an empty server gets.
    id: String,
    /// The instance that was loaded last.
    instance: Mutex<Option<StorageInstance>>,
}

/// The instance that data comes from: only revisions of the same one can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StorageInstance {
    store: String,
    process: Option<String>,
}

/// Checks whether a server can be used, for `windlass check`. Writes nothing.
///
/// # Errors
///
/// The settings are invalid, the server is out of reach or refuses them, or its data has another
/// schema.
pub(crate) fn check(settings: &RedisSettings) -> Result<(), StorageError> {
    static LOOK: RedisScript = RedisScript::new(&["return redis.call('HGET', KEYS[1], 'schema')"]);
    let server = RedisPool::new(settings)?;
    let meta = server.key("meta");
    let ask = |connection: &mut Connection| LOOK.call().key(&meta).invoke(connection);
    let schema: Option<String> = server.read(ask)?.value;
    match schema {
        Some(schema) if schema != SCHEMA.to_string() => Err(server.newer_schema_error(&schema)),
        Some(_) | None => Ok(()),
    }
}

impl RedisStorage {
    /// Connects, and checks that the server can be used. A server that is out of reach may answer
    /// later, so that is no error.
    ///
    /// # Errors
    ///
    /// The settings are invalid, the server refuses them, or its data has a newer schema.
    pub(crate) fn open(settings: &RedisSettings) -> Result<Self, StorageError> {
        let storage = Self {
            server: RedisPool::new(settings)?,
            id: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            instance: Mutex::default(),
        };
        match storage.page("key-ids", None, 1) {
            Ok(_) | Err(StorageError::Unreachable { .. }) => Ok(storage),
            Err(error) => Err(error),
        }
    }

    /// Warns if the server may lose data. Some servers refuse the question; then there is no
    /// warning.
    fn warn_of_loss(&self) {
        let setting = |name: &str| -> Option<String> {
            let answer = self.read_command::<Vec<String>>(&["CONFIG", "GET", name]);
            answer.ok()?.into_iter().nth(1)
        };
        let (Some(append), Some(save)) = (setting("appendonly"), setting("save")) else {
            return;
        };
        if append == "no" {
            let store = self.server.name();
            if save.is_empty() {
                tracing::warn!(
                    store,
                    "the storage persists nothing: its restart loses all keys and plans; set \
                     `appendonly yes` in its configuration"
                );
            } else {
                tracing::warn!(
                    store,
                    save,
                    "a crash of the storage loses everything since its last snapshot; set \
                     `appendonly yes` in its configuration"
                );
            }
        }
    }

    /// Warns of plans of an earlier version with an `offset`, which is ignored now.
    fn warn_of_offsets(&self) -> Result<(), StorageError> {
        for (name, row) in self.plan_rows()? {
            if row::has_offset(&row) {
                warn_of_offset(&name);
            }
        }
        Ok(())
    }

    fn plan_rows(&self) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        self.read_command(&["HGETALL", &self.server.key("plans")])
    }

    /// A call of a script, with the arguments that all of them have.
    fn call(&self, script: &'static RedisScript) -> ScriptInvocation<'static> {
        let mut call = script.call();
        call.key(self.server.key("meta")).arg(&self.id);
        call
    }

    /// Some of the keys with greater ids, and the revision at which they were read.
    fn page(
        &self,
        ids: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<(StorageInstance, Revision, Vec<KeyRow>), StorageError> {
        let begin = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut call = self.call(&PAGE);
        call.arg(ids).arg(&begin).arg(most);
        let answer = self.server.read(|connection| call.invoke(connection))?;
        let (store, revision, rows) = answer.value;
        let process = answer.process;
        Ok((StorageInstance { store, process }, revision, rows))
    }

    /// The key of a row; None if it was deleted while it was read.
    fn stored(&self, row: KeyRow) -> Result<Option<StoredKey>, StorageError> {
        let (id, text, last_used_ms) = row;
        let record = self.record("key", &id, text.as_deref(), row::key)?;
        Ok(record.map(|record| StoredKey {
            record,
            last_used_ms,
        }))
    }

    /// The record of a row, if there is one.
    fn record<T>(
        &self,
        kind: &str,
        name: &str,
        row: Option<&[u8]>,
        read: fn(&[u8]) -> Result<T, RowError>,
    ) -> Result<Option<T>, StorageError> {
        let record = row.map(read).transpose();
        record.map_err(|error| StorageError::Corrupt {
            name: self.server.name().to_owned(),
            what: format!(
                "its record of {kind} `{name}` cannot be read: {error}; write the {kind} again, or \
                 restore a backup"
            ),
        })
    }

    /// Runs one command that reads.
    fn read_command<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> Result<T, StorageError> {
        let ask = |connection: &mut Connection| -> RedisResult<T> {
            let mut words = words.iter();
            let mut ask = cmd(words.next().copied().unwrap_or_default());
            ask.arg(words.as_slice());
            ask.query(connection)
        };
        Ok(self.server.read(ask)?.value)
    }

    /// One page of changes, and the revision of the server.
    fn changes_page(&self, changes: &mut Changes) -> Result<Revision, StorageError> {
        let since = changes.revision;
        let mut call = self.call(&CHANGES);
        call.arg(since).arg(CHUNK_SIZE);
        let answer = self.server.read(|connection| call.invoke(connection))?;
        let (store, revision, floor, until, rows): (_, Revision, Revision, _, Vec<NamedRow>) =
            answer.value;
        let process = answer.process;
        let found = StorageInstance { store, process };
        let mut origin = self.instance.lock();
        let instance = origin.get_or_insert_with(|| found.clone());
        if *instance != found || revision < since || floor > since {
            changes.reload_required = true;
            return Ok(since);
        }
        drop(origin);
        for (name, text) in rows {
            if let Some(id) = name.strip_prefix('k') {
                let record = self.record("key", id, text.as_deref(), row::key)?;
                changes.keys.push((id.to_owned(), record));
            } else if let Some(plan) = name.strip_prefix('p') {
                let record = self.record("plan", plan, text.as_deref(), row::plan)?;
                changes.plans.push((plan.to_owned(), record));
            }
        }
        changes.revision = until;
        Ok(revision)
    }
}

impl Storage for RedisStorage {
    fn name(&self) -> String {
        self.server.name().to_owned()
    }

    fn load(&self, visit: &mut dyn FnMut(LoadedRecord)) -> Result<Revision, StorageError> {
        self.warn_of_loss();
        self.warn_of_offsets()?;
        // Changes after the first page are found as changes since its revision.
        let (origin, revision, mut rows) = self.page("key-ids", None, CHUNK_SIZE)?;
        for plan in self.plans()? {
            visit(LoadedRecord::Plan(plan));
        }
        let count = self.read_command(&["ZCARD", &self.server.key("key-ids")])?;
        visit(LoadedRecord::KeyCount(count));
        while let Some((last, ..)) = rows.last() {
            let last = last.clone();
            for row in rows {
                if let Some(key) = self.stored(row)? {
                    visit(LoadedRecord::Key(key));
                }
            }
            let (now, _, next) = self.page("key-ids", Some(&last), CHUNK_SIZE)?;
            if now != origin {
                return Err(StorageError::Unreachable {
                    name: self.name(),
                    cause: "it was restarted or replaced while it was read".to_owned(),
                });
            }
            rows = next;
        }
        *self.instance.lock() = Some(origin);
        Ok(revision)
    }

    fn changes(&self, since: Revision) -> Result<Changes, StorageError> {
        let mut changes = Changes {
            revision: since,
            ..Changes::default()
        };
        while self.changes_page(&mut changes)? > changes.revision && !changes.reload_required {}
        if changes.reload_required {
            return Ok(Changes {
                revision: since,
                reload_required: true,
                ..Changes::default()
            });
        }
        Ok(changes)
    }

    fn commit(&self, writes: &[Write]) -> Result<Revision, CommitError> {
        let mut call = self.call(&COMMIT);
        for write in writes {
            row::write(&mut call, write);
        }
        let answer: Vec<String> = self.server.write(|connection| call.invoke(connection))?;
        let mut words = answer.into_iter();
        let mut word = || words.next().unwrap_or_default();
        let outcome = word();
        Err(match &*outcome {
            "ok" => {
                return word().parse().map_err(|_| {
                    CommitError::Storage(StorageError::Failed {
                        name: self.name(),
                        cause: "it returned no revision".to_owned(),
                    })
                });
            }
            "key" => Conflict::Key(word()),
            "plan" => Conflict::Plan(word()),
            "digest" => Conflict::Digest {
                id: word(),
                owner: word(),
            },
            _ => Conflict::Token,
        }
        .into())
    }

    fn max_writes(&self) -> usize {
        MAX_WRITES
    }

    fn key(&self, id: &str) -> Result<Option<StoredKey>, StorageError> {
        let text = self.read_command(&["HGET", &self.server.key("keys"), id])?;
        let last_used_ms = self.read_command(&["HGET", &self.server.key("last-used"), id])?;
        self.stored((id.to_owned(), text, last_used_ms))
    }

    fn key_by_digest(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StorageError> {
        let digests = self.server.key("digests");
        let id: Option<String> = self.read_command(&["HGET", &digests, &digest.to_string()])?;
        match id {
            Some(id) => self.key(&id),
            None => Ok(None),
        }
    }

    fn keys(&self, query: &KeyQuery) -> Result<Vec<StoredKey>, StorageError> {
        let ids = match (&query.consumer, &query.plan) {
            (Some(consumer), _) => format!("of-consumer:{consumer}"),
            (None, Some(plan)) => format!("of-plan:{plan}"),
            (None, None) => "key-ids".to_owned(),
        };
        let filtered = query.prefix.is_some()
            || query.begins_with.is_some()
            || query.consumer.is_some() && query.plan.is_some();
        let page_size = if filtered {
            CHUNK_SIZE
        } else {
            query.limit.clamp(1, CHUNK_SIZE)
        };
        let mut found = Vec::new();
        let mut after = query.after.clone();
        while found.len() < query.limit {
            let (_, _, rows) = self.page(&ids, after.as_deref(), page_size)?;
            let Some((last, ..)) = rows.last() else {
                break;
            };
            after = Some(last.clone());
            for row in rows {
                if let Some(key) = self.stored(row)?
                    && row::matches_query(&key.record, query)
                    && found.len() < query.limit
                {
                    found.push(key);
                }
            }
        }
        Ok(found)
    }

    fn plan(&self, name: &str) -> Result<Option<PlanRecord>, StorageError> {
        let text: Option<Vec<u8>> =
            self.read_command(&["HGET", &self.server.key("plans"), name])?;
        self.record("plan", name, text.as_deref(), row::plan)
    }

    fn plans(&self) -> Result<Vec<PlanRecord>, StorageError> {
        let mut plans: Vec<PlanRecord> = Vec::new();
        for (name, text) in self.plan_rows()? {
            plans.extend(self.record("plan", &name, Some(&text), row::plan)?);
        }
        plans.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(plans)
    }

    fn idempotency_record(
        &self,
        token: &str,
        now_ms: u64,
    ) -> Result<Option<IdempotencyRecord>, StorageError> {
        let text: Option<String> =
            self.read_command(&["HGET", &self.server.key("tokens"), token])?;
        Ok(text.and_then(|text| row::remembered(&text, now_ms)))
    }
}
