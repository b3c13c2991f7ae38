//! An upstream of one configuration, ready for use: which endpoints it has now, and the balancer
//! over them.
//!
//! The members change while it is in use (names are answered anew, an operator adds, removes,
//! weighs and drains), and what takes requests changes with health. Workers see a change at their
//! next request: they compare one number. Promises: a change of members keeps what the balancer
//! knows of those that stay; a request finds the endpoint that it was given, whatever changes.
//! Deliberately not here: who notices ([`super::endpoint::rounds`]), and connections.

mod kept;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;

use super::endpoint::group::{EndpointChanges, UpstreamState};
use super::endpoint::health::{Backoff, Change, CheckThresholds, Health, Now, State};
use super::endpoint::known::{EndpointState, now};
use super::headers::authority;
use super::key::hash;
use super::line::tls::EndpointTls;
use super::queue::RequestQueue;
use super::sticky::{EndpointDigest, StickyTokens};
use crate::balance::{Balancer, BalancerSettings, Member, Policy, Threshold};
use crate::config::{self as model, BalancePolicy};

pub(crate) use kept::StickyEndpoint;

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
    pub(crate) group: Arc<UpstreamState>,
    /// Where requests wait for room, where there is a limit.
    pub(crate) queue: Option<Arc<RequestQueue>>,
    current: ArcSwap<EndpointSet>,
    version: AtomicU64,
    /// What of the group these members are made of.
    seen: AtomicU64,
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
    names: HashMap<EndpointDigest, usize>,
}

