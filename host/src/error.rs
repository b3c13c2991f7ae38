//! What can go wrong with a request, and what the client is told.
//!
//! Each stop has a small error of its own beside its code and turns it into a [`RequestError`];
//! only here does an error become HTTP. The public text never holds an address or a path of the
//! gateway's side, and every answer names the request id.

use std::error::Error as StdError;
use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode, header};

mod format;
pub(crate) mod grpc;

pub(crate) use format::{ErrorDetails, ErrorFormat, ErrorOverride};

/// A request that the gateway itself answers with an error.
#[derive(Debug)]
pub struct RequestError {
    code: Code,
    filter: Option<std::sync::Arc<str>>,
    /// Boxed: few errors have any, and every `Result` on a request's way holds this.
    headers: Option<Box<HeaderMap>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Whose side is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// The gateway's own, its filters included.
    Gateway,
    /// The upstream's.
    Upstream,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:ident, $side:ident, $text:literal;)+) => {
        /// Every error that a client may be answered with. The words are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All of them, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable machine word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status that the client is given.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// Whose side is at fault.
            #[must_use]
            pub fn side(self) -> Side {
                match self { $(Self::$name => Side::$side,)+ }
            }

            /// The sentence that the client is given.
            #[must_use]
            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, for the reference.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// The request could not be read as HTTP, or its framing is not one that the gateway takes.
    MalformedRequest = "malformed_request", BAD_REQUEST, Client, "the request is not well-formed HTTP";
    /// No `Host`, more than one, or one that is not a host.
    BadHost = "bad_host", BAD_REQUEST, Client, "the request must name exactly one valid host";
    /// The path holds a malformed escape, an encoded NUL or a byte that no path may hold.
    BadPath = "bad_path", BAD_REQUEST, Client, "the request's path is malformed";
    /// No route matches the host and path.
    NoRoute = "no_route", NOT_FOUND, Client, "there is nothing at this path";
    /// The path is known, the method is not; `Allow` lists those that are. So is a `HEAD` that another route would take without a filter of its `GET`.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Client, "this path does not take this method";
    /// The head or the body did not arrive in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, Client, "the request did not arrive in time";
    /// The body is larger than the route or a filter takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, Client, "the request's body is too large";
    /// The request target is longer than the listener takes.
    UriTooLong = "uri_too_long", URI_TOO_LONG, Client, "the request's target is too long";
    /// The head is larger, or has more fields, than the listener takes.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, Client, "the request's header fields are too large";
    /// The request has an `Expect` other than `100-continue`.
    ExpectationFailed = "expectation_failed", EXPECTATION_FAILED, Client, "the gateway does not meet this expectation";
    /// The method is one that the gateway does not carry.
    NotImplemented = "not_implemented", NOT_IMPLEMENTED, Client, "the gateway does not carry this method";
    /// The request's `Transfer-Encoding` names a coding other than `chunked`; Windlass decodes no other.
    UnknownTransferCoding = "unknown_transfer_coding", NOT_IMPLEMENTED, Client, "the gateway decodes no transfer coding but `chunked`";
    /// The client went away, or took nothing for too long, before it had the whole answer. Seen in logs only.
    ClientGone = "client_gone", BAD_REQUEST, Client, "the client went away";
    /// The gateway stopped, and the exchange had not ended when the server's `drain_timeout` was over. Seen in logs only.
    GatewayStopped = "gateway_stopped", SERVICE_UNAVAILABLE, Gateway, "the gateway was stopped before the answer was complete";
    /// A filter failed (trap, time-out, limit, bad verdict), and its `on_error` is `deny`.
    FilterFailed = "filter_failed", INTERNAL_SERVER_ERROR, Gateway, "the request could not be processed";
    /// A filter failed too often and is not called for a while, and its `on_error` is `deny`; `Retry-After` says when it is called again.
    FilterSuspended = "filter_suspended", SERVICE_UNAVAILABLE, Gateway, "the request cannot be processed now";
    /// No instance of a filter was free within its `limits.wait`, and its `on_error` is `deny`; `Retry-After` says when to come again.
    FilterBusy = "filter_busy", SERVICE_UNAVAILABLE, Gateway, "the request cannot be processed now";
    /// A fact that a filter cannot work without was not set by the filters before it.
    MissingAttribute = "missing_attribute", INTERNAL_SERVER_ERROR, Gateway, "the request could not be processed";
    /// The store where keys are changed was out of reach for too long: whatever the gateway knows of them may be revoked.
    KeysUnavailable = "keys_unavailable", SERVICE_UNAVAILABLE, Gateway, "keys cannot be checked now";
    /// The rate of the route or of the whole gateway gives no more now.
    Throttled = "throttled", TOO_MANY_REQUESTS, Client, "too many requests";
    /// The request came back to a route that had sent it on already: an endpoint leads back to the gateway. The log names the route.
    LoopDetected = "loop_detected", LOOP_DETECTED, Gateway, "the request goes around in a loop";
    /// A fault of the gateway itself.
    Internal = "internal", INTERNAL_SERVER_ERROR, Gateway, "the gateway failed";
    /// No endpoint of the upstream can take the request.
    NoEndpoint = "no_endpoint", SERVICE_UNAVAILABLE, Upstream, "the service is not available now";
    /// All endpoints that could take the request have as much to do as they may, and it waited as long as it may; `Retry-After` says when to come again.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, Upstream, "the service has too much to do now";
    /// No connection to the endpoint could be made.
    ConnectFailed = "connect_failed", BAD_GATEWAY, Upstream, "the service could not be reached";
    /// No connection to the endpoint could be made in time.
    ConnectTimeout = "connect_timeout", GATEWAY_TIMEOUT, Upstream, "the service could not be reached in time";
    /// The endpoint's TLS certificate is not one that the upstream's `tls` trusts, or there was no handshake. The log says why.
    UpstreamTls = "upstream_tls", BAD_GATEWAY, Upstream, "no secure connection to the service could be made";
    /// The exchange with the endpoint took longer than `total_timeout`.
    TotalTimeout = "total_timeout", GATEWAY_TIMEOUT, Upstream, "the service did not answer in time";
    /// The endpoint did not answer within the request's own `grpc-timeout`.
    DeadlineExceeded = "deadline_exceeded", GATEWAY_TIMEOUT, Upstream, "the service did not answer within the request's deadline";
    /// The endpoint took the request and did not begin to answer in time, or stopped taking its body.
    FirstByteTimeout = "first_byte_timeout", GATEWAY_TIMEOUT, Upstream, "the service did not answer in time";
    /// The endpoint was taken out of use while the request ran on it, and had not answered when the upstream's `drain_timeout` was over.
    EndpointLeft = "endpoint_left", SERVICE_UNAVAILABLE, Upstream, "the service was taken out of use before it answered";
    /// The endpoint closed or reset the connection, or the stream, before it answered; or turned the request away unread, and it could not be sent again.
    UpstreamClosed = "upstream_closed", BAD_GATEWAY, Upstream, "the service closed the connection";
    /// The endpoint's answer could not be read as HTTP, or its `Transfer-Encoding` is not one single `chunked`.
    UpstreamProtocol = "upstream_protocol", BAD_GATEWAY, Upstream, "the service gave an answer that is not valid";
    /// The response's body is larger than a filter that must see the whole of it takes.
    ResponseTooLarge = "response_body_too_large", BAD_GATEWAY, Upstream, "the service's answer is too large";
    /// The response's body stopped or broke. Seen in logs only, and the response is cut, unless a filter had to see the whole of it first.
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

    /// The same, with the filter that failed.
    #[must_use]
    pub(crate) fn in_filter(mut self, name: std::sync::Arc<str>) -> Self {
        self.filter = Some(name);
        self
    }

    /// The same, with a field for the answer (`Allow`, `Retry-After`).
    #[must_use]
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().append(name, value);
        self
    }

    /// The stable word.
    #[must_use]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Whose side is at fault.
    #[must_use]
    pub(crate) fn side(&self) -> Side {
        self.code.side()
    }

    /// The filter that failed, where one did.
    #[must_use]
    pub(crate) fn filter(&self) -> Option<&std::sync::Arc<str>> {
        self.filter.as_ref()
    }

    /// The answer's own fields, for the response phases and the client.
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
