//! The I/O of one connection to an endpoint.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::record::Record;
use crate::gather::gather;
use crate::stream::Stream;
use crate::upstream::endpoint::known::ConnectionPlace;

/// A connection to an endpoint.
#[derive(Debug)]
pub struct EndpointIo {
    stream: TokioIo<Stream>,
    record: Record,
    /// Dropped after the stream: the place is free when the socket is closed.
    place: ConnectionPlace,
}

impl EndpointIo {
    /// Around a connected stream. Heads that are written are kept in the record.
    #[must_use]
    pub fn new(stream: Stream, record: Record, place: ConnectionPlace) -> Self {
        Self {
            stream: TokioIo::new(stream),
            record,
            place,
        }
    }

    /// The connection, and its place among the endpoint's.
    #[must_use]
    pub fn into_parts(self) -> (Stream, ConnectionPlace) {
        (self.stream.into_inner(), self.place)
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        match &outcome {
            Poll::Ready(Ok(count)) => self.record.wrote(bytes.get(..*count).unwrap_or_default()),
            // On a connection that is gone already: it is to be sent once more all the same.
            Poll::Ready(Err(_)) => self.record.wrote(bytes),
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
        Pin::new(&mut self.stream).poll_read(cx, buffer)
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
        gather(pieces, |small| {
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