/// One endpoint, ready for use.
#[derive(Debug)]
pub(crate) struct UpstreamEndpoint {
    /// What the process knows of it.
    pub(crate) known: Arc<EndpointState>,
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
            balancer: Balancer::new(settings(&config), Vec::new()),
            endpoints: Vec::new(),
            names: HashMap::new(),
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
            group,
            current: ArcSwap::from_pointee(none),
            version: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            changing: Mutex::default(),
        };
        plan.regroup();
        plan
    }

    /// The endpoints as they are now.
    #[must_use]
    pub(crate) fn members(&self) -> Arc<EndpointSet> {
        self.current.load_full()
    }

    /// Which change they come from: for those who keep a copy.
    #[must_use]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Find the endpoints anew if anything about them changed.
    pub(crate) fn catch_up(&self) {
        if self.seen.load(Ordering::Acquire) != self.group.revision() {
            self.regroup();
        }
    }

    /// The endpoints changed: find them anew.
    pub(crate) fn regroup(&self) {
        let changing = self.changing.lock();
        // Before the look: what changes meanwhile is seen the next time.
        self.seen.store(self.group.revision(), Ordering::Release);
        let overrides = self.group.overrides();
        let before = self.members();
        let mut endpoints = Vec::new();
        let joins = self.group.has_endpoints();
        for entry in self.entries(&overrides) {
            for address in self.group.addresses(entry.address) {
                let known = self.group.endpoint(entry.address, address, joins);
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
                known.log(&self.group.name, change.flatten().as_ref());
                let host = HeaderValue::from_str(authority(entry.address, self.tls.is_some()));
                endpoints.push(UpstreamEndpoint {
                    known,
                    configured: Arc::from(entry.address),
                    host: host.unwrap_or_else(|_| HeaderValue::from_static("")),
                    weight,
                    priority: entry.priority,
                    labels: entry.labels.clone(),
                });
            }
        }
        let members = endpoints.iter().map(|endpoint| Member {
            slot: endpoint.known.slot.clone(),
            weight: endpoint.weight,
            labels: endpoint.labels.clone().into_iter().collect(),
            priority: endpoint.priority,
            identity: endpoint.known.identity(),
            max_active: self.max_active.load(Ordering::Relaxed),
        });
        let names = self.sticky.iter().flat_map(|sticky| {
            let names = endpoints.iter().map(|endpoint| &endpoint.known.name);
            let places = names.enumerate();
            places.map(|(place, name)| (sticky.name(name), place))
        });
        let names = names.collect();
        let balancer = before.balancer.succeeding(members.collect());
        let version = before.version + 1;
        let members = Arc::new(EndpointSet {
            version,
            balancer,
            endpoints,
            names,
        });
        self.current.store(Arc::clone(&members));
        if self.in_use.load(Ordering::Acquire) {
            self.tell_who_leaves(&before, &members);
        }
        drop(changing);
        self.refresh();
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
        self.regroup();
        if let Some(other) = other {
            let _changing = self.changing.lock();
            self.tell_who_leaves(&other.members(), &self.members());
        }
    }

    /// Another one is in use. Who waits here still waits for what holds there.
    pub(crate) fn follow(&self, other: &Self) {
        let max_active = other.max_active.load(Ordering::Relaxed);
        if self.max_active.swap(max_active, Ordering::Relaxed) != max_active {
            self.regroup();
        }
    }

    /// It is not in use any more, and nothing is in its place.
    pub(crate) fn retire(&self) {
        let _changing = self.changing.lock();
        self.in_use.store(false, Ordering::Release);
        for endpoint in &self.members().endpoints {
            self.leaves(&endpoint.known);
        }
    }

    /// Of the endpoints before and now, some leave and the others stay.
    fn tell_who_leaves(&self, before: &EndpointSet, members: &EndpointSet) {
        for UpstreamEndpoint { known, .. } in &members.endpoints {
            match known.health(|health| health.is_drained()) {
                true => self.leaves(known),
                false => self.group.leaving.stays(known),
            }
        }
        let is_there = |id| members.endpoints.iter().any(|one| one.known.id == id);
        for UpstreamEndpoint { known, .. } in &before.endpoints {
            if !is_there(known.id) {
                self.leaves(known);
            }
        }
    }

    fn leaves(&self, known: &Arc<EndpointState>) {
        let limit = self.config.drain_timeout;
        self.group
            .leaving
            .begin(&self.group.name, known, limit, now());
    }

    /// What the file has and nobody removed or added anew, then what was added.
    fn entries<'a>(
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
        let overrides = self.group.overrides();
        let entries = self.entries(&overrides).into_iter();
        let addresses = entries.map(|entry| entry.address);
        let names = addresses.filter(|address| address.parse::<SocketAddr>().is_err());
        names.map(Arc::from).collect()
    }

    /// Whatever says how endpoints are reached, as a number: with the same one, connections that are
    /// there are used on.
    #[must_use]
    pub(crate) fn way(&self) -> u64 {
        let config = &self.config;
        let tls = self.tls.as_ref().map_or(0, EndpointTls::mark);
        let settings = (config.max_head, config.max_headers, config.protocol, tls);
        hash(format!("{settings:?}").as_bytes())
    }

    /// Whether many requests may share a connection to an endpoint.
    #[must_use]
    pub(crate) fn may_share(&self) -> bool {
        match self.config.protocol {
            model::UpstreamProtocol::Http1 => false,
            model::UpstreamProtocol::Http2 => true,
            model::UpstreamProtocol::Auto => self.tls.is_some(),
        }
    }

    /// Let the balancer see how its endpoints are now.
    pub(crate) fn refresh(&self) {
        let (members, now) = (self.members(), now());
        for endpoint in &members.endpoints {
            let slow_start = self.config.balance.slow_start;
            endpoint.known.health(|health| {
                let share = health.share(slow_start, now);
                let (last_resort, ejected) = (health.is_last_resort(), health.is_only_ejected());
                endpoint.known.slot.set(share, last_resort, ejected);
            });
        }
        members.balancer.refresh();
        if self.in_use.load(Ordering::Acquire) {
            self.group.told.look(&self.group.name, &members);
        }
        self.group.queue.changed();
    }

    /// Time has passed: slow starts grow, and times out end.
    pub(crate) fn pass(&self, now: Now) {
        let slow_start = self.config.balance.slow_start;
        for endpoint in &self.members().endpoints {
            let change = endpoint.known.health(|health| health.pass(slow_start, now));
            endpoint.known.log(&self.group.name, change.as_ref());
        }
        self.refresh();
    }

    /// An answer to a check.
    pub(crate) fn checked(&self, known: &EndpointState, answer: Result<(), String>) {
        let Some(check) = &self.config.health else {
            return;
        };
        let counts = CheckThresholds {
            rise: check.rise,
            fall: check.fall,
        };
        self.tell(known, |health| health.checked(answer, counts, now()));
    }

    /// Tell something of an endpoint, and let the balancer see what it changed.
    pub(crate) fn tell(
        &self,
        known: &EndpointState,
        told: impl FnOnce(&mut Health) -> Option<Change>,
    ) {
        let change = known.health(told);
        known.log(&self.group.name, change.as_ref());
        if change.is_some() {
            self.refresh();
        }
    }

    /// A result was a fault of this endpoint's: one too many in a row takes it out.
    pub(crate) fn fault(&self, known: &EndpointState, why: &dyn fmt::Display) {
        let in_row = known.went_wrong();
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
        let members = self.members();
        let out = members.endpoints.iter();
        let out = out.filter(|endpoint| endpoint.known.health(|health| health.is_ejected()));
        let share = members.endpoints.len() as u64 * u64::from(rules.max_share) / 100;
        if out.count() as u64 >= share {
            // Counted anew: not every further fault is to look at all endpoints.
            known.went_well();
            return;
        }
        let backoff = Backoff {
            first: rules.backoff,
            most: rules.max_backoff,
        };
        let change = known.health(|health| health.eject(why, backoff, now()));
        drop(changing);
        known.was_ejected();
        known.log(&self.group.name, change.as_ref());
        self.refresh();
    }

    /// How many requests wait for room: for an endpoint, or for a connection to one.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        let members = self.members();
        let endpoints = members.endpoints.iter();
        let connections: usize = endpoints.map(|endpoint| endpoint.known.all_waiting()).sum();
        self.group.queue.len() + connections
    }

    /// How an endpoint stands.
    #[must_use]
    pub(crate) fn state(&self, known: &EndpointState) -> State {
        let slow_start = self.config.balance.slow_start;
        known.health(|health| health.state(slow_start, now()))
    }
}

fn settings(config: &model::UpstreamConfig) -> BalancerSettings {
    let balance = &config.balance;
    let threshold = |threshold| match threshold {
        model::Threshold::Count(count) => Threshold::Count(count),
        model::Threshold::Percent(percent) => Threshold::Percent(percent),
    };
    BalancerSettings {
        policy: match balance.policy {
            BalancePolicy::RoundRobin => Policy::RoundRobin,
            BalancePolicy::LeastConnections => Policy::LeastConnections,
            BalancePolicy::TwoChoices => Policy::TwoChoices,
            BalancePolicy::ConsistentHash => Policy::ConsistentHash,
        },
        hash_bound: balance.hash_bound,
        fail_open: threshold(balance.fail_open),
        failover: threshold(balance.failover),
        prefer: balance.prefer.clone().into_iter().collect(),
    }
}
