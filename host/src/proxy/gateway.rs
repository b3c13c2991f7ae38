//! Everything that one configuration built, ready for use. Requests read it, and nothing changes it.
//!
//! [`crate::build`] makes it, the server puts it in use. A request keeps the gateway that it began
//! with; the gateway is dropped after the last of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::api_finder::ApiFinder;
use super::load::LoadBounds;
use super::response_fields::ResponseFields;
use crate::balance::WeightedSplit;
use crate::config::{ForwardingRules, Listener, RouteEnd, RouteTimeouts};
use crate::error::ErrorFormat;
use crate::exchange::RouteInfo;
use crate::http::tls::certificate::ServedCertificate;
use crate::http::tls::live::LiveTls;
use crate::model::access_format::AccessFormat;
use crate::observe::route_stats::RouteStatsSet;
use crate::route::Router;
use crate::upstream::Upstream;
use crate::upstream::endpoint::dns::DnsResolver;
use crate::wasm::{Filter, Services};

/// Everything that one configuration built.
#[derive(Debug)]
pub struct Gateway {
    /// Its number, counted from 1.
    pub(crate) number: u64,
    /// The proxies whose `X-Forwarded-*` fields are trusted.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Fields that any client may send, although they are dropped by default.
    pub(crate) client_fields: Vec<HeaderName>,
    /// The fields of every response.
    pub(crate) response_fields: ResponseFields,
    /// The rules by which endpoints learn of clients and traces.
    pub(crate) forwarding: ForwardingRules,
    /// The listeners, in the order of the configuration.
    pub(crate) listeners: Vec<Listener>,
    /// The certificates of each listener that has TLS.
    pub(crate) tls: Vec<Option<Arc<LiveTls>>>,
    /// The certificates of the admin listener.
    pub(crate) admin_tls: Option<Arc<LiveTls>>,
    /// The certificates that it presents to upstreams, for `/metrics`.
    pub(crate) certificates: Vec<ServedCertificate>,
    pub(crate) router: Router,
    /// Finds the API of a path that no route has.
    pub(crate) api_finder: ApiFinder,
    /// The routes, in the order of the configuration.
    pub(crate) routes: Vec<Route>,
    /// The counters of requests without a route, which outlive reloads.
    pub(crate) unrouted: Arc<RouteStatsSet>,
    /// The upstreams, in the order of the configuration.
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// The filters, in the order of the configuration.
    pub filters: Vec<Arc<Filter>>,
    /// Keys, plans and secrets.
    pub(crate) services: Arc<Services>,
    /// The resolver of endpoint names.
    pub(crate) dns: Arc<DnsResolver>,
    /// How long a drain waits.
    pub(crate) drain_timeout: Duration,
    /// How long a stop keeps accepting requests before it drains.
    pub(crate) drain_delay: Duration,
    /// The format of the access log's lines.
    pub(crate) access_format: AccessFormat,
    pub(crate) workers: u32,
    /// The bounds of the whole gateway.
    pub(crate) load: LoadBounds,
    /// Counts the gateways in memory.
    pub(crate) alive: Arc<AtomicU64>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
        tracing::debug!(generation = self.number, "a configuration is released");
    }
}

/// One route, ready for use.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its facts, for filters and logs.
    pub(crate) info: RouteInfo,
    /// Its filters, in order.
    pub(crate) filters: Vec<Arc<Filter>>,
    /// The format of its errors.
    pub(crate) words: Arc<ErrorFormat>,
    /// Whether it lists `OPTIONS` in its methods.
    pub(crate) lists_options: bool,
    /// Where it ends.
    pub(crate) end: RouteEnd,
    /// Picks one of its upstreams, if it has several.
    pub(crate) split: Option<WeightedSplit>,
    /// The largest request body. Bytes.
    pub(crate) max_body: Option<u64>,
    /// Timeouts that lower those of the upstream.
    pub(crate) timeouts: RouteTimeouts,
    /// Its counters, which outlive reloads.
    pub(crate) stats: Arc<RouteStatsSet>,
}
