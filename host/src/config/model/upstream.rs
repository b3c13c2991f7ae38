//! `[upstream.<name>]`: endpoints, and how requests are shared among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::{BalancePolicy, Threshold, UpstreamProtocol, UpstreamTls};
use crate::config::source::Span;

/// `[upstream.<name>]`: a named group of endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    /// Its name: the attribute `upstream.name`.
    pub(crate) name: Arc<str>,
    /// How an endpoint is picked.
    pub balance: Balance,
    /// Its endpoints, at least one.
    pub endpoints: Vec<Endpoint>,
    /// Asks each endpoint whether it is well. Default none.
    pub(crate) health: Option<HealthCheck>,
    /// Takes endpoints out by the results of requests.
    pub ejection: Ejection,
    /// When a request is tried once more.
    pub(crate) retries: Retries,
    /// How much an endpoint is given at once.
    pub(crate) limits: EndpointLimits,
    /// For a new connection, its TLS handshake included. Default 2 s.
    pub connect_timeout: Duration,
    /// From the request's end to the response's head. Default 30 s.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a body. None is no bound. Default 60 s.
    pub idle_timeout: Option<Duration>,
    /// From when a request comes to the upstream to the end of the response. None is no bound, the
    /// default.
    pub total_timeout: Option<Duration>,
    /// How long what runs on an endpoint that is drained or removed may go on. None is no bound.
    /// Default 5 min.
    pub(crate) drain_timeout: Option<Duration>,
    /// How long an unused connection is kept. Default 60 s.
    pub keep_alive_timeout: Duration,
    /// The most unused connections that a worker keeps for each endpoint. Default 128.
    pub max_idle: usize,
    /// The largest response head. Bytes, default 64 KiB.
    pub max_head: usize,
    /// The most fields of a response head. Default 1,000.
    pub max_headers: usize,
    /// What goes upstream as `host`. Default preserve.
    pub host: HostRule,
    /// How TLS is spoken with the endpoints. None: it is not.
    pub tls: Option<UpstreamTls>,
    /// What is spoken with the endpoints. Default auto.
    pub protocol: UpstreamProtocol,
}

/// How an endpoint is picked.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    /// The policy. Default round robin.
    pub policy: BalancePolicy,
    /// What `consistent-hash` picks by. Default the client's address.
    pub(crate) hash_on: HashKey,
    /// How many times its fair share of the active requests an endpoint takes before a key goes
    /// elsewhere, in percent. Default 125.
    pub(crate) hash_bound: u32,
    /// How long an endpoint that is new or well again takes to get its whole share. Default none.
    pub(crate) slow_start: Option<Duration>,
    /// With fewer endpoints available, all that are not draining are used. Default never.
    pub(crate) fail_open: Threshold,
    /// A priority group with fewer endpoints available gives way to the next. Default one.
    pub(crate) failover: Threshold,
    /// Labels of the endpoints that are used before others of their priority. Default none.
    pub(crate) prefer: BTreeMap<String, String>,
    /// Keeps a client on its endpoint. Default none.
    pub(crate) sticky: Option<Sticky>,
}

/// What of a request is its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HashKey {
    /// The client's IP address.
    Client,
    /// A field of the request.
    Header(HeaderName),
    Cookie(String),
    /// A parameter of the route's path.
    Param(String),
    /// An attribute that filters set.
    Attribute(String),
}

/// `sticky = { .. }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sticky {
    /// How a client says where it belongs.
    pub(crate) by: StickyBy,
    /// The place of the secret that signs it.
    pub(crate) secret: usize,
    /// How long it holds after its last use. Default an hour.
    pub(crate) duration: Duration,
    /// How the cookie is set, where it is one.
    pub(crate) cookie: Cookie,
    /// What becomes of clients whose endpoint drains or has weight 0. Default they move.
    pub(crate) on_drain: OnDrain,
    /// The table in the file.
    pub(crate) span: Span,
}

/// The attributes of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Which requests from other sites it goes with. Default lax.
    pub(crate) same_site: SameSite,
    /// The domain whose hosts it goes to. None: the host that set it.
    pub(crate) domain: Option<String>,
    /// The path below which it goes. Default `/`.
    pub(crate) path: String,
    /// Whether it goes over TLS only. Default true.
    pub(crate) secure: bool,
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            same_site: SameSite::Lax,
            domain: None,
            path: "/".to_owned(),
            secure: true,
        }
    }
}

/// Which requests from other sites a cookie goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameSite {
    /// Links that are followed.
    Lax,
    /// None.
    Strict,
    /// All.
    None,
}

/// What becomes of a client whose endpoint drains or has weight 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDrain {
    /// It moves to another endpoint.
    Move,
    Stay,
}

