//! All upstreams of the process by name, and the upstreams of the configuration in use.
//!
//! The registry is made with the process. Each configuration that is built asks it for the state of its
//! upstreams, and it learns which configuration is in use. The admin API changes endpoints here.
//! Workers keep the connections.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::endpoint::leaving::LeavingEndpoints;
use super::endpoint::upstream_state::{AddedEndpoint, EndpointChanges, UpstreamState};
use super::shared::Upstream;

/// All upstreams of the process.
#[derive(Debug, Default)]
pub(crate) struct UpstreamRegistry {
    upstreams: Mutex<HashMap<Arc<str>, Weak<UpstreamState>>>,
    in_use: ArcSwap<Vec<Arc<Upstream>>>,
    /// Upstreams of former configurations that requests may still use.
    retired: Mutex<Vec<Weak<Upstream>>>,
    leaving: Arc<LeavingEndpoints>,
}

/// The reason why an endpoint cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("there is no upstream `{0}`")]
    NoUpstream(String),
    #[error("upstream `{upstream}` has no endpoint `{endpoint}`")]
    NoEndpoint { upstream: String, endpoint: String },
    #[error("upstream `{upstream}` has the endpoint `{endpoint}` already")]
    Exists { upstream: String, endpoint: String },
    /// Its name has no address.
    #[error("`{0}` resolves to no address now")]
    Unresolved(String),
    /// The name server decides which addresses exist.
    #[error(
        "`{0}` is one address of a name, which the name server would return again: drain it, or remove the name"
    )]
    AddressOfName(String),
    /// It has no change to undo.
    #[error("`{endpoint}` of upstream `{upstream}` has no change to undo")]
    NoChange { upstream: String, endpoint: String },
}

/// A change of one endpoint. A member that is none stays unchanged.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EndpointChange {
    /// Another weight, 0 to 1000.
    pub(crate) weight: Option<u32>,
    /// Whether it drains.
    pub(crate) drained: Option<bool>,
}

impl UpstreamRegistry {
    /// The state of the upstream with this name.
    pub(crate) fn upstream_state(&self, name: &str) -> Arc<UpstreamState> {
        let mut groups = self.upstreams.lock();
        if let Some(group) = groups.get(name).and_then(Weak::upgrade) {
            return group;
        }
        groups.retain(|_, group| group.strong_count() > 0);
        let group = Arc::new(UpstreamState::new(name, Arc::clone(&self.leaving)));
        groups.insert(Arc::clone(&group.name), Arc::downgrade(&group));
        group
    }

    /// The endpoints that leave.
    #[must_use]
    pub(crate) fn leaving(&self) -> &Arc<LeavingEndpoints> {
        &self.leaving
    }

    /// Put these upstreams in use.
    pub(crate) fn put_in_use(&self, plans: &[Arc<Upstream>]) {
        let before = self.in_use.swap(Arc::new(plans.to_vec()));
        let mut former = self.retired.lock();
        former.extend(before.iter().map(Arc::downgrade));
        former.retain(|plan| plan.strong_count() > 0);
        let former: Vec<Arc<Upstream>> = former.iter().filter_map(Weak::upgrade).collect();
        let same = |one: &Arc<Upstream>, other: &Arc<Upstream>| one.state.name == other.state.name;
        for plan in plans {
            let other = before.iter().find(|other| same(plan, other));
            plan.put_in_use(other.map(Arc::as_ref));
            for other in former.iter().filter(|other| same(plan, other)) {
                other.hand_over_to(plan);
            }
            let members = plan.endpoint_set();
            let overrides = plan.state.overrides();
            plan.state.retain_addresses(|name| {
                let mut endpoints = members.endpoints.iter();
                endpoints.any(|endpoint| *endpoint.configured == *name)
                    || is_configured(plan, name)
                    || overrides.contains_key(name)
            });
        }
        for plan in before.iter() {
            if !plans.iter().any(|other| same(plan, other)) {
                plan.retire();
            }
        }
    }

    /// The upstreams in use, in the order of the configuration.
    #[must_use]
    pub(crate) fn in_use(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.in_use.load_full()
    }

