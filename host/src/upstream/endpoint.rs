//! An endpoint: one address of an upstream, as the process knows it and as a worker sees it.
//!
//! - [`group`] and [`known`]: what outlives configurations, of all endpoints of an upstream and of one;
//! - [`health`]: how it stands, and why;
//! - [`rounds`]: the thread that looks after endpoints, [`names`] whose answers it asks for, and
//!   [`reach`] how a check comes to one;
//! - [`leaving`]: those that have to end what runs.

use std::rc::Rc;
use std::sync::Arc;

pub mod group;
pub mod health;
pub mod known;
pub mod leaving;
pub mod names;
pub mod reach;
pub mod rounds;

use known::{Known, Tally};

use super::line::pool::Pool;

/// One worker's view of an endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name; a copy of this worker's.
    pub name: Arc<str>,
    /// Its connections that can take a request.
    pub pool: Rc<Pool>,
    /// What the process knows of it.
    pub known: Arc<Known>,
    /// What this worker counts of it.
    pub tally: Arc<Tally>,
}

impl Endpoint {
    /// A view of it, with these connections of the worker's.
    #[must_use]
    pub fn new(known: &Arc<Known>, pool: Rc<Pool>) -> Self {
        Self {
            name: Arc::from(&*known.name),
            pool,
            known: Arc::clone(known),
            tally: known.tally(),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.known.settle(&self.tally);
    }
}