/// How a client says where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StickyBy {
    Cookie(String),
    /// By this field, of the request as of the response.
    Header(HeaderName),
}

/// `health = { .. }`: asks each endpoint whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthCheck {
    /// How it is asked.
    pub(crate) probe: Probe,
    /// Between two questions, by chance up to a tenth more or less. Default 5 s.
    pub(crate) interval: Duration,
    /// For one answer. Default 2 s.
    pub(crate) timeout: Duration,
    /// So many good answers in a row make it healthy. Default 2.
    pub(crate) rise: u32,
    /// So many bad ones make it unhealthy. Default 3.
    pub(crate) fall: u32,
    /// The port to ask, where it is not that of the requests.
    pub(crate) port: Option<u16>,
    /// Whether TLS is spoken. Default as with requests.
    pub(crate) tls: CheckTls,
}

/// Whether checks speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckTls {
    /// As the endpoint's requests do.
    AsRequests,
    /// Clear text.
    Off,
    /// TLS of its own; without a key of its own that of the requests, where these speak TLS.
    On(UpstreamTls),
}

/// How an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// By a connection that is made and closed.
    Tcp,
    /// By an HTTP request.
    Http(HttpCheck),
    /// By the gRPC health protocol, for this service; empty for the whole server.
    Grpc(String),
}

/// What an HTTP check sends and wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpCheck {
    /// Default GET.
    pub(crate) method: http::Method,
    /// Default `/`.
    pub(crate) path: String,
    /// The `host` field. Default the endpoint's address.
    pub(crate) host: Option<String>,
    /// Good statuses. Default 200 to 399.
    pub(crate) expect: StatusRanges,
    /// What the body must contain, within its first 64 KiB.
    pub(crate) body: Option<String>,
}

/// Statuses, as ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    #[must_use]
    pub(crate) fn holds(&self, status: u16) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(least, most)| (*least..=*most).contains(&status))
    }
}

/// `ejection = { .. }`: takes endpoints out by the results of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// So many faults in a row. Default 5; 0 never.
    pub(crate) faults: u32,
    /// A smaller share of good results within an interval, in percent. Default 0: never.
    pub(crate) min_success: u32,
    /// Results that are needed to tell a share. Default 50.
    pub(crate) min_requests: u32,
    /// How often shares are told. Default 10 s.
    pub(crate) interval: Duration,
    /// Statuses that are faults. Default none.
    pub statuses: StatusRanges,
    /// How long the first time; as much longer with each. Default 10 s.
    pub(crate) backoff: Duration,
    /// The longest. Default 5 min.
    pub(crate) max_backoff: Duration,
    /// The most endpoints that are out at once, in percent, rounded down. Default 50.
    pub(crate) max_share: u32,
}

/// `retries = { .. }`: when a request is tried once more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retries {
    /// The most attempts, the first included. Default 2.
    pub(crate) attempts: u32,
    /// Why. Default connect and reset.
    pub(crate) on: Vec<RetryOn>,
    /// Statuses that are tried elsewhere. Default none.
    pub(crate) statuses: StatusRanges,
    /// For one attempt. Default none beside the first-byte time-out.
    pub(crate) try_timeout: Option<Duration>,
    /// The largest body that is kept for it. Bytes, default 64 KiB.
    pub(crate) max_body: usize,
    /// Retries for each hundred requests. Default 20.
    pub(crate) budget: u32,
    /// Retries a second beside those. Default 10.
    pub(crate) budget_rate: u32,
}

/// Why a request is tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryOn {
    /// No connection: nothing was sent.
    Connect,
    /// The connection ended before the response's first byte.
    Reset,
    /// No response in time.
    Timeout,
}

/// `limits = { .. }` of an upstream: how much an endpoint is given at once, by all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointLimits {
    /// Active requests. Default no limit.
    pub(crate) max_active: Option<u32>,
    /// Connections. Default no limit.
    pub(crate) max_connections: Option<u32>,
    /// Requests that wait for an endpoint, by all workers. Default 128.
    pub(crate) queue: usize,
    /// How long one waits. Default 1 s.
    pub(crate) queue_timeout: Duration,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `ip:port`, or `name:port`, which is resolved again and again.
    pub(crate) address: String,
    /// The address in the file.
    pub span: Span,
    /// 0 to 1000; 0 takes nothing. Default 1.
    pub weight: u32,
    /// 0 is the first to be used. Default 0.
    pub(crate) priority: u8,
    /// For route hints, and `prefer`. Default none.
    pub labels: BTreeMap<String, String>,
}

/// What goes upstream as `host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// What the client sent.
    Preserve,
    /// The endpoint's address.
    Endpoint,
    /// This name.
    Literal(String),
}
