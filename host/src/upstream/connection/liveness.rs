//! Whether an HTTP/2 connection is alive: the bytes that its I/O has read, and the PING that asks.
//!
//! A firewall that dropped a connection says nothing, and neither does an endpoint that hangs. Once a
//! tick the worker's watch task looks at each connection that has requests ([`SilenceTracker`]). The
//! I/O ([`LivenessTap`]) counts its reads and fails once the connection is declared dead, and the
//! connection's task ([`super::http2`]) sends a PING when it is asked to. A request pays one store.
//!
//! Servers of gRPC end a connection that sends more than two PINGs within five minutes while they have
//! nothing to send, as on a stream that waits for an event. So PINGs are rare: after
//! [`FIRST_PING_AFTER_MS`] and [`SECOND_PING_AFTER_MS`], and then every [`LATER_PING_AFTER_MS`].

use std::cell::{Cell, OnceCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::http::stream::Stream;
use crate::http::tap::IoTap;
use crate::upstream::endpoint::state::ConnectionPermit;

/// How long an endpoint says nothing, while a request waits for its answer, before it is asked for a
/// sign of life. Milliseconds.
const FIRST_PING_AFTER_MS: u64 = 3_000;
/// The same, once it has answered that.
const SECOND_PING_AFTER_MS: u64 = 30_000;
/// The same after that, and while requests wait for more of an answer that has begun.
const LATER_PING_AFTER_MS: u64 = 310_000;
/// How long after a PING without an answer new requests go to another connection. Milliseconds.
const DOUBT_AFTER_MS: u64 = 2_000;
/// How long after a PING without an answer the connection is given up. Milliseconds.
const PONG_TIMEOUT_MS: u64 = 10_000;
/// And after so many looks: a worker that was late first reads the bytes that came meanwhile.
const MIN_LOOKS: u32 = 8;

/// The facts that a connection's I/O, its task and its worker share.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    reads: Cell<u64>,
    wants_ping: Cell<bool>,
    is_dead: Cell<bool>,
    /// Of the connection's task, which stays the same.
    waker: OnceCell<Waker>,
}

impl Liveness {
    /// How often something was read.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// Something was read.
    fn note_read(&self) {
        self.reads.set(self.reads().wrapping_add(1));
    }

    /// The task that moves the connection's bytes.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    /// Ask the endpoint for a sign of life.
    pub(crate) fn ping(&self) {
        self.wants_ping.set(true);
        self.wake();
    }

    /// Whether a PING is to be sent; once for each [`Self::ping`].
    pub(crate) fn take_ping(&self) -> bool {
        self.wants_ping.take()
    }

    /// End the connection, and all requests on it.
    pub(crate) fn close(&self) {
        self.is_dead.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.is_dead.get() {
            let why = "the endpoint gave no sign of life";
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        } else {
            Ok(())
        }
    }
}

/// Counts the reads of a connection, and fails once the connection is declared dead.
#[derive(Debug)]
pub(super) struct LivenessTap {
    pub(super) liveness: Rc<Liveness>,
    /// Dropped after the stream: the permit is released when the socket is closed.
    pub(super) _permit: ConnectionPermit,
}

impl IoTap for LivenessTap {
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.liveness.check()?;
        ready!(Pin::new(stream).poll_read(cx, buffer))?;
        self.liveness.note_read();
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.liveness.check()?;
        Pin::new(stream).poll_write_vectored(cx, pieces)
    }
}

/// The next step for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LivenessAction {
    /// Nothing.
    Wait,
    /// Ask for a sign of life.
    Ping,
    /// Give it up.
    End,
}

/// How long a connection has been silent, as the watch task sees it.
#[derive(Debug, Default)]
pub(crate) struct SilenceTracker {
    /// As of the last look.
    reads: Cell<u64>,
    silent_since: Cell<u64>,
    /// PINGs since an answer's frame was last read.
    pings: Cell<u32>,
    pinged: Cell<Option<u64>>,
    /// How often it was looked at since.
    looks: Cell<u32>,
    /// How often something had been read when a request timed out here in silence.
    doubted: Cell<Option<u64>>,
}

impl SilenceTracker {
    /// Look at it. `reads`: how often something was read. `active`: requests on it, of which some
    /// wait for the head of an answer or none do (`waits`). Milliseconds.
    pub(crate) fn next_action(
        &self,
        now: u64,
        reads: u64,
        active: bool,
        waits: bool,
    ) -> LivenessAction {
        if self.reads.replace(reads) != reads {
            // The bytes after a PING are likely its answer.
            if self.pinged.take().is_none() {
                self.pings.set(0);
            }
            self.silent_since.set(now);
            return LivenessAction::Wait;
        }
        if let Some(pinged) = self.pinged.get() {
            let looks = self.looks.get().saturating_add(1);
            self.looks.set(looks);
            return if now.saturating_sub(pinged) >= PONG_TIMEOUT_MS && looks >= MIN_LOOKS {
                LivenessAction::End
            } else {
                LivenessAction::Wait
            };
        }
        if !active {
            self.silent_since.set(now);
            return LivenessAction::Wait;
        }
        let longest = match self.pings.get() {
            0 if waits => FIRST_PING_AFTER_MS,
            1 if waits => SECOND_PING_AFTER_MS,
            _ => LATER_PING_AFTER_MS,
        };
        if now.saturating_sub(self.silent_since.get()) < longest {
            return LivenessAction::Wait;
        }
        self.start_ping(now);
        LivenessAction::Ping
    }

