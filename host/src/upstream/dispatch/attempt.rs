//! An attempt: one try on one endpoint, which gives an outcome.
//!
//! It comes to a connection ([`connect`]), sends the request and waits for the response's head, and
//! reports the result to those who take endpoints out ([`report`]). It has the endpoint's lease and
//! the connection, which the response's body keeps. Deliberately not here: what follows an attempt
//! without an answer ([`super::Dispatch`]).

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Bytes;

mod connect;
mod report;

use super::body::{ResponseResources, UpstreamBody};
use super::context::DispatchContext;
use super::pick::Pick;
use super::retry::ConnectionUse;
use super::upgrade::{Carrier, Duplex, Upgrade, UpgradedConnection};
use crate::exchange::Exchange;
use crate::http::body::Body;
use crate::http::header_flags::HeaderFlags;
use crate::http::headers::{has_connection_option, strip};
use crate::http::watch::{TimeoutKind, Watch, milliseconds};
use crate::model::head::ResponseHead;
use crate::upstream::coding::{self, Coding};
use crate::upstream::connection::endpoint_body::EndpointBody;
use crate::upstream::connection::{EndpointConnection, SendFailure, SendOutcome, http2_request};
use crate::upstream::fault::AttemptError;

/// One try on one endpoint.
pub(super) struct Attempt<'a> {
    context: &'a DispatchContext<'a>,
    pub(super) pick: Pick,
    pub(super) connection: Option<EndpointConnection>,
    pub(super) usage: ConnectionUse,
    /// When the request was sent. Milliseconds of the worker's clock.
    sent_at: u64,
}

/// The outcome of an attempt.
pub(super) enum AttemptResult {
    /// The response's head is in the exchange.
    Answered(EndpointBody),
    /// Nothing was sent; here is the request.
    Unsent(Box<Request<Body>>, AttemptError),
    Failed(AttemptError),
}

/// An attempt whose answer is awaited.
pub(super) struct RunningAttempt<'a> {
    pub(super) pick: &'a Pick,
    pub(super) usage: ConnectionUse,
    /// Whether its connection has the request, which had no body.
    pub(super) has_request: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(context: &'a DispatchContext<'a>, pick: Pick) -> Self {
        let mut attempt = Self {
            context,
            pick,
            connection: None,
            usage: ConnectionUse::default(),
            sent_at: 0,
        };
        attempt.renew(false);
        attempt
    }

    /// The next one goes to another endpoint.
    pub(super) fn move_to(&mut self, pick: Pick) {
        self.pick = pick;
        self.renew(false);
    }

    /// The next one begins. `fresh`: only a new connection will do.
    pub(super) fn renew(&mut self, fresh: bool) {
        self.connection = None;
        self.usage = ConnectionUse {
            // A connection that may become something else carries no other request.
            fresh: fresh || self.context.switches(),
            ..ConnectionUse::default()
        };
    }

    /// Whether its request is the first on a connection that many share.
    pub(super) fn is_first(&self) -> bool {
        matches!(&self.connection, Some(EndpointConnection::Http2(stream)) if stream.number == 0)
    }

    /// Send the request over the connection, and wait for the response's head. `keep`: the connection
    /// keeps a request without a body. `give_up` is asked when the time for the first byte has passed,
    /// and says why the attempt ends then, if it does.
    pub(super) async fn send(
        &mut self,
        mut request: Box<Request<Body>>,
        keep: bool,
        mut give_up: impl FnMut(RunningAttempt<'_>) -> Option<AttemptError>,
    ) -> AttemptResult {
        let (context, pick, usage) = (self.context, &self.pick, self.usage);
        self.sent_at = context.now();
        let mut give_up = |has_request| {
            give_up(RunningAttempt {
                pick,
                usage,
                has_request,
            })
        };
        let result = match &mut self.connection {
            None => return AttemptResult::Unsent(request, pick.closed_at_once()),
            Some(EndpointConnection::Http1(http1)) => {
                if context.upgrade.is_some() {
                    http1.expect_upgrade();
                }
                let mut response = pin!(http1.send(*request));
                poll_fn(|cx| {
                    let polled = http1.poll_response(cx, response.as_mut());
                    for interim in http1.take_interims() {
                        context.inform(interim);
                    }
                    poll_result(context, pick, polled, || give_up(http1.has_request()))
                })
                .await
            }
            Some(EndpointConnection::Http2(stream)) => {
                if let Some(upgrade) = context.upgrade
                    && stream.supports_connect()
                {
                    upgrade.ask_by_connect(&mut request);
                }
                match stream.send(*request, keep, |interim| context.inform(interim)) {
                    Err(error) => AttemptResult::Failed(AttemptError::Request(error)),
                    Ok(mut response) => {
                        poll_fn(|cx| {
                            let polled = response.as_mut().poll(cx);
                            poll_result(context, pick, polled, || {
                                give_up(stream.kept_request.is_some())
                            })
                        })
                        .await
                    }
                }
            }
        };
        context.watch.end_response_wait();
        result
    }

    /// A request is as HTTP/1.1 wants it, whatever it was to be sent on.
    pub(super) fn take_back(&self, request: &mut Request<Body>) {
        if !self.usage.shared {
            return;
        }
        http2_request::to_http1(request);
        if let Some(upgrade) = self.context.upgrade {
            upgrade.take_back(request);
        }
    }

    /// The answer's body, which keeps the connection and the lease until it ends.
    pub(super) fn into_body(self, incoming: EndpointBody) -> Result<Body, AttemptError> {
        let Some(connection) = self.connection else {
            return Err(self.pick.closed_at_once());
        };
        match self.context.upgrade {
            Some(upgrade) if is_switch(self.context) => {
                switch(self.context, upgrade, self.pick, connection, incoming)
            }
            Some(_) | None => Ok(response_body(self.context, self.pick, connection, incoming)),
        }
    }
}

