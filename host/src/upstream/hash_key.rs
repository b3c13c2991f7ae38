//! The key of a request for consistent hashing, and the numbers that keys and endpoints hash to.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::COOKIE;

use crate::config::HashKey;
use crate::exchange::{AttributeValue, Exchange};

/// The key of this request as a number, if it has one. A filter's hint goes first.
#[must_use]
pub(crate) fn find_hash(exchange: &Exchange, by: &HashKey) -> Option<u64> {
    if let Some(affinity) = &exchange.hint().affinity {
        return Some(hash(affinity));
    }
    match by {
        HashKey::Client => Some(match exchange.client.ip {
            IpAddr::V4(ip) => hash(&ip.octets()),
            IpAddr::V6(ip) => hash(&ip.octets()),
        }),
        HashKey::Header(name) => {
            let value = exchange.request.headers.get(name)?;
            Some(hash(value.as_bytes()))
        }
        HashKey::Cookie(name) => {
            let value = cookies(&exchange.request.headers, name).next();
            value.map(hash)
        }
        HashKey::Param(name) => exchange.param(name).map(|value| hash(value.as_bytes())),
        HashKey::Attribute(name) => {
            let fact = exchange.attributes.find(name);
            let own = match fact {
                None => exchange.host_fact(name),
                Some(_) => None,
            };
            Some(match fact.or(own.as_ref())? {
                AttributeValue::Text(text) => hash(text.as_bytes()),
                AttributeValue::Number(number) => hash(&number.to_be_bytes()),
                AttributeValue::Flag(flag) => hash(&[u8::from(*flag)]),
                AttributeValue::Bytes(bytes) => hash(bytes),
            })
        }
    }
}

/// The hash of a text: the same on every gateway and after every restart, so that a key goes to the same
/// endpoint from everywhere. FNV-1a, 64 bits; the balancer mixes it.
#[must_use]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The values of all cookies of this name (RFC 6265 section 5.4).
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}
