//! A request's body as it comes from the client.
//!
//! It gives no more bytes than the route accepts, waits no longer than the listener's timeout, counts
//! every byte, and reads only when it is polled. It does not buffer. The rest of a body that nobody wants is
//! read and thrown away for a while, so that its client reads the answer.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::client_connection::ClientHandle;
use crate::http::body_error::{BodyError, FramePoll};
use crate::http::headers::clean_trailers;
use crate::http::watch::{TimeoutKind, Watch};

/// How much of an unwanted body is read so that its connection can be used again. Bytes.
const MAX_DRAINED: usize = 64 * 1024;

/// How long a stream stays open for the rest of a body that nobody wants. hyper resets a stream whose body is
/// dropped once the answer is sent (RFC 9113 section 8.1); clients that are still sending report an error then,
/// and some never show the answer (curl 7.88 to 8.2).
const LINGER: Duration = Duration::from_secs(5);
/// The most that is read of it. Bytes.
const MAX_LINGERED: usize = 16 * 1024 * 1024;

/// A request's body.
#[derive(Debug)]
pub struct ClientBody {
    /// None only while it is dropped.
    incoming: Option<Incoming>,
    watch: Arc<Watch>,
    limit: Option<u64>,
    taken: u64,
    ended: bool,
    /// Set while the client may wait for a `100 Continue`, until the body is first polled.
    continue_pending: Option<Rc<dyn ClientHandle>>,
}

impl ClientBody {
    /// The body of the request that just came in on the connection of this watch. `continue_pending`: its
    /// client may wait for a `100 Continue` (RFC 9110 section 10.1.1), which is sent when the body is
    /// asked for; over HTTP/1.1 by hyper.
    #[must_use]
    pub(crate) fn new(
        incoming: Incoming,
        watch: Arc<Watch>,
        continue_pending: Option<Rc<dyn ClientHandle>>,
    ) -> Self {
        Self {
            incoming: Some(incoming),
            watch,
            continue_pending,
            limit: None,
            taken: 0,
            ended: false,
        }
    }

    /// Accept no more than this many bytes.
    ///
    /// # Errors
    ///
    /// Its length says that there are more.
    pub(crate) fn limit(&mut self, limit: u64) -> Result<(), BodyError> {
        self.limit = Some(limit);
        match self.size_hint().exact() {
            Some(size) if size > limit => Err(BodyError::TooLarge { limit }),
            Some(_) | None => Ok(()),
        }
    }

    fn count_frame(&mut self, frame: &Frame<Bytes>) -> Result<(), BodyError> {
        let Some(data) = frame.data_ref() else {
            return Ok(());
        };
        let count = data.len() as u64;
        self.taken += count;
        self.watch.count_body_bytes(count);
        match self.limit {
            Some(limit) if self.taken > limit => Err(BodyError::TooLarge { limit }),
            Some(_) | None => Ok(()),
        }
    }

    fn finish(&mut self) {
        if !self.ended {
            self.ended = true;
            self.watch.end_body();
        }
    }

    fn incoming_ended(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    /// Throw the rest away in a task of its own, on a connection that other requests share. Another connection
    /// closes after the answer.
    fn linger(&mut self) {
        // A client that waits for a `100 Continue` sends nothing.
        if self.watch.is_stream()
            && self.continue_pending.is_none()
            && let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
        {
            spawn_local(throw_away(incoming, Arc::clone(&self.watch)));
        }
    }

    fn abandon(&mut self) {
        if !self.ended {
            self.ended = true;
            self.watch.abandon_body();
        }
    }

    /// Read the part of an unwanted body that has already arrived, so that the connection can go on. Stops
    /// after [`MAX_DRAINED`] bytes, or when it would have to wait for the client.
    pub(crate) async fn drain(&mut self) {
        if self.continue_pending.is_some() {
            return;
        }
        let mut pauses = 0;
        let mut left = MAX_DRAINED;
        std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut *self).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        let size = frame.data_ref().map_or(0, Bytes::len);
                        match left.checked_sub(size) {
                            Some(rest) => left = rest,
                            None => return Poll::Ready(()),
                        }
                    }
                    // hyper passes its bytes on at its next poll.
                    Poll::Pending if pauses == 0 => {
                        pauses += 1;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending | Poll::Ready(None | Some(Err(_))) => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    fn fault(&self, error: hyper::Error) -> BodyError {
        if self.watch.expired(TimeoutKind::Body) {
            return BodyError::ClientStalled;
        }
        let broken = std::error::Error::source(&error)
            .and_then(|cause| cause.downcast_ref::<std::io::Error>())
            .is_some_and(|cause| {
                matches!(
                    cause.kind(),
                    std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData
                )
            });
        if broken {
            BodyError::ClientMalformed(error)
        } else {
            BodyError::ClientGone(error)
        }
    }
}

impl HttpBody for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let continue_pending = this.continue_pending.take();
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(cx);
        if polled.is_pending() {
            if let Some(client) = continue_pending.filter(|client| client.is_shared()) {
                client.send_interim(StatusCode::CONTINUE, &HeaderMap::new());
            }
            this.watch.begin_body_wait();
            if this.watch.is_stream() {
                // Another task than the exchange's may forward the body.
                this.watch.set_body_waker(cx.waker());
            }
        }
        let outcome = match polled {
            // A connection with one request ends by itself.
            Poll::Pending if this.watch.is_stream() && this.watch.expired(TimeoutKind::Body) => {
                Err(BodyError::ClientStalled)
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    clean_trailers(trailers);
                }
                this.count_frame(&frame).map(|()| frame)
            }
            Poll::Ready(Some(Err(error))) => Err(this.fault(error)),
            Poll::Ready(None) => {
                this.finish();
                return Poll::Ready(None);
            }
        };
        match &outcome {
            Err(error) => {
                this.watch.fail_body(error.code());
                if matches!(error, BodyError::TooLarge { .. }) {
                    this.linger();
                }
                this.abandon();
            }
            // Trailers end a body, and HTTP/1.1 polls no further.
            Ok(frame) if frame.is_trailers() || this.incoming_ended() => this.finish(),
            Ok(_) => {}
        }
        Poll::Ready(Some(outcome))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming_ended()
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.ended {
            self.linger();
            self.abandon();
        }
    }
}

/// Read a body that nobody wants, up to [`MAX_LINGERED`] and for at most [`LINGER`].
async fn throw_away(mut incoming: Incoming, watch: Arc<Watch>) {
    let mut left = MAX_LINGERED;
    let reading = std::future::poll_fn(|cx| {
        loop {
            if watch.is_cut() {
                return Poll::Ready(());
            }
            let Some(Ok(frame)) = ready!(Pin::new(&mut incoming).poll_frame(cx)) else {
                return Poll::Ready(());
            };
            let size = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return Poll::Ready(()),
            }
        }
    });
    // However it ends, the stream does too.
    let _ = timeout(LINGER, reading).await;
}
