//! The I/O of an HTTP/2 client connection, with a look at the frames on it.
//!
//! It notes in the [`Watch`] when a head has begun and not ended, which stream a head has opened, and
//! whether the client reads what is written. It puts interim responses between the frames that hyper
//! writes. Bytes are read into hyper's own buffer; only those that came too early, and trailers, are
//! copied. hyper reads the frames' content.

mod floods;
mod incoming;
mod outgoing;

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use self::incoming::{HEAD, IncomingFrames, PREFACE, PassedFrames};
use self::outgoing::OutgoingFrames;
use super::own_output::OwnOutput;
use crate::http::stream::Stream;
use crate::http::tap::{IoTap, TappedIo, written};
use crate::http::watch::Watch;
use crate::model::flood::FloodKind;

/// How much is read at once of what is looked at before it passes. Bytes.
const READ_SIZE: usize = 4 * 1024;

const GOAWAY: u8 = 7;
/// RFC 9113 section 7: the peer causes too much load.
const ENHANCE_YOUR_CALM: u32 = 11;

/// Looks at the frames of one client connection.
#[derive(Debug)]
pub(super) struct H2Guard {
    watch: Arc<Watch>,
    /// Interim responses that are being written.
    output: OwnOutput,
    incoming: IncomingFrames,
    outgoing: OutgoingFrames,
    /// Bytes that were read and may not pass yet.
    read_ahead: BytesMut,
    /// The most that trailers may take. Bytes.
    max_trailers: usize,
    /// Whether hyper is to take the request that has just been opened before it reads on.
    pauses: bool,
    /// Whether the client resets a stream in the bytes that were read ahead.
    resets: bool,
    /// Whether hyper may take several requests at once, so that their streams are uncertain.
    in_doubt: bool,
    flood: Flood,
}

/// The flood that ended a connection.
pub(super) type Flood = Arc<OnceLock<FloodKind>>;

/// The I/O of a connection whose `read` bytes were read already.
#[must_use]
pub(super) fn guarded(
    stream: Stream,
    read: Bytes,
    watch: Arc<Watch>,
    max_trailers: usize,
    flood: Flood,
) -> TokioIo<TappedIo<H2Guard>> {
    let mut incoming = IncomingFrames::default();
    incoming.floods.begin(Instant::now());
    let tap = H2Guard {
        watch,
        output: OwnOutput::default(),
        incoming,
        outgoing: OutgoingFrames::default(),
        max_trailers,
        pauses: false,
        resets: incoming::has_reset(read.get(PREFACE..).unwrap_or_default()),
        in_doubt: false,
        flood,
        read_ahead: read.into(),
    };
    TokioIo::new(TappedIo { stream, tap })
}

