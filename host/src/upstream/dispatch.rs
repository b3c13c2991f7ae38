//! One exchange with an upstream: pick, take a connection (or a place on one), send, wait for the
//! head; and again ([`next`]), if [`retry`] decides so.

use std::num::NonZeroU64;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Bytes;

mod blame;
pub(crate) mod body;
pub(crate) mod budget;
mod early;
mod next;
mod pick;
pub(crate) mod replay;
mod request;
mod retry;
mod take;
pub(crate) mod timeouts;
pub(crate) mod upgrade;

use body::{Loan, UpstreamBody};
use next::{Next, Over, Trials};
use pick::Pick;
use timeouts::{Since, Timeouts};
use upgrade::{Carrier, Duplex, Taken, Upgrade};

use super::coding::{self, Coding};
use super::connection::EndpointConnection;
use super::connection::endpoint_body::EndpointBody;
use super::connection::http1::Http1Connection;
use super::connection::http2::Http2Stream;
use super::connection::interim::InterimResponse;
use super::connection::transport::{SendFailure, SendOutcome};
use super::fault::AttemptError;
use super::{LocalUpstream, headers};
use crate::config::UpstreamProtocol;
use crate::exchange::{Exchange, ExchangeCell};
use crate::http::body::Body;
use crate::http::client_connection::ClientConnection;
use crate::http::watch::{TimeoutKind, Watch, milliseconds};
use crate::model::head::ResponseHead;

/// What an attempt needs besides the exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// Where it goes.
    pub(crate) upstream: &'a LocalUpstream,
    /// The client connection's time-outs.
    pub(crate) watch: &'a Arc<Watch>,
    /// The client's connection.
    pub(crate) client: &'a ClientConnection,
    /// How long it may take.
    pub(crate) timeouts: Timeouts,
    /// Whether `timeouts.total` is the request's own deadline.
    pub(crate) deadline: bool,
    /// What the request asks its connection to become.
    pub(crate) upgrade: Option<&'a Upgrade>,
    /// Whether the request's head is looked at after it was sent.
    pub(crate) keep_head: bool,
    /// Whether anybody asks how long it took: a filter of the route, or the access log.
    pub(crate) is_timed: bool,
    /// When the request came to the upstream.
    pub(crate) came: Instant,
}

/// What came of one sending.
enum Sent {
    /// The response's head is in the exchange.
    Answered(EndpointBody),
    /// Nothing was sent; here is the request.
    Unsent(Box<Request<Body>>, AttemptError),
    Failed(AttemptError),
}

