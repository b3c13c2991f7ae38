//! The PROXY protocol, versions 1 and 2: a header with which a proxy names the client of a connection.
//!
//! The header comes before everything else, TLS included. [`parse`] reads it for listeners that have
//! `proxy_protocol`, and [`encode`] writes it for upstreams that have it. Both are pure. The parser takes
//! only what the specification says: exactly one space between two words, no sign and no leading zero in a
//! port, no more than [`MAX_HEADER`] bytes. Deliberately not here: who may send a header (`server`), and
//! the sockets.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::config::ProxyProtocolVersion;

/// The longest header, TLVs included. Bytes. Version 2 allows 64 KiB; balancers send fewer than 1,000.
pub(crate) const MAX_HEADER: usize = 4096;
/// The longest header of version 1. Bytes.
const MAX_TEXT: usize = 107;
/// The beginning of a header of version 1.
const TEXT: &[u8] = b"PROXY ";
/// The beginning of a header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, the command, the family and the length. Bytes.
const FIXED: usize = 16;
/// The two paths of a family `AF_UNIX`. Bytes.
const UNIX_PATHS: usize = 216;
/// The longest host name (RFC 1035 section 2.3.4). Bytes.
const MAX_NAME: usize = 255;

/// TLV: the host name that the client asked for (SNI).
const AUTHORITY: u8 = 0x02;
/// TLV: how the client used TLS.
const SSL: u8 = 0x20;
/// TLV: one of Amazon's.
const AWS: u8 = 0xEA;
/// In [`SSL`]: the client connected over TLS.
const CLIENT_SSL: u8 = 1;
/// In [`AWS`]: the id of a VPC endpoint.
const AWS_VPC_ENDPOINT: u8 = 1;

/// The addresses that a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProxiedRoute {
    /// The client's.
    pub(crate) source: SocketAddr,
    /// The address that the client connected to.
    pub(crate) destination: SocketAddr,
}

/// The client that a proxy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxiedClient {
    pub(crate) route: ProxiedRoute,
    /// Whether it uses TLS to the proxy.
    pub(crate) is_tls: bool,
    /// Facts that few proxies send.
    pub(crate) facts: Option<Arc<ProxiedFacts>>,
}

/// Facts in the TLVs of a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProxiedFacts {
    /// The host name that the client asked the proxy for (SNI).
    pub(crate) authority: Option<Box<str>>,
    /// The VPC endpoint that the client came through (AWS `PrivateLink`).
    pub(crate) vpc_endpoint: Option<Box<str>>,
}

/// The meaning of a connection's first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// They may begin a header; more are needed.
    Incomplete,
    /// They begin none.
    Absent,
    /// They begin with a header.
    Complete {
        /// Its length. Bytes.
        length: usize,
        /// The client; none if the connection is the proxy's own, such as a health check.
        client: Option<ProxiedClient>,
    },
}

/// Why a header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("the PROXY protocol header is longer than {MAX_HEADER} bytes")]
    TooLong,
    #[error("the line of the PROXY protocol's version 1 is malformed")]
    Line,
    #[error("the header of the PROXY protocol's version 2 has an unknown version or command")]
    Command,
    #[error("the header of the PROXY protocol's version 2 is not about a TCP connection")]
    Family,
    #[error("the header of the PROXY protocol's version 2 is shorter than its parts")]
    Length,
}

/// Read the header that a connection begins with.
///
/// # Errors
///
/// It begins like one, and is none.
pub(crate) fn parse(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        return parse_binary(rest);
    }
    if bytes.starts_with(TEXT) {
        return parse_text(bytes);
    }
    let begins = |start: &[u8]| start.starts_with(bytes);
    Ok(match begins(SIGNATURE) || begins(TEXT) {
        true => ProxyHeader::Incomplete,
        false => ProxyHeader::Absent,
    })
}

fn parse_text(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let window = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return match bytes.len() < MAX_TEXT {
            true => Ok(ProxyHeader::Incomplete),
            false => Err(ProxyHeaderError::Line),
        };
    };
    let line = window.get(TEXT.len()..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(ProxyHeaderError::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyHeaderError::Line)?;
    let route = match line.split_once(' ') {
        // The receiver ignores the rest of the line after `UNKNOWN`.
        None if line == "UNKNOWN" => None,
        Some(("UNKNOWN", _)) => None,
        Some(("TCP4", rest)) => Some(text_route::<Ipv4Addr>(rest)?),
        Some(("TCP6", rest)) => Some(text_route::<Ipv6Addr>(rest)?),
        None | Some(_) => return Err(ProxyHeaderError::Line),
    };
    let client = route.map(|route| ProxiedClient {
        route,
        is_tls: false,
        facts: None,
    });
    Ok(ProxyHeader::Complete {
        length: end + 1,
        client,
    })
}

fn text_route<T>(text: &str) -> Result<ProxiedRoute, ProxyHeaderError>
where
    T: std::str::FromStr + Into<IpAddr>,
{
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(ProxyHeaderError::Line);
    let ip = |text: &str| text.parse::<T>().map_err(|_| ProxyHeaderError::Line);
    let (source, destination) = (ip(word()?)?.into(), ip(word()?)?.into());
    let (from, to) = (text_port(word()?)?, text_port(word()?)?);
    if words.next().is_some() {
        return Err(ProxyHeaderError::Line);
    }
    Ok(ProxiedRoute {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    })
}

fn text_port(text: &str) -> Result<u16, ProxyHeaderError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zero = text.len() > 1 && text.starts_with('0');
    match text.parse() {
        Ok(port) if is_plain && !has_zero => Ok(port),
        Ok(_) | Err(_) => Err(ProxyHeaderError::Line),
    }
}

