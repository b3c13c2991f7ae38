//! One exchange with an endpoint: pick, take a connection, send, wait for the head.
//!
//! An unused connection may have been closed by the endpoint at any time. If hyper gives the
//! request back, nothing of it was sent, and it goes out on another connection. If it may have
//! been sent it is repeated only when that does no harm: an idempotent method (RFC 9110 section
//! 9.2.2) without a body, on a connection that was used before, once.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::body::{Loan, UpstreamBody};
use super::connection::{Connection, Outcome};
use super::fault::Fault;
use super::{Endpoint, EndpointPlan, Upstream, client, headers};
use crate::balance::{Choice, Lease};
use crate::body::Body;
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
        let mut fresh = false;
        let (connection, incoming) = loop {
            let mut connection = match self.unused(&pick, fresh) {
                Some(connection) if connection.is_inline() => connection,
                other => Box::pin(self.other(&pick, other, fresh)).await?,
            };
            let reused = connection.reused;
            self.begin();
            let sent = {
                let mut response = pin!(connection.send(request));
                std::future::poll_fn(|cx| {
                    self.poll_sent(cx, &mut connection, response.as_mut(), held, &pick)
                })
                .await
            };
            self.watch.answer_began();
            request = match sent {
                Sent::Answered(incoming) => break (connection, incoming),
                Sent::Unsent(request) if reused => *request,
                Sent::Unsent(_) => return Err(self.failed(closed_at_once(pick.target))),
                Sent::Failed(fault @ Fault::Closed { .. }) if reused && repeatable && !fresh => {
                    fresh = true;
                    match connection.sent_request() {
                        Some(request) => request,
                        None => return Err(self.failed(fault)),
                    }
                }
                Sent::Failed(fault) => return Err(self.failed(fault)),
            };
            self.watch.common.stats.retries.add(1);
        };
        let elapsed = u64::try_from(begin.elapsed().as_micros()).ok();
        held.with(|exchange| exchange.outcome.upstream_us = elapsed);
        Ok(self.response_body(pick, connection, incoming))
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
        held.with(|exchange| headers::outgoing(plan, pick.target, exchange, body, self.keep_head))
    }

    fn begin(&self) {
        self.watch.common.stats.attempts.add(1);
        self.watch
            .sent(self.first_byte, self.upstream.plan.config.idle_timeout);
    }

    fn failed(&self, fault: Fault) -> Fault {
        self.watch.common.stats.attempts_failed.add(1);
        fault
    }

    fn unused(&self, pick: &Pick<'_>, fresh: bool) -> Option<Connection> {
        if fresh {
            return None;
        }
        pick.endpoint.pool.take(self.watch.common.clock.now())
    }

    /// The slower ways to a connection: an unused one that a task drives, or a new one.
    async fn other(
        &self,
        pick: &Pick<'_>,
        mut unused: Option<Connection>,
        fresh: bool,
    ) -> Result<Connection, Fault> {
        while let Some(mut connection) = unused {
            if connection.ready().await {
                return Ok(connection);
            }
            unused = self.unused(pick, fresh);
        }
        self.watch.common.stats.connects.add(1);
        let connected = client::connect(&self.upstream.plan, pick.target).await;
        connected.map_err(|fault| self.failed(fault))
    }

    fn poll_sent(
        &self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        response: Pin<&mut impl Future<Output = Outcome>>,
        held: &Held,
        pick: &Pick<'_>,
    ) -> Poll<Sent> {
        let outcome = match connection.poll_response(cx, response) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending if self.late() => {
                return Poll::Ready(Sent::Failed(Fault::FirstByte {
                    endpoint: pick.target.name.to_string(),
                }));
            }
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match outcome {
            Ok(response) => held.with(|exchange| accept(exchange, pick.target, response)),
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Unsent(Box::new(request)),
                None => Sent::Failed(Fault::of_exchange(&pick.target.name, error.into_error())),
            },
        })
    }

    fn late(&self) -> bool {
        self.watch.has_signs()
            && (self.watch.expired(Wait::Answer) || self.watch.expired(Wait::Upload))
    }

    fn response_body(&self, pick: Pick<'_>, connection: Connection, incoming: Incoming) -> Body {
        let loan = Loan {
            connection,
            pool: Rc::clone(&pick.endpoint.pool),
            lease: pick.lease,
        };
        let idle = milliseconds(self.upstream.plan.config.idle_timeout);
        UpstreamBody::new(incoming, loan, Arc::clone(self.watch), idle).into()
    }
}

/// Take a response's head into the exchange.
fn accept(exchange: &mut Exchange, target: &EndpointPlan, response: Response<Incoming>) -> Sent {
    let (mut parts, incoming) = response.into_parts();
    if parts.status.is_informational() {
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
