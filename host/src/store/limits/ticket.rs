//! What was taken, and may be given back.

use std::sync::Arc;

use super::counter::Taken;

/// Names what one [`take`](super::LimitStore::take) took. Handing it back consumes it, so it
/// works once; dropping it leaves things taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(super) space: u32,
    pub(super) hash: u64,
    pub(super) key: Arc<str>,
    pub(super) taken: Taken,
}

/// The tickets of one exchange, by the numbers that its filters know them by.
#[derive(Debug, Default)]
pub struct Tickets {
    kept: Vec<Option<Ticket>>,
}

impl Tickets {
    /// Keep a ticket; gives its number, which is not 0. None has the number 0.
    pub fn keep(&mut self, ticket: Option<Ticket>) -> u64 {
        if ticket.is_none() {
            return 0;
        }
        self.kept.push(ticket);
        self.kept.len() as u64
    }

    /// The ticket with this number, once.
    pub fn redeem(&mut self, number: u64) -> Option<Ticket> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.kept.get_mut(place)?.take()
    }
}
