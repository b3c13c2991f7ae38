//! Path and query, parsed for edits. Pure: no calls of the gateway.
//!
//! The parts that an edit does not touch stay byte for byte as the client sent them. Names are compared after
//! percent-decoding, and `+` is a space, as in the gateway.

use core::fmt;
use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

mod raw;

pub use raw::RawParam;

/// All characters except the unreserved ones (RFC 3986, section 2.3).
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// All characters except those that a path segment may contain unescaped (RFC 3986, section 3.3). `;` is escaped too,
/// because some servers end the segment there and read parameters.
const SEGMENT: &AsciiSet = &COMPONENT
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The same, but without the slashes between segments.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// Percent-encodes a name or a value for a query.
#[must_use]
pub fn encode_query(value: &[u8]) -> String {
    percent_encode(value, COMPONENT).to_string()
}

/// Percent-encodes a value as one path segment, including its slashes.
#[must_use]
pub fn encode_segment(value: &[u8]) -> String {
    percent_encode(value, SEGMENT).to_string()
}

/// Percent-encodes a value as several path segments, without its slashes.
#[must_use]
pub fn encode_segments(value: &[u8]) -> String {
    percent_encode(value, SEGMENTS).to_string()
}

/// Percent-decodes a segment of a path; `+` is a plus.
#[must_use]
pub fn decode_segment(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// Percent-decodes a name or a value of a query; `+` is a space.
#[must_use]
pub fn decode_query(text: &str) -> Vec<u8> {
    let spaced: Cow<'_, str> = if text.contains('+') {
        text.replace('+', " ").into()
    } else {
        text.into()
    };
    percent_decode_str(&spaced).collect()
}

/// A value cannot be added to a path: a segment is empty, or it is `.` or `..` and would lead out of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotASegment;

impl fmt::Display for NotASegment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a segment is empty, `.` or `..`")
    }
}

impl std::error::Error for NotASegment {}

/// Whether a segment of the path is `.` or `..` after percent-decoding.
#[must_use]
pub fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        // Some servers end a segment at its parameters.
        let name = percent_decode_str(segment).take_while(|byte| *byte != b';');
        matches!(&*name.take(3).collect::<Vec<u8>>(), b"." | b"..")
    })
}

/// A path and its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathAndQuery {
    path: String,
    query: Option<String>,
}

