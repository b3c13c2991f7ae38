//! The addresses that a target's name may resolve to.
//!
//! A name in the configuration can come to resolve elsewhere (by its DNS, or by a typing error).
//! It must not lead to services that only this machine or its cloud may reach: such an address is
//! allowed only if the URL names it literally.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services of clouds, and the like, that are not link-local: Google Cloud over IPv6
/// (Compute Engine, "View and query VM metadata"), Alibaba Cloud, Azure's platform address, and
/// Oracle Cloud.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// The block of AWS's services for an instance over IPv6: its metadata, name server, clock and
/// licences (`fd00:ec2::/32`; EC2 user guide, "Instance metadata service").
const AWS: [u16; 2] = [0xfd00, 0x0ec2];

/// Whether a URL's host is a literal address, or `localhost` (RFC 6761, section 6.3).
pub(super) fn is_literal(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let name = host.strip_suffix('.').unwrap_or(host);
    bare.unwrap_or(host).parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

/// Whether a name may resolve to this address: not loopback, link-local, unspecified, multicast,
/// or a metadata service's. Addresses of private networks are allowed, because operators have
/// servers there.
pub(super) fn is_open(address: IpAddr) -> bool {
    let address = embedded(address);
    let is_local = match address {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                // On some systems all of `0.0.0.0/8` is this machine.
                || ip.octets().first() == Some(&0)
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unicast_link_local()
                || ip.segments().starts_with(&AWS)
        }
    };
    !is_local && !address.is_multicast() && !METADATA.contains(&address)
}

/// The IPv4 address in an IPv6 address: mapped or compatible (RFC 4291, section 2.5.5), or of
/// NAT64 (RFC 6052).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(ip) = address else {
        return address;
    };
    let (high, low) = (ip.to_bits() >> 32, ip.to_bits());
    let is_embedded = high == 0xffff || high == 0x0064_ff9b << 64 || (high == 0 && low > 1);
    if is_embedded {
        IpAddr::V4(Ipv4Addr::from_bits(
            u32::try_from(low & 0xffff_ffff).unwrap_or(0),
        ))
    } else {
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_address_of_this_machine_or_its_cloud() {
        for closed in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "255.255.255.255",
            "224.0.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd00:ec2::253",
            "fd00:ec2::123",
            "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff",
            "fd20:ce::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!is_open(closed.parse().unwrap()), "{closed}");
        }
        for open in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "203.0.113.7",
            "2001:db8::1",
            "fd12:3456::1",
            "fd00:ec3::254",
            "fd20:ce::253",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_open(open.parse().unwrap()), "{open}");
        }
    }

    #[test]
    fn only_addresses_and_localhost_are_literal() {
        for literal in ["127.0.0.1", "[::1]", "10.0.0.1", "localhost", "LOCALHOST."] {
            assert!(is_literal(literal), "{literal}");
        }
        for name in [
            "auth.internal",
            "localhost.example",
            "127.1",
            "2130706433",
            "0x7f000001",
        ] {
            assert!(!is_literal(name), "{name}");
        }
    }
}
