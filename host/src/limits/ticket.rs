//! Tickets for what was taken and may be given back.

use std::sync::Arc;

use smallvec::SmallVec;

use super::counter::TakenAmounts;

/// Identifies what one [`take`](super::LimitStore::take) took. Giving it back consumes it, so it
/// works once; dropping it leaves things taken.
#[derive(Debug, PartialEq, Eq)]
pub struct LimitTicket {
    /// The amount from each bound.
    pub(super) cost: u64,
    pub(super) counter: Option<TakenCounter>,
    /// The number of the route's bucket.
    pub(super) route: Option<u32>,
    /// The number of the gateway's bucket.
    pub(super) gateway: Option<u32>,
}

/// A counter, and the amounts taken from it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TakenCounter {
    pub(crate) space: u32,
    pub(crate) hash: u64,
    pub(crate) key: Arc<str>,
    pub(crate) amounts: TakenAmounts,
}

impl LimitTicket {
    fn is_shared(&self) -> bool {
        self.route.is_some() || self.gateway.is_some()
    }
}

/// The tickets of one exchange, by the numbers that its filters have for them.
#[derive(Debug, Default)]
pub struct LimitTickets {
    tickets: SmallVec<[Option<LimitTicket>; 1]>,
    /// Whether the shared rates were taken from.
    shared: bool,
}

impl LimitTickets {
    /// Stores a ticket and returns its number, which is not 0. None has the number 0.
    pub(crate) fn keep(&mut self, ticket: Option<LimitTicket>) -> u64 {
        if ticket.is_none() {
            return 0;
        }
        self.tickets.push(ticket);
        self.tickets.len() as u64
    }

    /// The number of stored tickets.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.tickets.len()
    }

    /// Takes the tickets since this number. Their numbers are given out again.
    pub(crate) fn take_since(&mut self, count: usize) -> impl Iterator<Item = LimitTicket> {
        let since = count.min(self.tickets.len());
        self.tickets.drain(since..).flatten()
    }

    /// Records that the shared rates were taken from, for good.
    pub(crate) fn keep_shared(&mut self) {
        self.shared = true;
    }

    /// Whether the rates of the route and the gateway were taken from and not given back. An
    /// exchange takes from them once.
    #[must_use]
    pub(crate) fn has_shared(&self) -> bool {
        self.shared || self.tickets.iter().flatten().any(LimitTicket::is_shared)
    }

    /// Takes the ticket with this number.
    pub(crate) fn redeem(&mut self, number: u64) -> Option<LimitTicket> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.tickets.get_mut(index)?.take()
    }
}
