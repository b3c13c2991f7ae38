//! `[upstream.<name>]`: a named group of endpoints.

mod balance;
mod ejection;
mod endpoint;
mod group;
mod health;
mod pairs;
mod retry;
mod sticky;

use std::sync::Arc;
use std::time::Duration;

use windlass_config_derive::{FromTable, Word};

use super::ProxyProtocolVersion;
use super::tls::UpstreamTls;
use crate::config::field::{Parsed, text_values};
use crate::config::read::Table;
use crate::config::value::balance::statuses;
use crate::config::value::host;

pub(crate) use balance::*;
pub(crate) use ejection::*;
pub(crate) use endpoint::*;
pub(crate) use health::*;
pub(crate) use retry::*;
pub(crate) use sticky::*;

const ENDPOINTS: &str = "endpoints are a list: `endpoints = [{ address = \"10.0.0.1:8080\" }]`";
const TIMEOUTS: &str =
    "the time-outs are `connect_timeout`, `first_byte_timeout`, `idle_timeout` and `total_timeout`";
const KEEP_ALIVE: &str = "`max_idle` is the number of idle connections that are kept, `keep_alive_timeout` how long each is kept";
const HEALTH: &str = "it is called `health`: `health = { path = \"/healthz\" }`";

/// A named group of endpoints. The name is the attribute `upstream.name`.
#[derive(Debug, Clone, PartialEq, FromTable)]
#[table(heading = "[upstream.<name>]", check = check)]
#[hint("address url" => ENDPOINTS)]
#[hint("servers targets" => "they are called `endpoints`")]
#[hint("timeout timeouts" => TIMEOUTS)]
#[hint("read_timeout" => "it is called `first_byte_timeout`; between two pieces of a body it is `idle_timeout`")]
#[hint("max_active max_requests queue" => "write it in `limits`: `limits = { max_active = 100 }`")]
#[hint("max_connections" => "write it in `limits`: `limits = { max_connections = 100 }`")]
#[hint("attempts" => "write it in `retries`: `retries = { attempts = 3 }`")]
#[hint("max_retries" => "write it in `retries`: `retries = { attempts = 3 }`, the first one included")]
#[hint("health_check healthcheck check" => HEALTH)]
#[hint("circuit_breaker" => "`ejection` takes endpoints out by their faults, `limits` bounds what they get at once")]
#[hint("labels" => "each endpoint has its own: `{ address = \"10.0.0.1:8080\", labels = { zone = \"a\" } }`")]
#[hint("priority" => "each endpoint has its own: `{ address = \"10.0.0.1:8080\", priority = 1 }`")]
#[hint("weight" => "each endpoint has its own: `{ address = \"10.0.0.1:8080\", weight = 3 }`")]
#[hint("keepalive keep_alive keepalive_connections" => KEEP_ALIVE)]
#[hint("http2" => "write `protocol = \"http2\"`")]
#[hint("scheme" => "for TLS write `tls = true`")]
pub struct UpstreamConfig {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
    /// The endpoints, at least one.
    #[key(
        required = r#"[{ address = "10.0.0.1:8080" }]"#,
        entries,
        least = 1,
        few = "add one: `endpoints = [{ address = \"10.0.0.1:8080\" }]`"
    )]
    pub endpoints: Vec<Endpoint>,
    /// How an endpoint is picked.
    #[key(flatten)]
    pub balance: Balance,
    /// Checks the health of each endpoint.
    #[key(absent = "no checks")]
    pub(crate) health: Option<HealthCheck>,
    /// Ejects endpoints because of the results of requests.
    #[key(default = "{}", synonyms = "outlier_detection passive_health")]
    pub ejection: Ejection,
    /// When Windlass retries a request.
    #[key(default = "{}")]
    pub(crate) retries: Retries,
    /// How many requests and connections each endpoint gets.
    #[key(default = "{}")]
    pub(crate) limits: EndpointLimits,
    /// For a new connection, including its TLS handshake; then 504.
    #[key(default = "2s")]
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the response; then 504.
    #[key(default = "30s", synonyms = "response_timeout")]
    pub first_byte_timeout: Duration,
    /// Between two chunks of a body, or of data after an upgrade; then Windlass ends the exchange.
    #[key(default = "1m", synonyms = "send_timeout write_timeout")]
    pub idle_timeout: Option<Duration>,
    /// From when the request reaches the upstream, including time in the queue, to the end of the
    /// response; then 504, or the response is cut off.
    #[key(default = "none", synonyms = "request_timeout")]
    pub total_timeout: Option<Duration>,
    /// How long requests and streams may go on at an endpoint that is drained or removed; then
    /// Windlass cuts them off.
    #[key(default = "5m", within = "0s"..="24h")]
    pub(crate) drain_timeout: Option<Duration>,
    /// How long Windlass keeps an unused connection. Make it shorter than the endpoints keep
    /// theirs.
    #[key(default = "1m")]
    pub keep_alive_timeout: Duration,
    /// The most unused connections that a worker keeps for each endpoint.
    #[key(default = 128, within = 0..=100_000)]
    pub max_idle: usize,
    /// The largest response head. A larger one gets 502.
    #[key(default = "64KiB", within = "1KiB"..="1MiB")]
    pub max_head: usize,
    /// The most header fields in a response. More get 502.
    #[key(default = 1000, within = 1..=10_000)]
    pub max_headers: usize,
    /// The `host` that Windlass sends: `preserve` is the client's, `endpoint` is the endpoint's
    /// address, and a name is sent as it is.
    #[key(default = "preserve")]
    pub host: HostRule,
    /// Whether Windlass uses TLS to the endpoints; `false` is clear text. `true` is the same as a
    /// table without keys.
    #[key(default = false)]
    pub tls: Option<UpstreamTls>,
    /// The protocol to the endpoints. `auto` is HTTP/1.1 in clear text, and with TLS HTTP/2 if the
    /// endpoint supports it.
    #[key(default = "auto")]
    pub protocol: UpstreamProtocol,
    /// The version of the PROXY protocol with which Windlass names the client to the endpoints.
    /// Each connection then carries the requests of one client connection only, over HTTP/1.1.
    /// Health checks begin with a header that names no client, unless they have a `port` of their own.
    #[key(
        absent = "no PROXY protocol",
        synonyms = "send_proxy send_proxy_protocol"
    )]
    pub proxy_protocol: Option<ProxyProtocolVersion>,
}

