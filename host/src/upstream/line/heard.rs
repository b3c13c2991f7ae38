//! The I/O of one HTTP/2 connection to an endpoint: says when something was read, and writes a PING
//! between two frames when it is asked to.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

use super::pulse::{Frames, PING, Pulse};
use crate::gather;
use crate::stream::Stream;
use crate::upstream::endpoint::known::ConnectionPlace;

/// A connection to an endpoint.
#[derive(Debug)]
pub struct HeardIo {
    stream: TokioIo<Stream>,
    told: Option<Weak<Notify>>,
    pulse: Arc<Pulse>,
    frames: Frames,
    /// What is left of a PING that is being written.
    ping: &'static [u8],
    /// Dropped after the stream: the place is free when the socket is closed.
    _place: ConnectionPlace,
}

impl HeardIo {
    /// Around a connected stream. Whoever holds `told` is told of each read.
    #[must_use]
    pub fn new(
        stream: Stream,
        told: Weak<Notify>,
        pulse: Arc<Pulse>,
        place: ConnectionPlace,
    ) -> Self {
        Self {
            stream: TokioIo::new(stream),
            told: Some(told),
            pulse,
            frames: Frames::default(),
            ping: &[],
            _place: place,
        }
    }

    /// Write the PING that is wanted, if another frame can be written here.
    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ping.is_empty() {
            if !self.frames.is_between() || !self.pulse.take_ping() {
                return Poll::Ready(Ok(()));
            }
            self.ping = &PING;
        }
        while !self.ping.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, self.ping))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.ping = self.ping.get(count..).unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }

    /// So much of these pieces was written.
    fn wrote(&mut self, pieces: &[IoSlice<'_>], count: usize) {
        let mut left = count;
        for piece in pieces {
            let written = piece.get(..left.min(piece.len())).unwrap_or_default();
            self.frames.wrote(written);
            left -= written.len();
            if left == 0 {
                break;
            }
        }
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<HeardIo>();
};

impl Read for HeardIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.pulse.is_dead() {
            let why = "the endpoint gave no sign of life";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        self.pulse.read_by(cx.waker());
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.pulse.read();
        if let Some(told) = &self.told {
            match told.upgrade() {
                Some(told) => told.notify_one(),
                None => self.told = None,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for HeardIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ping(cx))?;
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.frames.wrote(bytes.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ping(cx))?;
        let count = ready!(gather::write(Pin::new(&mut self.stream), cx, pieces))?;
        self.wrote(pieces, count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ping(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
