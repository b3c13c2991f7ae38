//! The I/O of an HTTP/1.1 connection to an endpoint.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

use super::head::{self, HeadReader};
use super::head_record::HeadRecord;
use super::interim::InterimResponses;
use super::wake_gate::WakeSignal;
use crate::http::coalesce::coalesce;
use crate::http::stream::Stream;
use crate::upstream::endpoint::state::ConnectionPermit;

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointIo {
    stream: TokioIo<Stream>,
    record: HeadRecord,
    heads: HeadReader,
    /// Bytes for hyper before anything else is read.
    pending_input: Bytes,
    interims: InterimResponses,
    wake_signal: WakeSignal,
    /// Whether the last read found nothing, so that the socket wakes this task.
    waits: bool,
    /// Dropped after the stream: the permit is released when the socket is closed.
    permit: ConnectionPermit,
}

impl EndpointIo {
    /// Around a connected stream. Heads that are written are kept in the record.
    #[must_use]
    pub(crate) fn new(
        stream: Stream,
        record: HeadRecord,
        heads: HeadReader,
        interims: InterimResponses,
        stir: WakeSignal,
        place: ConnectionPermit,
    ) -> Self {
        Self {
            stream: TokioIo::new(stream),
            record,
            heads,
            pending_input: Bytes::new(),
            interims,
            wake_signal: stir,
            waits: false,
            permit: place,
        }
    }

    /// The connection, what was read of it and not given to hyper, and its place among the endpoint's.
    #[must_use]
    pub(crate) fn into_parts(self) -> (Stream, Bytes, ConnectionPermit) {
        (self.stream.into_inner(), self.pending_input, self.permit)
    }

    // Apart from `poll_read`, so that the polls which end there stay cheap.
    #[inline(never)]
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.pending_input.is_empty() {
            let count = self.pending_input.len().min(buffer.remaining());
            buffer.put_slice(self.pending_input.get(..count).unwrap_or_default());
            self.pending_input.advance(count);
            return Poll::Ready(Ok(()));
        }
        if !self.heads.overflow.is_expected() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let seen = ResponseTap {
            stream: self.stream.inner_mut(),
            heads: &mut self.heads,
            pending_input: &mut self.pending_input,
            interims: &self.interims,
        };
        Pin::new(&mut TokioIo::new(seen)).poll_read(cx, buffer)
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        match &outcome {
            Poll::Ready(Ok(count)) => self.record.append(bytes.get(..*count).unwrap_or_default()),
            // Even if the connection is gone already, the head may have to be sent again.
            Poll::Ready(Err(_)) => self.record.append(bytes),
            Poll::Pending => {}
        }
        outcome
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<EndpointIo>();
};

impl Read for EndpointIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper asks several times a request.
        if self.waits && self.wake_signal.is_quiet() {
            return Poll::Pending;
        }
        self.wake_signal.reset();
        let outcome = self.read(cx, buffer);
        // TLS may wait for something other than a read.
        self.waits = outcome.is_pending() && !self.stream.inner().is_tls();
        outcome
    }
}

/// Reads heads and interim responses before hyper does.
struct ResponseTap<'a> {
    stream: &'a mut Stream,
    heads: &'a mut HeadReader,
    pending_input: &'a mut Bytes,
    interims: &'a InterimResponses,
}

impl AsyncRead for ResponseTap<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            ready!(Pin::new(&mut *this.stream).poll_read(cx, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            if this.interims.is_expecting() {
                this.interims.observe(read);
            }
            let given = if read.is_empty() {
                this.heads.end()
            } else {
                match this.heads.read(read) {
                    head::HeadAction::Pass => return Poll::Ready(Ok(())),
                    head::HeadAction::Wait => {
                        buffer.set_filled(before);
                        continue;
                    }
                    head::HeadAction::Replace(given) => given,
                }
            };
            buffer.set_filled(before);
            *this.pending_input = given.into();
            let count = this.pending_input.len().min(buffer.remaining());
            buffer.put_slice(this.pending_input.get(..count).unwrap_or_default());
            this.pending_input.advance(count);
            return Poll::Ready(Ok(()));
        }
    }
}

impl Write for EndpointIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        coalesce(pieces, |small| {
            if let Some(bytes) = small {
                return self.write(cx, bytes);
            }
            // Larger than any head that is kept.
            self.record.stop();
            Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
