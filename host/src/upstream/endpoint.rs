//! An endpoint: one address of an upstream, as the process and as a worker see it.
//!
//! - [`upstream_state`] and [`state`]: the state of an upstream and of one endpoint that outlives
//!   configurations;
//! - [`health`]: whether an endpoint is available, and why not;
//! - [`maintenance`]: the thread that checks endpoints and resolves their names by [`dns`];
//! - [`leaving`]: endpoints that were removed and still have active requests.

use std::rc::Rc;
use std::sync::Arc;

pub(crate) mod dns;
pub(crate) mod health;
pub(crate) mod leaving;
pub(crate) mod maintenance;
pub(crate) mod state;
pub(crate) mod upstream_state;

use http::HeaderValue;

use state::{EndpointCounters, EndpointState};

use super::connection::pool::Pool;
use super::endpoint_set::UpstreamEndpoint;

/// One worker's view of an endpoint.
#[derive(Debug)]
pub(crate) struct LocalEndpoint {
    /// Its name; a copy of this worker's.
    pub(crate) name: Arc<str>,
    /// As it was configured, or added: `ip:port` or `name:port`.
    pub(crate) configured: Arc<str>,
    /// The same as a `host` field.
    pub(crate) host: HeaderValue,
    /// Its connections that can take a request.
    pub(crate) pool: Rc<Pool>,
    /// Its state in the process.
    pub(crate) state: Arc<EndpointState>,
    /// This worker's counts of it.
    pub(crate) counters: Arc<EndpointCounters>,
}

impl LocalEndpoint {
    /// A view of it, with these connections of the worker's.
    #[must_use]
    pub(crate) fn new(endpoint: &UpstreamEndpoint, pool: Rc<Pool>) -> Self {
        let state = &endpoint.state;
        Self {
            name: Arc::from(&*state.name),
            configured: Arc::clone(&endpoint.configured),
            host: endpoint.host.clone(),
            pool,
            state: Arc::clone(state),
            counters: state.register_counters(),
        }
    }
}

impl Drop for LocalEndpoint {
    fn drop(&mut self) {
        self.state.retire_counters(&self.counters);
    }
}
