//! The events of an exchange: its bodies, its attempts, its end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{
    CHECK_CLIENT, CUT, ConnectionPhase, DRAIN, NO_ENDPOINT, TimeoutKind, Watch, milliseconds,
    to_u32_ms,
};
use crate::error::Code;

impl Watch {
    /// A request's head is complete; `has_body` if a body follows.
    pub(crate) fn begin_exchange(&self, has_body: bool) {
        self.enter(ConnectionPhase::Busy);
        self.disarm(TimeoutKind::Client);
        self.signals
            .store(self.signals.load(Relaxed) & (DRAIN | CUT), Relaxed);
        self.count_served();
        let exchange = &self.exchange;
        exchange.endpoint.store(NO_ENDPOINT, Relaxed);
        exchange.body_fault.store(0, Relaxed);
        exchange.request_bytes.store(0, Relaxed);
        exchange.rates.begin();
        exchange.body_open.set(has_body);
        exchange.body_abandoned.set(false);
        exchange.body_refused.set(false);
        exchange.first_byte.store(0, Relaxed);
        exchange.upload_idle.store(0, Relaxed);
    }

    /// The exchange is over; its last bytes are still to be written.
    pub(crate) fn end_exchange(&self) {
        if self.phase() == ConnectionPhase::Busy {
            self.enter(ConnectionPhase::Answered);
        }
        for wait in [
            TimeoutKind::Body,
            TimeoutKind::Upload,
            TimeoutKind::Answer,
            TimeoutKind::Total,
        ] {
            self.disarm(wait);
        }
    }

    /// The wait for the next chunk of the request's body begins.
    pub(crate) fn begin_body_wait(&self) {
        self.disarm(TimeoutKind::Upload);
        if let Some(limit) = self.limits.body
            && !self.is_armed(TimeoutKind::Body)
        {
            self.arm(TimeoutKind::Body, limit);
        }
    }

    /// A chunk of the request's body has come, and goes to its reader.
    pub(crate) fn count_body_bytes(&self, count: u64) {
        self.disarm(TimeoutKind::Body);
        let exchange = &self.exchange;
        exchange
            .request_bytes
            .store(self.request_bytes() + count, Relaxed);
        match exchange.upload_idle.load(Relaxed) {
            0 => {}
            limit => self.arm(TimeoutKind::Upload, u64::from(limit)),
        }
    }

    /// No more of the request's body comes. The endpoint's time to answer begins.
    pub(crate) fn end_body(&self) {
        self.exchange.body_open.set(false);
        self.disarm(TimeoutKind::Body);
        self.disarm(TimeoutKind::Upload);
        match self.exchange.first_byte.swap(0, Relaxed) {
            0 => {}
            limit => self.arm(TimeoutKind::Answer, u64::from(limit)),
        }
    }

    /// The request's body is not read to its end: the connection can carry no other request.
    pub(crate) fn abandon_body(&self) {
        self.exchange.body_abandoned.set(true);
        self.end_body();
    }

    /// Whether the present request's body is not read to its end: the connection closes after the answer.
    #[must_use]
    pub(crate) fn is_body_left(&self) -> bool {
        let exchange = &self.exchange;
        exchange.body_abandoned.get() || (exchange.body_open.get() && exchange.body_refused.get())
    }

    /// The request's body failed.
    pub(crate) fn fail_body(&self, code: Code) {
        // There are fewer than 255 codes.
        self.exchange.body_fault.store(code as u8 + 1, Relaxed);
    }

    /// The reason why the present request's body failed, if it did.
    #[must_use]
    pub(crate) fn body_fault(&self) -> Option<Code> {
        let index = self.exchange.body_fault.load(Relaxed).checked_sub(1)?;
        Code::ALL.get(usize::from(index)).copied()
    }

    /// A handshake begins, which takes as long as a head at the most.
    pub(crate) fn begin_handshake(&self) {
        self.arm(TimeoutKind::Client, self.limits.head);
        self.idle_since.store(0, Relaxed);
    }

    /// The handshake is over: wait for the first request.
    pub(crate) fn end_handshake(&self) {
        self.begin_first_wait();
    }

    /// Something passed in either direction after an upgrade; the next must within `idle`, if not
    /// for ever. Milliseconds.
    pub(crate) fn note_tunnel_traffic(&self, idle: Option<u64>) {
        match idle {
            Some(idle) => self.arm(TimeoutKind::Answer, idle),
            None => self.disarm(TimeoutKind::Answer),
        }
    }

    /// How much of the present request's body has come. Bytes.
    #[must_use]
    pub(crate) fn request_bytes(&self) -> u64 {
        self.exchange.request_bytes.load(Relaxed)
    }

    /// The exchange is with this endpoint from now on, by its number.
    pub(crate) fn set_endpoint(&self, endpoint: u64) {
        self.exchange.endpoint.store(endpoint, Relaxed);
    }

    /// The number of the endpoint that it is with.
    #[must_use]
    pub(crate) fn endpoint(&self) -> u64 {
        self.exchange.endpoint.load(Relaxed)
    }

    /// The time for the whole exchange is over when the other's is.
    pub(crate) fn share_total_timeout(&self, other: &Self) {
        if let (Some(own), Some(cell)) = (
            self.cell(TimeoutKind::Total),
            other.cell(TimeoutKind::Total),
        ) {
            own.store(cell.load(Relaxed), Relaxed);
        }
    }

    /// A request goes to an endpoint, which must take each piece of the body within `idle` (if
    /// not for ever), and begin to answer within `first_byte` of its end.
    pub(crate) fn begin_response_wait(&self, first_byte: Duration, idle: Option<Duration>) {
        let exchange = &self.exchange;
        if exchange.body_open.get() {
            exchange
                .upload_idle
                .store(idle.map_or(0, to_u32_ms), Relaxed);
            exchange.first_byte.store(to_u32_ms(first_byte), Relaxed);
            // Bytes that are sent again were counted before, and must be read, too.
            if let Some(idle) = idle {
                self.arm(TimeoutKind::Upload, milliseconds(idle));
            }
        } else {
            self.arm(TimeoutKind::Answer, milliseconds(first_byte));
        }
    }

    /// The endpoint may take so much longer to begin to answer.
    pub(crate) fn extend_first_byte(&self, first_byte: Duration) {
        self.arm(TimeoutKind::Answer, milliseconds(first_byte));
        self.disarm_expired(TimeoutKind::Answer);
    }

    /// The endpoint began to answer, or the attempt failed.
    pub(crate) fn end_response_wait(&self) {
        self.exchange.first_byte.store(0, Relaxed);
        self.disarm(TimeoutKind::Answer);
        // A response at the last moment is in time.
        self.disarm_expired(TimeoutKind::Answer);
    }

    /// Whether the connection's I/O must check whether the client has left: its socket would not wake it, since
    /// another request is pipelined or nothing reads the body. Once.
    #[must_use]
    pub(crate) fn take_client_check(&self) -> bool {
        let signals = self.signals.load(Relaxed);
        self.signals.store(signals & !CHECK_CLIENT, Relaxed);
        signals & CHECK_CLIENT != 0
    }
}
