//! Stop 1: listening sockets, and the worker that serves an accepted connection.
//!
//! Each worker has a socket of its own for each listener (`SO_REUSEPORT`), so accepting needs no lock;
//! it has several if the gateway before this one had more workers. The kernel spreads connections by a
//! hash of their addresses, which is unfair if they are few and long. So a worker that accepts one
//! while it has far more than the least-loaded worker gives it to that worker. An address that is in
//! use stops the start. At `max_connections` a new connection closes the one that has idled longest; if
//! none is idle, clients wait in the kernel's queue.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::client_connections::ClientConnections;
use crate::runtime::sockets;
use crate::runtime::sockets::handover::Predecessor;

/// A listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process uses the address.
    #[error(
        "address `{address}` is in use; stop what listens there (`ss -ltnp` names it), or change `address` of this `[[listener]]`"
    )]
    InUse { address: SocketAddr },
    /// A port below 1024, usually.
    #[error(
        "this user may not bind address `{address}`; use a port above 1023, or grant `CAP_NET_BIND_SERVICE`"
    )]
    Denied { address: SocketAddr },
    /// Too many listeners were removed whose connections go on.
    #[error(
        "address `{address}` is not bound: there are {MAX_LISTENERS} listeners already, with those that were removed and still have connections; try again when these have ended"
    )]
    TooMany { address: SocketAddr },
    /// Any other error.
    #[error("address `{address}` cannot be bound; is it an address of this machine?")]
    Other {
        address: SocketAddr,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
}

/// The most listeners at once, with those that were removed by a reload and still have connections.
pub(super) const MAX_LISTENERS: usize = 256;

impl BindError {
    /// The system's error for this address.
    fn new(address: SocketAddr, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            _ => Self::Other { address, cause },
        }
    }
}

/// Bind one listener: a socket for each worker at least, all on one port. They listen already, unless a
/// gateway that drains uses the address too.
pub(super) fn bind(
    address: SocketAddr,
    workers: usize,
    predecessor: &mut Predecessor,
) -> Result<Vec<TcpListener>, BindError> {
    sockets::open(address, workers, predecessor).map_err(|cause| BindError::new(address, cause))
}

