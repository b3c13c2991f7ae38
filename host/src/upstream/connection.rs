//! The connections to endpoints: an HTTP/1.1 connection carries one request at a time, a shared HTTP/2
//! connection carries many.
//!
//! - [`client`] makes connections, with [`tls`] if the upstream has it;
//! - [`http1`] is an HTTP/1.1 connection. Its [`io`] keeps a [`head_record`] of the head that is sent,
//!   reads each [`head`] of a response before hyper does, and passes [`interim`] responses on; a
//!   [`wake_gate`] saves wake-ups;
//! - [`mod@http2`] is an HTTP/2 connection, with a check of its [`liveness`].
//!   Each request on it is an [`http2_request`] with an [`upload`] of its body, or becomes a
//!   [`stream_io`];
//! - [`endpoint_body`] is the body of a response over either;
//! - [`pool`] keeps the connections of a worker, and learns the [`request_limit`] of an endpoint's
//!   HTTP/2 connections.
//!
//! [`super::dispatch`] takes a connection from the pool and sends a request on it.

use std::task::Context;

use http::{Request, Response};

pub(crate) mod client;
pub(crate) mod endpoint_body;
pub(crate) mod head;
pub(crate) mod head_record;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod http2_request;
pub(crate) mod interim;
pub(crate) mod io;
pub(crate) mod liveness;
pub(crate) mod pool;
pub(crate) mod request_limit;
pub(crate) mod stream_io;
pub(crate) mod tls;
pub(crate) mod upload;
pub(crate) mod wake_gate;

use crate::http::body_error::{FramePoll, TransportError};
use endpoint_body::EndpointBody;
use http1::Http1Connection;
use http2::Http2Stream;
use pool::Pool;

use crate::http::body::Body;

/// The outcome of a request: the head of its response, or a failure.
pub(crate) type SendOutcome = Result<Response<EndpointBody>, SendFailure>;

/// The reason why there is no response.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// The connection accepted no more requests; here is the request.
    Unsent(Box<Request<Body>>),
    /// It was sent, or a part of it.
    Failed(TransportError),
}

impl From<h2::Error> for SendFailure {
    fn from(error: h2::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A connection, or stream, that carries one request.
#[derive(Debug)]
pub(crate) enum EndpointConnection {
    /// HTTP/1.1.
    Http1(Http1Connection),
    /// HTTP/2.
    Http2(Http2Stream),
}

impl EndpointConnection {
    /// Whether its connection has carried a request before.
    #[must_use]
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.reused,
            Self::Http2(slot) => slot.reused,
        }
    }

    /// The endpoint does not agree to another protocol.
    pub(crate) fn decline_upgrade(&mut self) {
        if let Self::Http1(connection) = self {
            connection.decline_upgrade();
        }
    }

    /// Whether the response's head has too many fields.
    #[must_use]
    pub(crate) fn has_too_many_fields(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.has_too_many_fields(),
            Self::Http2(_) => false,
        }
    }

    /// The request on it had no answer in time, or no more of one; it had waited since `began`. If the
    /// endpoint said nothing meanwhile, what may be as dead as this is not used again. Milliseconds.
    pub(crate) fn timed_out(&self, pool: &Pool, reused: bool, began: u64, now: u64) {
        match self {
            Self::Http1(_) if reused => pool.close_idle_since(began),
            Self::Http1(_) => {}
            Self::Http2(slot) => slot.timed_out(began, now),
        }
    }

    /// The request that was sent, if it had no body, so that it can be sent again.
    pub(crate) fn take_sent_request(&mut self) -> Option<Request<Body>> {
        match self {
            Self::Http1(connection) => connection.sent_request(),
            Self::Http2(slot) => slot.sent_request(),
        }
    }

    /// Wait for the next frame of the response's body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut EndpointBody,
    ) -> FramePoll<TransportError> {
        match self {
            Self::Http1(connection) => connection.poll_frame(cx, body),
            Self::Http2(_) => body.poll_frame(cx),
        }
    }

    /// The response is over. If the connection can carry another request, and `all` of this request was
    /// sent, it is kept.
    pub(crate) fn release(self, pool: &Pool, all: bool, now: u64) {
        match self {
            Self::Http1(mut connection) => {
                connection.finish_response();
                if all {
                    pool.keep_idle(connection, now);
                }
            }
            // Its pool has the connection.
            Self::Http2(slot) => drop(slot),
        }
    }
}
