//! The one path rule, applied before routing: what it returns is what the router matches, what
//! filters read and what goes upstream, so no two of them can disagree about a path.
//!
//! | in the request | what happens | why |
//! |---|---|---|
//! | `.` and `..` segments, `%2e` too | resolved, never above the root | RFC 3986 section 5.2.4 |
//! | `//` | merged to `/`, before dots are resolved | many upstreams merge; `//admin` must not pass by the filters of `/admin` |
//! | a trailing `/` | kept; `/a` and `/a/` are two paths | as API Gateway's HTTP APIs |
//! | an escape of an unreserved character, `%41` | decoded, `A` | RFC 3986 section 6.2.2.2: the same path |
//! | any other escape, `%2f` | kept, hex in capitals, `%2F`; never a separator | RFC 3986 sections 2.2 and 6.2.2.1 |
//! | raw non-ASCII, `é` | escaped as UTF-8, `%C3%A9` | RFC 3987 section 3.1; curl sends it raw |
//! | `%` without two hex digits, `%00` | error | no two servers agree on the first; the second ends C strings |
//! | escapes that are not UTF-8, `%C0%AE` | error | overlong dots and slashes; filters read text |
//! | `..` beside `%2F`, `%5C` or before `;` | error | some upstreams would climb out: `..%2F`, `..;/` |
//! | raw controls, space, `\`, `#`, `<`, `>`, `` ` `` | error | not in RFC 3986; some servers read `\` as `/` and cut at `#` |
//! | raw `"`, `^`, `{`, `\|`, `}` | kept | not in RFC 3986 either, but clients send them and nobody reads them two ways |
//!
//! The query is the application's: its spelling is kept (raw non-ASCII is escaped, and what is
//! an error above is one there, malformed escapes excepted).
//!
//! So a path that matched `/public/{rest+}` cannot come out of `/public/` in an upstream that
//! decodes once, whether or not it takes `%2F` for a separator.
//!
//! A path that matched `/{rest+}` can still be one of `/admin/{rest+}` for a server that decodes
//! `%2F` or drops `;parameters`: [`other_readings`] are looked up too, and a request that would meet
//! other filters by one of them is refused.
//!
//! Deliberately absent: absolute-form, authority-form and `*` targets (the server takes them
//! apart), bounds on length (the listener's `max_uri`), and second decoding: `%252e` stays.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};

/// Escapes no ASCII; `utf8_percent_encode` escapes all else whatever the set.
const NON_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// Why a request's target is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    /// Not in origin-form (RFC 9112 section 3.2.1).
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// `%` and something else than two hexadecimal digits, in the path.
    #[error("the path has a `%` that two hexadecimal digits do not follow")]
    MalformedEscape,
    /// `%00` in the path.
    #[error("the path has an encoded NUL, `%00`")]
    EncodedNul,
    /// A character that has to be percent-encoded, in the path or in the query.
    #[error("the target has the character {0:?}, which must be percent-encoded")]
    IllegalCharacter(char),
    /// The escapes of a segment do not decode to UTF-8.
    #[error("the path has escapes that are not UTF-8")]
    NotUtf8,
    /// A `..` that a less careful server would resolve: `..%2F`, `..%5C`, `..;`.
    #[error("the path has a `..` beside an encoded slash or before a `;`")]
    HiddenDotSegment,
    /// The path that a route writes has a `.` or `..` segment, which would lead out of the place that it names.
    #[error("the path that the route writes has a `.` or `..` segment")]
    WrittenDotSegment,
    /// A less careful server would take it for the path of a route with filters that were not called.
    #[error("the path can be read as the path of a route with other filters")]
    TwoReadings,
}

/// Applies the path rule to a target: a path that begins with `/`, and a query if there is one.
///
/// Borrows, after one scan and without an allocation, where the target is in its normal form
/// and has no escape, no raw non-ASCII and no segment that begins with a dot. Applying it
/// twice changes nothing.
///
/// # Errors
///
/// Any [`PathError`]; the answer to each is 400.
pub(crate) fn normalize(target: &str) -> Result<Cow<'_, str>, PathError> {
    let (path, query) = split_query(target);
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if is_plain_path(path) && query.is_none_or(is_plain_query) {
        return Ok(Cow::Borrowed(target));
    }
    let mut normal = String::with_capacity(target.len());
    write_path(path, &mut normal)?;
    if let Some(query) = query {
        normal.push('?');
        write_query(query, &mut normal)?;
    }
    Ok(if normal == target {
        Cow::Borrowed(target)
    } else {
        Cow::Owned(normal)
    })
}

/// Splits a target at its first `?` into path and query. An empty query is `Some("")`.
#[must_use]
pub(crate) fn split_query(target: &str) -> (&str, Option<&str>) {
    split_at_first(target, b'?')
}

/// The texts before and after the first of these bytes, which is ASCII.
pub(super) fn split_at_first(text: &str, byte: u8) -> (&str, Option<&str>) {
    let parts = memchr::memchr(byte, text.as_bytes()).and_then(|at| text.split_at_checked(at));
    match parts {
        Some((before, rest)) => (before, rest.get(1..)),
        None => (text, None),
    }
}

/// Percent-decodes a segment, or a run of segments, of a normalised path. Borrows where there
/// is no escape.
///
/// Nothing is lost, since [`normalize`] lets only UTF-8 through; on any other text, what is not
/// UTF-8 becomes U+FFFD.
#[must_use]
pub(crate) fn decode_segment(segment: &str) -> Cow<'_, str> {
    if segment.contains('%') {
        percent_decode_str(segment).decode_utf8_lossy()
    } else {
        Cow::Borrowed(segment)
    }
}

