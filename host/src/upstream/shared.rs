//! An upstream of one configuration, ready for use: its current endpoints, and the balancer over them.
//!
//! The endpoints change while it is in use: names resolve to other addresses, an operator adds,
//! removes, weighs and drains endpoints, and health changes. A worker sees a change at its next request
//! by comparing one number. The balancer keeps its state of the endpoints that stay, and a request
//! finds the endpoint that it was given, whatever changes. [`super::endpoint::maintenance`] notices
//! changes; workers keep the connections.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;

use super::connection::tls::EndpointTls;
use super::endpoint::health::{Backoff, Change, CheckThresholds, Health};
use super::endpoint::state::EndpointState;
use super::endpoint::upstream_state::{EndpointChanges, UpstreamState};
use super::endpoint_set::{EndpointSet, UpstreamEndpoint, authority};
use super::queue::RequestQueue;
use super::sticky::{StickyToken, StickyTokens};
use crate::balance::{Balancer, BalancerSettings, Member};
use crate::config as model;
use crate::exchange::Exchange;
use crate::model::endpoint::EndpointHealth;
use crate::model::head::ResponseHead;
use crate::runtime::clock::Timestamp;

/// An upstream of one configuration, shared by the workers.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// As configured.
    pub(crate) config: model::UpstreamConfig,
    /// The `host` field for all endpoints, if it is the same for all.
    pub(crate) host: Option<HeaderValue>,
    /// Keeps clients on their endpoints.
    pub(crate) sticky: Option<StickyTokens>,
    /// TLS with the endpoints, if it is used.
    pub(crate) tls: Option<EndpointTls>,
    /// The same for their checks.
    pub(crate) check_tls: Option<EndpointTls>,
    /// The state that outlives this configuration.
    pub(crate) state: Arc<UpstreamState>,
    /// The queue of requests, if active requests are limited.
    pub(crate) queue: Option<Arc<RequestQueue>>,
    endpoints: ArcSwap<EndpointSet>,
    version: AtomicU64,
    /// The version of the state that these endpoints come from.
    built_from: AtomicU64,
    /// The most active requests of an endpoint. Another configuration's, once that is in use.
    max_active: AtomicU32,
    /// Whether it decides which endpoints leave.
    in_use: AtomicBool,
    /// One change at a time.
    changing: Mutex<()>,
}

/// The endpoint that a client is kept on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StickyEndpoint {
    /// The endpoint, by its identity.
    pub(crate) identity: u64,
    /// Whether it takes this client although it takes no others.
    pub(crate) keeps_client: bool,
    /// When the client's token ends. Seconds since 1970.
    end_s: u64,
}

/// An endpoint as the file or an operator has it.
struct EndpointEntry<'a> {
    address: &'a str,
    weight: u32,
    priority: u8,
    labels: &'a BTreeMap<String, String>,
}

impl Upstream {
    /// An upstream of a configuration. Its names have been resolved.
    #[must_use]
    pub(crate) fn new(
        config: model::UpstreamConfig,
        state: Arc<UpstreamState>,
        sticky: Option<StickyTokens>,
        tls: Option<EndpointTls>,
        check_tls: Option<EndpointTls>,
    ) -> Self {
        let host = match &config.host {
            model::HostRule::Literal(name) => HeaderValue::from_str(name).ok(),
            model::HostRule::Preserve | model::HostRule::Endpoint => None,
        };
        let none = EndpointSet {
            version: 0,
            balancer: Balancer::new(balancer_settings(&config), Vec::new()),
            endpoints: Vec::new(),
            by_digest: HashMap::new(),
        };
        let upstream = Self {
            host,
            sticky,
            tls,
            check_tls,
            queue: config.limits.max_active.map(|_| Arc::clone(&state.queue)),
            max_active: AtomicU32::new(config.limits.max_active.unwrap_or(u32::MAX)),
            in_use: AtomicBool::new(false),
            config,
            state,
            endpoints: ArcSwap::from_pointee(none),
            version: AtomicU64::new(0),
            built_from: AtomicU64::new(0),
            changing: Mutex::default(),
        };
        upstream.rebuild_endpoints();
        upstream
    }

