//! All upstreams of the process by name, and the upstreams of the configuration in use.
//!
//! The registry is made with the process. Each configuration that is built asks it for the state of its
//! upstreams, and it learns which configuration is in use. The admin API changes endpoints here.
//! Workers keep the connections.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Deserialize;
use utoipa::ToSchema;

use super::endpoint::leaving::LeavingEndpoints;
use super::endpoint::upstream_state::{AddedEndpoint, EndpointChanges, UpstreamState};
use super::shared::Upstream;
use crate::model::json::{present, present_small};

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

/// A change of an endpoint. Members that are left out change nothing.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EndpointUpdate)]
pub(crate) struct EndpointChange {
    /// Its new weight; 0 gives it no new requests.
    #[serde(default, deserialize_with = "present_small::<_, _, 1000>")]
    #[schema(minimum = 0, maximum = 1000, nullable = false)]
    pub(crate) weight: Option<u32>,
    /// Whether it finishes its active requests and gets no new ones.
    #[serde(default, rename = "drain", deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) drained: Option<bool>,
}

impl UpstreamRegistry {
    /// The state of the upstream with this name.
    pub(crate) fn upstream_state(&self, name: &str) -> Arc<UpstreamState> {
        let mut states = self.upstreams.lock();
        if let Some(state) = states.get(name).and_then(Weak::upgrade) {
            return state;
        }
        states.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(UpstreamState::new(name, Arc::clone(&self.leaving)));
        states.insert(Arc::clone(&state.name), Arc::downgrade(&state));
        state
    }

    /// The endpoints that leave.
    #[must_use]
    pub(crate) fn leaving(&self) -> &Arc<LeavingEndpoints> {
        &self.leaving
    }

    /// Put these upstreams in use.
    pub(crate) fn put_in_use(&self, upstreams: &[Arc<Upstream>]) {
        let before = self.in_use.swap(Arc::new(upstreams.to_vec()));
        let mut former = self.retired.lock();
        former.extend(before.iter().map(Arc::downgrade));
        former.retain(|upstream| upstream.strong_count() > 0);
        let former: Vec<Arc<Upstream>> = former.iter().filter_map(Weak::upgrade).collect();
        let same = |one: &Arc<Upstream>, other: &Arc<Upstream>| one.state.name == other.state.name;
        for upstream in upstreams {
            let other = before.iter().find(|other| same(upstream, other));
            upstream.put_in_use(other.map(Arc::as_ref));
            for other in former.iter().filter(|other| same(upstream, other)) {
                other.hand_over_to(upstream);
            }
            let members = upstream.endpoint_set();
            let overrides = upstream.state.overrides();
            upstream.state.retain_addresses(|name| {
                let mut endpoints = members.endpoints.iter();
                endpoints.any(|endpoint| *endpoint.configured == *name)
                    || is_configured(upstream, name)
                    || overrides.contains_key(name)
            });
        }
        for upstream in before.iter() {
            if !upstreams.iter().any(|other| same(upstream, other)) {
                upstream.retire();
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
        let upstreams = self.in_use.load();
        let found = upstreams
            .iter()
            .find(|upstream| *upstream.config.name == *name);
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
        let upstream = self.upstream(upstream)?;
        if has_endpoint(&upstream, address) {
            return Err(ChangeError::Exists {
                upstream: upstream.state.name.to_string(),
                endpoint: address.to_owned(),
            });
        }
        if upstream.state.addresses(address).is_empty() {
            return Err(ChangeError::Unresolved(address.to_owned()));
        }
        // The endpoint may be one of the file that was removed: the request's values count.
        upstream.state.change(address, |change| {
            *change = EndpointChanges {
                added: Some(added),
                ..Default::default()
            };
        });
        upstream.rebuild_endpoints();
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
        let upstream = self.upstream(upstream)?;
        let is_one = is_address_of_name(&upstream, address);
        if !is_one {
            require_endpoint(&upstream, address)?;
        }
        upstream.state.change(address, |changes| {
            changes.weight = change.weight.or(changes.weight);
            if let Some(drained) = change.drained {
                // `draining = false` matters only for an address whose name drains.
                changes.drained = (drained || is_one).then_some(drained);
            }
        });
        upstream.rebuild_endpoints();
        Ok(())
    }

    /// Remove an endpoint. Its active requests may end.
    ///
    /// # Errors
    ///
    /// There is no such upstream or endpoint.
    pub(crate) fn remove(&self, upstream: &str, address: &str) -> Result<(), ChangeError> {
        let upstream = self.upstream(upstream)?;
        if is_address_of_name(&upstream, address) {
            return Err(ChangeError::AddressOfName(address.to_owned()));
        }
        require_endpoint(&upstream, address)?;
        let removed = is_configured(&upstream, address);
        upstream.state.change(address, |change| {
            *change = EndpointChanges {
                removed,
                ..Default::default()
            };
        });
        // Changes of single addresses of its name go with it.
        let is_address = |name: &&String| {
            name.strip_prefix(address)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let overrides = upstream.state.overrides();
        overrides
            .keys()
            .filter(is_address)
            .for_each(|name| upstream.state.undo(name));
        upstream.rebuild_endpoints();
        Ok(())
    }

    /// Undo the run-time changes of one endpoint.
    ///
    /// # Errors
    ///
    /// There is no such upstream, or no such change.
    pub(crate) fn restore_one(&self, upstream: &str, address: &str) -> Result<(), ChangeError> {
        let upstream = self.upstream(upstream)?;
        if !upstream.state.overrides().contains_key(address) {
            return Err(ChangeError::NoChange {
                upstream: upstream.state.name.to_string(),
                endpoint: address.to_owned(),
            });
        }
        upstream.state.undo(address);
        upstream.rebuild_endpoints();
        Ok(())
    }

    /// Undo all run-time changes of an upstream: the file counts again.
    ///
    /// # Errors
    ///
    /// There is no such upstream.
    pub(crate) fn restore(&self, upstream: &str) -> Result<(), ChangeError> {
        let upstream = self.upstream(upstream)?;
        let overrides = upstream.state.overrides();
        overrides.keys().for_each(|name| upstream.state.undo(name));
        upstream.rebuild_endpoints();
        Ok(())
    }
}

fn is_configured(upstream: &Upstream, address: &str) -> bool {
    let mut endpoints = upstream.config.endpoints.iter();
    endpoints.any(|endpoint| endpoint.address == address)
}

/// Whether this names one of the addresses that a name resolves to.
fn is_address_of_name(upstream: &Upstream, address: &str) -> bool {
    let set = upstream.endpoint_set();
    let mut endpoints = set.endpoints.iter();
    endpoints.any(|endpoint| *endpoint.state.name == *address && *endpoint.configured != *address)
}

fn has_endpoint(upstream: &Upstream, address: &str) -> bool {
    match upstream.state.overrides().get(address) {
        Some(change) if change.added.is_some() => true,
        Some(change) if change.removed => false,
        Some(_) | None => is_configured(upstream, address),
    }
}

fn require_endpoint(upstream: &Upstream, address: &str) -> Result<(), ChangeError> {
    if has_endpoint(upstream, address) {
        return Ok(());
    }
    Err(ChangeError::NoEndpoint {
        upstream: upstream.state.name.to_string(),
        endpoint: address.to_owned(),
    })
}
