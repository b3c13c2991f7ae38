//! What was taken, and may be given back.

use std::sync::Arc;

use smallvec::SmallVec;

use super::counter::Taken;

/// Names what one [`take`](super::LimitStore::take) took. Handing it back consumes it, so it
/// works once; dropping it leaves things taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// From each bound.
    pub(super) cost: u64,
    pub(super) counter: Option<TakenFrom>,
    /// From the route's bucket with this number.
    pub(super) route: Option<u32>,
    /// From the gateway's bucket with this number.
    pub(super) gateway: Option<u32>,
}

/// A counter, and what was taken from it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TakenFrom {
    pub(crate) space: u32,
    pub(crate) hash: u64,
    pub(crate) key: Arc<str>,
    pub(crate) taken: Taken,
}

impl Ticket {
    fn is_shared(&self) -> bool {
        self.route.is_some() || self.gateway.is_some()
    }
}

/// The tickets of one exchange, by the numbers that its filters know them by.
#[derive(Debug, Default)]
pub struct Tickets {
    kept: SmallVec<[Option<Ticket>; 1]>,
    /// Whether the spine took from the shared rates.
    shared: bool,
}

impl Tickets {
    /// Keep a ticket; gives its number, which is not 0. None has the number 0.
    pub(crate) fn keep(&mut self, ticket: Option<Ticket>) -> u64 {
        if ticket.is_none() {
            return 0;
        }
        self.kept.push(ticket);
        self.kept.len() as u64
    }

    /// How many were kept.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.kept.len()
    }

    /// Those that were kept since there were so many. Their numbers are given out again.
    pub(crate) fn take_since(&mut self, count: usize) -> impl Iterator<Item = Ticket> {
        let since = count.min(self.kept.len());
        self.kept.drain(since..).flatten()
    }

    /// Note that the shared rates were taken from, for good.
    pub(crate) fn keep_shared(&mut self) {
        self.shared = true;
    }

    /// Whether the rates of the route and the gateway were taken from, and not given back. They
    /// are taken from once in an exchange.
    #[must_use]
    pub(crate) fn has_shared(&self) -> bool {
        self.shared || self.kept.iter().flatten().any(Ticket::is_shared)
    }

    /// The ticket with this number, once.
    pub(crate) fn redeem(&mut self, number: u64) -> Option<Ticket> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.kept.get_mut(place)?.take()
    }
}