impl H2Guard {
    /// Read, and keep the bytes.
    fn poll_ahead(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_SIZE];
        let mut piece = ReadBuf::uninit(&mut space);
        ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
        self.read_ahead.extend_from_slice(piece.filled());
        self.resets = incoming::has_reset(&self.read_ahead);
        Poll::Ready(Ok(piece.filled().len()))
    }

    fn give_to_hyper(&mut self, count: usize, buffer: &mut ReadBuf<'_>) {
        buffer.put_slice(&self.read_ahead.split_to(count));
        if self.read_ahead.is_empty() {
            self.read_ahead = BytesMut::new();
        }
    }

    /// Write interim responses where a frame may begin. With a number: not yet, but when so many bytes
    /// of hyper's were written.
    fn poll_interim(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        loop {
            ready!(self.output.poll_write(&self.watch, stream, cx))?;
            if !self.watch.interim.is_some() {
                return Poll::Ready(Ok(None));
            }
            if !self.outgoing.is_at_boundary() {
                return Poll::Ready(Ok(Some(self.outgoing.until_boundary())));
            }
            let mut frames = self.watch.interim.take();
            frames.retain(|frame| !self.outgoing.is_for_reset_stream(frame));
            self.output.bytes = frames.concat().into();
        }
    }

    /// End the connection of a client that floods it: with a GOAWAY, if the client reads.
    fn end_flooded(
        &mut self,
        kind: FloodKind,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flood.set(kind).is_ok()
            && self.outgoing.is_at_boundary()
            && self.output.bytes.is_empty()
        {
            let mut frame = vec![0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
            debug_assert_eq!(frame.len(), HEAD);
            frame.extend(self.incoming.latest().to_be_bytes());
            frame.extend(ENHANCE_YOUR_CALM.to_be_bytes());
            // The connection ends, whether or not this can be written.
            let _ = Pin::new(&mut *stream).poll_write(cx, &frame);
            let _ = Pin::new(stream).poll_flush(cx);
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }

    /// Read into a buffer what may pass, and keep the rest. Gives the stream that was opened last.
    fn poll_frames(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<u32>>> {
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let PassedFrames { count, opened } = self.incoming.count_allowed(read, read.len());
        let rest = read.get(count..).unwrap_or_default();
        self.resets = incoming::has_reset(rest);
        if !rest.is_empty() {
            self.read_ahead.extend_from_slice(rest);
            buffer.set_filled(before + count);
        }
        if count == 0 {
            // An empty read would be the end.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(opened))
    }

    fn poll_pass(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Option<u32>>> {
        if self.read_ahead.is_empty() {
            return self.poll_frames(stream, cx, buffer);
        }
        loop {
            let PassedFrames { count, opened } = self
                .incoming
                .count_allowed(&self.read_ahead, buffer.remaining());
            if count > 0 {
                self.give_to_hyper(count, buffer);
                return Poll::Ready(Ok(opened));
            }
            if self.incoming.floods.found().is_some() {
                return Poll::Pending;
            }
            if self
                .incoming
                .check_trailers(&mut self.read_ahead, self.max_trailers)
            {
                continue;
            }
            if ready!(self.poll_ahead(stream, cx))? == 0 {
                // The end, in the middle of a frame.
                let count = self.read_ahead.len().min(buffer.remaining());
                self.give_to_hyper(count, buffer);
                return Poll::Ready(Ok(None));
            }
        }
    }
}

impl IoTap for H2Guard {
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.pauses) {
            self.watch.paused.set(true);
            return Poll::Pending;
        }
        self.watch.paused.set(false);
        let had_begun = self.incoming.has_begun();
        let polled = self.poll_pass(stream, cx, buffer);
        if !had_begun && self.incoming.has_begun() {
            self.watch.end_preface();
        }
        self.watch.set_in_head(self.incoming.is_in_head());
        if let Some(kind) = self.incoming.floods.found() {
            return self.end_flooded(kind, stream, cx);
        }
        self.in_doubt &= polled.is_ready();
        polled.map_ok(|opened| {
            // h2 counts streams that are reset before hyper takes them, as in a flood of resets.
            self.in_doubt |= opened.is_some() && self.resets;
            if let Some(stream) = opened.filter(|_| !self.in_doubt) {
                self.watch.set_opened(stream);
                self.pauses = true;
            }
        })
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = match ready!(self.poll_interim(stream, cx))? {
            None => Pin::new(stream).poll_write_vectored(cx, pieces),
            Some(most) => {
                let first = pieces.iter().find(|piece| !piece.is_empty());
                let bytes = first.map_or(&[][..], |piece| piece.get(..most).unwrap_or(piece));
                Pin::new(stream).poll_write(cx, bytes)
            }
        };
        if let Poll::Ready(Ok(count)) = &outcome {
            written(pieces, *count).for_each(|bytes| self.outgoing.note_written(bytes));
            let floods = &mut self.incoming.floods;
            floods.note_content(std::mem::take(&mut self.outgoing.content));
            floods.note_responses(std::mem::take(&mut self.outgoing.ended));
        }
        self.output.track_write(&self.watch, outcome)
    }

    fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_interim(stream, cx))?;
        let outcome = Pin::new(stream).poll_flush(cx);
        self.output.track(&self.watch, outcome)
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<TappedIo<H2Guard>>();
};
