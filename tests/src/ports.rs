//! Addresses where connecting fails, or never ends.

use std::net::{Ipv4Addr, SocketAddr};

/// An address that is taken, and where nobody listens: connecting to it is refused.
#[derive(Debug)]
pub struct ClosedPort {
    address: SocketAddr,
    _socket: socket2::Socket,
}

impl ClosedPort {
    /// Take one.
    ///
    /// # Panics
    ///
    /// When the system has none.
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

    /// Where nobody listens.
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

/// An address where somebody listens who takes no connection any more: connecting to it takes
/// for ever.
#[derive(Debug)]
pub struct FullPort {
    address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<socket2::Socket>,
}

impl FullPort {
    /// Take one, and fill its queue.
    ///
    /// # Panics
    ///
    /// When the system has none.
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
            // It is in progress, or waits; either takes a place.
            let _ = client.connect(&address);
            client
        });
        Self {
            _waiting: waiting.collect(),
            address: address.as_socket().expect("an IP address"),
            _listener: listener,
        }
    }

    /// Where it is.
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
