//! The key of a bucket: a few octets, whatever a client sent.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest;

/// The key of a bucket of one bound: 17 bytes, whatever a client sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RateKey {
    kind: u8,
    value: [u8; 16],
}

impl fmt::Debug for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateKey({})", self.kind)
    }
}

impl RateKey {
    /// The key of a bound that counts all requests together.
    pub(crate) const ALL: Self = Self::of(0, [0; 16]);
    /// The key of requests that lack the value to count by.
    pub(crate) const MISSING: Self = Self::of(1, [0; 16]);
    /// The key of requests for which there is no room.
    pub(super) const OVERFLOW: Self = Self::of(2, [0; 16]);

    const fn of(kind: u8, value: [u8; 16]) -> Self {
        Self { kind, value }
    }

    /// The key of a client address; addresses with the same prefix share it. An IPv4 address in an
    /// IPv6 one counts as that IPv4 address.
    #[must_use]
    pub(crate) fn address(address: IpAddr, ipv4_prefix: u8, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let bits = u128::from(u32::from(address)) & mask(ipv4_prefix, 32);
                Self::of(4, bits.to_be_bytes())
            }
            IpAddr::V6(address) => {
                let bits = u128::from(address) & mask(ipv6_prefix, 128);
                Self::of(6, bits.to_be_bytes())
            }
        }
    }

    /// The key of some octets: half of their SHA-256, so that nobody finds two values with the
    /// same key.
    #[must_use]
    pub(crate) fn octets(octets: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, octets);
        let half = digest.as_ref().first_chunk::<16>();
        Self::of(8, half.copied().unwrap_or_default())
    }
}

/// A mask of `prefix` bits out of `of`.
fn mask(prefix: u8, of: u32) -> u128 {
    match u32::from(prefix).min(of) {
        0 => 0,
        kept => (u128::MAX >> (128 - kept)) << (of - kept),
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A key as the name of a shared budget, without an allocation; empty for the one that always has
/// room.
pub(super) struct KeyText {
    bytes: [u8; 34],
    length: usize,
}

impl KeyText {
    pub(super) fn of(key: RateKey) -> Self {
        let mut bytes = [0; 34];
        let octets = std::iter::once(key.kind).chain(key.value);
        let digits = octets.flat_map(|octet| [octet >> 4, octet & 15]);
        for (byte, digit) in bytes.iter_mut().zip(digits) {
            *byte = DIGITS.get(usize::from(digit)).copied().unwrap_or_default();
        }
        let length = if key == RateKey::OVERFLOW {
            0
        } else {
            bytes.len()
        };
        Self { bytes, length }
    }

    pub(super) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}
