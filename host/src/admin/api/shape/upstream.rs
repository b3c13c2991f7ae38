//! Upstreams and their endpoints over the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{labels, present, present_small, small_number};
use crate::admin::date;
use crate::model::endpoint::EndpointHealth;
use crate::upstream::endpoint::health::Change;
use crate::upstream::endpoint::leaving::LeavingStatus;
use crate::upstream::endpoint::state::now;
use crate::upstream::endpoint::upstream_state::{AddedEndpoint, EndpointChanges};
use crate::upstream::registry::EndpointChange;
use crate::upstream::shared::{Upstream, UpstreamEndpoint};

/// All upstreams.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpstreamList {
    /// In the order of the configuration.
    pub(crate) items: Vec<UpstreamResource>,
}

/// An upstream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upstream)]
pub(crate) struct UpstreamResource {
    /// Its name.
    pub(crate) name: String,
    /// Whether too few endpoints are available, so that all that are not draining are used.
    pub(crate) fails_open: bool,
    /// Requests that wait for an endpoint with room, or for a connection to one.
    #[schema(minimum = 0)]
    pub(crate) waiting: usize,
    /// Its endpoints as they are now. A name that stands for several addresses has one for each.
    pub(crate) endpoints: Vec<EndpointResource>,
    /// Endpoints that drain or are gone, and have requests to end.
    pub(crate) leaving: Vec<LeavingEndpoint>,
    /// Changes at run time, by address: each holds until it is taken back, or the gateway
    /// restarts.
    pub(crate) changes: BTreeMap<String, EndpointOverride>,
}

/// An endpoint as it is now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub(crate) struct EndpointResource {
    /// Its name in metrics and logs.
    pub(crate) name: String,
    /// Its address or name, as it was configured or added.
    pub(crate) address: String,
    /// Its share, relative to the others.
    #[schema(minimum = 0, maximum = 1000)]
    pub(crate) weight: u32,
    /// Its group; 0 is used first.
    pub(crate) priority: u8,
    /// Names and values.
    pub(crate) labels: BTreeMap<String, String>,
    /// How it stands.
    pub(crate) state: EndpointHealth,
    /// The result of the last checks; null before the first, and without checks.
    pub(crate) checks_good: Option<bool>,
    /// The fault of the last answer to a check; null where there was none. One alone may change
    /// nothing (`fall`).
    pub(crate) last_check_fault: Option<String>,
    /// Requests that run on it.
    pub(crate) active: u32,
    /// Connections to it, unused ones included.
    pub(crate) connections: u32,
    /// Requests sent to it since it is known, repeated ones included.
    pub(crate) attempts: u64,
    /// Those that were faults of its.
    pub(crate) faults: u64,
    /// How often faults took it out.
    pub(crate) ejections: u64,
    /// Its last changes of state, the newest first.
    pub(crate) history: Vec<StateChange>,
}

/// An endpoint that drains or is gone, while requests run on it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeavingEndpoint {
    /// Its name in metrics and logs.
    pub(crate) name: String,
    /// Requests that run on it.
    pub(crate) active: u32,
    /// In how many seconds they are cut; null: never (`drain_timeout = "none"`).
    #[schema(minimum = 0)]
    pub(crate) cut_in: Option<u64>,
}

/// A change of state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateChange {
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// What it was.
    pub(crate) from: EndpointHealth,
    /// What it was since.
    pub(crate) to: EndpointHealth,
    /// Why.
    pub(crate) reason: String,
}

/// What was changed of an endpoint at run time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointOverride {
    /// Its weight; null: not changed.
    pub(crate) weight: Option<u32>,
    /// Whether it drains.
    pub(crate) drained: bool,
    /// Whether it was added, so that the file says nothing of it or counts no more.
    pub(crate) added: bool,
    /// Whether it is in the file, and was removed.
    pub(crate) removed: bool,
}

