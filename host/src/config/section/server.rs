//! `[server]`: the process.

mod forwarding;
mod proxies;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use windlass_config_derive::FromTable;

use super::rate::ClientRateKeys;
use super::security_headers::{SecurityHeaders, ServerHeader};
use crate::config::field::{Parsed, text_values};
use crate::config::read::Table;
use crate::config::value::address;
use crate::config::value::name::{account, pseudonym};
use crate::model::plan::RateLimit;

pub use forwarding::*;

/// The process.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "[server]", check = proxies::check)]
pub struct Server {
    /// The number of worker threads that carry requests.
    #[key(absent = "one for each core", within = 1..=1024)]
    pub workers: Option<NonZeroUsize>,
    /// The user that Windlass becomes after it has bound its sockets, by name or number, if root starts it.
    /// It gives up all capabilities then.
    #[key(absent = "the user that starts it", kind = ACCOUNT)]
    pub user: Option<String>,
    /// The group that Windlass takes with [`Self::user`], by name or number.
    #[key(absent = "the user's own group", kind = ACCOUNT)]
    pub group: Option<String>,
    /// How long Windlass waits at a stop for requests that are still running.
    #[key(default = "30s", within = "0s"..="24h")]
    pub drain_timeout: Duration,
    /// How long Windlass keeps accepting requests at a stop after `/readyz` answers 503 and before
    /// it drains, so that a load balancer in front notices.
    #[key(default = "0s", within = "0s"..="1h")]
    pub drain_delay: Duration,
    /// The proxies in front of Windlass. It believes the `X-Forwarded-*` or `Forwarded` fields that
    /// they send, and drops these fields from every other client. The client is the rightmost
    /// address in `X-Forwarded-For` that is not one of these proxies. `Forwarded` counts if there
    /// is no `X-Forwarded-For`.
    #[key(absent = "none")]
    pub trusted_proxies: Vec<IpNet>,
    /// Fields that every client may send although Windlass drops them by default: claims about the
    /// sender (`x-real-ip`, `x-consumer-*` and others), and names with `_` that can be mistaken for
    /// them.
    #[key(absent = "none")]
    pub client_fields: Vec<HeaderName>,
    /// The rules by which endpoints learn of clients and traces.
    #[key(flatten)]
    pub forwarding: ForwardingRules,
    /// The DNS servers that resolve the names of endpoints. If one fails or is slow, Windlass asks
    /// the next.
    #[key(absent = "those of the system", each = RESOLVER)]
    pub(crate) resolvers: Vec<SocketAddr>,
    /// The rate of all clients together, on each gateway.
    #[key(flatten = ClientRateKeys)]
    pub rate: Option<RateLimit>,
    /// The most counters in memory for limits without a key (`builtin:rate-limit`): one for each
    /// limit and counted value, about 200 bytes each, 600 with Redis. Half of the room is divided
    /// equally among the limits, the other half goes to whichever limit needs it first. Beyond
    /// that, new values of a limit share one counter.
    #[key(default = 200_000, within = 1..=100_000_000)]
    pub max_rate_counters: usize,
    /// The most proofs of clients' keys in memory (DPoP, `builtin:jwt`), about 40 bytes each. Each
    /// is kept until it is too old. Beyond it, requests get 503 `too_many_proofs`. One client can
    /// use at most half of the room.
    #[key(default = 900_000, within = 1..=100_000_000)]
    pub max_used_proofs: usize,
    /// The most active requests. Upgraded connections count too. Beyond it, requests get 503
    /// `gateway_overloaded`. With many workers, Windlass may refuse from seven eighths of it on.
    #[key(default = 100_000, within = 1..=100_000_000)]
    pub max_active_requests: usize,
    /// The most resident memory of the process. Near it, requests get 503 `gateway_overloaded` until
    /// Windlass uses less.
    #[key(absent = "90 % of the memory of the machine or container", within = "16MiB"..="64TiB")]
    pub max_memory: Option<u64>,
    /// The name of this gateway in `Via`. Windlass uses it to detect loops (508 `loop_detected`).
    /// Gateways that share a name count as one.
    #[key(absent = "a random name, a new one at each start", kind = PSEUDONYM)]
    pub via: Option<String>,
    /// Fields that tell browsers to be careful. `true` is the same as a table without keys.
    #[key(default = false)]
    pub(crate) security_headers: Option<SecurityHeaders>,
    /// The `server` field of every response: `pass` leaves that of the endpoint, `off` removes it, and any other text is
    /// sent in its place.
    #[key(name = "server_header", default = "pass")]
    pub(crate) product: ServerHeader,
    /// Whether all of [`Self::resolvers`] could be read.
    #[key(with = are_resolvers_whole)]
    pub(crate) are_resolvers_whole: bool,
}

text_values! {
    IpNet: Parsed::new(
        "a block of addresses such as `\"10.0.0.0/8\"`",
        address::block,
    )
    .matching("^[0-9A-Fa-f.:]+/[0-9]+$");
}

const RESOLVER: Parsed<SocketAddr> =
    Parsed::new("an IP address with a port", address::resolver).matching(":[0-9]+$");

const ACCOUNT: Parsed<String> =
    Parsed::new("a name of this machine, or its number", account).matching("^[A-Za-z0-9_.-]+$");

const PSEUDONYM: Parsed<String> = Parsed::new(
    "a name of letters, digits, `-`, `_` and `.`, up to 64 of them",
    pseudonym,
)
.matching("^[A-Za-z0-9_.-]{1,64}$");

fn are_resolvers_whole(table: &mut Table<'_>) -> bool {
    table.are_whole(&["resolvers"])
}
