//! What outlives configurations of an upstream: its endpoints by address, and what an operator
//! changed at run time.
//!
//! Changes at run time hold over reloads, until they are taken back or the gateway restarts: a
//! reload for another reason is not to end a drain. Deliberately not here: what follows from it for
//! the balancer of a configuration ([`crate::upstream::plan`]).

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::dns::ResolvedAddresses;
use super::health::Health;
use super::leaving::LeavingEndpoints;
use super::state::{EndpointState, now};
use crate::balance::EndpointLoad;
use crate::upstream::health_report::HealthReport;
use crate::upstream::queue::RequestQueue;

/// One upstream, by its name.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    pub(crate) name: Arc<str>,
    /// Where its requests wait for room.
    pub(crate) queue: Arc<RequestQueue>,
    /// Which endpoints of the process leave.
    pub(crate) leaving: Arc<LeavingEndpoints>,
    /// How it stands, as it was told.
    pub(crate) health_report: HealthReport,
    endpoints: Mutex<HashMap<(String, SocketAddr), Weak<EndpointState>>>,
    /// What the names of its endpoints stand for, as last answered.
    addresses: Mutex<HashMap<String, Vec<SocketAddr>>>,
    changes: Mutex<BTreeMap<String, EndpointChanges>>,
    revision: AtomicU64,
    overloaded: AtomicU64,
}

/// What an operator changed at run time of an endpoint as it is configured, or of one address of a
/// name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EndpointChanges {
    /// Another weight.
    pub(crate) weight: Option<u32>,
    /// Whether it finishes what runs, and gets nothing new.
    pub(crate) drained: Option<bool>,
    /// It was added: the file says nothing of it, or counts no more.
    pub(crate) added: Option<AddedEndpoint>,
    /// It is in the file, and is not used.
    pub(crate) removed: bool,
}

/// An endpoint as an operator added it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AddedEndpoint {
    /// Its share, 0 to 1000.
    pub(crate) weight: u32,
    /// Its group.
    pub(crate) priority: u8,
    pub(crate) labels: BTreeMap<String, String>,
}

impl UpstreamState {
    /// An upstream that nobody knows yet.
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
        }
    }

    /// A request found no room in time.
    pub(crate) fn count_overload(&self) {
        self.overloaded.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests found no room in time.
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
        if let Some(known) = all.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        all.retain(|_, known| known.strong_count() > 0);
        let name = match configured.parse::<SocketAddr>() {
            Ok(_) => Arc::from(configured),
            Err(_) => Arc::from(format!("{configured}/{}", address.ip())),
        };
        let health = if joins {
            Health::joining(now())
        } else {
            Health::default()
        };
        let known = Arc::new(EndpointState::new(
            name,
            address,
            EndpointLoad::new(),
            health,
        ));
        all.insert(key, Arc::downgrade(&known));
        known
    }

    /// Whether it has any endpoint: another one joins it then.
    #[must_use]
    pub(crate) fn has_endpoints(&self) -> bool {
        let all = self.endpoints.lock();
        all.values().any(|known| known.strong_count() > 0)
    }

    /// What a name stands for, as last answered.
    #[must_use]
    pub(crate) fn addresses(&self, configured: &str) -> Vec<SocketAddr> {
        if let Ok(address) = configured.parse() {
            return vec![address];
        }
        let answers = self.addresses.lock();
        answers.get(configured).cloned().unwrap_or_default()
    }

    /// Counts what changes here: whoever has seen a lower one is to look again.
    #[must_use]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn bump_revision(&self) {
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    /// A name was answered. Whether that is news. An answer without addresses is none, and one that
    /// lacks IPv4 because that question failed takes the place of no IPv4 address.
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

    /// Forget what other names stand for.
    pub(crate) fn retain_addresses(&self, is_used: impl Fn(&str) -> bool) {
        self.addresses.lock().retain(|name, _| is_used(name));
    }

    /// What was changed at run time.
    #[must_use]
    pub(crate) fn overrides(&self) -> BTreeMap<String, EndpointChanges> {
        self.changes.lock().clone()
    }

    /// Change one endpoint at run time; what changes nothing any more is forgotten.
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
