//! The configuration as used: typed, with every default filled in and every name resolved.
//!
//! What the operator wrote is read in `config/section`, one reader a section; what the gateway works
//! with is this. References between parts are places in the lists below, so that nothing is
//! looked up by name after the start. Spans point into [`Config::source`], so that what is found
//! out later (by a plugin, for example) is still reported at its line.

mod admin;
mod callout;
mod sold;
mod store;
mod tls;
mod upstream;
mod verifier;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::problem::Problems;
use super::source::{Source, Span};

pub use crate::model::admin::Role;
pub use crate::model::balance::BalancePolicy;
pub(crate) use crate::model::balance::Threshold;
pub use crate::model::error_body::{ErrorStyle, ResponsePart};
pub use crate::model::filter::{HostInterface, Isolation, OnError};
pub use crate::model::period::{Period, Weekday};
pub use crate::model::store::{OnUnavailable, SecretSource};
pub(crate) use admin::{Admin, AdminToken};
pub use callout::BasicForm;
pub(crate) use callout::Callout;
pub use sold::Rate;
pub(crate) use sold::{Api, ApiResponse, Key, Plan, PlanMethod, Quota};
pub use store::{OnStale, RedisPlace, Store, StorePlace};
pub use tls::UpstreamProtocol;
pub(crate) use tls::{Identity, ListenerTls, UpstreamTls};
pub use upstream::HostRule;
pub(crate) use upstream::{
    Balance, CheckTls, Cookie, Ejection, Endpoint, EndpointLimits, HashKey, HealthCheck, HttpCheck,
    OnDrain, Probe, Retries, RetryOn, SameSite, StatusRanges, Sticky, StickyBy, UpstreamConfig,
};
pub use verifier::{KeyFetch, KeysFrom};
pub(crate) use verifier::{RequiredClaim, Verifier};

/// All that one file says.
#[derive(Debug)]
pub struct Config {
    /// The file's name and text.
    pub source: Arc<Source>,
    /// What works, but hardly as meant. What is found later is added to it.
    pub warnings: Problems,
    /// `[server]`.
    pub server: Server,
    /// `[[listener]]`, at least one.
    pub listeners: Vec<Listener>,
    /// `[admin]`, if there.
    pub admin: Option<Admin>,
    /// `[wasm]`.
    pub wasm: Wasm,
    /// `[log]`.
    pub log: Log,
    /// `[store]`, if there.
    pub store: Option<Store>,
    /// `[secret.<name>]`.
    pub secrets: Vec<Secret>,
    /// `[verifier.<name>]`.
    pub verifiers: Vec<Verifier>,
    /// `[callout.<name>]`.
    pub callouts: Vec<Callout>,
    /// `[api.<name>]`.
    pub apis: Vec<Api>,
    /// `[plan.<name>]`.
    pub plans: Vec<Plan>,
    /// `[[key]]`.
    pub keys: Vec<Key>,
    /// `[[route]]`.
    pub routes: Vec<RouteConfig>,
    /// `[filter.<name>]`.
    pub filters: Vec<FilterConfig>,
    /// `[upstream.<name>]`.
    pub upstreams: Vec<UpstreamConfig>,
}

/// `[server]`: the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Worker threads. None: one for each core.
    pub workers: Option<NonZeroUsize>,
    /// How long a drain waits for requests that are running. Default 30 s.
    pub drain_timeout: Duration,
    /// How long a stop goes on taking requests before it drains. Default none.
    pub drain_delay: Duration,
    /// Whose `X-Forwarded-*` fields are believed. Default: nobody's.
    pub trusted_proxies: Vec<Cidr>,
    /// Fields that any client may send, although they are dropped by default. Default: none.
    pub client_fields: Vec<HeaderName>,
    /// The DNS servers that names of endpoints are asked of. Default the system's.
    pub(crate) resolvers: Vec<SocketAddr>,
    /// What all clients together may ask for, on each gateway. Default no bound.
    pub rate: Option<Rate>,
    /// The most counters of bounds without a key. Default 200,000.
    pub max_rate_counters: usize,
    /// The most proofs of clients' keys that are remembered. Default 900,000.
    pub max_used_proofs: usize,
    /// Its name in `Via`. Default one of its own, by chance.
    pub via: Option<String>,
    /// Whether all of [`Self::resolvers`] could be read.
    pub(crate) are_resolvers_whole: bool,
}

/// A block of addresses, RFC 4632 (IPv4) and RFC 4291 (IPv6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Any address of the block.
    pub(crate) address: std::net::IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

