//! The request of an attempt: as it goes out first, and as it goes out again.
//!
//! Promises: what is sent again is the same request, for another endpoint or connection; a body is
//! kept only where it may have to be sent again. Deliberately not here: whether it is.

use http::Request;

use super::next::{Ended, Trials};
use super::pick::Pick;
use super::replay::ReplayBody;
use super::{Attempt, Sent};
use crate::config::UpstreamProtocol;
use crate::exchange::ExchangeCell;
use crate::http::body::Body;
use crate::upstream::connection::{EndpointConnection, http2_request};
use crate::upstream::headers;

/// What is left of a request that was sent.
pub(super) enum Kept {
    /// Its body is kept, and its head is in the exchange.
    Body,
    /// It had no body, and its head is in the exchange.
    Head,
    /// All of it.
    All(Box<Request<Body>>),
}

impl Attempt<'_> {
    /// The request as it goes out first.
    pub(super) fn request(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        body: Body,
        trials: &mut Trials,
    ) -> Request<Body> {
        let plan = &*self.upstream.shared;
        let mut body = body;
        trials.keeps_head = self.keep_head;
        trials.has_body = !body.is_empty();
        // What an endpoint of HTTP/2 turns away unread is sent again whatever the method.
        let may_come_back = || {
            plan.config.protocol == UpstreamProtocol::Http2
                || pick
                    .endpoint()
                    .is_some_and(|endpoint| endpoint.pool.uses_http2())
                || held.with(|exchange| exchange.request.method.is_idempotent())
        };
        if trials.has_body && may_come_back() {
            // Its bytes cannot be found again on the connection, so that all of it is kept.
            trials.keeps_head = true;
            let most = plan.config.retries.max_body;
            let replay = ReplayBody::new(std::mem::take(&mut body), most);
            body = replay.restart().unwrap_or_default();
            trials.replay = Some(replay);
        }
        self.outgoing(held, pick, body, trials.keeps_head)
    }

    fn outgoing(&self, held: &ExchangeCell, pick: &Pick, body: Body, keep: bool) -> Request<Body> {
        let plan = &*self.upstream.shared;
        let mut request = held.with(|exchange| match pick.target() {
            Some(target) => headers::build_request(plan, target, exchange, body, keep),
            None => Request::new(body),
        });
        if let Some(upgrade) = self.upgrade {
            upgrade.ask(request.headers_mut());
        }
        request
    }

    /// What can be sent again of a request that was sent, if all of it can.
    pub(super) fn kept(trials: &Trials, line: Option<&mut EndpointConnection>) -> Option<Kept> {
        match &trials.replay {
            // Restarted when it is sent: from then on the earlier reader gets nothing.
            Some(replay) => replay.is_complete().then_some(Kept::Body),
            None if trials.has_body => None,
            None if trials.keeps_head => Some(Kept::Head),
            None => line?.take_sent_request().map(Box::new).map(Kept::All),
        }
    }

    /// The request of an attempt that is over, for this endpoint.
    pub(super) fn request_again(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        ended: &mut Ended,
    ) -> Option<Box<Request<Body>>> {
        let mut request = match (&mut ended.sent, ended.kept.take()) {
            // Nothing of it was sent, nor of its body: it goes as it is.
            (Sent::Unsent(request, _), _) => {
                std::mem::replace(&mut **request, Request::new(Body::Empty))
            }
            (Sent::Answered(_) | Sent::Failed(_), kept) => self.again(held, pick, trials, kept?),
        };
        if ended.shared {
            // A request is as HTTP/1.1 wants it, whatever it was to be sent on.
            http2_request::to_http1(&mut request);
            if let Some(upgrade) = self.upgrade {
                upgrade.take_back(&mut request);
            }
        }
        Some(Box::new(self.address(pick, request)))
    }

    /// A request that was sent once more, for this endpoint.
    fn again(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &Trials,
        kept: Kept,
    ) -> Request<Body> {
        match kept {
            Kept::All(request) => *request,
            Kept::Head => self.outgoing(held, pick, Body::Empty, true),
            Kept::Body => {
                let body = trials.replay.as_ref().and_then(ReplayBody::restart);
                self.outgoing(held, pick, body.unwrap_or_default(), true)
            }
        }
    }

    /// A request that was made for another endpoint.
    fn address(&self, pick: &Pick, mut request: Request<Body>) -> Request<Body> {
        if let Some(target) = pick.target() {
            headers::set_host(&self.upstream.shared, target, request.headers_mut());
        }
        request
    }
}
