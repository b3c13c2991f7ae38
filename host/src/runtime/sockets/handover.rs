//! A restart on one machine: the gateway that drains, and its successor.
//!
//! A gateway that drains offers each of its addresses: it listens on a local socket whose name holds
//! the address (Linux's abstract names, which are as wide as the network namespace that the address
//! is in). A gateway that starts and finds an address in use asks there for the listening sockets. If
//! a gateway of the same user offers the address, the new one gets duplicates ([`passing`]). When it
//! is ready to serve, it says so, and only then accepts from them; the old one stops accepting and
//! leaves the queues as they are. They outlive both, so no client notices, wherever its handshake is. A gateway of an older
//! version passes no sockets: the two share the address (`SO_REUSEPORT`), and the old one closes its
//! own sockets. Promises: a gateway that does not drain shares nothing; one whose start fails takes
//! nothing from the old one; a socket that nobody accepts from any more is not kept open here.
//! Deliberately not here: the store, which a gateway that drains lets go of by itself.

mod passing;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as LocalAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// The successor asks for the listening sockets.
const ASKS: u8 = b'a';
/// The successor serves.
const SERVES: u8 = b's';
/// Another successor serves: the address is gone.
const GONE: u8 = b'g';
/// The address is the successor's from now on.
const YOURS: u8 = b'y';

/// How long a successor waits for the sockets, and later for [`YOURS`].
const PATIENCE: Duration = Duration::from_secs(1);

/// After a socket could not be taken.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The successors that are listened to at once: one is usual.
const MAX_SUCCESSORS: usize = 16;

fn name(address: SocketAddr) -> io::Result<LocalAddr> {
    LocalAddr::from_abstract_name(format!("windlass/drains/{address}"))
}

/// Whether this process may have to do with that one.
fn is_own(peer: &impl AsFd) -> bool {
    let peer = socket_peercred(peer);
    peer.is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root())
}

/// The gateway that drains where this one starts.
#[derive(Debug, Default)]
pub struct Predecessor {
    /// The addresses that it offers, each with the connection on which it does so.
    offers: Vec<(SocketAddr, UnixStream)>,
    /// The user that it may run as, beside the present one and root.
    user: Option<u32>,
}

impl Predecessor {
    /// The predecessor of a gateway that will become this user.
    #[must_use]
    pub(crate) fn of_user(user: Option<u32>) -> Self {
        Self {
            offers: Vec::new(),
            user,
        }
    }

    /// Connects to the gateway that offers this address.
    fn connect(&self, address: SocketAddr) -> io::Result<UnixStream> {
        let peer = UnixStream::connect_addr(&name(address)?)?;
        let is_user =
            || socket_peercred(&peer).is_ok_and(|peer| Some(peer.uid.as_raw()) == self.user);
        if !is_own(&peer) && !is_user() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(peer)
    }

    /// The sockets that listen on this address, if a gateway that drains offers it. There are none if
    /// that gateway passes none; then the address is to be shared with it.
    pub(crate) fn offers(&mut self, address: SocketAddr) -> Option<Vec<TcpListener>> {
        let peer = self.connect(address).ok()?;
        match passing::receive_all(&peer, address) {
            Ok(sockets) => {
                self.offers.push((address, peer));
                Some(sockets)
            }
            Err(error) => {
                tracing::debug!(%address, "the gateway that drains passes no sockets: {error}");
                // On this connection it may still think that they were taken.
                drop(peer);
                self.offers.push((address, self.connect(address).ok()?));
                Some(Vec::new())
            }
        }
    }

    /// Claims the addresses: this gateway is ready, and the other one is to stop listening. It takes
    /// one successor, so the second of two learns here that it is too late. It must not have
    /// accepted from the sockets before, nor may it do so afterwards.
    #[must_use]
    pub(crate) fn announce(mut self) -> Announced {
        // All successors claim in the same order, so that the one with the first address gets the
        // others too.
        self.offers.sort_by_key(|(address, _)| *address);
        let mut announced = Announced::ToNobody;
        for (_, mut peer) in self.offers {
            // One byte always fits. One that has ended meanwhile listens to nothing any more.
            let heard = peer.write(&[SERVES]).is_ok();
            let mut byte = [0];
            let answered = peer.set_read_timeout(Some(PATIENCE));
            match answered.and_then(|()| peer.read(&mut byte)) {
                Ok(1) if byte == [GONE] => return Announced::TooLate,
                // A gateway of an older version closes the connection without an answer.
                Ok(_) | Err(_) if heard => announced = Announced::Heard,
                Ok(_) | Err(_) => {}
            }
        }
        announced
    }
}

/// The result of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    /// No gateway drains on these addresses.
    ToNobody,
    /// The gateway that drains stops listening.
    Heard,
    /// Another successor was first.
    TooLate,
}

/// An address, and duplicates of all sockets that listen there.
#[derive(Debug)]
pub(crate) struct Duplicates {
    pub(crate) address: SocketAddr,
    pub(crate) sockets: Vec<TcpListener>,
}

