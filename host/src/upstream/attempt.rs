//! One exchange with an endpoint: pick, take a connection (or a place on one), send, wait for the
//! head.
//!
//! An unused connection may have been closed by the endpoint at any time. If hyper gives the
//! request back, nothing of it was sent, and it goes out on another connection. If it may have
//! been sent it is repeated only when that does no harm: an idempotent method (RFC 9110 section
//! 9.2.2) without a body, on a connection that was used before, once.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::body::{Loan, UpstreamBody};
use super::client::Connected;
use super::connection::{Connection, Outcome};
use super::fault::Fault;
use super::line::Line;
use super::upgrade::{Taken, Upgrade};
use super::{Endpoint, EndpointPlan, Timeouts, Upstream, client, headers, shared};
use crate::balance::{Choice, Lease};
use crate::body::Body;
use crate::config::UpstreamProtocol;
use crate::context::{Exchange, Held, ResponseHead};
use crate::watch::{Wait, Watch, milliseconds};

/// What an attempt needs besides the exchange.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Where it goes.
    pub upstream: &'a Upstream,
    /// The client connection's time-outs.
    pub watch: &'a Arc<Watch>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// Whether `timeouts.first_byte` is the request's own deadline.
    pub deadline: bool,
    /// What the request asks its connection to become.
    pub upgrade: Option<&'a Upgrade>,
    /// Whether the request's head is looked at after it was sent.
    pub keep_head: bool,
}

/// What came of one sending.
enum Sent {
    /// The response's head is in the exchange.
    Answered(Incoming),
    /// Nothing was sent; here is the request.
    Unsent(Box<Request<Body>>),
    Failed(Fault),
}

/// An endpoint that was picked.
struct Pick<'a> {
    lease: Lease,
    endpoint: &'a Endpoint,
    target: &'a EndpointPlan,
}

impl<'a> Attempt<'a> {
    /// Send the exchange's request and wait for the response's head, which goes into the
    /// exchange; its body is returned. The body of the request is sent while the response comes.
    ///
    /// # Errors
    ///
    /// No endpoint takes the request, or none answered it: see [`Fault`].
    pub async fn run(&self, held: &Held, body: Body) -> Result<Body, Fault> {
        // One `async fn` for the whole way, since each one that another awaits is copied into
        // it whole, for every request.
        let pick = held.with(|exchange| self.pick(exchange))?;
        let begin = Instant::now();
        let mut request = self.request(held, &pick, body);
        let repeatable = request.body().is_empty() && request.method().is_idempotent();
        // A connection that may become something else carries no other request.
        let mut fresh = self.upgrade.is_some();
        if let Some(total) = self.timeouts.total {
            self.watch.arm(Wait::Total, milliseconds(total));
        }
        let (line, incoming) = loop {
            let mut line = match self.unused(&pick, fresh) {
                Some(Line::Own(connection)) if connection.is_inline() => Line::Own(connection),
                other => Box::pin(self.other(&pick, other, fresh)).await?,
            };
            let reused = line.is_reused();
            self.begin();
            let sent = match &mut line {
                Line::Own(connection) => {
                    if self.upgrade.is_some() {
                        connection.switch();
                    }
                    let mut response = pin!(connection.send(request));
                    std::future::poll_fn(|cx| {
                        let polled = connection.poll_response(cx, response.as_mut());
                        self.poll_sent(polled, held, &pick)
                    })
                    .await
                }
                Line::Shared(slot) => {
                    let mut response = slot.send(request).map_err(Fault::Request)?;
                    std::future::poll_fn(|cx| {
                        let polled = response.as_mut().poll(cx);
                        self.poll_sent(polled, held, &pick)
                    })
                    .await
                }
            };
            self.watch.answer_began();
            request = match sent {
                Sent::Answered(incoming) => break (line, incoming),
                Sent::Unsent(request) if reused => {
                    let mut request = *request;
                    if matches!(line, Line::Shared(_)) {
                        shared::to_http1(&mut request);
                    }
                    request
                }
                Sent::Unsent(_) => return Err(self.failed(closed_at_once(pick.target))),
                Sent::Failed(fault @ Fault::Closed { .. }) if reused && repeatable && !fresh => {
                    fresh = true;
                    match line.sent_request() {
                        Some(request) => request,
                        None => return Err(self.failed(fault)),
                    }
                }
                Sent::Failed(fault) => return Err(self.failed(self.explained(fault))),
            };
            self.watch.common.stats.retries.add(1);
        };
        let elapsed = u64::try_from(begin.elapsed().as_micros()).ok();
        held.with(|exchange| exchange.outcome.upstream_us = elapsed);
        match (line, self.upgrade) {
            (Line::Own(connection), Some(upgrade)) if is_switch(held) => {
                self.take(upgrade, pick, connection)
            }
            (line, _) => Ok(self.response_body(pick, line, incoming)),
        }
    }

