//! The I/O of an HTTP/1.1 connection to an endpoint.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::head::{HeadAction, HeadReader};
use super::wake_gate::WakeSignal;
use crate::http::stream::Stream;
use crate::http::tap::{IoTap, TappedIo, written};
use crate::upstream::endpoint::state::ConnectionPermit;

/// A connection to an endpoint.
pub(super) type EndpointIo = TokioIo<TappedIo<EndpointTap>>;

/// Records the heads that are written, and reads heads and interim responses before hyper does.
#[derive(Debug)]
pub(super) struct EndpointTap {
    heads: HeadReader,
    /// Bytes for hyper before anything else is read.
    pub(super) pending_input: Bytes,
    wake_signal: WakeSignal,
    /// Whether the last read found nothing, so that the socket wakes this task.
    waits: bool,
    /// Dropped after the stream: the permit is released when the socket is closed.
    pub(super) permit: ConnectionPermit,
}

impl EndpointTap {
    #[must_use]
    pub(super) fn new(
        heads: HeadReader,
        wake_signal: WakeSignal,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            heads,
            pending_input: Bytes::new(),
            wake_signal,
            waits: false,
            permit,
        }
    }

    // Apart from `poll_read`, so that the polls which end there stay cheap.
    #[inline(never)]
    fn read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.pending_input.is_empty() {
            self.give_pending(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        loop {
            ready!(Pin::new(&mut *stream).poll_read(cx, buffer))?;
            if !self.heads.shared.overflow.is_expected.get() {
                return Poll::Ready(Ok(()));
            }
            let read = buffer.filled().get(before..).unwrap_or_default();
            let interims = &self.heads.shared.interims;
            if interims.is_expecting.get() {
                interims.observe(read);
            }
            let action = if read.is_empty() {
                HeadAction::Replace(self.heads.end())
            } else {
                self.heads.read(read)
            };
            match action {
                HeadAction::Pass => return Poll::Ready(Ok(())),
                HeadAction::Wait => buffer.set_filled(before),
                HeadAction::Replace(bytes) => {
                    buffer.set_filled(before);
                    self.pending_input = bytes.into();
                    self.give_pending(buffer);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn give_pending(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.pending_input.len().min(buffer.remaining());
        buffer.put_slice(self.pending_input.get(..count).unwrap_or_default());
        self.pending_input.advance(count);
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<EndpointIo>();
};

impl IoTap for EndpointTap {
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper asks several times a request.
        if self.waits && self.wake_signal.is_quiet() {
            return Poll::Pending;
        }
        self.wake_signal.reset();
        let outcome = self.read(stream, cx, buffer);
        // TLS may wait for something other than a read.
        self.waits = outcome.is_pending() && !stream.is_tls();
        outcome
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(stream).poll_write_vectored(cx, pieces);
        let count = match &outcome {
            Poll::Ready(Ok(count)) => *count,
            // Even if the connection is gone already, the head may have to be sent again.
            Poll::Ready(Err(_)) => usize::MAX,
            Poll::Pending => 0,
        };
        for bytes in written(pieces, count) {
            self.heads.shared.record.append(bytes);
        }
        outcome
    }
}
