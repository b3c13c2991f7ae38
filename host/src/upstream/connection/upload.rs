//! Sends the body of a request into an HTTP/2 stream.
//!
//! It asks the body for a chunk only when the chunk before has been sent, so that nothing is buffered
//! here. It asks the connection for window only with a chunk in hand, since a body that waits must not
//! occupy window that other streams need. If the endpoint resets the stream, the body ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;

use crate::http::body::Body;
use crate::http::body_error::BodyError;
use crate::runtime::tasks::TaskGuard;

/// A body, and the stream that it goes into.
pub(crate) struct Upload {
    stream: SendStream<Bytes>,
    body: Body,
    /// A chunk that waits for room, and whether it is the last.
    pending_chunk: Option<(Bytes, bool)>,
}

/// The reason why an upload ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// The stream, or its connection, has ended.
    #[error(transparent)]
    Stream(#[from] h2::Error),
    /// The stream is closed on this side.
    #[error("the endpoint stopped reading it")]
    Closed,
    /// The body did not come to its end.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl Upload {
    #[must_use]
    pub(crate) fn new(stream: SendStream<Bytes>, body: Body) -> Self {
        Self {
            stream,
            body,
            pending_chunk: None,
        }
    }

    /// Send what can be sent at once, and the rest in a task of its own, which is aborted when the
    /// result is dropped.
    #[must_use]
    pub(crate) fn start(mut self) -> TaskGuard {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(ended) = Pin::new(&mut self).poll(&mut cx) {
            log_outcome(ended);
            return TaskGuard::default();
        }
        TaskGuard::spawn(async move { log_outcome(self.await) })
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => return Poll::Ready(Err(UploadError::Closed)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Upload {
    type Output = Result<(), UploadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // This task is woken when the endpoint resets the stream.
            if let Poll::Ready(reason) = this.stream.poll_reset(cx) {
                return Poll::Ready(Err(h2::Error::from(reason?).into()));
            }
            if this.pending_chunk.is_some() {
                ready!(this.poll_room(cx))?;
            }
            if let Some((bytes, is_last)) = this.pending_chunk.take() {
                this.stream.send_data(bytes, is_last)?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    this.stream.send_reset(reason(&error));
                    return Poll::Ready(Err(error.into()));
                }
                None => return Poll::Ready(Ok(this.stream.send_data(Bytes::new(), true)?)),
            };
            match frame.into_data() {
                // An empty frame needs no room.
                Ok(bytes) if bytes.is_empty() => {
                    if this.body.is_end_stream() {
                        this.stream.send_data(bytes, true)?;
                        return Poll::Ready(Ok(()));
                    }
                }
                Ok(bytes) => {
                    // h2 asks for the rest when the chunk is sent.
                    this.stream.reserve_capacity(1);
                    this.pending_chunk = Some((bytes, this.body.is_end_stream()));
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        this.stream.reserve_capacity(0);
                        return Poll::Ready(Ok(this.stream.send_trailers(trailers)?));
                    }
                }
            }
        }
    }
}

fn log_outcome(outcome: Result<(), UploadError>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a request's body was not sent whole");
    }
}

/// A stream of HTTP/2 that the client reset is reset for the same reason.
fn reason(error: &BodyError) -> Reason {
    let error: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let reason = causes.find_map(|cause| cause.downcast_ref().and_then(h2::Error::reason));
    reason.unwrap_or(Reason::INTERNAL_ERROR)
}
