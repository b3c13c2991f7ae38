//! Listening sockets: of workers and of the admin's thread.
//!
//! An address is this gateway's alone, or was that of a gateway of the same user that drains
//! ([`handover`]). Deliberately not here: who accepts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

pub(crate) mod activation;
pub(crate) mod handover;

use handover::Predecessor;

/// Connections that the kernel holds for us until we accept them.
const BACKLOG: i32 = 1024;

/// How long a start waits for an address that is in use: by a gateway that is just ending.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// So many sockets for this address, one at least. They listen, unless a gateway that drains has the
/// address, too: then they are all sockets that it passes, even if these are more, and new ones that
/// do not listen yet.
///
/// # Errors
///
/// The address is in use, and nobody offers it. Or as the system says it.
pub(crate) fn open(
    address: SocketAddr,
    count: usize,
    predecessor: &mut Predecessor,
) -> io::Result<Vec<TcpListener>> {
    let passed = passed(address, predecessor)?;
    let is_free = passed.is_none();
    let mut sockets = passed.unwrap_or_default();
    if sockets.is_empty() {
        sockets.push(bound(address)?);
    }
    // With the port that the system chose, where it was 0.
    let address = match sockets.first() {
        Some(first) => first.local_addr()?,
        None => address,
    };
    while sockets.len() < count {
        sockets.push(bound(address)?);
    }
    if is_free {
        for socket in &sockets {
            listen(socket)?;
        }
    }
    Ok(sockets)
}

/// So many sockets for this address, one at least, for a gateway that runs. They listen. `own` are addresses
/// that this gateway listens on already, which the new one may have in common with them: nobody else can
/// have them.
///
/// # Errors
///
/// Another process uses the address. Or as the system says it.
pub(crate) fn open_beside(
    address: SocketAddr,
    count: usize,
    own: impl Iterator<Item = SocketAddr>,
) -> io::Result<Vec<TcpListener>> {
    let mut own = own.filter(|own| overlap(*own, address));
    if address.port() != 0 && own.next().is_none() {
        // A reload that has just removed this address may still be closing its sockets.
        let end = Instant::now() + PATIENCE;
        while let Err(error) = is_alone(address) {
            if error.kind() != io::ErrorKind::AddrInUse || Instant::now() >= end {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
    }
    let first = bound(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(bound(address)?);
    }
    for socket in &sockets {
        listen(socket)?;
    }
    Ok(sockets)
}

/// The sockets of a gateway that drains and offers this address; none if the address is free.
fn passed(
    address: SocketAddr,
    predecessor: &mut Predecessor,
) -> io::Result<Option<Vec<TcpListener>>> {
    if address.port() == 0 {
        return Ok(None);
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let taken = match is_alone(address) {
            Ok(()) => return Ok(None),
            Err(error) => error,
        };
        if taken.kind() != io::ErrorKind::AddrInUse {
            return Err(taken);
        }
        if let Some(sockets) = predecessor.offers(address) {
            return Ok(Some(sockets));
        }
        if Instant::now() >= end {
            return Err(taken);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether a connection may belong to either address.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (is_all || one.ip() == other.ip())
}

/// Whether nobody listens on this address. With `SO_REUSEPORT` alone a second gateway of the same user would
/// quietly take a share of the connections. Without it, the address must be free.
fn is_alone(address: SocketAddr) -> io::Result<()> {
    let socket = socket(address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Bound, and not listening. Others of the same user may be bound there, too.
fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Take connections from now on. Listening already is no error.
///
/// # Errors
///
/// As the system says it.
pub(crate) fn listen(socket: &TcpListener) -> io::Result<()> {
    SockRef::from(socket).listen(BACKLOG)
}

/// Take no new connection: the system leaves a client that comes now without an answer, and the
/// client asks again, and gets whoever listens then. What was queued before can still be accepted.
/// Without it, a connection that comes between the last accept and the close is lost.
pub(crate) fn close_queue(socket: &TcpListener) {
    // BPF: return 0, which drops every packet.
    const RETURN: u16 = 0x06;
    let nothing = [SockFilter::new(RETURN, 0, 0, 0)];
    if let Err(error) = SockRef::from(socket).attach_filter(&nothing) {
        tracing::debug!("a listening socket has no filter: {error}");
    }
}
