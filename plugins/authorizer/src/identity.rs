//! The identity of a request: its sources and its values.

use windlass_plugin_sdk::path::decode_query;
use windlass_plugin_sdk::{AttributeValue, Contribution, Request, json};

/// The most bytes of a whole identity.
const MAX_IDENTITY: usize = 16 * 1024;

/// A source of the identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A header, lower case.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// An attribute of the gateway or of an earlier filter.
    Attribute(String),
}

/// The values of the sources, in order. `None` if a source has no value or several, or if the values are too large.
pub fn presented(sources: &[Source], request: &Request) -> Option<Vec<String>> {
    let values = sources.iter().map(|source| source.presented(request));
    let values: Option<Vec<String>> = values.collect();
    let is_bounded =
        |values: &Vec<String>| values.iter().map(String::len).sum::<usize>() <= MAX_IDENTITY;
    values.filter(is_bounded)
}

impl Source {
    /// The only value. If there were several, the endpoint could use another one than the authorizer decided about.
    fn presented(&self, request: &Request) -> Option<String> {
        let value = match self {
            Self::Header(name) => text(only(request.header_all(name).into_iter())?)?,
            Self::Query(name) => parameter(request.path_and_query().query()?, name)?,
            Self::Cookie(name) => {
                let lines = request.header_all("cookie");
                cookie(lines.iter().map(Vec::as_slice), name)?
            }
            Self::Attribute(name) => match request.attributes().get(name)? {
                AttributeValue::Text(text) => text,
                AttributeValue::Number(number) => number.to_string(),
                AttributeValue::Flag(flag) => flag.to_string(),
                AttributeValue::Bytes(bytes) => text(bytes)?,
            },
        };
        (!value.is_empty()).then_some(value)
    }

    /// The header that this source reads.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Cookie(_) => Some("cookie"),
            Self::Query(_) | Self::Attribute(_) => None,
        }
    }

    /// The attribute that this source reads.
    pub fn attribute(&self) -> Option<&str> {
        match self {
            Self::Attribute(name) => Some(name),
            Self::Header(_) | Self::Query(_) | Self::Cookie(_) => None,
        }
    }

    /// The source in terms of OpenAPI.
    fn place(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Header(name) => Some(("header", name)),
            Self::Query(name) => Some(("query", name)),
            Self::Cookie(name) => Some(("cookie", name)),
            Self::Attribute(_) => None,
        }
    }
}

/// The value, if there is exactly one.
fn only<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The value as text. If invalid UTF-8 were replaced, two different values could become the same identity.
fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

/// The only value of a query parameter.
fn parameter(query: &str, name: &str) -> Option<String> {
    let values = query.split('&').filter_map(|pair| {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_query(known) == name.as_bytes()).then_some(value)
    });
    text(decode_query(only(values)?))
}

/// The only value of a cookie. A value that is not UTF-8 counts too.
fn cookie<'l>(lines: impl Iterator<Item = &'l [u8]>, name: &str) -> Option<String> {
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let values = pairs.filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (known, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        (known.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
    });
    text(only(values)?.to_vec())
}

/// The challenge of a 401 (RFC 9110, section 11.6.1), for the first source that a client can set. `ApiKey` is not a
/// registered scheme; it names the source as OpenAPI names API keys.
pub fn challenge(sources: &[Source]) -> String {
    let mut places = sources.iter().filter_map(Source::place);
    match places.next() {
        None | Some((_, "authorization")) => "Bearer".to_owned(),
        Some((place, name)) => {
            let name: String = name
                .chars()
                .filter(|c| !c.is_control() && !matches!(c, '"' | '\\'))
                .collect();
            format!("ApiKey in=\"{place}\", name=\"{name}\"")
        }
    }
}

/// Describe the identity for OpenAPI: the first source is a security scheme, and the others are parameters, because all
/// of them are needed.
pub fn describe(sources: &[Source], contribution: Contribution) -> Contribution {
    let places = sources.iter().filter_map(Source::place);
    places
        .enumerate()
        .fold(contribution, |all, (index, (place, name))| match index {
            0 => {
                let about = json!({ "type": "apiKey", "in": place, "name": name });
                // A cookie may have the same name as a header.
                all.scheme(&format!("authorizer-{place}-{name}"), about, &[])
            }
            _ => {
                let schema = json!({ "type": "string" });
                all.parameter(
                    json!({ "name": name, "in": place, "required": true, "schema": schema }),
                )
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_no_text_is_no_identity_and_counts_as_one() {
        let alice = Some("a b".to_owned());
        for (query, value) in [
            ("t=a%20b", &alice),
            ("x=1&t=a+b&y", &alice),
            ("%74=a+b", &alice),
            ("t=a%ff", &None),
            ("t=a%fe", &None),
            ("t=a+b&t=", &None),
            ("t=a+b&%74=%ff", &None),
            ("x=a", &None),
        ] {
            assert_eq!(&parameter(query, "t"), value, "{query}");
        }
        for (line, value) in [
            (&b"x=1; c=a b;y"[..], &alice),
            (b"c = a b ", &alice),
            (b"c=a b; c=2", &None),
            (b"c=a b; c=\xff", &None),
            (b"c=\xff", &None),
            (b"c", &None),
            (b"\xff=1; c=a b", &alice),
        ] {
            assert_eq!(&cookie([line].into_iter(), "c"), value, "{line:?}");
        }
    }

    #[test]
    fn a_challenge_names_the_first_place_of_a_client() {
        let header = |name: &str| Source::Header(name.to_owned());
        let address = Source::Attribute("client.ip".to_owned());
        assert_eq!(challenge(&[]), "Bearer");
        assert_eq!(challenge(&[header("authorization")]), "Bearer");
        assert_eq!(
            challenge(&[address, header("x-id")]),
            r#"ApiKey in="header", name="x-id""#
        );
    }
}