    /// A request timed out on it, or a response stalled, that had waited since `began`. True: the endpoint
    /// is to be asked for a sign of life, since nothing came for at least half of that time. Milliseconds.
    pub(crate) fn timed_out(&self, now: u64, began: u64, reads: u64) -> bool {
        let quiet = if self.reads.get() == reads {
            now.saturating_sub(self.silent_since.get())
        } else {
            // It was heard since the last look.
            0
        };
        if quiet.saturating_mul(2) < now.saturating_sub(began) {
            return false;
        }
        self.doubted.set(Some(reads));
        let asks = self.pinged.get().is_none() && self.pings.get() < 2;
        if asks {
            self.start_ping(now);
        }
        asks
    }

    fn start_ping(&self, now: u64) {
        self.pings.set(self.pings.get().saturating_add(1));
        self.pinged.set(Some(now));
        self.looks.set(0);
    }

    /// Whether new requests are to go to another connection.
    pub(crate) fn is_doubtful(&self, now: u64, reads: u64) -> bool {
        if let Some(doubted) = self.doubted.get() {
            if doubted == reads {
                return true;
            }
            self.doubted.set(None);
        }
        let late = |pinged| now.saturating_sub(pinged) >= DOUBT_AFTER_MS;
        self.pinged.get().is_some_and(late) && self.reads.get() == reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_doubted_and_ended() {
        let silence = SilenceTracker::default();
        assert_eq!(
            silence.next_action(1_000, 5, true, true),
            LivenessAction::Wait
        );
        assert_eq!(
            silence.next_action(3_900, 5, true, true),
            LivenessAction::Wait
        );
        assert_eq!(
            silence.next_action(4_000, 5, true, true),
            LivenessAction::Ping
        );
        assert!(!silence.is_doubtful(5_999, 5));
        assert!(silence.is_doubtful(6_000, 5));
        assert!(!silence.is_doubtful(6_000, 6), "it was heard since");
        assert_eq!(
            silence.next_action(14_000, 5, true, true),
            LivenessAction::Wait,
            "the worker was late"
        );
        for _ in 0..6 {
            assert_eq!(
                silence.next_action(14_000, 5, true, true),
                LivenessAction::Wait
            );
        }
        assert_eq!(
            silence.next_action(14_000, 5, true, true),
            LivenessAction::End
        );
    }

    #[test]
    fn an_endpoint_that_is_slow_is_asked_rarely() {
        let silence = SilenceTracker::default();
        let mut asked = Vec::new();
        let mut reads = 1;
        for second in 0..1_000 {
            let now = second * 1_000;
            if silence.next_action(now, reads, true, true) == LivenessAction::Ping {
                asked.push(second);
                // It answers at once.
                reads += 1;
            }
        }
        assert_eq!(asked, [3, 34, 345, 656, 967]);
        // An answer ends the count.
        silence.next_action(1_000_000, reads + 1, true, true);
        assert_eq!(
            silence.next_action(1_003_000, reads + 1, true, true),
            LivenessAction::Ping
        );
    }

    #[test]
    fn nobody_is_asked_while_nobody_waits() {
        let silence = SilenceTracker::default();
        for second in 0..200 {
            let now = second * 1_000;
            assert_eq!(
                silence.next_action(now, 0, false, false),
                LivenessAction::Wait
            );
        }
        // A request that waits for more of an answer waits long.
        assert_eq!(
            silence.next_action(300_000, 0, true, false),
            LivenessAction::Wait
        );
        assert_eq!(
            silence.next_action(600_000, 0, true, false),
            LivenessAction::Ping
        );
    }

    #[test]
    fn what_timed_out_in_silence_is_doubted_until_it_is_heard() {
        let silence = SilenceTracker::default();
        silence.next_action(1_000, 4, true, true);
        assert!(
            !silence.timed_out(1_500, 1_000, 5),
            "it was heard since the look"
        );
        assert!(
            !silence.timed_out(1_100, 500, 4),
            "it was heard a moment ago"
        );
        assert!(!silence.is_doubtful(1_500, 4));
        assert!(silence.timed_out(1_500, 900, 4));
        assert!(silence.is_doubtful(1_500, 4));
        assert!(!silence.timed_out(1_600, 1_000, 4), "it is asked already");
        assert!(!silence.is_doubtful(1_700, 5));
        assert!(!silence.is_doubtful(1_700, 6));
    }
}
