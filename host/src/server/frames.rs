//! An HTTP/2 client connection's I/O: the stream, what was read of it before, and whether the
//! client takes what is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::stall::Stall;
use crate::gather;
use crate::stream::Stream;
use crate::watch::Watch;

/// The I/O of one client connection.
#[derive(Debug)]
pub struct FrameIo {
    stream: TokioIo<Stream>,
    read: Bytes,
    watch: Arc<Watch>,
    stall: Stall,
}

impl FrameIo {
    /// Around a connected stream, of which `read` was read already.
    #[must_use]
    pub fn new(stream: Stream, read: Bytes, watch: Arc<Watch>) -> Self {
        Self {
            stream: TokioIo::new(stream),
            read,
            watch,
            stall: Stall::default(),
        }
    }
}

impl FrameIo {
    fn note<T>(&mut self, outcome: Poll<T>) -> Poll<T> {
        self.stall.note(&self.watch, outcome)
    }
}

impl Read for FrameIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(self.read.get(..count).unwrap_or_default());
        self.read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl Write for FrameIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = gather::write(Pin::new(&mut self.stream), cx, pieces);
        self.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
