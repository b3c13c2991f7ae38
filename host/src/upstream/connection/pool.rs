//! A worker's connections to one endpoint that can carry a request.
//!
//! HTTP/1.1 connections are here while they are idle: last in, first out, so that those that are not
//! needed grow old and are closed. HTTP/2 connections stay here while they are in use. Number and age
//! are bounded. The pool outlives configurations: a reload that does not change how an endpoint is
//! reached keeps its connections. [`super::client`] makes connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use smallvec::SmallVec;
use tokio::sync::Notify;

use super::EndpointConnection;
use super::http1::Http1Connection;
use super::http2::{Http2Connection, Http2Stream};
use super::request_limit::RequestLimit;
use crate::http::proxy_protocol::ProxiedRoute;
use crate::http::watch::milliseconds;
use crate::upstream::endpoint::state::EndpointState;
use crate::upstream::shared::Upstream;

/// The most HTTP/2 connections that a worker opens to one endpoint. Beyond what all of them take
/// at once, requests wait on the one with the fewest.
const MAX_HTTP2_CONNECTIONS: usize = 16;

/// How many idle connections are kept, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IdleLimits {
    /// The most at once.
    pub(crate) max_idle: usize,
    /// The longest. Milliseconds.
    pub(crate) max_idle_ms: u64,
}

/// All of a worker's connections.
#[derive(Debug, Default)]
pub struct Pools(RefCell<HashMap<PoolKey, Rc<Pool>>>);

/// An endpoint, with the settings that say how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PoolKey {
    endpoint: u64,
    idle_limits: IdleLimits,
    /// See [`Upstream::connection_key`].
    settings: u64,
}

impl Pools {
    /// The connections to this endpoint by the settings of this upstream.
    pub(crate) fn of(&self, upstream: &Upstream, endpoint: &Arc<EndpointState>) -> Rc<Pool> {
        let idle_limits = IdleLimits {
            max_idle: upstream.config.max_idle,
            max_idle_ms: milliseconds(upstream.config.keep_alive_timeout),
        };
        let key = PoolKey {
            endpoint: endpoint.id,
            idle_limits,
            settings: upstream.connection_key(),
        };
        let mut pools = self.0.borrow_mut();
        let pool = pools
            .entry(key)
            .or_insert_with(|| Rc::new(Pool::new(idle_limits, Arc::clone(endpoint))));
        Rc::clone(pool)
    }

    /// Close connections that are too old, that their endpoint closed, or that nothing can use any more.
    /// Gives the ids of the endpoints that have left.
    pub(crate) fn reap(&self, now: u64) -> SmallVec<[u64; 4]> {
        let mut left = SmallVec::new();
        self.0.borrow_mut().retain(|_, pool| {
            pool.reap(now);
            if pool.endpoint.has_left() {
                left.push(pool.endpoint.id);
            }
            Rc::strong_count(pool) > 1
        });
        left
    }
}

/// The connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    idle_limits: IdleLimits,
    endpoint: Arc<EndpointState>,
    idle: RefCell<Vec<IdleConnection>>,
    http2: RefCell<Vec<Rc<Http2Connection>>>,
    /// The last connection that was retired for another worker, while requests are active on it.
    released_http2: RefCell<Weak<Http2Connection>>,
    /// How many requests the endpoint accepts on an HTTP/2 connection.
    pub(crate) request_limit: RequestLimit,
    /// Whether the last connection that was made speaks HTTP/2, so that requests probably share one.
    pub(crate) is_http2: Cell<bool>,
    connecting: Cell<usize>,
    /// How many connections failed, without those that were abandoned.
    failed: Cell<u64>,
    /// Wakes requests when a connection was made, or has a free slot again.
    pub(super) connected: Rc<Notify>,
}

/// A connection is being made, until this is dropped. An abandoned one is no failure: a request that
/// waits for it makes the next.
#[derive(Debug)]
pub(crate) struct PendingConnection<'a> {
    pool: &'a Pool,
}