/// Whether the path is in its normal form for certain, seen in one scan.
fn is_plain_path(path: &str) -> bool {
    let mut after_slash = false;
    for byte in path.bytes() {
        if after_slash && matches!(byte, b'/' | b'.') {
            return false;
        }
        if byte == b'%' || !is_path_byte(byte) {
            return false;
        }
        after_slash = byte == b'/';
    }
    true
}

fn is_plain_query(query: &str) -> bool {
    query.bytes().all(is_query_byte)
}

/// The bytes that may be raw in a path, `/` and `%` included.
const fn is_path_byte(byte: u8) -> bool {
    is_visible(byte) && !matches!(byte, b'#' | b'<' | b'>' | b'?' | b'\\' | b'`')
}

/// The bytes that may be raw in a query: more than in RFC 3986 section 3.4, since clients send them.
const fn is_query_byte(byte: u8) -> bool {
    is_visible(byte) && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'`')
}

const fn is_visible(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~')
}

/// Writes the path without empty and dot segments. It begins with `/`, and ends with `/` where
/// the last segment was empty or a dot segment (RFC 3986 section 5.2.4, steps B and C).
fn write_path(path: &str, normal: &mut String) -> Result<(), PathError> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let start = normal.len();
        let mut is_folder = segment.is_empty();
        if !is_folder {
            normal.push('/');
            write_segment(segment, normal)?;
            match normal.get(start + 1..) {
                Some(".") => {
                    normal.truncate(start);
                    is_folder = true;
                }
                Some("..") => {
                    normal.truncate(start);
                    normal.truncate(normal.rfind('/').unwrap_or(0));
                    is_folder = true;
                }
                Some(written) if hides_dot_segment(written) => {
                    return Err(PathError::HiddenDotSegment);
                }
                Some(_) | None => {}
            }
        }
        if is_folder && segments.peek().is_none() {
            normal.push('/');
        }
    }
    Ok(())
}

/// Writes one segment with every escape in its normal spelling.
fn write_segment(segment: &str, normal: &mut String) -> Result<(), PathError> {
    let mut has_high_escape = false;
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let decoded = hex_pair(bytes.next(), bytes.next())?;
            has_high_escape |= !decoded.is_ascii();
            match decoded {
                0 => return Err(PathError::EncodedNul),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    normal.push(char::from(decoded));
                }
                reserved => normal.push_str(percent_encoding::percent_encode_byte(reserved)),
            }
        } else if is_path_byte(byte) {
            normal.push(char::from(byte));
        } else if byte.is_ascii() {
            return Err(PathError::IllegalCharacter(char::from(byte)));
        } else {
            normal.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
    if has_high_escape && percent_decode_str(segment).decode_utf8().is_err() {
        return Err(PathError::NotUtf8);
    }
    Ok(())
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Result<u8, PathError> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
        return Err(PathError::MalformedEscape);
    };
    u8::try_from(high * 16 + low).map_err(|_| PathError::MalformedEscape)
}

/// Whether a server that takes `%2F` or `%5C` for a separator, or drops `;parameters`, would
/// see a `..` segment in this one.
fn hides_dot_segment(segment: &str) -> bool {
    segment.contains("..")
        && segment
            .split("%2F")
            .flat_map(|part| part.split("%5C"))
            .any(|part| part.split(';').next() == Some(".."))
}

/// Whether less careful servers may read a path as another one. They read most as we do.
#[must_use]
pub(crate) fn may_have_other_readings(path: &str) -> bool {
    (path.len() > 1 && path.ends_with('/'))
        || memchr::memchr2(b'%', b';', path.as_bytes()).is_some()
}

/// How less careful servers read a normalised path: with `%2F` and `%5C` as separators, without
/// `;parameters`, or both; each of these also without a slash at its end.
#[must_use]
pub(crate) fn other_readings(path: &str) -> Vec<String> {
    let decoded = path
        .replace("%2F", "/")
        .replace("%5C", "/")
        .replace("%3B", ";");
    let mut readings: Vec<String> = Vec::new();
    for text in [
        decoded.clone(),
        without_parameters(path),
        without_parameters(&decoded),
    ] {
        if let Ok(reading) = normalize(&text)
            && reading != path
            && !readings.iter().any(|known| *known == *reading)
        {
            readings.push(reading.into_owned());
        }
    }
    let all = std::iter::once(path).chain(readings.iter().map(String::as_str));
    let bare = all.filter_map(|path| path.strip_suffix('/').filter(|bare| !bare.is_empty()));
    let bare: Vec<String> = bare.map(str::to_owned).collect();
    readings.extend(bare);
    readings
}

/// Each segment up to its first `;`.
fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let parameters = segment.find(';').or_else(|| segment.find("%3B"));
        segment.get(..parameters.unwrap_or(segment.len()))
    });
    segments
        .map(Option::unwrap_or_default)
        .collect::<Vec<_>>()
        .join("/")
}

fn write_query(query: &str, normal: &mut String) -> Result<(), PathError> {
    let illegal = |byte: &u8| byte.is_ascii() && !is_query_byte(*byte);
    if let Some(byte) = query.bytes().find(illegal) {
        return Err(PathError::IllegalCharacter(char::from(byte)));
    }
    normal.extend(utf8_percent_encode(query, NON_ASCII));
    Ok(())
}

/// Where in a path that begins with `/` the part below its first `segments` segments begins: at
/// a slash, or at its end.
#[must_use]
pub(crate) fn skip(path: &str, segments: usize) -> usize {
    let slash = path.match_indices('/').nth(segments);
    slash.map_or(path.len(), |(place, _)| place)
}

#[cfg(test)]
mod tests;
