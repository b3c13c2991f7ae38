//! An HTTP/2 connection to an endpoint, which carries many requests at once.
//!
//! A task of its own moves its bytes. Each request has a slot until its response is over. There are no
//! more slots than the endpoint allows, unless the pool is at its bound. A connection that nobody uses
//! any more closes after its last response.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::sync::{Mutex, Notify};

use super::http2_request;
use super::interim::InterimResponse;
use super::liveness::{Liveness, LivenessAction, LivenessTap, SilenceTracker};
use super::request_limit::{FirstRejected, RequestLimit};
use super::{SendFailure, SendOutcome};
use crate::http::body::Body;
use crate::http::stream::Stream;
use crate::http::tap::TappedIo;
use crate::upstream::endpoint::state::ConnectionPermit;

/// The window of one response. Bytes. A client that reads nothing costs this much, and more if the endpoint
/// sends tiny frames, each of which has a head of its own.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The window of all responses of a connection together. Bytes: enough for more responses than there usually
/// are, since clients that read nothing would stop all others on it. It has a bound, since h2 derives from it
/// how many tiny frames it keeps.
const CONNECTION_WINDOW: u32 = 512 * STREAM_WINDOW;
/// How much of one request's body is buffered before it waits. Bytes.
const SEND_BUFFER: usize = 128 * 1024;

/// The number of requests that an endpoint accepts at once, before its SETTINGS have come.
const UNKNOWN: usize = 99_999;

/// One connection.
#[derive(Debug)]
pub(crate) struct Http2Connection {
    /// Opens streams, which may have to wait for the connection.
    sender: Mutex<SendRequest<Bytes>>,
    secure: bool,
    /// Whether the endpoint accepts an extended `CONNECT`.
    connects: bool,
    /// How many requests the endpoint accepts at once.
    max_streams: Cell<usize>,
    /// How many requests are on it now.
    pub(super) active: Cell<usize>,
    /// Wakes a request that waits for a free stream.
    capacity_notify: Rc<Notify>,
    /// Requests that got a slot on it.
    requests_sent: Cell<u64>,
    first_rejected: FirstRejected,
    /// It accepts no more requests.
    is_closing: Cell<bool>,
    /// Since when the pool has it. Milliseconds.
    pub(super) in_use_since: Cell<u64>,
    idle_since: Cell<Option<u64>>,
    liveness: Rc<Liveness>,
    silence: SilenceTracker,
    /// Requests that wait for the head of a response.
    waiting: Cell<usize>,
}

