//! The error that ended an exchange with an endpoint, from hyper (HTTP/1.1) or h2 (HTTP/2).

use http::{Request, Response};

use super::endpoint_body::EndpointBody;
use crate::http::body::Body;
use crate::http::transport_error::TransportError;

/// The outcome of a request: the head of its response, or a failure.
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
