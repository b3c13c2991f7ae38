//! The durable keys, plans and usage: everything that outlives the process, or that several
//! gateways share.
//!
//! There is one trait, [`Storage`] (with [`UsageStorage`]), with two implementations:
//! [`SqliteStorage`](sqlite::SqliteStorage), a file of one gateway, and
//! [`RedisStorage`](redis::RedisStorage), a Redis or Valkey that several share.
//!
//! It promises
//! - that a commit is atomic, and that an acknowledged one survives the end of the process;
//! - that every commit has a *revision*, a number that only grows, so that a reader can ask for
//!   the changes since one;
//! - that writers who read the same thing do not overwrite each other: each write names the
//!   revision that it replaces;
//! - that it never sees the text of a key, only digests.
//!
//! It deliberately has no rules (which plan a key may have, how a name may look: the
//! [`service`](super::service) has those) and no counters ([`limits`](crate::limits)). Every call
//! blocks; the thread of the sync and the admin listener's threads make them, and no request waits
//! for one.

pub(crate) mod record;
pub(crate) mod redis;
pub(crate) mod sqlite;

use std::fmt;
use std::sync::Arc;

use crate::keys::KeyDigest;
use crate::limits::usage_rows::{DrainUsage, QuotaRow, UsageDelta};
use crate::shared_store::StorageError;
use record::{KeyRecord, PlanRecord};

use crate::model::period::Period;

/// The storage of keys and plans, and of their usage. All calls block.
pub trait Storage: UsageStorage + Send + Sync + fmt::Debug {
    /// Its name for logs: a path, or an address without its password.
    fn name(&self) -> String;

    /// Visits every key and plan, as of one moment.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn load(&self, visit: &mut dyn FnMut(LoadedRecord)) -> Result<Revision, StorageError>;

    /// The changes after this revision.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn changes(&self, since: Revision) -> Result<Changes, StorageError>;

    /// Writes all of these, or none.
    ///
    /// # Errors
    ///
    /// Others changed something meanwhile, or the storage is out of reach.
    fn commit(&self, writes: &[Write]) -> Result<Revision, CommitError>;

    /// The most writes of one commit: a limit of the storage, not of its callers.
    fn max_writes(&self) -> usize {
        usize::MAX
    }

    /// The key with this id.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn key(&self, id: &str) -> Result<Option<StoredKey>, StorageError>;

    /// The key with a secret of this digest.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn key_by_digest(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StorageError>;

    /// Keys in the order of their ids.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn keys(&self, query: &KeyQuery) -> Result<Vec<StoredKey>, StorageError>;

    /// The plan of this name.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn plan(&self, name: &str) -> Result<Option<PlanRecord>, StorageError>;

    /// All plans, in the order of their names.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn plans(&self) -> Result<Vec<PlanRecord>, StorageError>;

    /// The object that was created under this idempotency token, until the token expires.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn idempotency_record(
        &self,
        token: &str,
        now_ms: u64,
    ) -> Result<Option<IdempotencyRecord>, StorageError>;
}

/// The storage of usage. All calls block.
pub trait UsageStorage {
    /// Since when the plan's quota has had this kind of period: now, if it had another before. For
    /// the time before that there is only usage by day. Milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn quota_since(&self, plan: &str, period: Period, now_ms: u64) -> Result<u64, StorageError>;

    /// Forgets what [`quota_since`](Self::quota_since) returned, because usage of this plan was
    /// imported by day: a quota's period must be added up again.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn reset_quota_since(&self, plan: &str) -> Result<(), StorageError>;

    /// The plans with any usage, in no order; deleted plans included.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn usage_plans(&self) -> Result<Vec<String>, StorageError>;

    /// Adds usage, and records when keys were last used, in one atomic step.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken; then nothing was added.
    fn add_usage(&self, used: &[UsageDelta], touched: &[LastUse]) -> Result<(), StorageError>;

    /// Lets another process use the storage too, because this gateway drains.
    fn release(&self) {}

    /// Adds usage after [`release`](Self::release): it is added to the successor's counts, and
    /// does not replace them.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken; then nothing was added.
    fn add_drain_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError> {
        self.add_usage(used, &[])
    }

    /// Takes the usage that a draining gateway has added since the last call, with the quotas that
    /// include it.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken; then the next call takes it.
    fn take_drain_usage(&self) -> Result<Vec<DrainUsage>, StorageError> {
        Ok(Vec::new())
    }

    /// Visits the usage of quota periods that have not ended by this time, extensions included.
    /// For the start.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn load_quotas(&self, now_ms: u64, visit: &mut dyn FnMut(QuotaRow))
    -> Result<(), StorageError>;

    /// Sets how many requests beyond its plan's limit a key may make in one period. Durable when
    /// it returns.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn extend(&self, extension: &QuotaExtension) -> Result<(), StorageError>;

    /// Usage by key and day, in the order of both.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StorageError>;

    /// Deletes expired rows: usage of days before this one (days since 1970), expired tokens, and
    /// deletions that every gateway has seen long ago.
    ///
    /// # Errors
    ///
    /// The storage is out of reach or broken.
    fn delete_expired(&self, before_day: u32, now_ms: u64) -> Result<(), StorageError>;
}

