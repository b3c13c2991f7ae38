//! The spine: a request comes in, a response goes out.
//!
//! [`handle`] always answers. [`RunningExchange::carry`] names the stops in order, and may fail at any
//! of them: [`crate::route`], [`crate::chain`], [`crate::upstream`]. [`RunningExchange::finish`] ends
//! every exchange, when the response's body was given to the connection or was cut.

mod answer;
pub(crate) mod api_finder;
mod end;
mod find;
pub(crate) mod gateway;
pub(crate) mod generation;
pub(crate) mod load;
mod log;
mod options;
mod rates;
pub(crate) mod response_fields;
mod tunnel;
pub(crate) mod worker;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use http::{Method, Response};

pub(crate) use answer::ResponseBody;
pub(crate) use tunnel::{Tunnel, TunnelSlot};

use crate::chain::{ChainEnd, Passage, put_error};
use crate::config::{self, RouteEnd};
use crate::error::{Code, ErrorFormat, RequestError, grpc};
use crate::exchange::{Exchange, ExchangeCell};
use crate::http::body::Body;
use crate::http::header_flags::HeaderFlags;
use crate::model::head::ResponseHead;
use crate::runtime::active_requests::ActivePermit;
use crate::runtime::panics;
use crate::upstream::dispatch::{Dispatch, DispatchContext, upgrade};
use crate::upstream::{Timeouts, hash_key, headers};
use gateway::Route;
use generation::Generation;
use worker::WorkerConnection;

/// A request that has arrived.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) exchange: Box<Exchange>,
    pub(crate) body: Body,
    /// The flags of the fields that matter to the gateway.
    pub(crate) header_flags: HeaderFlags,
    /// The error of a head that is refused.
    pub(crate) head_check: Result<(), Code>,
    /// The protocol that it asks its connection to switch to.
    pub(crate) upgrade: Option<Box<upgrade::Upgrade>>,
    /// Whether it is an HTTP/1.0 request.
    pub(crate) is_http10: bool,
}

/// Answer a request. If it becomes a tunnel, the tunnel goes into the slot for an HTTP/1.1 connection, and
/// into a task for an HTTP/2 stream.
///
/// # Errors
///
/// None: every failure becomes a response.
pub(crate) async fn handle(
    connection: Rc<WorkerConnection>,
    arrival: Arrival,
    slot: TunnelSlot,
) -> Result<Response<ResponseBody>, Infallible> {
    let mut run = RunningExchange::begin(connection, arrival.exchange, arrival.header_flags);
    run.upgrade = arrival.upgrade;
    run.is_http10 = arrival.is_http10;
    let mut body = arrival.body;
    let answer = match arrival.head_check {
        Ok(()) => run.carry_caught(&mut body).await,
        Err(code) => Err(code.into()),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => run.refuse(&error, &ErrorFormat::default()),
    };
    // Anything may follow a refused head: it is not read, and the connection closes.
    if let (Body::Client(unread), Ok(())) = (&mut body, arrival.head_check) {
        unread.drain().await;
    }
    drop(body);
    Ok(answer::respond(run, answer, &slot))
}

/// An exchange on its way, from its head to its end. However it ends (answered, cut, or dropped since the
/// client closed), dropping it finishes it.
#[derive(Debug)]
struct RunningExchange {
    connection: Rc<WorkerConnection>,
    generation: Rc<Generation>,
    exchange: ExchangeCell,
    /// Its way through the chain, if the route has one.
    passage: Option<Rc<Passage>>,
    /// The index of its route, once there is one.
    route: Option<usize>,
    upgrade: Option<Box<upgrade::Upgrade>>,
    is_http10: bool,
    /// The flags of the request's fields.
    header_flags: HeaderFlags,
    is_options: bool,
    /// Its permit, if it was let in.
    permit: Option<ActivePermit>,
    sent: u64,
    ended: bool,
}

impl RunningExchange {
    fn begin(
        connection: Rc<WorkerConnection>,
        mut exchange: Box<Exchange>,
        seen: HeaderFlags,
    ) -> Self {
        connection.stats().requests_active.add(1);
        let generation = connection.worker.generation();
        let trust = headers::ForwardingTrust {
            proxies: &generation.gateway.trusted_proxies,
            fields: &generation.gateway.client_fields,
            rules: generation.gateway.forwarding,
        };
        headers::forward(&connection, trust, seen, &mut exchange);
        Self {
            generation,
            connection,
            is_options: exchange.request.method == Method::OPTIONS,
            exchange: ExchangeCell::new(exchange),
            passage: None,
            route: None,
            upgrade: None,
            is_http10: false,
            header_flags: seen,
            permit: None,
            sent: 0,
            ended: false,
        }
    }

