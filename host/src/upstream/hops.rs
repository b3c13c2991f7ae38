//! Reads who sent a request from the fields that trusted proxies write, and writes a hop of them: `X-Forwarded-For` and
//! `Forwarded` (RFC 7239).
//!
//! [`headers`](super::headers) asks only if the connection comes from a trusted proxy. Every form of an
//! address that proxies write is understood. Anything else (`unknown`, `_hidden`) ends the search,
//! since the entries before it cannot be trusted.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use http::HeaderValue;
use http::uri::Scheme;
use ipnet::IpNet;

use crate::config::ForwardedNode;
use crate::http::client_connection::ClientConnection;

/// The client, by a list of hops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForwardedClient {
    /// Its address.
    pub(crate) ip: IpAddr,
    /// How many hops follow it.
    pub(crate) hops_after: usize,
}

/// The rightmost address that is not a trusted proxy's, or the leftmost if all are. An entry that is no
/// address ends the search.
pub(super) fn client<'a>(
    trusted: &[IpNet],
    hops: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> Option<ForwardedClient> {
    let mut found = None;
    for (after, hop) in hops.rev().enumerate() {
        let Some(ip) = address(hop) else { break };
        found = Some(ForwardedClient {
            ip,
            hops_after: after,
        });
        if !is_trusted(trusted, ip) {
            break;
        }
    }
    found
}

/// The entries of a list, without the empty ones (RFC 9110 section 5.6.1).
pub(super) fn entries(list: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let entries = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty())
}

/// The address of one hop: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, each also
/// in quotes and after `for=`. A zone is left out, and an IPv4 address that is mapped into IPv6 is
/// taken as IPv4.
pub(super) fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let text = match text.split_at_checked(4) {
        Some((name, rest)) if name.eq_ignore_ascii_case("for=") => rest.trim(),
        Some(_) | None => text,
    };
    let text = unquoted(text);
    let ip = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            let ip = IpAddr::V6(without_zone(ip).parse::<Ipv6Addr>().ok()?);
            (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(ip)?
        }
        None => match without_zone(text).parse() {
            Ok(ip) => ip,
            Err(_) => {
                let (ip, port) = text.split_once(':')?;
                let ip = IpAddr::V4(ip.parse::<Ipv4Addr>().ok()?);
                is_port(port).then_some(ip)?
            }
        },
    };
    Some(ip.to_canonical())
}

/// The text without its quotes.
fn unquoted(text: &str) -> &str {
    let inside = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.map_or(text, str::trim)
}

/// The address without the zone of a link-local one (RFC 4007 section 11), which means nothing elsewhere.
fn without_zone(text: &str) -> &str {
    match text.split_once('%') {
        Some((ip, zone)) if !zone.is_empty() && ip.contains(':') => ip,
        Some(_) | None => text,
    }
}

/// Whether this is a port by RFC 7239 section 6: digits, or obfuscated.
fn is_port(text: &str) -> bool {
    let hidden = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits || text.strip_prefix('_').is_some_and(hidden)
}

/// The scheme of a word of `X-Forwarded-Proto`.
pub(super) fn scheme(word: &[u8]) -> Option<Scheme> {
    let is = |scheme: &str| word.eq_ignore_ascii_case(scheme.as_bytes());
    if is("https") || is("wss") {
        Some(Scheme::HTTPS)
    } else if is("http") || is("ws") {
        Some(Scheme::HTTP)
    } else {
        None
    }
}

/// The client's word of a list with one word for each proxy; of any other list, the nearest proxy's.
pub(super) fn client_word<'a>(
    words: &[&'a [u8]],
    hops: usize,
    client: Option<ForwardedClient>,
) -> Option<&'a [u8]> {
    let after = client.map_or(0, |client| client.hops_after);
    let from_end = if words.len() == hops { after } else { 0 };
    let index = words.len().checked_sub(from_end + 1)?;
    words.get(index).copied()
}