impl Attempt<'_> {
    /// Send the exchange's request and wait for the response's head, which goes into the
    /// exchange; its body is returned. The body of the request is sent while the response comes.
    ///
    /// # Errors
    ///
    /// No endpoint takes the request, or none answered it: see [`AttemptError`].
    pub(crate) async fn run(&self, held: &ExchangeCell, body: Body) -> Result<Body, AttemptError> {
        // One `async fn` for the whole way, since each one that another awaits is copied into
        // it whole, for every request. What is rare is boxed.
        self.upstream.budget.request(self.now());
        let mut since = Since::at(self.came);
        if let Some(total) = self.timeouts.total {
            self.watch.arm(TimeoutKind::Total, milliseconds(total));
        }
        let mut trials = Trials::default();
        let mut pick = match held.with(|exchange| self.pick(exchange, &mut trials)) {
            Some(Ok(pick)) => pick,
            Some(Err(fault)) => return Err(fault),
            None => {
                let pick = Box::pin(self.wait(held, &mut trials, since)).await?;
                since.begun = Instant::now();
                pick
            }
        };
        // Boxed, since it is moved more often than used.
        let mut request = Box::new(self.request(held, &pick, body, &mut trials));
        let (line, incoming) = 'sending: loop {
            if let Some(pause) = trials.pause.take() {
                Box::pin(trials.rest_for(pause)).await;
            }
            // A connection that may become something else carries no other request.
            trials.fresh = self.switches() || std::mem::take(&mut trials.over) == Over::New;
            let (line, ended) = loop {
                let mut line = match self.unused(&pick, trials.fresh) {
                    Some(EndpointConnection::Http1(connection)) if connection.is_inline() => {
                        EndpointConnection::Http1(connection)
                    }
                    other => match Box::pin(self.other(&pick, other, trials.fresh, since)).await {
                        Ok(line) => line,
                        Err(fault) => {
                            let sent = Sent::Unsent(request, fault);
                            break (None, self.ended(held, &mut trials, None, false, sent));
                        }
                    },
                };
                let (reused, began) = (line.is_reused(), self.now());
                self.start(held, &pick, since, &mut trials);
                let sent = match &mut line {
                    EndpointConnection::Http1(connection) => {
                        if self.upgrade.is_some() {
                            connection.expect_upgrade();
                        }
                        let mut response = pin!(connection.send(*request));
                        std::future::poll_fn(|cx| {
                            let polled = connection.poll_response(cx, response.as_mut());
                            self.inform_of(connection);
                            let has_request = || connection.has_request();
                            self.poll_sent(polled, held, &pick, &mut trials, since, has_request)
                        })
                        .await
                    }
                    EndpointConnection::Http2(slot) => {
                        self.ask_by_connect(slot, &mut request);
                        let keep = !trials.keeps_head;
                        let inform = |interim| self.inform(interim);
                        let response = slot.send(*request, keep, inform);
                        let mut response = response.map_err(AttemptError::Request)?;
                        std::future::poll_fn(|cx| {
                            let polled = response.as_mut().poll(cx);
                            let has_request = || slot.has_request();
                            self.poll_sent(polled, held, &pick, &mut trials, since, has_request)
                        })
                        .await
                    }
                };
                self.watch.end_response_wait();
                // Most are answered; then nothing is copied that is as large as a fault.
                let sent = match sent {
                    Sent::Answered(incoming) if !self.is_retried_status(held, &trials) => {
                        self.report_answer(held, &pick);
                        break 'sending (line, incoming);
                    }
                    other => other,
                };
                let sent = self.looked_at(&pick, &line, reused, began, sent);
                let mut ended = self.ended(held, &mut trials, Some(&mut line), reused, sent);
                match self.resent(held, &pick, &mut trials, since, &mut ended) {
                    Some(again) => request = again,
                    None => break (Some(line), ended),
                }
            };
            self.report(held, &pick, &ended.sent);
            match self.next(held, &mut pick, &mut trials, ended, since) {
                Next::Send(again) => request = again,
                Next::Answer(incoming) => match line {
                    Some(line) => break (line, incoming),
                    None => return Err(closed_at_once(&pick)),
                },
                Next::Fail(fault) => {
                    trials.note_last(held, &pick, since, Some(fault.code().as_str()));
                    return Err(fault);
                }
            }
        };
        self.note(held, &pick, &mut trials, since);
        match self.upgrade {
            Some(upgrade) if is_switch(held) => self.take(upgrade, pick, line, incoming),
            Some(_) | None => Ok(self.response_body(pick, line, incoming)),
        }
    }

    /// What is left of the time that the whole exchange may take, if there is an end to it.
    fn time_left(&self, since: Since) -> Option<Duration> {
        let total = self.timeouts.total?;
        Some(total.saturating_sub(since.arrived.elapsed()))
    }

    /// What is known once there is an answer.
    fn note(&self, held: &ExchangeCell, pick: &Pick, trials: &mut Trials, since: Since) {
        trials.note_last(held, pick, since, None);
        trials.end();
        let elapsed = || u64::try_from(since.begun.elapsed().as_micros()).ok();
        let elapsed = || NonZeroU64::new(elapsed()?.max(1));
        let elapsed = self.is_timed.then(elapsed).flatten();
        held.with(|exchange| {
            exchange.outcome.upstream_us = elapsed;
            if let (Some(target), Some(response)) = (pick.target(), &mut exchange.response) {
                self.upstream
                    .shared
                    .set_sticky_token(trials.wanted, target, response);
            }
        });
    }

    /// Whether the request may make something else of its connection. Over HTTP/2 it is a stream that
    /// becomes something else.
    fn switches(&self) -> bool {
        let protocol = self.upstream.shared.config.protocol;
        self.upgrade.is_some() && protocol != UpstreamProtocol::Http2
    }

    fn ask_by_connect(&self, slot: &Http2Stream, request: &mut Request<Body>) {
        if let Some(upgrade) = self.upgrade
            && slot.supports_connect()
        {
            upgrade.ask_by_connect(request);
        }
    }

    /// The endpoint has agreed: its connection, or the stream, is not HTTP any more.
    fn take(
        &self,
        upgrade: &Upgrade,
        pick: Pick,
        line: EndpointConnection,
        incoming: EndpointBody,
    ) -> Result<Body, AttemptError> {
        let fault = || closed_at_once(&pick);
        let pool = &pick.endpoint().ok_or_else(fault)?.pool;
        let (stream, read, carrier): (Box<dyn Duplex>, _, _) = match (line, incoming) {
            (EndpointConnection::Http1(connection), _) => {
                let (stream, read, place) = connection.into_stream().ok_or_else(fault)?;
                (Box::new(stream), read, Carrier::Connection(place))
            }
            (EndpointConnection::Http2(slot), EndpointBody::Tunnel(stream)) => {
                (stream, Bytes::new(), Carrier::Stream(slot))
            }
            (EndpointConnection::Http2(_), _) => return Err(fault()),
        };
        *upgrade.taken.borrow_mut() = Some(Taken {
            stream,
            read,
            carrier,
            pool: Rc::clone(pool),
            turn: pick.turn,
            idle: self.timeouts.idle.map(milliseconds),
        });
        Ok(Body::Empty)
    }

    /// Pass on the interim answers that have come.
    fn inform_of(&self, connection: &Http1Connection) {
        if !connection.has_interims() {
            return;
        }
        for interim in connection.interims() {
            self.inform(interim);
        }
    }

    /// Pass on an interim answer (RFC 9110 section 15.2), which no filter sees.
    fn inform(&self, mut interim: InterimResponse) {
        let seen = headers::HeaderFlags::of_response(&interim.headers);
        headers::strip(&mut interim.headers, seen);
        self.client.send_interim(interim.status, &interim.headers);
    }

    fn now(&self) -> u64 {
        self.watch.shared.clock.now()
    }

    fn start(&self, held: &ExchangeCell, pick: &Pick, since: Since, trials: &mut Trials) {
        self.watch.shared.stats.attempts.add(1);
        if let Some(endpoint) = pick.endpoint() {
            endpoint.counters.attempts.add(1);
            self.watch.set_endpoint(endpoint.state.id);
        }
        let mut first_byte = self.timeouts.first_byte;
        if trials.is_again() {
            // All attempts have it together.
            let together = self.timeouts.first_byte;
            first_byte = first_byte.min(together.saturating_sub(since.begun.elapsed()));
        }
        trials.rest = None;
        if let Some(longest) = self.upstream.shared.config.retries.try_timeout
            && longest < first_byte
            && self.may_follow(held, pick, trials, since)
        {
            trials.rest = Some(first_byte.saturating_sub(longest));
            first_byte = longest;
        }
        self.watch
            .begin_response_wait(first_byte, self.timeouts.idle);
    }

    /// What the failure of a request's body does to the endpoint is not the endpoint's fault.
    /// The connection tells the cause over HTTP/1.1 only.
    fn explained(&self, fault: AttemptError) -> AttemptError {
        match (fault, self.watch.body_fault()) {
            (
                AttemptError::Closed { cause, .. }
                | AttemptError::Protocol {
                    cause: Some(cause), ..
                },
                Some(code),
            ) => AttemptError::Body { code, cause },
            (fault, _) => fault,
        }
    }

    fn poll_sent(
        &self,
        polled: Poll<SendOutcome>,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        since: Since,
        has_request: impl Fn() -> bool,
    ) -> Poll<Sent> {
        let outcome = match polled {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                return match self.late(held, pick, trials, since, has_request) {
                    Some(fault) => Poll::Ready(Sent::Failed(fault)),
                    None => Poll::Pending,
                };
            }
        };
        Poll::Ready(match outcome {
            Ok(response) if response.headers().len() > self.upstream.shared.config.max_headers => {
                Sent::Failed(self.too_many_fields(pick))
            }
            Ok(response) => {
                let upgrade = self.upgrade;
                self.note_early(response.version(), response.headers());
                held.with(|exchange| accept(exchange, pick, response, upgrade))
            }
            Err(SendFailure::Unsent(request)) => Sent::Unsent(request, closed_at_once(pick)),
            Err(SendFailure::Failed(cause)) => {
                Sent::Failed(AttemptError::of_exchange(&pick.name(), cause))
            }
        })
    }

    /// Why the answer is not waited for any more, if so.
    fn late(
        &self,
        held: &ExchangeCell,
        pick: &Pick,
        trials: &mut Trials,
        since: Since,
        has_request: impl Fn() -> bool,
    ) -> Option<AttemptError> {
        if !self.watch.has_signals() {
            return None;
        }
        let endpoint = || pick.name();
        if self.watch.expired(TimeoutKind::Total) {
            return Some(self.overdue(endpoint()));
        }
        if self.watch.has_endpoint_left() {
            return Some(AttemptError::Left {
                endpoint: endpoint(),
            });
        }
        if self.watch.expired(TimeoutKind::Upload) {
            return Some(AttemptError::Upload {
                endpoint: endpoint(),
            });
        }
        let passed = self.watch.expired(TimeoutKind::Answer)
            && self.gives_up(held, pick, trials, since, has_request);
        passed.then(|| {
            let tried = self.upstream.shared.config.retries.try_timeout;
            let (key, length) = match (tried, trials.is_given_up()) {
                (Some(tried), true) => ("try_timeout", tried),
                _ => ("first_byte_timeout", self.timeouts.first_byte),
            };
            AttemptError::FirstByteTimeout {
                endpoint: endpoint(),
                key,
                milliseconds: length.as_millis(),
            }
        })
    }

    /// The exchange with this endpoint took longer than it may.
    fn overdue(&self, endpoint: String) -> AttemptError {
        match self.deadline {
            true => AttemptError::Deadline { endpoint },
            false => AttemptError::TotalTimeout { endpoint },
        }
    }

    fn response_body(
        &self,
        pick: Pick,
        mut line: EndpointConnection,
        incoming: EndpointBody,
    ) -> Body {
        let Some(endpoint) = pick.endpoint() else {
            return Body::Empty;
        };
        if self.upgrade.is_some() {
            line.decline_upgrade();
        }
        let loan = Loan {
            line,
            pool: Rc::clone(&endpoint.pool),
            turn: pick.turn,
        };
        let idle = self.timeouts.idle.map(milliseconds);
        let watch = Arc::clone(self.watch);
        UpstreamBody::new(incoming, loan, watch, idle, self.deadline).into()
    }
}