    /// The same as [`Self::carry`]; a panic on the way is an error of this request alone.
    async fn carry_caught(&mut self, body: &mut Body) -> Result<Body, RequestError> {
        let answer = {
            let mut carried = pin!(self.carry(body));
            poll_fn(|context| panics::poll_caught(carried.as_mut(), context)).await
        };
        answer.unwrap_or_else(|panic| match self.exchange.is_present() {
            true => Err(RequestError::with_source(Code::Internal, panic.message())),
            // The exchange is lost, and with it the data for a response.
            false => panic.resume(),
        })
    }

    /// The stops of a request, in order: route, chain in, upstream, chain out. The response's head stays in
    /// the exchange, and the rest of the request's body where it is.
    async fn carry(&mut self, body: &mut Body) -> Result<Body, RequestError> {
        self.admit()?;
        let generation = Rc::clone(&self.generation);
        if let Some(redirect) = &self.connection.listener.https_redirect
            && let Some(head) = self
                .exchange
                .with(|e| answer::https_redirection(*redirect, e))?
        {
            self.exchange
                .with(|exchange| exchange.response = Some(head));
            return Ok(Body::Empty);
        }
        if self.is_options
            && let Some(head) = self.exchange.with(|e| options::answer(&generation, e))?
        {
            self.exchange
                .with(|exchange| exchange.response = Some(head));
            return Ok(Body::Empty);
        }
        let found = match self
            .exchange
            .with(|exchange| find::route(&generation, exchange))
        {
            Ok(found) => found,
            Err(error) => {
                let words = self
                    .exchange
                    .with(|exchange| find::words(&generation, exchange));
                return Ok(self.refuse(&error, words.unwrap_or(&ErrorFormat::default())));
            }
        };
        self.route = Some(found.index);
        let chain = match found.is_preflight {
            true => generation
                .preflights
                .get(found.index)
                .and_then(Option::as_ref),
            false => generation.chains.get(found.index),
        };
        let (Some(route), Some(chain)) = (generation.gateway.routes.get(found.index), chain) else {
            return Err(Code::Internal.into());
        };
        if self.header_flags.has(HeaderFlags::VIA)
            && let Some(error) = self
                .exchange
                .with(|exchange| find::check_loop(route, exchange))
        {
            return Ok(self.refuse(&error, &route.words));
        }
        if let (Some(limit), Body::Client(body)) = (route.max_body, &mut *body)
            && let Err(error) = body.limit(limit)
        {
            let error = RequestError::with_source(Code::BodyTooLarge, error);
            return Ok(self.refuse(&error, &route.words));
        }
        if chain.is_empty() {
            let ended = self.answer_at_route_end(route, false, body).await;
            return Ok(ended.unwrap_or_else(|error| self.refuse(&error, &route.words)));
        }
        let passage = Passage::new(Rc::clone(chain), self.exchange.clone());
        self.passage = Some(Rc::clone(&passage));
        let answered = match passage.request(body).await {
            // The filters that answer preflights let it pass; the others must not see it.
            Ok(()) if found.is_preflight => Err(Code::NoRoute.into()),
            Ok(()) => {
                self.answer_at_route_end(route, chain.keeps_request(), body)
                    .await
            }
            Err(ChainEnd::Answer(refusal)) => {
                let body = passage.put_refusal(refusal);
                return Ok(passage.response(body, true).await);
            }
            Err(ChainEnd::Failed(error)) => Err(error),
        };
        let (body, made) = match answered {
            Ok(body) => (
                body,
                !matches!(route.end, RouteEnd::Upstream(_) | RouteEnd::Split(_)),
            ),
            // If a filter ended the body on its way up, that is the cause, and not the endpoint's response to
            // the broken request.
            Err(error) => match passage.take_body_end() {
                Some(ChainEnd::Answer(refusal)) => (passage.put_refusal(refusal), true),
                Some(ChainEnd::Failed(error)) => (self.refuse(&error, &route.words), true),
                None => (self.refuse(&error, &route.words), true),
            },
        };
        Ok(passage.response(body, made).await)
    }

