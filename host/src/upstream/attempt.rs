//! One exchange with an upstream: pick, take a connection, send, wait for the head; and again.
//!
//! An unused connection may have been closed by the endpoint at any time. If hyper gives the
//! request back, nothing of it was sent, and it goes out on another connection. If it may have
//! been sent it is repeated only when that does no harm: an idempotent method (RFC 9110 section
//! 9.2.2) whose whole body can be sent again, to the same endpoint, once.
//!
//! What fails otherwise is tried on an endpoint that was not tried, as the upstream's `retries` say:
//! after a fault that sent nothing whatever the method; after others and chosen statuses where it
//! does no harm, and as far as the retry budget goes.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::body::{Loan, UpstreamBody};
use super::connection::{Connection, Outcome};
use super::fault::Fault;
use super::queue::{Overload, Turn};
use super::replay::Tape;
use super::{Endpoint, EndpointPlan, Upstream, View, client, headers, key};
use crate::balance::{Choice, Picked};
use crate::body::Body;
use crate::config::{BalancePolicy, RetryOn};
use crate::context::{Exchange, Held, ResponseHead};
use crate::watch::{Wait, Watch, milliseconds};

/// What an attempt needs besides the exchange.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Where it goes.
    pub upstream: &'a Upstream,
    /// The client connection's time-outs.
    pub watch: &'a Arc<Watch>,
    /// From the request's end to the response's head.
    pub first_byte: Duration,
    /// Whether the request's head is looked at after it was sent.
    pub keep_head: bool,
}

/// What came of one sending.
enum Sent {
    /// The response's head is in the exchange.
    Answered(Incoming),
    /// Nothing was sent; here is the request.
    Unsent(Box<Request<Body>>, Fault),
    Failed(Fault),
}

/// An endpoint that was picked.
struct Pick {
    turn: Turn,
    view: Rc<View>,
    place: usize,
}

/// What an exchange needs for more than one attempt.
#[derive(Default)]
struct Trials {
    tried: SmallVec<[usize; 4]>,
    /// The membership that those places are of.
    version: u64,
    /// Where the client belongs, as it says.
    wanted: Option<u64>,
    tape: Option<Tape>,
    /// Whether the request's head is still in the exchange.
    keeps_head: bool,
}

impl Pick {
    fn endpoint(&self) -> Option<&Rc<Endpoint>> {
        self.view.endpoints.get(self.place)
    }

    fn target(&self) -> Option<&EndpointPlan> {
        self.view.members.endpoints.get(self.place)
    }

    fn name(&self) -> String {
        self.endpoint()
            .map_or_else(String::new, |endpoint| endpoint.name.to_string())
    }
}

