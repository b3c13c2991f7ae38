//! The I/O of an HTTP/2 client connection, with a look at the frames on it.
//!
//! It notes in the [`Watch`] when a head has begun and not ended, which stream a head has opened, and
//! whether the client reads what is written. It puts interim responses between the frames that hyper
//! writes. Bytes are read into hyper's own buffer; only those that came too early, and trailers, are
//! copied. hyper reads the frames' content.

mod incoming;
mod outgoing;

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

use self::incoming::{IncomingFrames, PREFACE, PassedFrames};
use self::outgoing::OutgoingFrames;
use super::write_timer::WriteTimer;
use crate::http::coalesce;
use crate::http::stream::Stream;
use crate::http::watch::Watch;

/// How much is read at once of what is looked at before it passes. Bytes.
const READ_SIZE: usize = 4 * 1024;

/// The I/O of one client connection.
#[derive(Debug)]
pub(crate) struct H2GuardIo {
    stream: TokioIo<Stream>,
    watch: Arc<Watch>,
    write_timer: WriteTimer,
    incoming: IncomingFrames,
    outgoing: OutgoingFrames,
    /// Bytes that were read and may not pass yet.
    read_ahead: BytesMut,
    /// The most that trailers may take. Bytes.
    max_trailers: usize,
    /// Whether hyper is to take the request that has just been opened before it reads on.
    pauses: bool,
    /// Whether the client resets a stream in what was read ahead.
    resets: bool,
    /// Whether hyper may take several requests at once, so that it is not known whose stream is whose.
    in_doubt: bool,
    /// Interim answers that are being written.
    pending_output: Bytes,
}

impl H2GuardIo {
    /// Around a connected stream, of which `read` was read already.
    #[must_use]
    pub(crate) fn new(stream: Stream, read: Bytes, watch: Arc<Watch>, max_trailers: usize) -> Self {
        Self {
            stream: TokioIo::new(stream),
            watch,
            write_timer: WriteTimer::default(),
            incoming: IncomingFrames::default(),
            outgoing: OutgoingFrames::default(),
            max_trailers,
            pauses: false,
            resets: incoming::has_reset(read.get(PREFACE..).unwrap_or_default()),
            in_doubt: false,
            pending_output: Bytes::new(),
            read_ahead: read.into(),
        }
    }

    fn track_write<T>(&mut self, outcome: Poll<T>) -> Poll<T> {
        self.write_timer.track(&self.watch, outcome)
    }

    /// Read, and keep what was read.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_SIZE];
        let mut piece = ReadBuf::uninit(&mut space);
        ready!(Pin::new(self.stream.inner_mut()).poll_read(cx, &mut piece))?;
        self.read_ahead.extend_from_slice(piece.filled());
        self.resets = incoming::has_reset(&self.read_ahead);
        Poll::Ready(Ok(piece.filled().len()))
    }

    fn give_to_hyper(&mut self, count: usize, buffer: &mut ReadBufCursor<'_>) {
        buffer.put_slice(&self.read_ahead.split_to(count));
        if self.read_ahead.is_empty() {
            self.read_ahead = BytesMut::new();
        }
    }

    /// Write interim answers where a frame may begin. With a number: not yet, but when so many bytes
    /// of hyper's were written.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        loop {
            while !self.pending_output.is_empty() {
                let outcome = Pin::new(&mut self.stream).poll_write(cx, &self.pending_output);
                let count = ready!(self.track_write(outcome))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.pending_output.advance(count);
            }
            if !self.watch.interim.is_some() {
                return Poll::Ready(Ok(None));
            }
            if !self.outgoing.is_at_boundary() {
                return Poll::Ready(Ok(Some(self.outgoing.until_boundary())));
            }
            let mut frames = self.watch.interim.take();
            frames.retain(|frame| !self.outgoing.is_for_reset_stream(frame));
            self.pending_output = frames.concat().into();
        }
    }
}

/// Reads into a buffer what may pass, and keeps the rest.
struct FrameTap<'a> {
    stream: &'a mut Stream,
    incoming: &'a mut IncomingFrames,
    read_ahead: &'a mut BytesMut,
    opened: Option<u32>,
}

impl AsyncRead for FrameTap<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *this.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let PassedFrames { count, opened } = this.incoming.count_allowed(read, read.len());
        this.opened = opened;
        if let Some(rest) = read.get(count..).filter(|rest| !rest.is_empty()) {
            this.read_ahead.extend_from_slice(rest);
            buffer.set_filled(before + count);
        }
        if count == 0 {
            // An empty read would be the end.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl H2GuardIo {
    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<Option<u32>>> {
        if self.read_ahead.is_empty() {
            let mut sieve = TokioIo::new(FrameTap {
                stream: self.stream.inner_mut(),
                incoming: &mut self.incoming,
                read_ahead: &mut self.read_ahead,
                opened: None,
            });
            let polled = Pin::new(&mut sieve).poll_read(cx, buffer);
            let opened = sieve.into_inner().opened;
            self.resets = incoming::has_reset(&self.read_ahead);
            return polled.map_ok(|()| opened);
        }
        loop {
            let PassedFrames { count, opened } = self
                .incoming
                .count_allowed(&self.read_ahead, buffer.remaining());
            if count > 0 {
                self.give_to_hyper(count, &mut buffer);
                return Poll::Ready(Ok(opened));
            }
            if self
                .incoming
                .check_trailers(&mut self.read_ahead, self.max_trailers)
            {
                continue;
            }
            if ready!(self.poll_ahead(cx))? == 0 {
                // The end, in the middle of a frame.
                let count = self.read_ahead.len().min(buffer.remaining());
                self.give_to_hyper(count, &mut buffer);
                return Poll::Ready(Ok(None));
            }
        }
    }
}

impl Read for H2GuardIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if std::mem::take(&mut this.pauses) {
            this.watch.set_paused(true);
            return Poll::Pending;
        }
        this.watch.set_paused(false);
        let had_begun = this.incoming.has_begun();
        let polled = this.poll_pass(cx, buffer);
        if !had_begun && this.incoming.has_begun() {
            this.watch.end_preface();
        }
        this.watch.set_in_head(this.incoming.is_in_head());
        this.in_doubt &= polled.is_ready();
        polled.map_ok(|opened| {
            // h2 counts streams that are reset before hyper takes them, as in a flood of resets.
            this.in_doubt |= opened.is_some() && this.resets;
            if let Some(stream) = opened.filter(|_| !this.in_doubt) {
                this.watch.set_opened(stream);
                this.pauses = true;
            }
        })
    }
}

impl Write for H2GuardIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let most = ready!(this.poll_interim(cx))?.unwrap_or(usize::MAX);
        let bytes = bytes.get(..most).unwrap_or(bytes);
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &outcome {
            this.outgoing
                .note_written(bytes.get(..*count).unwrap_or_default());
        }
        this.track_write(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.watch.interim.is_some() || !self.pending_output.is_empty() {
            let first = pieces.iter().find(|piece| !piece.is_empty());
            return self.poll_write(cx, first.map_or(&[], |piece| &**piece));
        }
        let this = &mut *self;
        let outcome = coalesce::write_coalesced(Pin::new(&mut this.stream), cx, pieces);
        if let Poll::Ready(Ok(count)) = &outcome {
            let mut left = *count;
            for piece in pieces {
                let wrote = left.min(piece.len());
                this.outgoing
                    .note_written(piece.get(..wrote).unwrap_or_default());
                left -= wrote;
            }
        }
        this.track_write(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(cx))?;
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.track_write(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<H2GuardIo>();
};