/// Warns that an earlier version wrote a plan with an `offset`, which has no meaning any more.
fn warn_of_offset(plan: &str) {
    tracing::warn!(
        plan,
        "the plan's quota had an `offset`, which Windlass does not have any more: each period gives \
         the whole limit; if its period is to begin on another day, set `starts_on`"
    );
}

/// The number of commits; 0 means that nothing was ever written.
pub(crate) type Revision = u64;

/// A record that [`Storage::load`] visits.
#[derive(Debug)]
pub enum LoadedRecord {
    /// The approximate number of keys. Comes before the first of them, so that memory can be
    /// reserved.
    KeyCount(usize),
    Key(StoredKey),
    Plan(PlanRecord),
}

/// A key, with the facts that are stored without a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    pub(crate) record: KeyRecord,
    /// When it was last used, to the minute. Milliseconds since 1970.
    pub(crate) last_used_ms: Option<u64>,
}

/// The changes since some revision.
#[derive(Debug, Default)]
pub struct Changes {
    /// The revision after these changes.
    pub(crate) revision: Revision,
    /// Whether the storage cannot tell (it was restored from a backup, or lost data): everything
    /// must be loaded again.
    pub(crate) reload_required: bool,
    /// Keys as they are now; None: deleted.
    pub(crate) keys: Vec<(String, Option<KeyRecord>)>,
    /// Plans as they are now; None: deleted.
    pub(crate) plans: Vec<(String, Option<PlanRecord>)>,
}

/// One write of a commit. `expect` is the revision of the record that it replaces
/// ([`KeyRecord::revision`]), 0 if there must be none. The commit sets a record's own `revision`.
#[derive(Debug, Clone)]
pub enum Write {
    /// Create or replace a key.
    PutKey {
        /// The new key.
        record: KeyRecord,
        /// The revision that it replaces.
        expect: Revision,
    },
    /// Delete a key. Its usage stays.
    DeleteKey {
        id: String,
        /// Its present revision.
        expect: Revision,
    },
    /// Create or replace a plan.
    PutPlan {
        /// The new plan.
        record: PlanRecord,
        /// The revision that it replaces.
        expect: Revision,
    },
    /// Delete a plan. Its usage stays.
    DeletePlan {
        name: String,
        /// Its present revision.
        expect: Revision,
    },
    /// Records the object that an idempotency token created.
    PutToken {
        token: String,
        /// The object.
        what: IdempotencyRecord,
        /// When the token expires. Milliseconds since 1970.
        until_ms: u64,
    },
}

/// The object that an idempotency token created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The SHA-256 of the request that came with it.
    pub(crate) request: [u8; 32],
    /// The id of the key that was created.
    pub(crate) key: String,
}

#[derive(Debug, Clone, Default)]
pub struct KeyQuery {
    /// Only keys with a greater id.
    pub(crate) after: Option<String>,
    /// At most this many keys.
    pub(crate) limit: usize,
    /// Only keys of this consumer.
    pub(crate) consumer: Option<String>,
    /// Only keys on this plan.
    pub(crate) plan: Option<String>,
    /// Only keys whose name or id begins with this text.
    pub(crate) prefix: Option<String>,
    /// Only keys with a secret that begins with this text. If the text is longer than the stored
    /// prefix, the stored prefix must match.
    pub(crate) begins_with: Option<String>,
}

/// A temporary extension of a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaExtension {
    pub(crate) plan: String,
    /// The key's id.
    pub(crate) key: String,
    pub(crate) period: Period,
    pub(crate) number: u32,
    /// Requests that may be made beyond the limit in it; negative if fewer may be.
    pub(crate) extra: i64,
}

/// When a key was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// The key's id.
    pub(crate) key: Arc<str>,
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// Selects usage.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    pub(crate) plan: String,
    /// Only this key.
    pub(crate) key: Option<String>,
    /// The first day. Days since 1970, in UTC.
    pub(crate) from_day: u32,
    /// The last day, inclusive.
    pub(crate) to_day: u32,
    /// Only keys with a greater id.
    pub(crate) after: Option<String>,
    /// At most this many keys.
    pub(crate) limit: usize,
}

/// The usage of one key on one day. Days without usage have no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The key's id.
    pub(crate) key: String,
    /// Days since 1970, in UTC.
    pub(crate) day: u32,
    pub(crate) used: u64,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The stored record is not the one that the writer expected.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The stored record is not the one that the writer expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The key was changed, deleted or created meanwhile.
    #[error("key `{0}` was changed meanwhile")]
    Key(String),
    /// The plan was changed, deleted or created meanwhile.
    #[error("plan `{0}` was changed meanwhile")]
    Plan(String),
    /// Another key has the same secret.
    #[error("key `{id}` has the same secret as key `{owner}`")]
    Digest {
        /// The key whose write was refused.
        id: String,
        owner: String,
    },
    /// The idempotency token was used already.
    #[error("the idempotency key was used meanwhile")]
    Token,
}

#[cfg(test)]
pub(crate) mod tests;
