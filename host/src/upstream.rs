//! Stop 7: from an exchange to an endpoint's response.
//!
//! After the chain and the balancer, before the chain's way back. Promises: a request is sent
//! twice only if it cannot have been acted on or may be repeated (idempotent, without a body),
//! and once more at most; every wait has an end. Deliberately not here: which endpoint
//! ([`crate::balance`]), and anything a filter sees.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::balance::Balancer;
use crate::config as model;

pub mod attempt;
pub mod body;
pub mod client;
pub mod connection;
pub mod fault;
pub mod gate;
pub mod headers;
pub mod heard;
pub mod io;
pub mod line;
pub mod pool;
pub mod record;
pub mod shared;
pub mod timeouts;
pub mod tls;
pub mod upgrade;

pub use fault::Fault;
pub use timeouts::Timeouts;

/// What the workers share of one upstream: its part of the configuration, ready for use.
#[derive(Debug)]
pub struct Plan {
    /// As configured.
    pub config: model::Upstream,
    /// Picks endpoints.
    pub balancer: Balancer,
    /// Where each endpoint is, in the order of the configuration.
    pub endpoints: Vec<EndpointPlan>,
    /// How TLS is spoken with the endpoints, where it is.
    pub tls: Option<tls::Tls>,
    /// What goes upstream as `host`, where it is one name for all.
    pub host: Option<HeaderValue>,
}

/// One endpoint, ready for use.
#[derive(Debug)]
pub struct EndpointPlan {
    /// Its name in the configuration: `ip:port` or `name:port`.
    pub name: Arc<str>,
    /// What that name stands for, in the order in which they are tried.
    pub addresses: Vec<std::net::SocketAddr>,
    /// The same as a `host` field.
    pub host: HeaderValue,
}

/// One worker's view of an upstream: the plan, and connections of its own.
#[derive(Debug)]
pub struct Upstream {
    /// What the workers share.
    pub plan: Arc<Plan>,
    /// Its name. A copy of this worker's, so that no other worker's count of it is touched.
    pub name: Arc<str>,
    /// The endpoints, in the order of the configuration.
    pub endpoints: Vec<Endpoint>,
}

/// One worker's view of an endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name; a copy of this worker's.
    pub name: Arc<str>,
    /// Its connections that can take a request.
    pub pool: Rc<pool::Pool>,
}

impl Upstream {
    /// A worker's view, without connections yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let keep = pool::Keep {
            most: plan.config.max_idle,
            longest: crate::watch::milliseconds(plan.config.keep_alive_timeout),
        };
        let endpoints = plan.endpoints.iter().map(|endpoint| Endpoint {
            name: Arc::from(&*endpoint.name),
            pool: Rc::new(pool::Pool::new(keep)),
        });
        Self {
            name: Arc::from(&*plan.config.name),
            endpoints: endpoints.collect(),
            plan,
        }
    }

    /// Close the connections that nobody used for long, and those that their endpoint closed.
    pub fn reap(&self, now: u64) {
        for endpoint in &self.endpoints {
            endpoint.pool.reap(now);
        }
    }
}
