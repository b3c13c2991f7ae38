//! How many connections each client address has on each listener (`max_connections_per_client`).
//!
//! [`super::connection`] counts a connection when its client is certain: after the header of the PROXY protocol,
//! where there is one. An IPv6 network of 64 bits is one client, since its owner can use every address in it.
//! All workers share the counts. A connection takes one short lock at its begin and one at its end, and a request
//! takes none. An entry lives as long as its connections, so the table is as large as the listeners allow.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::limit::LimitKind;
use crate::proxy::worker::WorkerConnection;

/// How many parts the table has, each with a lock of its own.
const PARTS: usize = 32;

/// The addresses that count as one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ClientBlock {
    V4([u8; 4]),
    /// The first 64 bits.
    V6(u64),
}

impl ClientBlock {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64;
                Self::V6(u64::try_from(network).unwrap_or_default())
            }
        }
    }
}

/// A client, and the listener's number.
type CountKey = (usize, ClientBlock);

/// The connections of each client.
#[derive(Debug)]
pub(super) struct ClientConnections {
    parts: [Mutex<HashMap<CountKey, usize>>; PARTS],
    hasher: RandomState,
}

/// The bound of one listener on the connections of a client.
#[derive(Debug)]
pub(super) struct ClientBound {
    pub(super) all: Arc<ClientConnections>,
    /// The listener's number.
    pub(super) listener: usize,
    pub(super) most: usize,
}

impl ClientBound {
    /// Count this connection. `Ok(None)`: the client is a trusted proxy, which may have any number.
    ///
    /// # Errors
    ///
    /// The client has too many. It is counted and logged.
    pub(super) fn admit(
        self,
        connection: &WorkerConnection,
    ) -> Result<Option<ClientConnectionCount>, ()> {
        let (worker, client) = (&connection.worker, connection.remote.ip());
        let generation = worker.generation();
        let proxies = &generation.gateway.trusted_proxies;
        if proxies.iter().any(|block| block.contains(&client)) {
            return Ok(None);
        }
        let counted = self.all.count(self.listener, client, self.most);
        if counted.is_none() {
            connection
                .stats()
                .limit_hit(LimitKind::ConnectionsPerClient);
            if let Some(left_out) = worker.should_log_limit(LimitKind::ConnectionsPerClient) {
                tracing::warn!(
                    %client,
                    listener = %connection.listener.address,
                    max_connections_per_client = self.most,
                    left_out,
                    "a connection was closed, since its client has as many as it may; if many clients share the address, raise `max_connections_per_client` or list it in `[server] trusted_proxies`"
                );
            }
        }
        counted.map(Some).ok_or(())
    }
}

/// One connection of a client, counted until this is dropped.
#[derive(Debug)]
pub(super) struct ClientConnectionCount {
    all: Arc<ClientConnections>,
    key: CountKey,
}

impl ClientConnections {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            parts: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        })
    }

    fn part(&self, key: &CountKey) -> Option<&Mutex<HashMap<CountKey, usize>>> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or_default();
        self.parts.get(hash % PARTS)
    }

    /// Count a connection of this client to a listener. None: the client has `most` of them already.
    pub(super) fn count(
        self: &Arc<Self>,
        listener: usize,
        client: IpAddr,
        most: usize,
    ) -> Option<ClientConnectionCount> {
        let key = (listener, ClientBlock::of(client));
        let mut part = self.part(&key)?.lock();
        let open = part.entry(key).or_default();
        if *open >= most {
            return None;
        }
        *open += 1;
        drop(part);
        Some(ClientConnectionCount {
            all: Arc::clone(self),
            key,
        })
    }
}

impl Drop for ClientConnectionCount {
    fn drop(&mut self) {
        let Some(part) = self.all.part(&self.key) else {
            return;
        };
        let mut part = part.lock();
        if let Entry::Occupied(mut open) = part.entry(self.key) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
            // A flood of addresses leaves no large table behind.
            if part.len() < part.capacity() / 8 {
                part.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn entries(all: &ClientConnections) -> usize {
        all.parts.iter().map(|part| part.lock().len()).sum()
    }

    #[test]
    fn a_client_has_at_most_so_many_connections_on_each_listener() {
        let all = ClientConnections::new();
        let client = address("192.0.2.1");
        let count = |listener, client| all.count(listener, client, 2);
        let first = count(0, client).unwrap();
        let second = count(0, client).unwrap();
        assert!(count(0, client).is_none());
        let elsewhere = [count(1, client), count(0, address("192.0.2.2"))];
        assert!(elsewhere.iter().all(Option::is_some));
        drop(first);
        let third = count(0, client).unwrap();
        assert!(count(0, client).is_none());
        drop((second, third, elsewhere));
        assert_eq!(entries(&all), 0);
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client_and_a_mapped_address_is_ipv4() {
        let all = ClientConnections::new();
        let _first = all.count(0, address("2001:db8:0:1::1"), 1).unwrap();
        let is_counted = |text| all.count(0, address(text), 1).is_some();
        assert!(!is_counted("2001:db8:0:1:ffff::2"));
        assert!(is_counted("2001:db8:0:2::1"));
        let _mapped = all.count(0, address("::ffff:192.0.2.1"), 1).unwrap();
        assert!(!is_counted("192.0.2.1"));
        assert!(is_counted("::ffff:192.0.2.2"));
    }
}
