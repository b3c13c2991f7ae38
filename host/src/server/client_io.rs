//! The I/O of an HTTP/1.1 client connection.
//!
//! hyper reads and writes through this. It gives hyper one message at a time ([`super::message`]), and
//! keeps later bytes back until the response is written: so facts about a head's bytes, and the times
//! of the [`Watch`], belong to one request. It notes in the watch when a head begins, when a write does
//! not advance and when everything is written. It replaces the empty response with which hyper answers
//! a head that it cannot read by the gateway's own. Bytes are read into hyper's own buffer; only those
//! that came too early are copied. hyper does not read while it answers (its `half_close`), so this
//! watches the socket: it notices a client that leaves while its request is answered.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, Interest, ReadBuf};

use super::message::MessagePosition;
use super::refusal;
use super::write_timer::WriteTimer;
use crate::error::Code;
use crate::http::coalesce;
use crate::http::stream::Stream;
use crate::http::watch::{ConnectionPhase, TimeoutKind, Watch};

/// The preface of an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The I/O of one client connection.
#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: TokioIo<Stream>,
    watch: Arc<Watch>,
    pending_output: Bytes,
    write_timer: WriteTimer,
    reading: MessagePosition,
    /// Bytes that came too early: they belong to the next message.
    read_ahead: BytesMut,
    /// Whether no byte was read yet.
    is_new: bool,
    /// Whether hyper asked for bytes while it may have none.
    waits: bool,
    /// Whether hyper has written a part of a message.
    in_write: bool,
}

impl ClientIo {
    /// Around a connected stream.
    #[must_use]
    pub(crate) fn new(stream: Stream, watch: Arc<Watch>) -> Self {
        Self {
            stream: TokioIo::new(stream),
            watch,
            pending_output: Bytes::new(),
            write_timer: WriteTimer::default(),
            reading: MessagePosition::default(),
            read_ahead: BytesMut::new(),
            is_new: true,
            waits: false,
            in_write: false,
        }
    }

    /// The stream, and the bytes that were read and not given to hyper.
    #[must_use]
    pub(crate) fn into_parts(self) -> (Stream, Bytes) {
        (self.stream.into_inner(), self.read_ahead.freeze())
    }

    /// Whether hyper writes its automatic response to an unreadable head.
    fn is_automatic(&self) -> bool {
        matches!(
            self.watch.phase(),
            ConnectionPhase::Idle | ConnectionPhase::Head
        )
    }

    /// Replace hyper's automatic response by the gateway's.
    fn replace_automatic(&mut self, start: &[u8]) {
        if self.watch.is_refused() {
            return;
        }
        // The three digits after `HTTP/1.1 `.
        let code = match start.get(9..12) {
            Some(b"431") => Code::HeadersTooLarge,
            Some(b"414") => Code::UriTooLong,
            _ => Code::MalformedRequest,
        };
        self.pending_output = refusal::encode(&self.watch.shared, code);
        self.watch.note_refused();
    }

