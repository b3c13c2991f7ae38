//! Holds a request against the conditions of routes.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, Method};

use super::path::decode_segment;
use super::query::query_values;
use crate::model::condition::Conditions;

/// The facts of a request by which its route is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestFacts<'a> {
    /// The request's host, with or without port.
    pub(crate) host: &'a str,
    pub(crate) method: &'a Method,
    /// The normalised path ([`normalize`](super::normalize)), without the query.
    pub(crate) path: &'a str,
    /// The query, without its `?`.
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// The address of the client, as trusted proxies name it.
    pub(crate) client: IpAddr,
}

/// The path with its escapes decoded, so that a client cannot pass by an expression for `/@me` with `/%40me`;
/// except `%2F`, which is no separator, and `%25`, so that nothing is decoded twice.
fn readable(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let kept = path.replace("%25", "%2525").replace("%2F", "%252F");
    decode_segment(&kept).into_owned().into()
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

impl RequestFacts<'_> {
    /// Whether all of these conditions hold.
    pub(super) fn meets(&self, conditions: &Conditions) -> bool {
        let mut headers = conditions.headers.iter();
        let mut query = conditions.query.iter();
        let mut cookies = conditions.cookies.iter();
        let sources = &conditions.sources;
        let client = self.client.to_canonical();
        (sources.is_empty() || sources.iter().any(|net| net.contains(&client)))
            && conditions
                .path
                .as_ref()
                .is_none_or(|path| path.matches(readable(self.path).as_bytes()))
            && headers.all(|(name, rule)| rule.holds(self.headers.get_all(name).iter()))
            && query.all(|(name, rule)| {
                let values = query_values(self.query, name);
                rule.holds(values.map(bytes))
            })
            && cookies.all(|(name, rule)| rule.holds(self.cookies(name)))
    }

    /// The values of the cookies of this name (RFC 6265 section 5.4).
    fn cookies(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.headers.get_all(COOKIE).iter();
        let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        pairs.filter_map(move |pair| {
            let pair = pair.trim_ascii();
            let value = pair.strip_prefix(name.as_bytes())?;
            value.strip_prefix(b"=")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_but_for_its_slashes_and_percent_signs() {
        for (path, text) in [
            ("/a/b", "/a/b"),
            ("/%40me/caf%C3%A9", "/@me/café"),
            ("/a%2Fb%3Ac", "/a%2Fb:c"),
            ("/a%252Fb%2540", "/a%252Fb%2540"),
        ] {
            assert_eq!(readable(path), text);
        }
    }
}
