//! The listeners that are bound, and how a reload replaces them.
//!
//! [`super::Workers`] keeps the set, and gives each worker its sockets. A listener keeps its number as long as
//! it is bound. A reload binds what is new before anything changes ([`PresentListeners`]), so an address that
//! cannot be bound leaves the old configuration in use.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::listen::{self, BindError, Loads};
use crate::config as model;
use crate::runtime::sockets;
use crate::runtime::sockets::handover::Duplicates;

/// A worker's sockets, each with its listener.
pub(super) type WorkerSockets = Vec<(usize, TcpListener)>;

/// One listener whose sockets are bound, and not served yet.
#[derive(Debug)]
pub(super) struct BoundListener {
    listener: ActiveListener,
    sockets: Vec<TcpListener>,
}

/// A listener with sockets.
#[derive(Debug)]
pub(super) struct ActiveListener {
    /// Its number, as long as it is bound.
    slot: usize,
    /// Its address in the configuration.
    configured: SocketAddr,
    /// Its address. A port 0 is replaced by the one that the system chose.
    address: SocketAddr,
    /// Duplicates of its sockets, until they are taken.
    duplicates: Vec<TcpListener>,
    /// Whether its socket is the service manager's.
    is_activated: bool,
}

impl BoundListener {
    pub(super) fn new(slot: usize, configured: SocketAddr, sockets: Vec<TcpListener>) -> Self {
        let address = sockets.first().and_then(|socket| socket.local_addr().ok());
        let listener = ActiveListener {
            slot,
            configured,
            address: address.unwrap_or(configured),
            duplicates: Vec::new(),
            is_activated: false,
        };
        Self { listener, sockets }
    }

    /// A listener on the service manager's socket, which so many workers share.
    pub(super) fn activated(
        slot: usize,
        configured: SocketAddr,
        socket: TcpListener,
        workers: usize,
    ) -> Result<Self, BindError> {
        let copies = (1..workers).map(|_| socket.try_clone());
        let copies: io::Result<Vec<_>> = copies.collect();
        let mut sockets = copies.map_err(|cause| BindError::Other {
            address: configured,
            cause,
        })?;
        sockets.push(socket);
        let mut bound = Self::new(slot, configured, sockets);
        bound.listener.is_activated = true;
        Ok(bound)
    }

    /// Listen, keep duplicates of the sockets, and spread the sockets over the workers.
    fn listen(mut self, shares: &mut [WorkerSockets]) -> io::Result<ActiveListener> {
        let duplicates = self.sockets.iter().map(TcpListener::try_clone);
        self.listener.duplicates = duplicates.collect::<io::Result<_>>()?;
        let workers = shares.len().max(1);
        for (index, socket) in self.sockets.into_iter().enumerate() {
            sockets::listen(&socket)?;
            if let Some(share) = shares.get_mut(index % workers) {
                share.push((self.listener.slot, socket));
            }
        }
        Ok(self.listener)
    }
}

/// The listeners in use, in the order of the configuration.
#[derive(Debug)]
pub(super) struct ListenerSet(Vec<ActiveListener>);

impl ListenerSet {
    /// Listen on all sockets, and spread them over the workers.
    pub(super) fn listen(
        bound: Vec<BoundListener>,
        shares: &mut [WorkerSockets],
    ) -> io::Result<Self> {
        let active = bound.into_iter().map(|one| one.listen(shares));
        active.collect::<io::Result<_>>().map(Self)
    }

    /// The numbers of the listeners.
    pub(super) fn slots(&self) -> Arc<[usize]> {
        self.0.iter().map(|listener| listener.slot).collect()
    }

    /// The numbers of the listeners whose sockets are the service manager's.
    pub(super) fn activated(&self) -> Vec<usize> {
        let activated = self.0.iter().filter(|listener| listener.is_activated);
        activated.map(|listener| listener.slot).collect()
    }

