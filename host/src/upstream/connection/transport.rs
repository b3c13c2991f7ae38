//! The error that ended an exchange with an endpoint, from hyper (HTTP/1.1) or h2 (HTTP/2).

use http::{Request, Response};

use super::endpoint_body::EndpointBody;
use crate::http::body::Body;

/// An error of the connection, or of a stream on it.
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

/// What comes of a request: the head of its response, or a failure.
pub(crate) type SendOutcome = Result<Response<EndpointBody>, SendFailure>;

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// The connection took no request any more; here it is.
    Unsent(Box<Request<Body>>),
    /// It was sent, or a part of it.
    Failed(TransportError),
}

impl From<h2::Error> for SendFailure {
    fn from(error: h2::Error) -> Self {
        Self::Failed(error.into())
    }
}
