//! Connections between exchanges, and those that carry many exchanges at once (HTTP/2).
//!
//! Each exchange of HTTP/2 has a [`Watch`] of its own, with the limits of its connection; the connection's
//! checks the time-outs of all. Promises: the connection idles from the end of its last exchange on.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use parking_lot::Mutex;
use slab::Slab;

use super::{ConnectionPhase, TimeoutKind, Watch};
use crate::runtime::tasks::keep_waker;

/// A client that has just connected is about to send a request, and does not idle. Milliseconds.
const NEW_CLIENT_GRACE_MS: u64 = 1000;

/// How long a draining connection may idle before it is closed without its client's consent.
/// Milliseconds.
const DRAIN_IDLE: u64 = 1000;

/// The watches of a connection's exchanges.
#[derive(Debug, Default)]
pub(super) struct Exchanges(Mutex<Slab<Arc<Watch>>>);

/// The registration of an exchange with its connection, until dropped.
#[derive(Debug)]
pub(crate) struct ExchangeRegistration {
    pub(crate) connection: Arc<Watch>,
    index: usize,
}

impl Exchanges {
    /// Do something with each.
    pub(super) fn for_each(&self, mut act: impl FnMut(&Watch)) {
        for (_, watch) in self.0.lock().iter() {
            act(watch);
        }
    }
}

impl Watch {
    /// An exchange begins on this connection: its own watch, and its registration.
    #[must_use]
    pub(crate) fn begin_stream(self: &Arc<Self>) -> (Arc<Self>, ExchangeRegistration) {
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
        let index = self.exchanges.0.lock().insert(Arc::clone(&watch));
        let connection = Arc::clone(self);
        (watch, ExchangeRegistration { connection, index })
    }

    /// How many exchanges there are on it now.
    #[must_use]
    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.0.lock().len()
    }

    /// The connection waits for the first byte of its first request: no longer than a head may take,
    /// since nothing shows that it is a client's.
    pub(super) fn begin_first_wait(&self) {
        self.arm(TimeoutKind::Client, self.limits.head.min(self.limits.idle));
        self.idle_since.store(self.shared.clock.now(), Relaxed);
    }

    /// Since when it idles; none: it does not, or is about to be closed. Milliseconds.
    #[must_use]
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let waits = self.phase() == ConnectionPhase::Idle && !self.expired(TimeoutKind::Client);
        let since = self.idle_since.load(Relaxed);
        let is_fresh = self.served() == 0 && self.shared.clock.now() < since + NEW_CLIENT_GRACE_MS;
        (waits && since != 0 && !is_fresh).then_some(since)
    }

    /// Close it, since it idles and another connection needs its slot.
    pub(crate) fn close_idle(&self) {
        self.disarm(TimeoutKind::Client);
        self.set_signal(TimeoutKind::Client.signal());
    }

    /// Send an interim response, as its bytes on the wire, on this connection. It is left out if too much waits
    /// for a slow client.
    pub(crate) fn send_interim(&self, bytes: Vec<u8>) {
        if self.interim.push(bytes)
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }

    /// The preface of HTTP/2 was read: wait for the first request.
    pub(crate) fn end_preface(&self) {
        if self.exchanges() == 0 {
            self.begin_idle();
        }
    }

    /// Whether a head of HTTP/2 has begun and not ended: it may take as long as one of HTTP/1.1.
    pub(crate) fn set_in_head(&self, in_head: bool) {
        match (in_head, self.is_armed(TimeoutKind::Head)) {
            (true, false) => self.arm(TimeoutKind::Head, self.limits.head),
            (false, true) => self.disarm(TimeoutKind::Head),
            (true, true) | (false, false) => {}
        }
    }

    /// A head of HTTP/2 has opened this stream: the request that hyper takes next is its.
    pub(crate) fn set_opened(&self, stream: u32) {
        self.opened.store(stream, Relaxed);
    }

    /// The stream of the request that hyper has taken, if that is certain.
    #[must_use]
    pub(crate) fn take_opened(&self) -> Option<u32> {
        Some(self.opened.swap(0, Relaxed)).filter(|stream| *stream != 0)
    }

    /// It has no exchange, and waits for the next.
    pub(super) fn begin_idle(&self) {
        self.enter(ConnectionPhase::Idle);
        self.arm(TimeoutKind::Client, self.longest_idle());
        self.idle_since.store(self.shared.clock.now(), Relaxed);
    }

    /// End a wait that has expired already.
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

    /// A chunk of the response of this length was given to the connection, which asks for the next when the
    /// client has room for it. Only where a connection carries many exchanges; a connection that
    /// carries one notices by itself.
    pub(crate) fn begin_chunk_write(&self, length: usize) {
        if self.is_stream {
            self.exchange.rates.note_response(length);
            self.arm(TimeoutKind::Write, self.limits.write);
        }
    }

    /// The connection asks for the next chunk.
    pub(crate) fn end_chunk_write(&self) {
        if self.is_stream {
            self.disarm(TimeoutKind::Write);
        }
    }

    /// Another task to wake: the one that waits for the request's body.
    pub(crate) fn set_body_waker(&self, waker: &Waker) {
        keep_waker(&mut self.body_waker.lock(), waker);
    }

    pub(super) fn wake_body(&self) {
        if let Some(waker) = &*self.body_waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Whether this is the watch of one exchange among many.
    #[must_use]
    pub(crate) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Give a client little time to leave after a GOAWAY. That it idled until now does not count: a request that
    /// it has sent meanwhile is still answered.
    pub(crate) fn limit_idle_after_goaway(&self) {
        self.disarm_expired(TimeoutKind::Client);
        if self.exchanges() == 0 {
            self.arm(TimeoutKind::Client, DRAIN_IDLE);
        }
    }
}

impl Drop for ExchangeRegistration {
    fn drop(&mut self) {
        let ended = self.connection.exchanges.0.lock().try_remove(self.index);
        drop(ended);
        if self.connection.exchanges() == 0 {
            self.connection.begin_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::watch::{ClientTimeouts, MIN_TICK, MinRates};
    use crate::runtime::worker_shared::WorkerShared;

    fn waiting() -> Watch {
        let limits = ClientTimeouts {
            head: 1,
            idle: 50,
            body: None,
            write: 1,
            min_rates: MinRates::default(),
        };
        let watch = Watch::unarmed(WorkerShared::new(), limits, MIN_TICK, false);
        watch.begin_exchange(false);
        watch.end_exchange();
        watch.on_flushed();
        watch
    }

    #[test]
    fn who_waits_for_a_request_idles_and_who_has_begun_one_does_not() {
        let watch = waiting();
        assert_eq!(watch.idle_since(), Some(1));
        watch.begin_head();
        assert_eq!(watch.idle_since(), None);
        let fresh = Watch::unarmed(WorkerShared::new(), watch.limits, MIN_TICK, false);
        fresh.begin_first_wait();
        assert_eq!(fresh.idle_since(), None);
        let watch = waiting();
        watch.close_idle();
        assert!(watch.expired(TimeoutKind::Client) && watch.idle_since().is_none());
    }
}
