//! The errors of an endpoint's connection, and of bodies in either direction.

use std::task::Poll;

use bytes::Bytes;
use http_body::Frame;

use crate::error::Code;

/// The next frame of a body, its end, or its error.
pub(crate) type FramePoll<E = BodyError> = Poll<Option<Result<Frame<Bytes>, E>>>;

/// An error of an endpoint's connection, or of a stream on it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Over HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

impl TransportError {
    /// The error of HTTP/2, if it is one.
    #[must_use]
    pub(crate) fn http2(&self) -> Option<&h2::Error> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(error) => Some(error),
        }
    }
}

/// The reason why a body did not reach its end. Travels through hyper, as the source of its errors.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The request's body is larger than its route takes.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge {
        /// The route's `max_body`.
        limit: u64,
    },
    /// The client sent nothing for too long.
    #[error("the client sent nothing of the request's body for too long")]
    ClientStalled,
    /// The client went away.
    #[error("the client closed before the end of the request's body")]
    ClientGone(#[source] hyper::Error),
    /// The client's framing is broken.
    #[error("the request's body is malformed")]
    ClientMalformed(#[source] hyper::Error),
    /// The endpoint sent nothing for too long.
    #[error("the endpoint sent nothing of the response's body for too long")]
    UpstreamStalled,
    /// The response took longer than the upstream's `total_timeout`.
    #[error("the response did not end within the upstream's `total_timeout`")]
    UpstreamTimeout,
    /// The response took longer than the request's own deadline.
    #[error("the response did not end within the request's `grpc-timeout`")]
    DeadlinePassed,
    /// The endpoint was taken out of use.
    #[error("the endpoint was removed, and the upstream's `drain_timeout` is over")]
    UpstreamLeft,
    /// Nothing passed after an upgrade for too long.
    #[error("neither side sent anything for the upstream's `idle_timeout`")]
    TunnelIdle,
    /// The endpoint broke off what came after an upgrade.
    #[error("the connection broke off")]
    TunnelBroken(#[source] std::io::Error),
    /// The endpoint closed or broke the response.
    #[error("the response's body broke off")]
    UpstreamBroken(#[source] TransportError),
    /// The endpoint ended the stream of the response in good order, and too early.
    #[error("the endpoint reset the response's stream before its end, without an error (NO_ERROR)")]
    UpstreamShort,
    /// The response breaks off. Its exchange has the cause, which is not for the client: over HTTP/2 a
    /// cause would hand on the endpoint's own code.
    #[error("the answer was cut")]
    Cut,
    /// A filter ended it: its passage says how.
    #[error("a filter ended the body")]
    Ended,
}

impl BodyError {
    /// The code for the client, if a response can still be sent.
    #[must_use]
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::BodyTooLarge,
            Self::ClientStalled => Code::RequestTimeout,
            Self::ClientGone(_) => Code::ClientGone,
            Self::ClientMalformed(_) => Code::MalformedRequest,
            Self::UpstreamTimeout => Code::TotalTimeout,
            Self::DeadlinePassed => Code::DeadlineExceeded,
            Self::UpstreamLeft => Code::EndpointLeft,
            Self::UpstreamStalled
            | Self::TunnelIdle
            | Self::TunnelBroken(_)
            | Self::UpstreamShort
            | Self::Cut
            | Self::UpstreamBroken(_) => Code::ResponseBroken,
            Self::Ended => Code::FilterFailed,
        }
    }

    /// The body error that is at the root of another error, if one is.
    #[must_use]
    pub(crate) fn find_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        causes.find_map(|cause| cause.downcast_ref())
    }
}