impl Http2Connection {
    /// Over a connected stream, with response heads up to `max_head` bytes. Waits for the endpoint's
    /// SETTINGS, which say how many requests it accepts at once: more of them would wait behind
    /// one another for as long as a stream lasts.
    ///
    /// # Errors
    ///
    /// The endpoint closed it at once, or does not speak HTTP/2.
    pub(crate) async fn new(
        stream: Stream,
        max_head: usize,
        permit: ConnectionPermit,
        capacity_notify: Rc<Notify>,
    ) -> Result<Rc<Self>, h2::Error> {
        let secure = stream.is_tls();
        let liveness = Rc::new(Liveness::default());
        let tap = LivenessTap {
            liveness: Rc::clone(&liveness),
            _permit: permit,
        };
        let (mut sender, mut connection) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .initial_max_send_streams(UNKNOWN)
            .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
            .handshake(TappedIo { stream, tap })
            .await?;
        poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Pending if connection.max_concurrent_send_streams() == UNKNOWN => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
            ended @ Poll::Ready(_) => ended,
        })
        .await?;
        // Fails if the endpoint has closed it meanwhile.
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        let shared = Rc::new(Self {
            secure,
            connects: sender.is_extended_connect_protocol_enabled(),
            max_streams: Cell::new(connection.max_concurrent_send_streams()),
            sender: Mutex::new(sender),
            active: Cell::new(0),
            capacity_notify,
            requests_sent: Cell::new(0),
            first_rejected: FirstRejected::default(),
            is_closing: Cell::new(false),
            in_use_since: Cell::new(0),
            idle_since: Cell::new(None),
            liveness,
            silence: SilenceTracker::default(),
            waiting: Cell::new(0),
        });
        tokio::task::spawn_local(Http2Driver {
            pings: connection.ping_pong(),
            pinged: false,
            liveness: Rc::clone(&shared.liveness),
            shared: Rc::downgrade(&shared),
            connection,
        });
        Ok(shared)
    }

    /// Open a stream for a request, once there is room for it. `ends`: nothing follows its head.
    ///
    /// # Errors
    ///
    /// The connection accepts no more requests: here is this one.
    async fn open(
        &self,
        request: Request<Body>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>, Body), SendFailure> {
        let mut sender = self.sender.lock().await;
        if let Err(error) = poll_fn(|cx| sender.poll_ready(cx)).await {
            tracing::debug!(%error, "a connection to an endpoint takes no more requests");
            self.is_closing.set(true);
            return Err(SendFailure::Unsent(Box::new(request)));
        }
        let (parts, body) = request.into_parts();
        let (response, stream) = sender.send_request(Request::from_parts(parts, ()), ends)?;
        // While it waits for room, those behind it can still go elsewhere.
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        Ok((response, stream, body))
    }

    /// Its bytes were moved: the endpoint may take another number of requests at once now, or no more.
    fn update_limit(&self, cx: &mut Context<'_>, most: usize) {
        if most > self.max_streams.replace(most) {
            self.capacity_notify.notify_waiters();
        }
        // Whoever has the sender sees by itself that no stream can be opened.
        if let Ok(mut sender) = self.sender.try_lock()
            && matches!(sender.poll_ready(cx), Poll::Ready(Err(_)))
        {
            self.is_closing.set(true);
        }
    }

    /// Whether the endpoint accepts one more request now.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        self.active.get() < self.max_streams.get()
    }

    /// Whether it was given fewer requests than an endpoint takes on one connection.
    #[must_use]
    pub(crate) fn has_requests_left(&self, lifetime: u64) -> bool {
        self.requests_sent.get() < lifetime
    }

    /// Whether it accepts another request, or has active ones.
    #[must_use]
    pub(crate) fn is_usable(&self, lifetime: u64) -> bool {
        !self.is_closing.get() && (self.has_requests_left(lifetime) || self.active.get() > 0)
    }

    /// Check whether it is alive: send a PING, or declare the connection dead. Milliseconds.
    pub(crate) fn check_liveness(&self, now: u64, endpoint: &str) {
        let (active, waits) = (self.active.get() > 0, self.waiting.get() > 0);
        match self
            .silence
            .next_action(now, self.liveness.reads(), active, waits)
        {
            LivenessAction::Wait => {}
            LivenessAction::Ping => self.liveness.ping(),
            LivenessAction::End => {
                if !self.is_closing.replace(true) {
                    tracing::warn!(
                        endpoint,
                        requests = self.active.get(),
                        "an HTTP/2 connection went silent and was closed: the endpoint did not answer a PING; \
                         if the endpoint is healthy, look for a firewall in between that drops idle connections"
                    );
                }
                self.liveness.close();
            }
        }
    }

    /// Whether new requests are to go to another one, since it may be dead. Milliseconds.
    #[must_use]
    pub(crate) fn is_doubtful(&self, now: u64) -> bool {
        self.silence.is_doubtful(now, self.liveness.reads())
    }

    /// Whether nobody has used it for longer than this. Milliseconds.
    pub(crate) fn is_stale(&self, now: u64, longest: u64) -> bool {
        if self.active.get() > 0 {
            self.idle_since.set(None);
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.saturating_sub(since) > longest
    }

    /// Take a slot for one request.
    #[must_use]
    pub(crate) fn reserve_stream(self: &Rc<Self>) -> Http2Stream {
        self.active.set(self.active.get() + 1);
        self.idle_since.set(None);
        let number = self.requests_sent.get();
        self.requests_sent.set(number + 1);
        Http2Stream {
            number,
            reused: number > 0,
            shared: Rc::clone(self),
            kept_request: None,
        }
    }
}

/// A slot for one request, until its response is over.
#[derive(Debug)]
pub(crate) struct Http2Stream {
    shared: Rc<Http2Connection>,
    /// The request, if it had no body and may have to be sent again.
    pub(crate) kept_request: Option<Box<Request<Body>>>,
    /// The number of the request on the connection, from 0.
    pub(crate) number: u64,
    /// Whether the connection has carried a request before.
    pub(crate) reused: bool,
}