    /// The numbers and addresses of the listeners.
    pub(super) fn numbered_addresses(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        let listeners = self.0.iter();
        listeners.map(|listener| (listener.slot, listener.address))
    }

    /// The listeners, for the next configuration of so many workers.
    pub(super) fn present(&self, workers: usize) -> PresentListeners {
        let listeners = self.0.iter();
        let listeners =
            listeners.map(|listener| (listener.slot, listener.configured, listener.address));
        PresentListeners {
            listeners: listeners.collect(),
            workers,
        }
    }

    /// Replace the listeners by the next ones. Gives the addresses of those that are new.
    pub(super) fn replace(
        &mut self,
        next: NextListeners,
        loads: &Loads,
        shares: &mut [WorkerSockets],
    ) -> Result<Vec<SocketAddr>, BindError> {
        let mut numbers: Vec<usize> = self.0.iter().map(|one| one.slot).collect();
        let mut added = HashMap::new();
        let mut order = Vec::new();
        for listener in next.listeners {
            match listener {
                NextListener::Stays(slot) => order.push(slot),
                NextListener::New(address, sockets) => {
                    let is_free =
                        |slot: &usize| !numbers.contains(slot) && loads.on_listener(*slot) == 0;
                    let slot = (0..listen::MAX_LISTENERS).find(is_free);
                    let slot = slot.ok_or(BindError::TooMany { address })?;
                    let bound = BoundListener::new(slot, address, sockets);
                    let active = bound.listen(shares);
                    let active = active.map_err(|cause| BindError::Other { address, cause })?;
                    numbers.push(slot);
                    added.insert(slot, active);
                    order.push(slot);
                }
            }
        }
        let new = added.values().map(|listener| listener.address).collect();
        for listener in std::mem::take(&mut self.0) {
            if !order.contains(&listener.slot) {
                tracing::info!(address = %listener.address, "a listener was removed: its connections drain");
            }
            added.insert(listener.slot, listener);
        }
        let next = order.iter().filter_map(|slot| added.remove(slot));
        self.0 = next.collect();
        Ok(new)
    }

    /// Duplicates of all listening sockets, in the order of the listeners; once.
    pub(super) fn take_duplicates(&mut self) -> Vec<Duplicates> {
        let listeners = self.0.iter_mut();
        listeners
            .map(|listener| Duplicates {
                address: listener.address,
                sockets: std::mem::take(&mut listener.duplicates),
            })
            .collect()
    }
}

/// The listeners of the next configuration: those that stay, and the sockets of those that are new.
#[derive(Debug)]
pub(crate) struct NextListeners {
    /// In the order of the configuration.
    listeners: Vec<NextListener>,
}

#[derive(Debug)]
enum NextListener {
    /// The listener with this number stays.
    Stays(usize),
    New(SocketAddr, Vec<TcpListener>),
}

/// The listeners of a running gateway, for the next configuration.
#[derive(Debug, Clone)]
pub(crate) struct PresentListeners {
    /// Each with its number, its address in the configuration, and its address.
    listeners: Vec<(usize, SocketAddr, SocketAddr)>,
    workers: usize,
}

impl PresentListeners {
    /// Bind the listeners that are new. What is in use stays as it is.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound. Those that could are free again.
    pub(crate) fn bind(mut self, next: &[model::Listener]) -> Result<NextListeners, BindError> {
        let own: Vec<SocketAddr> = self.listeners.iter().map(|(_, _, bound)| *bound).collect();
        let mut listeners = Vec::new();
        for listener in next {
            let address = listener.address;
            let mut present = self.listeners.iter();
            let same = present.position(|(_, configured, _)| *configured == address);
            listeners.push(match same {
                Some(index) => NextListener::Stays(self.listeners.remove(index).0),
                None => {
                    let own = own.iter().copied();
                    let sockets = listen::bind_more(address, self.workers, own)?;
                    NextListener::New(address, sockets)
                }
            });
        }
        Ok(NextListeners { listeners })
    }
}
