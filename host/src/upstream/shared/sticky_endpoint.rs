//! The endpoint that a client is kept on, and the token that keeps it there.
//!
//! The form of a token is in [`crate::upstream::sticky`]. Deliberately not here: the pick, which has
//! the last word.

use super::Upstream;
use crate::exchange::Exchange;
use crate::model::head::ResponseHead;
use crate::runtime::clock::Timestamp;
use crate::upstream::endpoint::state::EndpointState;
use crate::upstream::endpoint_set::{EndpointSet, UpstreamEndpoint};
use crate::upstream::sticky::StickyToken;

/// The endpoint that a client is kept on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StickyEndpoint {
    /// The endpoint, by its identity.
    pub(crate) identity: u64,
    /// Whether it takes this client although it takes no others.
    pub(crate) keeps_client: bool,
    /// When the client's token ends. Seconds since 1970.
    end_s: u64,
}

impl Upstream {
    /// The endpoint that a request's client is kept on, if it says so.
    #[must_use]
    pub(crate) fn sticky_endpoint(
        &self,
        members: &EndpointSet,
        exchange: &Exchange,
    ) -> Option<StickyEndpoint> {
        let sticky = self.sticky.as_ref()?;
        let now = Timestamp::now();
        let token = sticky.requested(&exchange.request.headers, now.wall_ms)?;
        let index = *members.by_digest.get(&token.endpoint)?;
        let endpoint = members.endpoints.get(index)?;
        Some(StickyEndpoint {
            identity: endpoint.state.identity(),
            keeps_client: sticky.keeps_draining_clients() && self.keeps_clients(endpoint, now),
            end_s: token.end_s,
        })
    }

    /// Whether an endpoint that drains or has weight 0 is well enough for the clients that it has.
    fn keeps_clients(&self, endpoint: &UpstreamEndpoint, now: Timestamp) -> bool {
        let is_usual = endpoint.weight > 0 && endpoint.state.load.share() > 0;
        let limit = self.config.drain_timeout;
        !is_usual
            && endpoint
                .state
                .health(|health| health.keeps_clients(limit, now))
    }

    /// Give a client the token of its endpoint, if it has none for it, or if a new one would be valid for longer:
    /// a token never ends while it is used.
    pub(crate) fn set_sticky_token(
        &self,
        wanted: Option<StickyEndpoint>,
        endpoint: &EndpointState,
        response: &mut ResponseHead,
    ) {
        let Some(sticky) = &self.sticky else { return };
        let end_s = sticky.next_end_s(Timestamp::now().wall_ms);
        let is_current = wanted
            .is_some_and(|wanted| wanted.end_s >= end_s && wanted.identity == endpoint.identity());
        if !is_current {
            let endpoint = sticky.digest(&endpoint.name);
            sticky.write_token(StickyToken { endpoint, end_s }, &mut response.headers);
        }
    }
}