/// Bind one listener of a running gateway, and listen. The gateway may have these other addresses in use.
pub(super) fn bind_more(
    address: SocketAddr,
    workers: usize,
    own: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<TcpListener>, BindError> {
    sockets::open_beside(address, workers, own).map_err(|cause| BindError::new(address, cause))
}

/// How many connections each worker and each listener have. A listener has the same number as long as it is
/// bound, whatever its place in the configuration.
#[derive(Debug)]
pub(crate) struct Loads {
    workers: Vec<Load>,
    listeners: Vec<Load>,
    demands: Vec<RoomDemand>,
    /// Those of each client.
    pub(super) clients: Arc<ClientConnections>,
}

/// How many workers want room for a new connection of one listener, and whether that was logged.
#[derive(Debug, Default)]
struct RoomDemand {
    workers: AtomicUsize,
    reported: AtomicBool,
}

/// A count with a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

impl Loads {
    #[must_use]
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        let loads = |count| (0..count).map(|_| Load::default()).collect();
        Arc::new(Self {
            workers: loads(workers),
            listeners: loads(MAX_LISTENERS),
            demands: (0..MAX_LISTENERS).map(|_| RoomDemand::default()).collect(),
            clients: ClientConnections::new(),
        })
    }

    /// A worker wants room for a connection of this listener, until the result is dropped.
    pub(crate) fn request_room(self: &Arc<Self>, listener: usize) -> RoomRequest {
        if let Some(want) = self.demands.get(listener) {
            want.workers.fetch_add(1, Relaxed);
        }
        RoomRequest {
            loads: Arc::clone(self),
            listener,
        }
    }

    /// The listeners for which a worker wants room.
    pub(crate) fn demanded_listeners(&self) -> impl Iterator<Item = usize> {
        let wants = self.demands.iter().enumerate();
        let wants = wants.filter(|(_, want)| want.workers.load(Relaxed) > 0);
        wants.map(|(listener, _)| listener)
    }

    /// Whether to log that this listener is full, or no longer full: once each.
    pub(crate) fn should_report(&self, listener: usize, is_full: bool) -> bool {
        let want = self.demands.get(listener);
        want.is_some_and(|want| {
            // Load first: a load leaves the cache line shared, and a swap at each accept would not.
            want.reported.load(Relaxed) != is_full
                && want.reported.swap(is_full, Relaxed) != is_full
        })
    }

    /// How many connections this listener has.
    #[must_use]
    pub(crate) fn on_listener(&self, listener: usize) -> usize {
        self.listeners
            .get(listener)
            .map_or(0, |load| load.0.load(Relaxed))
    }

    /// How many connections this worker has.
    #[must_use]
    pub(crate) fn on_worker(&self, worker: usize) -> usize {
        self.workers
            .get(worker)
            .map_or(0, |load| load.0.load(Relaxed))
    }

    /// The worker that should serve a connection that `worker` has accepted: itself, unless the least-loaded
    /// one has fewer by more than an eighth and two.
    #[must_use]
    pub(crate) fn choose(&self, worker: usize) -> usize {
        let own = self.on_worker(worker);
        let loads = self.workers.iter().map(|load| load.0.load(Relaxed));
        match loads.enumerate().min_by_key(|(_, load)| *load) {
            Some((least, load)) if own > load + load / 8 + 1 => least,
            Some(_) | None => worker,
        }
    }

    /// Count a connection until the ticket is dropped.
    #[must_use]
    pub(crate) fn count_connection(
        self: &Arc<Self>,
        worker: usize,
        listener: usize,
    ) -> ConnectionCount {
        let counts = [self.workers.get(worker), self.listeners.get(listener)];
        for load in counts.into_iter().flatten() {
            load.0.fetch_add(1, Relaxed);
        }
        ConnectionCount {
            loads: Arc::clone(self),
            worker,
            listener,
        }
    }
}

/// A worker's wish for room for a connection of a listener, until dropped.
#[derive(Debug)]
pub(crate) struct RoomRequest {
    loads: Arc<Loads>,
    listener: usize,
}

impl Drop for RoomRequest {
    fn drop(&mut self) {
        if let Some(want) = self.loads.demands.get(self.listener) {
            want.workers.fetch_sub(1, Relaxed);
        }
    }
}

/// Counts one connection, until dropped.
#[derive(Debug)]
pub(crate) struct ConnectionCount {
    loads: Arc<Loads>,
    worker: usize,
    listener: usize,
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        let workers = self.loads.workers.get(self.worker);
        let listeners = self.loads.listeners.get(self.listener);
        for load in [workers, listeners].into_iter().flatten() {
            load.0.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_and_said_of_a_listener() {
        let loads = Loads::new(1);
        assert_eq!(loads.demanded_listeners().count(), 0);
        let wants = [loads.request_room(1), loads.request_room(1)];
        assert_eq!(loads.demanded_listeners().collect::<Vec<_>>(), [1]);
        drop(wants);
        assert_eq!(loads.demanded_listeners().count(), 0);
        let said = [true, true, false, false, true].map(|is_full| loads.should_report(0, is_full));
        assert_eq!(said, [true, false, true, false, true]);
        assert!(!loads.should_report(1, false));
    }

    #[test]
    fn whoever_holds_far_more_hands_over() {
        let loads = Loads::new(2);
        let mut tickets = Vec::new();
        for _ in 0..100 {
            // The kernel gives everything to worker 0.
            let worker = loads.choose(0);
            tickets.push(loads.count_connection(worker, 0));
        }
        assert!(loads.on_worker(0) <= 60, "{}", loads.on_worker(0));
        assert_eq!(loads.on_listener(0), 100);
        drop(tickets);
        assert_eq!(
            loads.on_listener(0) + loads.on_worker(0) + loads.on_worker(1),
            0
        );
    }
}
