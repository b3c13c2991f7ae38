//! All that a dispatch was given, and that stays the same over its attempts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;

use super::pick::Pick;
use super::timeouts::Timeouts;
use super::upgrade::Upgrade;
use crate::config::UpstreamProtocol;
use crate::exchange::ExchangeCell;
use crate::http::body::Body;
use crate::http::client_connection::ClientConnection;
use crate::http::header_flags::HeaderFlags;
use crate::http::headers::strip;
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
    /// Whether anybody asks how long it took: a filter of the route, or the access log.
    pub(crate) is_timed: bool,
    /// When the request came to the upstream.
    pub(crate) came: Instant,
}

impl DispatchContext<'_> {
    pub(super) fn now(&self) -> u64 {
        self.watch.shared.clock.now()
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
        headers::set_host(&self.upstream.shared, &pick.endpoint, request.headers_mut());
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
