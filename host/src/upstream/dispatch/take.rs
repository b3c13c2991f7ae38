//! How an attempt comes to a connection: an unused one, a place on a shared one, or a new one.

use std::time::Instant;

use tokio::time::timeout;

use super::Attempt;
use super::pick::Pick;
use super::timeouts::Since;
use crate::config::UpstreamProtocol;
use crate::upstream::connection::EndpointConnection;
use crate::upstream::connection::client::{self, NewConnection};
use crate::upstream::connection::pool::Pool;
use crate::upstream::fault::{AttemptError, NoEndpointCause};
use crate::upstream::{LocalEndpoint, UpstreamEndpoint};

impl Attempt<'_> {
    /// One that was used before. None: there is none, or `fresh` asks for another.
    pub(super) fn unused(&self, pick: &Pick, fresh: bool) -> Option<EndpointConnection> {
        if fresh {
            return None;
        }
        pick.endpoint()?.pool.take(self.now())
    }

    /// The slower ways to a connection, for as long as the exchange may take. That it took too long
    /// is not the endpoint's fault then: the time is as short as the client or the route wants it.
    pub(super) async fn other(
        &self,
        pick: &Pick,
        unused: Option<EndpointConnection>,
        fresh: bool,
        since: Since,
    ) -> Result<EndpointConnection, AttemptError> {
        let made = self.make(pick, unused, fresh);
        match self.time_left(since) {
            None => made.await,
            Some(left) => match timeout(left, made).await {
                Ok(made) => made,
                Err(_) => Err(self.overdue(pick.name())),
            },
        }
    }

    /// An unused one that a task drives, one that another request makes now and will share, or a new
    /// one.
    async fn make(
        &self,
        pick: &Pick,
        mut unused: Option<EndpointConnection>,
        fresh: bool,
    ) -> Result<EndpointConnection, AttemptError> {
        while let Some(line) = unused {
            match line {
                EndpointConnection::Http1(mut connection) => {
                    // One whose endpoint has stopped reading is given up.
                    let ready = timeout(self.timeouts.connect, connection.ready()).await;
                    if ready.unwrap_or(false) {
                        return Ok(EndpointConnection::Http1(connection));
                    }
                }
                shared @ EndpointConnection::Http2(_) => return Ok(shared),
            }
            unused = self.unused(pick, fresh);
        }
        let plan = &*self.upstream.shared;
        let (Some(endpoint), Some(target)) = (pick.endpoint(), pick.target()) else {
            return Err(AttemptError::NoEndpoint {
                upstream: plan.config.name.to_string(),
                why: NoEndpointCause::Available,
            });
        };
        let pool = &endpoint.pool;
        let switches = self.switches();
        let began = Instant::now();
        // One after another while they are made: each has room for many. After one that failed
        // all try at once, so that no request waits for the failures of others.
        while !switches && pool.is_connecting() {
            let made = pool.wait_for_connection().await;
            // Also where another connection is wanted: this one was made since.
            if let Some(slot) = self.shared(pool) {
                return Ok(slot);
            }
            if !made {
                break;
            }
        }
        let shares = plan.config.protocol == UpstreamProtocol::Http2 && !switches;
        let connecting = pool.begin_connecting(shares);
        let made = self.connect(endpoint, target, began).await;
        if made.is_err() {
            connecting.failed();
        }
        made
    }

    /// A new one, once there is a place for it among those of the endpoint; or one that many share,
    /// where it has room by then.
    async fn connect(
        &self,
        endpoint: &LocalEndpoint,
        target: &UpstreamEndpoint,
        began: Instant,
    ) -> Result<EndpointConnection, AttemptError> {
        let plan = &*self.upstream.shared;
        let (pool, switches) = (&endpoint.pool, self.switches());
        let limits = &plan.config.limits;
        // For the wait behind others that connect, too.
        let longest = limits.queue_timeout.saturating_sub(began.elapsed());
        let place = endpoint.state.acquire_connection(limits, longest);
        let place = match plan.may_use_http2() && !switches {
            false => place.await,
            true => tokio::select! {
                biased;
                place = place => place,
                slot = pool.wait_for_stream(|| self.now()) => return Ok(EndpointConnection::Http2(slot)),
            },
        };
        let place = place.map_err(|why| self.full(why))?;
        let limit = self.timeouts.connect;
        let connected =
            client::connect(plan, target, place, limit, switches, pool.capacity_notify()).await?;
        self.watch.shared.stats.connects.add(1);
        endpoint.counters.connects.add(1);
        Ok(match connected {
            NewConnection::Http1(connection) => {
                if !switches {
                    pool.note_http1();
                }
                EndpointConnection::Http1(connection)
            }
            NewConnection::Http2(shared) => {
                EndpointConnection::Http2(pool.add_http2(&shared, self.now()))
            }
        })
    }

    /// A place on a connection that many requests share.
    fn shared(&self, pool: &Pool) -> Option<EndpointConnection> {
        pool.reserve_stream(self.now())
            .map(EndpointConnection::Http2)
    }
}
