//! A worker's unused connections to one endpoint.
//!
//! Last in, first out, so that those that are not needed grow old and are closed. Bounded in
//! number and age. They outlive configurations: a reload that changes nothing about how an endpoint
//! is reached goes on with the connections that are there. Deliberately not here: making connections.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::connection::Connection;
use super::known::Known;
use super::plan::Plan;
use crate::watch::milliseconds;

/// How many unused connections are kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keep {
    /// The most at once.
    pub most: usize,
    /// The longest. Milliseconds.
    pub longest: u64,
}

/// All of a worker's unused connections.
#[derive(Debug, Default)]
pub struct Pools(RefCell<HashMap<Way, Rc<Pool>>>);

/// An endpoint, and all that says how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    endpoint: u64,
    keep: Keep,
    /// See [`Plan::way`].
    settings: u64,
}

impl Pools {
    /// The connections to this endpoint, as this plan reaches it.
    pub fn of(&self, plan: &Plan, known: &Arc<Known>) -> Rc<Pool> {
        let keep = Keep {
            most: plan.config.max_idle,
            longest: milliseconds(plan.config.keep_alive_timeout),
        };
        let way = Way {
            endpoint: known.id,
            keep,
            settings: plan.way(),
        };
        let mut pools = self.0.borrow_mut();
        let pool = pools
            .entry(way)
            .or_insert_with(|| Rc::new(Pool::new(keep, Arc::clone(known))));
        Rc::clone(pool)
    }

    /// Close what is too old, what its endpoint closed, and what nobody can use any more.
    pub fn reap(&self, now: u64) {
        self.0.borrow_mut().retain(|_, pool| {
            pool.reap(now);
            Rc::strong_count(pool) > 1
        });
    }
}

/// The unused connections to one endpoint.
#[derive(Debug)]
pub struct Pool {
    keep: Keep,
    known: Arc<Known>,
    idle: RefCell<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: u64,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(keep: Keep, known: Arc<Known>) -> Self {
        Self {
            keep,
            known,
            idle: RefCell::default(),
        }
    }

    /// Take the connection that was used last.
    pub fn take(&self, now: u64) -> Option<Connection> {
        let idle = self.idle.borrow_mut().pop()?;
        // What is below it in the pile is older still, and is left to the reaper.
        (now.saturating_sub(idle.since) <= self.keep.longest).then_some(idle.connection)
    }

    /// Give a connection back that is ready for a request. One too many is closed, and one that
    /// another worker waits for.
    pub fn put(&self, connection: Connection, now: u64) {
        let mut idle = self.idle.borrow_mut();
        let is_wanted = self.known.wants_connections();
        if idle.len() < self.keep.most && !connection.is_closed() && !is_wanted {
            idle.push(Idle {
                connection,
                since: now,
            });
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Close those that are too old, those that their endpoint closed, and one that another worker
    /// waits for.
    pub fn reap(&self, now: u64) {
        let mut idle = self.idle.borrow_mut();
        if self.known.wants_connections() {
            idle.pop();
        }
        idle.retain_mut(|idle| {
            let age = now.saturating_sub(idle.since);
            age <= self.keep.longest && idle.connection.is_ready()
        });
    }
}
