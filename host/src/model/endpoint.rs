//! The state of an endpoint, as logs, metrics and the admin API name it.

use serde::Serialize;
use utoipa::ToSchema;
use windlass_config_derive::Word;

/// How an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, Word)]
#[serde(rename_all = "lowercase")]
#[schema(as = EndpointState)]
pub(crate) enum EndpointHealth {
    /// It takes requests.
    Healthy,
    /// It takes requests, with a share that grows.
    Starting,
    /// Its checks fail.
    Unhealthy,
    /// Its faults took it out for a while.
    Ejected,
    /// It finishes what runs.
    Draining,
}

impl EndpointHealth {
    /// Whether it takes requests.
    #[must_use]
    pub(crate) fn is_available(self) -> bool {
        match self {
            Self::Healthy | Self::Starting => true,
            Self::Unhealthy | Self::Ejected | Self::Draining => false,
        }
    }
}