fn is_switch(held: &ExchangeCell) -> bool {
    let status = held.with(|exchange| exchange.response.as_ref().map(|head| head.status));
    status == Some(StatusCode::SWITCHING_PROTOCOLS)
}

fn status(held: &ExchangeCell) -> Option<u16> {
    held.with(|exchange| {
        let response = exchange.response.as_ref();
        response.map(|response| response.status.as_u16())
    })
}

/// Take a response's head into the exchange.
fn accept(
    exchange: &mut Exchange,
    pick: &Pick,
    response: Response<EndpointBody>,
    upgrade: Option<&Upgrade>,
) -> Sent {
    let (mut parts, incoming) = response.into_parts();
    let agreed = upgrade.is_some_and(|upgrade| upgrade.agree(&mut parts));
    if parts.status.is_informational() && !agreed {
        return Sent::Failed(AttemptError::Protocol {
            endpoint: pick.name(),
            cause: None,
        });
    }
    let seen = headers::HeaderFlags::of_response(&parts.headers);
    // An answer without content may name any coding: nothing is in it (RFC 9112 section 6.1).
    if seen.transfer_encoding()
        && !incoming.is_end_stream()
        && coding::from_headers(&parts.headers) != Coding::Chunked
    {
        return Sent::Failed(AttemptError::Coding {
            endpoint: pick.name(),
        });
    }
    let length = if exchange.request.method == Method::HEAD {
        let length = parts.headers.get(CONTENT_LENGTH);
        length.filter(|length| is_number(length)).cloned()
    } else {
        None
    };
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

/// hyper reads the length of no answer to `HEAD`.
fn is_number(length: &HeaderValue) -> bool {
    let text = length.to_str().unwrap_or_default();
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
}

fn closed_at_once(pick: &Pick) -> AttemptError {
    AttemptError::Connect {
        endpoint: pick.name(),
        cause: std::io::ErrorKind::ConnectionAborted.into(),
    }
}