    /// The endpoints as they are now.
    #[must_use]
    pub(crate) fn endpoint_set(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Their version, for workers that keep a copy.
    #[must_use]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Rebuild the endpoints if anything about them changed.
    pub(crate) fn refresh_endpoints(&self) {
        if self.built_from.load(Ordering::Acquire) != self.state.revision() {
            self.rebuild_endpoints();
        }
    }

    /// Rebuild the endpoints after a change.
    pub(crate) fn rebuild_endpoints(&self) {
        let changing = self.changing.lock();
        // Read first: a change meanwhile is seen the next time.
        self.built_from
            .store(self.state.revision(), Ordering::Release);
        let overrides = self.state.overrides();
        let before = self.endpoint_set();
        let mut endpoints = Vec::new();
        let joins = self.state.has_endpoints();
        for entry in self.list_endpoints(&overrides) {
            for address in self.state.addresses(entry.address) {
                let state = self.state.endpoint(entry.address, address, joins);
                // The change of one address goes before the change of its name.
                let changes = [overrides.get(&*state.name), overrides.get(entry.address)];
                let changes = || changes.into_iter().flatten();
                let weight = changes().find_map(|change| change.weight);
                let weight = weight.unwrap_or(entry.weight);
                let drained = changes().find_map(|change| change.drained);
                let drained = drained.unwrap_or(false);
                let change = state.health(|health| {
                    (health.is_drained() != drained)
                        .then(|| health.drain(drained, Timestamp::now()))
                });
                state.log(&self.state.name, change.flatten().as_ref());
                let host = HeaderValue::from_str(authority(entry.address, self.tls.is_some()));
                endpoints.push(UpstreamEndpoint {
                    state,
                    configured: Arc::from(entry.address),
                    host: host.unwrap_or_else(|_| HeaderValue::from_static("")),
                    weight,
                    priority: entry.priority,
                    labels: entry.labels.clone(),
                });
            }
        }
        let members = endpoints.iter().map(|endpoint| Member {
            load: endpoint.state.load.clone(),
            weight: endpoint.weight,
            labels: endpoint.labels.clone().into_iter().collect(),
            priority: endpoint.priority,
            identity: endpoint.state.identity(),
            max_active: self.max_active.load(Ordering::Relaxed),
        });
        let names = self.sticky.iter().flat_map(|sticky| {
            let names = endpoints.iter().map(|endpoint| &endpoint.state.name);
            names
                .enumerate()
                .map(|(index, name)| (sticky.digest(name), index))
        });
        let by_digest = names.collect();
        let balancer = before.balancer.rebuild(members.collect());
        let version = before.version + 1;
        let members = Arc::new(EndpointSet {
            version,
            balancer,
            endpoints,
            by_digest,
        });
        self.endpoints.store(Arc::clone(&members));
        if self.in_use.load(Ordering::Acquire) {
            self.update_leaving(&before, &members);
        }
        drop(changing);
        self.update_balancer();
        // Another change may have come meanwhile.
        self.version.fetch_max(version, Ordering::Release);
    }

    /// It is put in use, with or without another before it.
    pub(crate) fn put_in_use(&self, other: Option<&Self>) {
        // Only one upstream decides which endpoints leave; the lock orders a change that comes meanwhile.
        if let Some(other) = other {
            let _changing = other.changing.lock();
            other.in_use.store(false, Ordering::Release);
        }
        self.in_use.store(true, Ordering::Release);
        // Apply the changes that were made while it was built.
        self.rebuild_endpoints();
        if let Some(other) = other {
            let _changing = self.changing.lock();
            self.update_leaving(&other.endpoint_set(), &self.endpoint_set());
        }
    }

    /// Another one is in use. Requests that wait here get the limits of that one.
    pub(crate) fn hand_over_to(&self, other: &Self) {
        let max_active = other.max_active.load(Ordering::Relaxed);
        if self.max_active.swap(max_active, Ordering::Relaxed) != max_active {
            self.rebuild_endpoints();
        }
    }

    /// It is no longer in use, and no other replaces it.
    pub(crate) fn retire(&self) {
        let _changing = self.changing.lock();
        self.in_use.store(false, Ordering::Release);
        for endpoint in &self.endpoint_set().endpoints {
            self.begin_leaving(&endpoint.state);
        }
    }

    /// Compare the endpoints before and now: those that are gone leave.
    fn update_leaving(&self, before: &EndpointSet, members: &EndpointSet) {
        for UpstreamEndpoint { state, .. } in &members.endpoints {
            if state.health(|health| health.is_drained()) {
                self.begin_leaving(state);
            } else {
                self.state.leaving.cancel(state);
            }
        }
        let is_there = |id| members.endpoints.iter().any(|one| one.state.id == id);
        for UpstreamEndpoint { state, .. } in &before.endpoints {
            if !is_there(state.id) {
                self.begin_leaving(state);
            }
        }
    }

    fn begin_leaving(&self, endpoint: &Arc<EndpointState>) {
        let limit = self.config.drain_timeout;
        self.state
            .leaving
            .begin(&self.state.name, endpoint, limit, Timestamp::now());
    }

    /// The endpoints of the file that were not removed or added again, then those that were added.
    fn list_endpoints<'a>(
        &'a self,
        overrides: &'a BTreeMap<String, EndpointChanges>,
    ) -> Vec<EndpointEntry<'a>> {
        let configured = self.config.endpoints.iter();
        let configured = configured.filter(|endpoint| {
            let change = overrides.get(&endpoint.address);
            !change.is_some_and(|change| change.removed || change.added.is_some())
        });
        let configured = configured.map(|endpoint| EndpointEntry {
            address: &endpoint.address,
            weight: endpoint.weight,
            priority: endpoint.priority,
            labels: &endpoint.labels,
        });
        let added = overrides.iter().filter_map(|(address, change)| {
            let added = change.added.as_ref()?;
            Some(EndpointEntry {
                address,
                weight: added.weight,
                priority: added.priority,
                labels: &added.labels,
            })
        });
        configured.chain(added).collect()
    }

    /// The names among its endpoints, those without an address too.
    #[must_use]
    pub(crate) fn names(&self) -> HashSet<Arc<str>> {
        let overrides = self.state.overrides();
        let entries = self.list_endpoints(&overrides).into_iter();
        let addresses = entries.map(|entry| entry.address);
        let names = addresses.filter(|address| address.parse::<SocketAddr>().is_err());
        names.map(Arc::from).collect()
    }

    /// A hash of all settings that say how endpoints are reached: while it is the same, existing
    /// connections stay in use.
    #[must_use]
    pub(crate) fn connection_key(&self) -> u64 {
        let config = &self.config;
        let tls = self.tls.as_ref().map_or(0, |tls| tls.id);
        let mut hasher = DefaultHasher::new();
        let limits = (config.max_head, config.max_headers);
        (limits, config.protocol, tls, config.proxy_protocol).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether many requests may share a connection to an endpoint.
    #[must_use]
    pub(crate) fn may_use_http2(&self) -> bool {
        match self.config.protocol {
            model::UpstreamProtocol::Http1 => false,
            model::UpstreamProtocol::Http2 => true,
            model::UpstreamProtocol::Auto => {
                self.tls.is_some() && self.config.proxy_protocol.is_none()
            }
        }
    }

    /// Show the balancer the present health of its endpoints.
    pub(crate) fn update_balancer(&self) {
        let (members, now) = (self.endpoint_set(), Timestamp::now());
        for endpoint in &members.endpoints {
            let slow_start = self.config.balance.slow_start;
            endpoint.state.health(|health| {
                let share = health.share(slow_start, now);
                let (last_resort, ejected) = (health.is_last_resort(), health.is_only_ejected());
                endpoint.state.load.set(share, last_resort, ejected);
            });
        }
        members.balancer.refresh();
        if self.in_use.load(Ordering::Acquire) {
            self.state
                .health_report
                .log_changes(&self.state.name, &members);
        }
        self.state.queue.wake_all();
    }

    /// Time has passed: slow starts advance, and ejections end.
    pub(crate) fn tick(&self, now: Timestamp) {
        let slow_start = self.config.balance.slow_start;
        for endpoint in &self.endpoint_set().endpoints {
            let change = endpoint.state.health(|health| health.tick(slow_start, now));
            endpoint.state.log(&self.state.name, change.as_ref());
        }
        self.update_balancer();
    }

    /// Record the result of a check.
    pub(crate) fn record_check(&self, endpoint: &EndpointState, answer: Result<(), String>) {
        let Some(check) = &self.config.health else {
            return;
        };
        let counts = CheckThresholds {
            rise: check.rise,
            fall: check.fall,
        };
        self.state.count_check(answer.is_ok());
        self.update_health(endpoint, |health| {
            health.record_check(answer, counts, Timestamp::now())
        });
    }

    /// Change the health of an endpoint, and show the balancer the change.
    pub(crate) fn update_health(
        &self,
        endpoint: &EndpointState,
        update: impl FnOnce(&mut Health) -> Option<Change>,
    ) {
        let change = endpoint.health(update);
        endpoint.log(&self.state.name, change.as_ref());
        if change.is_some() {
            self.update_balancer();
        }
    }

    /// Record a fault of this endpoint. Too many in a row eject it.
    pub(crate) fn record_fault(&self, endpoint: &EndpointState, why: &dyn fmt::Display) {
        let in_row = endpoint.record_fault();
        let most = self.config.ejection.faults;
        if most != 0 && in_row >= most {
            self.eject(
                endpoint,
                &format!("{in_row} faults in a row, the last: {why}"),
            );
        }
    }

    /// Eject an endpoint for a while, unless too many are ejected already.
    pub(crate) fn eject(&self, endpoint: &EndpointState, why: &str) {
        let rules = &self.config.ejection;
        // Faults of requests that were active when it was ejected come late.
        if endpoint.health(|health| health.is_ejected()) {
            return;
        }
        // The lock: two ejections at once must not both count as the last one allowed.
        let changing = self.changing.lock();
        let members = self.endpoint_set();
        let out = members.endpoints.iter();
        let out = out.filter(|endpoint| endpoint.state.health(|health| health.is_ejected()));
        let share = members.endpoints.len() as u64 * u64::from(rules.max_share) / 100;
        if out.count() as u64 >= share {
            // Count from 0 again, so that not every further fault looks at all endpoints.
            endpoint.record_success();
            return;
        }
        let backoff = Backoff {
            first: rules.backoff,
            longest: rules.max_backoff,
        };
        let change = endpoint.health(|health| health.eject(why, backoff, Timestamp::now()));
        drop(changing);
        endpoint.reset_faults();
        endpoint.log(&self.state.name, change.as_ref());
        self.update_balancer();
    }

    /// How many requests wait: for an endpoint, or for a connection to one.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        let members = self.endpoint_set();
        let endpoints = members.endpoints.iter();
        let connections: usize = endpoints.map(|endpoint| endpoint.state.all_waiting()).sum();
        self.state.queue.len() + connections
    }

    /// The endpoint that a request's client is kept on, if it says so.
    #[must_use]
    pub(crate) fn sticky_endpoint(
        &self,
        members: &EndpointSet,
        exchange: &Exchange,
    ) -> Option<StickyEndpoint> {
        let sticky = self.sticky.as_ref()?;
        let now = Timestamp::now();
        let token = sticky.requested(&exchange.request.headers, now.wall_ms)?;
        let index = *members.by_digest.get(&token.endpoint)?;
        let endpoint = members.endpoints.get(index)?;
        Some(StickyEndpoint {
            identity: endpoint.state.identity(),
            keeps_client: sticky.keeps_draining_clients && self.keeps_clients(endpoint, now),
            end_s: token.end_s,
        })
    }

    /// Whether an endpoint that drains or has weight 0 is well enough for the clients that it has.
    fn keeps_clients(&self, endpoint: &UpstreamEndpoint, now: Timestamp) -> bool {
        let is_usual = endpoint.weight > 0 && endpoint.state.load.share(false) > 0;
        let limit = self.config.drain_timeout;
        !is_usual
            && endpoint
                .state
                .health(|health| health.keeps_clients(limit, now))
    }

    /// Give a client the token of its endpoint, if it has none for it, or if a new one would be valid for longer:
    /// a token never ends while it is used.
    pub(crate) fn set_sticky_token(
        &self,
        wanted: Option<StickyEndpoint>,
        endpoint: &EndpointState,
        response: &mut ResponseHead,
    ) {
        let Some(sticky) = &self.sticky else { return };
        let end_s = sticky.next_end_s(Timestamp::now().wall_ms);
        let is_current = wanted
            .is_some_and(|wanted| wanted.end_s >= end_s && wanted.identity == endpoint.identity());
        if !is_current {
            let endpoint = sticky.digest(&endpoint.name);
            sticky.write_token(StickyToken { endpoint, end_s }, &mut response.headers);
        }
    }

    /// The health of an endpoint.
    #[must_use]
    pub(crate) fn state(&self, endpoint: &EndpointState) -> EndpointHealth {
        let slow_start = self.config.balance.slow_start;
        endpoint.health(|health| health.state(slow_start, Timestamp::now()))
    }
}

fn balancer_settings(config: &model::UpstreamConfig) -> BalancerSettings {
    let balance = &config.balance;
    BalancerSettings {
        policy: balance.policy,
        hash_bound: balance.hash_bound,
        fail_open: balance.fail_open,
        failover: balance.failover,
        prefer: balance.prefer.clone().into_iter().collect(),
    }
}
