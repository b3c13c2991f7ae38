//! One exchange with an endpoint: pick, take a connection, send, wait for the head.
//!
//! An unused connection may have been closed by the endpoint at any time. If hyper gives the
//! request back, nothing of it was sent, and it goes out on another connection. If it may have
//! been sent it is repeated only when that does no harm: an idempotent method (RFC 9110 section
//! 9.2.2) without a body, on a connection that was used before, once.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::body::{Loan, UpstreamBody};
use super::connection::{Connection, Outcome};
use super::fault::Fault;
use super::{Endpoint, EndpointPlan, Upstream, client, headers};
use crate::balance::{Choice, Lease};
use crate::body::Body;
use crate::context::{Held, ResponseHead};
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
    Answered(Response<Incoming>),
    /// Nothing was sent; here is the request.
    Unsent(Request<Body>),
    Failed(Fault),
}

impl Attempt<'_> {
    /// Send the exchange's request and wait for the response's head, which goes into the
    /// exchange; its body is returned. The body of the request is sent while the response comes.
    pub async fn run(&self, held: &Held, body: Body) -> Result<Body, Fault> {
        let plan = &*self.upstream.plan;
        let lease = held.with(|exchange| {
            plan.balancer.pick(&Choice {
                exclude: &[],
                labels: &exchange.hint.labels,
                random: fastrand::u64(..),
            })
        });
        let lease = lease.ok_or_else(|| Fault::NoEndpoint {
            upstream: plan.config.name.to_string(),
        })?;
        let place = lease.endpoint();
        let (Some(endpoint), Some(target)) = (
            self.upstream.endpoints.get(place),
            plan.endpoints.get(place),
        ) else {
            return Err(Fault::NoEndpoint {
                upstream: plan.config.name.to_string(),
            });
        };
        held.with(|exchange| {
            exchange.outcome.upstream = Some(Arc::clone(&self.upstream.name));
            exchange.outcome.endpoint = Some(Arc::clone(&endpoint.name));
        });
        let begin = Instant::now();
        let outcome = self.exchange(endpoint, target, held, body).await;
        self.watch.answer_began();
        let stats = &self.watch.common.stats;
        match outcome {
            Ok((connection, response)) => {
                let elapsed = begin.elapsed().as_micros();
                held.with(|exchange| exchange.outcome.upstream_us = u64::try_from(elapsed).ok());
                self.accept(held, endpoint, connection, lease, response)
            }
            Err(fault) => {
                stats.attempts_failed.add(1);
                Err(fault)
            }
        }
    }

    /// Send, and send again where that is allowed.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        target: &EndpointPlan,
        held: &Held,
        body: Body,
    ) -> Result<(Connection, Response<Incoming>), Fault> {
        let plan = &*self.upstream.plan;
        let stats = &self.watch.common.stats;
        let idempotent = held.with(|exchange| exchange.request.method.is_idempotent());
        let repeatable = body.is_empty() && idempotent;
        let keep = self.keep_head || repeatable;
        let mut request =
            held.with(|exchange| headers::outgoing(plan, target, exchange, body, keep));
        let mut fresh = false;
        loop {
            let pooled = match fresh {
                true => None,
                false => self.pooled(endpoint).await,
            };
            let mut connection = match pooled {
                Some(connection) => connection,
                None => {
                    stats.connects.add(1);
                    Box::pin(client::connect(plan, target)).await?
                }
            };
            let reused = connection.reused;
            stats.attempts.add(1);
            request = match self.send(&mut connection, target, request).await {
                Sent::Answered(response) => return Ok((connection, response)),
                Sent::Unsent(request) if reused => request,
                Sent::Failed(Fault::Closed { .. }) if reused && repeatable && !fresh => {
                    fresh = true;
                    held.with(|exchange| {
                        headers::outgoing(plan, target, exchange, Body::Empty, keep)
                    })
                }
                Sent::Unsent(_) => return Err(closed_at_once(target)),
                Sent::Failed(fault) => return Err(fault),
            };
            stats.retries.add(1);
        }
    }

    /// A connection that was used before and is ready for a request.
    async fn pooled(&self, endpoint: &Endpoint) -> Option<Connection> {
        loop {
            let mut connection = endpoint.pool.take(self.watch.common.clock.now())?;
            if connection.ready().await {
                return Some(connection);
            }
        }
    }

    /// Send a request on a connection and wait for the response's head.
    async fn send(
        &self,
        connection: &mut Connection,
        target: &EndpointPlan,
        request: Request<Body>,
    ) -> Sent {
        self.watch
            .sent(self.first_byte, self.upstream.plan.config.idle_timeout);
        let mut response = pin!(connection.send(request));
        let outcome =
            std::future::poll_fn(|cx| match connection.poll_response(cx, response.as_mut()) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if self.late() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await;
        sent(target, outcome)
    }

    fn late(&self) -> bool {
        self.watch.has_signs()
            && (self.watch.expired(Wait::Answer) || self.watch.expired(Wait::Upload))
    }

    /// Take a response's head into the exchange.
    fn accept(
        &self,
        held: &Held,
        endpoint: &Endpoint,
        connection: Connection,
        lease: Lease,
        response: Response<Incoming>,
    ) -> Result<Body, Fault> {
        let (mut parts, incoming) = response.into_parts();
        if parts.status.is_informational() {
            return Err(Fault::Protocol {
                endpoint: endpoint.name.to_string(),
                cause: None,
            });
        }
        let bodiless = held.with(|exchange| exchange.request.method == Method::HEAD)
            || parts.status == StatusCode::NOT_MODIFIED;
        let length: Option<HeaderValue> = match bodiless {
            true => parts.headers.get(CONTENT_LENGTH).cloned(),
            false => None,
        };
        let seen = headers::Seen::of(&parts.headers);
        headers::strip(&mut parts.headers, seen);
        if let Some(length) = length {
            parts.headers.insert(CONTENT_LENGTH, length);
        }
        let head = ResponseHead {
            status: parts.status,
            headers: parts.headers,
        };
        held.with(|exchange| exchange.response = Some(head));
        let loan = Loan {
            connection,
            pool: Rc::clone(&endpoint.pool),
            lease,
        };
        let idle = milliseconds(self.upstream.plan.config.idle_timeout);
        let body = UpstreamBody::new(incoming, loan, Arc::clone(self.watch), idle);
        Ok(body.into())
    }
}

fn sent(target: &EndpointPlan, outcome: Option<Outcome>) -> Sent {
    match outcome {
        Some(Ok(response)) => Sent::Answered(response),
        Some(Err(mut error)) => match error.take_message() {
            Some(request) => Sent::Unsent(request),
            None => Sent::Failed(Fault::of_exchange(&target.name, error.into_error())),
        },
        None => Sent::Failed(Fault::FirstByte {
            endpoint: target.name.to_string(),
        }),
    }
}

fn closed_at_once(target: &EndpointPlan) -> Fault {
    Fault::Connect {
        endpoint: target.name.to_string(),
        cause: std::io::ErrorKind::ConnectionAborted.into(),
    }
}