/// `[[listener]]`: a bound socket.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Where it is bound. Port 0 lets the system choose.
    pub(crate) address: SocketAddr,
    /// From the first byte of a request's head to its end. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection may idle between requests. Default 75 s.
    pub keep_alive_timeout: Duration,
    /// Between two pieces of a request's body. None is no bound. Default 30 s.
    pub body_idle_timeout: Option<Duration>,
    /// How long a client may take nothing of a response. Default 30 s.
    pub write_timeout: Duration,
    /// The largest request head. Bytes, default 32 KiB.
    pub max_head: usize,
    /// The longest request target. Bytes, default 8 KiB.
    pub max_uri: usize,
    /// The most fields of a request head. Default 100.
    pub max_headers: usize,
    /// The most connections open at once. Default 10,000.
    pub max_connections: usize,
    /// The most requests at once on one HTTP/2 connection. Default 100.
    pub max_streams: u32,
    /// Its certificate. None: clear text.
    pub tls: Option<ListenerTls>,
}

/// `[wasm]`: totals of the filter engine. Fixed for the life of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wasm {
    /// The most filter instances at once. Default 1,000.
    pub max_instances: NonZeroU32,
    /// The linear memory of all instances together. Bytes, default 1 GiB.
    pub memory: u64,
    /// The most that one filter may be allowed by its `limits.memory`. Bytes, default 256 MiB.
    pub max_memory: u64,
    /// Where compiled components are kept.
    pub cache: CompileCache,
}

/// Where compiled components are kept between starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompileCache {
    /// In the user's cache folder (`$XDG_CACHE_HOME/windlass`, else `~/.cache/windlass`).
    UserFolder,
    Folder(PathBuf),
    Off,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least important of the gateway's own lines that is written (to stderr). Default info.
    pub level: LogLevel,
    /// Where the access log goes. Default off.
    pub access: AccessLog,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For finding faults.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may need a hand.
    Warn,
    /// What went wrong.
    Error,
}

/// Where the access log goes: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Stdout,
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

/// `[secret.<name>]`: a value that filters name but never see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub name: Arc<str>,
    /// Where its value is read from.
    pub from: SecretSource,
    /// The table's name in the file.
    pub(crate) span: Span,
}

/// `[[route]]`: match, chain and end.
#[derive(Debug)]
pub struct RouteConfig {
    /// Its name: the attribute `route.id`. Default: its methods, hosts and path. Unique.
    pub name: Arc<str>,
    /// The place of its API in [`Config::apis`].
    pub api: Option<usize>,
    /// Its pattern: `/orders/{id}`, `/files/{rest+}`, or `$default`.
    pub path: String,
    /// The `path` value in the file.
    pub(crate) path_span: Span,
    /// Its methods; empty is any.
    pub methods: Vec<Method>,
    /// Its hosts, lower-case: `api.example.com`, `*.example.com`; empty is any.
    pub hosts: Vec<String>,
    /// Its filters, in the order in which they run.
    pub filters: Vec<FilterReference>,
    /// Where the request goes after the chain.
    pub end: RouteEnd,
    /// The largest request body. None is no bound. Bytes, default 10 MiB.
    pub max_body: Option<u64>,
    /// Lowers the upstream's time-outs.
    pub timeouts: RouteTimeouts,
    /// What all clients together may ask of it, on each gateway. Default no bound.
    pub rate: Option<Rate>,
    /// Whether all that says which requests it takes could be read.
    pub(crate) is_match_whole: bool,
    /// The entry in the file.
    pub(crate) span: Span,
}

/// What a route lowers of its upstream's time-outs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// `connect_timeout`.
    pub(crate) connect: Option<Duration>,
    /// `first_byte_timeout`.
    pub first_byte: Option<Duration>,
    /// `idle_timeout`.
    pub(crate) idle: Option<Duration>,
    /// `total_timeout`.
    pub(crate) total: Option<Duration>,
}

/// The place of what is wrong itself, or is not there: no list has it.
///
/// Only in a configuration that has errors.
pub(crate) const NOWHERE: usize = usize::MAX;

/// A filter's place in a route's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterReference {
    /// The filter's place in [`Config::filters`], or [`NOWHERE`].
    pub filter: usize,
    /// The word in the route's list.
    pub span: Span,
}

/// Where a request goes after the chain.
#[derive(Debug)]
pub enum RouteEnd {
    /// To the upstream at this place of [`Config::upstreams`].
    Upstream(usize),
    /// To one of several upstreams, by weight.
    Split(RouteSplit),
    Respond(FixedResponse),
    Redirect(Redirect),
}

/// `split = [{ .. }]`: several upstreams, each with its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSplit {
    /// Places in [`Config::upstreams`], and weights from 0 to 1000.
    pub(crate) groups: Vec<(usize, u32)>,
    /// What keeps a request's sender in its group. None: chance.
    pub(crate) on: Option<HashKey>,
}