/// One hop of `Forwarded`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// `for=`, with its quotes.
    pub(crate) node: &'a [u8],
    /// `proto=`
    pub(crate) proto: Option<&'a [u8]>,
}

/// The hops of `Forwarded`. A hop without `for=` says nothing about its client.
pub(super) fn elements(list: &[u8]) -> Vec<Element<'_>> {
    let elements = split_unquoted(list, b',').into_iter();
    elements
        .filter(|element| !element.is_empty())
        .map(|element| {
            let mut hop = Element::default();
            for pair in split_unquoted(element, b';') {
                let mut sides = pair.splitn(2, |byte| *byte == b'=');
                let name = sides.next().unwrap_or_default().trim_ascii();
                let value = sides.next().unwrap_or_default().trim_ascii();
                if name.eq_ignore_ascii_case(b"for") {
                    hop.node = value;
                } else if name.eq_ignore_ascii_case(b"proto") {
                    let bare = value
                        .strip_prefix(b"\"")
                        .and_then(|value| value.strip_suffix(b"\""));
                    hop.proto = Some(bare.unwrap_or(value));
                }
            }
            hop
        })
        .collect()
}

/// Split at a byte outside of quotes.
fn split_unquoted(text: &[u8], at: u8) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let pieces = text.split(|byte| {
        let splits = !quoted && *byte == at;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        splits
    });
    pieces.map(<[u8]>::trim_ascii).collect()
}

/// An address as `Forwarded` writes it.
pub(super) fn format_node(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    }
}

/// Append the element of `Forwarded` for the hop from this client (RFC 7239 section 4).
pub(super) fn write_element(
    list: &mut Vec<u8>,
    connection: &ClientConnection,
    node: ForwardedNode,
    host: Option<&HeaderValue>,
) {
    let remote = connection.remote;
    let node = match node {
        ForwardedNode::Address => format_node(remote.ip()),
        ForwardedNode::AddressAndPort => format!("for=\"{remote}\""),
        ForwardedNode::Hidden => hidden_node(remote.ip()),
    };
    list.extend_from_slice(node.as_bytes());
    let proto: &[u8] = match connection.secure {
        true => b";proto=https",
        false => b";proto=http",
    };
    list.extend_from_slice(proto);
    if let Some(host) = host {
        list.extend_from_slice(b";host=");
        write_value(list, host.as_bytes());
    }
}

/// A name for an address that tells nothing of it (RFC 7239 section 6.3). The same while the process runs.
fn hidden_node(ip: IpAddr) -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    format!("for=_{:016x}", KEY.hash_one(ip))
}

/// A token as it is, and anything else in quotes (RFC 9110 section 5.6.4).
fn write_value(list: &mut Vec<u8>, value: &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if !value.is_empty() && value.iter().all(is_token) {
        return list.extend_from_slice(value);
    }
    list.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            list.push(b'\\');
        }
        list.push(*byte);
    }
    list.push(b'"');
}

