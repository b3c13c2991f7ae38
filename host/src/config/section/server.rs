//! `[server]`: the process.

mod proxies;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use windlass_config_derive::FromTable;

use super::rate::{ClientRateKeys, Rate};
use crate::config::field::{FromValue, Parsed};
use crate::config::read::Table;
use crate::config::value::address;
use crate::config::value::name::pseudonym;

/// The process.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "[server]", check = proxies::check)]
pub struct Server {
    /// How many worker threads carry requests.
    #[key(absent = "one for each core", within = 1..=1024)]
    pub workers: Option<NonZeroUsize>,
    /// How long a stop waits for requests that are running.
    #[key(default = "30s", within = "0s"..="24h")]
    pub drain_timeout: Duration,
    /// How long a stop goes on taking requests after `/readyz` says 503, before it drains: a load
    /// balancer in front finds out meanwhile.
    #[key(default = "0s", within = "0s"..="1h")]
    pub drain_delay: Duration,
    /// The proxies in front of Windlass: it believes their `X-Forwarded-*` or `Forwarded` fields
    /// about the client and its request, and drops those of every other client.
    #[key(absent = "nobody's")]
    pub trusted_proxies: Vec<IpNet>,
    /// Fields that every client may send, although Windlass drops them by default: claims of who
    /// asks (`x-real-ip`, `x-consumer-*`, ..), and names with `_` that can be taken for them.
    #[key(absent = "none")]
    pub client_fields: Vec<HeaderName>,
    /// The DNS servers that Windlass asks for the names of endpoints: the next one if one fails, or
    /// is slow.
    #[key(absent = "the system's", each = RESOLVER)]
    pub(crate) resolvers: Vec<SocketAddr>,
    /// What all clients together may ask for, on each gateway.
    #[key(flatten = ClientRateKeys)]
    pub rate: Option<Rate>,
    /// The most counters of bounds without a key (`builtin:rate-limit`) in memory, some 200 bytes
    /// each, 600 with a Redis: one for each bound and value that is counted. Each bound has an
    /// equal share of one half, and the other half is for whoever comes first. Beyond that new
    /// values share one for each bound.
    #[key(default = 200000, within = 1..=100_000_000)]
    pub max_rate_counters: usize,
    /// The most proofs of clients' keys (DPoP, `builtin:jwt`) in memory, some 40 bytes each: each
    /// until it is too old. Beyond it 503 `too_many_proofs`. One client has half of the room at
    /// most.
    #[key(default = 900000, within = 1..=100_000_000)]
    pub max_used_proofs: usize,
    /// How requests name this gateway in `Via`, by which a loop is found: 508 `loop_detected`.
    /// Gateways that share a name count as one.
    #[key(absent = "a random name, another one at each start", kind = PSEUDONYM)]
    pub via: Option<String>,
    /// Whether all of [`Self::resolvers`] could be read.
    #[key(with = are_resolvers_whole)]
    pub(crate) are_resolvers_whole: bool,
}

impl FromValue for IpNet {
    type Kind = Parsed<Self>;
    const KIND: Parsed<Self> = Parsed::new(
        "a block of addresses such as `\"10.0.0.0/8\"`",
        |text, _| address::block(text),
    )
    .matching("^[0-9A-Fa-f.:]+/[0-9]+$");
}

const RESOLVER: Parsed<SocketAddr> = Parsed::new("an IP address with a port", |text, _| {
    address::resolver(text)
})
.matching(":[0-9]+$");

const PSEUDONYM: Parsed<String> = Parsed::new(
    "a name of letters, digits, `-`, `_` and `.`, up to 64 of them",
    |text, _| pseudonym(text),
)
.matching("^[A-Za-z0-9_.-]{1,64}$");

fn are_resolvers_whole(table: &mut Table<'_>) -> bool {
    table.are_whole(&["resolvers"])
}
