//! The reasons why an attempt at an endpoint gives no response.
//!
//! Each has a text for the log, and an error code for the client ([`AttemptError::code`]).
//! [`super::dispatch`] decides by them whether it retries and whether the endpoint is to blame.

use std::io;

use http::HeaderValue;
use http::header::RETRY_AFTER;

use super::queue::QueueError;
use crate::error::{Code, RequestError};
use crate::http::body_error::BodyError;
use crate::http::body_error::TransportError;

/// The reason why an attempt gave no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    /// No endpoint is available.
    #[error("upstream `{upstream}` has no {why}")]
    NoEndpoint {
        upstream: String,
        /// The kind of endpoint that is missing.
        why: NoEndpointCause,
    },
    /// All endpoints have as many active requests as they may, and the queue gave no slot.
    #[error("upstream `{upstream}` is overloaded: {why}")]
    Overloaded {
        upstream: String,
        /// Why the request did not wait longer.
        why: QueueError,
    },
    /// No connection.
    #[error("no connection to `{endpoint}`")]
    Connect {
        endpoint: String,
        #[source]
        cause: io::Error,
    },
    /// No connection, since the gateway has reached its limit of open files.
    #[error(
        "no connection to `{endpoint}`: the gateway has reached its limit of open files; raise its limit (`LimitNOFILE=`, `ulimit -n`), or lower `max_connections`"
    )]
    Descriptors { endpoint: String },
    /// No connection in time.
    #[error("no {step} `{endpoint}` within `connect_timeout` ({milliseconds} ms)")]
    ConnectTimeout {
        endpoint: String,
        /// The step that took too long.
        step: &'static str,
        /// The time-out.
        milliseconds: u128,
    },
    /// The TLS handshake failed.
    #[error("no TLS with `{endpoint}`")]
    Tls {
        endpoint: String,
        /// Why: a certificate that is not trusted, for example.
        #[source]
        cause: io::Error,
    },
    /// The exchange took longer than its `total_timeout`.
    #[error("no response from `{endpoint}` within `total_timeout`")]
    TotalTimeout {
        /// The endpoint's name, or the upstream's if the request waited in its queue.
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
        /// The key of the timeout.
        key: &'static str,
        /// How long it is.
        milliseconds: u128,
    },
    /// The endpoint did not read the request's body.
    #[error("`{endpoint}` read nothing of the request's body for `idle_timeout`")]
    Upload { endpoint: String },
    /// The endpoint was removed while the request was active.
    #[error("`{endpoint}` was removed, and did not answer within its upstream's `drain_timeout`")]
    Left { endpoint: String },
    /// The endpoint refused the request before it processed it: by a GOAWAY with a smaller stream number,
    /// or by `REFUSED_STREAM` (RFC 9113 sections 6.8 and 8.7).
    #[error("`{endpoint}` refused the request without reading it: {}", unprocessed_reason(.cause))]
    Unprocessed {
        endpoint: String,
        /// h2's error, whose text alone would be misleading.
        cause: TransportError,
    },
    /// The connection, or the stream, ended before a response.
    #[error("`{endpoint}` ended the exchange before it answered")]
    Closed {
        endpoint: String,
        /// The connection's error.
        #[source]
        cause: TransportError,
    },
    /// The head of the response is too large.
    #[error("`{endpoint}` answered with a head that is larger than the upstream's `max_head`")]
    HeadTooLarge {
        endpoint: String,
        /// The connection's error.
        #[source]
        cause: TransportError,
    },
    /// The head of the response has too many fields.
    #[error("`{endpoint}` answered with more than {most} fields, the upstream's `max_headers`")]
    TooManyFields {
        endpoint: String,
        /// The limit.
        most: usize,
    },
    /// The body of the response is in a coding that Windlass does not decode.
    #[error(
        "`{endpoint}` answered with a `transfer-encoding` other than one `chunked`; let it send `chunked` alone, and name a compression in `content-encoding`"
    )]
    Coding { endpoint: String },
    /// The endpoint sent something that is not a response.
    #[error("`{endpoint}` answered with something that is not a valid response")]
    Protocol {
        endpoint: String,
        /// The connection's error.
        #[source]
        cause: Option<TransportError>,
    },
    /// The request's own body failed, which is not the endpoint's fault.
    #[error("the request's body failed")]
    Body {
        /// The code for the client.
        code: Code,
        /// The connection's error; its source is the body's error.
        #[source]
        cause: TransportError,
    },
    /// The request cannot be written as HTTP.
    #[error("the request could not be built")]
    Request(#[source] http::Error),
}

/// The kind of endpoint that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEndpointCause {
    /// An available one.
    #[error(
        "available endpoint; the log says since when, and the admin API shows the state of each"
    )]
    Available,
    /// An available one with the labels that a filter asks for.
    #[error("available endpoint with the labels that a filter asks for")]
    Labelled,
}

impl AttemptError {
    /// From the error of a connection after the request was sent.
    #[must_use]
    pub(crate) fn of_exchange(endpoint: &str, cause: TransportError) -> Self {
        let endpoint = endpoint.to_owned();
        match &cause {
            TransportError::Http2(error) if is_unprocessed(error) => {
                Self::Unprocessed { endpoint, cause }
            }
            // h2 found it on our side: the bytes that came are not HTTP/2.
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

    /// Whether the endpoint is to blame. Enough of these in a row eject it.
    #[must_use]
    pub(crate) fn is_endpoint_fault(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::FirstByteTimeout { .. }
            | Self::Upload { .. }
            | Self::Protocol { .. } => true,
            // A stream that this side reset is no fault of the endpoint's: a filter ended its body.
            Self::Closed { cause, .. } => {
                let error = cause.http2();
                error.is_none_or(|error| !error.is_reset() || error.is_remote())
            }
            // An endpoint that closes a connection in good order does nothing wrong.
            Self::Unprocessed { cause, .. } => !is_graceful_end(cause),
            // Heads of this kind may come on one route only, and the client or the route may have set the times too
            // short.
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

    /// The code for the client.
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

/// Whether the endpoint says that it has not processed the request. h2 gives a stream the GOAWAY as its
/// error only if the stream's number is above the one that the GOAWAY names.
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
