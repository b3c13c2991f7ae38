//! Accepts connections on a worker's sockets, and serves each or gives it to a worker with far fewer.
//!
//! [`super::thread`] begins it. Accepting pauses if a listener is full or if files run out.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::SendError;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::client_connections::ClientBound;
use super::connection;
use super::listen::ConnectionCount;
use super::proxied::{self, ProxyHeaderRule};
use super::thread::{
    DRAIN_GRACE, ListenerConfig, TransferredConnection, WorkerContext, WorkerListener,
};
use crate::http::watch::Watch;
use crate::proxy::worker::WorkerConnection;
use crate::runtime::{descriptors, sockets};

/// How long accepting pauses if the system is out of sockets or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A listener that was full is no longer full when this share of its connections is free, as a divisor.
const FREE_SHARE: usize = 10;

/// How many idle connections are closed at once if open files run out.
const MAX_CLOSED_IDLE: usize = 16;
/// How long a connection must be idle before it can be closed for another. Milliseconds.
const MIN_IDLE_MS: u64 = 500;

/// Accept on one socket until the worker drains or the listener is removed, and then the queued clients.
pub(super) async fn accept(
    context: Rc<WorkerContext>,
    listener: Rc<WorkerListener>,
    socket: TcpListener,
) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "a listening socket cannot be used; restart the gateway");
            return;
        }
    };
    let mut short = false;
    while context.accepts(&listener) {
        if short {
            context.connections.close_idle(MAX_CLOSED_IDLE, MIN_IDLE_MS);
            context.wait_for_room().await;
            short = !descriptors::has_room_for_clients(&socket);
            continue;
        }
        let accepted = tokio::select! {
            biased;
            () = context.stop.notified() => break,
            () = listener.removed.notified() => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                short = !descriptors::leaves_room_for_clients(&stream);
                if short {
                    context.report_pause(None);
                }
                context.make_room(&listener).await;
                context.serve_or_transfer(stream, remote, &listener);
            }
            Err(error) => context.pause_accepting(&error).await,
        }
    }
    if context.handed_over.borrow().contains(&listener.slot) {
        // A socket filter would apply to the successor's socket, too.
        return;
    }
    if let Ok(socket) = socket.into_std() {
        sockets::close_queue(&socket);
        while let Ok((stream, remote)) = socket.accept() {
            context.serve_queued(stream, remote, &listener);
        }
    }
}

impl WorkerContext {
    /// Whether new connections of this listener are accepted.
    fn accepts(&self, listener: &WorkerListener) -> bool {
        !self.worker.draining.get() && !listener.is_removed()
    }