impl Attempt<'_> {
    /// Send the exchange's request and wait for the response's head, which goes into the
    /// exchange; its body is returned. The body of the request is sent while the response comes.
    ///
    /// # Errors
    ///
    /// No endpoint takes the request, or none answered it: see [`Fault`].
    pub async fn run(&self, held: &Held, body: Body) -> Result<Body, Fault> {
        // One `async fn` for the whole way, since each one that another awaits is copied into
        // it whole, for every request. What is rare is boxed.
        self.upstream.budget.request(self.now());
        let begin = Instant::now();
        let mut trials = Trials::default();
        let mut pick = match held.with(|exchange| self.pick(exchange, &mut trials)) {
            Some(Ok(pick)) => pick,
            Some(Err(fault)) => return Err(fault),
            None => Box::pin(self.wait(held, &mut trials)).await?,
        };
        let mut request = self.request(held, &pick, body, &mut trials);
        let (connection, incoming) = loop {
            let repeatable = request.body().is_empty() && request.method().is_idempotent();
            let mut fresh = false;
            let sent = loop {
                let mut connection = match self.unused(&pick, fresh) {
                    Some(connection) if connection.is_inline() => connection,
                    other => match Box::pin(self.other(&pick, other, fresh)).await {
                        Ok(connection) => connection,
                        Err(fault) => break (None, Sent::Unsent(Box::new(request), fault)),
                    },
                };
                let reused = connection.reused;
                self.begin(&pick, begin, &trials);
                let sent = {
                    let mut response = pin!(connection.send(request));
                    std::future::poll_fn(|cx| {
                        self.poll_sent(cx, &mut connection, response.as_mut(), held, &pick)
                    })
                    .await
                };
                self.watch.answer_began();
                request = match sent {
                    Sent::Unsent(request, _) if reused => *request,
                    Sent::Failed(Fault::Closed { .. }) if reused && repeatable && !fresh => {
                        fresh = true;
                        match connection.sent_request() {
                            Some(request) => request,
                            None => break (Some(connection), sent),
                        }
                    }
                    sent => break (Some(connection), sent),
                };
                self.watch.common.stats.retries.add(1);
            };
            self.report(held, &pick, &sent.1);
            match sent {
                (Some(connection), Sent::Answered(incoming))
                    if !self.is_retried_status(held, &trials) =>
                {
                    break (connection, incoming);
                }
                (connection, sent) => {
                    let next = self.next(held, &mut pick, &mut trials, connection, sent, begin);
                    match next {
                        Next::Send(again) => request = *again,
                        Next::Answer(connection, incoming) => break (*connection, incoming),
                        Next::Fail(fault) => return Err(fault),
                    }
                }
            }
        };
        let elapsed = u64::try_from(begin.elapsed().as_micros()).ok();
        held.with(|exchange| {
            exchange.outcome.upstream_us = elapsed;
            if let (Some(target), Some(response)) = (pick.target(), &mut exchange.response) {
                self.upstream.plan.keep(trials.wanted, target, response);
            }
        });
        Ok(self.response_body(pick, connection, incoming))
    }

    fn now(&self) -> u64 {
        self.watch.common.clock.now()
    }

    /// An endpoint for this request. None: all that could take it have no room.
    fn pick(&self, exchange: &mut Exchange, trials: &mut Trials) -> Option<Result<Pick, Fault>> {
        let plan = &*self.upstream.plan;
        if plan.queue.as_ref().is_some_and(|queue| queue.is_in_use()) {
            return None;
        }
        self.pick_now(exchange, trials)
    }

    fn pick_now(
        &self,
        exchange: &mut Exchange,
        trials: &mut Trials,
    ) -> Option<Result<Pick, Fault>> {
        let plan = &*self.upstream.plan;
        let view = self.upstream.view();
        if trials.version != view.members.version {
            trials.version = view.members.version;
            trials.tried.clear();
        }
        let balance = &plan.config.balance;
        let hashes = balance.policy == BalancePolicy::ConsistentHash;
        if trials.tried.is_empty() {
            trials.wanted = plan.wanted(&view.members, exchange);
        }
        let picked = view.members.balancer.pick(&Choice {
            exclude: &trials.tried,
            labels: &exchange.hint.labels,
            random: fastrand::u64(..),
            hash: match hashes {
                true => key::of(exchange, &balance.hash_on),
                false => None,
            },
            sticky: trials.wanted,
        });
        let lease = match picked {
            Picked::Endpoint(lease) => lease,
            Picked::Full if plan.queue.is_some() => return None,
            Picked::Full | Picked::None => {
                return Some(Err(Fault::NoEndpoint {
                    upstream: plan.config.name.to_string(),
                }));
            }
        };
        let place = lease.endpoint();
        let turn = Turn::new(lease, plan.queue.as_ref());
        exchange.outcome.upstream = Some(Arc::clone(&self.upstream.name));
        if let Some(endpoint) = view.endpoints.get(place) {
            exchange.outcome.endpoint = Some(Arc::clone(&endpoint.name));
        }
        trials.tried.push(place);
        Some(Ok(Pick { turn, view, place }))
    }

    /// Wait for room.
    async fn wait(&self, held: &Held, trials: &mut Trials) -> Result<Pick, Fault> {
        let plan = &*self.upstream.plan;
        let full = |why| Fault::Overloaded {
            upstream: plan.config.name.to_string(),
            why,
        };
        let Some(queue) = &plan.queue else {
            return Err(full(Overload::QueueFull));
        };
        let picked = queue
            .wait(&plan.config.limits, || {
                held.with(|exchange| self.pick_now(exchange, trials))
            })
            .await;
        picked.map_err(full)?
    }

    /// The request as it goes out first.
    fn request(&self, held: &Held, pick: &Pick, body: Body, trials: &mut Trials) -> Request<Body> {
        let retries = &self.upstream.plan.config.retries;
        let idempotent = held.with(|exchange| exchange.request.method.is_idempotent());
        let mut body = body;
        trials.keeps_head = self.keep_head;
        if retries.attempts > 1 && !body.is_empty() && idempotent {
            // Its bytes cannot be found again on the connection, so that all of it is kept.
            trials.keeps_head = true;
            let tape = Tape::new(std::mem::take(&mut body), retries.max_body);
            body = tape.play().unwrap_or_default();
            trials.tape = Some(tape);
        }
        self.outgoing(held, pick, body, trials.keeps_head)
    }

    fn outgoing(&self, held: &Held, pick: &Pick, body: Body, keep: bool) -> Request<Body> {
        let plan = &*self.upstream.plan;
        held.with(|exchange| match pick.target() {
            Some(target) => headers::outgoing(plan, target, exchange, body, keep),
            None => Request::new(body),
        })
    }

    fn begin(&self, pick: &Pick, begin: Instant, trials: &Trials) {
        self.watch.common.stats.attempts.add(1);
        if let Some(endpoint) = pick.endpoint() {
            endpoint.tally.attempts.add(1);
        }
        let config = &self.upstream.plan.config;
        let retries = &config.retries;
        let mut first_byte = self.first_byte;
        if trials.tried.len() > 1 {
            first_byte = first_byte.saturating_sub(begin.elapsed());
        }
        if let Some(longest) = retries.try_timeout
            && !self.is_last(trials)
        {
            first_byte = first_byte.min(longest);
        }
        self.watch.sent(first_byte, config.idle_timeout);
    }

    fn is_last(&self, trials: &Trials) -> bool {
        trials.tried.len() >= self.upstream.plan.config.retries.attempts as usize
    }

    fn unused(&self, pick: &Pick, fresh: bool) -> Option<Connection> {
        if fresh {
            return None;
        }
        pick.endpoint()?.pool.take(self.now())
    }

    /// The slower ways to a connection: an unused one that a task drives, or a new one.
    async fn other(
        &self,
        pick: &Pick,
        mut unused: Option<Connection>,
        fresh: bool,
    ) -> Result<Connection, Fault> {
        while let Some(mut connection) = unused {
            if connection.ready().await {
                return Ok(connection);
            }
            unused = self.unused(pick, fresh);
        }
        let (Some(endpoint), Some(target)) = (pick.endpoint(), pick.target()) else {
            return Err(Fault::NoEndpoint {
                upstream: self.upstream.name.to_string(),
            });
        };
        let plan = &*self.upstream.plan;
        let place = endpoint.known.connection(&plan.config.limits).await;
        let place = place.map_err(|why| Fault::Overloaded {
            upstream: plan.config.name.to_string(),
            why,
        })?;
        self.watch.common.stats.connects.add(1);
        endpoint.tally.connects.add(1);
        let mut connection = client::connect(plan, target).await?;
        connection.holds(place);
        Ok(connection)
    }

    fn poll_sent(
        &self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        response: Pin<&mut impl Future<Output = Outcome>>,
        held: &Held,
        pick: &Pick,
    ) -> Poll<Sent> {
        let outcome = match connection.poll_response(cx, response) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.late() => {
                return Poll::Ready(Sent::Failed(Fault::FirstByte {
                    endpoint: pick.name(),
                }));
            }
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match outcome {
            Ok(response) => held.with(|exchange| accept(exchange, pick, response)),
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Unsent(Box::new(request), closed_at_once(pick)),
                None => Sent::Failed(Fault::of_exchange(&pick.name(), error.into_error())),
            },
        })
    }

    fn late(&self) -> bool {
        self.watch.has_signs()
            && (self.watch.expired(Wait::Answer) || self.watch.expired(Wait::Upload))
    }

    /// Tell what came of an attempt to those who take endpoints out.
    fn report(&self, held: &Held, pick: &Pick, sent: &Sent) {
        let Some(endpoint) = pick.endpoint() else {
            return;
        };
        let plan = &*self.upstream.plan;
        let is_fault = match sent {
            Sent::Answered(_) => {
                let status = status(held);
                status.is_some_and(|status| plan.config.ejection.statuses.holds(status))
            }
            Sent::Unsent(_, fault) | Sent::Failed(fault) => {
                self.watch.common.stats.attempts_failed.add(1);
                fault.is_endpoints()
            }
        };
        if is_fault {
            endpoint.tally.faults.add(1);
            plan.fault(&endpoint.known);
        } else {
            endpoint.known.went_well();
        }
    }

    /// Whether the answer that is there is one that is tried elsewhere.
    fn is_retried_status(&self, held: &Held, trials: &Trials) -> bool {
        let retries = &self.upstream.plan.config.retries;
        !retries.statuses.0.is_empty()
            && !self.is_last(trials)
            && status(held).is_some_and(|status| retries.statuses.holds(status))
    }

    /// What follows an attempt that is not the answer yet.
    fn next(
        &self,
        held: &Held,
        pick: &mut Pick,
        trials: &mut Trials,
        connection: Option<Connection>,
        sent: Sent,
        begin: Instant,
    ) -> Next {
        let plan = &*self.upstream.plan;
        let free = match &sent {
            Sent::Unsent(..) => plan.config.retries.on.contains(&RetryOn::Connect),
            Sent::Answered(_) | Sent::Failed(_) => false,
        };
        let wanted = free
            || (self.may_repeat(held, &sent) && Self::is_kept(trials, connection.as_ref(), &sent));
        let in_time = begin.elapsed() < self.first_byte;
        // Another endpoint first: without one, nothing is taken from the budget.
        let elsewhere = match wanted && in_time && !self.is_last(trials) {
            true => held.with(|exchange| self.pick_now(exchange, trials)),
            false => None,
        };
        let sent = match elsewhere {
            Some(Ok(elsewhere)) if free || self.upstream.budget.take(self.now()) => {
                match self.again(held, &elsewhere, trials, connection.as_ref(), sent) {
                    Ok(request) => {
                        held.with(|exchange| exchange.response = None);
                        self.watch.begin_again();
                        self.watch.common.stats.retries.add(1);
                        *pick = elsewhere;
                        return Next::Send(Box::new(request));
                    }
                    Err(sent) => *sent,
                }
            }
            Some(Ok(_) | Err(_)) | None => sent,
        };
        held.with(|exchange| name(exchange, pick));
        match (sent, connection) {
            (Sent::Answered(incoming), Some(connection)) => {
                Next::Answer(Box::new(connection), incoming)
            }
            (Sent::Answered(_), None) => Next::Fail(closed_at_once(pick)),
            (Sent::Unsent(_, fault) | Sent::Failed(fault), _) => Next::Fail(fault),
        }
    }

    /// Whether a request that may have been acted on may be sent again.
    fn may_repeat(&self, held: &Held, sent: &Sent) -> bool {
        let retries = &self.upstream.plan.config.retries;
        let on = match sent {
            Sent::Unsent(..) | Sent::Answered(_) => true,
            Sent::Failed(Fault::Closed { .. }) => retries.on.contains(&RetryOn::Reset),
            Sent::Failed(Fault::FirstByte { .. }) => {
                retries.on.contains(&RetryOn::Timeout) || retries.try_timeout.is_some()
            }
            Sent::Failed(_) => false,
        };
        on && held.with(|exchange| exchange.request.method.is_idempotent())
    }

    /// Whether all of it is still there.
    fn is_kept(trials: &Trials, connection: Option<&Connection>, sent: &Sent) -> bool {
        match (sent, &trials.tape) {
            (Sent::Unsent(..), _) => true,
            (_, Some(tape)) => tape.is_whole(),
            (_, None) if trials.keeps_head => true,
            (_, None) => connection.is_some_and(|connection| connection.sent_request().is_some()),
        }
    }

    /// The request once more, for this endpoint. Err: it cannot be sent again.
    fn again(
        &self,
        held: &Held,
        elsewhere: &Pick,
        trials: &Trials,
        connection: Option<&Connection>,
        sent: Sent,
    ) -> Result<Request<Body>, Box<Sent>> {
        let body = trials.tape.as_ref().map(Tape::play);
        match (sent, body) {
            // Nothing of it was sent, nor of its body: it goes as it is.
            (Sent::Unsent(mut request, _), _) => {
                self.address(elsewhere, &mut request);
                Ok(*request)
            }
            (_, Some(Some(body))) => Ok(self.outgoing(held, elsewhere, body, true)),
            (sent, Some(None)) => Err(Box::new(sent)),
            // Without a tape there was no body.
            (_, None) if trials.keeps_head => Ok(self.outgoing(held, elsewhere, Body::Empty, true)),
            (sent, None) => match connection.and_then(Connection::sent_request) {
                Some(mut request) => {
                    self.address(elsewhere, &mut request);
                    Ok(request)
                }
                None => Err(Box::new(sent)),
            },
        }
    }

    /// A request that was made for another endpoint.
    fn address(&self, pick: &Pick, request: &mut Request<Body>) {
        if let Some(target) = pick.target() {
            headers::address(&self.upstream.plan, target, request.headers_mut());
        }
    }

    fn response_body(&self, pick: Pick, connection: Connection, incoming: Incoming) -> Body {
        let idle = milliseconds(self.upstream.plan.config.idle_timeout);
        let Some(endpoint) = pick.endpoint() else {
            return Body::Empty;
        };
        let loan = Loan {
            connection,
            pool: Rc::clone(&endpoint.pool),
            turn: pick.turn,
        };
        UpstreamBody::new(incoming, loan, Arc::clone(self.watch), idle).into()
    }
}

