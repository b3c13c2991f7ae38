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

use bytes::{Bytes, BytesMut};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};

use super::message::MessagePosition;
use super::own_output::OwnOutput;
use super::refusal;
use crate::error::Code;
use crate::http::stream::Stream;
use crate::http::tap::{IoTap, TappedIo};
use crate::http::watch::{ConnectionPhase, TimeoutKind, Watch};

/// The preface of an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The I/O of one client connection.
pub(super) type ClientIo = TokioIo<TappedIo<ClientTap>>;

/// Gives hyper one message at a time, and writes interim responses and refusals between hyper's bytes.
#[derive(Debug)]
pub(super) struct ClientTap {
    watch: Arc<Watch>,
    output: OwnOutput,
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

/// The stream of a connection, and the bytes that were read and not given to hyper.
pub(super) fn into_parts(io: ClientIo) -> (Stream, Bytes) {
    let TappedIo { stream, tap } = io.into_inner();
    (stream, tap.read_ahead.freeze())
}

impl ClientTap {
    #[must_use]
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        Self {
            watch,
            output: OwnOutput::default(),
            reading: MessagePosition::default(),
            read_ahead: BytesMut::new(),
            is_new: true,
            waits: false,
            in_write: false,
        }
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
        if self.watch.refused.get() {
            return;
        }
        // The three digits after `HTTP/1.1 `.
        let code = match start.get(9..12) {
            Some(b"431") => Code::HeadersTooLarge,
            Some(b"414") => Code::UriTooLong,
            _ => Code::MalformedRequest,
        };
        self.output.bytes = refusal::encode(&self.watch.shared, code);
        self.watch.refused.set(true);
    }

    /// Write interim responses before hyper's next bytes, which are the final response's head or a
    /// `100 Continue`.
    #[inline]
    fn poll_interim(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.bytes.is_empty() && !self.watch.interim.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.poll_pending_output(stream, cx)
    }

    fn poll_pending_output(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.interim.is_some() {
            if !self.in_write {
                ready!(self.output.poll_write(&self.watch, stream, cx))?;
                self.output.bytes = self.watch.interim.take().concat().into();
            } else if !self.watch.exchange.takes_interim.get() {
                // The final response follows that `100 Continue` in one write.
                let late = self.watch.interim.take();
                tracing::debug!(count = late.len(), "interim answers came too late");
            }
        }
        self.output.poll_write(&self.watch, stream, cx)
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
    fn has_client_left(&self, stream: &Stream, cx: &mut Context<'_>) -> bool {
        let looks = self.watch.has_signals() && self.watch.take_client_check();
        if self.watch.phase() == ConnectionPhase::Busy && self.has_whole_request() {
            let polled = stream.socket().poll_read_ready(cx);
            self.watch.misses_client.set(polled.is_ready());
            return polled.is_ready() && is_closed(stream);
        }
        looks && is_closed(stream)
    }

    /// Whether the present request was read to its end.
    fn has_whole_request(&self) -> bool {
        match self.reading {
            MessagePosition::End => true,
            MessagePosition::AfterHead => self.watch.body_length() == Some(0),
            _ => false,
        }
    }

    /// Read the bytes of the present message into the buffer, and keep the rest.
    fn poll_message(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(stream).poll_read(cx, buffer);
        self.watch.misses_client.set(polled.is_ready());
        ready!(polled)?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if self.is_new && !read.is_empty() {
            if read.len() < PREFACE.len() && PREFACE.starts_with(read) {
                self.watch.begin_head();
                self.read_ahead.extend_from_slice(read);
                buffer.set_filled(before);
                // An empty read would mean the end.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.is_new = false;
        }
        let count = count_allowed(&mut self.reading, &self.watch, read);
        if let Some(rest) = read.get(count..).filter(|rest| !rest.is_empty()) {
            self.read_ahead.extend_from_slice(rest);
            buffer.set_filled(before + count);
        }
        Poll::Ready(Ok(()))
    }

    /// Read, and keep the bytes.
    fn poll_ahead(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; PREFACE.len()];
        let mut piece = ReadBuf::uninit(&mut space);
        let polled = Pin::new(stream).poll_read(cx, &mut piece);
        self.watch.misses_client.set(polled.is_ready());
        ready!(polled)?;
        self.read_ahead.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }

    /// The first bytes may begin an HTTP/2 preface, which hyper must see whole.
    fn poll_preface(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.read_ahead.len() < PREFACE.len() && PREFACE.starts_with(&self.read_ahead) {
            if ready!(self.poll_ahead(stream, cx))? == 0 {
                break;
            }
        }
        self.is_new = false;
        Poll::Ready(Ok(()))
    }
}

/// Whether the client has closed its side of the connection, or all of it.
fn is_closed(stream: &Stream) -> bool {
    let ready = std::pin::pin!(stream.socket().ready(Interest::READABLE));
    let polled = ready.poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}

/// How many of these bytes hyper may have now. Notes heads in the watch.
fn count_allowed(reading: &mut MessagePosition, watch: &Watch, bytes: &[u8]) -> usize {
    if matches!(reading, MessagePosition::Head(_)) && !bytes.is_empty() {
        watch.begin_head();
    }
    reading.count_own(bytes, |names| watch.exchange.names_length.set(names))
}

impl IoTap for ClientTap {
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.phase() == ConnectionPhase::Busy && self.watch.expired(TimeoutKind::Body) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(self.poll_next_message())?;
        if self.is_new && !self.read_ahead.is_empty() {
            ready!(self.poll_preface(stream, cx))?;
        }
        if self.read_ahead.is_empty() {
            return self.poll_message(stream, cx, buffer);
        }
        let room = buffer.remaining().min(self.read_ahead.len());
        let bytes = self.read_ahead.get(..room).unwrap_or_default();
        let count = count_allowed(&mut self.reading, &self.watch, bytes);
        buffer.put_slice(&self.read_ahead.split_to(count));
        if self.read_ahead.is_empty() {
            // Few clients send ahead, and few of those always do.
            self.read_ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = pieces.iter().map(|piece| piece.len()).sum();
        if self.is_automatic() {
            self.replace_automatic(pieces.first().map_or(&[], |piece| &**piece));
            return Poll::Ready(Ok(all));
        }
        ready!(self.poll_interim(stream, cx))?;
        let outcome = Pin::new(stream).poll_write_vectored(cx, pieces);
        if let Poll::Ready(Ok(count)) = &outcome {
            self.in_write = *count < all;
        }
        self.output.track_write(&self.watch, outcome)
    }

    fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_client_left(stream, cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(self.poll_interim(stream, cx))?;
        // TLS keeps the bytes that the socket did not accept.
        let outcome = Pin::new(stream).poll_flush(cx);
        ready!(self.output.track(&self.watch, outcome))?;
        self.watch.on_flushed();
        if self.waits && self.watch.phase() == ConnectionPhase::Idle {
            // hyper reads the next message when it is polled again.
            self.waits = false;
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.output.poll_write(&self.watch, stream, cx))?;
        Pin::new(stream).poll_shutdown(cx)
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<ClientIo>();
};
