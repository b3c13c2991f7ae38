//! The durable keys, plans and usage: what outlives the process, or is shared by several gateways.
//!
//! One trait, [`Storage`], two implementations: [`SqliteLedger`](sqlite::SqliteLedger), a file of
//! one gateway's own, and [`RedisLedger`](redis::RedisLedger), a Redis or Valkey that several
//! share.
//!
//! It promises
//! - that a commit is atomic, and that what was acknowledged is there after the process was
//!   killed;
//! - that every commit has a *revision*, a number that only grows, so that whoever knows one can
//!   ask for what changed since;
//! - that writers who read the same thing do not overwrite each other: each write names the
//!   revision that it replaces;
//! - that no text of a key comes near it: it gets digests.
//!
//! It deliberately knows no rules (who may have which plan, what a name may look like: that is
//! whoever commits), no counters (those are [`limits`](crate::limits)), and nobody on a
//! request's way: every call here blocks, and is made by the keeper's thread or the admin's.

pub(crate) mod record;
pub(crate) mod redis;
pub(crate) mod sqlite;

use std::fmt;
use std::sync::Arc;

use crate::keys::KeyDigest;
use crate::limits::usage_rows::DrainUsage;
use crate::limits::usage_rows::QuotaRow;
use crate::limits::usage_rows::UsageDelta;
use crate::shared_store::StorageError;
use record::{KeyRecord, PlanRecord};

use crate::model::period::Period;

/// Where keys, plans and usage are kept. All calls block.
pub trait Storage: Send + Sync + fmt::Debug {
    /// What it is, for logs: a path, or an address without its password.
    fn name(&self) -> String;

    /// Show every key and plan, as of one moment.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn load(&self, visit: &mut dyn FnMut(LoadedRecord)) -> Result<Revision, StorageError>;

    /// What was committed after this revision.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn changes(&self, since: Revision) -> Result<Changes, StorageError>;

    /// Write all of these, or none.
    ///
    /// # Errors
    /// Something was changed by others meanwhile, or the store is out of reach.
    fn commit(&self, writes: &[Write]) -> Result<Revision, CommitError>;

    /// How many writes one commit takes: a limit of the store's, not of its callers.
    fn max_writes(&self) -> usize {
        usize::MAX
    }

    /// A key by its id.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn key(&self, id: &str) -> Result<Option<StoredKey>, StorageError>;

    /// A key by the digest of one of its secrets.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn key_by_digest(&self, digest: &KeyDigest) -> Result<Option<StoredKey>, StorageError>;

    /// Keys in the order of their ids.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn keys(&self, query: &KeyQuery) -> Result<Vec<StoredKey>, StorageError>;

    /// A plan by its name.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn plan(&self, name: &str) -> Result<Option<PlanRecord>, StorageError>;

    /// All plans, in the order of their names.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn plans(&self) -> Result<Vec<PlanRecord>, StorageError>;

    /// What was created under this idempotency token, until it is forgotten.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn idempotency_record(
        &self,
        token: &str,
        now_ms: u64,
    ) -> Result<Option<IdempotencyRecord>, StorageError>;

    /// Since when the plan's quota has had this kind of period: now, if it had another before. Of
    /// what was used before that, only usage by day tells. Milliseconds since 1970.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn quota_since(&self, plan: &str, period: Period, now_ms: u64) -> Result<u64, StorageError>;

    /// What was used of this plan was brought in by day: whoever counts its quota by period must add
    /// it up anew, as if [`quota_since`](Self::quota_since) had never been asked.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn reset_quota_since(&self, plan: &str) -> Result<(), StorageError>;

    /// The plans of which anything was used, in no order; also those that are gone.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn usage_plans(&self) -> Result<Vec<String>, StorageError>;

    /// Add to what was used, and note when keys were last used. One atomic step.
    ///
    /// # Errors
    /// The store is out of reach or broken; then nothing was added.
    fn add_usage(&self, used: &[UsageDelta], touched: &[LastUse]) -> Result<(), StorageError>;

    /// Let another process have the store, from now on also: this gateway drains.
    fn release(&self) {}

    /// The same as [`add_usage`](Self::add_usage) after [`release`](Self::let_go): what somebody else
    /// counts by now is added to, and not replaced.
    ///
    /// # Errors
    /// The store is out of reach or broken; then nothing was added.
    fn add_drain_usage(&self, used: &[UsageDelta]) -> Result<(), StorageError> {
        self.add_usage(used, &[])
    }

    /// What a gateway that drains has added since the last call, once, and how quotas stand with it.
    ///
    /// # Errors
    /// The store is out of reach or broken; then it is taken the next time.
    fn take_drain_usage(&self) -> Result<Vec<DrainUsage>, StorageError> {
        Ok(Vec::new())
    }

    /// Show what was used in quota periods that are not over at this moment, extensions included.
    /// For the start.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn load_quotas(&self, now_ms: u64, visit: &mut dyn FnMut(QuotaRow))
    -> Result<(), StorageError>;

    /// Set what a key may use beyond its plan's limit in one period. Durable when it returns.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn extend(&self, extension: &QuotaExtension) -> Result<(), StorageError>;

    /// What was used, by key and day, in the order of both.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StorageError>;

    /// Forget what nobody asks for any more: usage of days before this one (days since 1970),
    /// tokens past their end, and deletions that every gateway has long seen.
    ///
    /// # Errors
    /// The store is out of reach or broken.
    fn delete_expired(&self, before_day: u32, now_ms: u64) -> Result<(), StorageError>;
}