/// What follows an attempt.
enum Next {
    /// Send this.
    Send(Box<Request<Body>>),
    /// What came is the answer after all.
    Answer(Box<Connection>, Incoming),
    /// That was it.
    Fail(Fault),
}

fn status(held: &Held) -> Option<u16> {
    held.with(|exchange| {
        let response = exchange.response.as_ref();
        response.map(|response| response.status.as_u16())
    })
}

/// The endpoint that the exchange ends with.
fn name(exchange: &mut Exchange, pick: &Pick) {
    exchange.outcome.endpoint = pick.endpoint().map(|endpoint| Arc::clone(&endpoint.name));
}

/// Take a response's head into the exchange.
fn accept(exchange: &mut Exchange, pick: &Pick, response: Response<Incoming>) -> Sent {
    let (mut parts, incoming) = response.into_parts();
    if parts.status.is_informational() {
        return Sent::Failed(Fault::Protocol {
            endpoint: pick.name(),
            cause: None,
        });
    }
    let length = if exchange.request.method == Method::HEAD {
        parts.headers.get(CONTENT_LENGTH).cloned()
    } else {
        None
    };
    let seen = headers::Seen::of(&parts.headers);
    headers::strip(&mut parts.headers, seen);
    if let Some(length) = length {
        parts.headers.insert(CONTENT_LENGTH, length);
    }
    exchange.response = Some(ResponseHead {
        status: parts.status,
        headers: parts.headers,
    });
    Sent::Answered(incoming)
}

fn closed_at_once(pick: &Pick) -> Fault {
    Fault::Connect {
        endpoint: pick.name(),
        cause: std::io::ErrorKind::ConnectionAborted.into(),
    }
}
