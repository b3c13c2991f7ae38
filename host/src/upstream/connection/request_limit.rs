//! Learns how many requests an endpoint accepts on one HTTP/2 connection.
//!
//! Servers end a connection after a number of requests (nginx's `keepalive_requests`), and refuse those
//! that came behind. Nothing is lost, but of many requests at once most would be refused again and
//! again. If two connections end at the same number, Windlass sends no more than that on one connection
//! for a while.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How long it is believed: an endpoint may be configured otherwise. Milliseconds.
const MAX_AGE_MS: u64 = 60_000;

/// Of one connection: the number of the first request that was turned away, from 0.
#[derive(Debug, Clone)]
pub(crate) struct FirstRejected(Rc<Cell<u64>>);

impl Default for FirstRejected {
    fn default() -> Self {
        Self(Rc::new(Cell::new(u64::MAX)))
    }
}

/// Results of an endpoint's connections.
#[derive(Debug, Default)]
pub(crate) struct RequestLimit {
    /// Of the last connection that turned requests away, and of the one before.
    last_rejected: RefCell<[FirstRejected; 2]>,
    rejected_at_ms: Cell<u64>,
}

impl RequestLimit {
    /// The request of this number was turned away on this connection. Milliseconds.
    pub(crate) fn record_rejection(&self, connection: &FirstRejected, number: u64, now: u64) {
        connection.0.set(connection.0.get().min(number));
        let mut ended = self.last_rejected.borrow_mut();
        let [last, before] = &mut *ended;
        if !Rc::ptr_eq(&last.0, &connection.0) {
            *before = std::mem::replace(last, connection.clone());
            // Two restarts a day apart may meet at one number.
            if now.saturating_sub(self.rejected_at_ms.replace(now)) >= MAX_AGE_MS {
                *before = FirstRejected::default();
            }
        }
    }

    /// How many requests to send on a connection.
    #[must_use]
    pub(crate) fn current(&self, now: u64) -> u64 {
        let ended = self.last_rejected.borrow();
        let [last, before] = &*ended;
        let most = last.0.get();
        // One that takes none at all does not say how many it takes.
        let is_known = most == before.0.get() && most > 0;
        let is_recent = now.saturating_sub(self.rejected_at_ms.get()) < MAX_AGE_MS;
        if is_known && is_recent {
            most
        } else {
            u64::MAX
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_end_at_one_number_are_no_chance() {
        let lifetime = RequestLimit::default();
        assert_eq!(lifetime.current(0), u64::MAX);
        let connections = [(); 4].map(|()| FirstRejected::default());
        // They are recorded in any order.
        for number in [12, 10, 11] {
            lifetime.record_rejection(&connections[0], number, 1);
            assert_eq!(lifetime.current(1), u64::MAX);
        }
        for number in [17, 3] {
            lifetime.record_rejection(&connections[1], number, 2);
        }
        assert_eq!(lifetime.current(2), u64::MAX, "a restart");
        lifetime.record_rejection(&connections[2], 10, 3);
        assert_eq!(lifetime.current(3), u64::MAX);
        for number in [11, 10] {
            lifetime.record_rejection(&connections[3], number, 4);
        }
        assert_eq!(lifetime.current(5), 10);
        assert_eq!(lifetime.current(4 + MAX_AGE_MS), u64::MAX);
    }

    #[test]
    fn what_takes_none_or_came_long_after_says_nothing() {
        let lifetime = RequestLimit::default();
        let connections = [(); 4].map(|()| FirstRejected::default());
        lifetime.record_rejection(&connections[0], 0, 1);
        lifetime.record_rejection(&connections[1], 0, 2);
        assert_eq!(lifetime.current(2), u64::MAX);
        lifetime.record_rejection(&connections[2], 5, 3);
        lifetime.record_rejection(&connections[3], 5, 3 + MAX_AGE_MS);
        assert_eq!(lifetime.current(3 + MAX_AGE_MS), u64::MAX);
    }
}
