//! Holds a request against the conditions of routes.

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, Method};

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
        (sources.is_empty() || sources.iter().any(|net| net.contains(&self.client)))
            && conditions
                .path
                .as_ref()
                .is_none_or(|path| path.matches(self.path.as_bytes()))
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