/// The outcome of an attempt, once there is one.
fn poll_result(
    context: &DispatchContext<'_>,
    pick: &Pick,
    polled: Poll<SendOutcome>,
    give_up: impl FnOnce() -> Option<AttemptError>,
) -> Poll<AttemptResult> {
    let outcome = match polled {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => {
            return match late(context, pick, give_up) {
                Some(fault) => Poll::Ready(AttemptResult::Failed(fault)),
                None => Poll::Pending,
            };
        }
    };
    Poll::Ready(match outcome {
        Ok(response) if response.headers().len() > context.upstream.shared.config.max_headers => {
            AttemptResult::Failed(report::too_many_fields(context, pick))
        }
        Ok(response) => {
            note_early(context.watch, response.version(), response.headers());
            let upgrade = context.upgrade;
            let exchange = context.exchange;
            exchange.with(|exchange| accept(exchange, pick, response, upgrade))
        }
        Err(SendFailure::Unsent(request)) => AttemptResult::Unsent(request, pick.closed_at_once()),
        Err(SendFailure::Failed(cause)) => {
            AttemptResult::Failed(AttemptError::of_exchange(&pick.name(), cause))
        }
    })
}

/// A response has come. If the endpoint will not read the rest of the request's body, the client's connection
/// can carry no other request, and its response says so (RFC 9112 section 9.6).
fn note_early(watch: &Watch, version: Version, headers: &HeaderMap) {
    let exchange = &watch.exchange;
    if exchange.body_open.get() {
        // Whether the endpoint closes its connection after this response (RFC 9112 section 9.3).
        exchange.body_refused.set(match version {
            Version::HTTP_10 => !has_connection_option(headers, "keep-alive"),
            Version::HTTP_11 => has_connection_option(headers, "close"),
            _ => false,
        });
    }
}

/// The reason why Windlass does not wait for the response any longer, if there is one.
fn late(
    context: &DispatchContext<'_>,
    pick: &Pick,
    give_up: impl FnOnce() -> Option<AttemptError>,
) -> Option<AttemptError> {
    let watch = context.watch;
    if !watch.has_signals() {
        return None;
    }
    let endpoint = || pick.name();
    if watch.expired(TimeoutKind::Total) {
        return Some(context.overdue(endpoint()));
    }
    if watch.has_endpoint_left() {
        return Some(AttemptError::Left {
            endpoint: endpoint(),
        });
    }
    if watch.expired(TimeoutKind::Upload) {
        return Some(AttemptError::Upload {
            endpoint: endpoint(),
        });
    }
    watch.expired(TimeoutKind::Answer).then(give_up).flatten()
}

