//! How long an exchange with an endpoint may take, and its parts.

use std::time::Duration;

use crate::config::{RouteTimeouts, UpstreamConfig};

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
        let least = |one: Option<Duration>, other: Option<Duration>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let lowered = |own: Duration, other: Option<Duration>| other.map_or(own, |o| own.min(o));
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