/// Read what follows the signature.
fn parse_binary(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let Some((&[command, family, high, low], rest)) = bytes.split_first_chunk() else {
        return Ok(ProxyHeader::Incomplete);
    };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Command),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > MAX_HEADER {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(payload) = rest.get(..length) else {
        return Ok(ProxyHeader::Incomplete);
    };
    let client = match is_local {
        // The addresses of such a header are to be ignored.
        true => None,
        false => binary_client(family, payload)?,
    };
    Ok(ProxyHeader::Complete {
        length: FIXED + length,
        client,
    })
}

fn binary_client(family: u8, payload: &[u8]) -> Result<Option<ProxiedClient>, ProxyHeaderError> {
    let too_short = ProxyHeaderError::Length;
    let (route, rest) = match family {
        0x00 => (None, payload),
        0x11 => {
            let (source, rest) = payload.split_first_chunk::<4>().ok_or(too_short)?;
            let (destination, rest) = rest.split_first_chunk::<4>().ok_or(too_short)?;
            let ips = [Ipv4Addr::from(*source), Ipv4Addr::from(*destination)];
            binary_ports(ips.map(IpAddr::V4), rest)?
        }
        0x21 => {
            let (source, rest) = payload.split_first_chunk::<16>().ok_or(too_short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(too_short)?;
            let ips = [Ipv6Addr::from(*source), Ipv6Addr::from(*destination)];
            binary_ports(ips.map(IpAddr::V6), rest)?
        }
        // The client is on the proxy's machine, and has no address.
        0x31 => (None, payload.get(UNIX_PATHS..).ok_or(too_short)?),
        _ => return Err(ProxyHeaderError::Family),
    };
    let (is_tls, facts) = read_tlvs(rest)?;
    Ok(route.map(|route| ProxiedClient {
        route,
        is_tls,
        facts,
    }))
}

type RouteAndRest<'a> = (Option<ProxiedRoute>, &'a [u8]);

fn binary_ports(
    [source, destination]: [IpAddr; 2],
    rest: &[u8],
) -> Result<RouteAndRest<'_>, ProxyHeaderError> {
    let Some((&[from_high, from_low, to_high, to_low], rest)) = rest.split_first_chunk() else {
        return Err(ProxyHeaderError::Length);
    };
    let route = ProxiedRoute {
        source: SocketAddr::new(source, u16::from_be_bytes([from_high, from_low])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([to_high, to_low])),
    };
    Ok((Some(route), rest))
}

/// Whether the client uses TLS, and the facts in the TLVs. Unknown ones are skipped.
fn read_tlvs(mut bytes: &[u8]) -> Result<(bool, Option<Arc<ProxiedFacts>>), ProxyHeaderError> {
    let (mut is_tls, mut facts) = (false, ProxiedFacts::default());
    while let Some((&[kind, high, low], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest
            .split_at_checked(length)
            .ok_or(ProxyHeaderError::Length)?;
        match (kind, value) {
            (AUTHORITY, name) => facts.authority = visible(name),
            (SSL, [client, ..]) => is_tls = client & CLIENT_SSL != 0,
            (AWS, [AWS_VPC_ENDPOINT, id @ ..]) => facts.vpc_endpoint = visible(id),
            _ => {}
        }
        bytes = rest;
    }
    if !bytes.is_empty() {
        return Err(ProxyHeaderError::Length);
    }
    let has_facts = facts != ProxiedFacts::default();
    Ok((is_tls, has_facts.then(|| Arc::new(facts))))
}

/// A short text of visible ASCII characters.
fn visible(text: &[u8]) -> Option<Box<str>> {
    let fits = (1..=MAX_NAME).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    let text = std::str::from_utf8(text).ok().filter(|_| fits)?;
    Some(text.into())
}

/// The header for a connection that this client's requests go over; for none, that of a connection of the
/// gateway's own.
pub(crate) fn encode(version: ProxyProtocolVersion, route: Option<ProxiedRoute>) -> Vec<u8> {
    let route = route.map(same_family);
    let mut header = Vec::with_capacity(64);
    // A vector takes everything.
    let _ = match (version, route) {
        (ProxyProtocolVersion::V1, None) => header.write_all(b"PROXY UNKNOWN\r\n"),
        (ProxyProtocolVersion::V1, Some((source, destination))) => write!(
            header,
            "PROXY {} {} {} {} {}\r\n",
            if source.is_ipv4() { "TCP4" } else { "TCP6" },
            source.ip(),
            destination.ip(),
            source.port(),
            destination.port(),
        ),
        (ProxyProtocolVersion::V2, route) => {
            header.extend_from_slice(SIGNATURE);
            encode_binary(&mut header, route);
            Ok(())
        }
    };
    header
}

fn encode_binary(header: &mut Vec<u8>, route: Option<(SocketAddr, SocketAddr)>) {
    let Some((source, destination)) = route else {
        return header.extend_from_slice(&[0x20, 0, 0, 0]);
    };
    header.extend_from_slice(match source {
        SocketAddr::V4(_) => &[0x21, 0x11, 0, 12],
        SocketAddr::V6(_) => &[0x21, 0x21, 0, 36],
    });
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(ip) => header.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => header.extend_from_slice(&ip.octets()),
        }
    }
    for address in [source, destination] {
        header.extend_from_slice(&address.port().to_be_bytes());
    }
}

/// Both addresses in one family: IPv4 ones are mapped into IPv6 beside an IPv6 one.
fn same_family(route: ProxiedRoute) -> (SocketAddr, SocketAddr) {
    let (source, destination) = (route.source, route.destination);
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(source), mapped(destination))
}

#[cfg(test)]
mod tests;
