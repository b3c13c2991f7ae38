//! An HTTP/1.1 client connection's I/O: the stream, and what must be known of the bytes on it.
//!
//! hyper reads and writes through this. It tells the [`Watch`] when a head begins, when a write
//! does not go on and when all is written; it keeps a copy of the head for the framing check;
//! and it puts the gateway's own answer in the place of the empty one with which hyper itself
//! answers a head that it cannot read. Bodies pass uncopied. Deliberately not here: HTTP, but
//! for the status in that empty answer.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::refusal;
use super::stall::Stall;
use crate::error::Code;
use crate::gather;
use crate::stream::Stream;
use crate::watch::{Phase, Wait, Watch};
use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

/// How much of a head is read at once. Bytes; what hyper's buffer begins with.
const HEAD_READ: usize = 8 * 1024;

/// The I/O of one client connection.
#[derive(Debug)]
pub struct EdgeIo {
    stream: TokioIo<Stream>,
    watch: Arc<Watch>,
    own: Bytes,
    stall: Stall,
}

impl EdgeIo {
    /// Around a connected stream.
    #[must_use]
    pub fn new(stream: Stream, watch: Arc<Watch>) -> Self {
        Self {
            stream: TokioIo::new(stream),
            watch,
            own: Bytes::new(),
            stall: Stall::default(),
        }
    }

    /// The stream.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        self.stream.into_inner()
    }

    /// Whether hyper writes an answer that no request asked for: its own to an unreadable head.
    fn is_automatic(&self) -> bool {
        matches!(self.watch.phase(), Phase::Idle | Phase::Head)
    }

    /// Take hyper's automatic answer, and write ours instead of it.
    fn replace_automatic(&mut self, start: &[u8]) {
        if self.watch.is_refused() {
            return;
        }
        let code = match start.get(9..12) {
            Some(b"431") => Code::HeadersTooLarge,
            Some(b"414") => Code::UriTooLong,
            _ => Code::MalformedRequest,
        };
        self.own = refusal::raw(&self.watch.common, code);
        self.watch.note_refused();
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            let outcome = Pin::new(&mut self.stream).poll_write(cx, &self.own);
            let count = ready!(self.note_write(outcome))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    fn note_write<T>(&mut self, outcome: Poll<T>) -> Poll<T> {
        self.stall.note(&self.watch, outcome)
    }
}

impl Read for EdgeIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.phase() == Phase::Busy {
            if this.watch.expired(Wait::Body) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let mut space = [const { MaybeUninit::<u8>::uninit() }; HEAD_READ];
        let room = buffer.remaining().min(HEAD_READ);
        let mut piece = ReadBuf::uninit(space.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut this.stream).poll_read(cx, piece.unfilled()))?;
        if !piece.filled().is_empty() {
            this.watch.head_bytes(piece.filled());
            buffer.put_slice(piece.filled());
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for EdgeIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_automatic() {
            self.replace_automatic(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_automatic() {
            self.replace_automatic(pieces.first().map_or(&[], |piece| &**piece));
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        let outcome = gather::write(Pin::new(&mut self.stream), cx, pieces);
        self.note_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        // TLS holds back what the socket did not take.
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        ready!(self.note_write(outcome))?;
        self.watch.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<EdgeIo>();
};
