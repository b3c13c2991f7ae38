//! The state of an upstream that outlives configurations: its endpoints by address, and the changes
//! that an operator made at run time.
//!
//! Those changes survive reloads, until they are undone or the gateway restarts, since a reload for
//! another reason must not end a drain. [`crate::upstream::shared`] applies them to the balancer of a
//! configuration.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::dns::ResolvedAddresses;
use super::health::Health;
use super::leaving::LeavingEndpoints;
use super::state::EndpointState;
use crate::balance::EndpointLoad;
use crate::observe::histogram::TimeHistogram;
use crate::runtime::clock::Timestamp;
use crate::upstream::endpoint_set::HealthReport;
use crate::upstream::queue::RequestQueue;

/// One upstream, by its name.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    pub(crate) name: Arc<str>,
    /// The queue of its requests.
    pub(crate) queue: Arc<RequestQueue>,
    /// The endpoints of the process that leave.
    pub(crate) leaving: Arc<LeavingEndpoints>,
    /// The state that was logged last.
    pub(crate) health_report: HealthReport,
    endpoints: Mutex<HashMap<(String, SocketAddr), Weak<EndpointState>>>,
    /// The addresses of its endpoints' names, as last resolved.
    addresses: Mutex<HashMap<String, Vec<SocketAddr>>>,
    changes: Mutex<BTreeMap<String, EndpointChanges>>,
    revision: AtomicU64,
    overloaded: AtomicU64,
    /// Health checks that passed.
    pub(crate) checks_passed: AtomicU64,
    pub(crate) checks_failed: AtomicU64,
    /// How long requests waited that found no endpoint with a free permit.
    pub(crate) queue_times: TimeHistogram,
    /// How long it took to make connections: for their permits, TCP and TLS.
    pub(crate) connect_times: TimeHistogram,
}

/// The run-time changes of a configured endpoint, or of one address of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EndpointChanges {
    /// Another weight.
    pub(crate) weight: Option<u32>,
    /// Whether it drains.
    pub(crate) drained: Option<bool>,
    /// It was added: it is not in the file, or the file's entry no longer counts.
    pub(crate) added: Option<AddedEndpoint>,
    /// It is in the file, and is not used.
    pub(crate) removed: bool,
}

/// An endpoint as an operator added it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AddedEndpoint {
    /// Its share, 0 to 1000.
    pub(crate) weight: u32,
    /// Its tier.
    pub(crate) priority: u8,
    pub(crate) labels: BTreeMap<String, String>,
}

impl UpstreamState {
    /// The state of a new upstream.
    #[must_use]
    pub(crate) fn new(name: &str, leaving: Arc<LeavingEndpoints>) -> Self {
        Self {
            name: Arc::from(name),
            queue: Arc::default(),
            leaving,
            health_report: HealthReport::default(),
            endpoints: Mutex::default(),
            addresses: Mutex::default(),
            changes: Mutex::default(),
            revision: AtomicU64::new(1),
            overloaded: AtomicU64::new(0),
            checks_passed: AtomicU64::new(0),
            checks_failed: AtomicU64::new(0),
            queue_times: TimeHistogram::default(),
            connect_times: TimeHistogram::default(),
        }
    }

    /// Count a request that got no slot in time.
    pub(crate) fn count_overload(&self) {
        self.overloaded.fetch_add(1, Ordering::Relaxed);
    }

    /// Count a health check.
    pub(crate) fn count_check(&self, passed: bool) {
        let counter = match passed {
            true => &self.checks_passed,
            false => &self.checks_failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests got no slot in time.
    #[must_use]
    pub(crate) fn overloaded(&self) -> u64 {
        self.overloaded.load(Ordering::Relaxed)
    }

    /// The endpoint at this address, as it was configured. `joins`: others are there already, so a
    /// new one starts slowly.
    pub(crate) fn endpoint(
        &self,
        configured: &str,
        address: SocketAddr,
        joins: bool,
    ) -> Arc<EndpointState> {
        let mut all = self.endpoints.lock();
        let key = (configured.to_owned(), address);
        if let Some(state) = all.get(&key).and_then(Weak::upgrade) {
            return state;
        }
        all.retain(|_, state| state.strong_count() > 0);
        let name = match configured.parse::<SocketAddr>() {
            Ok(_) => Arc::from(configured),
            Err(_) => Arc::from(format!("{configured}/{}", address.ip())),
        };
        let health = if joins {
            Health::joining(Timestamp::now())
        } else {
            Health::default()
        };
        let state = Arc::new(EndpointState::new(
            name,
            address,
            EndpointLoad::new(),
            health,
        ));
        all.insert(key, Arc::downgrade(&state));
        state
    }

    /// Whether it has an endpoint, so that another one joins.
    #[must_use]
    pub(crate) fn has_endpoints(&self) -> bool {
        let all = self.endpoints.lock();
        all.values().any(|state| state.strong_count() > 0)
    }

    /// The addresses of a name, as last resolved.
    #[must_use]
    pub(crate) fn addresses(&self, configured: &str) -> Vec<SocketAddr> {
        if let Ok(address) = configured.parse() {
            return vec![address];
        }
        let answers = self.addresses.lock();
        answers.get(configured).cloned().unwrap_or_default()
    }

    /// The version of this state: a reader that has a lower one must look again.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn bump_revision(&self) {
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    /// Record the addresses of a name. Gives whether they changed. An answer without addresses does not
    /// count, and one that lacks IPv4 since that query failed replaces no IPv4 address.
    pub(crate) fn set_addresses(&self, configured: &str, answer: &ResolvedAddresses) -> bool {
        let mut addresses = answer.addresses.clone();
        if addresses.is_empty() {
            return false;
        }
        addresses.sort_unstable();
        addresses.dedup();
        let mut answers = self.addresses.lock();
        let before = answers.get(configured);
        let had_ipv4 = before.is_some_and(|before| before.iter().any(SocketAddr::is_ipv4));
        if before == Some(&addresses) || (answer.partial.is_some() && had_ipv4) {
            return false;
        }
        answers.insert(configured.to_owned(), addresses);
        self.bump_revision();
        true
    }

    /// Forget the addresses of other names.
    pub(crate) fn retain_addresses(&self, is_used: impl Fn(&str) -> bool) {
        self.addresses.lock().retain(|name, _| is_used(name));
    }

    /// The run-time changes.
    #[must_use]
    pub(crate) fn overrides(&self) -> BTreeMap<String, EndpointChanges> {
        self.changes.lock().clone()
    }

    /// Undo the run-time changes of one endpoint.
    pub(crate) fn undo(&self, address: &str) {
        self.change(address, |changes| *changes = EndpointChanges::default());
    }

    /// Change one endpoint at run time. A change without effect is removed.
    pub(crate) fn change<T>(
        &self,
        address: &str,
        change: impl FnOnce(&mut EndpointChanges) -> T,
    ) -> T {
        let mut changes = self.changes.lock();
        let entry = changes.entry(address.to_owned()).or_default();
        let outcome = change(entry);
        if *entry == EndpointChanges::default() {
            changes.remove(address);
        }
        self.bump_revision();
        outcome
    }
}
