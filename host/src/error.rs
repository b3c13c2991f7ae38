//! Errors of a request, and the answers that clients get for them.
//!
//! Each stop has a small error enum beside its code and turns it into a [`RequestError`]; only
//! this room turns an error into HTTP. The public text never holds an address or a path of the
//! gateway's side, and every answer names the request id. [`mod@format`] writes the answer, [`grpc`]
//! the one for a gRPC call.

use std::error::Error as StdError;
use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode, header};

mod format;
pub(crate) mod grpc;

pub(crate) use format::{ErrorDetails, ErrorFormat, ErrorOverride};

/// An error that the gateway answers a request with.
#[derive(Debug)]
pub struct RequestError {
    code: Code,
    filter: Option<std::sync::Arc<str>>,
    /// Boxed: few errors have fields, and every `Result` on a request's way is as large as this.
    headers: Option<Box<HeaderMap>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The side that is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The gateway or one of its filters.
    Gateway,
    /// The upstream.
    Upstream,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:ident, $side:ident, $text:literal;)+) => {
        /// The errors that a client may get. Their codes are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable code.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status of the answer.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The side that is at fault.
            #[must_use]
            pub fn side(self) -> Side {
                match self { $(Self::$name => Side::$side,)+ }
            }

            /// The sentence of the answer.
            #[must_use]
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The meaning, for the reference.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// The gateway could not read the request as HTTP, or does not accept its framing.
    MalformedRequest = "malformed_request", BAD_REQUEST, Client, "the request is not well-formed HTTP";
    /// The request has no `Host`, more than one, or an invalid one.
    BadHost = "bad_host", BAD_REQUEST, Client, "the request must name exactly one valid host";
    /// The path has a malformed escape, an encoded NUL or a byte that no path may have. Or a less strict server could read it as the path of a route whose filters Windlass did not call.
    BadPath = "bad_path", BAD_REQUEST, Client, "the request's path is malformed";
    /// No route matches the host and path.
    NoRoute = "no_route", NOT_FOUND, Client, "there is nothing at this path";
    /// The path exists, but not for this method; `Allow` lists the methods that it has. A `HEAD` gets this error too, if it would reach another route without a filter of the path's `GET`.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Client, "this path does not support this method";
    /// The head or the body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, Client, "the request did not arrive in time";
    /// The body is larger than the route or a filter allows.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, Client, "the request's body is too large";
    /// The request target is longer than the listener allows.
    UriTooLong = "uri_too_long", URI_TOO_LONG, Client, "the request's target is too long";
    /// The head is larger, or has more fields, than the listener allows.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, Client, "the request's header fields are too large";
    /// The request has an `Expect` other than `100-continue`.
    ExpectationFailed = "expectation_failed", EXPECTATION_FAILED, Client, "the gateway does not meet this expectation";
    /// The gateway does not support this method.
    NotImplemented = "not_implemented", NOT_IMPLEMENTED, Client, "the gateway does not support this method";
    /// The request's `Transfer-Encoding` names a coding other than `chunked`; Windlass decodes no other.
    UnknownTransferCoding = "unknown_transfer_coding", NOT_IMPLEMENTED, Client, "the gateway decodes no transfer coding but `chunked`";
    /// The client closed the connection, or read nothing for too long, before it had the whole answer. Only logs show this code.
    ClientGone = "client_gone", BAD_REQUEST, Client, "the client went away";
    /// The gateway stopped, and the exchange had not ended within the server's `drain_timeout`. Only logs show this code.
    GatewayStopped = "gateway_stopped", SERVICE_UNAVAILABLE, Gateway, "the gateway was stopped before the answer was complete";
    /// A filter failed (trap, timeout, limit, invalid verdict), and its `on_error` is `deny`.
    FilterFailed = "filter_failed", INTERNAL_SERVER_ERROR, Gateway, "the request could not be processed";
    /// A filter failed too often and is suspended, and its `on_error` is `deny`; `Retry-After` says when Windlass calls it again.
    FilterSuspended = "filter_suspended", SERVICE_UNAVAILABLE, Gateway, "the request cannot be processed now";
    /// No instance of a filter was free within its `limits.wait`, and its `on_error` is `deny`; `Retry-After` says when to try again.
    FilterBusy = "filter_busy", SERVICE_UNAVAILABLE, Gateway, "the request cannot be processed now";
    /// A filter needs an attribute that no filter before it has set.
    MissingAttribute = "missing_attribute", INTERNAL_SERVER_ERROR, Gateway, "the request could not be processed";
    /// The storage of keys was out of reach for too long, so the gateway cannot tell which keys have been revoked.
    KeysUnavailable = "keys_unavailable", SERVICE_UNAVAILABLE, Gateway, "keys cannot be checked now";
    /// The rate limit of the route or of the whole gateway is exhausted for now.
    Throttled = "throttled", TOO_MANY_REQUESTS, Client, "too many requests";
    /// The request came back to a route that had already forwarded it: an endpoint leads back to the gateway. The log names the route.
    LoopDetected = "loop_detected", LOOP_DETECTED, Gateway, "the request goes around in a loop";
    /// The gateway has as many active requests as it may have, or uses as much memory as it may; `Retry-After` says when to try again.
    GatewayOverloaded = "gateway_overloaded", SERVICE_UNAVAILABLE, Gateway, "the gateway is overloaded";
    /// The gateway itself failed.
    Internal = "internal", INTERNAL_SERVER_ERROR, Gateway, "the gateway failed";
    /// The upstream has no available endpoint.
    NoEndpoint = "no_endpoint", SERVICE_UNAVAILABLE, Upstream, "the service is not available now";
    /// Every available endpoint has as many active requests as it may have, and the request waited in the queue for as long as it may; `Retry-After` says when to try again.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, Upstream, "the service is overloaded";
    /// The gateway could not connect to the endpoint.
    ConnectFailed = "connect_failed", BAD_GATEWAY, Upstream, "the service could not be reached";
    /// The gateway could not connect to the endpoint in time.
    ConnectTimeout = "connect_timeout", GATEWAY_TIMEOUT, Upstream, "the service could not be reached in time";
    /// The upstream's `tls` does not trust the endpoint's certificate, or the TLS handshake failed. The log has the reason.
    UpstreamTls = "upstream_tls", BAD_GATEWAY, Upstream, "no secure connection to the service could be made";
    /// The exchange with the endpoint took longer than `total_timeout`.
    TotalTimeout = "total_timeout", GATEWAY_TIMEOUT, Upstream, "the service did not answer in time";
    /// The endpoint did not answer within the request's own `grpc-timeout`.
    DeadlineExceeded = "deadline_exceeded", GATEWAY_TIMEOUT, Upstream, "the service did not answer within the request's deadline";
    /// The endpoint accepted the request and did not begin to answer in time, or stopped reading its body.
    FirstByteTimeout = "first_byte_timeout", GATEWAY_TIMEOUT, Upstream, "the service did not answer in time";
    /// The endpoint was removed while it had the request, and had not answered within the upstream's `drain_timeout`.
    EndpointLeft = "endpoint_left", SERVICE_UNAVAILABLE, Upstream, "the service was taken out of use before it answered";
    /// The endpoint closed or reset the connection, or the stream, before it answered; or it refused to process the request, and the gateway could not send it again.
    UpstreamClosed = "upstream_closed", BAD_GATEWAY, Upstream, "the service closed the connection";
    /// The gateway could not read the endpoint's answer as HTTP, or its `Transfer-Encoding` is not one single `chunked`.
    UpstreamProtocol = "upstream_protocol", BAD_GATEWAY, Upstream, "the service gave an invalid answer";
    /// The response's body is larger than allowed by a filter that needs all of it.
    ResponseTooLarge = "response_body_too_large", BAD_GATEWAY, Upstream, "the service's answer is too large";
    /// The response's body ended early. Only logs show this code, and the gateway cuts the response, unless a filter needed the whole body first.
    ResponseBroken = "response_broken", BAD_GATEWAY, Upstream, "the service's answer broke off";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Code> for RequestError {
    fn from(code: Code) -> Self {
        Self {
            code,
            filter: None,
            headers: None,
            source: None,
        }
    }
}

impl RequestError {
    /// An error with its cause, for the log.
    pub(crate) fn with_source(
        code: Code,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::from(code)
        }
    }

    /// Adds the filter that failed.
    #[must_use]
    pub(crate) fn in_filter(mut self, name: std::sync::Arc<str>) -> Self {
        self.filter = Some(name);
        self
    }

    /// Adds a header field of the answer (`Allow`, `Retry-After`).
    #[must_use]
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }

    /// The stable code.
    #[must_use]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The side that is at fault.
    #[must_use]
    pub(crate) fn side(&self) -> Side {
        self.code.side()
    }

    /// The filter that failed, if one did.
    #[must_use]
    pub(crate) fn filter(&self) -> Option<&std::sync::Arc<str>> {
        self.filter.as_ref()
    }

    /// The answer's header fields, for the response phases and the client.
    #[must_use]
    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.as_deref().cloned().unwrap_or_default()
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.filter {
            Some(filter) => write!(f, "filter `{filter}`: {}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

impl StdError for RequestError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// An error with its causes, each printed once.
#[derive(Debug)]
pub(crate) struct Causes<'a>(pub(crate) &'a dyn StdError);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