/// A plan that an earlier version wrote has an `offset`, which has no meaning any more.
fn warn_of_offset(plan: &str) {
    tracing::warn!(
        plan,
        "the plan's quota had an `offset`, which Windlass does not have any more: each period gives \
         the whole limit; if its period is to begin on another day, set `starts_on`"
    );
}

/// Counts commits, from 0 (nothing was ever written).
pub(crate) type Revision = u64;

/// One thing that [`Storage::load`] shows.
#[derive(Debug)]
pub enum LoadedRecord {
    /// About how many keys follow: comes before the first of them, so that room is made for all.
    KeyCount(usize),
    Key(StoredKey),
    Plan(PlanRecord),
}

/// A key, and what is noted of it without a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    pub(crate) record: KeyRecord,
    /// When it was last used, to the minute. Milliseconds since 1970.
    pub(crate) last_used_ms: Option<u64>,
}

/// What was committed since some revision.
#[derive(Debug, Default)]
pub struct Changes {
    /// The revision that these lead to.
    pub(crate) revision: Revision,
    /// Whether the store cannot tell (it was restored from a backup, or lost what it had):
    /// everything must be loaded anew.
    pub(crate) reload_required: bool,
    /// Keys as they are now; None: deleted.
    pub(crate) keys: Vec<(String, Option<KeyRecord>)>,
    /// Plans as they are now; None: deleted.
    pub(crate) plans: Vec<(String, Option<PlanRecord>)>,
}

/// One write of a commit. `expect` is the revision of what it replaces ([`KeyRecord::revision`]),
/// 0 where there must be nothing. A record's own `revision` is set by the commit.
#[derive(Debug, Clone)]
pub enum Write {
    /// Create or replace a key.
    PutKey {
        /// The key as it is to be.
        record: KeyRecord,
        /// What it replaces.
        expect: Revision,
    },
    /// Delete a key. Its usage stays.
    DeleteKey {
        id: String,
        /// As it is.
        expect: Revision,
    },
    /// Create or replace a plan.
    PutPlan {
        /// The plan as it is to be.
        record: PlanRecord,
        /// What it replaces.
        expect: Revision,
    },
    /// Delete a plan. Its usage stays.
    DeletePlan {
        name: String,
        /// As it is.
        expect: Revision,
    },
    /// Note what an idempotency token created.
    PutToken {
        token: String,
        /// What it stands for.
        what: IdempotencyRecord,
        /// When it may be forgotten. Milliseconds since 1970.
        until_ms: u64,
    },
}

/// What an idempotency token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The SHA-256 of the request that came with it.
    pub(crate) request: [u8; 32],
    /// The id of the key that was created.
    pub(crate) key: String,
}

#[derive(Debug, Clone, Default)]
pub struct KeyQuery {
    /// Only those with a greater id.
    pub(crate) after: Option<String>,
    /// At most so many.
    pub(crate) limit: usize,
    /// Only this consumer's.
    pub(crate) consumer: Option<String>,
    /// Only those on this plan.
    pub(crate) plan: Option<String>,
    /// Only those whose name or id begins so.
    pub(crate) prefix: Option<String>,
    /// Only those of which a secret begins so. Where more characters are given than are kept of a
    /// secret, those that are kept must fit.
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
    /// What may be used beyond the limit in it; below 0 where less may be.
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

/// Whose usage, when.
#[derive(Debug, Clone, Default)]
pub struct UsageQuery {
    pub(crate) plan: String,
    /// Only this key's.
    pub(crate) key: Option<String>,
    /// The first day. Days since 1970, in UTC.
    pub(crate) from_day: u32,
    /// The last day, itself included.
    pub(crate) to_day: u32,
    /// Only keys with a greater id.
    pub(crate) after: Option<String>,
    /// At most so many keys.
    pub(crate) limit: usize,
}

/// What one key used on one day. Days without usage have no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The key's id.
    pub(crate) key: String,
    /// Days since 1970, in UTC.
    pub(crate) day: u32,
    pub(crate) used: u64,
}

/// Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// What is there is not what the writer expected.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The store cannot do it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What is there is not what the writer expected.
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
        /// Whose write was refused.
        id: String,
        owner: String,
    },
    /// The idempotency token stands for something already.
    #[error("the idempotency key was used meanwhile")]
    Token,
}

#[cfg(test)]
pub(crate) mod tests;