/// A new endpoint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointCreate {
    /// Its IP address or name, with the port.
    #[schema(
        max_length = 260,
        pattern = r"^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253}):[1-9][0-9]{0,4}$"
    )]
    pub(crate) address: String,
    /// Its share, relative to the others.
    #[serde(
        default = "default_weight",
        deserialize_with = "small_number::<_, _, 1000>"
    )]
    #[schema(minimum = 0, maximum = 1000, default = 1)]
    pub(crate) weight: u32,
    /// Its group; 0 is used first.
    #[serde(default, deserialize_with = "small_number::<_, _, 15>")]
    #[schema(minimum = 0, maximum = 15, default = 0)]
    pub(crate) priority: u8,
    /// Names and values.
    #[serde(default)]
    #[schema(schema_with = labels, required = false)]
    pub(crate) labels: BTreeMap<String, String>,
}

fn default_weight() -> u32 {
    1
}

/// A change of an endpoint. Members that are left out change nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointUpdate {
    /// Another weight; 0 takes nothing new.
    #[serde(default, deserialize_with = "present_small::<_, _, 1000>")]
    #[schema(minimum = 0, maximum = 1000, nullable = false)]
    pub(crate) weight: Option<u32>,
    /// Whether it finishes what runs, and gets nothing new.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub(crate) drain: Option<bool>,
}

impl From<EndpointUpdate> for EndpointChange {
    fn from(update: EndpointUpdate) -> Self {
        Self {
            weight: update.weight,
            drained: update.drain,
        }
    }
}

impl EndpointCreate {
    /// Without its address.
    pub(crate) fn added(self) -> AddedEndpoint {
        AddedEndpoint {
            weight: self.weight,
            priority: self.priority,
            labels: self.labels,
        }
    }
}

impl From<&Upstream> for UpstreamResource {
    fn from(plan: &Upstream) -> Self {
        let members = plan.endpoint_set();
        let endpoints = members.endpoints.iter();
        let changes = plan.state.overrides().into_iter();
        let leaving = plan.state.leaving.list(&plan.state.name, now());
        Self {
            name: plan.config.name.to_string(),
            fails_open: members.balancer.fails_open(),
            waiting: plan.waiting(),
            endpoints: endpoints
                .map(|endpoint| EndpointResource::of(plan, endpoint))
                .collect(),
            leaving: leaving.iter().map(LeavingEndpoint::from).collect(),
            changes: changes
                .map(|(address, change)| (address, EndpointOverride::from(change)))
                .collect(),
        }
    }
}

impl EndpointResource {
    fn of(plan: &Upstream, endpoint: &UpstreamEndpoint) -> Self {
        let known = &endpoint.state;
        let figures = known.totals();
        let (checks_good, last_check_fault, history) = known.health(|health| {
            let history: Vec<StateChange> = health.history().map(StateChange::from).collect();
            let fault = health.last_check_fault().map(str::to_owned);
            (health.checks_good(), fault, history)
        });
        Self {
            name: known.name.to_string(),
            address: endpoint.configured.to_string(),
            weight: endpoint.weight,
            priority: endpoint.priority,
            labels: endpoint.labels.clone(),
            state: plan.state(known),
            checks_good,
            last_check_fault,
            active: known.load.active(),
            connections: known.connections(),
            attempts: figures.attempts,
            faults: figures.faults,
            ejections: known.ejections(),
            history: history.into_iter().rev().collect(),
        }
    }
}

impl From<&LeavingStatus> for LeavingEndpoint {
    fn from(left: &LeavingStatus) -> Self {
        Self {
            name: left.state.name.to_string(),
            active: left.active,
            cut_in: left.cut_in_ms.map(|milliseconds| milliseconds / 1000),
        }
    }
}

impl From<&Change> for StateChange {
    fn from(change: &Change) -> Self {
        Self {
            at: date::moment(change.at_ms),
            from: change.from,
            to: change.to,
            reason: change.reason.clone(),
        }
    }
}

impl From<EndpointChanges> for EndpointOverride {
    fn from(change: EndpointChanges) -> Self {
        Self {
            weight: change.weight,
            drained: change.drained.unwrap_or(false),
            added: change.added.is_some(),
            removed: change.removed,
        }
    }
}
