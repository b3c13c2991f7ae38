//! The gateway's rules for what a filter may edit: names, values, sizes and paths.
//!
//! They are the rules of the gateway itself, which this crate cannot depend on. A test of the gateway compares the two.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};

use crate::{EditError, is_reserved_field};

/// The largest head that edits may make. Bytes, names and values with four for each field.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// The most fields that edits may make.
pub(super) const MAX_FIELDS: usize = 1024;

/// The largest size of an exchange's attributes, names and values together. Bytes.
pub(super) const MAX_ATTRIBUTES: usize = 16 * 1024;

/// The largest size of a filter's notes, keys and values together. Bytes.
pub(super) const MAX_NOTES: usize = 4 * 1024;

/// The largest body that a filter gets or makes, as `limits.body` is by default. Bytes.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// Whether only the gateway sets this attribute.
pub(super) fn is_host_attribute(name: &str) -> bool {
    let own = [
        "client.",
        "route.",
        "request.",
        "api.",
        "upstream.",
        "outcome.",
    ];
    own.iter().any(|prefix| name.starts_with(prefix))
}

/// The name of a field that a filter may edit.
pub(super) fn field_name(name: &str) -> Result<HeaderName, EditError> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Syntax)?;
    if parsed == http::header::HOST || is_reserved_field(name) {
        return Err(EditError::Forbidden);
    }
    Ok(parsed)
}

/// A value that HTTP can carry.
pub(super) fn field_value(value: &[u8]) -> Result<HeaderValue, EditError> {
    HeaderValue::from_bytes(value).map_err(|_| EditError::Syntax)
}

/// Whether a head stays within its bounds when one field of this size is added.
pub(super) fn has_room(fields: &HeaderMap, added: usize) -> bool {
    let sizes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    sizes.sum::<usize>() + added + 4 <= MAX_HEAD && fields.len() < MAX_FIELDS
}

/// Whether two different names can be taken for each other, as `x-tier` and `x_tier`.
pub(super) fn are_look_alikes(one: &str, other: &str) -> bool {
    let plain = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => byte,
        false => b'-',
    };
    one != other && one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// A target after the gateway's path rule; none if it breaks the rule.
pub(super) fn normal_target(target: &str) -> Option<String> {
    if !target.starts_with('/') || target.contains('#') {
        return None;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut normal = normal_path(path)?;
    if let Some(query) = query {
        let is_legal = |byte: u8| match byte {
            b'"' | b'#' | b'<' | b'>' | b'\\' | b'`' => false,
            byte => !byte.is_ascii() || byte.is_ascii_graphic(),
        };
        if !query.bytes().all(is_legal) {
            return None;
        }
        normal.push('?');
        normal.extend(utf8_percent_encode(query, &AsciiSet::EMPTY));
    }
    Some(normal)
}

/// A target that a filter sets: its path after the path rule, and its query as it is; none if it is not legal.
pub(super) fn edited_target(target: &str) -> Option<String> {
    if !target.starts_with('/') || target.contains('#') {
        return None;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut normal = normal_path(path)?;
    if let Some(query) = query {
        normal.push('?');
        normal.push_str(query);
    }
    let parsed = normal.parse::<http::uri::PathAndQuery>();
    parsed.is_ok().then_some(normal)
}

/// A path without empty and dot segments, with each escape in its normal spelling.
fn normal_path(path: &str) -> Option<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        let normal = normal_segment(segment)?;
        is_folder = matches!(&*normal, "" | "." | "..");
        match &*normal {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other if hides_dots(other) => return None,
            _ => kept.push(normal),
        }
    }
    let end = match is_folder {
        true => "/",
        false => "",
    };
    let path: String = kept.iter().map(|segment| format!("/{segment}")).collect();
    Some(path + end)
}

fn normal_segment(segment: &str) -> Option<String> {
    let mut normal = String::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                match u8::try_from(high * 16 + low).ok()? {
                    0 => return None,
                    plain if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => {
                        normal.push(char::from(plain));
                    }
                    other => normal.push_str(percent_encoding::percent_encode_byte(other)),
                }
            }
            b'#' | b'<' | b'>' | b'?' | b'\\' | b'`' => return None,
            byte if byte.is_ascii_graphic() => normal.push(char::from(byte)),
            byte if byte.is_ascii() => return None,
            byte => normal.push_str(percent_encoding::percent_encode_byte(byte)),
        }
    }
    percent_decode_str(segment).decode_utf8().ok()?;
    Some(normal)
}

/// Whether a server that takes `%2F` or `%5C` for a separator, or drops `;parameters`, would see `..` here.
fn hides_dots(segment: &str) -> bool {
    let parts = segment.split("%2F").flat_map(|part| part.split("%5C"));
    parts
        .map(|part| part.split(';').next())
        .any(|part| part == Some(".."))
}

/// The first value of a query parameter, as it is spelled.
pub(super) fn raw_query_value<'q>(target: &'q str, name: &str) -> Option<&'q str> {
    let (_, query) = target.split_once('?')?;
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let found = pairs.find(|(key, _)| form_decoded(key) == name);
    found.map(|(_, value)| value)
}

/// A text of a query, decoded.
pub(super) fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