/// The `host` that goes upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRule {
    /// That of the client.
    Preserve,
    /// The endpoint's address.
    Endpoint,
    /// This name.
    Literal(String),
}

text_values! {
    HostRule: Parsed::new("`\"preserve\"`, `\"endpoint\"` or a name", host::rule);
}

/// The protocol of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Word)]
#[hint("h1" => "did you mean `\"http1\"`?")]
#[hint("h2" => "did you mean `\"http2\"`?")]
#[hint("h2c" => "did you mean `\"http2\"`? On clear text it is HTTP/2 with prior knowledge")]
#[hint("grpc" => "gRPC goes over HTTP/2: write `\"http2\"`")]
#[hint("https tls" => "for TLS write `tls = true`; `protocol` may then be left out")]
#[hint("h3 http3 http/3" => "HTTP/3 is not spoken with endpoints: write `\"http2\"`")]
pub enum UpstreamProtocol {
    /// HTTP/1.1 on clear text; with TLS what the endpoint chooses of HTTP/2 and HTTP/1.1.
    Auto,
    Http1,
    /// HTTP/2; on clear text with prior knowledge.
    Http2,
}

/// Statuses, as ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusRanges(pub Vec<(u16, u16)>);

impl StatusRanges {
    #[must_use]
    pub(crate) fn holds(&self, status: u16) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(least, most)| (*least..=*most).contains(&status))
    }
}

text_values! {
    StatusRanges: Parsed::new("statuses such as `\"200-299,404\"`", statuses).matching("^[0-9, -]+$");
}

fn check(table: &mut Table<'_>, upstream: &UpstreamConfig) {
    retry::in_time(
        table,
        &upstream.retries,
        upstream.first_byte_timeout,
        upstream.total_timeout,
    );
    endpoint::weighed(table, &upstream.endpoints);
    group::check(table, &upstream.endpoints, &upstream.balance);
    group::share(table, &upstream.endpoints, &upstream.ejection);
    pairs::check(table, upstream);
}
