//! The JSON of upstreams and their endpoints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::labels;
use crate::model::endpoint::EndpointHealth;
use crate::model::json::small_number;
use crate::runtime::clock::Timestamp;
use crate::upstream::endpoint::health::Change;
use crate::upstream::endpoint::leaving::LeavingStatus;
use crate::upstream::endpoint::upstream_state::{AddedEndpoint, EndpointChanges};
use crate::upstream::endpoint_set::UpstreamEndpoint;
use crate::upstream::shared::Upstream;

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
    /// Whether too few endpoints are available, so that Windlass ignores health and uses every
    /// endpoint that is not draining.
    pub(crate) fails_open: bool,
    /// Requests that wait for an endpoint with a free permit or for a connection.
    #[schema(minimum = 0)]
    pub(crate) waiting: usize,
    /// Its endpoints as they are now. A name with several addresses has an endpoint for each.
    pub(crate) endpoints: Vec<EndpointResource>,
    /// Endpoints that drain or were removed, and still have active requests.
    pub(crate) leaving: Vec<LeavingEndpoint>,
    /// Changes at run time, by address. Each applies until it is undone or the gateway restarts.
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
    /// Its weight, relative to the other endpoints.
    #[schema(minimum = 0, maximum = 1000)]
    pub(crate) weight: u32,
    /// Its tier; 0 is used first.
    pub(crate) priority: u8,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its state.
    pub(crate) state: EndpointHealth,
    /// The result of the last checks; null before the first check, and without checks.
    pub(crate) checks_good: Option<bool>,
    /// Why the last check failed; null if it did not. A single failure may not change the state
    /// (`fall`).
    pub(crate) last_check_fault: Option<String>,
    /// Active requests.
    pub(crate) active: u32,
    /// Connections, including idle ones.
    pub(crate) connections: u32,
    /// Requests sent to it since it was added, including retries.
    pub(crate) attempts: u64,
    /// Attempts that failed through its fault.
    pub(crate) faults: u64,
    /// How often it was ejected.
    pub(crate) ejections: u64,
    /// Its last changes of state, the newest first.
    pub(crate) history: Vec<Change>,
}

/// An endpoint that drains or was removed, and still has active requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeavingEndpoint {
    /// Its name in metrics and logs.
    pub(crate) name: String,
    /// Active requests.
    pub(crate) active: u32,
    /// In how many seconds they are cut; null: never (`drain_timeout = "none"`).
    #[schema(minimum = 0)]
    pub(crate) cut_in: Option<u64>,
}

/// Changes of an endpoint at run time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointOverride {
    /// Its new weight; null: not changed.
    pub(crate) weight: Option<u32>,
    /// Whether it drains.
    pub(crate) drained: bool,
    /// Whether it was added, so that the file does not have it or no longer applies.
    pub(crate) added: bool,
    /// Whether the file has it and it was removed.
    pub(crate) removed: bool,
}

/// An endpoint to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndpointCreate {
    /// Its IP address or name, with the port.
    #[schema(
        max_length = 260,
        pattern = r"^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253}):[1-9][0-9]{0,4}$"
    )]
    pub(crate) address: String,
    /// Its weight, relative to the other endpoints.
    #[serde(
        default = "default_weight",
        deserialize_with = "small_number::<_, _, 1000>"
    )]
    #[schema(minimum = 0, maximum = 1000, default = 1)]
    pub(crate) weight: u32,
    /// Its tier; 0 is used first.
    #[serde(default, deserialize_with = "small_number::<_, _, 15>")]
    #[schema(minimum = 0, maximum = 15, default = 0)]
    pub(crate) priority: u8,
    /// Its labels.
    #[serde(default)]
    #[schema(schema_with = labels, required = false)]
    pub(crate) labels: BTreeMap<String, String>,
}

fn default_weight() -> u32 {
    1
}

impl EndpointCreate {
    /// The endpoint without its address.
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
        let leaving = plan.state.leaving.list(&plan.state.name, Timestamp::now());
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
        let state = &endpoint.state;
        let figures = state.totals();
        let (checks_good, last_check_fault, history) = state.health(|health| {
            let history: Vec<Change> = health.history().cloned().collect();
            let fault = health.last_check_fault().map(str::to_owned);
            (health.checks_good(), fault, history)
        });
        Self {
            name: state.name.to_string(),
            address: endpoint.configured.to_string(),
            weight: endpoint.weight,
            priority: endpoint.priority,
            labels: endpoint.labels.clone(),
            state: plan.state(state),
            checks_good,
            last_check_fault,
            active: state.load.active(),
            connections: state.connections(),
            attempts: figures.attempts,
            faults: figures.faults,
            ejections: state.ejections(),
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