fn is_switch(context: &DispatchContext<'_>) -> bool {
    context.status() == Some(StatusCode::SWITCHING_PROTOCOLS.as_u16())
}

/// The endpoint has agreed: its connection, or the stream, is not HTTP any more.
fn switch(
    context: &DispatchContext<'_>,
    upgrade: &Upgrade,
    pick: Pick,
    connection: EndpointConnection,
    incoming: EndpointBody,
) -> Result<Body, AttemptError> {
    let fault = || pick.closed_at_once();
    let pool = Rc::clone(&pick.endpoint.pool);
    let (stream, read, carrier): (Box<dyn Duplex>, _, _) = match (connection, incoming) {
        (EndpointConnection::Http1(connection), _) => {
            let (stream, read, permit) = connection.into_stream().ok_or_else(fault)?;
            (Box::new(stream), read, Carrier::Connection(permit))
        }
        (EndpointConnection::Http2(shared), EndpointBody::Tunnel(stream)) => {
            (stream, Bytes::new(), Carrier::Stream(shared))
        }
        (EndpointConnection::Http2(_), _) => return Err(fault()),
    };
    *upgrade.upgraded.borrow_mut() = Some(UpgradedConnection {
        stream,
        read,
        carrier,
        pool,
        active: pick.active,
        idle: context.timeouts.idle.map(milliseconds),
    });
    Ok(Body::Empty)
}

fn response_body(
    context: &DispatchContext<'_>,
    pick: Pick,
    mut connection: EndpointConnection,
    incoming: EndpointBody,
) -> Body {
    if context.upgrade.is_some() {
        connection.decline_upgrade();
    }
    let resources = ResponseResources {
        connection,
        pool: Rc::clone(&pick.endpoint.pool),
        active: pick.active,
    };
    let body = UpstreamBody {
        incoming,
        resources: Some(resources),
        watch: Arc::clone(context.watch),
        idle: context.timeouts.idle.map(milliseconds),
        deadline: context.deadline,
        waits: None,
    };
    body.into()
}

/// Take a response's head into the exchange.
fn accept(
    exchange: &mut Exchange,
    pick: &Pick,
    response: Response<EndpointBody>,
    upgrade: Option<&Upgrade>,
) -> AttemptResult {
    let (mut parts, incoming) = response.into_parts();
    let agreed = upgrade.is_some_and(|upgrade| upgrade.agree(&mut parts));
    if parts.status.is_informational() && !agreed {
        return AttemptResult::Failed(AttemptError::Protocol {
            endpoint: pick.name(),
            cause: None,
        });
    }
    let seen = HeaderFlags::of_response(&parts.headers);
    // An answer without content may name any coding: nothing is in it (RFC 9112 section 6.1).
    if seen.has(HeaderFlags::TRANSFER_ENCODING)
        && !incoming.is_end_stream()
        && coding::from_headers(&parts.headers) != Coding::Chunked
    {
        return AttemptResult::Failed(AttemptError::Coding {
            endpoint: pick.name(),
        });
    }
    let length = if exchange.request.method == Method::HEAD {
        let length = parts.headers.get(CONTENT_LENGTH);
        length.filter(|length| is_number(length)).cloned()
    } else {
        None
    };
    strip(&mut parts.headers, seen);
    if let Some(length) = length {
        parts.headers.insert(CONTENT_LENGTH, length);
    }
    exchange.response = Some(ResponseHead {
        status: parts.status,
        headers: parts.headers,
    });
    AttemptResult::Answered(incoming)
}

/// hyper reads the length of no answer to `HEAD`.
fn is_number(length: &HeaderValue) -> bool {
    let text = length.to_str().unwrap_or_default();
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
}
