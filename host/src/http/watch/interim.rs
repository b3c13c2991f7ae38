//! What a connection's I/O and its exchanges tell one another of heads and interim answers.

use std::sync::atomic::Ordering::Relaxed;

use super::{TimeoutKind, Watch};

impl Watch {
    /// Whether the exchange that begins may have interim answers.
    pub(crate) fn set_takes_interim(&self, takes: bool) {
        self.takes_interim.store(takes, Relaxed);
    }

    /// Whether one may be sent now: until the final answer is given to the connection.
    #[must_use]
    pub(crate) fn takes_interim(&self) -> bool {
        self.takes_interim.load(Relaxed)
    }

    /// Send an interim answer, which is in the form of the wire, on this connection. One that a slow
    /// client has no room for is left out.
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

    /// The stream of the request that hyper has taken; none: it is not known.
    #[must_use]
    pub(crate) fn take_opened(&self) -> Option<u32> {
        Some(self.opened.swap(0, Relaxed)).filter(|stream| *stream != 0)
    }

    /// Whether hyper was told to wait, so that it takes a request before it reads on.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Relaxed);
    }

    /// Whether it has not read since. Once.
    #[must_use]
    pub(crate) fn take_paused(&self) -> bool {
        self.paused.swap(false, Relaxed)
    }
}
