//! What an exchange tells its watch: its bodies, its attempt, its end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{
    CUT, ConnectionPhase, DRAIN, NO_ENDPOINT, TimeoutKind, Watch, milliseconds, to_u32_ms,
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
        self.endpoint.store(NO_ENDPOINT, Relaxed);
        self.body_fault.store(0, Relaxed);
        self.request_bytes.store(0, Relaxed);
        self.body_open.store(has_body, Relaxed);
        self.body_abandoned.store(false, Relaxed);
        self.body_refused.store(false, Relaxed);
        self.first_byte.store(0, Relaxed);
        self.upload_idle.store(0, Relaxed);
    }

    /// The exchange is over; what is left is to write it out.
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

    /// The next piece of the request's body is waited for.
    pub(crate) fn begin_body_wait(&self) {
        self.disarm(TimeoutKind::Upload);
        if let Some(limit) = self.limits.body
            && !self.is_armed(TimeoutKind::Body)
        {
            self.arm(TimeoutKind::Body, limit);
        }
    }

    /// A piece of the request's body came in, and goes to whoever asked for it.
    pub(crate) fn count_body_bytes(&self, count: u64) {
        self.disarm(TimeoutKind::Body);
        self.request_bytes
            .store(self.request_bytes() + count, Relaxed);
        match self.upload_idle.load(Relaxed) {
            0 => {}
            limit => self.arm(TimeoutKind::Upload, u64::from(limit)),
        }
    }

    /// No more of the request's body is to come. The endpoint's time to answer begins.
    pub(crate) fn end_body(&self) {
        self.body_open.store(false, Relaxed);
        self.disarm(TimeoutKind::Body);
        self.disarm(TimeoutKind::Upload);
        match self.first_byte.swap(0, Relaxed) {
            0 => {}
            limit => self.arm(TimeoutKind::Answer, u64::from(limit)),
        }
    }

    /// The request's body is not read to its end: the connection can carry no other request.
    pub(crate) fn abandon_body(&self) {
        self.body_abandoned.store(true, Relaxed);
        self.end_body();
    }

    /// Whether the present request's body was given up before its end.
    #[must_use]
    pub(crate) fn is_body_abandoned(&self) -> bool {
        self.body_abandoned.load(Relaxed)
    }

    /// Whether the endpoint, which has answered, takes no more of the present request's body.
    pub(crate) fn set_body_refused(&self, refused: bool) {
        self.body_refused.store(refused, Relaxed);
    }

    /// Whether the present request's body is not read to its end: the connection closes after the answer.
    #[must_use]
    pub(crate) fn is_body_left(&self) -> bool {
        self.is_body_abandoned() || (self.body_open() && self.body_refused.load(Relaxed))
    }

    /// The request's body failed.
    pub(crate) fn fail_body(&self, code: Code) {
        // There are fewer than 255 codes.
        self.body_fault.store(code as u8 + 1, Relaxed);
    }

    /// Why the present request's body failed, where it did.
    #[must_use]
    pub(crate) fn body_fault(&self) -> Option<Code> {
        let place = self.body_fault.load(Relaxed).checked_sub(1)?;
        Code::ALL.get(usize::from(place)).copied()
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

    /// Whether more of the request's body is to come.
    #[must_use]
    pub(crate) fn body_open(&self) -> bool {
        self.body_open.load(Relaxed)
    }

    /// What came in of the present request's body. Bytes.
    #[must_use]
    pub(crate) fn request_bytes(&self) -> u64 {
        self.request_bytes.load(Relaxed)
    }

    /// The exchange is with this endpoint from now on, by its number.
    pub(crate) fn set_endpoint(&self, endpoint: u64) {
        self.endpoint.store(endpoint, Relaxed);
    }

    /// The number of the endpoint that it is with.
    #[must_use]
    pub(crate) fn endpoint(&self) -> u64 {
        self.endpoint.load(Relaxed)
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
        if self.body_open() {
            self.upload_idle.store(idle.map_or(0, to_u32_ms), Relaxed);
            self.first_byte.store(to_u32_ms(first_byte), Relaxed);
            // Also what is sent once more, and was counted before, is to be taken.
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
        self.first_byte.store(0, Relaxed);
        self.disarm(TimeoutKind::Answer);
        // What came at the last moment is in time.
        self.disarm_expired(TimeoutKind::Answer);
    }
}
