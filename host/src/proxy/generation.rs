//! One worker's view of a gateway.

use std::rc::Rc;
use std::sync::Arc;

use super::gateway::{Gateway, Route};
use crate::chain::Chain;
use crate::config::Listener;
use crate::exchange::RouteInfo;
use crate::upstream::{LocalUpstream, Pools};
use crate::wasm::{Filter, Services, WorkerFilter};

/// One worker's view of a [`Gateway`]. The data that every request touches is the worker's own copy, so that
/// workers share no cache line.
#[derive(Debug)]
pub struct Generation {
    /// The gateway that the workers share.
    pub(crate) gateway: Arc<Gateway>,
    /// The upstreams, with this worker's connections.
    pub(crate) upstreams: Vec<LocalUpstream>,
    /// The listeners, in the order of the configuration.
    pub(crate) listeners: Vec<Rc<Listener>>,
    /// Whether an upstream names the clients to its endpoints by the PROXY protocol.
    pub(crate) sends_clients: bool,
    /// The facts of the routes.
    pub(crate) infos: Vec<Arc<RouteInfo>>,
    /// The chains of the routes.
    pub chains: Vec<Rc<Chain>>,
    /// For each route, the chain of its filters that answer preflights, if it has any.
    pub(crate) preflights: Vec<Option<Rc<Chain>>>,
}

impl Generation {
    /// The view of the worker with this index.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, worker: usize, pools: &Rc<Pools>) -> Rc<Self> {
        let services = Arc::new(Services {
            worker,
            ..Services::clone(&gateway.services)
        });
        let routes = gateway.routes.iter();
        let infos = routes.clone().map(|route| Arc::new(route.info.own_copy()));
        let chain = |route: &Route, takes: fn(&Filter) -> bool| {
            let filters = route.filters.iter().filter(|filter| takes(filter));
            let filters = filters.map(|filter| WorkerFilter::for_worker(filter, worker));
            let words = Arc::clone(&route.words);
            Rc::new(Chain::new(filters.collect(), Arc::clone(&services), words))
        };
        let chains = routes.clone().map(|route| chain(route, |_| true));
        let preflights = routes.map(|route| {
            let chain = chain(route, |filter| filter.facts().advice.preflights);
            (!chain.is_empty()).then_some(chain)
        });
        let listeners = gateway.listeners.iter().cloned().map(Rc::new);
        let upstreams = gateway.upstreams.iter();
        let mut protocols = upstreams
            .clone()
            .map(|upstream| upstream.config.proxy_protocol);
        Rc::new(Self {
            sends_clients: protocols.any(|protocol| protocol.is_some()),
            infos: infos.collect(),
            chains: chains.collect(),
            preflights: preflights.collect(),
            listeners: listeners.collect(),
            upstreams: upstreams
                .map(|upstream| {
                    LocalUpstream::new(Arc::clone(upstream), Rc::clone(pools), gateway.workers)
                })
                .collect(),
            gateway,
        })
    }

    /// How often its timeouts are checked. Milliseconds.
    #[must_use]
    pub(crate) fn tick(&self) -> u64 {
        let listeners = self.gateway.listeners.iter().flat_map(|listener| {
            [
                Some(listener.header_timeout),
                Some(listener.keep_alive_timeout),
                listener.body_idle_timeout,
                Some(listener.write_timeout),
            ]
        });
        let upstreams = self.gateway.upstreams.iter().flat_map(|upstream| {
            [
                Some(upstream.config.first_byte_timeout),
                upstream.config.retries.try_timeout,
                upstream.config.idle_timeout,
                upstream.config.total_timeout,
                Some(upstream.config.keep_alive_timeout),
                // A request that waits for a connection can then open one instead of another worker's idle one.
                upstream
                    .config
                    .limits
                    .max_connections
                    .map(|_| upstream.config.limits.queue_timeout),
            ]
        });
        let routes = self.gateway.routes.iter().flat_map(|route| {
            let timeouts = &route.timeouts;
            [timeouts.first_byte, timeouts.idle, timeouts.total]
        });
        let all = listeners.chain(upstreams).chain(routes);
        crate::http::watch::tick(all.flatten())
    }
}
