//! How an attempt comes to a connection: an unused one, a stream on a shared one, or a new one.

use std::time::Instant;

use tokio::time::timeout;

use super::Attempt;
use crate::config::UpstreamProtocol;
use crate::upstream::connection::EndpointConnection;
use crate::upstream::connection::client::{self, NewConnection};
use crate::upstream::connection::pool::Pool;
use crate::upstream::dispatch::retry::ConnectionUse;
use crate::upstream::fault::AttemptError;

impl Attempt<'_> {
    /// Take an unused connection. True: it can take the request at once, without [`Self::connect`].
    pub(in crate::upstream::dispatch) fn take_unused(&mut self) -> bool {
        self.connection = self.unused();
        let at_once = matches!(&self.connection, Some(EndpointConnection::Http1(connection)) if connection.is_inline());
        if at_once {
            self.connected();
        }
        at_once
    }

    /// The slower ways to a connection, for as long as the exchange may take. That it took too long
    /// is not the endpoint's fault then: the time is as short as the client or the route wants it.
    pub(in crate::upstream::dispatch) async fn connect(&mut self) -> Result<(), AttemptError> {
        let unused = self.connection.take();
        let made = self.make(unused);
        let connection = match self.context.time_left() {
            None => made.await,
            Some(left) => match timeout(left, made).await {
                Ok(made) => made,
                Err(_) => Err(self.context.overdue(self.pick.name())),
            },
        };
        self.connection = Some(connection?);
        self.connected();
        Ok(())
    }

    fn connected(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        self.usage = ConnectionUse {
            reused: connection.is_reused(),
            shared: matches!(connection, EndpointConnection::Http2(_)),
            ..self.usage
        };
    }

    /// One that was used before. None: there is none, or only a new one will do.
    fn unused(&self) -> Option<EndpointConnection> {
        if self.usage.fresh {
            return None;
        }
        let (pool, now) = (&self.pick.endpoint.pool, self.context.now());
        match self.context.proxied() {
            None => pool.take(now),
            Some(route) => pool.take_proxied(route, now),
        }
    }

    /// An unused one that a task drives, one that another request makes now and will share, or a new
    /// one.
    async fn make(
        &self,
        mut unused: Option<EndpointConnection>,
    ) -> Result<EndpointConnection, AttemptError> {
        while let Some(connection) = unused {
            match connection {
                EndpointConnection::Http1(mut connection) => {
                    // One whose endpoint has stopped reading is given up.
                    let limit = self.context.timeouts.connect;
                    let ready = timeout(limit, connection.ready()).await;
                    if ready.unwrap_or(false) {
                        return Ok(EndpointConnection::Http1(connection));
                    }
                }
                shared @ EndpointConnection::Http2(_) => return Ok(shared),
            }
            unused = self.unused();
        }
        let pool = &self.pick.endpoint.pool;
        let switches = self.context.switches();
        let began = Instant::now();
        // One after another while they are made: each has room for many. After one that failed
        // all try at once, so that no request waits for the failures of others.
        while !switches && pool.is_connecting() {
            let made = pool.wait_for_connection().await;
            // Also where another connection is wanted: this one was made since.
            if let Some(stream) = self.shared(pool) {
                return Ok(stream);
            }
            if !made {
                break;
            }
        }
        let protocol = self.context.upstream.shared.config.protocol;
        let shares = protocol == UpstreamProtocol::Http2 && !switches;
        let connecting = pool.begin_connecting(shares);
        let made = self.open(began).await;
        if made.is_err() {
            connecting.failed();
        }
        made
    }

    /// A new one, once the endpoint may have one more; or one that many share, where it has room by
    /// then.
    async fn open(&self, began: Instant) -> Result<EndpointConnection, AttemptError> {
        let (context, endpoint) = (self.context, &*self.pick.endpoint);
        let upstream = &*context.upstream.shared;
        let (pool, switches) = (&endpoint.pool, context.switches());
        let limits = &upstream.config.limits;
        // For the wait behind others that connect, too.
        let asked = Instant::now();
        let longest = limits
            .queue_timeout
            .saturating_sub(asked.saturating_duration_since(began));
        let permit = endpoint.state.acquire_connection(limits, longest);
        let permit = match upstream.may_use_http2() && !switches {
            false => permit.await,
            true => tokio::select! {
                biased;
                permit = permit => permit,
                stream = pool.wait_for_stream(|| context.now()) => return Ok(EndpointConnection::Http2(stream)),
            },
        };
        let permit = permit.map_err(|why| context.full(why))?;
        let limit = context.timeouts.connect;
        let proxied = context.proxied();
        let http1 = switches || proxied.is_some();
        let connected = client::connect(upstream, endpoint, permit, limit, http1, proxied).await?;
        context.watch.shared.stats.connects.add(1);
        endpoint.counters.connects.add(1);
        upstream.state.connect_times.observe_shared(asked.elapsed());
        Ok(match connected {
            NewConnection::Http1(connection) => {
                if !switches {
                    pool.is_http2.set(false);
                }
                EndpointConnection::Http1(connection)
            }
            NewConnection::Http2(shared) => {
                EndpointConnection::Http2(pool.add_http2(&shared, context.now()))
            }
        })
    }

    /// A stream on a connection that many requests share.
    fn shared(&self, pool: &Pool) -> Option<EndpointConnection> {
        pool.reserve_stream(self.context.now())
            .map(EndpointConnection::Http2)
    }
}
