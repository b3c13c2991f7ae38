//! An upstream of one configuration, ready for use: its current endpoints, and the balancer over them.
//!
//! The endpoints change while it is in use: names resolve to other addresses, an operator adds,
//! removes, weighs and drains endpoints, and health changes. A worker sees a change at its next request
//! by comparing one number. The balancer keeps its state of the endpoints that stay, and a request
//! finds the endpoint that it was given, whatever changes. [`super::endpoint::maintenance`] notices
//! changes; workers keep the connections.

mod sticky_endpoint;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;

use super::connection::tls::EndpointTls;
use super::endpoint::health::{Backoff, Change, CheckThresholds, Health, Now};
use super::endpoint::state::{EndpointState, now};
use super::endpoint::upstream_state::{EndpointChanges, UpstreamState};
use super::hash_key::hash;
use super::headers::authority;
use super::queue::RequestQueue;
use super::sticky::{EndpointDigest, StickyTokens};
use crate::balance::{Balancer, BalancerSettings, Member};
use crate::config as model;
use crate::model::endpoint::EndpointHealth;

pub(crate) use sticky_endpoint::StickyEndpoint;

/// What the workers share of one upstream: its part of the configuration, ready for use.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// As configured.
    pub(crate) config: model::UpstreamConfig,
    /// What goes upstream as `host`, where it is one name for all.
    pub(crate) host: Option<HeaderValue>,
    /// Keeps clients on their endpoints.
    pub(crate) sticky: Option<StickyTokens>,
    /// How TLS is spoken with the endpoints, where it is.
    pub(crate) tls: Option<EndpointTls>,
    /// The same for their checks.
    pub(crate) check_tls: Option<EndpointTls>,
    /// What outlives this configuration.
    pub(crate) state: Arc<UpstreamState>,
    /// Where requests wait for room, where there is a limit.
    pub(crate) queue: Option<Arc<RequestQueue>>,
    endpoints: ArcSwap<EndpointSet>,
    version: AtomicU64,
    /// What of the group these members are made of.
    built_from: AtomicU64,
    /// The most active requests of an endpoint. Another configuration's, once that is in use.
    max_active: AtomicU32,
    /// Whether it decides who leaves.
    in_use: AtomicBool,
    /// One change at a time.
    changing: Mutex<()>,
}

/// The endpoints of an upstream at one time.
#[derive(Debug)]
pub(crate) struct EndpointSet {
    /// Which change made them.
    pub(crate) version: u64,
    /// Picks endpoints.
    pub(crate) balancer: Balancer,
    /// The endpoints; the balancer knows them by their place.
    pub(crate) endpoints: Vec<UpstreamEndpoint>,
    /// The places of those that clients are kept on, by the names that tokens have for them.
    by_digest: HashMap<EndpointDigest, usize>,
}

/// One endpoint, ready for use.
#[derive(Debug)]
pub(crate) struct UpstreamEndpoint {
    /// What the process knows of it.
    pub(crate) state: Arc<EndpointState>,
    /// As it was configured, or added: `ip:port` or `name:port`.
    pub(crate) configured: Arc<str>,
    /// The same as a `host` field, without a port that the scheme implies.
    pub(crate) host: HeaderValue,
    /// Its weight as it counts now, but for health.
    pub(crate) weight: u32,
    /// Its priority group.
    pub(crate) priority: u8,
    pub(crate) labels: BTreeMap<String, String>,
}

/// An endpoint as the file or an operator has it.
struct EndpointEntry<'a> {
    address: &'a str,
    weight: u32,
    priority: u8,
    labels: &'a BTreeMap<String, String>,
}

impl Upstream {
    /// An upstream of a configuration. Its names have been answered.
    #[must_use]
    pub(crate) fn new(
        config: model::UpstreamConfig,
        group: Arc<UpstreamState>,
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
        let plan = Self {
            host,
            sticky,
            tls,
            check_tls,
            queue: config.limits.max_active.map(|_| Arc::clone(&group.queue)),
            max_active: AtomicU32::new(config.limits.max_active.unwrap_or(u32::MAX)),
            in_use: AtomicBool::new(false),
            config,
            state: group,
            endpoints: ArcSwap::from_pointee(none),
            version: AtomicU64::new(0),
            built_from: AtomicU64::new(0),
            changing: Mutex::default(),
        };
        plan.rebuild_endpoints();
        plan
    }

