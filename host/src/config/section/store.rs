//! `[store]`: where keys, plans and usage are kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::field::{
    Choice, Field, Is, Optional, Parsed, SecretName, Section, Time, Whole, Written,
};
use crate::config::model::{OnStale, OnUnavailable, RedisPlace, Store, StorePlace};
use crate::config::read::Table;
use crate::config::value::{duration, store};

/// `[store]`.
pub(super) static STORE: Section = Section {
    heading: "[store]",
    doc: "Where keys, plans and usage are kept: in a file of this gateway's own, or in a Redis or Valkey that several share. Exactly one of `path` and `url`. Without it there are only those of this file, and counters are lost with the process.",
    fields: &[
        &PATH,
        &URL,
        &PASSWORD,
        &PREFIX,
        &TIMEOUT,
        &FLUSH_INTERVAL,
        &MAX_STALENESS,
        &ON_STALE,
        &ON_UNAVAILABLE,
        &MAX_LEASE,
        &MAX_WAIT,
        &MAX_COUNTERS,
        &USAGE_DAYS,
    ],
    hints: &[
        ("file", "it is called `path`"),
        ("redis", "it is called `url`"),
        (
            "address",
            "it is called `url`: `url = \"redis://localhost:6379/0\"`",
        ),
    ],
    short: Some("path"),
    private: true,
};

static PATH: Field<Parsed<PathBuf>, Optional> = Field::new(
    "path",
    Parsed {
        words: "a file",
        pattern: "",
        private: true,
        parse: store::file,
    },
    Optional("then `url` must be there"),
    "The SQLite file, relative to this one; it is made where there is none.",
);

static URL: Field<Parsed<String>, Optional> = Field::new(
    "url",
    Parsed {
        words: "a URL such as `\"redis://localhost:6379/0\"`, `\"rediss://..\"` or `\"unix:/..\"`",
        pattern: "^(rediss?://|unix:)",
        private: true,
        parse: |text, _| store::url(text),
    },
    Optional("then `path` must be there"),
    "The Redis or Valkey: `redis://[user@]host[:port][/database]`, `rediss://` with TLS, or `unix:/socket`.",
);

static PASSWORD: Field<SecretName, Optional> = Field::new(
    "password",
    SecretName,
    Optional("no password"),
    "The `[secret.<name>]` that holds the password for `url`.",
);

static PREFIX: Field<Parsed<String>, Written> = Field::new(
    "prefix",
    Parsed {
        words: "a name of letters, digits, `_` and `-`",
        pattern: "^[A-Za-z0-9_-]{1,64}$",
        private: false,
        parse: |text, _| store::prefix(text),
    },
    Written("windlass"),
    "The beginning of the names of all its keys in `url`: gateways with the same one share keys, plans and budgets.",
);

static TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "timeout",
    Time {
        least: Duration::from_millis(10),
        most: Duration::from_secs(10),
    },
    Is(Duration::from_secs(1)),
    "For one call of `url`.",
);

static FLUSH_INTERVAL: Field<Time, Is<Duration>> = Field::new(
    "flush_interval",
    Time {
        least: Duration::from_millis(50),
        most: Duration::from_secs(10),
    },
    Is(Duration::from_millis(500)),
    "How often counters are written: what a crash may lose of them. Keys and plans are written at once.",
);

static MAX_STALENESS: Field<Time, Is<Duration>> = Field::new(
    "max_staleness",
    Time {
        least: Duration::from_secs(1),
        most: Duration::from_mins(10),
    },
    Is(Duration::from_secs(10)),
    "How long nothing may be heard of changes, before `on_stale` holds and `/readyz` fails.",
);

static ON_STALE: Field<Choice<OnStale>, Is<OnStale>> = Field::new(
    "on_stale",
    Choice {
        options: &[("deny", OnStale::Deny), ("allow", OnStale::Allow)],
        hints: &[],
    },
    Is(OnStale::Deny),
    "Whether keys of the store are refused then (503 `keys_unavailable`), or hold as they were last.",
);

static ON_UNAVAILABLE: Field<Choice<OnUnavailable>, Is<OnUnavailable>> = Field::new(
    "on_unavailable",
    Choice {
        options: &[
            ("deny", OnUnavailable::Deny),
            ("allow", OnUnavailable::Allow),
            ("local", OnUnavailable::Local),
        ],
        hints: &[],
    },
    Is(OnUnavailable::Deny),
    "How limits answer when `url` is out of reach and no share of the budget is left here: no, yes, or as this gateway alone would.",
);