/// `respond = { .. }`.
#[derive(Debug, Clone, Default)]
pub struct FixedResponse {
    /// Default 200.
    pub(crate) status: StatusCode,
    /// Its fields; framing fields are refused.
    pub headers: HeaderMap,
    /// Its body. Default empty.
    pub body: bytes::Bytes,
}

/// `redirect = { .. }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The `location`: absolute, or a path on the same host. `${path}` and `${query}` stand for
    /// the request's own path and for its query with the `?` (empty where there is none).
    pub(crate) to: String,
    /// 301, 302, 303, 307 or 308. Default 308.
    pub status: StatusCode,
}

/// `[filter.<name>]`: a plugin with settings.
#[derive(Debug)]
pub struct FilterConfig {
    pub name: Arc<str>,
    pub plugin: PluginSource,
    /// The `plugin` value in the file.
    pub(crate) plugin_span: Span,
    /// Its settings, for `configure`.
    pub settings: Settings,
    /// The files that it may read, in alphabetical order of their names.
    pub documents: Vec<FilterDocument>,
    /// What it may use. None: nothing for a file, what its README lists for a `builtin:` one.
    pub allow: Option<Allow>,
    /// Its bounds.
    pub limits: FilterLimits,
    /// What happens when it fails. Default deny.
    pub on_error: OnError,
    /// Whether its instances serve many requests. Default shared.
    pub isolation: Isolation,
    /// When an instance is given up for a new one.
    pub recycle: Recycle,
    /// When it is not called any more for a while.
    pub breaker: Breaker,
    /// Whether all that it is started with could be read.
    pub(crate) is_whole: bool,
    /// The table's name in the file.
    pub span: Span,
}

/// What a filter's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// One that comes with the gateway.
    Builtin(String),
    /// A file; relative names are resolved against the config file's folder.
    File(PathBuf),
}

/// A file of a filter's `documents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterDocument {
    /// The plugin finds it by this name.
    pub name: String,
    /// The file; relative names are resolved against the config file's folder.
    pub path: PathBuf,
    /// The path in the file.
    pub span: Span,
}

/// A plugin's settings: JSON for the plugin, and where each value stands in the file. The
/// default is the empty object.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The table as JSON; an empty object where the file has none.
    pub json: serde_json::Value,
    /// Where the value of each JSON pointer (RFC 6901) stands; `""` is the whole.
    pub spans: BTreeMap<String, Span>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            json: serde_json::json!({}),
            spans: BTreeMap::from([(String::new(), Span::default())]),
        }
    }
}

/// `allow = { .. }`: what a filter may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    pub interfaces: Vec<HostInterface>,
    /// Attributes that it may write: exact names, or `prefix.*`.
    pub(crate) attributes: Vec<String>,
    /// Upstreams that it may route to, as places in [`Config::upstreams`].
    pub upstreams: Vec<usize>,
    /// Secrets that it may use, as places in [`Config::secrets`].
    pub secrets: Vec<usize>,
    /// Servers that it may ask, as places in [`Config::callouts`].
    pub(crate) callouts: Vec<usize>,
    /// The `allow` value in the file.
    pub(crate) span: Span,
}

/// `limits = { .. }` of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterLimits {
    /// CPU time of one call of a phase. None: 10 ms, or as much as a `builtin:` plugin has by default.
    pub cpu: Option<Duration>,
    /// CPU time of instantiate with configure. Default 1 s.
    pub start_cpu: Duration,
    /// How long a request waits for an instance.
    pub wait: Duration,
    /// Linear memory of one instance. Bytes, default 64 MiB.
    pub memory: u64,
    /// The most of a body that `whole` or `more` may gather. Bytes, default 1 MiB.
    pub body: u64,
    /// The most of one document. Bytes, default 4 MiB.
    pub document: u64,
}

/// `recycle = { .. }`: when an instance is given up for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycle {
    /// After this many calls, ±20 % by chance. Default 10,000.
    pub calls: NonZeroU32,
    /// After this time. Default 10 min.
    pub age: Duration,
    /// When its memory has grown by this since it was configured. Bytes, default 32 MiB.
    pub growth: u64,
}

/// `breaker = { .. }`: when a filter is not called any more for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// This many failures in a row or within `window` open it. Default 5.
    pub failures: NonZeroU32,
    /// Default 10 s.
    pub window: Duration,
    /// The first time that it stays open; doubles up to `max_backoff`. Default 1 s.
    pub backoff: Duration,
    /// Default 60 s.
    pub max_backoff: Duration,
}