    /// The end of the route: an upstream, or a response of its own. The shared rates are charged before, if
    /// no filter charged them.
    async fn answer_at_route_end(
        &self,
        route: &Route,
        keep_head: bool,
        body: &mut Body,
    ) -> Result<Body, RequestError> {
        if !route.info.rates.is_empty() {
            let services = &self.generation.gateway.services;
            self.exchange
                .with(|exchange| rates::take(services, &route.info, exchange))?;
        }
        match &route.end {
            RouteEnd::Upstream(index) => self.send(route, *index, keep_head, body).await,
            RouteEnd::Split(split) => {
                let index = self
                    .exchange
                    .with(|exchange| choose_upstream(route, split, exchange));
                self.send(route, index.ok_or(Code::Internal)?, keep_head, body)
                    .await
            }
            RouteEnd::Respond(fixed) => {
                let mut head = ResponseHead {
                    status: fixed.status,
                    headers: fixed.headers.clone(),
                };
                Ok(self.exchange.with(|exchange| {
                    let is_call = exchange.grpc && !grpc::is_grpc_response(&head.headers);
                    let body = match is_call {
                        true => Body::Empty,
                        false => Body::full(fixed.body.clone()),
                    };
                    if is_call {
                        grpc::answer(fixed.status, "", &fixed.body, &mut head);
                    }
                    exchange.response = Some(head);
                    body
                }))
            }
            RouteEnd::Redirect(redirect) => self.exchange.with(|exchange| {
                let base = exchange
                    .route
                    .as_ref()
                    .and_then(|route| route.base.as_ref());
                let target = &exchange.request.target;
                let mut head = answer::redirection(redirect, base, target)?;
                if exchange.grpc {
                    grpc::answer(redirect.status, "", &[], &mut head);
                }
                exchange.response = Some(head);
                Ok(Body::Empty)
            }),
        }
    }

    /// To the route's upstream, or to the one that a filter named.
    async fn send(
        &self,
        route: &Route,
        upstream: usize,
        keep_head: bool,
        body: &mut Body,
    ) -> Result<Body, RequestError> {
        let mut context = self.dispatch_context(route, upstream, keep_head)?;
        let mut body = std::mem::take(body);
        if let Some(passage) = &self.passage {
            body = passage.guard_trailers(body);
        }
        if context.upgrade.is_some() && !body.is_empty() {
            let gathered = Box::pin(upgrade::gather(body)).await;
            body = match gathered.map_err(|error| RequestError::with_source(error.code(), error))? {
                upgrade::Gathered::Whole(whole) => whole,
                upgrade::Gathered::Longer(body) => {
                    context.upgrade = None;
                    body
                }
            };
        }
        if self.passage.is_some() || self.upgrade.is_some() {
            context.came = Instant::now();
        }
        Ok(Dispatch::new(&context).run(body).await?)
    }

    /// Where the request goes, and within which time.
    fn dispatch_context(
        &self,
        route: &Route,
        index: usize,
        keep_head: bool,
    ) -> Result<DispatchContext<'_>, Code> {
        let upstreams = &self.generation.upstreams;
        let (upstream, hint, came) = self.exchange.with(|exchange| {
            let hint = exchange.hint();
            let upstream = match &hint.upstream {
                None => upstreams.get(index),
                Some(name) => upstreams.iter().find(|upstream| upstream.name == *name),
            };
            (upstream, hint.timeout, exchange.arrived)
        });
        let upstream = upstream.ok_or(Code::Internal)?;
        let mut timeouts = Timeouts::new(&upstream.shared.config, &route.timeouts);
        timeouts.first_byte =
            hint.map_or(timeouts.first_byte, |hint| hint.min(timeouts.first_byte));
        let deadline = self.exchange.with(|exchange| exchange.grpc_deadline());
        let deadline = deadline.filter(|end| timeouts.total.is_none_or(|total| *end < total));
        timeouts.total = deadline.or(timeouts.total);
        let is_logged = self.connection.worker.access.is_some();
        Ok(DispatchContext {
            upstream,
            exchange: &self.exchange,
            watch: &self.connection.watch,
            client: &self.connection,
            timeouts,
            deadline: deadline.is_some(),
            upgrade: self.upgrade.as_deref(),
            keep_head: keep_head || is_logged,
            // A reading of the clock saved, if nothing comes between.
            came,
        })
    }

    /// Answer with an error.
    fn refuse(&self, error: &RequestError, words: &ErrorFormat) -> Body {
        self.connection.stats().refused(error.code());
        self.exchange.with(|exchange| {
            log::log_refused(&self.connection.worker, exchange, error);
            put_error(exchange, error, words)
        })
    }
}

/// The upstream of a route with several that this request goes to.
fn choose_upstream(
    route: &Route,
    split: &config::RouteSplit,
    exchange: &Exchange,
) -> Option<usize> {
    let weights = route.split.as_ref()?;
    let key = split
        .on
        .as_ref()
        .and_then(|on| hash_key::find_hash(exchange, on));
    let index = match key {
        Some(key) => weights.pick_by(key),
        None => weights.pick(fastrand::u64(..)),
    };
    split.groups.get(index).map(|(upstream, _)| *upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of an `async fn`'s future. Bytes.
    fn size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_request_stays_small() {
        // hyper copies it once for each request.
        let size = size(handle);
        println!("{size} bytes");
        assert!(size <= 1712, "{size} bytes");
    }
}
