//! A response's body as it comes from an endpoint.
//!
//! Holds the lease, and the connection, which goes back to its pool when the last byte was read
//! and is closed when the body is dropped before. Promises: nothing is read before it is asked
//! for; silence ends it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, SizeHint};

use crate::http::body::Body;
use crate::http::body_error::{BodyError, FramePoll, TransportError};
use crate::http::watch::{TimeoutKind, Watch};
use crate::upstream::connection::EndpointConnection;
use crate::upstream::connection::endpoint_body::EndpointBody;
use crate::upstream::connection::pool::Pool;
use crate::upstream::queue::ActiveRequest;

/// Everything that a response uses until it is over.
#[derive(Debug)]
pub(crate) struct ResponseResources {
    /// The connection, or the stream on one.
    pub(crate) connection: EndpointConnection,
    /// The pool of the connection.
    pub(crate) pool: Rc<Pool>,
    /// Counts the request as active at the endpoint.
    pub(crate) active: ActiveRequest,
}

impl ResponseResources {
    /// Release all of it. The connection is kept if it can carry another request.
    fn release(self, watch: &Watch) {
        drop(self.active);
        let is_sent = !watch.exchange.body_open.get();
        let now = watch.shared.clock.now();
        self.connection.release(&self.pool, is_sent, now);
    }
}

/// A response's body.
#[derive(Debug)]
pub struct UpstreamBody {
    pub(super) incoming: EndpointBody,
    pub(super) resources: Option<ResponseResources>,
    pub(super) watch: Arc<Watch>,
    /// How long the endpoint may be silent; none: for ever. Milliseconds.
    pub(super) idle: Option<u64>,
    /// Whether the time for the whole is the request's own deadline.
    pub(super) deadline: bool,
    /// Since when it waits for the next chunk. Milliseconds.
    pub(super) waits: Option<u64>,
}

impl UpstreamBody {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> FramePoll<TransportError> {
        match &mut self.resources {
            Some(resources) => resources.connection.poll_frame(cx, &mut self.incoming),
            None => Poll::Ready(None),
        }
    }

    /// The reason why the body ends early, if there is one.
    fn over(&self) -> Option<BodyError> {
        if self.watch.expired(TimeoutKind::Total) {
            return Some(match self.deadline {
                true => BodyError::DeadlinePassed,
                false => BodyError::UpstreamTimeout,
            });
        }
        self.watch
            .has_endpoint_left()
            .then_some(BodyError::UpstreamLeft)
    }

    /// Whether a stream of HTTP/2 has ended before its end (RFC 9113 section 8.1).
    fn is_short(&self) -> bool {
        let resources = self.resources.as_ref();
        resources
            .is_some_and(|resources| matches!(resources.connection, EndpointConnection::Http2(_)))
            && !self.incoming.is_end_stream()
            && self.incoming.size_hint().exact() != Some(0)
    }

    fn end(&mut self) {
        if let Some(resources) = self.resources.take() {
            resources.release(&self.watch);
        }
    }
}

impl From<UpstreamBody> for Body {
    /// A body without bytes gives everything back at once.
    fn from(mut body: UpstreamBody) -> Self {
        if body.incoming.is_end_stream() {
            body.end();
            Self::Empty
        } else {
            Self::Stream(Box::new(body))
        }
    }
}

impl HttpBody for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let this = &mut *self;
        // A body that was read to its end is the client's, whatever time-out passed meanwhile.
        if this.resources.is_some()
            && let Some(error) = this.over()
        {
            this.resources = None;
            return Poll::Ready(Some(Err(error)));
        }
        let polled = this.poll_incoming(cx);
        match &polled {
            Poll::Pending if this.watch.expired(TimeoutKind::Answer) => {
                if let Some(resources) = this.resources.take() {
                    let now = this.watch.shared.clock.now();
                    let began = this.waits.unwrap_or(now);
                    resources
                        .connection
                        .timed_out(&resources.pool, false, began, now);
                }
                return Poll::Ready(Some(Err(BodyError::UpstreamStalled)));
            }
            Poll::Pending if this.waits.is_none() => {
                this.waits = Some(this.watch.shared.clock.now());
                if let Some(idle) = this.idle {
                    this.watch.arm(TimeoutKind::Answer, idle);
                }
            }
            Poll::Ready(_) if this.waits.is_some() => {
                this.waits = None;
                this.watch.disarm(TimeoutKind::Answer);
            }
            Poll::Pending | Poll::Ready(_) => {}
        }
        polled.map(|frame| match frame {
            Some(Ok(frame)) => {
                if this.incoming.is_end_stream() {
                    this.end();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                this.resources = None;
                Some(Err(BodyError::UpstreamBroken(error)))
            }
            // A reset without an error is taken for an end, wherever it comes.
            None if this.is_short() => {
                this.resources = None;
                Some(Err(BodyError::UpstreamShort))
            }
            None => {
                this.end();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
