//! The I/O of an HTTP/2 connection to an endpoint: counts the bytes that it reads, and fails once the
//! connection is declared dead.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::liveness::Liveness;
use crate::http::coalesce::coalesce;
use crate::http::stream::Stream;
use crate::upstream::endpoint::state::ConnectionPermit;

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct MonitoredIo {
    stream: Stream,
    liveness: Rc<Liveness>,
    /// Dropped after the stream: the permit is released when the socket is closed.
    _permit: ConnectionPermit,
}

impl MonitoredIo {
    /// Around a connected stream.
    #[must_use]
    pub(crate) fn new(stream: Stream, pulse: Rc<Liveness>, place: ConnectionPermit) -> Self {
        Self {
            stream,
            liveness: pulse,
            _permit: place,
        }
    }

    fn check_alive(&self) -> io::Result<()> {
        if self.liveness.is_dead() {
            let why = "the endpoint gave no sign of life";
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        } else {
            Ok(())
        }
    }
}

impl AsyncRead for MonitoredIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_alive()?;
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.liveness.note_read();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MonitoredIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_alive()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_alive()?;
        let mut stream = Pin::new(&mut self.stream);
        coalesce(pieces, |small| match small {
            Some(bytes) => stream.as_mut().poll_write(cx, bytes),
            None => stream.as_mut().poll_write_vectored(cx, pieces),
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