impl PendingConnection<'_> {
    /// Making it failed.
    pub(crate) fn failed(self) {
        let failed = &self.pool.failed;
        failed.set(failed.get().wrapping_add(1));
    }
}

impl Drop for PendingConnection<'_> {
    fn drop(&mut self) {
        let connecting = &self.pool.connecting;
        connecting.set(connecting.get().saturating_sub(1));
        self.pool.connected.notify_waiters();
    }
}

#[derive(Debug)]
struct IdleConnection {
    connection: Http1Connection,
    idle_since: u64,
}

impl Pool {
    #[must_use]
    pub(crate) fn new(idle_limits: IdleLimits, endpoint: Arc<EndpointState>) -> Self {
        Self {
            idle_limits,
            endpoint,
            idle: RefCell::default(),
            http2: RefCell::default(),
            released_http2: RefCell::default(),
            request_limit: RequestLimit::default(),
            is_http2: Cell::new(false),
            connecting: Cell::new(0),
            failed: Cell::new(0),
            connected: Rc::default(),
        }
    }

    /// Take the connection that was used last, or a slot on a shared one.
    pub(crate) fn take(&self, now: u64) -> Option<EndpointConnection> {
        if let Some(slot) = self.reserve_stream(now) {
            return Some(EndpointConnection::Http2(slot));
        }
        let idle = self.idle.borrow_mut().pop()?;
        // The connections below it are older still; the reaper closes them.
        let fresh = now.saturating_sub(idle.idle_since) <= self.idle_limits.max_idle_ms;
        fresh.then_some(EndpointConnection::Http1(idle.connection))
    }

    /// Take the connection that was used last by this client, of those that the endpoint was told of by the
    /// PROXY protocol.
    pub(crate) fn take_proxied(&self, route: ProxiedRoute, now: u64) -> Option<EndpointConnection> {
        let mut idle = self.idle.borrow_mut();
        let is_same = |idle: &IdleConnection| idle.connection.proxied.as_deref() == Some(&route);
        let index = idle.iter().rposition(is_same)?;
        let found = idle.remove(index);
        let fresh = now.saturating_sub(found.idle_since) <= self.idle_limits.max_idle_ms;
        fresh.then_some(EndpointConnection::Http1(found.connection))
    }

    /// A slot on an HTTP/2 connection: on the one with the most requests, so that others become idle.
    pub(crate) fn reserve_stream(&self, now: u64) -> Option<Http2Stream> {
        if !self.is_http2.get() {
            return None;
        }
        self.release_to_workers(now);
        let mut shared = self.http2.borrow_mut();
        let lifetime = self.request_limit.current(now);
        // A connection that reached its request limit closes after its last request, even if the endpoint
        // does not close it.
        shared.retain(|connection| connection.is_usable(lifetime));
        let young = || {
            let all = shared.iter();
            all.filter(|connection| {
                connection.has_requests_left(lifetime) && !connection.is_doubtful(now)
            })
        };
        let roomy = young().filter(|connection| connection.has_room());
        let chosen = match roomy.max_by_key(|connection| connection.active.get()) {
            None if young().count() >= MAX_HTTP2_CONNECTIONS => {
                young().min_by_key(|connection| connection.active.get())
            }
            other => other,
        };
        chosen.map(Http2Connection::reserve_stream)
    }

    /// If requests of other workers wait for a connection, the one with the fewest requests gets no more, and is
    /// closed after them. This worker waits for its next one behind the others. It releases one after another,
    /// and none that was made since the clock was last read, so that a connection is worth its handshake. When
    /// no request waits any more, a released one that still has requests is used again.
    fn release_to_workers(&self, now: u64) {
        let others_wait = self.endpoint.waiting() > self.connecting.get();
        let released = self.released_http2.borrow().upgrade();
        match released {
            Some(connection) if !others_wait => {
                self.released_http2.take();
                self.http2.borrow_mut().push(connection);
                self.connected.notify_waiters();
            }
            Some(_) => return,
            None => {}
        }
        if !others_wait {
            return;
        }
        let mut shared = self.http2.borrow_mut();
        let connections = shared.iter().enumerate();
        let old = connections.filter(|(_, connection)| connection.in_use_since.get() < now);
        let fewest = old.min_by_key(|(_, connection)| connection.active.get());
        if let Some((index, _)) = fewest {
            let connection = shared.swap_remove(index);
            *self.released_http2.borrow_mut() = Rc::downgrade(&connection);
        }
    }