impl PathAndQuery {
    /// Parses `/path?query`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('?') {
            Some((path, query)) => Self {
                path: path.to_owned(),
                query: Some(query.to_owned()),
            },
            None => Self {
                path: text.to_owned(),
                query: None,
            },
        }
    }

    /// The path, still percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Replaces the path and keeps the query. The path must be percent-encoded and begin with `/`.
    pub fn set_path(&mut self, path: impl Into<String>) {
        self.path = path.into();
    }

    /// The query without its `?`, still percent-encoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The first value of a parameter, decoded. A parameter without `=` has the empty value. `None` if there is no such
    /// parameter.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<Vec<u8>> {
        self.pairs()
            .find(|pair| is_named(pair, name))
            .map(|pair| decode_query(value_of(pair)))
    }

    /// The first value of a parameter, still encoded.
    #[must_use]
    pub fn raw_query_param(&self, name: &str) -> Option<RawParam> {
        self.pairs()
            .find(|pair| is_named(pair, name))
            .map(|pair| RawParam::of_query(value_of(pair)))
    }

    /// Adds a segment at the end of the path, still encoded; its slashes are escaped.
    ///
    /// # Errors
    /// The value is empty, or `.` or `..` in any encoding. Respond with 400, because the value comes from the client.
    pub fn push_segment(&mut self, value: &RawParam) -> Result<(), NotASegment> {
        self.push(&value.to_segment())
    }

    /// Adds segments at the end of the path, still encoded: use this for a `{name+}` parameter.
    ///
    /// # Errors
    /// A segment is `.` or `..` in any encoding, or one before the last is empty. Respond with 400, because the value
    /// comes from the client.
    pub fn push_segments(&mut self, value: &RawParam) -> Result<(), NotASegment> {
        self.push(&value.to_segments())
    }

    fn push(&mut self, segments: &str) -> Result<(), NotASegment> {
        let is_hollow = segments.is_empty() || segments.starts_with('/') || segments.contains("//");
        if is_hollow || has_dot_segment(segments) {
            return Err(NotASegment);
        }
        if !self.path.ends_with('/') {
            self.path.push('/');
        }
        self.path.push_str(segments);
        Ok(())
    }

    /// Sets a parameter to this one value, at the position of its first value or at the end.
    pub fn set_query(&mut self, name: &str, value: &[u8]) {
        self.set_encoded_query(name, &encode_query(value));
    }

    /// The same with an encoded value: [`RawParam::to_query`], [`encode_query`].
    pub fn set_encoded_query(&mut self, name: &str, value: &str) {
        let pair = pair(name, value);
        let mut placed = false;
        let mut pairs: Vec<&str> = Vec::new();
        for present in self.pairs() {
            if !is_named(present, name) {
                pairs.push(present);
            } else if !placed {
                placed = true;
                pairs.push(&pair);
            }
        }
        if !placed {
            pairs.push(&pair);
        }
        self.query = Some(pairs.join("&"));
    }

    /// Adds a parameter at the end.
    pub fn append_query(&mut self, name: &str, value: &[u8]) {
        self.append_encoded_query(name, &encode_query(value));
    }

    /// The same with an encoded value: [`RawParam::to_query`], [`encode_query`].
    pub fn append_encoded_query(&mut self, name: &str, value: &str) {
        let pair = pair(name, value);
        let query = self.query.get_or_insert_default();
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&pair);
    }

    /// Removes all values of a parameter. Returns how many there were.
    pub fn remove_query(&mut self, name: &str) -> usize {
        let kept: Vec<&str> = self.pairs().filter(|pair| !is_named(pair, name)).collect();
        let removed = self.pairs().count() - kept.len();
        if removed > 0 {
            let query = kept.join("&");
            self.query = (!kept.is_empty()).then_some(query);
        }
        removed
    }

    /// Renames the parameter `from` to `to`, and keeps the position of each value. Returns how many there were. If
    /// there was one, the earlier values of `to` are removed.
    pub fn rename_query(&mut self, from: &str, to: &str) -> usize {
        let renamed = self.pairs().filter(|pair| is_named(pair, from)).count();
        if renamed > 0 {
            let name = encode_query(to.as_bytes());
            let pairs: Vec<String> = self
                .pairs()
                .filter_map(|pair| {
                    if is_named(pair, from) {
                        Some(match pair.split_once('=') {
                            Some((_, value)) => format!("{name}={value}"),
                            None => name.clone(),
                        })
                    } else {
                        (!is_named(pair, to)).then(|| pair.to_owned())
                    }
                })
                .collect();
            self.query = Some(pairs.join("&"));
        }
        renamed
    }

    fn pairs(&self) -> impl Iterator<Item = &str> {
        self.query
            .as_deref()
            .filter(|query| !query.is_empty())
            .into_iter()
            .flat_map(|query| query.split('&'))
    }
}

impl fmt::Display for PathAndQuery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)?;
        match &self.query {
            Some(query) => write!(formatter, "?{query}"),
            None => Ok(()),
        }
    }
}

fn is_named(pair: &str, name: &str) -> bool {
    let present = pair.split_once('=').map_or(pair, |(name, _)| name);
    if present.contains(['%', '+']) {
        decode_query(present) == name.as_bytes()
    } else {
        present == name
    }
}

fn value_of(pair: &str) -> &str {
    pair.split_once('=').map_or("", |(_, value)| value)
}