/// Whether one of the blocks holds the address.
pub(super) fn is_trusted(trusted: &[IpNet], ip: IpAddr) -> bool {
    trusted.iter().any(|block| block.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_of_an_address_is_understood() {
        for (hop, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1\t", "192.0.2.1"),
            ("192.0.2.1:8080", "192.0.2.1"),
            ("\"192.0.2.1\"", "192.0.2.1"),
            ("\"192.0.2.1:8080\"", "192.0.2.1"),
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:80\"", "192.0.2.1"),
            ("192.0.2.1:_sock", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]:_x\"", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:80", "192.0.2.1"),
        ] {
            assert_eq!(address(hop.as_bytes()), Some(ip(expected)), "{hop}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for hop in [
            "",
            "unknown",
            "_hidden",
            "for=_hidden",
            "for=",
            "example.com",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:123456",
            "192.0.2.1%eth0",
            "192.0.2.1.5",
            "010.0.0.1",
            "0x7f.1",
            "1",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[2001:db8::1]:",
            "2001:db8::1%",
            "\"192.0.2.1",
        ] {
            assert_eq!(address(hop.as_bytes()), None, "{hop}");
        }
        assert_eq!(address(b"192.0.2.1\xff"), None);
    }

    #[test]
    fn the_client_is_the_nearest_that_is_no_proxy() {
        let trusted = [block("10.0.0.0/8"), block("fd00::/8")];
        let found = |list: &str| client(&trusted, entries(list.as_bytes()));
        let client = |address, after| {
            Some(ForwardedClient {
                ip: ip(address),
                hops_after: after,
            })
        };
        assert_eq!(
            found("6.6.6.6, 192.0.2.9, 10.1.1.1"),
            client("192.0.2.9", 1)
        );
        assert_eq!(found("10.1.1.1, [fd00::1]:80"), client("10.1.1.1", 1));
        assert_eq!(found("6.6.6.6, unknown, 10.1.1.1"), client("10.1.1.1", 0));
        assert_eq!(found("6.6.6.6, _hidden"), None);
        assert_eq!(found("6.6.6.6,, 192.0.2.9 ,"), client("192.0.2.9", 0));
        assert_eq!(found("::ffff:10.1.1.1"), client("10.1.1.1", 0));
        assert_eq!(found(""), None);
    }

    #[test]
    fn forwarded_is_read_with_its_quotes() {
        let list = b"for=\"[2001:db8::1]:80\";proto=https;by=_x, For=unknown ; Proto=\"http\",host=\"a,b;c\"";
        let read = elements(list);
        let nodes: Vec<_> = read.iter().map(|hop| address(hop.node)).collect();
        assert_eq!(nodes, [Some(ip("2001:db8::1")), None, None]);
        let protos: Vec<_> = read.iter().map(|hop| hop.proto).collect();
        assert_eq!(protos, [Some(&b"https"[..]), Some(&b"http"[..]), None]);
        assert_eq!(elements(b"").len(), 0);
        assert_eq!(elements(b"for=\"a\\\",b\", for=1.2.3.4").len(), 2);
    }

    #[test]
    fn values_that_are_no_tokens_are_quoted() {
        for (value, written) in [
            ("example.com", "example.com"),
            ("example.com:8443", "\"example.com:8443\""),
            ("[::1]", "\"[::1]\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("", "\"\""),
        ] {
            let mut list = Vec::new();
            write_value(&mut list, value.as_bytes());
            assert_eq!(list, written.as_bytes(), "{value}");
        }
    }

    #[test]
    fn a_hidden_node_is_one_name_for_one_address() {
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| hidden_node(ip(text)));
        assert_eq!(one, hidden_node(ip("192.0.2.1")));
        assert_ne!(one, other);
        assert!(!one.contains("192"), "{one}");
        assert_eq!(address(one.as_bytes()), None);
    }

    #[test]
    fn a_node_is_written_so_that_it_can_be_read() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(address(format_node(ip(text)).as_bytes()), Some(ip(text)));
        }
    }

    #[test]
    fn the_scheme_is_that_of_the_client_s_hop() {
        let words = [&b"https"[..], b"http"];
        let client = Some(ForwardedClient {
            ip: ip("192.0.2.1"),
            hops_after: 1,
        });
        assert_eq!(client_word(&words, 2, client), Some(&b"https"[..]));
        assert_eq!(client_word(&words, 3, client), Some(&b"http"[..]));
        assert_eq!(client_word(&words[..1], 2, client), Some(&b"https"[..]));
        assert_eq!(client_word(&[], 0, None), None);
        assert_eq!(scheme(b"HTTPS"), Some(Scheme::HTTPS));
        assert_eq!(scheme(b"ws"), Some(Scheme::HTTP));
        assert_eq!(scheme(b"gopher"), None);
    }

    #[test]
    fn a_block_holds_what_its_prefix_says() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1/128", "::1", "::2"),
        ] {
            assert!(is_trusted(&[block(text)], ip(inside)), "{text}");
            assert!(!is_trusted(&[block(text)], ip(outside)), "{text}");
        }
    }
}
