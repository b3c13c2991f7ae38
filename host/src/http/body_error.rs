//! Why a body did not reach its end, whichever way it went.

use super::transport_error::TransportError;
use crate::error::Code;

/// Why a body did not reach its end. Travels through hyper, as the source of its errors.
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
    /// The answer breaks off. Why is known to its exchange, and is not for the client: over HTTP/2 a
    /// cause would hand on the endpoint's own code.
    #[error("the answer was cut")]
    Cut,
    /// A filter ended it: its passage says how.
    #[error("a filter ended the body")]
    Ended,
}

impl BodyError {
    /// What the client is told, where it can still be told.
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
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}
