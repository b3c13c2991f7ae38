//! The exchanges of a connection that carries many at once (HTTP/2).
//!
//! Each has a [`Watch`] of its own, with the limits of its connection; the connection's is asked
//! for the time-outs of all. Promises: the connection idles from the end of its last exchange on.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::{ConnectionPhase, TimeoutKind, Watch};

/// How long a draining connection may idle before it is closed without its client's consent.
/// Milliseconds.
const DRAIN_IDLE: u64 = 1000;

/// The watches of a connection's exchanges.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Mutex<ExchangeSlots>);

#[derive(Debug, Default)]
struct ExchangeSlots {
    watches: Vec<Option<Arc<Watch>>>,
    free: Vec<usize>,
}

/// An exchange's place among those of its connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct ExchangeRegistration {
    connection: Arc<Watch>,
    index: usize,
}

impl ExchangeRegistration {
    #[must_use]
    pub(crate) fn connection(&self) -> &Watch {
        &self.connection
    }

    /// One more on the same connection: for what is left of an exchange whose own task has ended.
    #[must_use]
    pub(crate) fn duplicate(&self) -> (Arc<Watch>, Self) {
        self.connection.exchange()
    }
}

impl Exchanges {
    fn slots(&self) -> MutexGuard<'_, ExchangeSlots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Do something with each.
    pub(super) fn for_each(&self, mut act: impl FnMut(&Watch)) {
        for watch in self.slots().watches.iter().flatten() {
            act(watch);
        }
    }

    fn len(&self) -> usize {
        let places = self.slots();
        places.watches.len() - places.free.len()
    }
}

impl Watch {
    /// An exchange begins on this connection: its own watch, and its place.
    #[must_use]
    pub(crate) fn exchange(self: &Arc<Self>) -> (Arc<Self>, ExchangeRegistration) {
        let watch = Arc::new(Self::unarmed(
            Arc::clone(&self.shared),
            self.limits,
            self.tick,
            true,
        ));
        self.disarm(TimeoutKind::Client);
        self.disarm_expired(TimeoutKind::Client);
        self.enter(ConnectionPhase::Busy);
        self.count_served();
        let mut places = self.exchanges.slots();
        let index = match places.free.pop() {
            Some(index) => index,
            None => {
                places.watches.push(None);
                places.watches.len() - 1
            }
        };
        if let Some(place) = places.watches.get_mut(index) {
            *place = Some(Arc::clone(&watch));
        }
        drop(places);
        let connection = Arc::clone(self);
        (watch, ExchangeRegistration { connection, index })
    }

    /// How many exchanges there are on it now.
    #[must_use]
    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.len()
    }

    /// It has no exchange, and waits for the next.
    pub(super) fn begin_idle(&self) {
        self.enter(ConnectionPhase::Idle);
        self.arm(TimeoutKind::Client, self.longest_idle());
        self.idle_since.store(self.shared.clock.now(), Relaxed);
    }

    /// Also where it was waited for too long already.
    pub(super) fn disarm_expired(&self, wait: TimeoutKind) {
        self.signals
            .store(self.signals.load(Relaxed) & !wait.signal(), Relaxed);
    }

    fn longest_idle(&self) -> u64 {
        if self.draining() {
            DRAIN_IDLE.min(self.limits.idle)
        } else {
            self.limits.idle
        }
    }

    /// A piece of the response was given to the connection, which asks for the next when the
    /// client has room for it. Only where a connection carries many exchanges; a connection that
    /// carries one notices by itself.
    pub(crate) fn begin_chunk_write(&self) {
        if self.is_stream {
            self.arm(TimeoutKind::Write, self.limits.write);
        }
    }

    /// The connection asks for the next piece.
    pub(crate) fn end_chunk_write(&self) {
        if self.is_stream {
            self.disarm(TimeoutKind::Write);
        }
    }

    /// Whom to wake besides: the task that waits for the request's body.
    pub(crate) fn set_body_waker(&self, waker: &Waker) {
        let mut known = self
            .body_waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &mut *known {
            Some(known) => known.clone_from(waker),
            None => *known = Some(waker.clone()),
        }
    }

    pub(super) fn wake_body(&self) {
        let known = self
            .body_waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*known {
            waker.wake_by_ref();
        }
    }

    /// Whether this is the watch of one exchange among many.
    #[must_use]
    pub(crate) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Let a client that was told to go (GOAWAY) be gone soon. That it idled until now counts no
    /// more: what it has sent meanwhile is still answered.
    pub(crate) fn limit_idle_after_goaway(&self) {
        self.disarm_expired(TimeoutKind::Client);
        if self.exchanges() == 0 {
            self.arm(TimeoutKind::Client, DRAIN_IDLE);
        }
    }
}

impl Drop for ExchangeRegistration {
    fn drop(&mut self) {
        let exchanges = &self.connection.exchanges;
        let mut places = exchanges.slots();
        let ended = match places.watches.get_mut(self.index) {
            Some(place) => place.take(),
            None => None,
        };
        places.free.push(self.index);
        drop(places);
        drop(ended);
        if exchanges.len() == 0 {
            self.connection.begin_idle();
        }
    }
}
