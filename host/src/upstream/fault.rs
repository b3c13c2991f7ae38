//! The reasons why an attempt at an endpoint gives no response.
//!
//! Each has a text for the log, and an error code for the client ([`AttemptError::code`]).
//! [`super::attempt`] decides by them whether it retries and whether the endpoint is to blame.

use std::io;

use http::HeaderValue;
use http::header::RETRY_AFTER;

use super::connection::transport::TransportError;
use super::queue::QueueError;
use crate::error::{Code, RequestError};
use crate::http::body::BodyError;

/// Why an attempt brought no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// Nothing to send it to.
    #[error("upstream `{upstream}` has no {why}")]
    NoEndpoint {
        upstream: String,
        /// Of those that it might have, which is missing.
        why: NoEndpointCause,
    },
    /// All endpoints that could take it have as much to do as they may.
    #[error("upstream `{upstream}` is overloaded: {why}")]
    Overloaded {
        upstream: String,
        /// Why it did not wait longer.
        why: QueueError,
    },
    /// No connection.
    #[error("no connection to `{endpoint}`")]
    Connect {
        endpoint: String,
        #[source]
        cause: io::Error,
    },
    /// No connection, as the gateway has as many files open as it may.
    #[error(
        "no connection to `{endpoint}`: the gateway has reached its limit of open files; raise its limit (`LimitNOFILE=`, `ulimit -n`), or lower `max_connections`"
    )]
    Descriptors { endpoint: String },
    /// No connection in time.
    #[error("no {step} `{endpoint}` within `connect_timeout` ({milliseconds} ms)")]
    ConnectTimeout {
        endpoint: String,
        /// What was waited for.
        step: &'static str,
        /// The time-out.
        milliseconds: u128,
    },
    /// The two do not agree on TLS.
    #[error("no TLS with `{endpoint}`")]
    Tls {
        endpoint: String,
        /// Why: a certificate that is not trusted, for example.
        #[source]
        cause: io::Error,
    },
    /// The exchange took longer than it may.
    #[error("no response from `{endpoint}` within `total_timeout`")]
    TotalTimeout {
        /// The endpoint's name; the upstream's, where the request waited for an endpoint with room.
        endpoint: String,
    },
    /// The exchange took longer than the client's own deadline.
    #[error("no response from `{endpoint}` within the request's `grpc-timeout`")]
    Deadline {
        /// As of [`Self::TotalTimeout`].
        endpoint: String,
    },
    /// The request was sent, and no response began in time.
    #[error("no response from `{endpoint}` within `{key}` ({milliseconds} ms)")]
    FirstByteTimeout {
        endpoint: String,
        /// Which time-out it was.
        key: &'static str,
        /// How long it is.
        milliseconds: u128,
    },
    /// The endpoint did not take the request's body.
    #[error("`{endpoint}` read nothing of the request's body for `idle_timeout`")]
    Upload { endpoint: String },
    /// The endpoint left while the request ran.
    #[error("`{endpoint}` was removed, and did not answer within its upstream's `drain_timeout`")]
    Left { endpoint: String },
    /// The endpoint turned the request away before it looked at it: by a GOAWAY with a smaller stream
    /// number, or as a refused stream (RFC 9113 sections 6.8 and 8.7).
    #[error("`{endpoint}` refused the request without reading it: {}", unprocessed_reason(.cause))]
    Unprocessed {
        endpoint: String,
        /// As h2 says it, which reads as if nothing had happened.
        cause: TransportError,
    },
    /// The connection, or the stream, ended before a response.
    #[error("`{endpoint}` ended the exchange before it answered")]
    Closed {
        endpoint: String,
        /// As the connection says it.
        #[source]
        cause: TransportError,
    },
    /// The head of the response is too large.
    #[error("`{endpoint}` answered with a head that is larger than the upstream's `max_head`")]
    HeadTooLarge {
        endpoint: String,
        /// As the connection says it.
        #[source]
        cause: TransportError,
    },
    /// The head of the response has too many fields.
    #[error("`{endpoint}` answered with more than {most} fields, the upstream's `max_headers`")]
    TooManyFields {
        endpoint: String,
        /// The most that there may be.
        most: usize,
    },
    /// The body of the response is in a coding that Windlass does not decode.
    #[error(
        "`{endpoint}` answered with a `transfer-encoding` other than one `chunked`; let it send `chunked` alone, and name a compression in `content-encoding`"
    )]
    Coding { endpoint: String },
    /// What came is not a response.
    #[error("`{endpoint}` answered with something that is not a valid response")]
    Protocol {
        endpoint: String,
        /// As the connection says it.
        #[source]
        cause: Option<TransportError>,
    },
    /// The request's own body failed, which is not the endpoint's fault.
    #[error("the request's body failed")]
    Body {
        /// What the client is told.
        code: Code,
        /// As the connection says it; the body's error is behind it.
        #[source]
        cause: TransportError,
    },
    /// The request cannot be written as HTTP.
    #[error("the request could not be built")]
    Request(#[source] http::Error),
}

