//! The arguments of a dispatch, which stay the same over its attempts, and its time-outs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;

use super::pick::Pick;
use super::upgrade::Upgrade;
use crate::config::{RouteTimeouts, UpstreamConfig, UpstreamProtocol};
use crate::exchange::ExchangeCell;
use crate::http::body::Body;
use crate::http::client_connection::ClientConnection;
use crate::http::header_flags::HeaderFlags;
use crate::http::headers::strip;
use crate::http::proxy_protocol::ProxiedRoute;
use crate::http::watch::Watch;
use crate::upstream::connection::interim::InterimResponse;
use crate::upstream::fault::AttemptError;
use crate::upstream::queue::QueueError;
use crate::upstream::{LocalUpstream, headers};

/// Where a request goes, for whom, and within which time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DispatchContext<'a> {
    /// Where it goes.
    pub(crate) upstream: &'a LocalUpstream,
    /// The exchange that the request and its answer are in.
    pub(crate) exchange: &'a ExchangeCell,
    /// The client connection's time-outs.
    pub(crate) watch: &'a Arc<Watch>,
    /// The client's connection.
    pub(crate) client: &'a ClientConnection,
    /// How long it may take.
    pub(crate) timeouts: Timeouts,
    /// Whether `timeouts.total` is the request's own deadline.
    pub(crate) deadline: bool,
    /// The protocol that the request asks its connection to become.
    pub(crate) upgrade: Option<&'a Upgrade>,
    /// Whether the request's head is looked at after it was sent.
    pub(crate) keep_head: bool,
    /// When the request came to the upstream.
    pub(crate) came: Instant,
}

impl DispatchContext<'_> {
    pub(super) fn now(&self) -> u64 {
        self.watch.shared.clock.now()
    }

    /// The client that the PROXY protocol names to the endpoint, if the upstream has it.
    pub(super) fn proxied(&self) -> Option<ProxiedRoute> {
        self.upstream.shared.config.proxy_protocol?;
        let client = self.exchange.with(|exchange| exchange.client.ip);
        Some(self.client.proxied_route(client))
    }

    /// The time that is left for the whole exchange, if `timeouts.total` is set.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let total = self.timeouts.total?;
        Some(total.saturating_sub(self.came.elapsed()))
    }

    /// Whether the request may make something else of its connection. Over HTTP/2 it is a stream that
    /// becomes something else.
    pub(super) fn switches(&self) -> bool {
        let protocol = self.upstream.shared.config.protocol;
        self.upgrade.is_some() && protocol != UpstreamProtocol::Http2
    }

    /// Whether the request's method is idempotent (RFC 9110 section 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        let exchange = self.exchange;
        exchange.with(|exchange| exchange.request.method.is_idempotent())
    }

    /// The status of the answer that is in the exchange.
    pub(super) fn status(&self) -> Option<u16> {
        self.exchange.with(|exchange| {
            let response = exchange.response.as_ref();
            response.map(|response| response.status.as_u16())
        })
    }

    /// The request for this endpoint. `keep` leaves its head in the exchange.
    pub(super) fn outgoing(&self, pick: &Pick, body: Body, keep: bool) -> Request<Body> {
        let upstream = &*self.upstream.shared;
        let mut request = self.exchange.with(|exchange| {
            headers::build_request(upstream, &pick.endpoint, exchange, body, keep)
        });
        if let Some(upgrade) = self.upgrade {
            upgrade.ask(request.headers_mut());
        }
        request
    }

    /// A request that was made for another endpoint goes to this one.
    pub(super) fn address(&self, pick: &Pick, request: &mut Request<Body>) {
        let (upstream, endpoint) = (&self.upstream.shared, &pick.endpoint);
        self.exchange.with(|exchange| {
            headers::set_host(upstream, endpoint, exchange, request.headers_mut());
        });
    }

    /// Pass on an interim answer (RFC 9110 section 15.2), which no filter sees.
    pub(super) fn inform(&self, mut interim: InterimResponse) {
        let seen = HeaderFlags::of_response(&interim.headers);
        strip(&mut interim.headers, seen);
        self.client.send_interim(interim.status, &interim.headers);
    }

    /// The exchange took longer than it may. `endpoint`: whose answer it waited for.
    pub(super) fn overdue(&self, endpoint: String) -> AttemptError {
        match self.deadline {
            true => AttemptError::Deadline { endpoint },
            false => AttemptError::TotalTimeout { endpoint },
        }
    }

    /// There is no room for the request.
    pub(super) fn full(&self, why: QueueError) -> AttemptError {
        self.upstream.shared.state.count_overload();
        AttemptError::Overloaded {
            upstream: self.upstream.name.to_string(),
            why,
        }
    }
}

/// The time-outs of one exchange: its upstream's, lowered by its route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For a new connection, its TLS handshake included.
    pub(crate) connect: Duration,
    /// From the request's end to the response's head.
    pub(crate) first_byte: Duration,
    /// Between two chunks of a body. None: for ever.
    pub(crate) idle: Option<Duration>,
    /// From when the request comes to the upstream to the response's end. None: for ever.
    pub(crate) total: Option<Duration>,
}

impl Timeouts {
    /// Those of an upstream, lowered by a route.
    #[must_use]
    pub(crate) fn new(upstream: &UpstreamConfig, route: &RouteTimeouts) -> Self {
        let least = |one, other| [one, other].into_iter().flatten().min();
        let lowered = |own: Duration, other: Option<Duration>| own.min(other.unwrap_or(own));
        let total = least(upstream.total_timeout, route.total);
        let connect = lowered(upstream.connect_timeout, route.connect);
        Self {
            connect: lowered(connect, total),
            first_byte: lowered(upstream.first_byte_timeout, route.first_byte),
            idle: least(upstream.idle_timeout, route.idle),
            total,
        }
    }
}
