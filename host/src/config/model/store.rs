//! `[store]`: where keys, plans and usage are kept.

use std::path::PathBuf;
use std::time::Duration;

use super::OnUnavailable;
use crate::config::source::Span;

/// `[store]`: where keys, plans and usage are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// A file of this gateway's own, or a server that several share.
    pub place: StorePlace,
    /// How often counters are written: what a crash may lose of them. Default 500 ms.
    pub flush_interval: Duration,
    /// How long what is known of keys may be out of date. Default 10 s.
    pub max_staleness: Duration,
    /// What keys are worth after that. Default deny.
    pub on_stale: OnStale,
    /// What limits answer with no lease left and no store. Default deny.
    pub on_unavailable: OnUnavailable,
    /// The most requests that a gateway takes out of a shared budget at once. Default 100.
    pub max_lease: u64,
    /// The longest that a request waits to learn its share. Default 1 s.
    pub max_wait: Duration,
    /// The most counters in memory. Default 1,000,000.
    pub max_counters: usize,
    /// How long usage by day is kept. Days, default 400.
    pub usage_days: u32,
    /// The table's header in the file.
    pub span: Span,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// In this file of its own.
    Sqlite(PathBuf),
    /// In this Redis or Valkey.
    Redis(RedisPlace),
}

/// A Redis or Valkey, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisPlace {
    /// `redis://`, `rediss://` or `unix:`; never with a password.
    pub url: String,
    /// The place of its password in [`Config::secrets`](super::Config::secrets). Default none.
    pub password: Option<usize>,
    /// What the names of all its keys begin with. Default `windlass`.
    pub prefix: String,
    /// For one call. Default 1 s.
    pub timeout: Duration,
}

/// What keys are worth when nothing was heard of changes for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStale {
    /// Nothing: requests with one are answered 503.
    Deny,
    /// What they were worth last.
    Allow,
}
