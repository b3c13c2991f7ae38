//! An HTTP/2 connection to an endpoint, which carries many requests at once.
//!
//! A task of its own moves its bytes. Each request has a slot, and the slot counts until the
//! response is over. Promises: no more slots than the endpoint allows, unless the pool is at its
//! bound; a connection is closed when nobody holds it any more, after the last response.

use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri};
use http_body::Body as _;
use hyper::client::conn::http2;
use hyper_util::rt::TokioTimer;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::Notify;

use super::connection::Outcome;
use super::heard::HeardIo;
use super::lifetime::{Lifetime, TurnedFrom};
use super::pulse::{Pulse, Silence, Step};
use crate::body::Body;
use crate::stream::Stream;
use crate::upstream::endpoint::known::ConnectionPlace;

/// What may be on the way of one response before it is taken. Bytes. A client that takes nothing costs
/// so much; more where the endpoint sends it in tiny frames, each of which has a head of its own.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What may be on the way of all responses of a connection. Bytes: of as many as there hardly are,
/// since clients that take nothing would hold up all others on it. Not without a bound: h2 takes from
/// it how many tiny frames it keeps.
const CONNECTION_WINDOW: u32 = 512 * STREAM_WINDOW;
/// How much of one request's body is gathered before it waits. Bytes.
const SEND_BUFFER: usize = 128 * 1024;

/// What stands for the number of requests that an endpoint takes at once, before it has said it.
const UNKNOWN: usize = 99_999;

/// Runs hyper's tasks on the worker's thread.
#[derive(Debug, Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// One connection.
#[derive(Debug)]
pub struct Shared {
    sender: RefCell<http2::SendRequest<Body>>,
    secure: bool,
    /// Whether the endpoint takes an extended `CONNECT`.
    connects: bool,
    /// How many requests the endpoint takes at once.
    most: Rc<Cell<usize>>,
    active: Cell<usize>,
    /// Who waits for room is told here.
    freed: Rc<Notify>,
    /// Requests that were given a place on it.
    given: Cell<u64>,
    turned_from: TurnedFrom,
    /// The endpoint has said that it takes no more, and hyper may not know it yet.
    ends: Cell<bool>,
    since: Cell<u64>,
    idle_since: Cell<Option<u64>>,
    pulse: Arc<Pulse>,
    silence: Silence,
    /// Requests that wait for the head of an answer.
    waiting: Cell<usize>,
}

