//! Listening sockets: of workers and of the admin's thread.
//!
//! An address is this gateway's alone, or shared with a gateway of the same user that drains
//! ([`handover`]). Deliberately not here: who accepts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

pub mod handover;

use handover::Predecessor;

/// Connections that the kernel holds for us until we accept them.
const BACKLOG: i32 = 1024;

/// How long a start waits for an address that is in use: by a gateway that was just told to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(25);

/// Whether this address is one that a gateway that drains offers.
///
/// # Errors
///
/// It is in use, and nobody offers it.
pub fn is_shared(address: SocketAddr, predecessor: &mut Predecessor) -> io::Result<bool> {
    if address.port() == 0 {
        return Ok(false);
    }
    // With SO_REUSEPORT alone a second gateway of the same user would quietly take a share
    // of the connections. Without it, the address must be free.
    let end = Instant::now() + PATIENCE;
    loop {
        let taken = match bound(address, false).and_then(|socket| listen(&socket)) {
            Ok(()) => return Ok(false),
            Err(error) => error,
        };
        if taken.kind() != io::ErrorKind::AddrInUse {
            return Err(taken);
        }
        if predecessor.offers(address) {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Err(taken);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Bound, and not listening.
///
/// # Errors
///
/// As the system says it.
pub fn bound(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
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
pub fn listen(socket: &TcpListener) -> io::Result<()> {
    SockRef::from(socket).listen(BACKLOG)
}

/// Take no new connection: the system leaves a client that comes now without an answer, and the
/// client asks again, and gets whoever listens then. What was queued before can still be accepted.
/// Without it, a connection that comes between the last accept and the close is lost.
pub fn close_queue(socket: &TcpListener) {
    // BPF: return 0, which drops every packet.
    const RETURN: u16 = 0x06;
    let nothing = [SockFilter::new(RETURN, 0, 0, 0)];
    if let Err(error) = SockRef::from(socket).attach_filter(&nothing) {
        tracing::debug!("a listening socket has no filter: {error}");
    }
}
