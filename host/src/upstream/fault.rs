//! What can go wrong between the gateway and an endpoint.

use std::io;

use http::HeaderValue;
use http::header::RETRY_AFTER;

use super::queue::Overload;
use crate::body::BodyError;
use crate::error::{Code, RequestError};

/// Why an attempt brought no response.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nothing to send it to.
    #[error("upstream `{upstream}` has no endpoint that takes the request")]
    NoEndpoint {
        /// The upstream's name.
        upstream: String,
    },
    /// All endpoints that could take it have as much to do as they may.
    #[error("upstream `{upstream}` has no room: {why}")]
    Overloaded {
        /// The upstream's name.
        upstream: String,
        /// Why it did not wait longer.
        why: Overload,
    },
    /// No connection.
    #[error("no connection to `{endpoint}`")]
    Connect {
        /// The endpoint's name.
        endpoint: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// No connection in time.
    #[error("no connection to `{endpoint}` within {milliseconds} ms")]
    ConnectTimeout {
        /// The endpoint's name.
        endpoint: String,
        /// The time-out.
        milliseconds: u128,
    },
    /// The two do not agree on TLS.
    #[error("no TLS with `{endpoint}`")]
    Tls {
        /// The endpoint's name.
        endpoint: String,
        /// Why: a certificate that is not trusted, for example.
        #[source]
        cause: io::Error,
    },
    /// The exchange took longer than it may.
    #[error("`{endpoint}` did not answer within `total_timeout`")]
    Total {
        /// The endpoint's name.
        endpoint: String,
    },
    /// The exchange took longer than the client's own deadline.
    #[error("no response from `{endpoint}` within the request's `grpc-timeout`")]
    Deadline {
        /// The endpoint's name.
        endpoint: String,
    },
    /// The request was sent, and no response began in time.
    #[error("no response from `{endpoint}` in time")]
    FirstByte {
        /// The endpoint's name.
        endpoint: String,
    },
    /// The endpoint left while the request ran.
    #[error(
        "`{endpoint}` was taken out of use, and did not answer within its upstream's `drain_timeout`"
    )]
    Left {
        /// The endpoint's name.
        endpoint: String,
    },
    /// The connection ended before a response.
    #[error("`{endpoint}` closed the connection before it answered")]
    Closed {
        /// The endpoint's name.
        endpoint: String,
        /// As hyper says it.
        #[source]
        cause: hyper::Error,
    },
    /// What came is not a response.
    #[error("`{endpoint}` answered with something that is not a valid response")]
    Protocol {
        /// The endpoint's name.
        endpoint: String,
        /// As hyper says it.
        #[source]
        cause: Option<hyper::Error>,
    },
    /// The request's own body failed, which is not the endpoint's fault.
    #[error("the request's body failed")]
    Body {
        /// What the client is told.
        code: Code,
        /// As hyper says it; the body's error is behind it.
        #[source]
        cause: hyper::Error,
    },
    /// The request cannot be written as HTTP.
    #[error("the request could not be built")]
    Request(#[source] http::Error),
}

impl Fault {
    /// From what hyper says of a request that was sent.
    #[must_use]
    pub fn of_exchange(endpoint: &str, cause: hyper::Error) -> Self {
        let endpoint = endpoint.to_owned();
        if let Some(body) = BodyError::behind(&cause) {
            let code = body.code();
            return Self::Body { code, cause };
        }
        if breaks_http2(&cause) {
            let cause = Some(cause);
            return Self::Protocol { endpoint, cause };
        }
        if cause.is_parse() || cause.is_parse_too_large() || cause.is_parse_status() {
            let cause = Some(cause);
            return Self::Protocol { endpoint, cause };
        }
        Self::Closed { endpoint, cause }
    }

    /// Whether the endpoint is to blame: enough of these in a row take it out.
    #[must_use]
    pub fn is_endpoints(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::FirstByte { .. }
            | Self::Closed { .. }
            | Self::Protocol { .. } => true,
            // These may be as short as the client or the route wants them.
            Self::Total { .. }
            | Self::Deadline { .. }
            | Self::Left { .. }
            | Self::NoEndpoint { .. }
            | Self::Overloaded { .. }
            | Self::Body { .. }
            | Self::Request(_) => false,
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoEndpoint { .. } => Code::NoEndpoint,
            Self::Overloaded { .. } => Code::Overloaded,
            Self::Connect { .. } => Code::ConnectFailed,
            Self::ConnectTimeout { .. } => Code::ConnectTimeout,
            Self::Tls { .. } => Code::UpstreamTls,
            Self::Total { .. } => Code::TotalTimeout,
            Self::Deadline { .. } => Code::DeadlineExceeded,
            Self::FirstByte { .. } => Code::FirstByteTimeout,
            Self::Left { .. } => Code::EndpointLeft,
            Self::Closed { .. } => Code::UpstreamClosed,
            Self::Protocol { .. } => Code::UpstreamProtocol,
            Self::Body { code, .. } => *code,
            Self::Request(_) => Code::Internal,
        }
    }
}

/// Whether this is an error that our side of an HTTP/2 connection found: what came is not HTTP/2.
fn breaks_http2(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| !cause.is_io() && cause.is_library())
}

impl From<Fault> for RequestError {
    fn from(fault: Fault) -> Self {
        let overloaded = matches!(fault, Fault::Overloaded { .. });
        let error = Self::caused(fault.code(), fault);
        if overloaded {
            error.with_header(RETRY_AFTER, HeaderValue::from_static("1"))
        } else {
            error
        }
    }
}
