//! A worker's unused connections to one endpoint.
//!
//! Last in, first out, so that those that are not needed grow old and are closed. Bounded in
//! number and age. Deliberately not here: making connections.

use std::cell::RefCell;

use super::connection::Connection;

/// How many unused connections are kept, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// The most at once.
    pub most: usize,
    /// The longest. Milliseconds.
    pub longest: u64,
}

/// The unused connections to one endpoint.
#[derive(Debug)]
pub struct Pool {
    keep: Keep,
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
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            idle: RefCell::default(),
        }
    }

    /// Take the connection that was used last.
    pub fn take(&self, now: u64) -> Option<Connection> {
        let idle = self.idle.borrow_mut().pop()?;
        // What is below it in the pile is older still, and is left to the reaper.
        (now.saturating_sub(idle.since) <= self.keep.longest).then_some(idle.connection)
    }

    /// Give a connection back that is ready for a request. One too many is closed.
    pub fn put(&self, connection: Connection, now: u64) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.keep.most && !connection.is_closed() {
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

    /// Close those that are too old, and those that their endpoint closed.
    pub fn reap(&self, now: u64) {
        self.idle.borrow_mut().retain_mut(|idle| {
            let age = now.saturating_sub(idle.since);
            age <= self.keep.longest && idle.connection.is_ready()
        });
    }
}