impl Shared {
    /// Over a connected stream, with response heads up to `max_head` bytes. Waits for the endpoint's
    /// first word, which says how many requests it takes at once: more of them would wait behind
    /// one another for as long as a stream lasts.
    ///
    /// # Errors
    ///
    /// The endpoint closed it at once, or does not speak HTTP/2.
    pub async fn new(
        stream: Stream,
        max_head: usize,
        place: ConnectionPlace,
        freed: Rc<Notify>,
    ) -> hyper::Result<Rc<Self>> {
        let secure = stream.is_tls();
        let heard = Arc::new(Notify::new());
        let pulse = Arc::new(Pulse::default());
        let io = HeardIo::new(stream, Arc::downgrade(&heard), Arc::clone(&pulse), place);
        let (sender, mut drive) = http2::Builder::new(Here)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .initial_max_send_streams(UNKNOWN)
            .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
            .handshake(io)
            .await?;
        loop {
            // hyper reads in a task of its own, and does not say when the limit has come.
            let mut next = std::pin::pin!(heard.notified());
            let step = std::future::poll_fn(|cx| match Pin::new(&mut drive).poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if drive.current_max_send_streams() != UNKNOWN => {
                    Poll::Ready(Some(Ok(())))
                }
                Poll::Pending => next.as_mut().poll(cx).map(|()| None),
            });
            if let Some(ended) = step.await {
                ended?;
                break;
            }
        }
        drop(heard);
        let most = Rc::new(Cell::new(drive.current_max_send_streams()));
        let connects = drive.is_extended_connect_protocol_enabled();
        let (known, grown) = (Rc::clone(&most), Rc::clone(&freed));
        tokio::task::spawn_local(async move {
            let ended = std::future::poll_fn(|cx| {
                let polled = Pin::new(&mut drive).poll(cx);
                let now = drive.current_max_send_streams();
                if now > known.replace(now) {
                    grown.notify_waiters();
                }
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a connection to an endpoint ended");
            }
        });
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            secure,
            connects,
            most,
            active: Cell::new(0),
            freed,
            given: Cell::new(0),
            turned_from: TurnedFrom::default(),
            ends: Cell::new(false),
            since: Cell::new(0),
            idle_since: Cell::new(None),
            pulse,
            silence: Silence::default(),
            waiting: Cell::new(0),
        }))
    }

    /// It is used from now on. Milliseconds.
    pub fn begin(&self, now: u64) {
        self.since.set(now);
    }

    /// Since when it is used. Milliseconds.
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since.get()
    }

    /// Requests on it now.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.get()
    }

    /// Whether the endpoint takes one more now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.active.get() < self.most.get()
    }

    /// Whether it was given fewer requests than an endpoint takes on one connection.
    #[must_use]
    pub fn is_young(&self, lifetime: u64) -> bool {
        self.given.get() < lifetime
    }

    /// Whether it takes another request, or has some to end.
    #[must_use]
    pub fn is_of_use(&self, lifetime: u64) -> bool {
        !self.is_closed() && (self.is_young(lifetime) || self.active.get() > 0)
    }

    /// Whether it is known to take no request any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ends.get() || self.sender.borrow().is_closed()
    }

    /// Look whether it is alive: ask the endpoint, or give the connection up. Milliseconds.
    pub fn look(&self, now: u64, endpoint: &str) {
        let (active, waits) = (self.active.get() > 0, self.waiting.get() > 0);
        match self.silence.look(now, self.pulse.reads(), active, waits) {
            Step::Rest => {}
            Step::Ping => self.pulse.ping(),
            Step::End => {
                if !self.ends.replace(true) {
                    tracing::warn!(
                        endpoint,
                        requests = self.active.get(),
                        "an HTTP/2 connection went silent and was closed: the endpoint answered no PING; \
                         if it is well, look for a firewall in between that forgets connections"
                    );
                }
                self.pulse.end();
            }
        }
    }

    /// Whether new requests are to go to another one, since it may be dead. Milliseconds.
    #[must_use]
    pub fn is_doubtful(&self, now: u64) -> bool {
        self.silence.is_doubtful(now, self.pulse.reads())
    }

    /// Whether nobody has used it for longer than this. Milliseconds.
    pub fn is_stale(&self, now: u64, longest: u64) -> bool {
        if self.active.get() > 0 {
            self.idle_since.set(None);
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.saturating_sub(since) > longest
    }

    /// A place for one request.
    #[must_use]
    pub fn slot(self: &Rc<Self>) -> Slot {
        self.active.set(self.active.get() + 1);
        self.idle_since.set(None);
        let number = self.given.get();
        self.given.set(number + 1);
        Slot {
            number,
            reused: number > 0,
            shared: Rc::clone(self),
            again: None,
        }
    }
}

/// A place for one request, until its response is over.
#[derive(Debug)]
pub struct Slot {
    shared: Rc<Shared>,
    again: Option<Box<Request<Body>>>,
    /// Which request of the connection it is for, from 0.
    number: u64,
    /// Whether the connection has carried a request before.
    pub reused: bool,
}

impl Slot {
    /// Whether the endpoint takes an extended `CONNECT` (RFC 8441).
    #[must_use]
    pub fn connects(&self) -> bool {
        self.shared.connects
    }

