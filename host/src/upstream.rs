//! Stop 7: from an exchange to an endpoint's response.
//!
//! The chain and the balancer come before, the chain's response phases after. From the outside in:
//!
//! - [`registry`]: all upstreams of the process by name, and what an operator changes at run time;
//! - [`endpoint`]: the state of an upstream and of each endpoint that outlives configurations, and its
//!   maintenance;
//! - [`shared`]: an upstream of one configuration, with the [`endpoint_set`] that it uses now;
//! - [`LocalUpstream`]: one worker's view of that, with its connections and its retry budget;
//! - [`connection`]: the connections that carry requests, and the worker's pool of them;
//! - [`dispatch`]: one request to one upstream, over as many attempts as it may have.
//!
//! Windlass sends a request twice only if no endpoint can have acted on it, or if it may be repeated:
//! it is idempotent, and its body was kept. The retry budget bounds how often. Every wait has an end.
//! Not here: the choice of an endpoint ([`crate::balance`]), and anything that filters see.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) mod coding;
pub(crate) mod connection;
pub(crate) mod dispatch;
pub(crate) mod endpoint;
pub(crate) mod endpoint_set;
pub(crate) mod fault;
pub(crate) mod hash_key;
pub(crate) mod headers;
mod hops;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod shared;
pub(crate) mod sticky;
mod trace;

pub(crate) use connection::pool::Pools;
pub(crate) use dispatch::Timeouts;
pub(crate) use endpoint::LocalEndpoint;
pub(crate) use shared::Upstream;

use dispatch::budget::Budget;
use endpoint_set::EndpointSet;

/// One worker's view of an upstream, with connections of its own.
#[derive(Debug)]
pub(crate) struct LocalUpstream {
    /// The upstream that the workers share.
    pub(crate) shared: Arc<Upstream>,
    /// Its name: this worker's copy, so that workers share no reference count.
    pub(crate) name: Arc<str>,
    /// The budget of retries.
    pub(crate) budget: Budget,
    pools: Rc<Pools>,
    view: RefCell<Rc<LocalEndpoints>>,
}

/// The endpoints at one time, as a worker sees them.
#[derive(Debug)]
pub(crate) struct LocalEndpoints {
    /// The set of endpoints that the workers share.
    pub(crate) shared: Arc<EndpointSet>,
    /// In the order of that set.
    pub(crate) endpoints: Vec<Rc<LocalEndpoint>>,
}

impl LocalUpstream {
    /// A worker's view. It keeps using the connections that it has.
    #[must_use]
    pub(crate) fn new(shared: Arc<Upstream>, pools: Rc<Pools>, workers: u32) -> Self {
        let retries = &shared.config.retries;
        let nothing = LocalEndpoints {
            shared: shared.endpoint_set(),
            endpoints: Vec::new(),
        };
        let upstream = Self {
            name: Arc::from(&*shared.config.name),
            budget: Budget::new(retries.budget, retries.budget_rate, workers),
            view: RefCell::new(Rc::new(nothing)),
            shared,
            pools,
        };
        upstream.refresh_view(upstream.shared.endpoint_set());
        upstream
    }

    /// The endpoints as they are now.
    pub(crate) fn view(&self) -> Rc<LocalEndpoints> {
        let view = Rc::clone(&self.view.borrow());
        if view.shared.version == self.shared.version() {
            return view;
        }
        self.refresh_view(self.shared.endpoint_set())
    }

    fn refresh_view(&self, members: Arc<EndpointSet>) -> Rc<LocalEndpoints> {
        let before = Rc::clone(&self.view.borrow());
        let endpoints = members.endpoints.iter().map(|target| {
            let mut before = before.endpoints.iter();
            let stays = before.find(|endpoint| endpoint.state.id == target.state.id);
            stays.map_or_else(
                || {
                    Rc::new(LocalEndpoint::new(
                        target,
                        self.pools.of(&self.shared, &target.state),
                    ))
                },
                Rc::clone,
            )
        });
        let endpoints = endpoints.collect();
        let view = Rc::new(LocalEndpoints {
            shared: members,
            endpoints,
        });
        self.view.replace(Rc::clone(&view));
        view
    }
}