    /// After a failed accept: a client that left needs nothing; a lack of sockets or memory needs a pause.
    async fn pause_accepting(&self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted => {}
            _ => {
                self.report_pause(Some(error));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Log that accepting pauses, for lack of files or of memory.
    fn report_pause(&self, error: Option<&io::Error>) {
        if let Some(times) = descriptors::count_pause(self.worker.shared.clock.now()) {
            tracing::warn!(
                times,
                limit = descriptors::limit(),
                error = error.map(tracing::field::display),
                "accepting pauses: the remaining open files are reserved for endpoints, health checks and the admin listener; raise the limit (`LimitNOFILE=`, `ulimit -Hn`), or lower `max_connections`"
            );
        }
    }

    fn is_full(&self, listener: &WorkerListener) -> bool {
        let limits = listener.config().limits;
        // There is no lock between this look and the count: two workers may both accept the last connection.
        let (open, most) = (
            self.loads.on_listener(listener.slot),
            limits.max_connections,
        );
        if open >= most {
            return true;
        }
        if open < most - (most / FREE_SHARE).max(1)
            && self.loads.should_report(listener.slot, false)
        {
            tracing::info!(listener = %limits.address, "the listener is no longer full");
        }
        false
    }

    /// Make room for a new connection. If its listener is full, the connection that has idled longest is
    /// closed. If none is idle, the new one waits here, and later ones wait in the kernel's queue.
    async fn make_room(&self, listener: &WorkerListener) {
        if !self.is_full(listener) {
            return;
        }
        let stats = &self.worker.shared.stats;
        stats.connections_at_limit.add(1);
        self.report_full(listener);
        let _wanting = self.loads.request_room(listener.slot);
        while self.is_full(listener) && self.accepts(listener) {
            let closed = self.connections.close_longest_idle(listener.slot);
            stats.connections_gave_way.add(u64::from(closed));
            // If none of this worker's is idle, the others look among theirs.
            self.connections.makes_room.set(closed);
            self.wait_for_room().await;
        }
        self.connections.makes_room.set(false);
    }

    fn report_full(&self, listener: &WorkerListener) {
        let limits = listener.config().limits;
        if self.loads.should_report(listener.slot, true) {
            tracing::warn!(
                listener = %limits.address,
                max_connections = limits.max_connections,
                "the listener is full: each new connection closes an idle one, and waits if none is idle; raise `max_connections` if the machine can serve more"
            );
        }
    }

    /// Wait until one of this worker's connections ends, or for a moment, since another worker's may end.
    async fn wait_for_room(&self) {
        tokio::select! {
            () = self.stop.notified() => {}
            () = self.connections.wait_for_end() => {}
            () = sleep(ACCEPT_PAUSE) => {}
        }
    }

    /// Serve a connection here, or give it to a worker that has far fewer.
    fn serve_or_transfer(
        &self,
        stream: tokio::net::TcpStream,
        remote: SocketAddr,
        listener: &WorkerListener,
    ) {
        let own = self.worker.index;
        let chosen = self.loads.choose(own);
        // Counted before the other worker has it, since the next choice uses these counts.
        let ticket = self.loads.count_connection(chosen, listener.slot);
        let sender = if chosen == own {
            None
        } else {
            self.transfer_senders.get(chosen)
        };
        let Some(sender) = sender else {
            return self.serve(stream, remote, listener, ticket);
        };
        match stream.into_std() {
            Ok(stream) => {
                self.worker.shared.stats.connections_handed_over.add(1);
                let handed = TransferredConnection {
                    stream,
                    remote,
                    listener: listener.slot,
                    ticket,
                };
                // A worker that drains accepts no more.
                if let Err(SendError(handed)) = sender.send(handed) {
                    self.serve_queued(handed.stream, remote, listener);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was closed: it could not be given to another worker");
            }
        }
    }

    /// Serve a connection that was still queued when a drain began.
    fn serve_queued(&self, stream: TcpStream, remote: SocketAddr, listener: &WorkerListener) {
        let ticket = self
            .loads
            .count_connection(self.worker.index, listener.slot);
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpStream::from_std(stream));
        match stream {
            Ok(stream) => self.serve(stream, remote, listener, ticket),
            Err(error) => tracing::warn!(%error, "a queued connection could not be served"),
        }
    }

    pub(super) fn serve(
        &self,
        stream: tokio::net::TcpStream,
        remote: SocketAddr,
        listener: &WorkerListener,
        ticket: ConnectionCount,
    ) {
        let worker = Rc::clone(&self.worker);
        let generation = worker.generation();
        let ListenerConfig { limits, tls } = listener.config();
        let rule = proxied::rule(&limits, &generation.gateway.trusted_proxies, remote.ip());
        if rule == ProxyHeaderRule::Stranger {
            worker.shared.stats.proxy_headers_refused.add(1);
            tracing::debug!(%remote, listener = %limits.address, "a connection was closed: only the proxies in `proxy_protocol` may connect");
            return;
        }
        let local = generation.sends_clients.then(|| stream.local_addr().ok());
        if limits.tls.is_some() && tls.is_none() {
            // A successful build has one for each. Windlass never serves clear text instead.
            tracing::error!(listener = %limits.address, "a connection was closed: the listener has no certificate");
            return;
        }
        drop(generation);
        let shared = Arc::clone(&worker.shared);
        let watch = Watch::new(Arc::clone(&shared), &limits, worker.tick.get());
        if !self.accepts(listener) {
            watch.drain(DRAIN_GRACE);
        }
        let registration = self.connections.add(Arc::clone(&watch), listener.slot);
        shared.stats.connections.add(1);
        shared.stats.connections_open.add(1);
        let clients = limits.max_connections_per_client.map(|most| ClientBound {
            all: Arc::clone(&self.loads.clients),
            listener: listener.slot,
            most,
        });
        let mut connection = WorkerConnection::new(worker, watch, limits, remote);
        connection.set_local(local.flatten());
        spawn_local(async move {
            connection::serve(connection, stream, rule, clients, tls.as_deref()).await;
            shared.stats.connections_open.subtract(1);
            drop((registration, ticket));
        });
    }
}