/// The addresses that this gateway offers while it drains.
#[derive(Debug, Default)]
pub(crate) struct SocketOffer {
    offered: Vec<OfferedAddress>,
    successor_serves: Arc<Notify>,
    taken: bool,
}

/// One of them. Dropped, it is offered no more.
#[derive(Debug)]
struct OfferedAddress {
    address: SocketAddr,
    /// To be lent. Only here, so that a drop closes them.
    _sockets: Arc<Vec<TcpListener>>,
    successors: SuccessorCount,
    _hearing: JoinSet<()>,
}

/// How many successors have the sockets, and have not ended.
#[derive(Debug, Clone, Default)]
struct SuccessorCount(Arc<AtomicUsize>);

/// One of these successors; dropped when it ends.
struct SuccessorGuard(SuccessorCount);

impl SuccessorCount {
    fn add(&self) -> SuccessorGuard {
        self.0.fetch_add(1, Relaxed);
        SuccessorGuard(self.clone())
    }

    fn has_successor(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

impl Drop for SuccessorGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

impl SocketOffer {
    /// Offer these. To be called where tokio's runtime is. An address that cannot be offered is only
    /// free later.
    #[must_use]
    pub(crate) fn start(addresses: impl IntoIterator<Item = Duplicates>) -> Self {
        let mut offer = Self::default();
        for Duplicates { address, sockets } in addresses {
            let bound = name(address).and_then(|name| UnixListener::bind_addr(&name));
            let bound = bound.and_then(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener)
            });
            match bound {
                Ok(listener) => {
                    let serves = Arc::clone(&offer.successor_serves);
                    let sockets = Arc::new(sockets);
                    let lent = SuccessorCount::default();
                    let mut hearing = JoinSet::new();
                    let asked = (Arc::downgrade(&sockets), lent.clone());
                    hearing.spawn(async move {
                        let _borrower = wait_for_successor(listener, asked).await;
                        serves.notify_one();
                        // The sockets are the successor's from now on.
                        std::future::pending::<()>().await;
                    });
                    offer.offered.push(OfferedAddress {
                        address,
                        _sockets: sockets,
                        successors: lent,
                        _hearing: hearing,
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
    pub(crate) const fn is_taken(&self) -> bool {
        self.taken
    }

    /// Until a successor serves. For ever without one.
    pub(crate) async fn taken(&mut self) {
        self.successor_serves.notified().await;
        self.taken = true;
    }

    /// Offer this address no more, and close the duplicates of its sockets: whoever accepts from the
    /// sockets themselves is about to stop. Whether a successor has them; then their queues are its
    /// own, even if it does not serve yet.
    pub(crate) fn withdraw(&mut self, address: SocketAddr) -> bool {
        let mut has = false;
        self.offered.retain(|offered| {
            let keep = offered.address != address;
            has |= !keep && offered.successors.has_successor();
            keep
        });
        has
    }
}

type OfferedSockets = (Weak<Vec<TcpListener>>, SuccessorCount);

/// Wait until a process of the same user says on this socket that it serves. Returns that process if it
/// has the sockets.
async fn wait_for_successor(
    listener: tokio::net::UnixListener,
    asked: OfferedSockets,
) -> Option<SuccessorGuard> {
    let mut asking = JoinSet::new();
    let (gone, is_gone) = watch::channel(false);
    let (mut stream, borrower) = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if asking.len() < MAX_SUCCESSORS => {
                    asking.spawn(lend_until_served(stream, asked.clone(), is_gone.clone()));
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            },
            Some(Ok(Some(first))) = asking.join_next() => break first,
        }
    };
    drop(listener);
    // Either side may have ended.
    let _ = stream.write_u8(YOURS).await;
    gone.send_replace(true);
    while let Some(late) = asking.join_next().await {
        if let Ok(Some((mut stream, _))) = late {
            let _ = stream.write_u8(GONE).await;
        }
    }
    borrower
}

/// Lend the sockets to the one at the other end if it asks, until it says that it serves. Gives the connection
/// back, for an answer; None if it ends before, or another serves.
async fn lend_until_served(
    mut stream: tokio::net::UnixStream,
    asked: OfferedSockets,
    mut is_gone: watch::Receiver<bool>,
) -> Option<(tokio::net::UnixStream, Option<SuccessorGuard>)> {
    if !is_own(&stream) {
        return None;
    }
    let (sockets, lent) = asked;
    let mut borrower = None;
    loop {
        let said = tokio::select! {
            said = stream.read_u8() => said,
            _ = is_gone.wait_for(|gone| *gone) => {
                // It may have ended.
                let _ = stream.try_write(&[GONE]);
                return None;
            }
        };
        match said {
            Ok(SERVES) => return Some((stream, borrower)),
            Ok(ASKS) if borrower.is_none() => {
                borrower = Some(lent.add());
                passing::lend(&stream, &sockets).await.ok()?;
            }
            Ok(_) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests;