    /// Send a request, which is as HTTP/1.1 wants it, and wait for the response's head. A request
    /// that comes back is made fit for HTTP/1.1 again by [`to_http1`]. `keep`: one without a body is
    /// kept, for [`Self::sent_request`].
    ///
    /// # Errors
    ///
    /// Its `host` cannot be an authority.
    pub fn send(
        &mut self,
        mut request: Request<Body>,
        keep: bool,
    ) -> http::Result<Pin<Box<dyn Future<Output = Outcome>>>> {
        self.again = None;
        if keep && request.body().is_empty() {
            let mut again = Request::new(Body::Empty);
            *again.method_mut() = request.method().clone();
            *again.uri_mut() = request.uri().clone();
            *again.headers_mut() = request.headers().clone();
            self.again = Some(Box::new(again));
        }
        to_http2(&mut request, self.shared.secure)?;
        let response = self.shared.sender.borrow_mut().try_send_request(request);
        let waits = Waits::new(&self.shared);
        Ok(Box::pin(async move {
            let _waits = waits;
            response.await
        }))
    }

    /// The endpoint has turned this request away since it ends the connection: no other is sent on it.
    pub fn ends(&self, lifetime: &Lifetime, now: u64) {
        self.shared.ends.set(true);
        lifetime.turned_away(&self.shared.turned_from, self.number, now);
    }

    /// It had waited since `began` in vain: see [`super::Line::timed_out`]. Milliseconds.
    pub fn timed_out(&self, began: u64, now: u64) {
        let Shared { pulse, silence, .. } = &*self.shared;
        if silence.timed_out(now, began, pulse.reads()) {
            pulse.ping();
        }
    }

    /// Whether its request is the connection's first.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.number == 0
    }

    /// Whether [`Self::sent_request`] gives one.
    #[must_use]
    pub fn has_request(&self) -> bool {
        self.again.is_some()
    }

    /// The request that was sent, if it had no body and is kept.
    pub fn sent_request(&mut self) -> Option<Request<Body>> {
        self.again.take().map(|again| *again)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let active = &self.shared.active;
        active.set(active.get().saturating_sub(1));
        self.shared.freed.notify_one();
    }
}

/// A request waits for the head of its answer, until this drops.
struct Waits(Rc<Shared>);

impl Waits {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.waiting.set(shared.waiting.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let waiting = &self.0.waiting;
        waiting.set(waiting.get().saturating_sub(1));
    }
}

/// What HTTP/2 says otherwise: the host is part of the target, and no field concerns the
/// connection (RFC 9113 section 8.2.2).
fn to_http2(request: &mut Request<Body>, secure: bool) -> http::Result<()> {
    let headers = request.headers_mut();
    let host = headers.remove(HOST);
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(UPGRADE);
    let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(host)?);
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    *request.uri_mut() = Uri::from_parts(parts)?;
    *request.version_mut() = http::Version::HTTP_2;
    Ok(())
}

/// The way back, for a request that was not sent.
pub fn to_http1(request: &mut Request<Body>) {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = &parts.authority
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let target = parts.path_and_query;
    *request.uri_mut() = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.version_mut() = http::Version::HTTP_11;
    // hyper says the length of a body that it knows.
    let body = request.body();
    if !body.is_empty() && body.size_hint().exact().is_none() {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    if request.headers().contains_key(TE) {
        let option = HeaderValue::from_static("te");
        request.headers_mut().insert(CONNECTION, option);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_finds_its_way_to_http2_and_back() {
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = Uri::from_static("/a?b");
        for (name, value) in [(HOST, "h:1"), (TE, "trailers"), (CONNECTION, "te")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        to_http2(&mut request, true).unwrap();
        assert_eq!(request.uri(), "https://h:1/a?b");
        assert!(!request.headers().contains_key(HOST));
        assert!(!request.headers().contains_key(CONNECTION));
        to_http1(&mut request);
        assert_eq!(request.uri(), "/a?b");
        assert_eq!(request.headers()[HOST], "h:1");
        assert_eq!(request.headers()[CONNECTION], "te");
    }

    #[test]
    fn a_host_that_is_none_is_an_error() {
        let mut request = Request::new(Body::Empty);
        assert!(to_http2(&mut request, false).is_err());
    }
}