static MAX_LEASE: Field<Whole<u64>, Is<u64>> = Field::new(
    "max_lease",
    Whole {
        least: 1,
        most: 1_000_000,
        of: Some,
    },
    Is(100),
    "The most requests that one gateway takes out of a shared budget at once: less is more exact, more is fewer calls of `url`.",
);

static MAX_WAIT: Field<Time, Is<Duration>> = Field::new(
    "max_wait",
    Time {
        least: Duration::ZERO,
        most: Duration::from_secs(10),
    },
    Is(Duration::from_secs(1)),
    "The longest that a request waits for `url` to tell this gateway's share of a budget, before it is answered 503 `limits_unavailable`.",
);

static MAX_COUNTERS: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_counters",
    Whole {
        least: 1,
        most: 100_000_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(1_000_000),
    "The most counters in memory, one for each key and plan that is in use.",
);

static USAGE_DAYS: Field<Whole<u32>, Is<u32>> = Field::new(
    "usage_days",
    Whole {
        least: 1,
        most: 4000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(400),
    "How many days usage is kept by day.",
);

/// Reads `[store]`.
pub(super) fn store(table: &mut Table<'_>) -> Option<Store> {
    let place = place(table);
    let flush_interval = table.take(&FLUSH_INTERVAL);
    let max_staleness = table.take(&MAX_STALENESS);
    let on_stale = table.take(&ON_STALE);
    let on_unavailable = table.take(&ON_UNAVAILABLE);
    let max_lease = table.take(&MAX_LEASE);
    let max_wait = table.take(&MAX_WAIT);
    let max_counters = table.take(&MAX_COUNTERS);
    let usage_days = table.take(&USAGE_DAYS);
    table.reader().has_store = true;
    if let Some(StorePlace::Redis(redis)) = &place {
        stale_by_one(table, redis.timeout, max_staleness);
    }
    Some(Store {
        place: place?,
        flush_interval,
        max_staleness,
        on_stale,
        on_unavailable,
        max_lease,
        max_wait,
        max_counters,
        usage_days,
        span: table.span(),
    })
}

/// Warns of one slow call by which all keys are stale.
fn stale_by_one(table: &mut Table<'_>, timeout: Duration, max_staleness: Duration) {
    let are_sound = table.is_sound(TIMEOUT.key) && table.is_sound(MAX_STALENESS.key);
    if timeout < max_staleness || !are_sound || table.is_incomplete() {
        return;
    }
    let key = if table.has(TIMEOUT.key) {
        TIMEOUT.key
    } else {
        MAX_STALENESS.key
    };
    let (timeout, most) = (duration::print(timeout), duration::print(max_staleness));
    let message = format!(
        "`timeout` ({timeout}) is not below `max_staleness` ({most}): one call that hangs makes all keys stale"
    );
    table
        .warning(table.span_of(key), &message)
        .help("make `timeout` a small part of `max_staleness`");
}

/// Reads where it is; reports none, both, and what only a server has.
fn place(table: &mut Table<'_>) -> Option<StorePlace> {
    let path = table.take(&PATH);
    let url = table.take(&URL);
    let password = table.take(&PASSWORD);
    let prefix = table.take(&PREFIX);
    let timeout = table.take(&TIMEOUT);
    match (table.has(PATH.key), table.has(URL.key)) {
        (true, true) => {
            let span = table.span_of(PATH.key).max(table.span_of(URL.key));
            table.error(span, "has both `path` and `url`, wanted exactly one");
            None
        }
        (false, false) => {
            if !table.is_incomplete() {
                let span = table.span();
                table
                    .error(span, "has neither `path` nor `url`, wanted exactly one")
                    .help("add `path = \"windlass.db\"`, or `url = \"redis://localhost:6379/0\"` where several gateways share it");
            }
            None
        }
        (true, false) => {
            only_with_url(table);
            path.map(StorePlace::Sqlite)
        }
        (false, true) => Some(StorePlace::Redis(RedisPlace {
            url: url?,
            password,
            prefix: prefix?,
            timeout,
        })),
    }
}

fn only_with_url(table: &mut Table<'_>) {
    for key in [
        PASSWORD.key,
        PREFIX.key,
        TIMEOUT.key,
        ON_UNAVAILABLE.key,
        MAX_LEASE.key,
        MAX_WAIT.key,
    ] {
        if table.has(key) {
            let span = table.span_of(key);
            let message = format!("has `{key}` with `path`, which says something with `url` only");
            table.error(span, &message).help(
                "remove it: a file is of one gateway, which needs no lease and no connection",
            );
        }
    }
}
