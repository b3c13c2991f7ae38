//! Networks of clients: a set of addresses that one client may choose from.
//!
//! A client with an IPv6 address has a whole /64 of them (RFC 6177), so that /64 counts as one. An
//! IPv4 address counts by itself, also if it is written as an IPv6 address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The first address of the network that this address belongs to.
#[must_use]
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// Permits: each network may hold up to a limit of them.
#[derive(Debug, Clone)]
pub(crate) struct NetworkPermits {
    limit: usize,
    acquired: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One permit; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct NetworkPermit {
    of: IpAddr,
    permits: NetworkPermits,
}

impl NetworkPermits {
    /// Permits with this limit for each network.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            acquired: Arc::default(),
        }
    }

    /// Takes a permit for this address; None if its network is at the limit.
    #[must_use]
    pub(crate) fn acquire(&self, address: IpAddr) -> Option<NetworkPermit> {
        let of = network(address);
        let mut counts = self.acquired.lock();
        let count = counts.entry(of).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        let permits = self.clone();
        Some(NetworkPermit { of, permits })
    }
}

impl Drop for NetworkPermit {
    fn drop(&mut self) {
        let mut counts = self.permits.acquired.lock();
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_and_an_ipv4_address_by_itself() {
        let same = |one: &str, two: &str| {
            let [one, two] = [one, two].map(|text| network(text.parse().unwrap()));
            one == two
        };
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }

    #[test]
    fn a_permit_is_free_again_when_it_is_dropped() {
        let permits = NetworkPermits::new(2);
        let take = |text: &str| permits.acquire(text.parse().unwrap());
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(first.is_some() && second.is_some());
        assert!(take("2001:db8::3").is_none());
        assert!(take("192.0.2.1").is_some());
        drop(first);
        assert!(take("2001:db8::3").is_some());
        drop(second);
        assert!(
            permits.acquired.lock().is_empty(),
            "who is gone is remembered"
        );
    }
}
