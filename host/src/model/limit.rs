//! The limits on clients and on the load of the gateway: one word each, in the log and in the metrics.
//!
//! Before it: the listener's side and the spine, which hold the limits. After it: one series of
//! `windlass_limits_hit_total` each. Deliberately not here: the limits themselves, and those that have a metric
//! of their own.

/// A limit that a client or the whole gateway has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitKind {
    /// `max_connections_per_client` of a listener.
    ConnectionsPerClient,
    /// `max_requests_per_connection` of a listener.
    RequestsPerConnection,
    /// `min_body_rate` of a listener.
    BodyRate,
    /// `min_response_rate` of a listener.
    ResponseRate,
    /// `max_active_requests` of the server.
    ActiveRequests,
    /// `max_memory` of the server.
    Memory,
}

impl LimitKind {
    pub(crate) const ALL: [Self; 6] = [
        Self::ConnectionsPerClient,
        Self::RequestsPerConnection,
        Self::BodyRate,
        Self::ResponseRate,
        Self::ActiveRequests,
        Self::Memory,
    ];

    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsPerClient => "connections_per_client",
            Self::RequestsPerConnection => "requests_per_connection",
            Self::BodyRate => "body_rate",
            Self::ResponseRate => "response_rate",
            Self::ActiveRequests => "active_requests",
            Self::Memory => "memory",
        }
    }
}
