//! A restart on one machine: the gateway that drains, and its successor.
//!
//! A gateway that drains offers each of its addresses: it listens on a local socket whose name holds
//! the address (Linux's abstract names, which are as wide as the network namespace that the address
//! is in). A gateway that starts and finds an address in use asks there. If somebody of the same user
//! offers it, the two share the address (`SO_REUSEPORT`), the new one listens when it can serve, says
//! so, and the old one stops listening. Promises: a gateway that does not drain shares nothing; one
//! whose start fails takes nothing from the old one. Deliberately not here: the store, which a gateway
//! that drains lets go of by itself.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as LocalAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Says that the successor serves.
const SERVES: u8 = b's';

/// After a socket could not be taken.
const REST: Duration = Duration::from_millis(100);

/// The successors that are listened to at once: one is usual.
const MOST: usize = 16;

fn name(address: SocketAddr) -> io::Result<LocalAddr> {
    LocalAddr::from_abstract_name(format!("windlass/drains/{address}"))
}

/// Whether this process may have to do with that one.
fn is_own(peer: &tokio::net::UnixStream) -> bool {
    let peer = peer.peer_cred();
    peer.is_ok_and(|peer| peer.uid() == geteuid().as_raw() || peer.uid() == 0)
}

/// The gateway that drains where this one starts.
#[derive(Debug, Default)]
pub struct Predecessor {
    asked: Vec<tokio::net::UnixStream>,
}

impl Predecessor {
    /// Whether this address is offered by a gateway that drains. To be called where tokio's runtime is.
    pub fn offers(&mut self, address: SocketAddr) -> bool {
        let found = name(address).and_then(|name| UnixStream::connect_addr(&name));
        let found = found.and_then(|peer| {
            peer.set_nonblocking(true)?;
            tokio::net::UnixStream::from_std(peer)
        });
        match found {
            Ok(peer) if is_own(&peer) => {
                self.asked.push(peer);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// This gateway serves: the other one is to stop listening. Whether there was another.
    #[must_use]
    pub fn tell(self) -> bool {
        let mut told = false;
        for peer in self.asked {
            // One that has ended meanwhile listens to nothing any more. One byte always fits.
            let wrote = peer.into_std().and_then(|mut peer| peer.write(&[SERVES]));
            told |= wrote.is_ok();
        }
        told
    }
}

/// The addresses that this gateway offers while it drains.
#[derive(Debug, Default)]
pub struct Offer {
    /// Ended with this value.
    listening: JoinSet<()>,
    serves: Arc<Notify>,
    taken: bool,
}

impl Offer {
    /// Offer these. To be called where tokio's runtime is. An address that cannot be offered is only
    /// free later.
    #[must_use]
    pub fn of(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let mut offer = Self::default();
        for address in addresses {
            let bound = name(address).and_then(|name| UnixListener::bind_addr(&name));
            let bound = bound.and_then(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener)
            });
            match bound {
                Ok(listener) => {
                    let serves = Arc::clone(&offer.serves);
                    offer.listening.spawn(async move {
                        hear(&listener).await;
                        serves.notify_one();
                    });
                }
                Err(error) => {
                    tracing::debug!(%address, "cannot be offered to a successor: {error}");
                }
            }
        }
        offer
    }

    /// Whether a successor serves.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        self.taken
    }

    /// Until a successor serves. For ever without one.
    pub async fn taken(&mut self) {
        self.serves.notified().await;
        self.taken = true;
    }
}

/// Until somebody of the same user says on this socket that it serves.
async fn hear(listener: &tokio::net::UnixListener) {
    let mut asking = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if asking.len() < MOST => drop(asking.spawn(says(stream))),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(REST).await,
            },
            Some(Ok(true)) = asking.join_next() => return,
        }
    }
}

/// Whether the one at the other end says that it serves, before it ends.
async fn says(mut stream: tokio::net::UnixStream) -> bool {
    is_own(&stream) && matches!(stream.read_u8().await, Ok(SERVES))
}
