//! Stop 7: from an exchange to an endpoint's response.
//!
//! After the chain and the balancer, before the chain's way back. What an upstream is, from the
//! outside in:
//!
//! - [`registry`]: all upstreams of the process by name, and what an operator changes at run time;
//! - [`group`] and [`known`]: what outlives configurations of one upstream, and of one endpoint;
//! - [`plan`]: an upstream of one configuration, its members and their balancer;
//! - [`Upstream`]: one worker's view of that, with its connections and its retry budget;
//! - [`attempt`]: one exchange, over as many attempts as it may have.
//!
//! Promises: a request is sent twice only if it cannot have been acted on or may be repeated
//! (idempotent, with a body that was kept), and never more often than its budget allows; every wait
//! has an end. Deliberately not here: which endpoint ([`crate::balance`]), and anything a filter
//! sees.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub mod attempt;
pub mod body;
pub mod budget;
pub mod client;
pub mod connection;
pub mod fault;
pub mod gate;
pub mod group;
pub mod headers;
pub mod health;
pub mod heard;
pub mod io;
pub mod key;
pub mod known;
pub mod leaving;
pub mod line;
pub mod names;
mod pick;
pub mod plan;
pub mod pool;
pub mod queue;
pub mod reach;
pub mod record;
pub mod registry;
pub mod replay;
mod retry;
pub mod rounds;
pub mod shared;
pub mod sticky;
mod take;
pub mod timeouts;
pub mod tls;
pub mod upgrade;

pub use fault::Fault;
pub use plan::{EndpointPlan, Plan};
pub use pool::Pools;
pub use timeouts::Timeouts;

use budget::Budget;
use known::{Known, Tally};
use plan::Members;

/// One worker's view of an upstream: the plan, and connections of its own.
#[derive(Debug)]
pub struct Upstream {
    /// What the workers share.
    pub plan: Arc<Plan>,
    /// Its name. A copy of this worker's, so that no other worker's count of it is touched.
    pub name: Arc<str>,
    /// How many retries there may be.
    pub budget: Budget,
    pools: Rc<Pools>,
    view: RefCell<Rc<View>>,
}

/// The endpoints as they were at one time, as a worker sees them.
#[derive(Debug)]
pub struct View {
    /// What the workers share of it.
    pub members: Arc<Members>,
    /// In the order of the members.
    pub endpoints: Vec<Rc<Endpoint>>,
}

/// One worker's view of an endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name; a copy of this worker's.
    pub name: Arc<str>,
    /// Its connections that can take a request.
    pub pool: Rc<pool::Pool>,
    /// What the process knows of it.
    pub known: Arc<Known>,
    /// What this worker counts of it.
    pub tally: Arc<Tally>,
}

impl Upstream {
    /// A worker's view. Connections that it has already are used on.
    #[must_use]
    pub fn new(plan: Arc<Plan>, pools: Rc<Pools>, workers: u32) -> Self {
        let retries = &plan.config.retries;
        let nothing = View {
            members: plan.members(),
            endpoints: Vec::new(),
        };
        let upstream = Self {
            name: Arc::from(&*plan.config.name),
            budget: Budget::new(retries.budget, retries.budget_rate, workers),
            view: RefCell::new(Rc::new(nothing)),
            plan,
            pools,
        };
        upstream.look(upstream.plan.members());
        upstream
    }

    /// The endpoints as they are now.
    pub fn view(&self) -> Rc<View> {
        let view = Rc::clone(&self.view.borrow());
        if view.members.version == self.plan.version() {
            return view;
        }
        self.look(self.plan.members())
    }

    fn look(&self, members: Arc<Members>) -> Rc<View> {
        let before = Rc::clone(&self.view.borrow());
        let endpoints = members.endpoints.iter().map(|target| {
            let mut before = before.endpoints.iter();
            let stays = before.find(|endpoint| endpoint.known.id == target.known.id);
            stays.map_or_else(|| self.endpoint(target), Rc::clone)
        });
        let endpoints = endpoints.collect();
        let view = Rc::new(View { members, endpoints });
        self.view.replace(Rc::clone(&view));
        view
    }

    fn endpoint(&self, target: &EndpointPlan) -> Rc<Endpoint> {
        Rc::new(Endpoint {
            name: Arc::from(&*target.known.name),
            pool: self.pools.of(&self.plan, &target.known),
            tally: target.known.tally(),
            known: Arc::clone(&target.known),
        })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.known.settle(&self.tally);
    }
}
