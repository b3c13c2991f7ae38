//! Who counts as one: addresses that are one client's to choose from.
//!
//! Whoever has an IPv6 address has a whole /64 of them (RFC 6177), so that is counted as one; an
//! IPv4 address is counted by itself, also where it is written as one of IPv6.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The first address of the network that counts as one.
#[must_use]
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// Places that each network has so many of.
#[derive(Debug, Clone)]
pub(crate) struct NetworkPermits {
    limit: usize,
    acquired: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct NetworkPermit {
    of: IpAddr,
    shares: NetworkPermits,
}

impl NetworkPermits {
    /// So many for each.
    #[must_use]
    pub(crate) fn new(most: usize) -> Self {
        let taken = Arc::default();
        Self {
            limit: most,
            acquired: taken,
        }
    }

    /// A place for this address; None where its network has all it may have.
    #[must_use]
    pub(crate) fn acquire(&self, address: IpAddr) -> Option<NetworkPermit> {
        let of = network(address);
        let mut taken = self.acquired.lock();
        let count = taken.entry(of).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        let shares = self.clone();
        Some(NetworkPermit { of, shares })
    }
}

impl Drop for NetworkPermit {
    fn drop(&mut self) {
        let mut taken = self.shares.acquired.lock();
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
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
    fn a_place_is_free_again_when_it_is_given_back() {
        let shares = NetworkPermits::new(2);
        let take = |text: &str| shares.acquire(text.parse().unwrap());
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(first.is_some() && second.is_some());
        assert!(take("2001:db8::3").is_none());
        assert!(take("192.0.2.1").is_some());
        drop(first);
        assert!(take("2001:db8::3").is_some());
        drop(second);
        assert!(
            shares.acquired.lock().is_empty(),
            "who is gone is remembered"
        );
    }
}