    /// The upstream of this name that is in use.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn upstream(&self, name: &str) -> Result<Arc<Upstream>, ChangeError> {
        let plans = self.in_use.load();
        let found = plans.iter().find(|plan| *plan.config.name == *name);
        let found = found.map(Arc::clone);
        found.ok_or_else(|| ChangeError::NoUpstream(name.to_owned()))
    }

    /// Add an endpoint. Its name, if it has one, has been resolved.
    ///
    /// # Errors
    ///
    /// There is no such upstream, or the endpoint is there already, or its name has no address.
    pub(crate) fn add(
        &self,
        upstream: &str,
        address: &str,
        added: AddedEndpoint,
    ) -> Result<(), ChangeError> {
        let plan = self.upstream(upstream)?;
        if has_endpoint(&plan, address) {
            return Err(ChangeError::Exists {
                upstream: upstream.to_owned(),
                endpoint: address.to_owned(),
            });
        }
        if plan.state.addresses(address).is_empty() {
            return Err(ChangeError::Unresolved(address.to_owned()));
        }
        // The endpoint may be one of the file that was removed: the request's values count.
        plan.state.change(address, |change| {
            *change = EndpointChanges {
                added: Some(added),
                ..Default::default()
            };
        });
        plan.rebuild_endpoints();
        Ok(())
    }

    /// Change an endpoint's weight, or drain it: as it is configured, all addresses of its name, or one
    /// of them by its own name.
    ///
    /// # Errors
    ///
    /// There is no such upstream or endpoint.
    pub(crate) fn change(
        &self,
        upstream: &str,
        address: &str,
        change: EndpointChange,
    ) -> Result<(), ChangeError> {
        let plan = self.upstream(upstream)?;
        let is_one = is_address_of_name(&plan, address);
        if !is_one {
            self.find_with_endpoint(upstream, address)?;
        }
        plan.state.change(address, |known| {
            known.weight = change.weight.or(known.weight);
            if let Some(drained) = change.drained {
                // `draining = false` matters only for an address whose name drains.
                known.drained = (drained || is_one).then_some(drained);
            }
        });
        plan.rebuild_endpoints();
        Ok(())
    }

    /// Remove an endpoint. Its active requests may end.
    ///
    /// # Errors
    ///
    /// There is no such upstream or endpoint.
    pub(crate) fn remove(&self, upstream: &str, address: &str) -> Result<(), ChangeError> {
        let plan = self.upstream(upstream)?;
        if is_address_of_name(&plan, address) {
            return Err(ChangeError::AddressOfName(address.to_owned()));
        }
        let plan = self.find_with_endpoint(upstream, address)?;
        let configured = is_configured(&plan, address);
        plan.state.change(address, |change| {
            *change = EndpointChanges {
                removed: configured,
                ..Default::default()
            };
        });
        // Changes of single addresses of its name go with it.
        let overrides = plan.state.overrides();
        let of_one = |name: &&String| {
            name.strip_prefix(address)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        for name in overrides.keys().filter(of_one) {
            plan.state
                .change(name, |change| *change = EndpointChanges::default());
        }
        plan.rebuild_endpoints();
        Ok(())
    }

    /// Undo the run-time changes of one endpoint.
    ///
    /// # Errors
    ///
    /// There is no such upstream, or no such change.
    pub(crate) fn restore_one(&self, upstream: &str, address: &str) -> Result<(), ChangeError> {
        let plan = self.upstream(upstream)?;
        if !plan.state.overrides().contains_key(address) {
            return Err(ChangeError::NoChange {
                upstream: upstream.to_owned(),
                endpoint: address.to_owned(),
            });
        }
        plan.state
            .change(address, |change| *change = Default::default());
        plan.rebuild_endpoints();
        Ok(())
    }

    /// Undo all run-time changes of an upstream: the file counts again.
    ///
    /// # Errors
    ///
    /// There is no such upstream.
    pub(crate) fn restore(&self, upstream: &str) -> Result<(), ChangeError> {
        let plan = self.upstream(upstream)?;
        for address in plan.state.overrides().keys() {
            plan.state
                .change(address, |change| *change = Default::default());
        }
        plan.rebuild_endpoints();
        Ok(())
    }

    fn find_with_endpoint(
        &self,
        upstream: &str,
        address: &str,
    ) -> Result<Arc<Upstream>, ChangeError> {
        let plan = self.upstream(upstream)?;
        if has_endpoint(&plan, address) {
            return Ok(plan);
        }
        Err(ChangeError::NoEndpoint {
            upstream: upstream.to_owned(),
            endpoint: address.to_owned(),
        })
    }
}

fn is_configured(plan: &Upstream, address: &str) -> bool {
    let mut endpoints = plan.config.endpoints.iter();
    endpoints.any(|endpoint| endpoint.address == address)
}

/// Whether this names one of the addresses that a name resolves to.
fn is_address_of_name(plan: &Upstream, address: &str) -> bool {
    let members = plan.endpoint_set();
    let mut endpoints = members.endpoints.iter();
    endpoints.any(|endpoint| *endpoint.state.name == *address && *endpoint.configured != *address)
}

fn has_endpoint(plan: &Upstream, address: &str) -> bool {
    let overrides = plan.state.overrides();
    let change = overrides.get(address);
    let removed = change.is_some_and(|change| change.removed);
    let added = change.is_some_and(|change| change.added.is_some());
    added || (is_configured(plan, address) && !removed)
}
