//! The request of a dispatch: as it goes out first, and as it goes out again.
//!
//! Promises: what is sent again is the same request, for another endpoint or connection; a body is
//! kept only where it may have to be sent again. Deliberately not here: whether it is.

use http::Request;

use super::context::DispatchContext;
use super::pick::Pick;
use super::replay::ReplayBody;
use crate::config::UpstreamProtocol;
use crate::http::body::Body;
use crate::upstream::connection::EndpointConnection;

/// The part of a request that outlives its attempts.
#[derive(Debug, Default)]
pub(super) struct OriginalRequest {
    /// Whether its head is still in the exchange.
    pub(super) keeps_head: bool,
    has_body: bool,
    replay: Option<ReplayBody>,
}

/// The part that is left of a request that was sent.
pub(super) enum KeptRequest {
    /// Its body is kept, and its head is in the exchange.
    Body,
    /// It had no body, and its head is in the exchange.
    Head,
    /// All of it.
    All(Box<Request<Body>>),
}

impl OriginalRequest {
    /// The request as it goes out first, and what is kept of it.
    pub(super) fn first(
        context: &DispatchContext<'_>,
        pick: &Pick,
        body: Body,
    ) -> (Self, Request<Body>) {
        let mut original = Self {
            keeps_head: context.keep_head,
            has_body: !body.is_empty(),
            replay: None,
        };
        let outgoing = match original.has_body && may_come_back(context, pick) {
            false => body,
            true => {
                // Its bytes cannot be found again on the connection, so that all of it is kept.
                original.keeps_head = true;
                let limit = context.upstream.shared.config.retries.max_body;
                let replay = original.replay.insert(ReplayBody::new(body, limit));
                replay.restart().unwrap_or_default()
            }
        };
        let request = context.outgoing(pick, outgoing, original.keeps_head);
        (original, request)
    }

    /// Whether all that was read of its body is kept.
    pub(super) fn keeps_body(&self) -> bool {
        self.replay.as_ref().is_none_or(ReplayBody::is_complete)
    }

    /// Whether all of it can be sent again while it is on its way. `has_request`: its connection has a
    /// request without a body.
    pub(super) fn is_kept(&self, has_request: bool) -> bool {
        match &self.replay {
            Some(replay) => replay.is_complete(),
            None => self.keeps_head || has_request,
        }
    }

    /// The request that was sent, to be sent again, if all of it can.
    pub(super) fn kept(&self, connection: Option<&mut EndpointConnection>) -> Option<KeptRequest> {
        match &self.replay {
            // Restarted when it is sent: from then on the earlier reader gets nothing.
            Some(replay) => replay.is_complete().then_some(KeptRequest::Body),
            None if self.has_body => None,
            None if self.keeps_head => Some(KeptRequest::Head),
            None => connection?
                .take_sent_request()
                .map(Box::new)
                .map(KeptRequest::All),
        }
    }

    /// A request that was sent once more, for this endpoint.
    pub(super) fn again(
        &self,
        context: &DispatchContext<'_>,
        pick: &Pick,
        kept: KeptRequest,
    ) -> Request<Body> {
        let body = match kept {
            KeptRequest::All(request) => return *request,
            KeptRequest::Head => Body::Empty,
            KeptRequest::Body => {
                let replay = self.replay.as_ref();
                replay.and_then(ReplayBody::restart).unwrap_or_default()
            }
        };
        context.outgoing(pick, body, true)
    }

    /// There is an answer: nothing is sent again.
    pub(super) fn stop_keeping(&self) {
        if let Some(replay) = &self.replay {
            replay.stop_keeping();
        }
    }
}

/// Whether a request with a body may have to be sent again. An endpoint of HTTP/2 may turn it away
/// unread whatever the method.
fn may_come_back(context: &DispatchContext<'_>, pick: &Pick) -> bool {
    context.upstream.shared.config.protocol == UpstreamProtocol::Http2
        || pick.endpoint.pool.is_http2.get()
        || context.is_idempotent()
}
