//! Addresses that refuse connections, and addresses where connecting never ends.

use std::net::{Ipv4Addr, SocketAddr};

/// An address that is reserved and has no listener, so connections to it are refused.
#[derive(Debug)]
pub struct ClosedPort {
    address: SocketAddr,
    _socket: socket2::Socket,
}

impl ClosedPort {
    /// Reserve an address.
    ///
    /// # Panics
    ///
    /// If the system has no free port.
    #[must_use]
    pub fn new() -> Self {
        let socket = socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )
        .expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a port");
        let address = socket.local_addr().expect("an address");
        Self {
            address: address.as_socket().expect("an IP address"),
            _socket: socket,
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for ClosedPort {
    fn default() -> Self {
        Self::new()
    }
}

/// An address whose listener accepts nothing and whose queue is full, so connecting to it never
/// ends.
#[derive(Debug)]
pub struct FullPort {
    address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<socket2::Socket>,
}

impl FullPort {
    /// Listen on a free address, and fill its queue.
    ///
    /// # Panics
    ///
    /// If the system has no free port.
    #[must_use]
    pub fn new() -> Self {
        let socket = || {
            let tcp = Some(socket2::Protocol::TCP);
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, tcp)
                .expect("a socket")
        };
        let listener = socket();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        listener.bind(&any.into()).expect("a port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let waiting = (0..4).map(|_| {
            let client = socket();
            client.set_nonblocking(true).expect("a socket");
            // The connection is in progress or queued; either way it fills the queue.
            let _ = client.connect(&address);
            client
        });
        Self {
            _waiting: waiting.collect(),
            address: address.as_socket().expect("an IP address"),
            _listener: listener,
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for FullPort {
    fn default() -> Self {
        Self::new()
    }
}