    /// Keep a new shared connection, and give a slot on it.
    pub(crate) fn add_http2(&self, connection: &Rc<Http2Connection>, now: u64) -> Http2Stream {
        connection.in_use_since.set(now);
        self.is_http2.set(true);
        self.http2.borrow_mut().push(Rc::clone(connection));
        connection.reserve_stream()
    }

    /// Whether another request makes a connection now that this one may share. Then wait for it
    /// by [`Self::wait_for_connection`].
    #[must_use]
    pub(crate) fn is_connecting(&self) -> bool {
        self.is_http2.get() && self.connecting.get() > 0
    }

    /// Wait until a connection was made or abandoned, or one has room again. False: it could not be made.
    pub(crate) async fn wait_for_connection(&self) -> bool {
        // Compare counts, since failure and success both wake a request that waits.
        let failed = self.failed.get();
        let _waiting = self.endpoint.wait_for_shared_connection();
        self.connected.notified().await;
        self.failed.get() == failed
    }

    /// Wait until a shared connection has room: another request has made it or has ended, or it is used again.
    pub(crate) async fn wait_for_stream(&self, now: impl Fn() -> u64) -> Http2Stream {
        loop {
            self.connected.notified().await;
            if let Some(slot) = self.reserve_stream(now()) {
                return slot;
            }
        }
    }

    /// A connection is being made. `is_http2`: requests will share it.
    #[must_use]
    pub(crate) fn begin_connecting(&self, shares: bool) -> PendingConnection<'_> {
        if shares {
            self.is_http2.set(true);
        }
        self.connecting.set(self.connecting.get() + 1);
        PendingConnection { pool: self }
    }

    /// Give back a connection that is ready for a request. It is closed if there are too many, or if
    /// another worker waits for one.
    pub(crate) fn keep_idle(&self, connection: Http1Connection, now: u64) {
        let mut idle = self.idle.borrow_mut();
        let is_wanted = self.endpoint.waiting() > 0;
        if connection.proxied.is_some() && idle.len() >= self.idle_limits.max_idle {
            // The client of the oldest one is probably gone, and no other can use it.
            let oldest = idle.len().min(1);
            idle.drain(..oldest);
        }
        if idle.len() < self.idle_limits.max_idle && !connection.is_closed() && !is_wanted {
            idle.push(IdleConnection {
                connection,
                idle_since: now,
            });
        }
    }

    /// A request that was sent at this time on a connection that had been unused was not answered in
    /// time. Close those that have been unused since before: if the network has forgotten one, it has
    /// forgotten them all. Milliseconds.
    pub(crate) fn close_idle_since(&self, sent: u64) {
        self.idle.borrow_mut().retain(|idle| idle.idle_since > sent);
    }

    /// Close those that are too old, those that their endpoint closed, and one that another worker
    /// waits for.
    pub(crate) fn reap(&self, now: u64) {
        let mut idle = self.idle.borrow_mut();
        if self.endpoint.waiting() > 0 {
            idle.pop();
        }
        idle.retain_mut(|idle| {
            let age = now.saturating_sub(idle.idle_since);
            age <= self.idle_limits.max_idle_ms && idle.connection.is_ready()
        });
        drop(idle);
        self.release_to_workers(now);
        let lifetime = self.request_limit.current(now);
        self.http2.borrow_mut().retain(|connection| {
            connection.check_liveness(now, &self.endpoint.name);
            let is_stale = connection.is_stale(now, self.idle_limits.max_idle_ms);
            connection.is_usable(lifetime) && !is_stale
        });
    }
}
