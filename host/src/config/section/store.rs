//! `[store]`: where keys, plans and usage are kept.

use std::path::PathBuf;
use std::time::Duration;

use windlass_config_derive::{FromTable, Word};

use crate::config::field::{Parsed, SecretName};
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::{store, unit};
use crate::model::store::OnUnavailable;

/// Where Windlass keeps keys, plans and usage: in a file of its own, or in a Redis or Valkey that
/// several gateways share. Exactly one of `path` and `url`. Without this table there are only the
/// keys and plans of this file, and counters are lost when the process ends.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[store]", short = "path", private, keys = some_store, check = stale_by_one)]
#[hint("address" => "it is called `url`: `url = \"redis://localhost:6379/0\"`")]
pub struct Store {
    /// A file of this gateway's own, or a server that several share.
    #[key(flatten = PlaceKeys)]
    pub place: StorePlace,
    /// How often Windlass writes counters: how much of them a crash can lose. Keys and plans are
    /// written at once.
    #[key(default = "500ms", within = "50ms"..="10s")]
    pub flush_interval: Duration,
    /// How long Windlass may hear nothing about changes before `on_stale` applies and `/readyz`
    /// fails.
    #[key(default = "10s", within = "1s"..="10m")]
    pub max_staleness: Duration,
    /// The rule for stale key data: `deny` rejects requests with keys of the store (503
    /// `keys_unavailable`); `allow` keeps using the last known data.
    #[key(default = "deny")]
    pub on_stale: OnStale,
    /// The rule for limits when `url` cannot be reached and no share of the budget is left here: `deny`
    /// refuses requests, `allow` lets them pass, `local` applies the limit of this gateway alone.
    #[key(default = "deny")]
    pub on_unavailable: OnUnavailable,
    /// The most requests that one gateway takes out of a shared budget at a time. A smaller number
    /// is more exact; a larger one needs fewer calls to `url`.
    #[key(default = 100, within = 1..=1_000_000)]
    pub max_lease: u64,
    /// The longest that a request waits for this gateway's share of a budget from `url`; then 503
    /// `limits_unavailable`.
    #[key(default = "1s", within = "0s"..="10s")]
    pub max_wait: Duration,
    /// The most counters in memory: one for each key and plan in use.
    #[key(default = 1_000_000, within = 1..=100_000_000)]
    pub max_counters: usize,
    /// How many days Windlass keeps daily usage.
    #[key(default = 400, within = 1..=4000)]
    pub usage_days: u32,
    /// The table's header in the file.
    #[key(with = Table::span)]
    pub span: Span,
}

#[derive(FromTable)]
#[table(into = StorePlace, build = place)]
struct PlaceKeys {
    /// The SQLite file, relative to this one. Windlass creates it if it does not exist.
    #[key(absent = "required without `url`", kind = FILE, synonyms = "file")]
    path: Option<PathBuf>,
    /// The Redis or Valkey server: `redis://[user@]host[:port][/database]`, `rediss://` with TLS,
    /// or `unix:/socket`.
    #[key(absent = "required without `path`", kind = URL, synonyms = "redis")]
    url: Option<String>,
    #[key(flatten)]
    redis: RedisPlace,
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
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
pub struct RedisPlace {
    /// `redis://`, `rediss://` or `unix:`; never with a password.
    #[key(skip)]
    pub url: String,
    /// The `[secret.<name>]` that holds the password of `url`.
    #[key(absent = "no password", kind = SecretName)]
    pub password: Option<usize>,
    /// The prefix of all keys in `url`. Gateways with the same prefix share keys, plans and
    /// budgets.
    #[key(default = "windlass", kind = PREFIX)]
    pub prefix: String,
    /// For one call to `url`.
    #[key(default = "1s", within = "10ms"..="10s")]
    pub timeout: Duration,
}

/// The rule for keys when nothing was heard of changes for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
pub enum OnStale {
    /// Requests with one are answered 503.
    Deny,
    /// The last data counts.
    Allow,
}

const FILE: Parsed<PathBuf> = Parsed::in_folder("a file", store::file).private();

const URL: Parsed<String> = Parsed::new(
    "a URL such as `\"redis://localhost:6379/0\"`, `\"rediss://..\"` or `\"unix:/..\"`",
    store::url,
)
.matching("^(rediss?://|unix:)")
.private();

const PREFIX: Parsed<String> = Parsed::new("a name of letters, digits, `_` and `-`", store::prefix)
    .matching("^[A-Za-z0-9_-]{1,64}$");

fn some_store(table: &mut Table<'_>) {
    table.reader.has_store = true;
}

/// Warns of one slow call by which all keys are stale.
fn stale_by_one(table: &mut Table<'_>, store: &Store) {
    let StorePlace::Redis(RedisPlace { timeout, .. }) = store.place else {
        return;
    };
    let max_staleness = store.max_staleness;
    if timeout < max_staleness || table.is_incomplete() {
        return;
    }
    let Some(span) = table.span_if_sound(&["timeout", "max_staleness"]) else {
        return;
    };
    let (timeout, most) = (unit::duration(timeout), unit::duration(max_staleness));
    let message = format!(
        "`timeout` ({timeout}) is not below `max_staleness` ({most}): one call that hangs makes all keys stale"
    );
    table
        .warning(span, &message)
        .help("make `timeout` a small part of `max_staleness`");
}

fn place(table: &mut Table<'_>, keys: PlaceKeys) -> Option<StorePlace> {
    let cure = "add `path = \"windlass.db\"`, or `url = \"redis://localhost:6379/0\"` where several gateways share it";
    let none = "has neither `path` nor `url`, wanted exactly one";
    let key = table.exactly_one(&["path", "url"], (none, cure), "")?;
    if key == "path" {
        only_with_url(table);
        return keys.path.map(StorePlace::Sqlite);
    }
    Some(StorePlace::Redis(RedisPlace {
        url: keys.url?,
        ..keys.redis
    }))
}

fn only_with_url(table: &mut Table<'_>) {
    for key in [
        "password",
        "prefix",
        "timeout",
        "on_unavailable",
        "max_lease",
        "max_wait",
    ] {
        if table.has(key) {
            let message = format!("has `{key}` with `path`, which says something with `url` only");
            table.error_at(key, &message).help(
                "remove it: a file is of one gateway, which needs no lease and no connection",
            );
        }
    }
}
