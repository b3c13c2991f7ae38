//! What can go wrong between the gateway and an endpoint.

use std::io;

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
    /// The request was sent, and no response began in time.
    #[error("no response from `{endpoint}` in time")]
    FirstByte {
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
        if cause.is_parse() || cause.is_parse_too_large() || cause.is_parse_status() {
            let cause = Some(cause);
            return Self::Protocol { endpoint, cause };
        }
        Self::Closed { endpoint, cause }
    }

    /// What the client is told.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NoEndpoint { .. } => Code::NoEndpoint,
            Self::Connect { .. } => Code::ConnectFailed,
            Self::ConnectTimeout { .. } => Code::ConnectTimeout,
            Self::FirstByte { .. } => Code::FirstByteTimeout,
            Self::Closed { .. } => Code::UpstreamClosed,
            Self::Protocol { .. } => Code::UpstreamProtocol,
            Self::Body { code, .. } => *code,
            Self::Request(_) => Code::Internal,
        }
    }
}

impl From<Fault> for RequestError {
    fn from(fault: Fault) -> Self {
        Self::caused(fault.code(), fault)
    }
}