fn pair(name: &str, value: &str) -> String {
    let mut pair = encode_query(name.as_bytes());
    pair.push('=');
    pair.push_str(value);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edit: impl FnOnce(&mut PathAndQuery)) -> String {
        let mut path = PathAndQuery::parse(text);
        edit(&mut path);
        path.to_string()
    }

    #[test]
    fn printing_gives_what_was_parsed() {
        for text in ["/", "/a?", "/a?b", "/a?b=c&&d=%2F+", "/a?b=c?d", "/%20?x"] {
            assert_eq!(PathAndQuery::parse(text).to_string(), text);
        }
    }

    #[test]
    fn a_parameter_is_read_decoded() {
        let path = PathAndQuery::parse("/a?x%5B=1+2%2F&flag&x%5B=9");
        assert_eq!(path.query_param("x[").as_deref(), Some(b"1 2/".as_slice()));
        assert_eq!(path.query_param("flag").as_deref(), Some(b"".as_slice()));
        assert_eq!(path.query_param("y"), None);
    }

    #[test]
    fn removing_a_parameter_leaves_the_others_untouched() {
        let removed = |text| {
            edited(text, |path| {
                path.remove_query("key");
            })
        };
        assert_eq!(removed("/a?key=1"), "/a");
        assert_eq!(removed("/a?b=%7e+&key=1&c&%6Bey=2"), "/a?b=%7e+&c");
        assert_eq!(removed("/a?keys=1"), "/a?keys=1");
        assert_eq!(removed("/a?"), "/a?");
    }

    #[test]
    fn setting_replaces_in_place_and_encodes() {
        let set = |text| edited(text, |path| path.set_query("q", b"a&b= \xff"));
        assert_eq!(set("/a?x=1&q=2&y&q=3"), "/a?x=1&q=a%26b%3D%20%FF&y");
        assert_eq!(set("/a?x=1"), "/a?x=1&q=a%26b%3D%20%FF");
        assert_eq!(set("/a"), "/a?q=a%26b%3D%20%FF");
    }

    #[test]
    fn appending_keeps_what_is_there() {
        let append = |text| edited(text, |path| path.append_query("q", b"2"));
        assert_eq!(append("/a"), "/a?q=2");
        assert_eq!(append("/a?"), "/a?q=2");
        assert_eq!(append("/a?q=1"), "/a?q=1&q=2");
    }

    #[test]
    fn renaming_keeps_places_and_values() {
        let rename = |text| {
            edited(text, |path| {
                path.rename_query("a", "b c");
            })
        };
        assert_eq!(rename("/?a=%20&x=1&a&b+c=9"), "/?b%20c=%20&x=1&b%20c");
        assert_eq!(rename("/?b%20c=9"), "/?b%20c=9");
    }

    #[test]
    fn a_path_is_built_from_what_is_spelled() {
        let mut path = PathAndQuery::parse("/v2?x=1");
        let pushed = [
            path.push_segment(&RawParam::of_path("a%2Fb")),
            path.push_segments(&RawParam::of_path("my%2Fproject/tags")),
        ];
        assert_eq!(pushed, [Ok(()), Ok(())]);
        assert_eq!(path.to_string(), "/v2/a%2Fb/my%2Fproject/tags?x=1");
        let mut path = PathAndQuery::parse("/");
        assert_eq!(path.push_segment(&RawParam::of_query("a/b")), Ok(()));
        assert_eq!(path.to_string(), "/a%2Fb");
    }

    #[test]
    fn a_path_takes_no_segment_that_leads_out_of_it() {
        let mut path = PathAndQuery::parse("/v2");
        for text in ["", ".", "..", "%2e%2E", ".%2e"] {
            let pushed = path.push_segment(&RawParam::of_query(text));
            assert_eq!(pushed, Err(NotASegment), "{text}");
        }
        for text in ["a/../b", "/a", "a//b", ""] {
            let pushed = path.push_segments(&RawParam::of_query(text));
            assert_eq!(pushed, Err(NotASegment), "{text}");
        }
        assert_eq!(path.to_string(), "/v2");
    }

    #[test]
    fn dot_segments_are_seen_through_their_escapes() {
        for path in [
            "/..",
            "/a/./b",
            "/%2e%2E",
            "/.%2e/x",
            "/a/..",
            "/..;x",
            "/%2e.%3Bx",
            "/.;/a",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/", "/...", "/a..b", "/%252e", "//", "/.+", "/a;..", "/...;x",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    #[test]
    fn a_raw_value_goes_from_parameter_to_parameter_unchanged() {
        let mut path = PathAndQuery::parse("/a?q=a+b%2bc%FF&r=1");
        let value = path.raw_query_param("q").expect("there is one");
        path.set_encoded_query("r", &value.to_query());
        path.append_encoded_query("s", &value.to_query());
        assert_eq!(
            path.to_string(),
            "/a?q=a+b%2bc%FF&r=a+b%2bc%FF&s=a+b%2bc%FF"
        );
    }

    #[test]
    fn an_edit_puts_back_what_it_read() {
        for value in [b"".as_slice(), b"plain", b"a+b %2F&=?#", b"\0\xff\xc3\xa4"] {
            let mut path = PathAndQuery::parse("/a?x=1");
            path.set_query("name with space", value);
            let again = PathAndQuery::parse(&path.to_string());
            assert_eq!(again.query_param("name with space").as_deref(), Some(value));
        }
    }

    #[test]
    fn a_segment_keeps_its_slashes_to_itself() {
        assert_eq!(encode_segment(b"a/b c"), "a%2Fb%20c");
        assert_eq!(encode_segment(b"a;b=c@d"), "a%3Bb=c@d");
        assert_eq!(encode_segments(b"a/b c"), "a/b%20c");
    }
}