impl Http2Stream {
    /// Whether the endpoint accepts an extended `CONNECT` (RFC 8441).
    #[must_use]
    pub(crate) fn supports_connect(&self) -> bool {
        self.shared.connects
    }

    /// Send a request, which is as HTTP/1.1 wants it, and wait for the response's head. A request
    /// that comes back is made fit for HTTP/1.1 again by [`super::http2_request::to_http1`]. `keep`: one without a
    /// body is kept, for [`Self::sent_request`]. `inform` is given the interim answers that come before.
    ///
    /// # Errors
    ///
    /// Its `host` cannot be an authority.
    pub(crate) fn send<'a>(
        &mut self,
        mut request: Request<Body>,
        keep: bool,
        inform: impl FnMut(InterimResponse) + 'a,
    ) -> http::Result<Pin<Box<dyn Future<Output = SendOutcome> + 'a>>> {
        self.kept_request = None;
        if keep && request.body().is_empty() {
            let mut again = Request::new(Body::Empty);
            *again.method_mut() = request.method().clone();
            *again.uri_mut() = request.uri().clone();
            *again.headers_mut() = request.headers().clone();
            self.kept_request = Some(Box::new(again));
        }
        http2_request::to_http2(&mut request, self.shared.secure)?;
        let waits = ResponseWait::new(&self.shared);
        Ok(Box::pin(async move {
            let open = async |request, ends| waits.0.open(request, ends).await;
            http2_request::send(request, open, inform).await
        }))
    }

    /// The endpoint has turned this request away since it ends the connection: no other is sent on it.
    pub(crate) fn mark_closing(&self, lifetime: &RequestLimit, now: u64) {
        self.shared.is_closing.set(true);
        lifetime.record_rejection(&self.shared.first_rejected, self.number, now);
    }

    /// It had waited since `began` in vain: see [`super::EndpointConnection::timed_out`]. Milliseconds.
    pub(crate) fn timed_out(&self, began: u64, now: u64) {
        let connection = &*self.shared;
        let reads = connection.liveness.reads();
        if connection.silence.timed_out(now, began, reads) {
            connection.liveness.ping();
        }
    }

    /// The request that was sent, if it had no body and is kept.
    pub(crate) fn sent_request(&mut self) -> Option<Request<Body>> {
        self.kept_request.take().map(|again| *again)
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        let active = &self.shared.active;
        active.set(active.get().saturating_sub(1));
        self.shared.capacity_notify.notify_one();
    }
}

/// A request that waits for the head of its response, until dropped.
struct ResponseWait(Rc<Http2Connection>);

impl ResponseWait {
    fn new(shared: &Rc<Http2Connection>) -> Self {
        shared.waiting.set(shared.waiting.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for ResponseWait {
    fn drop(&mut self) {
        let waiting = &self.0.waiting;
        waiting.set(waiting.get().saturating_sub(1));
    }
}

/// Moves the bytes of a connection, and updates its shared state.
#[derive(Debug)]
struct Http2Driver {
    connection: client::Connection<TappedIo<LivenessTap>, Bytes>,
    shared: Weak<Http2Connection>,
    liveness: Rc<Liveness>,
    pings: Option<PingPong>,
    /// Whether a PING waits for its acknowledgement.
    pinged: bool,
}

impl Http2Driver {
    fn ping(&mut self, cx: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        if self.pinged && pings.poll_pong(cx).is_ready() {
            self.pinged = false;
        }
        if self.liveness.take_ping() {
            // One that waits for its answer asks already.
            self.pinged |= pings.send_ping(Ping::opaque()).is_ok();
        }
    }
}

impl Future for Http2Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.liveness.set_waker(cx.waker());
        this.ping(cx);
        let polled = Pin::new(&mut this.connection).poll(cx);
        if let Some(shared) = this.shared.upgrade() {
            shared.update_limit(cx, this.connection.max_concurrent_send_streams());
            if polled.is_ready() {
                shared.is_closing.set(true);
            }
        }
        polled.map(|ended| {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to an endpoint ended");
            }
        })
    }
}
