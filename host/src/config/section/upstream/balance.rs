//! How an upstream's requests are shared among its endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use super::sticky;
use crate::config::field::{
    Choice, Empty, Field, Is, Map, Nested, Optional, Parsed, Time, Whole, Written,
};
use crate::config::model::{Balance, BalancePolicy, HashKey, Sticky, Threshold};
use crate::config::names::Group;
use crate::config::read::{HashParam, Table};
use crate::config::value::balance::{hash_key, threshold};
use crate::config::value::name::{line, name};

/// What other gateways call the policies.
const BALANCE_HINTS: &[(&str, &str)] = &[
    ("rr", "did you mean `\"round-robin\"`?"),
    (
        "weighted",
        "write `\"round-robin\"`: every policy goes by the endpoints' `weight`",
    ),
    (
        "weighted-round-robin",
        "write `\"round-robin\"`: every policy goes by the endpoints' `weight`",
    ),
    (
        "least-request",
        "did you mean `\"least-connections\"`? It goes by active requests",
    ),
    (
        "least-requests",
        "did you mean `\"least-connections\"`? It goes by active requests",
    ),
    ("random", "did you mean `\"two-choices\"`?"),
    ("p2c", "did you mean `\"two-choices\"`?"),
    (
        "ip_hash",
        "write `\"consistent-hash\"`, which goes by the client's address without `hash_on`",
    ),
    (
        "ip-hash",
        "write `\"consistent-hash\"`, which goes by the client's address without `hash_on`",
    ),
    (
        "source",
        "write `\"consistent-hash\"`, which goes by the client's address without `hash_on`",
    ),
    (
        "hash",
        "write `\"consistent-hash\"`, and its key as `hash_on`",
    ),
    (
        "ring-hash",
        "write `\"consistent-hash\"`, and its key as `hash_on`",
    ),
    (
        "maglev",
        "write `\"consistent-hash\"`, and its key as `hash_on`",
    ),
    ("sticky", "`sticky` is a key of its own, beside any policy"),
    (
        "failover",
        "endpoints that are to wait have `priority = 1`, beside any policy",
    ),
];

pub(super) static BALANCE: Field<Choice<BalancePolicy>, Is<BalancePolicy>> = Field::new(
    "balance",
    Choice {
        options: &[
            ("round-robin", BalancePolicy::RoundRobin),
            ("least-connections", BalancePolicy::LeastConnections),
            ("two-choices", BalancePolicy::TwoChoices),
            ("consistent-hash", BalancePolicy::ConsistentHash),
        ],
        hints: BALANCE_HINTS,
    },
    Is(BalancePolicy::RoundRobin),
    "How an endpoint is picked: in turn, the one with the fewest active requests, the less loaded of two drawn by chance, or by a key of the request; all by weight.",
);

/// What of a request is its key.
pub(in crate::config) const HASH_KEY: Parsed<HashKey> = Parsed {
    words: "`\"client\"`, `\"header:<name>\"`, `\"cookie:<name>\"`, `\"param:<name>\"` or `\"attribute:<name>\"`",
    pattern: "^(client|(header|cookie|param|attribute):.+)$",
    private: false,
    parse: |text, _| hash_key(text),
};

pub(super) static HASH_ON: Field<Parsed<HashKey>, Optional> = Field::new(
    "hash_on",
    HASH_KEY,
    Optional("`\"client\"`, its IP address"),
    "The key of `consistent-hash`; a request without it is spread by weight. An affinity that a filter hints comes first.",
);

pub(super) static HASH_BOUND: Field<Whole<u32>, Is<u32>> = Field::new(
    "hash_bound",
    Whole {
        least: 101,
        most: 10_000,
        of: |number| u32::try_from(number).ok(),
    },
    Is(125),
    "How much of its fair share of the active requests an endpoint takes by `consistent-hash` before a key goes elsewhere; in percent.",
);

pub(super) static SLOW_START: Field<Time, Optional> = Field::new(
    "slow_start",
    Time {
        least: Duration::from_millis(100),
        most: Duration::from_mins(15),
    },
    Optional("its whole share at once"),
    "How long an endpoint that joins, or is well again, takes to get its whole share, which grows evenly.",
);

const THRESHOLD: Parsed<Threshold> = Parsed {
    words: "a number of endpoints such as `\"1\"`, or a share such as `\"50%\"`",
    pattern: "^[0-9]+%?$",
    private: false,
    parse: |text, _| threshold(text),
};

pub(super) static FAIL_OPEN: Field<Parsed<Threshold>, Written> = Field::new(
    "fail_open",
    THRESHOLD,
    Written("0"),
    "With fewer available endpoints than this, requests go to all that are not draining, as if they were well; `\"0\"`: never, 503 when none is left.",
);

pub(super) static FAILOVER: Field<Parsed<Threshold>, Written> = Field::new(
    "failover",
    THRESHOLD,
    Written("1"),
    "With fewer available endpoints than this, a priority group gives way to the next.",
);

pub(super) static PREFER: Field<Map<Parsed<String>>, Empty> = Field::new(
    "prefer",
    LABELS,
    Empty("none"),
    "Labels, such as `{ zone = \"a\" }`: endpoints that carry them are used before others of their priority.",
);

/// Names and values of one line.
pub(super) const LABELS: Map<Parsed<String>> = Map {
    of: Parsed {
        words: "a text of one line",
        pattern: "",
        private: false,
        parse: |text, _| line(text),
    },
    key: name,
    keys: "a name of letters, digits, `_` and `-`",
};

pub(super) static STICKY: Field<Nested<Sticky>, Optional> = Field::new(
    "sticky",
    Nested {
        section: &sticky::STICKY,
        read: sticky::sticky,
    },
    Optional("a client may get another endpoint with each request"),
    "Keeps a client on its endpoint while that is available.",
);

/// Reads what of an upstream says how its endpoints are picked.
pub(super) fn balance(table: &mut Table<'_>) -> Option<Balance> {
    let policy = table.take(&BALANCE);
    let hash_on = table.take(&HASH_ON);
    let hash_bound = table.take(&HASH_BOUND);
    let slow_start = table.take(&SLOW_START);
    let fail_open = table.take(&FAIL_OPEN);
    let failover = table.take(&FAILOVER);
    let prefer: BTreeMap<String, String> = table.take(&PREFER);
    let sticky = table.take(&STICKY);
    if policy != BalancePolicy::ConsistentHash && table.is_sound(BALANCE.key) {
        let why = "without `balance = \"consistent-hash\"`";
        table.idle(&[HASH_ON.key, HASH_BOUND.key], why);
    }
    if policy == BalancePolicy::ConsistentHash
        && let Some(HashKey::Param(param)) = &hash_on
    {
        remember(table, param);
    }
    Some(Balance {
        policy,
        hash_on: hash_on.unwrap_or(HashKey::Client),
        hash_bound,
        slow_start,
        fail_open: fail_open?,
        failover: failover?,
        prefer,
        sticky,
    })
}

/// Keeps a path parameter until the routes that lead to the upstream are known.
fn remember(table: &mut Table<'_>, param: &str) {
    let (name, span) = (table.name(), table.span_of(HASH_ON.key));
    let reader = table.reader();
    if let Some(upstream) = reader.names.place(Group::Upstream, &name) {
        reader.hash_params.push(HashParam {
            upstream,
            name: param.to_owned(),
            span,
        });
    }
}
