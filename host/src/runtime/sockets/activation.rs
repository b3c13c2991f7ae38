//! Listening sockets that the service manager passes (`sd_listen_fds(3)`): socket activation of systemd.
//!
//! A listener takes the socket that has its address. All workers accept from that one socket. The service
//! manager keeps it open, so a drain leaves its queue alone: the next start serves it. Sockets that no
//! listener takes are closed. Deliberately not here: what a listener does without one.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::SockRef;

/// The sockets that were passed and are not taken yet.
#[derive(Debug, Default)]
pub struct ActivatedSockets {
    sockets: Vec<(SocketAddr, TcpListener)>,
    /// Why the others cannot be used.
    unusable: Vec<io::Error>,
}

impl ActivatedSockets {
    /// Take over the sockets that the environment names, and remove them from it: a child must not take them
    /// for its own. To be called before the process has other threads.
    #[must_use]
    pub(crate) fn from_environment() -> Self {
        let mut passed = ListenFd::from_env();
        let mut all = Self::default();
        for index in 0..passed.len() {
            match passed.take_tcp_listener(index).and_then(prepare) {
                Ok(Some(socket)) => all.sockets.push(socket),
                Ok(None) => {}
                Err(error) => all.unusable.push(error),
            }
        }
        all
    }

    /// The socket with this address.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.sockets.iter();
        let index = sockets.position(|(own, _)| *own == address)?;
        Some(self.sockets.swap_remove(index).1)
    }

    /// Close those that no listener took, and say so.
    pub(crate) fn close_unused(self) {
        for (address, _) in self.sockets {
            tracing::warn!(
                %address,
                "the service manager passed a socket that is no listener's: it was closed; write its address in a `[[listener]]`, or remove it from the unit"
            );
        }
        for error in self.unusable {
            tracing::warn!(
                "the service manager passed a file that is no TCP socket: {error}; remove it from the unit"
            );
        }
    }
}

fn prepare(socket: Option<TcpListener>) -> io::Result<Option<(SocketAddr, TcpListener)>> {
    let Some(socket) = socket else {
        return Ok(None);
    };
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    SockRef::from(&socket).set_tcp_nodelay(true)?;
    Ok(Some((socket.local_addr()?, socket)))
}