    /// Write interim responses before hyper's next bytes, which are the final response's head or a
    /// `100 Continue`.
    #[inline]
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pending_output.is_empty() && !self.watch.interim.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.poll_pending_output(cx)
    }

    fn poll_pending_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.interim.is_some() {
            if !self.in_write {
                ready!(self.poll_own_output(cx))?;
                self.pending_output = self.watch.interim.take().concat().into();
            } else if !self.watch.takes_interim() {
                // The final response follows that `100 Continue` in one write.
                let late = self.watch.interim.take();
                tracing::debug!(count = late.len(), "interim answers came too late");
            }
        }
        self.poll_own_output(cx)
    }

    fn track_hyper(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        all: usize,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &outcome {
            self.in_write = *count < all;
        }
        self.track_write(outcome)
    }

    fn poll_own_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending_output.is_empty() {
            let outcome = Pin::new(&mut self.stream).poll_write(cx, &self.pending_output);
            let count = ready!(self.track_write(outcome))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending_output.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    fn track_write<T>(&mut self, outcome: Poll<T>) -> Poll<T> {
        self.write_timer.track(&self.watch, outcome)
    }

    /// Go on to the next message, or to the body of this one, if it is time.
    fn poll_next_message(&mut self) -> Poll<io::Result<()>> {
        if matches!(self.reading, MessagePosition::AfterHead) {
            if self.watch.phase() == ConnectionPhase::Head {
                // hyper looks for more of a head that ended here.
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            self.reading = MessagePosition::body(self.watch.body_length());
        }
        if matches!(self.reading, MessagePosition::End) {
            match self.watch.phase() {
                ConnectionPhase::Idle => self.reading = MessagePosition::default(),
                ConnectionPhase::Answered | ConnectionPhase::Busy => {
                    self.waits = true;
                    return Poll::Pending;
                }
                ConnectionPhase::Head => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the client has closed its side, or all of the connection, while its request is answered.
    ///
    /// hyper does not read then. If the whole request was read, the socket wakes this task as soon as the
    /// client sends or closes. If bytes wait unread (a pipelined request, or a body that nothing reads), only
    /// the watch's periodic check notices that the client is gone.
    fn has_client_left(&self, cx: &mut Context<'_>) -> bool {
        let looks = self.watch.has_signals() && self.watch.take_client_check();
        if self.watch.phase() == ConnectionPhase::Busy && self.has_whole_request() {
            let polled = self.stream.inner().socket().poll_read_ready(cx);
            self.watch.set_notices_client(polled.is_pending());
            return polled.is_ready() && self.is_closed();
        }
        looks && self.is_closed()
    }

    /// Whether the present request was read to its end.
    fn has_whole_request(&self) -> bool {
        match self.reading {
            MessagePosition::End => true,
            MessagePosition::AfterHead => self.watch.body_length() == Some(0),
            _ => false,
        }
    }

    fn is_closed(&self) -> bool {
        let ready = std::pin::pin!(self.stream.inner().socket().ready(Interest::READABLE));
        let polled = ready.poll(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Read, and keep the bytes.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; PREFACE.len()];
        let mut piece = ReadBuf::uninit(&mut space);
        let polled = Pin::new(self.stream.inner_mut()).poll_read(cx, &mut piece);
        self.watch.set_notices_client(polled.is_pending());
        ready!(polled)?;
        self.read_ahead.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }

    /// The first bytes may begin an HTTP/2 preface, which hyper must see whole.
    fn poll_preface(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.read_ahead.len() < PREFACE.len() && PREFACE.starts_with(&self.read_ahead) {
            if ready!(self.poll_ahead(cx))? == 0 {
                break;
            }
        }
        self.is_new = false;
        Poll::Ready(Ok(()))
    }
}

/// Reads the bytes of the present message into a buffer, and keeps the rest.
struct MessageTap<'a> {
    stream: &'a mut Stream,
    reading: &'a mut MessagePosition,
    watch: &'a Watch,
    read_ahead: &'a mut BytesMut,
    is_new: &'a mut bool,
}

impl AsyncRead for MessageTap<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut *this.stream).poll_read(cx, buffer);
        this.watch.set_notices_client(polled.is_pending());
        ready!(polled)?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if *this.is_new && !read.is_empty() {
            if read.len() < PREFACE.len() && PREFACE.starts_with(read) {
                this.watch.begin_head();
                this.read_ahead.extend_from_slice(read);
                buffer.set_filled(before);
                // An empty read would mean the end.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            *this.is_new = false;
        }
        let count = count_allowed(this.reading, this.watch, read);
        if let Some(rest) = read.get(count..).filter(|rest| !rest.is_empty()) {
            this.read_ahead.extend_from_slice(rest);
            buffer.set_filled(before + count);
        }
        Poll::Ready(Ok(()))
    }
}

/// How many of these bytes hyper may have now. Notes heads in the watch.
fn count_allowed(reading: &mut MessagePosition, watch: &Watch, bytes: &[u8]) -> usize {
    if matches!(reading, MessagePosition::Head(_)) && !bytes.is_empty() {
        watch.begin_head();
    }
    reading.count_own(bytes, |names_length| watch.end_head(names_length))
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.phase() == ConnectionPhase::Busy && this.watch.expired(TimeoutKind::Body) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(this.poll_next_message())?;
        if this.is_new && !this.read_ahead.is_empty() {
            ready!(this.poll_preface(cx))?;
        }
        if this.read_ahead.is_empty() {
            let sieve = MessageTap {
                stream: this.stream.inner_mut(),
                reading: &mut this.reading,
                watch: &this.watch,
                read_ahead: &mut this.read_ahead,
                is_new: &mut this.is_new,
            };
            return Pin::new(&mut TokioIo::new(sieve)).poll_read(cx, buffer);
        }
        let room = buffer.remaining().min(this.read_ahead.len());
        let bytes = this.read_ahead.get(..room).unwrap_or_default();
        let count = count_allowed(&mut this.reading, &this.watch, bytes);
        buffer.put_slice(&this.read_ahead.split_to(count));
        if this.read_ahead.is_empty() {
            // Few clients send ahead, and few of those always do.
            this.read_ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_automatic() {
            self.replace_automatic(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.poll_interim(cx))?;
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.track_hyper(outcome, bytes.len())
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
        ready!(self.poll_interim(cx))?;
        let outcome = coalesce::write_coalesced(Pin::new(&mut self.stream), cx, pieces);
        let all = pieces.iter().map(|piece| piece.len()).sum();
        self.track_hyper(outcome, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_client_left(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(self.poll_interim(cx))?;
        // TLS keeps the bytes that the socket did not accept.
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        ready!(self.track_write(outcome))?;
        self.watch.on_flushed();
        if self.waits && self.watch.phase() == ConnectionPhase::Idle {
            // hyper reads the next message when it is polled again.
            self.waits = false;
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_own_output(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<ClientIo>();
};
