//! How an upstream's requests are shared among its endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use windlass_config_derive::FromTable;

use super::sticky::Sticky;
use crate::config::field::{Choice, Parsed, text_values};
use crate::config::names::Group;
use crate::config::read::{HashParam, Table};
use crate::config::value::balance::{hash_key, threshold};
use crate::model::balance::{BalancePolicy, Threshold};
use crate::model::word::Word;

/// How an endpoint is picked.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(check = only_with_hash)]
pub struct Balance {
    /// How Windlass picks an endpoint: in turn, the one with the fewest active requests, the less
    /// loaded of two random ones, or by a key of the request. Every policy respects `weight`.
    #[key(
        name = "balance",
        default = "round-robin",
        kind = POLICY,
        synonyms = "policy lb_policy load_balancing algorithm"
    )]
    pub policy: BalancePolicy,
    /// The key of `consistent-hash`. Requests without it are spread by weight. An affinity that a
    /// filter hints comes first.
    #[key(absent = "`\"client\"`, its IP address")]
    pub(crate) hash_on: HashKey,
    /// How much of its fair share of the active requests an endpoint may have before
    /// `consistent-hash` sends its keys elsewhere, in percent.
    #[key(default = 125, within = 101..=10_000)]
    pub(crate) hash_bound: u32,
    /// How long an endpoint that joins or becomes healthy again takes to reach its full share,
    /// which grows evenly.
    #[key(absent = "its full share at once", within = "100ms"..="15m")]
    pub(crate) slow_start: Option<Duration>,
    /// If fewer than this number or share of the active tier is healthy, Windlass ignores health
    /// and balances across every endpoint in the tier that is not draining. With `"0"` it never
    /// does: requests get 503 when no healthy endpoint is left.
    #[key(default = "0")]
    pub(crate) fail_open: Threshold,
    /// If fewer than this number or share of a tier is available, Windlass uses the next tier.
    #[key(default = "1")]
    pub(crate) failover: Threshold,
    /// Labels of preferred endpoints, such as `{ zone = "a" }`. Windlass uses endpoints that have
    /// all of these labels before others of the same priority.
    #[key(absent = "none")]
    pub(crate) prefer: BTreeMap<String, String>,
    /// Keeps a client on one endpoint while that endpoint is available.
    #[key(
        absent = "each request may go to another endpoint",
        synonyms = "session affinity"
    )]
    pub(crate) sticky: Option<Sticky>,
}

/// The policies, and what other gateways call them.
const POLICY: Choice<BalancePolicy> = Choice {
    options: BalancePolicy::WORDS,
    hints: &[
        ("rr", "did you mean `\"round-robin\"`?"),
        (
            "weighted weighted-round-robin",
            "write `\"round-robin\"`: every policy goes by the endpoints' `weight`",
        ),
        (
            "least-request least-requests",
            "did you mean `\"least-connections\"`? It goes by active requests",
        ),
        ("random p2c", "did you mean `\"two-choices\"`?"),
        (
            "ip_hash ip-hash source",
            "write `\"consistent-hash\"`, which goes by the client's address without `hash_on`",
        ),
        (
            "hash ring-hash maglev",
            "write `\"consistent-hash\"`, and its key as `hash_on`",
        ),
        ("sticky", "`sticky` is a key of its own, beside any policy"),
        (
            "failover",
            "endpoints that are to wait have `priority = 1`, beside any policy",
        ),
    ],
};

/// The part of a request that is its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum HashKey {
    /// The client's IP address.
    #[default]
    Client,
    /// A field of the request.
    Header(HeaderName),
    Cookie(String),
    /// A parameter of the route's path.
    Param(String),
    /// An attribute that filters set.
    Attribute(String),
}

text_values! {
    HashKey: Parsed::new(
        "`\"client\"`, `\"header:<name>\"`, `\"cookie:<name>\"`, `\"param:<name>\"` or `\"attribute:<name>\"`",
        hash_key,
    )
    .matching("^(client|(header|cookie|param|attribute):.+)$");
    Threshold: Parsed::new(
        "a number of endpoints such as `\"1\"`, or a share such as `\"50%\"`",
        threshold,
    )
    .matching("^[0-9]+%?$");
}

/// Warns of what only `consistent-hash` looks at.
fn only_with_hash(table: &mut Table<'_>, balance: &Balance) {
    if balance.policy != BalancePolicy::ConsistentHash && table.is_sound("balance") {
        let why = "without `balance = \"consistent-hash\"`";
        table.idle(&["hash_on", "hash_bound"], why);
    }
    if balance.policy == BalancePolicy::ConsistentHash
        && let HashKey::Param(param) = &balance.hash_on
    {
        remember(table, param);
    }
}

/// Keeps a path parameter until the routes that lead to the upstream are known.
fn remember(table: &mut Table<'_>, param: &str) {
    let (name, span) = (table.name(), table.span_of("hash_on"));
    let reader = &mut *table.reader;
    if let Some(upstream) = reader.names.index(Group::Upstream, &name) {
        reader.hash_params.push(HashParam {
            upstream,
            name: param.to_owned(),
            span,
        });
    }
}