/// Which endpoint there is none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEndpointCause {
    /// One that takes requests.
    #[error(
        "available endpoint; the log says since when, and the admin API shows the state of each"
    )]
    Available,
    /// One with the labels that a filter asks for.
    #[error("available endpoint with the labels that a filter asks for")]
    Labelled,
}

impl AttemptError {
    /// From what the connection says of a request that was sent.
    #[must_use]
    pub(crate) fn of_exchange(endpoint: &str, cause: TransportError) -> Self {
        let endpoint = endpoint.to_owned();
        match &cause {
            TransportError::Http2(error) if is_unprocessed(error) => {
                Self::Unprocessed { endpoint, cause }
            }
            // Our side of the connection found it: what came is not HTTP/2.
            TransportError::Http2(error) if !error.is_io() && error.is_library() => {
                let cause = Some(cause);
                Self::Protocol { endpoint, cause }
            }
            TransportError::Http2(_) => Self::Closed { endpoint, cause },
            TransportError::Http1(error) => {
                if let Some(body) = BodyError::find_in(error) {
                    let code = body.code();
                    return Self::Body { code, cause };
                }
                if error.is_parse_too_large() {
                    return Self::HeadTooLarge { endpoint, cause };
                }
                if error.is_parse() || error.is_parse_status() {
                    let cause = Some(cause);
                    return Self::Protocol { endpoint, cause };
                }
                Self::Closed { endpoint, cause }
            }
        }
    }

    /// Whether the endpoint is to blame: enough of these in a row take it out.
    #[must_use]
    pub(crate) fn is_endpoint_fault(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::FirstByteTimeout { .. }
            | Self::Upload { .. }
            | Self::Protocol { .. } => true,
            // A stream that was reset by this side: its body was ended on the way, by a filter.
            Self::Closed { cause, .. } => {
                let error = cause.http2();
                error.is_none_or(|error| !error.is_reset() || error.is_remote())
            }
            // One that closes a connection in good order does nothing wrong.
            Self::Unprocessed { cause, .. } => !is_graceful_end(cause),
            // One route may have such heads, and others are answered well. The times may be as short as the
            // client or the route wants them.
            Self::HeadTooLarge { .. }
            | Self::TooManyFields { .. }
            | Self::Coding { .. }
            | Self::TotalTimeout { .. }
            | Self::Deadline { .. }
            | Self::Left { .. }
            | Self::NoEndpoint { .. }
            | Self::Overloaded { .. }
            | Self::Descriptors { .. }
            | Self::Body { .. }
            | Self::Request(_) => false,
        }
    }

    /// Whether one stream was reset, and the connection goes on (RFC 9113 section 5.4.2).
    #[must_use]
    pub(crate) fn is_stream_reset(&self) -> bool {
        let (Self::Closed { cause, .. } | Self::Unprocessed { cause, .. }) = self else {
            return false;
        };
        cause.http2().is_some_and(h2::Error::is_reset)
    }

    /// What the client is told.
    #[must_use]
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::NoEndpoint { .. } => Code::NoEndpoint,
            Self::Overloaded { .. } | Self::Descriptors { .. } => Code::Overloaded,
            Self::Connect { .. } => Code::ConnectFailed,
            Self::ConnectTimeout { .. } => Code::ConnectTimeout,
            Self::Tls { .. } => Code::UpstreamTls,
            Self::TotalTimeout { .. } => Code::TotalTimeout,
            Self::Deadline { .. } => Code::DeadlineExceeded,
            Self::FirstByteTimeout { .. } | Self::Upload { .. } => Code::FirstByteTimeout,
            Self::Left { .. } => Code::EndpointLeft,
            Self::Closed { .. } | Self::Unprocessed { .. } => Code::UpstreamClosed,
            Self::HeadTooLarge { .. }
            | Self::TooManyFields { .. }
            | Self::Coding { .. }
            | Self::Protocol { .. } => Code::UpstreamProtocol,
            Self::Body { code, .. } => *code,
            Self::Request(_) => Code::Internal,
        }
    }
}

/// Whether the endpoint says that it has not looked at the request. A stream gets the GOAWAY itself
/// as its error only where its number is above the one that it names; others end with the connection.
fn is_unprocessed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || refused)
}

fn unprocessed_reason(error: &TransportError) -> String {
    let reason = error.http2().and_then(h2::Error::reason);
    match reason {
        Some(h2::Reason::REFUSED_STREAM) => "it refused the stream (REFUSED_STREAM)".to_owned(),
        Some(h2::Reason::NO_ERROR) | None => "it closes the connection (GOAWAY)".to_owned(),
        Some(reason) => format!("it closes the connection (GOAWAY, {reason:?})"),
    }
}

fn is_graceful_end(error: &TransportError) -> bool {
    let error = error.http2();
    error.is_some_and(|error| error.reason() == Some(h2::Reason::NO_ERROR))
}

impl From<AttemptError> for RequestError {
    fn from(fault: AttemptError) -> Self {
        let overloaded = matches!(
            fault,
            AttemptError::Overloaded { .. } | AttemptError::Descriptors { .. }
        );
        let error = Self::with_source(fault.code(), fault);
        if overloaded {
            error.with_header(RETRY_AFTER, HeaderValue::from_static("1"))
        } else {
            error
        }
    }
}
