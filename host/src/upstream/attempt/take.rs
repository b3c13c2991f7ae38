//! How an attempt comes to a connection: an unused one, a place on a shared one, or a new one.

use tokio::time::timeout;

use super::Attempt;
use super::pick::Pick;
use super::timeouts::Since;
use crate::config::UpstreamProtocol;
use crate::upstream::fault::Fault;
use crate::upstream::line::Line;
use crate::upstream::line::client::{self, Connected};

impl Attempt<'_> {
    /// One that was used before. None: there is none, or `fresh` asks for another.
    pub(super) fn unused(&self, pick: &Pick, fresh: bool) -> Option<Line> {
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
        unused: Option<Line>,
        fresh: bool,
        since: Since,
    ) -> Result<Line, Fault> {
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
        mut unused: Option<Line>,
        fresh: bool,
    ) -> Result<Line, Fault> {
        while let Some(line) = unused {
            match line {
                Line::Own(mut connection) => {
                    // One whose endpoint has stopped reading is given up.
                    let ready = timeout(self.timeouts.connect, connection.ready()).await;
                    if ready.unwrap_or(false) {
                        return Ok(Line::Own(connection));
                    }
                }
                shared @ Line::Shared(_) => return Ok(shared),
            }
            unused = self.unused(pick, fresh);
        }
        let plan = &*self.upstream.plan;
        let (Some(endpoint), Some(target)) = (pick.endpoint(), pick.target()) else {
            return Err(Fault::NoEndpoint {
                upstream: plan.config.name.to_string(),
            });
        };
        let pool = &endpoint.pool;
        let switches = self.switches();
        // One after another while they are made: each has room for many. After one that failed
        // all try at once, so that no request waits for the failures of others.
        while !switches && pool.is_connecting() {
            let made = pool.made().await;
            // Also where another connection is wanted: this one was made since.
            if let Some(Line::Shared(slot)) = self.unused(pick, false) {
                return Ok(Line::Shared(slot));
            }
            if !made {
                break;
            }
        }
        let shares = plan.config.protocol == UpstreamProtocol::Http2 && !switches;
        let connecting = pool.connect(shares);
        let limits = &plan.config.limits;
        let place = endpoint.known.connection(limits).await;
        let place = place.map_err(|why| self.full(why))?;
        self.watch.common.stats.connects.add(1);
        endpoint.tally.connects.add(1);
        let limit = self.timeouts.connect;
        let line = match client::connect(plan, target, place, limit, switches).await? {
            Connected::One(connection) => {
                if !switches {
                    pool.own();
                }
                Line::Own(connection)
            }
            Connected::Many(shared) => Line::Shared(pool.share(&shared, self.now())),
        };
        connecting.done();
        Ok(line)
    }
}
