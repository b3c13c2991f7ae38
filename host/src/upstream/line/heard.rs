//! The I/O of one HTTP/2 connection to an endpoint: says when something was read, for as long as
//! somebody wants to know.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

use crate::gather;
use crate::stream::Stream;
use crate::upstream::endpoint::known::ConnectionPlace;

/// A connection to an endpoint.
#[derive(Debug)]
pub struct HeardIo {
    stream: TokioIo<Stream>,
    told: Option<Weak<Notify>>,
    /// Dropped after the stream: the place is free when the socket is closed.
    _place: ConnectionPlace,
}

impl HeardIo {
    /// Around a connected stream. Whoever holds `told` is told of each read.
    #[must_use]
    pub fn new(stream: Stream, told: Weak<Notify>, place: ConnectionPlace) -> Self {
        Self {
            stream: TokioIo::new(stream),
            told: Some(told),
            _place: place,
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
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
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
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        gather::write(Pin::new(&mut self.stream), cx, pieces)
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