    /// The endpoints as they are now.
    #[must_use]
    pub(crate) fn endpoint_set(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Which change they come from: for those who keep a copy.
    #[must_use]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Find the endpoints anew if anything about them changed.
    pub(crate) fn refresh_endpoints(&self) {
        if self.built_from.load(Ordering::Acquire) != self.state.revision() {
            self.rebuild_endpoints();
        }
    }

    /// The endpoints changed: find them anew.
    pub(crate) fn rebuild_endpoints(&self) {
        let changing = self.changing.lock();
        // Before the look: what changes meanwhile is seen the next time.
        self.built_from
            .store(self.state.revision(), Ordering::Release);
        let overrides = self.state.overrides();
        let before = self.endpoint_set();
        let mut endpoints = Vec::new();
        let joins = self.state.has_endpoints();
        for entry in self.list_endpoints(&overrides) {
            for address in self.state.addresses(entry.address) {
                let known = self.state.endpoint(entry.address, address, joins);
                // That of one address counts before that of the name.
                let changes = [overrides.get(&*known.name), overrides.get(entry.address)];
                let changes = || changes.into_iter().flatten();
                let weight = changes().find_map(|change| change.weight);
                let weight = weight.unwrap_or(entry.weight);
                let drained = changes().find_map(|change| change.drained);
                let drained = drained.unwrap_or(false);
                let change = known.health(|health| {
                    (health.is_drained() != drained).then(|| health.drain(drained, now()))
                });
                known.log(&self.state.name, change.flatten().as_ref());
                let host = HeaderValue::from_str(authority(entry.address, self.tls.is_some()));
                endpoints.push(UpstreamEndpoint {
                    state: known,
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
            let places = names.enumerate();
            places.map(|(place, name)| (sticky.digest(name), place))
        });
        let names = names.collect();
        let balancer = before.balancer.rebuild(members.collect());
        let version = before.version + 1;
        let members = Arc::new(EndpointSet {
            version,
            balancer,
            endpoints,
            by_digest: names,
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

    /// It is in use from now on, in the place of another or not.
    pub(crate) fn put_in_use(&self, other: Option<&Self>) {
        // One of them decides who leaves, and whoever changes it meanwhile has done so or waits.
        if let Some(other) = other {
            let _changing = other.changing.lock();
            other.in_use.store(false, Ordering::Release);
        }
        self.in_use.store(true, Ordering::Release);
        // What was changed while it was built.
        self.rebuild_endpoints();
        if let Some(other) = other {
            let _changing = self.changing.lock();
            self.update_leaving(&other.endpoint_set(), &self.endpoint_set());
        }
    }

    /// Another one is in use. Who waits here still waits for what holds there.
    pub(crate) fn hand_over_to(&self, other: &Self) {
        let max_active = other.max_active.load(Ordering::Relaxed);
        if self.max_active.swap(max_active, Ordering::Relaxed) != max_active {
            self.rebuild_endpoints();
        }
    }

    /// It is not in use any more, and nothing is in its place.
    pub(crate) fn retire(&self) {
        let _changing = self.changing.lock();
        self.in_use.store(false, Ordering::Release);
        for endpoint in &self.endpoint_set().endpoints {
            self.begin_leaving(&endpoint.state);
        }
    }

    /// Of the endpoints before and now, some leave and the others stay.
    fn update_leaving(&self, before: &EndpointSet, members: &EndpointSet) {
        for UpstreamEndpoint { state: known, .. } in &members.endpoints {
            if known.health(|health| health.is_drained()) {
                self.begin_leaving(known)
            } else {
                self.state.leaving.cancel(known)
            }
        }
        let is_there = |id| members.endpoints.iter().any(|one| one.state.id == id);
        for UpstreamEndpoint { state: known, .. } in &before.endpoints {
            if !is_there(known.id) {
                self.begin_leaving(known);
            }
        }
    }

    fn begin_leaving(&self, known: &Arc<EndpointState>) {
        let limit = self.config.drain_timeout;
        self.state
            .leaving
            .begin(&self.state.name, known, limit, now());
    }

    /// What the file has and nobody removed or added anew, then what was added.
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

    /// Whatever says how endpoints are reached, as a number: with the same one, connections that are
    /// there are used on.
    #[must_use]
    pub(crate) fn connection_key(&self) -> u64 {
        let config = &self.config;
        let tls = self.tls.as_ref().map_or(0, EndpointTls::id);
        let settings = (config.max_head, config.max_headers, config.protocol, tls);
        hash(format!("{settings:?}").as_bytes())
    }

    /// Whether many requests may share a connection to an endpoint.
    #[must_use]
    pub(crate) fn may_use_http2(&self) -> bool {
        match self.config.protocol {
            model::UpstreamProtocol::Http1 => false,
            model::UpstreamProtocol::Http2 => true,
            model::UpstreamProtocol::Auto => self.tls.is_some(),
        }
    }

    /// Let the balancer see how its endpoints are now.
    pub(crate) fn update_balancer(&self) {
        let (members, now) = (self.endpoint_set(), now());
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

    /// Time has passed: slow starts grow, and times out end.
    pub(crate) fn tick(&self, now: Now) {
        let slow_start = self.config.balance.slow_start;
        for endpoint in &self.endpoint_set().endpoints {
            let change = endpoint.state.health(|health| health.tick(slow_start, now));
            endpoint.state.log(&self.state.name, change.as_ref());
        }
        self.update_balancer();
    }

    /// An answer to a check.
    pub(crate) fn record_check(&self, known: &EndpointState, answer: Result<(), String>) {
        let Some(check) = &self.config.health else {
            return;
        };
        let counts = CheckThresholds {
            rise: check.rise,
            fall: check.fall,
        };
        self.update_health(known, |health| health.record_check(answer, counts, now()));
    }

    /// Tell something of an endpoint, and let the balancer see what it changed.
    pub(crate) fn update_health(
        &self,
        known: &EndpointState,
        told: impl FnOnce(&mut Health) -> Option<Change>,
    ) {
        let change = known.health(told);
        known.log(&self.state.name, change.as_ref());
        if change.is_some() {
            self.update_balancer();
        }
    }

    /// A result was a fault of this endpoint's: one too many in a row takes it out.
    pub(crate) fn record_fault(&self, known: &EndpointState, why: &dyn fmt::Display) {
        let in_row = known.record_fault();
        let most = self.config.ejection.faults;
        if most != 0 && in_row >= most {
            self.eject(known, &format!("{in_row} faults in a row, the last: {why}"));
        }
    }

    /// Take an endpoint out for a while, if not too many are out already.
    pub(crate) fn eject(&self, known: &EndpointState, why: &str) {
        let rules = &self.config.ejection;
        // Faults of requests that ran when it was taken out come late.
        if known.health(|health| health.is_ejected()) {
            return;
        }
        // Two that go at once are not both to see room for the last.
        let changing = self.changing.lock();
        let members = self.endpoint_set();
        let out = members.endpoints.iter();
        let out = out.filter(|endpoint| endpoint.state.health(|health| health.is_ejected()));
        let share = members.endpoints.len() as u64 * u64::from(rules.max_share) / 100;
        if out.count() as u64 >= share {
            // Counted anew: not every further fault is to look at all endpoints.
            known.record_success();
            return;
        }
        let backoff = Backoff {
            first: rules.backoff,
            longest: rules.max_backoff,
        };
        let change = known.health(|health| health.eject(why, backoff, now()));
        drop(changing);
        known.reset_faults();
        known.log(&self.state.name, change.as_ref());
        self.update_balancer();
    }

    /// How many requests wait for room: for an endpoint, or for a connection to one.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        let members = self.endpoint_set();
        let endpoints = members.endpoints.iter();
        let connections: usize = endpoints.map(|endpoint| endpoint.state.all_waiting()).sum();
        self.state.queue.len() + connections
    }

    /// How an endpoint stands.
    #[must_use]
    pub(crate) fn state(&self, known: &EndpointState) -> EndpointHealth {
        let slow_start = self.config.balance.slow_start;
        known.health(|health| health.state(slow_start, now()))
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