    /// The endpoint has agreed: its connection is not HTTP any more.
    fn take(
        &self,
        upgrade: &Upgrade,
        pick: Pick<'_>,
        connection: Connection,
    ) -> Result<Body, Fault> {
        let taken = connection.into_stream().map(|(stream, read)| Taken {
            stream,
            read,
            lease: pick.lease,
            idle: self.timeouts.idle.map(milliseconds),
        });
        if taken.is_none() {
            return Err(self.failed(closed_at_once(pick.target)));
        }
        *upgrade.taken.borrow_mut() = taken;
        Ok(Body::Empty)
    }

    fn pick(&self, exchange: &mut Exchange) -> Result<Pick<'a>, Fault> {
        let plan = &*self.upstream.plan;
        let lease = plan.balancer.pick(&Choice {
            exclude: &[],
            labels: &exchange.hint.labels,
            random: fastrand::u64(..),
        });
        let pick = lease.and_then(|lease| {
            let place = lease.endpoint();
            Some(Pick {
                lease,
                endpoint: self.upstream.endpoints.get(place)?,
                target: plan.endpoints.get(place)?,
            })
        });
        let pick = pick.ok_or_else(|| Fault::NoEndpoint {
            upstream: plan.config.name.to_string(),
        })?;
        exchange.outcome.upstream = Some(Arc::clone(&self.upstream.name));
        exchange.outcome.endpoint = Some(Arc::clone(&pick.endpoint.name));
        Ok(pick)
    }

    fn request(&self, held: &Held, pick: &Pick<'_>, body: Body) -> Request<Body> {
        let plan = &*self.upstream.plan;
        let mut request = held
            .with(|exchange| headers::outgoing(plan, pick.target, exchange, body, self.keep_head));
        if let Some(upgrade) = self.upgrade {
            upgrade.ask(request.headers_mut());
        }
        request
    }

    fn begin(&self) {
        self.watch.common.stats.attempts.add(1);
        self.watch
            .sent(self.timeouts.first_byte, self.timeouts.idle);
    }

    fn failed(&self, fault: Fault) -> Fault {
        self.watch.common.stats.attempts_failed.add(1);
        fault
    }

    /// What the failure of a request's body does to the endpoint is not the endpoint's fault.
    /// hyper tells the cause over HTTP/1.1 only.
    fn explained(&self, fault: Fault) -> Fault {
        match (fault, self.watch.body_fault()) {
            (
                Fault::Closed { cause, .. }
                | Fault::Protocol {
                    cause: Some(cause), ..
                },
                Some(code),
            ) => Fault::Body { code, cause },
            (fault, _) => fault,
        }
    }

    fn unused(&self, pick: &Pick<'_>, fresh: bool) -> Option<Line> {
        if fresh {
            return None;
        }
        pick.endpoint.pool.take(self.watch.common.clock.now())
    }

    /// The slower ways to a connection: an unused one that a task drives, one that another
    /// request makes now and will share, or a new one.
    async fn other(
        &self,
        pick: &Pick<'_>,
        mut unused: Option<Line>,
        fresh: bool,
    ) -> Result<Line, Fault> {
        while let Some(line) = unused {
            match line {
                Line::Own(mut connection) => {
                    if connection.ready().await {
                        return Ok(Line::Own(connection));
                    }
                }
                shared @ Line::Shared(_) => return Ok(shared),
            }
            unused = self.unused(pick, fresh);
        }
        let pool = &pick.endpoint.pool;
        let switches = self.upgrade.is_some();
        // One after another while they are made: each has room for many. After one that failed
        // all try at once, so that no request waits for the failures of others.
        while !switches && pool.is_connecting() {
            let made = pool.made().await;
            if let Some(Line::Shared(slot)) = self.unused(pick, fresh) {
                return Ok(Line::Shared(slot));
            }
            if !made {
                break;
            }
        }
        let plan = &*self.upstream.plan;
        let shares = plan.config.protocol == UpstreamProtocol::Http2 && !switches;
        let connecting = pool.connect(shares);
        self.watch.common.stats.connects.add(1);
        let connected = client::connect(plan, pick.target, self.timeouts.connect, switches).await;
        let line = match connected.map_err(|fault| self.failed(fault))? {
            Connected::One(connection) => {
                if !switches {
                    pool.own();
                }
                Line::Own(connection)
            }
            Connected::Many(shared) => Line::Shared(pool.share(&shared)),
        };
        connecting.done();
        Ok(line)
    }

    fn poll_sent(&self, polled: Poll<Outcome>, held: &Held, pick: &Pick<'_>) -> Poll<Sent> {
        let outcome = match polled {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                return match self.late(pick.target) {
                    Some(fault) => Poll::Ready(Sent::Failed(fault)),
                    None => Poll::Pending,
                };
            }
        };
        Poll::Ready(match outcome {
            Ok(response) => {
                let upgrade = self.upgrade;
                held.with(|exchange| accept(exchange, pick.target, response, upgrade))
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Unsent(Box::new(request)),
                None => Sent::Failed(Fault::of_exchange(&pick.target.name, error.into_error())),
            },
        })
    }

    fn late(&self, target: &EndpointPlan) -> Option<Fault> {
        if !self.watch.has_signs() {
            return None;
        }
        let endpoint = || target.name.to_string();
        if self.watch.expired(Wait::Total) {
            return Some(Fault::Total {
                endpoint: endpoint(),
            });
        }
        let passed = self.watch.expired(Wait::Answer) || self.watch.expired(Wait::Upload);
        passed.then(|| match self.deadline {
            true => Fault::Deadline {
                endpoint: endpoint(),
            },
            false => Fault::FirstByte {
                endpoint: endpoint(),
            },
        })
    }

    fn response_body(&self, pick: Pick<'_>, line: Line, incoming: Incoming) -> Body {
        let loan = Loan {
            line,
            pool: Rc::clone(&pick.endpoint.pool),
            lease: pick.lease,
        };
        let idle = self.timeouts.idle.map(milliseconds);
        UpstreamBody::new(incoming, loan, Arc::clone(self.watch), idle).into()
    }
}

fn is_switch(held: &Held) -> bool {
    let status = held.with(|exchange| exchange.response.as_ref().map(|head| head.status));
    status == Some(StatusCode::SWITCHING_PROTOCOLS)
}

/// Take a response's head into the exchange.
fn accept(
    exchange: &mut Exchange,
    target: &EndpointPlan,
    response: Response<Incoming>,
    upgrade: Option<&Upgrade>,
) -> Sent {
    let (mut parts, incoming) = response.into_parts();
    let agreed = match upgrade {
        Some(upgrade) => {
            parts.status == StatusCode::SWITCHING_PROTOCOLS && upgrade.agree(&parts.headers)
        }
        None => false,
    };
    if parts.status.is_informational() && !agreed {
        return Sent::Failed(Fault::Protocol {
            endpoint: target.name.to_string(),
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

fn closed_at_once(target: &EndpointPlan) -> Fault {
    Fault::Connect {
        endpoint: target.name.to_string(),
        cause: std::io::ErrorKind::ConnectionAborted.into(),
    }
}
