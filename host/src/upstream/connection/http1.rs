//! An HTTP/1.1 connection to an endpoint.
//!
//! hyper gives a sender and a future that moves the bytes. For a request without a body, the task that
//! waits for the response polls that future itself, in the client connection's own task; that saves two
//! wake-ups of another task for each request. The bytes of a request with a body must move even while
//! nobody reads the response, so with the first of these the future becomes a task of its own, and
//! stays one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Bytes;
use hyper::client::conn::{TrySendError, http1};

use super::endpoint_body::EndpointBody;
use super::head::ExchangeHeads;
use super::interim::InterimResponse;
use super::io::EndpointIo;
use super::wake_gate::WakeGate;
use super::{SendFailure, SendOutcome};
use crate::http::body::Body;
use crate::http::body_error::{FramePoll, TransportError};
use crate::http::proxy_protocol::ProxiedRoute;
use crate::http::stream::Stream;
use crate::http::tap::TappedIo;
use crate::upstream::endpoint::state::ConnectionPermit;

type Http1Driver = http1::Connection<EndpointIo, Body>;

/// hyper's outcome of a request.
type SendResult = Result<Response<hyper::body::Incoming>, TrySendError<Request<Body>>>;

/// A connection for one request after another.
#[derive(Debug)]
pub(crate) struct Http1Connection {
    sender: http1::SendRequest<Body>,
    inline: Option<Box<InlineDriver>>,
    /// Shared with its I/O.
    heads: Arc<ExchangeHeads>,
    /// Whether the request on it asks for another protocol.
    switches: bool,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
    /// The client that the endpoint was told of by the PROXY protocol. No other client's requests go over it.
    pub(crate) proxied: Option<Box<ProxiedRoute>>,
}

/// The future that moves the bytes, if no task does.
#[derive(Debug)]
struct InlineDriver {
    driver: Http1Driver,
    gate: WakeGate,
}

impl Http1Connection {
    /// From the parts of hyper's handshake.
    #[must_use]
    pub(super) fn new(
        sender: http1::SendRequest<Body>,
        driver: Http1Driver,
        gate: WakeGate,
        heads: Arc<ExchangeHeads>,
    ) -> Self {
        Self {
            sender,
            inline: Some(Box::new(InlineDriver { driver, gate })),
            heads,
            switches: false,
            reused: false,
            proxied: None,
        }
    }

    /// Send a request. Only [`Self::poll_response`] polls the result.
    pub(crate) fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = SendResult> + use<> {
        if request.body().is_empty() {
            self.heads.record.begin();
        } else {
            self.heads.record.stop();
            // A request for another protocol has its body in one piece, and needs the connection back.
            if !self.switches {
                self.detach();
            }
        }
        self.heads.overflow.is_expected.set(true);
        self.reused = true;
        self.heads.interims.begin();
        self.sender.try_send_request(request)
    }

    /// The request that is sent next asks for another protocol on this connection, which carries no
    /// other after it.
    pub(crate) fn expect_upgrade(&mut self) {
        self.switches = true;
    }

    /// The endpoint refuses the switch: the rest of the request's body is sent while the response comes.
    pub(crate) fn decline_upgrade(&mut self) {
        self.switches = false;
        if !self.heads.record.is_on() {
            self.detach();
        }
    }

    /// Whether the response's head has too many fields.
    #[must_use]
    pub(crate) fn has_too_many_fields(&self) -> bool {
        self.heads.overflow.is_too_large.get()
    }

    /// The connection as it is after a `101`, the bytes that were read of it already, and its permit.
    #[must_use]
    pub(crate) fn into_stream(self) -> Option<(Stream, Bytes, ConnectionPermit)> {
        let parts = self.inline?.driver.into_parts();
        let TappedIo { stream, tap } = parts.io.into_inner();
        let read = if tap.pending_input.is_empty() {
            parts.read_buf
        } else {
            [parts.read_buf, tap.pending_input].concat().into()
        };
        Some((stream, read, tap.permit))
    }

    /// The request that was sent last, if it had no body, so that another connection can send it again.
    #[must_use]
    pub(crate) fn sent_request(&self) -> Option<Request<Body>> {
        self.heads.record.parse_request()
    }

    /// Whether [`Self::sent_request`] may give one.
    #[must_use]
    pub(crate) fn has_request(&self) -> bool {
        self.heads.record.is_on()
    }

    fn detach(&mut self) {
        if let Some(inline) = self.inline.take() {
            let InlineDriver { driver, gate } = *inline;
            gate.release();
            tokio::task::spawn_local(async move {
                if let Err(error) = driver.await {
                    tracing::debug!(%error, "a connection to an endpoint ended");
                }
            });
        }
    }

    /// Move bytes until `poll` is ready. `first`: it is polled before bytes are moved, too.
    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        first: bool,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Some(inline) = &mut self.inline else {
            return poll(cx);
        };
        let InlineDriver { driver, gate } = &mut **inline;
        let mut ended = false;
        let outcome = gate.poll_through(cx, |cx| {
            if first && let Poll::Ready(found) = poll(cx) {
                return Poll::Ready(found);
            }
            ended = poll_driver(driver, cx);
            poll(cx)
        });
        if ended && !self.switches {
            self.inline = None;
        }
        outcome
    }

    /// Wait for the response's head.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        mut response: Pin<&mut impl Future<Output = SendResult>>,
    ) -> Poll<SendOutcome> {
        if self.inline.is_none() {
            self.heads.interims.set_waker(cx.waker());
        }
        let polled = self.poll_with(cx, false, |cx| response.as_mut().poll(cx));
        polled.map(|answered| match answered {
            Ok(mut response) => {
                self.heads.overflow.restore_fields(response.headers_mut());
                Ok(response.map(EndpointBody::Http1))
            }
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendFailure::Unsent(Box::new(request)),
                None => SendFailure::Failed(error.into_error().into()),
            }),
        })
    }

    /// The interim responses that have come since the last call.
    #[must_use]
    pub(crate) fn take_interims(&self) -> Vec<InterimResponse> {
        self.heads.interims.take()
    }

    /// Wait for the next frame of the response's body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut EndpointBody,
    ) -> FramePoll<TransportError> {
        self.poll_with(cx, true, |cx| body.poll_frame(cx))
    }

    /// Let hyper see that a response is over, or that the endpoint has closed the connection.
    pub(crate) fn finish_response(&mut self) {
        if let Some(inline) = &mut self.inline {
            let InlineDriver { driver, gate } = &mut **inline;
            if gate.poll_closed(|cx| poll_driver(driver, cx)) {
                self.inline = None;
            }
        }
    }

    /// Whether the task that waits for a response moves the bytes.
    #[must_use]
    pub(crate) fn is_inline(&self) -> bool {
        self.inline.is_some()
    }

    /// Whether it can carry no further request.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether a request can be sent at once.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.finish_response();
        self.sender.is_ready()
    }

    /// Wait until a request can be sent. False if none can any more.
    pub(crate) async fn ready(&mut self) -> bool {
        if self.is_inline() {
            // hyper reports by itself if the connection can send nothing any more.
            return true;
        }
        std::future::poll_fn(|cx| self.sender.poll_ready(cx))
            .await
            .is_ok()
    }
}

/// True: the connection is over.
fn poll_driver(driver: &mut Http1Driver, cx: &mut Context<'_>) -> bool {
    match Pin::new(driver).poll(cx) {
        Poll::Ready(outcome) => {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection to an endpoint ended");
            }
            true
        }
        Poll::Pending => false,
    }
}
